//! The curve arithmetic behind the keys: who multiplies the base point, and ECDSA signing on top of it.

use super::signature::Signature;
use super::{SCALAR_LEN, comb};
use crate::hash::Hash;
use crate::kdf::HmacDrbg;
use crate::secret::Secret;
use crate::{Error, Result};
use p256::elliptic_curve::ff::{Field, PrimeField};
use p256::elliptic_curve::ops::Reduce;
use p256::elliptic_curve::point::AffineCoordinates;
use p256::{FieldBytes, Scalar, U256};
use zeroize::{Zeroize, Zeroizing};

/// The part of P-256 that decides the speed of key derivation and signing: base-point multiplication.
///
/// An implementation in assembly or on a hardware engine replaces the portable one by naming its type as the backend of
/// a [`SecretKey`](super::SecretKey). Everything secret around it (nonces, scalar arithmetic) stays in this crate.
pub trait P256: 'static {
    /// Computes the affine coordinates x and y of `scalar · G`, all big-endian. The scalar is at least 1 and below the
    /// group order.
    ///
    /// The time taken must not depend on the scalar, and whatever is left of it in memory must be wiped.
    fn mul_base(scalar: &Secret<SCALAR_LEN>) -> ([u8; 32], [u8; 32]);

    /// Called with bytes that stop being secret: signatures, and whether a candidate for a scalar is in range.
    ///
    /// Does nothing. A test that follows secrets through the code overrides it.
    fn publish(_bytes: &mut [u8]) {}
}

/// The backend used where none is named: [`Portable`], or the assembly if the feature `p256-cm4` is on and the target is
/// an ARM core.
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

/// Reads a private scalar, which has to be at least 1 and below the group order. The copy is wiped on drop.
///
/// Whether it is in range becomes known; nothing else does.
pub(super) fn parse_scalar<B: P256>(bytes: &Secret<SCALAR_LEN>) -> Result<Zeroizing<Scalar>> {
    let mut encoded = FieldBytes::from(*bytes.expose());
    let parsed = Scalar::from_repr(encoded);
    encoded.zeroize();
    let below_order = parsed.is_some();
    let scalar = Zeroizing::new(parsed.unwrap_or(Scalar::ZERO));
    let mut in_range = [(below_order & !scalar.is_zero()).unwrap_u8()];
    B::publish(&mut in_range);
    if in_range == [1] { Ok(scalar) } else { Err(Error::ScalarOutOfRange) }
}

/// Deterministic ECDSA (RFC 6979 §3.2) with the generator over `H`.
pub(super) fn sign_rfc6979<B: P256, H: Hash>(key: &Secret<SCALAR_LEN>, digest: &[u8]) -> Signature {
    let z = bits_to_scalar(digest);
    let reduced: [u8; SCALAR_LEN] = z.to_bytes().into();
    let mut nonces = HmacDrbg::<H>::new(&[key.expose(), &reduced]);
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

/// The ECDSA equation: r = (k·G).x mod n, s = k⁻¹ (z + r·d) mod n.
pub(super) fn sign_with_nonce<B: P256>(
    key: &Secret<SCALAR_LEN>,
    nonce: &Secret<SCALAR_LEN>,
    z: &Scalar,
) -> Result<Signature> {
    let key = parse_scalar::<B>(key)?;
    let inverse = {
        let nonce = parse_scalar::<B>(nonce)?;
        Zeroizing::new(nonce.invert().unwrap_or(Scalar::ZERO))
    };
    let (x, _) = B::mul_base(nonce);
    let r = bits_to_scalar(&x);
    let product = Zeroizing::new(r * *key);
    let s = *inverse * (*z + *product);
    let (mut r, mut s): ([u8; 32], [u8; 32]) = (r.to_bytes().into(), s.to_bytes().into());
    B::publish(&mut r);
    B::publish(&mut s);
    Signature::from_scalars(&r, &s)
}

/// The leftmost 256 bits as an integer modulo n (FIPS 186-5 §6.4.1; bits2int and its reduction in RFC 6979 §2.3).
pub(super) fn bits_to_scalar(bits: &[u8]) -> Scalar {
    let mut padded = [0; SCALAR_LEN];
    let offset = SCALAR_LEN.saturating_sub(bits.len());
    padded.iter_mut().skip(offset).zip(bits).for_each(|(to, from)| *to = *from);
    <Scalar as Reduce<U256>>::reduce(&U256::from_be_slice(&padded))
}
