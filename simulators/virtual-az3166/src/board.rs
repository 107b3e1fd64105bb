//! The board: power, flash contents, the lines to the outside, and what its user does and sees.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use peripherals::DevKit;
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

use crate::blocks::{FLASH, FLASH_SIZE};
use crate::chip::{Chip, ResetCause};
use crate::cpu::{Cpu, RAM, RAM_SIZE};
use crate::time::{Cycles, cycles, duration};

/// Where the flash begins.
pub const FLASH_ADDRESS: u32 = FLASH;
/// Where the application image lies in flash: behind the boot loader and the sector with the original's host keys.
pub const IMAGE_ADDRESS: u32 = 0x0800_C000;
/// The longest image, in bytes.
pub const MAX_IMAGE: usize = (KEY_ADDRESS - IMAGE_ADDRESS) as usize;
/// Where the firmware keeps the host keys of the secure element.
pub const KEY_ADDRESS: u32 = 0x080C_0000;
/// Bytes of that sector.
pub const KEY_SECTOR_LEN: usize = 128 << 10;
/// Where the firmware looks for an additional root.
pub const ROOT_ADDRESS: u32 = 0x080E_0000;
/// Where the firmware looks for the radio's settings.
pub const SETTINGS_ADDRESS: u32 = 0x080F_0000;
/// RAM the boot loader runs in: what a firmware keeps there does not survive a reset.
const BOOT_LOADER_RAM: usize = 32 << 10;

/// Time between two characters that a user types.
const TYPING: Duration = Duration::from_millis(2);

/// A simulated AZ3166.
///
/// A run is a function of the image, the state of the secure element, the seed, and what is done to the board at which
/// [time](Self::now).
pub struct VirtualBoard {
    cpu: Cpu,
    parts: DevKit,
    /// What is random about the hardware: memory when the power comes.
    noise: SmallRng,
    unique_id: [u8; 12],
    resets: Vec<(Cycles, ResetCause)>,
    powered: bool,
    cut_at: Option<Cycles>,
}

impl VirtualBoard {
    /// A board with this application image in its flash, behind the boot loader, and these parts around its
    /// microcontroller. The power is off.
    ///
    /// # Errors
    /// The image is no image for the flash at [`IMAGE_ADDRESS`]: the boot loader would not start it.
    pub fn new(image: &[u8], mut parts: DevKit, seed: u64) -> Result<Self> {
        ensure!(image.len() <= MAX_IMAGE, "an image of {} bytes does not fit the flash", image.len());
        let stack = image.first_chunk().map_or(0, |word| u32::from_le_bytes(*word));
        ensure!(
            stack & 0x2FF8_0000 == 0x2000_0000,
            "the boot loader would not start this image: its stack begins at {stack:#010x}"
        );
        let mut flash = vec![0xFF; FLASH_SIZE];
        let at = (IMAGE_ADDRESS - FLASH) as usize;
        flash[at..at + image.len()].copy_from_slice(image);
        let mut noise = SmallRng::seed_from_u64(seed);
        let mut unique_id = [0; 12];
        noise.fill_bytes(&mut unique_id);
        let chip = Chip::new(&mut parts, noise.random());
        let cpu = Cpu::new(chip, flash, unique_id)?;
        Ok(Self { cpu, parts, noise, unique_id, resets: Vec::new(), powered: false, cut_at: None })
    }

    /// Writes the flash from outside, as a debugger does, for instance an additional root to [`ROOT_ADDRESS`].
    ///
    /// # Errors
    /// There is no flash at the address.
    pub fn write_flash(&mut self, address: u32, bytes: &[u8]) -> Result<()> {
        self.cpu.write_flash(address, bytes)
    }

    /// Puts a root certificate (DER) where the firmware looks for one that it trusts besides its own.
    ///
    /// # Errors
    /// It is no certificate in DER.
    pub fn trust(&mut self, root: &[u8]) -> Result<()> {
        ensure!(root.first() == Some(&0x30), "the root is no certificate in DER");
        let length = u32::try_from(root.len())?.to_le_bytes();
        self.write_flash(ROOT_ADDRESS, &[b"ROOT", &length[..], root].concat())
    }

    /// Puts settings of the radio (`name=value`, each ended by a zero byte) where the firmware looks for them.
    ///
    /// # Errors
    /// They do not fit.
    pub fn set_radio_settings(&mut self, settings: &[u8]) -> Result<()> {
        let length = u32::try_from(settings.len())?.to_le_bytes();
        self.write_flash(SETTINGS_ADDRESS, &[b"NVRM", &length[..], settings].concat())
    }

    /// Everything around the microcontroller: secure element, display, buttons and lamps. Its bus is taken.
    #[must_use]
    pub fn parts(&self) -> &DevKit {
        &self.parts
    }

    /// Time since the simulation began; it passes while the power is off, too.
    #[must_use]
    pub fn now(&self) -> Duration {
        duration(self.cycles())
    }

    /// The same in cycles, each of which is one instruction while the core is awake.
    #[must_use]
    pub fn cycles(&self) -> Cycles {
        self.cpu.state().now
    }

    /// Whether the power is on.
    #[must_use]
    pub fn is_powered(&self) -> bool {
        self.powered
    }

    /// Every start of the firmware so far.
    #[must_use]
    pub fn resets(&self) -> &[(Cycles, ResetCause)] {
        &self.resets
    }

    /// Switches the power on: memory holds noise, the boot loader starts the firmware.
    ///
    /// # Errors
    /// Those of the CPU emulator.
    pub fn power_on(&mut self) -> Result<()> {
        if self.powered {
            return Ok(());
        }
        let mut ram = vec![0; RAM_SIZE];
        self.noise.fill_bytes(&mut ram);
        self.cpu.write_ram(RAM, &ram)?;
        self.parts.power_on();
        self.powered = true;
        self.reset(ResetCause::PowerOn)
    }

    /// Cuts the power, also of the parts around the microcontroller.
    pub fn power_off(&mut self) {
        self.powered = false;
        self.cut_at = None;
        self.parts.power_off();
        self.cpu.break_off_flash();
    }

    /// Will cut the power after so many instructions and cycles asleep, not one earlier or later.
    pub fn cut_power_after(&mut self, count: Cycles) {
        self.cut_at = Some(self.cycles() + count);
    }

    /// Presses the reset button.
    ///
    /// # Errors
    /// Those of the CPU emulator.
    pub fn press_reset(&mut self) -> Result<()> {
        if self.powered { self.reset(ResetCause::Pin) } else { Ok(()) }
    }

    fn reset(&mut self, cause: ResetCause) -> Result<()> {
        let mut scratch = vec![0; BOOT_LOADER_RAM];
        self.noise.fill_bytes(&mut scratch);
        self.cpu.write_ram(RAM, &scratch)?;
        self.resets.push((self.cycles(), cause));
        self.cpu.reset(cause, IMAGE_ADDRESS)
    }

    /// Lets time pass; a reset on the way is done.
    ///
    /// # Errors
    /// Those of the CPU emulator.
    pub fn run_for(&mut self, time: Duration) -> Result<()> {
        let end = self.cycles().saturating_add(cycles(time));
        while self.cycles() < end {
            if !self.powered {
                self.cpu.state_mut().now = end;
                break;
            }
            let cut = self.cut_at.filter(|at| *at <= end);
            match self.cpu.run_until(cut.unwrap_or(end), cut.is_some())? {
                Some(cause) => self.reset(cause)?,
                None if cut.is_some() => self.power_off(),
                None => {}
            }
        }
        Ok(())
    }

    /// Runs until `done` says so, asked once a millisecond. Gives whether it did within `limit`.
    ///
    /// # Errors
    /// Those of the CPU emulator.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> Result<bool> {
        let end = self.cycles().saturating_add(cycles(limit));
        while !done(self) {
            if self.cycles() >= end {
                return Ok(false);
            }
            self.run_for(Duration::from_millis(1))?;
        }
        Ok(true)
    }

    /// Types a line on the console, a character at a time.
    ///
    /// # Errors
    /// Those of the CPU emulator.
    pub fn type_line(&mut self, line: &str) -> Result<()> {
        for byte in line.bytes().chain(*b"\r") {
            self.type_on_console(&[byte]);
            self.run_for(TYPING)?;
        }
        Ok(())
    }

    /// Runs until the console has written `wanted`; what it writes is added to `text`. Gives whether it did within
    /// `limit`.
    ///
    /// # Errors
    /// Those of the CPU emulator; the core stands still.
    pub fn read_until(&mut self, wanted: &str, limit: Duration, text: &mut String) -> Result<bool> {
        self.run_until(limit, |board| {
            text.push_str(&String::from_utf8_lossy(&board.take_console()));
            text.contains(wanted) || !board.is_powered() || board.lockup().is_some()
        })?;
        if let Some(why) = self.lockup() {
            bail!("the core stands still: {why}; the console says: {text}");
        }
        Ok(text.contains(wanted))
    }

    /// Types on the console (USART6). What comes before the firmware listens is lost.
    pub fn type_on_console(&mut self, bytes: &[u8]) {
        let state = self.cpu.state_mut();
        let now = state.now;
        state.chip.console.receive(bytes, now);
    }

    /// Takes what the console has sent.
    pub fn take_console(&mut self) -> Vec<u8> {
        self.cpu.state_mut().chip.console.take_sent()
    }

    /// Sends to the second serial port (USART1).
    pub fn send_to_serial(&mut self, bytes: &[u8]) {
        let state = self.cpu.state_mut();
        let now = state.now;
        state.chip.serial.receive(bytes, now);
    }

    /// Takes what the second serial port has sent.
    pub fn take_serial(&mut self) -> Vec<u8> {
        self.cpu.state_mut().chip.serial.take_sent()
    }

    /// Bytes on their way to the second serial port.
    #[must_use]
    pub fn serial_waiting(&self) -> usize {
        self.cpu.state().chip.serial.waiting()
    }

    /// Characters that both serial ports have lost because the firmware did not read them in time.
    #[must_use]
    pub fn overruns(&self) -> u64 {
        let chip = &self.cpu.state().chip;
        chip.console.overruns() + chip.serial.overruns()
    }

    /// The longest that an exception has waited because the firmware had masked it, since this was last asked.
    pub fn take_longest_mask(&mut self) -> Duration {
        duration(std::mem::take(&mut self.cpu.longest_mask))
    }

    /// What the SDIO's FIFO of 32 words went through since this was last asked: how often it ran over or dry because
    /// the firmware came too late, and the most words that waited in it to be read.
    pub fn take_sdio_fifo(&mut self) -> (u64, usize) {
        self.cpu.state_mut().chip.sdio.take_fifo()
    }

    /// Why the core stands still until the watchdog resets the board, if it does: a fault in the handler of a fault.
    #[must_use]
    pub fn lockup(&self) -> Option<&str> {
        self.cpu.lockup()
    }

    /// Bytes of RAM; `None` if there is no RAM at the address.
    #[must_use]
    pub fn ram(&self, address: u32, len: usize) -> Option<Vec<u8>> {
        self.cpu.read_ram(address, len)
    }

    /// The chip's unique id.
    #[must_use]
    pub fn unique_id(&self) -> [u8; 12] {
        self.unique_id
    }

    /// How often the firmware has written to the flash, or erased some of it.
    #[must_use]
    pub fn flash_changes(&self) -> u64 {
        self.cpu.state().chip.flash.changes()
    }

    /// Whether a sector is being erased.
    #[must_use]
    pub fn is_erasing(&self) -> bool {
        self.cpu.state().chip.flash.is_erasing()
    }

    /// The whole flash.
    #[must_use]
    pub fn flash(&self) -> &[u8] {
        self.cpu.flash()
    }
}

impl std::fmt::Debug for VirtualBoard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VirtualBoard")
            .field("now", &self.now())
            .field("powered", &self.powered)
            .field("resets", &self.resets)
            .finish_non_exhaustive()
    }
}
