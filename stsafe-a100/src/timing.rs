//! How long the driver waits for the chip: the chip does not acknowledge its address while it works.

use crate::code::Code;

/// How long one command may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Wait {
    /// Milliseconds between the command and the first attempt to read the response.
    pub first_ms: u16,
    /// Milliseconds spent polling, at most: once for a command the chip does not take, once for its response.
    pub limit_ms: u16,
}

/// The wait table and how often to poll.
///
/// The worst case of one exchange is twice its `limit_ms` plus its `first_ms` plus the transfers themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Timing {
    waits: [Wait; 32],
    /// Milliseconds between two attempts.
    pub poll_ms: u16,
    /// Milliseconds after a wake-up before the first attempt.
    pub wake_ms: u16,
}

/// ST's middleware gives up after this long.
const LIMIT_MS: u16 = 2500;

impl Timing {
    /// The times of ST's middleware for the A100; reads and updates as short as the original AZ3166 firmware has them,
    /// since polling covers the rest.
    pub const A100: Self = Self::all(LIMIT_MS, 5)
        .with(Code::Echo, 5)
        .with(Code::Reset, 30)
        .with(Code::GenerateRandom, 15)
        .with(Code::StartSession, 25)
        .with(Code::Decrement, 15)
        .with(Code::Read, 5)
        .with(Code::Update, 5)
        .with(Code::Delete, 15)
        .with(Code::Hibernate, 50)
        .with(Code::WrapLocalEnvelope, 40)
        .with(Code::UnwrapLocalEnvelope, 45)
        .with(Code::PutAttribute, 15)
        .with(Code::GenerateKey, 110)
        .with(Code::Query, 5)
        .with(Code::GetSignature, 100)
        .with(Code::GenerateSignature, 80)
        .with(Code::VerifySignature, 150)
        .with(Code::EstablishKey, 170)
        .with(Code::VerifyPassword, 15);

    /// The times of ST's middleware for the A110; where it waits for nothing, a millisecond.
    pub const A110: Self = Self::A100
        .with(Code::Echo, 1)
        .with(Code::Read, 1)
        .with(Code::Update, 15)
        .with(Code::WrapLocalEnvelope, 125)
        .with(Code::UnwrapLocalEnvelope, 150)
        .with(Code::GenerateKey, 160)
        .with(Code::Query, 1)
        .with(Code::EstablishKey, 260);

    /// No waiting before the first attempt: for a simulated chip, or one that shall be polled at once.
    pub const POLL_AT_ONCE: Self = Self::all(LIMIT_MS, 0);

    const fn all(limit_ms: u16, first_ms: u16) -> Self {
        Self { waits: [Wait { first_ms, limit_ms }; 32], poll_ms: 5, wake_ms: 10 }
    }

    const fn with(mut self, code: Code, first_ms: u16) -> Self {
        self.set(code, Wait { first_ms, limit_ms: LIMIT_MS });
        self
    }

    /// The times of one command.
    #[must_use]
    pub fn wait(&self, code: Code) -> Wait {
        // A code is below 32, so the fallback is never taken.
        self.waits.get(usize::from(code.bits())).copied().unwrap_or(Wait { first_ms: 0, limit_ms: LIMIT_MS })
    }

    /// Overrides the times of one command.
    #[allow(clippy::indexing_slicing)] // a code is below 32; `get_mut` is not const
    pub const fn set(&mut self, code: Code, wait: Wait) {
        self.waits[code.bits() as usize] = wait;
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self::A100
    }
}

/// The attempts left within a time limit.
#[derive(Debug)]
pub(crate) struct Polls {
    left_ms: u16,
    step_ms: u16,
}

impl Polls {
    pub(crate) fn new(timing: &Timing, code: Code) -> Self {
        Self { left_ms: timing.wait(code).limit_ms, step_ms: timing.poll_ms.max(1) }
    }

    /// Milliseconds to wait before the next attempt; `None` when the time is up.
    pub(crate) fn next(&mut self) -> Option<u32> {
        let left = self.left_ms.checked_sub(self.step_ms)?;
        self.left_ms = left;
        Some(u32::from(self.step_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::{Polls, Timing, Wait};
    use crate::code::Code;

    #[test]
    fn every_command_has_a_wait_and_can_be_overridden() {
        let mut timing = Timing::default();
        for code in Code::ALL {
            let Wait { first_ms, limit_ms } = timing.wait(code);
            assert!((5..=170).contains(&first_ms), "{code:?}");
            assert!(limit_ms > first_ms);
            timing.set(code, Wait { first_ms: 1, limit_ms: 2 });
            assert_eq!(timing.wait(code), Wait { first_ms: 1, limit_ms: 2 });
        }
    }

    #[test]
    fn polling_ends() {
        let mut timing = Timing::POLL_AT_ONCE;
        for poll_ms in [0, 1, 7, 3000] {
            timing.poll_ms = poll_ms;
            let mut polls = Polls::new(&timing, Code::Echo);
            let spent: u32 = core::iter::from_fn(|| polls.next()).sum();
            assert!(spent <= 2500);
        }
    }
}
