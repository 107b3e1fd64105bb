//! The chip's address space, seen through a window of 32 KiB.

use embedded_hal_async::delay::DelayNs;

use crate::bus::SdioBus;
use crate::card::Card;
use crate::command::Function;
use crate::error::BusError;
use crate::registers::backplane::{ACCESS_32, WINDOW, WINDOW_ADDRESS};

/// A card with its window.
#[derive(Debug)]
pub(crate) struct Backplane<B, D> {
    pub(crate) card: Card<B, D>,
    /// Where the window is, once it was set.
    window: Option<u32>,
}

impl<B, D> Backplane<B, D> {
    pub(crate) fn new(card: Card<B, D>) -> Self {
        Self { card, window: None }
    }
}

impl<B: SdioBus, D: DelayNs> Backplane<B, D> {
    /// Moves the window over an address, and gives the address in the function.
    async fn reach(&mut self, address: u32) -> Result<u32, BusError<B::Error>> {
        let base = address & !(WINDOW - 1);
        if self.window != Some(base) {
            // Half moved, it is nowhere.
            self.window = None;
            let [_, low, middle, high] = base.to_le_bytes();
            for (register, byte) in (WINDOW_ADDRESS..).zip([low, middle, high]) {
                self.card.put(Function::Backplane, register, byte).await?;
            }
            self.window = Some(base);
        }
        Ok((address - base) | ACCESS_32)
    }

    pub(crate) async fn get(&mut self, address: u32) -> Result<u32, BusError<B::Error>> {
        let mut bytes = [0; 4];
        self.read(address, &mut bytes).await?;
        Ok(u32::from_le_bytes(bytes))
    }

    pub(crate) async fn put(&mut self, address: u32, value: u32) -> Result<(), BusError<B::Error>> {
        self.write(address, &value.to_le_bytes()).await
    }

    /// Reads from the chip's memory.
    pub(crate) async fn read(
        &mut self,
        mut address: u32,
        mut out: &mut [u8],
    ) -> Result<(), BusError<B::Error>> {
        while !out.is_empty() {
            let at = self.reach(address).await?;
            let (piece, rest) = out.split_at_mut(room(address).min(out.len()));
            self.card.read(Function::Backplane, at, piece).await?;
            address = address.wrapping_add(room_u32(address));
            out = rest;
        }
        Ok(())
    }

    /// Writes to the chip's memory.
    pub(crate) async fn write(
        &mut self,
        mut address: u32,
        mut data: &[u8],
    ) -> Result<(), BusError<B::Error>> {
        while !data.is_empty() {
            let at = self.reach(address).await?;
            let (piece, rest) = data.split_at(room(address).min(data.len()));
            self.card.write(Function::Backplane, at, piece).await?;
            address = address.wrapping_add(room_u32(address));
            data = rest;
        }
        Ok(())
    }
}

/// Bytes from an address to the end of its window.
const fn room_u32(address: u32) -> u32 {
    WINDOW - address % WINDOW
}

const fn room(address: u32) -> usize {
    room_u32(address) as usize
}
