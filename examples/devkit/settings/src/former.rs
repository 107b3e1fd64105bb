//! The text the original firmware keeps in its zones.

use super::{FormerValue, UDS_LEN};

/// A text without its NUL.
pub(crate) fn text(buf: &mut [u8]) -> FormerValue {
    if is_blank(buf) {
        return FormerValue::Nothing;
    }
    match buf.iter().position(|byte| *byte == 0) {
        Some(len) if is_text(buf.get(..len).unwrap_or_default()) => FormerValue::Value(len),
        _ => FormerValue::Invalid,
    }
}

/// A unique device secret as 64 hexadecimal digits. The original took other characters for zeros; here they are no UDS.
pub(crate) fn uds(buf: &mut [u8]) -> FormerValue {
    if is_blank(buf) {
        return FormerValue::Nothing;
    }
    for index in 0..UDS_LEN {
        let digit = |at: usize| buf.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(2 * index), digit(2 * index + 1)) else {
            return FormerValue::Invalid;
        };
        if let Some(byte) = buf.get_mut(index) {
            // Two digits make a byte.
            *byte = u8::try_from(high << 4 | low).unwrap_or_default();
        }
    }
    FormerValue::Value(UDS_LEN)
}

/// Erased, or an empty text.
fn is_blank(buf: &[u8]) -> bool {
    buf.iter().all(|byte| *byte == 0xFF) || buf.first() == Some(&0)
}

/// No control characters; UTF-8 is possible in an SSID.
fn is_text(text: &[u8]) -> bool {
    text.iter().all(|byte| *byte >= 0x20 && *byte != 0x7F)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let text = |bytes: &[u8]| text(&mut bytes.to_vec());
        assert_eq!(text(b"HomeAP\0\xFF\xFF"), FormerValue::Value(6));
        assert_eq!(text(b"\0omeAP\0"), FormerValue::Nothing);
        assert_eq!(text(&[0xFF; 33]), FormerValue::Nothing);
        assert_eq!(text(&[b'a'; 33]), FormerValue::Invalid, "no NUL");
        assert_eq!(text(b"Home\nAP\0"), FormerValue::Invalid);
        assert_eq!(text("pässword\0".as_bytes()), FormerValue::Value(9));
    }

    #[test]
    fn the_uds_is_decoded() {
        let mut buf = *b"19e25a259d0c2be03a02d416c05c48ccd0cc7d1743458aae1cb488b074993EAE";
        assert_eq!(uds(&mut buf), FormerValue::Value(UDS_LEN));
        assert_eq!((&buf[..4], buf[31]), (&[0x19, 0xE2, 0x5A, 0x25][..], 0xAE));
        assert_eq!(uds(&mut [b'g'; 64]), FormerValue::Invalid);
        assert_eq!(uds(&mut [b'0'; 63]), FormerValue::Invalid);
        assert_eq!(uds(&mut [0]), FormerValue::Nothing);
    }
}
