//! Client certificates as the service judges them: subject CN, validity, CA flag, and signatures up a chain.
//!
//! The original's alias certificate carries a subjectAltName that strict X.509 parsers refuse, and the service takes
//! it all the same; so extensions are read one by one, and only those that a decision needs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use der::{Decode, Encode, Reader, SliceReader};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::SignatureVerificationAlgorithm;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use x509_cert::Certificate as Parsed;
use x509_cert::ext::pkix::BasicConstraints;

/// Why a certificate was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateError {
    /// Not one DER certificate; the text says what is wrong.
    Malformed(String),
    /// `notAfter` has passed, or `notBefore` is still to come.
    OutsideValidity,
    /// The signature algorithm or key type is not one the service takes.
    UnsupportedAlgorithm,
    /// A signature in the chain does not verify with its issuer's key.
    BadSignature,
}

impl std::fmt::Display for CertificateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "malformed certificate: {what}"),
            Self::OutsideValidity => f.write_str("certificate is not valid at this time"),
            Self::UnsupportedAlgorithm => f.write_str("certificate uses an unsupported algorithm"),
            Self::BadSignature => f.write_str("a certificate's signature does not verify"),
        }
    }
}

impl std::error::Error for CertificateError {}

/// A certificate with the parts that decisions are made on.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    der: Vec<u8>,
    tbs: Vec<u8>,
    parsed: Parsed,
    common_name: Option<String>,
}

impl ClientCertificate {
    /// Reads one certificate.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`] if `der` is not exactly one DER certificate.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let malformed = |e: der::Error| CertificateError::Malformed(e.to_string());
        let parsed = Parsed::from_der(der).map_err(malformed)?;
        let mut reader = SliceReader::new(der).map_err(malformed)?;
        let tbs = reader
            .sequence(|r| {
                let tbs = r.tlv_bytes()?.to_vec();
                let _algorithm = r.tlv_bytes()?;
                let _signature = r.tlv_bytes()?;
                Ok::<_, der::Error>(tbs)
            })
            .map_err(malformed)?;
        let common_name = parsed
            .tbs_certificate()
            .subject()
            .common_name()
            .map_err(malformed)?
            .map(|cn| cn.value().into_owned());
        Ok(Self { der: der.to_vec(), tbs, parsed, common_name })
    }

    /// The certificate's bytes.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The subject's common name: the registration id, if there is one.
    #[must_use]
    pub fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }

    /// SHA-1 and SHA-256 over the certificate, in upper-case hexadecimal as the portal prints them.
    #[must_use]
    pub fn thumbprints(&self) -> (String, String) {
        (hex::encode_upper(Sha1::digest(&self.der)), hex::encode_upper(Sha256::digest(&self.der)))
    }

    /// Whether `basicConstraints` says that this is a certification authority.
    #[must_use]
    pub fn is_authority(&self) -> bool {
        self.path_limit().is_some()
    }

    /// `Some(limit)` for an authority: how many authorities may stand between it and the leaf.
    fn path_limit(&self) -> Option<u8> {
        let (_critical, constraints) =
            self.parsed.tbs_certificate().get_extension::<BasicConstraints>().ok().flatten()?;
        constraints.ca.then(|| constraints.path_len_constraint.unwrap_or(u8::MAX))
    }

    /// Subject, issuer, serial number and dates, in the words of `registrationState.x509`.
    pub(super) fn describe(&self) -> serde_json::Value {
        let tbs = self.parsed.tbs_certificate();
        let (sha1, sha256) = self.thumbprints();
        let time = |t: &x509_cert::time::Time| super::clock::timestamp(t.to_unix_duration());
        serde_json::json!({
            "subjectName": tbs.subject().to_string(),
            "sha1Thumbprint": sha1,
            "sha256Thumbprint": sha256,
            "issuerName": tbs.issuer().to_string(),
            "notBeforeUtc": time(&tbs.validity().not_before),
            "notAfterUtc": time(&tbs.validity().not_after),
            "serialNumber": hex::encode_upper(tbs.serial_number().as_bytes()),
            "version": 3,
        })
    }

    /// # Errors
    /// [`CertificateError::OutsideValidity`] if `now` is not between `notBefore` and `notAfter`.
    pub fn check_validity(&self, now: SystemTime) -> Result<(), CertificateError> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let validity = self.parsed.tbs_certificate().validity();
        if now < validity.not_before.to_unix_duration() || now > validity.not_after.to_unix_duration() {
            return Err(CertificateError::OutsideValidity);
        }
        Ok(())
    }

    /// Whether the issuer's name is `issuer`'s subject.
    fn names_issuer(&self, issuer: &Self) -> bool {
        self.parsed.tbs_certificate().issuer() == issuer.parsed.tbs_certificate().subject()
    }

    /// Verifies this certificate's signature with `issuer`'s key.
    fn check_signed_by(
        &self,
        issuer: &Self,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<(), CertificateError> {
        let signature_id = algorithm_id(self.parsed.signature_algorithm())?;
        let signature = self.parsed.signature().as_bytes().ok_or(CertificateError::UnsupportedAlgorithm)?;
        let (key_id, key) = issuer.public_key()?;
        let algorithm = algorithms
            .all
            .iter()
            .find(|a| *a.signature_alg_id() == *signature_id && *a.public_key_alg_id() == *key_id)
            .ok_or(CertificateError::UnsupportedAlgorithm)?;
        algorithm.verify_signature(key, &self.tbs, signature).map_err(|_| CertificateError::BadSignature)
    }

    /// Verifies a signature made by this certificate's key with the first fitting one of `algorithms`.
    pub(super) fn verify(
        &self,
        algorithms: &[&'static dyn SignatureVerificationAlgorithm],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), CertificateError> {
        let (key_id, key) = self.public_key()?;
        let mut fitting = algorithms.iter().filter(|a| *a.public_key_alg_id() == *key_id).peekable();
        if fitting.peek().is_none() {
            return Err(CertificateError::UnsupportedAlgorithm);
        }
        fitting
            .find(|a| a.verify_signature(key, message, signature).is_ok())
            .map(|_| ())
            .ok_or(CertificateError::BadSignature)
    }

    /// The key's algorithm identifier (without the outer SEQUENCE header) and its bits.
    fn public_key(&self) -> Result<(Vec<u8>, &[u8]), CertificateError> {
        let spki = self.parsed.tbs_certificate().subject_public_key_info();
        let key = spki.subject_public_key.as_bytes().ok_or(CertificateError::UnsupportedAlgorithm)?;
        Ok((algorithm_id(&spki.algorithm)?, key))
    }
}

/// The content of an `AlgorithmIdentifier`, without its SEQUENCE header: the form that rustls' algorithms are named by.
fn algorithm_id(id: &x509_cert::spki::AlgorithmIdentifierOwned) -> Result<Vec<u8>, CertificateError> {
    let der = id.to_der().map_err(|e| CertificateError::Malformed(e.to_string()))?;
    let any = der::asn1::AnyRef::from_der(&der).map_err(|e| CertificateError::Malformed(e.to_string()))?;
    Ok(any.value().to_vec())
}

/// Follows `chain` (leaf first, each next one the issuer of the one before) to one of `anchors` and gives that
/// anchor's index; `None` if the chain leads to none of them.
///
/// An anchor may itself be in the chain, or be the issuer of its last certificate. Names, signatures, dates, CA flags
/// and path lengths are checked on the way.
///
/// # Errors
/// As [`ClientCertificate::check_validity`], or a signature that does not verify.
pub(super) fn find_anchor(
    chain: &[ClientCertificate],
    anchors: &[ClientCertificate],
    now: SystemTime,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<Option<usize>, CertificateError> {
    for (depth, subject) in chain.iter().enumerate() {
        subject.check_validity(now)?;
        if depth > 0 {
            // `depth - 1` authorities stand between this one and the leaf.
            if subject.path_limit().is_none_or(|limit| usize::from(limit) + 1 < depth) {
                return Ok(None);
            }
            if let Some(found) = anchors.iter().position(|anchor| anchor.der == subject.der) {
                return Ok(Some(found));
            }
        }
        for (index, anchor) in anchors.iter().enumerate() {
            let long_enough = anchor.path_limit().is_some_and(|limit| usize::from(limit) >= depth);
            if long_enough
                && subject.names_issuer(anchor)
                && subject.check_signed_by(anchor, algorithms).is_ok()
            {
                anchor.check_validity(now)?;
                return Ok(Some(index));
            }
        }
        match chain.get(depth + 1) {
            Some(issuer) if subject.names_issuer(issuer) => subject.check_signed_by(issuer, algorithms)?,
            _ => return Ok(None),
        }
    }
    Ok(None)
}
