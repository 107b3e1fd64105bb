//! Base-point multiplication with a fixed-base comb, on the curve formulas of the `p256` crate.
//!
//! The scalar is cut into four rows of 64 bits, each in two halves; one step takes one bit of every row and adds the
//! multiple of the base point that belongs to them. That makes 31 doublings and 64 additions, where the general
//! algorithm needs 252 and 64, for 2 KB of constants and no state in RAM. Every step does the same work: the multiple
//! is selected by reading the whole table.

use super::SCALAR_LEN;
use super::comb_table::TABLES;
use crate::secret::Secret;
use p256::elliptic_curve::group::Group;
use p256::elliptic_curve::point::AffineCoordinates;
use p256::elliptic_curve::subtle::{ConditionallySelectable, ConstantTimeEq};
use p256::{AffinePoint, ProjectivePoint};
use zeroize::Zeroize;

const ROW_BITS: usize = 64;
const HALF_BITS: usize = ROW_BITS / 2;

/// `scalar · G`.
pub(super) fn mul_base(scalar: &Secret<SCALAR_LEN>) -> ProjectivePoint {
    let scalar = scalar.expose();
    let [low, high] = tables();
    let mut sum = ProjectivePoint::IDENTITY;
    for column in (0..HALF_BITS).rev() {
        sum = sum.double();
        sum += select(&high, column_bits(scalar, column + HALF_BITS));
        sum += select(&low, column_bits(scalar, column));
    }
    let result = sum;
    sum.zeroize();
    result
}

/// The constants as curve points.
fn tables() -> [[AffinePoint; 15]; 2] {
    let mut tables = [[AffinePoint::IDENTITY; 15]; 2];
    for (point, (x, y)) in tables.iter_mut().flatten().zip(TABLES.iter().flatten()) {
        // The constants are on the curve; a test says so.
        *point = AffinePoint::from_coordinates(&(*x).into(), &(*y).into()).unwrap_or(AffinePoint::IDENTITY);
    }
    tables
}

/// The bits `column`, `column + 64`, `column + 128` and `column + 192` of the scalar, lowest first.
fn column_bits(scalar: &[u8; 32], column: usize) -> u8 {
    (0..4).rev().fold(0, |bits, row| {
        let position = column + ROW_BITS * row;
        let byte = scalar.iter().nth_back(position / 8).copied().unwrap_or_default();
        (bits << 1) | ((byte >> (position % 8)) & 1)
    })
}

/// Entry `index - 1`, or the identity for 0.
fn select(table: &[AffinePoint; 15], index: u8) -> AffinePoint {
    let mut selected = AffinePoint::IDENTITY;
    for (number, point) in (1..).zip(table) {
        selected.conditional_assign(point, index.ct_eq(&number));
    }
    selected
}

#[cfg(test)]
mod tests {
    use super::*;
    use p256::Scalar;
    use proptest::prelude::*;

    #[test]
    fn the_constants_are_the_stated_multiples() {
        let power =
            |exponent: usize| (0..exponent).fold(ProjectivePoint::GENERATOR, |point, _| point.double());
        for (half, table) in tables().iter().enumerate() {
            for (mask, point) in (1_usize..).zip(table) {
                let expected = (0..4)
                    .filter(|row| mask >> row & 1 == 1)
                    .map(|row| power(ROW_BITS * row + HALF_BITS * half))
                    .sum::<ProjectivePoint>();
                assert_eq!(ProjectivePoint::from(*point), expected, "table {half}, entry {mask}");
            }
        }
    }

    fn check(scalar: Scalar) {
        let bytes = Secret::new(scalar.to_bytes().into());
        assert_eq!(mul_base(&bytes), ProjectivePoint::mul_by_generator(&scalar));
    }

    #[test]
    fn special_scalars() {
        check(Scalar::ZERO);
        for bit in 0..256_u32 {
            let power = (0..bit).fold(Scalar::ONE, |power, _| power.double());
            check(power);
            check(-power);
            check(power + Scalar::from(3_u64));
        }
        for small in 1..200_u64 {
            check(Scalar::from(small));
            check(-Scalar::from(small));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn random_scalars(words: [u64; 4]) {
            let radix = Scalar::from(u64::MAX) + Scalar::ONE;
            check(words.iter().fold(Scalar::ONE, |sum, word| sum * radix + Scalar::from(*word)));
        }
    }
}
