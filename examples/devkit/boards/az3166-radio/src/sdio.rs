//! The radio's card at the SDIO controller (RM0402 §28), by polling.
//!
//! The core moves the FIFO's words itself: a transfer of 512 bytes takes 85 microseconds at 12 MHz on four lines, and
//! the FIFO lasts for 21 of them. Interrupts are not masked. One that takes longer spoils the transfer, which is
//! [`SdioFault::Data`] and is done again.

use bcm43362::command::{Command, R5, Response, Transfer};
use bcm43362::{Clock, SdioBus, SdioError, SdioErrorKind, Width};
use stm32_metapac::gpio::vals::Pupdr;
use stm32_metapac::sdmmc::regs::{Icr, Star};
use stm32_metapac::{GPIOB, GPIOC, GPIOD, RCC, SDIO};

use crate::pins::{assign, enable_ports};

/// The pins' function.
const FUNCTION: u8 = 12;
/// Divides 48 MHz by 120 and by 4.
const IDENTIFICATION: u8 = 118;
const TRANSFER: u8 = 2;
/// 100 ms at 12 MHz.
const DATA_CLOCKS: u32 = 1_200_000;
/// Polls for an answer or for data: far more than the controller's own time limits take.
const POLLS: u32 = 10_000_000;
/// Words that are moved at once when the FIFO is half full.
const BURST: usize = 8;

/// What the controller noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SdioFault {
    /// No answer.
    NoResponse,
    /// An answer with a wrong checksum.
    ResponseCrc,
    /// Data with a wrong checksum, too late, or faster or slower than they were moved.
    Data,
    /// It does not get ready.
    Hangs,
}

impl SdioError for SdioFault {
    fn kind(&self) -> SdioErrorKind {
        match self {
            Self::NoResponse => SdioErrorKind::NoResponse,
            Self::ResponseCrc => SdioErrorKind::ResponseCrc,
            Self::Data => SdioErrorKind::Data,
            Self::Hangs => SdioErrorKind::Other,
        }
    }
}

impl core::fmt::Display for SdioFault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NoResponse => "no answer",
            Self::ResponseCrc => "a damaged answer",
            Self::Data => "damaged or late data",
            Self::Hangs => "the controller hangs",
        })
    }
}

impl core::error::Error for SdioFault {}

/// The controller.
#[derive(Debug)]
pub struct Sdio(());

impl Sdio {
    /// Sets the controller and its pins up. Nothing else may use them; the 48 MHz clock must run.
    #[must_use]
    pub fn new() -> Self {
        enable_ports();
        RCC.apb2enr().modify(|register| register.set_sdioen(true));
        for (port, pin) in [(GPIOD, 2), (GPIOC, 8), (GPIOC, 9), (GPIOC, 10), (GPIOB, 5)] {
            assign(port, pin, FUNCTION, Pupdr::PULL_UP);
        }
        assign(GPIOC, 12, FUNCTION, Pupdr::FLOATING);
        SDIO.power().write(|register| register.set_pwrctrl(3));
        let mut sdio = Self(());
        sdio.set_clock(Clock::Identification);
        sdio
    }

    fn send(command: Command) -> Result<u32, SdioFault> {
        clear_flags();
        SDIO.argr().write(|register| register.set_cmdarg(command.argument));
        SDIO.cmdr().write(|register| {
            register.set_cmdindex(command.index);
            register.set_waitresp(u8::from(command.response != Response::None));
            register.set_cpsmen(true);
        });
        for _ in 0..POLLS {
            let status = SDIO.star().read();
            if status.ctimeout() {
                return Err(SdioFault::NoResponse);
            }
            // What has no checksum has a wrong one.
            if status.ccrcfail() && command.response != Response::ShortWithoutCrc {
                return Err(SdioFault::ResponseCrc);
            }
            if status.cmdsent() || status.cmdrend() || status.ccrcfail() {
                return Ok(SDIO.respr(0).read().cardstatus());
            }
        }
        Err(SdioFault::Hangs)
    }

    /// Readies the data path.
    fn begin(transfer: Transfer, from_card: bool) {
        let block = match transfer.size {
            bcm43362::command::Size::Bytes(count) => count,
            bcm43362::command::Size::Blocks { size, .. } => size,
        };
        SDIO.dtimer().write(|register| register.set_datatime(DATA_CLOCKS));
        SDIO.dlenr().write(|register| {
            register.set_datalength(u32::try_from(transfer.size.bytes()).unwrap_or(u32::MAX));
        });
        SDIO.dctrl().write(|register| {
            register
                .set_dblocksize(u8::try_from(block.checked_ilog2().unwrap_or_default()).unwrap_or_default());
            register.set_dtdir(from_card);
            register.set_dten(true);
        });
    }

    fn stop() {
        SDIO.dctrl().write(|_| {});
    }
}

impl Default for Sdio {
    fn default() -> Self {
        Self::new()
    }
}

/// Clears every flag that stays.
fn clear_flags() {
    SDIO.icr().write_value(Icr(0x00C0_07FF));
}

fn has_failed(status: Star) -> bool {
    status.dcrcfail() || status.dtimeout() || status.rxoverr() || status.txunderr() || status.stbiterr()
}

/// Takes the words of `out` from the FIFO.
fn receive(out: &mut [u8]) -> Result<(), SdioFault> {
    let mut words = out.chunks_mut(4);
    let mut next = || {
        let Some(piece) = words.next() else { return };
        let word = SDIO.fifor().read().fifodata().to_le_bytes();
        piece.iter_mut().zip(word).for_each(|(to, from)| *to = from);
    };
    for _ in 0..POLLS {
        let status = SDIO.star().read();
        if has_failed(status) {
            return Err(SdioFault::Data);
        }
        if status.rxfifohf() {
            (0..BURST).for_each(|_| next());
        } else if status.rxdavl() {
            next();
        } else if status.dataend() {
            return Ok(());
        }
    }
    Err(SdioFault::Hangs)
}

/// Puts the words of `data` into the FIFO, and waits until the card has taken them.
fn transmit(data: &[u8]) -> Result<(), SdioFault> {
    let mut words = data.chunks(4);
    let mut next = || {
        let Some(piece) = words.next() else { return };
        let mut word = [0; 4];
        word.iter_mut().zip(piece).for_each(|(to, from)| *to = *from);
        SDIO.fifor().write(|register| register.set_fifodata(u32::from_le_bytes(word)));
    };
    for _ in 0..POLLS {
        let status = SDIO.star().read();
        if has_failed(status) {
            return Err(SdioFault::Data);
        }
        if status.dataend() {
            return Ok(());
        }
        if status.txfifohe() {
            (0..BURST).for_each(|_| next());
        }
    }
    Err(SdioFault::Hangs)
}

impl SdioBus for Sdio {
    type Error = SdioFault;

    fn set_clock(&mut self, clock: Clock) {
        SDIO.clkcr().modify(|register| {
            register.set_clkdiv(match clock {
                Clock::Identification => IDENTIFICATION,
                Clock::Transfer => TRANSFER,
            });
            register.set_clken(true);
        });
    }

    fn set_width(&mut self, width: Width) {
        SDIO.clkcr().modify(|register| register.set_widbus(u8::from(width == Width::Four)));
    }

    async fn command(&mut self, command: Command) -> Result<u32, SdioFault> {
        Self::send(command)
    }

    async fn read(&mut self, transfer: Transfer, out: &mut [u8]) -> Result<u32, SdioFault> {
        // The card may send at once, so the data path waits before the command goes out.
        Self::begin(transfer, true);
        let result = Self::send(transfer.command(false)).and_then(|answer| {
            if R5(answer).errors() == 0 {
                receive(out)?;
            }
            Ok(answer)
        });
        Self::stop();
        result
    }

    async fn write(&mut self, transfer: Transfer, data: &[u8]) -> Result<u32, SdioFault> {
        let answer = Self::send(transfer.command(true))?;
        if R5(answer).errors() != 0 {
            return Ok(answer);
        }
        Self::begin(transfer, false);
        let result = transmit(data);
        Self::stop();
        result.map(|()| answer)
    }
}
