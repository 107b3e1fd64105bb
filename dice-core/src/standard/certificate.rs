//! The certificates and requests of the `standard` profile, from public values only.

use super::LAYER;
use super::info::{FirmwareInfo, VerificationCode, common_name};
use crate::asn1::{DerWriter, oid};
use crate::key::PublicKey;
use crate::measure::FirmwareDigest;
use crate::tcg;
use crate::x509::write::{
    Certificate, Name, key_usage, request, write_authority_key_identifier, write_ca_constraints,
    write_ext_key_usage, write_key_usage, write_subject_key_identifier,
};
use crate::x509::{ToBeSigned, Validity, write_extension};
use crate::{RegistrationId, Result};

/// The longest registration id that fits in a common name (RFC 5280, ub-common-name).
pub const REGISTRATION_ID_MAX_LEN: usize = 64;
/// Space enough for every alias certificate, in bytes.
pub const ALIAS_CERTIFICATE_MAX_LEN: usize = 829;
/// Space enough for every alias request, in bytes.
pub const ALIAS_REQUEST_MAX_LEN: usize = 681;
/// Space enough for every DeviceID certificate, in bytes.
pub const DEVICE_ID_CERTIFICATE_MAX_LEN: usize = 456;
/// Space enough for every DeviceID request, in bytes.
pub const DEVICE_ID_REQUEST_MAX_LEN: usize = 336;
/// Space enough for every certificate that proves possession, in bytes.
pub const POSSESSION_CERTIFICATE_MAX_LEN: usize = 484;

/// The word before the key identifier in the name of a DeviceID key.
pub(crate) const DEVICE_ID_NAME: &str = "DeviceID";

/// The subject of a DeviceID key: unique, because the key's identifier is in it.
pub(super) fn device_id_name(key: &PublicKey) -> Name<'static> {
    Name::Key(DEVICE_ID_NAME, key.identifier())
}

/// The DeviceID certificate, self-signed: the trust anchor to be enrolled.
#[derive(Clone, Copy, Debug)]
pub struct DeviceIdCertificate<'a> {
    /// The DeviceID public key.
    pub key: &'a PublicKey,
    /// How many CA certificates may follow below; without it, any number. In the profile `standard` none: `Some(0)`.
    pub path_len: Option<u8>,
    /// From when to when.
    pub validity: Validity,
}

impl DeviceIdCertificate<'_> {
    /// Writes the certificate up to its signature, which the DeviceID key makes.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`](crate::Error::BufferTooSmall);
    /// [`DEVICE_ID_CERTIFICATE_MAX_LEN`] bytes are always enough.
    pub fn to_be_signed<'b>(&self, out: &'b mut [u8]) -> Result<ToBeSigned<'b>> {
        let name = device_id_name(self.key);
        let certificate = Certificate { issuer: name, validity: self.validity, subject: name, key: self.key };
        certificate.to_be_signed(out, |writer| write_device_id_extensions(writer, self.key, self.path_len))
    }
}

/// The alias certificate: what the device presents.
#[derive(Clone, Copy, Debug)]
pub struct AliasCertificate<'a> {
    /// The DeviceID public key, which issues the certificate.
    pub issuer: &'a PublicKey,
    /// The alias public key.
    pub key: &'a PublicKey,
    /// The name the device enrols under.
    pub id: RegistrationId<'a>,
    /// The digest of the firmware.
    pub firmware: &'a FirmwareDigest,
    /// What else is known of the firmware.
    pub info: FirmwareInfo<'a>,
    /// From when to when.
    pub validity: Validity,
}

impl AliasCertificate<'_> {
    /// Writes the certificate up to its signature, which the DeviceID key makes.
    ///
    /// # Errors
    /// * [`Error::RegistrationIdLength`](crate::Error::RegistrationIdLength) beyond [`REGISTRATION_ID_MAX_LEN`];
    /// * [`Error::TextLength`](crate::Error::TextLength), [`Error::TextCharacter`](crate::Error::TextCharacter) for the
    ///   texts of `info`;
    /// * [`Error::BufferTooSmall`](crate::Error::BufferTooSmall); [`ALIAS_CERTIFICATE_MAX_LEN`] bytes are always
    ///   enough.
    pub fn to_be_signed<'b>(&self, out: &'b mut [u8]) -> Result<ToBeSigned<'b>> {
        self.info.check()?;
        let certificate = Certificate {
            issuer: device_id_name(self.issuer),
            validity: self.validity,
            subject: Name::Text(common_name(self.id)?),
            key: self.key,
        };
        certificate.to_be_signed(out, |writer| {
            write_alias_extensions(writer, self.key, Some(self.issuer), self.firmware, &self.info);
        })
    }

    /// Writes a PKCS#10 request for this certificate up to its signature, which the alias key makes. Issuer and
    /// validity are then the business of whoever answers it.
    ///
    /// # Errors
    /// As for [`to_be_signed`](Self::to_be_signed); [`ALIAS_REQUEST_MAX_LEN`] bytes are always enough.
    pub fn request<'b>(&self, out: &'b mut [u8]) -> Result<ToBeSigned<'b>> {
        self.info.check()?;
        request(Name::Text(common_name(self.id)?), self.key, out, |writer| {
            write_alias_extensions(writer, self.key, None, self.firmware, &self.info);
        })
    }
}

/// Writes a PKCS#10 request for a DeviceID certificate issued by a vendor's CA up to its signature, which the DeviceID
/// key makes.
///
/// For the chain to hold, the CA has to take over the subject and the subject key identifier of the request.
///
/// # Errors
/// [`Error::BufferTooSmall`](crate::Error::BufferTooSmall); [`DEVICE_ID_REQUEST_MAX_LEN`] bytes are always enough.
pub fn device_id_request<'b>(key: &PublicKey, out: &'b mut [u8]) -> Result<ToBeSigned<'b>> {
    request(device_id_name(key), key, out, |writer| write_device_id_extensions(writer, key, Some(0)))
}

/// The certificate that proves to a service that its sender holds the DeviceID key: the service's code is its name.
#[derive(Clone, Copy, Debug)]
pub struct PossessionCertificate<'a> {
    /// The DeviceID public key, which is both issuer and subject key.
    pub key: &'a PublicKey,
    /// The code the service gave.
    pub code: VerificationCode<'a>,
    /// From when to when.
    pub validity: Validity,
}

impl PossessionCertificate<'_> {
    /// Writes the certificate up to its signature, which the DeviceID key makes.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`](crate::Error::BufferTooSmall);
    /// [`POSSESSION_CERTIFICATE_MAX_LEN`] bytes are always enough.
    pub fn to_be_signed<'b>(&self, out: &'b mut [u8]) -> Result<ToBeSigned<'b>> {
        let certificate = Certificate {
            issuer: device_id_name(self.key),
            validity: self.validity,
            subject: Name::Text(self.code.as_str()),
            key: self.key,
        };
        certificate.to_be_signed(out, |writer| {
            write_key_usage(writer, key_usage::DIGITAL_SIGNATURE);
            write_subject_key_identifier(writer, self.key);
            write_authority_key_identifier(writer, self.key);
        })
    }
}

fn write_device_id_extensions(writer: &mut DerWriter<'_>, key: &PublicKey, path_len: Option<u8>) {
    write_ca_constraints(writer, path_len);
    write_key_usage(writer, key_usage::KEY_CERT_SIGN);
    write_subject_key_identifier(writer, key);
}

fn write_alias_extensions(
    writer: &mut DerWriter<'_>,
    key: &PublicKey,
    issuer: Option<&PublicKey>,
    firmware: &FirmwareDigest,
    info: &FirmwareInfo<'_>,
) {
    write_key_usage(writer, key_usage::DIGITAL_SIGNATURE);
    write_ext_key_usage(writer, &[oid::CLIENT_AUTH]);
    write_subject_key_identifier(writer, key);
    if let Some(issuer) = issuer {
        write_authority_key_identifier(writer, issuer);
    }
    // Not critical: ordinary TLS stacks do not know it.
    write_extension(writer, &tcg::oid::TCB_INFO, false, |writer| {
        info.write_tcb_info(LAYER, firmware, writer);
    });
}
