//! The extensions a verifier has to understand.

use super::Reason;
use crate::asn1::{DerReader, oid};
use crate::open_dice::{AttestationData, DICE_ATTESTATION_DATA};
use crate::tcg::{self, MultiTcbInfo, TcbFreshness, TcbInfo, Ueid};
use der::asn1::ObjectIdentifier;
use der::{ErrorKind, Tag, TagNumber};

/// The most extensions read. Each is compared with all before it, so that their number has to be bounded.
const MAX_EXTENSIONS: usize = 32;

// Extensions that bound what a CA may issue. They are not understood, and to pass over them is not safe.
const NAME_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.30");
const POLICY_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.36");
const INHIBIT_ANY_POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.54");

/// Bits of a keyUsage; bit 0 of the ASN.1 type is the highest bit.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyUsage(u16);

impl KeyUsage {
    pub(super) const fn can_sign(self) -> bool {
        self.0 & (1 << 15) != 0
    }

    pub(super) const fn can_sign_certificates(self) -> bool {
        self.0 & (1 << (15 - 5)) != 0
    }

    fn parse(mut content: DerReader<'_>) -> crate::Result<Self> {
        let start = content;
        let bits = content.bit_string()?;
        content.finish()?;
        // A list of named bits ends with a set bit (X.690 §11.2.2); RFC 5280 wants at least one.
        let trimmed = bits.bytes.last().is_some_and(|last| last.trailing_zeros() == u32::from(bits.unused));
        match (trimmed, bits.bytes) {
            (true, [first]) => Ok(Self(u16::from_be_bytes([*first, 0]))),
            (true, [first, second]) => Ok(Self(u16::from_be_bytes([*first, *second]))),
            _ => Err(start.error(ErrorKind::Noncanonical { tag: Tag::BitString })),
        }
    }
}

/// What a CA may do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ca {
    /// How many CA certificates may follow below, self-issued ones not counted.
    pub(super) path_len: Option<u64>,
}

/// What authorityKeyIdentifier says about the issuer (RFC 5280 §4.2.1.1). Every part may be missing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AuthorityKeyIdentifier<'a> {
    /// The identifier of the issuer's key.
    pub(super) key: Option<&'a [u8]>,
    /// Names of who issued the issuer's certificate, and its serial number: always both.
    pub(super) certificate: Option<(DerReader<'a>, &'a [u8])>,
}

impl<'a> AuthorityKeyIdentifier<'a> {
    fn parse(mut value: DerReader<'a>) -> crate::Result<Self> {
        let mut fields = value.sequence()?;
        value.finish()?;
        let key = fields.primitive(0)?.map(|content| not_empty(content, Tag::OctetString)).transpose()?;
        let start = fields;
        let names = fields.constructed(1)?;
        names.map(check_general_names).transpose()?;
        let serial = fields.primitive(2)?.map(DerReader::integer_content).transpose()?;
        fields.finish()?;
        if names.is_some() != serial.is_some() {
            return Err(start.error(ErrorKind::Value { tag: Tag::Sequence }));
        }
        Ok(Self { key: key.map(|key| key.rest()), certificate: names.zip(serial) })
    }

    /// Whether the certificate named, if one is, was issued under this name with this serial number. Only directory
    /// names can be compared, and all of them have to agree.
    pub(super) fn names_certificate(&self, issuer_of_issuer: &[u8], serial: &[u8]) -> bool {
        let Some((mut names, stated)) = self.certificate else {
            return true;
        };
        let directory_name = Tag::ContextSpecific { constructed: true, number: TagNumber(4) };
        let mut compared = false;
        while let Ok((tag, name)) = names.any() {
            if tag == directory_name {
                if name.rest() != issuer_of_issuer {
                    return false;
                }
                compared = true;
            }
        }
        compared && stated == serial
    }
}

fn not_empty(content: DerReader<'_>, tag: Tag) -> crate::Result<DerReader<'_>> {
    if content.is_empty() { Err(content.error(ErrorKind::Length { tag })) } else { Ok(content) }
}

/// The extensions of one certificate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extensions<'a> {
    /// For CAs.
    pub(super) ca: Option<Ca>,
    pub(super) key_usage: Option<KeyUsage>,
    pub(super) subject_key_identifier: Option<&'a [u8]>,
    pub(super) authority_key_identifier: AuthorityKeyIdentifier<'a>,
    pub(super) critical_alternative_name: bool,
    ext_key_usage: Option<DerReader<'a>>,
    pub(super) tcb_info: Option<TcbInfo<'a>>,
    pub(super) multi_tcb_info: Option<MultiTcbInfo<'a>>,
    pub(super) ueid: Option<Ueid<'a>>,
    pub(super) freshness: Option<TcbFreshness<'a>>,
    pub(super) attestation_data: Option<AttestationData<'a>>,
}

impl<'a> Extensions<'a> {
    pub(super) fn parse(list: DerReader<'a>) -> Result<Self, Reason> {
        if list.is_empty() {
            return Err(list.error(ErrorKind::Length { tag: Tag::Sequence }).into());
        }
        let mut extensions = Self::default();
        let mut reader = list;
        let mut count = 0;
        while !reader.is_empty() {
            if count == MAX_EXTENSIONS {
                return Err(Reason::TooManyExtensions { limit: MAX_EXTENSIONS });
            }
            let (id, critical, value) = read_extension(&mut reader)?;
            let mut earlier = list;
            for _ in 0..count {
                if read_extension(&mut earlier)?.0 == id {
                    return Err(Reason::DuplicateExtension(id));
                }
            }
            extensions.read_value(id, critical, value)?;
            count += 1;
        }
        Ok(extensions)
    }

    fn read_value(
        &mut self,
        id: ObjectIdentifier,
        critical: bool,
        mut value: DerReader<'a>,
    ) -> Result<(), Reason> {
        let must_not_be_critical = || if critical { Err(Reason::Criticality(id)) } else { Ok(()) };
        match id {
            oid::BASIC_CONSTRAINTS => {
                let (ca, path_len) = read_basic_constraints(value)?;
                if ca && !critical {
                    return Err(Reason::Criticality(id));
                }
                if !ca && path_len.is_some() {
                    return Err(Reason::CaFieldsWithoutCa);
                }
                self.ca = ca.then_some(Ca { path_len });
            }
            oid::KEY_USAGE => self.key_usage = Some(KeyUsage::parse(value)?),
            oid::EXT_KEY_USAGE => {
                let purposes = value.sequence()?;
                value.finish()?;
                let mut reader = purposes;
                reader.oid()?;
                while !reader.is_empty() {
                    reader.oid()?;
                }
                self.ext_key_usage = Some(purposes);
            }
            oid::SUBJECT_KEY_IDENTIFIER => {
                must_not_be_critical()?;
                let identifier = value.octet_string()?;
                value.finish()?;
                self.subject_key_identifier = Some(not_empty(identifier, Tag::OctetString)?.rest());
            }
            oid::AUTHORITY_KEY_IDENTIFIER => {
                must_not_be_critical()?;
                self.authority_key_identifier = AuthorityKeyIdentifier::parse(value)?;
            }
            oid::SUBJECT_ALT_NAME => {
                let names = value.sequence()?;
                value.finish()?;
                check_general_names(names)?;
                self.critical_alternative_name = critical;
            }
            tcg::oid::TCB_INFO => self.tcb_info = Some(TcbInfo::parse(value.rest())?),
            tcg::oid::MULTI_TCB_INFO => self.multi_tcb_info = Some(MultiTcbInfo::parse(value.rest())?),
            tcg::oid::UEID => self.ueid = Some(Ueid::parse(value.rest())?),
            tcg::oid::TCB_FRESHNESS => self.freshness = Some(TcbFreshness::parse(value.rest())?),
            DICE_ATTESTATION_DATA => self.attestation_data = Some(AttestationData::from_der(value.rest())?),
            NAME_CONSTRAINTS | POLICY_CONSTRAINTS | INHIBIT_ANY_POLICY => {
                return Err(Reason::UnknownCriticalExtension(id));
            }
            _ if critical => return Err(Reason::UnknownCriticalExtension(id)),
            _ => {}
        }
        Ok(())
    }

    pub(super) fn purposes(&self) -> impl Iterator<Item = ObjectIdentifier> + use<'a> {
        let mut reader = self.ext_key_usage;
        core::iter::from_fn(move || reader.as_mut()?.oid().ok())
    }
}

/// `Extension ::= SEQUENCE { extnID, critical DEFAULT FALSE, extnValue OCTET STRING }`.
fn read_extension<'a>(reader: &mut DerReader<'a>) -> Result<(ObjectIdentifier, bool, DerReader<'a>), Reason> {
    let mut extension = reader.sequence()?;
    let id = extension.oid()?;
    let flag = extension;
    let critical = extension.peek_tag() == Some(Tag::Boolean);
    if critical && !extension.boolean()? {
        // DER leaves defaults out.
        return Err(flag.error(ErrorKind::Noncanonical { tag: Tag::Boolean }).into());
    }
    let value = extension.octet_string()?;
    extension.finish()?;
    Ok((id, critical, value))
}

fn read_basic_constraints(mut value: DerReader<'_>) -> crate::Result<(bool, Option<u64>)> {
    let mut fields = value.sequence()?;
    value.finish()?;
    let flag = fields;
    let ca = fields.peek_tag() == Some(Tag::Boolean);
    if ca && !fields.boolean()? {
        return Err(flag.error(ErrorKind::Noncanonical { tag: Tag::Boolean }));
    }
    let path_len = if fields.is_empty() { None } else { Some(fields.unsigned()?) };
    fields.finish()?;
    Ok((ca, path_len))
}

/// The content of `GeneralNames`: at least one, each with one of the nine tags.
fn check_general_names(mut names: DerReader<'_>) -> crate::Result<()> {
    loop {
        let start = names;
        match names.any()? {
            (Tag::ContextSpecific { number, .. }, _) if number.0 <= 8 => {}
            (tag, _) => return Err(start.error(ErrorKind::TagUnexpected { expected: None, actual: tag })),
        }
        if names.is_empty() {
            return Ok(());
        }
    }
}
