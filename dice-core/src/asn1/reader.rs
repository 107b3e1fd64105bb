//! Reading DER from borrowed bytes, strictly: minimal lengths, no trailing bytes, canonical values.

use crate::{Error, Result};
use der::asn1::ObjectIdentifier;
use der::{Decode, ErrorKind, Header, Length, Reader, SliceReader, Tag, TagNumber};

/// Reads DER values one after another. Nothing is copied; positions in errors count from the start of the outermost
/// bytes.
///
/// ```
/// use dice_core::asn1::DerReader;
///
/// let mut reader = DerReader::new(&[0x30, 6, 0x02, 1, 42, 0x01, 1, 0xff]);
/// let mut sequence = reader.sequence()?;
/// reader.finish()?;
/// assert_eq!((sequence.unsigned()?, sequence.boolean()?), (42, true));
/// sequence.finish()?;
/// # Ok::<(), dice_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DerReader<'a> {
    rest: &'a [u8],
    offset: usize,
}

/// The content of a `BIT STRING`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitString<'a> {
    /// Bits that do not count at the end of the last byte, 0 to 7. They are zero.
    pub unused: u8,
    /// The bytes.
    pub bytes: &'a [u8],
}

impl<'a> DerReader<'a> {
    /// Starts at the beginning of `der`.
    #[must_use]
    pub const fn new(der: &'a [u8]) -> Self {
        Self { rest: der, offset: 0 }
    }

    /// What has not been read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Position of the next byte in the outermost bytes.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// Whether everything has been read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// An error at the present position.
    #[must_use]
    pub fn error(&self, kind: ErrorKind) -> Error {
        Error::Der(kind.at(Length::try_from(self.offset).unwrap_or(Length::MAX)))
    }

    /// Checks that everything has been read.
    ///
    /// # Errors
    /// [`Error::Der`] with [`ErrorKind::TrailingData`].
    pub fn finish(self) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let length = |len| Length::try_from(len).unwrap_or(Length::MAX);
        Err(self.error(ErrorKind::TrailingData {
            decoded: length(self.offset),
            remaining: length(self.rest.len()),
        }))
    }

    /// The tag of the next value, if there is one that can be read.
    #[must_use]
    pub fn peek_tag(&self) -> Option<Tag> {
        self.header().ok().map(|(header, _)| header.tag())
    }

    /// Reads the next value, whatever its tag, and gives its tag and content.
    ///
    /// # Errors
    /// [`Error::Der`] if there is no complete, minimally encoded value.
    pub fn any(&mut self) -> Result<(Tag, Self)> {
        let (header, header_len) = self.header()?;
        let content_len = usize::try_from(header.length()).unwrap_or(usize::MAX);
        let value =
            self.rest.split_at_checked(header_len).and_then(|(_, value)| value.split_at_checked(content_len));
        let Some((content, rest)) = value else {
            return Err(self.error(ErrorKind::Incomplete {
                expected_len: header.length(),
                actual_len: Length::try_from(self.rest.len().saturating_sub(header_len))
                    .unwrap_or(Length::MAX),
            }));
        };
        let inner = Self { rest: content, offset: self.offset.saturating_add(header_len) };
        *self = Self { rest, offset: inner.offset.saturating_add(content_len) };
        Ok((header.tag(), inner))
    }

    /// Reads the next value with its header and gives it as it stands.
    ///
    /// # Errors
    /// As for [`any`](Self::any).
    pub fn raw(&mut self) -> Result<&'a [u8]> {
        let before = self.rest;
        self.any()?;
        Ok(before.get(..before.len().saturating_sub(self.rest.len())).unwrap_or_default())
    }

    /// Reads the next value, which must have the given tag, and gives its content.
    ///
    /// # Errors
    /// As for [`any`](Self::any), and for another tag.
    pub fn tlv(&mut self, tag: Tag) -> Result<Self> {
        let (header, _) = self.header()?;
        if header.tag() != tag {
            return Err(self.error(ErrorKind::TagUnexpected { expected: Some(tag), actual: header.tag() }));
        }
        self.any().map(|(_, content)| content)
    }

    /// Reads the next value if it has the given tag.
    ///
    /// # Errors
    /// As for [`any`](Self::any) if it has.
    pub fn optional(&mut self, tag: Tag) -> Result<Option<Self>> {
        if self.peek_tag() == Some(tag) { self.tlv(tag).map(Some) } else { Ok(None) }
    }

    /// `SEQUENCE`.
    ///
    /// # Errors
    /// As for [`tlv`](Self::tlv).
    pub fn sequence(&mut self) -> Result<Self> {
        self.tlv(Tag::Sequence)
    }

    /// `SET`. The order of its members is not checked.
    ///
    /// # Errors
    /// As for [`tlv`](Self::tlv).
    pub fn set(&mut self) -> Result<Self> {
        self.tlv(Tag::Set)
    }

    /// Constructed context-specific tag, if it is there.
    ///
    /// # Errors
    /// As for [`tlv`](Self::tlv).
    pub fn constructed(&mut self, number: u32) -> Result<Option<Self>> {
        self.optional(Tag::ContextSpecific { constructed: true, number: TagNumber(number) })
    }

    /// Primitive context-specific tag, if it is there.
    ///
    /// # Errors
    /// As for [`tlv`](Self::tlv).
    pub fn primitive(&mut self, number: u32) -> Result<Option<Self>> {
        self.optional(Tag::ContextSpecific { constructed: false, number: TagNumber(number) })
    }

    /// `OBJECT IDENTIFIER`.
    ///
    /// # Errors
    /// As for [`tlv`](Self::tlv), and if the identifier is malformed or longer than 39 bytes.
    pub fn oid(&mut self) -> Result<ObjectIdentifier> {
        let content = self.tlv(Tag::ObjectIdentifier)?;
        ObjectIdentifier::from_bytes(content.rest).map_err(|_| content.error(ErrorKind::OidMalformed))
    }

    /// `BOOLEAN`.
    ///
    /// # Errors
    /// As for [`tlv`](Self::tlv), and if the value is neither 0 nor 255.
    pub fn boolean(&mut self) -> Result<bool> {
        let content = self.tlv(Tag::Boolean)?;
        match content.rest {
            [0] => Ok(false),
            [0xff] => Ok(true),
            _ => Err(content.error(ErrorKind::Noncanonical { tag: Tag::Boolean })),
        }
    }

    /// `INTEGER` of any sign and length: its content, at least one byte, minimal.
    ///
    /// # Errors
    /// As for [`tlv`](Self::tlv), and if the encoding is not minimal.
    pub fn integer(&mut self) -> Result<&'a [u8]> {
        self.tlv(Tag::Integer)?.integer_content()
    }

    /// `INTEGER` from 0 to 2<sup>64</sup> - 1.
    ///
    /// # Errors
    /// As for [`integer`](Self::integer), and out of that range.
    pub fn unsigned(&mut self) -> Result<u64> {
        self.tlv(Tag::Integer)?.unsigned_content()
    }

    /// `OCTET STRING`.
    ///
    /// # Errors
    /// As for [`tlv`](Self::tlv).
    pub fn octet_string(&mut self) -> Result<Self> {
        self.tlv(Tag::OctetString)
    }

    /// `BIT STRING`.
    ///
    /// # Errors
    /// As for [`tlv`](Self::tlv), and if the unused bits are miscounted or not zero.
    pub fn bit_string(&mut self) -> Result<BitString<'a>> {
        self.tlv(Tag::BitString)?.bit_string_content()
    }

    /// The whole remaining content as an `INTEGER`'s: what an `IMPLICIT` tag leaves.
    ///
    /// # Errors
    /// [`Error::Der`] if it is empty or not minimal.
    pub fn integer_content(self) -> Result<&'a [u8]> {
        match self.rest {
            [] => Err(self.error(ErrorKind::Length { tag: Tag::Integer })),
            [0, next, ..] if *next < 0x80 => Err(self.error(ErrorKind::Noncanonical { tag: Tag::Integer })),
            [0xff, next, ..] if *next >= 0x80 => {
                Err(self.error(ErrorKind::Noncanonical { tag: Tag::Integer }))
            }
            content => Ok(content),
        }
    }

    /// The whole remaining content as an `INTEGER`'s from 0 to 2<sup>64</sup> - 1.
    ///
    /// # Errors
    /// As for [`integer_content`](Self::integer_content), and out of that range.
    pub fn unsigned_content(self) -> Result<u64> {
        let content = self.integer_content()?;
        let digits = match content {
            [0x80..=0xff, ..] => return Err(self.error(ErrorKind::Value { tag: Tag::Integer })),
            [0, digits @ ..] | digits => digits,
        };
        if digits.len() > size_of::<u64>() {
            return Err(self.error(ErrorKind::Overflow));
        }
        Ok(digits.iter().fold(0, |value, byte| (value << 8) | u64::from(*byte)))
    }

    /// The whole remaining content as a `BIT STRING`'s.
    ///
    /// # Errors
    /// [`Error::Der`] if the unused bits are miscounted or not zero.
    pub fn bit_string_content(self) -> Result<BitString<'a>> {
        let bad = |kind: ErrorKind| Err(self.error(kind));
        match self.rest {
            [] => bad(ErrorKind::Length { tag: Tag::BitString }),
            [unused @ 0..=7, bytes @ ..] => {
                let mask = (1_u8 << unused) - 1;
                match bytes.last() {
                    None if *unused != 0 => bad(ErrorKind::Noncanonical { tag: Tag::BitString }),
                    Some(last) if last & mask != 0 => bad(ErrorKind::Noncanonical { tag: Tag::BitString }),
                    _ => Ok(BitString { unused: *unused, bytes }),
                }
            }
            _ => bad(ErrorKind::Noncanonical { tag: Tag::BitString }),
        }
    }

    /// The whole remaining content as UTF-8 text.
    ///
    /// # Errors
    /// [`Error::Der`] if it is not UTF-8.
    pub fn utf8_content(self) -> Result<&'a str> {
        core::str::from_utf8(self.rest).map_err(|cause| self.error(ErrorKind::Utf8(cause)))
    }

    /// The header of the next value and its length.
    fn header(&self) -> Result<(Header, usize)> {
        let shift = |error: der::Error| {
            let inside = error.position().and_then(|position| usize::try_from(position).ok()).unwrap_or(0);
            let offset = Length::try_from(self.offset.saturating_add(inside)).unwrap_or(Length::MAX);
            Error::Der(error.kind().at(offset))
        };
        let mut reader = SliceReader::new(self.rest).map_err(shift)?;
        let header = Header::decode(&mut reader).map_err(shift)?;
        Ok((header, usize::try_from(reader.position()).unwrap_or(usize::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asn1::DerWriter;
    use proptest::prelude::*;

    fn kind<T: core::fmt::Debug>(result: Result<T>) -> (ErrorKind, u32) {
        match result.expect_err("malformed") {
            Error::Der(error) => (error.kind(), u32::from(error.position().expect("positioned"))),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn values_that_are_not_canonical_are_refused_where_they_stand() {
        let integer = Tag::Integer;
        let bits = Tag::BitString;
        let noncanonical = |tag| ErrorKind::Noncanonical { tag };
        assert_eq!(kind(DerReader::new(&[2, 2, 0, 1]).integer()), (noncanonical(integer), 2));
        assert_eq!(kind(DerReader::new(&[2, 2, 0xff, 0x80]).integer()), (noncanonical(integer), 2));
        assert_eq!(kind(DerReader::new(&[2, 0]).integer()), (ErrorKind::Length { tag: integer }, 2));
        assert_eq!(kind(DerReader::new(&[2, 1, 0x80]).unsigned()), (ErrorKind::Value { tag: integer }, 2));
        let nine = [2, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(kind(DerReader::new(&nine).unsigned()), (ErrorKind::Overflow, 2));
        assert_eq!(kind(DerReader::new(&[1, 1, 1]).boolean()), (noncanonical(Tag::Boolean), 2));
        assert_eq!(kind(DerReader::new(&[3, 0]).bit_string()), (ErrorKind::Length { tag: bits }, 2));
        assert_eq!(kind(DerReader::new(&[3, 1, 1]).bit_string()), (noncanonical(bits), 2));
        assert_eq!(kind(DerReader::new(&[3, 2, 8, 0]).bit_string()), (noncanonical(bits), 2));
        assert_eq!(kind(DerReader::new(&[3, 2, 1, 1]).bit_string()), (noncanonical(bits), 2));
        // Length in more bytes than needed, and an indefinite one.
        assert!(DerReader::new(&[4, 0x81, 1, 0]).octet_string().is_err());
        assert!(DerReader::new(&[0x30, 0x80, 0, 0]).sequence().is_err());
        let mut outer = DerReader::new(&[0x30, 3, 2, 2, 0]);
        let mut inner = outer.sequence().expect("complete");
        assert!(matches!(kind(inner.integer()), (ErrorKind::Incomplete { .. }, 2)));
        assert!(matches!(kind(DerReader::new(&[0]).finish()), (ErrorKind::TrailingData { .. }, 0)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(number: u64, flag: bool, bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut buffer = [0; 400];
            let mut writer = DerWriter::new(&mut buffer);
            writer.explicit(1, |writer| {
                writer.unsigned_integer(&number.to_be_bytes());
                writer.boolean(flag);
                writer.bit_string(&bytes);
            });
            let der = writer.finish().expect("fits");
            let mut reader = DerReader::new(der);
            let mut content = reader.constructed(1).expect("well formed").expect("present");
            prop_assert_eq!(content.unsigned(), Ok(number));
            prop_assert_eq!(content.boolean(), Ok(flag));
            prop_assert_eq!(content.bit_string(), Ok(BitString { unused: 0, bytes: &bytes }));
            prop_assert!(content.is_empty() && reader.is_empty());
            for len in 0..der.len() {
                let mut reader = DerReader::new(&der[..len]);
                prop_assert!(!matches!(reader.constructed(1), Ok(Some(_))));
            }
        }

        #[test]
        fn random_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = DerReader::new(&bytes);
            while let Ok((_, content)) = reader.any() {
                let _ = content.integer_content();
                let _ = content.unsigned_content();
                let _ = content.bit_string_content();
                let _ = content.utf8_content();
            }
        }
    }
}
