//! Percent-encoding (RFC 3986, section 2.1): everything but the unreserved characters `A-Za-z0-9-._~` becomes `%XX`
//! with upper-case digits. This is what the service wants in user names, tokens and property bags.
use crate::Error;
use crate::buf::Writer;

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'A' + nibble - 10 }
}

pub(crate) fn write(bytes: &[u8], out: &mut Writer<'_>) {
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
/// assert_eq!(dps_client::percent::encode(b"a b/c", &mut out)?, "a%20b%2Fc");
/// # Ok::<(), dps_client::Error>(())
/// ```
///
/// # Errors
/// [`Error::BufferTooSmall`] with the bytes needed ([`encoded_len`]).
pub fn encode<'b>(bytes: &[u8], out: &'b mut [u8]) -> Result<&'b str, Error> {
    let mut writer = Writer::new(out);
    write(bytes, &mut writer);
    writer.finish_str()
}

/// Decodes into `out`; a `+` stays a plus. The result need not be UTF-8.
///
/// # Errors
/// [`Error::Invalid`] at a `%` that two hexadecimal digits do not follow, [`Error::BufferTooSmall`] with the bytes
/// needed.
pub fn decode<'b>(text: &str, out: &'b mut [u8]) -> Result<&'b [u8], Error> {
    let mut writer = Writer::new(out);
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%' {
            let at = text.len() - tail.len() - 1;
            let bad = Error::Invalid { what: "percent-encoding", at };
            let Some((&[high, low], tail)) = tail.split_first_chunk() else { return Err(bad) };
            let (Some(high), Some(low)) = (char::from(high).to_digit(16), char::from(low).to_digit(16))
            else {
                return Err(bad);
            };
            writer.byte(u8::try_from(high << 4 | low).map_err(|_| bad)?);
            rest = tail;
        } else {
            writer.byte(byte);
        }
    }
    writer.finish()
}
