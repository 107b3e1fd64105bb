//! What is this board's own of the board that the application sees.

use core::cell::RefCell;

use devkit_common::board::StackBoard;
use devkit_common::system::Hardware;
use embassy_embedded_hal::adapter::BlockingAsync;
use embassy_embedded_hal::flash::partition::BlockingPartition;
use embassy_stm32::Peri;
use embassy_stm32::flash::{self, Flash};
use embassy_stm32::i2c::{I2c, Master};
use embassy_stm32::mode::Blocking;
use embassy_stm32::peripherals::{FLASH, IWDG};
use embassy_stm32::wdg::IndependentWatchdog;
use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use static_cell::StaticCell;

use crate::network::{BoardLink, BoardNetwork};
use crate::panel::BoardPanel;
use crate::port::Port;
use crate::reset;

/// Where the image begins: behind the boot loader and the original's host keys.
const IMAGE: *const u8 = 0x0800_C000 as *const u8;
/// The last flash sector, which the linker leaves alone: an additional root, and the radio's settings behind it.
const ROOT_SECTOR: *const u8 = 0x080E_0000 as *const u8;
/// Bytes of it that are looked at.
const ROOT_SECTOR_LEN: usize = 4096;

/// I2C1. A byte takes 22.5 us and a transaction a few milliseconds at most, so the driver waits for it.
pub(crate) type Bus = BlockingAsync<I2c<'static, Blocking, Master>>;

/// The sector before that one, which the linker leaves alone, too: host keys. From the flash's start.
const KEY_SECTOR: u32 = 0x000C_0000;
/// Bytes of it.
const KEY_SECTOR_LEN: u32 = 128 << 10;

/// The flash with the host keys. The processor stands still while it is written (16 us a word), and for a second or two
/// while it is erased.
pub(crate) type KeyFlash =
    BlockingAsync<BlockingPartition<'static, NoopRawMutex, Flash<'static, flash::Blocking>>>;

/// Takes the chip's flash for the host keys.
pub(crate) fn key_flash(flash: Peri<'static, FLASH>) -> KeyFlash {
    static CELL: StaticCell<Mutex<NoopRawMutex, RefCell<Flash<'static, flash::Blocking>>>> =
        StaticCell::new();
    let flash = CELL.init(Mutex::new(RefCell::new(Flash::new_blocking(flash))));
    BlockingAsync::new(BlockingPartition::new(flash, KEY_SECTOR, KEY_SECTOR_LEN))
}

/// All of the board.
pub(crate) type Az3166 = StackBoard<Bus, Port, BoardPanel, KeyFlash, Chip, BoardNetwork, BoardLink>;

/// The additional root, if the flash holds one.
pub(crate) fn extra_root() -> Option<&'static [u8]> {
    // SAFETY: flash that nothing writes to.
    devkit_common::roots::extra(unsafe { core::slice::from_raw_parts(ROOT_SECTOR, ROOT_SECTOR_LEN) })
}

/// An address of this board's own: locally administered, made of the chip's unique id (FNV-1a).
pub(crate) fn mac(unique_id: &[u8]) -> [u8; 6] {
    let hash = unique_id.iter().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3)
    });
    let mut mac = [0x02; 6];
    mac.iter_mut().skip(1).zip(hash.to_le_bytes()).for_each(|(to, from)| *to = from);
    mac
}

/// The chip: its watchdog, and its flags about the last reset.
pub(crate) struct Chip(pub(crate) IndependentWatchdog<'static, IWDG>);

impl Hardware for Chip {
    const NAME: &'static str = "Board: MXChip AZ3166";

    fn image_start(&self) -> *const u8 {
        IMAGE
    }

    fn feed_watchdog(&mut self) {
        self.0.pet();
    }

    fn was_reset_by_watchdog(&self) -> bool {
        reset::by_watchdog()
    }

    fn forget_reset(&mut self) {
        reset::forget();
    }
}
