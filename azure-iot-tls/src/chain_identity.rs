//! An identity that owns what it shows.

use crate::{Identity, IdentityError, SecretKey, Signature};
use core::fmt;
use heapless::Vec;

/// The most certificates of a [`ChainIdentity`].
const MAX_CERTIFICATES: usize = 4;

/// A chain, copied into `SIZE` bytes, and what signs for its leaf: a [`SecretKey`], or a [`Signer`] of your own.
///
/// ```
/// use azure_iot_tls::{ChainIdentity, Identity, IdentityError, SecretKey};
///
/// // From DICE, or from wherever there is a chain and a scalar:
/// let (leaf, issuer, scalar) = ([0x30; 700], [0x30; 500], [7; 32]);
/// let identity = ChainIdentity::<SecretKey, 1536>::new(&[&leaf, &issuer], scalar)?;
/// assert_eq!(identity.certificate(1), Some(&issuer[..]));
/// # Ok::<(), IdentityError>(())
/// ```
#[derive(Clone)]
pub struct ChainIdentity<K = SecretKey, const SIZE: usize = 1536> {
    chain: Vec<u8, SIZE>,
    /// Where each certificate ends.
    ends: Vec<usize, MAX_CERTIFICATES>,
    key: K,
}

/// Signs for the leaf of a [`ChainIdentity`].
pub trait Signer {
    /// As [`Identity::sign`].
    ///
    /// # Errors
    /// [`IdentityError::Signer`] if there is no signature to be had.
    fn sign(&self, digest: &[u8; 32]) -> Result<Signature, IdentityError>;

    /// As [`Identity::secret_key`].
    fn secret_key(&self) -> Option<SecretKey> {
        None
    }
}

/// Signs by the crate p256 (RFC 6979) with the features `rustls` and `embedded-tls`. Mbed TLS takes the key and signs
/// by itself; with no other adapter there is nobody to sign, and no code for it.
impl Signer for SecretKey {
    #[cfg(any(feature = "rustls", feature = "embedded-tls"))]
    fn sign(&self, digest: &[u8; 32]) -> Result<Signature, IdentityError> {
        use p256::ecdsa::signature::hazmat::PrehashSigner;
        use p256::ecdsa::{self, SigningKey};
        let key = SigningKey::from_slice(self.as_bytes()).map_err(|_| IdentityError::Signer)?;
        let signature: ecdsa::Signature = key.sign_prehash(digest).map_err(|_| IdentityError::Signer)?;
        Ok(Signature::from_bytes(signature.to_bytes().into()))
    }

    #[cfg(not(any(feature = "rustls", feature = "embedded-tls")))]
    fn sign(&self, _: &[u8; 32]) -> Result<Signature, IdentityError> {
        Err(IdentityError::Signer)
    }

    fn secret_key(&self) -> Option<SecretKey> {
        Some(self.clone())
    }
}

/// A key somewhere else, behind a function.
impl<F: Fn(&[u8; 32]) -> Result<Signature, IdentityError>> Signer for F {
    fn sign(&self, digest: &[u8; 32]) -> Result<Signature, IdentityError> {
        self(digest)
    }
}

impl<K, const SIZE: usize> ChainIdentity<K, SIZE> {
    /// Copies the certificates (DER, the leaf first, without the root), and takes the key of the leaf.
    ///
    /// # Errors
    /// [`IdentityError::NoCertificate`] without any, [`IdentityError::ChainTooLong`] if they are more than four or
    /// longer than `SIZE` bytes.
    pub fn new(chain: &[&[u8]], key: impl Into<K>) -> Result<Self, IdentityError> {
        let mut identity = Self { chain: Vec::new(), ends: Vec::new(), key: key.into() };
        for certificate in chain.iter().filter(|certificate| !certificate.is_empty()) {
            identity.chain.extend_from_slice(certificate).map_err(|_| IdentityError::ChainTooLong)?;
            identity.ends.push(identity.chain.len()).map_err(|_| IdentityError::ChainTooLong)?;
        }
        if identity.ends.is_empty() { Err(IdentityError::NoCertificate) } else { Ok(identity) }
    }

    /// The certificates, the leaf first.
    pub fn certificates(&self) -> impl Iterator<Item = &[u8]> {
        let starts = core::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| self.chain.get(start..*end).unwrap_or_default())
    }

    /// What signs.
    pub const fn key(&self) -> &K {
        &self.key
    }
}

impl<K: Signer, const SIZE: usize> Identity for ChainIdentity<K, SIZE> {
    fn certificate(&self, index: usize) -> Option<&[u8]> {
        self.certificates().nth(index)
    }

    fn sign(&self, digest: &[u8; 32]) -> Result<Signature, IdentityError> {
        self.key.sign(digest)
    }

    fn secret_key(&self) -> Option<SecretKey> {
        self.key.secret_key()
    }
}

impl<K, const SIZE: usize> fmt::Debug for ChainIdentity<K, SIZE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChainIdentity").field("certificates", &self.ends.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn a_chain_fits_or_is_refused() {
        type Small<const SIZE: usize> = ChainIdentity<SecretKey, SIZE>;
        let (leaf, issuer): (&[u8], &[u8]) = (&[1, 2, 3], &[4, 5]);
        let identity = Small::<5>::new(&[leaf, issuer], [7; 32]).unwrap();
        assert_eq!((identity.certificate(0), identity.certificate(1)), (Some(leaf), Some(issuer)));
        assert_eq!(identity.certificate(2), None);
        assert_eq!(Identity::secret_key(&identity).unwrap().as_bytes(), &[7; 32]);
        assert_eq!(Small::<4>::new(&[leaf, issuer], [7; 32]).unwrap_err(), IdentityError::ChainTooLong);
        assert_eq!(Small::<9>::new(&[leaf; 5], [7; 32]).unwrap_err(), IdentityError::ChainTooLong);
        assert_eq!(Small::<9>::new(&[&[]], [7; 32]).unwrap_err(), IdentityError::NoCertificate);
        assert!(!std::format!("{identity:?}").contains('7'));
    }

    #[cfg(feature = "rustls")]
    #[test]
    fn a_secret_key_signs() {
        use p256::ecdsa::signature::hazmat::PrehashVerifier;
        let key = SecretKey::from_bytes([7; 32]);
        let signature = p256::ecdsa::Signature::from_slice(key.sign(&[9; 32]).unwrap().as_bytes()).unwrap();
        let public = *p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap().verifying_key();
        public.verify_prehash(&[9; 32], &signature).unwrap();
        assert_eq!(SecretKey::from_bytes([0; 32]).sign(&[9; 32]), Err(IdentityError::Signer));
    }
}
