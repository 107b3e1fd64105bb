//! DER forms of keys: SubjectPublicKeyInfo, SEC 1 `ECPrivateKey`, PKCS#8.

use super::{P256, PublicKey, SCALAR_LEN, SecretKey};
use crate::Result;
use crate::asn1::{DerWriter, oid};

impl PublicKey {
    /// Length of the SubjectPublicKeyInfo in bytes.
    pub const SPKI_LEN: usize = 91;

    /// Writes the SubjectPublicKeyInfo (RFC 5480): [`SPKI_LEN`](Self::SPKI_LEN) bytes.
    pub fn write_spki(&self, writer: &mut DerWriter<'_>) {
        writer.sequence(|writer| {
            write_algorithm(writer);
            writer.bit_string(self.as_sec1());
        });
    }

    /// The SubjectPublicKeyInfo (RFC 5480) as DER.
    #[must_use]
    pub fn to_spki(&self) -> [u8; Self::SPKI_LEN] {
        let mut spki = [0; Self::SPKI_LEN];
        let mut writer = DerWriter::new(&mut spki);
        self.write_spki(&mut writer);
        spki
    }
}

impl<B: P256> SecretKey<B> {
    /// Length of the SEC 1 form in bytes.
    pub const SEC1_DER_LEN: usize = 121;
    /// Length of the PKCS#8 form in bytes.
    pub const PKCS8_DER_LEN: usize = 138;

    /// Writes the key as SEC 1 `ECPrivateKey` (RFC 5915), with curve and public key, and gives the part of `out` used.
    ///
    /// This is what PEM calls `EC PRIVATE KEY`. The caller wipes `out`.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`](crate::Error::BufferTooSmall) under [`SEC1_DER_LEN`](Self::SEC1_DER_LEN) bytes.
    pub fn to_sec1_der<'b>(&self, out: &'b mut [u8]) -> Result<&'b [u8]> {
        let mut writer = DerWriter::new(out);
        self.write_ec_private_key(&mut writer, true);
        writer.finish()
    }

    /// Writes the key as PKCS#8 `PrivateKeyInfo` (RFC 5208, RFC 5958) and gives the part of `out` used.
    ///
    /// This is what PEM calls `PRIVATE KEY` and what most TLS stacks load. The caller wipes `out`.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`](crate::Error::BufferTooSmall) under [`PKCS8_DER_LEN`](Self::PKCS8_DER_LEN) bytes.
    pub fn to_pkcs8_der<'b>(&self, out: &'b mut [u8]) -> Result<&'b [u8]> {
        let mut writer = DerWriter::new(out);
        writer.sequence(|writer| {
            writer.unsigned_integer(&[0]);
            write_algorithm(writer);
            writer.octet_string_of(|writer| self.write_ec_private_key(writer, false));
        });
        writer.finish()
    }

    fn write_ec_private_key(&self, writer: &mut DerWriter<'_>, with_curve: bool) {
        let scalar: &[u8; SCALAR_LEN] = self.expose_scalar().expose();
        writer.sequence(|writer| {
            writer.unsigned_integer(&[1]);
            writer.octet_string(scalar);
            if with_curve {
                writer.explicit(0, |writer| writer.oid(&oid::PRIME256V1));
            }
            writer.explicit(1, |writer| writer.bit_string(self.public_key().as_sec1()));
        });
    }
}

/// `AlgorithmIdentifier { id-ecPublicKey, prime256v1 }` (RFC 5480 §2.1.1).
pub(crate) fn write_algorithm(writer: &mut DerWriter<'_>) {
    writer.sequence(|writer| {
        writer.oid(&oid::EC_PUBLIC_KEY);
        writer.oid(&oid::PRIME256V1);
    });
}
