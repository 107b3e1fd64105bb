//! How many instructions a block of Thumb code has: what time is counted in.

/// Base address of the flash.
pub(crate) const FLASH: u32 = 0x0800_0000;
/// Size of the flash, in bytes.
pub(crate) const FLASH_SIZE: usize = 1 << 20;

/// The lengths of blocks, each counted once.
pub(crate) struct Blocks {
    /// By half-word of the flash: bytes and instructions of the block that begins there, once it was met.
    known: Vec<(u16, u16)>,
}

impl Blocks {
    pub(crate) fn new() -> Self {
        Self { known: vec![(0, 0); FLASH_SIZE / 2] }
    }

    /// Instructions of the block of `size` bytes at `address`.
    pub(crate) fn instructions(&mut self, flash: &[u8], address: u64, size: u32) -> u64 {
        let offset = usize::try_from(address.wrapping_sub(FLASH.into())).unwrap_or(usize::MAX);
        let Some(known) = self.known.get_mut(offset / 2) else {
            // Code in RAM, of which this firmware has none: every instruction counted as the shortest.
            return u64::from(size / 2);
        };
        if u32::from(known.0) != size {
            let block = flash.get(offset..).unwrap_or_default();
            let block = block.get(..size as usize).unwrap_or(block);
            *known = (u16::try_from(size).unwrap_or(u16::MAX), count(block));
        }
        u64::from(known.1)
    }
}

/// Instructions of two or four bytes; the first five bits tell (Armv7-M Architecture Reference Manual, A5.1).
fn count(block: &[u8]) -> u16 {
    let (mut at, mut count) = (0, 0);
    while let Some([_, high]) = block.get(at..at + 2) {
        at += if *high >= 0b1110_1000 { 4 } else { 2 };
        count += 1;
    }
    count
}

/// Addresses of the half-words that read as `SEV`. Some may be data, which is never executed.
pub(crate) fn send_event_instructions(flash: &[u8]) -> impl Iterator<Item = u64> {
    let halves = flash.chunks_exact(2).enumerate();
    halves.filter(|(_, half)| half == &[0x40, 0xBF]).map(|(index, _)| u64::from(FLASH) + 2 * index as u64)
}

/// Addresses of the instructions that let interrupts through: `CPSIE`, and `MSR` to `PRIMASK`, `BASEPRI`, `BASEPRI_MAX`
/// or
/// `FAULTMASK`. Some may be data.
pub(crate) fn unmasking_instructions(flash: &[u8]) -> impl Iterator<Item = u64> {
    let halves = flash.chunks_exact(2).zip(flash.chunks_exact(2).skip(1)).enumerate();
    halves
        .filter(|(_, (half, next))| {
            matches!(half, [0x61..=0x63, 0xB6])
                || half[1] == 0xF3 && half[0] & 0xF0 == 0x80 && matches!(next, [0x10..=0x13, 0x88])
        })
        .map(|(index, _)| u64::from(FLASH) + 2 * index as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_instructions_are_distinguished() {
        // nop; b.n; bl (32 bit); ldr.w (32 bit); bx lr
        let code = [0, 0xBF, 0xFE, 0xE7, 0, 0xF0, 0, 0xF8, 0xD0, 0xF8, 0, 0, 0x70, 0x47];
        assert_eq!(count(&code), 5);
        let mut blocks = Blocks::new();
        assert_eq!(blocks.instructions(&code, FLASH.into(), 4), 2);
        assert_eq!(
            blocks.instructions(&code, FLASH.into(), 14),
            5,
            "a block of another length is counted anew"
        );
        assert_eq!(blocks.instructions(&code, 0x2000_0000, 8), 4);
    }

    #[test]
    fn what_unmasks_interrupts_is_found() {
        let code = [0x62, 0xB6, 0, 0xBF, 0x84, 0xF3, 0x10, 0x88, 0x72, 0xB6, 0x81, 0xF3, 0x11, 0x88];
        let base = u64::from(FLASH);
        assert_eq!(unmasking_instructions(&code).collect::<Vec<_>>(), [base, base + 4, base + 10]);
    }

    #[test]
    fn send_event_is_found() {
        assert_eq!(
            send_event_instructions(&[0, 0xBF, 0x40, 0xBF]).collect::<Vec<_>>(),
            [u64::from(FLASH) + 2]
        );
    }
}
