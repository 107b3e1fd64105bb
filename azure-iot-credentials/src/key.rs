//! Keys that certificates are asked for: made on the device and kept in memory ([`PrivateKey`]), or anywhere else
//! behind [`RequestSigner`] or, where a signature is awaited, [`AsyncRequestSigner`]: in a secure element's slot, for
//! example.

use crate::Error;
use core::fmt;
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256, Sha384};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The longest scalar, in bytes.
pub const MAX_SCALAR: usize = 48;
/// The longest public key, in bytes.
pub const MAX_POINT: usize = 97;

/// The curve of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Curve {
    /// NIST P-256: signs SHA-256 digests.
    P256,
    /// NIST P-384: signs SHA-384 digests. The service's documentation takes no others for certificates it issues.
    P384,
}

impl Curve {
    /// Bytes of a scalar, and of half a signature.
    #[must_use]
    pub const fn scalar_len(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }

    /// Bytes of an uncompressed point.
    #[must_use]
    pub const fn point_len(self) -> usize {
        2 * self.scalar_len() + 1
    }
}

/// A public key: the uncompressed point, `04 || x || y`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey {
    curve: Curve,
    point: [u8; MAX_POINT],
}

impl PublicKey {
    /// Takes an uncompressed point. Whether it is on the curve is for the issuer to find out.
    ///
    /// # Errors
    /// [`Error::Key`] if it has another length or form.
    pub fn from_point(curve: Curve, point: &[u8]) -> Result<Self, Error> {
        if point.len() != curve.point_len() || point.first() != Some(&4) {
            return Err(Error::Key);
        }
        let mut own = [0; MAX_POINT];
        own.iter_mut().zip(point).for_each(|(to, from)| *to = *from);
        Ok(Self { curve, point: own })
    }

    /// Its curve.
    #[must_use]
    pub const fn curve(&self) -> Curve {
        self.curve
    }

    /// The uncompressed point.
    #[must_use]
    pub fn point(&self) -> &[u8] {
        self.point.get(..self.curve.point_len()).unwrap_or_default()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey").field("curve", &self.curve).finish_non_exhaustive()
    }
}

/// An ECDSA signature: `r || s`, each as long as a scalar, big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    curve: Curve,
    bytes: [u8; 2 * MAX_SCALAR],
}

impl Signature {
    /// Takes `r || s`.
    ///
    /// # Errors
    /// [`Error::Signer`] if it has another length.
    pub fn from_bytes(curve: Curve, bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() != 2 * curve.scalar_len() {
            return Err(Error::Signer);
        }
        let mut own = [0; 2 * MAX_SCALAR];
        own.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        Ok(Self { curve, bytes: own })
    }

    /// Its curve.
    #[must_use]
    pub const fn curve(&self) -> Curve {
        self.curve
    }

    /// `r || s`.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..2 * self.curve.scalar_len()).unwrap_or_default()
    }
}

/// Signs certificate signing requests, wherever the key is.
pub trait RequestSigner {
    /// The public key.
    ///
    /// # Errors
    /// Why there is none.
    fn public_key(&self) -> Result<PublicKey, Error>;

    /// Signs a digest as it is: SHA-256 for P-256, SHA-384 for P-384 (FIPS 186-5, section 6.4.1).
    ///
    /// # Errors
    /// [`Error::Signer`] if there is no signature to be had.
    fn sign(&self, digest: &[u8]) -> Result<Signature, Error>;
}

impl<T: RequestSigner + ?Sized> RequestSigner for &T {
    fn public_key(&self) -> Result<PublicKey, Error> {
        (**self).public_key()
    }

    fn sign(&self, digest: &[u8]) -> Result<Signature, Error> {
        (**self).sign(digest)
    }
}

/// As [`RequestSigner`], with a key that takes its time: in a secure element on a bus, for example. Every
/// [`RequestSigner`] is one.
///
/// ```
/// use azure_iot_credentials::Error;
/// use azure_iot_credentials::key::{AsyncRequestSigner, Curve, PublicKey, Signature};
///
/// /// A key in a slot of a chip: its public half, which the chip told when it made the key, and the chip's driver.
/// struct Slot<C> {
///     public: PublicKey,
///     chip: C,
/// }
///
/// impl<C: AsyncFn(&[u8]) -> Option<[u8; 64]>> AsyncRequestSigner for Slot<C> {
///     fn public_key(&self) -> Result<PublicKey, Error> {
///         Ok(self.public)
///     }
///
///     async fn sign(&self, digest: &[u8]) -> Result<Signature, Error> {
///         let signature = (self.chip)(digest).await.ok_or(Error::Signer)?;
///         Signature::from_bytes(Curve::P256, &signature)
///     }
/// }
/// ```
pub trait AsyncRequestSigner {
    /// As [`RequestSigner::public_key`]: it is known without asking the key.
    ///
    /// # Errors
    /// Why there is none.
    fn public_key(&self) -> Result<PublicKey, Error>;

    /// As [`RequestSigner::sign`].
    ///
    /// # Errors
    /// As [`RequestSigner::sign`].
    async fn sign(&self, digest: &[u8]) -> Result<Signature, Error>;
}

impl<T: RequestSigner + ?Sized> AsyncRequestSigner for T {
    fn public_key(&self) -> Result<PublicKey, Error> {
        RequestSigner::public_key(self)
    }

    async fn sign(&self, digest: &[u8]) -> Result<Signature, Error> {
        RequestSigner::sign(self, digest)
    }
}

/// The digest of a message as a key of one curve signs it.
#[derive(Clone, Copy)]
pub(crate) struct Digest {
    curve: Curve,
    bytes: [u8; MAX_SCALAR],
}

impl Digest {
    pub(crate) fn of(curve: Curve, message: &[u8]) -> Self {
        let mut digest = Self { curve, bytes: [0; MAX_SCALAR] };
        let mut take = |hash: &[u8]| digest.bytes.iter_mut().zip(hash).for_each(|(to, from)| *to = *from);
        match curve {
            Curve::P256 => take(&Sha256::digest(message)),
            Curve::P384 => take(&Sha384::digest(message)),
        }
        digest
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.curve.scalar_len()).unwrap_or_default()
    }
}

/// A private key in memory. Wiped on drop, never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct PrivateKey {
    #[zeroize(skip)]
    curve: Curve,
    scalar: [u8; MAX_SCALAR],
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey").field("curve", &self.curve).finish_non_exhaustive()
    }
}

/// Scalars that are drawn before the random numbers are given up: one in 2³² is not on P-256, far fewer on P-384.
const DRAWS: usize = 8;

impl PrivateKey {
    /// Makes a key.
    ///
    /// # Errors
    /// [`Error::Key`] if the curve's feature is not enabled, or `rng` gives nothing usable.
    pub fn generate(curve: Curve, rng: &mut impl CryptoRng) -> Result<Self, Error> {
        for _ in 0..DRAWS {
            let mut key = Self { curve, scalar: [0; MAX_SCALAR] };
            rng.fill_bytes(key.scalar.get_mut(..curve.scalar_len()).unwrap_or_default());
            if RequestSigner::public_key(&key).is_ok() {
                return Ok(key);
            }
        }
        Err(Error::Key)
    }

    /// Takes a scalar, big-endian.
    ///
    /// # Errors
    /// [`Error::Key`] if it is none of the curve, or the curve's feature is not enabled.
    pub fn from_scalar(curve: Curve, scalar: &[u8]) -> Result<Self, Error> {
        if scalar.len() != curve.scalar_len() {
            return Err(Error::Key);
        }
        let mut key = Self { curve, scalar: [0; MAX_SCALAR] };
        key.scalar.iter_mut().zip(scalar).for_each(|(to, from)| *to = *from);
        RequestSigner::public_key(&key)?;
        Ok(key)
    }

    /// Its curve.
    #[must_use]
    pub const fn curve(&self) -> Curve {
        self.curve
    }

    /// The scalar, big-endian.
    #[must_use]
    pub fn scalar(&self) -> &[u8] {
        self.scalar.get(..self.curve.scalar_len()).unwrap_or_default()
    }
}

macro_rules! on_curve {
    ($feature:literal, $crate_name:ident, $public:ident, $sign:ident) => {
        #[cfg(feature = $feature)]
        fn $public(scalar: &[u8], curve: Curve) -> Result<PublicKey, Error> {
            use $crate_name::elliptic_curve::sec1::ToSec1Point;
            let key = $crate_name::SecretKey::from_slice(scalar).map_err(|_| Error::Key)?;
            PublicKey::from_point(curve, key.public_key().to_sec1_point(false).as_bytes())
        }

        #[cfg(feature = $feature)]
        fn $sign(scalar: &[u8], curve: Curve, digest: &[u8]) -> Result<Signature, Error> {
            use $crate_name::ecdsa::signature::hazmat::PrehashSigner;
            let key = $crate_name::ecdsa::SigningKey::from_slice(scalar).map_err(|_| Error::Key)?;
            let signature: $crate_name::ecdsa::Signature =
                key.sign_prehash(digest).map_err(|_| Error::Signer)?;
            Signature::from_bytes(curve, &signature.to_bytes())
        }

        #[cfg(not(feature = $feature))]
        fn $public(_: &[u8], _: Curve) -> Result<PublicKey, Error> {
            Err(Error::Key)
        }

        #[cfg(not(feature = $feature))]
        fn $sign(_: &[u8], _: Curve, _: &[u8]) -> Result<Signature, Error> {
            Err(Error::Key)
        }
    };
}

on_curve!("p256", p256, public_p256, sign_p256);
on_curve!("p384", p384, public_p384, sign_p384);

/// Signs as RFC 6979 says: without random numbers.
impl RequestSigner for PrivateKey {
    fn public_key(&self) -> Result<PublicKey, Error> {
        match self.curve {
            Curve::P256 => public_p256(self.scalar(), self.curve),
            Curve::P384 => public_p384(self.scalar(), self.curve),
        }
    }

    fn sign(&self, digest: &[u8]) -> Result<Signature, Error> {
        match self.curve {
            Curve::P256 => sign_p256(self.scalar(), self.curve, digest),
            Curve::P384 => sign_p384(self.scalar(), self.curve, digest),
        }
    }
}
