//! A flash sector for keys: what a microcontroller's own flash is to a board that has none.

use std::fmt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use bridge_protocol::{FLASH_LEN, FLASH_WORD, FlashStatus};
use embedded_storage_async::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};

use crate::bus::{Shared, shared, with};

/// Why the sector does not do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlashError {
    /// Part of it is not there.
    OutOfBounds,
    /// It is not made of whole words.
    NotAligned,
    /// There is no power, or its file cannot be written.
    Failed,
}

impl From<FlashError> for FlashStatus {
    fn from(error: FlashError) -> Self {
        match error {
            FlashError::OutOfBounds => Self::OutOfBounds,
            FlashError::NotAligned => Self::NotAligned,
            FlashError::Failed => Self::Failed,
        }
    }
}

impl fmt::Display for FlashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfBounds => "the flash sector ends before",
            Self::NotAligned => "flash is written in whole words",
            Self::Failed => "the flash fails",
        })
    }
}

impl std::error::Error for FlashError {}

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::OutOfBounds => NorFlashErrorKind::OutOfBounds,
            Self::NotAligned => NorFlashErrorKind::NotAligned,
            Self::Failed => NorFlashErrorKind::Other,
        }
    }
}

/// A sector of NOR flash: writing only clears bits, a word at a time; erasing sets them all. Clones are handles of the
/// same one. It keeps its contents when the power goes, but for what is being changed at that moment.
#[derive(Clone)]
pub struct FlashSector(Shared<Cells>);

struct Cells {
    bytes: Vec<u8>,
    file: Option<PathBuf>,
    /// Words that can still be changed until the power fails, and what is random about the one it fails at.
    cut: Option<(u32, u32)>,
    powered: bool,
    worn: Vec<usize>,
    /// Words changed so far; erasing counts as one.
    steps: u32,
}

impl FlashSector {
    /// An erased one.
    #[must_use]
    pub fn new() -> Self {
        Self::with(vec![0xFF; FLASH_LEN], None)
    }

    /// One that lies in a file, which is made if it is not there. Every change is written at once.
    ///
    /// # Errors
    /// The file cannot be read, or has another length.
    pub fn open(path: &Path) -> io::Result<Self> {
        let bytes = match fs::read(path) {
            Ok(bytes) if bytes.len() == FLASH_LEN => bytes,
            Ok(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, "no flash sector")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => vec![0xFF; FLASH_LEN],
            Err(error) => return Err(error),
        };
        Ok(Self::with(bytes, Some(path.to_owned())))
    }

    fn with(bytes: Vec<u8>, file: Option<PathBuf>) -> Self {
        Self(shared(Cells { bytes, file, cut: None, powered: true, worn: Vec::new(), steps: 0 }))
    }

    /// Everything in it.
    #[must_use]
    pub fn contents(&self) -> Vec<u8> {
        with(&self.0, |cells| cells.bytes.clone())
    }

    /// Puts bytes there from outside, as a programmer would; what does not fit is dropped.
    ///
    /// # Errors
    /// [`FlashError::Failed`] if its file cannot be written.
    pub fn load(&self, bytes: &[u8]) -> Result<(), FlashError> {
        with(&self.0, |cells| {
            cells.bytes.iter_mut().zip(bytes).for_each(|(cell, byte)| *cell = *byte);
            cells.save()
        })
    }

    /// Words that were changed since it was made. Erasing counts as one.
    #[must_use]
    pub fn steps(&self) -> u32 {
        with(&self.0, |cells| cells.steps)
    }

    /// The power will fail while the word after so many is changed; `noise` says which of its bits have changed by
    /// then. After that everything fails until [`power_on`](Self::power_on).
    pub fn cut_after(&self, steps: u32, noise: u32) {
        with(&self.0, |cells| cells.cut = Some((steps, noise)));
    }

    /// The byte there does not change any more, without anybody being told.
    pub fn wear_out(&self, offset: usize) {
        with(&self.0, |cells| cells.worn.push(offset));
    }

    /// The power comes back.
    pub fn power_on(&self) {
        with(&self.0, |cells| (cells.cut, cells.powered) = (None, true));
    }

    /// Reads.
    ///
    /// # Errors
    /// [`FlashError`].
    pub fn get(&self, offset: usize, out: &mut [u8]) -> Result<(), FlashError> {
        with(&self.0, |cells| {
            let end = offset.saturating_add(out.len());
            let bytes = cells.bytes.get(offset..end).ok_or(FlashError::OutOfBounds)?;
            out.copy_from_slice(bytes);
            if cells.powered { Ok(()) } else { Err(FlashError::Failed) }
        })
    }

    /// Writes whole words: clears the bits that are clear in `bytes`.
    ///
    /// # Errors
    /// [`FlashError`]; what was refused has changed nothing.
    pub fn program(&self, offset: usize, bytes: &[u8]) -> Result<(), FlashError> {
        with(&self.0, |cells| {
            if !offset.is_multiple_of(FLASH_WORD) || !bytes.len().is_multiple_of(FLASH_WORD) {
                return Err(FlashError::NotAligned);
            }
            if offset.saturating_add(bytes.len()) > FLASH_LEN {
                return Err(FlashError::OutOfBounds);
            }
            for (at, word) in (offset..).step_by(FLASH_WORD).zip(bytes.chunks(FLASH_WORD)) {
                cells.change(at..at + FLASH_WORD, |index, old, kept| old & (word[index] | kept))?;
            }
            cells.save()
        })
    }

    /// Erases all of it.
    ///
    /// # Errors
    /// [`FlashError::Failed`].
    pub fn erase_all(&self) -> Result<(), FlashError> {
        with(&self.0, |cells| {
            cells.change(0..FLASH_LEN, |_, old, kept| old | !kept)?;
            cells.save()
        })
    }
}

impl Cells {
    /// One step. `new` gives a byte from its index, its old value, and the bits that the power does not suffice to
    /// change.
    fn change(
        &mut self,
        range: std::ops::Range<usize>,
        new: impl Fn(usize, u8, u8) -> u8,
    ) -> Result<(), FlashError> {
        if !self.powered {
            return Err(FlashError::Failed);
        }
        let mut noise = match &mut self.cut {
            Some((0, noise)) => Some(*noise | 1),
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        };
        let start = range.start;
        for (index, cell) in self.bytes[range].iter_mut().enumerate() {
            if self.worn.contains(&(start + index)) {
                continue;
            }
            // Marsaglia's xorshift.
            let kept = noise.as_mut().map_or(0, |state| {
                *state ^= *state << 13;
                *state ^= *state >> 17;
                *state ^= *state << 5;
                state.to_le_bytes()[0]
            });
            *cell = new(index, *cell, kept);
        }
        self.steps += 1;
        if noise.is_some() {
            self.powered = false;
            self.save()?;
            return Err(FlashError::Failed);
        }
        Ok(())
    }

    fn save(&self) -> Result<(), FlashError> {
        let Some(path) = &self.file else { return Ok(()) };
        replace_private_file(path, &self.bytes).map_err(|_| FlashError::Failed)
    }
}

/// Replaces a file as a whole, or makes it, its owner's only: there are keys in it.
///
/// # Errors
/// Those of the file system; the file is the old one then.
pub fn replace_private_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    io::Write::write_all(&mut options.open(&new)?, bytes)?;
    fs::rename(&new, path)
}

impl Default for FlashSector {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for FlashSector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlashSector").field("steps", &self.steps()).finish_non_exhaustive()
    }
}

impl ErrorType for FlashSector {
    type Error = FlashError;
}

impl ReadNorFlash for FlashSector {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        self.get(offset as usize, bytes)
    }

    fn capacity(&self) -> usize {
        FLASH_LEN
    }
}

impl NorFlash for FlashSector {
    const WRITE_SIZE: usize = FLASH_WORD;
    const ERASE_SIZE: usize = FLASH_LEN;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        if (from as usize, to as usize) == (0, FLASH_LEN) {
            self.erase_all()
        } else {
            Err(FlashError::NotAligned)
        }
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.program(offset as usize, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(sector: &FlashSector, at: usize) -> [u8; 4] {
        let mut out = [0; 4];
        sector.get(at, &mut out).unwrap();
        out
    }

    #[test]
    fn writing_clears_bits_and_erasing_sets_them() {
        let sector = FlashSector::new();
        sector.program(8, &[0xF0, 1, 2, 3]).unwrap();
        sector.program(8, &[0x3C, 0xFF, 0, 3]).unwrap();
        assert_eq!((word(&sector, 8), word(&sector, 4)), ([0x30, 1, 0, 3], [0xFF; 4]));
        sector.erase_all().unwrap();
        assert_eq!((sector.contents(), sector.steps()), (vec![0xFF; FLASH_LEN], 3));
    }

    #[test]
    fn what_is_not_possible_changes_nothing() {
        let sector = FlashSector::new();
        for (offset, len, error) in [
            (2, 4, FlashError::NotAligned),
            (0, 3, FlashError::NotAligned),
            (FLASH_LEN, 4, FlashError::OutOfBounds),
            (FLASH_LEN - 4, 8, FlashError::OutOfBounds),
            (usize::MAX & !3, 8, FlashError::OutOfBounds),
        ] {
            assert_eq!(sector.program(offset, &vec![0; len]), Err(error));
        }
        assert_eq!(sector.get(FLASH_LEN - 1, &mut [0; 2]), Err(FlashError::OutOfBounds));
        assert_eq!(sector.steps(), 0);
    }

    #[test]
    fn a_power_cut_leaves_the_word_it_hits_half_written_and_all_others_whole() {
        let sector = FlashSector::new();
        sector.cut_after(1, 99);
        assert_eq!(sector.program(0, &[0; 12]), Err(FlashError::Failed));
        assert_eq!(
            (sector.get(0, &mut [0; 4]), sector.erase_all()),
            (Err(FlashError::Failed), Err(FlashError::Failed))
        );
        sector.power_on();
        assert_eq!((word(&sector, 0), word(&sector, 8)), ([0; 4], [0xFF; 4]));
        assert!(![[0; 4], [0xFF; 4]].contains(&word(&sector, 4)));
    }

    #[test]
    fn it_lasts_in_its_file() {
        let folder = std::env::temp_dir().join(format!("flash-sector-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("sector.bin");
        let sector = FlashSector::open(&path).unwrap();
        sector.program(4, &[1, 2, 3, 4]).unwrap();
        sector.cut_after(0, 1);
        assert!(sector.program(16, &[0; 4]).is_err());
        let again = FlashSector::open(&path).unwrap();
        assert_eq!(again.contents(), sector.contents());
        assert_eq!(word(&again, 4), [1, 2, 3, 4]);
        fs::write(&path, [0; 5]).unwrap();
        assert!(FlashSector::open(&path).is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
}
