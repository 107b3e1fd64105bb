//! Reading a certificate (RFC 5280 §4.1), as far as it matters for judging a chain.

use super::key::{PublicKey, SignatureAlgorithm};
use super::names::Constraints;
use crate::Error;
use der::asn1::{AnyRef, BitStringRef};
use der::{DateTime, Decode, Reader, SliceReader, Tag, TagNumber, Tagged};

/// Identifiers under 2.5.29, which all extensions that count here have: `id-ce` and a byte.
const ID_CE: &[u8] = &[0x55, 0x1d];
const KEY_USAGE: u8 = 15;
const ALTERNATIVE_NAME: u8 = 17;
const BASIC_CONSTRAINTS: u8 = 19;
const NAME_CONSTRAINTS: u8 = 30;
const EXTENDED_KEY_USAGE: u8 = 37;
/// 1.3.6.1.5.5.7.3.1
const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];

/// Bits of `KeyUsage`, counted from the first.
const DIGITAL_SIGNATURE: usize = 0;
const KEY_CERT_SIGN: usize = 5;

/// The most extensions of a certificate. They are compared with each other.
const MAX_EXTENSIONS: usize = 32;
/// The longest serial number, in bytes (RFC 5280 §4.1.2.2).
const MAX_SERIAL: usize = 20;
/// 2050-01-01: from then on dates are written in the long form, and only from then on (RFC 5280 §4.1.2.5).
const YEAR_2050: u64 = 2_524_608_000;

/// A certificate, read.
#[derive(Debug, Clone)]
pub(super) struct Certificate<'a> {
    /// What is signed.
    pub(super) signed: &'a [u8],
    /// How; `None` if that is none that counts.
    pub(super) algorithm: Option<SignatureAlgorithm<'a>>,
    pub(super) signature: &'a [u8],
    pub(super) issuer: &'a [u8],
    pub(super) subject: &'a [u8],
    not_before: u64,
    not_after: u64,
    /// `None` if the key is none that counts.
    pub(super) key: Option<PublicKey<'a>>,
    pub(super) is_ca: bool,
    pub(super) path_len: Option<u8>,
    /// `GeneralNames`, without their header.
    pub(super) names: Option<&'a [u8]>,
    pub(super) constraints: Option<Constraints<'a>>,
    key_usage: Option<BitStringRef<'a>>,
    for_servers: Option<bool>,
}

impl<'a> Certificate<'a> {
    /// Reads a certificate, all of `der`.
    pub(super) fn parse(der: &'a [u8]) -> Result<Self, Error> {
        Self::read(der).map_err(|_| Error::BadCertificate)
    }

    fn read(der: &'a [u8]) -> Result<Self, der::Error> {
        let mut outer = inside(AnyRef::from_der(der)?, Tag::Sequence)?;
        let signed = outer.tlv_bytes()?;
        let algorithm = outer.tlv_bytes()?;
        let signature: BitStringRef<'a> = outer.decode()?;
        end(&outer)?;

        let mut tbs = inside(AnyRef::from_der(signed)?, Tag::Sequence)?;
        // Version 3 or nothing: older ones have no extensions, so they cannot name a host or be a CA.
        if optional(&mut tbs, 0, true)?.is_none_or(|version| version.value() != [2, 1, 2]) {
            return Err(malformed());
        }
        check_serial(tbs.decode()?)?;
        if tbs.tlv_bytes()? != algorithm {
            return Err(malformed());
        }
        let issuer = name(&mut tbs)?;
        let mut validity = inside(tbs.decode()?, Tag::Sequence)?;
        let (not_before, not_after) = (time(&mut validity)?, time(&mut validity)?);
        end(&validity)?;
        let subject = name(&mut tbs)?;
        let key = PublicKey::read(inside(tbs.decode()?, Tag::Sequence)?)?;
        optional(&mut tbs, 1, false)?; // unique identifiers
        optional(&mut tbs, 2, false)?;
        let extensions = optional(&mut tbs, 3, true)?;
        end(&tbs)?;

        let mut certificate = Self {
            signed,
            algorithm: SignatureAlgorithm::read(algorithm)?,
            signature: signature.as_bytes().ok_or_else(malformed)?,
            issuer,
            subject,
            not_before,
            not_after,
            key,
            is_ca: false,
            path_len: None,
            names: None,
            constraints: None,
            key_usage: None,
            for_servers: None,
        };
        if let Some(extensions) = extensions {
            let mut list = inside(AnyRef::from_der(extensions.value())?, Tag::Sequence)?;
            let mut seen = heapless::Vec::<&[u8], MAX_EXTENSIONS>::new();
            while !list.is_finished() {
                let extension = Extension::read(inside(list.decode()?, Tag::Sequence)?)?;
                // One of a kind: of two, each reader might obey another.
                if seen.contains(&extension.id) || seen.push(extension.id).is_err() {
                    return Err(malformed());
                }
                certificate.take(&extension)?;
            }
        }
        Ok(certificate)
    }

    fn take(&mut self, extension: &Extension<'a>) -> Result<(), der::Error> {
        let value = AnyRef::from_der(extension.value);
        match extension.id.strip_prefix(ID_CE) {
            Some([BASIC_CONSTRAINTS]) => {
                let mut constraints = inside(value?, Tag::Sequence)?;
                if constraints.peek_byte() == Some(1) {
                    self.is_ca = constraints.decode()?;
                }
                if !constraints.is_finished() {
                    self.path_len = Some(constraints.decode::<u8>()?);
                }
                end(&constraints)
            }
            Some([KEY_USAGE]) => {
                self.key_usage = Some(value?.decode_as()?);
                Ok(())
            }
            Some([EXTENDED_KEY_USAGE]) => {
                let mut purposes = inside(value?, Tag::Sequence)?;
                let mut found = false;
                while !purposes.is_finished() {
                    found |= identifier(&mut purposes)? == SERVER_AUTH;
                }
                self.for_servers = Some(found);
                Ok(())
            }
            Some([ALTERNATIVE_NAME]) => {
                let names = value?;
                inside(names, Tag::Sequence)?;
                self.names = Some(names.value());
                Ok(())
            }
            Some([NAME_CONSTRAINTS]) => {
                self.constraints = Some(Constraints::read(inside(value?, Tag::Sequence)?)?);
                Ok(())
            }
            _ if extension.critical => Err(malformed()),
            _ => Ok(()),
        }
    }

    /// The last second in which it is valid.
    #[cfg(feature = "resumption")]
    pub(super) const fn not_after(&self) -> u64 {
        self.not_after
    }

    /// Judges the dates, if there is a time to judge them by.
    pub(super) fn check_dates(&self, time: Option<u64>) -> Result<(), Error> {
        match time {
            Some(time) if time < self.not_before => Err(Error::NotYetValid),
            Some(time) if time > self.not_after => Err(Error::Expired),
            _ => Ok(()),
        }
    }

    /// Extended key usage, where there is one, must name server authentication; in the CAs too.
    pub(super) fn check_server_usage(&self) -> Result<(), Error> {
        if self.for_servers == Some(false) { Err(Error::WrongUsage) } else { Ok(()) }
    }

    pub(super) fn may_sign_handshakes(&self) -> bool {
        self.may(DIGITAL_SIGNATURE)
    }

    pub(super) fn may_sign_certificates(&self) -> bool {
        self.is_ca && self.may(KEY_CERT_SIGN)
    }

    fn may(&self, usage: usize) -> bool {
        self.key_usage.is_none_or(|bits| bits.get(usage) == Some(true))
    }
}

struct Extension<'a> {
    /// The content of the identifier.
    id: &'a [u8],
    critical: bool,
    value: &'a [u8],
}

impl<'a> Extension<'a> {
    fn read(mut extension: SliceReader<'a>) -> Result<Self, der::Error> {
        let id = identifier(&mut extension)?;
        let critical = if Tag::peek(&extension)? == Tag::Boolean { extension.decode()? } else { false };
        let value: AnyRef<'a> = extension.decode()?;
        end(&extension)?;
        if value.tag() != Tag::OctetString {
            return Err(malformed());
        }
        Ok(Self { id, critical, value: value.value() })
    }
}

pub(super) fn malformed() -> der::Error {
    der::ErrorKind::Failed.into()
}

/// The content of a value of this type.
pub(super) fn inside(value: AnyRef<'_>, tag: Tag) -> Result<SliceReader<'_>, der::Error> {
    if value.tag() == tag { SliceReader::new(value.value()) } else { Err(malformed()) }
}

pub(super) fn end(reader: &SliceReader<'_>) -> Result<(), der::Error> {
    if reader.is_finished() { Ok(()) } else { Err(malformed()) }
}

/// The content of an object identifier.
fn identifier<'a>(reader: &mut SliceReader<'a>) -> Result<&'a [u8], der::Error> {
    let value: AnyRef<'a> = reader.decode()?;
    if value.tag() == Tag::ObjectIdentifier { Ok(value.value()) } else { Err(malformed()) }
}

/// A value with this context-specific tag, of values or of bytes, if it is the next.
pub(super) fn optional<'a>(
    reader: &mut SliceReader<'a>,
    number: u32,
    constructed: bool,
) -> Result<Option<AnyRef<'a>>, der::Error> {
    if reader.is_finished() {
        return Ok(None);
    }
    match Tag::peek(reader)? {
        Tag::ContextSpecific { number: TagNumber(found), constructed: form }
            if (found, form) == (number, constructed) =>
        {
            reader.decode().map(Some)
        }
        _ => Ok(None),
    }
}

/// A `Name`, with its header. Names are compared, not read.
fn name<'a>(reader: &mut SliceReader<'a>) -> Result<&'a [u8], der::Error> {
    if Tag::peek(reader)? == Tag::Sequence { reader.tlv_bytes() } else { Err(malformed()) }
}

/// A serial number is a positive integer of at most 20 bytes; zero is let pass.
fn check_serial(serial: AnyRef<'_>) -> Result<(), der::Error> {
    let digits = match serial.value() {
        [0, rest @ ..] if rest.first().is_none_or(|byte| *byte >= 0x80) => rest,
        [first, ..] if (1..0x80).contains(first) => serial.value(),
        _ => return Err(malformed()),
    };
    if serial.tag() == Tag::Integer && digits.len() <= MAX_SERIAL { Ok(()) } else { Err(malformed()) }
}

/// UTCTime or GeneralizedTime, in the one form of each that certificates have: digits in pairs, and a Z (RFC 5280
/// §4.1.2.5). Seconds since 1970.
fn time(reader: &mut SliceReader<'_>) -> Result<u64, der::Error> {
    let value: AnyRef<'_> = reader.decode()?;
    let [digits @ .., b'Z'] = value.value() else { return Err(malformed()) };
    let (pairs, []) = digits.as_chunks() else { return Err(malformed()) };
    let mut fields = [0; 7];
    let given = match value.tag() {
        Tag::UtcTime => &mut fields[1..],
        Tag::GeneralizedTime => &mut fields[..],
        _ => return Err(malformed()),
    };
    if pairs.len() != given.len() {
        return Err(malformed());
    }
    for (field, pair) in given.iter_mut().zip(pairs) {
        let [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] = *pair else { return Err(malformed()) };
        *field = (tens - b'0') * 10 + (ones - b'0');
    }
    let [century, year, month, day, hour, minute, second] = fields;
    let century = match value.tag() {
        Tag::UtcTime if year < 50 => 20,
        Tag::UtcTime => 19,
        _ => u16::from(century),
    };
    let date = DateTime::new(century * 100 + u16::from(year), month, day, hour, minute, second)?;
    let time = date.unix_duration().as_secs();
    if value.tag() == Tag::UtcTime || time >= YEAR_2050 { Ok(time) } else { Err(malformed()) }
}
