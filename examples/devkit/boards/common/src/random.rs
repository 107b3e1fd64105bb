//! Random numbers for TLS: ChaCha20, seeded from the secure element (and whatever else the board has).
//!
//! One generator for the whole firmware, because TLS libraries call for random numbers from functions that know no context.
//! It gives nothing before it is seeded.

use core::cell::RefCell;
use core::convert::Infallible;

use chacha20::ChaCha20Rng;
use critical_section::Mutex;
use rand_core::{Rng, SeedableRng, TryCryptoRng, TryRng};
use zeroize::Zeroize;

/// Bytes of a seed.
pub const SEED_LEN: usize = 32;

/// The generator; [`seed`](Self::seed) it once after each reset.
#[derive(Debug)]
pub struct Random(Mutex<RefCell<Option<ChaCha20Rng>>>);

/// The firmware's generator.
pub static RANDOM: Random = Random::new();

/// A generator was asked before it was seeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotSeeded;

impl core::fmt::Display for NotSeeded {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the random number generator is not seeded")
    }
}

impl core::error::Error for NotSeeded {}

impl Random {
    /// A generator without a seed.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(RefCell::new(None)))
    }

    /// Seeds the generator: what it gives from now on depends on this seed and on all earlier ones. The seed is wiped.
    pub fn seed(&self, seed: &mut [u8; SEED_LEN]) {
        critical_section::with(|cs| {
            let mut generator = self.0.borrow_ref_mut(cs);
            if let Some(earlier) = generator.as_mut() {
                let mut more = [0; SEED_LEN];
                earlier.fill_bytes(&mut more);
                seed.iter_mut().zip(&more).for_each(|(to, from)| *to ^= from);
                more.zeroize();
            }
            *generator = Some(ChaCha20Rng::from_seed(*seed));
        });
        seed.zeroize();
    }

    /// Whether there was a seed.
    #[must_use]
    pub fn is_seeded(&self) -> bool {
        critical_section::with(|cs| self.0.borrow_ref(cs).is_some())
    }

    /// Fills `out` with random bytes.
    ///
    /// # Errors
    /// [`NotSeeded`]; `out` is untouched then.
    pub fn fill(&self, out: &mut [u8]) -> Result<(), NotSeeded> {
        critical_section::with(|cs| {
            let mut generator = self.0.borrow_ref_mut(cs);
            generator.as_mut().ok_or(NotSeeded)?.fill_bytes(out);
            Ok(())
        })
    }

    /// A random number.
    ///
    /// # Errors
    /// [`NotSeeded`].
    pub fn next_u32(&self) -> Result<u32, NotSeeded> {
        let mut bytes = [0; 4];
        self.fill(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }
}

impl Default for Random {
    fn default() -> Self {
        Self::new()
    }
}

/// The firmware's generator where a random number generator is expected that cannot fail.
///
/// There is one only after seeding, and a seed is never taken away.
#[derive(Debug)]
pub struct Seeded(());

impl Seeded {
    /// Access to [`RANDOM`].
    ///
    /// # Errors
    /// [`NotSeeded`].
    pub fn new() -> Result<Self, NotSeeded> {
        if RANDOM.is_seeded() { Ok(Self(())) } else { Err(NotSeeded) }
    }
}

impl TryRng for Seeded {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        // Seeded, as the existence of `self` shows.
        let _ = RANDOM.fill(out);
        Ok(())
    }
}

impl TryCryptoRng for Seeded {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_comes_before_the_seed_and_the_seed_is_wiped() {
        let random = Random::new();
        let mut out = [7; 8];
        assert_eq!(random.fill(&mut out), Err(NotSeeded));
        assert_eq!(out, [7; 8]);
        assert_eq!(random.next_u32(), Err(NotSeeded));
        let mut seed = [1; SEED_LEN];
        random.seed(&mut seed);
        assert_eq!(seed, [0; SEED_LEN]);
        assert!(random.is_seeded());
        random.fill(&mut out).unwrap();
        assert_ne!(out, [7; 8]);
        assert_ne!(random.next_u32(), random.next_u32());
    }

    #[test]
    fn a_later_seed_adds_to_the_earlier_ones() {
        let drawn = |seeds: &[u8]| {
            let random = Random::new();
            for seed in seeds {
                random.seed(&mut [*seed; SEED_LEN]);
            }
            random.next_u32().unwrap()
        };
        assert_eq!(drawn(&[1, 2]), drawn(&[1, 2]));
        assert_ne!(drawn(&[1, 2]), drawn(&[2]));
        assert_ne!(drawn(&[1, 2]), drawn(&[3, 2]));
    }

    #[test]
    fn the_firmwares_generator_is_had_once_it_is_seeded() {
        assert_eq!(Seeded::new().unwrap_err(), NotSeeded);
        RANDOM.seed(&mut [3; SEED_LEN]);
        let mut seeded = Seeded::new().unwrap();
        assert_ne!(seeded.next_u64(), seeded.next_u64());
        assert_ne!(seeded.next_u32(), seeded.next_u32());
    }
}
