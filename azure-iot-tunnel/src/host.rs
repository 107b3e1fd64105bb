//! A host as it stands in the head of a request: a name, an IPv4 address, or an IPv6 address in brackets.

use azure_iot_common::Error;
use azure_iot_common::text::Writer;

/// The longest DNS name.
const MAX_LEN: usize = 253;

/// A host that was checked: nothing in it can end a line of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Host<'a> {
    text: &'a str,
    is_ipv6: bool,
}

impl<'a> Host<'a> {
    /// A name or an address; that of IPv6 with or without brackets.
    pub(crate) fn new(host: &'a str) -> Result<Self, Error> {
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let text = bare.unwrap_or(host);
        let is_ipv6 = bare.is_some() || text.contains(':');
        // Its characters only: to parse an address would take two kilobytes of flash, and nothing here depends on it. A
        // zone is none of them, because it means something on this machine only. One colon is that of a port.
        let allowed = |byte: u8| match byte {
            b':' => is_ipv6,
            b'-' | b'_' => !is_ipv6,
            b'.' => true,
            _ if is_ipv6 => byte.is_ascii_hexdigit(),
            _ => byte.is_ascii_alphanumeric(),
        };
        let at = text.bytes().position(|byte| !allowed(byte)).or(text.is_empty().then_some(0));
        let at = at.or((is_ipv6 && text.bytes().filter(|byte| *byte == b':').count() < 2).then_some(0));
        match at.or((text.len() > MAX_LEN).then_some(MAX_LEN)) {
            Some(at) => Err(Error::Invalid { what: "host", at }),
            None => Ok(Self { text, is_ipv6 }),
        }
    }

    pub(crate) fn write(self, out: &mut Writer<'_>) {
        if self.is_ipv6 {
            out.byte(b'[').text(self.text).byte(b']');
        } else {
            out.text(self.text);
        }
    }
}
