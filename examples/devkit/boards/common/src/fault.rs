//! What happens when the program fails: the cause goes into a [`Record`] that the reset leaves alone, and the board
//! starts anew. The application reports the cause after the restart.

use core::arch::naked_asm;
use core::cell::RefCell;
use core::fmt;
use core::mem::MaybeUninit;
use core::panic::PanicInfo;
use core::slice;

use cortex_m::peripheral::SCB;
use cortex_m::register::msp;
use critical_section::Mutex;

use crate::backtrace::{Backtrace, Code};
use crate::crash::{MAX_LEN, Record};

#[unsafe(link_section = ".uninit.CRASH")]
static mut RECORD: MaybeUninit<Record> = MaybeUninit::uninit();

/// The crash before this start.
static LAST: Mutex<RefCell<Record>> = Mutex::new(RefCell::new(Record::empty()));

/// The record in memory.
fn retained_record() -> *mut Record {
    (&raw mut RECORD).cast()
}

/// Reads the cause of the last reset from the record; to be called once after each reset, before anything can fail.
///
/// The record stays until [`forget`], so that a reset before the report does not lose it.
pub fn start() {
    critical_section::with(|cs| {
        // SAFETY: interrupts are off and this core is the only one, so nothing else uses the record. Any bits are a
        // valid value, and the volatile read keeps the compiler from knowing that they were never written in this
        // run.
        *LAST.borrow_ref_mut(cs) = unsafe { retained_record().read_volatile() };
    });
}

/// Forgets the cause: it has been reported.
pub fn forget() {
    critical_section::with(|cs| {
        LAST.borrow_ref_mut(cs).clear();
        // SAFETY: interrupts are off and this core is the only one, so nothing else uses the record.
        unsafe { retained_record().write_volatile(Record::empty()) };
    });
}

/// Copies the cause of the last crash to `out` and gives the text; `None` if the last run did not crash.
pub fn last(out: &mut [u8; MAX_LEN]) -> Option<&str> {
    critical_section::with(|cs| {
        let record = LAST.borrow_ref(cs);
        let text = record.text()?;
        let out = out.get_mut(..text.len())?;
        out.copy_from_slice(text.as_bytes());
        core::str::from_utf8(out).ok()
    })
}

/// Keeps the cause and resets the board.
pub fn crash(cause: fmt::Arguments<'_>) -> ! {
    cortex_m::interrupt::disable();
    let mut record = Record::empty();
    record.keep(cause);
    // SAFETY: interrupts are off and the program goes no further, so nothing else uses the record.
    unsafe { retained_record().write_volatile(record) };
    SCB::sys_reset()
}

/// The record keeps where the panic came from, not its message: see [`backtrace`](crate::backtrace).
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    crash(format_args!("panic at{}", backtrace(msp::read() as usize)))
}

/// A fault of the processor. The stack pointer may be what is wrong: the report goes on below what the processor
/// pushed only if there is room, and begins with a fresh stack otherwise. What it tells lies on the stack, so it must
/// not write there.
#[unsafe(naked)]
#[unsafe(export_name = "HardFault")]
unsafe extern "C" fn hard_fault() -> ! {
    naked_asm!(
        "mrs r0, msp",
        "ldr r1, =_stack_end",
        "add.w r1, r1, #{room}",
        "ldr r2, =_stack_start",
        "cmp r0, r1",
        "blo 1f",
        "cmp r0, r2",
        "bls 2f",
        "1:",
        "msr msp, r2",
        "2:",
        "b {report}",
        ".ltorg",
        room = const REPORT_STACK,
        report = sym report,
    )
}

/// Bytes of stack that the report may take.
const REPORT_STACK: usize = 2048;

unsafe extern "C" {
    static _stack_start: u32;
    static _stack_end: u32;
    static __stext: u8;
    static __etext: u8;
}

/// Says which fault it was, and where, as far as the processor records it.
unsafe extern "C" fn report(stack: usize) -> ! {
    const HFSR: *const u32 = 0xE000_ED2C as *const u32;
    const CFSR: *const u32 = 0xE000_ED28 as *const u32;
    // SAFETY: registers of every Cortex-M4 that are read without effect (Armv7-M ARM B3.2.15, B3.2.16).
    let (hard, configurable) = unsafe { (HFSR.read_volatile(), CFSR.read_volatile()) };
    if stack < &raw const _stack_end as usize {
        crash(format_args!("stack overflow, cfsr {configurable:#x}"));
    }
    // The processor pushed r0-r3, r12, lr, pc, psr.
    let pc = words(stack).nth(6).unwrap_or_default();
    crash(format_args!("hard fault at {pc:#x}, cfsr {configurable:#x}, hfsr {hard:#x};{}", backtrace(stack)))
}

/// The words of the stack from this address on; none if it is not in the stack.
fn words(from: usize) -> impl Iterator<Item = u32> {
    let (low, high) = (&raw const _stack_end as usize, &raw const _stack_start as usize);
    let from = if from < low || !from.is_multiple_of(4) { high } else { from };
    // SAFETY: aligned words of the stack.
    (from..high).step_by(4).map(|address| unsafe { (address as *const u32).read_volatile() })
}

/// The calls found on the stack from this address on.
fn backtrace(stack: usize) -> Backtrace {
    let (start, end) = (&raw const __stext, &raw const __etext);
    // SAFETY: the program's instructions, which nothing changes.
    let bytes = unsafe { slice::from_raw_parts(start, end as usize - start as usize) };
    Backtrace::new(&Code { start: start as u32, bytes }, words(stack))
}
