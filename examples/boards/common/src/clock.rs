//! The clock: `embassy-time` on the core's own timer (SysTick), which every Cortex-M has.

use core::cell::{Cell, RefCell};
use core::task::Waker;

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use critical_section::{CriticalSection, Mutex};
use embassy_time_driver::{Driver, TICK_HZ};
use embassy_time_queue_utils::Queue;

struct SysTickDriver {
    ticks: Mutex<Cell<u64>>,
    next: Mutex<Cell<u64>>,
    queue: Mutex<RefCell<Queue>>,
}

embassy_time_driver::time_driver_impl!(static DRIVER: SysTickDriver = SysTickDriver {
    ticks: Mutex::new(Cell::new(0)),
    next: Mutex::new(Cell::new(u64::MAX)),
    queue: Mutex::new(RefCell::new(Queue::new())),
});

impl SysTickDriver {
    /// Wakes who is due and finds out when the next one is.
    fn dispatch(&self, cs: CriticalSection<'_>) {
        let now = self.ticks.borrow(cs).get();
        let next = self.queue.borrow_ref_mut(cs).next_expiration(now);
        self.next.borrow(cs).set(next);
    }
}

impl Driver for SysTickDriver {
    fn now(&self) -> u64 {
        critical_section::with(|cs| self.ticks.borrow(cs).get())
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|cs| {
            if self.queue.borrow_ref_mut(cs).schedule_wake(at, waker) {
                self.dispatch(cs);
            }
        });
    }
}

#[cortex_m_rt::exception]
fn SysTick() {
    critical_section::with(|cs| {
        let ticks = DRIVER.ticks.borrow(cs);
        ticks.set(ticks.get().wrapping_add(1));
        if ticks.get() >= DRIVER.next.borrow(cs).get() {
            DRIVER.dispatch(cs);
        }
    });
}

/// Starts the clock; `core_hz` is the core's frequency.
pub fn start(mut timer: SYST, core_hz: u32) {
    #[allow(clippy::cast_possible_truncation, reason = "a thousand, or what the firmware chose instead")]
    const TICKS_A_SECOND: u32 = TICK_HZ as u32;
    timer.set_clock_source(SystClkSource::Core);
    timer.set_reload(core_hz / TICKS_A_SECOND - 1);
    timer.clear_current();
    timer.enable_counter();
    timer.enable_interrupt();
}
