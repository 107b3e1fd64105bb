//! Names: whether a certificate is for the host (RFC 9525 §6.3), and whether a CA may sign it (RFC 5280 §4.2.1.10).

use der::asn1::AnyRef;
use der::{Decode, Reader, SliceReader, Tag, TagNumber, Tagged};

use super::certificate::{Certificate, end, inside, malformed, optional};

/// The choice of a `GeneralName`.
const DNS_NAME: u32 = 2;
const DIRECTORY_NAME: u32 = 4;
const IP_ADDRESS: u32 = 7;

/// The most constraints of a CA, and the most names of a certificate below it. Each is compared with each.
const MAX_SUBTREES: usize = 64;
const MAX_NAMES: usize = 256;

/// The names of a `GeneralNames` value, each by its choice.
fn general_names(names: &[u8]) -> impl Iterator<Item = Result<(u32, &[u8]), der::Error>> {
    let mut reader = SliceReader::new(names).ok();
    core::iter::from_fn(move || {
        let reader = reader.as_mut().filter(|reader| !reader.is_finished())?;
        Some(reader.decode::<AnyRef<'_>>().and_then(general_name))
    })
    // After an error the reader stands still.
    .scan(false, |failed, name| (!core::mem::replace(failed, name.is_err())).then_some(name))
}

fn general_name(name: AnyRef<'_>) -> Result<(u32, &[u8]), der::Error> {
    match name.tag() {
        // otherName, x400Address, directoryName and ediPartyName consist of values, the others of bytes.
        Tag::ContextSpecific { number: TagNumber(number @ 0..=8), constructed }
            if constructed == matches!(number, 0 | 3 | 4 | 5) =>
        {
            Ok((number, name.value()))
        }
        _ => Err(malformed()),
    }
}

/// Looks for the host among the DNS names of a `GeneralNames` value. Nothing else counts: no common name, no URI, no
/// address.
pub(super) fn is_among(host: &str, names: &[u8]) -> bool {
    let mut found = false;
    for name in general_names(names) {
        match name {
            Ok((DNS_NAME, name)) => found |= matches(host, name),
            Ok(_) => {}
            Err(_) => return false,
        }
    }
    found
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

/// A CA's word about the names below it; critical or not, it is obeyed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Constraints<'a> {
    /// `GeneralSubtrees`, without their header.
    permitted: &'a [u8],
    excluded: &'a [u8],
}

impl<'a> Constraints<'a> {
    pub(super) fn read(mut constraints: SliceReader<'a>) -> Result<Self, der::Error> {
        let permitted = optional(&mut constraints, 0, true)?.map_or(&[][..], |trees| trees.value());
        let excluded = optional(&mut constraints, 1, true)?.map_or(&[][..], |trees| trees.value());
        end(&constraints)?;
        if permitted.is_empty() && excluded.is_empty() {
            return Err(malformed());
        }
        let constraints = Self { permitted, excluded };
        let mut count = 0;
        for tree in subtrees(permitted).chain(subtrees(excluded)) {
            tree?;
            count += 1;
        }
        if count > MAX_SUBTREES { Err(malformed()) } else { Ok(constraints) }
    }

    /// Whether this certificate may stand below the CA: each of its names, its subject, and the host that it is to
    /// stand for.
    pub(super) fn allow(&self, below: &Certificate<'_>, host: Option<&str>) -> bool {
        let names = below.names.unwrap_or_default();
        let subject = Some((DIRECTORY_NAME, below.subject)).filter(|(_, name)| *name != EMPTY_NAME);
        let host = host.map(|host| (DNS_NAME, host.as_bytes()));
        general_names(names).chain(subject.into_iter().chain(host).map(Ok)).enumerate().all(
            |(index, name)| {
                index < MAX_NAMES && name.is_ok_and(|(choice, name)| self.allow_name(choice, name))
            },
        )
    }

    fn allow_name(&self, choice: u32, name: &[u8]) -> bool {
        let of_its_kind = |trees| subtrees(trees).filter_map(Result::ok).filter(move |tree| tree.0 == choice);
        if !matches!(choice, DNS_NAME | DIRECTORY_NAME | IP_ADDRESS) {
            // Whoever constrains what cannot be compared here cannot be obeyed.
            return of_its_kind(self.permitted).chain(of_its_kind(self.excluded)).next().is_none();
        }
        let within = |base: &[u8], or_may_be: bool| match choice {
            DNS_NAME => is_within(name, base) || (or_may_be && may_be_within(name, base)),
            IP_ADDRESS => is_in_network(name, base),
            // Names of the same meaning have many forms: none is known to be outside of what is excluded.
            _ => or_may_be || is_below(name, base),
        };
        let is_name = |name: &[u8]| match name.strip_prefix(b"*.") {
            None => is_domain(name),
            Some(parent) => parent.contains(&b'.') && is_domain(parent),
        };
        if choice == DNS_NAME && !is_name(name) {
            return false;
        }
        let mut permitted = of_its_kind(self.permitted).peekable();
        let is_permitted = permitted.peek().is_none() || permitted.any(|(_, base)| within(base, false));
        is_permitted && !of_its_kind(self.excluded).any(|(_, base)| within(base, true))
    }
}

/// An empty `Name`.
pub(super) const EMPTY_NAME: &[u8] = &[0x30, 0];

/// The bases of a `GeneralSubtrees` value. Minimum and maximum are not allowed (RFC 5280 §4.2.1.10).
fn subtrees(trees: &[u8]) -> impl Iterator<Item = Result<(u32, &[u8]), der::Error>> {
    let mut reader = SliceReader::new(trees).ok();
    let mut failed = false;
    core::iter::from_fn(move || {
        let reader = reader.as_mut().filter(|reader| !failed && !reader.is_finished())?;
        let tree = reader.decode().and_then(|tree| {
            let mut tree = inside(tree, Tag::Sequence)?;
            let base = general_name(tree.decode()?)?;
            end(&tree)?;
            match base {
                (IP_ADDRESS, network) if !matches!(network.len(), 8 | 32) => Err(malformed()),
                (DNS_NAME, name)
                    if !name.is_empty() && !is_domain(name.strip_prefix(b".").unwrap_or(name)) =>
                {
                    Err(malformed())
                }
                base => Ok(base),
            }
        });
        failed = tree.is_err();
        Some(tree)
    })
}

/// Whether these are labels of letters, digits, hyphens and underscores, with dots between.
fn is_domain(name: &[u8]) -> bool {
    name.split(|byte| *byte == b'.').all(|label| {
        (1..64).contains(&label.len())
            && !label.starts_with(b"-")
            && !label.ends_with(b"-")
            && label.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    }) && !name.rsplit(|byte| *byte == b'.').next().unwrap_or_default().iter().all(u8::is_ascii_digit)
}

/// Whether a DNS name is the base or below it. A base that begins with a dot has only names below it.
fn is_within(name: &[u8], base: &[u8]) -> bool {
    let Some(head) = name.len().checked_sub(base.len()).and_then(|length| name.get(..length)) else {
        return false;
    };
    let same_end = name.get(head.len()..).is_some_and(|tail| tail.eq_ignore_ascii_case(base));
    let at_label = head.is_empty() || base.is_empty() || base.starts_with(b".") || head.ends_with(b".");
    same_end && at_label && !(head.is_empty() && base.starts_with(b"."))
}

/// Whether a name with a wildcard stands for names within the base, among others.
fn may_be_within(name: &[u8], base: &[u8]) -> bool {
    name.strip_prefix(b"*").is_some_and(|parent| is_within(base.strip_prefix(b".").unwrap_or(base), parent))
}

/// Whether an address is in a network, given as address and mask.
fn is_in_network(address: &[u8], network: &[u8]) -> bool {
    let (base, mask) = network.split_at(network.len() / 2);
    address.len() == base.len()
        && address.iter().zip(base).zip(mask).all(|((address, base), mask)| address & mask == base & mask)
}

/// Whether a `Name` begins with the base, given as a `Name` too, byte by byte.
fn is_below(name: &[u8], base: &[u8]) -> bool {
    let content = |name| AnyRef::from_der(name).map(AnyRef::value);
    match (content(name), content(base)) {
        (Ok(name), Ok(base)) => name.starts_with(base),
        _ => false,
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
            "my-hub.azure-devices.net.",
            "my-hub.azure-devices.net\0.evil.example",
            "hub",
            ".",
        ] {
            assert!(!matches(host, name.as_bytes()), "{name}");
        }
        assert!(!matches("localhost", b"*.localhost"));
        assert!(!matches("a.net", b"*.net"));
    }

    #[test]
    fn bases_of_dns_names() {
        for (name, base) in
            [("a.b.net", "b.net"), ("b.net", "b.net"), ("a.B.net", ".b.NET"), ("*.b.net", "b.net"), ("a", "")]
        {
            assert!(is_within(name.as_bytes(), base.as_bytes()), "{name} {base}");
        }
        for (name, base) in [("ab.net", "b.net"), ("b.net", ".b.net"), ("net", "b.net"), ("*.net", "b.net")] {
            assert!(!is_within(name.as_bytes(), base.as_bytes()), "{name} {base}");
        }
        for (name, base) in [("*.net", "b.net"), ("*.net", "a.b.net"), ("*.net", ".b.net")] {
            assert!(may_be_within(name.as_bytes(), base.as_bytes()), "{name} {base}");
        }
        for (name, base) in [("*.b.net", "a.net"), ("a.net", "b.a.net"), ("*.b.net", "ab.net")] {
            assert!(!may_be_within(name.as_bytes(), base.as_bytes()), "{name} {base}");
        }
    }
}
