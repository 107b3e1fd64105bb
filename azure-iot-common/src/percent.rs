//! Percent-encoding (RFC 3986, section 2.1): everything but the unreserved characters `A-Za-z0-9-._~` becomes `%XX`
//! with upper-case digits. This is what the services want in user names, tokens and property bags.
use crate::Error;
use crate::text::Writer;

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'A' + nibble - 10 }
}

/// Appends any bytes, encoded.
pub fn write(bytes: &[u8], out: &mut Writer<'_>) {
    for &byte in bytes {
        if is_unreserved(byte) {
            out.byte(byte);
        } else {
            out.bytes(&[b'%', hex_digit(byte >> 4), hex_digit(byte & 0xf)]);
        }
    }
}

/// Length of `bytes` once encoded.
#[must_use]
pub fn encoded_len(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |len, &byte| len.saturating_add(if is_unreserved(byte) { 1 } else { 3 }))
}

/// Encodes any bytes into `out`.
///
/// ```
/// let mut out = [0; 16];
/// assert_eq!(azure_iot_common::percent::encode(b"a b/c", &mut out)?, "a%20b%2Fc");
/// # Ok::<(), azure_iot_common::Error>(())
/// ```
///
/// # Errors
/// [`Error::BufferTooSmall`] with the bytes needed ([`encoded_len`]).
pub fn encode<'b>(bytes: &[u8], out: &'b mut [u8]) -> Result<&'b str, Error> {
    let mut writer = Writer::new(out);
    write(bytes, &mut writer);
    writer.finish_str()
}

/// The decoded bytes of a text, one by one; a `+` stays a plus.
///
/// A `%` that two hexadecimal digits do not follow is an error; the iterator goes on after it.
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Decoder<'a> {
    /// Decodes `text`.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self { text: text.as_bytes(), at: 0 }
    }
}

impl Iterator for Decoder<'_> {
    type Item = Result<u8, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.at;
        let (&byte, tail) = self.text.get(at..)?.split_first()?;
        self.at += 1;
        if byte != b'%' {
            return Some(Ok(byte));
        }
        let bad = Some(Err(Error::Invalid { what: "percent-encoding", at }));
        let Some(&[high, low]) = tail.first_chunk() else { return bad };
        let (Some(high), Some(low)) = (char::from(high).to_digit(16), char::from(low).to_digit(16)) else {
            return bad;
        };
        self.at += 2;
        // Two digits of four bits fit a byte.
        Some(Ok((high << 4 | low).to_le_bytes()[0]))
    }
}

/// Decodes into `out`; a `+` stays a plus. The result need not be UTF-8.
///
/// # Errors
/// [`Error::Invalid`] at a `%` that two hexadecimal digits do not follow, [`Error::BufferTooSmall`] with the bytes
/// needed.
pub fn decode<'b>(text: &str, out: &'b mut [u8]) -> Result<&'b [u8], Error> {
    let mut writer = Writer::new(out);
    for byte in Decoder::new(text) {
        writer.byte(byte?);
    }
    writer.finish()
}
