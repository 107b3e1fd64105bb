//! The curve arithmetic behind the keys: who multiplies the base point, and ECDSA signing on top of it.

use super::order::Number;
use super::signature::Signature;
use super::{PublicKey, SCALAR_LEN, comb};
use crate::hash::Hash;
use crate::kdf::HmacDrbg;
use crate::secret::Secret;
use crate::{Error, Result};
use p256::ecdsa::VerifyingKey;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::elliptic_curve::ff::PrimeField;
use p256::elliptic_curve::point::AffineCoordinates;
use p256::{AffinePoint, FieldBytes, Scalar};
use zeroize::{Zeroize, Zeroizing};

/// The part of P-256 that decides the speed of key derivation, signing and verification: base-point multiplication, and
/// what an implementation of it may bring along.
///
/// An implementation in assembly or on a hardware engine replaces the portable one by naming its type as the backend of
/// a [`SecretKey`](super::SecretKey). Nonces are this crate's business, and so is the ECDSA equation unless the
/// implementation has its own.
pub trait P256: 'static {
    /// Computes the affine coordinates x and y of `scalar · G`, all big-endian. The scalar is at least 1 and below the
    /// group order.
    ///
    /// The time taken must not depend on the scalar, and whatever is left of it in memory must be wiped.
    fn mul_base(scalar: &Secret<SCALAR_LEN>) -> ([u8; 32], [u8; 32]);

    /// The numbers of an ECDSA signature, big-endian: r = (nonce · G).x mod n and s = nonce⁻¹ (digest + r · key) mod n.
    /// Key and nonce are at least 1 and below the group order n, the digest is below n. Either number may come out as
    /// zero.
    ///
    /// Computed on top of [`mul_base`](Self::mul_base), unless an implementation has arithmetic modulo n, too. What
    /// holds there for time and memory holds here.
    #[must_use]
    fn ecdsa(
        key: &Secret<SCALAR_LEN>,
        nonce: &Secret<SCALAR_LEN>,
        digest: &[u8; SCALAR_LEN],
    ) -> ([u8; 32], [u8; 32]) {
        let (x, _) = Self::mul_base(nonce);
        finish_ecdsa(key, &invert(nonce), &x, digest)
    }

    /// Whether a signature is that of this key over this digest, which is below the group order (FIPS 186-5 §6.4.2).
    ///
    /// Everything is public here, so that the time taken may depend on anything.
    #[must_use]
    fn verify(key: &PublicKey, digest: &[u8; SCALAR_LEN], signature: &Signature) -> bool {
        verify_portably(key, digest, signature)
    }

    /// Whether there is a point of the curve with these coordinates, big-endian, both below the field's prime.
    ///
    /// Everything is public here, too.
    #[must_use]
    fn is_on_curve(x: &[u8; 32], y: &[u8; 32]) -> bool {
        AffinePoint::from_coordinates(&(*x).into(), &(*y).into()).is_some().into()
    }

    /// Called with bytes that stop being secret: signatures, and whether a candidate for a scalar is in range.
    ///
    /// Does nothing. A test that follows secrets through the code overrides it.
    fn publish(_bytes: &mut [u8]) {}
}

/// The backend used where none is named: [`Portable`], or the assembly if the feature `p256-cm4` is on and the target
/// is an ARM core.
#[cfg(not(all(feature = "p256-cm4", target_arch = "arm")))]
pub type DefaultBackend = Portable;
/// The backend used where none is named: the assembly, because the feature `p256-cm4` is on.
#[cfg(all(feature = "p256-cm4", target_arch = "arm"))]
pub type DefaultBackend = super::CortexM4;

/// Curve arithmetic of the `p256` crate with a comb of this crate: constant time, no assembly, runs everywhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct Portable;

impl P256 for Portable {
    fn mul_base(scalar: &Secret<SCALAR_LEN>) -> ([u8; 32], [u8; 32]) {
        let point = comb::mul_base(scalar).to_affine();
        (point.x().into(), point.y().into())
    }
}

/// The inverse of a nonce modulo the group order; zero for zero.
fn invert(nonce: &Secret<SCALAR_LEN>) -> Number {
    let mut encoded = FieldBytes::from(*nonce.expose());
    let scalar = Zeroizing::new(Scalar::from_repr(encoded).unwrap_or(Scalar::ZERO));
    let inverse = Zeroizing::new(scalar.invert().unwrap_or(Scalar::ZERO));
    encoded.zeroize();
    encoded = inverse.to_bytes();
    let number = Number::from_bits(&encoded);
    encoded.zeroize();
    number
}

/// Verification by the curve arithmetic of the `p256` crate.
fn verify_portably(key: &PublicKey, digest: &[u8; SCALAR_LEN], signature: &Signature) -> bool {
    let signature = p256::ecdsa::Signature::from_slice(signature.as_bytes());
    VerifyingKey::from_sec1_bytes(key.as_sec1())
        .and_then(|key| key.verify_prehash(digest, &signature?))
        .is_ok()
}

/// The rest of the ECDSA equation, once the nonce's inverse and its point's x are known.
pub(super) fn finish_ecdsa(
    key: &Secret<SCALAR_LEN>,
    inverse: &Number,
    x: &[u8; 32],
    digest: &[u8; SCALAR_LEN],
) -> ([u8; 32], [u8; 32]) {
    let r = Number::from_bits(x);
    let product = r.times(&Number::from_bytes(key.expose()).1);
    let s = inverse.times(&Number::from_bits(digest).plus(&product));
    (r.to_bytes(), s.to_bytes())
}

/// Checks that a private scalar is at least 1 and below the group order.
///
/// Whether it is becomes known; nothing else does.
pub(super) fn check_scalar<B: P256>(bytes: &Secret<SCALAR_LEN>) -> Result<()> {
    let (below_order, scalar) = Number::from_bytes(bytes.expose());
    let mut in_range = [(below_order & !scalar.is_zero()).unwrap_u8()];
    B::publish(&mut in_range);
    if in_range == [1] { Ok(()) } else { Err(Error::ScalarOutOfRange) }
}

/// Deterministic ECDSA (RFC 6979 §3.2) with the generator over `H`.
pub(super) fn sign_rfc6979<B: P256, H: Hash>(key: &Secret<SCALAR_LEN>, digest: &[u8]) -> Signature {
    let z = reduce(digest);
    let mut nonces = HmacDrbg::<H>::new(&[key.expose(), &z]);
    loop {
        let mut candidate = Secret::zeroed();
        nonces.generate(candidate.expose_mut());
        let signature = sign_with_nonce::<B>(key, &candidate, &z);
        // A candidate out of range has a chance of 2^-32, r or s of zero one of 2^-256: take the next, as the RFC says.
        if let Ok(signature) = signature {
            return signature;
        }
    }
}

/// The ECDSA equation for a digest that was [reduced](reduce).
pub(super) fn sign_with_nonce<B: P256>(
    key: &Secret<SCALAR_LEN>,
    nonce: &Secret<SCALAR_LEN>,
    z: &[u8; SCALAR_LEN],
) -> Result<Signature> {
    check_scalar::<B>(key)?;
    check_scalar::<B>(nonce)?;
    let (mut r, mut s) = B::ecdsa(key, nonce, z);
    B::publish(&mut r);
    B::publish(&mut s);
    Signature::from_scalars(&r, &s)
}

/// A digest of any length as a number below the group order, big-endian.
pub(super) fn reduce(digest: &[u8]) -> [u8; SCALAR_LEN] {
    Number::from_bits(digest).to_bytes()
}
