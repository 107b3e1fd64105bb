//! The board's time: instructions, of which the chip executes one a cycle here.
//!
//! The real chip needs more cycles for some instructions (flash wait states, loads, divisions), so the simulated one is
//! a little faster. What is timed by peripherals (SysTick, serial lines, I2C) keeps the real board's proportions.

use std::time::Duration;

/// Time since the simulation began, in cycles of the 96 MHz core clock.
pub type Cycles = u64;

/// Core clock, in hertz: what the boot loader leaves running and the firmware sets up again.
pub const CORE_HZ: u64 = 96_000_000;

/// A duration in cycles.
#[must_use]
pub fn cycles(duration: Duration) -> Cycles {
    Cycles::try_from(duration.as_nanos() * u128::from(CORE_HZ) / 1_000_000_000).unwrap_or(Cycles::MAX)
}

/// Cycles as a duration.
#[must_use]
pub fn duration(cycles: Cycles) -> Duration {
    Duration::from_nanos(
        u64::try_from(u128::from(cycles) * 1_000_000_000 / u128::from(CORE_HZ)).unwrap_or(u64::MAX),
    )
}
