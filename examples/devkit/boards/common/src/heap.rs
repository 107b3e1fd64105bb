//! The heap of the TLS library; the rest of the firmware has no use for one. Counts what is used, and the most there
//! was.

use core::alloc::{GlobalAlloc, Layout};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use embedded_alloc::LlffHeap;

/// Bytes of the heap: one TLS session with a record of 16 KiB, during its handshake (36 KiB), and a fifth more.
pub const SIZE: usize = 44 * 1024;

struct Counting(LlffHeap);

#[global_allocator]
static HEAP: Counting = Counting(LlffHeap::empty());

/// The most bytes that were in use at once; measuring programs know it by this name.
#[unsafe(export_name = "heap_peak")]
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: passes every call to an allocator that keeps the contract; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc`.
        let memory = unsafe { self.0.alloc(layout) };
        PEAK.fetch_max(self.0.used(), Ordering::Relaxed);
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { self.0.dealloc(memory, layout) }
    }
}

/// Gives the heap its memory; to be called once, before the first allocation. Later calls do nothing.
pub fn start() {
    static STARTED: AtomicBool = AtomicBool::new(false);
    static mut MEMORY: [MaybeUninit<u8>; SIZE] = [MaybeUninit::uninit(); SIZE];
    if !STARTED.swap(true, Ordering::Relaxed) {
        // SAFETY: only the first call comes here, so the memory is handed out once; nothing else names it.
        unsafe { HEAP.0.init(&raw mut MEMORY as usize, SIZE) }
    }
}

/// Bytes in use now.
#[must_use]
pub fn used() -> usize {
    HEAP.0.used()
}

/// The most bytes that were in use at once.
#[must_use]
pub fn peak() -> usize {
    PEAK.load(Ordering::Relaxed)
}
