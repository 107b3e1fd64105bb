//! One more certification authority than the Azure services' own, for a local cloud.
//!
//! A board may let its user write it to a flash sector outside the measured image: the image, and with it the
//! device's identity, stays the same.

/// What the sector with an additional root begins with, followed by the length of the certificate (32 bits,
/// little-endian) and the certificate in DER.
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
