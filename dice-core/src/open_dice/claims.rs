//! The claims of a CBOR certificate (CWT, RFC 8392): labels, writing, reading.

use super::cbor::{CborProblem, Reader, Writer};
use super::{Config, HASH_LEN, InputValues, KeyId, Measurements, Mode, PublicKey};
use crate::Result;

// Labels (RFC 8392 §4; Open Profile for DICE, "CBOR CDI Certificates").
const ISS: i64 = 1;
const SUB: i64 = 2;
const EXP: i64 = 4;
const NBF: i64 = 5;
const CODE_HASH: i64 = -4_670_545;
const CODE_DESCRIPTOR: i64 = -4_670_546;
const CONFIGURATION_HASH: i64 = -4_670_547;
const CONFIGURATION_DESCRIPTOR: i64 = -4_670_548;
const AUTHORITY_HASH: i64 = -4_670_549;
const AUTHORITY_DESCRIPTOR: i64 = -4_670_550;
const MODE: i64 = -4_670_551;
const SUBJECT_PUBLIC_KEY: i64 = -4_670_552;
const KEY_USAGE: i64 = -4_670_553;
const PROFILE_NAME: i64 = -4_670_554;

/// keyCertSign, bit 5 in little-endian order.
const KEY_CERT_SIGN: u8 = 1 << 5;

/// The most claims a certificate may have.
pub const MAX_CLAIMS: usize = 32;

/// The claims of a layer's certificate, to be written.
pub(super) struct Issued<'a> {
    issuer: KeyId,
    subject: KeyId,
    subject_public_key: &'a PublicKey,
    inputs: &'a InputValues<'a>,
    configuration_hash: Option<[u8; HASH_LEN]>,
    profile_name: Option<&'a str>,
}

impl<'a> Issued<'a> {
    pub(super) fn new(
        issuer: KeyId,
        subject_public_key: &'a PublicKey,
        inputs: &'a InputValues<'a>,
        profile_name: Option<&'a str>,
    ) -> Result<Self> {
        let configuration_hash = match inputs.config {
            Config::Inline(_) => None,
            Config::Descriptor(_) => Some(inputs.config.input()),
        };
        let subject = subject_public_key.id()?;
        Ok(Self { issuer, subject, subject_public_key, inputs, configuration_hash, profile_name })
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        let Self { inputs, profile_name, .. } = *self;
        let InputValues { code_descriptor, authority_descriptor, .. } = inputs;
        let mut optional =
            usize::from(!code_descriptor.is_empty()) + usize::from(!authority_descriptor.is_empty());
        optional += usize::from(self.configuration_hash.is_some()) + usize::from(profile_name.is_some());
        writer.map(8 + optional);

        writer.integer(ISS);
        self.issuer.write_cbor(writer);
        writer.integer(SUB);
        self.subject.write_cbor(writer);
        let bytes = |writer: &mut Writer<'_>, label, bytes: &[u8]| {
            writer.integer(label);
            writer.bytes(bytes);
        };
        bytes(writer, CODE_HASH, inputs.code_hash);
        if !code_descriptor.is_empty() {
            bytes(writer, CODE_DESCRIPTOR, code_descriptor);
        }
        match inputs.config {
            Config::Inline(value) => bytes(writer, CONFIGURATION_DESCRIPTOR, value),
            Config::Descriptor(descriptor) => bytes(writer, CONFIGURATION_DESCRIPTOR, descriptor),
        }
        if let Some(hash) = &self.configuration_hash {
            bytes(writer, CONFIGURATION_HASH, hash);
        }
        bytes(writer, AUTHORITY_HASH, inputs.authority_hash);
        if !authority_descriptor.is_empty() {
            bytes(writer, AUTHORITY_DESCRIPTOR, authority_descriptor);
        }
        bytes(writer, MODE, &[inputs.mode as u8]);
        writer.integer(SUBJECT_PUBLIC_KEY);
        writer.bytes_of(|writer| self.subject_public_key.write_cose(writer));
        bytes(writer, KEY_USAGE, &[KEY_CERT_SIGN]);
        if let Some(name) = profile_name {
            writer.integer(PROFILE_NAME);
            writer.text(name);
        }
    }
}

/// The claims of a CBOR certificate, borrowed from it.
///
/// A UDS certificate has only issuer, subject, key and key usage; the certificate of a layer has the measurements too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claims<'a> {
    /// Who issued the certificate: the issuer's identifier in hexadecimal.
    pub issuer: &'a str,
    /// Whose certificate it is: the subject's identifier in hexadecimal.
    pub subject: &'a str,
    /// The subject's key.
    pub subject_public_key: PublicKey,
    /// The measurements of the layer; none in a UDS certificate.
    pub measurements: Option<Measurements<'a>>,
    /// Name of the profile that defines the certificate's contents further, such as `android.18`.
    pub profile_name: Option<&'a str>,
}

impl<'a> Claims<'a> {
    /// Reads the claims of a certificate.
    ///
    /// Every label occurs once. Issuer, subject, key and key usage are required, and the key usage has to be exactly
    /// keyCertSign. The measurements come together or not at all, and the configuration hash has to be the digest of
    /// the configuration descriptor (SHA-256, SHA-384 or SHA-512, told by its length). Limits in time (`exp`, `nbf`)
    /// are refused, as there is no clock here to hold them against. Labels that the profile does not define are read
    /// over.
    ///
    /// # Errors
    /// [`Error::Cbor`](crate::Error::Cbor) with the position of what is wrong, and the errors of
    /// [`PublicKey::read_cose`].
    pub fn read(reader: &mut Reader<'a>) -> Result<Self> {
        let start = reader.clone();
        let found = Found::read(reader)?;
        let missing = |label| start.problem(CborProblem::MissingLabel { label });
        found.key_usage.ok_or(missing(KEY_USAGE))?;
        let measurements = if found.has_measurements() {
            Some(Measurements {
                code_hash: found.code_hash.ok_or(missing(CODE_HASH))?,
                code_descriptor: found.code_descriptor,
                configuration_hash: found.configuration_hash,
                configuration_descriptor: found
                    .configuration_descriptor
                    .ok_or(missing(CONFIGURATION_DESCRIPTOR))?,
                authority_hash: found.authority_hash.ok_or(missing(AUTHORITY_HASH))?,
                authority_descriptor: found.authority_descriptor,
                mode: found.mode.ok_or(missing(MODE))?,
            })
        } else {
            None
        };
        if measurements.is_some_and(|measurements| !measurements.is_consistent()) {
            return Err(start.problem(CborProblem::Value));
        }
        Ok(Self {
            issuer: found.issuer.ok_or(missing(ISS))?,
            subject: found.subject.ok_or(missing(SUB))?,
            subject_public_key: found.subject_public_key.ok_or(missing(SUBJECT_PUBLIC_KEY))?,
            measurements,
            profile_name: found.profile_name,
        })
    }
}

/// Claims as they are found.
#[derive(Default)]
struct Found<'a> {
    issuer: Option<&'a str>,
    subject: Option<&'a str>,
    code_hash: Option<&'a [u8]>,
    code_descriptor: Option<&'a [u8]>,
    configuration_hash: Option<&'a [u8]>,
    configuration_descriptor: Option<&'a [u8]>,
    authority_hash: Option<&'a [u8]>,
    authority_descriptor: Option<&'a [u8]>,
    mode: Option<Mode>,
    subject_public_key: Option<PublicKey>,
    key_usage: Option<()>,
    profile_name: Option<&'a str>,
}

impl<'a> Found<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self> {
        let start = reader.clone();
        let mut found = Self::default();
        let mut labels = [0; MAX_CLAIMS];
        let count = reader.map()?;
        let too_many = start.problem(CborProblem::Count { found: count });
        let labels = labels.get_mut(..count).ok_or(too_many)?;
        for index in 0..count {
            let label_at = reader.clone();
            let label = reader.integer()?;
            let (seen, _) = labels.split_at_checked(index).unwrap_or_default();
            if seen.contains(&label) {
                return Err(label_at.problem(CborProblem::DuplicateLabel { label }));
            }
            if let Some(slot) = labels.get_mut(index) {
                *slot = label;
            }
            match label {
                ISS => found.issuer = Some(reader.text()?),
                SUB => found.subject = Some(reader.text()?),
                CODE_HASH => found.code_hash = Some(reader.bytes()?),
                CODE_DESCRIPTOR => found.code_descriptor = Some(reader.bytes()?),
                CONFIGURATION_HASH => found.configuration_hash = Some(reader.bytes()?),
                CONFIGURATION_DESCRIPTOR => found.configuration_descriptor = Some(reader.bytes()?),
                AUTHORITY_HASH => found.authority_hash = Some(reader.bytes()?),
                AUTHORITY_DESCRIPTOR => found.authority_descriptor = Some(reader.bytes()?),
                MODE => {
                    let [mode] = reader.bytes_array()?;
                    found.mode = Some(Mode::from_byte(*mode));
                }
                SUBJECT_PUBLIC_KEY => {
                    let mut key = reader.bytes_reader()?;
                    found.subject_public_key = Some(PublicKey::read_cose(&mut key)?);
                    key.finish()?;
                }
                KEY_USAGE => found.key_usage = Some(read_key_usage(reader)?),
                EXP | NBF => return Err(label_at.problem(CborProblem::Value)),
                PROFILE_NAME => found.profile_name = Some(reader.text()?),
                _ => {
                    reader.skip()?;
                }
            }
        }
        Ok(found)
    }

    const fn has_measurements(&self) -> bool {
        self.code_hash.is_some()
            || self.code_descriptor.is_some()
            || self.configuration_hash.is_some()
            || self.configuration_descriptor.is_some()
            || self.authority_hash.is_some()
            || self.authority_descriptor.is_some()
            || self.mode.is_some()
    }
}

/// Checks that the key usage is keyCertSign alone; zero bytes may follow.
fn read_key_usage(reader: &mut Reader<'_>) -> Result<()> {
    let start = reader.clone();
    match reader.bytes()? {
        [KEY_CERT_SIGN, rest @ ..] if rest.iter().all(|byte| *byte == 0) => Ok(()),
        _ => Err(start.problem(CborProblem::Value)),
    }
}

impl KeyId {
    fn write_cbor(&self, writer: &mut Writer<'_>) {
        // Hexadecimal digits are ASCII.
        writer.text(core::str::from_utf8(&self.to_hex()).unwrap_or_default());
    }
}
