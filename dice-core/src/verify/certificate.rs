//! Reading certificates from borrowed bytes.

use super::Reason;
use super::extensions::{AuthorityKeyIdentifier, Extensions, KeyUsage};
use super::key::read_spki;
use crate::asn1::{DerReader, oid};
use crate::open_dice::{AttestationData, PublicKey};
use crate::tcg::{MultiTcbInfo, TcbFreshness, TcbInfo, Ueid};
use crate::x509::{Time, Validity};
use der::asn1::ObjectIdentifier;
use der::{ErrorKind, Tag};

/// serialNumber, the attribute in which the Open Profile for DICE writes identifiers (RFC 5280).
const SERIAL_NUMBER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.5");

/// The longest serial number (RFC 5280 §4.1.2.2): bytes of the INTEGER, a leading zero byte among them.
const SERIAL_MAX_LEN: usize = 20;

/// A distinguished name. Names are equal if they are encoded alike.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    der: &'a [u8],
    attributes: DerReader<'a>,
}

impl<'a> Name<'a> {
    /// The name as it stands in the certificate.
    #[must_use]
    pub const fn as_der(&self) -> &'a [u8] {
        self.der
    }

    /// Whether it has no attributes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.attributes.is_empty()
    }

    /// The first common name, or else the first serialNumber, the attribute of the Open Profile for DICE.
    #[must_use]
    pub fn text(&self) -> Option<&'a str> {
        [oid::COMMON_NAME, SERIAL_NUMBER].iter().find_map(|wanted| self.attribute(wanted).ok().flatten())
    }

    fn attribute(&self, wanted: &ObjectIdentifier) -> crate::Result<Option<&'a str>> {
        let mut sets = self.attributes;
        while !sets.is_empty() {
            let mut set = sets.set()?;
            while !set.is_empty() {
                let mut attribute = set.sequence()?;
                let kind = attribute.oid()?;
                let (tag, value) = attribute.any()?;
                let textual = matches!(tag, Tag::Utf8String | Tag::PrintableString | Tag::Ia5String);
                if kind == *wanted && textual {
                    return value.utf8_content().map(Some);
                }
            }
        }
        Ok(None)
    }

    fn read(reader: &mut DerReader<'a>) -> crate::Result<Self> {
        let mut outer = *reader;
        let der = reader.raw()?;
        let attributes = outer.sequence()?;
        let mut sets = attributes;
        while !sets.is_empty() {
            let mut set = sets.set()?;
            if set.is_empty() {
                return Err(set.error(ErrorKind::Length { tag: Tag::Set }));
            }
            while !set.is_empty() {
                let mut attribute = set.sequence()?;
                attribute.oid()?;
                attribute.any()?;
                attribute.finish()?;
            }
        }
        Ok(Self { der, attributes })
    }
}

impl PartialEq for Name<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Name<'_> {}

/// A certificate whose form was checked (RFC 5280), but not who signed it.
#[derive(Clone, Copy, Debug)]
pub struct Certificate<'a> {
    signed: &'a [u8],
    serial: &'a [u8],
    issuer: Name<'a>,
    validity: Validity,
    subject: Name<'a>,
    key: PublicKey,
    pub(super) extensions: Extensions<'a>,
    signature_algorithm: ObjectIdentifier,
    signature: &'a [u8],
}

impl<'a> Certificate<'a> {
    /// Reads one certificate and nothing after it.
    ///
    /// # Errors
    /// The [`Reason`] to refuse it, whatever its place in a chain.
    pub fn parse(der: &'a [u8]) -> Result<Self, Reason> {
        let mut outer = DerReader::new(der);
        let mut certificate = outer.sequence()?;
        outer.finish()?;
        let mut tbs = certificate;
        let signed = certificate.raw()?;
        let outer_algorithm = certificate.raw()?;
        let signature = certificate.bit_string()?;
        certificate.finish()?;

        let mut tbs = tbs.sequence()?;
        let version = tbs.constructed(0)?;
        let version = version.map(|mut version| {
            let number = version.unsigned()?;
            version.finish()?;
            Ok::<_, crate::Error>(number)
        });
        if version.transpose()? != Some(2) {
            return Err(Reason::Version);
        }
        let serial = tbs.integer()?;
        let positive = matches!(serial, [1..=0x7f, ..] | [0, _, ..]);
        if !positive || serial.len() > SERIAL_MAX_LEN {
            return Err(Reason::Serial);
        }
        let inner_algorithm = tbs.raw()?;
        if inner_algorithm != outer_algorithm {
            return Err(Reason::SignatureAlgorithmsDiffer);
        }
        // None of the algorithms supported has parameters (RFC 5758 §3.2, RFC 8410 §3).
        let mut algorithm = DerReader::new(inner_algorithm).sequence()?;
        let signature_algorithm = algorithm.oid()?;
        if !algorithm.is_empty() {
            return Err(Reason::SignatureAlgorithm(signature_algorithm));
        }
        let issuer = Name::read(&mut tbs)?;
        let mut period = tbs.sequence()?;
        let validity = Validity { not_before: Time::read(&mut period)?, not_after: Time::read(&mut period)? };
        period.finish()?;
        let subject = Name::read(&mut tbs)?;
        let key = read_spki(&mut tbs)?;
        // The unique identifiers of version 2 are not read: RFC 5280 has no certificates with them made.
        let extensions = match tbs.constructed(3)? {
            Some(mut tagged) => {
                let extensions = Extensions::parse(tagged.sequence()?)?;
                tagged.finish()?;
                extensions
            }
            None => Extensions::default(),
        };
        tbs.finish()?;
        if signature.unused != 0 {
            return Err(Reason::Signature);
        }
        let certificate = Self {
            signed,
            serial,
            issuer,
            validity,
            subject,
            key,
            extensions,
            signature_algorithm,
            signature: signature.bytes,
        };
        certificate.check()?;
        Ok(certificate)
    }

    /// What RFC 5280 asks of every certificate besides its structure.
    fn check(&self) -> Result<(), Reason> {
        let extensions = &self.extensions;
        if self.issuer.is_empty() {
            return Err(Reason::EmptyIssuer);
        }
        if self.subject.is_empty() && (extensions.ca.is_some() || !extensions.critical_alternative_name) {
            return Err(Reason::EmptySubject);
        }
        if self.validity.not_after < self.validity.not_before {
            return Err(Reason::Validity);
        }
        match extensions.ca {
            Some(_) if extensions.subject_key_identifier.is_none() => {
                Err(Reason::MissingSubjectKeyIdentifier)
            }
            None if extensions.key_usage.is_some_and(KeyUsage::can_sign_certificates) => {
                Err(Reason::CaFieldsWithoutCa)
            }
            _ => Ok(()),
        }
    }

    /// The serial number's content: big-endian, positive, at most 20 bytes, with a leading zero byte if its first bit
    /// is set.
    #[must_use]
    pub const fn serial(&self) -> &'a [u8] {
        self.serial
    }

    /// Who issued the certificate.
    #[must_use]
    pub const fn issuer(&self) -> &Name<'a> {
        &self.issuer
    }

    /// From when to when the certificate is valid.
    #[must_use]
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// Whom the certificate is for.
    #[must_use]
    pub const fn subject(&self) -> &Name<'a> {
        &self.subject
    }

    /// The key certified.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// Whether the certificate is a CA's.
    #[must_use]
    pub const fn is_ca(&self) -> bool {
        self.extensions.ca.is_some()
    }

    /// Whether issuer and subject are the same.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }

    /// The identifier of the key certified.
    #[must_use]
    pub const fn subject_key_identifier(&self) -> Option<&'a [u8]> {
        self.extensions.subject_key_identifier
    }

    /// Whether extKeyUsage has a purpose. It has none if the extension is missing.
    #[must_use]
    pub fn has_purpose(&self, purpose: &ObjectIdentifier) -> bool {
        self.extensions.purposes().any(|found| found == *purpose)
    }

    /// The TcbInfo extension.
    #[must_use]
    pub const fn tcb_info(&self) -> Option<&TcbInfo<'a>> {
        self.extensions.tcb_info.as_ref()
    }

    /// The MultiTcbInfo extension.
    #[must_use]
    pub const fn multi_tcb_info(&self) -> Option<&MultiTcbInfo<'a>> {
        self.extensions.multi_tcb_info.as_ref()
    }

    /// The Ueid extension.
    #[must_use]
    pub const fn ueid(&self) -> Option<Ueid<'a>> {
        self.extensions.ueid
    }

    /// The TcbFreshness extension.
    #[must_use]
    pub const fn freshness(&self) -> Option<TcbFreshness<'a>> {
        self.extensions.freshness
    }

    /// The extension of the Open Profile for DICE.
    #[must_use]
    pub const fn attestation_data(&self) -> Option<&AttestationData<'a>> {
        self.extensions.attestation_data.as_ref()
    }

    /// What the certificate says about its issuer's key. Every certificate has to state the key's identifier, unless it
    /// is signed with the key certified.
    pub(super) fn stated_issuer(&self) -> Result<AuthorityKeyIdentifier<'a>, Reason> {
        let stated = self.extensions.authority_key_identifier;
        if stated.key.is_some() { Ok(stated) } else { Err(Reason::MissingAuthorityKeyIdentifier) }
    }

    /// Whether all that is said about an issuer fits this certificate.
    pub(super) fn check_is_issuer(&self, stated: AuthorityKeyIdentifier<'_>) -> Result<(), Reason> {
        let key = stated.key.is_none() || stated.key == self.extensions.subject_key_identifier;
        if key && stated.names_certificate(self.issuer.as_der(), self.serial) {
            Ok(())
        } else {
            Err(Reason::AuthorityKeyIdentifier)
        }
    }

    /// Checks the signature with the issuer's key.
    pub(super) fn check_signature(&self, issuer: &PublicKey) -> Result<(), Reason> {
        if self.signature_algorithm != super::key::signature_oid(issuer) {
            return Err(Reason::SignatureAlgorithm(self.signature_algorithm));
        }
        super::key::verify_signature(issuer, self.signed, self.signature).map_err(|_| Reason::Signature)
    }
}
