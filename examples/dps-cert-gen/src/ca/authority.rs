//! A CA in a folder: its key, its certificate, and the list of what it has issued.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use der::{Decode as _, Encode as _};
use dice_core::key::KeyIdentifier;
use dice_core::pem::{Label, Lines};
use dice_core::standard::VerificationCode;
use p256::SecretKey;
use p256::ecdsa::{DerSignature, SigningKey};
use p256::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, LineEnding};
use x509_cert::builder::{Builder as _, CertificateBuilder, CrlBuilder};
use x509_cert::crl::RevokedCert;
use x509_cert::ext::pkix::{BasicConstraints, CrlNumber, KeyUsage, KeyUsages, SubjectKeyIdentifier};
use x509_cert::ext::{Extensions, ToExtension as _};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::Validity;
use x509_cert::{Certificate, SubjectPublicKeyInfo};

use super::parts::{Chosen, Profile, common_name, later, random_key, random_serial, time, unix, validity};
use super::register::{Issued, Reason, Register, Revocation, issued};
use crate::request::{self, DeviceIdRequest};
use crate::staged::{Readers, Staged};
use crate::{certificates, files, make};

/// The private key (PKCS#8 in PEM).
const KEY: &str = "ca-key.pem";
/// The certificate.
pub const CERTIFICATE: &str = "ca.pem";
/// The list of what was issued.
const REGISTER: &str = "issued.json";
/// Locked while the CA is used.
const LOCK: &str = "lock";
/// The commands that enrol it.
pub const AZURE_CLI: &str = "azure-cli.sh";

/// The largest file that is read as a key, in bytes.
const MAX_KEY_LEN: u64 = 1 << 16;
/// CAs that may stand between it and a leaf: a DeviceID.
const PATH_LEN: u8 = 1;

/// A CA that is open, and locked against other processes until it is dropped.
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
    key: SigningKey,
    certificate: Certificate,
    identifier: KeyIdentifier,
    register: Register,
    _lock: File,
}

/// Makes a CA in a folder that is not there yet. `days` is how long its certificate is valid; without, for good.
///
/// # Errors
/// The name cannot stand in a certificate, or the folder exists or cannot be written.
pub fn create(folder: &Path, name: &str, days: Option<u32>, now: SystemTime) -> Result<()> {
    files::not_a_device(folder)?;
    ensure!(!folder.exists(), "{} exists already: choose another folder", folder.display());
    let subject = common_name(name)?;
    let secret = random_key()?;
    let key = SigningKey::from(&secret);
    let spki = SubjectPublicKeyInfo::from_key(key.verifying_key())?;
    let identifier = request::public_key(&spki)?.identifier();
    let usage = KeyUsages::KeyCertSign | KeyUsages::CRLSign;
    let extensions = Chosen::ca(PATH_LEN, usage)?.identifiers(&identifier, &identifier)?.0;
    let profile = Profile { issuer: subject.clone(), subject, extensions };
    let serial = SerialNumber::new(&random_serial()?)?;
    let certificate = CertificateBuilder::new(profile, serial, validity(now, days, None)?, spki)?
        .build::<_, DerSignature>(&key)?;

    let staged = Staged::beside(folder, Readers::Owner)?;
    staged.write(KEY, &secret.to_pkcs8_pem(LineEnding::LF)?, Readers::Owner)?;
    let pem = make::to_pem(Label::Certificate, &certificate.to_der()?, Lines::Wrapped)?;
    staged.write(CERTIFICATE, &pem, Readers::All)?;
    staged.write(REGISTER, &Register::default().to_json()?, Readers::All)?;
    staged.write(LOCK, "", Readers::All)?;
    staged.write(AZURE_CLI, AZURE_CLI_SCRIPT, Readers::All)?;
    staged.publish(folder)
}

impl Authority {
    /// Opens a CA.
    ///
    /// # Errors
    /// Another process uses it; or something in the folder is missing, damaged or does not belong together.
    pub fn open(folder: &Path, now: SystemTime) -> Result<Self> {
        let path = |name: &str| folder.join(name);
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path(LOCK))
            .with_context(|| format!("{} is not the folder of a CA: no file {LOCK}", folder.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!(
                    "{}: another dps-cert-gen uses this CA now; try again when it has ended",
                    folder.display()
                )
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path(LOCK).display()));
            }
        }
        let pem = files::read(&path(KEY), "a key", MAX_KEY_LEN, &mut std::io::empty())?;
        let key = std::str::from_utf8(&pem).ok().and_then(|pem| SecretKey::from_pkcs8_pem(pem).ok());
        let key = key.with_context(|| format!("{}: not a P-256 key (PKCS#8, PEM)", path(KEY).display()))?;
        let der =
            files::read(&path(CERTIFICATE), "a certificate", certificates::MAX_LEN, &mut std::io::empty())?;
        let certificate =
            certificate(&der, &key, now).with_context(|| path(CERTIFICATE).display().to_string())?;
        let identifier = identifier(&certificate)?;
        let register = Register::read(&path(REGISTER))?;
        Ok(Self {
            folder: folder.to_owned(),
            key: key.into(),
            certificate,
            identifier,
            register,
            _lock: lock,
        })
    }

    /// What was issued.
    #[must_use]
    pub fn register(&self) -> &Register {
        &self.register
    }

    /// Its certificate in PEM.
    ///
    /// # Errors
    /// None in practice.
    pub fn certificate_pem(&self) -> Result<String> {
        make::to_pem(Label::Certificate, &self.certificate.to_der()?, Lines::Wrapped)
    }

    fn subject(&self) -> &Name {
        self.certificate.tbs_certificate().subject()
    }

    /// Gives the certificate of a DeviceID: the one that it has, or else a new one. That is then on the list in memory;
    /// [`save`](Self::save) has to follow before it is given out. `renew` makes a new one beside a valid one.
    ///
    /// # Errors
    /// The key was revoked, or the certificate would be valid for longer than that of the CA.
    pub fn issue(
        &mut self,
        request: &DeviceIdRequest,
        days: Option<u32>,
        renew: bool,
        now: SystemTime,
    ) -> Result<Issued> {
        let seconds = unix(now)?;
        let key = request.spki().subject_public_key.raw_bytes();
        let name = request.name();
        for one in self.register.of_key(key) {
            if let Some(Revocation { reason, .. }) = one.revoked
                && reason != Reason::Superseded
            {
                bail!(
                    "{name}: its key is revoked (serial number {}), it gets no other certificate",
                    one.serial()
                );
            }
        }
        let valid = |one: &&Issued| one.revoked.is_none() && !one.is_expired(seconds);
        if let Some(one) = self.register.of_key(key).rev().find(valid)
            && !renew
        {
            return Ok(one.clone());
        }
        let extensions = Chosen::ca(0, KeyUsages::KeyCertSign)?
            .identifiers(&request.key().identifier(), &self.identifier)?
            .0;
        let validity = validity(now, days, Some(self.certificate.tbs_certificate().validity().not_after))?;
        let one = self.sign(request.subject().clone(), request.spki().clone(), extensions, validity)?;
        self.register.add(one.clone())?;
        Ok(one)
    }

    /// Gives the certificate that proves to the service that its sender has the key of this CA.
    ///
    /// # Errors
    /// The code cannot stand in a certificate.
    pub fn possession(&self, code: &str, now: SystemTime) -> Result<Vec<u8>> {
        let code = VerificationCode::new(code.trim())?;
        let spki = SubjectPublicKeyInfo::from_key(self.key.verifying_key())?;
        let extensions = Chosen::default()
            .with(&KeyUsage(KeyUsages::DigitalSignature.into()))?
            .identifiers(&self.identifier, &self.identifier)?
            .0;
        let validity =
            validity(now, Some(30), Some(self.certificate.tbs_certificate().validity().not_after))?;
        Ok(self.sign(common_name(code.as_str())?, spki, extensions, validity)?.der)
    }

    fn sign(
        &self,
        subject: Name,
        spki: SubjectPublicKeyInfo,
        extensions: Extensions,
        validity: Validity,
    ) -> Result<Issued> {
        let serial = loop {
            let serial = random_serial()?;
            if !self.register.has_serial(&serial) {
                break SerialNumber::new(&serial)?;
            }
        };
        let profile = Profile { issuer: self.subject().clone(), subject, extensions };
        let builder = CertificateBuilder::new(profile, serial, validity, spki)?;
        issued(builder.build::<_, DerSignature>(&self.key)?)
    }

    /// Revokes the certificate with this serial number, or those of this name. Gives the serial numbers of those that
    /// were not revoked before.
    ///
    /// # Errors
    /// There is none. The list in memory is then as before.
    pub fn revoke(&mut self, which: &str, reason: Reason, now: SystemTime) -> Result<Vec<String>> {
        let revocation = Revocation { since: unix(now)?, reason };
        let (mut found, mut revoked) = (false, Vec::new());
        for one in self.register.find(which) {
            found = true;
            if one.revoked.is_none() {
                one.revoked = Some(revocation);
                revoked.push(one.serial());
            }
        }
        ensure!(found, "no certificate of this CA has the serial number or the name {which}");
        Ok(revoked)
    }

    /// Gives a revocation list (DER) that is valid for `days`. Its number is kept in memory: [`save`](Self::save) has
    /// to follow before it is given out.
    ///
    /// # Errors
    /// The times cannot stand in it.
    pub fn revocation_list(&mut self, days: u32, now: SystemTime) -> Result<Vec<u8>> {
        self.register.crl_number = self.register.crl_number.checked_add(1).context("no number is left")?;
        let number = CrlNumber(der::asn1::Uint::new(&self.register.crl_number.to_be_bytes())?);
        let revoked = self.register.iter().filter_map(|one| {
            let Revocation { since, reason } = one.revoked?;
            Some(entry(one, since, reason))
        });
        let revoked = revoked.collect::<Result<Vec<_>>>()?;
        let next = time(later(now, days)?)?;
        let mut builder = CrlBuilder::new_with_this_update(&self.certificate, number, time(now)?)?
            .with_next_update(Some(next));
        // An empty list is left out (RFC 5280 §5.1.2.6).
        if !revoked.is_empty() {
            builder = builder.with_certificates(revoked.into_iter());
        }
        Ok(builder.build::<_, DerSignature>(&self.key)?.to_der()?)
    }

    /// Writes the list: the whole new one, or the old one stays.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&self) -> Result<()> {
        self.register.write(&self.folder.join(REGISTER))
    }
}

fn entry(one: &Issued, since: u64, reason: Reason) -> Result<RevokedCert> {
    let extension = reason.in_list().map(|reason| reason.to_extension(&Name::default(), &[])).transpose()?;
    Ok(RevokedCert {
        serial_number: one.certificate.tbs_certificate().serial_number().clone(),
        revocation_date: time(UNIX_EPOCH + Duration::from_secs(since))?,
        crl_entry_extensions: extension.map(|extension| vec![extension]),
    })
}

/// The CA's certificate, if it is one that can do what a CA above DeviceIDs does, now, with this key.
fn certificate(bytes: &[u8], key: &SecretKey, now: SystemTime) -> Result<Certificate> {
    let found = certificates::read(bytes)?;
    let [der] = &found[..] else { bail!("expected one certificate, found {}", found.len()) };
    let certificate = Certificate::from_der(der)?;
    let tbs = certificate.tbs_certificate();
    let spki = SubjectPublicKeyInfo::from_key(&key.public_key())?;
    ensure!(*tbs.subject_public_key_info() == spki, "it is not the certificate of the key in {KEY}");
    let constraints: Option<(bool, BasicConstraints)> = tbs.get_extension()?;
    let constraints = constraints.map(|(_, constraints)| constraints).filter(|constraints| constraints.ca);
    let constraints = constraints.context("it is not the certificate of a CA")?;
    if let Some(limit) = constraints.path_len_constraint {
        ensure!(limit >= PATH_LEN, "its path length is {limit}: DeviceID CAs may not stand below it");
    }
    let usage: Option<(bool, KeyUsage)> = tbs.get_extension()?;
    let signs = usage.is_some_and(|(_, usage)| usage.key_cert_sign() && usage.crl_sign());
    ensure!(signs, "its keyUsage lacks keyCertSign or cRLSign");
    let (now, validity) = (unix(now)?, tbs.validity());
    let (from, to) =
        (validity.not_before.to_unix_duration().as_secs(), validity.not_after.to_unix_duration().as_secs());
    ensure!(from <= now && now <= to, "it is valid from {} to {}", validity.not_before, validity.not_after);
    Ok(certificate)
}

/// The identifier of the CA's key, which its certificates name.
fn identifier(certificate: &Certificate) -> Result<KeyIdentifier> {
    let found: Option<(bool, SubjectKeyIdentifier)> = certificate.tbs_certificate().get_extension()?;
    let found = found.and_then(|(_, identifier)| identifier.0.as_bytes().try_into().ok());
    found.with_context(|| format!("{CERTIFICATE}: it has no subjectKeyIdentifier of 20 bytes"))
}

/// What a CA's certificate is enrolled with; for the shell, so that no name has to be escaped.
const AZURE_CLI_SCRIPT: &str = "\
#!/bin/sh
# Adds this CA to a Device Provisioning Service, as one that was shown to be yours, and makes an enrolment group on it,
# with the Azure CLI and its extension azure-iot.
set -eu
if [ $# -ne 3 ]; then
    echo \"usage: sh $0 <DPS> <GROUP> <NAME>    (names of the service, of its resource group, and for CA and enrolment)\" >&2
    exit 2
fi
cd \"$(dirname -- \"$0\")\"
az iot dps certificate create --dps-name \"$1\" --resource-group \"$2\" --certificate-name \"$3\" --path ca.pem \\
    --verified true --output none
az iot dps enrollment-group create --dps-name \"$1\" --resource-group \"$2\" --enrollment-id \"$3\" \\
    --root-ca-name \"$3\" --output none
";
