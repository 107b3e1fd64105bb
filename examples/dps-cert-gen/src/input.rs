//! Reading what the user gives: the secret from where it is, the default registration id from its parts.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use dice_core::riot::{DEFAULT_REGISTRATION_ID_MAX_LEN, MacAddress, default_registration_id as riot_id};
use dice_core::{Error, RegistrationId};
use zeroize::Zeroizing;

use super::{files, text};

/// A UDS file or standard input longer than this is not a UDS.
const MAX_UDS_INPUT: u64 = 1024;

/// Reads the UDS text from a file, or from `stdin` where the path is `-`; blanks and line ends around it, byte order
/// marks and UTF-16 do not matter.
///
/// # Errors
/// The file cannot be read, is too long, or is not text.
pub fn read_uds(path: &Path, stdin: &mut dyn Read) -> Result<Zeroizing<String>> {
    let bytes = files::read(path, "the UDS", MAX_UDS_INPUT, stdin)?;
    let text = text::decode(&bytes).with_context(|| format!("{}: not a text with a UDS", path.display()))?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}

/// A registration id, checked.
///
/// # Errors
/// Names the character or the length that is wrong.
pub fn registration_id(id: &str) -> Result<RegistrationId<'_>> {
    RegistrationId::new(id).map_err(id_error)
}

/// What is wrong with a registration id, said once.
#[must_use]
pub fn id_error(error: Error) -> anyhow::Error {
    match error {
        Error::RegistrationIdCharacter { index, found } => anyhow!(
            "registration id: character {found:?} at position {index} (counted from 0); only a-z, 0-9 and - are allowed"
        ),
        Error::RegistrationIdLength { found, limit } => {
            anyhow!("registration id: it has {found} characters, 1 to {limit} are allowed here")
        }
        error => error.into(),
    }
}

/// The default registration id of a device, or what is wrong with the parts it is made of.
///
/// # Errors
/// Names the character of the MAC address or the firmware version that is wrong, or what is missing.
pub fn default_registration_id(mac: &str, version: &str) -> Result<String> {
    let mac = MacAddress::parse(mac.trim()).map_err(|error| anyhow!("MAC address: {error}"))?;
    let version = version.trim();
    let mut text = vec![0; DEFAULT_REGISTRATION_ID_MAX_LEN + version.len()];
    match riot_id(mac, version, &mut text) {
        Ok(id) => Ok(id.to_string()),
        Err(Error::FirmwareVersion { .. }) if version.is_empty() => {
            bail!("firmware version: empty; it looks like 2.0.0")
        }
        Err(Error::FirmwareVersion { index }) => match version.chars().nth(index) {
            Some(bad) if bad != '.' => {
                bail!(
                    "firmware version: {bad:?} at position {index} (counted from 0) is neither a digit nor a dot"
                )
            }
            _ => bail!("firmware version: {version} does not have three parts; it looks like 2.0.0"),
        },
        Err(error) => Err(id_error(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
        format!("{:#}", result.unwrap_err())
    }

    #[test]
    fn default_ids_and_what_is_wrong_with_their_parts() {
        assert_eq!(default_registration_id("C89346f8a1b2", "1.10.0").unwrap(), "az-c89346f8a1b2v1v10v0");
        for mac in ["C8:93:46:F8:A1:B2", "c8-93-46-f8-a1-b2", "c893.46f8.a1b2", " c8 93 46 f8 a1 b2\t"] {
            assert_eq!(default_registration_id(mac, " 2.0.0 ").unwrap(), "az-c89346f8a1b2v2v0v0");
        }
        for (mac, words) in [
            ("c89346f8a1b", "11"),
            ("c89346f8a1b23", "13"),
            ("c89346f8a1bg", "'g'"),
            ("", "12"),
            ("c8:93:4", "5"),
        ] {
            let message = message(default_registration_id(mac, "1.0.0"));
            assert!(message.starts_with("MAC address") && message.contains(words), "{message}");
        }
        for (version, words) in
            [("", "empty"), ("2.0", "three parts"), ("2..0", "three parts"), ("2.a.0", "'a' at position 2")]
        {
            let message = message(default_registration_id("c89346f8a1b2", version));
            assert!(message.starts_with("firmware version") && message.contains(words), "{message}");
        }
    }

    #[test]
    fn the_uds_comes_from_a_file_or_standard_input() {
        let read = |text: &[u8]| read_uds(Path::new("-"), &mut &text[..]).map(|uds| uds.to_string());
        assert_eq!(read(b" 00ff\r\n").unwrap(), "00ff");
        for form in text::forms("00ff\n") {
            assert_eq!(read(&form).unwrap(), "00ff");
        }
        assert!(message(read(&[b'0'; 2000])).contains("more than 1024 bytes"));
        assert!(message(read(&[0xff, 0xfe, 0])).contains("not a text"));
        assert!(message(read_uds(Path::new("no/such/file"), &mut &b""[..])).contains("no/such/file"));
    }
}
