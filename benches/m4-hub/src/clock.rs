//! A clock that stands still while something runs and leaps to where somebody waits for; and what measures.

use core::cell::Cell;
use critical_section::Mutex;

/// Free-running 25 MHz counter of the board's FPGA (MPS2 technical reference manual, FPGAIO COUNTER). The emulator
/// runs with `-icount shift=0`: one nanosecond an instruction.
const COUNTER: *const u32 = 0x4002_8018 as *const u32;
const INSTRUCTIONS_PER_TICK: u32 = 40;

static NOW_MS: Mutex<Cell<u32>> = Mutex::new(Cell::new(0));
/// Ticks that the service took.
static ELSEWHERE: Mutex<Cell<u32>> = Mutex::new(Cell::new(0));

fn ticks() -> u32 {
    // SAFETY: a read-only device register of the one board this runs on.
    unsafe { COUNTER.read_volatile() }
}

/// What the clock shows.
pub(crate) fn now_ms() -> u32 {
    critical_section::with(|cs| NOW_MS.borrow(cs).get())
}

/// Lets time pass.
pub(crate) fn leap_to(ms: u32) {
    critical_section::with(|cs| NOW_MS.borrow(cs).set(ms.max(NOW_MS.borrow(cs).get())));
}

/// Runs what is not the device's: it is not counted.
pub(crate) fn elsewhere<T>(call: impl FnOnce() -> T) -> T {
    let before = ticks();
    let result = call();
    let spent = ticks().wrapping_sub(before);
    critical_section::with(|cs| ELSEWHERE.borrow(cs).set(ELSEWHERE.borrow(cs).get().wrapping_add(spent)));
    result
}

/// Instructions of the device alone. Each visit to the service is exact to 40 instructions, and right on average.
pub(crate) fn instructions(call: impl FnOnce()) -> u32 {
    critical_section::with(|cs| ELSEWHERE.borrow(cs).set(0));
    let before = ticks();
    call();
    let spent = ticks().wrapping_sub(before);
    spent.saturating_sub(critical_section::with(|cs| ELSEWHERE.borrow(cs).get())) * INSTRUCTIONS_PER_TICK
}

const PAINT: u32 = 0x5AFE_57AC;
const PAINTED_WORDS: usize = 64 * 1024;
/// Words left alone right below the frame: the painting loop's own.
const MARGIN_WORDS: usize = 32;

/// Keeps the locals of `call` out of the measuring frame, which is not counted.
#[inline(never)]
fn in_own_frame(call: &mut impl FnMut()) {
    call();
}

/// Bytes of stack that `call` used.
#[inline(never)]
pub(crate) fn stack(mut call: impl FnMut()) -> usize {
    let frame = cortex_m::register::msp::read() as *mut u32;
    let bottom = frame.wrapping_sub(MARGIN_WORDS + PAINTED_WORDS);
    for i in 0..PAINTED_WORDS {
        // SAFETY: memory between the statics and this frame, unused until `call` runs: the program runs on the main
        // stack only, which has what 4 MiB leave beside a few KiB of statics.
        unsafe { bottom.wrapping_add(i).write_volatile(PAINT) };
    }
    in_own_frame(&mut call);
    // SAFETY: as above, reading back what was painted.
    let untouched = (0..PAINTED_WORDS)
        .take_while(|i| unsafe { bottom.wrapping_add(*i).read_volatile() } == PAINT)
        .count();
    (PAINTED_WORDS + MARGIN_WORDS - untouched) * 4
}
