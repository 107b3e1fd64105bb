//! The board's serial flash, as far as a firmware that only reads it can tell: 2 MiB, blank until something is put
//! there.

/// Manufacturer and device of an MX25R1635F.
const IDENTITY: [u8; 3] = [0xC2, 0x28, 0x15];
const SIZE: usize = 2 << 20;

/// A serial NOR flash.
#[derive(Debug)]
pub struct SerialFlash {
    cells: Vec<u8>,
    misused: Vec<u8>,
}

impl Default for SerialFlash {
    fn default() -> Self {
        Self::new()
    }
}

impl SerialFlash {
    /// A blank one.
    #[must_use]
    pub fn new() -> Self {
        Self { cells: vec![0xFF; SIZE], misused: Vec::new() }
    }

    /// Puts bytes there, as a programmer would; what does not fit is dropped.
    pub fn load(&mut self, address: usize, bytes: &[u8]) {
        self.cells.iter_mut().skip(address).zip(bytes).for_each(|(cell, byte)| *cell = *byte);
    }

    /// Instructions that it does not have, or that came with other dummy cycles than they want.
    #[must_use]
    pub fn misused(&self) -> &[u8] {
        &self.misused
    }

    /// What comes back for an instruction, an address and so many dummy cycles, until the controller has enough.
    /// Addresses wrap around; nothing comes back for an instruction it does not have.
    pub fn answer(
        &mut self,
        instruction: u8,
        address: u32,
        dummy_cycles: u32,
    ) -> impl Iterator<Item = u8> + '_ {
        let wanted = match instruction {
            // Identity, status, read.
            0x9F | 0x05 | 0x03 => Some(0),
            // Fast reads with one, two, four data lines.
            0x0B | 0x3B | 0x6B => Some(8),
            _ => None,
        };
        if wanted != Some(dummy_cycles) {
            self.misused.push(instruction);
        }
        let start = address as usize;
        (0..).map(move |at: usize| match instruction {
            _ if wanted != Some(dummy_cycles) => 0xFF,
            0x9F => IDENTITY.get(at % 3).copied().unwrap_or(0xFF),
            0x05 => 0,
            _ => self.cells.get((start + at) % SIZE).copied().unwrap_or(0xFF),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::SerialFlash;

    #[test]
    fn it_reads_from_an_address_on() {
        let mut flash = SerialFlash::new();
        flash.load(0x2000, b"firmware");
        let mut take = |instruction, address, dummies| -> Vec<u8> {
            flash.answer(instruction, address, dummies).take(4).collect()
        };
        assert_eq!(take(0x9F, 0, 0), [0xC2, 0x28, 0x15, 0xC2]);
        assert_eq!(take(0x05, 0, 0), [0; 4]);
        for (instruction, dummies) in [(0x03, 0), (0x0B, 8), (0x3B, 8), (0x6B, 8)] {
            assert_eq!(take(instruction, 0x2002, dummies), *b"rmwa");
        }
        assert_eq!(take(0x03, 0x1F_FFFE, 0), [0xFF; 4], "around");
        assert_eq!((take(0x0B, 0x2000, 0), take(0x20, 0x2000, 0)), (vec![0xFF; 4], vec![0xFF; 4]));
        assert_eq!(flash.misused(), [0x0B, 0x20]);
    }
}
