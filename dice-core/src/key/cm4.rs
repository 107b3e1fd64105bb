//! Multiplication of points and a nonce's inverse in Cortex-M4 assembly, from the `p256-cm4` crate.

use super::backend::{P256, finish_ecdsa};
use super::order::Number;
use super::{PublicKey, SCALAR_LEN, Signature, join};
use crate::secret::Secret;
use p256::elliptic_curve::ops::Reduce;
use p256::elliptic_curve::point::AffineCoordinates;
use p256::{AffinePoint, ProjectivePoint, Scalar, U256};
use zeroize::Zeroize;

/// The assembly of `p256-cm4` for cores with the DSP instructions: Cortex-M4, M7, M33 and the like.
///
/// It multiplies the base point, and verifies, in a tenth of the instructions of [`Portable`](super::Portable). The
/// sequence of instructions for a secret scalar does not depend on it, but the addresses of table look-ups do: on a
/// core with a data cache that hostile code can observe, use [`Portable`](super::Portable). Copies of scalars, nonces
/// included, that it leaves on the stack are not wiped.
#[derive(Clone, Copy, Debug, Default)]
pub struct CortexM4;

impl P256 for CortexM4 {
    fn mul_base(scalar: &Secret<SCALAR_LEN>) -> ([u8; 32], [u8; 32]) {
        let mut words = to_words(scalar.expose());
        let (mut x, mut y) = ([0; 8], [0; 8]);
        // It refuses scalars out of range only, and these do not come here.
        let _in_range = p256_cm4::scalarmult_base(&mut x, &mut y, &words);
        words.zeroize();
        (to_bytes(&x), to_bytes(&y))
    }

    fn ecdsa(
        key: &Secret<SCALAR_LEN>,
        nonce: &Secret<SCALAR_LEN>,
        digest: &[u8; SCALAR_LEN],
    ) -> ([u8; 32], [u8; 32]) {
        let mut words = to_words(nonce.expose());
        let mut half = p256_cm4::SignPrecomp::default();
        // As above. The second half is not its: the product modulo the group order contains an instruction that the
        // architecture leaves unpredictable (a long LDM of one register), and emulators refuse it.
        let _in_range = p256_cm4::sign_step1(&mut half, &words);
        words.zeroize();
        let (_, inverse) = Number::from_bytes(Secret::new(to_bytes(&half.k_inv)).expose());
        half.k_inv.zeroize();
        finish_ecdsa(key, &inverse, &to_bytes(&half.r), digest)
    }

    // Not its own verification, which multiplies modulo the group order, too: the two multiples of points are its,
    // and their sum and the scalars are portable.
    fn verify(key: &PublicKey, digest: &[u8; SCALAR_LEN], signature: &Signature) -> bool {
        let r = to_scalar(signature.r());
        let inverse = to_scalar(signature.s()).invert_vartime().unwrap_or(Scalar::ZERO);
        let of_base = to_scalar(digest) * inverse;
        let of_key = r * inverse;
        let Some(of_key) = multiple(key, &of_key) else { return false };
        let sum = match base_multiple(&of_base) {
            Some(of_base) => ProjectivePoint::from(of_key) + of_base,
            None => of_key.into(), // by a digest of zero
        };
        // The point at infinity has no x; it is 0 here, which r is not.
        to_scalar(&sum.to_affine().x().into()) == r
    }

    fn is_on_curve(x: &[u8; 32], y: &[u8; 32]) -> bool {
        let [mut of_x, mut of_y] = [[0; 8]; 2];
        p256_cm4::octet_string_to_point(&mut of_x, &mut of_y, &join(x, y))
    }
}

/// A number modulo the group order.
fn to_scalar(bytes: &[u8; 32]) -> Scalar {
    <Scalar as Reduce<U256>>::reduce(&U256::from_be_slice(bytes))
}

/// `scalar · G`; `None` if the scalar is zero.
fn base_multiple(scalar: &Scalar) -> Option<AffinePoint> {
    let (mut x, mut y) = ([0; 8], [0; 8]);
    p256_cm4::scalarmult_base(&mut x, &mut y, &to_words(&scalar.to_bytes().into())).then(|| point(&x, &y))?
}

/// `scalar · key`; `None` if the scalar is zero.
fn multiple(key: &PublicKey, scalar: &Scalar) -> Option<AffinePoint> {
    let (halves, _) = key.as_xy().as_chunks();
    let [key_x, key_y] = halves else { return None };
    let (mut x, mut y) = ([0; 8], [0; 8]);
    let scalar = to_words(&scalar.to_bytes().into());
    p256_cm4::scalarmult_generic(&mut x, &mut y, &scalar, &to_words(key_x), &to_words(key_y))
        .then(|| point(&x, &y))?
}

/// The point with these coordinates, if it is on the curve.
fn point(x: &[u32; 8], y: &[u32; 8]) -> Option<AffinePoint> {
    AffinePoint::from_coordinates(&to_bytes(x).into(), &to_bytes(y).into()).into()
}

/// Big-endian bytes to little-endian words.
fn to_words(bytes: &[u8; 32]) -> [u32; 8] {
    let mut words = [0; 8];
    let (quads, _) = bytes.as_chunks();
    words.iter_mut().zip(quads.iter().rev()).for_each(|(word, quad)| *word = u32::from_be_bytes(*quad));
    words
}

/// Little-endian words to big-endian bytes.
fn to_bytes(words: &[u32; 8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    let (quads, _) = bytes.as_chunks_mut();
    quads.iter_mut().zip(words.iter().rev()).for_each(|(quad, word)| *quad = word.to_be_bytes());
    bytes
}
