//! Instructions and peak stack of one call.
//!
//! The emulator runs with `-icount shift=0`: one nanosecond an instruction, so that the board's 25 MHz counter ticks
//! once in 40 instructions, exactly repeatable. Instructions are not cycles: flash wait states and multi-cycle loads
//! come on top.

use core::hint::black_box;

use cortex_m_semihosting::hprintln;

/// Free-running 25 MHz counter of the board's FPGA (MPS2 technical reference manual, FPGAIO COUNTER).
const COUNTER: *const u32 = 0x4002_8018 as *const u32;
const INSTRUCTIONS_PER_TICK: u32 = 40;

const PAINT: u32 = 0x5AFE_57AC;
/// How far below the measuring frame the stack is painted: more than any subject may use.
const PAINTED_WORDS: usize = 24 * 1024;
/// Words left alone right below the frame: the painting loop's own.
const MARGIN_WORDS: usize = 32;

fn ticks() -> u32 {
    // SAFETY: a read-only device register of the one board this runs on.
    unsafe { COUNTER.read_volatile() }
}

/// Keeps the locals of `call` out of the measuring frame, which is not counted.
#[inline(never)]
fn in_own_frame<T>(call: &mut impl FnMut() -> T) -> T {
    call()
}

/// Runs `call`; gives its result, its instructions and the bytes of stack it used.
#[inline(never)]
pub(crate) fn measured<T>(mut call: impl FnMut() -> T) -> (T, u64, usize) {
    let frame = cortex_m::register::msp::read() as *mut u32;
    let top = frame.wrapping_sub(MARGIN_WORDS);
    let bottom = top.wrapping_sub(PAINTED_WORDS);
    for i in 0..PAINTED_WORDS {
        // SAFETY: memory between the statics and this frame, unused until `call` runs; the linker leaves 256 KiB less
        // the statics for the stack and the program runs on the main stack only.
        unsafe { bottom.wrapping_add(i).write_volatile(PAINT) };
    }
    let before = ticks();
    let result = black_box(in_own_frame(&mut call));
    let spent = ticks().wrapping_sub(before);
    // SAFETY: as above, reading back what was painted.
    let untouched = (0..PAINTED_WORDS)
        .take_while(|i| unsafe { bottom.wrapping_add(*i).read_volatile() } == PAINT)
        .count();
    let stack = (PAINTED_WORDS + MARGIN_WORDS - untouched) * 4;
    (result, u64::from(spent) * u64::from(INSTRUCTIONS_PER_TICK), stack)
}

/// Runs `call` and prints `name`, its instructions and the bytes of stack it used, separated by tabs.
#[allow(dead_code, reason = "not everybody who measures has steps")]
pub(crate) fn step<T>(name: &str, call: impl FnMut() -> T) -> T {
    let (result, instructions, stack) = measured(call);
    hprintln!("{}\t{}\t{}", name, instructions, stack);
    result
}
