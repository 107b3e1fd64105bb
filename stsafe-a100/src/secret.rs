//! Secrets the driver hands out.

use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::curve::MAX_FIELD;

/// An ECDH shared secret: the x coordinate of the common point. Wiped when dropped, never printed.
///
/// Feed it to a key derivation function; it is not uniformly random.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SharedSecret {
    bytes: [u8; MAX_FIELD],
    len: u8,
}

impl SharedSecret {
    /// At most [`MAX_FIELD`] bytes, which the parser has checked.
    pub(crate) fn new(secret: &[u8]) -> Self {
        let mut bytes = [0; MAX_FIELD];
        for (to, from) in bytes.iter_mut().zip(secret) {
            *to = *from;
        }
        Self { bytes, len: u8::try_from(secret.len().min(MAX_FIELD)).unwrap_or(0) }
    }

    /// 32 or 48 bytes, big-endian.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret(..)")
    }
}
