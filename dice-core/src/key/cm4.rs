//! Base-point multiplication and a nonce's inverse in Cortex-M4 assembly, from the `p256-cm4` crate.

use super::SCALAR_LEN;
use super::backend::{P256, finish_ecdsa, read_scalar};
use crate::secret::Secret;
use zeroize::Zeroize;

/// The assembly of `p256-cm4` for cores with the DSP instructions: Cortex-M4, M7, M33 and the like.
///
/// It multiplies the base point in less than a tenth of the instructions of [`Portable`](super::Portable). Its sequence
/// of instructions does not depend on the scalar, but the addresses of its table look-ups do: on a core with a data
/// cache that hostile code can observe, use [`Portable`](super::Portable). Copies of scalars, nonces included, that it
/// leaves on the stack are not wiped.
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
        let (_, inverse) = read_scalar(&Secret::new(to_bytes(&half.k_inv)));
        half.k_inv.zeroize();
        finish_ecdsa(key, &inverse, &to_bytes(&half.r), digest)
    }
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
