//! The board's settings for the radio's firmware: crystal, calibration, power limits.

use core::fmt;

use crate::registers::chip;

/// Bytes of the word behind the settings that says how long they are.
pub(crate) const TOKEN_LEN: u32 = 4;

/// Settings in the form the firmware reads: `name=value` in printable ASCII, each ended by a zero byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nvram<'a>(&'a [u8]);

/// Why bytes are no settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NvramError {
    /// There are none.
    Empty,
    /// More than [`Nvram::MAX_LEN`].
    TooLong,
    /// The last one has no zero byte.
    NotTerminated,
    /// One is not of the form `name=value`.
    Entry {
        /// Where it begins.
        at: usize,
    },
}

impl fmt::Display for NvramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("there are no settings for the radio"),
            Self::TooLong => write!(f, "more than {} bytes of settings for the radio", Nvram::MAX_LEN),
            Self::NotTerminated => f.write_str("the last of the radio's settings has no end"),
            Self::Entry { at } => write!(f, "no setting of the radio's at byte {at}"),
        }
    }
}

impl core::error::Error for NvramError {}

impl<'a> Nvram<'a> {
    /// Most bytes.
    pub const MAX_LEN: usize = 4096;

    /// Checks the form of settings; what they say is the firmware's business.
    ///
    /// # Errors
    /// What is wrong with the form.
    pub fn new(bytes: &'a [u8]) -> Result<Self, NvramError> {
        if bytes.is_empty() {
            return Err(NvramError::Empty);
        }
        if bytes.len() > Self::MAX_LEN {
            return Err(NvramError::TooLong);
        }
        let Some((0, entries)) = bytes.split_last() else { return Err(NvramError::NotTerminated) };
        let mut at = 0;
        for entry in entries.split(|byte| *byte == 0) {
            let is_printable = entry.iter().all(|byte| matches!(byte, 0x20..=0x7E));
            let is_named = entry.iter().position(|byte| *byte == b'=').is_some_and(|name| name > 0);
            if !(is_printable && is_named) {
                return Err(NvramError::Entry { at });
            }
            at += entry.len() + 1;
        }
        Ok(Self(bytes))
    }

    /// Bytes in the radio's memory: an empty setting at the end, then zeros up to a multiple of 4.
    #[must_use]
    #[allow(clippy::cast_possible_truncation)] // at most MAX_LEN
    pub const fn padded_len(self) -> u32 {
        (self.0.len() as u32 + 1).next_multiple_of(4)
    }

    /// Where they belong: before the token that ends the memory.
    pub(crate) const fn address(self) -> u32 {
        chip::RAM_SIZE - TOKEN_LEN - self.padded_len()
    }

    /// The token: the length in words, and its complement in the upper half.
    pub(crate) const fn token(self) -> u32 {
        let words = self.padded_len() / 4;
        !words << 16 | words
    }

    /// Fills a piece of the padded bytes.
    pub(crate) fn piece(self, offset: u32, out: &mut [u8]) {
        let rest = self.0.get(offset as usize..).unwrap_or_default();
        let bytes = rest.iter().copied().chain(core::iter::repeat(0));
        out.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::{Nvram, NvramError};

    #[test]
    fn settings_have_their_form() {
        for (bytes, error) in [
            (&b""[..], NvramError::Empty),
            (b"a=1", NvramError::NotTerminated),
            (b"\0", NvramError::Entry { at: 0 }),
            (b"a=1\0\0", NvramError::Entry { at: 4 }),
            (b"a=1\0=2\0", NvramError::Entry { at: 4 }),
            (b"a=1\0b\0", NvramError::Entry { at: 4 }),
            (b"a=\x01\0", NvramError::Entry { at: 0 }),
            (b"# text\n\0", NvramError::Entry { at: 0 }),
        ] {
            assert_eq!(Nvram::new(bytes), Err(error), "{bytes:?}");
        }
        let mut long = vec![b'x'; Nvram::MAX_LEN + 1];
        long[1] = b'=';
        long[Nvram::MAX_LEN] = 0;
        assert_eq!(Nvram::new(&long), Err(NvramError::TooLong));
        long.remove(2);
        assert!(Nvram::new(&long).is_ok());
        assert!(Nvram::new(b"empty=\0").is_ok());
    }

    #[test]
    fn length_place_and_token() {
        for (bytes, len) in [(&b"a=1\0"[..], 8), (b"a=\0", 4), (b"a=12345\0", 12)] {
            let nvram = Nvram::new(bytes).unwrap();
            assert_eq!(nvram.padded_len(), len);
            assert_eq!(nvram.address() + len + 4, 0x3_C000);
            let words = u16::try_from(len / 4).unwrap();
            assert_eq!(
                nvram.token().to_le_bytes(),
                [words.to_le_bytes(), (!words).to_le_bytes()].concat()[..]
            );
            let mut whole: Vec<u8> = vec![0xAA; len as usize];
            for (offset, piece) in (0..).step_by(4).zip(whole.chunks_mut(4)) {
                nvram.piece(offset, piece);
            }
            assert_eq!(&whole[..bytes.len()], bytes);
            assert!(whole[bytes.len()..].iter().all(|byte| *byte == 0));
        }
    }
}
