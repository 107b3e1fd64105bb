//! SHA-2 and HMAC behind one small trait; every state is wiped when dropped.
//!
//! HMAC is written here, on the hash, because the library's leaves the padded key on the stack.

use crate::secret::Secret;
use core::fmt;
use der::asn1::ObjectIdentifier;
use sha2::Digest;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The block length of SHA-512, the longest of the family, in bytes.
const MAX_BLOCK_LEN: usize = 128;

mod sealed {
    /// Keeps [`Hash`](super::Hash) to the functions of this module.
    pub trait Sealed {}
}

/// The name of a hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum HashAlgorithm {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl HashAlgorithm {
    /// Length of the digest in bytes.
    #[must_use]
    pub const fn output_len(self) -> usize {
        match self {
            Self::Sha256 => Sha256::OUTPUT_LEN,
            Self::Sha384 => Sha384::OUTPUT_LEN,
            Self::Sha512 => Sha512::OUTPUT_LEN,
        }
    }

    /// Algorithm identifier (RFC 5754).
    #[must_use]
    pub const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Sha256 => Sha256::OID,
            Self::Sha384 => Sha384::OID,
            Self::Sha512 => Sha512::OID,
        }
    }

    /// The function with the given identifier, if it is one of these.
    #[must_use]
    pub fn from_oid(oid: &ObjectIdentifier) -> Option<Self> {
        [Self::Sha256, Self::Sha384, Self::Sha512].into_iter().find(|algorithm| algorithm.oid() == *oid)
    }
}

/// A hash function of the SHA-2 family (FIPS 180-4), fed piece by piece.
///
/// Implemented by [`Sha256`], [`Sha384`] and [`Sha512`] only.
pub trait Hash: Clone + Default + ZeroizeOnDrop + sealed::Sealed {
    /// The digest: an array of [`OUTPUT_LEN`](Self::OUTPUT_LEN) bytes.
    type Output: AsRef<[u8]> + AsMut<[u8]> + Copy + fmt::Debug + Eq + Zeroize;

    /// The function's name.
    const ALGORITHM: HashAlgorithm;
    /// Length of the digest in bytes.
    const OUTPUT_LEN: usize;
    /// Length of the block the function works on, in bytes.
    const BLOCK_LEN: usize;
    /// Algorithm identifier (RFC 5754).
    const OID: ObjectIdentifier;
    /// A digest of zero bytes, to be overwritten.
    const ZERO: Self::Output;

    /// Takes the next bytes of the message.
    fn update(&mut self, bytes: &[u8]);

    /// The digest of everything taken.
    #[must_use]
    fn finalize(self) -> Self::Output;

    /// The digest of one message.
    #[must_use]
    fn digest(message: &[u8]) -> Self::Output {
        Self::digest_parts(&[message])
    }

    /// The digest of the concatenation of `parts`.
    #[must_use]
    fn digest_parts(parts: &[&[u8]]) -> Self::Output {
        let mut hash = Self::default();
        for part in parts {
            hash.update(part);
        }
        hash.finalize()
    }
}

macro_rules! hash {
    ($name:ident, $inner:ty, $len:literal, $block:literal, $oid:literal, $title:literal) => {
        #[doc = concat!($title, " (FIPS 180-4), fed piece by piece and wiped on drop.")]
        #[derive(Clone, Default)]
        pub struct $name($inner);

        impl sealed::Sealed for $name {}

        impl Hash for $name {
            type Output = [u8; $len];

            const ALGORITHM: HashAlgorithm = HashAlgorithm::$name;
            const OUTPUT_LEN: usize = $len;
            const BLOCK_LEN: usize = $block;
            const OID: ObjectIdentifier = ObjectIdentifier::new_unwrap($oid);
            const ZERO: [u8; $len] = [0; $len];

            fn update(&mut self, bytes: &[u8]) {
                Digest::update(&mut self.0, bytes);
            }

            fn finalize(self) -> Self::Output {
                Digest::finalize(self.0).into()
            }
        }

        impl ZeroizeOnDrop for $name {}

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

hash!(Sha256, sha2::Sha256, 32, 64, "2.16.840.1.101.3.4.2.1", "SHA-256");
hash!(Sha384, sha2::Sha384, 48, 128, "2.16.840.1.101.3.4.2.2", "SHA-384");
hash!(Sha512, sha2::Sha512, 64, 128, "2.16.840.1.101.3.4.2.3", "SHA-512");

/// HMAC (RFC 2104) over `H`, fed piece by piece and wiped on drop.
#[derive(Clone)]
pub struct Hmac<H: Hash> {
    inner: H,
    outer: H,
}

impl<H: Hash> Hmac<H> {
    /// Starts with `key`, which may have any length.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        let mut hashed = H::ZERO;
        let key = if key.len() > H::BLOCK_LEN {
            hashed = H::digest(key);
            hashed.as_ref()
        } else {
            key
        };
        let mut state = Self { inner: H::default(), outer: H::default() };
        let mut pad = Secret::<MAX_BLOCK_LEN>::zeroed();
        for (hash, fill) in [(&mut state.inner, 0x36), (&mut state.outer, 0x5c)] {
            pad.expose_mut().fill(fill);
            pad.expose_mut().iter_mut().zip(key).for_each(|(pad, key)| *pad ^= *key);
            hash.update(pad.expose().get(..H::BLOCK_LEN).unwrap_or_default());
        }
        hashed.zeroize();
        state
    }

    /// Takes the next bytes of the message.
    pub fn update(&mut self, bytes: &[u8]) {
        self.inner.update(bytes);
    }

    /// The code over everything taken.
    #[must_use]
    pub fn finalize(self) -> H::Output {
        let Self { inner, mut outer } = self;
        let mut digest = inner.finalize();
        outer.update(digest.as_ref());
        digest.zeroize();
        outer.finalize()
    }

    /// The code of the concatenation of `parts` under `key`.
    #[must_use]
    pub fn mac(key: &[u8], parts: &[&[u8]]) -> H::Output {
        let mut mac = Self::new(key);
        for part in parts {
            mac.update(part);
        }
        mac.finalize()
    }

    /// Whether `tag` is the code over everything taken, in constant time.
    ///
    /// A `tag` shorter than the code is compared with the code's first bytes (RFC 2104 §5); an empty one never matches.
    #[must_use]
    pub fn verify(self, tag: &[u8]) -> bool {
        let mut code = self.finalize();
        let matches = match code.as_ref().get(..tag.len()) {
            Some(head) if !tag.is_empty() => bool::from(head.ct_eq(tag)),
            _ => false,
        };
        code.zeroize();
        matches
    }
}

impl<H: Hash> ZeroizeOnDrop for Hmac<H> {}

impl<H: Hash> fmt::Debug for Hmac<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hmac(..)")
    }
}
