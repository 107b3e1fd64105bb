//! When to try again: exponential back-off with jitter, saturating everywhere.

/// The numbers of a back-off ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Backoff {
    /// Delay of the first repetition, in milliseconds.
    pub min_ms: u32,
    /// The delay doubles up to this, in milliseconds.
    pub max_ms: u32,
    /// Upper bound of the random part added, in milliseconds. It spreads a fleet that lost its network together.
    pub jitter_ms: u32,
}

impl Backoff {
    /// What Microsoft recommends for devices: 1 s doubling to 100 s, up to 5 s of jitter.
    pub const DEFAULT: Self = Self { min_ms: 1000, max_ms: 100_000, jitter_ms: 5000 };

    /// `min_ms` doubled `attempt` times (0: the first repetition), at most `max_ms`.
    #[must_use]
    pub fn base_ms(&self, attempt: u32) -> u32 {
        let factor = 1u32.checked_shl(attempt).unwrap_or(u32::MAX);
        self.min_ms.saturating_mul(factor).min(self.max_ms)
    }

    /// The delay before repetition `attempt` with a random number of the caller's: [`Backoff::base_ms`] plus a part
    /// of the jitter, which comes on top of the maximum, so that devices that reached it stay spread.
    #[must_use]
    pub fn delay_ms(&self, attempt: u32, random: u32) -> u32 {
        self.base_ms(attempt).saturating_add(scale(random, self.jitter_ms))
    }

    /// The delay as Azure's embedded C library counts it, for applications that move over from it: the jitter (here
    /// the value itself, in milliseconds) is left out when the sum would reach the maximum, and the time that the
    /// failed operation took is subtracted.
    #[must_use]
    pub fn delay_after_ms(&self, operation_ms: u32, attempt: u32, jitter_ms: u32) -> u32 {
        let base = self.base_ms(attempt);
        let delay = match base.saturating_add(jitter_ms) {
            sum if sum < self.max_ms => sum,
            _ => base,
        };
        delay.saturating_sub(operation_ms)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// `random` scaled from the range of `u32` to `0..=max`.
#[must_use]
pub fn scale(random: u32, max: u32) -> u32 {
    // The product of two 32-bit numbers, shifted back, fits 32 bits.
    ((u64::from(random) * (u64::from(max) + 1)) >> 32) as u32
}

/// Random numbers for jitter and for the numbering of requests, from one seed (xorshift32 of Marsaglia); never for
/// keys.
#[derive(Clone, Copy, Debug)]
pub struct Jitter(u32);

impl Jitter {
    /// The generator of this seed; neighbouring seeds give unlike numbers.
    #[must_use]
    pub fn new(seed: u32) -> Self {
        // Spread neighbouring seeds; zero is the generator's one fixed point.
        let mut mixed = seed.wrapping_mul(0x9e37_79b9) ^ 0x5851_f42d;
        if mixed == 0 {
            mixed = 1;
        }
        let mut jitter = Self(mixed);
        jitter.draw();
        jitter
    }

    /// The next number.
    pub fn draw(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }
}
