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
