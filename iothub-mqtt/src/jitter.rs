//! Random numbers for jitter and request ids, from a seed of the caller's; never for keys.

/// Marsaglia's xorshift32.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Jitter(u32);

impl Jitter {
    pub(crate) fn new(seed: u32) -> Self {
        // Spread neighbouring seeds; zero is the generator's one fixed point.
        let mixed = seed.wrapping_mul(0x9E37_79B9) ^ 0x85EB_CA6B;
        let mut jitter = Self(if mixed == 0 { 1 } else { mixed });
        jitter.next();
        jitter
    }

    pub(crate) fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }
}
