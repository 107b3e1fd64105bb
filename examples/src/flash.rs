//! Flash memory in a file, for the programs that keep something over restarts.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use embedded_storage_async::nor_flash::{
    ErrorType, MultiwriteNorFlash, NorFlash, NorFlashErrorKind, ReadNorFlash,
};

/// Bytes of a block, which is erased at once.
pub const BLOCK: usize = 4096;

/// Blocks of flash. Each change is in the file at once: a program may be killed at any moment.
#[derive(Debug)]
pub struct FileFlash {
    file: File,
    cells: Vec<u8>,
}

impl FileFlash {
    /// So many blocks of flash in this file; those of a new one are erased.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path, blocks: usize) -> Result<Self, NorFlashErrorKind> {
        let other = |_| NorFlashErrorKind::Other;
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = options.map_err(other)?;
        let mut cells = Vec::new();
        file.read_to_end(&mut cells).map_err(other)?;
        cells.resize(blocks * BLOCK, 0xFF);
        Ok(Self { file, cells })
    }

    fn change(
        &mut self,
        at: u32,
        change: impl FnOnce(&mut [u8]),
        len: usize,
    ) -> Result<(), NorFlashErrorKind> {
        let cells = self.cells.get_mut(at as usize..).and_then(|cells| cells.get_mut(..len));
        let cells = cells.ok_or(NorFlashErrorKind::OutOfBounds)?;
        change(cells);
        let written = self.file.seek(SeekFrom::Start(at.into())).and_then(|_| self.file.write_all(cells));
        written.map_err(|_| NorFlashErrorKind::Other)
    }
}

impl ErrorType for FileFlash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for FileFlash {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        let cells = self.cells.get(at as usize..).and_then(|cells| cells.get(..bytes.len()));
        bytes.copy_from_slice(cells.ok_or(NorFlashErrorKind::OutOfBounds)?);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.cells.len()
    }
}

impl NorFlash for FileFlash {
    const WRITE_SIZE: usize = 8;
    const ERASE_SIZE: usize = BLOCK;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        self.change(from, |cells| cells.fill(0xFF), to.saturating_sub(from) as usize)
    }

    async fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        let clear = |cells: &mut [u8]| cells.iter_mut().zip(bytes).for_each(|(cell, byte)| *cell &= byte);
        self.change(at, clear, bytes.len())
    }
}

impl MultiwriteNorFlash for FileFlash {}
