//! Key derivation: HKDF (RFC 5869), the counter mode of SP 800-108, and HMAC_DRBG (SP 800-90A).
//!
//! Written here on top of HMAC rather than taken from a library because these functions hold the crate's secrets and
//! must wipe every intermediate block.

use crate::hash::{Hash, Hmac};
use crate::{Error, Result};
use core::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// HKDF-Extract (RFC 5869 §2.2): the pseudorandom key for `salt` and the input keying material.
///
/// The result is secret: the caller wipes it.
#[must_use]
pub fn hkdf_extract<H: Hash>(salt: &[u8], input: &[u8]) -> H::Output {
    Hmac::<H>::mac(salt, &[input])
}

/// HKDF-Expand (RFC 5869 §2.3): fills `out` from the pseudorandom key.
///
/// # Errors
/// [`Error::OutputTooLong`] beyond 255 times the hash length.
pub fn hkdf_expand<H: Hash>(pseudorandom_key: &[u8], info: &[u8], out: &mut [u8]) -> Result<()> {
    let limit = 255 * H::OUTPUT_LEN;
    if out.len() > limit {
        return Err(Error::OutputTooLong { requested: out.len(), limit });
    }
    let keyed = Hmac::<H>::new(pseudorandom_key);
    let mut block = H::ZERO;
    for (counter, chunk) in (1..=u8::MAX).zip(out.chunks_mut(H::OUTPUT_LEN)) {
        let mut mac = keyed.clone();
        if counter > 1 {
            mac.update(block.as_ref());
        }
        mac.update(info);
        mac.update(&[counter]);
        block = mac.finalize();
        copy_prefix(chunk, block.as_ref());
    }
    block.zeroize();
    Ok(())
}

/// HKDF (RFC 5869): extract, then expand into `out`.
///
/// # Errors
/// [`Error::OutputTooLong`] beyond 255 times the hash length.
pub fn hkdf<H: Hash>(input: &[u8], salt: &[u8], info: &[u8], out: &mut [u8]) -> Result<()> {
    let mut key = hkdf_extract::<H>(salt, input);
    let result = hkdf_expand::<H>(key.as_ref(), info, out);
    key.zeroize();
    result
}

/// How the counter of [`counter_kdf`] is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterWidth {
    /// One byte.
    Bits8,
    /// Two bytes, big-endian.
    Bits16,
    /// Three bytes, big-endian.
    Bits24,
    /// Four bytes, big-endian: the usual form.
    Bits32,
}

impl CounterWidth {
    const fn bytes(self) -> usize {
        match self {
            Self::Bits8 => 1,
            Self::Bits16 => 2,
            Self::Bits24 => 3,
            Self::Bits32 => 4,
        }
    }
}

/// The counter-mode key derivation of NIST SP 800-108 (§4.1) with HMAC as the pseudorandom function.
///
/// Block *i* is HMAC(`key`, `before` || counter *i* || `after`); the counter starts at 1. The usual layout puts the
/// counter first: `before` is empty and `after` is label || 0x00 || context || length in bits.
///
/// # Errors
/// [`Error::OutputTooLong`] if the counter would overflow its width.
pub fn counter_kdf<H: Hash>(
    key: &[u8],
    width: CounterWidth,
    before: &[&[u8]],
    after: &[&[u8]],
    out: &mut [u8],
) -> Result<()> {
    let counter_bytes = width.bytes();
    let blocks = u32::MAX >> (32 - 8 * counter_bytes);
    let limit = usize::try_from(blocks).unwrap_or(usize::MAX).saturating_mul(H::OUTPUT_LEN);
    if out.len() > limit {
        return Err(Error::OutputTooLong { requested: out.len(), limit });
    }
    let keyed = Hmac::<H>::new(key);
    for (counter, chunk) in (1..=blocks).zip(out.chunks_mut(H::OUTPUT_LEN)) {
        let mut mac = keyed.clone();
        for part in before {
            mac.update(part);
        }
        let encoded = counter.to_be_bytes();
        mac.update(encoded.get(encoded.len() - counter_bytes..).unwrap_or_default());
        for part in after {
            mac.update(part);
        }
        let mut block = mac.finalize();
        copy_prefix(chunk, block.as_ref());
        block.zeroize();
    }
    Ok(())
}

/// HMAC_DRBG (NIST SP 800-90A §10.1.2) without reseeding, as RFC 6979 uses it: a deterministic stream from a seed.
pub struct HmacDrbg<H: Hash> {
    /// HMAC under the generator's key, before any message.
    keyed: Hmac<H>,
    value: H::Output,
    /// Whether the state has to move on before the next output. Most seeds are used for one output only.
    used: bool,
}

impl<H: Hash> HmacDrbg<H> {
    /// Seeds the generator with the concatenation of `seed`.
    #[must_use]
    pub fn new(seed: &[&[u8]]) -> Self {
        let mut drbg = Self { keyed: Hmac::new(H::ZERO.as_ref()), value: H::ZERO, used: false };
        drbg.value.as_mut().fill(0x01);
        drbg.update(0x00, seed);
        if seed.iter().any(|part| !part.is_empty()) {
            drbg.update(0x01, seed);
        }
        drbg
    }

    /// One generate call: fills `out`.
    pub fn generate(&mut self, out: &mut [u8]) {
        if self.used {
            self.update(0x00, &[]);
        }
        for chunk in out.chunks_mut(H::OUTPUT_LEN) {
            self.next_value();
            copy_prefix(chunk, self.value.as_ref());
        }
        self.used = true;
    }

    /// One round of the update function.
    fn update(&mut self, round: u8, seed: &[&[u8]]) {
        let mut mac = self.keyed.clone();
        mac.update(self.value.as_ref());
        mac.update(&[round]);
        for part in seed {
            mac.update(part);
        }
        let mut key = mac.finalize();
        self.keyed = Hmac::new(key.as_ref());
        key.zeroize();
        self.next_value();
    }

    fn next_value(&mut self) {
        let mut mac = self.keyed.clone();
        mac.update(self.value.as_ref());
        self.value = mac.finalize();
    }
}

impl<H: Hash> Drop for HmacDrbg<H> {
    fn drop(&mut self) {
        self.value.zeroize();
    }
}

impl<H: Hash> ZeroizeOnDrop for HmacDrbg<H> {}

impl<H: Hash> fmt::Debug for HmacDrbg<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HmacDrbg(..)")
    }
}

/// Fills `out` with the first bytes of `from`; both come from `chunks_mut(from.len())`, so `out` is never longer.
fn copy_prefix(out: &mut [u8], from: &[u8]) {
    out.iter_mut().zip(from).for_each(|(to, byte)| *to = *byte);
}
