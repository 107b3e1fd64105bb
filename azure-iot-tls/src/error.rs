//! What can go wrong with TLS: which check refused the server, which alert the server sent, or what failed here.

use core::fmt;
use embedded_io_async::ErrorKind;

/// Why a TLS connection was not made, or ended.
///
/// The same variants come from every adapter. Where an adapter cannot tell two apart, its documentation says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Error {
    /// The server's certificate is not for the host asked for.
    WrongHost,
    /// A certificate of the server is past its last day, by the time given.
    Expired,
    /// A certificate of the server is before its first day, by the time given: mostly the device's clock is wrong.
    NotYetValid,
    /// The chain does not end in one of the roots.
    UnknownCa,
    /// A certificate was signed by one that has no right to (basicConstraints or keyUsage).
    NotACa,
    /// The chain has more certificates below a CA than that CA allows.
    PathTooLong,
    /// A certificate is not for server authentication (extended key usage, key usage), or a name constraint of a CA
    /// excludes it.
    WrongUsage,
    /// A certificate is malformed, or has a critical extension that is not understood.
    BadCertificate,
    /// A certificate has been revoked.
    Revoked,
    /// A key or signature of the server is of a kind this adapter does not verify.
    UnsupportedAlgorithm,
    /// A signature does not verify.
    BadSignature(Signed),
    /// The server wants an older protocol than both sides speak.
    Downgrade,
    /// The handshake failed while a session of an earlier connection was offered, before the server showed a
    /// certificate. The session is not offered again: the next handshake is a full one.
    NotResumed,
    /// The server went on without sending a certificate.
    NoCertificate,
    /// The server went on without proving that it holds its certificate's key: no CertificateVerify in TLS 1.3, no
    /// signed ServerKeyExchange in TLS 1.2.
    NoCertificateVerify,
    /// The server sent data, or other messages, where its Finished had to be.
    NoFinished,
    /// The server's Finished does not match the handshake.
    BadFinished,
    /// A message that has no place where it came.
    UnexpectedMessage,
    /// A record is malformed, empty where it may not be, or not authentic.
    BadRecord,
    /// A record or message is longer than the protocol or the buffers allow.
    TooLong,
    /// A handshake message is malformed, or a choice of the server was not offered to it.
    BadMessage,
    /// The stream ended without the notice that TLS asks for: inside the handshake, or later by a cut. The data before
    /// it was authentic, but more may have been meant.
    Truncated,
    /// The server needs something that this adapter does not do.
    Unsupported,
    /// The server refuses the device's certificate or key.
    ClientRefused {
        /// What the server said.
        alert: Alert,
    },
    /// The server ended the connection with another alert.
    Alert {
        /// What the server said.
        alert: Alert,
    },
    /// The device's own identity could not be used.
    Identity(IdentityError),
    /// The host name is not a DNS name (RFC 1035 §2.3.1, at most 253 characters; underscores are let pass).
    HostName,
    /// No root was given, or one of them is not a certificate.
    Roots,
    /// Not enough memory, or a buffer given is too small for this handshake.
    Memory,
    /// The random number source failed.
    Random,
    /// There is one of it already.
    Busy,
    /// The stream below failed.
    Io(ErrorKind),
    /// The connection is closed, or an earlier error ended it.
    Closed,
    /// Another error of the TLS implementation, with its own code.
    Stack(i32),
}

/// What carried a signature that does not verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Signed {
    /// A certificate of the chain.
    Certificate,
    /// The handshake: CertificateVerify in TLS 1.3, ServerKeyExchange in TLS 1.2.
    Handshake,
}

/// Why the device's own identity could not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum IdentityError {
    /// There is no certificate.
    NoCertificate,
    /// A certificate is not DER.
    BadCertificate,
    /// The leaf's key is not one that this adapter signs with: `mbedtls` and `embedded-tls` do on P-256 only.
    UnsupportedKey,
    /// The chain is longer than the adapter's buffers.
    ChainTooLong,
    /// The signer failed: a secure element that does not answer, say. It may answer the next time.
    Signer,
    /// The key is not there, or is not for this: asking again does not mend that.
    KeyUnusable,
    /// The server takes no ECDSA P-256 signature with SHA-256.
    SchemeNotAccepted,
}

/// An alert by its number (RFC 8446 §6, RFC 5246 §7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Alert(pub u8);

impl Alert {
    /// Stands for an alert whose number the TLS implementation does not tell.
    pub const UNKNOWN: Self = Self(255);

    /// True for the alerts by which a server refuses a client's certificate or key; `decrypt_error` among them, which
    /// is what a server says to a signature that does not verify.
    #[must_use]
    pub const fn refuses_client(self) -> bool {
        matches!(self.0, 41..=46 | 48 | 49 | 51 | 116)
    }

    /// The name the protocol gives to it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.0 {
            0 => "close_notify",
            10 => "unexpected_message",
            20 => "bad_record_mac",
            21 => "decryption_failed",
            22 => "record_overflow",
            30 => "decompression_failure",
            40 => "handshake_failure",
            41 => "no_certificate",
            42 => "bad_certificate",
            43 => "unsupported_certificate",
            44 => "certificate_revoked",
            45 => "certificate_expired",
            46 => "certificate_unknown",
            47 => "illegal_parameter",
            48 => "unknown_ca",
            49 => "access_denied",
            50 => "decode_error",
            51 => "decrypt_error",
            60 => "export_restriction",
            70 => "protocol_version",
            71 => "insufficient_security",
            80 => "internal_error",
            86 => "inappropriate_fallback",
            90 => "user_canceled",
            100 => "no_renegotiation",
            109 => "missing_extension",
            110 => "unsupported_extension",
            112 => "unrecognized_name",
            113 => "bad_certificate_status_response",
            115 => "unknown_psk_identity",
            116 => "certificate_required",
            120 => "no_application_protocol",
            _ => "unknown alert",
        }
    }
}

impl Error {
    /// The error for an alert that the server sent.
    #[must_use]
    pub const fn from_alert(alert: Alert) -> Self {
        match alert.0 {
            0 => Self::Closed,
            70 | 86 => Self::Downgrade,
            _ if alert.refuses_client() => Self::ClientRefused { alert },
            _ => Self::Alert { alert },
        }
    }

    /// True if the same connection may succeed later without anybody changing anything: the network or the server had
    /// a moment's trouble. A refusal of the server, or by the server, is not of this kind.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        match self {
            Self::Io(_)
            | Self::Truncated
            | Self::Closed
            | Self::Memory
            | Self::BadRecord
            | Self::NotResumed => true,
            // internal_error and user_canceled
            Self::Alert { alert } => matches!(alert.0, 80 | 90),
            Self::Identity(identity) => matches!(identity, IdentityError::Signer),
            _ => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongHost => "the server's certificate is for another host",
            Self::Expired => "a certificate of the server has expired; check the device's time",
            Self::NotYetValid => "a certificate of the server is not valid yet; check the device's time",
            Self::UnknownCa => "the server's certificates end in no known root",
            Self::NotACa => "a certificate of the server is signed by one that is not a CA",
            Self::PathTooLong => "the server's chain is longer than one of its CAs allows",
            Self::WrongUsage => "the server's certificate is not meant for this use or name",
            Self::BadCertificate => "a certificate of the server is malformed",
            Self::Revoked => "a certificate of the server has been revoked",
            Self::UnsupportedAlgorithm => "the server's key or signature is of an unsupported kind",
            Self::BadSignature(Signed::Certificate) => {
                "a signature in the server's certificates does not verify"
            }
            Self::BadSignature(Signed::Handshake) => {
                "the server's signature over the handshake does not verify"
            }
            Self::Downgrade => "the server wants an older TLS version",
            Self::NotResumed => "the server did not go on with the session of an earlier connection",
            Self::NoCertificate => "the server sent no certificate",
            Self::NoCertificateVerify => "the server did not prove that it holds its certificate's key",
            Self::NoFinished => "the server did not finish the handshake",
            Self::BadFinished => "the server's Finished does not match the handshake",
            Self::UnexpectedMessage => "the server sent a message that has no place here",
            Self::BadRecord => "a record of the server is malformed or not authentic",
            Self::TooLong => "a record or message of the server is too long",
            Self::BadMessage => "a handshake message of the server is malformed",
            Self::Truncated => "the stream ended before the TLS connection did",
            Self::Unsupported => "the server needs something this TLS implementation does not do",
            Self::ClientRefused { alert } => {
                return write!(f, "the server refuses the device's certificate: {alert}");
            }
            Self::Alert { alert } => return write!(f, "the server ended the connection: {alert}"),
            Self::Identity(cause) => return write!(f, "the device's identity cannot be used: {cause}"),
            Self::HostName => "the host is not a DNS name",
            Self::Roots => "there is no root certificate, or one of them is malformed",
            Self::Memory => "not enough memory for TLS",
            Self::Random => "the random number source failed",
            Self::Busy => "the TLS implementation is in use already",
            Self::Io(kind) => return write!(f, "the stream below TLS failed: {kind:?}"),
            Self::Closed => "the TLS connection is closed",
            Self::Stack(code) => return write!(f, "the TLS implementation failed with code {code}"),
        })
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Identity(cause) => Some(cause),
            _ => None,
        }
    }
}

impl embedded_io_async::Error for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Io(kind) => *kind,
            Self::Truncated | Self::Closed => ErrorKind::ConnectionAborted,
            Self::ClientRefused { .. } | Self::Alert { .. } => ErrorKind::ConnectionReset,
            Self::Memory => ErrorKind::OutOfMemory,
            Self::HostName | Self::Roots => ErrorKind::InvalidInput,
            Self::Unsupported | Self::UnsupportedAlgorithm => ErrorKind::Unsupported,
            _ => ErrorKind::Other,
        }
    }
}

impl From<IdentityError> for Error {
    fn from(cause: IdentityError) -> Self {
        Self::Identity(cause)
    }
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCertificate => "it has no certificate",
            Self::BadCertificate => "a certificate is malformed",
            Self::UnsupportedKey => "this TLS library signs with keys on P-256 only",
            Self::ChainTooLong => "its chain does not fit the buffers",
            Self::Signer => "the signer failed",
            Self::KeyUnusable => "its key is missing or may not sign",
            Self::SchemeNotAccepted => "the server takes no ECDSA P-256 signature with SHA-256",
        })
    }
}

impl core::error::Error for IdentityError {}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}
