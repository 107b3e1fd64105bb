//! A firmware that starts the radio and reports on the console how far it came.
#![no_std]
#![no_main]

use core::fmt::{self, Write as _};

use az3166_radio::{NVRAM, QspiFlash, Sdio, reset_radio};
use bcm43362::{Nvram, Radio, Region};
use embedded_hal_async::delay::DelayNs;
use stm32_metapac::gpio::vals::Moder;
use stm32_metapac::{GPIOA, RCC, USART6};

/// What the boot loader leaves running.
const CORE_HZ: u32 = 96_000_000;
const BAUD: u32 = 115_200;

/// USART6 at PA11, the board's console; only to write to.
struct Console;

impl Console {
    fn new() -> Self {
        RCC.ahb1enr().modify(|register| register.set_gpioaen(true));
        RCC.apb2enr().modify(|register| register.set_usart6en(true));
        GPIOA.afr(1).modify(|register| register.set_afr(3, 8));
        GPIOA.moder().modify(|register| register.set_moder(11, Moder::ALTERNATE));
        USART6.brr().write(|register| register.0 = CORE_HZ / BAUD);
        USART6.cr1().write(|register| {
            register.set_te(true);
            register.set_ue(true);
        });
        Self
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

/// Counts the core's cycles.
struct Cycles;

impl DelayNs for Cycles {
    async fn delay_ns(&mut self, ns: u32) {
        cortex_m::asm::delay(ns.div_ceil(125).saturating_mul(CORE_HZ / 8_000_000));
    }
}

async fn start() -> Result<(u32, u8), impl fmt::Display> {
    reset_radio(&mut Cycles).await;
    let nvram = Nvram::new(NVRAM).map_err(bcm43362::Error::Nvram)?;
    Radio::bring_up(Sdio::new(), Cycles, &mut QspiFlash::new(), Region::AZ3166, nvram)
        .await
        .map(|radio| (radio.firmware_len(), radio.chip().revision))
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut console = Console::new();
    // The console cannot fail.
    let _ = match embassy_futures::block_on(start()) {
        Ok((len, revision)) => {
            writeln!(console, "radio: BCM43362 revision {revision} runs a firmware of {len} bytes\r")
        }
        Err(error) => writeln!(console, "radio: {error}\r"),
    };
    loop {
        cortex_m::asm::wfe();
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let _ = writeln!(Console::new(), "radio: {info}\r");
    loop {
        cortex_m::asm::wfe();
    }
}
