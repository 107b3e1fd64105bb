//! The vault: a device's settings in the chip's zones, two copies of each, so that a power cut never loses one.
//!
//! This module holds what needs no bus: the caller's table of [`Setting`]s, and the [`VaultError`]s.
//! The vault itself is [`asynch::Vault`](crate::asynch::Vault) or [`blocking::Vault`](crate::blocking::Vault).
//!
//! ```
//! use embedded_hal::{delay::DelayNs, i2c::I2c};
//! use stsafe_a100::blocking::{Stsafe, Vault};
//! use stsafe_a100::vault::{Entry, Place, Setting, VaultError};
//!
//! #[derive(Clone, Copy, Debug, PartialEq, Eq)]
//! enum MySetting {
//!     DeviceKey,
//!     Name,
//! }
//!
//! impl Setting for MySetting {
//!     const TABLE: &'static [Entry<Self>] = &[
//!         Entry::new(Self::DeviceKey, 1, "device key", 32, [Place::new(0, 0), Place::new(7, 0)]).secret(),
//!         Entry::new(Self::Name, 2, "name", 20, [Place::new(0, 64), Place::new(7, 64)]),
//!     ];
//! }
//!
//! fn first_start<I2C: I2c, D: DelayNs>(
//!     chip: Stsafe<I2C, D>,
//! ) -> Result<(), VaultError<MySetting, I2C::Error>> {
//!     let mut vault = Vault::open(chip)?;
//!     vault.generate(MySetting::DeviceKey, false)?; // made in the chip, never typed
//!     vault.set(MySetting::Name, b"pump 7")?;
//!     let mut name = [0; 20];
//!     if let Some(len) = vault.get(MySetting::Name, &mut name)? {
//!         assert_eq!(name.get(..len), Some(&b"pump 7"[..]));
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # What is promised
//! - Whatever byte the power fails at, each setting has its old value or its new one afterwards, and all others keep
//!   theirs. That holds if an interrupted write damages the memory page around it, too.
//! - A read never writes. A write does not begin if something it must read first cannot be read.
//! - A value comes back as it was stored, or as an error; a checksum tells damage from data, and in a sealed vault the
//!   envelope's own check tells forgery, too.
//! - After [`set`](crate::blocking::Vault::set) has returned, no copy of the old value is left in the zones.
//!
//! # How settings are stored
//! A copy is a header of 16 bytes and a body. All numbers are big-endian.
//!
//! | offset | bytes | content |
//! |---|---|---|
//! | 0 | 2 | `V1` |
//! | 2 | 1 | the setting's number |
//! | 3 | 1 | form: 0 removed, 1 plain, 2 sealed |
//! | 4 | 4 | sequence number; the newer copy counts |
//! | 8 | 2 | length of the value |
//! | 10 | 2 | zero |
//! | 12 | 4 | CRC-32 (IEEE 802.3) of the 12 bytes before and of the body |
//! | 16 | | body |
//!
//! Plain, the body is the value. Sealed, it is a local envelope, or two if one is too small, over setting number, zero,
//! length, sequence number, the value, and zeros up to a multiple of 8: pieces of 480 bytes become 488.
//!
//! To store, the vault first makes both sides equal if an earlier interruption left them different. Then, on one side
//! after the other: the header is erased (one atomic update), the body written, what is left of a longer one zeroed,
//! the body read back, the header written (one atomic update) and read back. As long as one side is being written, the
//! other is whole; the sides share no zone.
//!
//! # Former places
//! A table may name for each setting a zone in which a firmware that knew no vault kept it, and a function that reads
//! it
//! ([`Former`]). A setting without a copy of its own is looked for there; the place is zeroed when the setting has been
//! stored anew.
//!
//! # Plain and sealed
//! On a chip without host keys everything is stored and transferred in clear. With a host session the vault is sealed:
//! values are stored as envelopes that only this chip opens, and only for the host that has the keys. Reads of zones
//! and queries then travel without MACs where the chip allows it ([`Scope::Changes`](crate::session::Scope::Changes)):
//! an envelope is checked when the chip opens it, in an exchange with MACs, and each of those takes one value of a
//! counter that ends. What somebody can still do who reaches the bus, if the zones' access conditions do not forbid
//! it: put an older copy back, or delete. A sealed vault does not accept plain copies (else
//! they could be slipped in) until [`adopt`](crate::blocking::Vault::adopt) is called, which seals them.

pub(crate) mod record;
pub(crate) mod table;

use core::fmt;

pub use record::MAX_LEN;
pub use table::{Entry, Former, FormerValue, Misfit, Place, Setting, slot_len};

use crate::error::Error;

/// What a store found before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Stored {
    /// Nothing.
    New,
    /// Another value, or one that could not be read any more.
    Replaced,
    /// This value.
    Unchanged,
}

/// Why the vault could not do something; `T` is the caller's setting, `E` the bus error.
///
/// After a failed store the setting has its old value or its new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum VaultError<T, E> {
    /// The chip did.
    Chip(Error<E>),
    /// The table does not fit this chip.
    Table(Misfit<T>),
    /// The stored value is damaged, or was sealed under other keys. Storing the setting anew replaces it.
    Damaged(T),
    /// The value is sealed; a host session is needed.
    Sealed(T),
    /// The value is not sealed, but this vault is. `adopt` seals it, if it is to be believed.
    NotSealed(T),
    /// There is a value already, and replacing it was not allowed.
    Exists(T),
    /// The value is longer than the table allows, or refused by its check; or the setting is not in the table.
    Value(T),
    /// The caller's buffer is too small.
    Buffer {
        /// Bytes it must have.
        needed: u16,
    },
    /// What was written reads back differently.
    NotWritten(T),
}

impl<T, E> VaultError<T, E> {
    /// Whether repeating the call may help: the chip did not execute the command.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::Chip(error) if error.is_retriable())
    }
}

impl<T, E> From<Error<E>> for VaultError<T, E> {
    fn from(error: Error<E>) -> Self {
        Self::Chip(error)
    }
}

impl<T, E> From<Misfit<T>> for VaultError<T, E> {
    fn from(misfit: Misfit<T>) -> Self {
        Self::Table(misfit)
    }
}

impl<T: Setting, E: fmt::Debug> fmt::Display for VaultError<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chip(error) => error.fmt(f),
            Self::Table(misfit) => misfit.fmt(f),
            Self::Damaged(setting) => write!(f, "the stored {} is damaged", setting.name()),
            Self::Sealed(setting) => {
                write!(
                    f,
                    "the stored {} is sealed and cannot be opened without the host keys",
                    setting.name()
                )
            }
            Self::NotSealed(setting) => {
                write!(f, "the stored {} is not sealed, as it should be", setting.name())
            }
            Self::Exists(setting) => write!(f, "a {} is stored already", setting.name()),
            Self::Value(setting) => write!(f, "not a valid {}", setting.name()),
            Self::Buffer { needed } => write!(f, "a buffer of {needed} bytes is needed"),
            Self::NotWritten(setting) => write!(f, "the {} reads back differently", setting.name()),
        }
    }
}

impl<T: Setting, E: fmt::Debug + 'static> core::error::Error for VaultError<T, E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Chip(error) => Some(error),
            Self::Table(misfit) => Some(misfit),
            _ => None,
        }
    }
}
