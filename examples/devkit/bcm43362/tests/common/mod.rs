//! A controller for the virtual card, a flash, and a bring-up between them.
#![allow(unreachable_pub, dead_code, reason = "not every test needs everything")]

pub mod station;

use std::cell::RefCell;
use std::rc::Rc;

use bcm43362::command::{Command, Response, Transfer};
use bcm43362::{BlobSource, Clock, Error, Nvram, Radio, Region, SdioBus, SdioError, SdioErrorKind, Width};
use embedded_hal_async::delay::DelayNs;
use peripherals::SdioCard;

pub type Shared = Rc<RefCell<SdioCard>>;

/// What a controller notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure(pub SdioErrorKind);

impl SdioError for Failure {
    fn kind(&self) -> SdioErrorKind {
        self.0
    }
}

impl core::fmt::Display for Failure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl core::error::Error for Failure {}

/// A controller as simple as can be; as wide and as fast as it was told.
pub struct Controller {
    pub card: Shared,
    wide: bool,
    clock: Clock,
    /// After so many commands the controller itself fails.
    pub fails_after: u64,
}

impl Controller {
    pub fn new(card: &Shared) -> Self {
        Self { card: card.clone(), wide: true, clock: Clock::Transfer, fails_after: u64::MAX }
    }

    fn send(&mut self, command: Command) -> Result<u32, Failure> {
        self.fails_after = self.fails_after.checked_sub(1).ok_or(Failure(SdioErrorKind::Other))?;
        let mut card = self.card.borrow_mut();
        let is_identification = matches!(command.index, 0 | 3 | 5 | 7);
        assert!(!is_identification || self.clock == Clock::Identification, "CMD{} too fast", command.index);
        card.elapse(10_000);
        match card.command(command.index, command.argument) {
            _ if command.response == Response::None => Ok(0),
            answer => answer.ok_or(Failure(SdioErrorKind::NoResponse)),
        }
    }

    fn data(&self, transfer: Transfer, len: usize) {
        let bytes = transfer.size.bytes();
        assert_eq!(bytes, len);
        let card = self.card.borrow();
        assert_eq!(self.wide, card.is_wide(), "both ends agree on the width");
        assert!(bytes.is_multiple_of(64) || bytes.is_power_of_two(), "{bytes} bytes");
    }
}

impl SdioBus for Controller {
    type Error = Failure;

    fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    fn set_width(&mut self, width: Width) {
        self.wide = width == Width::Four;
    }

    async fn command(&mut self, command: Command) -> Result<u32, Failure> {
        self.send(command)
    }

    async fn read(&mut self, transfer: Transfer, out: &mut [u8]) -> Result<u32, Failure> {
        self.data(transfer, out.len());
        let answer = self.send(transfer.command(false))?;
        if self.card.borrow().announced() == Some((out.len(), false)) {
            let data = self.card.borrow_mut().read_data();
            out.copy_from_slice(&data.ok_or(Failure(SdioErrorKind::Data))?);
        }
        Ok(answer)
    }

    async fn write(&mut self, transfer: Transfer, data: &[u8]) -> Result<u32, Failure> {
        self.data(transfer, data.len());
        let answer = self.send(transfer.command(true))?;
        let mut card = self.card.borrow_mut();
        if card.announced() == Some((data.len(), true)) && !card.write_data(data) {
            return Err(Failure(SdioErrorKind::Data));
        }
        Ok(answer)
    }
}

/// Time passes for the card.
pub struct Delay(pub Shared);

impl DelayNs for Delay {
    async fn delay_ns(&mut self, ns: u32) {
        self.0.borrow_mut().elapse(ns.into());
    }
}

/// A flash whose reads can fail.
pub struct Flash {
    pub bytes: Vec<u8>,
    pub fails_after: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadFailed;

impl core::fmt::Display for ReadFailed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("read failed")
    }
}

impl core::error::Error for ReadFailed {}

impl BlobSource for Flash {
    type Error = ReadFailed;

    async fn read(&mut self, address: u32, out: &mut [u8]) -> Result<(), ReadFailed> {
        self.fails_after = self.fails_after.checked_sub(1).ok_or(ReadFailed)?;
        let address = usize::try_from(address).unwrap();
        out.copy_from_slice(self.bytes.get(address..address + out.len()).ok_or(ReadFailed)?);
        Ok(())
    }
}

/// A firmware of `len` bytes, vectors first, that repeats itself nowhere within a window.
pub fn firmware(len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        (0_u32..).flat_map(|word| (word + 1).wrapping_mul(0x9E37_79B1).to_be_bytes()).take(len).collect();
    // Not blank at its end.
    if let Some(last) = bytes.last_mut() {
        *last = 0x5A;
    }
    bytes
}

/// The AZ3166's QSPI flash with a firmware in its place.
pub fn flash(firmware: &[u8]) -> Flash {
    let mut bytes = vec![0xFF; 0x20_0000];
    bytes[..0x2000].fill(0x11);
    bytes[0x2000..0x2000 + firmware.len()].copy_from_slice(firmware);
    bytes[0x7_0000..0x7_1000].fill(0x22);
    Flash { bytes, fails_after: u32::MAX }
}

pub const NVRAM: &[u8] = b"boardtype=0x0598\0xtalfreq=26000\0maxp2ga0=74\0";

pub type Outcome = Result<Radio<Controller, Delay>, Error<Failure, ReadFailed>>;

pub fn bring_up_with(controller: Controller, source: &mut Flash, nvram: &[u8]) -> Outcome {
    let delay = Delay(controller.card.clone());
    let nvram = Nvram::new(nvram).unwrap();
    embassy_futures::block_on(Radio::bring_up(controller, delay, source, Region::AZ3166, nvram))
}

pub fn bring_up(card: &Shared, source: &mut Flash) -> Outcome {
    bring_up_with(Controller::new(card), source, NVRAM)
}

pub fn card() -> Shared {
    Rc::new(RefCell::new(SdioCard::new()))
}
