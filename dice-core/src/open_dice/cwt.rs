//! CBOR certificates of the profile: CWTs (RFC 8392) in an untagged `COSE_Sign1` (RFC 9052).

use super::cbor::Reader;
use super::claims::{Claims, Issued};
use super::cose::{Sign1, sign1};
use super::{InputValues, KeyPair, PublicKey};
use crate::Result;
use crate::key::P256;

/// Issues the CBOR certificate of the next layer's key (Open Profile for DICE, "CBOR CDI Certificates"), and gives the
/// part of `out` used: about 500 bytes for P-256, plus descriptors and profile name.
///
/// Authority and subject may have different algorithms. Issuer and subject are the keys' identifiers.
///
/// # Errors
/// [`Error::BufferTooSmall`](crate::Error::BufferTooSmall) with the exact size needed.
pub fn issue_cbor<'b, B: P256>(
    authority: &KeyPair<B>,
    subject: &PublicKey,
    inputs: &InputValues<'_>,
    profile_name: Option<&str>,
    out: &'b mut [u8],
) -> Result<&'b [u8]> {
    let issuer = authority.public_key().id()?;
    let claims = Issued::new(issuer, subject, inputs, profile_name)?;
    sign1(authority, |writer| claims.write(writer), out)
}

/// A parsed CBOR certificate whose signature has not been checked yet.
#[derive(Clone, Debug)]
pub struct CborCertificate<'a> {
    signed: Sign1<'a>,
    claims: Claims<'a>,
}

impl<'a> CborCertificate<'a> {
    /// Reads a certificate and nothing after it.
    ///
    /// # Errors
    /// As for [`read`](Self::read), and [`Error::Cbor`](crate::Error::Cbor) if bytes follow.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let certificate = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(certificate)
    }

    /// Reads a certificate in the middle of other data.
    ///
    /// # Errors
    /// Those of [`Sign1::read`] and [`Claims::read`].
    pub fn read(reader: &mut Reader<'a>) -> Result<Self> {
        let signed = Sign1::read(reader)?;
        let mut payload = signed.payload();
        let claims = Claims::read(&mut payload)?;
        payload.finish()?;
        Ok(Self { signed, claims })
    }

    /// The claims.
    #[must_use]
    pub const fn claims(&self) -> &Claims<'a> {
        &self.claims
    }

    /// The message that carries the claims.
    #[must_use]
    pub const fn signed(&self) -> &Sign1<'a> {
        &self.signed
    }

    /// Checks the signature, and nothing else: see [`ChainVerifier`](super::ChainVerifier) for chains.
    ///
    /// # Errors
    /// [`Error::SignatureMismatch`](crate::Error::SignatureMismatch).
    pub fn verify(&self, issuer: &PublicKey) -> Result<()> {
        self.signed.verify(issuer)
    }
}
