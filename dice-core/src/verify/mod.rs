//! Verification of DICE certificate chains, without an allocator.
//!
//! A chain is checked from the trust anchor down to the leaf, one certificate at a time, by the rules of RFC 5280 §6
//! (without policies, name constraints and revocation, which device chains do not use) and those a strict reader adds:
//! key identifiers are required, serial numbers and criticality are checked, unknown critical extensions are refused.
//! On top come the questions of DICE: is there evidence about each layer, and is what runs there admitted?
//!
//! Whoever is refused is told which certificate is at fault and why.
//!
//! ```
//! use dice_core::hash::{Hash, Sha256};
//! use dice_core::standard::{self, FirmwareInfo, Identity};
//! use dice_core::tcg::{Fwid, OperationalFlags};
//! use dice_core::verify::{Evidence, Policy, Reason, Reference, TrustAnchor, verify_chain};
//! use dice_core::{Error, FirmwareDigest, RegistrationId, Uds};
//!
//! # let uds = Uds::from_hex("19e25a259d0c2be03a02d416c05c48ccd0cc7d1743458aae1cb488b074993eae")?;
//! # let firmware = FirmwareDigest::of(b"firmware")?;
//! # let identity = Identity::derive(&uds, &firmware, &FirmwareInfo::new("ACME", "Widget", "1.2.3", 4))?;
//! # let mut alias = [0; standard::ALIAS_CERTIFICATE_MAX_LEN];
//! # let alias = identity.alias_certificate(RegistrationId::new("my-device")?, &mut alias)?;
//! # let mut device_id = [0; standard::DEVICE_ID_CERTIFICATE_MAX_LEN];
//! # let device_id = identity.device_id_certificate(&mut device_id)?;
//! let admitted = [Fwid { algorithm: Sha256::OID, digest: &Sha256::digest(b"firmware") }];
//! let references = [Reference {
//!     model: Some("Widget"),
//!     minimum_svn: Some(5),
//!     admitted_flags: OperationalFlags::NOT_CONFIGURED,
//!     ..Reference::firmware(&admitted)
//! }];
//! let policy = Policy { evidence: Evidence::TcbInfo, references: Some(&references), ..Policy::default() };
//!
//! let refused = verify_chain(TrustAnchor::Certificate(device_id), [alias], policy).unwrap_err();
//! assert_eq!(refused, Error::Refused { certificate: 0, reason: Reason::Svn { found: Some(4), minimum: 5 } });
//! assert_eq!(refused.to_string(), "certificate 0 is refused: security version number 4 is below 5");
//! # Ok::<(), Error>(())
//! ```

mod certificate;
mod extensions;
mod key;
mod reason;
mod reference;

pub use certificate::{Certificate, Name};
pub use key::verify_signature;
pub use reason::Reason;
pub use reference::Reference;

use crate::open_dice::PublicKey;
use crate::x509::Time;
use crate::{Error, Result};
use der::asn1::ObjectIdentifier;

/// What is trusted from the start.
#[derive(Clone, Copy, Debug)]
pub enum TrustAnchor<'a> {
    /// The certificate (DER) of a CA. It has to be in order like every other one; if it is self-issued, it has to be
    /// signed with its own key.
    Certificate(&'a [u8]),
    /// A bare key, such as a UDS public key. The first certificate may name its issuer as it likes.
    Key(PublicKey),
}

/// What every certificate below the anchor has to say about its layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Evidence {
    /// Nothing.
    #[default]
    Any,
    /// TcbInfo or MultiTcbInfo, each component in it with at least one digest (FWID or integrity register).
    ///
    /// Layer numbers, where they are stated, count on without a gap: the first of a certificate is one more than the
    /// last of the certificate above (1 below the anchor), and those of a MultiTcbInfo stay or go up by one.
    TcbInfo,
    /// The extension of the Open Profile for DICE. References do not judge it: they ask for TcbInfo as well.
    OpenDice,
}

/// What the caller demands besides a valid chain.
#[derive(Clone, Copy, Debug, Default)]
pub struct Policy<'p> {
    /// The time at which the certificates have to be valid; without it validity is not checked.
    pub time: Option<Time>,
    /// The most certificates between anchor and leaf, self-issued ones not counted; without it,
    /// [`DEFAULT_MAX_INTERMEDIATES`].
    pub max_intermediates: Option<usize>,
    /// The most self-issued certificates between anchor and leaf; without it, [`DEFAULT_MAX_SELF_ISSUED`].
    pub max_self_issued: Option<usize>,
    /// A purpose the leaf's extKeyUsage has to have. Its keyUsage, if there is one, has to allow digital signatures
    /// then.
    pub purpose: Option<ObjectIdentifier>,
    /// What every certificate has to say about its layer.
    pub evidence: Evidence,
    /// What may run: every component stated in TcbInfo or MultiTcbInfo has to be admitted by one of these. To be
    /// judged, a certificate needs evidence: with references, what [`Evidence::TcbInfo`] asks for is asked for in any
    /// case.
    pub references: Option<&'p [Reference<'p>]>,
}

/// The most certificates between anchor and leaf, self-issued ones not counted, unless [`Policy::max_intermediates`]
/// says otherwise.
pub const DEFAULT_MAX_INTERMEDIATES: usize = 16;

/// The most self-issued certificates between anchor and leaf unless [`Policy::max_self_issued`] says otherwise: a CA
/// that changes its key has one. No path length counts them (RFC 5280 §4.2.1.9), so they need a bound of their own.
pub const DEFAULT_MAX_SELF_ISSUED: usize = 4;

/// A chain being checked.
#[derive(Clone, Debug)]
pub struct Verifier<'c, 'p> {
    policy: Policy<'p>,
    issuer: Issuer<'c>,
    /// CA certificates, not self-issued, that may still follow.
    path_len: Option<u64>,
    intermediates: usize,
    self_issued: usize,
    /// Certificates accepted.
    count: usize,
    /// The last layer that the certificates accepted are about.
    layer: u64,
}

/// Who has to have issued the next certificate.
#[derive(Clone, Debug)]
enum Issuer<'c> {
    Key(PublicKey),
    Anchor(Certificate<'c>),
    Above(Certificate<'c>),
}

impl<'c, 'p> Verifier<'c, 'p> {
    /// Starts from what is trusted.
    ///
    /// # Errors
    /// [`Error::Refused`] for an anchor certificate that is not in order, as certificate 0.
    pub fn new(anchor: TrustAnchor<'c>, policy: Policy<'p>) -> Result<Self> {
        let refuse = |reason| Error::Refused { certificate: 0, reason };
        let issuer = match anchor {
            TrustAnchor::Key(key) => Issuer::Key(key),
            TrustAnchor::Certificate(der) => {
                let certificate = Certificate::parse(der).map_err(refuse)?;
                let self_signed = certificate.check_signature(certificate.public_key());
                if certificate.is_self_issued() {
                    self_signed.map_err(refuse)?;
                    let stated = certificate.extensions.authority_key_identifier;
                    certificate.check_is_issuer(stated).map_err(refuse)?;
                } else if self_signed.is_err() {
                    certificate.stated_issuer().map_err(refuse)?;
                }
                check_time(&certificate, policy.time).map_err(refuse)?;
                Issuer::Anchor(certificate)
            }
        };
        Ok(Self { policy, issuer, path_len: None, intermediates: 0, self_issued: 0, count: 0, layer: 0 })
    }

    /// Checks the next certificate (DER) down the chain.
    ///
    /// # Errors
    /// [`Error::Refused`]. A certificate is told to be no CA when another follows it, so that the one at fault may be
    /// the one before. The anchor counts as certificate 0 until another is accepted.
    pub fn next(&mut self, der: &'c [u8]) -> Result<Certificate<'c>> {
        self.enter_issuer()
            .map_err(|reason| Error::Refused { certificate: self.count.saturating_sub(1), reason })?;
        let refuse = |reason| Error::Refused { certificate: self.count, reason };
        let certificate = Certificate::parse(der).map_err(refuse)?;
        self.layer = self.check(&certificate).map_err(refuse)?;
        self.issuer = Issuer::Above(certificate);
        self.count += 1;
        Ok(certificate)
    }

    /// Ends the chain: the last certificate was the leaf's.
    ///
    /// # Errors
    /// [`Error::Refused`] if there was no certificate, or the leaf lacks the purpose asked for or may not sign.
    pub fn finish(self) -> Result<Certificate<'c>> {
        let refuse = |reason| Error::Refused { certificate: self.count.saturating_sub(1), reason };
        let Issuer::Above(leaf) = self.issuer else {
            return Err(refuse(Reason::Empty));
        };
        match self.policy.purpose {
            Some(purpose) if !leaf.has_purpose(&purpose) => Err(refuse(Reason::Purpose)),
            // Both extensions have to allow it (RFC 5280 §4.2.1.12).
            Some(_) if leaf.extensions.key_usage.is_some_and(|usage| !usage.can_sign()) => {
                Err(refuse(Reason::LeafKeyUsage))
            }
            _ => Ok(leaf),
        }
    }

    /// Whether the issuer may issue, now that it is known to have done so (RFC 5280 §6.1.4, k to n).
    fn enter_issuer(&mut self) -> core::result::Result<(), Reason> {
        let (certificate, is_anchor) = match &self.issuer {
            Issuer::Key(_) => return Ok(()),
            Issuer::Anchor(certificate) => (certificate, true),
            Issuer::Above(certificate) => (certificate, false),
        };
        let extensions = &certificate.extensions;
        let own = extensions.ca.ok_or(Reason::NotCa)?;
        if extensions.key_usage.is_some_and(|usage| !usage.can_sign_certificates()) {
            return Err(Reason::KeyUsage);
        }
        if !is_anchor {
            if certificate.is_self_issued() {
                self.self_issued += 1;
                let limit = self.policy.max_self_issued.unwrap_or(DEFAULT_MAX_SELF_ISSUED);
                if self.self_issued > limit {
                    return Err(Reason::TooManySelfIssued { limit });
                }
            } else {
                self.path_len = match self.path_len {
                    Some(left) => Some(left.checked_sub(1).ok_or(Reason::PathLength)?),
                    None => None,
                };
                self.intermediates += 1;
                let limit = self.policy.max_intermediates.unwrap_or(DEFAULT_MAX_INTERMEDIATES);
                if self.intermediates > limit {
                    return Err(Reason::TooLong { limit });
                }
            }
        }
        self.path_len = match (self.path_len, own.path_len) {
            (Some(left), Some(own)) => Some(left.min(own)),
            (left, own) => left.or(own),
        };
        Ok(())
    }

    /// Whether a certificate fits below its issuer and does what the policy asks (RFC 5280 §6.1.3); gives the last
    /// layer that it is about.
    fn check(&self, certificate: &Certificate<'c>) -> core::result::Result<u64, Reason> {
        let stated = certificate.stated_issuer()?;
        let key = match &self.issuer {
            Issuer::Key(key) => key,
            Issuer::Anchor(issuer) | Issuer::Above(issuer) => {
                if certificate.issuer() != issuer.subject() {
                    return Err(Reason::IssuerName);
                }
                issuer.check_is_issuer(stated)?;
                issuer.public_key()
            }
        };
        certificate.check_signature(key)?;
        check_time(certificate, self.policy.time)?;
        self.check_evidence(certificate)
    }

    fn check_evidence(&self, certificate: &Certificate<'c>) -> core::result::Result<u64, Reason> {
        let below = self.layer.saturating_add(1);
        if self.policy.evidence == Evidence::OpenDice && certificate.attestation_data().is_none() {
            return Err(Reason::MissingEvidence);
        }
        if self.policy.evidence != Evidence::TcbInfo && self.policy.references.is_none() {
            return Ok(below);
        }
        let several = certificate.multi_tcb_info().map(|multi| multi.0.iter()).into_iter().flatten();
        let components = certificate.tcb_info().copied().into_iter().chain(several);
        let mut last = None;
        let mut any = false;
        for component in components {
            any = true;
            if !component.is_measured() {
                return Err(Reason::MissingEvidence);
            }
            if let Some(stated) = component.layer {
                let fits = match last {
                    None => stated == below,
                    Some(last) => stated == last || Some(stated) == last.checked_add(1),
                };
                if !fits {
                    return Err(Reason::LayerNumber { stated, expected: last.unwrap_or(below) });
                }
                last = Some(stated);
            }
            if let Some(references) = self.policy.references {
                reference::check(&component, references)?;
            }
        }
        if any { Ok(last.unwrap_or(below)) } else { Err(Reason::MissingEvidence) }
    }
}

fn check_time(certificate: &Certificate<'_>, time: Option<Time>) -> core::result::Result<(), Reason> {
    let validity = certificate.validity();
    match time {
        Some(time) if time < validity.not_before => {
            Err(Reason::NotYetValid { not_before: validity.not_before })
        }
        Some(time) if time > validity.not_after => Err(Reason::Expired { not_after: validity.not_after }),
        _ => Ok(()),
    }
}

/// Checks a whole chain and gives its leaf. The certificates (DER) come in the order from the anchor down, the anchor
/// itself not among them.
///
/// # Errors
/// [`Error::Refused`] names the certificate at fault, counted from 0 below the anchor, and the reason.
pub fn verify_chain<'c>(
    anchor: TrustAnchor<'c>,
    certificates: impl IntoIterator<Item = &'c [u8]>,
    policy: Policy<'_>,
) -> Result<Certificate<'c>> {
    let mut verifier = Verifier::new(anchor, policy)?;
    for der in certificates {
        verifier.next(der)?;
    }
    verifier.finish()
}

/// A certificate that cannot be read is malformed; every other error of reading has a reason of its own.
impl From<Error> for Reason {
    fn from(error: Error) -> Self {
        match error {
            Error::Der(cause) => Self::Malformed(cause),
            Error::Refused { reason, .. } => reason,
            _ => Self::Malformed(der::ErrorKind::Failed.into()),
        }
    }
}
