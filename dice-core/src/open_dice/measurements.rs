//! What certificates say about a layer, and reading it from the X.509 extension.

use super::Mode;
use crate::Result;
use crate::asn1::DerReader;
use crate::hash::{Hash, Sha256, Sha384, Sha512};
use der::{ErrorKind, Tag};

/// What a certificate says about the layer it was issued to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measurements<'a> {
    /// Measurement of the code.
    pub code_hash: &'a [u8],
    /// More about the code.
    pub code_descriptor: Option<&'a [u8]>,
    /// The digest of the configuration descriptor, where that is what was measured.
    pub configuration_hash: Option<&'a [u8]>,
    /// The configuration data; the measured value itself if there is no configuration hash.
    pub configuration_descriptor: &'a [u8],
    /// Measurement of the authority.
    pub authority_hash: &'a [u8],
    /// More about the authority.
    pub authority_descriptor: Option<&'a [u8]>,
    /// Operating mode.
    pub mode: Mode,
}

impl Measurements<'_> {
    /// Whether the configuration hash, if there is one, is the digest of the configuration descriptor.
    pub(super) fn is_consistent(&self) -> bool {
        let descriptor = self.configuration_descriptor;
        match self.configuration_hash {
            None => true,
            Some(hash) => match hash.len() {
                Sha256::OUTPUT_LEN => hash == Sha256::digest(descriptor),
                Sha384::OUTPUT_LEN => hash == Sha384::digest(descriptor),
                Sha512::OUTPUT_LEN => hash == Sha512::digest(descriptor),
                _ => false,
            },
        }
    }
}

/// The content of the profile's X.509 extension, [`DICE_ATTESTATION_DATA`](super::DICE_ATTESTATION_DATA).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttestationData<'a> {
    /// What the certificate says about the layer it was issued to.
    pub measurements: Measurements<'a>,
    /// Name of the profile that defines the certificate's contents further.
    pub profile_name: Option<&'a str>,
}

impl<'a> AttestationData<'a> {
    /// Reads the extension's value, an `OpenDiceInput`.
    ///
    /// Code hash, configuration descriptor, authority hash and mode are required, and the configuration hash has to be
    /// the digest of the configuration descriptor (SHA-256, SHA-384 or SHA-512, told by its length). The mode may be an
    /// `ENUMERATED`, as implementations write it, or the `INTEGER` of the profile's text.
    ///
    /// # Errors
    /// [`Error::Der`](crate::Error::Der) with the position of what is wrong.
    pub fn from_der(der: &'a [u8]) -> Result<Self> {
        let mut outer = DerReader::new(der);
        let mut fields = outer.sequence()?;
        outer.finish()?;
        let start = fields;
        let missing = || start.error(ErrorKind::Value { tag: Tag::Sequence });
        let code_hash = octets(&mut fields, 0)?.ok_or_else(missing)?;
        let code_descriptor = octets(&mut fields, 1)?;
        let configuration_hash = octets(&mut fields, 2)?;
        let configuration_descriptor = octets(&mut fields, 3)?.ok_or_else(missing)?;
        let authority_hash = octets(&mut fields, 4)?.ok_or_else(missing)?;
        let authority_descriptor = octets(&mut fields, 5)?;
        let mode = fields.constructed(6)?.ok_or_else(missing).and_then(read_mode)?;
        let profile_name = match fields.constructed(7)? {
            None => None,
            Some(mut field) => {
                let name = field.tlv(Tag::Utf8String)?.utf8_content()?;
                field.finish()?;
                Some(name)
            }
        };
        fields.finish()?;
        let measurements = Measurements {
            code_hash,
            code_descriptor,
            configuration_hash,
            configuration_descriptor,
            authority_hash,
            authority_descriptor,
            mode,
        };
        if !measurements.is_consistent() {
            return Err(missing());
        }
        Ok(Self { measurements, profile_name })
    }
}

/// An explicitly tagged octet string, if it is there.
fn octets<'a>(fields: &mut DerReader<'a>, number: u32) -> Result<Option<&'a [u8]>> {
    let Some(mut field) = fields.constructed(number)? else { return Ok(None) };
    let bytes = field.octet_string()?.rest();
    field.finish()?;
    Ok(Some(bytes))
}

fn read_mode(mut field: DerReader<'_>) -> Result<Mode> {
    let start = field;
    let (tag, content) = field.any()?;
    field.finish()?;
    match (tag, content.integer_content()?) {
        (Tag::Enumerated | Tag::Integer, [mode]) => Ok(Mode::from_byte(*mode)),
        _ => Err(start.error(ErrorKind::Value { tag })),
    }
}
