//! USART6 at PA11, the board's console; only to write to. The core's clock is what the boot loader leaves running.

use core::fmt::{self, Write as _};

use stm32_metapac::gpio::vals::Moder;
use stm32_metapac::{GPIOA, RCC, USART6};

/// The core's clock.
pub const CORE_HZ: u32 = 96_000_000;
const BAUD: u32 = 115_200;

/// The console.
#[derive(Debug)]
pub struct Console(());

impl Console {
    /// Sets the port up.
    #[must_use]
    pub fn new() -> Self {
        RCC.ahb1enr().modify(|register| register.set_gpioaen(true));
        RCC.apb2enr().modify(|register| register.set_usart6en(true));
        GPIOA.afr(1).modify(|register| register.set_afr(3, 8));
        GPIOA.moder().modify(|register| register.set_moder(11, Moder::ALTERNATE));
        USART6.brr().write(|register| register.0 = CORE_HZ / BAUD);
        USART6.cr1().write(|register| {
            register.set_te(true);
            register.set_ue(true);
        });
        Self(())
    }

    /// Writes the last line, how a firmware of this crate has ended, and sleeps.
    pub fn end(mut self, outcome: fmt::Arguments<'_>) -> ! {
        // The console cannot fail.
        let _ = writeln!(self, "radio: {outcome}\r");
        loop {
            cortex_m::asm::wfe();
        }
    }
}

impl Default for Console {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            while !USART6.sr().read().txe() {}
            USART6.dr().write(|register| register.set_dr(byte.into()));
        }
        Ok(())
    }
}
