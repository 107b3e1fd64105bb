//! What lies between a command's data field and its frame: nothing, or the host session's MACs and encryption.
//!
//! The driver is generic over its channel; [`Plain`], [`Host`], [`MaybeHost`] and (with signature sessions) `Signed`
//! are the states it can be in.

mod host;
mod maybe;
#[cfg(feature = "signature-session")]
mod signed;

pub use host::{CounterPolicy, Host, HostOptions, LastCommand, Scope};
pub use maybe::MaybeHost;
#[cfg(feature = "signature-session")]
pub use signed::{SessionDigest, Signed};

use crate::error::{CryptoError, Error, InputError, ProtocolError, Unsuitable};
use crate::frame::{CrcMode, Header, ResponseFrame, seal_command};
use crate::mac::Counter;
use crate::response::HostKeySlot;
use crate::rules::Rule;
use crate::status::Status;

/// What a channel finds wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A malformed response.
    Protocol(ProtocolError),
    /// A failed check.
    Crypto(CryptoError),
    /// A refusal by the chip.
    Device(Status),
    /// Something that cannot be sent.
    Input(InputError),
    /// Something that this chip does not do in this state of the driver.
    Unsuitable(Unsuitable),
}

impl<E> From<Fault> for Error<E> {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Protocol(cause) => Self::Protocol(cause),
            Fault::Crypto(cause) => Self::Crypto(cause),
            Fault::Device(status) => Self::Device(status),
            Fault::Input(cause) => Self::Input(cause),
            Fault::Unsuitable(cause) => Self::Unsuitable(cause),
        }
    }
}

impl From<ProtocolError> for Fault {
    fn from(cause: ProtocolError) -> Self {
        Self::Protocol(cause)
    }
}

impl From<CryptoError> for Fault {
    fn from(cause: CryptoError) -> Self {
        Self::Crypto(cause)
    }
}

impl From<Unsuitable> for Fault {
    fn from(cause: Unsuitable) -> Self {
        Self::Unsuitable(cause)
    }
}

impl From<InputError> for Fault {
    fn from(cause: InputError) -> Self {
        Self::Input(cause)
    }
}

/// A state of the driver. Only this crate implements it.
///
/// The driver calls, in this order: `wants_counter` (and, if so, `set_counter` with the chip's answer to an
/// unprotected query), `seal`, then either `not_sent` or `sent`, `received` and `open`. When an exchange is abandoned
/// between `seal` and `open`, the channel counts its outcome as unknown.
pub trait Channel: sealed::Sealed {
    /// What must be remembered between a command and its response.
    type Pending;

    /// Most data bytes one update can write through this channel.
    const MAX_UPDATE: usize;

    /// Whether the C-MAC counter must be asked for before a command with this rule.
    fn wants_counter(&self, rule: Rule) -> bool;
    /// Takes the chip's counter.
    ///
    /// # Errors
    /// [`CryptoError`] if the chip has no host keys or its counter is used up.
    fn set_counter(&mut self, slot: HostKeySlot) -> Result<(), CryptoError>;
    /// Makes a frame around the `len` data bytes at `frame[1..]` and gives its length.
    ///
    /// # Errors
    /// [`Fault::Input`] if the frame becomes too long, [`Fault::Crypto`] if there is no usable counter,
    /// [`Fault::Unsuitable`] if the command needs a host session and there is none.
    fn seal(
        &mut self,
        rule: Rule,
        frame: &mut [u8],
        len: usize,
        crc: CrcMode,
    ) -> Result<(usize, Self::Pending), Fault>;
    /// The chip never took the frame.
    fn not_sent(&mut self, pending: Self::Pending);
    /// The chip took the frame, here without its checksum.
    fn sent(&mut self, frame: &[u8]);
    /// A frame came back, here its header byte and its data field as received.
    fn received(&mut self, header: u8, data: &[u8]);
    /// Checks the response frame, decrypts its data field in place at `frame[3..]` and gives the data's length.
    ///
    /// # Errors
    /// [`Fault`] for everything that is not a response as it must be.
    fn open(
        &mut self,
        pending: Self::Pending,
        rule: Rule,
        frame: &mut [u8],
        crc: CrcMode,
    ) -> Result<usize, Fault>;
}

/// A channel with a host session in it: encrypted commands are possible.
pub trait HostChannel: Channel {
    /// Takes the chip's counter and compares it with the last command's.
    ///
    /// # Errors
    /// [`CryptoError`] if the chip has no host keys or its counter is used up.
    fn resync(&mut self, slot: HostKeySlot) -> Result<LastCommand, CryptoError>;
    /// Which commands carry MACs from now on.
    fn set_scope(&mut self, scope: Scope);
}

/// The states of a driver a vault works in: plain, and with a host session. Only this crate implements it.
pub trait Protection: Channel {
    /// Whether there is a host session, so that values are stored as envelopes.
    fn is_sealed(&self) -> bool;
    /// Which commands carry MACs from now on, if there is a host session.
    fn set_scope(&mut self, scope: Scope);
    /// The counter after the last command whose response was checked, or the [`HostOptions::lowest`] of the session if
    /// there was none yet: what a later session may not go below.
    fn lowest_counter(&self) -> Option<Counter>;
}

mod sealed {
    /// Keeps [`super::Channel`] in this crate.
    pub trait Sealed {}
}

/// No protection: the driver as it starts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl sealed::Sealed for Plain {}

impl Channel for Plain {
    type Pending = ();

    const MAX_UPDATE: usize = crate::zone::MAX_UPDATE;

    fn wants_counter(&self, _: Rule) -> bool {
        false
    }

    fn set_counter(&mut self, _: HostKeySlot) -> Result<(), CryptoError> {
        Ok(())
    }

    fn seal(&mut self, rule: Rule, frame: &mut [u8], len: usize, crc: CrcMode) -> Result<(usize, ()), Fault> {
        if rule.needs_host() {
            return Err(Unsuitable::NeedsHostSession(rule.code).into());
        }
        Ok((seal_command(frame, Header::plain(rule.code.bits()), len, None, crc)?, ()))
    }

    fn not_sent(&mut self, (): ()) {}

    fn sent(&mut self, _: &[u8]) {}

    fn received(&mut self, _: u8, _: &[u8]) {}

    fn open(&mut self, (): (), _: Rule, frame: &mut [u8], crc: CrcMode) -> Result<usize, Fault> {
        open_plain(frame, crc)
    }
}

impl Protection for Plain {
    fn is_sealed(&self) -> bool {
        false
    }

    fn set_scope(&mut self, _: Scope) {}

    fn lowest_counter(&self) -> Option<Counter> {
        None
    }
}

/// Checks an unprotected response and gives its data's length.
fn open_plain(frame: &[u8], crc: CrcMode) -> Result<usize, Fault> {
    let response = ResponseFrame::parse(frame, crc)?;
    if response.mac.is_some() {
        return Err(ProtocolError::UnexpectedMac.into());
    }
    if response.status.is_ok() { Ok(response.data.len()) } else { Err(Fault::Device(response.status)) }
}
