//! The frame checksum: CRC-16/X-25, sent most significant byte first.
//!
//! Polynomial 0x1021 processed least significant bit first (0x8408), initial value 0xFFFF, final XOR 0xFFFF. A
//! command's checksum covers header, data and C-MAC; a response's covers header, data and R-MAC but **not** its
//! length field.

/// A checksum in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crc(u16);

impl Crc {
    /// Starts a checksum over nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(0xFFFF)
    }

    /// Appends `bytes`.
    #[must_use]
    pub fn update(self, bytes: &[u8]) -> Self {
        let mut crc = self.0;
        for &byte in bytes {
            crc ^= u16::from(byte);
            for _ in 0..8 {
                let carry = crc & 1;
                crc >>= 1;
                if carry != 0 {
                    crc ^= 0x8408;
                }
            }
        }
        Self(crc)
    }

    /// The finished checksum; `to_be_bytes` of it goes on the wire.
    #[must_use]
    pub const fn finish(self) -> u16 {
        !self.0
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
