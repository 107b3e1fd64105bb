//! What happens when the program fails: the cause goes into a [`Record`] that the reset leaves alone, and the board starts
//! anew. The application reports the cause after the restart.

use core::arch::naked_asm;
use core::cell::RefCell;
use core::fmt;
use core::mem::MaybeUninit;
use core::panic::PanicInfo;

use cortex_m::peripheral::SCB;
use critical_section::Mutex;

use crate::crash::{MAX_LEN, Record};

#[unsafe(link_section = ".uninit.CRASH")]
static mut KEPT: MaybeUninit<Record> = MaybeUninit::uninit();

/// The crash before this start.
static LAST: Mutex<RefCell<Record>> = Mutex::new(RefCell::new(Record::empty()));

/// The record in memory.
fn kept() -> *mut Record {
    (&raw mut KEPT).cast()
}

/// Reads the cause of the last reset from the record; to be called once after each reset, before anything can fail.
///
/// The record stays until [`forget`], so that a reset before the report does not lose it.
pub fn start() {
    critical_section::with(|cs| {
        // SAFETY: interrupts are off and this core is the only one, so nothing else uses the record. Any bits are a valid
        // value, and the volatile read keeps the compiler from knowing that they were never written in this run.
        *LAST.borrow_ref_mut(cs) = unsafe { kept().read_volatile() };
    });
}

/// Forgets the cause: it has been reported.
pub fn forget() {
    critical_section::with(|cs| {
        LAST.borrow_ref_mut(cs).clear();
        // SAFETY: interrupts are off and this core is the only one, so nothing else uses the record.
        unsafe { kept().write_volatile(Record::empty()) };
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
    unsafe { kept().write_volatile(record) };
    SCB::sys_reset()
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    match info.location() {
        Some(at) => crash(format_args!("panic at {}:{}: {}", at.file(), at.line(), info.message())),
        None => crash(format_args!("panic: {}", info.message())),
    }
}

/// A fault of the processor. The stack pointer may be what is wrong, so the handler begins with a fresh stack.
#[unsafe(naked)]
#[unsafe(export_name = "HardFault")]
unsafe extern "C" fn hard_fault() -> ! {
    naked_asm!(
        "mrs r0, msp",
        "ldr r1, =_stack_start",
        "msr msp, r1",
        "b {report}",
        ".ltorg",
        report = sym report,
    )
}

/// Says which fault it was, and where, as far as the processor tells.
unsafe extern "C" fn report(stack: usize) -> ! {
    unsafe extern "C" {
        static _stack_start: u32;
        static _stack_end: u32;
    }
    const HFSR: *const u32 = 0xE000_ED2C as *const u32;
    const CFSR: *const u32 = 0xE000_ED28 as *const u32;
    // SAFETY: registers of every Cortex-M4 that are read without effect (Armv7-M ARM B3.2.15, B3.2.16).
    let (hard, configurable) = unsafe { (HFSR.read_volatile(), CFSR.read_volatile()) };
    let (low, high) = (&raw const _stack_end as usize, &raw const _stack_start as usize);
    if stack < low {
        crash(format_args!("stack overflow, cfsr {configurable:#010x}"));
    }
    // The processor pushed r0-r3, r12, lr, pc, psr.
    let pc = if stack.is_multiple_of(4) && stack + 32 <= high {
        // SAFETY: an aligned word within the stack.
        unsafe { ((stack + 24) as *const u32).read_volatile() }
    } else {
        0
    };
    crash(format_args!("hard fault at {pc:#010x}, cfsr {configurable:#010x}, hfsr {hard:#010x}"))
}
