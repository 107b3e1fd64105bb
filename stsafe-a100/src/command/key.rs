//! The properties of keys that commands name.

use core::ops::BitOr;

use crate::codec::Reader;
use crate::error::ProtocolError;

/// The size of a local envelope key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum EnvelopeKeyKind {
    /// 0.
    Aes128,
    /// 1.
    Aes256,
}

impl EnvelopeKeyKind {
    /// The byte on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Aes128 => 0,
            Self::Aes256 => 1,
        }
    }

    pub(crate) fn parse(r: &mut Reader<'_>) -> Result<Self, ProtocolError> {
        match r.u8()? {
            0 => Ok(Self::Aes128),
            1 => Ok(Self::Aes256),
            other => Err(r.bad(other)),
        }
    }
}

/// What a private key may be used for; combine with `|`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct KeyMode(u16);

impl KeyMode {
    /// Nothing named: on parts whose slot mode is provisioned, that mode rules.
    pub const NONE: Self = Self(0);
    /// Bit 0: key establishment (ECDH).
    pub const ESTABLISH: Self = Self(0x0001);
    /// Bit 2: signatures over a digest of the host's, what TLS needs.
    pub const SIGN_DIGEST: Self = Self(0x0004);
    /// Bit 3: signatures over signature sessions.
    pub const SIGN_SESSION: Self = Self(0x0008);
    /// Bit 15: the mode may be changed later.
    pub const CHANGEABLE: Self = Self(0x8000);

    /// From the field on the wire; unknown bits are kept.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// The field on the wire.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether everything in `other` is allowed.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for KeyMode {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
