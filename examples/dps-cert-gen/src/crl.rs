//! Certificate revocation lists (RFC 5280 §5), for `verify`: whose they are, whether they count now, whom they name.

use std::fmt;

use der::asn1::ObjectIdentifier;
use der::{Decode, Encode};
use dice_core::asn1::{DerReader, oid};
use dice_core::key::Signature;
use dice_core::verify;
use x509_cert::Certificate;
use x509_cert::crl::{CertificateList, RevokedCert};
use x509_cert::ext::pkix::{CrlReason, KeyUsage};

use super::request;
use super::shown::Shown;

/// cRLNumber, authorityKeyIdentifier: what a list says of itself and does not change what is on it.
const KNOWN: [ObjectIdentifier; 2] =
    [ObjectIdentifier::new_unwrap("2.5.29.20"), oid::AUTHORITY_KEY_IDENTIFIER];
/// reasonCode, invalidityDate: what it says of an entry.
const KNOWN_IN_ENTRY: [ObjectIdentifier; 2] =
    [ObjectIdentifier::new_unwrap("2.5.29.21"), ObjectIdentifier::new_unwrap("2.5.29.24")];

/// Why a chain is refused for the sake of a revocation list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The certificate is revoked.
    Revoked {
        /// Its serial number, hexadecimal.
        serial: String,
        /// Since when.
        since: String,
        /// The reason that is given.
        reason: Option<CrlReason>,
    },
    /// A list was given whose issuer is in the chain neither as anchor nor as another CA: it says nothing about it.
    OtherIssuer(String),
    /// The certificate or key of the list's issuer cannot be used for it.
    Issuer(String),
    /// The issuer's keyUsage does not allow it to sign lists.
    NotCrlIssuer,
    /// The list is signed in another way than ECDSA with SHA-256 on P-256.
    SignatureAlgorithm(ObjectIdentifier),
    /// The signature is not the issuer's.
    Signature,
    /// The meaning of a critical extension is not known: it might list less than all.
    UnknownCriticalExtension(ObjectIdentifier),
    /// It does not say until when it counts.
    NoNextUpdate,
    /// It counts from a later time.
    NotYetValid(String),
    /// There should be a newer one.
    Expired(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revoked { serial, since, reason } => {
                write!(f, "it is revoked since {since} (serial number {serial}")?;
                match reason {
                    Some(reason) => write!(f, ", reason: {})", reason_text(*reason)),
                    None => f.write_str(")"),
                }
            }
            Self::OtherIssuer(issuer) => {
                write!(f, "the revocation list of {issuer} says nothing about this chain")
            }
            Self::Issuer(cause) => write!(f, "it cannot have issued the revocation list: {cause}"),
            Self::NotCrlIssuer => f.write_str("it issued a revocation list and its keyUsage lacks cRLSign"),
            Self::SignatureAlgorithm(oid) => {
                write!(f, "revocation list: signature algorithm {oid} is not ECDSA with SHA-256")
            }
            Self::Signature => f.write_str("revocation list: the signature is not the issuer's"),
            Self::UnknownCriticalExtension(oid) => {
                write!(f, "revocation list: critical extension {oid} is not known")
            }
            Self::NoNextUpdate => f.write_str("revocation list: it has no nextUpdate"),
            Self::NotYetValid(from) => write!(f, "revocation list: it counts from {from}"),
            Self::Expired(to) => write!(f, "revocation list: a newer one was due at {to}"),
        }
    }
}

impl std::error::Error for Refusal {}

/// In words.
const fn reason_text(reason: CrlReason) -> &'static str {
    match reason {
        CrlReason::Unspecified => "unspecified",
        CrlReason::KeyCompromise => "key compromise",
        CrlReason::CaCompromise => "CA compromise",
        CrlReason::AffiliationChanged => "affiliation changed",
        CrlReason::Superseded => "superseded",
        CrlReason::CessationOfOperation => "cessation of operation",
        CrlReason::CertificateHold => "certificate hold",
        CrlReason::RemoveFromCRL => "remove from CRL",
        CrlReason::PrivilegeWithdrawn => "privilege withdrawn",
        CrlReason::AaCompromise => "AA compromise",
    }
}

/// A revocation list.
#[derive(Debug, Clone)]
pub struct RevocationList {
    der: Vec<u8>,
    list: CertificateList,
    issuer: Vec<u8>,
}

impl RevocationList {
    /// Reads a list in DER.
    ///
    /// # Errors
    /// It is not one of version 2.
    pub fn from_der(der: &[u8]) -> Result<Self, der::Error> {
        let list = CertificateList::from_der(der)?;
        let issuer = list.tbs_cert_list.issuer.to_der()?;
        Ok(Self { der: der.to_vec(), list, issuer })
    }

    /// The name of its issuer (RFC 4514).
    #[must_use]
    pub fn issuer_text(&self) -> String {
        self.list.tbs_cert_list.issuer.to_string()
    }

    /// The name of its issuer in DER.
    #[must_use]
    pub fn issuer(&self) -> &[u8] {
        &self.issuer
    }

    /// Checks that it is a list of this issuer, complete, and counts at this time (seconds since 1970).
    ///
    /// # Errors
    /// Any [`Refusal`] but [`Refusal::Revoked`] and [`Refusal::OtherIssuer`].
    pub fn check(&self, issuer: &[u8], at: u64) -> Result<(), Refusal> {
        let issuer = Certificate::from_der(issuer).map_err(|error| Refusal::Issuer(error.to_string()))?;
        let tbs = issuer.tbs_certificate();
        let usage: Option<(bool, KeyUsage)> =
            tbs.get_extension().map_err(|error: der::Error| Refusal::Issuer(error.to_string()))?;
        if usage.is_some_and(|(_, usage)| !usage.crl_sign()) {
            return Err(Refusal::NotCrlIssuer);
        }
        let key = request::public_key(tbs.subject_public_key_info())
            .map_err(|error| Refusal::Issuer(error.to_string()))?;
        let CertificateList { tbs_cert_list: list, signature_algorithm, signature } = &self.list;
        let algorithm = signature_algorithm.oid;
        if algorithm != oid::ECDSA_WITH_SHA256
            || signature_algorithm.parameters.is_some()
            || list.signature != *signature_algorithm
        {
            return Err(Refusal::SignatureAlgorithm(algorithm));
        }
        let signature = signature.as_bytes().and_then(|bytes| Signature::from_der(bytes).ok());
        // What is signed, as it stands there.
        let signed = DerReader::new(&self.der).sequence().and_then(|mut content| content.raw());
        match (signature, signed) {
            (Some(signature), Ok(signed)) if key.verify(signed, &signature).is_ok() => {}
            _ => return Err(Refusal::Signature),
        }
        let extensions = list.crl_extensions.iter().flatten();
        let of_entries = list.revoked_certificates.iter().flatten();
        let of_entries = of_entries.flat_map(|entry| entry.crl_entry_extensions.iter().flatten());
        let unknown = extensions
            .filter(|one| !KNOWN.contains(&one.extn_id))
            .chain(of_entries.filter(|one| !KNOWN_IN_ENTRY.contains(&one.extn_id)))
            .find(|one| one.critical);
        if let Some(unknown) = unknown {
            return Err(Refusal::UnknownCriticalExtension(unknown.extn_id));
        }
        let next = list.next_update.ok_or(Refusal::NoNextUpdate)?;
        if at < list.this_update.to_unix_duration().as_secs() {
            return Err(Refusal::NotYetValid(list.this_update.to_string()));
        }
        if at > next.to_unix_duration().as_secs() {
            return Err(Refusal::Expired(next.to_string()));
        }
        Ok(())
    }

    /// Checks that a certificate of this issuer is not on it. `serial` is its number as it stands in the certificate.
    ///
    /// # Errors
    /// [`Refusal::Revoked`].
    pub fn check_certificate(&self, serial: &[u8]) -> Result<(), Refusal> {
        let serial = without_zeros(serial);
        let entries = self.list.tbs_cert_list.revoked_certificates.iter().flatten();
        for RevokedCert { serial_number, revocation_date, crl_entry_extensions } in entries {
            if without_zeros(serial_number.as_bytes()) == serial {
                let extensions = crl_entry_extensions.iter().flatten();
                let reason = extensions
                    .filter(|one| one.extn_id == KNOWN_IN_ENTRY[0])
                    .find_map(|one| CrlReason::from_der(one.extn_value.as_bytes()).ok());
                return Err(Refusal::Revoked {
                    serial: hex::encode_upper(serial),
                    since: revocation_date.to_string(),
                    reason,
                });
            }
        }
        Ok(())
    }
}

/// Checks a chain, from the anchor's end: every list has to be of a CA in it and count at this time (seconds since
/// 1970), and no certificate of that CA may be on it.
///
/// # Errors
/// Any [`Refusal`], with the certificate at fault.
pub fn check_chain<'c>(
    lists: &[RevocationList],
    anchor: &'c [u8],
    chain: &'c [Vec<u8>],
    at: u64,
) -> Result<(), (Option<&'c [u8]>, Refusal)> {
    for list in lists {
        let issuers = std::iter::once(anchor).chain(chain.iter().map(Vec::as_slice));
        let mut is_used = false;
        for (issuer, der) in issuers.zip(chain) {
            let (Ok(parsed), Ok(certificate)) =
                (verify::Certificate::parse(issuer), verify::Certificate::parse(der))
            else {
                continue;
            };
            if parsed.subject().as_der() == list.issuer() {
                is_used = true;
                list.check(issuer, at).map_err(|refusal| (Some(issuer), refusal))?;
                list.check_certificate(certificate.serial()).map_err(|refusal| (Some(&**der), refusal))?;
            }
        }
        if !is_used {
            return Err((None, Refusal::OtherIssuer(Shown(&list.issuer_text()).to_string())));
        }
    }
    Ok(())
}

/// A leading zero byte is the sign of the number.
fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

#[cfg(test)]
mod tests;
