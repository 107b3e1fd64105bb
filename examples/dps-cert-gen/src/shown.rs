//! Text of others as it may be shown: what could move a cursor, forge a line or turn the reading direction is escaped.

use std::fmt::{self, Display};

use serde::Serialize;

/// Shows a text on one line: control characters, line and paragraph separators, bidirectional overrides and everything
/// else without a shape of its own as `\u{…}`, and a backslash as two.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a>(pub &'a str);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '"' | '\'' => write!(f, "{character}"),
            _ => write!(f, "{}", character.escape_debug()),
        })
    }
}

/// A message of this program, in which texts of others may stand that nobody escaped: as [`Shown`], with backslashes as
/// they are.
#[must_use]
pub fn one_line(message: &str) -> String {
    message.split('\\').map(|part| Shown(part).to_string()).collect::<Vec<_>>().join("\\")
}

/// JSON in ASCII: whatever a string holds, a terminal shows it as it is, and a parser gives it back.
///
/// # Errors
/// As `serde_json`.
pub fn json<T: Serialize>(value: &T) -> serde_json::Result<String> {
    let text = serde_json::to_string_pretty(value)?;
    let mut ascii = String::with_capacity(text.len());
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte @ (b'\n' | b' '..=b'~')) => ascii.push(char::from(byte)),
            _ => ["\\u".to_owned(), hex::encode(unit.to_be_bytes())]
                .iter()
                .for_each(|part| ascii.push_str(part)),
        }
    }
    Ok(ascii)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped() {
        for (text, shown) in [
            ("DeviceID-0f5e", "DeviceID-0f5e"),
            ("Gerät \"7\"", "Gerät \"7\""),
            ("\x1b[2J\x07", "\\u{1b}[2J\\u{7}"),
            ("a\nverdict: accepted", "a\\nverdict: accepted"),
            ("\u{202e}txt.exe\u{2066}\u{200b}", "\\u{202e}txt.exe\\u{2066}\\u{200b}"),
            ("\u{9b}31m\u{7f}\u{2028}", "\\u{9b}31m\\u{7f}\\u{2028}"),
            ("\\n", "\\\\n"),
        ] {
            assert_eq!(Shown(text).to_string(), shown);
        }
        assert_eq!(one_line("a\\b\x1b"), "a\\b\\u{1b}");
    }

    proptest! {
        #[test]
        fn nothing_shown_is_a_control_character(text in "\\PC*|(?s:.*)") {
            let shown = Shown(&text).to_string();
            let dangerous = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            prop_assert!(!shown.chars().any(dangerous));
            prop_assert_eq!(one_line(&shown), shown);
            let json = json(&text).unwrap();
            prop_assert!(json.bytes().all(|byte| matches!(byte, b' '..=b'~')));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
