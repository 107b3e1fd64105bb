//! The board as the application sees it.

use core::cell::RefCell;

use devkit_app::board::Crash;
use devkit_app::{Board, Parts, System};
use devkit_common::network::{NetworkLink, StackNetwork};
use devkit_common::random::RANDOM;
use devkit_common::{crash, fault, image};
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
use embassy_time::Delay;
use static_cell::StaticCell;

use crate::panel::BoardPanel;
use crate::port::Port;
use crate::reset;

/// Where the image begins: behind the boot loader and the original's host keys.
const IMAGE: *const u8 = 0x0800_C000 as *const u8;
/// The last flash sector, which the linker leaves alone: an additional root.
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
pub(crate) struct Az3166 {
    pub(crate) bus: Bus,
    pub(crate) delay: Delay,
    pub(crate) console: Port,
    pub(crate) panel: BoardPanel,
    pub(crate) network: StackNetwork<'static>,
    pub(crate) link: NetworkLink<'static>,
    pub(crate) key_flash: KeyFlash,
    pub(crate) system: Az3166System,
}

impl Board for Az3166 {
    type I2c = Bus;
    type Delay = Delay;
    type Console = Port;
    type Panel = BoardPanel;
    type Network = StackNetwork<'static>;
    type Link = NetworkLink<'static>;
    type KeyFlash = KeyFlash;
    type System = Az3166System;

    fn parts(&mut self) -> Parts<'_, Self> {
        let Self { bus, delay, console, panel, network, link, key_flash, system } = self;
        Parts { i2c: bus, delay, console, panel, network, link, key_flash, system }
    }
}

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

/// Flash, watchdog and reset.
pub(crate) struct Az3166System {
    pub(crate) mac: [u8; 6],
    pub(crate) watchdog: IndependentWatchdog<'static, IWDG>,
}

impl System for Az3166System {
    fn image(&self) -> &[u8] {
        // SAFETY: the image's own bytes in flash, which nothing writes to.
        unsafe { core::slice::from_raw_parts(IMAGE, image::length()) }
    }

    #[allow(clippy::unnecessary_literal_bound, reason = "the trait's signature")]
    fn firmware_version(&self) -> &str {
        env!("CARGO_PKG_VERSION")
    }

    fn versions(&self) -> &[&str] {
        &["Board: MXChip AZ3166"]
    }

    fn mac(&self) -> [u8; 6] {
        self.mac
    }

    fn random(&mut self) -> u32 {
        // Before there is a seed, there is no network to spread load on.
        RANDOM.next_u32().unwrap_or_default()
    }

    fn crash(&self) -> Option<Crash> {
        let mut text = [0; crash::MAX_LEN];
        let kept = fault::last(&mut text);
        let cause = kept.or_else(|| reset::by_watchdog().then_some("watchdog: a task made no progress"))?;
        Crash::try_from(cause).ok()
    }

    fn forget_crash(&mut self) {
        fault::forget();
        reset::forget();
    }

    fn feed_watchdog(&mut self) {
        self.watchdog.pet();
    }

    fn reset(&mut self) {
        cortex_m::peripheral::SCB::sys_reset();
    }
}
