//! The certification authorities a device believes.
//!
//! Compiled in are the roots of the Azure services: `DigiCert Global Root G2` (today's) and `Microsoft RSA Root Certificate
//! Authority 2017` (announced as its successor). A board may let its user add one more, for a cloud on the desk, by writing
//! it to a flash sector outside the measured image ([`extra`]): the image, and with it the device's identity, stays the same.

/// The roots of the Azure services, DER.
pub const AZURE: [&[u8]; 2] = [
    include_bytes!("../roots/digicert-global-root-g2.der"),
    include_bytes!("../roots/microsoft-rsa-root-2017.der"),
];

/// What the sector with an additional root begins with, followed by the length of the certificate (32 bits, little-endian)
/// and the certificate in DER.
pub const EXTRA_MARK: [u8; 4] = *b"ROOT";

/// The additional root in a flash sector, if there is one.
#[must_use]
pub fn extra(sector: &[u8]) -> Option<&[u8]> {
    let (mark, rest) = sector.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    if *mark == EXTRA_MARK { rest.get(..length).filter(|root| !root.is_empty()) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiled_in_roots_are_der_sequences_of_their_length() {
        for root in AZURE {
            let [0x30, 0x82, high, low, ..] = root else { panic!("no DER sequence") };
            assert_eq!(usize::from(u16::from_be_bytes([*high, *low])) + 4, root.len());
        }
        assert!(AZURE[0].windows(25).any(|text| text == b"DigiCert Global Root G2\x30\x82"));
        assert!(AZURE[1].windows(45).any(|text| text == b"Microsoft RSA Root Certificate Authority 2017"));
    }

    #[test]
    fn an_additional_root_is_found_whole_or_not_at_all() {
        let sector = [b"ROOT\x03\0\0\0".as_slice(), b"DER", &[0xff; 9]].concat();
        assert_eq!(extra(&sector), Some(b"DER".as_slice()));
        for length in 0..11 {
            assert_eq!(extra(&sector[..length]), None, "{length} bytes");
        }
        assert_eq!(extra(&[0xff; 64]), None);
        assert_eq!(extra(&[0; 64]), None);
        assert_eq!(extra(b"ROOT\0\0\0\0rest"), None);
        assert_eq!(extra(b"ROOT\xff\xff\xff\xffrest"), None);
    }
}
