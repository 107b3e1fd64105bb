//! The messages that a hub takes in a day.

use std::sync::{Mutex, PoisonError};

use super::clock;
use super::config::Tier;

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// Counts the messages of the present day (UTC).
#[derive(Debug, Default)]
pub(super) struct Quota {
    today: Mutex<(u64, u64)>,
}

impl Quota {
    /// Counts a message of this size; `false` if the day's quota is used up.
    pub(super) fn take(&self, tier: Tier, size: usize) -> bool {
        let Some((allowed, unit)) = tier.quota() else {
            return true;
        };
        let day = clock::unix_time().as_secs() / DAY_SECONDS;
        let mut today = self.today.lock().unwrap_or_else(PoisonError::into_inner);
        if today.0 != day {
            *today = (day, 0);
        }
        today.1 += size.div_ceil(unit).max(1) as u64;
        today.1 <= allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_the_tier_has() {
        let quota = Quota::default();
        assert!((0..100_000).all(|_| quota.take(Tier::Unlimited, 10_000)));
        assert!((0..4_000).all(|_| quota.take(Tier::Free, 513)), "each counts twice");
        assert!(!quota.take(Tier::Free, 0));
    }
}
