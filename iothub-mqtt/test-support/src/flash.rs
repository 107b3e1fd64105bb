//! Flash memory whose power fails.

use embedded_storage_async::nor_flash::{
    ErrorType, MultiwriteNorFlash, NorFlash, NorFlashErrorKind, ReadNorFlash,
};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

/// Bytes of a page.
pub const PAGE: usize = 512;

/// Pages of flash with words of `W` bytes, and the power that is left: each byte written costs one, each erased page
/// 64. When it fails, the byte in hand has some of its bits, and a page being erased has anything.
#[derive(Debug)]
pub struct Flash<const W: usize> {
    /// What is in it.
    pub cells: Vec<u8>,
    /// How much power is left; `None`: it does not end.
    pub power: Option<usize>,
    /// How many pages were erased.
    pub erased: usize,
    rng: SmallRng,
}

impl<const W: usize> Flash<W> {
    /// So many erased pages; `seed` is for what is left to chance.
    pub fn new(pages: usize, seed: u64) -> Self {
        let rng = SmallRng::seed_from_u64(seed);
        Self { cells: vec![0xFF; pages * PAGE], power: None, erased: 0, rng }
    }

    /// Uses so much; gives how much of it there was power for.
    fn spend(&mut self, wanted: usize) -> usize {
        let given = self.power.map_or(wanted, |left| left.min(wanted));
        if let Some(left) = &mut self.power {
            *left -= given;
        }
        given
    }

    /// All of it.
    pub fn area(&self) -> std::ops::Range<u32> {
        0..u32::try_from(self.cells.len()).unwrap()
    }
}

impl<const W: usize> ErrorType for Flash<W> {
    type Error = NorFlashErrorKind;
}

impl<const W: usize> ReadNorFlash for Flash<W> {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        if self.power == Some(0) {
            return Err(NorFlashErrorKind::Other);
        }
        let cells = self.cells.get(offset as usize..).and_then(|cells| cells.get(..bytes.len()));
        bytes.copy_from_slice(cells.ok_or(NorFlashErrorKind::OutOfBounds)?);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.cells.len()
    }
}

impl<const W: usize> NorFlash for Flash<W> {
    const WRITE_SIZE: usize = W;
    const ERASE_SIZE: usize = PAGE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        const STEPS: usize = 64;
        for page in (from as usize..to as usize).step_by(PAGE) {
            let done = self.spend(STEPS);
            self.erased += 1;
            for at in page..page + PAGE {
                // Bits become 1 at any time during the erasure, each at its own.
                let erased = done == STEPS || self.rng.random_range(0..STEPS) < done;
                let some: u8 = self.rng.random();
                self.cells[at] |= if erased { 0xFF } else { some & self.rng.random::<u8>() };
            }
            if done < STEPS {
                return Err(NorFlashErrorKind::Other);
            }
        }
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        assert!((offset as usize).is_multiple_of(W) && bytes.len().is_multiple_of(W));
        let written = self.spend(bytes.len());
        let cells = &mut self.cells[offset as usize..][..bytes.len()];
        for (cell, byte) in cells.iter_mut().zip(bytes).take(written) {
            *cell &= *byte;
        }
        if let (Some(cell), Some(byte)) = (cells.get_mut(written), bytes.get(written)) {
            *cell &= byte | self.rng.random::<u8>();
            return Err(NorFlashErrorKind::Other);
        }
        Ok(())
    }
}

impl<const W: usize> MultiwriteNorFlash for Flash<W> {}
