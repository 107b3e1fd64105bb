//! A seed from several sources, none of which is believed alone, and none of which may fail unseen.
//!
//! Everything that is given to a [`Pool`] is mixed into the seed (SHA-256). Whether there *is* a seed depends on what
//! was counted: 256 bits from sources that nobody outside the chip can watch, and that have passed their health
//! tests. A generator that fails its tests, or gives nothing, ends it: a device whose generator breaks is to say so,
//! and not to go on with worse keys.
//!
//! | source | how | counts |
//! |---|---|---|
//! | a generator on the chip, an ADC's noise behind a conditioner | [`Pool::add_generator`] | 8 bits a byte |
//! | a generator behind a bus that others can read: a secure element in the clear | [`Pool::add_observed`] | nothing |
//! | time that something outside takes, in cycles of a fast counter | [`Pool::add_jitter`] | one bit a sample |
//! | serial numbers, uptime, a seed kept from before | [`Pool::add_uncounted`] | nothing |
//!
//! The health tests are those of NIST SP 800-90B §4.4 (repetition count and adaptive proportion) at a false alarm
//! rate below 2⁻²⁰, over the bytes and over their differences, and a comparison of the halves. They find what is
//! stuck, counts, or repeats itself; they cannot tell a good generator from a good imitation.

use core::fmt;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Bytes of a seed.
pub const SEED_LEN: usize = 32;
/// Bits that have to be counted before there is a seed.
pub const MIN_BITS: u32 = 256;
/// The fewest bytes of a generator that can be tested.
pub const MIN_GENERATOR_LEN: usize = 32;
/// The fewest samples of jitter that can be tested.
pub const MIN_JITTER_LEN: usize = 128;

/// A seed, wiped on drop.
pub type Seed = Zeroizing<[u8; SEED_LEN]>;

/// Why there is no seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Error {
    /// Nobody has seeded the generator yet.
    NotSeeded,
    /// A source gives nothing, or what no random source would give.
    Failing {
        /// The name that the source was given.
        source: &'static str,
    },
    /// The sources that count gave less than [`MIN_BITS`].
    NotEnough {
        /// As many bits.
        bits: u32,
    },
}

impl Error {
    /// Whether it makes sense to try again in this run: no, a failing source stays one until somebody has looked at
    /// it, or at least until a reset.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        false
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSeeded => f.write_str("the random number generator is not seeded"),
            Self::Failing { source } => write!(f, "no random numbers: {source} fails its test"),
            Self::NotEnough { bits } => {
                write!(f, "no random numbers: {bits} bits of entropy, {MIN_BITS} are needed")
            }
        }
    }
}

impl core::error::Error for Error {}

/// Collects entropy.
///
/// ```
/// use azure_iot_embassy::entropy::{Error, Pool};
///
/// let mut pool = Pool::new();
/// pool.add_uncounted(b"serial number 0123");
/// pool.add_generator("the chip's generator", &[0; 64]); // it is stuck
/// assert_eq!(pool.into_seed(), Err(Error::Failing { source: "the chip's generator" }));
/// ```
#[derive(Clone)]
pub struct Pool {
    hash: Sha256,
    bits: u32,
    failing: Option<&'static str>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("bits", &self.bits)
            .field("failing", &self.failing)
            .finish_non_exhaustive()
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self::new()
    }
}

impl Pool {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self { hash: Sha256::new(), bits: 0, failing: None }
    }

    /// Adds the output of a generator that nobody else can see: at least [`MIN_GENERATOR_LEN`] bytes, and better
    /// twice as many.
    pub fn add_generator(&mut self, source: &'static str, bytes: &[u8]) {
        if self.add_tested(source, bytes) {
            let bits = u32::try_from(bytes.len()).unwrap_or(u32::MAX).saturating_mul(8);
            self.bits = self.bits.saturating_add(bits);
        }
    }

    /// Adds the output of a generator whose way to the chip can be read along. It is tested, and counts for nothing.
    pub fn add_observed(&mut self, source: &'static str, bytes: &[u8]) {
        self.add_tested(source, bytes);
    }

    /// Adds times that something took which nobody can predict to the cycle, at least [`MIN_JITTER_LEN`] of them.
    pub fn add_jitter(&mut self, source: &'static str, cycles: impl Iterator<Item = u32> + Clone) {
        let mut count = 0_u32;
        for sample in cycles.clone() {
            self.mix(&sample.to_le_bytes());
            count = count.saturating_add(1);
        }
        let low = cycles.map(|sample| sample.to_le_bytes()[0]);
        if usize::try_from(count).unwrap_or(usize::MAX) < MIN_JITTER_LEN || !jitter_is_healthy(low, count) {
            self.fail(source);
        } else {
            self.bits = self.bits.saturating_add(count);
        }
    }

    /// Adds what differs between devices or runs and is no secret: serial numbers, uptime, a seed kept from before.
    pub fn add_uncounted(&mut self, bytes: &[u8]) {
        self.mix(bytes);
    }

    /// Says that a source gives nothing at all. There will be no seed.
    pub fn fail(&mut self, source: &'static str) {
        self.failing.get_or_insert(source);
    }

    /// Bits that were counted.
    #[must_use]
    pub const fn bits(&self) -> u32 {
        self.bits
    }

    /// The seed.
    ///
    /// # Errors
    /// [`Error::Failing`] names the first source that fails; [`Error::NotEnough`].
    pub fn into_seed(self) -> Result<Seed, Error> {
        if let Some(source) = self.failing {
            return Err(Error::Failing { source });
        }
        if self.bits < MIN_BITS {
            return Err(Error::NotEnough { bits: self.bits });
        }
        Ok(Zeroizing::new(self.hash.finalize().into()))
    }

    fn add_tested(&mut self, source: &'static str, bytes: &[u8]) -> bool {
        self.mix(bytes);
        let healthy = generator_is_healthy(bytes);
        if !healthy {
            self.fail(source);
        }
        healthy
    }

    /// Each source with its length before it, so that no two collections look the same.
    fn mix(&mut self, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.hash.update(length.to_le_bytes());
        self.hash.update(bytes);
    }
}

/// The longest run of one value, and the most of one value among 64, of a generator that gives eight bits a byte.
/// Chances of a good one to be worse: 2⁻²⁶ and 2⁻²⁹.
const GENERATOR_RUN: usize = 4;
const GENERATOR_SHARE: usize = 8;
const WINDOW: usize = 64;
/// The same of samples that give one bit each: a run of more than 20 has a chance of 2⁻²⁰; of one value at most three
/// quarters.
const JITTER_RUN: usize = 20;

fn generator_is_healthy(bytes: &[u8]) -> bool {
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let differences = bytes.iter().zip(bytes.iter().skip(1)).map(|(one, next)| next.wrapping_sub(*one));
    bytes.len() >= MIN_GENERATOR_LEN
        && first != second
        && longest_run(bytes.iter().copied()) <= GENERATOR_RUN
        && longest_run(differences) <= GENERATOR_RUN
        && bytes.chunks(WINDOW).all(|window| most_of_one(window.iter().copied()) <= GENERATOR_SHARE)
}

fn jitter_is_healthy(samples: impl Iterator<Item = u8> + Clone, count: u32) -> bool {
    let most = usize::try_from(count / 4 * 3).unwrap_or(usize::MAX);
    longest_run(samples.clone()) <= JITTER_RUN && most_of_one(samples) <= most
}

fn longest_run(values: impl Iterator<Item = u8>) -> usize {
    let (mut longest, mut run, mut last) = (0, 0, None);
    for value in values {
        run = if last == Some(value) { run + 1 } else { 1 };
        last = Some(value);
        longest = longest.max(run);
    }
    longest
}

/// How often the most frequent value comes.
fn most_of_one(values: impl Iterator<Item = u8>) -> usize {
    let mut counts = [0_u16; 256];
    for value in values {
        if let Some(count) = counts.get_mut(usize::from(value)) {
            *count = count.saturating_add(1);
        }
    }
    counts.into_iter().max().map_or(0, usize::from)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use chacha20::ChaCha20Rng;
    use proptest::prelude::*;
    use rand_core::{Rng, SeedableRng};
    use std::vec::Vec;

    /// What a good generator gives.
    fn random(seed: u64, length: usize) -> Vec<u8> {
        let mut bytes = std::vec![0; length];
        ChaCha20Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
        bytes
    }

    #[test]
    fn generators_that_are_broken() {
        let good = random(1, 64);
        let counter: Vec<u8> = (0..64).collect();
        let downwards: Vec<u8> = (0..64).map(|n: u8| n.wrapping_mul(253)).collect();
        let toggling: Vec<u8> = (0..64).map(|n| if n % 2 == 0 { 0x55 } else { 0xaa }).collect();
        let repeated = [&good[..32], &good[..32]].concat();
        let words = good[..4].repeat(16);
        let stuck_in_the_middle = [&good[..40], &[7; 24]].concat();
        let short = good[..31].to_vec();
        for (what, bytes) in [
            ("zeros", std::vec![0; 64]),
            ("ones", std::vec![0xff; 64]),
            ("a counter", counter),
            ("a counter downwards", downwards),
            ("two values", toggling),
            ("twice the same", repeated),
            ("one word", words),
            ("stuck in the middle", stuck_in_the_middle),
            ("too short", short),
            ("nothing", Vec::new()),
        ] {
            let mut pool = Pool::new();
            pool.add_generator("it", &bytes);
            assert_eq!(pool.bits(), 0, "{what}");
            // No other source makes up for it, in whatever order.
            pool.add_generator("another", &random(2, 64));
            assert_eq!(pool.into_seed(), Err(Error::Failing { source: "it" }), "{what}");
        }
    }

    #[test]
    fn what_counts() {
        let mut pool = Pool::new();
        pool.add_uncounted(&random(1, 64));
        pool.add_observed("secure element", &random(2, 64));
        assert_eq!(pool.clone().into_seed(), Err(Error::NotEnough { bits: 0 }));
        pool.add_jitter("bus", random(3, 128).into_iter().map(u32::from));
        assert_eq!(pool.clone().into_seed(), Err(Error::NotEnough { bits: 128 }));
        pool.add_jitter("bus", random(4, 128).into_iter().map(u32::from));
        pool.clone().into_seed().unwrap();
        pool.fail("chip");
        assert_eq!(pool.into_seed(), Err(Error::Failing { source: "chip" }));
        let mut pool = Pool::new();
        pool.add_generator("chip", &random(5, 32));
        assert_eq!(pool.bits(), MIN_BITS);
    }

    #[test]
    fn jitter_that_is_none() {
        for samples in [
            std::vec![500_u32; 256],
            (0..256).map(|n| 500 + u32::from(n % 8 == 0)).collect(),
            std::vec![1; 20],
        ] {
            let mut pool = Pool::new();
            pool.add_jitter("bus", samples.into_iter());
            assert_eq!(pool.bits(), 0);
            assert_eq!(pool.into_seed(), Err(Error::Failing { source: "bus" }));
        }
    }

    #[test]
    fn every_source_changes_the_seed() {
        let seed = |chip: u64, observed: u64, id: &[u8]| {
            let mut pool = Pool::new();
            pool.add_generator("chip", &random(chip, 64));
            pool.add_observed("element", &random(observed, 64));
            pool.add_uncounted(id);
            pool.into_seed().unwrap()
        };
        let base = seed(1, 2, b"id");
        assert_eq!(base, seed(1, 2, b"id"));
        for other in [seed(3, 2, b"id"), seed(1, 3, b"id"), seed(1, 2, b"ie")] {
            assert_ne!(base, other);
        }
    }

    proptest! {
        #[test]
        fn a_good_generator_passes(seed: u64, length in MIN_GENERATOR_LEN..200) {
            prop_assert!(generator_is_healthy(&random(seed, length)));
        }

        #[test]
        fn a_short_period_is_found(seed: u64, period in 1..8_usize, length in 64..200_usize) {
            let bytes: Vec<u8> = random(seed, period).into_iter().cycle().take(length).collect();
            prop_assert!(!generator_is_healthy(&bytes));
        }
    }
}
