//! Reading what the user gives: the secret from where it is, the default registration id from its parts.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use dice_core::{Error, MacAddress, RegistrationId};
use zeroize::Zeroizing;

/// A UDS file or standard input longer than this is not a UDS.
const MAX_UDS_INPUT: u64 = 1024;

/// Reads the UDS text from a file, or from `stdin` where the path is `-`; blanks and line ends around it do not count.
///
/// # Errors
/// The file cannot be read, is too long, or is not text.
pub fn read_uds(path: &Path, stdin: &mut dyn Read) -> Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(MAX_UDS_INPUT)? + 1));
    if path == Path::new("-") {
        stdin
            .take(MAX_UDS_INPUT + 1)
            .read_to_end(&mut bytes)
            .context("reading the UDS from standard input")?;
    } else {
        let file = std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        file.take(MAX_UDS_INPUT + 1)
            .read_to_end(&mut bytes)
            .with_context(|| format!("reading the UDS from {}", path.display()))?;
    }
    ensure!(bytes.len() as u64 <= MAX_UDS_INPUT, "the UDS input is longer than {MAX_UDS_INPUT} bytes");
    let text = std::str::from_utf8(&bytes).context("the UDS input is not text")?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}

/// The default registration id of a device, or what is wrong with the parts it is made of.
///
/// # Errors
/// Names the character of the MAC address or the firmware version that is wrong, or what is missing.
pub fn default_registration_id(mac: &str, version: &str) -> Result<String> {
    let mac = MacAddress::parse(mac).map_err(|error| anyhow!("MAC address: {error}"))?;
    let mut text = vec![0; RegistrationId::DEFAULT_MAX_LEN + version.len()];
    match RegistrationId::default_for(mac, version, &mut text) {
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
        Err(error) => bail!("firmware version: {error}"),
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
        for (mac, words) in [("c89346f8a1b", "11"), ("c89346f8a1bg", "'g'"), ("", "12")] {
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
        assert!(message(read(&[b'0'; 2000])).contains("longer than"));
        assert!(message(read(&[0xff, 0xfe])).contains("not text"));
        assert!(message(read_uds(Path::new("no/such/file"), &mut &b""[..])).contains("no/such/file"));
    }
}
