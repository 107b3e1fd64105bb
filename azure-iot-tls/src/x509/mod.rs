//! The one policy by which every adapter judges a server's certificates: RFC 5280 as far as a client of one service
//! needs it, without an allocator.
//!
//! # The rules
//! - The path ends in one of the roots of [`Trust`], issuer by issuer, names compared byte by byte.
//! - Dates: leaf, CAs and root, if [`Trust`] has a time.
//! - The host is one of the leaf's DNS names (subjectAltName only: no common name, no URI, no address). A wildcard
//!   stands for the whole first label, with two labels or more behind it.
//! - The leaf is no CA, may sign (keyUsage, where there is one, has digitalSignature), and is for server
//!   authentication (extended key usage, where there is one). That holds for the extended key usage of every CA, too.
//! - A CA, the root among them, says that it is one (basicConstraints), may sign certificates (keyUsage, where there
//!   is one), and has no more CAs below it than it allows. Self-issued ones count. It has a name.
//! - Name constraints of a CA, critical or not, hold for every name of every certificate below it, and for the host
//!   itself. What they constrain and is not understood here refuses certificates that have such names.
//! - No extension comes twice; an unknown one that is critical is refused.
//! - Keys are P-256, P-384, or RSA from 2048 to 8192 bits; signatures are ECDSA with SHA-256 or SHA-384, and RSA
//!   (PKCS #1 v1.5 and PSS) with SHA-256, SHA-384 or SHA-512.
//! - Everything is version 3 and proper DER.
//!
//! Policies and revocation are not looked at. The work is bounded: a path has at most six CAs below its root, and at
//! most twelve signatures are verified for one chain.
//!
//! # Signatures
//! The rules are decided here; signatures are verified by whoever has the arithmetic: [`verify`] finds a path and
//! asks a [`SignatureVerifier`] for each of its links; [`check_path`] judges a path whose signatures a TLS library
//! has verified.

mod certificate;
#[cfg(feature = "embedded-tls")]
mod ecdsa;
mod key;
mod names;

#[cfg(any(feature = "embedded-tls", feature = "rustls", feature = "mbedtls"))]
use crate::Signed;
use crate::{Error, Trust};
use certificate::Certificate;
use heapless::Vec;

#[cfg(feature = "embedded-tls")]
pub(crate) use ecdsa::{Ecdsa, VerifyingKey};
pub use key::{Hash, KeyKind, PublicKey, SignatureAlgorithm, SignatureKind};

/// The most CAs between leaf and root, and the most signatures that are verified for one chain.
const MAX_CAS: usize = 6;
const MAX_SIGNATURES: usize = 12;

/// A certificate's signature, and the key that must have made it.
#[derive(Debug, Clone, Copy)]
pub struct Link<'a> {
    /// The issuer's key, of a kind that fits the algorithm.
    pub key: PublicKey<'a>,
    /// How the certificate is signed.
    pub algorithm: SignatureAlgorithm<'a>,
    /// What is signed, before hashing.
    pub message: &'a [u8],
    /// The signature.
    pub signature: &'a [u8],
}

/// Verifies the signatures of certificates.
pub trait SignatureVerifier {
    /// Verifies one.
    ///
    /// # Errors
    /// [`Error::BadSignature`] if the key has not made it, [`Error::UnsupportedAlgorithm`] if that cannot be told.
    fn verify(&mut self, link: &Link<'_>) -> Result<(), Error>;
}

/// The last second, since 1970, in which every certificate of a path is valid.
///
/// # Errors
/// What is wrong with one of them.
#[cfg(feature = "resumption")]
pub(crate) fn valid_until(path: &[&[u8]]) -> Result<u64, Error> {
    path.iter().try_fold(u64::MAX, |end, der| Ok(end.min(Certificate::parse(der)?.not_after())))
}

/// Finds out whether the certificates of a server, the leaf first and the others in any order, prove to be the host;
/// gives the leaf's key.
///
/// # Errors
/// The rule that is broken; of several candidates for an issuer, by the first that says more than that there is none.
pub fn verify<'c>(
    trust: &Trust<'_>,
    leaf: &'c [u8],
    others: &(impl Iterator<Item = &'c [u8]> + Clone),
    signatures: &mut impl SignatureVerifier,
) -> Result<PublicKey<'c>, Error> {
    let mut child = Certificate::parse(leaf)?;
    let key = check_leaf(trust, &child)?;
    // The path so far, and behind each of its CAs the place among the others where the search for another one goes on.
    let mut path = Vec::<&'c [u8], { MAX_CAS + 1 }>::from_slice(&[leaf]).unwrap_or_default();
    let mut resume = Vec::<usize, MAX_CAS>::new();
    let mut start = 0;
    let mut signatures = Counted { left: MAX_SIGNATURES, inner: signatures };
    // Why the first candidate of the right name was not taken.
    let mut refusal = Error::UnknownCa;
    loop {
        let mut is_parent = |candidate: &Certificate<'_>| {
            check_issuer(trust, candidate, &child, &path)?;
            signatures.verify(&link(candidate, &child)?)
        };
        if start == 0 {
            for root in trust.roots() {
                let root = Certificate::parse(root).map_err(|_| Error::Roots)?;
                match is_parent(&root) {
                    Ok(()) => return Ok(key),
                    Err(error) => note(&mut refusal, error),
                }
            }
        }
        let mut found = None;
        for (index, der) in others.clone().enumerate().skip(start) {
            if path.contains(&der) {
                continue; // or there would be no end to CAs that sign each other
            }
            let judged = Certificate::parse(der).and_then(|candidate| {
                is_parent(&candidate)?;
                Ok(candidate)
            });
            match judged {
                Ok(candidate) => {
                    found = Some((candidate, der, index));
                    break;
                }
                Err(error) => note(&mut refusal, error),
            }
        }
        if signatures.left == 0 {
            return Err(Error::PathTooLong);
        }
        match found {
            Some(_) if resume.is_full() => return Err(Error::PathTooLong),
            Some((parent, der, index)) => {
                // There is room for both.
                let _ = (resume.push(index + 1), path.push(der));
                (child, start) = (parent, 0);
            }
            None => {
                // Back to the certificate below, and on from there.
                start = resume.pop().ok_or(refusal)?;
                path.pop();
                child = Certificate::parse(path.last().ok_or(refusal)?)?;
            }
        }
    }
}

/// Judges a path, the leaf first and the root last, whose signatures were verified by others; gives the leaf's key.
///
/// # Errors
/// The rule that is broken.
pub fn check_path<'c>(trust: &Trust<'_>, path: &[&'c [u8]]) -> Result<PublicKey<'c>, Error> {
    let (leaf, issuers) = path.split_first().ok_or(Error::NoCertificate)?;
    let mut child = Certificate::parse(leaf)?;
    let key = check_leaf(trust, &child)?;
    let root = issuers.last().ok_or(Error::UnknownCa)?;
    if !trust.roots().contains(root) {
        return Err(Error::UnknownCa);
    }
    if issuers.len() > MAX_CAS + 1 {
        return Err(Error::PathTooLong);
    }
    for (index, issuer) in issuers.iter().enumerate() {
        let issuer = Certificate::parse(issuer)?;
        check_issuer(trust, &issuer, &child, path.get(..=index).unwrap_or_default())?;
        link(&issuer, &child)?;
        child = issuer;
    }
    Ok(key)
}

/// Reads the roots of `trust`.
///
/// # Errors
/// [`Error::Roots`] if one is not a certificate, or has a critical extension that is not understood.
pub fn check_roots(trust: &Trust<'_>) -> Result<(), Error> {
    let is_good = |root: &&[u8]| Certificate::parse(root).is_ok();
    if trust.roots().iter().all(is_good) { Ok(()) } else { Err(Error::Roots) }
}

/// Verifies no more signatures than are left.
struct Counted<'v, V> {
    left: usize,
    inner: &'v mut V,
}

impl<V: SignatureVerifier> Counted<'_, V> {
    fn verify(&mut self, link: &Link<'_>) -> Result<(), Error> {
        self.left = self.left.checked_sub(1).ok_or(Error::PathTooLong)?;
        self.inner.verify(link)
    }
}

/// Keeps the first reason that says more than that there is nobody of that name.
fn note(refusal: &mut Error, error: Error) {
    if *refusal == Error::UnknownCa {
        *refusal = error;
    }
}

fn check_leaf<'c>(trust: &Trust<'_>, leaf: &Certificate<'c>) -> Result<PublicKey<'c>, Error> {
    leaf.check_dates(trust.time())?;
    leaf.check_server_usage()?;
    if !leaf.may_sign_handshakes() || leaf.is_ca {
        return Err(Error::WrongUsage);
    }
    if !leaf.names.is_some_and(|names| names::is_among(trust.host(), names)) {
        return Err(Error::WrongHost);
    }
    leaf.key.ok_or(Error::UnsupportedAlgorithm)
}

/// Whether `parent` may be the issuer of `child`, the last of the path below it.
fn check_issuer(
    trust: &Trust<'_>,
    parent: &Certificate<'_>,
    child: &Certificate<'_>,
    below: &[&[u8]],
) -> Result<(), Error> {
    if parent.subject != child.issuer {
        return Err(Error::UnknownCa);
    }
    if !parent.may_sign_certificates() || parent.subject == names::EMPTY_NAME {
        return Err(Error::NotACa);
    }
    let cas = below.len().saturating_sub(1);
    if parent.path_len.is_some_and(|most| cas > usize::from(most)) {
        return Err(Error::PathTooLong);
    }
    parent.check_dates(trust.time())?;
    parent.check_server_usage()?;
    let Some(constraints) = parent.constraints else { return Ok(()) };
    for (index, der) in below.iter().enumerate() {
        let host = Some(trust.host()).filter(|_| index == 0);
        if !constraints.allow(&Certificate::parse(der)?, host) {
            return Err(Error::WrongUsage);
        }
    }
    Ok(())
}

/// The signature of `child`, if it is of a kind that counts and that the key of `parent` can have made.
fn link<'c>(parent: &Certificate<'c>, child: &Certificate<'c>) -> Result<Link<'c>, Error> {
    match (parent.key, child.algorithm) {
        (Some(key), Some(algorithm)) if algorithm.fits(key.kind()) => {
            Ok(Link { key, algorithm, message: child.signed, signature: child.signature })
        }
        _ => Err(Error::UnsupportedAlgorithm),
    }
}

/// What a wrong signature of a certificate is called.
#[cfg(any(feature = "embedded-tls", feature = "rustls", feature = "mbedtls"))]
pub(crate) const BAD_SIGNATURE: Error = Error::BadSignature(Signed::Certificate);
