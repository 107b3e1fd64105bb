//! The serial flash at the QUADSPI (RM0402 §12): one data line, which every such memory understands.

use bcm43362::BlobSource;
use stm32_metapac::gpio::vals::Pupdr;
use stm32_metapac::{GPIOA, GPIOB, GPIOC, QUADSPI, RCC};

use crate::pins::{assign, enable_ports};

/// Fast read: a 24-bit address, then eight dummy cycles.
const FAST_READ: u8 = 0x0B;
const DUMMY_CYCLES: u8 = 8;
/// One line; three bytes; indirect read.
const ONE_LINE: u8 = 1;
const THREE_BYTES: u8 = 2;
const INDIRECT_READ: u8 = 1;
/// Divides 96 MHz by 4.
const PRESCALER: u8 = 3;
/// 2 MiB: a power of two, less one.
const SIZE: u8 = 20;
/// Polls for a word: far more than its 32 clocks take.
const POLLS: u32 = 100_000;

/// The controller did not deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlashTimeout;

impl core::fmt::Display for FlashTimeout {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the flash does not answer")
    }
}

impl core::error::Error for FlashTimeout {}

/// The board's serial flash, to read from.
#[derive(Debug)]
pub struct QspiFlash(());

impl QspiFlash {
    /// Sets the controller and its pins up. Nothing else may use them.
    #[must_use]
    pub fn new() -> Self {
        enable_ports();
        RCC.ahb3enr().modify(|register| register.set_quadspien(true));
        assign(GPIOC, 11, 9, Pupdr::FLOATING);
        assign(GPIOB, 1, 9, Pupdr::FLOATING);
        assign(GPIOA, 6, 10, Pupdr::FLOATING);
        assign(GPIOA, 7, 10, Pupdr::FLOATING);
        // Held high, as long as no quad read takes them: write protection and hold.
        assign(GPIOC, 4, 10, Pupdr::PULL_UP);
        assign(GPIOC, 5, 10, Pupdr::PULL_UP);
        QUADSPI.dcr().write(|register| {
            register.set_fsize(SIZE);
            register.set_csht(3);
        });
        QUADSPI.cr().write(|register| {
            register.set_prescaler(PRESCALER);
            register.set_fthres(3);
            // The second bank's pins.
            register.set_fsel(true);
            register.set_en(true);
        });
        Self(())
    }
}

impl Default for QspiFlash {
    fn default() -> Self {
        Self::new()
    }
}

impl BlobSource for QspiFlash {
    type Error = FlashTimeout;

    async fn read(&mut self, address: u32, out: &mut [u8]) -> Result<(), FlashTimeout> {
        if out.is_empty() {
            return Ok(());
        }
        QUADSPI.fcr().write(|register| register.set_ctcf(true));
        // Whole words, so that the FIFO is always read by words.
        let len = out.len().next_multiple_of(4);
        QUADSPI.dlr().write(|register| register.set_dl(u32::try_from(len - 1).unwrap_or(u32::MAX)));
        QUADSPI.ccr().write(|register| {
            register.set_instruction(FAST_READ);
            register.set_imode(ONE_LINE);
            register.set_admode(ONE_LINE);
            register.set_adsize(THREE_BYTES);
            register.set_dcyc(DUMMY_CYCLES);
            register.set_dmode(ONE_LINE);
            register.set_fmode(INDIRECT_READ);
        });
        QUADSPI.ar().write(|register| register.set_address(address));
        for piece in out.chunks_mut(4) {
            let mut polls = POLLS;
            while !QUADSPI.sr().read().ftf() {
                polls = polls.checked_sub(1).ok_or(FlashTimeout)?;
            }
            let word = QUADSPI.dr().read().data().to_le_bytes();
            piece.iter_mut().zip(word).for_each(|(to, from)| *to = from);
        }
        Ok(())
    }
}
