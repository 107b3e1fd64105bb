//! The main flow: from the secrets of one layer and the measurements of the next to the next layer's secrets and
//! certificate, in one call.

#[cfg(feature = "cbor")]
use super::issue_cbor;
use super::{Algorithm, Cdis, InputValues, KeyPair, issue_x509};
use crate::Result;
use crate::key::{DefaultBackend, P256};
use core::marker::PhantomData;

/// The encoding of certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Format {
    /// X.509 (RFC 5280).
    X509,
    /// CWT in `COSE_Sign1` (RFC 8392, RFC 9052).
    #[cfg(feature = "cbor")]
    Cbor,
}

/// Name of the Open Profile in its examples; the reference implementation writes it for the NIST curves.
pub const OPEN_DICE_EXAMPLE: &str = "opendice.example";

/// How a layer certifies the next one. `B` does the arithmetic of P-256.
///
/// ```
/// use dice_core::Uds;
/// use dice_core::open_dice::{Algorithm, Cdis, Config, Format, InputValues, Layer, MainFlow, Mode};
///
/// let uds = Uds::from_hex("19e25a259d0c2be03a02d416c05c48ccd0cc7d1743458aae1cb488b074993eae")?;
/// let measured = InputValues::new(&[0x11; 64], Config::Descriptor(b"\xa0"), &[0x22; 64], Mode::Normal);
///
/// let mut buffer = [0; 1024];
/// let flow = MainFlow::new(Format::X509, Algorithm::P256);
/// let Layer { cdis, certificate } = flow.run(&Cdis::from_uds(&uds), &measured, &mut buffer)?;
/// assert!(certificate.len() < 800);
///
/// // The next layer goes on with its CDIs, and may certify in another way.
/// let mut buffer = [0; 1024];
/// let next = MainFlow::new(Format::X509, Algorithm::P256).named("example.2").run(&cdis, &measured, &mut buffer)?;
/// assert_ne!(next.cdis, cdis);
/// # Ok::<(), dice_core::Error>(())
/// ```
#[derive(Debug)]
pub struct MainFlow<'a, B: P256 = DefaultBackend> {
    format: Format,
    authority: Algorithm,
    subject: Algorithm,
    profile_name: Option<&'a str>,
    backend: PhantomData<B>,
}

impl MainFlow<'_> {
    /// Certificates of one format, keys of one algorithm, no profile name, the default P-256 backend.
    #[must_use]
    pub const fn new(format: Format, algorithm: Algorithm) -> Self {
        Self::new_on(format, algorithm)
    }
}

impl<'a, B: P256> MainFlow<'a, B> {
    /// [`new`](MainFlow::new) with a P-256 backend chosen by the caller.
    #[must_use]
    pub const fn new_on(format: Format, algorithm: Algorithm) -> Self {
        Self { format, authority: algorithm, subject: algorithm, profile_name: None, backend: PhantomData }
    }

    /// Gives the next layer's key another algorithm than the current layer's.
    ///
    /// The certificate is signed with the current layer's algorithm.
    #[must_use]
    pub const fn certifying(mut self, subject: Algorithm) -> Self {
        self.subject = subject;
        self
    }

    /// Puts a profile name into the certificates.
    #[must_use]
    pub const fn named(mut self, profile_name: &'a str) -> Self {
        self.profile_name = Some(profile_name);
        self
    }

    /// The key pair of the layer that holds `current`.
    ///
    /// # Errors
    /// None in practice, as for [`Cdis::next`].
    pub fn authority_key(&self, current: &Cdis) -> Result<KeyPair<B>> {
        KeyPair::from_cdi_on(&current.attest, self.authority)
    }

    /// Derives the next layer's CDIs and issues the certificate of its key to `out`.
    ///
    /// The next layer's private key is made and wiped on the way; it derives the key again from its CDIs.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`](crate::Error::BufferTooSmall), as for [`issue_x509`] and `issue_cbor`.
    pub fn run<'b>(&self, current: &Cdis, inputs: &InputValues<'_>, out: &'b mut [u8]) -> Result<Layer<'b>> {
        self.run_as(&self.authority_key(current)?, current, inputs, out)
    }

    /// [`run`](Self::run) with the current layer's key pair made already.
    pub(super) fn run_as<'b>(
        &self,
        authority: &KeyPair<B>,
        current: &Cdis,
        inputs: &InputValues<'_>,
        out: &'b mut [u8],
    ) -> Result<Layer<'b>> {
        let cdis = current.next(inputs)?;
        let subject = *KeyPair::<B>::from_cdi_on(&cdis.attest, self.subject)?.public_key();
        let certificate = match self.format {
            Format::X509 => issue_x509(authority, &subject, inputs, self.profile_name, out)?,
            #[cfg(feature = "cbor")]
            Format::Cbor => issue_cbor(authority, &subject, inputs, self.profile_name, out)?,
        };
        Ok(Layer { cdis, certificate })
    }
}

impl<B: P256> Clone for MainFlow<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: P256> Copy for MainFlow<'_, B> {}

/// What the next layer receives.
#[derive(Debug)]
pub struct Layer<'b> {
    /// Its secrets.
    pub cdis: Cdis,
    /// The certificate of its key, signed by the current layer.
    pub certificate: &'b [u8],
}
