//! Ed25519, on the `ed25519-dalek` crate.

use super::super::KeySeed;
use crate::asn1::DerWriter;
use crate::{Error, Result};
use core::fmt;
use der::asn1::ObjectIdentifier;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

/// id-Ed25519 (RFC 8410): names the key type and the signature algorithm.
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// An Ed25519 public key: a point on the curve that is not of small order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ed25519PublicKey([u8; 32]);

impl Ed25519PublicKey {
    /// Reads the 32-byte encoding of RFC 8032.
    ///
    /// # Errors
    /// [`Error::PublicKey`] for another length, for bytes that are no point, and for the points of small order, under
    /// which signatures prove nothing.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| Error::PublicKey)?;
        match parse(&bytes) {
            Some(_) => Ok(Self(bytes)),
            None => Err(Error::PublicKey),
        }
    }

    /// The 32-byte encoding.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Strict verification: S is reduced, and neither key nor R has small order.
    pub(super) fn verify(&self, message: &[&[u8]], signature: &[u8]) -> Result<()> {
        let signature = Signature::from_slice(signature).map_err(|_| Error::SignatureEncoding)?;
        let key = parse(&self.0).ok_or(Error::PublicKey)?;
        parse(signature.r_bytes()).ok_or(Error::SignatureMismatch)?;
        let mut verifier = key.verify_stream(&signature).map_err(|_| Error::SignatureEncoding)?;
        for part in message {
            verifier.update(part);
        }
        verifier.finalize_and_verify().map_err(|_| Error::SignatureMismatch)
    }

    pub(super) fn write_spki(&self, writer: &mut DerWriter<'_>) {
        writer.sequence(|writer| {
            writer.sequence(write_oid);
            writer.bit_string(&self.0);
        });
    }
}

impl fmt::Debug for Ed25519PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ed25519PublicKey(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// A point that is not of small order.
fn parse(bytes: &[u8; 32]) -> Option<VerifyingKey> {
    VerifyingKey::from_bytes(bytes).ok().filter(|point| !point.is_weak())
}

pub(super) fn write_oid(writer: &mut DerWriter<'_>) {
    writer.oid(&ED25519);
}

/// A private key; the library wipes it on drop.
pub(super) struct PrivateKey(SigningKey);

impl PrivateKey {
    pub(super) fn from_seed(seed: &KeySeed) -> Self {
        Self(SigningKey::from_bytes(seed.expose()))
    }

    pub(super) fn public_key(&self) -> Ed25519PublicKey {
        Ed25519PublicKey(self.0.verifying_key().to_bytes())
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<[u8; 64]> {
        self.0.try_sign(message).map(|signature| signature.to_bytes()).map_err(|_| Error::ScalarOutOfRange)
    }
}
