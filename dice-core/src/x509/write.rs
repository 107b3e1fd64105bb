//! Certificates and requests of the crate's own profiles: one layout, filled in by each.

use super::time::Validity;
use super::{ToBeSigned, write_extension, write_rdn, write_signature_algorithm};
use crate::Result;
use crate::asn1::{DerWriter, oid};
use crate::hash::{Hash, Sha256};
use crate::hex;
use crate::key::{KeyIdentifier, PublicKey};
use der::Tag;
use der::asn1::ObjectIdentifier;

/// Length of serial numbers in bytes.
const SERIAL_LEN: usize = 20;

/// The longest common name (RFC 5280, ub-common-name).
pub(crate) const COMMON_NAME_MAX_LEN: usize = 64;

/// A name with one attribute, the common name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Name<'a> {
    /// A text.
    Text(&'a str),
    /// A word, a dash, and the identifier of a key in hexadecimal: unique for each key.
    Key(&'static str, KeyIdentifier),
}

impl Name<'_> {
    fn write(self, writer: &mut DerWriter<'_>) {
        let mut buffer = [0; COMMON_NAME_MAX_LEN];
        let text = match self {
            Self::Text(text) => text,
            Self::Key(word, identifier) => {
                let digits = identifier.iter().flat_map(|byte| hex::digits(*byte));
                let name = word.bytes().chain([b'-']).chain(digits);
                let len = buffer.iter_mut().zip(name).fold(0, |len, (to, byte)| {
                    *to = byte;
                    len + 1
                });
                buffer.get(..len).and_then(|name| core::str::from_utf8(name).ok()).unwrap_or_default()
            }
        };
        writer.sequence(|writer| write_rdn(writer, &oid::COMMON_NAME, text));
    }
}

/// What a certificate says apart from its extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Certificate<'a> {
    pub(crate) issuer: Name<'a>,
    pub(crate) validity: Validity,
    pub(crate) subject: Name<'a>,
    pub(crate) key: &'a PublicKey,
}

impl Certificate<'_> {
    /// Writes the certificate up to its signature.
    ///
    /// The serial number comes from the content: two certificates of one issuer share it only if they are the same.
    pub(crate) fn to_be_signed(
        self,
        out: &mut [u8],
        extensions: impl FnOnce(&mut DerWriter<'_>),
    ) -> Result<ToBeSigned<'_>> {
        let mut certificate = ToBeSigned::write(out, |writer| {
            writer.sequence(|writer| {
                writer.explicit(0, |writer| writer.unsigned_integer(&[2]));
                writer.tlv(Tag::Integer, &[0; SERIAL_LEN]);
                write_signature_algorithm(writer);
                self.issuer.write(writer);
                self.validity.write(writer);
                self.subject.write(writer);
                self.key.write_spki(writer);
                writer.explicit(3, |writer| writer.sequence(extensions));
            });
        })?;
        let serial = serial(&Sha256::digest(certificate.as_bytes()));
        let at = serial_offset(certificate.as_bytes());
        certificate.patch(at, &serial);
        Ok(certificate)
    }
}

/// A PKCS#10 request (RFC 2986) up to its signature, asking for `extensions`.
pub(crate) fn request<'b>(
    subject: Name<'_>,
    key: &PublicKey,
    out: &'b mut [u8],
    extensions: impl FnOnce(&mut DerWriter<'_>),
) -> Result<ToBeSigned<'b>> {
    ToBeSigned::write(out, |writer| {
        writer.sequence(|writer| {
            writer.unsigned_integer(&[0]);
            subject.write(writer);
            key.write_spki(writer);
            writer.explicit(0, |writer| {
                writer.sequence(|writer| {
                    writer.oid(&oid::EXTENSION_REQUEST);
                    writer.set(|writer| writer.sequence(extensions));
                });
            });
        });
    })
}

/// The first 20 bytes of a digest, the first two bits set to 01: positive, never zero, always of the same length.
fn serial(digest: &[u8; 32]) -> [u8; SERIAL_LEN] {
    let mut serial = *digest.first_chunk().unwrap_or(&[0; SERIAL_LEN]);
    let [first, ..] = &mut serial;
    *first = (*first & 0x3f) | 0x40;
    serial
}

/// Where the serial number's bytes lie in a TBSCertificate: behind its header, the version and a header of their own.
fn serial_offset(tbs: &[u8]) -> usize {
    const VERSION: usize = 2 + 2 + 1;
    let length_bytes = match tbs.get(1) {
        Some(long @ 0x80..) => usize::from(long & 0x7f),
        _ => 0,
    };
    2 + length_bytes + VERSION + 2
}

/// Bits of a `KeyUsage` as [`DerWriter::named_bits`] takes them.
pub(crate) mod key_usage {
    /// digitalSignature, bit 0.
    pub(crate) const DIGITAL_SIGNATURE: u32 = 1 << 31;
    /// keyCertSign, bit 5.
    pub(crate) const KEY_CERT_SIGN: u32 = 1 << 26;
}

/// basicConstraints of a CA, critical.
pub(crate) fn write_ca_constraints(writer: &mut DerWriter<'_>, path_len: Option<u8>) {
    write_extension(writer, &oid::BASIC_CONSTRAINTS, true, |writer| {
        writer.sequence(|writer| {
            writer.boolean(true);
            if let Some(path_len) = path_len {
                writer.unsigned_integer(&[path_len]);
            }
        });
    });
}

/// keyUsage, critical.
pub(crate) fn write_key_usage(writer: &mut DerWriter<'_>, bits: u32) {
    write_extension(writer, &oid::KEY_USAGE, true, |writer| writer.named_bits(Tag::BitString, bits));
}

/// extKeyUsage, not critical.
pub(crate) fn write_ext_key_usage(writer: &mut DerWriter<'_>, purposes: &[ObjectIdentifier]) {
    write_extension(writer, &oid::EXT_KEY_USAGE, false, |writer| {
        writer.sequence(|writer| {
            for purpose in purposes {
                writer.oid(purpose);
            }
        });
    });
}

/// subjectKeyIdentifier.
pub(crate) fn write_subject_key_identifier(writer: &mut DerWriter<'_>, key: &PublicKey) {
    write_extension(writer, &oid::SUBJECT_KEY_IDENTIFIER, false, |writer| {
        writer.octet_string(&key.identifier());
    });
}

/// authorityKeyIdentifier with the key identifier only.
pub(crate) fn write_authority_key_identifier(writer: &mut DerWriter<'_>, issuer: &PublicKey) {
    write_extension(writer, &oid::AUTHORITY_KEY_IDENTIFIER, false, |writer| {
        writer.sequence(|writer| writer.implicit(0, &issuer.identifier()));
    });
}
