//! The line being typed: editing keys, what may be echoed, and the wiping.

use super::words::finished_word_is;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Characters one line can hold.
pub(super) const CAPACITY: usize = 1024;

const BACKSPACE: u8 = 0x08;
const ESCAPE: u8 = 0x1B;
const DELETE: u8 = 0x7F;

/// What a key did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// Nothing the terminal should show.
    Ignored,
    /// Added a character; show this one.
    Added(u8),
    /// Took the last character away.
    Erased,
    /// Ended the line.
    Entered,
    /// Did not fit; the line has been wiped.
    Overflowed,
}

/// Where the terminal's cursor and function keys (ESC `[` … final byte) stand.
#[derive(Clone, Copy, PartialEq, Eq, Zeroize)]
enum Sequence {
    None,
    Escape,
    Parameters,
}

#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Line {
    bytes: [u8; CAPACITY],
    len: usize,
    sequence: Sequence,
}

impl Line {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; CAPACITY], len: 0, sequence: Sequence::None }
    }

    /// Takes one byte from the terminal.
    pub(super) fn key(&mut self, byte: u8) -> Key {
        let byte = if byte == b'\t' { b' ' } else { byte };
        match (self.sequence, byte) {
            (Sequence::Escape, b'[' | b'O') => {
                self.sequence = Sequence::Parameters;
                return Key::Ignored;
            }
            (Sequence::Parameters, 0x20..=0x3F) => return Key::Ignored,
            (Sequence::Parameters, 0x40..=0x7E) => {
                self.sequence = Sequence::None;
                return Key::Ignored;
            }
            _ => self.sequence = if byte == ESCAPE { Sequence::Escape } else { Sequence::None },
        }
        match byte {
            b'\r' => Key::Entered,
            BACKSPACE | DELETE => self.erase(),
            0..=0x1F => Key::Ignored,
            _ => self.add(byte),
        }
    }

    fn add(&mut self, byte: u8) -> Key {
        let shown = if self.is_private() { b'*' } else { byte };
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
            Key::Added(shown)
        } else {
            self.wipe();
            Key::Overflowed
        }
    }

    /// Takes the last character away, all bytes of it if it is a UTF-8 sequence whose bytes were echoed as one.
    fn erase(&mut self) -> Key {
        if self.len == 0 {
            return Key::Ignored;
        }
        loop {
            self.len -= 1;
            let Some(byte) = self.bytes.get_mut(self.len) else { break };
            let continues = (0x80..0xC0).contains(byte);
            byte.zeroize();
            // Every byte of a private word was shown as one asterisk, so there one byte is one column.
            if !continues || self.len == 0 || self.is_private() {
                break;
            }
        }
        Key::Erased
    }

    /// Whether the next character belongs to a secret.
    fn is_private(&self) -> bool {
        let line = self.as_slice();
        let command = |name: &[u8]| finished_word_is(line, 0, name);
        command(b"set_wifipwd")
            || command(b"set_dps_uds")
            || (command(b"enable_secure") && finished_word_is(line, 1, b"2"))
    }

    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// The line typed so far.
    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.len).unwrap_or_default()
    }

    /// The whole buffer, which after [`super::command::parse`] holds the words at its front.
    pub(super) fn buffer(&self) -> &[u8] {
        &self.bytes
    }

    /// Empties the line; nothing of it stays in memory.
    pub(super) fn wipe(&mut self) {
        self.bytes.zeroize();
        self.len = 0;
        self.sequence = Sequence::None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &[u8]) -> (Line, Vec<Key>) {
        let mut line = Line::new();
        let seen = keys.iter().map(|&byte| line.key(byte)).collect();
        (line, seen)
    }

    #[test]
    fn erasing_leaves_no_byte_behind() {
        let (line, _) = typed(b"set_dps_uds 12\x7f\x08\x08");
        assert_eq!(line.as_slice(), b"set_dps_uds");
        assert!(line.buffer()[line.len..].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn a_multi_byte_character_is_erased_at_once() {
        let (line, keys) = typed("aé\x08".as_bytes());
        assert_eq!(line.as_slice(), b"a");
        assert_eq!(keys.last(), Some(&Key::Erased));
        let (line, _) = typed("set_wifipwd é\x08".as_bytes());
        assert_eq!(line.as_slice(), b"set_wifipwd \xC3");
    }

    #[test]
    fn cursor_keys_are_swallowed() {
        let (line, _) = typed(b"a\x1b[Ab\x1b[1;5Cc\x1bOPd\x1b\x1b[De");
        assert_eq!(line.as_slice(), b"abcde");
        let (line, _) = typed(b"a\x1bb");
        assert_eq!(line.as_slice(), b"ab");
    }

    #[test]
    fn a_full_line_is_wiped() {
        let (mut line, keys) = typed(&[b'x'; CAPACITY]);
        assert!(!keys.contains(&Key::Overflowed));
        assert_eq!(line.key(b'y'), Key::Overflowed);
        assert!(line.buffer().iter().all(|&byte| byte == 0));
    }

    #[test]
    fn secrets_are_hidden_however_the_command_is_written() {
        for line in
            ["set_wifipwd s", "  set_wifipwd s", "\"set_wifipwd\"s", "SET_DPS_UDS\ts", "enable_secure 2 s"]
        {
            let (_, keys) = typed(line.as_bytes());
            assert_eq!(keys.last(), Some(&Key::Added(b'*')), "{line}");
        }
        let (_, keys) = typed(b"enable_secure 1 s");
        assert_eq!(keys.last(), Some(&Key::Added(b's')));
    }
}
