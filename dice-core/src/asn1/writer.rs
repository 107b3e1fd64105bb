//! Writing DER into a caller's buffer, in one pass.

use crate::{Error, Result};
use der::asn1::ObjectIdentifier;
use der::{Encode, Header, Length, Tag, TagNumber, Writer};

/// Writes DER values one after another into a caller's buffer.
///
/// Constructed values take a closure that writes their content; their length is filled in afterwards. Nothing fails
/// until [`finish`](Self::finish): a buffer that is too small is counted on, so that the error names the size needed.
///
/// ```
/// use dice_core::asn1::DerWriter;
///
/// let mut buffer = [0; 16];
/// let mut writer = DerWriter::new(&mut buffer);
/// writer.sequence(|writer| {
///     writer.unsigned_integer(&[0x80]);
///     writer.boolean(true);
/// });
/// assert_eq!(writer.finish()?, [0x30, 7, 0x02, 2, 0x00, 0x80, 0x01, 1, 0xff]);
/// # Ok::<(), dice_core::Error>(())
/// ```
#[derive(Debug)]
pub struct DerWriter<'a> {
    buffer: &'a mut [u8],
    len: usize,
    failed: Option<der::Error>,
}

impl<'a> DerWriter<'a> {
    /// Starts at the beginning of `buffer`.
    #[must_use]
    pub fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, len: 0, failed: None }
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
    /// [`Error::BufferTooSmall`] with the size needed, or [`Error::Der`] if a value has no DER form.
    pub fn finish(self) -> Result<&'a [u8]> {
        if let Some(cause) = self.failed {
            return Err(cause.into());
        }
        let too_small = Error::BufferTooSmall { needed: self.len, available: self.buffer.len() };
        let written: &'a [u8] = self.buffer;
        written.get(..self.len).ok_or(too_small)
    }

    /// Writes bytes as they are: a value that is DER already.
    pub fn raw(&mut self, bytes: &[u8]) {
        let end = self.len.saturating_add(bytes.len());
        if let Some(target) = self.buffer.get_mut(self.len..end) {
            target.copy_from_slice(bytes);
        }
        self.len = end;
    }

    /// Writes any value the `der` crate can encode.
    pub fn encode(&mut self, value: &impl Encode) {
        let result = value.encode(self);
        self.checked(result);
    }

    /// Writes a value with the given tag and content.
    pub fn tlv(&mut self, tag: Tag, content: &[u8]) {
        self.header(tag, content.len());
        self.raw(content);
    }

    /// Writes a value with the given tag whose content `write` writes.
    pub fn nested(&mut self, tag: Tag, write: impl FnOnce(&mut Self)) {
        let start = self.len;
        // Most values are short: keep two bytes for the header and move the content if it takes more.
        self.raw(&[0; 2]);
        let content = self.len;
        write(self);
        self.put_header_before(tag, start, content);
    }

    /// Continues behind the first `len` bytes of `buffer`, which were written before.
    pub(crate) fn resume(buffer: &'a mut [u8], len: usize) -> Self {
        Self { buffer, len, failed: None }
    }

    /// Lets `write` append, then makes everything since the start of the buffer the content of one `SEQUENCE`.
    pub(crate) fn enclose_sequence(&mut self, write: impl FnOnce(&mut Self)) {
        write(self);
        self.put_header_before(Tag::Sequence, 0, 0);
    }

    /// Writes a header at `start` for the content from `content` to the end, moving the content to make room.
    fn put_header_before(&mut self, tag: Tag, start: usize, content: usize) {
        let end = self.len;
        let length = Length::try_from(end.saturating_sub(content));
        let Some(header) = self.checked(length.map(|length| Header::new(tag, length))) else {
            return;
        };
        let header_len = self.checked(header.encoded_len().and_then(usize::try_from)).unwrap_or_default();
        let moved_to = start.saturating_add(header_len);
        let moved_end = moved_to.saturating_add(end.saturating_sub(content));
        if moved_to != content && moved_end <= self.buffer.len() {
            self.buffer.copy_within(content..end, moved_to);
        }
        self.len = start;
        self.encode(&header);
        self.len = moved_end;
    }

    /// `SEQUENCE`.
    pub fn sequence(&mut self, write: impl FnOnce(&mut Self)) {
        self.nested(Tag::Sequence, write);
    }

    /// `SET`. The caller writes the members in DER order.
    pub fn set(&mut self, write: impl FnOnce(&mut Self)) {
        self.nested(Tag::Set, write);
    }

    /// Constructed context-specific tag: an `EXPLICIT` tag, or an `IMPLICIT` one of a constructed type.
    pub fn explicit(&mut self, number: u32, write: impl FnOnce(&mut Self)) {
        self.nested(Tag::ContextSpecific { constructed: true, number: TagNumber(number) }, write);
    }

    /// Primitive context-specific tag: an `IMPLICIT` tag of a primitive type.
    pub fn implicit(&mut self, number: u32, content: &[u8]) {
        self.tlv(Tag::ContextSpecific { constructed: false, number: TagNumber(number) }, content);
    }

    /// `OBJECT IDENTIFIER`.
    pub fn oid(&mut self, oid: &ObjectIdentifier) {
        self.tlv(Tag::ObjectIdentifier, oid.as_bytes());
    }

    /// `INTEGER` from an unsigned big-endian number of any length.
    pub fn unsigned_integer(&mut self, big_endian: &[u8]) {
        self.unsigned_integer_as(Tag::Integer, big_endian);
    }

    /// The content of an `INTEGER` under another tag.
    pub fn unsigned_integer_as(&mut self, tag: Tag, big_endian: &[u8]) {
        let leading = big_endian.iter().take_while(|byte| **byte == 0).count();
        let digits = big_endian.get(leading..).unwrap_or_default();
        let sign: &[u8] = if digits.first().is_none_or(|first| *first >= 0x80) { &[0] } else { &[] };
        self.header(tag, sign.len() + digits.len());
        self.raw(sign);
        self.raw(digits);
    }

    /// `BOOLEAN`.
    pub fn boolean(&mut self, value: bool) {
        self.tlv(Tag::Boolean, &[if value { 0xff } else { 0x00 }]);
    }

    /// `UTF8String`.
    pub fn utf8(&mut self, text: &str) {
        self.tlv(Tag::Utf8String, text.as_bytes());
    }

    /// `OCTET STRING`.
    pub fn octet_string(&mut self, bytes: &[u8]) {
        self.tlv(Tag::OctetString, bytes);
    }

    /// `OCTET STRING` around values that `write` writes.
    pub fn octet_string_of(&mut self, write: impl FnOnce(&mut Self)) {
        self.nested(Tag::OctetString, write);
    }

    /// `BIT STRING` of whole bytes.
    pub fn bit_string(&mut self, bytes: &[u8]) {
        self.header(Tag::BitString, bytes.len().saturating_add(1));
        self.raw(&[0]);
        self.raw(bytes);
    }

    /// `BIT STRING` around values that `write` writes.
    pub fn bit_string_of(&mut self, write: impl FnOnce(&mut Self)) {
        self.nested(Tag::BitString, |writer| {
            writer.raw(&[0]);
            write(writer);
        });
    }

    /// The content of a named bit list (X.690 §11.2.2): bit 0 is the highest bit of the first byte; trailing zero bits
    /// are left out. `bits` holds bit 0 in its highest bit.
    pub fn named_bits(&mut self, tag: Tag, bits: u32) {
        let bytes = bits.to_be_bytes();
        let used = 4_usize.saturating_sub(bits.trailing_zeros() as usize / 8);
        let unused = if bits == 0 { 0 } else { (bits.trailing_zeros() % 8) as u8 };
        self.header(tag, used + 1);
        self.raw(&[unused]);
        self.raw(bytes.get(..used).unwrap_or_default());
    }

    fn header(&mut self, tag: Tag, content_len: usize) {
        if let Some(length) = self.checked(Length::try_from(content_len)) {
            self.encode(&Header::new(tag, length));
        }
    }

    /// Keeps the first error for [`finish`](Self::finish).
    fn checked<T>(&mut self, result: der::Result<T>) -> Option<T> {
        result.map_err(|error| self.failed.get_or_insert(error)).ok()
    }
}

impl Writer for DerWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> der::Result<()> {
        self.raw(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asn1::oid;
    use alloc::vec;
    use der::Decode;
    use proptest::prelude::*;

    #[test]
    fn lengths_of_every_size_are_minimal_and_content_is_moved_intact() {
        for len in [0_usize, 1, 126, 127, 128, 129, 255, 256, 257, 65_535, 65_536] {
            let content: vec::Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).expect("below 251")).collect();
            let mut buffer = vec![0; len + 8];
            let mut writer = DerWriter::new(&mut buffer);
            writer.octet_string_of(|writer| writer.raw(&content));
            let nested = writer.finish().expect("fits").to_vec();
            let mut writer = DerWriter::new(&mut buffer);
            writer.octet_string(&content);
            assert_eq!(writer.finish(), Ok(&nested[..]));
            assert_eq!(
                <&der::asn1::OctetStringRef>::from_der(&nested).expect("canonical").as_bytes(),
                content
            );
        }
    }

    #[test]
    fn a_short_buffer_is_refused_with_the_size_needed() {
        let build = |writer: &mut DerWriter<'_>| {
            writer.sequence(|writer| {
                writer.oid(&oid::EC_PUBLIC_KEY);
                writer.explicit(3, |writer| writer.octet_string(&[7; 200]));
                writer.bit_string_of(|writer| writer.boolean(false));
            });
        };
        let mut buffer = [0; 300];
        let mut writer = DerWriter::new(&mut buffer);
        build(&mut writer);
        let needed = writer.finish().expect("fits").len();
        for available in 0..needed {
            let mut buffer = vec![0xee; available];
            let mut writer = DerWriter::new(&mut buffer);
            build(&mut writer);
            assert_eq!(writer.finish(), Err(Error::BufferTooSmall { needed, available }));
        }
    }

    #[test]
    fn named_bit_lists_are_trimmed() {
        let written = |bits| {
            let mut buffer = [0; 8];
            let mut writer = DerWriter::new(&mut buffer);
            writer.named_bits(Tag::BitString, bits);
            writer.finish().expect("fits").to_vec()
        };
        assert_eq!(written(0), [3, 1, 0]);
        assert_eq!(written(0x8000_0000), [3, 2, 7, 0x80]);
        assert_eq!(written(0x0600_0000), [3, 2, 1, 0x06]);
        assert_eq!(written(0x0080_0000), [3, 3, 7, 0, 0x80]);
        assert_eq!(written(1), [3, 5, 0, 0, 0, 0, 1]);
    }

    proptest! {
        #[test]
        fn integers_are_canonical(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut buffer = [0; 48];
            let mut writer = DerWriter::new(&mut buffer);
            writer.unsigned_integer(&bytes);
            let der = writer.finish().expect("fits");
            let parsed = der::asn1::UintRef::from_der(der).expect("canonical");
            let stripped = bytes.iter().position(|byte| *byte != 0).map_or(&[0][..], |first| &bytes[first..]);
            prop_assert_eq!(parsed.as_bytes(), stripped);
        }
    }
}
