//! The core: a Cortex-M4 in Unicorn, with the exceptions that Unicorn does not have.
//!
//! Unicorn executes; this module counts, stops it when something happens, and does what a Cortex-M4 does then: pushes
//! eight words, runs the handler, goes back. Handlers are not interrupted by other handlers.

use anyhow::{Context as _, Result, anyhow};
use unicorn_engine::unicorn_const::{Arch, HookType, Mode, Prot, uc_error};
use unicorn_engine::{ArmCpuModel, Context, RegisterARM, Unicorn};

use crate::blocks::{Blocks, FLASH, FLASH_SIZE, send_event_instructions, unmasking_instructions};
use crate::chip::{Chip, ResetCause};
use crate::state::{PRIVATE, Pace, State};
use crate::system::{System, exception};
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
/// A return address that ends a handler: back to thread mode, main stack.
const EXCEPTION_RETURN: u32 = 0xFFFF_FFF9;
/// What the program counter holds after a jump there.
const RETURNED: u32 = EXCEPTION_RETURN & !1;
/// How often a masked interrupt is looked at again.
const MASKED_SLICE: Cycles = 2000;

/// The core and everything it is connected to.
pub(crate) struct Cpu {
    unicorn: Unicorn<'static, State>,
    /// What was interrupted, outermost first, and which exception was being handled then.
    interrupted: Vec<(Context, u16)>,
    pc: u32,
    sleeping: bool,
    /// A fault within the handler of a fault: the core does nothing more.
    locked_up: bool,
    /// What it was that locked it up, for messages.
    last_fault: Option<String>,
}

/// Unicorn has 64 bits for everything, this core has 32.
#[allow(clippy::cast_possible_truncation, reason = "nothing is lost")]
fn narrow(value: u64) -> u32 {
    value as u32
}

/// Unicorn's errors are bare numbers.
fn failed(what: &'static str) -> impl Fn(uc_error) -> anyhow::Error {
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
            interrupted: Vec::new(),
            pc: 0,
            sleeping: false,
            locked_up: false,
            last_fault: None,
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

    pub(crate) fn read_ram(&self, address: u32, len: usize) -> Option<Vec<u8>> {
        let offset = usize::try_from(address.checked_sub(RAM)?).ok()?;
        let inside = offset.checked_add(len)? <= RAM_SIZE;
        self.unicorn.mem_read_as_vec(address.into(), len).ok().filter(|_| inside)
    }

    /// Why the core does nothing more, if it does not.
    pub(crate) fn lockup(&self) -> Option<&str> {
        self.last_fault.as_deref().filter(|_| self.locked_up)
    }

    fn register(&self, register: RegisterARM) -> u32 {
        narrow(self.unicorn.reg_read(register).unwrap_or_default())
    }

    fn set_register(&mut self, register: RegisterARM, value: u32) -> Result<()> {
        self.unicorn.reg_write(register, value.into()).map_err(failed("writing a register"))
    }

    fn word(&self, address: u32) -> Result<u32> {
        let mut word = [0; 4];
        self.unicorn.mem_read(address.into(), &mut word).map_err(failed("reading memory"))?;
        Ok(u32::from_le_bytes(word))
    }

    /// A reset, and the boot loader's hand-off: it has set the main stack pointer and jumps to the image's reset handler.
    pub(crate) fn reset(&mut self, cause: ResetCause, image: u32) -> Result<()> {
        let state = self.unicorn.get_data_mut();
        state.chip.reset(cause);
        state.system = System::handed_off(RAM);
        state.event = false;
        self.interrupted.clear();
        (self.sleeping, self.locked_up) = (false, false);
        for register in REGISTERS {
            self.set_register(register, 0)?;
        }
        self.set_register(RegisterARM::PRIMASK, 0)?;
        let stack = self.word(image)?;
        self.set_register(RegisterARM::SP, stack)?;
        self.set_register(RegisterARM::LR, 0xFFFF_FFFF)?;
        self.pc = self.word(image + 4)? & !1;
        Ok(())
    }

    /// Runs until the given time or the next reset, whose cause it gives. If `exactly`, no instruction behind that time is
    /// executed; otherwise a block of them may be.
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
            let pending = state.system.pending(state.chip.lines()).filter(|_| state.system.active() == 0);
            let next = state.next_event().unwrap_or(Cycles::MAX).min(end);
            let masked = pending.is_some() && self.register(RegisterARM::PRIMASK) & 1 != 0;
            if let Some(number) = pending
                && !masked
                && !self.locked_up
            {
                self.enter(number)?;
            } else if now >= end {
                return Ok(None);
            } else if self.locked_up || self.sleeping && !masked {
                self.unicorn.get_data_mut().now = next.max(now);
            } else {
                self.sleeping = false;
                let next = if masked { next.min(now + MASKED_SLICE) } else { next };
                self.execute(next.max(now), exactly && next == end)?;
            }
        }
    }

    /// Runs instructions until about `limit`; until exactly there if so asked.
    fn execute(&mut self, limit: Cycles, exactly: bool) -> Result<()> {
        let state = self.unicorn.get_data_mut();
        (state.limit, state.stopped) = (limit, false);
        state.pace = if exactly { Pace::Strict } else { Pace::FirstMayPass };
        let result = self.unicorn.emu_start(u64::from(self.pc | 1), RETURNED.into(), 0, 0);
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
            let result =
                self.unicorn.emu_start(u64::from(self.pc | 1), RETURNED.into(), 0, usize::try_from(left)?);
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
            // Jumping to the return address is an exception of its own on this core.
            Ok(()) | Err(uc_error::EXCEPTION) if self.pc == RETURNED => self.leave(),
            Ok(()) => Ok(()),
            Err(uc_error::INSN_INVALID) if self.is_behind_wait() => {
                // WFE passes if an event was there; WFI is not told apart, this firmware has none.
                let event = std::mem::take(&mut self.unicorn.get_data_mut().event);
                self.sleeping = !event;
                Ok(())
            }
            Err(error) => {
                self.fault(error);
                Ok(())
            }
        }
    }

    /// Whether the instruction before the program counter is `WFE` or `WFI`.
    fn is_behind_wait(&self) -> bool {
        let mut half = [0; 2];
        self.unicorn.mem_read(self.pc.wrapping_sub(2).into(), &mut half).is_ok()
            && matches!(u16::from_le_bytes(half), 0xBF20 | 0xBF30)
    }

    fn fault(&mut self, error: uc_error) {
        let state = self.unicorn.get_data_mut();
        let address = state.fault_address.take();
        state.system.note_fault(address);
        self.last_fault = Some(match address {
            Some(address) => format!("{error:?} of {address:#010x} at {:#010x}", self.pc),
            None => format!("{error:?} at {:#010x}", self.pc),
        });
        if self.state().system.active() == exception::HARD_FAULT {
            self.locked_up = true;
            return;
        }
        // Without a stack there is no handler.
        let entered = self.enter(exception::HARD_FAULT);
        self.locked_up |= entered.is_err();
    }

    /// Pushes the frame and goes to the handler.
    fn enter(&mut self, number: u16) -> Result<()> {
        let context = self.unicorn.context_init().map_err(failed("saving the context"))?;
        let outer = self.state().system.active();
        let stack = self.register(RegisterARM::SP).wrapping_sub(32) & !7;
        let mut frame = Vec::with_capacity(32);
        for register in FRAME {
            frame.extend(&self.register(register).to_le_bytes());
        }
        frame.extend(&self.pc.to_le_bytes());
        frame.extend(&(self.register(RegisterARM::XPSR) | 1 << 24).to_le_bytes());
        self.unicorn.mem_write(stack.into(), &frame).map_err(failed("pushing an exception frame"))?;
        self.interrupted.push((context, outer));
        self.set_register(RegisterARM::SP, stack)?;
        self.set_register(RegisterARM::LR, EXCEPTION_RETURN)?;
        let state = self.unicorn.get_data_mut();
        state.system.enter(number);
        state.event = true;
        let vector = state.system.vector_table() + 4 * u32::from(number);
        self.pc = self.word(vector).context("fetching an exception vector")? & !1;
        self.sleeping = false;
        Ok(())
    }

    /// Goes back to what was interrupted. Registers, the floating-point ones included, are as they were.
    fn leave(&mut self) -> Result<()> {
        let Some((context, outer)) = self.interrupted.pop() else {
            self.fault(uc_error::FETCH_UNMAPPED);
            return Ok(());
        };
        let frame = self.register(RegisterARM::SP);
        self.pc = self.word(frame + 24)? & !1;
        self.unicorn.context_restore(&context).map_err(failed("restoring the context"))?;
        let state = self.unicorn.get_data_mut();
        state.system.leave(outer);
        state.event = true;
        Ok(())
    }
}

/// What a reset clears; the stack pointer and the link register get other values.
const REGISTERS: [RegisterARM; 13] = [
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
];

/// What an exception pushes before the return address and the status.
const FRAME: [RegisterARM; 6] =
    [RegisterARM::R0, RegisterARM::R1, RegisterARM::R2, RegisterARM::R3, RegisterARM::R12, RegisterARM::LR];

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
            Some(move |unicorn: &mut Unicorn<'_, State>, offset: u64, _size: usize, value: u64| {
                unicorn.get_data_mut().write(base + narrow(offset), narrow(value));
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
