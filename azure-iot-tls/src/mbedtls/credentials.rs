//! Roots, chain and key in the forms that Mbed TLS takes.
//!
//! Its Rust face takes a chain as PEM text only, and it passes over what it cannot read in one; so each certificate is tried
//! alone first.

use super::alloc::vec::Vec;
use crate::{Error, Identity, IdentityError, PrivateKey, Trust};
use base64ct::{Base64, Encoding};
use core::ffi::CStr;
use mbedtls_rs::{Certificate, Credentials, X509};
use zeroize::Zeroizing;

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----\n";
const END: &[u8] = b"\n-----END CERTIFICATE-----\n";
/// Base64 is written in pieces of as many bytes, a multiple of 3.
const PIECE: usize = 192;

/// The roots.
pub(super) fn roots<'a>(trust: &Trust<'a>) -> Result<Certificate<'a>, Error> {
    if let [root] = trust.roots() {
        return Certificate::new_no_copy(root).map_err(|cause| parse_error(cause).unwrap_or(Error::Roots));
    }
    chain(trust.roots().iter().copied()).map_err(|memory| memory.unwrap_or(Error::Roots))
}

/// The device's chain and key.
pub(super) fn credentials(identity: &dyn Identity) -> Result<Credentials<'_>, Error> {
    let leaf = identity.certificate(0).ok_or(IdentityError::NoCertificate)?;
    let public = public_key(leaf).ok_or(IdentityError::BadCertificate)?;
    let private = identity.private_key().ok_or(IdentityError::KeyNotExportable)?;
    let certificate = match identity.certificate(1) {
        None => Certificate::new_no_copy(leaf).map_err(parse_error),
        Some(_) => chain((0..).map_while(|index| identity.certificate(index))),
    };
    let certificate = certificate.map_err(|memory| memory.unwrap_or(IdentityError::BadCertificate.into()))?;
    let key = key_der(&private, public);
    let private_key = mbedtls_rs::PrivateKey::new(X509::DER(key.as_ref()), None)
        .map_err(|cause| parse_error(cause).unwrap_or(IdentityError::BadCertificate.into()))?;
    Ok(Credentials { certificate, private_key })
}

/// Certificates as one chain; the error is `None` if one of them is not a certificate.
fn chain<'a>(
    certificates: impl Iterator<Item = &'a [u8]> + Clone,
) -> Result<Certificate<'static>, Option<Error>> {
    let mut length = 1;
    for der in certificates.clone() {
        Certificate::new_no_copy(der).map_err(parse_error)?;
        length += BEGIN.len() + Base64::encoded_len(der) + END.len();
    }
    let mut pem = Vec::new();
    pem.try_reserve_exact(length).map_err(|_| Some(Error::Memory))?;
    let mut text = [0; PIECE / 3 * 4];
    for der in certificates {
        pem.extend_from_slice(BEGIN);
        for piece in der.chunks(PIECE) {
            let encoded = Base64::encode(piece, &mut text).map_err(|_| None)?;
            pem.extend_from_slice(encoded.as_bytes());
        }
        pem.extend_from_slice(END);
    }
    pem.push(0);
    let pem = CStr::from_bytes_with_nul(&pem).map_err(|_| None)?;
    Certificate::new(X509::PEM(pem)).map_err(|cause| parse_error(cause.into()))
}

/// `Memory` if that was it, `None` if the bytes are wrong.
fn parse_error(cause: mbedtls_rs::SessionError) -> Option<Error> {
    Some(super::error::map_plain(cause)).filter(|error| *error == Error::Memory)
}

/// The P-256 point of a certificate's `SubjectPublicKeyInfo` (RFC 5480 §2), found by its fixed first bytes. Only the device's own
/// certificates are looked at.
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

/// The key as `ECPrivateKey` (RFC 5915 §3), with its public half: Mbed TLS would need a random number generator to compute it.
fn key_der(private: &PrivateKey, public: &[u8]) -> Zeroizing<[u8; KEY_LEN]> {
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
    use p256::SecretKey;
    use p256::elliptic_curve::sec1::ToSec1Point;

    #[test]
    fn key_is_the_standard_form() {
        let key = SecretKey::from_slice(&[7; 32]).unwrap();
        let public = key.public_key().to_sec1_point(false);
        let der = key_der(&PrivateKey::from_bytes([7; 32]), public.as_bytes());
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
