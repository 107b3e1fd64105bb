//! What is this board's own of the board that the application sees.

use devkit_common::board::StackBoard;
use devkit_common::system::Hardware;

use crate::bridge::{BridgeFlash, BridgePanel, Bus};
use crate::uart::Console;
use crate::watchdog;

/// The same memory as at address 0, where a Rust reference may point to (application note AN386, §3.1: ZBT SSRAM1
/// appears twice).
const FLASH: *const u8 = 0x0040_0000 as *const u8;
/// The last flash sector, which the linker leaves alone: an additional root.
const ROOT_SECTOR: *const u8 = FLASH.wrapping_add(0x000E_0000);
/// Bytes of it that are looked at.
const ROOT_SECTOR_LEN: usize = 4096;

/// All of the board.
pub(crate) type Qemu = StackBoard<Bus, Console, BridgePanel, BridgeFlash, Emulated>;

/// The additional root, if the flash holds one.
pub(crate) fn extra_root() -> Option<&'static [u8]> {
    // SAFETY: memory of the board that nothing writes to.
    devkit_common::roots::extra(unsafe { core::slice::from_raw_parts(ROOT_SECTOR, ROOT_SECTOR_LEN) })
}

/// The emulated hardware. Its watchdog leaves a record of its own, as faults do.
#[derive(Debug)]
pub(crate) struct Emulated;

impl Hardware for Emulated {
    const NAME: &'static str = "Board: QEMU mps2-an386";

    fn image_start(&self) -> *const u8 {
        FLASH
    }

    fn feed_watchdog(&mut self) {
        watchdog::feed();
    }
}
