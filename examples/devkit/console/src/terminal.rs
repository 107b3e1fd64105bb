//! From a terminal's bytes to keys: what a keyboard, a paste or the terminal itself sends.
//!
//! Control sequences are taken in whole and give no key: cursor and function keys (`ESC [ ...`, `ESC O ...`, the Linux
//! console's `ESC [ [ A`), Alt with a character (`ESC x`), the marks around a bracketed paste, and what a terminal
//! answers or reports by itself (`ESC ] ... BEL` and its like). A line end within one ends it, and is a line end.

use zeroize::Zeroize;

/// A key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// A printable character.
    Character(char),
    /// Backspace or delete.
    Backspace,
    /// The end of a line: CR, LF or CR LF.
    Enter,
    /// Ctrl-C.
    Cancel,
    /// Ctrl-U.
    EraseLine,
    /// Ctrl-W.
    EraseWord,
}

/// Where in a control sequence the input stands (ECMA-48).
#[derive(Clone, Copy, PartialEq, Eq, Zeroize)]
enum State {
    Text,
    /// After ESC.
    Escape,
    /// After ESC and an intermediate byte, such as `ESC (`.
    Intermediate,
    /// After CSI, before its first byte.
    Csi,
    /// Within CSI.
    Parameters,
    /// One byte more: the Linux console's function keys.
    Last,
    /// After SS3.
    Ss3,
    /// Within a string, such as an operating system command.
    String,
    /// After ESC within a string.
    StringEscape,
}

const BEL: u8 = 0x07;
const CAN: u8 = 0x18;
const SUB: u8 = 0x1A;
const ESC: u8 = 0x1B;

/// The decoder.
#[derive(Zeroize)]
pub(super) struct Terminal {
    state: State,
    /// The last byte was a CR: an LF behind it belongs to it.
    after_cr: bool,
    /// The beginning of a UTF-8 character.
    partial: [u8; 4],
    len: usize,
}

impl Terminal {
    pub(super) const fn new() -> Self {
        Self { state: State::Text, after_cr: false, partial: [0; 4], len: 0 }
    }

    /// Takes one byte.
    pub(super) fn push(&mut self, byte: u8) -> Option<Key> {
        let after_cr = core::mem::replace(&mut self.after_cr, byte == b'\r');
        match byte {
            b'\n' if after_cr => return None,
            b'\r' | b'\n' => {
                self.forget();
                return Some(Key::Enter);
            }
            CAN | SUB => {
                self.forget();
                return None;
            }
            _ => {}
        }
        match self.state {
            State::Text => self.text(byte),
            State::String | State::StringEscape => {
                self.state = match (self.state, byte) {
                    (_, BEL) | (State::StringEscape, b'\\') => State::Text,
                    (_, ESC) => State::StringEscape,
                    _ => State::String,
                };
                None
            }
            _ if byte == ESC => {
                self.state = State::Escape;
                None
            }
            // A control character is one, wherever it stands; it ends what was not finished.
            _ if !(0x20..=0x7F).contains(&byte) => {
                self.state = State::Text;
                self.text(byte)
            }
            state => {
                self.state = within(state, byte);
                None
            }
        }
    }

    fn text(&mut self, byte: u8) -> Option<Key> {
        if self.len == 0 || !(0x80..0xC0).contains(&byte) {
            self.len = 0;
            return self.first(byte);
        }
        self.collect(byte)
    }

    /// A byte that begins something.
    fn first(&mut self, byte: u8) -> Option<Key> {
        match byte {
            0x03 => Some(Key::Cancel),
            0x08 | 0x7F => Some(Key::Backspace),
            b'\t' => Some(Key::Character(' ')),
            0x15 => Some(Key::EraseLine),
            0x17 => Some(Key::EraseWord),
            ESC => {
                self.state = State::Escape;
                None
            }
            // The same in eight bits; within a UTF-8 character these bytes mean something else.
            0x9B => {
                self.state = State::Csi;
                None
            }
            0x8F => {
                self.state = State::Ss3;
                None
            }
            0x90 | 0x98 | 0x9D..=0x9F => {
                self.state = State::String;
                None
            }
            0x20..=0x7E => Some(Key::Character(char::from(byte))),
            0xC2..=0xF4 => self.collect(byte),
            _ => None,
        }
    }

    /// A byte of a UTF-8 character; what cannot become one is dropped.
    fn collect(&mut self, byte: u8) -> Option<Key> {
        if let Some(place) = self.partial.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
        let bytes = self.partial.get(..self.len).unwrap_or_default();
        match core::str::from_utf8(bytes) {
            Ok(text) => {
                let character = text.chars().next();
                self.clear();
                character.filter(|character| !character.is_control()).map(Key::Character)
            }
            Err(error) if error.error_len().is_none() => None,
            Err(_) => {
                self.clear();
                None
            }
        }
    }

    fn clear(&mut self) {
        self.partial.zeroize();
        self.len = 0;
    }

    fn forget(&mut self) {
        self.state = State::Text;
        self.clear();
    }
}

/// The state after a printable byte within a control sequence.
const fn within(state: State, byte: u8) -> State {
    match (state, byte) {
        (State::Escape, b'[') => State::Csi,
        (State::Escape, b'O') | (State::Ss3, b'0'..=b'9' | b';') => State::Ss3,
        (State::Escape, b']' | b'P' | b'X' | b'^' | b'_') => State::String,
        // Alt with another of these is a key.
        (State::Escape, b'(' | b')' | b'*' | b'+' | b'#' | b'%') | (State::Intermediate, 0x20..=0x2F) => {
            State::Intermediate
        }
        (State::Csi, b'[') => State::Last,
        (State::Csi | State::Parameters, 0x20..=0x3F) => State::Parameters,
        _ => State::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut terminal = Terminal::new();
        bytes.iter().filter_map(|byte| terminal.push(*byte)).collect()
    }

    fn text(bytes: &[u8]) -> String {
        let character = |key| match key {
            Key::Character(character) => character,
            other => panic!("{other:?}"),
        };
        keys(bytes).into_iter().map(character).collect()
    }

    /// As recorded from, or documented for, the Linux console, xterm, PuTTY, Windows Terminal, screen, and the
    /// monitors of Arduino and VS Code (which are xterms).
    const NO_TEXT: &[&[u8]] = &[
        b"\x1b[A",
        b"\x1b[B",
        b"\x1b[C",
        b"\x1b[D",
        b"\x1b[H",
        b"\x1b[F", // cursor
        b"\x1bOA",
        b"\x1bOD",
        b"\x1bOH",
        b"\x1bOF", // cursor, application mode
        b"\x1b[1;5C",
        b"\x1b[1;2D",
        b"\x1b[1;3A",
        b"\x1bO5C",
        b"\x1bO1;2P", // with Ctrl, Shift, Alt
        b"\x1b[1~",
        b"\x1b[2~",
        b"\x1b[3~",
        b"\x1b[4~",
        b"\x1b[5~",
        b"\x1b[6~",
        b"\x1b[7~",
        b"\x1b[8~",
        b"\x1b[11~",
        b"\x1b[15~",
        b"\x1b[24~",
        b"\x1b[3;5~",
        b"\x1b[24;2~", // editing and function keys
        b"\x1bOP",
        b"\x1bOQ",
        b"\x1bOR",
        b"\x1bOS", // F1 to F4
        b"\x1b[[A",
        b"\x1b[[B",
        b"\x1b[[C",
        b"\x1b[[D",
        b"\x1b[[E", // F1 to F5 of the Linux console
        b"\x1b[25~",
        b"\x1b[34~",
        b"\x1b[P",
        b"\x1b[G", // PuTTY's and the Linux console's further ones
        b"\x1b\x1b[D",
        b"\x1b\x1bOC", // Alt with a cursor key, in PuTTY
        b"\x1bb",
        b"\x1bf",
        b"\x1b.",
        b"\x1b\x7f",
        b"\x1b ", // Alt with a character
        b"\x1b[Z",
        b"\x1b[I",
        b"\x1b[O", // Shift-Tab, focus
        b"\x1b[200~",
        b"\x1b[201~", // around a paste
        b"\x1b[?1;2c",
        b"\x1b[>0;276;0c",
        b"\x1b[24;80R",
        b"\x1b[0n", // answers of the terminal
        b"\x1b]0;title\x07",
        b"\x1b]11;rgb:0000/0000/0000\x1b\\",
        b"\x1bP1$r0m\x1b\\",
        b"\x1b_Gi=1;OK\x1b\\",
        b"\x1b[<0;10;5M",
        b"\x1b[<0;10;5m", // mouse
        b"\x1b[65;30;97;1;0;1_",
        b"\x1b[97;5u", // Win32 input mode, kitty's
        b"\x1b(B",
        b"\x1b)0",
        b"\x1b#8", // character sets
        b"\x9bA",
        b"\x8fP",
        b"\x9d0;title\x07", // in eight bits
        b"\x01",
        b"\x02",
        b"\x04",
        b"\x05",
        b"\x0b",
        b"\x0c",
        b"\x0e",
        b"\x10",
        b"\x12",
        b"\x1a",
        b"\x00",
    ];

    #[test]
    fn what_is_no_text_leaves_nothing_behind() {
        for sequence in NO_TEXT {
            let line = [b"ab".as_slice(), sequence, b"cd"].concat();
            assert_eq!(text(&line), "abcd", "{}", sequence.escape_ascii());
            // Two of them, and one that is cut off by the end of the line.
            assert_eq!(text(&[*sequence, sequence, b"x"].concat()), "x", "{}", sequence.escape_ascii());
            for len in 1..sequence.len() {
                let cut = [&sequence[..len], b"\rx"].concat();
                assert_eq!(keys(&cut).last(), Some(&Key::Character('x')), "{}", cut.escape_ascii());
            }
        }
    }

    #[test]
    fn every_line_end_is_one() {
        use Key::{Character, Enter};
        let (a, b) = (Character('a'), Character('b'));
        assert_eq!(keys(b"a\rb\r"), [a, Enter, b, Enter]);
        assert_eq!(keys(b"a\nb\n"), [a, Enter, b, Enter]);
        assert_eq!(keys(b"a\r\nb\r\n"), [a, Enter, b, Enter]);
        assert_eq!(keys(b"a\r\r\n\nb"), [a, Enter, Enter, Enter, b]);
        assert_eq!(keys(b"\x1b[200~a\r\nb\x1b[201~\r"), [a, Enter, b, Enter]);
    }

    #[test]
    fn characters_are_whole() {
        assert_eq!(text("aé€😀".as_bytes()), "aé€😀");
        assert_eq!(text(b"a\xC3b\xE2\x82c\xF0\x9F\x98d\xFF\x80e"), "abcde", "broken ones are dropped");
        assert_eq!(text(b"\xC2\x9BA"), "A", "no control characters in two bytes");
        assert_eq!(text(b"\xED\xA0\x80\xC0\xAFx"), "x", "surrogates, overlong forms");
    }

    #[test]
    fn editing_keys() {
        assert_eq!(
            keys(b"\x08\x7f\x03\x15\x17"),
            [Key::Backspace, Key::Backspace, Key::Cancel, Key::EraseLine, Key::EraseWord]
        );
        assert_eq!(keys(b"\x1b[\x03"), [Key::Cancel], "also within a sequence");
        assert_eq!(text(b"a\tb"), "a b");
    }
}
