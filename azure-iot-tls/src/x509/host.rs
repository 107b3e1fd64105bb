//! Whether a certificate names the host (RFC 9525 §6.3).

use der::{Reader, SliceReader, Tag, TagNumber};

/// Looks for the host among the DNS names of a `GeneralNames` value.
pub(super) fn is_among(host: &str, names: &[u8]) -> bool {
    const DNS_NAME: Tag = Tag::ContextSpecific { constructed: false, number: TagNumber(2) };
    let Ok(mut reader) = SliceReader::new(names) else { return false };
    while !reader.is_finished() {
        let Ok(name) = reader.decode::<der::asn1::AnyRef<'_>>() else { return false };
        if der::Tagged::tag(&name) == DNS_NAME && matches(host, name.value()) {
            return true;
        }
    }
    false
}

/// Compares without case; `*` stands for the whole first label, and at least two labels follow it.
fn matches(host: &str, name: &[u8]) -> bool {
    match name.strip_prefix(b"*.") {
        None => host.as_bytes().eq_ignore_ascii_case(name),
        Some(rest) => {
            rest.contains(&b'.')
                && host
                    .split_once('.')
                    .is_some_and(|(_, parent)| parent.as_bytes().eq_ignore_ascii_case(rest))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        let host = "my-hub.azure-devices.net";
        for name in ["my-hub.azure-devices.net", "MY-HUB.azure-devices.NET", "*.azure-devices.net"] {
            assert!(matches(host, name.as_bytes()), "{name}");
        }
        for name in [
            "",
            "*",
            "*.",
            "*.net",
            "*.devices.net",
            "my-*.azure-devices.net",
            "*.my-hub.azure-devices.net",
            "hub",
            ".",
        ] {
            assert!(!matches(host, name.as_bytes()), "{name}");
        }
        assert!(!matches("localhost", b"*.localhost"));
        assert!(!matches("a.net", b"*.net"));
    }
}
