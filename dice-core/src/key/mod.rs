//! P-256 keys and ECDSA signatures (FIPS 186-5, RFC 6979), independent of who does the curve arithmetic.

mod backend;
#[cfg(all(feature = "p256-cm4", target_arch = "arm"))]
mod cm4;
mod comb;
mod comb_table;
mod encode;
mod order;
mod signature;
mod traits;

pub use backend::{DefaultBackend, P256, Portable};
#[cfg(all(feature = "p256-cm4", target_arch = "arm"))]
pub use cm4::CortexM4;
pub use signature::Signature;

use crate::hash::{Hash, Sha256};
use crate::secret::Secret;
use crate::{Error, Result};
use core::fmt;
use core::marker::PhantomData;
use subtle::ConstantTimeEq;
use zeroize::ZeroizeOnDrop;

/// Length of a private scalar in bytes.
pub const SCALAR_LEN: usize = 32;
/// Length of an uncompressed public key, `04 || X || Y`, in bytes.
pub const SEC1_LEN: usize = 65;
/// The shortest digest that a signature is verified over, in bytes.
const MIN_DIGEST_LEN: usize = 16;

/// The identifier of a public key in certificates: 20 bytes.
pub type KeyIdentifier = [u8; 20];

/// A P-256 public key: a point that is known to be on the curve and is not the point at infinity.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey {
    sec1: [u8; SEC1_LEN],
}

impl PublicKey {
    /// Reads an uncompressed point (SEC 1 §2.3.3: `04 || X || Y`) and checks that it is on the curve.
    ///
    /// # Errors
    /// [`Error::PublicKey`] for any other length or form, and for points off the curve.
    pub fn from_sec1(bytes: &[u8]) -> Result<Self> {
        let Some((0x04, xy)) = bytes.split_first() else { return Err(Error::PublicKey) };
        let (halves, []) = xy.as_chunks() else { return Err(Error::PublicKey) };
        let [x, y] = halves else { return Err(Error::PublicKey) };
        Self::from_affine(x, y)
    }

    /// Reads the two affine coordinates, big-endian, and checks that the point is on the curve.
    ///
    /// # Errors
    /// [`Error::PublicKey`] if it is not.
    pub fn from_affine(x: &[u8; 32], y: &[u8; 32]) -> Result<Self> {
        if DefaultBackend::is_on_curve(x, y) { Ok(Self { sec1: join(x, y) }) } else { Err(Error::PublicKey) }
    }

    /// The uncompressed point, `04 || X || Y`, coordinates big-endian.
    #[must_use]
    pub const fn as_sec1(&self) -> &[u8; SEC1_LEN] {
        &self.sec1
    }

    /// The coordinates without the leading `04`.
    #[must_use]
    pub fn as_xy(&self) -> &[u8; 64] {
        let [_, xy @ ..] = &self.sec1;
        xy
    }

    /// The key's identifier for subjectKeyIdentifier and authorityKeyIdentifier: the first 160 bits of the SHA-256
    /// digest of the point (RFC 7093 §2, method 1).
    #[must_use]
    pub fn identifier(&self) -> KeyIdentifier {
        *Sha256::digest(&self.sec1).first_chunk().unwrap_or(&[0; 20])
    }

    /// Verifies an ECDSA signature over the SHA-256 digest of `message`.
    ///
    /// # Errors
    /// [`Error::SignatureMismatch`].
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<()> {
        self.verify_prehash(&Sha256::digest(message), signature)
    }

    /// Verifies an ECDSA signature over a message digest; a digest longer than 32 bytes is cut (FIPS 186-5 §6.4.2).
    ///
    /// # Errors
    /// [`Error::SignatureMismatch`], also for digests under 16 bytes.
    pub fn verify_prehash(&self, digest: &[u8], signature: &Signature) -> Result<()> {
        self.verify_prehash_on::<DefaultBackend>(digest, signature)
    }

    /// [`verify_prehash`](Self::verify_prehash) with a backend chosen by the caller.
    ///
    /// # Errors
    /// [`Error::SignatureMismatch`], also for digests under 16 bytes.
    pub fn verify_prehash_on<B: P256>(&self, digest: &[u8], signature: &Signature) -> Result<()> {
        if digest.len() >= MIN_DIGEST_LEN && B::verify(self, &backend::reduce(digest), signature) {
            Ok(())
        } else {
            Err(Error::SignatureMismatch)
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey(")?;
        self.sec1.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// Joins two coordinates to an uncompressed point.
fn join(x: &[u8; 32], y: &[u8; 32]) -> [u8; SEC1_LEN] {
    let mut sec1 = [0x04; SEC1_LEN];
    sec1.iter_mut().skip(1).zip(x.iter().chain(y)).for_each(|(to, from)| *to = *from);
    sec1
}

/// A P-256 private key with its public key.
///
/// The scalar is wiped on drop and never printed. `B` does the curve arithmetic: [`DefaultBackend`] unless named.
pub struct SecretKey<B: P256 = DefaultBackend> {
    scalar: Secret<SCALAR_LEN>,
    public: PublicKey,
    backend: PhantomData<B>,
}

impl SecretKey {
    /// Takes a private scalar, 32 bytes big-endian, and computes its public key with [`DefaultBackend`].
    ///
    /// # Errors
    /// [`Error::ScalarOutOfRange`] for zero and for values not below the group order.
    pub fn from_scalar(scalar: Secret<SCALAR_LEN>) -> Result<Self> {
        Self::from_scalar_on(scalar)
    }
}

impl<B: P256> SecretKey<B> {
    /// [`from_scalar`](SecretKey::from_scalar) with a backend chosen by the caller.
    ///
    /// # Errors
    /// [`Error::ScalarOutOfRange`] for zero and for values not below the group order.
    pub fn from_scalar_on(scalar: Secret<SCALAR_LEN>) -> Result<Self> {
        backend::check_scalar::<B>(&scalar)?;
        let (x, y) = B::mul_base(&scalar);
        // A multiple of the base point needs no check.
        Ok(Self { scalar, public: PublicKey { sec1: join(&x, &y) }, backend: PhantomData })
    }

    /// The public key.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The private scalar, 32 bytes big-endian.
    #[must_use]
    pub const fn expose_scalar(&self) -> &Secret<SCALAR_LEN> {
        &self.scalar
    }

    /// Signs the SHA-256 digest of `message`: deterministic ECDSA with the nonce of RFC 6979.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        self.sign_prehash::<Sha256>(&Sha256::digest(message))
    }

    /// Signs a message digest: deterministic ECDSA, the nonce drawn with HMAC_DRBG over `H` (RFC 6979 §3.2).
    ///
    /// The digest may have any length; what is beyond 32 bytes is cut (FIPS 186-5 §6.4.1). RFC 6979 uses for `H` the
    /// hash function that made the digest.
    #[must_use]
    pub fn sign_prehash<H: Hash>(&self, digest: &[u8]) -> Signature {
        backend::sign_rfc6979::<B, H>(&self.scalar, digest)
    }
}

impl<B: P256> PartialEq for SecretKey<B> {
    fn eq(&self, other: &Self) -> bool {
        self.scalar.ct_eq(&other.scalar).into()
    }
}

impl<B: P256> Eq for SecretKey<B> {}

impl<B: P256> ZeroizeOnDrop for SecretKey<B> {}

impl<B: P256> fmt::Debug for SecretKey<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey").field("public", &self.public).finish_non_exhaustive()
    }
}

/// ECDSA with a nonce everybody knows.
#[cfg(feature = "legacy-insecure-constant-nonce")]
pub(crate) fn sign_with_public_nonce<B: P256>(
    key: &SecretKey<B>,
    nonce: [u8; SCALAR_LEN],
    digest: &[u8],
) -> Result<Signature> {
    backend::sign_with_nonce::<B>(&key.scalar, &Secret::new(nonce), &backend::reduce(digest))
}

/// Something that signs with one P-256 key: a [`SecretKey`], a key slot of a secure element, a test double.
///
/// Certificates are issued through this trait. A signer that is asynchronous does not need it: take the digest from
/// the unfinished certificate, have it signed, and finish the certificate with the signature.
pub trait Signer {
    /// What can go wrong. It can hold this crate's errors, so that issuing a certificate reports one type.
    type Error: From<Error>;

    /// The public key that verifies the signatures.
    fn public_key(&self) -> &PublicKey;

    /// Signs a SHA-256 digest.
    ///
    /// # Errors
    /// Whatever the device that holds the key reports.
    fn sign_sha256(&mut self, digest: &[u8; 32]) -> core::result::Result<Signature, Self::Error>;
}

impl<B: P256> Signer for &SecretKey<B> {
    type Error = Error;

    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign_sha256(&mut self, digest: &[u8; 32]) -> core::result::Result<Signature, Error> {
        Ok(self.sign_prehash::<Sha256>(digest))
    }
}

impl<S: Signer> Signer for &mut S {
    type Error = S::Error;

    fn public_key(&self) -> &PublicKey {
        S::public_key(self)
    }

    fn sign_sha256(&mut self, digest: &[u8; 32]) -> core::result::Result<Signature, S::Error> {
        S::sign_sha256(self, digest)
    }
}
