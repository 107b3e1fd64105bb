//! Virtual time: when every task waits, the clock jumps to the next moment somebody waits for.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

struct Clock(Mutex<Inner>);

struct Inner {
    now: u64,
    waiting: Vec<(u64, Waker)>,
}

embassy_time_driver::time_driver_impl!(static CLOCK: Clock = Clock(Mutex::new(Inner { now: 0, waiting: Vec::new() })));

impl Clock {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Jumps to the next moment somebody waits for; `false` if nobody does.
    fn jump(&self) -> bool {
        let mut inner = self.inner();
        let Some(next) = inner.waiting.iter().map(|(at, _)| *at).min() else { return false };
        inner.now = inner.now.max(next);
        let now = inner.now;
        let due: Vec<_> = inner.waiting.extract_if(.., |(at, _)| *at <= now).collect();
        drop(inner);
        for (_, waker) in due {
            waker.wake();
        }
        true
    }
}

impl embassy_time_driver::Driver for Clock {
    fn now(&self) -> u64 {
        self.inner().now
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        let mut inner = self.inner();
        if at <= inner.now {
            drop(inner);
            return waker.wake_by_ref();
        }
        // A future that waits anew each time it is polled needs one place only.
        if !inner.waiting.iter().any(|(known, other)| *known == at && other.will_wake(waker)) {
            inner.waiting.push((at, waker.clone()));
        }
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs a future, moving the clock on whenever it waits.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let flag = Arc::new(Flag(AtomicBool::new(true)));
    let waker = Waker::from(flag.clone());
    let mut future = pin!(future);
    loop {
        while flag.0.swap(false, Ordering::Relaxed) {
            if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                CLOCK.inner().waiting.clear();
                return value;
            }
        }
        assert!(CLOCK.jump(), "everybody waits, and nobody for a time");
    }
}
