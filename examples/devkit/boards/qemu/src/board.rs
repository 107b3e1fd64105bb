//! The board as the application sees it.

use devkit_app::board::Crash;
use devkit_app::{Board, Parts, System};
use devkit_common::network::{NetworkLink, StackNetwork};
use devkit_common::random::RANDOM;
use devkit_common::{crash, fault, image};
use embassy_time::Delay;

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
pub(crate) struct Qemu {
    pub(crate) bus: Bus,
    pub(crate) delay: Delay,
    pub(crate) console: Console,
    pub(crate) panel: BridgePanel,
    pub(crate) network: StackNetwork<'static>,
    pub(crate) link: NetworkLink<'static>,
    pub(crate) key_flash: BridgeFlash,
    pub(crate) system: QemuSystem,
}

impl Board for Qemu {
    type I2c = Bus;
    type Delay = Delay;
    type Console = Console;
    type Panel = BridgePanel;
    type Network = StackNetwork<'static>;
    type Link = NetworkLink<'static>;
    type KeyFlash = BridgeFlash;
    type System = QemuSystem;

    fn parts(&mut self) -> Parts<'_, Self> {
        let Self { bus, delay, console, panel, network, link, key_flash, system } = self;
        Parts { i2c: bus, delay, console, panel, network, link, key_flash, system }
    }
}

/// The additional root, if the flash holds one.
pub(crate) fn extra_root() -> Option<&'static [u8]> {
    // SAFETY: memory of the board that nothing writes to.
    devkit_common::roots::extra(unsafe { core::slice::from_raw_parts(ROOT_SECTOR, ROOT_SECTOR_LEN) })
}

/// Flash, watchdog and reset.
pub(crate) struct QemuSystem {
    pub(crate) mac: [u8; 6],
}

impl System for QemuSystem {
    fn image(&self) -> &[u8] {
        // SAFETY: the image's own bytes, which nothing writes to.
        unsafe { core::slice::from_raw_parts(FLASH, image::length()) }
    }

    fn firmware_version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    fn versions(&self) -> &[&str] {
        &["Board: QEMU mps2-an386"]
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
        fault::last(&mut text).and_then(|cause| Crash::try_from(cause).ok())
    }

    fn forget_crash(&mut self) {
        fault::forget();
    }

    fn feed_watchdog(&mut self) {
        watchdog::feed();
    }

    fn reset(&mut self) {
        cortex_m::peripheral::SCB::sys_reset();
    }
}
