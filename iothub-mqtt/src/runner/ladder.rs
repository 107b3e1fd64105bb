//! When to connect to the hub again, and when to ask the provisioning service instead.

use crate::Error;
use azure_iot_common::Backoff;

/// The rules for a hub that cannot be reached, or does not want the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Policy {
    /// Waiting times before connecting again.
    pub backoff: Backoff,
    /// A connection was good, and the waiting times start anew, once its subscriptions stood for so many
    /// milliseconds. Two devices with one identity, which push each other out, thus do not do it for ever faster.
    pub good_ms: u32,
    /// Register again after so many refusals (wrong credential, unknown device) in a row.
    pub refusals: u32,
    /// Register again after so many failures of any kind in a row...
    pub failures: u32,
    /// ...and at the earliest after so many milliseconds of them, so that an outage of a city's network does
    /// not end in a storm of registrations.
    pub stay_ms: u32,
}

impl Policy {
    /// The waiting times Microsoft recommends; good after 30 s; registers again after 3 refusals, or after 10
    /// failures in 15 minutes or more.
    pub const DEFAULT: Self =
        Self { backoff: Backoff::DEFAULT, good_ms: 30_000, refusals: 3, failures: 10, stay_ms: 900_000 };
}

impl Default for Policy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What to do after a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Next {
    /// Connect to the hub again.
    Reconnect,
    /// Register again, the hub may have changed.
    Register,
}

/// The ladder of waiting times at the hub. Pure: time and random numbers are arguments.
#[derive(Clone, Debug)]
pub struct Ladder {
    policy: Policy,
    /// Connections in a row that were not good; the rung.
    attempts: u32,
    refusals: u32,
    failures: u32,
    /// When the first of these failures was.
    failing_since_ms: Option<u64>,
    /// Since when the present connection's subscriptions stand.
    connected_ms: Option<u64>,
}

impl Ladder {
    /// The lowest rung.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self { policy, attempts: 0, refusals: 0, failures: 0, failing_since_ms: None, connected_ms: None }
    }

    /// Failed connections in a row.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The subscriptions stand.
    pub fn connected(&mut self, now_ms: u64) {
        self.connected_ms = Some(now_ms);
    }

    /// The connection ended, or was not made; `error` is why, if it was the hub's doing. Gives what to do after
    /// how many milliseconds.
    pub fn ended(&mut self, error: Option<&Error>, now_ms: u64, random: u32) -> (Next, u32) {
        let good = self
            .connected_ms
            .take()
            .is_some_and(|since| now_ms.saturating_sub(since) >= u64::from(self.policy.good_ms));
        if good {
            *self = Self::new(self.policy);
        }
        let delay = self.policy.backoff.delay_ms(self.attempts, random);
        self.attempts = self.attempts.saturating_add(1);
        self.failures = self.failures.saturating_add(1);
        if error.is_some_and(Error::is_refusal) {
            self.refusals = self.refusals.saturating_add(1);
        }
        let since = *self.failing_since_ms.get_or_insert(now_ms);
        let stayed = now_ms.saturating_sub(since) >= u64::from(self.policy.stay_ms);
        let register =
            self.refusals >= self.policy.refusals || (self.failures >= self.policy.failures && stayed);
        if register {
            // The waiting times go on: registering does not make the hub any better.
            (self.refusals, self.failures, self.failing_since_ms) = (0, 0, None);
        }
        (if register { Next::Register } else { Next::Reconnect }, delay)
    }
}
