//! The form of a stored copy.

use crc::{CRC_32_ISO_HDLC, Crc, Digest, NoTable};

use crate::command::{ENVELOPE_OVERHEAD, MAX_WRAP};

/// Bytes of a header.
pub(crate) const HEADER_LEN: usize = 16;
/// Bytes of the header the checksum covers.
const CHECKED: usize = 12;
const MAGIC: [u8; 2] = *b"V1";
/// CRC-32 of IEEE 802.3.
static CRC: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);

/// Bytes before the value within an envelope.
pub(crate) const PREFIX_LEN: usize = 8;
/// Bytes of the longest envelope.
pub(crate) const MAX_PIECE: usize = MAX_WRAP + ENVELOPE_OVERHEAD;
/// Longest value a vault keeps, in bytes.
pub const MAX_LEN: usize = 576;
/// Bytes of the longest text to seal.
const MAX_TEXT: usize = text_len(MAX_LEN);
/// Bytes of the longest text of a former place that is in envelopes.
pub(crate) const MAX_FORMER: usize = 584;
/// Bytes of a buffer for a value and what stands before it, or for a former place's text behind as many bytes.
pub(crate) const MAX_VALUE: usize = PREFIX_LEN + MAX_FORMER;
const _: () = assert!(MAX_TEXT <= MAX_VALUE);

/// Bytes of a value's text to seal: prefix, value, zeros.
pub(crate) const fn text_len(len: usize) -> usize {
    let len = (PREFIX_LEN + len).next_multiple_of(8);
    // An envelope holds 16 bytes at least, the last one too.
    if len < 16 || len % MAX_WRAP == 8 { len + 8 } else { len }
}

/// Bytes of a value's envelopes.
pub(crate) const fn sealed_len(len: usize) -> usize {
    text_len(len) + text_len(len).div_ceil(MAX_WRAP) * ENVELOPE_OVERHEAD
}

/// The pieces a text is sealed in: where each starts in the text and in the body, and its bytes of text.
pub(crate) fn pieces(text_len: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..text_len.div_ceil(MAX_WRAP)).map(move |number| {
        let start = number * MAX_WRAP;
        (start, number * MAX_PIECE, MAX_WRAP.min(text_len - start))
    })
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Removed,
    Plain,
    Sealed,
}

/// A copy's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The setting's number.
    pub(crate) number: u8,
    pub(crate) form: Form,
    pub(crate) sequence: u32,
    pub(crate) len: u16,
    pub(crate) crc: u32,
}

impl Header {
    /// A header for the setting with this number and longest value, if the bytes are one. The checksum is not looked
    /// at.
    pub(crate) fn parse(number: u8, max_len: u16, bytes: &[u8; HEADER_LEN]) -> Option<Self> {
        let [m0, m1, found, form, s0, s1, s2, s3, l0, l1, 0, 0, c0, c1, c2, c3] = *bytes else {
            return None;
        };
        let form = match form {
            0 => Form::Removed,
            1 => Form::Plain,
            2 => Form::Sealed,
            _ => return None,
        };
        let len = u16::from_be_bytes([l0, l1]);
        let is_ours = [m0, m1] == MAGIC && found == number && len <= max_len;
        is_ours.then_some(Self {
            number,
            form,
            sequence: u32::from_be_bytes([s0, s1, s2, s3]),
            len,
            crc: u32::from_be_bytes([c0, c1, c2, c3]),
        })
    }

    pub(crate) fn to_bytes(self) -> [u8; HEADER_LEN] {
        let [m0, m1] = MAGIC;
        let [s0, s1, s2, s3] = self.sequence.to_be_bytes();
        let [l0, l1] = self.len.to_be_bytes();
        let [c0, c1, c2, c3] = self.crc.to_be_bytes();
        let form = match self.form {
            Form::Removed => 0,
            Form::Plain => 1,
            Form::Sealed => 2,
        };
        [m0, m1, self.number, form, s0, s1, s2, s3, l0, l1, 0, 0, c0, c1, c2, c3]
    }

    /// Bytes of the body.
    pub(crate) fn body_len(self) -> usize {
        match self.form {
            Form::Removed => 0,
            Form::Plain => self.len.into(),
            Form::Sealed => sealed_len(self.len.into()),
        }
    }

    /// What stands before the value within the envelope, binding it to this header.
    pub(crate) fn prefix(self) -> [u8; PREFIX_LEN] {
        let [s0, s1, s2, s3] = self.sequence.to_be_bytes();
        let [l0, l1] = self.len.to_be_bytes();
        [self.number, 0, l0, l1, s0, s1, s2, s3]
    }

    /// The checksum over the header, to be continued with the body.
    pub(crate) fn start_crc(self) -> Digest<'static, u32, NoTable> {
        let mut crc = CRC.digest();
        crc.update(self.to_bytes().get(..CHECKED).unwrap_or_default());
        crc
    }

    /// Whether this one was written after `other`. Sequence numbers may wrap.
    pub(crate) fn is_newer(self, other: Self) -> bool {
        let distance = self.sequence.wrapping_sub(other.sequence);
        distance != 0 && distance < 1 << 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn headers_return_and_no_changed_one_does() {
        for number in 1..9 {
            for form in [Form::Removed, Form::Plain, Form::Sealed] {
                let header = Header { number, form, sequence: 0x0102_0304, len: 20, crc: 0xA5A5_A5A5 };
                let bytes = header.to_bytes();
                assert_eq!(Header::parse(number, 32, &bytes), Some(header));
                for bit in 0..8 * HEADER_LEN {
                    let mut changed = bytes;
                    changed[bit / 8] ^= 1 << (bit % 8);
                    assert_ne!(Header::parse(number, 32, &changed), Some(header));
                }
            }
        }
        for blank in [[0; HEADER_LEN], [0xFF; HEADER_LEN]] {
            assert_eq!(Header::parse(1, 32, &blank), None);
        }
    }

    #[test]
    fn a_header_belongs_to_its_setting() {
        let header = Header { number: 1, form: Form::Plain, sequence: 1, len: 32, crc: 0 };
        assert_eq!(Header::parse(2, 32, &header.to_bytes()), None);
        let longer = Header { len: 33, ..header };
        assert_eq!(Header::parse(1, 32, &longer.to_bytes()), None);
    }

    #[test]
    fn sequence_numbers_wrap() {
        let header = |sequence| Header { number: 1, form: Form::Plain, sequence, len: 0, crc: 0 };
        assert!(header(2).is_newer(header(1)));
        assert!(!header(1).is_newer(header(2)));
        assert!(!header(1).is_newer(header(1)));
        assert!(header(0).is_newer(header(u32::MAX)));
    }

    #[test]
    fn pieces_fill_the_envelopes() {
        for len in 0..=MAX_LEN {
            let text = text_len(len);
            assert!(text.is_multiple_of(8) && (16..=MAX_TEXT).contains(&text) && text >= len + PREFIX_LEN);
            let cut: Vec<_> = pieces(text).collect();
            let (start, body, last) = *cut.last().unwrap();
            assert!(last >= 16, "an envelope holds 16 bytes at least");
            assert_eq!((start + last, body + last + ENVELOPE_OVERHEAD), (text, sealed_len(len)));
        }
        assert_eq!(pieces(520).collect::<Vec<_>>(), [(0, 0, 480), (480, 488, 40)]);
    }
}
