//! Measures one subject (a cargo feature) on the emulated board and leaves; `tools/measure-m4` makes tables of it.
#![no_std]
#![no_main]

#[cfg_attr(
    feature = "empty",
    allow(dead_code, reason = "the empty image is what flash sizes are compared with")
)]
mod measure;
#[cfg(feature = "stsafe-bus")]
mod stsafe;

use cortex_m_semihosting::debug;
use panic_semihosting as _;

#[cortex_m_rt::entry]
fn main() -> ! {
    #[cfg(feature = "stsafe-bus")]
    stsafe::run();
    debug::exit(debug::EXIT_SUCCESS);
    loop {
        cortex_m::asm::wfi();
    }
}
