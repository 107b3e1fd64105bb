#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod former;
pub mod pairing;

use core::fmt;

use stsafe_a100::vault::{self, Entry, Former, FormerValue, Place};

/// Bytes of a unique device secret.
pub const UDS_LEN: usize = 32;

/// What the DevKit keeps in its secure element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Setting {
    /// The unique device secret, 32 bytes that are not all equal.
    Uds,
    /// Name of the Wi-Fi network, 1 to 32 bytes.
    WifiSsid,
    /// Password of the Wi-Fi network: a pass phrase of up to 63 bytes, or the network's key as 64 hexadecimal digits.
    WifiPassword,
    /// Connection string of the IoT hub, or of DPS with a symmetric key: the original keeps both in one place.
    Connection,
    /// DPS endpoint as `host` or `host:port`.
    DpsEndpoint,
    /// DPS ID scope.
    DpsIdScope,
    /// DPS registration ID.
    RegistrationId,
    /// The public half of a key that was made in the chip's slot [`KEY_SLOT`], X and Y, 64 bytes: with it the device
    /// shows a certificate for that key. The chip does not tell it a second time.
    SlotKey,
    /// Who issues the certificate for that key that the hub sees: absent, the device itself; [`BY_SERVICE`], the
    /// provisioning service. One byte.
    CertificateSource,
}

/// The [`Setting::CertificateSource`] of a device that asks the provisioning service for its certificate.
pub const BY_SERVICE: &[u8] = &[1];

/// The slot of the chip in which the device's own key is made.
pub const KEY_SLOT: u8 = 0;

/// An error of the vault over these settings; `E` is the bus error.
pub type VaultError<E> = vault::VaultError<Setting, E>;

impl Setting {
    /// Every setting.
    pub const ALL: [Self; 9] = [
        Self::Uds,
        Self::WifiSsid,
        Self::WifiPassword,
        Self::Connection,
        Self::DpsEndpoint,
        Self::DpsIdScope,
        Self::RegistrationId,
        Self::SlotKey,
        Self::CertificateSource,
    ];

    /// Longest value in bytes.
    #[must_use]
    pub const fn max_len(self) -> usize {
        self.max_bytes() as usize
    }

    const fn max_bytes(self) -> u16 {
        match self {
            Self::Uds | Self::WifiSsid | Self::DpsIdScope => 32,
            Self::WifiPassword | Self::SlotKey => 64,
            Self::Connection => 512,
            Self::DpsEndpoint | Self::RegistrationId => 128,
            Self::CertificateSource => 1,
        }
    }

    const fn table_entry(self, number: u8, name: &'static str, a: (u8, u16), b: (u8, u16)) -> Entry<Self> {
        Entry::new(self, number, name, self.max_bytes(), [Place::new(a.0, a.1), Place::new(b.0, b.1)])
    }

    /// As the original firmware keeps a text: with a NUL behind it.
    const fn text(self, zone: u8, usable: u16) -> Former {
        Former { zone, usable, window: self.max_bytes() + 1, decode: former::text }
    }
}

/// Length of the UDS in its original zone: hexadecimal digits.
const UDS_WINDOW: u16 = 64;
const _: () = assert!(UDS_WINDOW as usize == 2 * UDS_LEN, "two digits for each byte");

impl vault::Setting for Setting {
    const TABLE: &'static [Entry<Self>] = &[
        Self::Uds.table_entry(1, "UDS", (2, 0), (7, 96)).secret().checked(is_uds).formerly(Former {
            zone: 6,
            // One envelope of the original's. It has zeros behind that.
            usable: 488,
            window: UDS_WINDOW,
            decode: former::uds,
        }),
        Self::WifiSsid.table_entry(2, "Wi-Fi SSID", (2, 64), (7, 160)).formerly(Self::WifiSsid.text(3, 120)),
        Self::WifiPassword
            .table_entry(3, "Wi-Fi password", (0, 872), (7, 0))
            .secret()
            .formerly(Self::WifiPassword.text(10, 88)),
        Self::Connection
            .table_entry(4, "connection string", (0, 0), (8, 0))
            .secret()
            .formerly(Self::Connection.text(5, 584)),
        Self::DpsEndpoint.table_entry(5, "DPS endpoint", (0, 552), (8, 552)),
        Self::DpsIdScope.table_entry(6, "DPS ID scope", (2, 128), (7, 224)),
        Self::RegistrationId.table_entry(7, "registration ID", (0, 712), (8, 712)),
        Self::SlotKey.table_entry(8, "slot's public key", (6, 512), (7, 288)),
        Self::CertificateSource
            .table_entry(9, "certificate's source", (6, 608), (7, 384))
            .checked(|value| value == BY_SERVICE),
    ];
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(vault::Setting::name(*self))
    }
}

/// Whether these bytes can be a unique device secret: 32, and not all equal, as erased memory is.
fn is_uds(value: &[u8]) -> bool {
    value.len() == UDS_LEN && value.iter().any(|byte| Some(byte) != value.first())
}
