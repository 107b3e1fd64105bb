//! The crate's one error type.

use crate::translate::{Malformed, StreamError};
use azure_iot_common::json::JsonError;
use core::fmt;
use embedded_io_async::ErrorKind;

/// Everything that can go wrong in this crate.
///
/// [`Error::is_retriable`] says whether trying again later can help, [`Error::is_refusal`] whether the hub
/// turned the device away, so that registering again may help.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Error {
    /// A buffer is too small; `needed` bytes would have been enough.
    BufferTooSmall {
        /// Bytes needed.
        needed: usize,
    },
    /// A value breaks the service's rules.
    Invalid {
        /// Which value.
        what: &'static str,
        /// Byte position of the first offending byte; the length if the value is too short or too long.
        at: usize,
    },
    /// A topic is not of the kind asked for, or malformed; the text names the part at fault.
    BadTopic(&'static str),
    /// A document of the service is not JSON, or not of the form expected.
    Json(JsonError),
    /// A document of the service lacks this member, or it has the wrong type.
    BadMember(&'static str),
    /// The server refused the connection.
    ConnectionRefused(Refusal),
    /// The server refused a subscription; the connection stands.
    SubscriptionRefused,
    /// The connection ended: closed by the server, or no answer to a ping.
    Disconnected,
    /// The server ended the connection and said why.
    DisconnectedBy(DisconnectReason),
    /// The stream failed.
    Transport(ErrorKind),
    /// A packet is malformed.
    Malformed(Malformed),
    /// The server sent a packet that is well-formed but not acceptable now.
    Protocol,
    /// An answer did not come in time; the text names what was waited for.
    Timeout(&'static str),
    /// All room for messages in flight is taken: poll until some are delivered, then try again.
    Busy,
    /// The message is larger than the service or the transmit buffer takes.
    TooLarge,
    /// What the service sent is larger than the receive buffer.
    Oversized {
        /// Size of its packet in bytes: a buffer of 16 bytes more would have been enough.
        size: u32,
    },
    /// The flash of a queue fails.
    #[cfg(feature = "queue")]
    Flash(
        /// How.
        #[cfg_attr(feature = "defmt", defmt(Debug2Format))]
        embedded_storage_async::nor_flash::NorFlashErrorKind,
    ),
    /// The queue is full: the message was dropped.
    #[cfg(feature = "queue")]
    QueueFull,
    /// The flash area of a queue holds something else.
    #[cfg(feature = "queue")]
    QueueCorrupted,
    /// Registration failed.
    #[cfg(feature = "dps")]
    Registration(dps_client::Error),
    /// The connection to the provisioning service ended before the registration was decided.
    #[cfg(feature = "dps")]
    RegistrationInterrupted(dps_client::Fault),
}

/// Why a server refused a connection (MQTT 3.1.1, section 3.2.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Refusal {
    /// 1: the server does not speak MQTT 3.1.1.
    ProtocolVersion,
    /// 2: the client id is not allowed.
    ClientId,
    /// 3: the service is not available, also when throttled or failing over. Try again later.
    Unavailable,
    /// 4: user name or password are malformed.
    Credentials,
    /// 5: unknown or disabled device, bad or expired token, wrong certificate.
    NotAuthorized,
    /// An MQTT 5 reason code 3.1.1 does not have.
    Other(u8),
}

impl Refusal {
    /// The CONNACK return code of MQTT 3.1.1; 255 for [`Refusal::Other`].
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::ProtocolVersion => 1,
            Self::ClientId => 2,
            Self::Unavailable => 3,
            Self::Credentials => 4,
            Self::NotAuthorized => 5,
            Self::Other(_) => 255,
        }
    }

    /// From an MQTT 5 reason code of CONNACK.
    pub(crate) fn from_reason(reason: u8) -> Self {
        match reason {
            0x84 => Self::ProtocolVersion,
            0x85 => Self::ClientId,
            0x88 | 0x89 => Self::Unavailable,
            0x86 => Self::Credentials,
            0x87 => Self::NotAuthorized,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ProtocolVersion => "the server does not speak MQTT 3.1.1",
            Self::ClientId => "the client id is not allowed",
            Self::Unavailable => "the service is not available",
            Self::Credentials => "user name or password are malformed",
            Self::NotAuthorized => "not authorized: unknown or disabled device, or wrong credential",
            Self::Other(code) => return write!(f, "reason 0x{code:02x}"),
        })
    }
}

/// Why a server ended a connection: the reason code of its DISCONNECT (MQTT 5, section 3.14.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DisconnectReason(pub u8);

impl DisconnectReason {
    /// The device is not welcome (any more).
    pub const NOT_AUTHORIZED: Self = Self(0x87);
    /// Another connection with the device's id took over.
    pub const SESSION_TAKEN_OVER: Self = Self(0x8E);
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            0x00 => "normal disconnection",
            0x81 => "malformed packet",
            0x82 => "protocol error",
            0x87 => "not authorized",
            0x89 => "server busy",
            0x8B => "server shutting down",
            0x8D => "keep-alive timeout",
            0x8E => "session taken over",
            0x90 => "topic name invalid",
            0x93 => "receive maximum exceeded",
            0x94 => "topic alias invalid",
            0x95 => "packet too large",
            0x96 => "message rate too high",
            0x97 => "quota exceeded",
            0x98 => "administrative action",
            0x99 => "payload format invalid",
            0x9B => "QoS not supported",
            other => return write!(f, "reason 0x{other:02x}"),
        };
        write!(f, "{text} (0x{:02x})", self.0)
    }
}

impl Error {
    /// Whether the same thing, tried again later, may succeed.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::ConnectionRefused(refusal) => matches!(refusal, Refusal::Unavailable | Refusal::Other(_)),
            #[cfg(feature = "dps")]
            Self::Registration(error) => error.is_retriable(),
            #[cfg(feature = "dps")]
            Self::RegistrationInterrupted(_) => true,
            Self::Disconnected
            | Self::DisconnectedBy(_)
            | Self::Transport(_)
            | Self::Malformed(_)
            | Self::Protocol
            | Self::Timeout(_)
            | Self::Busy
            | Self::SubscriptionRefused => true,
            #[cfg(feature = "queue")]
            Self::Flash(kind) => crate::queue::is_retriable(*kind),
            #[cfg(feature = "queue")]
            Self::QueueFull => true,
            #[cfg(feature = "queue")]
            Self::QueueCorrupted => false,
            Self::BufferTooSmall { .. }
            | Self::Invalid { .. }
            | Self::BadTopic(_)
            | Self::Json(_)
            | Self::BadMember(_)
            | Self::TooLarge
            | Self::Oversized { .. } => false,
        }
    }

    /// Whether the hub does not want this device (any more): registering again may tell its new hub.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::ConnectionRefused(Refusal::ClientId | Refusal::Credentials | Refusal::NotAuthorized)
                | Self::DisconnectedBy(DisconnectReason::NOT_AUTHORIZED)
        )
    }

    /// Whether the connection can still be used.
    #[must_use]
    pub fn is_local(&self) -> bool {
        #[cfg(feature = "queue")]
        if matches!(self, Self::Flash(_) | Self::QueueFull | Self::QueueCorrupted) {
            return true;
        }
        matches!(
            self,
            Self::BufferTooSmall { .. }
                | Self::Invalid { .. }
                | Self::BadTopic(_)
                | Self::Json(_)
                | Self::BadMember(_)
                | Self::Busy
                | Self::TooLarge
                | Self::Oversized { .. }
                | Self::SubscriptionRefused
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BufferTooSmall { needed } => write!(f, "buffer too small, {needed} bytes needed"),
            Self::Invalid { what, at } => write!(f, "invalid {what} at byte {at}"),
            Self::BadTopic(what) => write!(f, "topic of another kind or malformed: {what}"),
            Self::Json(e) => write!(f, "not the JSON expected: {e}"),
            Self::BadMember(name) => write!(f, "member `{name}` is missing or of the wrong type"),
            Self::ConnectionRefused(refusal) => write!(f, "connection refused: {refusal}"),
            Self::SubscriptionRefused => f.write_str("subscription refused"),
            Self::Disconnected => f.write_str("disconnected"),
            Self::DisconnectedBy(reason) => write!(f, "disconnected by the server: {reason}"),
            Self::Transport(kind) => write!(f, "transport failed: {kind:?}"),
            Self::Malformed(e) => write!(f, "{e}"),
            Self::Protocol => f.write_str("the server broke the protocol"),
            Self::Timeout(what) => write!(f, "no {what} in time"),
            Self::Busy => f.write_str("too many messages in flight"),
            Self::TooLarge => f.write_str("message too large"),
            Self::Oversized { size } => {
                write!(f, "the service sent {size} bytes, more than the receive buffer takes")
            }
            #[cfg(feature = "queue")]
            Self::Flash(kind) => write!(f, "the flash memory of the queue fails: {kind:?}"),
            #[cfg(feature = "queue")]
            Self::QueueFull => f.write_str("the queue is full: the message is dropped"),
            #[cfg(feature = "queue")]
            Self::QueueCorrupted => f.write_str("the flash area of the queue holds something else"),
            #[cfg(feature = "dps")]
            Self::Registration(e) => write!(f, "registration failed: {e}"),
            #[cfg(feature = "dps")]
            Self::RegistrationInterrupted(e) => write!(f, "registration interrupted: {e}"),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Json(e) => Some(e),
            Self::Malformed(e) => Some(e),
            #[cfg(feature = "dps")]
            Self::Registration(e) => Some(e),
            _ => None,
        }
    }
}

impl From<azure_iot_common::Error> for Error {
    fn from(error: azure_iot_common::Error) -> Self {
        match error {
            azure_iot_common::Error::BufferTooSmall { needed } => Self::BufferTooSmall { needed },
            azure_iot_common::Error::Invalid { what, at } => Self::Invalid { what, at },
        }
    }
}

#[cfg(feature = "dps")]
impl From<dps_client::Error> for Error {
    fn from(error: dps_client::Error) -> Self {
        match error {
            dps_client::Error::BufferTooSmall { needed } => Self::BufferTooSmall { needed },
            dps_client::Error::Invalid { what, at } => Self::Invalid { what, at },
            dps_client::Error::Json(e) => Self::Json(e),
            other => Self::Registration(other),
        }
    }
}

impl From<JsonError> for Error {
    fn from(error: JsonError) -> Self {
        Self::Json(error)
    }
}

impl<E: embedded_io_async::Error> From<StreamError<E>> for Error {
    fn from(error: StreamError<E>) -> Self {
        match error {
            StreamError::Transport(e) => Self::Transport(e.kind()),
            StreamError::WriteZero => Self::Transport(ErrorKind::WriteZero),
            StreamError::Stalled => Self::Timeout("room to write"),
            StreamError::Malformed(e) => Self::Malformed(e),
            StreamError::Disconnected(reason) => Self::DisconnectedBy(DisconnectReason(reason)),
        }
    }
}
