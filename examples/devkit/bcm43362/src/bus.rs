//! What the bring-up needs of an SDIO controller.

use core::fmt::Debug;

use crate::command::{Command, Transfer};

/// How fast the bus runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// At most 400 kHz: while the card is being identified.
    Identification,
    /// At most 25 MHz: default speed.
    Transfer,
}

/// How many data lines the bus has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// D0.
    One,
    /// D0 to D3.
    Four,
}

/// An SDIO controller, powered, with its card out of reset.
///
/// Every wait in it has to end: a card that does not answer is [`SdioErrorKind::NoResponse`], one that does not
/// deliver or take data [`SdioErrorKind::Data`]. Transfers have powers of two as byte counts below a block, since
/// not every controller can do others.
#[allow(async_fn_in_trait, reason = "used on single-core executors only")]
pub trait SdioBus {
    /// Why something failed.
    type Error: SdioError;

    /// Sets the clock.
    fn set_clock(&mut self, clock: Clock);

    /// Sets the width.
    fn set_width(&mut self, width: Width);

    /// Sends a command without data and gives the 32 bits of its answer; 0 for one without.
    ///
    /// # Errors
    /// The controller's.
    async fn command(&mut self, command: Command) -> Result<u32, Self::Error>;

    /// Sends a transfer's command, reads `out`, as long as the transfer, and gives the command's answer.
    ///
    /// # Errors
    /// The controller's.
    async fn read(&mut self, transfer: Transfer, out: &mut [u8]) -> Result<u32, Self::Error>;

    /// Sends a transfer's command, writes `data`, as long as the transfer, and gives the command's answer.
    ///
    /// # Errors
    /// The controller's.
    async fn write(&mut self, transfer: Transfer, data: &[u8]) -> Result<u32, Self::Error>;
}

impl<T: SdioBus> SdioBus for &mut T {
    type Error = T::Error;

    fn set_clock(&mut self, clock: Clock) {
        T::set_clock(self, clock);
    }

    fn set_width(&mut self, width: Width) {
        T::set_width(self, width);
    }

    async fn command(&mut self, command: Command) -> Result<u32, Self::Error> {
        T::command(self, command).await
    }

    async fn read(&mut self, transfer: Transfer, out: &mut [u8]) -> Result<u32, Self::Error> {
        T::read(self, transfer, out).await
    }

    async fn write(&mut self, transfer: Transfer, data: &[u8]) -> Result<u32, Self::Error> {
        T::write(self, transfer, data).await
    }
}

/// A controller's error, as far as the bring-up has to know it.
pub trait SdioError: Debug {
    /// What kind it is.
    fn kind(&self) -> SdioErrorKind;
}

/// Kinds of errors of a controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SdioErrorKind {
    /// No answer in time. Worth another attempt.
    NoResponse,
    /// The answer has a wrong checksum. Worth another attempt.
    ResponseCrc,
    /// Data did not come in time, or have a wrong checksum. Worth another attempt.
    Data,
    /// The controller itself failed.
    Other,
}

impl SdioErrorKind {
    /// Whether the same command may succeed.
    #[must_use]
    pub const fn is_retriable(self) -> bool {
        !matches!(self, Self::Other)
    }
}
