//! The text the original firmware keeps in its zones.

use super::record::pieces;
use super::{Setting, UDS_LEN};

/// What stands in the original's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    /// A value of this many bytes at the start of the buffer.
    Value(usize),
    /// Nothing: erased, or an empty text.
    Nothing,
    /// Neither.
    Strange,
}

/// Bytes that must be read to know the setting's value.
pub(crate) const fn window(setting: Setting) -> usize {
    match setting {
        Setting::Uds => 2 * UDS_LEN,
        // The text and its NUL.
        _ => setting.max_len() + 1,
    }
}

/// Bytes of text in the envelopes that must be opened to know the setting's value, of `usable` in all.
pub(crate) fn needed(setting: Setting, usable: usize) -> usize {
    envelopes(setting, usable).map(|(start, _, len)| start + len).last().unwrap_or(0)
}

/// The envelopes that must be opened, as [`pieces`].
pub(crate) fn envelopes(setting: Setting, usable: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    pieces(usable).take_while(move |(start, ..)| *start < window(setting))
}

/// Takes the value from the text in `buf`, [`window`] bytes or what there is of them, and leaves it at the front: a
/// text without its NUL, a UDS decoded from its digits.
pub(crate) fn take(setting: Setting, buf: &mut [u8]) -> Text {
    if buf.iter().all(|byte| *byte == 0xFF) || buf.first() == Some(&0) {
        return Text::Nothing;
    }
    if setting == Setting::Uds {
        return decode_uds(buf);
    }
    match buf.iter().position(|byte| *byte == 0) {
        Some(len) if is_text(buf.get(..len).unwrap_or_default()) => Text::Value(len),
        _ => Text::Strange,
    }
}

/// 64 hexadecimal digits. The original took other characters for zeros; here they are no UDS.
fn decode_uds(buf: &mut [u8]) -> Text {
    for index in 0..UDS_LEN {
        let digit = |at: usize| buf.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(2 * index), digit(2 * index + 1)) else { return Text::Strange };
        if let Some(byte) = buf.get_mut(index) {
            // Two digits make a byte.
            *byte = u8::try_from(high << 4 | low).unwrap_or_default();
        }
    }
    Text::Value(UDS_LEN)
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
        let take = |setting, text: &[u8]| {
            let mut buf = text.to_vec();
            take(setting, &mut buf)
        };
        assert_eq!(take(Setting::WifiSsid, b"HomeAP\0\xFF\xFF"), Text::Value(6));
        assert_eq!(take(Setting::WifiSsid, b"\0omeAP\0"), Text::Nothing);
        assert_eq!(take(Setting::WifiSsid, &[0xFF; 33]), Text::Nothing);
        assert_eq!(take(Setting::WifiSsid, &[b'a'; 33]), Text::Strange, "no NUL");
        assert_eq!(take(Setting::WifiSsid, b"Home\nAP\0"), Text::Strange);
        assert_eq!(take(Setting::WifiPassword, "pässword\0".as_bytes()), Text::Value(9));
        assert_eq!(take(Setting::Uds, &[b'g'; 64]), Text::Strange);
        assert_eq!(take(Setting::Uds, &[b'0'; 63]), Text::Strange);
        assert_eq!(take(Setting::Uds, b"\0"), Text::Nothing);
    }

    #[test]
    fn the_uds_is_decoded() {
        let mut buf = *b"19e25a259d0c2be03a02d416c05c48ccd0cc7d1743458aae1cb488b074993EAE";
        assert_eq!(take(Setting::Uds, &mut buf), Text::Value(UDS_LEN));
        assert_eq!(buf[..4], [0x19, 0xE2, 0x5A, 0x25]);
        assert_eq!(buf[31], 0xAE);
    }
}
