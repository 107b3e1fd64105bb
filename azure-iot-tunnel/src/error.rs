//! What can go wrong between a stream and the stream on top of it.

use azure_iot_common::Error as RequestError;
use core::fmt;
use embedded_io_async::ErrorKind;

/// Why there is no tunnel, or why it ended. `E` is the error of the stream below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Error<E> {
    /// The stream below failed.
    Io(E),
    /// The stream below took no bytes.
    WriteZero,
    /// The stream below ended in a handshake, in a frame, or without a Close frame.
    Truncated,
    /// The request cannot be written: the buffer is too small, or a host, path or credential cannot be sent.
    Request(RequestError),
    /// What answers does not speak HTTP/1.0 or 1.1.
    NotHttp,
    /// The head of an HTTP answer, or one of its lines, is longer than allowed: see [`http`](crate::http).
    HeadTooLong,
    /// The proxy wants to know who asks (407; tinyproxy says 401 to a wrong password): there are no credentials, they
    /// are wrong, or it does not take Basic.
    ProxyAuthentication,
    /// The proxy refuses, with this status: 403 mostly means that host or port are not allowed, 502 to 504 that it
    /// cannot reach the host.
    ProxyRefused {
        /// The HTTP status.
        status: u16,
    },
    /// The server does not switch to WebSockets but answers with this status.
    UpgradeRefused {
        /// The HTTP status.
        status: u16,
    },
    /// The server switches to something else than what was asked for.
    Handshake(HandshakeFault),
    /// A frame that RFC 6455 or MQTT forbids.
    Frame(FrameFault),
    /// The server closed the WebSocket, with this code (RFC 6455, section 7.4; 1005: it gave none).
    Closed {
        /// The code.
        code: u16,
    },
}

/// What is wrong with an answer that switches protocols (RFC 6455, section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum HandshakeFault {
    /// `Upgrade` is not there or not `websocket`, or the answer is of HTTP/1.0.
    Upgrade,
    /// `Connection` is not there or not `Upgrade`.
    Connection,
    /// `Sec-WebSocket-Accept` is not there, there twice, or not the answer to this request's key: an old answer from a
    /// cache, say.
    Accept,
    /// `Sec-WebSocket-Protocol` is not there, there twice, or not `mqtt`.
    Protocol,
    /// The server uses an extension; none was offered.
    Extension,
}

/// What is wrong with a frame (RFC 6455, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FrameFault {
    /// A reserved bit, or a reserved opcode.
    Reserved,
    /// Frames of a server are not masked.
    Masked,
    /// A length with the highest bit, or one written longer than necessary.
    Length,
    /// A control frame of more than 125 bytes.
    ControlTooLong,
    /// A control frame that is not whole.
    ControlFragmented,
    /// A continuation of nothing.
    Continuation,
    /// A new message within a fragmented one.
    Interleaved,
    /// Text: MQTT is sent in binary frames only (MQTT 3.1.1, section 6).
    Text,
    /// A Close frame with one byte, with a code that may not be sent, or with a reason that is not UTF-8.
    Close,
}

impl FrameFault {
    /// The code that the connection is closed with (RFC 6455, section 7.4.1).
    #[must_use]
    pub const fn close_code(self) -> u16 {
        match self {
            Self::Text => 1003,
            _ => 1002,
        }
    }
}

impl<E> Error<E> {
    /// Whether the same connection may succeed later without anybody changing anything; of an error of the stream
    /// below `below` knows.
    #[must_use]
    pub fn is_retriable(&self, below: impl FnOnce(&E) -> bool) -> bool {
        match self {
            Self::Io(error) => below(error),
            Self::ProxyRefused { status } | Self::UpgradeRefused { status } => {
                matches!(status, 408 | 425 | 429 | 500 | 502..=504)
            }
            Self::WriteZero | Self::Truncated | Self::Frame(_) | Self::Closed { .. } => true,
            Self::Request(_)
            | Self::NotHttp
            | Self::HeadTooLong
            | Self::ProxyAuthentication
            | Self::Handshake(_) => false,
        }
    }

    /// The same with another error of the stream below.
    pub fn map_io<F>(self, map: impl FnOnce(E) -> F) -> Error<F> {
        match self {
            Self::Io(error) => Error::Io(map(error)),
            Self::WriteZero => Error::WriteZero,
            Self::Truncated => Error::Truncated,
            Self::Request(cause) => Error::Request(cause),
            Self::NotHttp => Error::NotHttp,
            Self::HeadTooLong => Error::HeadTooLong,
            Self::ProxyAuthentication => Error::ProxyAuthentication,
            Self::ProxyRefused { status } => Error::ProxyRefused { status },
            Self::UpgradeRefused { status } => Error::UpgradeRefused { status },
            Self::Handshake(fault) => Error::Handshake(fault),
            Self::Frame(fault) => Error::Frame(fault),
            Self::Closed { code } => Error::Closed { code },
        }
    }
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::WriteZero => f.write_str("the stream takes no bytes"),
            Self::Truncated => f.write_str("the connection was cut"),
            Self::Request(cause) => cause.fmt(f),
            Self::NotHttp => f.write_str("what answers does not speak HTTP"),
            Self::HeadTooLong => f.write_str("the HTTP answer has too long a head"),
            Self::ProxyAuthentication => {
                f.write_str("the proxy wants a user name and password, or other ones")
            }
            Self::ProxyRefused { status: 403 } => {
                f.write_str("the proxy does not allow this host or port (403)")
            }
            Self::ProxyRefused { status: status @ 502..=504 } => {
                write!(f, "the proxy cannot reach the host ({status})")
            }
            Self::ProxyRefused { status } => write!(f, "the proxy refuses with status {status}"),
            Self::UpgradeRefused { status } => {
                write!(f, "the server does not take WebSockets here, but answers with status {status}")
            }
            Self::Handshake(fault) => write!(f, "the server does not switch to WebSockets properly: {fault}"),
            Self::Frame(fault) => write!(f, "the server sent a WebSocket frame that is not allowed: {fault}"),
            Self::Closed { code: 1005 } => f.write_str("the server closed the WebSocket"),
            Self::Closed { code } => write!(f, "the server closed the WebSocket with code {code}"),
        }
    }
}

impl fmt::Display for HandshakeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Upgrade => "Upgrade is missing or wrong",
            Self::Connection => "Connection is missing or wrong",
            Self::Accept => "Sec-WebSocket-Accept is missing or wrong",
            Self::Protocol => "Sec-WebSocket-Protocol is missing or not mqtt",
            Self::Extension => "it uses an extension that was not offered",
        })
    }
}

impl fmt::Display for FrameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reserved => "reserved bit or opcode",
            Self::Masked => "masked",
            Self::Length => "malformed length",
            Self::ControlTooLong => "control frame of more than 125 bytes",
            Self::ControlFragmented => "control frame in fragments",
            Self::Continuation => "continuation of no message",
            Self::Interleaved => "message within a message",
            Self::Text => "text",
            Self::Close => "malformed Close",
        })
    }
}

impl core::error::Error for HandshakeFault {}
impl core::error::Error for FrameFault {}

impl<E: core::error::Error> core::error::Error for Error<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Handshake(fault) => Some(fault),
            Self::Frame(fault) => Some(fault),
            Self::Request(cause) => Some(cause),
            // The text of `Io` is that of its cause, which need not be 'static.
            _ => None,
        }
    }
}

impl<E: embedded_io_async::Error> embedded_io_async::Error for Error<E> {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Io(error) => error.kind(),
            Self::WriteZero => ErrorKind::WriteZero,
            Self::Truncated => ErrorKind::ConnectionAborted,
            Self::Request(RequestError::BufferTooSmall { .. }) => ErrorKind::OutOfMemory,
            Self::Request(RequestError::Invalid { .. }) => ErrorKind::InvalidInput,
            Self::ProxyAuthentication => ErrorKind::PermissionDenied,
            Self::ProxyRefused { .. } | Self::UpgradeRefused { .. } => ErrorKind::ConnectionRefused,
            Self::NotHttp | Self::HeadTooLong | Self::Handshake(_) | Self::Frame(_) => ErrorKind::InvalidData,
            Self::Closed { .. } => ErrorKind::ConnectionReset,
        }
    }
}

impl<E> From<RequestError> for Error<E> {
    fn from(cause: RequestError) -> Self {
        Self::Request(cause)
    }
}

impl<E> From<HandshakeFault> for Error<E> {
    fn from(fault: HandshakeFault) -> Self {
        Self::Handshake(fault)
    }
}

impl<E> From<FrameFault> for Error<E> {
    fn from(fault: FrameFault) -> Self {
        Self::Frame(fault)
    }
}
