//! Measuring what does not lie in memory: streams and flash.

use super::{FirmwareDigest, Measurement};
use crate::Error;
use crate::hash::Hash;
use core::fmt;

/// Why a stream or a flash could not be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SourceError<E> {
    /// Reading failed.
    Read(E),
    /// What was read could not be measured: there was nothing, or the buffer has no room.
    Dice(Error),
}

impl<E: fmt::Debug> fmt::Display for SourceError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(cause) => write!(f, "the firmware cannot be read: {cause:?}"),
            Self::Dice(cause) => cause.fmt(f),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for SourceError<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Read(_) => None,
            Self::Dice(cause) => Some(cause),
        }
    }
}

impl<E> From<Error> for SourceError<E> {
    fn from(cause: Error) -> Self {
        Self::Dice(cause)
    }
}

/// A buffer without room would end every stream before its first byte.
fn check_buffer<E>(buffer: &[u8], needed: usize) -> Result<(), SourceError<E>> {
    let available = buffer.len();
    if available < needed { Err(Error::BufferTooSmall { needed, available }.into()) } else { Ok(()) }
}

impl<H: Hash> Measurement<H> {
    /// Measures a stream to its end, through a buffer of any size from one byte up.
    ///
    /// # Errors
    /// [`SourceError::Read`]; [`SourceError::Dice`] with [`Error::EmptyMeasurement`] if there is nothing to read and
    /// nothing was measured before.
    #[cfg(feature = "embedded-io")]
    pub fn read_to_end<R: embedded_io::Read>(
        mut self,
        mut reader: R,
        buffer: &mut [u8],
    ) -> Result<FirmwareDigest, SourceError<R::Error>> {
        check_buffer(buffer, 1)?;
        loop {
            match reader.read(buffer).map_err(SourceError::Read)? {
                0 => return Ok(self.finish()?),
                len => self.update(buffer.get(..len).unwrap_or_default()),
            }
        }
    }

    /// [`read_to_end`](Self::read_to_end) for an asynchronous stream.
    ///
    /// # Errors
    /// As for [`read_to_end`](Self::read_to_end).
    #[cfg(feature = "embedded-io-async")]
    pub async fn read_to_end_async<R: embedded_io_async::Read>(
        mut self,
        mut reader: R,
        buffer: &mut [u8],
    ) -> Result<FirmwareDigest, SourceError<R::Error>> {
        check_buffer(buffer, 1)?;
        loop {
            match reader.read(buffer).await.map_err(SourceError::Read)? {
                0 => return Ok(self.finish()?),
                len => self.update(buffer.get(..len).unwrap_or_default()),
            }
        }
    }

    /// Measures `len` bytes of flash from `offset` on, through a buffer of any size from the flash's read size up.
    ///
    /// # Errors
    /// [`SourceError::Read`] if the flash refuses, for instance because `offset` or `len` is not a multiple of its read
    /// size; [`SourceError::Dice`] with [`Error::EmptyMeasurement`] if `len` is zero, or with
    /// [`Error::BufferTooSmall`].
    #[cfg(feature = "embedded-storage")]
    pub fn read_flash<F: embedded_storage::nor_flash::ReadNorFlash>(
        mut self,
        flash: &mut F,
        offset: u32,
        len: u32,
        buffer: &mut [u8],
    ) -> Result<FirmwareDigest, SourceError<F::Error>> {
        check_buffer(buffer, F::READ_SIZE)?;
        let whole_reads = buffer.len() - buffer.len() % F::READ_SIZE.max(1);
        let mut done: u32 = 0;
        while done < len {
            let left = usize::try_from(len - done).unwrap_or(usize::MAX);
            let piece = buffer.get_mut(..whole_reads.min(left)).unwrap_or_default();
            flash.read(offset.saturating_add(done), piece).map_err(SourceError::Read)?;
            self.update(piece);
            // No piece is longer than what is left.
            done = done.saturating_add(u32::try_from(piece.len()).unwrap_or(u32::MAX));
        }
        Ok(self.finish()?)
    }
}
