//! A firmware that starts the radio and reports on the console how far it came.
#![no_std]
#![no_main]

use core::fmt;

use az3166_radio::{CORE_HZ, Console, NVRAM, QspiFlash, Sdio, reset_radio};
use bcm43362::{Nvram, Radio, Region};
use embedded_hal_async::delay::DelayNs;

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
    let console = Console::new();
    match embassy_futures::block_on(start()) {
        Ok((len, revision)) => {
            console.end(format_args!("BCM43362 revision {revision} runs a firmware of {len} bytes"))
        }
        Err(error) => console.end(format_args!("{error}")),
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    Console::new().end(format_args!("{info}"))
}
