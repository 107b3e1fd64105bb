//! The parts of a board's `System` that are the same on all of them: version, crash, random numbers, reset.

use azure_iot_embassy::random::RANDOM;
use devkit_app::System;
use devkit_app::board::Crash;

use crate::{crash, fault, image};

/// What differs between boards.
pub trait Hardware {
    /// A line for the console's `version`.
    const NAME: &'static str;

    /// Where the image begins, as memory that can be read.
    fn image_start(&self) -> *const u8;

    /// The watchdog has its food.
    fn feed_watchdog(&mut self);

    /// Whether the watchdog has reset the board, where that is told by the chip and not by a record of this crate.
    fn was_reset_by_watchdog(&self) -> bool {
        false
    }

    /// Forgets that it has.
    fn forget_reset(&mut self) {}
}

/// Image, watchdog, crash and reset, on this hardware.
#[derive(Debug)]
pub struct BoardSystem<H> {
    hardware: H,
    mac: [u8; 6],
    version: &'static str,
    lines: [&'static str; 1],
}

impl<H: Hardware> BoardSystem<H> {
    /// On this hardware, with its address, and the firmware's version.
    ///
    /// # Safety
    /// The hardware's image must be flash that nothing writes to, as long as it lies behind [`Hardware::image_start`]
    /// in the linked program.
    pub unsafe fn new(hardware: H, mac: [u8; 6], version: &'static str) -> Self {
        Self { hardware, mac, version, lines: [H::NAME] }
    }
}

impl<H: Hardware> System for BoardSystem<H> {
    fn image(&self) -> &[u8] {
        // SAFETY: as `new` was promised.
        unsafe { core::slice::from_raw_parts(self.hardware.image_start(), image::length()) }
    }

    fn firmware_version(&self) -> &str {
        self.version
    }

    fn versions(&self) -> &[&str] {
        &self.lines
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
        let by_watchdog =
            || self.hardware.was_reset_by_watchdog().then_some("watchdog: a task made no progress");
        fault::last(&mut text).or_else(by_watchdog).and_then(|cause| Crash::try_from(cause).ok())
    }

    fn forget_crash(&mut self) {
        fault::forget();
        self.hardware.forget_reset();
    }

    fn feed_watchdog(&mut self) {
        self.hardware.feed_watchdog();
    }

    fn reset(&mut self) {
        cortex_m::peripheral::SCB::sys_reset();
    }
}
