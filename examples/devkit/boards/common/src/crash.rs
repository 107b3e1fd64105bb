//! The record of a crash: a line of text in memory that a reset leaves alone.
//!
//! After power-on the memory holds anything; a mark and a checksum tell a record from that. Nothing secret goes in: the
//! cause is reported to the cloud.

use core::fmt::{self, Write};

/// Longest text, in bytes; more is cut.
pub const MAX_LEN: usize = 160;

const MARK: u32 = 0x4352_5348;

/// Memory for one crash. Any bit pattern is a valid value of it.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Record {
    mark: u32,
    length: u32,
    check: u32,
    text: [u8; MAX_LEN],
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Record").field(&self.text()).finish()
    }
}

impl Default for Record {
    fn default() -> Self {
        Self::empty()
    }
}

impl Record {
    /// No crash.
    #[must_use]
    pub const fn empty() -> Self {
        Self { mark: 0, length: 0, check: 0, text: [0; MAX_LEN] }
    }

    /// Keeps this cause, cut to [`MAX_LEN`] bytes; line ends and other control characters become blanks.
    pub fn keep(&mut self, cause: fmt::Arguments<'_>) {
        let mut writer = Writer { text: &mut self.text, length: 0 };
        // The writer takes everything; a cause that fails to print itself is kept as far as it came.
        let _ = writer.write_fmt(cause);
        self.length = u32::try_from(writer.length).unwrap_or(0);
        self.check = self.checksum();
        self.mark = MARK;
    }

    /// The cause kept before, if there is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        if self.mark != MARK || self.check != self.checksum() {
            return None;
        }
        let length = usize::try_from(self.length).ok()?;
        core::str::from_utf8(self.text.get(..length)?).ok()
    }

    /// Forgets the cause.
    pub fn clear(&mut self) {
        self.mark = 0;
    }

    /// FNV-1a over length and text.
    fn checksum(&self) -> u32 {
        let length = self.length.to_le_bytes();
        let bytes = length.iter().chain(&self.text);
        bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
    }
}

struct Writer<'a> {
    text: &'a mut [u8; MAX_LEN],
    length: usize,
}

impl Write for Writer<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for character in s.chars() {
            let shown = if character.is_control() { ' ' } else { character };
            let mut bytes = [0; 4];
            let bytes = shown.encode_utf8(&mut bytes).as_bytes();
            let Some(room) = self.text.get_mut(self.length..self.length + bytes.len()) else {
                // Full: nothing shorter that follows may take the place.
                self.length = self.length.min(MAX_LEN);
                return Err(fmt::Error);
            };
            room.copy_from_slice(bytes);
            self.length += bytes.len();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_kept_and_forgotten() {
        let mut record = Record::empty();
        assert_eq!(record.text(), None);
        record.keep(format_args!("panic at {}:{}\nboom", "main.rs", 7));
        assert_eq!(record.text(), Some("panic at main.rs:7 boom"));
        record.clear();
        assert_eq!(record.text(), None);
    }

    #[test]
    fn a_long_cause_is_cut_between_characters() {
        let mut record = Record::empty();
        record.keep(format_args!("{}{}{}", "x".repeat(MAX_LEN - 1), 'ä', "y"));
        assert_eq!(record.text(), Some("x".repeat(MAX_LEN - 1).as_str()));
        record.keep(format_args!("short"));
        assert_eq!(record.text(), Some("short"));
    }

    #[test]
    fn what_power_on_leaves_is_no_record() {
        let mut kept = Record::empty();
        kept.keep(format_args!("cause"));
        for damage in [
            Record { mark: kept.mark ^ 1, ..kept },
            Record { check: kept.check ^ 1, ..kept },
            Record { length: 4, ..kept },
            Record { length: u32::MAX, ..kept },
            Record { mark: MARK, length: u32::MAX, check: u32::MAX, text: [0xff; MAX_LEN] },
        ] {
            assert_eq!(damage.text(), None, "{damage:?}");
        }
        for position in 0..MAX_LEN {
            let mut damaged = kept;
            damaged.text[position] ^= 0x80;
            assert_eq!(damaged.text(), None, "byte {position}");
        }
        // A sound record of something that is no text.
        let mut nonsense = Record { mark: MARK, length: 1, check: 0, text: [0xff; MAX_LEN] };
        nonsense.check = nonsense.checksum();
        assert_eq!(nonsense.text(), None);
    }
}
