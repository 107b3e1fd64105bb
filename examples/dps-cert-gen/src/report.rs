//! What `--print` and `--json` show: everything the portal and the Azure CLI show or ask for, and nothing secret.

use std::fmt::{self, Display};

use anyhow::{Context, Result};
use dice_core::pem::{Label, Lines};
use serde::Serialize;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::request::CertReq;

use super::make::{Made, Make, to_pem};

/// Facts about what was made.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The derivation: `riot` or `standard`.
    pub profile: &'static str,
    /// What was made.
    pub made: Make,
    /// The id the device registers with: the alias certificate's common name. Absent where none was given or needed.
    pub registration_id: Option<String>,
    /// Common name of the DeviceID certificate.
    #[serde(skip)]
    pub device_id: String,
    /// Subject (RFC 4514).
    pub subject: String,
    /// Issuer (RFC 4514); absent for requests.
    pub issuer: Option<String>,
    /// Start of its validity.
    pub not_before: Option<String>,
    /// End of its validity.
    pub not_after: Option<String>,
    /// The firmware measurement, hexadecimal, where the firmware was measured.
    pub fwid: Option<String>,
    /// SHA-1 thumbprint, as the portal shows it.
    pub sha1_thumbprint: String,
    /// SHA-256 fingerprint.
    pub sha256_fingerprint: String,
    /// The certificate; of a chain, the leaf.
    pub certificate_pem: Option<String>,
    /// The request, where one was made.
    pub request_pem: Option<String>,
    /// The DeviceID certificate.
    pub device_id_certificate_pem: String,
    /// Where it was written; absent for standard output.
    pub file: Option<String>,
    /// What is written.
    #[serde(skip)]
    pub text: String,
}

impl Report {
    /// Collects the facts from the certificate or request itself.
    ///
    /// # Errors
    /// It cannot be parsed.
    pub fn new(
        profile: &'static str,
        make: Make,
        id: Option<String>,
        made: &Made,
        lines: Lines,
    ) -> Result<Self> {
        let der = &made.der;
        let device_id = made.device_id.as_ref().unwrap_or(der);
        let is_request = matches!(make, Make::Request | Make::DeviceIdRequest);
        let label = if is_request { Label::CertificateRequest } else { Label::Certificate };
        let pem = to_pem(label, der, lines)?;
        let device_id_pem = to_pem(Label::Certificate, device_id, lines)?;
        let root = Certificate::from_der(device_id).context("parsing the DeviceID certificate just made")?;
        let root = root.tbs_certificate().subject().to_string();
        let parsed = if is_request {
            None
        } else {
            Some(Certificate::from_der(der).context("parsing the certificate just made")?)
        };
        let tbs = parsed.as_ref().map(Certificate::tbs_certificate);
        let subject = match tbs {
            Some(tbs) => tbs.subject().to_string(),
            None => CertReq::from_der(der).context("parsing the request just made")?.info.subject.to_string(),
        };
        let text = if make == Make::Chain { format!("{pem}{device_id_pem}") } else { pem.clone() };
        Ok(Self {
            profile,
            made: make,
            registration_id: id,
            device_id: common_name(&root).unwrap_or_default().to_owned(),
            subject,
            issuer: tbs.map(|tbs| tbs.issuer().to_string()),
            not_before: tbs.map(|tbs| tbs.validity().not_before.to_string()),
            not_after: tbs.map(|tbs| tbs.validity().not_after.to_string()),
            fwid: made.fwid.as_ref().map(hex::encode),
            sha1_thumbprint: hex::encode_upper(Sha1::digest(der)),
            sha256_fingerprint: hex::encode_upper(Sha256::digest(der)),
            certificate_pem: (!is_request).then(|| pem.clone()),
            request_pem: is_request.then_some(pem),
            device_id_certificate_pem: device_id_pem,
            file: None,
            text,
        })
    }

    /// What to do with the file.
    fn next_step(&self, file: &str) -> String {
        let id = self.registration_id.as_deref().unwrap_or("<ID>");
        let portal = "In the Azure portal: your Device Provisioning Service >";
        let cli = "Or with the Azure CLI:\n  az iot dps";
        let service = "--dps-name <DPS> --resource-group <GROUP>";
        match self.made {
            Make::Certificate => format!(
                "Next, enrol the device. {portal} Manage enrollments >\n\
                 Individual enrollments > Add; attestation X.509 client certificates; primary certificate {file}.\n\
                 {cli} enrollment create {service} \\\n    \
                 --enrollment-id {id} --attestation-type x509 --certificate-path {file}"
            ),
            Make::Chain => {
                "The device presents this chain. Enrol its first certificate individually (--make \
                 certificate),\nor its second as an enrolment group (--make device-id)."
                    .to_owned()
            }
            Make::DeviceId => format!(
                "Next, register it as a CA. {portal} Certificates > Add; {file}; then\n\
                 generate a verification code, and answer it with --make possession --code CODE. When it is verified:\n\
                 Manage enrollments > Enrollment groups > Add; X.509 certificates; primary certificate: this one.\n\
                 {cli} certificate create {service} --certificate-name {} --path {file}",
                self.device_id
            ),
            Make::Possession => format!(
                "Next, prove the possession. {portal} Certificates > the DeviceID\n\
                 certificate > verification certificate {file}; verify.\n\
                 {cli} certificate verify {service} --certificate-name {} --path {file} --etag <ETAG>",
                self.device_id
            ),
            Make::Request => format!(
                "Next, have your CA sign {file}, with the extensions it asks for. The device then presents what the\n\
                 CA issued in place of its own alias certificate, so it has to be given it; the CA is what to enrol."
            ),
            Make::DeviceIdRequest => format!(
                "Next, have your CA sign {file}, with the extensions it asks for, as a CA certificate below its own.\n\
                 Enrol your CA; the device presents: alias, what your CA issued, and your CA's intermediates."
            ),
            Make::ReferenceValues | Make::Corim => String::new(),
        }
    }
}

/// The common name within an RFC 4514 name; ids need no escapes there.
fn common_name(name: &str) -> Option<&str> {
    name.split(',').find_map(|part| part.strip_prefix("CN="))
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let valid = self.not_before.as_ref().zip(self.not_after.as_ref());
        let valid = valid.map(|(from, to)| format!("{from} to {to}"));
        for (title, value) in [
            ("Profile", Some(self.profile)),
            ("Registration id", self.registration_id.as_deref()),
            ("Subject", Some(&*self.subject)),
            ("Issuer", self.issuer.as_deref()),
            ("Valid", valid.as_deref()),
            ("Firmware (FWID)", self.fwid.as_deref()),
            ("SHA-1 thumbprint", Some(&*self.sha1_thumbprint)),
            ("SHA-256", Some(&*self.sha256_fingerprint)),
        ] {
            if let Some(value) = value {
                writeln!(f, "{:<20}{value}", format!("{title}:"))?;
            }
        }
        let Some(file) = &self.file else { return Ok(()) };
        write!(f, "\n{}", self.next_step(file))
    }
}
