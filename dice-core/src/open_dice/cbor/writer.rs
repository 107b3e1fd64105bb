//! Writing CBOR.

use super::Kind;
use crate::{Error, Result};

/// Writes data items one after another into a caller's buffer, each in its shortest form.
///
/// Nothing fails until [`finish`](Self::finish): a buffer that is too small is counted on, so that the error names the
/// size needed.
///
/// ```
/// use dice_core::open_dice::cbor::Writer;
///
/// let mut buffer = [0; 16];
/// let mut writer = Writer::new(&mut buffer);
/// writer.map(1);
/// writer.integer(-8);
/// writer.text("EdDSA");
/// assert_eq!(writer.finish()?, b"\xa1\x27\x65EdDSA");
/// # Ok::<(), dice_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Writer<'a> {
    buffer: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    /// Starts at the beginning of `buffer`.
    #[must_use]
    pub fn new(buffer: &'a mut [u8]) -> Self {
        Self::resume(buffer, 0)
    }

    /// Continues behind the first `len` bytes of `buffer`, which were written before.
    pub(crate) fn resume(buffer: &'a mut [u8], len: usize) -> Self {
        Self { buffer, len }
    }

    /// The number of bytes that `write` writes.
    pub(crate) fn measure(write: impl FnOnce(&mut Writer<'_>)) -> usize {
        let mut writer = Writer::new(&mut []);
        write(&mut writer);
        writer.len
    }

    /// Bytes written so far, also those that no longer fitted.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing has been written yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes written.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`] with the size needed.
    pub fn finish(self) -> Result<&'a [u8]> {
        let available = self.buffer.len();
        let written: &'a [u8] = self.buffer;
        written.get(..self.len).ok_or(Error::BufferTooSmall { needed: self.len, available })
    }

    /// Writes bytes as they are: items that are CBOR already.
    pub fn raw(&mut self, bytes: &[u8]) {
        let end = self.len.saturating_add(bytes.len());
        if let Some(target) = self.buffer.get_mut(self.len..end) {
            target.copy_from_slice(bytes);
        }
        self.len = end;
    }

    /// An unsigned integer.
    pub fn unsigned(&mut self, value: u64) {
        self.head(Kind::Unsigned, value);
    }

    /// An integer.
    pub fn integer(&mut self, value: i64) {
        match u64::try_from(value) {
            Ok(value) => self.head(Kind::Unsigned, value),
            // -1 - value, which in two's complement is the bitwise complement and never negative here.
            Err(_) => self.head(Kind::Negative, u64::try_from(!value).unwrap_or_default()),
        }
    }

    /// A byte string.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.count(Kind::Bytes, bytes.len());
        self.raw(bytes);
    }

    /// A byte string around what `write` writes. `write` is called twice, the first time to measure.
    pub fn bytes_of(&mut self, write: impl Fn(&mut Writer<'_>)) {
        self.count(Kind::Bytes, Writer::measure(&write));
        write(self);
    }

    /// A text string.
    pub fn text(&mut self, text: &str) {
        self.count(Kind::Text, text.len());
        self.raw(text.as_bytes());
    }

    /// Begins an array: `items` data items follow.
    pub fn array(&mut self, items: usize) {
        self.count(Kind::Array, items);
    }

    /// Begins a map: `pairs` pairs of data items follow.
    pub fn map(&mut self, pairs: usize) {
        self.count(Kind::Map, pairs);
    }

    /// The simple value null.
    pub fn null(&mut self) {
        self.raw(&[0xf6]);
    }

    fn count(&mut self, kind: Kind, count: usize) {
        self.head(kind, u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// Initial byte and argument (RFC 8949 §3).
    pub(crate) fn head(&mut self, kind: Kind, argument: u64) {
        let major = (kind as u8) << 5;
        if let Ok(short) = u8::try_from(argument) {
            if short < 24 {
                self.raw(&[major | short]);
            } else {
                self.raw(&[major + 24, short]);
            }
        } else if let Ok(argument) = u16::try_from(argument) {
            self.raw(&[major + 25]);
            self.raw(&argument.to_be_bytes());
        } else if let Ok(argument) = u32::try_from(argument) {
            self.raw(&[major + 26]);
            self.raw(&argument.to_be_bytes());
        } else {
            self.raw(&[major + 27]);
            self.raw(&argument.to_be_bytes());
        }
    }
}
