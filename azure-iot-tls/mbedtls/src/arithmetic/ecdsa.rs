//! Verification of ECDSA signatures (FIPS 186-5 §6.4.2) on P-256 and P-384.

use super::curve::{Curve, Field, Number, Point};
use super::montgomery::{Modulus, bit_len, bit_of, compare};
use super::rsa::Unable;
use alloc::vec::Vec;
use core::cmp::Ordering;

/// One number in front of the longest curve's bits.
const DIGITS: usize = 385;
/// Odd multiples of a point that are kept: 1, 3, ... 15.
const MULTIPLES: usize = 8;

/// A key: the coordinates of its point, and a signature over a digest, all little-endian words.
#[derive(Debug)]
pub(crate) struct Signed<'s, const N: usize> {
    pub(crate) key: [Number<N>; 2],
    pub(crate) digest: &'s [u8],
    pub(crate) r: Number<N>,
    pub(crate) s: Number<N>,
}

impl<const N: usize> Curve<N> {
    /// Whether the signature is the key's.
    pub(crate) fn verify(&self, signed: &Signed<'_, N>) -> Result<bool, Unable> {
        self.verify_with(signed, multiply_both)
    }

    /// [`verify`](Self::verify), with somebody who computes `scalars[0] · G + scalars[1] · key`.
    pub(crate) fn verify_with(
        &self,
        signed: &Signed<'_, N>,
        multiply: impl FnOnce(&Self, &Field<'_, N>, &Signed<'_, N>, &[Number<N>; 2]) -> Result<Point<N>, Unable>,
    ) -> Result<bool, Unable> {
        let Some(scalars) = self.scalars(signed) else { return Ok(false) };
        let field = self.field().ok_or(Unable::Input)?;
        match multiply(self, &field, signed, &scalars) {
            Ok(point) => Ok(point.z != [0; N] && self.has_x(&field, &point, &signed.r)),
            Err(Unable::Input) => Ok(false), // no point of the curve is the key
            Err(Unable::Memory) => Err(Unable::Memory),
        }
    }

    /// `digest / s` and `r / s` modulo the order; `None` if `r` or `s` is out of range.
    fn scalars(&self, signed: &Signed<'_, N>) -> Option<[Number<N>; 2]> {
        let order = Modulus::new(&self.order)?;
        if [&signed.r, &signed.s]
            .iter()
            .any(|number| **number == [0; N] || compare(*number, &self.order) != Ordering::Less)
        {
            return None;
        }
        let (mut form, mut inverse, mut spare, mut exponent) = ([0; N], [0; N], [0; N], self.order);
        // By Fermat; the lowest words of both orders are above 2.
        let lowest = exponent.first_mut()?;
        *lowest = lowest.wrapping_sub(2);
        order.multiply(&mut form, &signed.s, &self.order_r2);
        order.power(&mut inverse, &form, &exponent, &mut spare);
        let mut scalars = [[0; N]; 2];
        let [of_base, of_key] = &mut scalars;
        order.multiply(of_base, &leftmost::<N>(signed.digest), &inverse);
        order.multiply(of_key, &signed.r, &inverse);
        Some(scalars)
    }

    /// Whether the point's x, modulo the order, is `r`: without the division that its affine x would need.
    fn has_x(&self, field: &Field<'_, N>, point: &Point<N>, r: &Number<N>) -> bool {
        let zz = field.multiply(&point.z, &point.z);
        let is = |x: &Number<N>| field.multiply(&self.form(field, x), &zz) == point.x;
        if is(r) {
            return true;
        }
        // The prime is the larger of both; x may be r + order.
        let mut larger = [0; N];
        let mut carry = 0;
        for ((sum, r), order) in larger.iter_mut().zip(r).zip(&self.order) {
            let (first, one) = r.overflowing_add(*order);
            let (second, other) = first.overflowing_add(carry);
            *sum = second;
            carry = u32::from(one || other);
        }
        carry == 0 && compare(&larger, &self.prime) == Ordering::Less && is(&larger)
    }
}

/// The leftmost bytes of a digest as a number, which may be above the order.
fn leftmost<const N: usize>(digest: &[u8]) -> Number<N> {
    let mut number = [0; N];
    let digest = digest.get(..N * 4).unwrap_or(digest);
    for (index, byte) in digest.iter().rev().enumerate() {
        if let Some(word) = number.get_mut(index / 4) {
            *word |= u32::from(*byte) << (index % 4 * 8);
        }
    }
    number
}

/// Both multiples in one pass over the scalars' digits.
fn multiply_both<const N: usize>(
    curve: &Curve<N>,
    field: &Field<'_, N>,
    signed: &Signed<'_, N>,
    scalars: &[Number<N>; 2],
) -> Result<Point<N>, Unable> {
    let [x, y] = &signed.key;
    let key = curve.point(field, x, y).ok_or(Unable::Input)?;
    // Too large for a stack.
    let mut tables = Vec::new();
    tables.try_reserve_exact(2).map_err(|_| Unable::Memory)?;
    for point in [curve.base(field), key] {
        tables.push([Point::INFINITY; MULTIPLES]);
        if let Some(table) = tables.last_mut() {
            odd_multiples(field, &point, table);
        }
    }
    let mut digits = [[0; DIGITS]; 2];
    for (digits, scalar) in digits.iter_mut().zip(scalars) {
        write_digits(scalar, digits);
    }
    let mut sum = Point::INFINITY;
    for position in (0..DIGITS).rev() {
        if sum.z != [0; N] {
            sum = field.double(&sum);
        }
        for (table, digits) in tables.iter().zip(&digits) {
            let digit = digits.get(position).copied().unwrap_or(0);
            match (digit, table.get(usize::from(digit.unsigned_abs() / 2))) {
                (1.., Some(multiple)) => sum = field.sum(&sum, multiple),
                (..=-1, Some(multiple)) => sum = field.sum(&sum, &field.negate(multiple)),
                _ => {}
            }
        }
    }
    Ok(sum)
}

#[inline(never)]
fn odd_multiples<const N: usize>(
    field: &Field<'_, N>,
    point: &Point<N>,
    multiples: &mut [Point<N>; MULTIPLES],
) {
    let twice = field.double(point);
    let mut next = *point;
    for multiple in multiples {
        *multiple = next;
        next = field.sum(&next, &twice);
    }
}

/// Writes a scalar as digits 0 and ±1, ±3, ... ±15, of which at most one in five is not 0 (width-5 NAF).
fn write_digits<const N: usize>(scalar: &Number<N>, digits: &mut [i8; DIGITS]) {
    let length = bit_len(scalar);
    let (mut position, mut carry) = (0, false);
    while position <= length {
        if bit_of(scalar, position) == carry {
            position += 1;
            continue;
        }
        let window =
            (0..5).map(|bit| i8::from(bit_of(scalar, position + bit)) << bit).sum::<i8>() + i8::from(carry);
        carry = window > 16;
        if let Some(digit) = digits.get_mut(position) {
            *digit = if carry { window - 32 } else { window };
        }
        position += 5;
    }
}
