//! A virtual STSAFE-A100 or A110: frame-exact, persistent, deterministic when asked, and as unreliable as a test wants
//! it. The mask identification of its [`Profile`] says which family it plays.
//!
//! ```
//! use embedded_hal::i2c::I2c;
//! use stsafe_a100::sim::{Profile, VirtualChip};
//!
//! let chip = VirtualChip::new(Profile::az3166(), [7; 32]);
//! let mut bus = chip.bus();
//! bus.write(0x20, &[0x00, 0xA4, 0xEC, 0x69])?; // Echo A4
//! let mut answer = [0; 6];
//! bus.read(0x20, &mut answer)?;
//! assert_eq!(answer, [0x00, 0x00, 0x03, 0xA4, 0xEC, 0x69]);
//! # Ok::<(), stsafe_a100::sim::BusError>(())
//! ```
//!
//! # What it is true to, and what not
//! Frames, checksums, MACs, encryption, statuses and answers equal those recorded from ST's host software (the
//! transcripts in this crate's tests). Where no public source tells what the silicon does, the model chooses:
//!
//! - A response can be read again until the next command; behind its end comes 0xFF; without one, reads are NACKed.
//! - A command counts when its STOP condition comes. A repeated START loses it.
//! - An error answer carries neither data nor R-MAC, and uses the C-MAC counter up if the C-MAC was right.
//! - Local envelopes are AES key wrap (RFC 3394). Entity signatures are over SHA-256 of the challenge.
//! - Host keys and envelope keys are set once; private keys can be made anew. The brainpool curves are missing.
//! - A plain zone update is written byte by byte; everything else changes memory as a whole.
//! - An A110 refuses the A100's signature sessions as unsupported, its other commands as inconsistent data, and what
//!   its table forbids as not authorised.
//! - The I2C address is latched when the power comes.
//! - An all-zero digest hangs the chip until it is reset, as it is told of the silicon.
//!
//! The state is kept in clear, in memory and on disk: a virtual chip protects nothing.

mod bus;
mod execute;
mod fuse;
mod keys;
pub mod line;
mod model;
mod state;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

use embedded_hal::i2c::{self, ErrorKind, NoAcknowledgeSource, Operation, SevenBitAddress};

pub use bus::{BusError, Busy, Fault};
pub use fuse::{Outage, Torn};
pub use state::{CommandLine, Profile, ZoneProfile};

use bus::Chip;
use state::{Bytes, PASSWORD_TRIES, State};

/// A virtual chip. Clones are handles of the same chip.
#[derive(Clone)]
pub struct VirtualChip {
    chip: Arc<Mutex<Chip>>,
}

impl VirtualChip {
    /// A new chip in memory, powered, its random numbers those of `seed`.
    #[must_use]
    pub fn new(profile: Profile, seed: [u8; 32]) -> Self {
        Self::from_chip(Chip::new(State::new(profile, seed), None))
    }

    /// A seed from the operating system, for a chip that is not to be deterministic.
    ///
    /// # Errors
    /// Those of the system's random generator.
    pub fn random_seed() -> io::Result<[u8; 32]> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        Ok(seed)
    }

    /// The chip kept in a file, which is replaced in one step after each change. A missing file is made from
    /// `profile` and `seed`; an existing one has its own.
    ///
    /// # Errors
    /// Those of the file system; [`io::ErrorKind::InvalidData`] if the file is no chip's state.
    pub fn open(path: &Path, profile: Profile, seed: [u8; 32]) -> io::Result<Self> {
        let state = match State::load(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => State::new(profile, seed),
            other => other?,
        };
        state.save(path)?;
        Ok(Self::from_chip(Chip::new(state, Some(path.to_path_buf()))))
    }

    fn from_chip(chip: Chip) -> Self {
        Self { chip: Arc::new(Mutex::new(chip)) }
    }

    fn lock(&self) -> MutexGuard<'_, Chip> {
        // A poisoned lock means a test panicked elsewhere; the chip itself is always whole.
        self.chip.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The chip's I2C bus, blocking and async.
    #[must_use]
    pub fn bus(&self) -> VirtualBus {
        VirtualBus { chip: self.clone() }
    }

    /// Delays on the chip's own clock, blocking and async; nobody really waits.
    #[must_use]
    pub fn delay(&self) -> VirtualDelay {
        VirtualDelay { chip: self.clone() }
    }

    /// The chip's side of its bus, byte by byte.
    #[must_use]
    pub fn pins(&self) -> VirtualPins {
        VirtualPins { chip: self.clone() }
    }

    /// Lets time pass on the chip's clock.
    pub fn elapse(&self, ns: u64) {
        self.lock().now_ns += ns;
    }

    /// Nanoseconds on the chip's clock: bytes at 400 kHz and delays.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.lock().now_ns
    }

    /// How long commands take.
    pub fn set_busy(&self, busy: Busy) {
        self.lock().busy = busy;
    }

    /// Adds a fault to those waiting.
    pub fn inject(&self, fault: Fault) {
        self.lock().faults.push_back(fault);
    }

    /// Adds a fault when this many more transactions have begun.
    pub fn inject_after(&self, transactions: u32, fault: Fault) {
        self.lock().scheduled.push((transactions, fault));
    }

    /// Faults that have not acted yet.
    #[must_use]
    pub fn faults_waiting(&self) -> usize {
        let chip = self.lock();
        chip.faults.len() + chip.scheduled.len()
    }

    /// Removes all waiting faults and any outage set by [`Self::outage_after`].
    pub fn clear_faults(&self) {
        let mut chip = self.lock();
        chip.faults.clear();
        chip.scheduled.clear();
        chip.fuse.disarm();
    }

    /// Interrupts the chip after `steps` more steps. A step is a byte on the bus (address bytes count), a byte
    /// written to memory, or the commit of a memory change; so an outage hits between any two bytes and within writes.
    pub fn outage_after(&self, steps: u64, outage: Outage) {
        self.lock().fuse.arm(steps, outage);
    }

    /// Steps so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.lock().fuse.steps()
    }

    /// What an interrupted write leaves behind.
    pub fn set_torn(&self, torn: Torn) {
        self.lock().fuse.torn = torn;
    }

    /// Whether the chip has power.
    #[must_use]
    pub fn is_powered(&self) -> bool {
        self.lock().is_powered()
    }

    /// Takes the power away.
    pub fn power_off(&self) {
        self.lock().power_off();
    }

    /// Gives the power back.
    pub fn power_on(&self) {
        self.lock().power_on();
    }

    /// Pulses the reset pin.
    pub fn reset(&self) {
        self.lock().reset();
    }

    /// An independent chip in memory with the same memory content, powered and without faults: a snapshot to return
    /// to in tests that interrupt many times.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self::from_chip(Chip::new(self.lock().model.state.clone(), None))
    }

    /// The content of a zone.
    #[must_use]
    pub fn zone(&self, index: u8) -> Option<Vec<u8>> {
        self.lock().model.state.zone(index).map(|zone| zone.data.clone())
    }

    /// Writes a zone from behind, without the protocol; what does not fit is dropped.
    pub fn set_zone(&self, index: u8, offset: usize, data: &[u8]) {
        self.change(|state| {
            if let Some(zone) = state.zone_mut(index) {
                for (cell, byte) in zone.data.iter_mut().skip(offset).zip(data) {
                    *cell = *byte;
                }
            }
        });
    }

    /// The C-MAC counter, if there are host keys.
    #[must_use]
    pub fn host_counter(&self) -> Option<u32> {
        self.lock().model.state.host.as_ref().map(|host| host.counter)
    }

    /// Sets the C-MAC counter, if there are host keys.
    pub fn set_host_counter(&self, counter: u32) {
        self.change(|state| {
            if let Some(host) = &mut state.host {
                host.counter = counter;
            }
        });
    }

    /// Puts a local envelope key of 16 or 32 bytes into a slot; other lengths empty it.
    pub fn set_envelope_key(&self, slot: u8, key: &[u8]) {
        let key = matches!(key.len(), 16 | 32).then(|| Bytes(key.to_vec()));
        self.change(|state| {
            if let Some(place) = state.envelope_keys.get_mut(usize::from(slot)) {
                *place = key;
            }
        });
    }

    /// Sets the password, with all its attempts.
    pub fn set_password(&self, password: &[u8; 16]) {
        self.change(|state| {
            state.password = Some(Bytes(password.to_vec()));
            state.password_tries = PASSWORD_TRIES;
        });
    }

    /// Lets the random generator give these bytes next.
    pub fn script_random(&self, bytes: &[u8]) {
        self.lock().model.scripted.extend(bytes);
    }

    /// The first failure to write the state file, if one occurred.
    #[must_use]
    pub fn store_error(&self) -> Option<io::ErrorKind> {
        self.lock().store_error
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut chip = self.lock();
        change(&mut chip.model.state);
        chip.model.dirty = true;
        chip.save();
    }
}

impl core::fmt::Debug for VirtualChip {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("VirtualChip").finish_non_exhaustive()
    }
}

/// The bus with one virtual chip on it.
#[derive(Clone, Debug)]
pub struct VirtualBus {
    chip: VirtualChip,
}

impl i2c::Error for BusError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::AddressNack => ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address),
            Self::DataNack => ErrorKind::NoAcknowledge(NoAcknowledgeSource::Data),
            Self::Bus => ErrorKind::Bus,
        }
    }
}

impl i2c::ErrorType for VirtualBus {
    type Error = BusError;
}

impl i2c::I2c<SevenBitAddress> for VirtualBus {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), BusError> {
        let mut chip = self.chip.lock();
        let mut operations = operations.iter_mut().peekable();
        let mut written: Vec<u8> = Vec::new();
        while let Some(operation) = operations.next() {
            match operation {
                Operation::Write(bytes) => {
                    written.extend_from_slice(bytes);
                    match operations.peek() {
                        Some(Operation::Write(_)) => {}
                        Some(Operation::Read(_)) => chip.write_unfinished(address, &written)?,
                        None => chip.write(address, &written)?,
                    }
                }
                Operation::Read(out) => {
                    written.clear();
                    chip.read(address, out)?;
                }
            }
        }
        Ok(())
    }
}

impl embedded_hal_async::i2c::I2c<SevenBitAddress> for VirtualBus {
    async fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), BusError> {
        i2c::I2c::transaction(self, address, operations)
    }
}

/// The chip's bus, byte by byte: for simulated controllers that make the conditions on the wires themselves.
#[derive(Clone, Debug)]
pub struct VirtualPins {
    chip: VirtualChip,
}

impl VirtualPins {
    /// START or repeated START, and the address byte.
    ///
    /// # Errors
    /// The address is not acknowledged, or a fault was injected.
    pub fn start(&mut self, address: u8, read: bool) -> Result<(), BusError> {
        let mut chip = self.chip.lock();
        if read { chip.start_read(address) } else { chip.start_write(address) }
    }

    /// A byte from the host.
    ///
    /// # Errors
    /// It is not acknowledged.
    pub fn put(&mut self, byte: u8) -> Result<(), BusError> {
        self.chip.lock().put(byte)
    }

    /// A byte to the host.
    pub fn get(&mut self) -> u8 {
        self.chip.lock().get()
    }

    /// STOP: a command that has arrived is executed.
    pub fn stop(&mut self) {
        self.chip.lock().stop();
    }
}

/// Delays on the chip's clock.
#[derive(Clone, Debug)]
pub struct VirtualDelay {
    chip: VirtualChip,
}

impl embedded_hal::delay::DelayNs for VirtualDelay {
    fn delay_ns(&mut self, ns: u32) {
        self.chip.elapse(u64::from(ns));
    }
}

impl embedded_hal_async::delay::DelayNs for VirtualDelay {
    async fn delay_ns(&mut self, ns: u32) {
        embedded_hal::delay::DelayNs::delay_ns(self, ns);
    }
}
