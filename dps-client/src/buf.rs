//! Writing text into a caller's buffer. On a buffer that is too small the writer goes on counting, so that the
//! error can say how many bytes are needed.
use crate::Error;

/// Appends to a borrowed buffer; never writes past it.
pub(crate) struct Writer<'b> {
    out: &'b mut [u8],
    len: usize,
}

impl<'b> Writer<'b> {
    pub(crate) fn new(out: &'b mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    #[inline(never)] // in every caller it would cost a kilobyte of flash
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let end = self.len.saturating_add(bytes.len());
        if let Some(room) = self.out.get_mut(self.len..end) {
            room.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        }
        self.len = end;
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.bytes(&[byte]);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(crate) fn decimal(&mut self, value: u32) {
        self.bytes(Decimal::new(value).as_bytes());
    }

    /// Apart from [`Writer::decimal`], because dividing 64-bit numbers takes a kilobyte of flash on a 32-bit chip.
    pub(crate) fn decimal_u64(&mut self, value: u64) {
        self.bytes(Decimal::new_u64(value).as_bytes());
    }

    /// Everything written, or the number of bytes that would have been needed.
    pub(crate) fn finish(self) -> Result<&'b [u8], Error> {
        let Self { out, len } = self;
        match out.get(..len) {
            Some(written) => Ok(written),
            None => Err(Error::BufferTooSmall { needed: len }),
        }
    }

    /// As [`Writer::finish`], as text.
    pub(crate) fn finish_str(self) -> Result<&'b str, Error> {
        // Only `text`, `decimal` and ASCII bytes were appended, so this is always UTF-8.
        core::str::from_utf8(self.finish()?).map_err(|_| Error::BufferTooSmall { needed: 0 })
    }
}

/// A number in decimal digits, without the formatting machinery of `core::fmt`.
#[derive(Clone, Copy)]
pub(crate) struct Decimal {
    digits: [u8; Self::MAX],
    start: usize,
}

impl Decimal {
    /// Digits of `u64::MAX`.
    const MAX: usize = 20;

    pub(crate) fn new(mut value: u32) -> Self {
        Self::from_digits(|| {
            // The remainder of a division by ten fits a byte.
            let digit = (value % 10) as u8;
            value /= 10;
            (digit, value == 0)
        })
    }

    pub(crate) fn new_u64(mut value: u64) -> Self {
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

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.digits.get(self.start..).unwrap_or(&[])
    }
}

/// Decimal digits only, no sign, no blank; `None` when it is something else or does not fit.
pub(crate) fn parse_u32(text: &str) -> Option<u32> {
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
