//! The list of what a CA has issued: the one place where serial numbers and revocations are kept. It holds the
//! certificates themselves, so that whatever is lost after it was written can be had again.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::ValueEnum;
use der::{Decode as _, Encode as _};
use serde::{Deserialize, Serialize};
use x509_cert::Certificate;
use x509_cert::ext::pkix::CrlReason;

use crate::{files, output};

/// The largest file that is read as a list, in bytes.
const MAX_LEN: u64 = 512 << 20;
/// The form of the file that is written and read.
const FORM: u32 = 1;

/// Why a certificate is revoked (RFC 5280 §5.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// No reason is given
    Unspecified,
    /// Somebody else has the key
    KeyCompromise,
    /// Another certificate of the same key takes its place: the only reason after which the key is signed again
    Superseded,
    /// The device is out of use
    CessationOfOperation,
    /// The device may do less than before
    PrivilegeWithdrawn,
}

impl Reason {
    /// As a revocation list has it; no reason has no entry there.
    #[must_use]
    pub const fn in_list(self) -> Option<CrlReason> {
        match self {
            Self::Unspecified => None,
            Self::KeyCompromise => Some(CrlReason::KeyCompromise),
            Self::Superseded => Some(CrlReason::Superseded),
            Self::CessationOfOperation => Some(CrlReason::CessationOfOperation),
            Self::PrivilegeWithdrawn => Some(CrlReason::PrivilegeWithdrawn),
        }
    }
}

/// That a certificate is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// Since when, in seconds since 1970.
    pub since: u64,
    /// Why.
    pub reason: Reason,
}

/// A certificate that was issued.
#[derive(Debug, Clone)]
pub struct Issued {
    /// In DER.
    pub der: Vec<u8>,
    /// The same, parsed.
    pub certificate: Certificate,
    /// Whether it is revoked.
    pub revoked: Option<Revocation>,
}

impl Issued {
    /// The serial number in hexadecimal, as `openssl` shows it.
    #[must_use]
    pub fn serial(&self) -> String {
        hex::encode_upper(self.certificate.tbs_certificate().serial_number().as_bytes())
    }

    /// The subject's common name.
    #[must_use]
    pub fn name(&self) -> String {
        let name = self.certificate.tbs_certificate().subject().common_name().ok().flatten();
        name.map(|name| name.value().into_owned()).unwrap_or_default()
    }

    /// The key's bits.
    fn key(&self) -> &[u8] {
        self.certificate.tbs_certificate().subject_public_key_info().subject_public_key.raw_bytes()
    }

    /// Whether its validity has ended.
    #[must_use]
    pub fn is_expired(&self, now: u64) -> bool {
        self.certificate.tbs_certificate().validity().not_after.to_unix_duration().as_secs() < now
    }
}

/// As it stands in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    form: u32,
    crl_number: u64,
    issued: Vec<Line>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    certificate: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked: Option<Revocation>,
}

/// The list.
#[derive(Debug, Default)]
pub struct Register {
    /// The number of the last revocation list; 0 before the first.
    pub crl_number: u64,
    issued: Vec<Issued>,
    by_key: HashMap<Vec<u8>, Vec<usize>>,
    serials: HashSet<Vec<u8>>,
}

impl Register {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, or is not a whole list of certificates with different serial numbers.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = files::read(path, "a list of certificates", MAX_LEN, &mut std::io::empty())?;
        Self::parse(&bytes).with_context(|| path.display().to_string())
    }

    pub(super) fn parse(json: &[u8]) -> Result<Self> {
        let file: File = serde_json::from_slice(json)?;
        ensure!(
            file.form == FORM,
            "form {} is not known: another version of this program wrote it",
            file.form
        );
        let mut register = Self { crl_number: file.crl_number, ..Self::default() };
        for (number, line) in file.issued.into_iter().enumerate() {
            let context = || format!("certificate {number}");
            let der = BASE64_STANDARD.decode(line.certificate).with_context(context)?;
            let certificate = Certificate::from_der(&der).with_context(context)?;
            register.add(Issued { der, certificate, revoked: line.revoked }).with_context(context)?;
        }
        Ok(register)
    }

    /// The content of the file.
    ///
    /// # Errors
    /// None in practice.
    pub fn to_json(&self) -> Result<String> {
        let line =
            |one: &Issued| Line { certificate: BASE64_STANDARD.encode(&one.der), revoked: one.revoked };
        let issued = self.issued.iter().map(line).collect();
        let file = File { form: FORM, crl_number: self.crl_number, issued };
        Ok(serde_json::to_string_pretty(&file)? + "\n")
    }

    /// Writes the file: the whole new list, or the old one stays.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        output::write_new(path, self.to_json()?, true)
    }

    /// Adds a certificate.
    ///
    /// # Errors
    /// There is one with its serial number.
    pub fn add(&mut self, one: Issued) -> Result<()> {
        let serial = one.certificate.tbs_certificate().serial_number().as_bytes().to_vec();
        ensure!(self.serials.insert(serial), "serial number {} is there twice", one.serial());
        self.by_key.entry(one.key().to_vec()).or_default().push(self.issued.len());
        self.issued.push(one);
        Ok(())
    }

    /// Whether there is a certificate with this serial number.
    #[must_use]
    pub fn has_serial(&self, serial: &[u8]) -> bool {
        self.serials.contains(serial)
    }

    /// All certificates, in the order of their making.
    pub fn iter(&self) -> impl Iterator<Item = &Issued> {
        self.issued.iter()
    }

    /// The certificates of this key, in the order of their making.
    #[must_use]
    pub fn of_key(&self, key: &[u8]) -> impl DoubleEndedIterator<Item = &Issued> {
        self.by_key.get(key).into_iter().flatten().filter_map(|index| self.issued.get(*index))
    }

    /// The certificate with this serial number in hexadecimal, or those of this name, to be revoked.
    pub fn find(&mut self, which: &str) -> impl Iterator<Item = &mut Issued> {
        let name = which.trim().to_owned();
        let serial: String = name.chars().filter(|c| !matches!(c, ':' | ' ')).collect();
        let serial = hex::decode(serial).ok();
        self.issued.iter_mut().filter(move |one| {
            let number = one.certificate.tbs_certificate().serial_number().as_bytes();
            one.name() == name || serial.as_deref() == Some(number)
        })
    }
}

/// A certificate as it is added to the list.
///
/// # Errors
/// None in practice: it was just made.
pub fn issued(certificate: Certificate) -> Result<Issued> {
    Ok(Issued { der: certificate.to_der()?, certificate, revoked: None })
}
