//! The crate's one error type.
use core::fmt;

/// Everything that can go wrong in this crate, but for JSON, which has an error with a place:
/// [`JsonError`](crate::json::JsonError). Exhaustive, because the crates on top turn every kind into their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Error {
    /// A buffer is too small; `needed` bytes would have been enough.
    BufferTooSmall {
        /// Bytes needed.
        needed: usize,
    },
    /// A text is not what it should be.
    Invalid {
        /// Which text.
        what: &'static str,
        /// Byte position of the first offending byte.
        at: usize,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BufferTooSmall { needed } => {
                write!(f, "the buffer is too small: {needed} bytes are needed")
            }
            Self::Invalid { what, at } => write!(f, "{what} is not valid (at byte {at})"),
        }
    }
}

impl core::error::Error for Error {}
