//! ECDSA keys and signatures.

use p256::ecdsa::signature::hazmat::PrehashVerifier;
use sha2::{Digest, Sha256, Sha384};

/// A public key that can be verified with.
#[derive(Debug, Clone)]
pub(crate) enum PublicKey {
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
}

/// The hash that was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256,
    Sha384,
}

impl PublicKey {
    /// A point in SEC 1 form, uncompressed, on the curve of its length; `None` if it is not on it.
    pub(super) fn from_point(point: &[u8]) -> Option<Self> {
        match point.len() {
            65 => p256::ecdsa::VerifyingKey::from_sec1_bytes(point).ok().map(Self::P256),
            97 => p384::ecdsa::VerifyingKey::from_sec1_bytes(point).ok().map(Self::P384),
            _ => None,
        }
    }

    /// Whether the signature, in DER, is this key's over the message.
    pub(crate) fn verify(&self, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
        match hash {
            Hash::Sha256 => self.verify_digest(&Sha256::digest(message), signature),
            Hash::Sha384 => self.verify_digest(&Sha384::digest(message), signature),
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
