//! The pins: which function each has.

use embedded_hal_async::delay::DelayNs;
use stm32_metapac::gpio::Gpio;
use stm32_metapac::gpio::vals::{Moder, Ospeedr, Pupdr};
use stm32_metapac::{GPIOA, RCC};

/// Gives a pin to a peripheral, at the highest speed.
pub(crate) fn assign(port: Gpio, pin: usize, function: u8, pull: Pupdr) {
    port.afr(pin / 8).modify(|register| register.set_afr(pin % 8, function));
    port.ospeedr().modify(|register| register.set_ospeedr(pin, Ospeedr::VERY_HIGH_SPEED));
    port.pupdr().modify(|register| register.set_pupdr(pin, pull));
    port.moder().modify(|register| register.set_moder(pin, Moder::ALTERNATE));
}

/// Switches the ports' clocks on.
pub(crate) fn enable_ports() {
    RCC.ahb1enr().modify(|register| {
        register.set_gpioaen(true);
        register.set_gpioben(true);
        register.set_gpiocen(true);
        register.set_gpioden(true);
    });
}

/// Takes the radio through its reset: PA9, low for 10 ms, then 100 ms to start.
pub async fn reset_radio(delay: &mut impl DelayNs) {
    const RESET: usize = 9;
    enable_ports();
    GPIOA.bsrr().write(|register| register.set_br(RESET, true));
    GPIOA.moder().modify(|register| register.set_moder(RESET, Moder::OUTPUT));
    delay.delay_ms(10).await;
    GPIOA.bsrr().write(|register| register.set_bs(RESET, true));
    delay.delay_ms(100).await;
}
