//! What a device without a clock keeps over a reset: the last time that was known, and a seed for the next run.
//!
//! Plain SNTP can be forged, and the one thing that bounds a forgery is the time that is certainly over: no answer
//! before it is believed. That is when the firmware was built, and on a board whose memory survives a reset the last
//! time that was known. Put a [`RetainedTime`] where start-up code does not write (`cortex-m-rt`: the section
//! `.uninit`); after power-on it holds nonsense, which a mark and a checksum detect.

/// Memory for a time and a seed. Any bit pattern is a valid value of it.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct RetainedTime {
    mark: u32,
    check: u32,
    time: u64,
    seed: [u8; 32],
}

const MARK: u32 = 0x5449_4d45;

impl core::fmt::Debug for RetainedTime {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RetainedTime").field("time", &self.time()).finish_non_exhaustive()
    }
}

impl RetainedTime {
    /// A time (seconds since 1970) and a seed for the next run.
    #[must_use]
    pub fn new(time: u64, seed: [u8; 32]) -> Self {
        let mut retained = Self { mark: MARK, check: 0, time, seed };
        retained.check = retained.checksum();
        retained
    }

    /// The time, if this is not what power-on leaves in memory.
    #[must_use]
    pub fn time(&self) -> Option<u64> {
        self.is_whole().then_some(self.time)
    }

    /// The seed, whatever it is: even what power-on leaves in memory differs from board to board. Nothing is to be
    /// counted for it.
    #[must_use]
    pub const fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    fn is_whole(&self) -> bool {
        self.mark == MARK && self.check == self.checksum()
    }

    /// FNV-1a over time and seed.
    fn checksum(&self) -> u32 {
        let time = self.time.to_le_bytes();
        let bytes = time.iter().chain(&self.seed);
        bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
    }
}

/// The time before which no answer of a time server is believed: the firmware's date, or the last time known if that
/// is later. One that lies more than 20 years ahead of the firmware is not believed to have been the time.
#[must_use]
pub fn floor(built: u64, known: Option<u64>) -> u64 {
    const MOST: u64 = 20 * 366 * 86_400;
    known.filter(|known| (built..built.saturating_add(MOST)).contains(known)).unwrap_or(built)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_power_on_leaves_is_no_time() {
        let retained = RetainedTime::new(1_781_481_600, [7; 32]);
        assert_eq!(retained.time(), Some(1_781_481_600));
        for damage in [
            RetainedTime { mark: retained.mark ^ 1, ..retained },
            RetainedTime { check: retained.check ^ 1, ..retained },
            RetainedTime { time: retained.time ^ 1, ..retained },
            RetainedTime { seed: [8; 32], ..retained },
            RetainedTime { mark: MARK, check: u32::MAX, time: u64::MAX, seed: [0xff; 32] },
            RetainedTime { mark: 0, check: 0, time: 0, seed: [0; 32] },
        ] {
            assert_eq!(damage.time(), None, "{damage:?}");
        }
    }

    #[test]
    fn the_later_of_two_floors() {
        assert_eq!(floor(1_000, None), 1_000);
        assert_eq!(floor(1_000, Some(999)), 1_000);
        assert_eq!(floor(1_000, Some(5_000)), 5_000);
        assert_eq!(floor(1_000, Some(u64::MAX)), 1_000);
        assert_eq!(floor(u64::MAX, Some(5)), u64::MAX);
    }
}
