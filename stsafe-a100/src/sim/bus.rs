//! The chip on its bus: transactions, time, power, and what can go wrong with them.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::vec::Vec;

use super::fuse::{Blown, Fuse, Outage};
use super::model::{Model, Stop, Volatile, refusal};
use super::state::State;
use crate::code::Code;
use crate::command::WakeUp;
use crate::frame::Header;
use crate::status::Status;

/// Why a transaction failed; each comes back as its embedded-hal error kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusError {
    /// The address was not acknowledged: busy, asleep, off, or another chip's.
    AddressNack,
    /// A data byte was not acknowledged: the chip went away within the transaction.
    DataNack,
    /// The bus itself failed, as injected by [`Fault::BusError`].
    Bus,
}

impl core::fmt::Display for BusError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::AddressNack => "address not acknowledged",
            Self::DataNack => "data not acknowledged",
            Self::Bus => "bus error",
        })
    }
}

impl core::error::Error for BusError {}

/// Something that goes wrong once, or until it is over. Faults wait in the order they were injected; each acts on
/// the first event it fits, bit flips all on the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The address is not acknowledged in this many transactions that begin with a write.
    NackWrites(u32),
    /// The same for transactions that read.
    NackReads(u32),
    /// The next command arrives with these bits of one byte changed; positions beyond its end change nothing.
    FlipCommand {
        /// The byte's position.
        at: usize,
        /// The bits.
        mask: u8,
    },
    /// The next response is sent with these bits of one byte changed, in every read of it.
    FlipResponse {
        /// The byte's position.
        at: usize,
        /// The bits.
        mask: u8,
    },
    /// The same, but only in the first read: a glitch on the bus.
    FlipRead {
        /// The byte's position.
        at: usize,
        /// The bits.
        mask: u8,
    },
    /// Only the first bytes of the next command arrive.
    TruncateCommand(usize),
    /// Only the first bytes of the next response are sent; 0xFF follows.
    TruncateResponse(usize),
    /// The next command is executed and then answered with a status instead of its response.
    Status(Status),
    /// The next command is not executed, and the chip hangs until it is reset.
    StuckBusy,
    /// The next transaction fails with a bus error before its first byte.
    BusError,
}

/// How long the chip is busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Busy {
    /// Not at all.
    #[default]
    Never,
    /// For the command's time on the clock of [`super::VirtualDelay`].
    Time,
    /// Until so many reads were refused.
    Reads(u32),
}

/// Microseconds the chip takes to start.
const BOOT_US: u64 = 10_000;
/// Nanoseconds of one byte and its acknowledge at 400 kHz.
const BYTE_NS: u64 = 22_500;

/// Microseconds of a command: measured values where some are public, else plausible ones.
const fn duration_us(code: u8) -> u64 {
    match code {
        0x02 | 0x03 | 0x04 | 0x10 | 0x1A => 10_000,
        0x05 => 2_000,
        0x06 => 5_000,
        0x0E | 0x0F => 40_000,
        0x11 => 126_000,
        0x15 | 0x16 => 83_000,
        0x17 => 148_000,
        0x18 => 175_000,
        _ => 1_000,
    }
}

pub(super) struct Chip {
    pub(super) model: Model,
    pub(super) fuse: Fuse,
    pub(super) busy: Busy,
    pub(super) faults: VecDeque<Fault>,
    /// Faults to come, after so many transactions.
    pub(super) scheduled: Vec<(u32, Fault)>,
    pub(super) now_ns: u64,
    pub(super) store: Option<PathBuf>,
    pub(super) store_error: Option<io::ErrorKind>,
    /// The bus address, latched when the power comes.
    address: u8,
    powered: bool,
    hung: bool,
    /// What a write has brought so far.
    incoming: Option<Vec<u8>>,
    response: Option<Vec<u8>>,
    /// What a read has not taken yet.
    outgoing: VecDeque<u8>,
    /// Applied to the next read only.
    glitch: Option<(usize, u8)>,
    ready_ns: u64,
    refused_reads: u32,
}

impl Chip {
    pub(super) fn new(state: State, store: Option<PathBuf>) -> Self {
        Self {
            address: state.chip.i2c_address,
            model: Model::new(state),
            fuse: Fuse::default(),
            busy: Busy::default(),
            faults: VecDeque::new(),
            scheduled: Vec::new(),
            now_ns: 0,
            store,
            store_error: None,
            powered: true,
            hung: false,
            incoming: None,
            response: None,
            outgoing: VecDeque::new(),
            glitch: None,
            ready_ns: 0,
            refused_reads: 0,
        }
    }

    pub(super) fn is_powered(&self) -> bool {
        self.powered
    }

    pub(super) fn power_off(&mut self) {
        self.powered = false;
        self.reset();
    }

    pub(super) fn power_on(&mut self) {
        self.powered = true;
        self.address = self.model.state.chip.i2c_address;
        self.reset();
    }

    /// The reset pin: everything volatile is lost.
    pub(super) fn reset(&mut self) {
        self.model.volatile = Volatile::default();
        self.hung = false;
        self.incoming = None;
        self.response = None;
        self.outgoing.clear();
        self.glitch = None;
        self.refused_reads = 0;
        self.ready_ns = match self.busy {
            Busy::Time => self.now_ns + BOOT_US * 1000,
            Busy::Never | Busy::Reads(_) => 0,
        };
    }

    fn blow(&mut self, Blown(outage): Blown) {
        match outage {
            Outage::PowerCut => self.power_off(),
            Outage::Reset => self.reset(),
        }
    }

    /// One byte passes, address bytes included.
    fn pass_byte(&mut self) -> Result<(), BusError> {
        self.now_ns += BYTE_NS;
        self.fuse.step().map_err(|blown| {
            self.blow(blown);
            BusError::DataNack
        })
    }

    /// Takes the first waiting fault that `pick` has a use for.
    fn take_fault<T>(&mut self, pick: impl Fn(&Fault) -> Option<T>) -> Option<T> {
        let (index, found) = self.faults.iter().enumerate().find_map(|(i, fault)| Some((i, pick(fault)?)))?;
        self.faults.remove(index);
        Some(found)
    }

    /// Counts down a fault that lasts several transactions; whether it acts on this one.
    fn nacks(&mut self, count: impl Fn(&mut Fault) -> Option<&mut u32>) -> bool {
        let acts = self.faults.iter_mut().find_map(count).is_some_and(|left| match left.checked_sub(1) {
            Some(less) => {
                *left = less;
                true
            }
            None => false,
        });
        self.faults.retain(|fault| !matches!(fault, Fault::NackWrites(0) | Fault::NackReads(0)));
        acts
    }

    /// START and address byte; whether the chip is there and awake.
    fn address(&mut self, address: u8) -> Result<(), BusError> {
        let due = self.scheduled.iter().filter(|(after, _)| *after == 0).map(|(_, fault)| *fault);
        self.faults.extend(due);
        self.scheduled.retain(|(after, _)| *after > 0);
        for (after, _) in &mut self.scheduled {
            *after -= 1;
        }
        if self.take_fault(|fault| (*fault == Fault::BusError).then_some(())).is_some() {
            return Err(BusError::Bus);
        }
        self.pass_byte().map_err(|_| BusError::AddressNack)?;
        let there = self.powered && !self.hung && address == self.address && self.now_ns >= self.ready_ns;
        if there { Ok(()) } else { Err(BusError::AddressNack) }
    }

    /// START and address for a write; what an unfinished one before it has brought is lost.
    pub(super) fn start_write(&mut self, address: u8) -> Result<(), BusError> {
        self.incoming = None;
        self.address(address)?;
        if let Some(wake_up) = self.model.volatile.asleep {
            // The START condition that wakes the chip is not acknowledged yet.
            if wake_up == WakeUp::I2cOrReset {
                self.reset();
            }
            return Err(BusError::AddressNack);
        }
        if self.nacks(|fault| if let Fault::NackWrites(left) = fault { Some(left) } else { None }) {
            return Err(BusError::AddressNack);
        }
        self.incoming = Some(Vec::new());
        Ok(())
    }

    /// A byte of a write.
    pub(super) fn put(&mut self, byte: u8) -> Result<(), BusError> {
        self.response = None;
        self.pass_byte()?;
        self.incoming.as_mut().ok_or(BusError::DataNack)?.push(byte);
        Ok(())
    }

    /// STOP: a command that has arrived is executed.
    pub(super) fn stop(&mut self) {
        if let Some(frame) = self.incoming.take().filter(|frame| !frame.is_empty()) {
            self.receive(frame);
        }
    }

    /// A write transaction: START, address, `bytes`, STOP.
    pub(super) fn write(&mut self, address: u8, bytes: &[u8]) -> Result<(), BusError> {
        self.write_unfinished(address, bytes)?;
        self.stop();
        Ok(())
    }

    /// A write without its STOP. A repeated START may follow: the chip only takes a command at a STOP condition, so
    /// it loses it.
    pub(super) fn write_unfinished(&mut self, address: u8, bytes: &[u8]) -> Result<(), BusError> {
        self.start_write(address)?;
        bytes.iter().try_for_each(|byte| self.put(*byte))
    }

    /// Executes a command that has arrived.
    fn receive(&mut self, mut frame: Vec<u8>) {
        while let Some((at, mask)) = self.take_fault(|fault| match *fault {
            Fault::FlipCommand { at, mask } => Some((at, mask)),
            _ => None,
        }) {
            flip(&mut frame, at, mask);
        }
        if let Some(len) =
            self.take_fault(|fault| if let Fault::TruncateCommand(n) = fault { Some(*n) } else { None })
        {
            frame.truncate(len);
        }
        if self.take_fault(|fault| (*fault == Fault::StuckBusy).then_some(())).is_some() {
            self.hung = true;
            return;
        }
        let answer = self.model.answer(&frame, &mut self.fuse);
        self.save();
        match answer {
            Ok(response) => self.respond(response, frame.first().copied().unwrap_or_default()),
            Err(Stop::Blown(blown)) => self.blow(blown),
            Err(Stop::Hang) => self.hung = true,
            // The model answers refusals itself.
            Err(Stop::Refused(status)) => self.response = Some(refusal(status, self.model.state.crc())),
        }
    }

    fn respond(&mut self, mut response: Vec<u8>, header: u8) {
        if let Some(status) =
            self.take_fault(|fault| if let Fault::Status(s) = fault { Some(*s) } else { None })
        {
            response = refusal(status, self.model.state.crc());
        }
        while let Some((at, mask)) = self.take_fault(|fault| match *fault {
            Fault::FlipResponse { at, mask } => Some((at, mask)),
            _ => None,
        }) {
            flip(&mut response, at, mask);
        }
        if let Some(len) =
            self.take_fault(|fault| if let Fault::TruncateResponse(n) = fault { Some(*n) } else { None })
        {
            response.truncate(len);
        }
        self.glitch = self.take_fault(|fault| match *fault {
            Fault::FlipRead { at, mask } => Some((at, mask)),
            _ => None,
        });
        self.response = Some(response);
        match self.busy {
            Busy::Never => {}
            Busy::Time => self.ready_ns = self.now_ns + duration_us(Header::from_byte(header).code) * 1000,
            Busy::Reads(count) => self.refused_reads = count,
        }
        if Header::from_byte(header).code == Code::Reset.bits() && self.busy == Busy::Time {
            self.ready_ns = self.now_ns + BOOT_US * 1000;
        }
    }

    /// START and address for a read.
    pub(super) fn start_read(&mut self, address: u8) -> Result<(), BusError> {
        self.incoming = None;
        self.address(address)?;
        if self.nacks(|fault| if let Fault::NackReads(left) = fault { Some(left) } else { None }) {
            return Err(BusError::AddressNack);
        }
        if let Some(left) = self.refused_reads.checked_sub(1) {
            self.refused_reads = left;
            return Err(BusError::AddressNack);
        }
        let mut response = self.response.clone().ok_or(BusError::AddressNack)?;
        if let Some((at, mask)) = self.glitch.take() {
            flip(&mut response, at, mask);
        }
        self.outgoing = response.into();
        Ok(())
    }

    /// The next byte of a read.
    pub(super) fn get(&mut self) -> u8 {
        // A chip that goes away leaves the line high; the host acknowledges reads itself and does not notice.
        let there = self.powered && self.response.is_some() && self.pass_byte().is_ok();
        self.outgoing.pop_front().filter(|_| there).unwrap_or(0xFF)
    }

    /// A read transaction: START, address, bytes, STOP. The response can be read again from its first byte until the
    /// next command; behind its end comes 0xFF.
    pub(super) fn read(&mut self, address: u8, out: &mut [u8]) -> Result<(), BusError> {
        self.start_read(address)?;
        out.fill_with(|| self.get());
        Ok(())
    }

    pub(super) fn save(&mut self) {
        if !core::mem::take(&mut self.model.dirty) {
            return;
        }
        if let Some(path) = &self.store
            && let Err(error) = self.model.state.save(path)
        {
            self.store_error = Some(error.kind());
        }
    }
}

fn flip(bytes: &mut [u8], at: usize, mask: u8) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= mask;
    }
}
