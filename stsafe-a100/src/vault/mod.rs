//! The vault: a device's settings in the chip's zones, two copies of each, so that a power cut never loses one.
//!
//! This module holds what needs no bus: the [`Setting`]s, their [`Layout`] over the zones, and the [`VaultError`]s.
//! The vault itself is [`asynch::Vault`](crate::asynch::Vault) or [`blocking::Vault`](crate::blocking::Vault).
//!
//! ```
//! use embedded_hal::{delay::DelayNs, i2c::I2c};
//! use stsafe_a100::blocking::{Stsafe, Vault};
//! use stsafe_a100::vault::{Layout, Setting, VaultError};
//!
//! fn first_start<I2C: I2c, D: DelayNs>(chip: Stsafe<I2C, D>) -> Result<(), VaultError<I2C::Error>> {
//!     let mut vault = Vault::open(chip, &Layout::AZ3166)?;
//!     vault.generate_uds(false)?; // made in the chip, never typed
//!     vault.set(Setting::WifiSsid, b"HomeAP")?;
//!     let mut ssid = [0; Setting::WifiSsid.max_len()];
//!     if let Some(len) = vault.get(Setting::WifiSsid, &mut ssid)? {
//!         assert_eq!(ssid.get(..len), Some(&b"HomeAP"[..]));
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
//! after the other: the header is erased (one atomic update), the body written, what is left of a longer one zeroed, the body
//! read back, the header written (one atomic update) and read back. As long as one side is being written, the other is whole; the sides share no zone.
//!
//! # The original AZ3166 layout
//! A setting without a copy of its own is looked for where the original firmware keeps it, as NUL-terminated text in
//! zone 3 (SSID), 5 (connection string), 6 (UDS, 64 hexadecimal digits) and 10 (password). On a paired chip the text is
//! in local envelopes, 480 bytes of text in 488 at a time. The old place is zeroed when the setting has been stored anew.
//!
//! # Plain and sealed
//! On a chip without host keys everything is stored and transferred in clear. With a host session the vault is sealed:
//! values are stored as envelopes that only this chip opens, and only for the host that has the keys. What somebody can
//! still do who reaches the bus: put an older copy back, or delete. A sealed vault does not accept plain copies (else
//! they could be slipped in) until [`adopt`](crate::blocking::Vault::adopt) is called, which seals them.

mod layout;
pub(crate) mod legacy;
pub(crate) mod record;

use core::fmt;

pub use layout::{Entry, Layout, LegacyPlace, Misfit, Place};

use crate::error::Error;

/// Bytes of a unique device secret.
pub const UDS_LEN: usize = 32;

/// What the vault keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum Setting {
    /// The unique device secret, 32 bytes.
    Uds = 1,
    /// Name of the Wi-Fi network.
    WifiSsid = 2,
    /// Password of the Wi-Fi network.
    WifiPassword = 3,
    /// Connection string of the IoT hub, or of DPS with a symmetric key: the original keeps both in one place.
    Connection = 4,
    /// DPS endpoint.
    DpsEndpoint = 5,
    /// DPS ID scope.
    DpsIdScope = 6,
    /// DPS registration ID.
    RegistrationId = 7,
}

impl Setting {
    /// Every setting.
    pub const ALL: [Self; 7] = [
        Self::Uds,
        Self::WifiSsid,
        Self::WifiPassword,
        Self::Connection,
        Self::DpsEndpoint,
        Self::DpsIdScope,
        Self::RegistrationId,
    ];

    /// Longest value in bytes.
    #[must_use]
    pub const fn max_len(self) -> usize {
        match self {
            Self::Uds | Self::WifiSsid | Self::DpsIdScope => 32,
            Self::WifiPassword => 64,
            Self::Connection => 512,
            Self::DpsEndpoint | Self::RegistrationId => 128,
        }
    }

    /// Bytes a copy of it takes in a zone, header included, for the longest value in the larger form.
    #[must_use]
    pub const fn slot_len(self) -> usize {
        record::HEADER_LEN + record::sealed_len(self.max_len())
    }

    /// The number in the header.
    pub(crate) const fn number(self) -> u8 {
        self as u8
    }
}

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

/// Why the vault could not do something; `E` is the bus error.
///
/// After a failed store the setting has its old value or its new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum VaultError<E> {
    /// The chip did.
    Chip(Error<E>),
    /// The layout does not fit this chip.
    Layout(Misfit),
    /// The stored value is damaged, or was sealed under other keys. Storing the setting anew replaces it.
    Damaged(Setting),
    /// The value is sealed; a host session is needed.
    Sealed(Setting),
    /// The value is not sealed, but this vault is. `adopt` seals it, if it is to be believed.
    NotSealed(Setting),
    /// There is a value already, and replacing it was not allowed.
    Exists(Setting),
    /// The value is longer than [`Setting::max_len`], or no UDS of 32 bytes that can be a secret.
    Value(Setting),
    /// The caller's buffer is too small.
    Buffer {
        /// Bytes it must have.
        needed: u16,
    },
    /// What was written reads back differently.
    NotWritten(Setting),
}

impl<E> From<Error<E>> for VaultError<E> {
    fn from(error: Error<E>) -> Self {
        Self::Chip(error)
    }
}

impl<E> From<Misfit> for VaultError<E> {
    fn from(misfit: Misfit) -> Self {
        Self::Layout(misfit)
    }
}

impl<E: fmt::Debug> fmt::Display for VaultError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chip(error) => error.fmt(f),
            Self::Layout(misfit) => misfit.fmt(f),
            Self::Damaged(setting) => write!(f, "the stored {setting} is damaged"),
            Self::Sealed(setting) => write!(f, "the stored {setting} is sealed and wants a host session"),
            Self::NotSealed(setting) => write!(f, "the stored {setting} is not sealed as it must be"),
            Self::Exists(setting) => write!(f, "a {setting} is stored already"),
            Self::Value(setting) => write!(f, "no value for the {setting}"),
            Self::Buffer { needed } => write!(f, "a buffer of {needed} bytes is needed"),
            Self::NotWritten(setting) => write!(f, "the {setting} reads back differently"),
        }
    }
}

impl<E: fmt::Debug + 'static> core::error::Error for VaultError<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Chip(error) => Some(error),
            Self::Layout(misfit) => Some(misfit),
            _ => None,
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uds => "UDS",
            Self::WifiSsid => "Wi-Fi SSID",
            Self::WifiPassword => "Wi-Fi password",
            Self::Connection => "connection string",
            Self::DpsEndpoint => "DPS endpoint",
            Self::DpsIdScope => "DPS ID scope",
            Self::RegistrationId => "registration ID",
        })
    }
}

/// Whether these bytes can be a unique device secret: 32, and not all equal, as erased memory is.
pub(crate) fn is_uds(value: &[u8]) -> bool {
    value.len() == UDS_LEN && value.iter().any(|byte| Some(byte) != value.first())
}
