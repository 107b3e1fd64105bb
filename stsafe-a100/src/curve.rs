//! Curves, points and signatures as the chip writes them, and in the forms the rest of the world uses.

use core::fmt;

use crate::codec::{Reader, Writer, len16};
use crate::error::{InputError, ProtocolError};

/// An elliptic curve the chip computes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Curve {
    /// NIST P-256 (secp256r1).
    NistP256,
    /// NIST P-384 (secp384r1).
    NistP384,
    /// Brainpool P256r1.
    BrainpoolP256r1,
    /// Brainpool P384r1.
    BrainpoolP384r1,
}

/// Longest field element in bytes.
pub const MAX_FIELD: usize = 48;

impl Curve {
    /// Every curve.
    pub const ALL: [Self; 4] = [Self::NistP256, Self::NistP384, Self::BrainpoolP256r1, Self::BrainpoolP384r1];

    /// The object identifier's DER body, by which the chip names the curve.
    #[must_use]
    pub const fn oid(self) -> &'static [u8] {
        match self {
            Self::NistP256 => &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07],
            Self::NistP384 => &[0x2B, 0x81, 0x04, 0x00, 0x22],
            Self::BrainpoolP256r1 => &[0x2B, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x07],
            Self::BrainpoolP384r1 => &[0x2B, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0B],
        }
    }

    /// The curve of an object identifier's DER body.
    #[must_use]
    pub fn from_oid(oid: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|curve| curve.oid() == oid)
    }

    /// Bytes of a coordinate, of a signature's half, and of the digest signed.
    #[must_use]
    pub const fn field_len(self) -> usize {
        match self {
            Self::NistP256 | Self::BrainpoolP256r1 => 32,
            Self::NistP384 | Self::BrainpoolP384r1 => MAX_FIELD,
        }
    }

    pub(crate) fn parse(r: &mut Reader<'_>) -> Result<Self, ProtocolError> {
        let at = len16(r.position() + 2);
        let oid = r.lv2()?;
        let value = oid.first().copied().unwrap_or(0);
        Self::from_oid(oid).ok_or(ProtocolError::Value { at, value })
    }

    pub(crate) fn emit(self, w: &mut Writer<'_>) -> Result<(), InputError> {
        w.lv2(self.oid())
    }
}

/// Takes `LV2(first) ‖ LV2(second)`, both as long as a field element.
fn parse_pair<'a>(r: &mut Reader<'a>) -> Result<(&'a [u8], &'a [u8]), ProtocolError> {
    let at = len16(r.position() + 1);
    let first = r.lv2()?;
    let second = r.lv2()?;
    if check_pair(first, second).is_err() {
        return Err(ProtocolError::Value { at, value: u8::try_from(first.len()).unwrap_or(u8::MAX) });
    }
    Ok((first, second))
}

/// Two numbers must both be as long as a field element.
fn check_pair(first: &[u8], second: &[u8]) -> Result<u8, InputError> {
    let field_len = match first.len() {
        32 => 32,
        MAX_FIELD => 48,
        other => return Err(InputError::Length { actual: len16(other) }),
    };
    if second.len() != first.len() {
        return Err(InputError::Length { actual: len16(second.len()) });
    }
    Ok(field_len)
}

fn emit_pair(w: &mut Writer<'_>, first: &[u8], second: &[u8]) -> Result<(), InputError> {
    check_pair(first, second)?;
    w.lv2(first)?;
    w.lv2(second)
}

/// The coordinates of a point, borrowed, as they stand in a frame: `04 ‖ LV2(X) ‖ LV2(Y)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Point<'a> {
    /// The first coordinate, big-endian, 32 or 48 bytes.
    pub x: &'a [u8],
    /// The second coordinate, as long as the first.
    pub y: &'a [u8],
}

impl<'a> Point<'a> {
    pub(crate) fn parse(r: &mut Reader<'a>) -> Result<Self, ProtocolError> {
        let form = r.u8()?;
        if form != UNCOMPRESSED {
            return Err(r.bad(form));
        }
        let (x, y) = parse_pair(r)?;
        Ok(Self { x, y })
    }

    pub(crate) fn emit(&self, w: &mut Writer<'_>) -> Result<(), InputError> {
        w.u8(UNCOMPRESSED)?;
        emit_pair(w, self.x, self.y)
    }
}

/// The halves of an ECDSA signature, borrowed, as they stand in a frame: `LV2(R) ‖ LV2(S)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Rs<'a> {
    /// R, big-endian, 32 or 48 bytes.
    pub r: &'a [u8],
    /// S, as long as R.
    pub s: &'a [u8],
}

impl<'a> Rs<'a> {
    /// Takes the halves from a data field.
    ///
    /// # Errors
    /// [`ProtocolError::DataLength`] if the data end before, [`ProtocolError::Value`] for other lengths.
    pub fn parse(r: &mut Reader<'a>) -> Result<Self, ProtocolError> {
        let (r, s) = parse_pair(r)?;
        Ok(Self { r, s })
    }

    /// Appends the halves to a data field.
    ///
    /// # Errors
    /// [`InputError::Length`] if they are not of one field's length, [`InputError::TooLong`] if they do not fit.
    pub fn emit(&self, w: &mut Writer<'_>) -> Result<(), InputError> {
        emit_pair(w, self.r, self.s)
    }
}

/// Two numbers of one field length, owned: a point's coordinates or a signature's halves.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Pair {
    bytes: [u8; 2 * MAX_FIELD],
    field_len: u8,
}

impl Pair {
    fn new(first: &[u8], second: &[u8]) -> Result<Self, InputError> {
        let field_len = check_pair(first, second)?;
        let mut bytes = [0; 2 * MAX_FIELD];
        for (to, from) in bytes.iter_mut().zip(first.iter().chain(second)) {
            *to = *from;
        }
        Ok(Self { bytes, field_len })
    }

    fn both(&self) -> &[u8] {
        self.bytes.get(..2 * usize::from(self.field_len)).unwrap_or_default()
    }

    fn halves(&self) -> (&[u8], &[u8]) {
        self.both().split_at_checked(usize::from(self.field_len)).unwrap_or_default()
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, second) = self.halves();
        write!(f, "({first:02x?}, {second:02x?})")
    }
}

/// The byte before an uncompressed point.
pub(crate) const UNCOMPRESSED: u8 = 0x04;

/// An uncompressed public key of one of the curves. Only the lengths are checked, not whether it is on the curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey {
    curve: Curve,
    xy: Pair,
}

/// Longest [`PublicKey::to_sec1`] in bytes.
pub const MAX_SEC1: usize = 1 + 2 * MAX_FIELD;

impl PublicKey {
    /// From the coordinates, big-endian.
    ///
    /// # Errors
    /// [`InputError::Length`] if they are not as long as the curve's field.
    pub fn new(curve: Curve, x: &[u8], y: &[u8]) -> Result<Self, InputError> {
        if x.len() != curve.field_len() {
            return Err(InputError::Length { actual: len16(x.len()) });
        }
        Ok(Self { curve, xy: Pair::new(x, y)? })
    }

    /// From an uncompressed SEC 1 point, `04 ‖ X ‖ Y`.
    ///
    /// # Errors
    /// [`InputError::Value`] if it is not uncompressed, [`InputError::Length`] if its length is not the curve's.
    pub fn from_sec1(curve: Curve, point: &[u8]) -> Result<Self, InputError> {
        let actual = len16(point.len());
        let (&form, xy) = point.split_first().ok_or(InputError::Length { actual })?;
        if form != UNCOMPRESSED {
            return Err(InputError::Value);
        }
        let (x, y) = xy.split_at_checked(curve.field_len()).ok_or(InputError::Length { actual })?;
        Self::new(curve, x, y)
    }

    /// As an uncompressed SEC 1 point.
    #[must_use]
    pub fn to_sec1<'o>(&self, out: &'o mut [u8; MAX_SEC1]) -> &'o [u8] {
        let mut w = Writer::new(out);
        // Both fit: the buffer is made for the longest point.
        let _ = w.u8(UNCOMPRESSED).and_then(|()| w.bytes(self.xy.both()));
        w.finish()
    }

    /// The curve.
    #[must_use]
    pub const fn curve(&self) -> Curve {
        self.curve
    }

    /// The first coordinate, big-endian, as long as the curve's field.
    #[must_use]
    pub fn x(&self) -> &[u8] {
        self.xy.halves().0
    }

    /// The second coordinate.
    #[must_use]
    pub fn y(&self) -> &[u8] {
        self.xy.halves().1
    }

    /// The coordinates, borrowed.
    #[must_use]
    pub fn point(&self) -> Point<'_> {
        Point { x: self.x(), y: self.y() }
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for PublicKey {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "PublicKey({} {=[u8]:02x})", self.curve, self.xy.both());
    }
}

/// An ECDSA signature: R and S, each as long as the curve's field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature(Pair);

/// Longest [`Signature::to_der`] in bytes.
pub const MAX_DER_SIGNATURE: usize = 2 + 2 * (2 + 1 + MAX_FIELD);

impl Signature {
    /// From the two numbers, big-endian and of one length.
    ///
    /// # Errors
    /// [`InputError::Length`] if that is not 32 or 48 bytes.
    pub fn new(r: &[u8], s: &[u8]) -> Result<Self, InputError> {
        Pair::new(r, s).map(Self)
    }

    /// R.
    #[must_use]
    pub fn r(&self) -> &[u8] {
        self.0.halves().0
    }

    /// S.
    #[must_use]
    pub fn s(&self) -> &[u8] {
        self.0.halves().1
    }

    /// `R ‖ S`, 64 or 96 bytes: the fixed form of P1363 and JOSE.
    #[must_use]
    pub fn to_bytes(&self) -> &[u8] {
        self.0.both()
    }

    /// Bytes of each half.
    #[must_use]
    pub fn field_len(&self) -> usize {
        usize::from(self.0.field_len)
    }

    /// `SEQUENCE { INTEGER r, INTEGER s }`, the form of X.509 and TLS.
    #[must_use]
    pub fn to_der<'o>(&self, out: &'o mut [u8; MAX_DER_SIGNATURE]) -> &'o [u8] {
        let (r, s) = (DerInteger::new(self.r()), DerInteger::new(self.s()));
        let mut w = Writer::new(out);
        // Everything fits: the buffer is made for the longest signature.
        let _ = w
            .bytes(&[0x30, r.total_len() + s.total_len()])
            .and_then(|()| r.emit(&mut w))
            .and_then(|()| s.emit(&mut w));
        w.finish()
    }

    /// The halves, borrowed.
    #[must_use]
    pub fn rs(&self) -> Rs<'_> {
        Rs { r: self.r(), s: self.s() }
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Signature {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Signature({=[u8]:02x})", self.to_bytes());
    }
}

/// A non-negative DER INTEGER: no leading zeros but one before a set top bit.
struct DerInteger<'a> {
    magnitude: &'a [u8],
    pad: bool,
}

impl<'a> DerInteger<'a> {
    fn new(number: &'a [u8]) -> Self {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        // Zero itself keeps one byte.
        let skip = zeros.min(number.len().saturating_sub(1));
        let magnitude = number.get(skip..).unwrap_or_default();
        Self { magnitude, pad: magnitude.first().is_some_and(|top| top & 0x80 != 0) }
    }

    fn len(&self) -> u8 {
        // At most 49: the number is a field element.
        u8::try_from(self.magnitude.len()).unwrap_or(u8::MAX).saturating_add(u8::from(self.pad))
    }

    fn total_len(&self) -> u8 {
        self.len().saturating_add(2)
    }

    fn emit(&self, w: &mut Writer<'_>) -> Result<(), InputError> {
        w.bytes(&[0x02, self.len()])?;
        if self.pad {
            w.u8(0)?;
        }
        w.bytes(self.magnitude)
    }
}

/// Checks a digest to sign or verify: 32 or 48 bytes, and not all zero, which hangs the chip.
pub(crate) fn check_digest(digest: &[u8]) -> Result<(), InputError> {
    if digest.len() != 32 && digest.len() != MAX_FIELD {
        return Err(InputError::Length { actual: len16(digest.len()) });
    }
    if digest.iter().all(|byte| *byte == 0) {
        return Err(InputError::ZeroDigest);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Curve, MAX_DER_SIGNATURE, MAX_SEC1, PublicKey, Signature, check_digest};
    use crate::error::InputError;

    #[test]
    fn curves_by_oid() {
        for curve in Curve::ALL {
            assert_eq!(Curve::from_oid(curve.oid()), Some(curve));
        }
        assert_eq!(Curve::from_oid(&[0x2B]), None);
    }

    #[test]
    fn sec1_returns() {
        for curve in Curve::ALL {
            let n = curve.field_len();
            let key = PublicKey::new(curve, &[1; 48][..n], &[2; 48][..n]).unwrap();
            let mut out = [0; MAX_SEC1];
            let point = key.to_sec1(&mut out);
            assert_eq!(point.len(), 1 + 2 * n);
            assert_eq!(PublicKey::from_sec1(curve, point), Ok(key));
            assert!(PublicKey::from_sec1(curve, &point[1..]).is_err());
            assert!(PublicKey::from_sec1(curve, &point[..2 * n]).is_err());
        }
    }

    #[test]
    fn der_is_minimal_and_positive() {
        let mut r = [0; 32];
        r[31] = 0x7F;
        let mut s = [0; 32];
        s[30] = 0x80;
        let mut out = [0; MAX_DER_SIGNATURE];
        let der = Signature::new(&r, &s).unwrap();
        assert_eq!(der.to_der(&mut out), [0x30, 8, 2, 1, 0x7F, 2, 3, 0, 0x80, 0]);
        let der = Signature::new(&[0; 32], &[0xFF; 32]).unwrap();
        let der = der.to_der(&mut out);
        assert_eq!(der[..5], [0x30, 38, 2, 1, 0]);
        let longest = Signature::new(&[0xFF; 48], &[0xFF; 48]).unwrap();
        assert_eq!(longest.to_der(&mut out).len(), MAX_DER_SIGNATURE);
    }

    #[test]
    fn digests() {
        assert_eq!(check_digest(&[1; 32]), Ok(()));
        assert_eq!(check_digest(&[0; 48]), Err(InputError::ZeroDigest));
        assert_eq!(check_digest(&[1; 20]), Err(InputError::Length { actual: 20 }));
    }
}
