//! The watchdog: CMSDK APB watchdog (Cortex-M System Design Kit TRM, §4.5). When it is not fed, it first raises the
//! non-maskable interrupt, whose handler keeps the cause; if that does not end in a reset either, it resets the board.

use crate::registers::Register;

const BASE: usize = 0x4000_8000;
// SAFETY: registers of the watchdog, which nothing else uses.
const LOAD: Register = unsafe { Register::at(BASE) };
// SAFETY: as above.
const CONTROL: Register = unsafe { Register::at(BASE + 8) };
// SAFETY: as above.
const CLEAR: Register = unsafe { Register::at(BASE + 12) };
const INTERRUPT_AND_RESET: u32 = 0b11;

/// Starts it: it raises its interrupt after this many milliseconds (at most 170,000) without being fed, and resets the
/// board after twice the time.
pub(crate) fn start(core_hz: u32, ms: u32) {
    LOAD.write((core_hz / 1000).saturating_mul(ms));
    CONTROL.write(INTERRUPT_AND_RESET);
}

/// Restarts its time.
pub(crate) fn feed() {
    CLEAR.write(1);
}

#[cortex_m_rt::exception]
unsafe fn NonMaskableInt() -> ! {
    devkit_common::fault::crash(format_args!("watchdog: a task made no progress"))
}
