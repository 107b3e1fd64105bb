//! Multiplication modulo an odd number by Montgomery's method, on little-endian words.
//!
//! With a modulus of `len` words, `R` is 2^(32 · `len`), and a product is `a · b / R`. A number `a` is multiplied in
//! its Montgomery form `a · R`.

use super::row::row;
use core::cmp::Ordering;

/// An odd modulus. All numbers beside it have as many words, which are a multiple of four.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Modulus<'m> {
    words: &'m [u32],
    /// `-1 / modulus` modulo 2^32.
    inverse: u32,
}

impl<'m> Modulus<'m> {
    /// `None` if it is even, or its length is not a multiple of four.
    pub(crate) const fn new(words: &'m [u32]) -> Option<Self> {
        let Some(lowest) = words.first() else { return None };
        if lowest.is_multiple_of(2) || !words.len().is_multiple_of(4) {
            return None;
        }
        // Newton's iteration: each step doubles the number of right bits, and the first three are right.
        let mut inverse = *lowest;
        let mut bits = 3;
        while bits < u32::BITS {
            inverse = inverse.wrapping_mul(2_u32.wrapping_sub(lowest.wrapping_mul(inverse)));
            bits *= 2;
        }
        Some(Self { words, inverse: inverse.wrapping_neg() })
    }

    /// `out = a · b / R`. One of the factors may be as large as `R`, the other is below the modulus.
    pub(crate) fn multiply(&self, out: &mut [u32], a: &[u32], b: &[u32]) {
        out.fill(0);
        self.multiply_to_zero(out, a, b);
    }

    /// [`multiply`](Self::multiply), with `out` being zero.
    #[inline(never)]
    pub(crate) fn multiply_to_zero(&self, out: &mut [u32], a: &[u32], b: &[u32]) {
        let top = a.iter().fold(0, |top, a| row(out, *a, b, self.words, self.inverse, top));
        self.reduce(out, top != 0);
    }

    /// `out = a + b`
    #[inline(never)]
    pub(crate) fn add(&self, out: &mut [u32], a: &[u32], b: &[u32]) {
        let mut carry = 0;
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            let sum = u64::from(*a) + u64::from(*b) + carry;
            *out = low_word(sum);
            carry = sum >> u32::BITS;
        }
        self.reduce(out, carry != 0);
    }

    /// `out = a - b`
    #[inline(never)]
    pub(crate) fn subtract(&self, out: &mut [u32], a: &[u32], b: &[u32]) {
        let mut borrow = 0_u64;
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            let difference = u64::from(*a).wrapping_sub(u64::from(*b)).wrapping_sub(borrow);
            *out = low_word(difference);
            borrow = difference >> 63;
        }
        if borrow != 0 {
            let mut carry = 0;
            for (out, modulus) in out.iter_mut().zip(self.words) {
                let sum = u64::from(*out) + u64::from(*modulus) + carry;
                *out = low_word(sum);
                carry = sum >> u32::BITS;
            }
        }
    }

    /// Takes the modulus off once if the number, with what was carried out of it, is not below.
    fn reduce(&self, number: &mut [u32], carried: bool) {
        if carried || compare(number, self.words) != Ordering::Less {
            subtract(number, self.words);
        }
    }

    /// `R²`, by which numbers come into Montgomery form. `spare` is as long.
    pub(crate) fn square_of_r(&self, out: &mut [u32], spare: &mut [u32]) {
        let bits = bit_len(self.words);
        out.fill(0);
        // 2^(bits - 1), which is below the modulus; doubled until it is R, and then up to R · 2^len.
        if let Some(word) = bits.checked_sub(1).and_then(|top| out.get_mut(top / 32)) {
            *word = 1 << ((bits - 1) % 32);
        }
        for _ in bits..=out.len() * 33 {
            spare.copy_from_slice(out);
            self.add(out, spare, spare);
        }
        // Each square of R · 2^k is R · 2^(2k). Five of them make R · 2^(32 len).
        for _ in 0..5 {
            spare.copy_from_slice(out);
            self.multiply(out, spare, spare);
        }
    }

    /// `out = base^exponent`, both in Montgomery form. `spare` is as long.
    pub(crate) fn power(&self, out: &mut [u32], base: &[u32], exponent: &[u32], spare: &mut [u32]) {
        out.copy_from_slice(base);
        for bit in (0..bit_len(exponent).saturating_sub(1)).rev() {
            spare.copy_from_slice(out);
            self.multiply(out, spare, spare);
            if bit_of(exponent, bit) {
                spare.copy_from_slice(out);
                self.multiply(out, spare, base);
            }
        }
    }
}

#[expect(clippy::inline_always, reason = "a call would cost more than it")]
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "what it is for")]
pub(super) const fn low_word(number: u64) -> u32 {
    number as u32
}

/// `number -= other`; whether it went below zero.
fn subtract(number: &mut [u32], other: &[u32]) -> bool {
    let mut borrow = 0_u64;
    for (word, other) in number.iter_mut().zip(other) {
        // What goes below zero comes back at the top.
        let difference = u64::from(*word).wrapping_sub(u64::from(*other)).wrapping_sub(borrow);
        *word = low_word(difference);
        borrow = difference >> 63;
    }
    borrow != 0
}

/// Compares numbers of the same length.
pub(crate) fn compare(a: &[u32], b: &[u32]) -> Ordering {
    a.iter().rev().cmp(b.iter().rev())
}

/// Position of the highest bit that is set, plus one.
pub(crate) fn bit_len(number: &[u32]) -> usize {
    let top = number.iter().rposition(|word| *word != 0);
    top.and_then(|top| Some(top * 32 + 32 - number.get(top)?.leading_zeros() as usize)).unwrap_or(0)
}

pub(crate) fn bit_of(number: &[u32], bit: usize) -> bool {
    number.get(bit / 32).is_some_and(|word| word >> (bit % 32) & 1 == 1)
}
