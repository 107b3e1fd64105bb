//! The device's chain and key in the forms that Mbed TLS takes.

use crate::{AsyncIdentity, Error, IdentityError, SecretKey};
use azure_iot_tls_mbedtls::{Client, Code, Key, is_certificate};
use zeroize::Zeroizing;

/// The device's chain, read once to know that it can be, and the place for its key.
pub(super) struct Credentials<'a, I: ?Sized> {
    identity: &'a I,
    /// `None` for a key that is somewhere else.
    key: Option<Zeroizing<[u8; KEY_LEN]>>,
}

impl<'a, I: AsyncIdentity + ?Sized> Credentials<'a, I> {
    pub(super) fn new(identity: &'a I) -> Result<Self, Error> {
        let leaf = identity.certificate(0).ok_or(IdentityError::NoCertificate)?;
        for certificate in chain(identity) {
            match is_certificate(certificate) {
                Ok(()) => {}
                Err(Code::MEMORY) => return Err(Error::Memory),
                Err(_) => return Err(IdentityError::BadCertificate.into()),
            }
        }
        // It is a certificate: its key is another one.
        let public = public_key(leaf).ok_or(IdentityError::UnsupportedKey)?;
        Ok(Self { identity, key: identity.secret_key().map(|private| key_der(&private, public)) })
    }

    pub(super) fn client(&self) -> Client<'_, impl Iterator<Item = &'a [u8]> + use<'a, I>> {
        let key = self.key.as_ref().map_or(Key::External, |der| Key::Der(der.as_slice()));
        Client { chain: chain(self.identity), key }
    }
}

fn chain<I: AsyncIdentity + ?Sized>(identity: &I) -> impl Iterator<Item = &[u8]> {
    (0..).map_while(|index| identity.certificate(index))
}

/// The P-256 point of a certificate's `SubjectPublicKeyInfo` (RFC 5480 §2), found by its fixed first bytes. Only the
/// device's own certificates are looked at.
fn public_key(certificate: &[u8]) -> Option<&[u8]> {
    const SPKI: &[u8] = &[
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
        0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ];
    let at = certificate.windows(SPKI.len()).position(|window| window == SPKI)?;
    certificate.get(at + SPKI.len()..)?.get(..65)
}

/// Length of the DER form of a key: 7 + 32 + 14 + 68.
const KEY_LEN: usize = 121;

/// The key as `ECSecretKey` (RFC 5915 §3), with its public half: Mbed TLS would need a random number generator to
/// compute it.
fn key_der(private: &SecretKey, public: &[u8]) -> Zeroizing<[u8; KEY_LEN]> {
    const HEAD: &[u8] = &[0x30, 119, 0x02, 1, 1, 0x04, 32];
    const CURVE: &[u8] =
        &[0xa0, 10, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0xa1, 68, 0x03, 66, 0];
    let mut der = Zeroizing::new([0; KEY_LEN]);
    let parts = HEAD.iter().chain(private.as_bytes()).chain(CURVE).chain(public);
    der.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
    der
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use p256::elliptic_curve::sec1::ToSec1Point;

    #[test]
    fn key_is_the_standard_form() {
        let key = p256::SecretKey::from_slice(&[7; 32]).unwrap();
        let public = key.public_key().to_sec1_point(false);
        let der = key_der(&SecretKey::from_bytes([7; 32]), public.as_bytes());
        assert_eq!(der.as_slice(), key.to_sec1_der().unwrap().as_slice());
    }

    #[test]
    fn public_key_of_a_certificate() {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let cert = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        assert_eq!(public_key(cert.der()), Some(key.public_key_raw()));
        let der = cert.der();
        for cut in 0..der.len() {
            if let Some(found) = public_key(&der[..cut]) {
                assert_eq!(found, key.public_key_raw());
            }
        }
        let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let cert = rcgen::CertificateParams::default().self_signed(&other).unwrap();
        assert_eq!(public_key(cert.der()), None);
    }
}
