//! The one clock: the engine takes its time from `embassy-time`, and so does what waits here.

use embassy_time::{Duration, Instant};

/// Milliseconds since some start.
pub(crate) fn now_ms() -> u64 {
    Instant::now().as_millis()
}

/// Time until the clock shows `until_ms`; a day at most, so that the arithmetic of ticks cannot overflow. Who
/// waits asks again.
pub(crate) fn left(until_ms: u64) -> Duration {
    const DAY_MS: u64 = 24 * 60 * 60 * 1000;
    Duration::from_millis(until_ms.saturating_sub(now_ms()).min(DAY_MS))
}
