//! The registration ids of the original firmware: `az-`, the MAC address, the firmware version.

use crate::{Error, RegistrationId, Result, hex};

/// Space enough for [`default_registration_id`] with any version of three 32-bit numbers, in bytes.
pub const DEFAULT_REGISTRATION_ID_MAX_LEN: usize = "az-c89346f8a1b2v4294967295v4294967295v4294967295".len();

/// The id the original gives to a device: `az-`, the MAC address in lower-case hexadecimal, and the firmware version
/// with a `v` before each number, as in `az-c89346f8a1b2v2v0v0`.
///
/// `out` takes the text; [`DEFAULT_REGISTRATION_ID_MAX_LEN`] bytes are enough for any version that fits in three 32-bit
/// numbers.
///
/// # Errors
/// * [`Error::FirmwareVersion`] if `version` is not three decimal numbers with dots between them;
/// * [`Error::BufferTooSmall`], [`Error::RegistrationIdLength`] for versions with very long numbers.
pub fn default_registration_id<'a>(
    mac: MacAddress,
    version: &str,
    out: &'a mut [u8],
) -> Result<RegistrationId<'a>> {
    check_version(version)?;
    let needed = "az-v".len() + 2 * mac.0.len() + version.len();
    let available = out.len();
    let text = out.get_mut(..needed).ok_or(Error::BufferTooSmall { needed, available })?;
    let mac_digits = mac.0.iter().flat_map(|byte| hex::digits(*byte));
    let version = version.bytes().map(|byte| if byte == b'.' { b'v' } else { byte });
    let id = b"az-".iter().copied().chain(mac_digits).chain([b'v']).chain(version);
    text.iter_mut().zip(id).for_each(|(to, from)| *to = from);
    core::str::from_utf8(text)
        .map_err(|_| Error::RegistrationIdLength { found: needed, limit: RegistrationId::MAX_LEN })
        .and_then(RegistrationId::new)
}

/// A MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// Reads a MAC address as people and tools write it, in digits of either case: `c89346f8a1b2` without separators;
    /// in pairs, `c8:93:46:f8:a1:b2`, `c8-93-46-f8-a1-b2`, also with blanks or dots; in fours, `c893.46f8.a1b2`; in
    /// halves, `c89346-f8a1b2`. Between colons leading zeros may be missing (`0:1b:2:3:4:5`).
    ///
    /// # Errors
    /// * [`Error::HexDigit`] names the first character that does not belong, and its position;
    /// * [`Error::HexLength`] if there are not twelve digits, or between colons not six numbers.
    pub fn parse(text: &str) -> Result<Self> {
        let separator = text.chars().find(|character| matches!(character, ':' | '-' | '.' | ' '));
        let group = separator.and_then(|separator| text.chars().position(|character| character == separator));
        let (least, most) = match (group, separator) {
            (Some(1 | 2), Some(':')) => (1, 2),
            (Some(length @ (2 | 4 | 6)), _) => (length, length),
            (Some(index), Some(found)) => return Err(Error::HexDigit { index, found }),
            _ => (12, usize::MAX),
        };
        let mut mac = [0_u8; 6];
        let (mut octet, mut digits, mut in_group) = (0, 0, 0);
        for (index, found) in text.chars().enumerate() {
            let wrong = Error::HexDigit { index, found };
            if Some(found) == separator {
                if in_group < least {
                    return Err(wrong);
                }
                octet += usize::from(most == 2);
                in_group = 0;
                continue;
            }
            let digit = found.to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or(wrong)?;
            if in_group == most {
                return Err(wrong);
            }
            let place = if most == 2 { octet } else { digits / 2 };
            if let Some(byte) = mac.get_mut(place) {
                *byte = (*byte << 4) | digit;
            }
            digits += 1;
            in_group += 1;
        }
        let wrong = Error::HexLength { expected: 12, found: digits };
        match (text.chars().enumerate().last(), separator) {
            (Some((index, found)), Some(separator)) if found == separator => {
                return Err(Error::HexDigit { index, found });
            }
            _ => {}
        }
        let complete = if most == 2 { octet == 5 && in_group >= least } else { digits == 12 };
        if complete { Ok(Self(mac)) } else { Err(wrong) }
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

    #[test]
    fn mac_addresses_are_read_in_every_usual_spelling() {
        let mac = MacAddress([0xc8, 0x93, 0x46, 0xf8, 0xa1, 0xb2]);
        for text in [
            "c89346f8a1b2",
            "C8:93:46:f8:A1:B2",
            "c8-93-46-f8-a1-b2",
            "c8 93 46 f8 a1 b2",
            "c8.93.46.f8.a1.b2",
            "c893.46f8.a1b2",
            "C893-46F8-A1B2",
            "c893:46f8:a1b2",
            "c89346-f8a1b2",
        ] {
            assert_eq!(MacAddress::parse(text), Ok(mac), "{text}");
        }
        assert_eq!(MacAddress::parse("0:1b:2:3:a:0"), Ok(MacAddress([0, 0x1b, 2, 3, 10, 0])));
        for (text, error) in [
            ("", Error::HexLength { expected: 12, found: 0 }),
            ("c89346f8a1b", Error::HexLength { expected: 12, found: 11 }),
            ("c89346f8a1b23", Error::HexLength { expected: 12, found: 13 }),
            ("c8:93:46:f8:a1", Error::HexLength { expected: 12, found: 10 }),
            ("c8:93:46:f8:a1:b2:c3", Error::HexLength { expected: 12, found: 14 }),
            ("c8:93:46:f8:a1:b2:", Error::HexDigit { index: 17, found: ':' }),
            ("c893.46f8.a1b2.", Error::HexDigit { index: 14, found: '.' }),
            ("c893.46f8", Error::HexLength { expected: 12, found: 8 }),
            ("c8:93-46:f8:a1:b2", Error::HexDigit { index: 5, found: '-' }),
            ("c8:9346f8a1b2", Error::HexDigit { index: 5, found: '4' }),
            ("c8::93:46:f8:a1", Error::HexDigit { index: 3, found: ':' }),
            ("8-93-46-f8-a1-b2", Error::HexDigit { index: 1, found: '-' }),
            ("c89:346f8a1b2", Error::HexDigit { index: 3, found: ':' }),
            ("c893:46f8a1b2", Error::HexDigit { index: 9, found: 'a' }),
            (":c89346f8a1b2", Error::HexDigit { index: 0, found: ':' }),
            ("c89346f8a1bg", Error::HexDigit { index: 11, found: 'g' }),
            ("c89346f8a1b2 ", Error::HexDigit { index: 12, found: ' ' }),
        ] {
            assert_eq!(MacAddress::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn versions_are_three_numbers() {
        let mut out = [0; DEFAULT_REGISTRATION_ID_MAX_LEN];
        let mac = MacAddress([0; 6]);
        let longest = "4294967295.4294967295.4294967295";
        let id = default_registration_id(mac, longest, &mut out).expect("fits");
        assert_eq!(id.as_str().len(), DEFAULT_REGISTRATION_ID_MAX_LEN);
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
            let result = default_registration_id(mac, version, &mut out);
            assert_eq!(result, Err(Error::FirmwareVersion { index }), "{version}");
        }
        assert_eq!(
            default_registration_id(mac, "2.0.0", &mut out[..20]),
            Err(Error::BufferTooSmall { needed: 21, available: 20 })
        );
    }
}
