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
    /// Reads the root key and checks that the rest is well-formed. [`layers`](Self::layers) and
    /// [`verify`](Self::verify) read and check the certificates.
    ///
    /// # Errors
    /// [`Error::Cbor`] with the position of what is wrong, and the errors of [`PublicKey::read_cose`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let start = Reader::new(bytes);
        let mut whole = start.clone();
        whole.skip()?;
        whole.finish()?;
        let mut certificates = start.clone();
        let items = certificates.array()?;
        if items < 2 {
            return Err(start.problem(CborProblem::Count { found: items }));
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

    /// Checks the certificates one after another and gives the claims of each that has passed.
    ///
    /// The iterator ends at the first error.
    ///
    /// # Errors
    /// None in practice, as for [`ChainVerifier::new`].
    pub fn layers(&self) -> Result<VerifiedLayers<'a>> {
        Ok(VerifiedLayers {
            verifier: ChainVerifier::new(self.root)?,
            certificates: self.certificates.clone(),
            left: self.count,
        })
    }

    /// Checks every certificate and gives the key of the last layer.
    ///
    /// # Errors
    /// Those of [`ChainVerifier::next`].
    pub fn verify(&self) -> Result<PublicKey> {
        let mut layers = self.layers()?;
        layers.try_for_each(|claims| claims.map(|_| ()))?;
        Ok(*layers.key())
    }
}

/// The layers of a [`DiceChain`], checked as they are taken.
#[derive(Clone, Debug)]
pub struct VerifiedLayers<'a> {
    verifier: ChainVerifier,
    certificates: Reader<'a>,
    left: usize,
}

impl VerifiedLayers<'_> {
    /// The public key of the last layer that has passed, or the root.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        self.verifier.key()
    }
}

impl<'a> Iterator for VerifiedLayers<'a> {
    type Item = Result<Claims<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let claims = CborCertificate::read(&mut self.certificates)
            .and_then(|certificate| self.verifier.accept(&certificate));
        if claims.is_err() {
            self.left = 0;
        }
        Some(claims)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left))
    }
}

impl core::iter::FusedIterator for VerifiedLayers<'_> {}
