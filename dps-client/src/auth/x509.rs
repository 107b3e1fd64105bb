//! A look into the device's own certificate before the service does. The service refuses a leaf whose common name is
//! not the registration id without saying so; this check says it.
use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Reader, SliceReader, Tag};

use crate::{Config, Error};

/// id-at-commonName (RFC 5280, appendix A.1).
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
/// The version field of a certificate, `[0] EXPLICIT`.
const VERSION: u8 = 0xa0;

/// The subject's common name in a certificate in DER (RFC 5280, section 4.1).
///
/// # Errors
/// [`Error::Certificate`] if it is not a certificate, or does not have exactly one common name of type UTF8String or
/// PrintableString.
pub fn common_name(certificate: &[u8]) -> Result<&str, Error> {
    let mut names = subject(certificate).map_err(|_| Error::Certificate)?.into_iter();
    match (names.next().flatten(), names.next().flatten()) {
        (Some(name), None) => Ok(name),
        _ => Err(Error::Certificate),
    }
}

/// Whether the certificate (a leaf in DER) fits the registration: its common name must be the registration id, which
/// the service compares without case.
///
/// # Errors
/// [`Error::Certificate`], see [`common_name`]; [`Error::CommonName`].
pub fn check(certificate: &[u8], config: &Config<'_>) -> Result<(), Error> {
    if common_name(certificate)?.eq_ignore_ascii_case(config.registration_id()) {
        Ok(())
    } else {
        Err(Error::CommonName)
    }
}

/// The first two common names of the subject.
fn subject(certificate: &[u8]) -> der::Result<[Option<&str>; 2]> {
    let certificate = contents(AnyRef::from_der(certificate)?, Tag::Sequence)?;
    let mut certificate = SliceReader::new(certificate)?;
    let mut tbs = SliceReader::new(contents(certificate.decode()?, Tag::Sequence)?)?;
    if tbs.peek_byte() == Some(VERSION) {
        tbs.tlv_bytes()?;
    }
    // Serial number, signature algorithm, issuer, validity.
    for _ in 0..4 {
        tbs.tlv_bytes()?;
    }
    let mut subject = SliceReader::new(contents(tbs.decode()?, Tag::Sequence)?)?;
    let mut found = [None; 2];
    let mut free = found.iter_mut();
    while !subject.is_finished() {
        let mut set = SliceReader::new(contents(subject.decode()?, Tag::Set)?)?;
        while !set.is_finished() {
            let mut attribute = SliceReader::new(contents(set.decode()?, Tag::Sequence)?)?;
            let kind: ObjectIdentifier = attribute.decode()?;
            let value: AnyRef<'_> = attribute.decode()?;
            attribute.finish()?;
            if kind == COMMON_NAME
                && let Some(slot) = free.next()
            {
                *slot = Some(text(value)?);
            }
        }
    }
    Ok(found)
}

fn contents(value: AnyRef<'_>, tag: Tag) -> der::Result<&[u8]> {
    der::Tagged::tag(&value).assert_eq(tag)?;
    Ok(value.value())
}

fn text(value: AnyRef<'_>) -> der::Result<&str> {
    match der::Tagged::tag(&value) {
        Tag::Utf8String | Tag::PrintableString => Ok(core::str::from_utf8(value.value())?),
        _ => Err(Tag::Utf8String.value_error().into()),
    }
}
