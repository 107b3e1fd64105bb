//! Public keys and signatures as X.509 writes them.

use super::Reason;
use crate::asn1::{BitString, DerReader, oid};
use crate::open_dice::{Algorithm, PublicKey};
use crate::{Error, Result};
use der::ErrorKind;
use der::asn1::ObjectIdentifier;

/// secp384r1, the curve P-384 (RFC 5480).
#[cfg(feature = "p384")]
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
/// ecdsa-with-SHA384 (RFC 5758).
#[cfg(feature = "p384")]
const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
/// id-Ed25519 (RFC 8410).
#[cfg(feature = "ed25519")]
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// The longest fixed-size signature, P-384's.
const MAX_FIXED_LEN: usize = 96;

/// Reads a SubjectPublicKeyInfo.
pub(super) fn read_spki(reader: &mut DerReader<'_>) -> core::result::Result<PublicKey, Reason> {
    let mut spki = reader.sequence()?;
    let mut identifier = spki.sequence()?;
    let key_type = identifier.oid()?;
    let algorithm = if key_type == oid::EC_PUBLIC_KEY {
        match identifier.oid()? {
            oid::PRIME256V1 => Algorithm::P256,
            #[cfg(feature = "p384")]
            SECP384R1 => Algorithm::P384,
            curve => return Err(Reason::KeyAlgorithm(curve)),
        }
    } else {
        match key_type {
            #[cfg(feature = "ed25519")]
            ED25519 => Algorithm::Ed25519,
            _ => return Err(Reason::KeyAlgorithm(key_type)),
        }
    };
    identifier.finish()?;
    let BitString { unused, bytes } = spki.bit_string()?;
    spki.finish()?;
    let raw = match bytes {
        // Points of the NIST curves come uncompressed.
        [0x04, raw @ ..] if key_type == oid::EC_PUBLIC_KEY => raw,
        raw if key_type != oid::EC_PUBLIC_KEY => raw,
        _ => return Err(Reason::PublicKey),
    };
    if unused != 0 {
        return Err(Reason::PublicKey);
    }
    PublicKey::from_bytes(algorithm, raw).map_err(|_| Reason::PublicKey)
}

/// The signature algorithm that goes with a key.
pub(super) fn signature_oid(key: &PublicKey) -> ObjectIdentifier {
    match key.algorithm() {
        Algorithm::P256 => oid::ECDSA_WITH_SHA256,
        #[cfg(feature = "p384")]
        Algorithm::P384 => ECDSA_WITH_SHA384,
        #[cfg(feature = "ed25519")]
        Algorithm::Ed25519 => ED25519,
    }
}

/// Verifies a signature in the form X.509 gives it: strict DER for ECDSA (RFC 3279 §2.2.3), the plain 64 bytes for
/// Ed25519 (RFC 8410 §6).
///
/// # Errors
/// [`Error::SignatureEncoding`] if it is not well formed or its integers are out of range, else
/// [`Error::SignatureMismatch`].
pub fn verify_signature(key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<()> {
    let algorithm = key.algorithm();
    let mut fixed = [0; MAX_FIXED_LEN];
    let fixed = fixed.get_mut(..algorithm.signature_len()).ok_or(Error::SignatureEncoding)?;
    match algorithm {
        #[cfg(feature = "ed25519")]
        Algorithm::Ed25519 => return key.verify(&[message], signature),
        Algorithm::P256 => {}
        #[cfg(feature = "p384")]
        Algorithm::P384 => {}
    }
    let (r, s) = fixed.split_at_mut(algorithm.signature_len() / 2);
    read_integers(signature, r, s).map_err(|_| Error::SignatureEncoding)?;
    key.verify(&[message], fixed)
}

/// Reads `SEQUENCE { r INTEGER, s INTEGER }` into right-aligned big-endian fields.
fn read_integers(der: &[u8], r: &mut [u8], s: &mut [u8]) -> Result<()> {
    let mut outer = DerReader::new(der);
    let mut integers = outer.sequence()?;
    outer.finish()?;
    for field in [r, s] {
        let start = integers;
        let digits = match integers.integer()? {
            [0x80..=0xff, ..] => return Err(start.error(ErrorKind::Overflow)),
            [0, digits @ ..] | digits => digits,
        };
        let offset =
            field.len().checked_sub(digits.len()).ok_or_else(|| start.error(ErrorKind::Overlength))?;
        field.iter_mut().skip(offset).zip(digits).for_each(|(to, from)| *to = *from);
    }
    integers.finish()
}
