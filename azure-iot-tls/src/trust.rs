//! Whom a device believes: the roots, the host it means to reach, and the time by which it judges.

use super::Error;

/// The roots, the host and the time that a server is judged by.
///
/// # Example
/// ```
/// use azure_iot_tls::{Error, Trust};
///
/// let root: &[u8] = b"DER of a self-signed certificate";
/// let roots = [root];
/// let trust = Trust::new("my-hub.azure-devices.net", &roots)?.at(1_780_000_000);
/// assert_eq!(trust.host(), "my-hub.azure-devices.net");
/// assert_eq!(Trust::new("192.0.2.1:8883", &roots).unwrap_err(), Error::HostName);
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Trust<'a> {
    host: &'a str,
    roots: &'a [&'a [u8]],
    time: Option<u64>,
    versions: Versions,
}

/// The TLS versions that are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Versions {
    /// TLS 1.2 and 1.3, the newer one preferred.
    #[default]
    Both,
    /// TLS 1.2 only.
    Tls12,
    /// TLS 1.3 only.
    Tls13,
}

impl<'a> Trust<'a> {
    /// The longest host name, in characters (RFC 1035 §2.3.4 without the final dot).
    pub const MAX_HOST_LEN: usize = 253;

    /// Trusts servers that prove to be `host`, a DNS name, by a chain to one of `roots`, certificates in DER.
    ///
    /// # Errors
    /// [`Error::HostName`] if `host` is not a DNS name, [`Error::Roots`] if there is no root. What is in the roots is
    /// judged when the adapter reads them.
    pub fn new(host: &'a str, roots: &'a [&'a [u8]]) -> Result<Self, Error> {
        if !is_dns_name(host) {
            return Err(Error::HostName);
        }
        if roots.is_empty() {
            return Err(Error::Roots);
        }
        Ok(Self { host, roots, time: None, versions: Versions::Both })
    }

    /// Judges certificates by this time: seconds since 1970-01-01T00:00:00Z.
    ///
    /// Without it the first and last day of the certificates are **not** checked, and nothing else is left out: a
    /// server that holds an expired certificate, and its key, is then believed. The `rustls` adapter, which has an
    /// operating system, uses that system's clock instead.
    #[must_use]
    pub const fn at(mut self, unix_seconds: u64) -> Self {
        self.time = Some(unix_seconds);
        self
    }

    /// Offers only these versions. The default is all that the adapter has.
    #[must_use]
    pub const fn versions(mut self, versions: Versions) -> Self {
        self.versions = versions;
        self
    }

    /// The host.
    #[must_use]
    pub const fn host(&self) -> &'a str {
        self.host
    }

    /// The roots, in DER.
    #[must_use]
    pub const fn roots(&self) -> &'a [&'a [u8]] {
        self.roots
    }

    /// The time, in seconds since 1970.
    #[must_use]
    pub const fn time(&self) -> Option<u64> {
        self.time
    }

    /// The versions to be offered.
    #[must_use]
    pub const fn offered_versions(&self) -> Versions {
        self.versions
    }
}

/// True for a DNS name: labels of 1 to 63 letters, digits, hyphens (not at an end) or underscores, the last one not
/// all digits, so that an IPv4 address is none.
fn is_dns_name(name: &str) -> bool {
    let label_is_good = |label: &str| {
        let ends_well = |byte: Option<&u8>| byte.is_some_and(|byte| *byte != b'-');
        let bytes = label.as_bytes();
        bytes.len() <= 63
            && ends_well(bytes.first())
            && ends_well(bytes.last())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    name.len() <= Trust::MAX_HOST_LEN
        && name.split('.').all(label_is_good)
        && name.rsplit('.').next().is_some_and(|last| !last.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn host_names() {
        let long = |n: usize| "abc.".repeat(n / 4) + "d";
        for good in ["a", "localhost", "a-b.c", "global.azure-devices-provisioning.net", "A1.x_y", &long(252)]
        {
            assert!(is_dns_name(good), "{good}");
        }
        let label = "a".repeat(64);
        for bad in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "-a",
            "a-",
            "a b",
            "10.0.0.1",
            "::1",
            "h:1",
            "ä",
            "*.a",
            &label,
            &long(256),
        ] {
            assert!(!is_dns_name(bad), "{bad}");
        }
        assert_eq!(Trust::new("a", &[]).unwrap_err(), Error::Roots);
    }
}
