//! P-256: the private scalar drawn from a seed, and the bridge to the crate's own P-256 keys.

use super::super::KeySeed;
use crate::asn1::{DerWriter, oid};
use crate::hash::{Hash, Sha256, Sha512};
use crate::kdf::HmacDrbg;
use crate::key::{P256, PublicKey, SCALAR_LEN, SecretKey, Signature};
use crate::secret::Secret;
use crate::{Error, Result};

impl KeySeed {
    /// The P-256 key that belongs to this seed: HMAC_DRBG over SHA-512, seeded with it, draws scalars until one is
    /// in range (RFC 6979 §3.2 with the seed in the place of key and digest).
    ///
    /// # Errors
    /// [`Error::ScalarOutOfRange`] if none of 16 draws is in range, which has a chance of 2<sup>-512</sup>.
    pub fn p256_key<B: P256>(&self) -> Result<SecretKey<B>> {
        draw(self, |candidate: Secret<SCALAR_LEN>| SecretKey::from_scalar_on(candidate))
    }
}

/// Draws private scalars of `N` bytes from a seed until `accept` takes one.
pub(super) fn draw<const N: usize, K>(
    seed: &KeySeed,
    mut accept: impl FnMut(Secret<N>) -> Result<K>,
) -> Result<K> {
    let mut candidates = HmacDrbg::<Sha512>::new(&[seed.expose()]);
    for _ in 0..16 {
        let mut candidate = Secret::zeroed();
        candidates.generate(candidate.expose_mut());
        match accept(candidate) {
            Err(Error::ScalarOutOfRange) => {}
            result => return result,
        }
    }
    Err(Error::ScalarOutOfRange)
}

pub(super) fn parse_public_key(xy: &[u8]) -> Result<PublicKey> {
    let (x, y) = xy.split_first_chunk().ok_or(Error::PublicKey)?;
    PublicKey::from_affine(x, y.try_into().map_err(|_| Error::PublicKey)?)
}

pub(super) fn verify(key: &PublicKey, message: &[&[u8]], signature: &[u8]) -> Result<()> {
    key.verify_prehash(&Sha256::digest_parts(message), &Signature::from_slice(signature)?)
}

pub(super) fn write_signature_oid(writer: &mut DerWriter<'_>) {
    writer.oid(&oid::ECDSA_WITH_SHA256);
}
