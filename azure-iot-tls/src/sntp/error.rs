//! Why there is no time.

use core::fmt;

/// Why an answer gives no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Error {
    /// Not an answer to this request: too short, of another mode or version, or without the request's random bits.
    NotTheAnswer,
    /// The server does not know the time itself.
    Unsynchronised,
    /// The server's own path to a reference clock, or its own time of working, is longer than makes sense.
    Inaccurate,
    /// The answer took longer than [`MAX_WAIT_MS`](super::MAX_WAIT_MS).
    Slow,
    /// The server does not want to be asked.
    Kiss(Kiss),
}

/// The code of a kiss-o'-death packet (RFC 5905 §7.4): four ASCII characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Kiss(pub [u8; 4]);

impl Kiss {
    /// True for `DENY` and `RSTR`: this server must not be asked again.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(&self.0, b"DENY" | b"RSTR")
    }

    /// True for `RATE`: ask less often.
    #[must_use]
    pub const fn is_rate(self) -> bool {
        matches!(&self.0, b"RATE")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotTheAnswer => "not an answer to this request",
            Self::Unsynchronised => "the time server does not know the time itself",
            Self::Inaccurate => "the time server's time is not accurate",
            Self::Slow => "the time server's answer took too long",
            Self::Kiss(kiss) => return write!(f, "the time server does not want to be asked: {kiss}"),
        })
    }
}

impl core::error::Error for Error {}

impl fmt::Display for Kiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| fmt::Display::fmt(&byte.escape_ascii(), f))
    }
}
