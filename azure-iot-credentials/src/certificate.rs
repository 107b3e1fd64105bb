//! What is to be known of an issued chain: from when to when its leaf is valid, whose name and key are in it.
//!
//! A chain is certificates in DER, one behind the other, the leaf first. Signatures are not verified: a device that
//! asked over an authenticated connection has no root to verify them by, and a certificate for its own key gives nobody
//! else anything.

use crate::key::{Curve, PublicKey};
use crate::{Error, Validity};
use der::asn1::{AnyRef, BitStringRef, GeneralizedTime, ObjectIdentifier, UtcTime};
use der::{Decode, Reader, SliceReader, Tag, TagNumber, Tagged};

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

/// The most certificates of a chain.
pub const MAX_CERTIFICATES: usize = 8;

/// The certificates of a chain.
///
/// # Errors
/// [`Error::BadCertificate`] if there is none, more than [`MAX_CERTIFICATES`], or something between or behind them.
pub fn split(chain: &[u8]) -> Result<heapless::Vec<&[u8], MAX_CERTIFICATES>, Error> {
    let mut certificates = heapless::Vec::new();
    let mut rest = SliceReader::new(chain).map_err(|_| Error::BadCertificate)?;
    while !rest.is_finished() {
        let certificate = rest.tlv_bytes().map_err(|_| Error::BadCertificate)?;
        certificates.push(certificate).map_err(|_| Error::BadCertificate)?;
    }
    if certificates.is_empty() { Err(Error::BadCertificate) } else { Ok(certificates) }
}

/// The leaf of a chain.
#[derive(Clone, Copy, Debug)]
pub struct Leaf<'a> {
    validity: Validity,
    common_name: &'a str,
    public_key: PublicKey,
}

impl<'a> Leaf<'a> {
    /// Reads the leaf of a chain; the others only have to be there.
    ///
    /// # Errors
    /// [`Error::BadCertificate`] if it cannot be read, has no common name, or a key of another kind than [`Curve`].
    pub fn parse(chain: &'a [u8]) -> Result<Self, Error> {
        let certificates = split(chain)?;
        let leaf = certificates.first().ok_or(Error::BadCertificate)?;
        Self::read(leaf).map_err(|_| Error::BadCertificate)
    }

    fn read(leaf: &'a [u8]) -> Result<Self, der::Error> {
        let mut outer = inside(AnyRef::from_der(leaf)?)?;
        let mut tbs = inside(outer.decode()?)?;
        if Tag::peek(&tbs)? == (Tag::ContextSpecific { constructed: true, number: TagNumber(0) }) {
            tbs.tlv_bytes()?; // version
        }
        tbs.tlv_bytes()?; // serial number
        tbs.tlv_bytes()?; // algorithm
        tbs.tlv_bytes()?; // issuer
        let mut validity = inside(tbs.decode()?)?;
        let validity = Validity { not_before: time(&mut validity)?, not_after: time(&mut validity)? };
        let common_name = common_name(inside(tbs.decode()?)?)?;
        let public_key = public_key(inside(tbs.decode()?)?)?;
        Ok(Self { validity, common_name, public_key })
    }

    /// From when to when it is valid.
    #[must_use]
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// The subject's common name.
    #[must_use]
    pub const fn common_name(&self) -> &'a str {
        self.common_name
    }

    /// The subject's key.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }
}

fn failed() -> der::Error {
    der::ErrorKind::Failed.into()
}

/// The content of a sequence.
fn inside(value: AnyRef<'_>) -> Result<SliceReader<'_>, der::Error> {
    if value.tag() == Tag::Sequence { SliceReader::new(value.value()) } else { Err(failed()) }
}

fn time(reader: &mut SliceReader<'_>) -> Result<u64, der::Error> {
    if Tag::peek(reader)? == Tag::UtcTime {
        return Ok(reader.decode::<UtcTime>()?.to_unix_duration().as_secs());
    }
    Ok(reader.decode::<GeneralizedTime>()?.to_unix_duration().as_secs())
}

/// The first common name of a name.
fn common_name<'a>(mut name: SliceReader<'a>) -> Result<&'a str, der::Error> {
    while !name.is_finished() {
        let set: AnyRef<'a> = name.decode()?;
        if set.tag() != Tag::Set {
            return Err(failed());
        }
        let mut set = SliceReader::new(set.value())?;
        while !set.is_finished() {
            let mut attribute = inside(set.decode()?)?;
            let kind: ObjectIdentifier = attribute.decode()?;
            let value: AnyRef<'a> = attribute.decode()?;
            if kind == COMMON_NAME && matches!(value.tag(), Tag::Utf8String | Tag::PrintableString) {
                return core::str::from_utf8(value.value()).map_err(|_| failed());
            }
        }
    }
    Err(failed())
}

fn public_key(mut info: SliceReader<'_>) -> Result<PublicKey, der::Error> {
    let mut algorithm = inside(info.decode()?)?;
    let kind: ObjectIdentifier = algorithm.decode()?;
    let curve: ObjectIdentifier = algorithm.decode()?;
    let curve = match (kind, curve) {
        (EC_PUBLIC_KEY, P256) => Curve::P256,
        (EC_PUBLIC_KEY, P384) => Curve::P384,
        _ => return Err(failed()),
    };
    let point: BitStringRef<'_> = info.decode()?;
    PublicKey::from_point(curve, point.as_bytes().ok_or_else(failed)?).map_err(|_| failed())
}
