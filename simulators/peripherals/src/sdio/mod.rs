//! The radio's SDIO card, as it stands at its command and data lines: identification, common registers, the backplane
//! function with its window, the chip behind it, and the radio's firmware behind function 2: commands and events, data
//! and credits, and a station that scans and joins the networks of its [`Air`].
//!
//! True to the SDIO specification in states, arguments and error bits, and to the chip in what public drivers rely on:
//! clocks, window, core wrappers, memory, and a processor that starts only with a firmware and a length token in
//! place. What then runs is not that firmware but a model of it.
//!
//! A simulated controller calls [`SdioCard::command`] for each command and then, after CMD53, moves the data with
//! [`SdioCard::write_data`] or [`SdioCard::read_data`]. What a driver does wrong without the card having a way to say
//! so is in [`SdioCard::violations`].

mod air;
mod chip;
mod fault;
mod fifo;
mod firmware;
mod frame;
mod model;
mod station;

pub use air::{Air, AirNetwork, AirSecurity};
pub use fault::{Direction, SdioFault};
pub use model::RadioModel;

use chip::Chip;
use fault::Faults;
use firmware::Firmware;

/// Functions besides the card itself.
const FUNCTIONS: u32 = 2;
/// 3.2 to 3.4 V and the neighbouring ranges.
const VOLTAGES: u32 = 0x00FF_8000;
const RELATIVE_ADDRESS: u16 = 1;
/// Nanoseconds from the first request until the card has powered up.
const POWER_UP_NS: u64 = 5_000_000;
/// Nanoseconds until a function is ready.
const READY_NS: u64 = 2_000_000;

const ILLEGAL_COMMAND: u8 = 0x40;
const ERROR: u8 = 0x08;
const FUNCTION_NUMBER: u8 = 0x02;
const OUT_OF_RANGE: u8 = 0x01;

/// Common registers.
mod common {
    pub(super) const IO_ENABLE: u32 = 0x02;
    pub(super) const IO_READY: u32 = 0x03;
    pub(super) const INTERRUPT_ENABLE: u32 = 0x04;
    pub(super) const INTERRUPT_PENDING: u32 = 0x05;
    pub(super) const IO_ABORT: u32 = 0x06;
    pub(super) const INTERRUPT_PIN: u32 = 0xF2;
    pub(super) const BUS_INTERFACE: u32 = 0x07;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Has power; takes CMD5.
    Idle,
    /// Has powered up; takes CMD3.
    Ready,
    /// Has an address; takes CMD7.
    Standby,
    /// Is selected; takes CMD52 and CMD53.
    Command,
}

/// A transfer whose data are to come or to go.
#[derive(Clone, Copy, Debug)]
struct Pending {
    write: bool,
    function: u8,
    address: u32,
    increment: bool,
    len: usize,
}

/// The card.
#[derive(Debug)]
pub struct SdioCard {
    state: State,
    now_ns: u64,
    powered_up_at: Option<u64>,
    /// Functions enabled, and since when.
    enabled: [Option<u64>; 3],
    bus_interface: u8,
    interrupt_enable: u8,
    interrupt_pin: u8,
    block_sizes: [u16; 3],
    pending: Option<Pending>,
    chip: Chip,
    model: RadioModel,
    air: Air,
    firmware: Option<Firmware>,
    faults: Faults,
    violations: Vec<String>,
    commands: u64,
}

impl Default for SdioCard {
    fn default() -> Self {
        Self::new()
    }
}

impl SdioCard {
    /// A card that has just got power.
    #[must_use]
    pub fn new() -> Self {
        Self::with_model(RadioModel::default())
    }

    /// A card with this chip, that has just got power.
    #[must_use]
    pub fn with_model(model: RadioModel) -> Self {
        Self {
            state: State::Idle,
            now_ns: 0,
            powered_up_at: None,
            enabled: [None; 3],
            bus_interface: 0,
            interrupt_enable: 0,
            interrupt_pin: 0,
            block_sizes: [0; 3],
            pending: None,
            chip: Chip::new(model),
            model,
            air: Air::default(),
            firmware: None,
            faults: Faults::default(),
            violations: Vec::new(),
            commands: 0,
        }
    }

    /// Adds a fault.
    pub fn inject(&mut self, fault: SdioFault) {
        self.faults.add(fault);
    }

    /// Lets time pass.
    pub fn elapse(&mut self, nanoseconds: u64) {
        self.now_ns += nanoseconds;
        self.chip.now_ns = self.now_ns;
        self.step();
    }

    /// Nanoseconds since the card was made.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// The air around the radio.
    #[must_use]
    pub fn air(&self) -> Air {
        self.air.clone()
    }

    /// Forgets the faults.
    pub fn heal(&mut self) {
        self.faults.clear();
    }

    /// Frames of the radio's firmware so far: to the host, and from it.
    #[must_use]
    pub fn frames(&self) -> [u64; 2] {
        self.faults.frames()
    }

    /// Gives the host these bytes as its next frame, as they are: what a radio may send that has gone wrong. Nothing
    /// happens if it does not run.
    pub fn send_raw(&mut self, frame: &[u8]) {
        if let Some(firmware) = &mut self.firmware {
            firmware.fifo.push(fifo::Outgoing { frame: frame.to_vec(), spoilt: None, is_complete: true });
            self.chip.mailbox.announce_frame();
        }
    }

    /// Whether there is a frame for the host.
    #[must_use]
    pub fn has_frame(&self) -> bool {
        self.firmware.as_ref().is_some_and(|firmware| firmware.fifo.has_frame())
    }

    /// Whether the radio's own interrupt pin is high.
    #[must_use]
    pub fn interrupt_pin(&self) -> bool {
        self.interrupt_pin & 7 == 7 && self.interrupts()
    }

    /// Whether the card interrupts by its data line D1.
    #[must_use]
    pub fn interrupt_line(&self) -> bool {
        self.interrupt_pin & 3 != 3 && self.interrupts()
    }

    fn interrupts(&self) -> bool {
        self.interrupt_enable & 1 != 0 && self.interrupt_enable & 6 != 0 && self.chip.mailbox.interrupts()
    }

    /// Lets the firmware do what it has to.
    fn step(&mut self) {
        if !self.chip.serves_frames() {
            self.firmware = None;
            return;
        }
        let firmware = self.firmware.get_or_insert_with(|| Firmware::new(self.model, &self.air));
        if firmware.step(self.now_ns, &mut self.faults) {
            self.chip.mailbox.announce_frame();
        }
        if self.faults.halts(self.now_ns) {
            self.chip.mailbox.announce(0x10);
        }
    }

    /// What the host has written into the mailbox, and which transfers it has given up.
    fn serve_mailbox(&mut self) {
        let mailbox = &mut self.chip.mailbox;
        let (message, aborted) =
            (std::mem::take(&mut mailbox.from_host), std::mem::take(&mut mailbox.aborted));
        let Some(firmware) = &mut self.firmware else { return };
        if aborted != 0 {
            firmware.fifo.abort();
        }
        if message & 1 != 0 {
            firmware.fifo.again();
        }
        if message & 8 != 0 {
            firmware.poked(self.now_ns, &mut self.faults);
        }
        if firmware.fifo.has_frame() && message & 9 != 0 {
            self.chip.mailbox.announce_frame();
        }
    }

    /// Commands so far.
    #[must_use]
    pub fn commands(&self) -> u64 {
        self.commands
    }

    /// What a driver has done wrong unnoticed.
    #[must_use]
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// The memory as it was when the processor was started, if it was, with a firmware and settings in place.
    #[must_use]
    pub fn started_with(&self) -> Option<&[u8]> {
        self.chip.started_with.as_deref()
    }

    /// Whether the bus is to have four data lines.
    #[must_use]
    pub fn is_wide(&self) -> bool {
        self.bus_interface & 3 == 2
    }

    /// A command and its argument. Gives the answer's 32 bits, or nothing if the card does not answer.
    pub fn command(&mut self, index: u8, argument: u32) -> Option<u32> {
        self.commands += 1;
        if self.pending.take().is_some_and(|pending| pending.write) {
            self.violations.push(format!("CMD{index} while data were to be written"));
        }
        if self.faults.is_silent(self.commands) {
            return None;
        }
        match (index, self.state) {
            (5, State::Idle | State::Ready) => Some(self.send_op_cond(argument)),
            (3, State::Ready | State::Standby) => {
                self.state = State::Standby;
                Some(u32::from(RELATIVE_ADDRESS) << 16)
            }
            (7, State::Standby | State::Command) => {
                if argument >> 16 == u32::from(RELATIVE_ADDRESS) {
                    self.state = State::Command;
                    Some(0x0000_1E00)
                } else {
                    self.state = State::Standby;
                    None
                }
            }
            (52, State::Command) => Some(self.direct(argument)),
            // The reset of the card is understood in every state but answered in one.
            (52, _) => {
                if argument & 0xFFFF_FEFF == 0x8000_0C08 {
                    self.reset();
                }
                None
            }
            (53, State::Command) => Some(self.extended(argument)),
            _ => None,
        }
    }

    /// Power or the reset line goes away and comes back. Faults and what was noticed stay.
    pub fn power_cycle(&mut self) {
        self.reset();
        self.pending = None;
        self.firmware = None;
        self.air.set_joined(None);
        self.chip = Chip::new(self.model);
        self.chip.now_ns = self.now_ns;
    }

    /// Everything as after power-up, except the chip's memory.
    fn reset(&mut self) {
        self.state = State::Idle;
        self.powered_up_at = None;
        self.enabled = [None; 3];
        self.bus_interface = 0;
        self.interrupt_enable = 0;
        self.interrupt_pin = 0;
        self.block_sizes = [0; 3];
        self.firmware = None;
        self.air.set_joined(None);
        self.chip.reset();
    }

    fn send_op_cond(&mut self, argument: u32) -> u32 {
        let wanted = argument & 0x00FF_FFFF;
        let mut ready = 0;
        if wanted & VOLTAGES != 0 && !self.faults.never_powers_up() {
            let since = *self.powered_up_at.get_or_insert(self.now_ns);
            if self.now_ns >= since + POWER_UP_NS {
                self.state = State::Ready;
                ready = 1 << 31;
            }
        }
        ready | self.faults.functions().unwrap_or(FUNCTIONS) << 28 | VOLTAGES
    }

    /// R5: the current state is always "command" here.
    const fn answer(errors: u8, data: u8) -> u32 {
        (errors as u32 | 0x10) << 8 | data as u32
    }

    fn direct(&mut self, argument: u32) -> u32 {
        let write = argument >> 31 != 0;
        let function = (argument >> 28 & 7) as u8;
        let address = argument >> 9 & 0x1_FFFF;
        let value = (argument & 0xFF) as u8;
        let mut errors = self.faults.take_refusal();
        if errors == 0 {
            errors = self.errors_of(function, address);
        }
        if errors != 0 {
            return Self::answer(errors, 0);
        }
        if write {
            self.put(function, address, value);
            // Without RAW, what was written comes back.
            let data = if argument >> 27 & 1 == 0 { value } else { self.get(function, address) };
            return Self::answer(0, data);
        }
        let data = self.get(function, address);
        Self::answer(0, data)
    }

    fn extended(&mut self, argument: u32) -> u32 {
        let write = argument >> 31 != 0;
        let function = (argument >> 28 & 7) as u8;
        let blocks = argument >> 27 & 1 != 0;
        let increment = argument >> 26 & 1 != 0;
        let address = argument >> 9 & 0x1_FFFF;
        let count = (argument & 0x1FF) as usize;
        let mut errors = self.faults.take_refusal();
        if errors == 0 {
            errors = self.errors_of(function, address);
        }
        let block_size =
            usize::from(self.block_sizes.get(usize::from(function)).copied().unwrap_or_default());
        // Endless transfers are not supported.
        if blocks && (block_size == 0 || count == 0) {
            errors |= OUT_OF_RANGE;
        }
        if errors != 0 {
            return Self::answer(errors, 0);
        }
        let len = match (blocks, count) {
            (true, count) => count * block_size,
            (false, 0) => 512,
            (false, count) => count,
        };
        self.pending = Some(Pending { write, function, address, increment, len });
        Self::answer(0, 0)
    }

    /// Why an access is not possible.
    fn errors_of(&self, function: u8, address: u32) -> u8 {
        match function {
            0 => 0,
            1 | 2 if self.is_ready(function) => match function {
                1 if !chip::is_own_register(address) && !self.chip.has_crystal_clock() => ERROR,
                _ => 0,
            },
            1 | 2 => FUNCTION_NUMBER,
            _ => FUNCTION_NUMBER | ILLEGAL_COMMAND,
        }
    }

    fn is_ready(&self, function: u8) -> bool {
        let since = self.enabled.get(usize::from(function)).copied().flatten();
        let in_time = since.is_some_and(|since| self.now_ns >= since + READY_NS);
        in_time && !self.faults.is_never_ready(function) && (function < 2 || self.chip.serves_frames())
    }

    fn get(&mut self, function: u8, address: u32) -> u8 {
        if function == 1 {
            return self
                .chip
                .read(address, 1, &self.faults, &mut self.violations)
                .first()
                .copied()
                .unwrap_or(0xFF);
        }
        let bits = |is_set: &dyn Fn(u8) -> bool| (1..3).map(|n| u8::from(is_set(n)) << n).sum();
        match address {
            0x00 => 0x32,
            common::IO_ENABLE => bits(&|n| self.enabled.get(usize::from(n)).is_some_and(Option::is_some)),
            common::IO_READY => bits(&|n| self.is_ready(n)),
            common::BUS_INTERFACE => self.bus_interface,
            common::INTERRUPT_ENABLE => self.interrupt_enable,
            common::INTERRUPT_PENDING => {
                if self.chip.mailbox.interrupts() {
                    4
                } else {
                    0
                }
            }
            common::INTERRUPT_PIN => self.interrupt_pin,
            _ => match block_size_register(address) {
                Some((function, high)) => {
                    let size = self.block_sizes.get(function).copied().unwrap_or_default();
                    size.to_le_bytes().get(usize::from(high)).copied().unwrap_or_default()
                }
                None => 0,
            },
        }
    }

    fn put(&mut self, function: u8, address: u32, value: u8) {
        if function == 1 {
            self.chip.write(address, &[value], &self.faults, &mut self.violations);
            self.serve_mailbox();
            return;
        }
        match address {
            common::IO_ENABLE => {
                for (n, since) in self.enabled.iter_mut().enumerate().skip(1) {
                    *since = if value >> n & 1 == 0 { None } else { since.or(Some(self.now_ns)) };
                }
            }
            common::IO_ABORT if value & 8 != 0 => self.reset(),
            common::IO_ABORT if value & 7 == 2 => {
                if let Some(firmware) = &mut self.firmware {
                    firmware.fifo.abort();
                }
            }
            common::BUS_INTERFACE => self.bus_interface = value,
            common::INTERRUPT_ENABLE => self.interrupt_enable = value,
            common::INTERRUPT_PIN => self.interrupt_pin = value,
            _ => {
                if let Some((function, high)) = block_size_register(address)
                    && let Some(size) = self.block_sizes.get_mut(function)
                {
                    let [low_byte, high_byte] = size.to_le_bytes();
                    *size = u16::from_le_bytes(if high { [low_byte, value] } else { [value, high_byte] });
                }
            }
        }
    }

    /// The data of the write that CMD53 has begun. Gives whether the card took them: their checksum was right.
    pub fn write_data(&mut self, data: &[u8]) -> bool {
        let Some(pending) = self.pending.take().filter(|pending| pending.write && pending.len == data.len())
        else {
            self.violations.push(format!("{} bytes written that were not asked for", data.len()));
            return false;
        };
        if self.faults.spoils_data() {
            return false;
        }
        self.check_increment(pending);
        if pending.function == 2 {
            if let Some(firmware) = &mut self.firmware
                && let Some(frame) = firmware.fifo.write(data)
            {
                firmware.receive(self.now_ns, frame, &mut self.faults, &mut self.violations);
                if firmware.fifo.has_frame() {
                    self.chip.mailbox.announce_frame();
                }
            }
        } else if pending.function == 1 {
            self.chip.write(pending.address, data, &self.faults, &mut self.violations);
            self.serve_mailbox();
        } else {
            for (address, byte) in (pending.address..).zip(data) {
                self.put(pending.function, address, *byte);
            }
        }
        true
    }

    /// The data of the read that CMD53 has begun; nothing if none come, or if their checksum is wrong.
    pub fn read_data(&mut self) -> Option<Vec<u8>> {
        let pending = self.pending.take().filter(|pending| !pending.write)?;
        let frame = match (&mut self.firmware, pending.function) {
            // Whether they arrive or not, they are gone.
            (Some(firmware), 2) => Some(firmware.read(self.now_ns, pending.len, &mut self.faults)),
            (None, 2) => Some(vec![0; pending.len]),
            _ => None,
        };
        if self.faults.spoils_data() {
            return None;
        }
        if frame.is_some() {
            return frame;
        }
        self.check_increment(pending);
        Some(if pending.function == 1 {
            self.chip.read(pending.address, pending.len, &self.faults, &mut self.violations)
        } else {
            (pending.address..).take(pending.len).map(|address| self.get(pending.function, address)).collect()
        })
    }

    /// Bytes of the data that CMD53 has announced, and whether they are written.
    #[must_use]
    pub fn announced(&self) -> Option<(usize, bool)> {
        self.pending.map(|pending| (pending.len, pending.write))
    }

    fn check_increment(&mut self, pending: Pending) {
        if !pending.increment {
            self.violations.push("a transfer to one address, which is for frames".to_owned());
        }
    }
}

/// The function whose block size an address is of, and whether it is the high byte.
fn block_size_register(address: u32) -> Option<(usize, bool)> {
    let function = (address >> 8) as usize;
    (function < 3 && matches!(address & 0xFF, 0x10 | 0x11)).then_some((function, address & 1 != 0))
}
