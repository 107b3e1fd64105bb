//! Points of the NIST curves (`y² = x³ - 3x + b`), in Jacobian coordinates that are in Montgomery form.

use super::montgomery::{Modulus, compare};
use core::cmp::Ordering;

/// Words of the longest number.
const MAX: usize = 12;

/// A number of a curve, of whose words the highest are zero if the curve has fewer: one code for both curves.
pub(crate) type Number = [u32; MAX];

/// The number with these hexadecimal digits, for constants.
const fn number(digits: &str) -> Number {
    let digits = digits.as_bytes();
    let mut number = [0; MAX];
    let mut place = 0;
    while place < digits.len() {
        let digit = (digits[digits.len() - 1 - place] as char).to_digit(16);
        number[place / 8] |= digit.expect("a digit") << (place % 8 * 4);
        place += 1;
    }
    number
}

/// A curve. The constants of the equation and the base point are in Montgomery form.
#[derive(Debug)]
pub(crate) struct Curve {
    /// How many words its numbers have.
    words: usize,
    /// The field's prime.
    pub(crate) prime: Number,
    /// `R²` modulo the prime.
    prime_r2: Number,
    /// How many points there are.
    pub(crate) order: Number,
    /// `R²` modulo the order.
    pub(crate) order_r2: Number,
    b: Number,
    base: [Number; 2],
}

/// P-256 (FIPS 186-5, SP 800-186 §3.2.1.3).
pub(crate) static P256: Curve = Curve {
    words: 8,
    prime: number("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff"),
    prime_r2: number("4fffffffdfffffffffffffffefffffffbffffffff0000000000000003"),
    order: number("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"),
    order_r2: number("66e12d94f3d956202845b2392b6bec594699799c49bd6fa683244c95be79eea2"),
    b: number("dc30061d04874834e5a220abf7212ed6acf005cd78843090d89cdf6229c4bddf"),
    base: [
        number("18905f76a53755c679fb732b7762251075ba95fc5fedb60179e730d418a9143c"),
        number("8571ff1825885d85d2e88688dd21f3258b4ab8e4ba19e45cddf25357ce95560a"),
    ],
};

/// P-384 (FIPS 186-5, SP 800-186 §3.2.1.4).
pub(crate) static P384: Curve = Curve {
    words: 12,
    prime: number(
        "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffff",
    ),
    prime_r2: number("10000000200000000fffffffe000000000000000200000000fffffffe00000001"),
    order: number(
        "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    ),
    order_r2: number(
        "c84ee012b39bf213fb05b7a28266895d40d49174aab1cc5bc3e483afcb82947ff3d81e5df1aa4192d319b2419b409a9",
    ),
    b: number(
        "cd08114b604fbff9b62b21f41f022094e3374bee94938ae277f2209b1920022ef729add87a4c32ec081188719d412dcc",
    ),
    base: [
        number(
            "4d3aadc2299e1513812ff723614ede2b6454868459a30eff879c3afc541b4d6e20e378e2a0d6ce383dd0756649c0b528",
        ),
        number(
            "2b78abc25a15c5e9dd8002263969a840c6c3521968f4ffd98bade7562e83b050a1bfa8bf7bb4a9ac23043dad4b03a4fe",
        ),
    ],
};

/// A point; at infinity if `z` is zero.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    pub(crate) x: Number,
    y: Number,
    pub(crate) z: Number,
}

impl Point {
    pub(crate) const INFINITY: Self = Self { x: [0; MAX], y: [0; MAX], z: [0; MAX] };
}

impl Curve {
    /// The words that the curve has.
    pub(crate) fn cut<'n>(&self, number: &'n Number) -> &'n [u32] {
        number.get(..self.words).unwrap_or_default()
    }

    /// [`cut`](Self::cut), to write them.
    pub(crate) fn cut_mut<'n>(&self, number: &'n mut Number) -> &'n mut [u32] {
        number.get_mut(..self.words).unwrap_or_default()
    }

    /// The field: its prime is odd.
    pub(crate) fn field(&self) -> Option<Field<'_>> {
        let modulus = Modulus::new(self.cut(&self.prime))?;
        let mut one = [0; MAX];
        *one.first_mut()? = 1;
        let mut field = Field { curve: self, modulus, one };
        field.one = field.multiply(&self.prime_r2, &one);
        Some(field)
    }

    /// A number of the field in Montgomery form.
    pub(crate) fn form(&self, field: &Field<'_>, number: &Number) -> Number {
        field.multiply(number, &self.prime_r2)
    }

    pub(crate) fn base(&self, field: &Field<'_>) -> Point {
        let [x, y] = self.base;
        Point { x, y, z: field.one }
    }

    /// The point with these coordinates; `None` if they are not below the prime, or it is not on the curve.
    pub(crate) fn point(&self, field: &Field<'_>, x: &Number, y: &Number) -> Option<Point> {
        if [x, y].iter().any(|number| compare(*number, &self.prime) != Ordering::Less) {
            return None;
        }
        let (x, y) = (self.form(field, x), self.form(field, y));
        let three = field.add(&field.add(&field.one, &field.one), &field.one);
        let cube = field.multiply(&field.subtract(&field.multiply(&x, &x), &three), &x);
        (field.multiply(&y, &y) == field.add(&cube, &self.b)).then_some(Point { x, y, z: field.one })
    }
}

/// Numbers modulo a curve's prime, in Montgomery form.
#[derive(Debug)]
pub(crate) struct Field<'c> {
    curve: &'c Curve,
    modulus: Modulus<'c>,
    one: Number,
}

impl Field<'_> {
    pub(crate) fn multiply(&self, a: &Number, b: &Number) -> Number {
        let mut out = [0; MAX];
        let (a, b) = (self.curve.cut(a), self.curve.cut(b));
        self.modulus.multiply_to_zero(self.curve.cut_mut(&mut out), a, b);
        out
    }

    fn add(&self, a: &Number, b: &Number) -> Number {
        let mut out = [0; MAX];
        let (a, b) = (self.curve.cut(a), self.curve.cut(b));
        self.modulus.add(self.curve.cut_mut(&mut out), a, b);
        out
    }

    fn subtract(&self, a: &Number, b: &Number) -> Number {
        let mut out = [0; MAX];
        let (a, b) = (self.curve.cut(a), self.curve.cut(b));
        self.modulus.subtract(self.curve.cut_mut(&mut out), a, b);
        out
    }

    fn twice(&self, a: &Number) -> Number {
        self.add(a, a)
    }

    pub(crate) fn negate(&self, point: &Point) -> Point {
        Point { y: self.subtract(&[0; MAX], &point.y), ..*point }
    }

    /// `2 · point` (dbl-2001-b of the Explicit-Formulas Database).
    #[inline(never)]
    pub(crate) fn double(&self, point: &Point) -> Point {
        let delta = self.multiply(&point.z, &point.z);
        let gamma = self.multiply(&point.y, &point.y);
        let beta = self.multiply(&point.x, &gamma);
        let product = self.multiply(&self.subtract(&point.x, &delta), &self.add(&point.x, &delta));
        let alpha = self.add(&self.twice(&product), &product);
        let beta_4 = self.twice(&self.twice(&beta));
        let x = self.subtract(&self.multiply(&alpha, &alpha), &self.twice(&beta_4));
        let z = self.add(&point.y, &point.z);
        let z = self.subtract(&self.subtract(&self.multiply(&z, &z), &gamma), &delta);
        let gamma_8 = self.twice(&self.twice(&self.twice(&self.multiply(&gamma, &gamma))));
        let y = self.subtract(&self.multiply(&alpha, &self.subtract(&beta_4, &x)), &gamma_8);
        Point { x, y, z }
    }

    /// `a + b`, whatever they are.
    #[expect(clippy::many_single_char_names, reason = "the formulas' own names")]
    #[inline(never)]
    pub(crate) fn sum(&self, a: &Point, b: &Point) -> Point {
        if a.z == [0; MAX] {
            return *b;
        }
        if b.z == [0; MAX] {
            return *a;
        }
        let (a_zz, b_zz) = (self.multiply(&a.z, &a.z), self.multiply(&b.z, &b.z));
        let (a_u, b_u) = (self.multiply(&a.x, &b_zz), self.multiply(&b.x, &a_zz));
        let a_s = self.multiply(&self.multiply(&a.y, &b.z), &b_zz);
        let b_s = self.multiply(&self.multiply(&b.y, &a.z), &a_zz);
        let (h, r) = (self.subtract(&b_u, &a_u), self.subtract(&b_s, &a_s));
        if h == [0; MAX] {
            return if r == [0; MAX] { self.double(a) } else { Point::INFINITY };
        }
        let hh = self.multiply(&h, &h);
        let hhh = self.multiply(&h, &hh);
        let v = self.multiply(&a_u, &hh);
        let x = self.subtract(&self.subtract(&self.multiply(&r, &r), &hhh), &self.twice(&v));
        let y = self.multiply(&r, &self.subtract(&v, &x));
        let y = self.subtract(&y, &self.multiply(&a_s, &hhh));
        let z = self.multiply(&self.multiply(&a.z, &b.z), &h);
        Point { x, y, z }
    }
}
