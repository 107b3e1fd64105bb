//! What `--print` and `--json` show: everything the portal and the Azure CLI show or ask for, and nothing secret.

use std::fmt::{self, Display};

use anyhow::{Context, Result};
use dice_core::pem::{self, Label, Lines};
use serde::Serialize;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use x509_cert::Certificate;
use x509_cert::der::Decode;

/// Facts about a derived identity.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The derivation: `riot` or `standard`.
    pub profile: &'static str,
    /// The id the device registers with: the certificate's common name.
    pub registration_id: String,
    /// Subject of the alias certificate (RFC 4514).
    pub subject: String,
    /// Issuer of the alias certificate (RFC 4514).
    pub issuer: String,
    /// Start of its validity.
    pub not_before: String,
    /// End of its validity.
    pub not_after: String,
    /// The firmware measurement, hexadecimal.
    pub fwid: String,
    /// SHA-1 thumbprint of the certificate, as the portal shows it.
    pub sha1_thumbprint: String,
    /// SHA-256 fingerprint of the certificate.
    pub sha256_fingerprint: String,
    /// The alias certificate.
    pub certificate_pem: String,
    /// The DeviceID certificate, which signed it.
    pub device_id_certificate_pem: String,
    /// Where the certificate was written; absent for standard output.
    pub file: Option<String>,
}

impl Report {
    /// Collects the facts from the alias certificate itself; the second of the `certificates` is the DeviceID's.
    ///
    /// # Errors
    /// The certificate cannot be parsed.
    pub fn new(profile: &'static str, certificates: [&[u8]; 2], fwid: &[u8], lines: Lines) -> Result<Self> {
        let [certificate, device_id_certificate] = certificates;
        let parsed = Certificate::from_der(certificate).context("parsing the certificate just made")?;
        let tbs = parsed.tbs_certificate();
        let subject = tbs.subject().to_string();
        Ok(Self {
            profile,
            registration_id: common_name(&subject).unwrap_or_default().to_owned(),
            issuer: tbs.issuer().to_string(),
            subject,
            not_before: tbs.validity().not_before.to_string(),
            not_after: tbs.validity().not_after.to_string(),
            fwid: hex::encode(fwid),
            sha1_thumbprint: hex::encode_upper(Sha1::digest(certificate)),
            sha256_fingerprint: hex::encode_upper(Sha256::digest(certificate)),
            certificate_pem: to_pem(certificate, lines)?,
            device_id_certificate_pem: to_pem(device_id_certificate, lines)?,
            file: None,
        })
    }
}

fn to_pem(certificate: &[u8], lines: Lines) -> Result<String> {
    let mut text = vec![0; pem::encoded_len(Label::Certificate, certificate.len(), lines)];
    Ok(pem::encode(Label::Certificate, certificate, lines, &mut text)?.to_owned())
}

/// The common name within an RFC 4514 name; ids need no escapes there.
fn common_name(name: &str) -> Option<&str> {
    name.split(',').find_map(|part| part.strip_prefix("CN="))
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Profile:            {}", self.profile)?;
        writeln!(f, "Registration id:    {}", self.registration_id)?;
        writeln!(f, "Subject:            {}", self.subject)?;
        writeln!(f, "Issuer:             {}", self.issuer)?;
        writeln!(f, "Valid:              {} to {}", self.not_before, self.not_after)?;
        writeln!(f, "Firmware (FWID):    {}", self.fwid)?;
        writeln!(f, "SHA-1 thumbprint:   {}", self.sha1_thumbprint)?;
        writeln!(f, "SHA-256:            {}", self.sha256_fingerprint)?;
        let Some(file) = &self.file else { return Ok(()) };
        writeln!(f)?;
        writeln!(
            f,
            "Next, enrol the device. In the Azure portal: your Device Provisioning Service > Manage enrollments >"
        )?;
        writeln!(
            f,
            "Individual enrollments > Add; attestation X.509 client certificates; primary certificate {file}."
        )?;
        writeln!(f, "Or with the Azure CLI:")?;
        writeln!(f, "  az iot dps enrollment create --dps-name <DPS> --resource-group <GROUP> \\")?;
        write!(
            f,
            "    --enrollment-id {} --attestation-type x509 --certificate-path {file}",
            self.registration_id
        )
    }
}
