//! One file of the enrolment folder, in the forms that people's tools write.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::Value;

use crate::cert::ClientCertificate;
use crate::enrollment::{AllocationPolicy, Attestation, Enrollment, InitialTwin, ReprovisionPolicy};

/// The file with keys.
pub(super) const KEYS: &str = "keys.json";
/// The largest file taken.
const MAX_FILE: u64 = 1 << 20;
/// Standard alphabet; people's tools leave out the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a file has.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) individual: Vec<Enrollment>,
    pub(super) groups: Vec<Enrollment>,
    /// What was not taken, naming file and reason.
    pub(super) problems: Vec<String>,
}

/// Why a file or an entry is not taken.
pub(super) enum Trouble {
    /// It is not what it should be.
    Content(String),
    /// It cannot be read now.
    Machine(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(e: io::Error) -> Self {
        match e.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::IsADirectory => {
                Self::Content(e.to_string())
            }
            _ => Self::Machine(e),
        }
    }
}

fn not_taken(path: &Path, what: &str) -> String {
    format!("{} is not taken: {what}", path.display())
}

impl Trouble {
    /// As a problem of this file.
    ///
    /// # Errors
    /// It is this machine's affair.
    pub(super) fn of(self, path: &Path) -> io::Result<String> {
        match self {
            Self::Content(what) => Ok(not_taken(path, &what)),
            Self::Machine(e) => Err(e),
        }
    }
}

/// Which of the folders a file is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The folder itself.
    Top,
    /// `groups`.
    Groups,
}

/// Reads one file. Whether its enrolment is switched off is not looked up; see [`is_enabled`].
///
/// # Errors
/// It cannot be read now, for want of something that is this machine's affair.
pub(super) fn read(path: &Path, place: Place) -> io::Result<Read> {
    let mut read = Read::default();
    let taken = match (kind(path), place) {
        (Kind::Passed, _) => Ok(()),
        (Kind::Certificate, Place::Top) => certificate(path).map(|found| read.individual.extend(found)),
        (Kind::Certificate, Place::Groups) => group(path).map(|group| read.groups.push(group)),
        (Kind::Keys, Place::Top) => keys(path, &mut read),
        (Kind::Other(what), Place::Top) => Err(Trouble::Content(what.to_owned())),
        (Kind::Keys | Kind::Other(_), Place::Groups) => {
            Err(Trouble::Content("groups are certificates, .pem, .cer, .crt or .der".to_owned()))
        }
    };
    if let Err(trouble) = taken {
        read.problems.push(trouble.of(path)?);
    }
    Ok(read)
}

/// Whether the enrolment of this id, from this file, is not switched off by a file beside it.
pub(super) fn is_enabled(path: &Path, place: Place, id: &str) -> bool {
    if !matches!(kind(path), Kind::Certificate) {
        return true;
    }
    let by_id = path.with_file_name(format!("{}.disabled", id.replace(['/', '\\'], "_")));
    !path.with_extension("disabled").exists() && (place == Place::Groups || !by_id.exists())
}

enum Kind {
    Certificate,
    Keys,
    Other(&'static str),
    Passed,
}

fn kind(path: &Path) -> Kind {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default().to_ascii_lowercase();
    let extension = Path::new(&name).extension().and_then(OsStr::to_str).unwrap_or_default();
    match extension {
        _ if name.starts_with('.') || name.ends_with('~') || name.starts_with("readme") => Kind::Passed,
        _ if name == KEYS => Kind::Keys,
        "pem" | "cer" | "crt" | "der" => Kind::Certificate,
        "disabled" => Kind::Passed,
        "json" => Kind::Other("keys are read from keys.json only"),
        "key" | "p12" | "pfx" => Kind::Other(
            "a private key is no enrolment; put the certificate here, the key stays on the device",
        ),
        "csr" => Kind::Other("a certificate signing request is no certificate"),
        _ => Kind::Other("enrolments end in .pem, .cer, .crt or .der, or are keys.json"),
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, Trouble> {
    if std::fs::metadata(path)?.len() > MAX_FILE {
        return Err(Trouble::Content("it is larger than 1 MB".to_owned()));
    }
    Ok(std::fs::read(path)?)
}

/// Text in UTF-8 or, with its mark, UTF-16; without the mark. `None` if it is neither.
fn text(bytes: &[u8]) -> Option<String> {
    let wide = |from: fn([u8; 2]) -> u16, rest: &[u8]| {
        let (units, []) = rest.as_chunks::<2>() else {
            return None;
        };
        String::from_utf16(&units.iter().map(|unit| from(*unit)).collect::<Vec<_>>()).ok()
    };
    match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => std::str::from_utf8(rest).ok().map(str::to_owned),
        [0xff, 0xfe, rest @ ..] => wide(u16::from_le_bytes, rest),
        [0xfe, 0xff, rest @ ..] => wide(u16::from_be_bytes, rest),
        // Without a mark, but every other byte of ASCII text is zero.
        [first, 0, ..] if *first != 0 && *first != 0x30 => wide(u16::from_le_bytes, bytes),
        _ => std::str::from_utf8(bytes).ok().map(str::to_owned),
    }
}

/// The first certificate of a file.
fn first_certificate(path: &Path) -> Result<(Vec<u8>, ClientCertificate), Trouble> {
    let content = |what: &str| Trouble::Content(what.to_owned());
    let bytes = bytes(path)?;
    let der = match text(&bytes) {
        Some(text) if text.contains("-----BEGIN") => {
            match CertificateDer::pem_slice_iter(text.as_bytes()).next() {
                Some(Ok(der)) => der.to_vec(),
                Some(Err(e)) => return Err(Trouble::Content(format!("its PEM cannot be read: {e:?}"))),
                None if text.contains("PRIVATE KEY") => {
                    return Err(content("it has a private key and no certificate"));
                }
                None if text.contains("CERTIFICATE REQUEST") => {
                    return Err(content("it is a certificate signing request, no certificate"));
                }
                None => return Err(content("there is no CERTIFICATE in it")),
            }
        }
        Some(text) => {
            let packed: String = text.split_whitespace().collect();
            match BASE64.decode(packed) {
                Ok(der) if !der.is_empty() => der,
                _ if bytes.first() == Some(&0x30) => bytes,
                _ => return Err(content("it is neither PEM nor DER nor base64")),
            }
        }
        None => bytes,
    };
    match ClientCertificate::from_der(&der) {
        Ok(certificate) => Ok((der, certificate)),
        Err(e) => Err(Trouble::Content(e.to_string())),
    }
}

/// The individual enrolment in a file; `None` if there is no such file.
pub(super) fn certificate(path: &Path) -> Result<Option<Enrollment>, Trouble> {
    if !path.exists() {
        return Ok(None);
    }
    let (der, certificate) = first_certificate(path)?;
    let Some(id) = certificate.common_name().filter(|id| !id.is_empty()) else {
        return Err(Trouble::Content("its subject has no common name to be the registration id".to_owned()));
    };
    Ok(Some(Enrollment::new(id, Attestation::certificate(der))))
}

fn group(path: &Path) -> Result<Enrollment, Trouble> {
    let (der, certificate) = first_certificate(path)?;
    if !certificate.is_authority() {
        return Err(Trouble::Content(
            "a group needs an authority's certificate (basicConstraints CA)".to_owned(),
        ));
    }
    let Some(stem) = path.file_stem().and_then(OsStr::to_str) else {
        return Err(Trouble::Content("its name is not UTF-8".to_owned()));
    };
    Ok(Enrollment::new(stem, Attestation::certificate(der)))
}

/// An entry of `keys.json`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyEntry {
    #[serde(alias = "registrationId", alias = "enrollmentGroupId")]
    id: String,
    primary_key: Option<String>,
    secondary_key: Option<String>,
    endorsement_key: Option<String>,
    device_id: Option<String>,
    #[serde(default)]
    disabled: bool,
    #[serde(default)]
    hubs: Vec<String>,
    #[serde(default)]
    allocation: AllocationPolicy,
    #[serde(default)]
    reprovision: ReprovisionPolicy,
    initial_twin: Option<InitialTwin>,
    payload: Option<Value>,
}

/// Reads `keys.json`: each entry for itself, so that a bad one costs no other.
fn keys(path: &Path, read: &mut Read) -> Result<(), Trouble> {
    let bytes = bytes(path)?;
    let text = text(&bytes).ok_or_else(|| Trouble::Content("it is no text".to_owned()))?;
    let file: Value = serde_json::from_str(&text).map_err(|e| Trouble::Content(e.to_string()))?;
    let Value::Object(members) = file else {
        return Err(Trouble::Content("it is no JSON object".to_owned()));
    };
    for (name, entries) in members {
        let is_group = match name.as_str() {
            "individual" => false,
            "groups" => true,
            other => {
                let what = format!("{other:?} in it is neither \"individual\" nor \"groups\"");
                read.problems.push(not_taken(path, &what));
                continue;
            }
        };
        let Value::Array(entries) = entries else {
            read.problems.push(not_taken(path, &format!("{name:?} in it is no list")));
            continue;
        };
        for (index, entry) in entries.into_iter().enumerate() {
            match key_entry(entry) {
                Ok(enrollment) if is_group => read.groups.push(enrollment),
                Ok(enrollment) => read.individual.push(enrollment),
                Err(what) => read.problems.push(format!(
                    "{}: entry {} of {name:?} is not taken: {what}",
                    path.display(),
                    index + 1
                )),
            }
        }
    }
    Ok(())
}

fn key(name: &str, text: &str) -> Result<Vec<u8>, String> {
    let key = BASE64.decode(text.trim()).map_err(|_| format!("{name} is not base64"))?;
    if (16..=64).contains(&key.len()) {
        Ok(key)
    } else {
        Err(format!("{name} has {} bytes, not 16 to 64", key.len()))
    }
}

fn key_entry(entry: Value) -> Result<Enrollment, String> {
    let entry: KeyEntry = serde_json::from_value(entry).map_err(|e| e.to_string())?;
    let attestation = match (&entry.primary_key, &entry.endorsement_key) {
        (Some(primary), None) => Attestation::SymmetricKey {
            primary: key("primaryKey", primary)?,
            secondary: entry.secondary_key.as_deref().map(|k| key("secondaryKey", k)).transpose()?,
        },
        (None, Some(endorsement_key)) => Attestation::Tpm {
            endorsement_key: BASE64
                .decode(endorsement_key.trim())
                .map_err(|_| "endorsementKey is not base64".to_owned())?,
        },
        _ => return Err("it needs either primaryKey or endorsementKey".to_owned()),
    };
    Ok(Enrollment {
        device_id: entry.device_id,
        enabled: !entry.disabled,
        hubs: entry.hubs,
        allocation: entry.allocation,
        reprovision: entry.reprovision,
        initial_twin: entry.initial_twin,
        payload: entry.payload,
        ..Enrollment::new(entry.id, attestation)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrollment::folder::{All, Folder};

    fn all(path: &Path) -> (All, Vec<String>) {
        let folder = Folder::new(path.to_owned());
        (folder.all(), folder.take_problems())
    }

    fn utf16(text: &str, mark: bool) -> Vec<u8> {
        let mark = if mark { "\u{feff}" } else { "" };
        format!("{mark}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn certificates_in_every_form_that_tools_write() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
        let mut ids = Vec::new();
        let mut make = |id: &str| {
            let mut params = rcgen::CertificateParams::default();
            params.distinguished_name.push(rcgen::DnType::CommonName, id);
            ids.push(id.to_owned());
            params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap()
        };
        put("a.pem", make("a").pem().as_bytes());
        put("b.crt", make("b").pem().replace('\n', "\r\n").as_bytes());
        put("c.CER", make("c").der());
        put("d.der", make("d").der());
        put("e.cer", BASE64.encode(make("e").der()).as_bytes());
        put("f.pem", format!("\u{feff}subject=f\n\n{}", make("f").pem()).as_bytes());
        put("g.pem", &utf16(&make("g").pem(), true));
        put("h.pem", &utf16(&make("h").pem(), false));
        put("i.cer", format!("{}\r\n", BASE64.encode(make("i").der()).trim_end_matches('=')).as_bytes());
        for (name, bytes) in [
            ("j.pem", &b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"[..]),
            ("k.der", b"\x30\x03\x02\x01\x01"),
            ("l.cer", b"hello, world"),
            ("m.txt", b"a note"),
            ("n.key", b"secret"),
            ("o.pem", b""),
            ("p.pem", &[0xff, 0xfe, 0x41]),
        ] {
            put(name, bytes);
        }
        put("README.md", b"passed over");
        std::fs::create_dir(folder.path().join("groups")).unwrap();
        put("groups/leaf.pem", make("leaf").pem().as_bytes());
        let (read, problems) = all(folder.path());
        ids.retain(|id| id != "leaf");
        assert_eq!(read.individual.iter().map(|e| e.id.clone()).collect::<Vec<_>>(), ids);
        assert_eq!(problems.len(), 8, "{problems:?}");
        let problems = problems.join("\n");
        for name in ["j.pem", "k.der", "l.cer", "m.txt", "n.key", "o.pem", "p.pem", "leaf.pem"] {
            assert!(problems.contains(&format!("{name} is not taken: ")), "{name}: {problems}");
        }
        assert!(read.groups.is_empty());
    }

    #[test]
    fn a_bad_entry_costs_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let key = BASE64.encode([7; 32]);
        let file = format!(
            "\u{feff}{{\"individual\": [{{\"registrationId\": \"a\", \"primaryKey\": \"{key}\"}}, 5,
             {{\"registrationId\": \"b\", \"primaryKey\": \"!\"}}, {{\"registrationId\": \"c\"}},
             {{\"registrationId\": \"d\", \"primaryKey\": \"AAAA\"}},
             {{\"registrationId\": \"e\", \"endorsementKey\": \"AAAA\", \"payload\": [1]}}],
             \"groups\": [{{\"enrollmentGroupId\": \"g\", \"primaryKey\": \"{}\"}}], \"other\": []}}",
            key.trim_end_matches('=')
        );
        for bytes in [file.clone().into_bytes(), utf16(file.trim_start_matches('\u{feff}'), true)] {
            std::fs::write(folder.path().join("keys.json"), bytes).unwrap();
            let (read, problems) = all(folder.path());
            let ids: Vec<_> = read.individual.iter().chain(&read.groups).map(|e| e.id.as_str()).collect();
            assert_eq!(ids, ["a", "e", "g"]);
            assert_eq!(problems.len(), 5, "{problems:?}");
            assert!(
                problems
                    .iter()
                    .any(|p| p.contains("entry 3 of \"individual\" is not taken: primaryKey is not base64"))
            );
            assert!(problems.iter().any(|p| p.contains("primaryKey has 3 bytes")));
        }
    }
}
