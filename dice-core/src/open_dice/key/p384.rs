//! P-384, on the `p384` crate.

use super::super::KeySeed;
use super::p256::draw;
use crate::asn1::{DerWriter, oid};
use crate::hash::{Hash, Sha384};
use crate::secret::Secret;
use crate::{Error, Result};
use core::fmt;
use der::asn1::ObjectIdentifier;
use p384::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};
use p384::ecdsa::{Signature, SigningKey, VerifyingKey};

/// ecdsa-with-SHA384 (RFC 5758).
const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
/// secp384r1, the curve P-384 (RFC 5480).
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

/// Length of a private scalar in bytes.
const SCALAR_LEN: usize = 48;
/// The longest DER form of a signature in bytes.
pub(super) const MAX_DER_SIGNATURE_LEN: usize = 104;

/// A P-384 public key: a point that is known to be on the curve and is not the point at infinity.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct P384PublicKey {
    /// `04 || X || Y`.
    sec1: [u8; 1 + 2 * SCALAR_LEN],
}

impl P384PublicKey {
    /// Reads X || Y, 48 bytes each, big-endian, and checks that the point is on the curve.
    ///
    /// # Errors
    /// [`Error::PublicKey`] if it is not, and for another length.
    pub fn from_xy(xy: &[u8]) -> Result<Self> {
        if xy.len() != 2 * SCALAR_LEN {
            return Err(Error::PublicKey);
        }
        let mut sec1 = [0x04; 1 + 2 * SCALAR_LEN];
        sec1.iter_mut().skip(1).zip(xy).for_each(|(to, from)| *to = *from);
        p384::PublicKey::from_sec1_bytes(&sec1).map_err(|_| Error::PublicKey)?;
        Ok(Self { sec1 })
    }

    /// The coordinates, X || Y, big-endian.
    #[must_use]
    pub const fn as_xy(&self) -> &[u8; 2 * SCALAR_LEN] {
        let [_, xy @ ..] = &self.sec1;
        xy
    }

    pub(super) fn verify(&self, message: &[&[u8]], signature: &[u8]) -> Result<()> {
        let key = VerifyingKey::from_sec1_bytes(&self.sec1).map_err(|_| Error::PublicKey)?;
        let signature = Signature::from_slice(signature).map_err(|_| Error::SignatureEncoding)?;
        key.verify_prehash(&Sha384::digest_parts(message), &signature).map_err(|_| Error::SignatureMismatch)
    }

    pub(super) fn write_spki(&self, writer: &mut DerWriter<'_>) {
        writer.sequence(|writer| {
            writer.sequence(|writer| {
                writer.oid(&oid::EC_PUBLIC_KEY);
                writer.oid(&SECP384R1);
            });
            writer.bit_string(&self.sec1);
        });
    }
}

impl fmt::Debug for P384PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("P384PublicKey(")?;
        self.as_xy().iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

pub(super) fn write_signature_oid(writer: &mut DerWriter<'_>) {
    writer.oid(&ECDSA_WITH_SHA384);
}

/// A private key; the library wipes it on drop.
pub(super) struct PrivateKey(SigningKey);

impl PrivateKey {
    pub(super) fn from_seed(seed: &KeySeed) -> Result<Self> {
        draw(seed, |candidate: Secret<SCALAR_LEN>| {
            SigningKey::from_slice(candidate.expose()).map(Self).map_err(|_| Error::ScalarOutOfRange)
        })
    }

    pub(super) fn public_key(&self) -> Result<P384PublicKey> {
        let point = self.0.verifying_key().to_sec1_point(false);
        let sec1 = point.as_bytes().try_into().map_err(|_| Error::PublicKey)?;
        Ok(P384PublicKey { sec1 })
    }

    /// Deterministic ECDSA (RFC 6979) over SHA-384: r || s.
    pub(super) fn sign(&self, message: &[u8]) -> Result<[u8; 2 * SCALAR_LEN]> {
        let signature: core::result::Result<Signature, _> = self.0.sign_prehash(&Sha384::digest(message));
        signature.map(|signature| signature.to_bytes().into()).map_err(|_| Error::ScalarOutOfRange)
    }
}
