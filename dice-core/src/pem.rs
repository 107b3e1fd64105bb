//! PEM text (RFC 7468) into and out of a caller's buffer.

use crate::{Error, Result};
use base64ct::{Base64, Encoding};

/// How the base64 of a PEM block is cut into lines. Lines end with LF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// Lines of 64 characters, as RFC 7468 §2 wants it.
    Wrapped,
    /// One line whatever its length: the original RIoT tool's form, which most readers take too.
    Single,
}

/// The label of a PEM block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// An X.509 certificate.
    Certificate,
    /// A PKCS#10 request.
    CertificateRequest,
    /// A SubjectPublicKeyInfo.
    PublicKey,
    /// A SEC 1 private key.
    EcPrivateKey,
    /// A PKCS#8 private key.
    PrivateKey,
}

impl Label {
    /// The words between `BEGIN` and the dashes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Certificate => "CERTIFICATE",
            Self::CertificateRequest => "CERTIFICATE REQUEST",
            Self::PublicKey => "PUBLIC KEY",
            Self::EcPrivateKey => "EC PRIVATE KEY",
            Self::PrivateKey => "PRIVATE KEY",
        }
    }
}

const LINE: usize = 64;
const BYTES_PER_LINE: usize = LINE / 4 * 3;

/// Length in bytes of the PEM block for `der_len` bytes, the last LF included.
#[must_use]
pub const fn encoded_len(label: Label, der_len: usize, lines: Lines) -> usize {
    let text = der_len.div_ceil(3) * 4;
    let line_ends = match lines {
        Lines::Wrapped => text.div_ceil(LINE),
        Lines::Single => 1,
    };
    "-----BEGIN -----\n-----END -----\n".len() + 2 * label.as_str().len() + text + line_ends
}

/// Writes the PEM block of `der` to `out` and gives the part used.
///
/// The base64 is made without secret-dependent table look-ups, so private keys may pass. The caller wipes `out` then.
///
/// # Errors
/// [`Error::BufferTooSmall`]; [`encoded_len`] says how much is needed.
pub fn encode<'b>(label: Label, der: &[u8], lines: Lines, out: &'b mut [u8]) -> Result<&'b str> {
    let needed = encoded_len(label, der.len(), lines);
    let available = out.len();
    let too_small = Error::BufferTooSmall { needed, available };
    let out = out.get_mut(..needed).ok_or(too_small)?;
    let mut rest = &mut *out;
    let mut put = |text: &[u8]| -> Result<()> {
        let (head, tail) = core::mem::take(&mut rest).split_at_mut_checked(text.len()).ok_or(too_small)?;
        head.copy_from_slice(text);
        rest = tail;
        Ok(())
    };
    let name = label.as_str().as_bytes();
    for text in [&b"-----BEGIN "[..], name, b"-----\n"] {
        put(text)?;
    }
    let mut line = zeroize::Zeroizing::new([0; LINE]);
    for chunk in der.chunks(BYTES_PER_LINE) {
        let text = Base64::encode(chunk, line.as_mut()).map_err(|_| too_small)?;
        put(text.as_bytes())?;
        if lines == Lines::Wrapped {
            put(b"\n")?;
        }
    }
    if lines == Lines::Single {
        put(b"\n")?;
    }
    for text in [&b"-----END "[..], name, b"-----\n"] {
        put(text)?;
    }
    core::str::from_utf8(out).map_err(|_| too_small)
}

/// Finds the first PEM block with a label in `text`, decodes it to `out`, and gives the part used and the text behind
/// the block.
///
/// Text around the block is passed over (RFC 7468 §2), lines may have any length and end with LF or CRLF. The base64 is
/// read without secret-dependent table look-ups.
///
/// # Errors
/// [`Error::PemMissing`] if there is no complete block, [`Error::PemBase64`] with the position in `text` of what is not
/// base64, [`Error::BufferTooSmall`].
pub fn decode<'t, 'b>(label: Label, text: &'t str, out: &'b mut [u8]) -> Result<(&'b [u8], &'t str)> {
    let name = label.as_str();
    let after = |text: &'t str, word: &str| {
        let boundary = |line: &str| {
            let line = line.trim_end_matches(['\n', '\r', ' ', '\t']);
            line.strip_prefix(word).and_then(|line| line.strip_suffix("-----")) == Some(name)
        };
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            let end = start + line.len();
            if boundary(line) {
                return text.get(..start).zip(text.get(end..));
            }
            start = end;
        }
        None
    };
    let (_, behind_begin) = after(text, "-----BEGIN ").ok_or(Error::PemMissing { label })?;
    let (body, rest) = after(behind_begin, "-----END ").ok_or(Error::PemMissing { label })?;
    let body_offset = text.len() - behind_begin.len();

    let characters = || body.bytes().enumerate().filter(|(_, byte)| !byte.is_ascii_whitespace());
    let (count, padding) = (characters().count(), characters().filter(|(_, byte)| *byte == b'=').count());
    let (needed, available) = ((count / 4 * 3).saturating_sub(padding), out.len());
    let out = out.get_mut(..needed).ok_or(Error::BufferTooSmall { needed, available })?;
    let mut source = characters().peekable();
    let mut done = 0;
    while let Some((start, _)) = source.peek().copied() {
        let wrong = Error::PemBase64 { offset: body_offset + start };
        let mut group = zeroize::Zeroizing::new([0; 4]);
        for place in group.iter_mut() {
            *place = source.next().ok_or(wrong)?.1;
        }
        let mut bytes = zeroize::Zeroizing::new([0; 3]);
        let bytes = Base64::decode(group.as_ref(), bytes.as_mut()).map_err(|_| wrong)?;
        // Padding stands at the end only.
        if bytes.len() < 3 && source.peek().is_some() {
            return Err(wrong);
        }
        let target = out.get_mut(done..done + bytes.len()).ok_or(wrong)?;
        target.copy_from_slice(bytes);
        done += bytes.len();
    }
    Ok((out, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;
    use alloc::vec;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn encoded(der: &[u8], lines: Lines) -> String {
        let mut out = vec![0; encoded_len(Label::Certificate, der.len(), lines)];
        encode(Label::Certificate, der, lines, &mut out).expect("fits").into()
    }

    fn decoded(text: &str) -> Result<(Vec<u8>, &str)> {
        let mut out = [0; 256];
        decode(Label::Certificate, text, &mut out).map(|(der, rest)| (der.to_vec(), rest))
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(der in prop::collection::vec(any::<u8>(), 0..200)) {
            for lines in [Lines::Wrapped, Lines::Single] {
                let text = encoded(&der, lines);
                prop_assert_eq!(decoded(&text), Ok((der.clone(), "")));
                let windows = format!("before\r\n{}after", text.replace('\n', "\r\n"));
                prop_assert_eq!(decoded(&windows), Ok((der.clone(), "after")));
                let available = der.len().saturating_sub(1);
                let mut out = vec![0; available];
                if !der.is_empty() {
                    let small = Error::BufferTooSmall { needed: der.len(), available };
                    prop_assert_eq!(decode(Label::Certificate, &text, &mut out), Err(small));
                }
            }
        }

        #[test]
        fn any_text_is_refused_or_decoded(body in "[A-Za-z0-9+/=\n ]{0,60}", cut in 0_usize..120) {
            let text = format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
            let _ = decoded(&text);
            let _ = decoded(text.get(..cut).unwrap_or(&text));
        }
    }

    #[test]
    fn lines_have_64_characters() {
        let text = encoded(&[0; 100], Lines::Wrapped);
        let lengths: Vec<_> = text.lines().map(str::len).collect();
        assert_eq!(lengths, [27, 64, 64, 8, 25]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let missing = Err(Error::PemMissing { label: Label::Certificate });
        assert_eq!(decoded(""), missing);
        assert_eq!(decoded("-----BEGIN CERTIFICATE-----\nAAAA\n"), missing);
        assert_eq!(decoded("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"), missing);
        let block = |body: &str| format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
        for (body, offset) in
            [("AAA", 28), ("AAAA\nA!AA", 33), ("AA==AAAA", 28), ("AAAA====", 28), ("AAAAAB==", 32)]
        {
            assert_eq!(decoded(&block(body)), Err(Error::PemBase64 { offset }), "{body}");
        }
        let two = block("AAAA") + &block("BBBB");
        let (first, rest) = decoded(&two).expect("well formed");
        assert_eq!((first, decoded(rest)), (vec![0; 3], Ok((vec![4, 16, 65], ""))));
    }
}
