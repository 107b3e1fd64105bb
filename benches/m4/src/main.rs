//! Measures one subject (a cargo feature) on the emulated board and leaves; `tools/measure-m4` makes tables of it.
#![no_std]
#![no_main]

#[cfg(any(
    feature = "dice-keys",
    feature = "dice-riot",
    feature = "dice-open-dice",
    feature = "dice-standard",
    feature = "dice-layers"
))]
mod dice;
mod measure;
#[cfg(feature = "stsafe-bus")]
mod stsafe;
#[cfg(feature = "dice-vectors")]
mod vectors;
#[cfg(feature = "stsafe-zones")]
mod zones;

use cortex_m_semihosting::debug;
use panic_semihosting as _;

#[cortex_m_rt::entry]
fn main() -> ! {
    // What every subject needs for measuring is in the empty image, too: the others' flash is compared with it.
    assert!(measure::step("nothing", || core::hint::black_box(true)));
    #[cfg(any(
        feature = "dice-keys",
        feature = "dice-riot",
        feature = "dice-open-dice",
        feature = "dice-standard",
        feature = "dice-layers"
    ))]
    dice::run();
    #[cfg(feature = "dice-vectors")]
    vectors::run();
    #[cfg(feature = "stsafe-bus")]
    stsafe::run();
    #[cfg(feature = "stsafe-zones")]
    zones::run();
    debug::exit(debug::EXIT_SUCCESS);
    loop {
        cortex_m::asm::wfi();
    }
}
