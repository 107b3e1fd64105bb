//! What the program can make, and what each of it needs.

use anyhow::{Result, bail};
use clap::ValueEnum;
use dice_core::key::{DefaultBackend, SecretKey};
use dice_core::pem::{self, Label, Lines};
use dice_core::standard::{
    self, DeviceIdCertificate, FirmwareInfo, Identity, PossessionCertificate, VerificationCode,
};
use dice_core::x509::Validity;
use dice_core::{FirmwareDigest, RegistrationId, Uds};
use serde::Serialize;

use super::input::id_error;

/// The outputs of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Make {
    /// The alias certificate, the leaf: for an individual enrolment
    Certificate,
    /// The alias certificate followed by the DeviceID CA certificate: what the device presents
    Chain,
    /// The DeviceID CA certificate: for an enrolment group, or as a CA of the service. Needs nothing but the secret
    DeviceId,
    /// Proof of possession of the DeviceID key: a certificate with the service's code (--code) as CN
    Possession,
    /// PKCS#10 request for the alias certificate, for a CA of your own
    Request,
    /// PKCS#10 request for the DeviceID CA certificate, for a CA of your own above all devices
    DeviceIdRequest,
    /// Reference values of the image, for the command `verify`. Needs no secret
    ReferenceValues,
    /// The same as a CoRIM in CBOR, for other verifiers, too
    Corim,
}

impl Make {
    /// Whether the firmware image is measured for it.
    #[must_use]
    pub const fn needs_firmware(self) -> bool {
        !self.needs_uds() || self.needs_id()
    }

    /// Whether it names the device.
    #[must_use]
    pub const fn needs_id(self) -> bool {
        matches!(self, Self::Certificate | Self::Chain | Self::Request)
    }

    /// Whether the device secret is needed.
    #[must_use]
    pub const fn needs_uds(self) -> bool {
        !matches!(self, Self::ReferenceValues | Self::Corim)
    }

    /// The name of its file, after the device's name.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Certificate => ".pem",
            Self::Chain => "-chain.pem",
            Self::DeviceId => "-device-id.pem",
            Self::Possession => "-possession.pem",
            Self::Request => ".csr",
            Self::DeviceIdRequest => "-device-id.csr",
            Self::ReferenceValues => "reference-values.json",
            Self::Corim => "reference-values.cbor",
        }
    }
}

/// What was made.
#[derive(Debug)]
pub struct Made {
    /// The certificate or request (DER) that was asked for; of a chain, the leaf.
    pub der: Vec<u8>,
    /// The DeviceID certificate (DER), if it is not that.
    pub device_id: Option<Vec<u8>>,
    /// The digest of the firmware, where it was measured.
    pub fwid: Option<Vec<u8>>,
}

/// Makes what needs the image, in the profile `standard`.
///
/// # Errors
/// Names the input at fault.
pub fn from_firmware(
    make: Make,
    uds: &Uds,
    firmware: &FirmwareDigest,
    info: &FirmwareInfo<'_>,
    id: RegistrationId<'_>,
) -> Result<Made> {
    let identity = Identity::derive(uds, firmware, info)?;
    let mut out = [0; standard::ALIAS_CERTIFICATE_MAX_LEN];
    let der = match make {
        Make::Request => identity.alias_request(id, &mut out).map_err(id_error)?.to_vec(),
        _ => identity.alias_certificate(id, &mut out).map_err(id_error)?.to_vec(),
    };
    let device_id = Some(identity.device_id_certificate(&mut out)?.to_vec());
    Ok(Made { der, device_id, fwid: Some(firmware.as_bytes().to_vec()) })
}

/// The alias certificate alone, in DER: what [`from_firmware`] makes as [`Make::Certificate`], and nothing beside it.
///
/// # Errors
/// Names the input at fault.
pub fn certificate(
    uds: &Uds,
    firmware: &FirmwareDigest,
    info: &FirmwareInfo<'_>,
    id: RegistrationId<'_>,
) -> Result<Vec<u8>> {
    let mut out = [0; standard::ALIAS_CERTIFICATE_MAX_LEN];
    let identity = Identity::derive(uds, firmware, info)?;
    Ok(identity.alias_certificate(id, &mut out).map_err(id_error)?.to_vec())
}

/// Makes what the DeviceID key alone is enough for.
///
/// # Errors
/// The code is missing or cannot stand in a certificate.
pub fn from_secret(make: Make, uds: &Uds, code: Option<&str>) -> Result<Made> {
    let device_id: SecretKey = standard::derive_device_id::<DefaultBackend>(uds)?;
    let (key, validity) = (device_id.public_key(), Validity::NO_EXPIRY);
    let mut out = [0; standard::ALIAS_CERTIFICATE_MAX_LEN];
    let certificate = DeviceIdCertificate { key, path_len: Some(0), validity };
    let certificate = certificate.to_be_signed(&mut out)?.sign(&device_id)?.to_vec();
    let der = match (make, code) {
        (Make::Possession, Some(code)) => {
            let code = VerificationCode::new(code.trim())?;
            PossessionCertificate { key, code, validity }.to_be_signed(&mut out)?.sign(&device_id)?.to_vec()
        }
        (Make::Possession, None) => bail!("the service's verification code (--code) is needed"),
        (Make::DeviceIdRequest, _) => standard::device_id_request(key, &mut out)?.sign(&device_id)?.to_vec(),
        _ => return Ok(Made { der: certificate, device_id: None, fwid: None }),
    };
    Ok(Made { der, device_id: Some(certificate), fwid: None })
}

/// One PEM block.
///
/// # Errors
/// None in practice: the buffer has the right length.
pub fn to_pem(label: Label, der: &[u8], lines: Lines) -> Result<String> {
    let mut text = vec![0; pem::encoded_len(label, der.len(), lines)];
    Ok(pem::encode(label, der, lines, &mut text)?.to_owned())
}
