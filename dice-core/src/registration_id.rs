//! Registration ids: the name a device enrols under, which is the common name of its certificate.

use crate::{Error, Result, hex};
use core::fmt;

/// A registration id: 1 to 128 characters out of `a-z`, `0-9` and `-`.
///
/// The provisioning service takes a few characters more and compares without regard to case, while the hub's device
/// ids are case-sensitive. Ids in this form mean the same everywhere, and as file names.
///
/// ```
/// use dice_core::{Error, RegistrationId};
///
/// assert_eq!(RegistrationId::new("az-c89346f8a1b2")?.as_str(), "az-c89346f8a1b2");
/// assert_eq!(
///     RegistrationId::new("az_c89346f8a1b2"),
///     Err(Error::RegistrationIdCharacter { index: 2, found: '_' })
/// );
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RegistrationId<'a>(&'a str);

impl<'a> RegistrationId<'a> {
    /// The most characters an id may have.
    ///
    /// Certificates take fewer: 126 in the `riot` profile (the original's encoder), 64 in the `standard` profile
    /// (RFC 5280's bound for common names).
    pub const MAX_LEN: usize = 128;

    /// Checks an id.
    ///
    /// # Errors
    /// * [`Error::RegistrationIdCharacter`] names the first character that is not allowed, and its position;
    /// * [`Error::RegistrationIdLength`] if it is empty or too long.
    pub fn new(id: &'a str) -> Result<Self> {
        let allowed = |character: &char| matches!(character, 'a'..='z' | '0'..='9' | '-');
        if let Some((index, found)) = id.chars().enumerate().find(|(_, character)| !allowed(character)) {
            return Err(Error::RegistrationIdCharacter { index, found });
        }
        Self(id).checked_len(Self::MAX_LEN)
    }

    /// The id the original gives to a device: `az-`, the MAC address in lower-case hexadecimal, and the firmware
    /// version with a `v` before each number, as in `az-c89346f8a1b2v2v0v0`.
    ///
    /// `out` takes the text; [`DEFAULT_MAX_LEN`](Self::DEFAULT_MAX_LEN) bytes are enough for any version that fits in
    /// three 32-bit numbers.
    ///
    /// # Errors
    /// * [`Error::FirmwareVersion`] if `version` is not three decimal numbers with dots between them;
    /// * [`Error::BufferTooSmall`], [`Error::RegistrationIdLength`] for versions with very long numbers.
    pub fn default_for(mac: MacAddress, version: &str, out: &'a mut [u8]) -> Result<Self> {
        check_version(version)?;
        let needed = "az-v".len() + 2 * mac.0.len() + version.len();
        let available = out.len();
        let text = out.get_mut(..needed).ok_or(Error::BufferTooSmall { needed, available })?;
        let mac_digits = mac.0.iter().flat_map(|byte| hex::digits(*byte));
        let version = version.bytes().map(|byte| if byte == b'.' { b'v' } else { byte });
        let id = b"az-".iter().copied().chain(mac_digits).chain([b'v']).chain(version);
        text.iter_mut().zip(id).for_each(|(to, from)| *to = from);
        core::str::from_utf8(text)
            .map_err(|_| Error::RegistrationIdLength { found: needed, limit: Self::MAX_LEN })
            .and_then(Self::new)
    }

    /// Space enough for [`default_for`](Self::default_for) with any version of three 32-bit numbers.
    pub const DEFAULT_MAX_LEN: usize = "az-c89346f8a1b2v4294967295v4294967295v4294967295".len();

    /// The id.
    #[must_use]
    pub const fn as_str(&self) -> &'a str {
        self.0
    }

    /// This id if it has 1 to `limit` characters.
    pub(crate) fn checked_len(self, limit: usize) -> Result<Self> {
        let found = self.0.len();
        if found == 0 || found > limit { Err(Error::RegistrationIdLength { found, limit }) } else { Ok(self) }
    }
}

impl fmt::Display for RegistrationId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for RegistrationId<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}", self.0);
    }
}

/// A MAC address, as the default registration id needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// Reads twelve hexadecimal digits of either case, alone or in pairs separated by `:` or `-`.
    ///
    /// # Errors
    /// * [`Error::HexDigit`] names the first character that does not belong, and its position;
    /// * [`Error::HexLength`] if there are not twelve digits.
    pub fn parse(text: &str) -> Result<Self> {
        let mut mac = [0_u8; 6];
        let mut digits = 0;
        let separator = text.chars().nth(2).filter(|character| matches!(character, ':' | '-'));
        for (index, found) in text.chars().enumerate() {
            if separator.is_some() && index % 3 == 2 {
                if separator == Some(found) {
                    continue;
                }
                return Err(Error::HexDigit { index, found });
            }
            let digit = found.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            let digit = digit.ok_or(Error::HexDigit { index, found })?;
            if let Some(byte) = mac.get_mut(digits / 2) {
                *byte = (*byte << 4) | digit;
            }
            digits += 1;
        }
        let complete = digits == 12 && !text.ends_with([':', '-']);
        if complete { Ok(Self(mac)) } else { Err(Error::HexLength { expected: 12, found: digits }) }
    }
}

/// `d+.d+.d+`.
fn check_version(version: &str) -> Result<()> {
    let mut numbers = 1;
    let mut digits = 0;
    for (index, character) in version.chars().enumerate() {
        match character {
            '0'..='9' => digits += 1,
            '.' if digits > 0 && numbers < 3 => {
                numbers += 1;
                digits = 0;
            }
            _ => return Err(Error::FirmwareVersion { index }),
        }
    }
    if numbers == 3 && digits > 0 { Ok(()) } else { Err(Error::FirmwareVersion { index: version.len() }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    #[test]
    fn ids_are_judged_by_length_and_character() {
        let long = String::from("a").repeat(129);
        assert!(RegistrationId::new(&long[..128]).is_ok());
        assert_eq!(RegistrationId::new(&long), Err(Error::RegistrationIdLength { found: 129, limit: 128 }));
        assert_eq!(RegistrationId::new(""), Err(Error::RegistrationIdLength { found: 0, limit: 128 }));
        assert_eq!(RegistrationId::new("aé"), Err(Error::RegistrationIdCharacter { index: 1, found: 'é' }));
        assert_eq!(RegistrationId::new("éaB"), Err(Error::RegistrationIdCharacter { index: 0, found: 'é' }));
        assert_eq!(RegistrationId::new("a\0"), Err(Error::RegistrationIdCharacter { index: 1, found: '\0' }));
    }

    #[test]
    fn mac_addresses_have_three_forms() {
        let mac = MacAddress([0xc8, 0x93, 0x46, 0xf8, 0xa1, 0xb2]);
        for text in ["c89346f8a1b2", "C8:93:46:f8:A1:B2", "c8-93-46-f8-a1-b2"] {
            assert_eq!(MacAddress::parse(text), Ok(mac), "{text}");
        }
        for (text, error) in [
            ("", Error::HexLength { expected: 12, found: 0 }),
            ("c89346f8a1b", Error::HexLength { expected: 12, found: 11 }),
            ("c89346f8a1b23", Error::HexLength { expected: 12, found: 13 }),
            ("c8:93:46:f8:a1", Error::HexLength { expected: 12, found: 10 }),
            ("c8:93:46:f8:a1:b2:", Error::HexLength { expected: 12, found: 12 }),
            ("c8:93-46:f8:a1:b2", Error::HexDigit { index: 5, found: '-' }),
            ("c8:9346f8a1b2", Error::HexDigit { index: 5, found: '4' }),
            ("c893:46f8a1b2", Error::HexDigit { index: 4, found: ':' }),
            ("c89346f8a1bg", Error::HexDigit { index: 11, found: 'g' }),
        ] {
            assert_eq!(MacAddress::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn versions_are_three_numbers() {
        let mut out = [0; RegistrationId::DEFAULT_MAX_LEN];
        let mac = MacAddress([0; 6]);
        let longest = "4294967295.4294967295.4294967295";
        let id = RegistrationId::default_for(mac, longest, &mut out).expect("fits");
        assert_eq!(id.as_str().len(), RegistrationId::DEFAULT_MAX_LEN);
        for (version, index) in [
            ("", 0),
            ("1", 1),
            ("1.2", 3),
            ("1.2.", 4),
            ("1..2", 2),
            (".1.2", 0),
            ("1.2.3.4", 5),
            ("1.2.3-b", 5),
        ] {
            let result = RegistrationId::default_for(mac, version, &mut out);
            assert_eq!(result, Err(Error::FirmwareVersion { index }), "{version}");
        }
        assert_eq!(
            RegistrationId::default_for(mac, "2.0.0", &mut out[..20]),
            Err(Error::BufferTooSmall { needed: 21, available: 20 })
        );
    }
}
