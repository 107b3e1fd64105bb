//! Public keys and signature algorithms: which of them count, told by the bytes of their identifiers.

use der::asn1::{AnyRef, BitStringRef, UintRef};
use der::{Decode, Reader, SliceReader, Tag, Tagged};

use super::certificate::{end, inside, malformed};

/// The content of `AlgorithmIdentifier`, which has one form for each algorithm that counts (RFC 5480 §2.1.1, RFC 4055
/// §1.2).
const P256: &[u8] =
    &[0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P384: &[u8] = &[0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 0x06, 5, 0x2b, 0x81, 0x04, 0, 0x22];
/// `rsaEncryption` with its NULL, as far as the last byte of the identifier, which tells signatures with PKCS #1 v1.5
/// apart.
const RSA: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1];
const NULL: &[u8] = &[5, 0];
/// `ecdsa-with-SHA256` and `-SHA384`, as far as the byte that tells the hash.
const ECDSA: &[u8] = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3];
/// RSASSA-PSS with MGF1 of the same hash and a salt of its length (RFC 4055 §6), the hash's number and the salt's
/// length left out.
const PSS: [&[u8]; 3] = [
    &[
        0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10, 0x30, 0x34, 0xa0, 0x0f, 0x30, 13, 0x06, 9,
        0x60, 0x86, 0x48, 1, 101, 3, 4, 2,
    ],
    &[
        5, 0, 0xa1, 0x1c, 0x30, 0x1a, 0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 8, 0x30, 13, 0x06,
        9, 0x60, 0x86, 0x48, 1, 101, 3, 4, 2,
    ],
    &[5, 0, 0xa2, 3, 2, 1],
];

/// Bits of an RSA modulus that are not too few and not too many.
const RSA_BITS: core::ops::RangeInclusive<usize> = 2048..=8192;

/// The key of a certificate, of a kind that counts: ECDSA with P-256 or P-384, or RSA with 2048 to 8192 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey<'a> {
    kind: KeyKind,
    identifier: &'a [u8],
    bits: &'a [u8],
}

/// The kind of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA with P-256.
    P256,
    /// ECDSA with P-384.
    P384,
    /// RSA.
    Rsa,
}

impl<'a> PublicKey<'a> {
    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The content of its `AlgorithmIdentifier`, DER.
    #[must_use]
    pub const fn identifier(&self) -> &'a [u8] {
        self.identifier
    }

    /// The key itself: an uncompressed point (SEC 1), or an `RSAPublicKey` in DER (RFC 8017 §A.1.1).
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bits
    }

    /// Reads the content of a `SubjectPublicKeyInfo`; `None` if its key is none that counts.
    pub(super) fn read(mut spki: SliceReader<'a>) -> Result<Option<Self>, der::Error> {
        let identifier = sequence(spki.decode()?)?;
        let bits: BitStringRef<'a> = spki.decode()?;
        end(&spki)?;
        let bits = bits.as_bytes().ok_or_else(malformed)?;
        let point = |length| bits.len() == length && bits.first() == Some(&4);
        let kind = if identifier == P256 && point(65) {
            KeyKind::P256
        } else if identifier == P384 && point(97) {
            KeyKind::P384
        } else if identifier.strip_prefix(RSA) == Some(&[1, 5, 0]) && is_good_rsa(bits)? {
            KeyKind::Rsa
        } else {
            return Ok(None);
        };
        Ok(Some(Self { kind, identifier, bits }))
    }
}

/// Whether modulus and exponent are of sizes that count.
fn is_good_rsa(key: &[u8]) -> Result<bool, der::Error> {
    let mut key = inside(AnyRef::from_der(key)?, Tag::Sequence)?;
    let (modulus, exponent): (UintRef<'_>, UintRef<'_>) = (key.decode()?, key.decode()?);
    end(&key)?;
    let (modulus, exponent) = (modulus.as_bytes(), exponent.as_bytes());
    let leading = modulus.first().map_or(0, |byte| byte.leading_zeros());
    let bits = modulus.len() * 8 - usize::try_from(leading).unwrap_or(0); // at most 7
    let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
    let exponent_is_good = is_odd(exponent) && exponent.len() <= 4 && exponent != [1];
    Ok(RSA_BITS.contains(&bits) && is_odd(modulus) && exponent_is_good)
}

/// How a certificate is signed, of a kind that counts: no SHA-1, and no parameters but the usual ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignatureAlgorithm<'a> {
    kind: SignatureKind,
    hash: Hash,
    identifier: &'a [u8],
}

/// The kind of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureKind {
    /// ECDSA (RFC 5758 §3.2).
    Ecdsa,
    /// RSA, PKCS #1 v1.5 (RFC 4055 §5).
    Rsa,
    /// RSASSA-PSS, with MGF1 of the same hash and a salt as long as the hash.
    RsaPss,
}

/// The hash that is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512; with RSA only.
    Sha512,
}

impl<'a> SignatureAlgorithm<'a> {
    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> SignatureKind {
        self.kind
    }

    /// The hash.
    #[must_use]
    pub const fn hash(&self) -> Hash {
        self.hash
    }

    /// The content of its `AlgorithmIdentifier`, DER.
    #[must_use]
    pub const fn identifier(&self) -> &'a [u8] {
        self.identifier
    }

    /// Whether a key of this kind makes such signatures.
    #[must_use]
    pub const fn fits(&self, key: KeyKind) -> bool {
        matches!(self.kind, SignatureKind::Ecdsa) == matches!(key, KeyKind::P256 | KeyKind::P384)
    }

    /// Reads an `AlgorithmIdentifier`; `None` if it is none that counts.
    pub(super) fn read(algorithm: &'a [u8]) -> Result<Option<Self>, der::Error> {
        let identifier = sequence(AnyRef::from_der(algorithm)?)?;
        let found = ecdsa(identifier).or_else(|| rsa(identifier)).or_else(|| pss(identifier));
        Ok(found.map(|(kind, hash)| Self { kind, hash, identifier }))
    }
}

fn ecdsa(identifier: &[u8]) -> Option<(SignatureKind, Hash)> {
    match identifier.strip_prefix(ECDSA)? {
        [2] => Some((SignatureKind::Ecdsa, Hash::Sha256)),
        [3] => Some((SignatureKind::Ecdsa, Hash::Sha384)),
        _ => None,
    }
}

fn rsa(identifier: &[u8]) -> Option<(SignatureKind, Hash)> {
    let hash = match identifier.strip_prefix(RSA)?.strip_suffix(NULL)? {
        [11] => Hash::Sha256,
        [12] => Hash::Sha384,
        [13] => Hash::Sha512,
        _ => return None,
    };
    Some((SignatureKind::Rsa, hash))
}

fn pss(identifier: &[u8]) -> Option<(SignatureKind, Hash)> {
    let [head, middle, tail] = PSS;
    let (hash, rest) = identifier.strip_prefix(head)?.split_first()?;
    let (again, rest) = rest.strip_prefix(middle)?.split_first()?;
    let hash = match (hash, again, rest.strip_prefix(tail)?) {
        (1, 1, [32]) => Hash::Sha256,
        (2, 2, [48]) => Hash::Sha384,
        (3, 3, [64]) => Hash::Sha512,
        _ => return None,
    };
    Some((SignatureKind::RsaPss, hash))
}

fn sequence(value: AnyRef<'_>) -> Result<&[u8], der::Error> {
    if value.tag() == Tag::Sequence { Ok(value.value()) } else { Err(malformed()) }
}
