//! Profile `riot`: the identity of the original AZ3166 development kit, bit for bit.
//!
//! It exists so that devices enrolled by the original tool keep working and so that they can be told apart. New
//! devices use the `standard` profile: this one measures two byte ranges instead of the whole firmware, derives keys
//! with a home-made hash and key derivation, and issues certificates that strict parsers refuse.
//!
//! The original also signed every certificate with one constant nonce, which gives the private key to everybody who
//! sees a certificate. Here signatures follow RFC 6979, so certificates differ from the original's in the signature and
//! in nothing else. A device enrolled by the original tool with its whole leaf certificate has to be enrolled again.
//!
//! ```
//! use dice_core::riot::{ALIAS_CERTIFICATE_MAX_LEN, Identity};
//! use dice_core::{RegistrationId, Uds, pem};
//!
//! let uds = Uds::from_hex("19e25a259d0c2be03a02d416c05c48ccd0cc7d1743458aae1cb488b074993eae")?;
//! let (core, firmware) = (b"the bytes of .riot_core", b"the bytes of .riot_fw");
//! let identity = Identity::derive(&uds, core, firmware)?;
//!
//! let mut der = [0; ALIAS_CERTIFICATE_MAX_LEN];
//! let der = identity.alias_certificate(RegistrationId::new("my-device")?, &mut der)?;
//! let mut text = [0; 1024];
//! let text = pem::encode(pem::Label::Certificate, der, pem::Lines::Single, &mut text)?;
//! assert!(text.starts_with("-----BEGIN CERTIFICATE-----\n"));
//! # Ok::<(), dice_core::Error>(())
//! ```

mod certificate;
mod hash;
#[cfg(feature = "legacy-insecure-constant-nonce")]
mod legacy;
mod registration_id;

pub use certificate::{ALIAS_CERTIFICATE_MAX_LEN, DEVICE_ID_CERTIFICATE_MAX_LEN, REGISTRATION_ID_MAX_LEN};
pub use hash::DiceHash;
#[cfg(feature = "legacy-insecure-constant-nonce")]
pub use legacy::ConstantNonceSigner;
pub use registration_id::{DEFAULT_REGISTRATION_ID_MAX_LEN, MacAddress, default_registration_id};

use crate::hash::{Hash, Hmac, Sha256};
use crate::key::{DefaultBackend, P256, SecretKey};
use crate::x509::ToBeSigned;
use crate::{Error, RegistrationId, Result, Secret, Uds};

/// The fewest bytes of RIoT core the profile measures.
pub const CORE_MIN_LEN: u64 = 8;

/// Measures the RIoT core piece by piece.
#[derive(Clone, Debug, Default)]
pub struct CoreMeasurement(DiceHash);

impl CoreMeasurement {
    /// Starts a measurement.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of everything taken.
    ///
    /// # Errors
    /// [`Error::CoreTooShort`] under [`CORE_MIN_LEN`] bytes.
    pub fn finish(self) -> Result<CoreDigest> {
        match self.0.message_len() {
            found @ ..CORE_MIN_LEN => Err(Error::CoreTooShort { found, minimum: CORE_MIN_LEN }),
            _ => Ok(CoreDigest(self.0.finalize())),
        }
    }
}

/// The digest of a RIoT core of sufficient length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreDigest([u8; 32]);

impl CoreDigest {
    /// Measures a core that lies in one piece.
    ///
    /// # Errors
    /// [`Error::CoreTooShort`] under [`CORE_MIN_LEN`] bytes.
    pub fn of(core: &[u8]) -> Result<Self> {
        let mut measurement = CoreMeasurement::new();
        measurement.update(core);
        measurement.finish()
    }

    /// The digest.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The firmware identifier: the SHA-256 digest of the measured firmware, which may be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fwid(pub [u8; 32]);

impl Fwid {
    /// Measures firmware that lies in one piece; for pieces, feed a [`Sha256`] and wrap its digest.
    #[must_use]
    pub fn of(firmware: &[u8]) -> Self {
        Self(Sha256::digest(firmware))
    }
}

/// The compound device identifier: what the DICE layer hands to the RIoT core instead of the UDS. Secret.
#[derive(Debug, PartialEq, Eq)]
pub struct Cdi(Secret<32>);

impl Cdi {
    /// H'(H'(UDS) || core digest).
    #[must_use]
    pub fn derive(uds: &Uds, core: &CoreDigest) -> Self {
        let uds_digest = Secret::new(DiceHash::digest(&[uds.expose()]));
        Self(Secret::new(DiceHash::digest(&[uds_digest.expose(), core.as_bytes()])))
    }

    /// The secret bytes.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

/// The two key pairs of a device and the firmware identifier they stand for.
///
/// Nothing of the UDS or the CDI is kept. The keys are wiped on drop.
#[derive(Debug)]
pub struct Identity<B: P256 = DefaultBackend> {
    device_id: SecretKey<B>,
    alias: SecretKey<B>,
    fwid: Fwid,
}

impl Identity {
    /// Derives the identity of a device from its secret and the two measured byte ranges.
    ///
    /// # Errors
    /// * [`Error::CoreTooShort`] if `core` has fewer than [`CORE_MIN_LEN`] bytes;
    /// * [`Error::ScalarOutOfRange`] if a key comes out unusable. The chance is 2<sup>-32</sup>; the original never
    ///   ends then, so there is nothing to be compatible with: the device needs another secret.
    pub fn derive(uds: &Uds, core: &[u8], firmware: &[u8]) -> Result<Self> {
        Self::derive_measured(uds, &CoreDigest::of(core)?, Fwid::of(firmware))
    }

    /// [`derive`](Self::derive) for ranges that were measured piece by piece.
    ///
    /// # Errors
    /// [`Error::ScalarOutOfRange`] as for [`derive`](Self::derive).
    pub fn derive_measured(uds: &Uds, core: &CoreDigest, fwid: Fwid) -> Result<Self> {
        Self::from_cdi(&Cdi::derive(uds, core), fwid)
    }
}

impl<B: P256> Identity<B> {
    /// Derives the identity from a CDI, with a key backend chosen by the caller.
    ///
    /// # Errors
    /// [`Error::ScalarOutOfRange`] as for [`derive`](Identity::derive).
    pub fn from_cdi(cdi: &Cdi, fwid: Fwid) -> Result<Self> {
        let seed = Secret::new(Sha256::digest(cdi.expose()));
        let device_id = derive_key(&seed, b"Identity")?;
        let alias_seed = Secret::new(Sha256::digest_parts(&[seed.expose(), &fwid.0]));
        let alias = derive_key(&alias_seed, b"Alias")?;
        Ok(Self { device_id, alias, fwid })
    }

    /// The DeviceID key: signs both certificates, changes only with the UDS and the RIoT core.
    #[must_use]
    pub const fn device_id_key(&self) -> &SecretKey<B> {
        &self.device_id
    }

    /// The alias key: what the device proves its identity with, changes with the firmware too.
    #[must_use]
    pub const fn alias_key(&self) -> &SecretKey<B> {
        &self.alias
    }

    /// Wipes everything but the alias key.
    #[must_use]
    pub fn into_alias_key(self) -> SecretKey<B> {
        self.alias
    }

    /// The firmware identifier written into the alias certificate.
    #[must_use]
    pub const fn fwid(&self) -> Fwid {
        self.fwid
    }

    /// Writes the alias certificate (DER): what is enrolled and presented.
    ///
    /// # Errors
    /// * [`Error::RegistrationIdLength`] beyond [`REGISTRATION_ID_MAX_LEN`] characters;
    /// * [`Error::BufferTooSmall`]; [`ALIAS_CERTIFICATE_MAX_LEN`] bytes are always enough.
    pub fn alias_certificate<'b>(&self, id: RegistrationId<'_>, out: &'b mut [u8]) -> Result<&'b [u8]> {
        self.alias_to_be_signed(id, out)?.sign(&self.device_id)
    }

    /// Writes the self-signed DeviceID certificate (DER), which the original builds but never sends.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`]; [`DEVICE_ID_CERTIFICATE_MAX_LEN`] bytes are always enough.
    pub fn device_id_certificate<'b>(&self, out: &'b mut [u8]) -> Result<&'b [u8]> {
        self.device_id_to_be_signed(out)?.sign(&self.device_id)
    }

    /// Writes the alias certificate up to its signature.
    ///
    /// # Errors
    /// As for [`alias_certificate`](Self::alias_certificate).
    pub fn alias_to_be_signed<'b>(
        &self,
        id: RegistrationId<'_>,
        out: &'b mut [u8],
    ) -> Result<ToBeSigned<'b>> {
        let keys = (self.alias.public_key(), self.device_id.public_key());
        certificate::alias(id, keys.0, keys.1, self.fwid, out)
    }

    /// Writes the DeviceID certificate up to its signature.
    ///
    /// # Errors
    /// As for [`device_id_certificate`](Self::device_id_certificate).
    pub fn device_id_to_be_signed<'b>(&self, out: &'b mut [u8]) -> Result<ToBeSigned<'b>> {
        certificate::device_id(self.device_id.public_key(), out)
    }
}

/// The original's key derivation: one HMAC with counter and length in the wrong byte order, read as a little-endian
/// number.
fn derive_key<B: P256>(seed: &Secret<32>, label: &[u8]) -> Result<SecretKey<B>> {
    let counter = 1_u32.to_le_bytes();
    let bits = 256_u32.to_le_bytes();
    let mut scalar = Secret::new(Hmac::<Sha256>::mac(seed.expose(), &[&counter, label, &[0], &bits]));
    scalar.expose_mut().reverse();
    SecretKey::from_scalar_on(scalar)
}
