//! The key pairs of the profile's layers: P-256, and P-384 and Ed25519 behind features, under one type.

#[cfg(feature = "ed25519")]
mod ed25519;
mod p256;
#[cfg(feature = "p384")]
mod p384;

use super::{CdiAttest, KeyId, KeySeed};
use crate::asn1::DerWriter;
use crate::key::{self, DefaultBackend, P256, SecretKey};
use crate::{Error, Result};
use core::fmt;

/// A signature algorithm with its key type and hash function.
///
/// The profile's ML-DSA is not implemented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256 (COSE ES256).
    P256,
    /// ECDSA on P-384 with SHA-384 (COSE ES384).
    #[cfg(feature = "p384")]
    P384,
    /// Ed25519 (COSE EdDSA).
    #[cfg(feature = "ed25519")]
    Ed25519,
}

impl Algorithm {
    /// The identifier in the IANA registry "COSE Algorithms" (RFC 9053).
    #[must_use]
    pub const fn cose_id(self) -> i64 {
        match self {
            Self::P256 => -7,
            #[cfg(feature = "p384")]
            Self::P384 => -35,
            #[cfg(feature = "ed25519")]
            Self::Ed25519 => -8,
        }
    }

    /// The algorithm with a COSE identifier.
    ///
    /// # Errors
    /// [`Error::Algorithm`] for every other one, also if it is known but its feature is off.
    pub const fn from_cose_id(id: i64) -> Result<Self> {
        match id {
            -7 => Ok(Self::P256),
            #[cfg(feature = "p384")]
            -35 => Ok(Self::P384),
            #[cfg(feature = "ed25519")]
            -8 => Ok(Self::Ed25519),
            _ => Err(Error::Algorithm { cose_id: id }),
        }
    }

    /// Length of a signature in the fixed form (r || s for ECDSA), in bytes.
    #[must_use]
    pub const fn signature_len(self) -> usize {
        match self {
            Self::P256 => 64,
            #[cfg(feature = "p384")]
            Self::P384 => 96,
            #[cfg(feature = "ed25519")]
            Self::Ed25519 => 64,
        }
    }

    /// Length of a raw public key (X || Y for the NIST curves), in bytes.
    #[must_use]
    pub const fn public_key_len(self) -> usize {
        match self {
            Self::P256 => 64,
            #[cfg(feature = "p384")]
            Self::P384 => 96,
            #[cfg(feature = "ed25519")]
            Self::Ed25519 => 32,
        }
    }

    /// The longest signature as it stands in an X.509 certificate, in bytes.
    pub(super) const fn max_x509_signature_len(self) -> usize {
        match self {
            Self::P256 => key::Signature::MAX_DER_LEN,
            #[cfg(feature = "p384")]
            Self::P384 => p384::MAX_DER_SIGNATURE_LEN,
            #[cfg(feature = "ed25519")]
            Self::Ed25519 => 64,
        }
    }

    /// Writes the X.509 `AlgorithmIdentifier` of signatures (RFC 5758 §3.2, RFC 8410 §3).
    pub(super) fn write_signature_algorithm(self, writer: &mut DerWriter<'_>) {
        writer.sequence(|writer| match self {
            Self::P256 => p256::write_signature_oid(writer),
            #[cfg(feature = "p384")]
            Self::P384 => p384::write_signature_oid(writer),
            #[cfg(feature = "ed25519")]
            Self::Ed25519 => ed25519::write_oid(writer),
        });
    }
}

/// A public key of one of the profile's algorithms, known to be valid.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublicKey {
    /// A point on P-256.
    P256(key::PublicKey),
    /// A point on P-384.
    #[cfg(feature = "p384")]
    P384(P384PublicKey),
    /// An Ed25519 key.
    #[cfg(feature = "ed25519")]
    Ed25519(Ed25519PublicKey),
}

#[cfg(feature = "ed25519")]
pub use ed25519::Ed25519PublicKey;
#[cfg(feature = "p384")]
pub use p384::P384PublicKey;

impl PublicKey {
    /// Reads a raw public key: X || Y, big-endian, for the NIST curves, the 32-byte encoding of RFC 8032 for Ed25519.
    ///
    /// # Errors
    /// [`Error::PublicKey`] for another length, points off the curve and, with Ed25519, points of small order.
    pub fn from_bytes(algorithm: Algorithm, bytes: &[u8]) -> Result<Self> {
        match algorithm {
            Algorithm::P256 => p256::parse_public_key(bytes).map(Self::P256),
            #[cfg(feature = "p384")]
            Algorithm::P384 => P384PublicKey::from_xy(bytes).map(Self::P384),
            #[cfg(feature = "ed25519")]
            Algorithm::Ed25519 => Ed25519PublicKey::from_bytes(bytes).map(Self::Ed25519),
        }
    }

    /// The key's algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::P256(_) => Algorithm::P256,
            #[cfg(feature = "p384")]
            Self::P384(_) => Algorithm::P384,
            #[cfg(feature = "ed25519")]
            Self::Ed25519(_) => Algorithm::Ed25519,
        }
    }

    /// The raw public key, as [`from_bytes`](Self::from_bytes) reads it. Identifiers are derived from these bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::P256(key) => key.as_xy(),
            #[cfg(feature = "p384")]
            Self::P384(key) => key.as_xy(),
            #[cfg(feature = "ed25519")]
            Self::Ed25519(key) => key.as_bytes(),
        }
    }

    /// The key's identifier.
    ///
    /// # Errors
    /// None in practice, as for [`KeyId::of`].
    pub fn id(&self) -> Result<KeyId> {
        KeyId::of(self.as_bytes())
    }

    /// Verifies a signature over the concatenation of `message`.
    ///
    /// `signature` has the fixed form: r || s, big-endian, for ECDSA, R || S of RFC 8032 for Ed25519.
    ///
    /// # Errors
    /// [`Error::SignatureEncoding`] for another length or integers out of range, else [`Error::SignatureMismatch`].
    pub fn verify(&self, message: &[&[u8]], signature: &[u8]) -> Result<()> {
        match self {
            Self::P256(key) => p256::verify(key, message, signature),
            #[cfg(feature = "p384")]
            Self::P384(key) => key.verify(message, signature),
            #[cfg(feature = "ed25519")]
            Self::Ed25519(key) => key.verify(message, signature),
        }
    }

    /// Writes the X.509 SubjectPublicKeyInfo (RFC 5480, RFC 8410).
    pub fn write_spki(&self, writer: &mut DerWriter<'_>) {
        match self {
            Self::P256(key) => key.write_spki(writer),
            #[cfg(feature = "p384")]
            Self::P384(key) => key.write_spki(writer),
            #[cfg(feature = "ed25519")]
            Self::Ed25519(key) => key.write_spki(writer),
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({:?}, ", self.algorithm())?;
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for PublicKey {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "PublicKey({}, {=[u8]:02x})", self.algorithm(), self.as_bytes());
    }
}

/// The longest signature in the fixed form among the algorithms switched on.
const MAX_SIGNATURE_LEN: usize = if cfg!(feature = "p384") { 96 } else { 64 };

/// A signature in its fixed form: r || s, big-endian, for ECDSA, R || S of RFC 8032 for Ed25519.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    algorithm: Algorithm,
    bytes: [u8; MAX_SIGNATURE_LEN],
}

impl Signature {
    fn new(algorithm: Algorithm, fixed: &[u8]) -> Self {
        let mut bytes = [0; MAX_SIGNATURE_LEN];
        bytes.iter_mut().zip(fixed).for_each(|(to, from)| *to = *from);
        Self { algorithm, bytes }
    }

    /// The bytes of the fixed form.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.algorithm.signature_len()).unwrap_or_default()
    }

    /// Writes the X.509 `signatureValue`: the bit string with the DER form for ECDSA, with the bytes for Ed25519.
    pub(super) fn write_x509(&self, writer: &mut DerWriter<'_>) {
        match self.algorithm {
            Algorithm::P256 => write_ecdsa(writer, self.as_bytes()),
            #[cfg(feature = "p384")]
            Algorithm::P384 => write_ecdsa(writer, self.as_bytes()),
            #[cfg(feature = "ed25519")]
            Algorithm::Ed25519 => writer.bit_string(self.as_bytes()),
        }
    }
}

/// `Ecdsa-Sig-Value` (RFC 3279 §2.2.3) in a bit string.
fn write_ecdsa(writer: &mut DerWriter<'_>, fixed: &[u8]) {
    let (r, s) = fixed.split_at_checked(fixed.len() / 2).unwrap_or_default();
    writer.bit_string_of(|writer| {
        writer.sequence(|writer| {
            writer.unsigned_integer(r);
            writer.unsigned_integer(s);
        });
    });
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({:?}, ", self.algorithm)?;
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

enum Private<B: P256> {
    P256(SecretKey<B>),
    #[cfg(feature = "p384")]
    P384(p384::PrivateKey),
    #[cfg(feature = "ed25519")]
    Ed25519(ed25519::PrivateKey),
}

/// The key pair of a layer, wiped on drop. `B` does the arithmetic of P-256.
pub struct KeyPair<B: P256 = DefaultBackend> {
    private: Private<B>,
    public: PublicKey,
}

impl KeyPair {
    /// Derives the key pair of the layer that holds `cdi`, with the default P-256 backend.
    ///
    /// # Errors
    /// None in practice, as for [`Cdis::next`](super::Cdis::next).
    pub fn from_cdi(cdi: &CdiAttest, algorithm: Algorithm) -> Result<Self> {
        Self::from_seed_on(&KeySeed::derive(cdi)?, algorithm)
    }
}

impl<B: P256> KeyPair<B> {
    /// [`from_cdi`](KeyPair::from_cdi) with a P-256 backend chosen by the caller.
    ///
    /// # Errors
    /// None in practice, as for [`Cdis::next`](super::Cdis::next).
    pub fn from_cdi_on(cdi: &CdiAttest, algorithm: Algorithm) -> Result<Self> {
        Self::from_seed_on(&KeySeed::derive(cdi)?, algorithm)
    }

    /// Makes the key pair that belongs to a seed.
    ///
    /// # Errors
    /// [`Error::ScalarOutOfRange`] only if a backend miscalculates.
    pub fn from_seed_on(seed: &KeySeed, algorithm: Algorithm) -> Result<Self> {
        Ok(match algorithm {
            Algorithm::P256 => {
                let key = seed.p256_key::<B>()?;
                Self { public: PublicKey::P256(*key.public_key()), private: Private::P256(key) }
            }
            #[cfg(feature = "p384")]
            Algorithm::P384 => {
                let key = p384::PrivateKey::from_seed(seed)?;
                Self { public: PublicKey::P384(key.public_key()?), private: Private::P384(key) }
            }
            #[cfg(feature = "ed25519")]
            Algorithm::Ed25519 => {
                let key = ed25519::PrivateKey::from_seed(seed);
                Self { public: PublicKey::Ed25519(key.public_key()), private: Private::Ed25519(key) }
            }
        })
    }

    /// The public key.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.public.algorithm()
    }

    /// Signs a message. ECDSA takes its nonce from RFC 6979, so that the signature is deterministic.
    ///
    /// # Errors
    /// None in practice; a curve library that fails is reported as [`Error::ScalarOutOfRange`].
    pub fn sign(&self, message: &[u8]) -> Result<Signature> {
        let algorithm = self.algorithm();
        Ok(match &self.private {
            Private::P256(key) => Signature::new(algorithm, key.sign(message).as_bytes()),
            #[cfg(feature = "p384")]
            Private::P384(key) => Signature::new(algorithm, &key.sign(message)?),
            #[cfg(feature = "ed25519")]
            Private::Ed25519(key) => Signature::new(algorithm, &key.sign(message)?),
        })
    }
}

impl<B: P256> zeroize::ZeroizeOnDrop for KeyPair<B> {}

impl<B: P256> fmt::Debug for KeyPair<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("public", &self.public).finish_non_exhaustive()
    }
}
