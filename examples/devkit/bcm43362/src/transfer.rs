//! Frames over function 2, and what interrupts say.

use embedded_hal_async::delay::DelayNs;

use crate::backplane::Backplane;
use crate::bus::SdioBus;
use crate::card::BLOCK;
use crate::command::{Function, Size};
use crate::error::BusError;
use crate::registers::backplane::FRAME_CONTROL;
use crate::registers::{backplane, card, chip};
use crate::sdpcm::Announced;

/// Bytes of a frame's first read.
const FIRST: usize = 4;
/// Attempts to send a frame.
const ATTEMPTS: u32 = 3;
/// Polls of a counter that has to run down after a transfer was aborted.
const DRAIN_POLLS: u32 = 100;

/// What came of an attempt to read a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// There is none.
    Nothing,
    /// A frame of so many bytes is in the buffer.
    Frame(usize),
    /// Something was there, and was not taken: too long, or damaged on the way.
    Dropped,
}

/// The transfer of so many bytes of a frame: what is longer than half a block goes in whole blocks, the rest in powers
/// of two, which every controller can do. What is too much is padding.
pub(crate) fn padded(len: usize) -> Size {
    let block = usize::from(BLOCK);
    if len > block / 2 {
        Size::Blocks { count: u16::try_from(len.div_ceil(block)).unwrap_or(u16::MAX), size: BLOCK }
    } else {
        Size::Bytes(u16::try_from(len.max(FIRST).next_power_of_two()).unwrap_or(BLOCK))
    }
}

impl<B: SdioBus, D: DelayNs> Backplane<B, D> {
    /// Lets the radio interrupt when it has a frame.
    pub(crate) async fn enable_interrupts(&mut self, out_of_band: bool) -> Result<(), BusError<B::Error>> {
        self.card.put(Function::Card, card::INTERRUPT_ENABLE, card::INTERRUPT_WLAN).await?;
        let pin = if out_of_band { card::PIN_ENABLE_HIGH } else { 0 };
        self.card.put(Function::Card, card::INTERRUPT_PIN, pin).await?;
        self.put(chip::SDIO_CORE + chip::INTERRUPT_MASK, chip::INTERRUPTS).await?;
        self.put(chip::SDIO_CORE + chip::FUNCTION_MASK, chip::FUNCTION_WLAN).await
    }

    /// Takes back what the radio has to say besides frames. Gives whether its firmware has stopped.
    pub(crate) async fn acknowledge(&mut self) -> Result<bool, BusError<B::Error>> {
        let status = self.get(chip::SDIO_CORE + chip::INTERRUPT_STATUS).await? & chip::INTERRUPTS;
        if status == 0 {
            return Ok(false);
        }
        self.put(chip::SDIO_CORE + chip::INTERRUPT_STATUS, status).await?;
        if status & chip::INTERRUPT_MAILBOX == 0 {
            return Ok(false);
        }
        let message = self.get(chip::SDIO_CORE + chip::MAILBOX_DATA).await?;
        self.put(chip::SDIO_CORE + chip::MAILBOX, chip::MAILBOX_ACKNOWLEDGE).await?;
        Ok(message & chip::FIRMWARE_HALTED != 0)
    }

    /// Asks the radio to look whether it has something, a credit most of all.
    pub(crate) async fn poke(&mut self) -> Result<(), BusError<B::Error>> {
        self.put(chip::SDIO_CORE + chip::MAILBOX, chip::MAILBOX_POKE).await
    }

    /// Reads the next frame, if there is one.
    pub(crate) async fn read_frame(&mut self, buf: &mut [u8]) -> Result<Read, BusError<B::Error>> {
        let Some((first, rest)) = buf.split_first_chunk_mut::<FIRST>() else { return Ok(Read::Nothing) };
        if !self.card.try_read(Function::Wlan, padded(FIRST), first).await? {
            return self.drop_frame(true).await;
        }
        let len = match Announced::parse(*first) {
            Announced::Nothing => return Ok(Read::Nothing),
            Announced::Nonsense => return self.drop_frame(false).await,
            Announced::Frame(len) => usize::from(len),
        };
        let size = padded(len - FIRST);
        let Some(rest) = rest.get_mut(..size.bytes()) else { return self.drop_frame(false).await };
        if !self.card.try_read(Function::Wlan, size, rest).await? {
            return self.drop_frame(true).await;
        }
        Ok(Read::Frame(len))
    }

    /// Makes the card forget the frame that is being read, or to send it again.
    async fn drop_frame(&mut self, again: bool) -> Result<Read, BusError<B::Error>> {
        self.card.put(Function::Card, card::IO_ABORT, Function::Wlan as u8).await?;
        self.card.put(Function::Backplane, FRAME_CONTROL, backplane::END_READ).await?;
        self.drain(backplane::READ_COUNT).await?;
        if again {
            self.put(chip::SDIO_CORE + chip::MAILBOX, chip::MAILBOX_NAK).await?;
        }
        Ok(Read::Dropped)
    }

    /// Waits until nothing is left of a transfer that was aborted; for a card that does not get there, not for long.
    async fn drain(&mut self, counter: u32) -> Result<(), BusError<B::Error>> {
        for _ in 0..DRAIN_POLLS {
            let low = self.card.get(Function::Backplane, counter).await?;
            if low == 0 && self.card.get(Function::Backplane, counter + 1).await? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Sends a frame that is in a buffer with room for its padding. Gives whether it got there.
    pub(crate) async fn write_frame(&mut self, buf: &[u8], len: usize) -> Result<bool, BusError<B::Error>> {
        let size = padded(len);
        let Some(frame) = buf.get(..size.bytes()) else { return Ok(false) };
        for _ in 0..ATTEMPTS {
            if self.card.try_write(Function::Wlan, size, frame).await? {
                return Ok(true);
            }
            self.card.put(Function::Card, card::IO_ABORT, Function::Wlan as u8).await?;
            self.card.put(Function::Backplane, FRAME_CONTROL, backplane::END_WRITE).await?;
            self.drain(backplane::WRITE_COUNT).await?;
        }
        Ok(false)
    }
}
