//! What can go wrong, and where.

use core::convert::Infallible;
use core::fmt;

use crate::nvram::NvramError;

/// How far the bring-up had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// The card is found, gets its address and is selected.
    Identification,
    /// Width and block sizes are set.
    CommonRegisters,
    /// The backplane function is enabled.
    BackplaneFunction,
    /// The crystal's clock is requested.
    CrystalClock,
    /// The chip says what it is.
    ChipId,
    /// The processor is stopped and the memory reset.
    Stop,
    /// Firmware and settings are written to the memory.
    Upload,
    /// They are read back.
    Verification,
    /// The processor is started.
    Start,
    /// The firmware starts the fast clock.
    FastClock,
    /// The firmware serves the WLAN function.
    WlanFunction,
    /// The firmware is set up by its first commands.
    Setup,
    /// Frames go both ways.
    Frames,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identification => "identification of the card",
            Self::CommonRegisters => "set-up of the bus",
            Self::BackplaneFunction => "start of the backplane function",
            Self::CrystalClock => "start of the crystal's clock",
            Self::ChipId => "reading the chip's id",
            Self::Stop => "stopping the processor",
            Self::Upload => "upload",
            Self::Verification => "verification of the upload",
            Self::Start => "start of the processor",
            Self::FastClock => "wait for the fast clock",
            Self::WlanFunction => "start of the WLAN function",
            Self::Setup => "set-up of the radio's firmware",
            Self::Frames => "exchange of frames",
        })
    }
}

/// Why the radio did not come up; `B` is the controller's error, `S` that of the firmware's source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error<B, S> {
    /// The controller failed, after all attempts.
    Bus {
        /// When.
        step: Step,
        /// Why.
        source: B,
    },
    /// The card refused a command, with these bits of [`R5`](crate::command::R5).
    Refused {
        /// When.
        step: Step,
        /// The error bits.
        flags: u8,
    },
    /// Something did not happen in its time.
    Timeout {
        /// What.
        step: Step,
    },
    /// The card cannot be the radio: too few functions, or not for 3.3 V.
    WrongCard {
        /// Its answer to CMD5.
        ocr: u32,
    },
    /// Another chip.
    WrongChip {
        /// Its id; that of the right one is 0xA962.
        id: u16,
    },
    /// The firmware's source failed.
    Source(S),
    /// There is no firmware in the source: it is blank.
    NoFirmware,
    /// Firmware and settings do not fit into the radio's memory.
    TooLarge {
        /// Bytes they need.
        needed: u32,
        /// Bytes there are.
        available: u32,
    },
    /// The settings (NVRAM) are not valid.
    Nvram(NvramError),
    /// The memory holds something else than was written.
    Damaged {
        /// The first address that differs.
        address: u32,
    },
    /// The radio's firmware refuses a command that every one has to take.
    Rejected {
        /// When.
        step: Step,
        /// The command's number.
        command: u16,
        /// The firmware's error number; 0 if it took the command and did not act on it.
        status: i32,
    },
    /// The radio does not answer any more, sends nonsense only, or says that its firmware has stopped.
    Hung {
        /// When.
        step: Step,
    },
}

/// An error that no source of firmware has part in.
pub(crate) type BusError<B> = Error<B, Infallible>;

impl<B> BusError<B> {
    /// The same where there is a source.
    pub(crate) fn with_source<S>(self) -> Error<B, S> {
        match self {
            Self::Bus { step, source } => Error::Bus { step, source },
            Self::Refused { step, flags } => Error::Refused { step, flags },
            Self::Timeout { step } => Error::Timeout { step },
            Self::WrongCard { ocr } => Error::WrongCard { ocr },
            Self::WrongChip { id } => Error::WrongChip { id },
            Self::Source(never) => match never {},
            Self::NoFirmware => Error::NoFirmware,
            Self::TooLarge { needed, available } => Error::TooLarge { needed, available },
            Self::Nvram(error) => Error::Nvram(error),
            Self::Damaged { address } => Error::Damaged { address },
            Self::Rejected { step, command, status } => Error::Rejected { step, command, status },
            Self::Hung { step } => Error::Hung { step },
        }
    }
}

impl<B: fmt::Debug, S: fmt::Debug> fmt::Display for Error<B, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bus { step, source } => write!(f, "{step}: {source:?}"),
            Self::Refused { step, flags } => write!(f, "{step}: the card refused with {flags:#04x}"),
            Self::Timeout { step } => write!(f, "{step}: timed out"),
            Self::WrongCard { ocr } => write!(f, "not the radio: a card with OCR {ocr:#010x}"),
            Self::WrongChip { id } => write!(f, "not a BCM43362: chip {id:#06x}"),
            Self::Source(error) => write!(f, "the radio's firmware cannot be read: {error:?}"),
            Self::NoFirmware => f.write_str("there is no firmware for the radio"),
            Self::TooLarge { needed, available } => {
                write!(f, "the radio's firmware needs {needed} bytes, there are {available}")
            }
            Self::Nvram(error) => error.fmt(f),
            Self::Damaged { address } => write!(f, "the upload is damaged at {address:#x}"),
            Self::Rejected { step, command, status } => {
                write!(f, "{step}: the radio refuses command {command} ({status})")
            }
            Self::Hung { step } => write!(f, "{step}: the radio has stopped"),
        }
    }
}

impl<B, S> core::error::Error for Error<B, S>
where
    B: core::error::Error + 'static,
    S: core::error::Error + 'static,
{
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Bus { source, .. } => Some(source),
            Self::Source(source) => Some(source),
            Self::Nvram(source) => Some(source),
            _ => None,
        }
    }
}
