//! The heap, which counts for each side what it holds and what it held at most.

use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use embedded_alloc::LlffHeap;

const SIZE: usize = 300 * 1024;

/// Whose turn it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Side {
    Client = 0,
    Server = 1,
}

struct Counting {
    heap: LlffHeap,
    side: AtomicUsize,
    used: [AtomicUsize; 2],
    peak: [AtomicUsize; 2],
}

#[global_allocator]
static HEAP: Counting = Counting {
    heap: LlffHeap::empty(),
    side: AtomicUsize::new(0),
    used: [AtomicUsize::new(0), AtomicUsize::new(0)],
    peak: [AtomicUsize::new(0), AtomicUsize::new(0)],
};

// SAFETY: hands everything on to the heap below.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let side = self.side.load(Relaxed);
        let used = self.used[side].load(Relaxed) + layout.size();
        self.used[side].store(used, Relaxed);
        self.peak[side].fetch_max(used, Relaxed);
        // SAFETY: the caller's.
        unsafe { self.heap.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let used = &self.used[self.side.load(Relaxed)];
        used.store(used.load(Relaxed).saturating_sub(layout.size()), Relaxed);
        // SAFETY: the caller's.
        unsafe { self.heap.dealloc(pointer, layout) }
    }
}

/// Gives the heap its memory; to be called once, first.
pub(crate) fn start() {
    static mut MEMORY: [u8; SIZE] = [0; SIZE];
    // SAFETY: called once, before anything is allocated; the memory is used for nothing else.
    unsafe { HEAP.heap.init(core::ptr::addr_of_mut!(MEMORY) as usize, SIZE) }
}

pub(crate) fn turn_of(side: Side) {
    HEAP.side.store(side as usize, Relaxed);
}

pub(crate) fn used(side: Side) -> usize {
    HEAP.used[side as usize].load(Relaxed)
}

pub(crate) fn peak(side: Side) -> usize {
    HEAP.peak[side as usize].load(Relaxed)
}

pub(crate) fn forget_peak() {
    for (peak, used) in HEAP.peak.iter().zip(&HEAP.used) {
        peak.store(used.load(Relaxed), Relaxed);
    }
}
