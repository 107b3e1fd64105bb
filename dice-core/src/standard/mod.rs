//! Profile `standard`: the default identity of a device.
//!
//! It is built from published parts: the Open Profile for DICE derives the keys, the certificates follow RFC 5280 and
//! state what runs in the TCG's terms, signatures follow RFC 6979. The profile is written down byte by byte in the
//! crate's `PROFILE.md`.
//!
//! * The **DeviceID** key depends on the device secret only. Its self-signed CA certificate is what is enrolled; it
//!   stays the same through firmware updates.
//! * The **alias** key depends on the whole firmware image and on everything the alias certificate says about it. The
//!   certificate, CN = registration id, is issued by the DeviceID key and is what the device presents, followed by the
//!   DeviceID certificate.
//!
//! ```
//! use dice_core::standard::{self, FirmwareInfo, Identity};
//! use dice_core::{FirmwareDigest, RegistrationId, Uds};
//!
//! let uds = Uds::from_hex("19e25a259d0c2be03a02d416c05c48ccd0cc7d1743458aae1cb488b074993eae")?;
//! let firmware = FirmwareDigest::of(b"the whole image")?;
//! let info = FirmwareInfo::new("ACME", "Widget", "1.2.3", 4);
//! let identity = Identity::derive(&uds, &firmware, &info)?;
//! drop(uds);
//!
//! let mut alias = [0; standard::ALIAS_CERTIFICATE_MAX_LEN];
//! let alias = identity.alias_certificate(RegistrationId::new("my-device")?, &mut alias)?;
//! let mut device_id = [0; standard::DEVICE_ID_CERTIFICATE_MAX_LEN];
//! let device_id = identity.device_id_certificate(&mut device_id)?;
//! let chain = [alias, device_id];
//! let key_for_tls = identity.into_alias_key();
//! # assert!(chain.iter().all(|der| der.starts_with(&[0x30, 0x82])));
//! # assert_eq!(key_for_tls.public_key().to_spki().len(), 91);
//! # Ok::<(), dice_core::Error>(())
//! ```

mod certificate;
mod info;

pub(crate) use certificate::DEVICE_ID_NAME;
pub use certificate::{
    ALIAS_CERTIFICATE_MAX_LEN, ALIAS_REQUEST_MAX_LEN, AliasCertificate, DEVICE_ID_CERTIFICATE_MAX_LEN,
    DEVICE_ID_REQUEST_MAX_LEN, DeviceIdCertificate, POSSESSION_CERTIFICATE_MAX_LEN, PossessionCertificate,
    REGISTRATION_ID_MAX_LEN, device_id_request,
};
pub(crate) use info::common_name;
pub use info::{FirmwareInfo, VerificationCode};

use crate::asn1::DerWriter;
use crate::key::{DefaultBackend, P256, PublicKey, SecretKey};
use crate::measure::FirmwareDigest;
use crate::open_dice::{CdiAttest, Cdis, Config, InputValues, KeySeed};
use crate::x509::Validity;
use crate::{RegistrationId, Result, Uds};

/// The firmware's place in the chain.
const LAYER: u64 = 1;

/// Space enough for the content of a TcbInfo extension, in bytes.
const TCB_INFO_MAX_LEN: usize = 320;

/// The DeviceID key: depends on the device secret only.
///
/// # Errors
/// None in practice: [`Error::ScalarOutOfRange`](crate::Error::ScalarOutOfRange) has a chance of 2<sup>-512</sup>.
pub fn derive_device_id<B: P256>(uds: &Uds) -> Result<SecretKey<B>> {
    KeySeed::derive(&CdiAttest::new(*uds.expose()))?.p256_key()
}

/// The CDIs of the firmware layer: what the alias key and the sealing secrets come from.
///
/// # Errors
/// [`Error::TextLength`](crate::Error::TextLength) or [`Error::TextCharacter`](crate::Error::TextCharacter) for the
/// texts of `info`.
pub fn derive_cdis(uds: &Uds, firmware: &FirmwareDigest, info: &FirmwareInfo<'_>) -> Result<Cdis> {
    next_cdis(&Cdis::from_uds(uds), LAYER, firmware, info)
}

/// The CDIs of layer number `layer`, from those of the layer before.
pub(crate) fn next_cdis(
    current: &Cdis,
    layer: u64,
    firmware: &FirmwareDigest,
    info: &FirmwareInfo<'_>,
) -> Result<Cdis> {
    info.check()?;
    let mut tcb_info = [0; TCB_INFO_MAX_LEN];
    let mut writer = DerWriter::new(&mut tcb_info);
    info.write_tcb_info(layer, firmware, &mut writer);
    let config = Config::Descriptor(writer.finish()?);
    current.next(&InputValues::new(firmware.as_code_hash(), config, &info.authority_hash, info.mode))
}

/// A device's two keys and what its certificates say.
///
/// Nothing of the device secret or the CDIs is kept. The keys are wiped on drop; once the certificates are made,
/// [`into_alias_key`](Self::into_alias_key) gives up the DeviceID key and keeps the other.
#[derive(Debug)]
pub struct Identity<'i, B: P256 = DefaultBackend> {
    device_id: SecretKey<B>,
    alias: SecretKey<B>,
    firmware: FirmwareDigest,
    info: FirmwareInfo<'i>,
    validity: Validity,
}

impl<'i> Identity<'i> {
    /// Derives the identity of a device from its secret and its measured firmware.
    ///
    /// # Errors
    /// [`Error::TextLength`](crate::Error::TextLength) or [`Error::TextCharacter`](crate::Error::TextCharacter) for the
    /// texts of `info`.
    pub fn derive(uds: &Uds, firmware: &FirmwareDigest, info: &FirmwareInfo<'i>) -> Result<Self> {
        Self::derive_on(uds, firmware, info)
    }
}

impl<'i, B: P256> Identity<'i, B> {
    /// [`derive`](Identity::derive) with a key backend chosen by the caller.
    ///
    /// # Errors
    /// As for [`derive`](Identity::derive).
    pub fn derive_on(uds: &Uds, firmware: &FirmwareDigest, info: &FirmwareInfo<'i>) -> Result<Self> {
        let cdis = derive_cdis(uds, firmware, info)?;
        Ok(Self {
            device_id: derive_device_id(uds)?,
            alias: KeySeed::derive(&cdis.attest)?.p256_key()?,
            firmware: *firmware,
            info: *info,
            validity: Validity::NO_EXPIRY,
        })
    }

    /// Gives the certificates another validity than [`Validity::NO_EXPIRY`].
    #[must_use]
    pub fn with_validity(mut self, validity: Validity) -> Self {
        self.validity = validity;
        self
    }

    /// The DeviceID key: issues certificates, depends on the device secret only.
    #[must_use]
    pub const fn device_id_key(&self) -> &SecretKey<B> {
        &self.device_id
    }

    /// The alias key: proves the identity of the device and its firmware.
    #[must_use]
    pub const fn alias_key(&self) -> &SecretKey<B> {
        &self.alias
    }

    /// The digest of the firmware.
    #[must_use]
    pub const fn firmware(&self) -> &FirmwareDigest {
        &self.firmware
    }

    /// Wipes everything but the alias key.
    #[must_use]
    pub fn into_alias_key(self) -> SecretKey<B> {
        self.alias
    }

    /// Writes the alias certificate (DER): what the device presents first.
    ///
    /// # Errors
    /// As for [`AliasCertificate::to_be_signed`].
    pub fn alias_certificate<'b>(&self, id: RegistrationId<'_>, out: &'b mut [u8]) -> Result<&'b [u8]> {
        self.alias(id).to_be_signed(out)?.sign(&self.device_id)
    }

    /// Writes a certificate (DER) like the alias certificate for a key that is kept elsewhere, in a secure element,
    /// say. It says of the firmware what the alias certificate says, and the DeviceID key vouches for it: only who has
    /// that key, while the identity is derived, decides which other key is the device's.
    ///
    /// # Errors
    /// As for [`AliasCertificate::to_be_signed`].
    pub fn certificate_for<'b>(
        &self,
        key: &PublicKey,
        id: RegistrationId<'_>,
        out: &'b mut [u8],
    ) -> Result<&'b [u8]> {
        AliasCertificate { key, ..self.alias(id) }.to_be_signed(out)?.sign(&self.device_id)
    }

    /// Writes the self-signed DeviceID certificate (DER): what is enrolled, and what the device presents second.
    ///
    /// # Errors
    /// As for [`DeviceIdCertificate::to_be_signed`].
    pub fn device_id_certificate<'b>(&self, out: &'b mut [u8]) -> Result<&'b [u8]> {
        let key = self.device_id.public_key();
        let certificate = DeviceIdCertificate { key, path_len: Some(0), validity: self.validity };
        certificate.to_be_signed(out)?.sign(&self.device_id)
    }

    /// Writes the certificate (DER) that proves possession of the DeviceID key to a service that gave `code`.
    ///
    /// # Errors
    /// As for [`PossessionCertificate::to_be_signed`].
    pub fn possession_certificate<'b>(
        &self,
        code: VerificationCode<'_>,
        out: &'b mut [u8],
    ) -> Result<&'b [u8]> {
        let certificate =
            PossessionCertificate { key: self.device_id.public_key(), code, validity: self.validity };
        certificate.to_be_signed(out)?.sign(&self.device_id)
    }

    /// Writes a PKCS#10 request (DER) for an alias certificate issued by somebody else.
    ///
    /// # Errors
    /// As for [`AliasCertificate::request`].
    pub fn alias_request<'b>(&self, id: RegistrationId<'_>, out: &'b mut [u8]) -> Result<&'b [u8]> {
        self.alias(id).request(out)?.sign(&self.alias)
    }

    /// Writes a PKCS#10 request (DER) for a DeviceID certificate issued by a vendor's CA.
    ///
    /// # Errors
    /// As for [`device_id_request`].
    pub fn device_id_request<'b>(&self, out: &'b mut [u8]) -> Result<&'b [u8]> {
        device_id_request(self.device_id.public_key(), out)?.sign(&self.device_id)
    }

    fn alias<'a>(&'a self, id: RegistrationId<'a>) -> AliasCertificate<'a> {
        AliasCertificate {
            issuer: self.device_id.public_key(),
            key: self.alias.public_key(),
            id,
            firmware: &self.firmware,
            info: self.info,
            validity: self.validity,
        }
    }
}
