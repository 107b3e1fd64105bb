//! Zones of the chip behind the traits of a NOR flash, for a store that is made for one.

use embedded_hal_async::delay::DelayNs;
use embedded_hal_async::i2c::I2c;
use embedded_storage_async::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};

use crate::asynch::Stsafe;
use crate::channel::{Channel, Plain};
use crate::error::{Error, InputError};
use crate::vault::Place;
use crate::zone::MAX_ATOMIC;

/// `BLOCKS` places in data zones as a flash with erase blocks of `BLOCK` bytes, a multiple of [`MAX_ATOMIC`]; they need
/// not be in one zone. Feature `nor-flash`.
///
/// What is written is there whole or not at all, [`MAX_ATOMIC`] bytes at a time from the beginning of a block, and the
/// bytes beside it stay, also when the power fails: nothing is lost that a store has written before. Reads and writes
/// are exchanges over the bus, an erasure is `BLOCK / MAX_ATOMIC` of them. Outside a host session everything is seen on
/// the bus, and nothing here is sealed as the [`vault`](crate::vault) does it.
///
/// ```
/// use stsafe_a100::ZoneFlash;
/// use stsafe_a100::asynch::Stsafe;
/// use stsafe_a100::vault::Place;
///
/// /// Two blocks, each in a zone of its own.
/// fn flash<I2C, D>(chip: &mut Stsafe<I2C, D>) -> ZoneFlash<'_, I2C, D, 1024, 2> {
///     ZoneFlash::new(chip, [Place::new(3, 0), Place::new(4, 0)])
/// }
/// ```
pub struct ZoneFlash<'c, I2C, D, const BLOCK: usize, const BLOCKS: usize, S = Plain> {
    chip: &'c mut Stsafe<I2C, D, S>,
    blocks: [Place; BLOCKS],
}

impl<I2C, D, const BLOCK: usize, const BLOCKS: usize, S> core::fmt::Debug
    for ZoneFlash<'_, I2C, D, BLOCK, BLOCKS, S>
{
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ZoneFlash").field("blocks", &self.blocks).finish_non_exhaustive()
    }
}

impl<'c, I2C, D, const BLOCK: usize, const BLOCKS: usize, S> ZoneFlash<'c, I2C, D, BLOCK, BLOCKS, S> {
    /// The blocks at these places, which nothing else may use. A place without room for its block shows as a refusal of
    /// the chip when it is used.
    pub fn new(chip: &'c mut Stsafe<I2C, D, S>, blocks: [Place; BLOCKS]) -> Self {
        const {
            assert!(
                BLOCK > 0 && BLOCK.is_multiple_of(MAX_ATOMIC),
                "writes are atomic in steps of MAX_ATOMIC"
            );
        }
        Self { chip, blocks }
    }
}

/// The parts of `from..from + len` that lie in one step of `step` bytes each: where, and how long.
fn steps(from: usize, len: usize, step: usize) -> impl Iterator<Item = (usize, usize)> {
    let end = from.saturating_add(len);
    core::iter::successors(Some(from), move |at| Some((at / step + 1).saturating_mul(step)))
        .take_while(move |at| *at < end)
        .map(move |at| (at, ((at / step + 1).saturating_mul(step)).min(end) - at))
}

impl<I2C: I2c, D: DelayNs, const BLOCK: usize, const BLOCKS: usize, S: Channel>
    ZoneFlash<'_, I2C, D, BLOCK, BLOCKS, S>
{
    /// Zone and offset of a byte.
    fn place(&self, at: usize) -> Result<(u8, u16), InputError> {
        let place = self.blocks.get(at / BLOCK).ok_or(InputError::ZoneRange)?;
        let offset = u16::try_from(at % BLOCK).ok().and_then(|within| place.offset.checked_add(within));
        Ok((place.zone, offset.ok_or(InputError::ZoneRange)?))
    }

    /// Where these bytes begin, if all of them are here.
    fn begin(&self, from: u32, len: usize) -> Result<usize, InputError> {
        let from = usize::try_from(from).map_err(|_| InputError::ZoneRange)?;
        let fits = from.checked_add(len).is_some_and(|end| end <= self.blocks.len() * BLOCK);
        if fits { Ok(from) } else { Err(InputError::ZoneRange) }
    }

    async fn put(&mut self, from: usize, bytes: &[u8]) -> Result<(), Error<I2C::Error>> {
        let mut rest = bytes;
        for (at, len) in steps(from, bytes.len(), MAX_ATOMIC) {
            let (part, behind) = rest.split_at_checked(len).ok_or(InputError::ZoneRange)?;
            let (zone, offset) = self.place(at)?;
            self.chip.update_atomic_steps(zone, offset, part).await?;
            rest = behind;
        }
        Ok(())
    }
}

impl<E: core::fmt::Debug> NorFlashError for Error<E> {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::Input(InputError::ZoneRange) => NorFlashErrorKind::OutOfBounds,
            _ => NorFlashErrorKind::Other,
        }
    }
}

impl<I2C: I2c, D: DelayNs, const BLOCK: usize, const BLOCKS: usize, S: Channel> ErrorType
    for ZoneFlash<'_, I2C, D, BLOCK, BLOCKS, S>
{
    type Error = Error<I2C::Error>;
}

impl<I2C: I2c, D: DelayNs, const BLOCK: usize, const BLOCKS: usize, S: Channel> ReadNorFlash
    for ZoneFlash<'_, I2C, D, BLOCK, BLOCKS, S>
{
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        let from = self.begin(offset, bytes.len())?;
        let mut rest = bytes;
        for (at, len) in steps(from, rest.len(), BLOCK) {
            let (part, behind) = rest.split_at_mut_checked(len).ok_or(InputError::ZoneRange)?;
            let (zone, offset) = self.place(at)?;
            self.chip.read(zone, offset, part).await?;
            rest = behind;
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        BLOCK * BLOCKS
    }
}

impl<I2C: I2c, D: DelayNs, const BLOCK: usize, const BLOCKS: usize, S: Channel> NorFlash
    for ZoneFlash<'_, I2C, D, BLOCK, BLOCKS, S>
{
    const WRITE_SIZE: usize = 1;
    const ERASE_SIZE: usize = BLOCK;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        let len = to.checked_sub(from).map(|len| len as usize).ok_or(InputError::ZoneRange)?;
        let from = self.begin(from, len)?;
        if !from.is_multiple_of(BLOCK) || !len.is_multiple_of(BLOCK) {
            return Err(InputError::ZoneRange.into());
        }
        for at in (from..from + len).step_by(MAX_ATOMIC) {
            self.put(at, &[0xFF; MAX_ATOMIC]).await?;
        }
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        let from = self.begin(offset, bytes.len())?;
        self.put(from, bytes).await
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::steps;
    use std::vec::Vec;

    #[test]
    fn ranges_are_cut_where_steps_begin() {
        let cut = |from, len, step| steps(from, len, step).collect::<Vec<_>>();
        assert_eq!(cut(0, 64, 64), [(0, 64)]);
        assert_eq!(cut(32, 64, 64), [(32, 32), (64, 32)]);
        assert_eq!(cut(63, 66, 64), [(63, 1), (64, 64), (128, 1)]);
        assert_eq!(cut(7, 0, 64), []);
    }
}
