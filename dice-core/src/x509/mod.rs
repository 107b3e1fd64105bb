//! The parts every certificate and certificate request shares: names, extensions, and the signature around it all.

mod time;
pub(crate) mod write;

pub use time::{Time, Validity};

use crate::asn1::{DerWriter, oid};
use crate::hash::{Hash, Sha256};
use crate::key::{Signature, Signer};
use crate::{Error, Result};
use der::asn1::ObjectIdentifier;

/// A certificate or certificate request that still lacks its signature.
///
/// [`sign`](Self::sign) finishes it with a [`Signer`]. Where signing is asynchronous or happens elsewhere, have the
/// [`digest`](Self::digest) signed and call [`finish`](Self::finish).
#[derive(Debug)]
pub struct ToBeSigned<'b> {
    buffer: &'b mut [u8],
    len: usize,
}

impl<'b> ToBeSigned<'b> {
    /// Bytes that follow and precede the signed part at most: outer header, algorithm, signature.
    pub(crate) const MAX_OVERHEAD: usize = 4 + 12 + 3 + Signature::MAX_DER_LEN;

    /// Lets `write` write the signed part at the start of `buffer`.
    pub(crate) fn write(buffer: &'b mut [u8], write: impl FnOnce(&mut DerWriter<'_>)) -> Result<Self> {
        let available = buffer.len();
        let mut writer = DerWriter::new(buffer);
        write(&mut writer);
        let needed = writer.len().saturating_add(Self::MAX_OVERHEAD);
        match writer.finish() {
            Ok(written) => {
                let len = written.len();
                Ok(Self { buffer, len })
            }
            Err(Error::BufferTooSmall { .. }) => Err(Error::BufferTooSmall { needed, available }),
            Err(error) => Err(error),
        }
    }

    /// The DER to be signed.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }

    /// Overwrites bytes of the signed part.
    fn patch(&mut self, at: usize, bytes: &[u8]) {
        self.buffer.iter_mut().take(self.len).skip(at).zip(bytes).for_each(|(to, byte)| *to = *byte);
    }

    /// The SHA-256 digest to be signed.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.as_bytes())
    }

    /// Puts the signature on and gives the finished DER.
    ///
    /// The signature is not verified.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`].
    pub fn finish(self, signature: &Signature) -> Result<&'b [u8]> {
        let available = self.buffer.len();
        let needed = self.len.saturating_add(Self::MAX_OVERHEAD);
        let mut writer = DerWriter::resume(self.buffer, self.len);
        writer.enclose_sequence(|writer| {
            write_signature_algorithm(writer);
            writer.bit_string_of(|writer| signature.write_der(writer));
        });
        writer.finish().map_err(|error| match error {
            Error::BufferTooSmall { .. } => Error::BufferTooSmall { needed, available },
            error => error,
        })
    }

    /// Has the signer sign the digest and gives the finished DER.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`], and whatever the signer reports.
    pub fn sign<S: Signer>(self, mut signer: S) -> core::result::Result<&'b [u8], S::Error> {
        let signature = signer.sign_sha256(&self.digest())?;
        Ok(self.finish(&signature)?)
    }
}

/// `AlgorithmIdentifier { ecdsa-with-SHA256 }`, without parameters (RFC 5758 §3.2).
pub(crate) fn write_signature_algorithm(writer: &mut DerWriter<'_>) {
    writer.sequence(|writer| writer.oid(&oid::ECDSA_WITH_SHA256));
}

/// One relative distinguished name with one UTF-8 attribute.
pub(crate) fn write_rdn(writer: &mut DerWriter<'_>, attribute: &ObjectIdentifier, value: &str) {
    writer.set(|writer| {
        writer.sequence(|writer| {
            writer.oid(attribute);
            writer.utf8(value);
        });
    });
}

/// One extension; `write` writes the content of its octet string.
pub(crate) fn write_extension(
    writer: &mut DerWriter<'_>,
    id: &ObjectIdentifier,
    critical: bool,
    write: impl FnOnce(&mut DerWriter<'_>),
) {
    writer.sequence(|writer| {
        writer.oid(id);
        if critical {
            writer.boolean(true);
        }
        writer.octet_string_of(write);
    });
}
