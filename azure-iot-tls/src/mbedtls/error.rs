//! Mbed TLS's codes in the words of this crate.

use super::watch::{self, Watch};
use crate::{Alert, Error, Signed};
use azure_iot_tls_mbedtls::Code;

/// Flags of a certificate verification (`MBEDTLS_X509_BAD*`, include/mbedtls/x509.h).
pub(super) mod flag {
    pub(in super::super) const EXPIRED: u32 = 0x01;
    pub(in super::super) const REVOKED: u32 = 0x02;
    pub(in super::super) const CN_MISMATCH: u32 = 0x04;
    pub(in super::super) const NOT_TRUSTED: u32 = 0x08;
    pub(in super::super) const MISSING: u32 = 0x40;
    pub(in super::super) const OTHER: u32 = 0x0100;
    pub(in super::super) const FUTURE: u32 = 0x0200;
    pub(in super::super) const KEY_USAGE: u32 = 0x0800;
    pub(in super::super) const EXT_KEY_USAGE: u32 = 0x1000;
    pub(in super::super) const NS_CERT_TYPE: u32 = 0x2000;
    pub(in super::super) const BAD_MD: u32 = 0x4000;
    pub(in super::super) const BAD_PK: u32 = 0x8000;
    pub(in super::super) const BAD_KEY: u32 = 0x0001_0000;
    /// No verification has taken place.
    pub(in super::super) const NONE_YET: u32 = u32::MAX;
}

/// What a verification found, the most telling first.
pub(super) fn flags(flags: u32) -> Option<Error> {
    let has = |bits: u32| flags & bits != 0;
    Some(match flags {
        0 => return None,
        flag::NONE_YET => Error::NoCertificate,
        _ if has(flag::MISSING) => Error::NoCertificate,
        _ if has(flag::BAD_MD | flag::BAD_PK | flag::BAD_KEY) => Error::UnsupportedAlgorithm,
        _ if has(flag::NOT_TRUSTED) => Error::UnknownCa,
        _ if has(flag::REVOKED) => Error::Revoked,
        _ if has(flag::EXPIRED) => Error::Expired,
        _ if has(flag::FUTURE) => Error::NotYetValid,
        _ if has(flag::CN_MISMATCH) => Error::WrongHost,
        _ if has(flag::KEY_USAGE | flag::EXT_KEY_USAGE | flag::NS_CERT_TYPE) => Error::WrongUsage,
        _ => Error::BadCertificate,
    })
}

/// What an error means that came from the handshake or from the stream.
#[expect(clippy::struct_excessive_bools, reason = "independent observations")]
pub(super) struct Context<'a> {
    /// What the server sent in the clear.
    pub(super) watch: &'a Watch,
    /// What the verification of the server's chain found.
    pub(super) flags: u32,
    /// Whether there was a verification.
    pub(super) verified: bool,
    /// Whether the handshake is over.
    pub(super) connected: bool,
    /// Whether anything but the handshake has come from the server.
    pub(super) heard: bool,
    /// Whether TLS 1.2 was not offered.
    pub(super) only_tls13: bool,
}

impl Context<'_> {
    pub(super) fn map(&self, cause: Code) -> Error {
        match -cause.0 {
            0x7780 => self.alert(), // FATAL_ALERT_MESSAGE
            _ if self.only_tls13 && self.watch.chose_tls12() && !self.connected => Error::Downgrade,
            // BAD_INPUT_DATA: more was announced than the buffer takes; or a cipher suite chosen that is none
            0x7100 if self.watch.too_long() || self.watch.encrypted() || !self.at_hello() => Error::TooLong,
            0x2700 | 0x7a00 if self.verified => flags(self.flags).unwrap_or(Error::BadCertificate),
            0x3000 => Error::PathTooLong, // X509_FATAL_ERROR: more certificates than Mbed TLS is built for
            0x6600 if self.watch.downgrade() => Error::Downgrade, // ILLEGAL_PARAMETER
            0x7700 => self.unexpected(),
            // HANDSHAKE_FAILURE
            0x6e00 if self.connected || !self.verified => Error::Unsupported,
            0x6e00 if !self.watch.encrypted() => Error::UnsupportedAlgorithm,
            0x6e00 if self.watch.chose_tls12() => Error::BadFinished,
            0x6e00 => Error::BadSignature(Signed::Handshake),
            0x7180 if self.watch.chose_tls12() && !self.connected => Error::BadFinished, // INVALID_MAC
            _ => map_plain(cause),
        }
    }

    fn at_hello(&self) -> bool {
        self.watch.last_message() == Some(watch::SERVER_HELLO)
    }

    fn alert(&self) -> Error {
        match self.watch.alert() {
            Some(alert) => Error::from_alert(alert),
            // An error of Mbed TLS's own that has the same code: in TLS 1.3 a server says nothing before its
            // certificate.
            None if !self.verified => Error::NoCertificate,
            // In TLS 1.3 the first word of a server after the device's certificate.
            None if self.connected && !self.heard && !self.watch.chose_tls12() => {
                Error::ClientRefused { alert: Alert::UNKNOWN }
            }
            None => Error::Alert { alert: Alert::UNKNOWN },
        }
    }

    fn unexpected(&self) -> Error {
        if self.connected {
            return Error::UnexpectedMessage;
        }
        match (self.verified, self.watch.last_message()) {
            (false, Some(_)) => Error::NoCertificate,
            (true, Some(last)) if self.watch.chose_tls12() => match last {
                watch::SERVER_HELLO_DONE if self.watch.encrypted() => Error::NoFinished,
                watch::CERTIFICATE_REQUEST | watch::SERVER_HELLO_DONE => Error::NoCertificateVerify,
                _ => Error::UnexpectedMessage,
            },
            (false, None) | (true, _) => Error::UnexpectedMessage,
        }
    }
}

/// What a code means by itself.
pub(super) fn map_plain(cause: Code) -> Error {
    let code = -cause.0;
    match code {
        0x6e80 => Error::Downgrade,
        0x6600 | 0x7100 | 0x7300 | 0x7500 => Error::BadMessage,
        0x7180 | 0x7200 => Error::BadRecord,
        0x7280 => Error::Truncated,
        0x7400 => Error::Random,
        0x7880 => Error::Closed,
        0x7f00 | 0x2880 | 0x3f80 | 0x4d80 | 0x5180 | 0x6180 | 0x1180 | 0x10 => Error::Memory,
        0x6a00 => Error::TooLong,
        0x7080 | 0x6d00 | 0x6480 => Error::Unsupported,
        0x7a00 => Error::BadCertificate,
        _ => match code & 0xff80 {
            0x2880 | 0x3f80 => Error::Memory,
            0x3900 | 0x4380 | 0x4e00 | 0x4100 => Error::BadSignature(Signed::Handshake),
            0x2080 | 0x2600 | 0x3a00 | 0x3a80 | 0x3c80 | 0x3980 | 0x4e80 => Error::UnsupportedAlgorithm,
            0x2100..=0x2780 | 0x3b00 | 0x3d00 => Error::BadCertificate,
            _ => Error::Stack(-code),
        },
    }
}
