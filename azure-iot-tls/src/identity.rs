//! What a device shows to a server: a certificate chain and a P-256 key that signs, wherever that key lives.

use super::IdentityError;
use core::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A device's certificate chain with the key of its leaf, on P-256 or, with rustls, P-384.
///
/// The key may be in memory, in a secure element or in another core: an adapter only asks for signatures, of a digest
/// that is already computed. `sign` takes `&self`, because that is what TLS implementations can call; a signer with
/// state of its own keeps it in a cell. It is called once a handshake and may block; a key that takes its time is
/// better an [`AsyncIdentity`](crate::AsyncIdentity), where the adapter takes one.
///
/// The trait is object-safe.
///
/// # Example
/// ```
/// use azure_iot_tls::{Identity, IdentityError, Signature};
///
/// /// A chain in flash and a key behind a function.
/// struct Device<'a> {
///     chain: &'a [&'a [u8]],
///     signer: fn(&[u8; 32]) -> Option<[u8; 64]>,
/// }
///
/// impl Identity for Device<'_> {
///     fn certificate(&self, index: usize) -> Option<&[u8]> {
///         self.chain.get(index).copied()
///     }
///
///     fn sign(&self, digest: &[u8; 32]) -> Result<Signature, IdentityError> {
///         (self.signer)(digest).map(Signature::from_bytes).ok_or(IdentityError::Signer)
///     }
/// }
/// ```
pub trait Identity {
    /// Certificate number `index` of the chain in DER, the leaf first, each signed by the next; `None` after the last.
    ///
    /// The root is left out: a server that does not have it will not take it from the device.
    fn certificate(&self, index: usize) -> Option<&[u8]>;

    /// Signs a digest with the leaf's key: ECDSA with P-256 (FIPS 186-5 §6.4.1), the digest used as it is. It is one of
    /// SHA-256, or the first 32 bytes of a longer one, which is all of it that ECDSA with P-256 takes.
    ///
    /// # Errors
    /// [`IdentityError::Signer`] if there is no signature to be had now, [`IdentityError::KeyUnusable`] if there never
    /// is.
    fn sign(&self, digest: &[u8; 32]) -> Result<Signature, IdentityError>;

    /// Whether the leaf's key is on P-384, and signs by [`sign_p384`](Self::sign_p384). The default is that it is on
    /// P-256. Only the adapter for rustls takes such keys; the others say [`IdentityError::UnsupportedKey`].
    fn is_p384(&self) -> bool {
        false
    }

    /// Signs a SHA-384 digest with a key on P-384: `r || s`, 48 bytes each, big-endian.
    ///
    /// # Errors
    /// [`IdentityError::Signer`] if there is no signature to be had, as by default.
    fn sign_p384(&self, digest: &[u8; 48]) -> Result<[u8; 96], IdentityError> {
        let _ = digest;
        Err(IdentityError::Signer)
    }

    /// The secret key, for an adapter whose TLS implementation takes nothing else, if the identity wants that to be
    /// possible. The default is that it does not.
    fn secret_key(&self) -> Option<SecretKey> {
        None
    }
}

impl<T: Identity + ?Sized> Identity for &T {
    fn certificate(&self, index: usize) -> Option<&[u8]> {
        (**self).certificate(index)
    }

    fn sign(&self, digest: &[u8; 32]) -> Result<Signature, IdentityError> {
        (**self).sign(digest)
    }

    fn is_p384(&self) -> bool {
        (**self).is_p384()
    }

    fn sign_p384(&self, digest: &[u8; 48]) -> Result<[u8; 96], IdentityError> {
        (**self).sign_p384(digest)
    }

    fn secret_key(&self) -> Option<SecretKey> {
        (**self).secret_key()
    }
}

/// A P-256 secret key: the scalar, 32 bytes, big-endian. Wiped on drop, never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretKey([u8; 32]);

impl SecretKey {
    /// Takes the scalar.
    #[must_use]
    pub const fn from_bytes(scalar: [u8; 32]) -> Self {
        Self(scalar)
    }

    /// The scalar.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for SecretKey {
    fn from(scalar: [u8; 32]) -> Self {
        Self(scalar)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// An ECDSA P-256 signature: `r || s`, 32 bytes each, big-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Signature([u8; 64]);

impl Signature {
    /// Takes `r || s`.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// `r || s`.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }

    /// The DER form that TLS sends (`Ecdsa-Sig-Value`, RFC 3279 §2.2.3).
    #[must_use]
    pub fn to_der(&self) -> DerSignature {
        let mut der = DerSignature { bytes: [0; DerSignature::MAX_LEN], len: 2 };
        let (r, s) = self.0.split_at(32);
        der.push_integer(r);
        der.push_integer(s);
        let content = u8::try_from(der.len - 2).unwrap_or(u8::MAX); // two integers of at most 35 bytes
        let [tag, length, ..] = &mut der.bytes;
        (*tag, *length) = (0x30, content);
        der
    }
}

/// A signature in DER, at most [`MAX_LEN`](Self::MAX_LEN) bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DerSignature {
    bytes: [u8; Self::MAX_LEN],
    len: usize,
}

impl DerSignature {
    /// The longest DER form of a P-256 signature, in bytes.
    pub const MAX_LEN: usize = 72;

    /// No signature: for those who cannot say that there is none.
    #[cfg(feature = "embedded-tls")]
    pub(super) const fn empty() -> Self {
        Self { bytes: [0; Self::MAX_LEN], len: 0 }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Appends an unsigned integer in the shortest form DER allows.
    fn push_integer(&mut self, value: &[u8]) {
        let zeros = value.iter().take_while(|byte| **byte == 0).count().min(value.len().saturating_sub(1));
        let digits = value.get(zeros..).unwrap_or_default();
        let sign = digits.first().is_some_and(|first| *first >= 0x80);
        let length = u8::try_from(digits.len() + usize::from(sign)).unwrap_or(u8::MAX); // at most 33
        self.push(&[2, length]);
        if sign {
            self.push(&[0]);
        }
        self.push(digits);
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = self.bytes.iter_mut().skip(self.len);
        room.zip(bytes).for_each(|(to, from)| *to = *from);
        self.len += bytes.len();
    }
}

impl AsRef<[u8]> for DerSignature {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::format;

    #[test]
    fn shortest_and_longest_der() {
        let mut bytes = [0; 64];
        bytes[31] = 1;
        bytes[63] = 2;
        assert_eq!(Signature::from_bytes(bytes).to_der().as_bytes(), [0x30, 6, 2, 1, 1, 2, 1, 2]);
        let der = Signature::from_bytes([0xff; 64]).to_der();
        assert_eq!(der.as_bytes().len(), DerSignature::MAX_LEN);
        assert_eq!(der.as_bytes()[..6], [0x30, 70, 2, 33, 0, 0xff]);
    }

    #[test]
    fn private_key_is_not_printed() {
        assert_eq!(format!("{:?}", SecretKey::from_bytes([7; 32])), "SecretKey(..)");
    }

    proptest! {
        #[test]
        fn der_reads_back(bytes: [[u8; 32]; 2], zeros in 0..32usize) {
            let mut raw = [0; 64];
            raw[..32].copy_from_slice(&bytes[0]);
            raw[32..].copy_from_slice(&bytes[1]);
            raw[..zeros].fill(0);
            let der = Signature::from_bytes(raw).to_der();
            let der = der.as_bytes();
            prop_assert_eq!((der[0], usize::from(der[1])), (0x30, der.len() - 2));
            let mut rest = &der[2..];
            for half in raw.chunks(32) {
                let (head, tail) = rest.split_at(2);
                prop_assert_eq!(head[0], 2);
                let (value, tail) = tail.split_at(usize::from(head[1]));
                prop_assert!(value[0] < 0x80);
                prop_assert!(value.len() == 1 || value[0] != 0 || value[1] >= 0x80);
                let mut wide = [0; 33];
                wide[33 - value.len()..].copy_from_slice(value);
                prop_assert_eq!(&wide[1..], half);
                rest = tail;
            }
            prop_assert!(rest.is_empty());
        }
    }
}
