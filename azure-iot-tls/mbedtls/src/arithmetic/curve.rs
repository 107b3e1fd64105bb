//! Points of the NIST curves (`y² = x³ - 3x + b`), in Jacobian coordinates that are in Montgomery form.

use super::montgomery::{Modulus, compare};
use core::cmp::Ordering;

/// Words of the longest number.
const MAX: usize = 12;

/// A number of a curve, of whose words the highest are zero if the curve has fewer: one code for both curves.
pub(crate) type Number = [u32; MAX];

/// A curve. Its constants are little-endian words; those of the equation and the base point are in Montgomery form.
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
    prime: [0xffff_ffff, 0xffff_ffff, 0xffff_ffff, 0, 0, 0, 1, 0xffff_ffff, 0, 0, 0, 0],
    prime_r2: [3, 0, 0xffff_ffff, 0xffff_fffb, 0xffff_fffe, 0xffff_ffff, 0xffff_fffd, 4, 0, 0, 0, 0],
    order: [
        0xfc63_2551,
        0xf3b9_cac2,
        0xa717_9e84,
        0xbce6_faad,
        0xffff_ffff,
        0xffff_ffff,
        0,
        0xffff_ffff,
        0,
        0,
        0,
        0,
    ],
    order_r2: [
        0xbe79_eea2,
        0x8324_4c95,
        0x49bd_6fa6,
        0x4699_799c,
        0x2b6b_ec59,
        0x2845_b239,
        0xf3d9_5620,
        0x66e1_2d94,
        0,
        0,
        0,
        0,
    ],
    b: [
        0x29c4_bddf,
        0xd89c_df62,
        0x7884_3090,
        0xacf0_05cd,
        0xf721_2ed6,
        0xe5a2_20ab,
        0x0487_4834,
        0xdc30_061d,
        0,
        0,
        0,
        0,
    ],
    base: [
        [
            0x18a9_143c,
            0x79e7_30d4,
            0x5fed_b601,
            0x75ba_95fc,
            0x7762_2510,
            0x79fb_732b,
            0xa537_55c6,
            0x1890_5f76,
            0,
            0,
            0,
            0,
        ],
        [
            0xce95_560a,
            0xddf2_5357,
            0xba19_e45c,
            0x8b4a_b8e4,
            0xdd21_f325,
            0xd2e8_8688,
            0x2588_5d85,
            0x8571_ff18,
            0,
            0,
            0,
            0,
        ],
    ],
};

/// P-384 (FIPS 186-5, SP 800-186 §3.2.1.4).
pub(crate) static P384: Curve = Curve {
    words: 12,
    prime: [
        0xffff_ffff,
        0,
        0,
        0xffff_ffff,
        0xffff_fffe,
        0xffff_ffff,
        0xffff_ffff,
        0xffff_ffff,
        0xffff_ffff,
        0xffff_ffff,
        0xffff_ffff,
        0xffff_ffff,
    ],
    prime_r2: [1, 0xffff_fffe, 0, 2, 0, 0xffff_fffe, 0, 2, 1, 0, 0, 0],
    order: [
        0xccc5_2973,
        0xecec_196a,
        0x48b0_a77a,
        0x581a_0db2,
        0xf437_2ddf,
        0xc763_4d81,
        0xffff_ffff,
        0xffff_ffff,
        0xffff_ffff,
        0xffff_ffff,
        0xffff_ffff,
        0xffff_ffff,
    ],
    order_r2: [
        0x19b4_09a9,
        0x2d31_9b24,
        0xdf1a_a419,
        0xff3d_81e5,
        0xfcb8_2947,
        0xbc3e_483a,
        0x4aab_1cc5,
        0xd40d_4917,
        0x2826_6895,
        0x3fb0_5b7a,
        0x2b39_bf21,
        0x0c84_ee01,
    ],
    b: [
        0x9d41_2dcc,
        0x0811_8871,
        0x7a4c_32ec,
        0xf729_add8,
        0x1920_022e,
        0x77f2_209b,
        0x9493_8ae2,
        0xe337_4bee,
        0x1f02_2094,
        0xb62b_21f4,
        0x604f_bff9,
        0xcd08_114b,
    ],
    base: [
        [
            0x49c0_b528,
            0x3dd0_7566,
            0xa0d6_ce38,
            0x20e3_78e2,
            0x541b_4d6e,
            0x879c_3afc,
            0x59a3_0eff,
            0x6454_8684,
            0x614e_de2b,
            0x812f_f723,
            0x299e_1513,
            0x4d3a_adc2,
        ],
        [
            0x4b03_a4fe,
            0x2304_3dad,
            0x7bb4_a9ac,
            0xa1bf_a8bf,
            0x2e83_b050,
            0x8bad_e756,
            0x68f4_ffd9,
            0xc6c3_5219,
            0x3969_a840,
            0xdd80_0226,
            0x5a15_c5e9,
            0x2b78_abc2,
        ],
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
