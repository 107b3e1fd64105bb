//! Text into a caller's buffer; counts on when the buffer is full, so that the error can tell what is needed.

use crate::Error;
use dps_client::percent;

#[derive(Debug)]
pub(crate) struct Writer<'b> {
    out: &'b mut [u8],
    len: usize,
}

impl<'b> Writer<'b> {
    pub(crate) fn new(out: &'b mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        let end = self.len.saturating_add(bytes.len());
        if let Some(slot) = self.out.get_mut(self.len..end) {
            slot.copy_from_slice(bytes);
        }
        self.len = end;
        self
    }

    /// `text`, percent-encoded.
    pub(crate) fn encoded(&mut self, text: &str) -> &mut Self {
        let end = self.len.saturating_add(percent::encoded_len(text.as_bytes()));
        if let Some(slot) = self.out.get_mut(self.len..end) {
            // The slot has exactly the length needed.
            let _ = percent::encode(text.as_bytes(), slot);
        }
        self.len = end;
        self
    }

    pub(crate) fn number(&mut self, value: i64) -> &mut Self {
        if value < 0 {
            self.text("-");
        }
        let mut rest = value.unsigned_abs();
        let mut digits = [b'0'; 20];
        let mut used = 0;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10).to_le_bytes()[0];
            rest /= 10;
            used += 1;
            if rest == 0 {
                break;
            }
        }
        self.bytes(digits.get(digits.len() - used..).unwrap_or_default())
    }

    /// Two hexadecimal digits of a character below 256.
    pub(crate) fn hex(&mut self, value: char) -> &mut Self {
        for shift in [4, 0] {
            let digit = char::from_digit((u32::from(value) >> shift) & 0xF, 16).unwrap_or('0');
            self.text(digit.encode_utf8(&mut [0; 4]));
        }
        self
    }

    /// How far the text has come, to go back to with [`truncate`](Self::truncate).
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Takes back what was written after `len`.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Whether more was written than fits.
    pub(crate) fn is_over(&self) -> bool {
        self.len > self.out.len()
    }

    pub(crate) fn finish(self) -> Result<&'b str, Error> {
        let needed = self.len;
        let written: &'b [u8] = self.out.get(..needed).ok_or(Error::BufferTooSmall { needed })?;
        // Only whole strings were written.
        core::str::from_utf8(written).map_err(|e| Error::Invalid { what: "text", at: e.valid_up_to() })
    }
}

/// Position of the first byte of `text` that `allowed` refuses.
pub(crate) fn check(
    what: &'static str,
    text: &str,
    max: usize,
    allowed: fn(u8) -> bool,
) -> Result<(), Error> {
    let at = if text.is_empty() || text.len() > max {
        text.len()
    } else {
        match text.bytes().position(|byte| !allowed(byte)) {
            Some(at) => at,
            None => return Ok(()),
        }
    };
    Err(Error::Invalid { what, at })
}
