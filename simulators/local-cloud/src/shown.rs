//! Text from others on a terminal: what a device, a file or a client sent is shown on one line, and nothing in it can
//! steer the terminal, forge a line or turn the direction of writing.

use std::fmt::{self, Display, Write};

use serde_json::Value;

/// Text from somebody else. Controls (C0, DEL and C1), line and paragraph separators, bidirectional formatting
/// characters, invisible characters and tags are shown as `\n`, `\r`, `\t` or `\u{..}`; all else as it is.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a>(pub &'a str);

/// Whether a terminal or a reader's eye could take this for something else than a character in the text.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c if is_harmful(c) => write!(f, "\\u{{{:x}}}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// JSON text in which the same characters are written as `\u....`: the same value to a program, and harmless on a
/// terminal. Line breaks between members (of the form for people) stay.
#[must_use]
pub fn json_text(value: &Value, pretty: bool) -> String {
    let text = if pretty { format!("{value:#}") } else { value.to_string() };
    if !text.chars().any(|c| c != '\n' && is_harmful(c)) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if c == '\n' || !is_harmful(c) {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    out
}

/// A body: text if it is UTF-8, else hexadecimal.
pub(super) fn body(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => Shown(text).to_string(),
        Err(_) => format!("0x{}", hex::encode(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_would_steer_a_terminal() {
        let forged = "a\u{1b}[2J\r\nDPS: x assigned\u{9b}31m\u{202e}\u{2066}\u{200b}\u{e0041}\u{7f}é€";
        assert_eq!(
            Shown(forged).to_string(),
            "a\\u{1b}[2J\\r\\nDPS: x assigned\\u{9b}31m\\u{202e}\\u{2066}\\u{200b}\\u{e0041}\\u{7f}é€"
        );
        assert_eq!(body(b"tab\there"), "tab\\there");
        assert_eq!(body(&[0xff, 0]), "0xff00");
    }

    proptest! {
        #[test]
        fn no_harm_and_no_loss(text in any::<String>()) {
            prop_assert!(!Shown(&text).to_string().chars().any(is_harmful));
            let value = serde_json::json!({ &text: [&text] });
            let shown = json_text(&value, false);
            prop_assert!(!shown.chars().any(is_harmful), "{shown}");
            prop_assert_eq!(&serde_json::from_str::<Value>(&shown).unwrap(), &value);
            let shown = json_text(&value, true);
            prop_assert!(!shown.chars().any(|c| c != '\n' && is_harmful(c)), "{shown}");
            prop_assert_eq!(&serde_json::from_str::<Value>(&shown).unwrap(), &value);
        }
    }
}
