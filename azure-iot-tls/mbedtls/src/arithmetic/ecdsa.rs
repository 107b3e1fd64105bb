//! Verification of ECDSA signatures (FIPS 186-5 §6.4.2) on P-256 and P-384.

use super::Error;
use super::curve::{Curve, Field, Number, Point};
use super::montgomery::{Modulus, bit_len, bit_of, compare};
use alloc::vec::Vec;
use core::cmp::Ordering;

/// One number in front of the longest curve's bits.
const DIGITS: usize = 385;
/// Odd multiples of a point that are kept: 1, 3, ... 15.
const MULTIPLES: usize = 8;

/// A key: the coordinates of its point, and a signature over a digest, all little-endian words.
#[derive(Debug)]
pub(crate) struct Signed<'s> {
    pub(crate) key: [Number; 2],
    pub(crate) digest: &'s [u8],
    pub(crate) r: Number,
    pub(crate) s: Number,
}

impl Curve {
    /// Whether the signature is the key's.
    pub(crate) fn verify(&self, signed: &Signed<'_>) -> Result<bool, Error> {
        self.verify_with(signed, multiply_both)
    }

    /// [`verify`](Self::verify), with a function that computes `scalars[0] · G + scalars[1] · key`.
    pub(crate) fn verify_with(
        &self,
        signed: &Signed<'_>,
        multiply: impl FnOnce(&Self, &Field<'_>, &Signed<'_>, &[Number; 2]) -> Result<Point, Error>,
    ) -> Result<bool, Error> {
        let Some(scalars) = self.scalars(signed) else { return Ok(false) };
        let field = self.field().ok_or(Error::Input)?;
        match multiply(self, &field, signed, &scalars) {
            Ok(point) => Ok(point.z != Number::default() && self.has_x(&field, &point, &signed.r)),
            Err(Error::Input) => Ok(false), // the key is not a point of the curve
            Err(Error::Memory) => Err(Error::Memory),
        }
    }

    /// `digest / s` and `r / s` modulo the order; `None` if `r` or `s` is out of range.
    fn scalars(&self, signed: &Signed<'_>) -> Option<[Number; 2]> {
        let order = Modulus::new(self.cut(&self.order))?;
        if [&signed.r, &signed.s]
            .iter()
            .any(|number| **number == Number::default() || compare(*number, &self.order) != Ordering::Less)
        {
            return None;
        }
        let [mut form, mut inverse, mut spare, mut exponent] = [[0; _], [0; _], [0; _], self.order];
        // By Fermat; the lowest words of both orders are above 2.
        let lowest = exponent.first_mut()?;
        *lowest = lowest.wrapping_sub(2);
        let (form, inverse) = (self.cut_mut(&mut form), self.cut_mut(&mut inverse));
        order.multiply(form, self.cut(&signed.s), self.cut(&self.order_r2));
        order.power(inverse, form, self.cut(&exponent), self.cut_mut(&mut spare));
        let mut scalars = [[0; _]; 2];
        let [of_base, of_key] = &mut scalars;
        order.multiply(self.cut_mut(of_base), self.cut(&self.leftmost(signed.digest)), inverse);
        order.multiply(self.cut_mut(of_key), self.cut(&signed.r), inverse);
        Some(scalars)
    }

    /// Whether the point's x, modulo the order, is `r`: without the division that its affine x would need.
    fn has_x(&self, field: &Field<'_>, point: &Point, r: &Number) -> bool {
        let zz = field.multiply(&point.z, &point.z);
        let is = |x: &Number| field.multiply(&self.form(field, x), &zz) == point.x;
        if is(r) {
            return true;
        }
        // The prime is the larger of both; x may be r + order.
        let mut larger = Number::default();
        let mut carry = 0;
        for ((sum, r), order) in self.cut_mut(&mut larger).iter_mut().zip(r).zip(&self.order) {
            let (first, one) = r.overflowing_add(*order);
            let (second, other) = first.overflowing_add(carry);
            *sum = second;
            carry = u32::from(one || other);
        }
        carry == 0 && compare(&larger, &self.prime) == Ordering::Less && is(&larger)
    }

    /// The leftmost bytes of a digest as a number, which may be above the order.
    fn leftmost(&self, digest: &[u8]) -> Number {
        let mut number = Number::default();
        let digest = digest.get(..self.cut(&number).len() * 4).unwrap_or(digest);
        for (index, byte) in digest.iter().rev().enumerate() {
            if let Some(word) = number.get_mut(index / 4) {
                *word |= u32::from(*byte) << (index % 4 * 8);
            }
        }
        number
    }
}

/// Both multiples in one pass over the scalars' digits.
fn multiply_both(
    curve: &Curve,
    field: &Field<'_>,
    signed: &Signed<'_>,
    scalars: &[Number; 2],
) -> Result<Point, Error> {
    let [x, y] = &signed.key;
    let key = curve.point(field, x, y).ok_or(Error::Input)?;
    // Too large for a stack.
    let mut tables = Vec::new();
    tables.try_reserve_exact(2).map_err(|_| Error::Memory)?;
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
        if sum.z != Number::default() {
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
fn odd_multiples(field: &Field<'_>, point: &Point, multiples: &mut [Point; MULTIPLES]) {
    let twice = field.double(point);
    let mut next = *point;
    for multiple in multiples {
        *multiple = next;
        next = field.sum(&next, &twice);
    }
}

/// Writes a scalar as digits 0 and ±1, ±3, ... ±15, of which at most one in five is not 0 (width-5 NAF).
fn write_digits(scalar: &Number, digits: &mut [i8; DIGITS]) {
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
