//! The enrolment list: entries made by the program, and a folder that is read anew at every registration, so that a
//! file put there or taken away counts at once.
//!
//! ```text
//! DIR/<any name>.pem        individual enrolment; its first certificate is the device's leaf, the CN its registration id
//! DIR/<registration id>.disabled   (or DIR/<any name>.disabled)  switches that enrolment off
//! DIR/groups/<group>.pem    group enrolment below this authority (possession of its key counts as proven)
//! DIR/groups/<group>.disabled
//! DIR/keys.json             symmetric keys:
//!   {"individual": [{"registrationId": "..", "primaryKey": "<base64>", "secondaryKey": "..", "deviceId": "..", "disabled": true}],
//!    "groups": [{"enrollmentGroupId": "..", "primaryKey": "<base64>", "secondaryKey": "..", "disabled": true}]}
//! ```

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;

use super::cert::ClientCertificate;

/// What an enrolment goes by.
#[derive(Clone, PartialEq, Eq)]
pub enum Attestation {
    /// The device's leaf certificate(s) in DER; in a group, the authority's.
    X509 {
        /// Compared byte for byte.
        primary: Vec<u8>,
        /// A second one that counts as well.
        secondary: Option<Vec<u8>>,
    },
    /// Keys, not base64.
    SymmetricKey {
        /// 16 to 64 bytes.
        primary: Vec<u8>,
        /// A second one that counts as well.
        secondary: Option<Vec<u8>>,
    },
    /// A TPM, over HTTPS only. The local cloud's challenge is a test form: the blob that the real service encrypts to the
    /// TPM is here the bare HMAC key.
    Tpm {
        /// The TPM2B_PUBLIC area of the endorsement key, as the device sends it.
        endorsement_key: Vec<u8>,
    },
}

impl std::fmt::Debug for Attestation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::X509 { .. } => "X509",
            Self::SymmetricKey { .. } => "SymmetricKey",
            Self::Tpm { .. } => "Tpm",
        })
    }
}

impl Attestation {
    /// By this one certificate.
    pub fn certificate(der: impl Into<Vec<u8>>) -> Self {
        Self::X509 { primary: der.into(), secondary: None }
    }

    /// By this one key.
    pub fn key(key: impl Into<Vec<u8>>) -> Self {
        Self::SymmetricKey { primary: key.into(), secondary: None }
    }
}

/// An individual or a group enrolment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Enrollment {
    /// Registration id, or the group's name.
    pub id: String,
    /// What a device has to show.
    pub attestation: Attestation,
    /// The device id to assign; the registration id if `None`, and always in a group.
    pub device_id: Option<String>,
    /// A disabled enrolment refuses its devices.
    pub enabled: bool,
}

impl Enrollment {
    /// An enabled enrolment.
    pub fn new(id: impl Into<String>, attestation: Attestation) -> Self {
        Self { id: id.into(), attestation, device_id: None, enabled: true }
    }
}

/// The enrolment list of a provisioning service.
#[derive(Debug, Default)]
pub struct Enrollments {
    folder: Option<PathBuf>,
    own: Mutex<Lists>,
}

#[derive(Debug, Default)]
struct Lists {
    individual: Vec<Enrollment>,
    groups: Vec<Enrollment>,
}

fn same_id(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

fn put(list: &mut Vec<Enrollment>, enrollment: Enrollment) {
    list.retain(|e| !same_id(&e.id, &enrollment.id));
    list.push(enrollment);
}

impl Enrollments {
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, own: Mutex::default() }
    }

    fn own(&self) -> std::sync::MutexGuard<'_, Lists> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an individual enrolment, or replaces the one of the same id.
    pub fn put_individual(&self, enrollment: Enrollment) {
        put(&mut self.own().individual, enrollment);
    }

    /// Adds a group enrolment, or replaces the one of the same name.
    pub fn put_group(&self, enrollment: Enrollment) {
        put(&mut self.own().groups, enrollment);
    }

    /// Takes away an individual enrolment made with [`put_individual`](Self::put_individual).
    pub fn remove_individual(&self, registration_id: &str) {
        self.own().individual.retain(|e| !same_id(&e.id, registration_id));
    }

    /// Takes away a group enrolment made with [`put_group`](Self::put_group).
    pub fn remove_group(&self, name: &str) {
        self.own().groups.retain(|e| !same_id(&e.id, name));
    }

    /// The individual enrolment of this registration id, compared without case.
    pub(super) fn individual(&self, registration_id: &str) -> Option<Enrollment> {
        let own = self.own().individual.iter().find(|e| same_id(&e.id, registration_id)).cloned();
        own.or_else(|| self.individual_from_folder(registration_id))
    }

    fn individual_from_folder(&self, registration_id: &str) -> Option<Enrollment> {
        let folder = self.folder.as_deref()?;
        // Most files are named after their registration id; only else is the whole folder read.
        let direct = Some(folder.join(format!("{registration_id}.pem")))
            .filter(|_| !registration_id.contains(['/', '\\']))
            .and_then(|path| certificate_enrollment(&path))
            .filter(|e| same_id(&e.id, registration_id));
        direct
            .or_else(|| {
                pem_files(folder)
                    .iter()
                    .filter_map(|path| certificate_enrollment(path))
                    .find(|e| same_id(&e.id, registration_id))
            })
            .or_else(|| {
                let keys = KeyFile::read(folder).individual;
                keys.into_iter().find(|k| same_id(&k.id, registration_id)).and_then(KeyEntry::enrollment)
            })
    }

    /// All group enrolments.
    pub(super) fn groups(&self) -> Vec<Enrollment> {
        let mut groups = self.own().groups.clone();
        let Some(folder) = self.folder.as_deref() else {
            return groups;
        };
        for path in pem_files(&folder.join("groups")) {
            let (Some(stem), Some(der)) = (stem(&path), first_certificate(&path)) else {
                continue;
            };
            let mut group = Enrollment::new(stem, Attestation::certificate(der));
            group.enabled = !path.with_extension("disabled").exists();
            groups.push(group);
        }
        groups.extend(KeyFile::read(folder).groups.into_iter().filter_map(KeyEntry::enrollment));
        groups
    }
}

fn stem(path: &Path) -> Option<String> {
    path.file_stem().and_then(OsStr::to_str).map(str::to_owned)
}

/// The `.pem` files of a folder, by name.
fn pem_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<_> = entries
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|path| path.extension().is_some_and(|e| e.eq_ignore_ascii_case("pem")))
        .collect();
    files.sort();
    files
}

fn first_certificate(path: &Path) -> Option<Vec<u8>> {
    let pem = std::fs::read(path).ok()?;
    CertificateDer::pem_slice_iter(&pem).next()?.ok().map(|der| der.to_vec())
}

fn certificate_enrollment(path: &Path) -> Option<Enrollment> {
    let der = first_certificate(path)?;
    let id = ClientCertificate::from_der(&der).ok()?.common_name()?.to_owned();
    let by_id = path.with_file_name(format!("{}.disabled", id.replace(['/', '\\'], "_")));
    let enabled = !path.with_extension("disabled").exists() && !by_id.exists();
    Some(Enrollment { enabled, ..Enrollment::new(id, Attestation::certificate(der)) })
}

/// `keys.json`. A missing or unreadable file is an empty one: a registration then fails, which shows the mistake.
#[derive(Deserialize, Default)]
#[serde(default)]
struct KeyFile {
    individual: Vec<KeyEntry>,
    groups: Vec<KeyEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyEntry {
    #[serde(alias = "registrationId", alias = "enrollmentGroupId")]
    id: String,
    primary_key: String,
    secondary_key: Option<String>,
    device_id: Option<String>,
    #[serde(default)]
    disabled: bool,
}

impl KeyFile {
    fn read(folder: &Path) -> Self {
        let Ok(text) = std::fs::read(folder.join("keys.json")) else {
            return Self::default();
        };
        serde_json::from_slice(&text).unwrap_or_default()
    }
}

impl KeyEntry {
    fn enrollment(self) -> Option<Enrollment> {
        let primary = BASE64_STANDARD.decode(&self.primary_key).ok()?;
        let secondary = self.secondary_key.and_then(|key| BASE64_STANDARD.decode(key).ok());
        Some(Enrollment {
            device_id: self.device_id,
            enabled: !self.disabled,
            ..Enrollment::new(self.id, Attestation::SymmetricKey { primary, secondary })
        })
    }
}
