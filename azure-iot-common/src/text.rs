//! Writing text into a caller's buffer, and reading decimal numbers. On a buffer that is too small the writer goes on
//! counting, so that the error can say how many bytes are needed.
use crate::{Error, percent};

/// Appends to a borrowed buffer; never writes past it.
///
/// ```
/// use azure_iot_common::text::Writer;
/// let mut out = [0; 16];
/// let mut writer = Writer::new(&mut out);
/// writer.text("a=").encoded("b c").text("&n=").decimal(7);
/// assert_eq!(writer.finish_str()?, "a=b%20c&n=7");
/// # Ok::<(), azure_iot_common::Error>(())
/// ```
#[derive(Debug)]
pub struct Writer<'b> {
    out: &'b mut [u8],
    len: usize,
}

impl<'b> Writer<'b> {
    /// Begins at the front of `out`.
    pub fn new(out: &'b mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    /// Appends bytes.
    #[inline(never)] // in every caller it would cost a kilobyte of flash
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        let end = self.len.saturating_add(bytes.len());
        if let Some(room) = self.out.get_mut(self.len..end) {
            room.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        }
        self.len = end;
        self
    }

    /// Appends one byte.
    pub fn byte(&mut self, byte: u8) -> &mut Self {
        self.bytes(&[byte])
    }

    /// Appends text as it is.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    /// Appends text, [percent-encoded](percent).
    pub fn encoded(&mut self, text: &str) -> &mut Self {
        percent::write(text.as_bytes(), self);
        self
    }

    /// Appends a number in decimal digits.
    pub fn decimal(&mut self, value: u32) -> &mut Self {
        self.bytes(Decimal::new(value).as_bytes())
    }

    /// Apart from [`Writer::decimal`], because dividing 64-bit numbers takes a kilobyte of flash on a 32-bit chip.
    pub fn decimal_u64(&mut self, value: u64) -> &mut Self {
        self.bytes(Decimal::new_u64(value).as_bytes())
    }

    /// As [`Writer::decimal`], with a sign if it is negative.
    pub fn decimal_i32(&mut self, value: i32) -> &mut Self {
        if value < 0 {
            self.byte(b'-');
        }
        self.decimal(value.unsigned_abs())
    }

    /// As [`Writer::decimal_u64`], with a sign if it is negative.
    pub fn decimal_i64(&mut self, value: i64) -> &mut Self {
        if value < 0 {
            self.byte(b'-');
        }
        self.decimal_u64(value.unsigned_abs())
    }

    /// How far the text has come, to go back to with [`truncate`](Self::truncate); more than the buffer has if it is
    /// full.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "a position, not a container's length")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Takes back what was written after `len`.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Whether more was written than fits.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.len > self.out.len()
    }

    /// Everything written.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`] with the bytes that would have been needed.
    pub fn finish(self) -> Result<&'b [u8], Error> {
        let Self { out, len } = self;
        match out.get(..len) {
            Some(written) => Ok(written),
            None => Err(Error::BufferTooSmall { needed: len }),
        }
    }

    /// As [`Writer::finish`], as text.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`]; [`Error::Invalid`] if bytes were appended that are not UTF-8.
    pub fn finish_str(self) -> Result<&'b str, Error> {
        core::str::from_utf8(self.finish()?)
            .map_err(|e| Error::Invalid { what: "UTF-8", at: e.valid_up_to() })
    }
}

/// A number in decimal digits, without the formatting machinery of `core::fmt`.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    digits: [u8; Self::MAX],
    start: usize,
}

impl Decimal {
    /// Most digits: those of `u64::MAX`.
    pub const MAX: usize = 20;

    /// The digits of a number.
    #[must_use]
    pub fn new(mut value: u32) -> Self {
        Self::from_digits(|| {
            // The remainder of a division by ten fits a byte.
            let digit = (value % 10) as u8;
            value /= 10;
            (digit, value == 0)
        })
    }

    /// The digits of a number; see [`Writer::decimal_u64`].
    #[must_use]
    pub fn new_u64(mut value: u64) -> Self {
        Self::from_digits(|| {
            // As above.
            let digit = (value % 10) as u8;
            value /= 10;
            (digit, value == 0)
        })
    }

    /// `next` gives the digits from the lowest, and whether it was the last.
    fn from_digits(mut next: impl FnMut() -> (u8, bool)) -> Self {
        let mut digits = [b'0'; Self::MAX];
        let mut start = Self::MAX;
        for (index, place) in digits.iter_mut().enumerate().rev() {
            let (digit, last) = next();
            *place = b'0' + digit;
            start = index;
            if last {
                break;
            }
        }
        Self { digits, start }
    }

    /// The digits, without leading zeros.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.digits.get(self.start..).unwrap_or(&[])
    }
}

/// Decimal digits only, no sign, no blank; `None` when it is something else or does not fit.
#[must_use]
pub fn parse_u32(text: &str) -> Option<u32> {
    // Apart from `parse_u64`, because multiplying 64-bit numbers with a check takes flash on a 32-bit chip.
    if text.is_empty() {
        return None;
    }
    text.bytes().try_fold(0u32, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value.checked_mul(10)?.checked_add(u32::from(digit))
    })
}

/// As [`parse_u32`], with 64 bits.
#[must_use]
pub fn parse_u64(text: &str) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.bytes().try_fold(0u64, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// The text before the first `separator`, an ASCII character, and the text after it, if there is one. Smaller than
/// `str::split_once`.
#[must_use]
pub fn cut(text: &str, separator: u8) -> (&str, Option<&str>) {
    match text.bytes().position(|byte| byte == separator).and_then(|at| text.split_at_checked(at)) {
        Some((before, after)) => (before, after.get(1..)),
        None => (text, None),
    }
}

/// The pieces of a text between ASCII characters `separator`, as `str::split` gives them, in less flash.
#[derive(Clone, Debug)]
pub struct Pieces<'a> {
    rest: Option<&'a str>,
    separator: u8,
}

impl<'a> Pieces<'a> {
    /// The pieces of `text`.
    #[must_use]
    pub fn new(text: &'a str, separator: u8) -> Self {
        Self { rest: Some(text), separator }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let (piece, rest) = cut(self.rest?, self.separator);
        self.rest = rest;
        Some(piece)
    }
}
