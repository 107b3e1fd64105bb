//! A verifier of server certificates for TLS implementations that have none to rely on: RFC 5280 as far as a client of one service
//! needs it, without an allocator.
//!
//! Signatures are ECDSA with P-256 and P-384. There is no name constraint, no policy and no revocation; a certificate that asks for
//! them (a critical extension) is refused.

mod certificate;
mod host;
mod key;

use super::{Error, Signed, Trust};
use certificate::Certificate;
pub(super) use key::{Hash, PublicKey};

/// The most certificates between leaf and root, and the most signatures that are verified for one chain.
const MAX_DEPTH: usize = 6;
const MAX_SIGNATURES: usize = 12;

/// Finds out whether the certificates of a server, the leaf first and the others in any order, prove to be the host; gives the
/// leaf's key.
pub(super) fn verify<'c>(
    trust: &Trust<'_>,
    leaf: &'c [u8],
    others: &(impl Iterator<Item = &'c [u8]> + Clone),
) -> Result<PublicKey, Error> {
    let leaf = Certificate::parse(leaf)?;
    check_leaf(trust, &leaf)?;
    let mut child = leaf.clone();
    let mut signatures = 0;
    for below in 0..=MAX_DEPTH {
        // Why the last candidate of the right name was not taken.
        let mut refusal = Error::UnknownCa;
        // The roots were read before: see `is_certificate`.
        for root in trust.roots() {
            let root = Certificate::parse(root).map_err(|_| Error::Roots)?;
            match may_have_signed(&root, &child, below, trust, &mut signatures) {
                Ok(()) => return leaf.key.clone().ok_or(Error::UnsupportedAlgorithm),
                Err(error) => note(&mut refusal, error),
            }
        }
        let mut parent = None;
        for der in others.clone() {
            let candidate = Certificate::parse(der).and_then(|candidate| {
                may_have_signed(&candidate, &child, below, trust, &mut signatures)?;
                Ok(candidate)
            });
            match candidate {
                Ok(candidate) => {
                    candidate.check_server_usage()?;
                    parent = Some(candidate);
                    break;
                }
                Err(error) => note(&mut refusal, error),
            }
        }
        child = parent.ok_or(refusal)?;
    }
    Err(Error::PathTooLong)
}

/// True if the bytes are a certificate.
pub(super) fn is_certificate(der: &[u8]) -> bool {
    Certificate::parse(der).is_ok()
}

/// Keeps the first reason that says more than that there is nobody of that name.
fn note(refusal: &mut Error, error: Error) {
    if *refusal == Error::UnknownCa {
        *refusal = error;
    }
}

fn check_leaf(trust: &Trust<'_>, leaf: &Certificate<'_>) -> Result<(), Error> {
    leaf.check_dates(trust.time())?;
    leaf.check_server_usage()?;
    if !leaf.may_sign_handshakes() || leaf.is_ca {
        return Err(Error::WrongUsage);
    }
    if !leaf.names.is_some_and(|names| host::is_among(trust.host(), names)) {
        return Err(Error::WrongHost);
    }
    Ok(())
}

/// Whether `parent` is the issuer of `child`, with `below` CAs between `parent` and the leaf.
fn may_have_signed(
    parent: &Certificate<'_>,
    child: &Certificate<'_>,
    below: usize,
    trust: &Trust<'_>,
    signatures: &mut usize,
) -> Result<(), Error> {
    if parent.subject != child.issuer {
        return Err(Error::UnknownCa);
    }
    if !parent.is_ca || !parent.may_sign_certificates() {
        return Err(Error::NotACa);
    }
    if parent.path_len.is_some_and(|most| below > usize::from(most)) {
        return Err(Error::PathTooLong);
    }
    parent.check_dates(trust.time())?;
    *signatures += 1;
    if *signatures > MAX_SIGNATURES {
        return Err(Error::PathTooLong);
    }
    let key = parent.key.as_ref().ok_or(Error::UnsupportedAlgorithm)?;
    let hash = child.hash.ok_or(Error::UnsupportedAlgorithm)?;
    if key.verify(hash, child.signed, child.signature) {
        Ok(())
    } else {
        Err(Error::BadSignature(Signed::Certificate))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256};
    use std::vec::Vec;

    /// A root and a leaf for `a.example` below it.
    fn chain() -> (Vec<u8>, Vec<u8>) {
        let keys = [(); 2].map(|()| KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap());
        let [root_key, leaf_key] = keys;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&root_key).unwrap().der().to_vec();
        let leaf = CertificateParams::new(std::vec!["a.example".into()]).unwrap();
        let leaf = leaf.signed_by(&leaf_key, &Issuer::new(params, root_key)).unwrap().der().to_vec();
        (root, leaf)
    }

    #[test]
    fn every_bit_of_a_certificate_counts() {
        let (root, leaf) = chain();
        let roots = [root.as_slice()];
        let trust = Trust::new("a.example", &roots).unwrap();
        let nobody = core::iter::empty();
        assert!(verify(&trust, &leaf, &nobody).is_ok());
        for at in 0..leaf.len() {
            for bit in 0..8 {
                let mut leaf = leaf.clone();
                leaf[at] ^= 1 << bit;
                assert!(verify(&trust, &leaf, &nobody).is_err(), "{at} {bit}");
            }
            assert!(verify(&trust, &leaf[..at], &nobody).is_err());
        }
    }

    #[test]
    fn work_is_bounded() {
        // CAs that sign each other, and copies of them: no way leads to the root, and none is walked for ever.
        let keys = [(); 2].map(|()| KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap());
        let params = [(); 2].map(|()| {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params
        });
        let [key, other] = keys;
        let [first, second] = params;
        let issuer = Issuer::new(first.clone(), &key);
        let leaf = CertificateParams::new(std::vec!["a.example".into()]).unwrap();
        let leaf = leaf.signed_by(&other, &issuer).unwrap().der().to_vec();
        let circle = [
            first.signed_by(&key, &Issuer::new(second.clone(), &other)).unwrap().der().to_vec(),
            second.signed_by(&other, &issuer).unwrap().der().to_vec(),
        ];
        let many = circle.iter().cycle().take(16).map(Vec::as_slice);
        let (root, _) = chain();
        let roots = [root.as_slice()];
        let trust = Trust::new("a.example", &roots).unwrap();
        let verdict = verify(&trust, &leaf, &many);
        assert!(matches!(verdict, Err(Error::PathTooLong | Error::BadSignature(_))), "{verdict:?}");
    }
}
