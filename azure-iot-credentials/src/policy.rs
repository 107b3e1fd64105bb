//! When to renew. Time is an argument: the device needs no clock of its own, only some server's word for the time and
//! the milliseconds since then.

/// From when to when a certificate is valid, in seconds since 1970 UTC, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Validity {
    /// The first second.
    pub not_before: u64,
    /// The last second.
    pub not_after: u64,
}

impl Validity {
    /// Its length, in seconds.
    #[must_use]
    pub const fn life_s(&self) -> u64 {
        self.not_after.saturating_sub(self.not_before)
    }

    /// Whether the time is behind the last second.
    #[must_use]
    pub const fn has_ended(&self, now: u64) -> bool {
        now > self.not_after
    }
}

/// When to renew a certificate, and when to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Policy {
    /// Per cent of the certificate's life after which it is renewed, in the middle of a fleet.
    pub percent: u8,
    /// Per cent of the life over which the renewals of a fleet are spread, half of it before `percent` and half of it
    /// behind.
    pub spread_percent: u8,
    /// The shortest wait before another attempt, in seconds.
    pub min_retry_s: u32,
    /// The longest, in seconds; also a twentieth of the life at most, so that several attempts are left.
    pub max_retry_s: u32,
}

impl Policy {
    /// At 80 % of the life, as Azure's documentation advises, spread over 5 %; another attempt after a minute, then
    /// after twice as long each time, up to six hours.
    pub const DEFAULT: Self = Self { percent: 80, spread_percent: 5, min_retry_s: 60, max_retry_s: 21_600 };

    /// The time at which a certificate is due for renewal, in seconds since 1970 UTC. `random` spreads a fleet.
    #[must_use]
    pub fn due(&self, validity: Validity, random: u32) -> u64 {
        // In halves of a per cent of the life.
        let (percent, spread) =
            (2 * u128::from(self.percent.min(100)), u128::from(self.spread_percent.min(100)));
        let life = u128::from(validity.life_s());
        let first = life * percent.saturating_sub(spread) / 200;
        let spread = life * 2 * spread * u128::from(random) / (200 << 32);
        let after = (first + spread).min(life);
        validity.not_before.saturating_add(u64::try_from(after).unwrap_or(u64::MAX))
    }

    /// How long to wait after `attempts` failures in a row (the first one: 1), in seconds; at least what the service
    /// asked for.
    #[must_use]
    pub fn retry_s(&self, validity: Validity, attempts: u32, asked_s: Option<u32>, random: u32) -> u32 {
        let share = u32::try_from(validity.life_s() / 20).unwrap_or(u32::MAX);
        let longest = self.max_retry_s.min(share).max(1);
        let doubled = self.min_retry_s.saturating_mul(1 << attempts.saturating_sub(1).min(16));
        let base = doubled.clamp(1, longest);
        // Up to a quarter more, so that a fleet does not come back at once.
        let jitter = u64::from(base) * u64::from(random) / (4 << 32);
        base.saturating_add(u32::try_from(jitter).unwrap_or(0)).max(asked_s.unwrap_or(0))
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The time by a server's word, for a device without a clock.
///
/// Sources, best first: SNTP (`azure_iot_tls::sntp`), the `Date` of an HTTPS answer (`dps_client::https`), and the
/// beginning of the validity of a certificate that was just issued, which is not later than now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerTime {
    /// Seconds since 1970 UTC, and the milliseconds of the device's own counting at which they were so.
    known: Option<(u64, u64)>,
}

impl ServerTime {
    /// Not known yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { known: None }
    }

    /// It is `unix_seconds` now, at `uptime_ms` of the device's own counting.
    pub fn set(&mut self, unix_seconds: u64, uptime_ms: u64) {
        self.known = Some((unix_seconds, uptime_ms));
    }

    /// It is not earlier than `unix_seconds` now.
    pub fn at_least(&mut self, unix_seconds: u64, uptime_ms: u64) {
        if self.now(uptime_ms).is_none_or(|now| now < unix_seconds) {
            self.set(unix_seconds, uptime_ms);
        }
    }

    /// The time, in seconds since 1970 UTC, if any server has told.
    #[must_use]
    pub fn now(&self, uptime_ms: u64) -> Option<u64> {
        let (seconds, then) = self.known?;
        Some(seconds.saturating_add(uptime_ms.saturating_sub(then) / 1000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MONTH: Validity = Validity { not_before: 1_000_000, not_after: 1_000_000 + 30 * 86_400 };

    #[test]
    fn at_four_fifths_of_the_life() {
        let policy = Policy::DEFAULT;
        let part = |random| (policy.due(MONTH, random) - MONTH.not_before) * 1000 / MONTH.life_s();
        assert_eq!((part(0), part(u32::MAX / 2), part(u32::MAX)), (775, 799, 824));
        let exact = Policy { spread_percent: 0, ..policy };
        assert_eq!(exact.due(MONTH, 7), MONTH.not_before + 24 * 86_400);
        // A life of ten seconds.
        assert_eq!(exact.due(Validity { not_before: 5, not_after: 15 }, 9), 13);
    }

    #[test]
    fn attempts_become_rarer_and_there_are_always_some_left() {
        let policy = Policy::DEFAULT;
        let wait = |attempts| policy.retry_s(MONTH, attempts, None, 0);
        assert_eq!([wait(1), wait(2), wait(3), wait(40)], [60, 120, 240, 21_600]);
        assert_eq!(policy.retry_s(MONTH, 1, Some(500), 0), 500);
        assert_eq!(policy.retry_s(MONTH, 1, None, u32::MAX), 74);
        let short = Validity { not_before: 0, not_after: 100 };
        assert_eq!(policy.retry_s(short, 9, None, 0), 5);
        assert_eq!(policy.retry_s(Validity { not_before: 9, not_after: 1 }, 0, None, 0), 1);
    }

    #[test]
    fn a_servers_word_for_the_time() {
        let mut time = ServerTime::new();
        assert_eq!(time.now(5), None);
        time.at_least(100, 1000);
        assert_eq!((time.now(1999), time.now(2000), time.now(0)), (Some(100), Some(101), Some(100)));
        time.at_least(90, 2000);
        assert_eq!(time.now(2000), Some(101));
        time.set(90, 2000);
        assert_eq!(time.now(3000), Some(91));
    }

    proptest! {
        #[test]
        fn due_within_the_life(from: u64, life: u64, percent: u8, spread: u8, random: u32) {
            let validity = Validity { not_before: from, not_after: from.saturating_add(life) };
            let policy = Policy { percent, spread_percent: spread, ..Policy::DEFAULT };
            let due = policy.due(validity, random);
            prop_assert!(due >= validity.not_before && due <= validity.not_after);
            prop_assert!(policy.retry_s(validity, random, None, random) >= 1);
        }
    }
}
