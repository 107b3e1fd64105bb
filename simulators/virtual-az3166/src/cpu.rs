//! The core: a Cortex-M4 in Unicorn, which executes; this module counts, and stops it when something happens. What a
//! Cortex-M4 does then is in [`crate::exceptions`].

use std::ops::Range;

use anyhow::{Context as _, Result, anyhow};
use unicorn_engine::unicorn_const::{Arch, HookType, Mode, Prot, uc_error};
use unicorn_engine::{ArmCpuModel, RegisterARM, Unicorn};

use crate::blocks::{Blocks, FLASH, FLASH_SIZE, send_event_instructions, unmasking_instructions};
use crate::chip::{Chip, ResetCause};
use crate::exceptions::is_return;
use crate::not_simulated::NotSimulated;
use crate::state::{PRIVATE, Pace, State};
use crate::system::{Masks, System};
use crate::time::Cycles;

/// RAM.
pub(crate) const RAM: u32 = 0x2000_0000;
/// Size of the RAM, in bytes.
pub(crate) const RAM_SIZE: usize = 256 << 10;
/// System memory with the unique id and the flash size.
const SYSTEM_MEMORY: u32 = 0x1FFF_0000;
const UNIQUE_ID: u32 = 0x1FFF_7A10;
/// Peripherals, and the core's own.
const MMIO: [(u32, u64); 4] =
    [(0x4000_0000, 0x8_0000), (0x5000_0000, 0x8_0000), (0xA000_0000, 0x2000), (PRIVATE, 0x10_0000)];
/// How often a masked interrupt is looked at again.
const MASKED_SLICE: Cycles = 2000;

/// Where the program never gets to: running has no other end than what happens.
const NOWHERE: u64 = 0xFFFF_FFFF;

/// What the core waits for, asleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// `WFE`.
    Event,
    /// `WFI`.
    Interrupt,
}

/// The core and everything it is connected to.
pub(crate) struct Cpu {
    pub(crate) unicorn: Unicorn<'static, State>,
    pub(crate) pc: u32,
    pub(crate) sleeping: Option<Wait>,
    /// Why the core does nothing more, if so: a fault within the handler of a fault.
    lockup: Option<String>,
    /// Flash that was being changed when the power went; the processor sees it after the reset.
    broken_off: Option<Range<usize>>,
    /// Since when an exception waits for nothing but a mask.
    masked_since: Option<Cycles>,
    /// The longest that one has waited so.
    pub(crate) longest_mask: Cycles,
}

/// Whether all of these bytes are RAM.
pub(crate) fn is_ram(address: u32, len: usize) -> bool {
    let offset = address.checked_sub(RAM).and_then(|offset| usize::try_from(offset).ok());
    offset.and_then(|offset| offset.checked_add(len)).is_some_and(|end| end <= RAM_SIZE)
}

/// Unicorn has 64 bits for everything, this core has 32.
#[allow(clippy::cast_possible_truncation, reason = "nothing is lost")]
fn narrow(value: u64) -> u32 {
    value as u32
}

/// Unicorn's errors are bare numbers.
pub(crate) fn failed(what: &'static str) -> impl Fn(uc_error) -> anyhow::Error {
    move |error| anyhow!("{what}: {error:?}")
}

impl Cpu {
    pub(crate) fn new(chip: Chip, flash: Vec<u8>, unique_id: [u8; 12]) -> Result<Self> {
        let mut unicorn =
            Unicorn::new_with_data(Arch::ARM, Mode::THUMB | Mode::MCLASS, State::new(chip, flash))
                .map_err(failed("starting the CPU emulator"))?;
        unicorn.ctl_set_cpu_model(ArmCpuModel::CORTEX_M4 as i32).map_err(failed("choosing the core"))?;
        map_memory(&mut unicorn, unique_id).map_err(failed("mapping the memory"))?;
        add_hooks(&mut unicorn).map_err(failed("observing the core"))?;
        Ok(Self {
            unicorn,
            pc: 0,
            sleeping: None,
            lockup: None,
            broken_off: None,
            masked_since: None,
            longest_mask: 0,
        })
    }

    pub(crate) fn state(&self) -> &State {
        self.unicorn.get_data()
    }

    pub(crate) fn state_mut(&mut self) -> &mut State {
        self.unicorn.get_data_mut()
    }

    pub(crate) fn flash(&self) -> &[u8] {
        &self.state().flash
    }

    pub(crate) fn write_ram(&mut self, address: u32, bytes: &[u8]) -> Result<()> {
        self.unicorn.mem_write(address.into(), bytes).map_err(failed("writing RAM"))
    }

    pub(crate) fn write_flash(&mut self, address: u32, bytes: &[u8]) -> Result<()> {
        let offset = address.wrapping_sub(FLASH) as usize;
        let state = self.unicorn.get_data_mut();
        let end = offset.saturating_add(bytes.len());
        state.flash.get_mut(offset..end).context("there is no flash")?.copy_from_slice(bytes);
        state.blocks = Blocks::new();
        self.unicorn.mem_write(address.into(), bytes).map_err(failed("writing the flash"))?;
        self.unicorn.ctl_flush_tb().map_err(failed("flushing translated code"))
    }

    /// The power goes, or a reset comes: what is being done to the flash ends half done.
    pub(crate) fn break_off_flash(&mut self) {
        let State { chip, flash, now, .. } = self.unicorn.get_data_mut();
        self.broken_off = chip.flash.break_off(flash, *now).or(self.broken_off.take());
    }

    pub(crate) fn read_ram(&self, address: u32, len: usize) -> Option<Vec<u8>> {
        is_ram(address, len).then(|| self.unicorn.mem_read_as_vec(address.into(), len).ok())?
    }

    /// Why the core does nothing more, if it does not.
    pub(crate) fn lockup(&self) -> Option<&str> {
        self.lockup.as_deref()
    }

    pub(crate) fn lock_up(&mut self, why: String) {
        self.lockup = Some(why);
    }

    pub(crate) fn register(&self, register: RegisterARM) -> u32 {
        narrow(self.unicorn.reg_read(register).unwrap_or_default())
    }

    pub(crate) fn set_register(&mut self, register: RegisterARM, value: u32) -> Result<()> {
        self.unicorn.reg_write(register, value.into()).map_err(failed("writing a register"))
    }

    pub(crate) fn word(&self, address: u32) -> Result<u32> {
        let mut word = [0; 4];
        self.unicorn.mem_read(address.into(), &mut word).map_err(failed("reading memory"))?;
        Ok(u32::from_le_bytes(word))
    }

    /// A reset, and the boot loader's hand-off: it has set the main stack pointer and jumps to the image's reset
    /// handler.
    pub(crate) fn reset(&mut self, cause: ResetCause, image: u32) -> Result<()> {
        self.break_off_flash();
        show_flash(&mut self.unicorn, self.broken_off.take()).map_err(failed("changing the flash"))?;
        let state = self.unicorn.get_data_mut();
        state.chip.reset(cause);
        state.system = System::handed_off(RAM);
        (state.event, state.not_simulated) = (false, None);
        (self.sleeping, self.lockup, self.masked_since) = (None, None, None);
        for register in REGISTERS {
            self.set_register(register, 0)?;
        }
        self.set_register(RegisterARM::XPSR, 1 << 24)?;
        let stack = self.word(image)?;
        self.set_register(RegisterARM::SP, stack)?;
        self.set_register(RegisterARM::LR, 0xFFFF_FFFF)?;
        self.pc = self.word(image + 4)? & !1;
        Ok(())
    }

    /// Runs until the given time or the next reset, whose cause it gives. If `exactly`, no instruction behind that time
    /// is executed; otherwise a block of them may be.
    pub(crate) fn run_until(&mut self, end: Cycles, exactly: bool) -> Result<Option<ResetCause>> {
        loop {
            let state = self.unicorn.get_data_mut();
            let now = state.now;
            state.system.advance(now);
            if state.chip.advance(now) {
                return Ok(Some(ResetCause::Watchdog));
            }
            if state.system.take_reset_request() {
                return Ok(Some(ResetCause::Software));
            }
            if let Some(what) = state.not_simulated.take() {
                return Err(what.into());
            }
            if let Some(ends) = state.chip.flash.ends_at() {
                // No instruction can be fetched until the flash is done; the peripherals go on.
                if now >= ends {
                    finish_flash(&mut self.unicorn).map_err(failed("changing the flash"))?;
                } else if now >= end {
                    return Ok(None);
                } else {
                    let next = state.next_event().unwrap_or(Cycles::MAX).max(now + 1);
                    state.now = next.min(ends).min(end);
                }
                continue;
            }
            let lines = state.chip.lines();
            let next = state.next_event().unwrap_or(Cycles::MAX).min(end);
            // The masks are asked for only if there is something to mask.
            let waits = state.system.pending(lines).is_some();
            let masks = if waits { self.masks() } else { Masks::default() };
            let system = &self.state().system;
            let pending = system.preempting(lines, masks);
            let wakes = system.preempting(lines, Masks { all: false, ..masks }).is_some();
            if self.sleeping == Some(Wait::Interrupt) && wakes {
                self.sleeping = None;
            }
            if waits && pending.is_none() {
                self.masked_since.get_or_insert(now);
            } else if let Some(since) = self.masked_since.take() {
                self.longest_mask = self.longest_mask.max(now - since);
            }
            if let Some(number) = pending
                && self.lockup.is_none()
            {
                self.interrupt(number);
            } else if now >= end {
                return Ok(None);
            } else if self.lockup.is_some() || self.sleeping.is_some() {
                self.state_mut().now = next.max(now);
            } else {
                let next = if waits { next.min(now + MASKED_SLICE) } else { next };
                self.execute(next.max(now), exactly && next == end)?;
            }
        }
    }

    /// Runs instructions until about `limit`; until exactly there if so asked.
    fn execute(&mut self, limit: Cycles, exactly: bool) -> Result<()> {
        let state = self.unicorn.get_data_mut();
        (state.limit, state.stopped) = (limit, false);
        state.pace = if exactly { Pace::Strict } else { Pace::FirstMayPass };
        let result = self.unicorn.emu_start(u64::from(self.pc | 1), NOWHERE, 0, 0);
        self.after(result)?;
        let state = self.unicorn.get_data_mut();
        if !state.stopped {
            return Ok(());
        }
        let left = state.limit.saturating_sub(state.now);
        if exactly && state.limit == limit && left > 0 {
            state.pace = Pace::Counted;
            // What was translated before does not count single instructions; what is translated now does.
            self.unicorn.ctl_flush_tb().map_err(failed("flushing translated code"))?;
            let result = self.unicorn.emu_start(u64::from(self.pc | 1), NOWHERE, 0, usize::try_from(left)?);
            self.unicorn.ctl_flush_tb().map_err(failed("flushing translated code"))?;
            self.unicorn.get_data_mut().now = limit;
            return self.after(result);
        }
        state.now = state.now.max(state.limit);
        Ok(())
    }

    /// Unicorn has stopped: because it was told to, at the end of a handler, to sleep, or because it cannot go on.
    fn after(&mut self, result: Result<(), uc_error>) -> Result<()> {
        self.pc = self.register(RegisterARM::PC);
        match result {
            _ if is_return(self.pc) => self.leave(),
            Ok(()) => {
                if !self.state().stopped && self.instruction_before() == WFI {
                    self.sleeping = Some(Wait::Interrupt);
                }
                Ok(())
            }
            Err(uc_error::INSN_INVALID) if matches!(self.instruction_before(), WFE | WFI) => {
                self.sleeping = match self.instruction_before() {
                    WFI => Some(Wait::Interrupt),
                    // It passes if an event was there.
                    _ if std::mem::take(&mut self.state_mut().event) => None,
                    _ => Some(Wait::Event),
                };
                Ok(())
            }
            Err(uc_error::EXCEPTION) if self.instruction_before() >> 8 == SVC => {
                Err(NotSimulated::SupervisorCall { code: self.pc }.into())
            }
            Err(error) => {
                self.fault(&format!("{error:?}"));
                Ok(())
            }
        }
    }

    /// The half-word before the program counter.
    fn instruction_before(&self) -> u16 {
        let mut half = [0; 2];
        // What cannot be read is no instruction.
        let _ = self.unicorn.mem_read(self.pc.wrapping_sub(2).into(), &mut half);
        u16::from_le_bytes(half)
    }
}

const WFE: u16 = 0xBF20;
const WFI: u16 = 0xBF30;
/// The upper byte of the instruction.
const SVC: u16 = 0xDF;

/// What a reset clears; the stack pointer and the link register get other values.
const REGISTERS: [RegisterARM; 17] = [
    RegisterARM::R0,
    RegisterARM::R1,
    RegisterARM::R2,
    RegisterARM::R3,
    RegisterARM::R4,
    RegisterARM::R5,
    RegisterARM::R6,
    RegisterARM::R7,
    RegisterARM::R8,
    RegisterARM::R9,
    RegisterARM::R10,
    RegisterARM::R11,
    RegisterARM::R12,
    RegisterARM::PRIMASK,
    RegisterARM::FAULTMASK,
    RegisterARM::BASEPRI,
    RegisterARM::CONTROL,
];

/// Ends what is being done to the flash.
fn finish_flash(unicorn: &mut Unicorn<'_, State>) -> Result<(), uc_error> {
    let State { chip, flash, .. } = unicorn.get_data_mut();
    let changed = chip.flash.finish(flash);
    show_flash(unicorn, changed)
}

/// Lets the processor see what has changed.
fn show_flash(unicorn: &mut Unicorn<'_, State>, changed: Option<Range<usize>>) -> Result<(), uc_error> {
    let Some(range) = changed else { return Ok(()) };
    let bytes = unicorn.get_data().flash[range.clone()].to_vec();
    unicorn.mem_write(u64::from(FLASH) + range.start as u64, &bytes)?;
    if bytes.len() > 8 {
        // A sector: there may have been code in it.
        unicorn.get_data_mut().blocks = Blocks::new();
        unicorn.ctl_flush_tb()?;
    }
    Ok(())
}

fn map_memory(unicorn: &mut Unicorn<'static, State>, unique_id: [u8; 12]) -> Result<(), uc_error> {
    unicorn.mem_map(FLASH.into(), FLASH_SIZE as u64, Prot::READ | Prot::EXEC)?;
    let flash = unicorn.get_data().flash.clone();
    unicorn.mem_write(FLASH.into(), &flash)?;
    unicorn.mem_map(RAM.into(), RAM_SIZE as u64, Prot::ALL)?;
    unicorn.mem_map(SYSTEM_MEMORY.into(), 0x1_0000, Prot::READ)?;
    unicorn.mem_write(UNIQUE_ID.into(), &unique_id)?;
    unicorn.mem_write(u64::from(UNIQUE_ID + 0x12), &1024_u16.to_le_bytes())?;
    for (base, size) in MMIO {
        unicorn.mmio_map(
            base.into(),
            size,
            Some(move |unicorn: &mut Unicorn<'_, State>, offset: u64, _size: usize| {
                u64::from(unicorn.get_data_mut().read(base + narrow(offset)))
            }),
            Some(move |unicorn: &mut Unicorn<'_, State>, offset: u64, size: usize, value: u64| {
                unicorn.get_data_mut().write(base + narrow(offset), narrow(value), size);
            }),
        )?;
    }
    Ok(())
}

fn add_hooks(unicorn: &mut Unicorn<'static, State>) -> Result<(), uc_error> {
    unicorn.add_block_hook(1, 0, |unicorn, address, size| {
        if !unicorn.get_data_mut().enter(address, size) {
            // It stops before the block; there is nothing to do about an error here.
            let _ = unicorn.emu_stop();
        }
    })?;
    let last = u64::from(FLASH) + FLASH_SIZE as u64 - 1;
    unicorn.add_mem_hook(
        HookType::MEM_WRITE_PROT,
        FLASH.into(),
        last,
        |unicorn, _, address, size, value| {
            // A write while the flash is busy waits for it.
            let state = unicorn.get_data_mut();
            state.now = state.chip.flash.ends_at().unwrap_or_default().max(state.now);
            let done = finish_flash(unicorn).is_ok();
            let offset = usize::try_from(address.wrapping_sub(FLASH.into())).unwrap_or(usize::MAX);
            #[allow(clippy::cast_sign_loss, reason = "a bit pattern")]
            unicorn.get_data_mut().program(offset, size, value as u64);
            done
        },
    )?;
    unicorn.add_mem_hook(HookType::MEM_INVALID, 1, 0, |unicorn, _, address, _, _| {
        unicorn.get_data_mut().fault_address = u32::try_from(address).ok();
        false
    })?;
    let events: Vec<u64> = send_event_instructions(&unicorn.get_data().flash).collect();
    for address in events {
        unicorn.add_code_hook(address, address, |unicorn, _, _| unicorn.get_data_mut().event = true)?;
    }
    let unmasking: Vec<u64> = unmasking_instructions(&unicorn.get_data().flash).collect();
    for address in unmasking {
        unicorn.add_code_hook(address, address, |unicorn, _, _| unicorn.get_data_mut().unmasked())?;
    }
    Ok(())
}
