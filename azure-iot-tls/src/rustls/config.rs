//! One connection's configuration: a verifier that remembers how far it got, and the identity as a signing key.

use super::std::{
    borrow::ToOwned, boxed::Box, string::String, sync::Arc, sync::OnceLock, time::Duration, vec::Vec,
};
use crate::x509::{self, BAD_SIGNATURE, Link, SignatureVerifier};
use crate::{Error, Identity, IdentityError, Progress, Trust, Versions};
use ::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use ::rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use ::rustls::crypto::WebPkiSupportedAlgorithms;
use ::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use ::rustls::sign::{CertifiedKey, Signer, SigningKey};
use ::rustls::version::{TLS12, TLS13};
use ::rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore};
use ::rustls::{SignatureAlgorithm, SignatureScheme, SupportedProtocolVersion};
use core::fmt;
use core::sync::atomic::{AtomicU8, Ordering};
use der::Encode;
use der::asn1::UintRef;
use sha2::{Digest, Sha256, Sha384};

/// A connection that has not begun, and what its verifier and signer have to say about it.
pub(super) struct Client {
    pub(super) tls: ClientConnection,
    pub(super) notes: Arc<Notes>,
}

/// Makes the connection.
pub(super) fn client(
    trust: &Trust<'_>,
    identity: Option<Arc<dyn Identity + Send + Sync>>,
) -> Result<Client, Error> {
    x509::check_roots(trust)?;
    let notes = Arc::new(Notes::default());
    let provider = Arc::new(::rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for root in trust.roots() {
        roots.add(CertificateDer::from(*root)).map_err(|_| Error::Roots)?;
    }
    let verifier = Verifier {
        host: trust.host().to_owned(),
        roots: trust.roots().iter().map(|root| root.to_vec()).collect(),
        signatures: Signatures(provider.signature_verification_algorithms),
        webpki: WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .map_err(|_| Error::Roots)?,
        time: trust.time(),
        notes: notes.clone(),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions(trust.offered_versions()))
        .map_err(|_| Error::Unsupported)?
        .dangerous() // as rustls names every verifier but its own; this one is stricter, and calls rustls's own, too
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let key = DeviceKey { identity, notes: notes.clone() };
            builder.with_client_cert_resolver(Arc::new(Resolver(Arc::new(certified(key)?))))
        }
    };
    config.resumption = Resumption::disabled();
    let host = ServerName::try_from(trust.host()).map_err(|_| Error::HostName)?.to_owned();
    let tls =
        ClientConnection::new(Arc::new(config), host).map_err(|cause| super::error::map(&cause, &notes))?;
    Ok(Client { tls, notes })
}

fn versions(offered: Versions) -> Vec<&'static SupportedProtocolVersion> {
    let all = [(&TLS13, Versions::Tls13), (&TLS12, Versions::Tls12)];
    let offered = all.into_iter().filter(|(_, version)| offered == Versions::Both || offered == *version);
    offered.map(|(version, _)| version).collect()
}

/// What verifier and signer remember of a connection, for errors that rustls itself cannot attribute.
#[derive(Debug, Default)]
pub(super) struct Notes {
    progress: AtomicU8,
    identity: AtomicU8,
    refusal: OnceLock<Error>,
}

impl Notes {
    pub(super) fn progress(&self) -> Progress {
        match self.progress.load(Ordering::Acquire) {
            0 => Progress::Nothing,
            1 => Progress::Chain,
            _ => Progress::Key,
        }
    }

    /// Why the policy refuses the server, if it does.
    pub(super) fn refusal(&self) -> Option<Error> {
        self.refusal.get().copied()
    }

    fn reached(&self, progress: Progress) {
        self.progress.store(progress as u8, Ordering::Release);
    }

    /// Why the device's own side failed, if it did.
    pub(super) fn identity(&self) -> Option<IdentityError> {
        match self.identity.load(Ordering::Acquire) {
            0 => None,
            1 => Some(IdentityError::SchemeNotAccepted),
            3 => Some(IdentityError::KeyUnusable),
            _ => Some(IdentityError::Signer),
        }
    }
}

/// This crate's policy, then rustls's own verifier, and a note of each step.
#[derive(Debug)]
struct Verifier {
    host: String,
    roots: Vec<Vec<u8>>,
    signatures: Signatures,
    webpki: Arc<WebPkiServerVerifier>,
    time: Option<u64>,
    notes: Arc<Notes>,
}

impl Verifier {
    fn check_chain(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let roots: Vec<&[u8]> = self.roots.iter().map(Vec::as_slice).collect();
        let trust = Trust::new(&self.host, &roots)?.at(now.as_secs());
        let others = others.iter().map(AsRef::<[u8]>::as_ref);
        x509::verify(&trust, leaf, &others, &mut { self.signatures }).map(|_| ())
    }

    fn signed(
        &self,
        valid: Result<HandshakeSignatureValid, ::rustls::Error>,
    ) -> Result<HandshakeSignatureValid, ::rustls::Error> {
        if valid.is_ok() {
            self.notes.reached(Progress::Key);
        }
        valid
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, ::rustls::Error> {
        let now = self.time.map_or(now, |time| UnixTime::since_unix_epoch(Duration::from_secs(time)));
        self.check_chain(end_entity, intermediates, now).map_err(|error| {
            self.notes.refusal.get_or_init(|| error);
            alert_for(error)
        })?;
        let verified =
            self.webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        self.notes.reached(Progress::Chain);
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, ::rustls::Error> {
        self.signed(self.webpki.verify_tls12_signature(message, cert, signature))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, ::rustls::Error> {
        self.signed(self.webpki.verify_tls13_signature(message, cert, signature))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

/// The error by which rustls chooses a fitting alert.
fn alert_for(error: Error) -> ::rustls::CertificateError {
    use ::rustls::CertificateError;
    match error {
        Error::UnknownCa | Error::BadSignature(_) => CertificateError::UnknownIssuer,
        Error::Expired => CertificateError::Expired,
        Error::NotYetValid => CertificateError::NotValidYet,
        Error::WrongHost => CertificateError::NotValidForName,
        Error::WrongUsage => CertificateError::InvalidPurpose,
        Error::BadCertificate => CertificateError::BadEncoding,
        _ => CertificateError::ApplicationVerificationFailure,
    }
}

/// Verifies signatures as rustls's provider does.
#[derive(Debug, Clone, Copy)]
struct Signatures(WebPkiSupportedAlgorithms);

impl SignatureVerifier for Signatures {
    fn verify(&mut self, link: &Link<'_>) -> Result<(), Error> {
        let algorithm = self.0.all.iter().find(|known| {
            known.public_key_alg_id().as_ref() == link.key.identifier()
                && known.signature_alg_id().as_ref() == link.algorithm.identifier()
        });
        let algorithm = algorithm.ok_or(Error::UnsupportedAlgorithm)?;
        let verified = algorithm.verify_signature(link.key.as_bytes(), link.message, link.signature);
        verified.map_err(|_| BAD_SIGNATURE)
    }
}

/// The identity's chain with its signer.
fn certified(key: DeviceKey) -> Result<CertifiedKey, Error> {
    let chain: Vec<_> = (0..).map_while(|index| key.identity.certificate(index)).collect();
    if chain.is_empty() {
        return Err(IdentityError::NoCertificate.into());
    }
    let chain = chain.into_iter().map(|der| CertificateDer::from(der.to_vec())).collect();
    Ok(CertifiedKey::new(chain, Arc::new(key)))
}

/// Sends the one chain there is, whatever CAs the server names: its list may be empty or long, and is only a hint.
#[derive(Debug)]
struct Resolver(Arc<CertifiedKey>);

impl ResolvesClientCert for Resolver {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// The identity as rustls wants a key.
#[derive(Clone)]
struct DeviceKey {
    identity: Arc<dyn Identity + Send + Sync>,
    notes: Arc<Notes>,
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceKey(..)")
    }
}

impl SigningKey for DeviceKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        if offered.contains(&self.scheme()) {
            return Some(Box::new(self.clone()));
        }
        self.notes.identity.store(1, Ordering::Release);
        None
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for DeviceKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, ::rustls::Error> {
        let signature = if self.identity.is_p384() {
            self.identity.sign_p384(&Sha384::digest(message).into()).and_then(|bytes| der_signature(&bytes))
        } else {
            let signature = self.identity.sign(&Sha256::digest(message).into());
            signature.map(|signature| signature.to_der().as_bytes().to_vec())
        };
        signature.map_err(|cause| {
            let note = if cause == IdentityError::KeyUnusable { 3 } else { 2 };
            self.notes.identity.store(note, Ordering::Release);
            ::rustls::Error::General("the device's signer failed".into())
        })
    }

    fn scheme(&self) -> SignatureScheme {
        if self.identity.is_p384() {
            SignatureScheme::ECDSA_NISTP384_SHA384
        } else {
            SignatureScheme::ECDSA_NISTP256_SHA256
        }
    }
}

/// `r || s` as `Ecdsa-Sig-Value` (RFC 3279, section 2.2.3).
fn der_signature(bytes: &[u8; 96]) -> Result<Vec<u8>, IdentityError> {
    let (r, s) = bytes.split_at(48);
    let mut der = [0; 104];
    let encoded = UintRef::new(r).and_then(|r| [r, UintRef::new(s)?].encode_to_slice(&mut der));
    encoded.map(<[u8]>::to_vec).map_err(|_| IdentityError::Signer)
}
