//! Which desired properties count: after a connect the whole twin, then changes without a gap.

use azure_iot_common::Backoff;

/// Time limits of twin requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Timing {
    /// How long to wait for an answer, in milliseconds.
    pub answer_ms: u32,
    /// Waiting times before the twin is asked for again.
    pub backoff: Backoff,
}

impl Default for Timing {
    /// 60 s for an answer, as Microsoft's clients; [`Backoff::DEFAULT`].
    fn default() -> Self {
        Self { answer_ms: 60_000, backoff: Backoff::DEFAULT }
    }
}

/// What is to be done with a document that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Step {
    /// Use it.
    Apply,
    /// Leave it: it is old, or the whole twin is on its way and has it.
    Drop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The whole twin is wanted, not before this time.
    Wanted { from_ms: u64 },
    /// It was asked for under this id; no answer by then is a fault.
    Asked { request: u32, until_ms: u64 },
    /// Up to date; or, without a base, as far as changes tell.
    Current,
}

/// Keeps track of the version of the desired properties.
///
/// Changes made while the device was away are not sent, and a change may get lost: after every connect, and
/// when a version is missing, the whole twin has to be fetched; until then changes are dropped, for the twin
/// is going to have them. If it cannot be used, changes count as they come.
#[derive(Clone, Debug)]
pub struct Tracker {
    timing: Timing,
    state: State,
    /// The whole twin could not be used, or did not tell its version.
    without_base: bool,
    /// Version of what was applied.
    version: u64,
    /// Highest version seen, applied or not.
    seen: u64,
    /// Failed tries in a row.
    attempts: u32,
}

impl Tracker {
    /// A tracker that wants the whole twin now.
    #[must_use]
    pub fn new(timing: Timing) -> Self {
        Self {
            timing,
            state: State::Wanted { from_ms: 0 },
            without_base: false,
            version: 0,
            seen: 0,
            attempts: 0,
        }
    }

    /// The version of the desired properties that were applied last, if any were.
    #[must_use]
    pub fn version(&self) -> Option<u64> {
        (self.state == State::Current && !self.without_base).then_some(self.version)
    }

    /// Whether to ask for the whole twin now; if so, call [`asked`](Self::asked). A request that has waited too
    /// long counts as failed. `random` spreads the tries of a fleet.
    pub fn wants(&mut self, now_ms: u64, random: u32) -> bool {
        if let State::Asked { until_ms, .. } = self.state
            && now_ms >= until_ms
        {
            self.failed(now_ms, None, random);
        }
        matches!(self.state, State::Wanted { from_ms } if now_ms >= from_ms)
    }

    /// Notes that the twin was asked for with this request id.
    pub fn asked(&mut self, request: u32, now_ms: u64) {
        let until_ms = now_ms.saturating_add(self.timing.answer_ms.into());
        self.state = State::Asked { request, until_ms };
    }

    /// Notes that the request could not be sent.
    pub fn not_asked(&mut self, now_ms: u64) {
        self.state = State::Wanted { from_ms: now_ms.saturating_add(self.timing.backoff.min_ms.into()) };
    }

    /// When to call [`wants`](Self::wants) next, if nothing comes before.
    #[must_use]
    pub fn deadline_ms(&self) -> Option<u64> {
        match self.state {
            State::Wanted { from_ms } => Some(from_ms),
            State::Asked { until_ms, .. } => Some(until_ms),
            State::Current => None,
        }
    }

    /// Whether an answer with this request id is the one waited for.
    #[must_use]
    pub fn is_expected(&self, request_id: u32) -> bool {
        matches!(self.state, State::Asked { request, .. } if request == request_id)
    }

    /// The whole twin came, with this version of the desired properties, if it tells.
    pub fn document(&mut self, version: Option<u64>) -> Step {
        self.attempts = 0;
        let Some(version) = version else {
            self.unusable();
            return Step::Apply;
        };
        self.without_base = false;
        self.version = version;
        self.state = if self.seen > version {
            // A change came in between that this document does not have.
            State::Wanted { from_ms: 0 }
        } else {
            State::Current
        };
        // A version that is never reached must not make this go on for ever.
        self.seen = version;
        Step::Apply
    }

    /// The request failed; it is repeated after a while, not before `retry_after_s` seconds.
    pub fn failed(&mut self, now_ms: u64, retry_after_s: Option<u32>, random: u32) {
        let delay = u64::from(self.timing.backoff.delay_ms(self.attempts, random));
        let floor = u64::from(retry_after_s.unwrap_or(0)) * 1000;
        self.attempts = self.attempts.saturating_add(1);
        self.state = State::Wanted { from_ms: now_ms.saturating_add(delay.max(floor)) };
    }

    /// The twin cannot be used (it is larger than the receive buffer, or malformed): it is not asked for again, and
    /// changes count from now on as they come.
    pub fn unusable(&mut self) {
        self.state = State::Current;
        self.without_base = true;
        self.version = self.seen;
    }

    /// Fetches the whole twin again.
    pub fn refresh(&mut self) {
        if !matches!(self.state, State::Asked { .. }) {
            self.state = State::Wanted { from_ms: 0 };
        }
    }

    /// A change of the desired properties came, with this version.
    pub fn change(&mut self, version: u64) -> Step {
        self.seen = self.seen.max(version);
        if version <= self.version || !(self.without_base || self.state == State::Current) {
            return Step::Drop;
        }
        let follows = version == self.version.saturating_add(1);
        if !follows && self.version != 0 {
            // One is missing. Perhaps the twin can be used by now.
            self.refresh();
        }
        if follows || self.without_base {
            self.version = version;
            return Step::Apply;
        }
        self.refresh();
        Step::Drop
    }
}
