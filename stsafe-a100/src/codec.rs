//! Big-endian reading and writing of data fields, bounds checked.

use crate::error::{InputError, ProtocolError};

/// A length for an error message; lengths here never exceed the I/O buffer, larger ones saturate.
pub(crate) fn len16(len: usize) -> u16 {
    u16::try_from(len).unwrap_or(u16::MAX)
}

/// Appends fields to a byte slice.
#[derive(Debug)]
pub struct Writer<'b> {
    buf: &'b mut [u8],
    len: usize,
}

impl<'b> Writer<'b> {
    /// Writes from the start of `buf`.
    #[must_use]
    pub fn new(buf: &'b mut [u8]) -> Self {
        Self { buf, len: 0 }
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing has been written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What was written.
    #[must_use]
    pub fn finish(self) -> &'b [u8] {
        let Self { buf, len } = self;
        // `len` only grows by what fitted, so the range exists.
        buf.get(..len).unwrap_or_default()
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    /// [`InputError::TooLong`] if they do not fit.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), InputError> {
        let max = len16(self.buf.len());
        let end = self.len + bytes.len();
        self.buf.get_mut(self.len..end).ok_or(InputError::TooLong { max })?.copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }

    /// Appends one byte.
    ///
    /// # Errors
    /// [`InputError::TooLong`] if it does not fit.
    pub fn u8(&mut self, value: u8) -> Result<(), InputError> {
        self.bytes(&[value])
    }

    /// Appends two bytes, most significant first.
    ///
    /// # Errors
    /// [`InputError::TooLong`] if they do not fit.
    pub fn u16(&mut self, value: u16) -> Result<(), InputError> {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends four bytes, most significant first.
    ///
    /// # Errors
    /// [`InputError::TooLong`] if they do not fit.
    pub fn u32(&mut self, value: u32) -> Result<(), InputError> {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends `bytes` with a two-byte length before them.
    ///
    /// # Errors
    /// [`InputError::TooLong`] if they do not fit.
    pub fn lv2(&mut self, bytes: &[u8]) -> Result<(), InputError> {
        let len = u16::try_from(bytes.len()).map_err(|_| InputError::TooLong { max: u16::MAX })?;
        self.u16(len)?;
        self.bytes(bytes)
    }
}

/// Takes fields from a byte slice.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    all: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `data`.
    #[must_use]
    pub fn new(data: &'a [u8]) -> Self {
        Self { all: data, rest: data }
    }

    /// Position of the next byte.
    #[must_use]
    pub fn position(&self) -> usize {
        self.all.len() - self.rest.len()
    }

    /// Bytes left.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Takes all that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.rest)
    }

    /// Takes `len` bytes.
    ///
    /// # Errors
    /// [`ProtocolError::DataLength`] if the data end before.
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], ProtocolError> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(ProtocolError::DataLength {
            expected: len16(self.position() + len),
            actual: len16(self.all.len()),
        })?;
        self.rest = rest;
        Ok(head)
    }

    /// Takes an array.
    ///
    /// # Errors
    /// [`ProtocolError::DataLength`] if the data end before.
    pub fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], ProtocolError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(ProtocolError::DataLength {
            expected: len16(self.position() + N),
            actual: len16(self.all.len()),
        })?;
        self.rest = rest;
        Ok(head)
    }

    /// Takes one byte.
    ///
    /// # Errors
    /// [`ProtocolError::DataLength`] if the data end before.
    pub fn u8(&mut self) -> Result<u8, ProtocolError> {
        self.array::<1>().map(|&[value]| value)
    }

    /// Takes a two-byte number.
    ///
    /// # Errors
    /// [`ProtocolError::DataLength`] if the data end before.
    pub fn u16(&mut self) -> Result<u16, ProtocolError> {
        self.array().map(|bytes| u16::from_be_bytes(*bytes))
    }

    /// Takes a three-byte number.
    ///
    /// # Errors
    /// [`ProtocolError::DataLength`] if the data end before.
    pub fn u24(&mut self) -> Result<u32, ProtocolError> {
        self.array().map(|&[a, b, c]| u32::from_be_bytes([0, a, b, c]))
    }

    /// Takes a four-byte number.
    ///
    /// # Errors
    /// [`ProtocolError::DataLength`] if the data end before.
    pub fn u32(&mut self) -> Result<u32, ProtocolError> {
        self.array().map(|bytes| u32::from_be_bytes(*bytes))
    }

    /// Takes a two-byte length and that many bytes.
    ///
    /// # Errors
    /// [`ProtocolError::DataLength`] if the data end before.
    pub fn lv2(&mut self) -> Result<&'a [u8], ProtocolError> {
        let len = self.u16()?;
        self.bytes(usize::from(len))
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`ProtocolError::DataLength`] if bytes are left.
    pub fn end(&self) -> Result<(), ProtocolError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(ProtocolError::DataLength { expected: len16(self.position()), actual: len16(self.all.len()) })
    }

    /// The error for the byte just taken.
    #[must_use]
    pub fn bad(&self, value: u8) -> ProtocolError {
        ProtocolError::Value { at: len16(self.position().saturating_sub(1)), value }
    }
}

#[cfg(test)]
mod tests {
    use super::{Reader, Writer};
    use crate::error::{InputError, ProtocolError};

    #[test]
    fn what_is_written_is_read() {
        let mut buf = [0; 32];
        let mut w = Writer::new(&mut buf);
        assert!(w.is_empty());
        w.u8(1).unwrap();
        w.u16(0x0203).unwrap();
        w.u32(0x0405_0607).unwrap();
        w.lv2(b"abc").unwrap();
        assert_eq!(w.len(), 12);
        let mut r = Reader::new(w.finish());
        assert_eq!(r.u8(), Ok(1));
        assert_eq!(r.u16(), Ok(0x0203));
        assert_eq!(r.u32(), Ok(0x0405_0607));
        assert!(r.end().is_err());
        assert_eq!(r.lv2(), Ok(&b"abc"[..]));
        assert_eq!(r.end(), Ok(()));
    }

    #[test]
    fn ends_are_errors_with_positions() {
        let mut r = Reader::new(&[0, 5, 1]);
        assert_eq!(r.lv2(), Err(ProtocolError::DataLength { expected: 7, actual: 3 }));
        let mut buf = [0; 2];
        let mut w = Writer::new(&mut buf);
        assert_eq!(w.u32(0), Err(InputError::TooLong { max: 2 }));
        assert_eq!(w.len(), 0);
    }
}
