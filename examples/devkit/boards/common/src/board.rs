//! A board made of its parts.

use devkit_app::{Board, Panel, Parts};
use embassy_time::Delay;
use embedded_hal_async::i2c::I2c;
use embedded_io_async::{Read, Write};
use embedded_storage_async::nor_flash::NorFlash;

use crate::network::{NetworkLink, StackNetwork};
use crate::system::{BoardSystem, Hardware};

/// A board: bus, console, panel, flash for keys, and hardware are its own; the network is everyone's.
#[allow(missing_debug_implementations, reason = "hardware has nothing to print")]
pub struct StackBoard<B, C, P, F, H> {
    /// The I2C bus.
    pub bus: B,
    /// The terminal.
    pub console: C,
    /// Buttons and lamps.
    pub panel: P,
    /// The way to the world.
    pub network: StackNetwork<'static>,
    /// Its state.
    pub link: NetworkLink<'static>,
    /// The flash with the host keys.
    pub key_flash: F,
    /// Image, watchdog, crash and reset.
    pub system: BoardSystem<H>,
    /// Waits on the bus's behalf.
    pub delay: Delay,
}

impl<B: I2c, C: Read + Write, P: Panel, F: NorFlash, H: Hardware> Board for StackBoard<B, C, P, F, H> {
    type I2c = B;
    type Delay = Delay;
    type Console = C;
    type Panel = P;
    type Network = StackNetwork<'static>;
    type Link = NetworkLink<'static>;
    type KeyFlash = F;
    type System = BoardSystem<H>;

    fn parts(&mut self) -> Parts<'_, Self> {
        let Self { bus, delay, console, panel, network, link, key_flash, system } = self;
        Parts { i2c: bus, delay, console, panel, network, link, key_flash, system }
    }
}
