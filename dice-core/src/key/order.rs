//! Numbers modulo the order of P-256's group: what ECDSA computes beside points. Neither time nor addresses depend on
//! them.

use super::SCALAR_LEN;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroize;

/// 256 bits, the lowest word first.
type Words = [u32; 8];

/// The group's order n.
const ORDER: Words =
    [0xfc63_2551, 0xf3b9_cac2, 0xa717_9e84, 0xbce6_faad, 0xffff_ffff, 0xffff_ffff, 0x0000_0000, 0xffff_ffff];
/// 2^512 mod n.
const RADIX_SQUARED: Words =
    [0xbe79_eea2, 0x8324_4c95, 0x49bd_6fa6, 0x4699_799c, 0x2b6b_ec59, 0x2845_b239, 0xf3d9_5620, 0x66e1_2d94];
/// -1/n mod 2^32.
const NEGATIVE_INVERSE: u32 = 0xee00_bc4f;

/// A number below the group's order; wiped on drop.
pub(super) struct Number(Words);

impl Number {
    /// A big-endian number modulo the group's order, and whether it is below it as it stands.
    pub(super) fn from_bytes(bytes: &[u8; SCALAR_LEN]) -> (Choice, Self) {
        let mut words = [0; 8];
        let (quads, _) = bytes.as_chunks();
        words.iter_mut().zip(quads.iter().rev()).for_each(|(word, quad)| *word = u32::from_be_bytes(*quad));
        let (below, reduced) = reduce(&words, 0);
        words.zeroize();
        (below, Self(reduced))
    }

    /// The leftmost 256 bits as an integer modulo n (FIPS 186-5 §6.4.1; bits2int and its reduction in RFC 6979 §2.3).
    pub(super) fn from_bits(bits: &[u8]) -> Self {
        let mut padded = [0; SCALAR_LEN];
        let offset = SCALAR_LEN.saturating_sub(bits.len());
        padded.iter_mut().skip(offset).zip(bits).for_each(|(to, from)| *to = *from);
        Self::from_bytes(&padded).1
    }

    /// 32 bytes, big-endian.
    pub(super) fn to_bytes(&self) -> [u8; SCALAR_LEN] {
        let mut bytes = [0; SCALAR_LEN];
        let (quads, _) = bytes.as_chunks_mut();
        quads.iter_mut().zip(self.0.iter().rev()).for_each(|(quad, word)| *quad = word.to_be_bytes());
        bytes
    }

    pub(super) fn is_zero(&self) -> Choice {
        self.0.ct_eq(&[0; 8])
    }

    pub(super) fn plus(&self, other: &Self) -> Self {
        let mut carry = false;
        let mut sum: Words = [0; 8];
        for ((sum, &a), &b) in sum.iter_mut().zip(&self.0).zip(&other.0) {
            (*sum, carry) = a.carrying_add(b, carry);
        }
        let reduced = reduce(&sum, u32::from(carry)).1;
        sum.zeroize();
        Self(reduced)
    }

    pub(super) fn times(&self, other: &Self) -> Self {
        let scaled = Self(montgomery_product(&self.0, &other.0));
        Self(montgomery_product(&scaled.0, &RADIX_SQUARED))
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// `words + 2^256 · top` modulo the order, and whether it was below it; for numbers below twice the order.
fn reduce(words: &Words, top: u32) -> (Choice, Words) {
    let mut less = [0; 8];
    let mut borrow = false;
    for ((less, &word), &of_order) in less.iter_mut().zip(words).zip(&ORDER) {
        (*less, borrow) = word.borrowing_sub(of_order, borrow);
    }
    let (_, below) = top.borrowing_sub(0, borrow);
    let below = Choice::from(u8::from(below));
    let mut reduced: Words = [0; 8];
    for ((reduced, less), word) in reduced.iter_mut().zip(&less).zip(words) {
        *reduced = u32::conditional_select(less, word, below);
    }
    less.zeroize();
    (below, reduced)
}

/// `a · b / 2^256` modulo the order: Montgomery's product, one word of `a` after the other.
fn montgomery_product(a: &Words, b: &Words) -> Words {
    // Two words more than the result: what a step has before its division by 2^32.
    let mut sum: Words = [0; 8];
    let mut top = 0_u32;
    for &of_a in a {
        let mut carry = 0;
        for (sum, &of_b) in sum.iter_mut().zip(b) {
            (*sum, carry) = of_a.carrying_mul_add(of_b, carry, *sum);
        }
        let (ninth, tenth) = top.overflowing_add(carry);

        // As many times the order as makes the lowest word zero, which is then left out.
        let factor = sum.first().copied().unwrap_or_default().wrapping_mul(NEGATIVE_INVERSE);
        let mut carry = 0;
        for (sum, &of_order) in sum.iter_mut().zip(&ORDER) {
            (*sum, carry) = factor.carrying_mul_add(of_order, carry, *sum);
        }
        sum.rotate_left(1);
        let (eighth, over) = ninth.overflowing_add(carry);
        if let Some(last) = sum.last_mut() {
            *last = eighth;
        }
        top = u32::from(tenth) + u32::from(over);
    }
    let product = reduce(&sum, top).1;
    sum.zeroize();
    product
}

#[cfg(test)]
mod tests {
    use super::*;
    use p256::elliptic_curve::ops::Reduce;
    use p256::{Scalar, U256};
    use proptest::prelude::*;

    /// Any 256 bits, those about the order and about zero among them.
    fn number() -> impl Strategy<Value = [u8; 32]> {
        let order = Number(ORDER).to_bytes();
        let about = move |high: [u8; 32]| {
            any::<u8>().prop_map(move |low| {
                let mut bytes = high;
                bytes[31] = low;
                bytes
            })
        };
        prop_oneof![any::<[u8; 32]>(), about(order), about([0; 32]), about([0xff; 32])]
    }

    fn scalar(bytes: &[u8; 32]) -> Scalar {
        <Scalar as Reduce<U256>>::reduce(&U256::from_be_slice(bytes))
    }

    proptest! {
        #[test]
        fn sums_and_products_are_those_of_the_p256_crate(a in number(), b in number()) {
            let ((below, of_a), (_, of_b)) = (Number::from_bytes(&a), Number::from_bytes(&b));
            prop_assert_eq!(bool::from(below), a < Number(ORDER).to_bytes());
            prop_assert_eq!(of_a.to_bytes(), <[u8; 32]>::from(scalar(&a).to_bytes()));
            prop_assert_eq!(of_a.plus(&of_b).to_bytes(), <[u8; 32]>::from((scalar(&a) + scalar(&b)).to_bytes()));
            prop_assert_eq!(of_a.times(&of_b).to_bytes(), <[u8; 32]>::from((scalar(&a) * scalar(&b)).to_bytes()));
            prop_assert_eq!(bool::from(of_a.is_zero()), scalar(&a) == Scalar::ZERO);
        }
    }
}
