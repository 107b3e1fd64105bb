//! What `embedded-tls` asks for in a handshake: random numbers, a verifier of the server, and the device's certificate
//! and signature.

use super::suite::Suite;
use crate::x509::{self, Ecdsa, Hash, VerifyingKey};
use crate::{DerSignature, Error, Identity, IdentityError, Progress, Signed, Trust};
use core::cell::Cell;
use digest::Digest as _;
use embedded_tls::{
    Certificate, CertificateEntryRef, CertificateRef, CertificateVerifyRef, CryptoProvider, CryptoRngCore,
    Sha256, SignatureScheme, TlsError, TlsVerifier,
};

/// What came of it, in the words of this crate: `embedded-tls` has no room for that in its errors.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) progress: Cell<Progress>,
    pub(super) failed: Cell<Option<Error>>,
}

impl Notes {
    /// Notes the error; gives one for `embedded-tls` to stop with.
    fn refuse(&self, error: Error) -> TlsError {
        self.failed.set(self.failed.get().or(Some(error)));
        TlsError::InvalidCertificate
    }
}

pub(super) struct Provider<'p> {
    verifier: ServerVerifier<'p>,
    random: Random<'p>,
    identity: Option<&'p dyn Identity>,
}

impl<'p> Provider<'p> {
    pub(super) fn new(
        trust: &'p Trust<'p>,
        identity: Option<&'p dyn Identity>,
        random: &'p mut dyn rand_core::CryptoRng,
        notes: &'p Notes,
    ) -> Self {
        let verifier = ServerVerifier { trust, notes, key: None, transcript: [0; 32] };
        Self { verifier, random: Random(random), identity }
    }
}

impl CryptoProvider for Provider<'_> {
    type CipherSuite = Suite;
    type Signature = DerSignature;

    fn rng(&mut self) -> impl CryptoRngCore {
        &mut self.random
    }

    fn verifier(&mut self) -> Result<&mut impl TlsVerifier<Suite>, TlsError> {
        Ok(&mut self.verifier)
    }

    fn signer(&mut self) -> Result<(impl signature_2::SignerMut<DerSignature>, SignatureScheme), TlsError> {
        let identity = self.identity.ok_or(TlsError::InvalidPrivateKey)?;
        Ok((Signer { identity, notes: self.verifier.notes }, SignatureScheme::EcdsaSecp256r1Sha256))
    }

    fn client_cert(&mut self) -> Option<Certificate<impl AsRef<[u8]>>> {
        self.identity.and_then(|identity| identity.certificate(0)).map(Certificate::X509)
    }
}

/// Verifies the server's certificates and its signature.
struct ServerVerifier<'p> {
    trust: &'p Trust<'p>,
    notes: &'p Notes,
    key: Option<VerifyingKey>,
    /// Hash of the handshake as far as the server's Certificate, which its signature is over.
    transcript: [u8; 32],
}

impl TlsVerifier<Suite> for ServerVerifier<'_> {
    fn set_hostname_verification(&mut self, _: &str) -> Result<(), TlsError> {
        Ok(()) // it is in `trust`
    }

    fn verify_certificate(&mut self, transcript: &Sha256, chain: CertificateRef<'_>) -> Result<(), TlsError> {
        if self.notes.progress.get() != Progress::Nothing {
            return Err(self.notes.refuse(Error::UnexpectedMessage));
        }
        let mut ders = chain.entries.iter().filter_map(x509_der);
        let Some(leaf) = ders.next() else { return Err(self.notes.refuse(Error::NoCertificate)) };
        let key = x509::verify(self.trust, leaf, &ders, &mut Ecdsa).and_then(|key| VerifyingKey::new(&key));
        self.key = Some(key.map_err(|error| self.notes.refuse(error))?);
        self.transcript = transcript.clone().finalize().into();
        self.notes.progress.set(Progress::Chain);
        Ok(())
    }

    fn verify_signature(&mut self, verify: CertificateVerifyRef<'_>) -> Result<(), TlsError> {
        let key = match (self.notes.progress.get(), &self.key) {
            (Progress::Chain, Some(key)) => key,
            (Progress::Nothing, _) => return Err(self.notes.refuse(Error::NoCertificate)),
            _ => return Err(self.notes.refuse(Error::UnexpectedMessage)),
        };
        let hash = match (verify.signature_scheme, key) {
            (SignatureScheme::EcdsaSecp256r1Sha256, VerifyingKey::P256(_)) => Hash::Sha256,
            (SignatureScheme::EcdsaSecp384r1Sha384, VerifyingKey::P384(_)) => Hash::Sha384,
            _ => return Err(self.notes.refuse(Error::UnsupportedAlgorithm)),
        };
        let mut message = [b' '; 64 + CONTEXT.len() + 32];
        let tail = CONTEXT.iter().chain(&self.transcript);
        message.iter_mut().skip(64).zip(tail).for_each(|(to, from)| *to = *from);
        if !key.verify(hash, &message, verify.signature) {
            return Err(self.notes.refuse(Error::BadSignature(Signed::Handshake)));
        }
        self.notes.progress.set(Progress::Key);
        Ok(())
    }
}

fn x509_der<'c>(entry: &CertificateEntryRef<'c>) -> Option<&'c [u8]> {
    match *entry {
        CertificateEntryRef::X509(der) => Some(der),
        CertificateEntryRef::RawPublicKey(_) => None,
    }
}

/// What the server's signature is over, besides the transcript (RFC 8446 §4.4.3).
const CONTEXT: &[u8; 34] = b"TLS 1.3, server CertificateVerify\0";

/// The identity's signature. `embedded-tls` 0.19 panics if there is none, so it gets an empty one, and the note sees
/// to it that nothing of that is sent.
struct Signer<'p> {
    identity: &'p dyn Identity,
    notes: &'p Notes,
}

impl signature_2::Signer<DerSignature> for Signer<'_> {
    fn try_sign(&self, message: &[u8]) -> Result<DerSignature, signature_2::Error> {
        use sha2::Digest as _;
        let digest = sha2::Sha256::digest(message).into();
        Ok(self.identity.sign(&digest).map_or_else(
            |cause: IdentityError| {
                self.notes.refuse(cause.into());
                DerSignature::empty()
            },
            |signature| signature.to_der(),
        ))
    }
}

/// A random number generator of today's `rand_core` for those who know the one of 0.6.
struct Random<'p>(&'p mut dyn rand_core::CryptoRng);

impl rand_core_06::RngCore for Random<'_> {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core_06::Error> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}

impl rand_core_06::CryptoRng for Random<'_> {}
