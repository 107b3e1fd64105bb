//! The line being typed: what each key does to it, what may be echoed, and the wiping.

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::arguments::{finished_word_is, value_start};
use super::report::is_public_part;

/// Bytes one line can hold.
pub(super) const CAPACITY: usize = 1024;

/// The line.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Line {
    bytes: [u8; CAPACITY],
    len: usize,
}

/// The line is full; it has been wiped.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overflow;

impl Line {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; CAPACITY], len: 0 }
    }

    /// Appends a character and gives what is to be shown: itself, or an asterisk if it belongs to a secret.
    pub(super) fn add(&mut self, character: char) -> Result<char, Overflow> {
        let shown = if self.is_private() { '*' } else { character };
        let end = self.len + character.len_utf8();
        let Some(place) = self.bytes.get_mut(self.len..end) else {
            self.wipe();
            return Err(Overflow);
        };
        character.encode_utf8(place);
        self.len = end;
        Ok(shown)
    }

    /// Takes the last character away; `false` if there is none.
    pub(super) fn erase(&mut self) -> bool {
        if self.len == 0 {
            return false;
        }
        while self.len > 0 {
            self.len -= 1;
            let Some(byte) = self.bytes.get_mut(self.len) else { break };
            let continues = (0x80..0xC0).contains(byte);
            byte.zeroize();
            if !continues {
                break;
            }
        }
        true
    }

    /// Takes the last word and the blanks behind it away, and gives the number of characters.
    pub(super) fn erase_word(&mut self) -> usize {
        let mut count = 0;
        let mut in_word = false;
        while let Some(last) = self.as_slice().last() {
            let is_blank = *last == b' ';
            if in_word && is_blank {
                break;
            }
            in_word = !is_blank;
            self.erase();
            count += 1;
        }
        count
    }

    /// Empties the line and gives the number of characters it had.
    pub(super) fn erase_all(&mut self) -> usize {
        let count = self.as_slice().iter().filter(|byte| !(0x80..0xC0).contains(*byte)).count();
        self.wipe();
        count
    }

    /// Whether the next character belongs to a secret.
    fn is_private(&self) -> bool {
        let line = self.as_slice();
        let command = |name: &[u8]| finished_word_is(line, 0, name);
        command(b"set_wifipwd")
            || command(b"set_dps_uds")
            || (command(b"enable_secure") && finished_word_is(line, 1, b"2"))
            || ((command(b"set_az_iothub") || command(b"set_az_iotdps")) && is_key_in_connection(line))
    }

    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// The line typed so far.
    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.len).unwrap_or_default()
    }

    /// The whole buffer, which after [`super::command::parse`] holds the arguments at its front.
    pub(super) fn buffer(&self) -> &[u8] {
        &self.bytes
    }

    /// Empties the line; nothing of it stays in memory.
    pub(super) fn wipe(&mut self) {
        self.bytes.zeroize();
        self.len = 0;
    }
}

/// Whether a connection string ends within the value of a part that is not known to be public.
fn is_key_in_connection(line: &[u8]) -> bool {
    let text = line.get(value_start(line)..).unwrap_or_default();
    let part = text.rsplit(|byte| *byte == b';').next().unwrap_or_default();
    part.contains(&b'=') && !is_public_part(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> (Line, String) {
        let mut line = Line::new();
        let shown = text.chars().map(|character| line.add(character).unwrap()).collect();
        (line, shown)
    }

    #[test]
    fn erasing_leaves_no_byte_behind() {
        let (mut line, _) = typed("set_dps_uds 12é");
        assert!((0..3).all(|_| line.erase()));
        assert_eq!(line.as_slice(), b"set_dps_uds ");
        assert!(line.buffer()[line.len..].iter().all(|byte| *byte == 0));
        assert_eq!(line.erase_all(), 12);
        assert!(!line.erase());
        assert_eq!(line.erase_word(), 0);
    }

    #[test]
    fn words_are_erased_with_the_blanks_behind_them() {
        let (mut line, _) = typed("ab  cdé  ");
        assert_eq!(line.erase_word(), 5);
        assert_eq!(line.as_slice(), b"ab  ");
        assert_eq!(line.erase_word(), 4);
        assert!(line.buffer().iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_full_line_is_wiped() {
        let (mut line, _) = typed(&"x".repeat(CAPACITY - 1));
        assert_eq!(line.add('é'), Err(Overflow));
        assert!(line.buffer().iter().all(|byte| *byte == 0));
    }

    #[test]
    fn secrets_are_hidden_however_the_command_is_written() {
        for line in [
            "set_wifipwd s",
            "  set_wifipwd s",
            "\"set_wifipwd\"s",
            "SET_DPS_UDS s",
            "enable_secure 2 s",
            "set_wifipwd aa s",
            "set_wifipwd é",
            "set_az_iothub HostName=h;SharedAccessKey=s",
            "set_az_iothub \"HostName=h;SharedAccessKey=s",
            "set_az_iotdps DPSEndpoint=d;SYMMETRICKEY=s",
            "set_az_iotdps x=;y==",
        ] {
            assert!(typed(line).1.ends_with('*'), "{line}");
        }
        for line in ["enable_secure 1 s", "set_az_iothub HostName=h;DeviceId=s", "set_az_iotdps \"idscope=s"]
        {
            assert!(!typed(line).1.contains('*'), "{line}");
        }
    }
}
