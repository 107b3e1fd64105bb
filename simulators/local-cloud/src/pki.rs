//! The cloud's own certificates: a root, an issuing authority below it, and the server certificate, all made at
//! start, so that a client has to verify a real chain. Variants that a client must refuse are made here too.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use der::pem::LineEnding;
use der::{Decode, EncodePem};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use x509_cert::Certificate;

use super::base64_text;
use super::config::IssueKeys;

/// The name of the public provisioning endpoint, in every server certificate of the local cloud.
pub const DPS_HOST: &str = "global.azure-devices-provisioning.net";

const DAY: Duration = Duration::from_hours(24);

/// A certification authority: root, one issuing authority below it, and their keys.
///
/// Cheap to clone; every clone is the same authority.
#[derive(Clone)]
pub struct Authority {
    inner: Arc<Inner>,
}

struct Inner {
    root: CertificateDer<'static>,
    root_key: KeyPair,
    issuing: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// An authority as it is stored: DER, keys in PKCS#8.
#[derive(Serialize, Deserialize)]
pub(super) struct Stored {
    #[serde(with = "base64_text")]
    root: Vec<u8>,
    #[serde(with = "base64_text")]
    root_key: Vec<u8>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// Why no certificate is issued for a request: a word for programs, and words for people.
#[derive(Debug, Clone, Copy)]
pub(super) struct CsrError {
    pub(super) kind: &'static str,
    pub(super) message: &'static str,
}

/// Which certificate the servers present: the good one, or one that a client must refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum ServerCertificate {
    /// Chain of leaf and issuing authority below [`Authority::root_der`], for all names of the cloud.
    #[default]
    Good,
    /// As `Good`, but below another root of the same name.
    OtherAuthority,
    /// As `Good`, but for the name `wrong.example` only.
    WrongHost,
    /// As `Good`, but its last day was yesterday.
    Expired,
    /// As `Good`, but its first day is the day after tomorrow.
    NotYetValid,
    /// As `Good`, but the issuing authority is left out of the chain.
    MissingIssuer,
}

/// A server's certificate chain and key.
pub(super) struct ServerIdentity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

fn authority_params(common_name: &str, path_length: u8, days: u32) -> CertificateParams {
    let mut params = CertificateParams::default();
    let now = SystemTime::now();
    params.not_before = (now - DAY).into();
    params.not_after = (now + DAY * days).into();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Local Cloud");
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_length));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params
}

impl Authority {
    /// Makes new P-256 keys and certificates. The root is valid for ten years from yesterday.
    ///
    /// # Errors
    /// Only if the system's random source fails.
    pub fn generate() -> Result<Self, rcgen::Error> {
        let root_key = KeyPair::generate()?;
        let root = authority_params("Local Cloud Root", 1, 3650).self_signed(&root_key)?;
        Self::below(root.der().clone(), root_key)
    }

    /// Makes a new issuing authority below this root.
    fn below(root: CertificateDer<'static>, root_key: KeyPair) -> Result<Self, rcgen::Error> {
        let signer = Issuer::from_ca_cert_der(&root, &root_key)?;
        let key = KeyPair::generate()?;
        let params = authority_params("Local Cloud Issuing 01", 0, 365);
        let issuing = params.signed_by(&key, &signer)?.der().clone();
        let issuer = Issuer::new(params, key);
        Ok(Self { inner: Arc::new(Inner { root, root_key, issuing, issuer }) })
    }

    pub(super) fn to_stored(&self) -> Stored {
        Stored { root: self.inner.root.to_vec(), root_key: self.inner.root_key.serialize_der() }
    }

    pub(super) fn from_stored(stored: Stored) -> Result<Self, rcgen::Error> {
        let key = KeyPair::try_from(stored.root_key)?;
        Self::below(stored.root.into(), key)
    }

    /// The root certificate in DER: what a device has to trust.
    #[must_use]
    pub fn root_der(&self) -> &[u8] {
        &self.inner.root
    }

    /// What keys that belong to this authority are derived from. Never leaves this machine.
    pub(super) fn secret(&self) -> Vec<u8> {
        self.inner.root_key.serialize_der()
    }

    /// The root certificate in PEM.
    #[must_use]
    pub fn root_pem(&self) -> String {
        // The label is right, and the bytes are a certificate: this cannot fail.
        Certificate::from_der(&self.inner.root)
            .and_then(|root| root.to_pem(LineEnding::LF))
            .unwrap_or_default()
    }

    /// Signs a certificate for the key in a certificate signing request (PKCS#10, DER) and gives the chain, leaf first.
    ///
    /// As the service: the key must be one of `keys`, and the subject's CN be `common_name`. The certificate is valid
    /// for `lifetime` from now; longer ones from a day before, for clocks that are behind. Extensions asked for are not
    /// taken over.
    pub(super) fn issue_client(
        &self,
        csr: &[u8],
        common_name: &str,
        keys: IssueKeys,
        lifetime: Duration,
    ) -> Result<Vec<CertificateDer<'static>>, CsrError> {
        let fault = |kind, message| CsrError { kind, message };
        let request = CertificateSigningRequestParams::from_der(&csr.into()).map_err(|_| {
            let message = "The certificate signing request cannot be read, or its signature is wrong.";
            fault("FailedToDecodeCsr", message)
        })?;
        if keys == IssueKeys::P384 && *request.public_key.algorithm() != rcgen::PKCS_ECDSA_P384_SHA384 {
            return Err(fault(
                "UnsupportedKey",
                "The key of the certificate signing request is not on P-384.",
            ));
        }
        match request.params.distinguished_name.get(&DnType::CommonName) {
            Some(DnValue::Utf8String(name)) if name == common_name => {}
            Some(DnValue::PrintableString(name)) if name.as_str() == common_name => {}
            _ => {
                let message = "The subject of the certificate signing request is not the registration id.";
                return Err(fault("WrongSubject", message));
            }
        }
        let mut params = CertificateParams::default();
        let now = SystemTime::now();
        let early = if lifetime > 7 * DAY { DAY } else { Duration::ZERO };
        params.not_before = (now - early).into();
        params.not_after = (now + lifetime).into();
        params.distinguished_name = request.params.distinguished_name;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let leaf = params
            .signed_by(&request.public_key, &self.inner.issuer)
            .map_err(|_| fault("IssuanceFailed", "The certificate cannot be issued."))?;
        Ok(vec![leaf.der().clone(), self.inner.issuing.clone()])
    }

    /// A server certificate for `names` (DNS names or IP addresses).
    pub(super) fn server(
        &self,
        names: &[String],
        kind: ServerCertificate,
    ) -> Result<ServerIdentity, rcgen::Error> {
        let other;
        let authority = if kind == ServerCertificate::OtherAuthority {
            other = Self::generate()?;
            &other
        } else {
            self
        };
        let names = if kind == ServerCertificate::WrongHost {
            vec!["wrong.example".to_owned()]
        } else {
            names.to_vec()
        };
        let common_name = names.first().cloned().unwrap_or_default();
        let mut params = CertificateParams::new(names)?;
        let now = SystemTime::now();
        let (from, to) = match kind {
            ServerCertificate::Expired => (now - 30 * DAY, now - DAY),
            ServerCertificate::NotYetValid => (now + 2 * DAY, now + 30 * DAY),
            _ => (now - DAY, now + 90 * DAY),
        };
        params.not_before = from.into();
        params.not_after = to.into();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let leaf = params.signed_by(&key, &authority.inner.issuer)?;
        let mut chain = vec![leaf.der().clone()];
        if kind != ServerCertificate::MissingIssuer {
            chain.push(authority.inner.issuing.clone());
        }
        Ok(ServerIdentity { chain, key: PrivateKeyDer::Pkcs8(key.serialize_der().into()) })
    }
}
