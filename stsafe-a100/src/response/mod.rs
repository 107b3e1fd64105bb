//! What the chip answers: data fields parsed by the host and emitted by a (virtual) chip.

mod authorisation;
mod product;
mod slots;

pub use authorisation::{Authorisation, AuthorisationTable};
pub use product::{Family, ProductData};
pub use slots::{EnvelopeKeyTable, EnvelopeSlot, HostKeySlot, PrivateKeySlot, PrivateKeyTable};

use crate::codec::{Reader, Writer};
use crate::command::{I2cParameters, LifeCycle};
use crate::curve::{Curve, Point, Rs};
use crate::error::{InputError, ProtocolError};

/// Checks that a field is empty.
///
/// # Errors
/// [`ProtocolError::DataLength`] otherwise.
pub fn parse_empty(data: &[u8]) -> Result<(), ProtocolError> {
    Reader::new(data).end()
}

/// A counter's value: the answer to Decrement.
///
/// # Errors
/// [`ProtocolError::DataLength`] if it is not four bytes.
pub fn parse_counter(data: &[u8]) -> Result<u32, ProtocolError> {
    let mut r = Reader::new(data);
    let value = r.u32()?;
    r.end()?;
    Ok(value)
}

/// A signature: the answer to Generate Signature and Get Signature.
///
/// # Errors
/// [`ProtocolError::DataLength`] or [`ProtocolError::Value`] if it is not two numbers of one field's length.
pub fn parse_signature(data: &[u8]) -> Result<Rs<'_>, ProtocolError> {
    let mut r = Reader::new(data);
    let signature = Rs::parse(&mut r)?;
    r.end()?;
    Ok(signature)
}

/// A public key: the answer to Generate Key for a key pair.
///
/// # Errors
/// [`ProtocolError::DataLength`] or [`ProtocolError::Value`] if it is not an uncompressed point.
pub fn parse_point(data: &[u8]) -> Result<Point<'_>, ProtocolError> {
    let mut r = Reader::new(data);
    let point = Point::parse(&mut r)?;
    r.end()?;
    Ok(point)
}

/// Appends a public key: the answer to Generate Key for a key pair.
///
/// # Errors
/// [`InputError`] if the lengths are wrong or it does not fit.
pub fn emit_point(point: &Point<'_>, w: &mut Writer<'_>) -> Result<(), InputError> {
    point.emit(w)
}

/// Whether a signature is valid: the answer to Verify Signature.
///
/// # Errors
/// [`ProtocolError::DataLength`] if it is not one byte, [`ProtocolError::Value`] if that is not 0 or 1.
pub fn parse_verdict(data: &[u8]) -> Result<bool, ProtocolError> {
    let mut r = Reader::new(data);
    let verdict = flag(&mut r)?;
    r.end()?;
    Ok(verdict)
}

/// An ECDH shared secret, the point's x coordinate: the (decrypted) answer to Establish Key.
///
/// # Errors
/// [`ProtocolError::DataLength`] or [`ProtocolError::Value`] if it is not one number of a field's length.
pub fn parse_shared_secret(data: &[u8]) -> Result<&[u8], ProtocolError> {
    let mut r = Reader::new(data);
    let secret = r.lv2()?;
    r.end()?;
    match secret.len() {
        32 | 48 => Ok(secret),
        other => Err(ProtocolError::Value { at: 1, value: u8::try_from(other).unwrap_or(u8::MAX) }),
    }
}

/// The answer to a life-cycle query.
///
/// # Errors
/// [`ProtocolError::DataLength`] if it is not one byte.
pub fn parse_life_cycle(data: &[u8]) -> Result<LifeCycle, ProtocolError> {
    let mut r = Reader::new(data);
    let state = LifeCycle::from_byte(r.u8()?);
    r.end()?;
    Ok(state)
}

/// The answer to an I2C parameter query.
///
/// # Errors
/// [`ProtocolError::DataLength`] if it is not two bytes, [`ProtocolError::Value`] if the address is odd.
pub fn parse_i2c_parameters(data: &[u8]) -> Result<I2cParameters, ProtocolError> {
    let mut r = Reader::new(data);
    let parameters = I2cParameters::parse(&mut r)?;
    r.end()?;
    Ok(parameters)
}

/// The public key slot: curve and key, or nothing.
///
/// # Errors
/// [`ProtocolError::DataLength`] or [`ProtocolError::Value`] for another shape.
pub fn parse_public_key_slot(data: &[u8]) -> Result<Option<(Curve, Point<'_>)>, ProtocolError> {
    let mut r = Reader::new(data);
    let mut slot = None;
    if flag(&mut r)? {
        let point = Point::parse(&mut r)?;
        let curve = Curve::parse(&mut r)?;
        if curve.field_len() != point.x.len() {
            return Err(ProtocolError::Value {
                at: 3,
                value: u8::try_from(point.x.len()).unwrap_or(u8::MAX),
            });
        }
        slot = Some((curve, point));
    }
    r.end()?;
    Ok(slot)
}

/// Appends the answer to a public key slot query.
///
/// # Errors
/// [`InputError`] if the lengths are wrong or it does not fit.
pub fn emit_public_key_slot(slot: Option<(Curve, Point<'_>)>, w: &mut Writer<'_>) -> Result<(), InputError> {
    w.u8(u8::from(slot.is_some()))?;
    if let Some((curve, point)) = slot {
        point.emit(w)?;
        curve.emit(w)?;
    }
    Ok(())
}

/// The answer to Verify Password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PasswordVerdict {
    /// Whether it was the password.
    pub correct: bool,
    /// Attempts left.
    pub remaining: u8,
}

impl PasswordVerdict {
    /// Takes the answer apart.
    ///
    /// # Errors
    /// [`ProtocolError::DataLength`] if it is not two bytes, [`ProtocolError::Value`] if the first is not 0 or 1.
    pub fn parse(data: &[u8]) -> Result<Self, ProtocolError> {
        let mut r = Reader::new(data);
        let verdict = Self { correct: flag(&mut r)?, remaining: r.u8()? };
        r.end()?;
        Ok(verdict)
    }

    /// Appends the answer.
    ///
    /// # Errors
    /// [`InputError::TooLong`] if it does not fit.
    pub fn emit(&self, w: &mut Writer<'_>) -> Result<(), InputError> {
        w.bytes(&[u8::from(self.correct), self.remaining])
    }
}

/// A byte that is 0 or 1.
fn flag(r: &mut Reader<'_>) -> Result<bool, ProtocolError> {
    match r.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(r.bad(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        PasswordVerdict, emit_point, emit_public_key_slot, parse_counter, parse_i2c_parameters, parse_point,
        parse_public_key_slot, parse_shared_secret, parse_signature, parse_verdict,
    };
    use crate::codec::Writer;
    use crate::curve::{Curve, Point, Rs};
    use crate::error::{InputError, ProtocolError};

    fn emitted(emit: impl FnOnce(&mut Writer<'_>) -> Result<(), InputError>) -> std::vec::Vec<u8> {
        let mut buf = [0; 256];
        let mut w = Writer::new(&mut buf);
        emit(&mut w).unwrap();
        w.finish().to_vec()
    }

    /// Every proper prefix and every longer field must be refused.
    fn only_whole<T>(data: &[u8], parse: impl Fn(&[u8]) -> Result<T, ProtocolError>) {
        for len in 0..data.len() {
            assert!(parse(&data[..len]).is_err(), "prefix of {len}");
        }
        let mut longer = data.to_vec();
        longer.push(0);
        assert!(parse(&longer).is_err(), "one byte more");
    }

    #[test]
    fn shapes_return_and_nothing_else_does() {
        let (x, y) = ([1; 48], [2; 48]);
        let point = Point { x: &x, y: &y };
        let data = emitted(|w| emit_point(&point, w));
        assert_eq!(parse_point(&data), Ok(point));
        only_whole(&data, |data| parse_point(data).map(|_| ()));

        let rs = Rs { r: &x[..32], s: &y[..32] };
        let data = emitted(|w| rs.emit(w));
        assert_eq!(parse_signature(&data), Ok(rs));
        only_whole(&data, |data| parse_signature(data).map(|_| ()));

        let data = emitted(|w| emit_public_key_slot(Some((Curve::BrainpoolP384r1, point)), w));
        assert_eq!(parse_public_key_slot(&data), Ok(Some((Curve::BrainpoolP384r1, point))));
        only_whole(&data, |data| parse_public_key_slot(data).map(|_| ()));
        assert_eq!(parse_public_key_slot(&emitted(|w| emit_public_key_slot(None, w))), Ok(None));

        let verdict = PasswordVerdict { correct: false, remaining: 2 };
        let data = emitted(|w| verdict.emit(w));
        assert_eq!(PasswordVerdict::parse(&data), Ok(verdict));
        only_whole(&data, PasswordVerdict::parse);

        let data = emitted(|w| w.lv2(&x));
        assert_eq!(parse_shared_secret(&data), Ok(&x[..]));
        only_whole(&data, |data| parse_shared_secret(data).map(|_| ()));
        assert!(parse_shared_secret(&emitted(|w| w.lv2(&x[..16]))).is_err());

        assert_eq!(parse_counter(&[0, 7, 0xA1, 0x1D]), Ok(499_997));
        only_whole(&[0, 7, 0xA1, 0x1D], parse_counter);
        assert_eq!(parse_verdict(&[1]), Ok(true));
        assert_eq!(parse_verdict(&[2]), Err(ProtocolError::Value { at: 0, value: 2 }));
        assert!(parse_i2c_parameters(&[0x41, 0]).is_err(), "the read bit is no address");
    }

    #[test]
    fn a_slot_whose_key_is_not_of_its_curve_is_refused() {
        let point = Point { x: &[1; 32], y: &[2; 32] };
        let data = emitted(|w| emit_public_key_slot(Some((Curve::NistP384, point)), w));
        assert!(parse_public_key_slot(&data).is_err());
    }
}
