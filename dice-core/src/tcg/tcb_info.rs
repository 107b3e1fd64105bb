//! DiceTcbInfo and DiceMultiTcbInfo: what was measured, and of whom.

use super::list::{Item, List};
use crate::Result;
use crate::asn1::{BitString, DerReader, DerWriter};
use crate::hash::HashAlgorithm;
use der::asn1::ObjectIdentifier;
use der::{ErrorKind, Tag, TagNumber};

/// A measurement: a digest and how it was made. What is read has the length its hash function gives, if that is
/// SHA-256, SHA-384 or SHA-512, and is not empty otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fwid<'a> {
    /// The hash function.
    pub algorithm: ObjectIdentifier,
    /// The digest.
    pub digest: &'a [u8],
}

impl<'a> Item<'a> for Fwid<'a> {
    fn write_item(&self, writer: &mut DerWriter<'_>) {
        writer.sequence(|writer| {
            writer.oid(&self.algorithm);
            writer.octet_string(self.digest);
        });
    }

    fn read_item(reader: &mut DerReader<'a>) -> Result<Self> {
        let mut sequence = reader.sequence()?;
        let algorithm = sequence.oid()?;
        let digest = sequence.octet_string()?;
        sequence.finish()?;
        let len = digest.rest().len();
        if HashAlgorithm::from_oid(&algorithm).map_or(len == 0, |known| known.output_len() != len) {
            return Err(digest.error(ErrorKind::Length { tag: Tag::OctetString }));
        }
        Ok(Self { algorithm, digest: digest.rest() })
    }
}

/// `OperationalFlags`: the state a layer was in. Bit 0 of the ASN.1 type is the highest bit here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct OperationalFlags(pub u32);

impl OperationalFlags {
    /// The component is not fully configured.
    pub const NOT_CONFIGURED: Self = Self(1 << 31);
    /// The component is in a state that is not secure.
    pub const NOT_SECURE: Self = Self(1 << 30);
    /// The component is in recovery.
    pub const RECOVERY: Self = Self(1 << 29);
    /// The component can be debugged.
    pub const DEBUG: Self = Self(1 << 28);
    /// The component has no protection against replay.
    pub const NOT_REPLAY_PROTECTED: Self = Self(1 << 27);
    /// The component has no integrity protection.
    pub const NOT_INTEGRITY_PROTECTED: Self = Self(1 << 26);
    /// The component is not measured at run time.
    pub const NOT_RUNTIME_MEASURED: Self = Self(1 << 25);
    /// The component is mutable.
    pub const NOT_IMMUTABLE: Self = Self(1 << 24);
    /// The component is not part of the trusted computing base.
    pub const NOT_TCB: Self = Self(1 << 23);
    /// Keeps the encoding at 32 bits.
    pub const FIXED_WIDTH: Self = Self(1);

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Takes exactly two forms: trimmed as DER wants it, and all 32 bits, as some encoders write them.
    fn parse(content: DerReader<'_>) -> Result<Self> {
        let BitString { unused, bytes } = content.bit_string_content()?;
        let trimmed = bytes.last().is_none_or(|last| last.trailing_zeros() == u32::from(unused));
        if !trimmed && (bytes.len(), unused) != (size_of::<u32>(), 0) {
            return Err(content.error(ErrorKind::Noncanonical { tag: Tag::BitString }));
        }
        if bytes.len() > size_of::<u32>() {
            return Err(content.error(ErrorKind::Overlength));
        }
        Ok(Self(
            bytes.iter().zip([24, 16, 8, 0]).fold(0, |bits, (byte, shift)| bits | u32::from(*byte) << shift),
        ))
    }
}

/// One integrity register: digests under a name, a number, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntegrityRegister<'a> {
    /// Name, ASCII.
    pub name: Option<&'a str>,
    /// Number.
    pub number: Option<u64>,
    /// The register's value in one or more hash functions.
    pub digests: List<'a, Fwid<'a>>,
}

impl<'a> Item<'a> for IntegrityRegister<'a> {
    fn write_item(&self, writer: &mut DerWriter<'_>) {
        writer.sequence(|writer| {
            if let Some(name) = self.name {
                writer.implicit(0, name.as_bytes());
            }
            write_integer(writer, 1, self.number);
            writer.explicit(2, |writer| self.digests.write(writer));
        });
    }

    fn read_item(reader: &mut DerReader<'a>) -> Result<Self> {
        let mut sequence = reader.sequence()?;
        let name = sequence.primitive(0)?.map(ia5_content).transpose()?;
        let number = sequence.primitive(1)?.map(DerReader::unsigned_content).transpose()?;
        let digests = sequence.tlv(Tag::ContextSpecific { constructed: true, number: TagNumber(2) })?;
        sequence.finish()?;
        Ok(Self { name, number, digests: List::parse_some(digests)? })
    }
}

/// Content of the TcbInfo extension: evidence about one layer. Every field may be absent.
///
/// ```
/// use dice_core::hash::{Hash, Sha256};
/// use dice_core::tcg::{Fwid, List, OperationalFlags, TcbInfo};
///
/// let digest = Sha256::digest(b"firmware");
/// let fwids = [Fwid { algorithm: Sha256::OID, digest: &digest }];
/// let info = TcbInfo {
///     vendor: Some("ACME"),
///     svn: Some(3),
///     fwids: Some(List::of(&fwids)),
///     flags: Some(OperationalFlags::DEBUG),
///     ..TcbInfo::default()
/// };
/// let mut buffer = [0; 80];
/// let mut writer = dice_core::asn1::DerWriter::new(&mut buffer);
/// info.write_der(&mut writer);
/// assert_eq!(TcbInfo::parse(writer.finish()?)?, info);
/// # Ok::<(), dice_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcbInfo<'a> {
    /// Maker of the component.
    pub vendor: Option<&'a str>,
    /// Product name of the component.
    pub model: Option<&'a str>,
    /// Revision of the component.
    pub version: Option<&'a str>,
    /// Security version number: rises when a flaw is repaired.
    pub svn: Option<u64>,
    /// The DICE layer.
    pub layer: Option<u64>,
    /// Tells components of the same layer apart.
    pub index: Option<u64>,
    /// Digests of the component. An empty list is not encoded.
    pub fwids: Option<List<'a, Fwid<'a>>>,
    /// State of the component.
    pub flags: Option<OperationalFlags>,
    /// Anything the vendor wants to say.
    pub vendor_info: Option<&'a [u8]>,
    /// Type of the component, machine-readable.
    pub tcb_type: Option<&'a [u8]>,
    /// Which of the flags mean anything; without it, the set ones.
    pub flags_mask: Option<OperationalFlags>,
    /// Registers of the component. An empty list is not encoded.
    pub integrity_registers: Option<List<'a, IntegrityRegister<'a>>>,
}

impl<'a> TcbInfo<'a> {
    /// Whether it states a digest: an FWID or an integrity register. Without, it says nothing about what runs.
    #[must_use]
    pub fn is_measured(&self) -> bool {
        let registers = self.integrity_registers.is_some_and(|registers| !registers.is_empty());
        registers || self.fwids.is_some_and(|fwids| !fwids.is_empty())
    }

    /// Writes the content of the extension.
    ///
    /// Flags are written as DER wants named bits (X.690 §11.2.2), trailing zero bits left out.
    pub fn write_der(&self, writer: &mut DerWriter<'_>) {
        writer.sequence(|writer| {
            for (number, text) in (0..).zip([self.vendor, self.model, self.version]) {
                if let Some(text) = text {
                    writer.implicit(number, text.as_bytes());
                }
            }
            for (number, value) in (3..).zip([self.svn, self.layer, self.index]) {
                write_integer(writer, number, value);
            }
            if let Some(fwids) = self.fwids.filter(|fwids| !fwids.is_empty()) {
                writer.explicit(6, |writer| fwids.write(writer));
            }
            write_flags(writer, 7, self.flags);
            for (number, bytes) in (8..).zip([self.vendor_info, self.tcb_type]) {
                if let Some(bytes) = bytes {
                    writer.implicit(number, bytes);
                }
            }
            write_flags(writer, 10, self.flags_mask);
            if let Some(registers) = self.integrity_registers.filter(|registers| !registers.is_empty()) {
                writer.explicit(11, |writer| registers.write(writer));
            }
        });
    }

    /// Reads the content of the extension. Flags may be written trimmed or with all 32 bits.
    ///
    /// # Errors
    /// [`Error::Der`](crate::Error::Der) with the position of what does not fit. Numbers above 2<sup>64</sup> - 1,
    /// flags beyond 32 bits, lists without members, and digests of a wrong length are refused.
    pub fn parse(der: &'a [u8]) -> Result<Self> {
        let mut reader = DerReader::new(der);
        let info = Self::read_item(&mut reader)?;
        reader.finish()?;
        Ok(info)
    }
}

impl<'a> Item<'a> for TcbInfo<'a> {
    fn write_item(&self, writer: &mut DerWriter<'_>) {
        self.write_der(writer);
    }

    fn read_item(reader: &mut DerReader<'a>) -> Result<Self> {
        let mut fields = reader.sequence()?;
        let info = Self {
            vendor: fields.primitive(0)?.map(DerReader::utf8_content).transpose()?,
            model: fields.primitive(1)?.map(DerReader::utf8_content).transpose()?,
            version: fields.primitive(2)?.map(DerReader::utf8_content).transpose()?,
            svn: fields.primitive(3)?.map(DerReader::unsigned_content).transpose()?,
            layer: fields.primitive(4)?.map(DerReader::unsigned_content).transpose()?,
            index: fields.primitive(5)?.map(DerReader::unsigned_content).transpose()?,
            fwids: fields.constructed(6)?.map(List::parse_some).transpose()?,
            flags: fields.primitive(7)?.map(OperationalFlags::parse).transpose()?,
            vendor_info: fields.primitive(8)?.map(|content| content.rest()),
            tcb_type: fields.primitive(9)?.map(|content| content.rest()),
            flags_mask: fields.primitive(10)?.map(OperationalFlags::parse).transpose()?,
            integrity_registers: fields.constructed(11)?.map(List::parse_some).transpose()?,
        };
        fields.finish()?;
        Ok(info)
    }
}

/// Content of the MultiTcbInfo extension: evidence about several layers or components in one certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MultiTcbInfo<'a>(pub List<'a, TcbInfo<'a>>);

impl<'a> MultiTcbInfo<'a> {
    /// Writes the content of the extension.
    pub fn write_der(&self, writer: &mut DerWriter<'_>) {
        writer.sequence(|writer| self.0.write(writer));
    }

    /// Reads the content of the extension.
    ///
    /// # Errors
    /// As for [`TcbInfo::parse`]; there has to be at least one component.
    pub fn parse(der: &'a [u8]) -> Result<Self> {
        let mut reader = DerReader::new(der);
        let content = reader.sequence()?;
        reader.finish()?;
        List::parse_some(content).map(Self)
    }
}

const fn context(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: false, number: TagNumber(number) }
}

fn write_integer(writer: &mut DerWriter<'_>, number: u32, value: Option<u64>) {
    if let Some(value) = value {
        writer.unsigned_integer_as(context(number), &value.to_be_bytes());
    }
}

fn write_flags(writer: &mut DerWriter<'_>, number: u32, flags: Option<OperationalFlags>) {
    if let Some(flags) = flags {
        writer.named_bits(context(number), flags.0);
    }
}

fn ia5_content(content: DerReader<'_>) -> Result<&str> {
    let text = content.utf8_content()?;
    if text.is_ascii() { Ok(text) } else { Err(content.error(ErrorKind::Value { tag: Tag::Ia5String })) }
}
