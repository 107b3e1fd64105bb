//! The unique device secret: the one value from which everything else is derived.

use crate::secret::Secret;
use crate::{Error, Result};
use core::fmt;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq, ConstantTimeGreater};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The unique device secret (UDS): 32 bytes from a random generator, one value per device.
///
/// It is made only from 32 bytes or 64 hexadecimal digits, is wiped on drop, prints as `Uds(..)` and compares in
/// constant time. Values with all bytes equal are refused: they are what blank or erased memory reads as.
///
/// ```
/// use dice_core::{Error, Uds};
///
/// let uds = Uds::from_hex("19e25a259d0c2be03a02d416c05c48ccd0cc7d1743458aae1cb488b074993eae")?;
/// assert_eq!(uds, Uds::from_bytes(*uds.expose())?);
/// assert_eq!(format!("{uds:?}"), "Uds(..)");
///
/// let typo = Uds::from_hex("19e25a259d0c2beO3a02d416c05c48ccd0cc7d1743458aae1cb488b074993eae");
/// assert_eq!(typo.unwrap_err(), Error::HexDigit { index: 15, found: 'O' });
/// # Ok::<(), Error>(())
/// ```
pub struct Uds(Secret<{ Uds::LEN }>);

impl Uds {
    /// Length in bytes.
    pub const LEN: usize = 32;
    /// Length as hexadecimal text.
    pub const HEX_LEN: usize = 2 * Self::LEN;

    /// Takes 32 secret bytes over. The caller wipes its own copy.
    ///
    /// # Errors
    /// [`Error::UdsAllEqual`] if every byte has the same value.
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Result<Self> {
        Self::checked(Secret::new(bytes))
    }

    /// Reads exactly 64 hexadecimal digits of either case, as a console or a host tool receives them.
    ///
    /// The digits are converted without table look-ups or branches that depend on their value.
    ///
    /// # Errors
    /// * [`Error::HexDigit`] names the first character that is not a digit, and its position;
    /// * [`Error::HexLength`] if all characters are digits but there are not 64 of them;
    /// * [`Error::UdsAllEqual`] as for [`from_bytes`](Self::from_bytes).
    pub fn from_hex(text: &str) -> Result<Self> {
        let mut bytes = Secret::zeroed();
        decode_hex(text, bytes.expose_mut())?;
        Self::checked(bytes)
    }

    /// Takes any 32 bytes, blank memory included.
    ///
    /// The original system accepted such secrets, so reproducing one of its identities (or a test vector) needs this;
    /// a device must not: use [`from_bytes`](Self::from_bytes).
    #[must_use]
    pub const fn from_legacy_bytes_unchecked(bytes: [u8; Self::LEN]) -> Self {
        Self(Secret::new(bytes))
    }

    /// The secret bytes.
    #[must_use]
    pub const fn expose(&self) -> &[u8; Self::LEN] {
        self.0.expose()
    }

    fn checked(bytes: Secret<{ Self::LEN }>) -> Result<Self> {
        let [first, rest @ ..] = bytes.expose();
        let all_equal = rest.iter().fold(Choice::from(1), |equal, byte| equal & byte.ct_eq(first));
        if bool::from(all_equal) { Err(Error::UdsAllEqual { byte: *first }) } else { Ok(Self(bytes)) }
    }
}

impl Zeroize for Uds {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

impl ZeroizeOnDrop for Uds {}

impl ConstantTimeEq for Uds {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl PartialEq for Uds {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl Eq for Uds {}

impl fmt::Debug for Uds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Uds(..)")
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Uds {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Uds(..)");
    }
}

/// Decodes hexadecimal text into `out`, whose length says how many digits are wanted.
///
/// Only whether a character is a digit at all decides a branch, never which digit it is.
fn decode_hex(text: &str, out: &mut [u8]) -> Result<()> {
    let expected = out.len() * 2;
    let mut found = 0;
    for (index, character) in text.chars().enumerate() {
        let nibble = hex_digit(character).ok_or(Error::HexDigit { index, found: character })?;
        if let Some(byte) = out.get_mut(index / 2) {
            *byte = (*byte << 4) | nibble;
        }
        found = index + 1;
    }
    if found == expected { Ok(()) } else { Err(Error::HexLength { expected, found }) }
}

/// The value of one hexadecimal digit, in constant time for digits.
fn hex_digit(character: char) -> Option<u8> {
    let byte = u8::try_from(u32::from(character)).ok()?;
    let lower = byte | 0x20;
    let decimal = !(b'0'.ct_gt(&byte) | byte.ct_gt(&b'9'));
    let letter = !(b'a'.ct_gt(&lower) | lower.ct_gt(&b'f'));
    let mut value = 0;
    value.conditional_assign(&byte.wrapping_sub(b'0'), decimal);
    value.conditional_assign(&lower.wrapping_sub(b'a' - 10), letter);
    bool::from(decimal | letter).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    #[test]
    fn every_character_is_read_as_char_to_digit_does() {
        for code in 0..=0x2ff_u32 {
            let character = char::from_u32(code).expect("below the surrogates");
            let expected = character.to_digit(16).map(|digit| u8::try_from(digit).expect("below 16"));
            assert_eq!(hex_digit(character), expected, "{character:?}");
        }
    }

    #[test]
    fn the_first_bad_character_is_named_before_the_length() {
        let mut text = String::from("0123456789abcdef").repeat(4);
        assert!(Uds::from_hex(&text).is_ok());
        assert!(Uds::from_hex(&text.to_uppercase()).is_ok());
        text.push('a');
        assert_eq!(Uds::from_hex(&text), Err(Error::HexLength { expected: 64, found: 65 }));
        text.push('é');
        assert_eq!(Uds::from_hex(&text), Err(Error::HexDigit { index: 65, found: 'é' }));
        assert_eq!(Uds::from_hex(""), Err(Error::HexLength { expected: 64, found: 0 }));
        assert_eq!(Uds::from_hex(&text[..63]), Err(Error::HexLength { expected: 64, found: 63 }));
    }

    #[test]
    fn blank_memory_is_refused() {
        for byte in 0..=255 {
            assert_eq!(Uds::from_bytes([byte; 32]), Err(Error::UdsAllEqual { byte }));
            let mut bytes = [byte; 32];
            bytes[31] ^= 0x80;
            assert!(Uds::from_bytes(bytes).is_ok());
        }
        assert_eq!(Uds::from_legacy_bytes_unchecked([0xff; 32]).expose(), &[0xff; 32]);
    }
}
