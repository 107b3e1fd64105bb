//! Text files as people's tools write them: UTF-8 with or without a byte order mark, and Windows' UTF-16.

use zeroize::Zeroizing;

/// The text, if it is UTF-8 or UTF-16; a byte order mark at its beginning is not part of it.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Zeroizing<String>> {
    match utf16(bytes) {
        Some(units) => {
            // Reserved in full: a text that moves while it grows leaves copies of itself.
            let mut text = Zeroizing::new(String::with_capacity(3 * bytes.len()));
            for character in char::decode_utf16(units) {
                text.push(character.ok()?);
            }
            bytes.len().is_multiple_of(2).then_some(text)
        }
        None => std::str::from_utf8(without_mark(bytes)).ok().map(|text| Zeroizing::new(text.to_owned())),
    }
}

/// The text, with U+FFFD for every byte that belongs to no character: words around a certificate may be in any code
/// page.
#[must_use]
pub fn decode_lossy(bytes: &[u8]) -> String {
    match utf16(bytes) {
        Some(units) => {
            char::decode_utf16(units).map(|one| one.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        None => String::from_utf8_lossy(without_mark(bytes)).into_owned(),
    }
}

fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// The units of a text in UTF-16, told by its byte order mark or by the zero in its first, ASCII character.
fn utf16(bytes: &[u8]) -> Option<impl Iterator<Item = u16> + '_> {
    let (big, text) = match bytes {
        [0xff, 0xfe, text @ ..] => (false, text),
        [0xfe, 0xff, text @ ..] => (true, text),
        [1..=0xff, 0, ..] => (false, bytes),
        [0, 1..=0xff, ..] => (true, bytes),
        _ => return None,
    };
    let unit = move |pair: &[u8]| {
        let pair = [pair[0], pair[1]];
        if big { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) }
    };
    Some(text.chunks_exact(2).map(unit))
}

/// The number of the line, counted from 1, in which the byte at this position stands. Lines end with LF, CR LF or CR.
#[must_use]
pub fn line_number(text: &str, position: usize) -> usize {
    let before = &text.as_bytes()[..position.min(text.len())];
    let ends = before.iter().enumerate().filter(|(at, byte)| {
        **byte == b'\n' || (**byte == b'\r' && text.as_bytes().get(at + 1) != Some(&b'\n'))
    });
    ends.count() + 1
}

/// A text in every form in which [`decode`] takes it; for tests.
#[cfg(test)]
pub(crate) fn forms(text: &str) -> Vec<Vec<u8>> {
    let little =
        |mark: &[u8]| [mark, &text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()].concat();
    let big =
        |mark: &[u8]| [mark, &text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>()].concat();
    vec![
        text.into(),
        [b"\xef\xbb\xbf", text.as_bytes()].concat(),
        little(b"\xff\xfe"),
        big(b"\xfe\xff"),
        little(b""),
        big(b""),
        text.replace('\n', "\r\n").into(),
        text.replace('\n', "\r").into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_in_every_form() {
        let plain = "a=ä€😀\n";
        for form in forms(plain) {
            let text = decode(&form).unwrap();
            assert_eq!(text.replace("\r\n", "\n").replace('\r', "\n"), plain, "{form:?}");
            assert_eq!(*text, decode_lossy(&form));
        }
        assert_eq!(decode(b"\xff\xfea"), None, "half a unit");
        assert_eq!(decode(b"G\xfcltig"), None);
        assert_eq!(decode_lossy(b"G\xfcltig"), "G\u{fffd}ltig");
        assert_eq!(decode(b"").unwrap().as_str(), "");
    }

    #[test]
    fn lines_are_counted_whatever_ends_them() {
        for end in ["\n", "\r\n", "\r"] {
            let text = ["one", "two", "three"].join(end);
            let at = |word: &str| line_number(&text, text.find(word).unwrap());
            assert_eq!([at("one"), at("two"), at("three")], [1, 2, 3], "{end:?}");
        }
    }
}
