//! A board made of its parts.

use devkit_app::{Board, Network, NetworkLink, Panel, Parts};
use embassy_time::Delay;
use embedded_hal_async::i2c::I2c;
use embedded_io_async::{Read, Write};
use embedded_storage_async::nor_flash::NorFlash;

use crate::network::{StackLink, StackNetwork};
use crate::system::{BoardSystem, Hardware};

/// A board: bus, console, panel, flash for keys, and hardware are its own; the network is everyone's, unless it has one
/// of its own, such as a radio's.
#[allow(missing_debug_implementations, reason = "hardware has nothing to print")]
pub struct StackBoard<B, C, P, F, H, N = StackNetwork<'static>, L = StackLink<'static>> {
    /// The I2C bus.
    pub bus: B,
    /// The terminal.
    pub console: C,
    /// Buttons and lamps.
    pub panel: P,
    /// The network.
    pub network: N,
    /// Its state.
    pub link: L,
    /// The flash with the host keys.
    pub key_flash: F,
    /// Image, watchdog, crash and reset.
    pub system: BoardSystem<H>,
    /// Waits on the bus's behalf.
    pub delay: Delay,
}

impl<B, C, P, F, H, N, L> Board for StackBoard<B, C, P, F, H, N, L>
where
    B: I2c,
    C: Read + Write,
    P: Panel,
    F: NorFlash,
    H: Hardware,
    N: Network,
    L: NetworkLink,
{
    type I2c = B;
    type Delay = Delay;
    type Console = C;
    type Panel = P;
    type Network = N;
    type Link = L;
    type KeyFlash = F;
    type System = BoardSystem<H>;

    fn parts(&mut self) -> Parts<'_, Self> {
        let Self { bus, delay, console, panel, network, link, key_flash, system } = self;
        Parts { i2c: bus, delay, console, panel, network, link, key_flash, system }
    }
}
