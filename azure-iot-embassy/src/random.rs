//! Random numbers for TLS: ChaCha20, seeded from an [entropy pool](crate::entropy).
//!
//! One generator for the whole firmware, because TLS libraries call for random numbers from functions that know no
//! context. It gives nothing before it is seeded, and remembers why it was not.

use core::cell::RefCell;
use core::convert::Infallible;
use core::fmt;

use chacha20::ChaCha20Rng;
use critical_section::Mutex;
use rand_core::{Rng, SeedableRng, TryCryptoRng, TryRng};
use zeroize::Zeroizing;

use crate::entropy::{Error, Pool, SEED_LEN, Seed};

/// The generator; [`seed`](Self::seed) it once after each reset.
pub struct Random(Mutex<RefCell<Result<ChaCha20Rng, Error>>>);

/// The firmware's generator.
pub static RANDOM: Random = Random::new();

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Random").field(&self.check()).finish()
    }
}

impl Random {
    /// A generator without a seed.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(RefCell::new(Err(Error::NotSeeded))))
    }

    /// Seeds the generator: what it gives from now on depends on this seed and on all earlier ones.
    ///
    /// # Errors
    /// Why the pool has no seed. If there was none before either, that is what everyone is told who asks for random
    /// numbers.
    pub fn seed(&self, pool: Pool) -> Result<(), Error> {
        let seed = pool.into_seed();
        critical_section::with(|cs| {
            let mut generator = self.0.borrow_ref_mut(cs);
            match (seed, generator.as_mut()) {
                (Ok(seed), earlier) => {
                    let next = mixed(seed, earlier.ok());
                    *generator = Ok(ChaCha20Rng::from_seed(*next));
                    Ok(())
                }
                (Err(error), Ok(_)) => Err(error),
                (Err(error), Err(why)) => {
                    *why = error;
                    Err(error)
                }
            }
        })
    }

    /// Whether there was a seed.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), Error> {
        critical_section::with(|cs| self.0.borrow_ref(cs).as_ref().map(|_| ()).map_err(|why| *why))
    }

    /// Fills `out` with random bytes.
    ///
    /// # Errors
    /// Why there is no seed; `out` is untouched then.
    pub fn fill(&self, out: &mut [u8]) -> Result<(), Error> {
        critical_section::with(|cs| {
            let mut generator = self.0.borrow_ref_mut(cs);
            generator.as_mut().map_err(|why| *why)?.fill_bytes(out);
            Ok(())
        })
    }

    /// A random number.
    ///
    /// # Errors
    /// As [`fill`](Self::fill).
    pub fn next_u32(&self) -> Result<u32, Error> {
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

/// The seed with what the generator had before.
fn mixed(mut seed: Seed, earlier: Option<&mut ChaCha20Rng>) -> Seed {
    if let Some(earlier) = earlier {
        let mut more = Zeroizing::new([0; SEED_LEN]);
        earlier.fill_bytes(more.as_mut());
        seed.iter_mut().zip(more.iter()).for_each(|(to, from)| *to ^= from);
    }
    seed
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
    /// Why it has no seed.
    pub fn new() -> Result<Self, Error> {
        RANDOM.check().map(|()| Self(()))
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

    fn pool(seed: u64) -> Pool {
        let mut bytes = [0; 64];
        ChaCha20Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
        let mut pool = Pool::new();
        pool.add_generator("test", &bytes);
        pool
    }

    #[test]
    fn no_numbers_come_before_the_seed_and_the_error_says_why() {
        let random = Random::new();
        let mut out = [7; 8];
        assert_eq!(random.fill(&mut out), Err(Error::NotSeeded));
        let mut broken = Pool::new();
        broken.fail("chip");
        let failing = Err(Error::Failing { source: "chip" });
        assert_eq!(random.seed(broken.clone()), failing);
        assert_eq!((random.fill(&mut out), random.check()), (failing, failing));
        assert_eq!(out, [7; 8]);
        assert_eq!(random.next_u32(), Err(Error::Failing { source: "chip" }));
        random.seed(pool(1)).unwrap();
        random.fill(&mut out).unwrap();
        assert_ne!(out, [7; 8]);
        assert_ne!(random.next_u32(), random.next_u32());
        // What comes later takes nothing away.
        assert_eq!(random.seed(broken), failing);
        random.next_u32().unwrap();
    }

    #[test]
    fn a_later_seed_adds_to_the_earlier_ones() {
        let drawn = |seeds: &[u64]| {
            let random = Random::new();
            for seed in seeds {
                random.seed(pool(*seed)).unwrap();
            }
            random.next_u32().unwrap()
        };
        assert_eq!(drawn(&[1, 2]), drawn(&[1, 2]));
        assert_ne!(drawn(&[1, 2]), drawn(&[2]));
        assert_ne!(drawn(&[1, 2]), drawn(&[3, 2]));
    }

    #[test]
    fn the_firmwares_generator_is_had_once_it_is_seeded() {
        assert_eq!(Seeded::new().unwrap_err(), Error::NotSeeded);
        RANDOM.seed(pool(3)).unwrap();
        let mut seeded = Seeded::new().unwrap();
        assert_ne!(seeded.next_u64(), seeded.next_u64());
        assert_ne!(seeded.next_u32(), seeded.next_u32());
    }
}
