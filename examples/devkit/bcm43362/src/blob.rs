//! The radio's firmware, where the board keeps it: raw, from the start of a region, followed by blank words.

use core::fmt::Debug;

use crate::error::Error;

/// A word of erased flash.
const BLANK: [u8; 4] = [0xFF; 4];
/// Bytes looked at in one read.
const STEP: usize = 256;

/// What holds the firmware: on the AZ3166 the QSPI flash.
#[allow(async_fn_in_trait, reason = "used on single-core executors only")]
pub trait BlobSource {
    /// Why a read failed.
    type Error: Debug;

    /// Reads `out` from `address` of the flash.
    ///
    /// # Errors
    /// The source's own.
    async fn read(&mut self, address: u32, out: &mut [u8]) -> Result<(), Self::Error>;
}

/// Where in its source a firmware may lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// The first address.
    pub address: u32,
    /// Bytes.
    pub len: u32,
}

impl Region {
    /// In the AZ3166's QSPI flash.
    pub const AZ3166: Self = Self { address: 0x2000, len: 0x6_E000 };

    /// Bytes of the firmware in this region, a multiple of 4: it ends before the blank words at the region's end. A
    /// firmware that itself ends with blank words is taken without them.
    pub(crate) async fn used<B, S: BlobSource>(self, source: &mut S) -> Result<u32, Error<B, S::Error>> {
        let mut buf = [0; STEP];
        let mut end = self.len - self.len % 4;
        while end > 0 {
            // At most STEP.
            let step = (end as usize).min(STEP);
            let piece = buf.get_mut(..step).unwrap_or_default();
            end = end.saturating_sub(u32::try_from(step).unwrap_or(u32::MAX));
            source.read(self.address.saturating_add(end), piece).await.map_err(Error::Source)?;
            if let Some(used) = used(piece) {
                return Ok(end + used);
            }
        }
        Err(Error::NoFirmware)
    }
}

/// Bytes up to the last word that is not blank; `None` if all are.
fn used(piece: &[u8]) -> Option<u32> {
    let last = piece.chunks_exact(4).rposition(|word| word != BLANK)?;
    u32::try_from(4 * (last + 1)).ok()
}

#[cfg(test)]
mod tests {
    use core::convert::Infallible;
    use std::vec;
    use std::vec::Vec;

    use embassy_futures::block_on;

    use super::{BlobSource, Region};
    use crate::error::Error;

    struct Flash(Vec<u8>);

    impl BlobSource for Flash {
        type Error = Infallible;

        async fn read(&mut self, address: u32, out: &mut [u8]) -> Result<(), Infallible> {
            let address = address as usize;
            out.copy_from_slice(&self.0[address..address + out.len()]);
            Ok(())
        }
    }

    fn used(len: usize, last: u8, region: u32) -> Result<u32, Error<(), Infallible>> {
        let mut flash = vec![0xFF; 0x3000];
        flash[0x1000..0x1000 + len].fill(0x5A);
        if let Some(at) = len.checked_sub(1) {
            flash[0x1000 + at] = last;
        }
        block_on(Region { address: 0x1000, len: region }.used(&mut Flash(flash)))
    }

    #[test]
    fn the_firmware_ends_before_the_blank_words() {
        for (len, expected) in
            [(1, 4), (4, 4), (5, 8), (255, 256), (256, 256), (257, 260), (0x0FFC, 0x0FFC), (0x1000, 0x1000)]
        {
            assert_eq!(used(len, 1, 0x1000), Ok(expected), "{len}");
        }
        // A byte of 0xFF in a word that is not blank belongs to it.
        assert_eq!(used(7, 0xFF, 0x1000), Ok(8));
        assert_eq!(used(0, 0, 0x1000), Err(Error::NoFirmware));
        assert_eq!(used(0, 0, 0), Err(Error::NoFirmware));
        // A region that is no multiple of words is not read beyond its end.
        assert_eq!(used(0x1000, 1, 0x802), Ok(0x800));
    }
}
