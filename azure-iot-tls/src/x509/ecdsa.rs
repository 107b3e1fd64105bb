//! ECDSA signatures by the crates p256 and p384.

use super::{BAD_SIGNATURE, Hash, KeyKind, Link, PublicKey, SignatureVerifier};
use crate::Error;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use sha2::{Digest, Sha256, Sha384};

/// Verifies ECDSA signatures, and no others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ecdsa;

impl SignatureVerifier for Ecdsa {
    fn verify(&mut self, link: &Link<'_>) -> Result<(), Error> {
        let key = VerifyingKey::new(&link.key)?;
        if key.verify(link.algorithm.hash(), link.message, link.signature) {
            Ok(())
        } else {
            Err(BAD_SIGNATURE)
        }
    }
}

/// A public key that can be verified with.
#[derive(Debug, Clone)]
pub(crate) enum VerifyingKey {
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
}

impl VerifyingKey {
    /// Takes a point, which must lie on its curve.
    pub(crate) fn new(key: &PublicKey<'_>) -> Result<Self, Error> {
        let point = key.as_bytes();
        let found = match key.kind() {
            KeyKind::P256 => p256::ecdsa::VerifyingKey::from_sec1_bytes(point).ok().map(Self::P256),
            KeyKind::P384 => p384::ecdsa::VerifyingKey::from_sec1_bytes(point).ok().map(Self::P384),
            KeyKind::Rsa => return Err(Error::UnsupportedAlgorithm),
        };
        found.ok_or(Error::BadCertificate)
    }

    /// Whether the signature, in DER, is this key's over the message.
    pub(crate) fn verify(&self, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
        match hash {
            Hash::Sha256 => self.verify_digest(&Sha256::digest(message), signature),
            Hash::Sha384 => self.verify_digest(&Sha384::digest(message), signature),
            Hash::Sha512 => false,
        }
    }

    fn verify_digest(&self, digest: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::P256(key) => p256::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify_prehash(digest, &signature).is_ok()),
            Self::P384(key) => p384::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify_prehash(digest, &signature).is_ok()),
        }
    }
}
