//! The crate's one error type.

use core::fmt;
use embedded_storage_async::nor_flash::NorFlashErrorKind;

/// Everything that can go wrong in this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A buffer is too small; `needed` bytes would have been enough.
    BufferTooSmall {
        /// Bytes needed.
        needed: usize,
    },
    /// The name is empty, or longer than the 64 characters of a common name.
    Name,
    /// The bytes are no key of this curve, or its feature is not enabled.
    Key,
    /// The signer gave no signature, or one of another curve.
    Signer,
    /// There is no key for a request: begin a renewal first.
    NoKey,
    /// What was issued is not a chain of certificates, or not one that is read here.
    BadCertificate,
    /// The issued certificate is for another key than the one that was asked for.
    OtherKey,
    /// The issued certificate is for another name.
    OtherName,
    /// The credential does not fit into its part of the flash area; `room` bytes do.
    NoRoom {
        /// Bytes of key and certificates that fit.
        room: usize,
    },
    /// There is no such credential (any more).
    NotFound,
    /// The flash fails.
    Flash(NorFlashErrorKind),
    /// What was written reads back differently.
    NotWritten,
}

impl Error {
    /// Whether the same thing, tried again later, may succeed.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Signer | Self::NotWritten | Self::Flash(NorFlashErrorKind::Other) => true,
            Self::BufferTooSmall { .. }
            | Self::Name
            | Self::Key
            | Self::NoKey
            | Self::BadCertificate
            | Self::OtherKey
            | Self::OtherName
            | Self::NoRoom { .. }
            | Self::NotFound
            | Self::Flash(_) => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BufferTooSmall { needed } => return write!(f, "buffer too small, {needed} bytes needed"),
            Self::Name => "the name does not fit in a common name",
            Self::Key => "not a key of this curve",
            Self::Signer => "the key did not sign",
            Self::NoKey => "no key has been made for a request",
            Self::BadCertificate => "the issued certificate cannot be read",
            Self::OtherKey => "the issued certificate is for another key",
            Self::OtherName => "the issued certificate is for another name",
            Self::NoRoom { room } => {
                return write!(f, "the credential is larger than the {room} bytes for it");
            }
            Self::NotFound => "there is no such credential",
            Self::Flash(kind) => return write!(f, "the flash memory of the credentials fails: {kind:?}"),
            Self::NotWritten => "the credential reads back differently",
        })
    }
}

impl core::error::Error for Error {}

#[cfg(feature = "defmt")]
impl defmt::Format for Error {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}", defmt::Display2Format(self));
    }
}
