//! Reading a certificate (RFC 5280 §4.1), as far as it matters for verifying a chain.

use super::key::{Hash, PublicKey};
use crate::Error;
use der::asn1::{AnyRef, BitStringRef, GeneralizedTime, ObjectIdentifier, UtcTime};
use der::{Decode, Reader, SliceReader, Tag, TagNumber, Tagged};

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const ALTERNATIVE_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const NAME_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.30");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");

/// Bits of `KeyUsage`, counted from the first.
const DIGITAL_SIGNATURE: usize = 0;
const KEY_CERT_SIGN: usize = 5;

/// A certificate, read.
#[derive(Debug, Clone)]
pub(super) struct Certificate<'a> {
    /// What is signed.
    pub(super) signed: &'a [u8],
    /// By which hash; `None` if the signature is not ECDSA with one that is known here.
    pub(super) hash: Option<Hash>,
    pub(super) signature: &'a [u8],
    pub(super) issuer: &'a [u8],
    pub(super) subject: &'a [u8],
    not_before: u64,
    not_after: u64,
    /// `None` if the key is of a kind that cannot be verified with here.
    pub(super) key: Option<PublicKey>,
    pub(super) is_ca: bool,
    pub(super) path_len: Option<u8>,
    /// `GeneralNames`, without their header.
    pub(super) names: Option<&'a [u8]>,
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
        optional(&mut tbs, 0)?; // version
        tbs.tlv_bytes()?; // serial number
        if tbs.tlv_bytes()? != algorithm {
            return Err(malformed());
        }
        let issuer = tbs.tlv_bytes()?;
        let mut validity = inside(tbs.decode()?, Tag::Sequence)?;
        let (not_before, not_after) = (time(&mut validity)?, time(&mut validity)?);
        end(&validity)?;
        let subject = tbs.tlv_bytes()?;
        let key = key(inside(tbs.decode()?, Tag::Sequence)?)?;
        optional(&mut tbs, 1)?; // unique identifiers
        optional(&mut tbs, 2)?;
        let extensions = optional(&mut tbs, 3)?;
        end(&tbs)?;

        let mut certificate = Self {
            signed,
            hash: hash(algorithm)?,
            signature: signature.as_bytes().ok_or_else(malformed)?,
            issuer,
            subject,
            not_before,
            not_after,
            key,
            is_ca: false,
            path_len: None,
            names: None,
            key_usage: None,
            for_servers: None,
        };
        if let Some(extensions) = extensions {
            let mut list = inside(AnyRef::from_der(extensions.value())?, Tag::Sequence)?;
            while !list.is_finished() {
                certificate.extension(inside(list.decode()?, Tag::Sequence)?)?;
            }
        }
        Ok(certificate)
    }

    fn extension(&mut self, mut extension: SliceReader<'a>) -> Result<(), der::Error> {
        let id: ObjectIdentifier = extension.decode()?;
        let critical = if Tag::peek(&extension)? == Tag::Boolean { extension.decode()? } else { false };
        let value: AnyRef<'a> = extension.decode()?;
        end(&extension)?;
        if value.tag() != Tag::OctetString {
            return Err(malformed());
        }
        let value = AnyRef::from_der(value.value());
        match id {
            BASIC_CONSTRAINTS => {
                let mut constraints = inside(value?, Tag::Sequence)?;
                if constraints.peek_byte() == Some(1) {
                    self.is_ca = constraints.decode()?;
                }
                if !constraints.is_finished() {
                    self.path_len = Some(constraints.decode::<u8>()?);
                }
                end(&constraints)
            }
            KEY_USAGE => {
                self.key_usage = Some(value?.decode_as()?);
                Ok(())
            }
            EXTENDED_KEY_USAGE => {
                let mut purposes = inside(value?, Tag::Sequence)?;
                let mut found = false;
                while !purposes.is_finished() {
                    found |= purposes.decode::<ObjectIdentifier>()? == SERVER_AUTH;
                }
                self.for_servers = Some(found);
                Ok(())
            }
            ALTERNATIVE_NAME => {
                let names = value?;
                inside(names, Tag::Sequence)?;
                self.names = Some(names.value());
                Ok(())
            }
            // To be obeyed, and not understood here.
            NAME_CONSTRAINTS => Err(malformed()),
            _ if critical => Err(malformed()),
            _ => Ok(()),
        }
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
        self.may(KEY_CERT_SIGN)
    }

    fn may(&self, usage: usize) -> bool {
        self.key_usage.is_none_or(|bits| bits.get(usage) == Some(true))
    }
}

fn malformed() -> der::Error {
    der::ErrorKind::Failed.into()
}

/// The content of a value of this type.
fn inside(value: AnyRef<'_>, tag: Tag) -> Result<SliceReader<'_>, der::Error> {
    if value.tag() == tag { SliceReader::new(value.value()) } else { Err(malformed()) }
}

fn end(reader: &SliceReader<'_>) -> Result<(), der::Error> {
    if reader.is_finished() { Ok(()) } else { Err(malformed()) }
}

/// A value with this context-specific tag, if it is the next.
fn optional<'a>(reader: &mut SliceReader<'a>, number: u32) -> Result<Option<AnyRef<'a>>, der::Error> {
    if reader.is_finished() {
        return Ok(None);
    }
    match Tag::peek(reader)? {
        Tag::ContextSpecific { number: TagNumber(found), .. } if found == number => reader.decode().map(Some),
        _ => Ok(None),
    }
}

fn time(reader: &mut SliceReader<'_>) -> Result<u64, der::Error> {
    let time = match Tag::peek(reader)? {
        Tag::UtcTime => reader.decode::<UtcTime>()?.to_unix_duration(),
        _ => reader.decode::<GeneralizedTime>()?.to_unix_duration(),
    };
    Ok(time.as_secs())
}

fn hash(algorithm: &[u8]) -> Result<Option<Hash>, der::Error> {
    let mut algorithm = inside(AnyRef::from_der(algorithm)?, Tag::Sequence)?;
    Ok(match algorithm.decode::<ObjectIdentifier>()? {
        ECDSA_SHA256 => Some(Hash::Sha256),
        ECDSA_SHA384 => Some(Hash::Sha384),
        _ => None,
    })
}

/// The key in the content of a `SubjectPublicKeyInfo`.
fn key(mut spki: SliceReader<'_>) -> Result<Option<PublicKey>, der::Error> {
    let mut algorithm = inside(spki.decode()?, Tag::Sequence)?;
    let point: BitStringRef<'_> = spki.decode()?;
    end(&spki)?;
    let point = point.as_bytes().ok_or_else(malformed)?;
    if algorithm.decode::<ObjectIdentifier>()? != EC_PUBLIC_KEY {
        return Ok(None);
    }
    let length = match algorithm.decode::<ObjectIdentifier>()? {
        P256 => 65,
        P384 => 97,
        _ => return Ok(None),
    };
    if point.len() != length {
        return Ok(None);
    }
    PublicKey::from_point(point).map(Some).ok_or_else(malformed)
}
