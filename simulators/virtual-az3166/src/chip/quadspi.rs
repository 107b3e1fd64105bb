//! The QUADSPI controller (RM0402 §12) in indirect read mode, with the board's serial flash behind it. The transfer
//! itself takes no time.

use std::collections::VecDeque;
use std::sync::PoisonError;

use peripherals::{SerialFlash, Shared};

const CR: u32 = 0x00;
const DCR: u32 = 0x04;
const SR: u32 = 0x08;
const FCR: u32 = 0x0C;
const DLR: u32 = 0x10;
const CCR: u32 = 0x14;
const AR: u32 = 0x18;
const DR: u32 = 0x20;

const ENABLE: u32 = 1;
const ABORT: u32 = 1 << 1;
const TCF: u32 = 1 << 1;
const FTF: u32 = 1 << 2;
const BUSY: u32 = 1 << 5;
/// In CCR.
const ADDRESS_LINES: u32 = 3 << 10;
/// Bytes of the FIFO.
const FIFO: usize = 32;

/// The controller.
pub(crate) struct Quadspi {
    flash: Shared<SerialFlash>,
    cr: u32,
    dcr: u32,
    dlr: u32,
    ccr: u32,
    ar: u32,
    complete: bool,
    /// What is still to be read.
    incoming: VecDeque<u8>,
}

impl Quadspi {
    pub(crate) fn new(flash: Shared<SerialFlash>) -> Self {
        Self { flash, cr: 0, dcr: 0, dlr: 0, ccr: 0, ar: 0, complete: false, incoming: VecDeque::new() }
    }

    pub(crate) fn reset(&mut self) {
        *self = Self::new(self.flash.clone());
    }

    pub(crate) fn read(&mut self, offset: u32) -> u32 {
        match offset {
            CR => self.cr,
            DCR => self.dcr,
            SR => self.status(),
            DLR => self.dlr,
            CCR => self.ccr,
            AR => self.ar,
            DR => {
                let mut word = [0; 4];
                for byte in &mut word {
                    *byte = self.incoming.pop_front().unwrap_or_default();
                }
                u32::from_le_bytes(word)
            }
            _ => 0,
        }
    }

    pub(crate) fn write(&mut self, offset: u32, value: u32) {
        match offset {
            CR => {
                self.cr = value & !ABORT;
                if value & ABORT != 0 {
                    self.incoming.clear();
                    self.complete = true;
                }
            }
            FCR => self.complete &= value & TCF == 0,
            // Configuration cannot be changed while a transfer is going on.
            _ if !self.incoming.is_empty() => {}
            DCR => self.dcr = value,
            DLR => self.dlr = value,
            CCR => {
                self.ccr = value;
                if !self.has_address() {
                    self.start();
                }
            }
            AR => {
                self.ar = value;
                if self.has_address() {
                    self.start();
                }
            }
            _ => {}
        }
    }

    /// Whether an instruction is followed by an address; then it begins with that.
    fn has_address(&self) -> bool {
        self.ccr & ADDRESS_LINES != 0
    }

    fn status(&self) -> u32 {
        let level = self.incoming.len().min(FIFO);
        let threshold = (self.cr >> 8 & 0x1F) as usize + 1;
        let ready = level >= threshold || self.complete && level > 0;
        let flags = [(self.complete, TCF), (ready, FTF), (!self.incoming.is_empty(), BUSY)];
        let flags = flags.into_iter().filter(|(set, _)| *set).map(|(_, flag)| flag);
        flags.fold(0, |status, flag| status | flag) | u32::try_from(level).unwrap_or_default() << 8
    }

    /// Reads into the FIFO as much as was asked for, if the controller is on and in that mode.
    fn start(&mut self) {
        let reads = self.ccr >> 26 & 3 == 1 && self.ccr >> 24 & 3 != 0;
        let is_second_bank = self.cr & 1 << 7 != 0;
        if self.cr & ENABLE == 0 || !reads {
            return;
        }
        let len = self.dlr as usize + 1;
        let [instruction, ..] = self.ccr.to_le_bytes();
        let mut flash = self.flash.lock().unwrap_or_else(PoisonError::into_inner);
        self.incoming = if is_second_bank {
            flash.answer(instruction, self.ar, self.ccr >> 18 & 0x1F).take(len).collect()
        } else {
            // Nothing is connected to the first one.
            std::iter::repeat_n(0xFF, len).collect()
        };
        self.complete = true;
    }
}

#[cfg(test)]
mod tests {
    use peripherals::shared;

    use super::*;

    fn read(spi: &mut Quadspi, ccr: u32, address: u32, len: u32) -> Vec<u32> {
        spi.write(FCR, TCF);
        spi.write(DLR, len - 1);
        spi.write(CCR, ccr);
        spi.write(AR, address);
        assert_eq!(spi.read(SR) & (TCF | FTF | BUSY), TCF | FTF | BUSY);
        let words = (0..len.div_ceil(4)).map(|_| spi.read(DR)).collect();
        assert_eq!(spi.read(SR) & (FTF | BUSY), 0);
        words
    }

    #[test]
    fn the_flash_is_at_the_second_bank() {
        let flash = shared(SerialFlash::new());
        flash.lock().unwrap().load(0x2000, &[1, 2, 3, 4, 5, 6, 7, 8]);
        let mut spi = Quadspi::new(flash);
        // Fast read, 24 bits of address, 8 dummies, everything on one line.
        let ccr = 1 << 26 | 1 << 24 | 8 << 18 | 2 << 12 | 1 << 10 | 1 << 8 | 0x0B;
        spi.write(CCR, ccr);
        spi.write(AR, 0x2000);
        assert_eq!(spi.read(SR), 0, "switched off");
        spi.write(CR, ENABLE);
        assert_eq!(read(&mut spi, ccr, 0x2000, 8), [u32::MAX; 2]);
        spi.write(CR, ENABLE | 1 << 7);
        assert_eq!(read(&mut spi, ccr, 0x2000, 8), [0x0403_0201, 0x0807_0605]);
        // An identification has no address: it begins with the instruction.
        spi.write(DLR, 2);
        spi.write(CCR, 1 << 26 | 1 << 24 | 1 << 8 | 0x9F);
        assert_eq!(spi.read(SR) >> 8 & 0x3F, 3);
        spi.write(CR, ENABLE | ABORT | 1 << 7);
        assert_eq!(spi.read(SR), TCF);
    }
}
