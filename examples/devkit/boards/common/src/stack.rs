//! The main stack: how much of it was ever used.
//!
//! `cortex-m-rt` paints it before the program starts (feature `paint-stack`). It lies below the statics, so that an
//! overflow leaves the memory and faults, instead of changing statics in silence.

use cortex_m_rt::STACK_PAINT_VALUE;

unsafe extern "C" {
    static _stack_start: u32;
    static _stack_end: u32;
}

/// Bytes of the stack.
#[must_use]
pub fn size() -> usize {
    &raw const _stack_start as usize - &raw const _stack_end as usize
}

/// The most bytes of the stack that were in use at once.
#[must_use]
pub fn peak() -> usize {
    let mut word = &raw const _stack_end;
    let top = &raw const _stack_start;
    // SAFETY: aligned words between the two ends of the stack, which is memory at all times. What the program writes
    // there meanwhile lies above the first changed word.
    while word < top && unsafe { word.read_volatile() } == STACK_PAINT_VALUE {
        word = word.wrapping_add(1);
    }
    top as usize - word as usize
}
