//! Networks' names and keys, and what the events of a join mean.

use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::control::ControlError;
use crate::event::{Event, Kind, status};
use crate::field::Writer;
use crate::scan::NetworkSecurity;

/// A name or a key that cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CredentialsError {
    /// A network's name has at most 32 bytes.
    Ssid,
    /// A passphrase has 8 to 63 printable ASCII characters, a key 64 hexadecimal digits.
    Key,
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ssid => "a network's name has at most 32 bytes",
            Self::Key => "a passphrase has 8 to 63 printable characters, a key 64 hexadecimal digits",
        })
    }
}

impl core::error::Error for CredentialsError {}

/// A network's name: up to 32 bytes, most often text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ssid {
    bytes: [u8; 32],
    len: u8,
}

impl Ssid {
    /// A name.
    ///
    /// # Errors
    /// [`CredentialsError::Ssid`] if it is longer than 32 bytes.
    pub fn new(name: &[u8]) -> Result<Self, CredentialsError> {
        let mut bytes = [0; 32];
        bytes.get_mut(..name.len()).ok_or(CredentialsError::Ssid)?.copy_from_slice(name);
        Ok(Self { bytes, len: u8::try_from(name.len()).map_err(|_| CredentialsError::Ssid)? })
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// `SET_SSID`'s value: length and padded name.
    pub(crate) fn value(&self) -> [u8; 36] {
        let mut value = [0; 36];
        let _ = Writer::new(&mut value).put(&u32::from(self.len).to_le_bytes()).put(&self.bytes);
        value
    }
}

impl fmt::Debug for Ssid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl fmt::Display for Ssid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}

/// What opens a secured network. It is wiped when it is dropped, and not shown by `Debug`.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Key {
    bytes: [u8; 64],
    len: u8,
}

impl Key {
    /// A passphrase of 8 to 63 printable ASCII characters, or a key of 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`CredentialsError::Key`] if it is neither.
    pub fn new(text: &str) -> Result<Self, CredentialsError> {
        let is_valid = match text.len() {
            8..=63 => text.bytes().all(|byte| matches!(byte, 0x20..=0x7E)),
            64 => text.bytes().all(|byte| byte.is_ascii_hexdigit()),
            _ => false,
        };
        let mut bytes = [0; 64];
        let room = bytes.get_mut(..text.len()).filter(|_| is_valid).ok_or(CredentialsError::Key)?;
        room.copy_from_slice(text.as_bytes());
        Ok(Self { bytes, len: u8::try_from(text.len()).map_err(|_| CredentialsError::Key)? })
    }

    /// `SET_WSEC_PMK`'s value: length, whether it is a passphrase, and the padded text.
    pub(crate) fn value(&self) -> [u8; 68] {
        let mut value = [0; 68];
        let is_passphrase = u16::from(self.len < 64);
        let _ = Writer::new(&mut value)
            .put(&u16::from(self.len).to_le_bytes())
            .put(&is_passphrase.to_le_bytes())
            .put(&self.bytes);
        value
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// How a network is joined.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Security {
    /// Without any security.
    Open,
    /// WPA with TKIP or AES: for old networks only.
    Wpa(Key),
    /// WPA2 with AES.
    Wpa2(Key),
    /// WPA2 in a network that uses TKIP as well.
    Wpa2Mixed(Key),
}

impl Security {
    /// The security for a network that a scan has found, or WPA2 (without a key none) for one that it has not. A key is
    /// never used up on an open network, which may be anybody's with the same name.
    ///
    /// # Errors
    /// [`ControlError::Unsuitable`] if the key, or that there is none, does not fit what the network offers.
    pub fn choose(key: Option<Key>, offered: Option<NetworkSecurity>) -> Result<Self, ControlError> {
        match (key, offered) {
            (None, None | Some(NetworkSecurity::Open)) => Ok(Self::Open),
            (Some(key), None | Some(NetworkSecurity::Wpa2)) => Ok(Self::Wpa2(key)),
            (Some(key), Some(NetworkSecurity::Wpa2Mixed)) => Ok(Self::Wpa2Mixed(key)),
            (Some(key), Some(NetworkSecurity::Wpa)) => Ok(Self::Wpa(key)),
            (_, Some(offered)) => Err(ControlError::Unsuitable { offered }),
        }
    }

    /// The value of `SET_WSEC`: the ciphers.
    pub(crate) const fn ciphers(&self) -> u32 {
        match self {
            Self::Open => 0,
            Self::Wpa(_) | Self::Wpa2Mixed(_) => 6,
            Self::Wpa2(_) => 4,
        }
    }

    /// The value of `SET_WPA_AUTH`.
    pub(crate) const fn wpa_auth(&self) -> u32 {
        match self {
            Self::Open => 0,
            Self::Wpa(_) => 0x04,
            Self::Wpa2(_) | Self::Wpa2Mixed(_) => 0x80,
        }
    }

    pub(crate) const fn key(&self) -> Option<&Key> {
        match self {
            Self::Open => None,
            Self::Wpa(key) | Self::Wpa2(key) | Self::Wpa2Mixed(key) => Some(key),
        }
    }
}

/// Why a network that was joined is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// The access point has ended the authentication, for a reason of IEEE 802.11.
    Deauthenticated {
        /// The reason.
        reason: u32,
    },
    /// The access point has ended the association, for a reason of IEEE 802.11.
    Disassociated {
        /// The reason.
        reason: u32,
    },
    /// Nothing was heard of the access point any more.
    BeaconsLost,
    /// The link went down for another reason, which is the firmware's own.
    LinkDown {
        /// The reason.
        reason: u32,
    },
    /// The radio itself has failed, and is started anew.
    RadioFailed,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deauthenticated { reason } => {
                write!(f, "deauthenticated by the access point (reason {reason})")
            }
            Self::Disassociated { reason } => write!(f, "dropped by the access point (reason {reason})"),
            Self::BeaconsLost => f.write_str("out of reach of the access point"),
            Self::LinkDown { reason } => write!(f, "the link went down (reason {reason})"),
            Self::RadioFailed => f.write_str("the radio failed"),
        }
    }
}

impl Loss {
    /// What an event says about a network that was joined: `None` if it goes on.
    #[must_use]
    pub const fn of(event: &Event<'_>) -> Option<Self> {
        let reason = event.reason;
        match event.kind {
            Kind::Deauth => Some(Self::Deauthenticated { reason }),
            Kind::Disassoc => Some(Self::Disassociated { reason }),
            Kind::Link if event.flags & 1 == 0 && reason == 1 => Some(Self::BeaconsLost),
            Kind::Link if event.flags & 1 == 0 => Some(Self::LinkDown { reason }),
            _ => None,
        }
    }
}

/// How far an attempt to join has come.
#[derive(Clone, Copy, Debug)]
pub struct Joining {
    is_secured: bool,
    has_link: bool,
    has_keys: bool,
}

impl Joining {
    /// At its beginning.
    #[must_use]
    pub const fn new(security: &Security) -> Self {
        Self { is_secured: !matches!(security, Security::Open), has_link: false, has_keys: false }
    }

    /// Takes an event. Gives how the attempt has ended, if it has.
    ///
    /// # Errors
    /// Within the result: [`ControlError::NotFound`], [`ControlError::WrongPassphrase`], [`ControlError::JoinRefused`].
    pub fn handle(&mut self, event: &Event<'_>) -> Option<Result<(), ControlError>> {
        let refused = Some(Err(ControlError::JoinRefused { status: event.status, reason: event.reason }));
        match (event.kind, event.status) {
            (Kind::SetSsid, status::NO_NETWORKS) => return Some(Err(ControlError::NotFound)),
            (Kind::SetSsid | Kind::Auth, status::SUCCESS | status::UNSOLICITED) => {}
            (Kind::Deauth, _) if self.is_secured && matches!(event.reason, 2 | 15) => {
                return Some(Err(ControlError::WrongPassphrase));
            }
            (Kind::SetSsid | Kind::Auth | Kind::Deauth | Kind::Disassoc, _) => return refused,
            // Down, before it is known why: that follows.
            (Kind::Link, _) => self.has_link = event.flags & 1 != 0,
            (Kind::PskSup, status::UNSOLICITED) if event.reason == 0 => self.has_keys = true,
            // An abort, and reason 14, are about an association that is being given up.
            (Kind::PskSup, other) if other != status::ABORT && event.reason != 14 => {
                return Some(Err(ControlError::WrongPassphrase));
            }
            _ => {}
        }
        (self.has_link && (self.has_keys || !self.is_secured)).then_some(Ok(()))
    }
}
