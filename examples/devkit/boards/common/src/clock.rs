//! The clock: `embassy-time` on the core's own timer (SysTick), which every Cortex-M has.
//!
//! An interrupt that is late by more than a tick swallows ticks. A board with a free-running counter at the core's
//! frequency gives it to [`start_with`], and no time is lost.

use core::cell::{Cell, RefCell};
use core::task::Waker;

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use critical_section::{CriticalSection, Mutex};
use embassy_time_driver::{Driver, TICK_HZ};
use embassy_time_queue_utils::Queue;

/// A free-running counter.
#[derive(Clone, Copy)]
struct Counter {
    read: fn() -> u32,
    /// Where it stood at the last tick.
    last: u32,
    per_tick: u32,
}

impl Counter {
    /// Ticks that have passed since it was asked the last time.
    fn passed(&mut self) -> u32 {
        let ticks = (self.read)().wrapping_sub(self.last) / self.per_tick;
        self.last = self.last.wrapping_add(ticks.wrapping_mul(self.per_tick));
        ticks
    }
}

struct SysTickDriver {
    ticks: Mutex<Cell<u64>>,
    counter: Mutex<Cell<Option<Counter>>>,
    next: Mutex<Cell<u64>>,
    queue: Mutex<RefCell<Queue>>,
}

embassy_time_driver::time_driver_impl!(static DRIVER: SysTickDriver = SysTickDriver {
    ticks: Mutex::new(Cell::new(0)),
    counter: Mutex::new(Cell::new(None)),
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
        let counter = DRIVER.counter.borrow(cs);
        let passed = match counter.get() {
            None => 1,
            Some(mut running) => {
                let passed = running.passed();
                counter.set(Some(running));
                passed
            }
        };
        let ticks = DRIVER.ticks.borrow(cs);
        ticks.set(ticks.get().wrapping_add(passed.into()));
        if ticks.get() >= DRIVER.next.borrow(cs).get() {
            DRIVER.dispatch(cs);
        }
    });
}

/// Core cycles in a tick.
fn per_tick(core_hz: u32) -> u32 {
    #[allow(clippy::cast_possible_truncation, reason = "a thousand, or what the firmware chose instead")]
    const TICKS_A_SECOND: u32 = TICK_HZ as u32;
    core_hz / TICKS_A_SECOND
}

/// Starts the clock; `core_hz` is the core's frequency.
pub fn start(mut timer: SYST, core_hz: u32) {
    timer.set_clock_source(SystClkSource::Core);
    timer.set_reload(per_tick(core_hz) - 1);
    timer.clear_current();
    timer.enable_counter();
    timer.enable_interrupt();
}

/// As [`start`], with a counter that runs at `core_hz` and through all 32 bits.
pub fn start_with(timer: SYST, core_hz: u32, read: fn() -> u32) {
    let counter = Counter { read, last: read(), per_tick: per_tick(core_hz) };
    critical_section::with(|cs| DRIVER.counter.borrow(cs).set(Some(counter)));
    start(timer, core_hz);
}
