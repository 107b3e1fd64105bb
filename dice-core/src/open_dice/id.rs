//! Key identifiers: how certificates name their issuer and their subject.

use super::ID_LEN;
use super::cdi::derive;
use crate::{Result, hex};
use core::fmt;

/// Salt of the identifier.
const ID_SALT: [u8; 64] = [
    0xdb, 0xdb, 0xae, 0xbc, 0x80, 0x20, 0xda, 0x9f, 0xf0, 0xdd, 0x5a, 0x24, 0xc8, 0x3a, 0xa5, 0xa5, 0x42,
    0x86, 0xdf, 0xc2, 0x63, 0x03, 0x1e, 0x32, 0x9b, 0x4d, 0xa1, 0x48, 0x43, 0x06, 0x59, 0xfe, 0x62, 0xcd,
    0xb5, 0xb7, 0xe1, 0xe0, 0x0f, 0xc6, 0x80, 0x30, 0x67, 0x11, 0xeb, 0x44, 0x4a, 0xf7, 0x72, 0x09, 0x35,
    0x94, 0x96, 0xfc, 0xff, 0x1d, 0xb9, 0x52, 0x0b, 0xa5, 0x1c, 0x7b, 0x29, 0xea,
];

/// The identifier of a public key, UDS_ID or CDI_ID: 20 bytes whose highest bit is zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; ID_LEN]);

impl KeyId {
    /// Length of [`to_hex`](Self::to_hex) in characters.
    pub const HEX_LEN: usize = 2 * ID_LEN;

    /// Derives the identifier of a raw public key: X || Y for the NIST curves, the encoded point for Ed25519.
    ///
    /// # Errors
    /// None in practice: [`Error::OutputTooLong`](crate::Error::OutputTooLong) cannot occur for 20 bytes.
    pub fn of(public_key: &[u8]) -> Result<Self> {
        let mut id = [0; ID_LEN];
        derive(public_key, &ID_SALT, b"ID", &mut id)?;
        let [first, ..] = &mut id;
        *first &= 0x7f;
        Ok(Self(id))
    }

    /// The 20 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; ID_LEN] {
        &self.0
    }

    /// The form used in names: 40 lower-case hexadecimal digits, in ASCII.
    #[must_use]
    pub fn to_hex(&self) -> [u8; Self::HEX_LEN] {
        let mut text = [0; Self::HEX_LEN];
        let (pairs, _) = text.as_chunks_mut();
        pairs.iter_mut().zip(self.0).for_each(|(pair, byte)| *pair = hex::digits(byte));
        text
    }

    /// Whether `text` is the hexadecimal form of this identifier.
    #[must_use]
    pub fn is_named_by(&self, text: &str) -> bool {
        text.as_bytes() == self.to_hex()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for KeyId {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "KeyId({=[u8]:02x})", self.0);
    }
}
