//! Checking chains of CBOR certificates.

use super::cbor::{CborProblem, Reader};
use super::{CborCertificate, Claims, KeyId, PublicKey};
use crate::{Error, Result};
use core::fmt;

/// Why a certificate does not fit into its place in a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ChainProblem {
    /// The issuer is not the identifier of the key above.
    Issuer,
    /// The subject is not the identifier of the certified key.
    Subject,
    /// The certificate is not signed by the key above.
    Signature,
    /// The certificate has no measurements, as only the first one may.
    Measurements,
}

impl fmt::Display for ChainProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Issuer => "the issuer is not the identifier of the key above",
            Self::Subject => "the subject is not the identifier of the certified key",
            Self::Signature => "the signature is not that of the key above",
            Self::Measurements => "the measurements are missing",
        })
    }
}

/// Checks a chain of CBOR certificates one by one, from the root down.
///
/// Each certificate has to be signed by the key above it, to name that key's identifier as its issuer, and to name the
/// identifier of the key it certifies as its subject. What the measurements say is for the caller to judge.
#[derive(Clone, Debug)]
pub struct ChainVerifier {
    key: PublicKey,
    id: KeyId,
    layer: usize,
}

impl ChainVerifier {
    /// Starts from a key that is trusted: the UDS public key, or the key of any layer.
    ///
    /// # Errors
    /// None in practice, as for [`PublicKey::id`].
    pub fn new(root: PublicKey) -> Result<Self> {
        Ok(Self { id: root.id()?, key: root, layer: 0 })
    }

    /// Starts from the certificate of the UDS public key that is signed with that key itself.
    ///
    /// This proves possession of the key. Whether it is the key of a genuine device is for the caller to judge.
    ///
    /// # Errors
    /// [`Error::Chain`] for layer 0, and the errors of [`CborCertificate::parse`].
    pub fn from_self_signed(certificate: &[u8]) -> Result<Self> {
        let certificate = CborCertificate::parse(certificate)?;
        let mut verifier = Self::new(certificate.claims().subject_public_key)?;
        verifier.check(&certificate)?;
        Ok(verifier)
    }

    /// Checks the next certificate and moves down to the key it certifies.
    ///
    /// # Errors
    /// [`Error::Chain`], and the errors of [`CborCertificate::parse`]. The verifier stays where it is.
    pub fn next<'a>(&mut self, certificate: &'a [u8]) -> Result<Claims<'a>> {
        self.accept(&CborCertificate::parse(certificate)?)
    }

    /// The public key that the last certificate certifies, or the root.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The number of certificates checked.
    #[must_use]
    pub const fn layer(&self) -> usize {
        self.layer
    }

    fn accept<'a>(&mut self, certificate: &CborCertificate<'a>) -> Result<Claims<'a>> {
        if certificate.claims().measurements.is_none() {
            return Err(self.problem(ChainProblem::Measurements));
        }
        self.check(certificate)?;
        Ok(*certificate.claims())
    }

    fn check(&mut self, certificate: &CborCertificate<'_>) -> Result<()> {
        let claims = certificate.claims();
        let id = claims.subject_public_key.id()?;
        if !self.id.is_named_by(claims.issuer) {
            return Err(self.problem(ChainProblem::Issuer));
        }
        if !id.is_named_by(claims.subject) {
            return Err(self.problem(ChainProblem::Subject));
        }
        certificate.verify(&self.key).map_err(|_| self.problem(ChainProblem::Signature))?;
        self.key = claims.subject_public_key;
        self.id = id;
        self.layer = self.layer.saturating_add(1);
        Ok(())
    }

    const fn problem(&self, problem: ChainProblem) -> Error {
        Error::Chain { layer: self.layer, problem }
    }
}

/// A chain as Android keeps it (`DiceCertChain`): an array of the root's `COSE_Key` and one certificate for each layer.
#[derive(Clone, Debug)]
pub struct DiceChain<'a> {
    root: PublicKey,
    certificates: Reader<'a>,
    count: usize,
}

impl<'a> DiceChain<'a> {
    /// Reads the root key. The certificates are read by [`verify`](Self::verify).
    ///
    /// # Errors
    /// [`Error::Cbor`] with the position of what is wrong, and the errors of [`PublicKey::read_cose`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut certificates = Reader::new(bytes);
        let items = certificates.array()?;
        if items < 2 {
            return Err(Error::Cbor { offset: 0, problem: CborProblem::Count { found: items } });
        }
        let root = PublicKey::read_cose(&mut certificates)?;
        Ok(Self { root, certificates, count: items - 1 })
    }

    /// The root key: the UDS public key. Whether it is the key of a genuine device is for the caller to judge.
    #[must_use]
    pub const fn root(&self) -> &PublicKey {
        &self.root
    }

    /// The number of certificates, one for each layer.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no certificate, which [`parse`](Self::parse) does not allow.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Checks every certificate, shows the claims of each to `judge`, and gives the key of the last layer.
    ///
    /// `judge` is called with the layer, counted from 0, only after its certificate has passed.
    ///
    /// # Errors
    /// Those of [`ChainVerifier::next`], and those of `judge`.
    pub fn verify(&self, mut judge: impl FnMut(usize, &Claims<'a>) -> Result<()>) -> Result<PublicKey> {
        let mut verifier = ChainVerifier::new(self.root)?;
        let mut reader = self.certificates.clone();
        for layer in 0..self.count {
            let claims = verifier.accept(&CborCertificate::read(&mut reader)?)?;
            judge(layer, &claims)?;
        }
        reader.finish()?;
        Ok(*verifier.key())
    }
}
