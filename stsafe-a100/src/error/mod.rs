//! Everything that can go wrong, one enum for the crate with the cause inside.

mod unsuitable;

use core::fmt;

use crate::code::Code;
pub use crate::status::Status;
pub use unsuitable::{ForeignSign, Unsuitable};

/// Which half of an exchange was under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Phase {
    /// Writing the command frame.
    Write,
    /// Reading the response frame.
    Read,
}

/// An error of a driver call; `E` is the bus error of the I2C implementation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Error<E> {
    /// The I2C bus failed with something else than a missing acknowledge.
    Bus {
        /// The half of the exchange that failed.
        phase: Phase,
        /// The bus error.
        source: E,
    },
    /// The chip did not acknowledge its address within the command's time limit.
    Timeout {
        /// The command.
        code: Code,
        /// [`Phase::Write`]: the chip never took the command. [`Phase::Read`]: it took it and did not answer.
        phase: Phase,
    },
    /// The response frame is malformed.
    Protocol(ProtocolError),
    /// The chip refused the command. A refusal is not authenticated, not even inside a host session: a hint.
    Device(Status),
    /// A check of the host session failed.
    Crypto(CryptoError),
    /// The call was refused before anything was sent.
    Input(InputError),
    /// The chip is absent, another one, half personalised, or does not do what was asked.
    Unsuitable(Unsuitable),
}

impl<E> Error<E> {
    /// Whether repeating the same call is safe and may help: the chip did not execute the command.
    ///
    /// After [`Status::InvalidCMac`] the session reads the counter anew before its next command. That status is not
    /// authenticated: who controls the bus can forge it, and with it a second execution.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Timeout { phase, .. } => *phase == Phase::Write,
            Self::Device(status) => status.is_frame_refused(),
            Self::Unsuitable(cause) => cause.is_retriable(),
            _ => false,
        }
    }

    /// Whether the chip may or may not have executed the command. Look at its state before repeating a command that
    /// changes something; inside a host session `resync` tells which.
    #[must_use]
    pub fn outcome_unknown(&self) -> bool {
        match self {
            Self::Bus { .. } | Self::Protocol(_) => true,
            Self::Timeout { phase, .. } => *phase == Phase::Read,
            Self::Crypto(cause) => matches!(cause, CryptoError::ResponseMac | CryptoError::Padding),
            Self::Device(_) | Self::Input(_) | Self::Unsuitable(_) => false,
        }
    }

    /// The status the chip gave, if it gave one.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        match self {
            Self::Device(status) => Some(*status),
            _ => None,
        }
    }
}

impl<E> From<ProtocolError> for Error<E> {
    fn from(cause: ProtocolError) -> Self {
        Self::Protocol(cause)
    }
}

impl<E> From<CryptoError> for Error<E> {
    fn from(cause: CryptoError) -> Self {
        Self::Crypto(cause)
    }
}

impl<E> From<InputError> for Error<E> {
    fn from(cause: InputError) -> Self {
        Self::Input(cause)
    }
}

impl<E> From<Unsuitable> for Error<E> {
    fn from(cause: Unsuitable) -> Self {
        Self::Unsuitable(cause)
    }
}

impl<E: fmt::Debug> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bus { phase, source } => write!(f, "I2C {} failed: {source:?}", phase.noun()),
            Self::Timeout { code, phase: Phase::Write } => {
                write!(
                    f,
                    "the chip does not acknowledge its address ({code:?}): address, pull-ups, reset pin?"
                )
            }
            Self::Timeout { code, phase: Phase::Read } => {
                write!(f, "the chip took the command {code:?} and did not answer within the time limit")
            }
            Self::Protocol(cause) => write!(f, "malformed response: {cause}"),
            Self::Device(status) => write!(f, "refused by the chip: {status}"),
            Self::Crypto(cause) => write!(f, "host session: {cause}"),
            Self::Input(cause) => write!(f, "refused before sending: {cause}"),
            Self::Unsuitable(cause) => cause.fmt(f),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for Error<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Protocol(cause) => Some(cause),
            Self::Crypto(cause) => Some(cause),
            Self::Input(cause) => Some(cause),
            Self::Unsuitable(cause) => Some(cause),
            Self::Bus { .. } | Self::Timeout { .. } | Self::Device(_) => None,
        }
    }
}

impl Phase {
    const fn noun(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
        }
    }
}

/// A frame or its content does not follow the protocol. Positions count from the first byte of the data field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ProtocolError {
    /// A reserved header bit is set. 0xFF usually is an empty bus: nothing answered.
    Header(u8),
    /// The length field is impossible: shorter than its checksum, or longer than the I/O buffer.
    LengthField(u16),
    /// The frame has another length than its length field or its flags say.
    FrameLength {
        /// Bytes there should be.
        expected: u16,
        /// Bytes there are.
        actual: u16,
    },
    /// The checksum is wrong.
    Crc {
        /// As received.
        received: u16,
        /// Over the bytes received.
        computed: u16,
    },
    /// Two reads of the same response differ.
    Unstable,
    /// An R-MAC nobody asked for.
    UnexpectedMac,
    /// The R-MAC asked for is missing.
    MissingMac,
    /// The data field ends early or goes on too long.
    DataLength {
        /// Bytes there should be (at least, if more were needed).
        expected: u16,
        /// Bytes there are.
        actual: u16,
    },
    /// The byte at this position of the data field has no meaning there.
    Value {
        /// Position.
        at: u16,
        /// The byte.
        value: u8,
    },
    /// A command code this chip family does not have.
    UnknownCommand(u8),
    /// The echo is not what was sent.
    EchoMismatch,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(0xFF) => f.write_str("header 0xFF, an idle bus"),
            Self::Header(header) => write!(f, "reserved bits in header 0x{header:02X}"),
            Self::LengthField(len) => write!(f, "impossible length field {len}"),
            Self::FrameLength { expected, actual } => {
                write!(f, "frame of {actual} bytes where {expected} belong")
            }
            Self::Crc { received, computed } => {
                write!(f, "checksum 0x{received:04X} where 0x{computed:04X} belongs")
            }
            Self::Unstable => f.write_str("two reads of one response differ"),
            Self::UnexpectedMac => f.write_str("an R-MAC that was not asked for"),
            Self::MissingMac => f.write_str("the R-MAC is missing"),
            Self::DataLength { expected, actual } => {
                write!(f, "{actual} data bytes where {expected} belong")
            }
            Self::Value { at, value } => write!(f, "byte 0x{value:02X} at data offset {at}"),
            Self::UnknownCommand(code) => write!(f, "unknown command code 0x{code:02X}"),
            Self::EchoMismatch => f.write_str("the echo differs from what was sent"),
        }
    }
}

impl core::error::Error for ProtocolError {}

/// A cryptographic check failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum CryptoError {
    /// The R-MAC is wrong: the response is forged, damaged, or made with another key.
    ResponseMac,
    /// The decrypted text is not padded as it must be, or not a whole number of blocks.
    Padding,
    /// The C-MAC counter has no next value; the host keys are used up.
    CounterExhausted,
    /// The chip tells a lower C-MAC counter than it has told before: a recorded session is replayed, or it is another
    /// chip.
    CounterWentBack,
    /// The chip holds no host keys.
    NoHostKeys,
}

impl fmt::Display for CryptoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ResponseMac => "the response MAC is wrong",
            Self::Padding => "the decrypted response is not padded correctly",
            Self::CounterExhausted => "the C-MAC counter is exhausted",
            Self::CounterWentBack => "the C-MAC counter went back: a recorded session, or another chip",
            Self::NoHostKeys => "the chip holds no host keys",
        })
    }
}

impl core::error::Error for CryptoError {}

/// An argument that must not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum InputError {
    /// The command or the argument is longer than the chip's buffer allows.
    TooLong {
        /// Largest length in bytes.
        max: u16,
    },
    /// The length is not one of those the command takes.
    Length {
        /// Bytes given.
        actual: u16,
    },
    /// An all-zero digest, which hangs the chip.
    ZeroDigest,
    /// The offset and length leave the 16-bit address range of a zone.
    ZoneRange,
    /// The key, the signature and the digest are not of one curve.
    CurveMismatch,
    /// The value is outside the field it belongs in.
    Value,
    /// There is no session to sign: start it first.
    NoSignatureSession,
    /// The chip is busy with another call of the same key.
    Busy,
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { max } => write!(f, "longer than {max} bytes"),
            Self::Length { actual } => write!(f, "a length of {actual} bytes does not fit here"),
            Self::ZeroDigest => f.write_str("an all-zero digest hangs the chip"),
            Self::ZoneRange => f.write_str("offset and length exceed 65535"),
            Self::CurveMismatch => f.write_str("key, signature and digest are not of one curve"),
            Self::Value => f.write_str("a value is out of range"),
            Self::NoSignatureSession => f.write_str("no signature session was started"),
            Self::Busy => f.write_str("another call is under way"),
        }
    }
}

impl core::error::Error for InputError {}
