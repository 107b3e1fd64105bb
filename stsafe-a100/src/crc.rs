//! The frame checksum: CRC-16/X-25, sent most significant byte first.
//!
//! Polynomial 0x1021 processed least significant bit first (0x8408), initial value 0xFFFF, final XOR 0xFFFF. A
//! command's checksum covers header, data and C-MAC; a response's covers header, data and R-MAC but **not** its
//! length field.

use core::fmt;

use ::crc::{CRC_16_IBM_SDLC, Digest, NoTable};

/// The algorithm's name in the catalogue of CRCs is CRC-16/IBM-SDLC, too. Without a table: frames are short, flash is
/// scarce.
static X25: ::crc::Crc<u16, NoTable> = ::crc::Crc::<u16, NoTable>::new(&CRC_16_IBM_SDLC);

/// A checksum in progress.
#[derive(Clone)]
pub struct Crc(Digest<'static, u16, NoTable>);

impl Crc {
    /// Starts a checksum over nothing.
    #[must_use]
    pub fn new() -> Self {
        Self(X25.digest())
    }

    /// Appends `bytes`.
    #[must_use]
    pub fn update(mut self, bytes: &[u8]) -> Self {
        self.0.update(bytes);
        self
    }

    /// The finished checksum; `to_be_bytes` of it goes on the wire.
    #[must_use]
    pub fn finish(self) -> u16 {
        self.0.finalize()
    }
}

impl fmt::Debug for Crc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Crc").field(&self.0.clone().finalize()).finish()
    }
}

impl Default for Crc {
    fn default() -> Self {
        Self::new()
    }
}

/// The checksum of one slice.
#[must_use]
pub fn crc16(bytes: &[u8]) -> u16 {
    Crc::new().update(bytes).finish()
}

#[cfg(test)]
mod tests {
    use super::{Crc, crc16};

    #[test]
    fn check_value_of_the_catalogue() {
        assert_eq!(crc16(b"123456789"), 0x906E);
    }

    #[test]
    fn known_frames() {
        assert_eq!(crc16(&[0x14, 0x11]), 0xFCBE);
        assert_eq!(crc16(&[0x00]), 0xF078);
        assert_eq!(crc16(&[0x11]), 0xF170);
    }

    #[test]
    fn in_pieces_equals_at_once() {
        let bytes = [7u8; 41];
        for cut in 0..bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            assert_eq!(Crc::new().update(head).update(tail).finish(), crc16(&bytes));
        }
    }
}
