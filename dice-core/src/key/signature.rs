//! ECDSA P-256 signatures: fixed 64-byte form and strict DER.

use super::order::Number;
use crate::asn1::DerWriter;
use crate::{Error, Result};
use core::fmt;
use der::asn1::UintRef;
use der::{Reader, SliceReader};

/// An ECDSA P-256 signature with both integers in the range 1 to n - 1.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; Signature::LEN]);

impl Signature {
    /// Length of the fixed form, `r || s`, in bytes.
    pub const LEN: usize = 64;
    /// The longest DER form in bytes.
    pub const MAX_DER_LEN: usize = 72;

    /// Reads the fixed form (IEEE P1363): `r || s`, 32 bytes each, big-endian.
    ///
    /// # Errors
    /// [`Error::SignatureEncoding`] for another length, and if r or s is zero or not below the group order.
    pub fn from_slice(bytes: &[u8]) -> Result<Self> {
        let bytes: [u8; Self::LEN] = bytes.try_into().map_err(|_| Error::SignatureEncoding)?;
        let signature = Self(bytes);
        for integer in [signature.r(), signature.s()] {
            let (below_order, number) = Number::from_bytes(integer);
            if !bool::from(below_order & !number.is_zero()) {
                return Err(Error::SignatureEncoding);
            }
        }
        Ok(signature)
    }

    /// Joins the two integers, 32 bytes each, big-endian.
    ///
    /// # Errors
    /// [`Error::SignatureEncoding`] if r or s is zero or not below the group order.
    pub fn from_scalars(r: &[u8; 32], s: &[u8; 32]) -> Result<Self> {
        let mut bytes = [0; Self::LEN];
        bytes.iter_mut().zip(r.iter().chain(s)).for_each(|(to, from)| *to = *from);
        Self::from_slice(&bytes)
    }

    /// Reads the DER form used by X.509 (RFC 3279 §2.2.3, `Ecdsa-Sig-Value`): exactly one value, strictly encoded.
    ///
    /// # Errors
    /// [`Error::SignatureEncoding`] for everything else, and if r or s is zero or not below the group order.
    pub fn from_der(der: &[u8]) -> Result<Self> {
        let mut bytes = [0; Self::LEN];
        let (r, s) = bytes.split_at_mut(Self::LEN / 2);
        read_integers(der, r, s).map_err(|_| Error::SignatureEncoding)?;
        Self::from_slice(&bytes)
    }

    /// The fixed form, `r || s`.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// r, big-endian.
    #[must_use]
    pub fn r(&self) -> &[u8; 32] {
        self.0.first_chunk().unwrap_or(&[0; 32])
    }

    /// s, big-endian.
    #[must_use]
    pub fn s(&self) -> &[u8; 32] {
        self.0.last_chunk().unwrap_or(&[0; 32])
    }

    /// Writes the DER form: 8 to 72 bytes.
    pub fn write_der(&self, writer: &mut DerWriter<'_>) {
        writer.sequence(|writer| {
            writer.unsigned_integer(self.r());
            writer.unsigned_integer(self.s());
        });
    }

    /// Writes the DER form to `out` and gives the part used.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`]; [`MAX_DER_LEN`](Self::MAX_DER_LEN) bytes are always enough.
    pub fn to_der<'b>(&self, out: &'b mut [u8]) -> Result<&'b [u8]> {
        let mut writer = DerWriter::new(out);
        self.write_der(&mut writer);
        writer.finish()
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// Reads `SEQUENCE { r INTEGER, s INTEGER }` into right-aligned big-endian fields.
fn read_integers(der: &[u8], r: &mut [u8], s: &mut [u8]) -> der::Result<()> {
    let mut reader = SliceReader::new(der)?;
    reader.sequence(|reader| -> der::Result<()> {
        for field in [r, s] {
            let integer: UintRef<'_> = reader.decode()?;
            let bytes = integer.as_bytes();
            let offset = field
                .len()
                .checked_sub(bytes.len())
                .ok_or_else(|| der::Error::from(der::ErrorKind::Overlength))?;
            field.iter_mut().skip(offset).zip(bytes).for_each(|(to, from)| *to = *from);
        }
        Ok(())
    })?;
    reader.finish()
}
