//! The parts of what a CA signs: names, serial numbers, times, extensions.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, ensure};
use der::Encode as _;
use der::asn1::OctetString;
use dice_core::key::KeyIdentifier;
use p256::SecretKey;
use x509_cert::builder;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::certificate::TbsCertificate;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, KeyUsage, KeyUsages, SubjectKeyIdentifier,
};
use x509_cert::ext::{Extension, Extensions, ToExtension};
use x509_cert::name::Name;
use x509_cert::spki::SubjectPublicKeyInfoRef;
use x509_cert::time::{Time, Validity};
use zeroize::Zeroizing;

/// Bytes of a serial number; the first one is neither 0 nor above 127.
const SERIAL_LEN: usize = 16;
/// The longest common name (RFC 5280, ub-common-name), in characters.
const NAME_MAX_LEN: usize = 64;

/// What the issuer says of a certificate: the builder asks for nothing else.
pub(super) struct Profile {
    /// Its name.
    pub(super) issuer: Name,
    /// Whose certificate it is.
    pub(super) subject: Name,
    /// What it says.
    pub(super) extensions: Extensions,
}

impl BuilderProfile for Profile {
    fn get_issuer(&self, _: &Name) -> Name {
        self.issuer.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        _: SubjectPublicKeyInfoRef<'_>,
        _: SubjectPublicKeyInfoRef<'_>,
        _: &TbsCertificate,
    ) -> builder::Result<Vec<Extension>> {
        Ok(self.extensions.clone())
    }
}

/// Extensions in the order in which they are added.
#[derive(Default)]
pub(super) struct Chosen(pub(super) Extensions);

impl Chosen {
    /// Adds one.
    ///
    /// # Errors
    /// None in practice.
    pub(super) fn with<E>(mut self, extension: &E) -> Result<Self>
    where
        for<'a> &'a E: ToExtension<Error = der::Error>,
    {
        self.0.push(extension.to_extension(&Name::default(), &[])?);
        Ok(self)
    }

    /// Those of a CA.
    ///
    /// # Errors
    /// None in practice.
    pub(super) fn ca(
        path_len: u8,
        usage: impl Into<x509_cert::der::flagset::FlagSet<KeyUsages>>,
    ) -> Result<Self> {
        let constraints = BasicConstraints { ca: true, path_len_constraint: Some(path_len) };
        Self::default().with(&constraints)?.with(&KeyUsage(usage.into()))
    }

    /// Adds the identifiers of both keys.
    ///
    /// # Errors
    /// None in practice.
    pub(super) fn identifiers(self, subject: &KeyIdentifier, issuer: &KeyIdentifier) -> Result<Self> {
        let key_identifier = Some(OctetString::new(*issuer)?);
        self.with(&SubjectKeyIdentifier(OctetString::new(*subject)?))?
            .with(&AuthorityKeyIdentifier { key_identifier, ..AuthorityKeyIdentifier::default() })
    }
}

/// A name of a common name alone.
///
/// # Errors
/// It cannot stand in a certificate.
pub(super) fn common_name(name: &str) -> Result<Name> {
    let name = name.trim();
    let length = name.chars().count();
    ensure!(
        (1..=NAME_MAX_LEN).contains(&length),
        "name: it has {length} characters, 1 to {NAME_MAX_LEN} are allowed"
    );
    ensure!(!name.chars().any(char::is_control), "name: it has a control character");
    // In hexadecimal, nothing in it has a meaning.
    let value = der::asn1::Utf8StringRef::new(name)?.to_der()?;
    format!("CN=#{}", hex::encode(value)).parse().map_err(|error| anyhow!("name: {error}"))
}

/// A new private key.
///
/// # Errors
/// There are no random numbers.
pub(super) fn random_key() -> Result<SecretKey> {
    let mut scalar = Zeroizing::new([0; 32]);
    loop {
        random(&mut *scalar)?;
        // All but one in 2^32 are keys.
        if let Ok(key) = SecretKey::from_slice(&*scalar) {
            return Ok(key);
        }
    }
}

/// A serial number: positive, and of the same length each time.
///
/// # Errors
/// There are no random numbers.
pub(super) fn random_serial() -> Result<[u8; SERIAL_LEN]> {
    let mut serial = [0; SERIAL_LEN];
    while !(1..=127).contains(&serial[0]) {
        random(&mut serial)?;
    }
    Ok(serial)
}

fn random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|error| anyhow!("no random numbers: {error}"))
}

/// Seconds since 1970.
///
/// # Errors
/// It is before.
pub(super) fn unix(time: SystemTime) -> Result<u64> {
    Ok(time.duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_secs())
}

/// The time as certificates have it (RFC 5280 §4.1.2.5), in whole seconds.
///
/// # Errors
/// They cannot have it.
pub(super) fn time(time: SystemTime) -> Result<Time> {
    let whole = UNIX_EPOCH + Duration::from_secs(unix(time)?);
    Time::try_from(whole).map_err(|_| anyhow!("a time after the year 9999"))
}

/// The time after some days.
///
/// # Errors
/// There is none.
pub(super) fn later(time: SystemTime, days: u32) -> Result<SystemTime> {
    let span = Duration::from_secs(u64::from(days) * 24 * 60 * 60);
    time.checked_add(span).with_context(|| format!("{days} days are too many"))
}

/// From now on, for some days, or else for as long as the issuer's.
///
/// # Errors
/// That would be longer than the issuer's.
pub(super) fn validity(now: SystemTime, days: Option<u32>, issuer: Option<Time>) -> Result<Validity> {
    let limit = issuer.unwrap_or(Time::INFINITY);
    let end = match days {
        Some(days) => time(later(now, days)?)?,
        None => limit,
    };
    ensure!(
        end.to_unix_duration() <= limit.to_unix_duration(),
        "the certificate would be valid to {end}, that of the CA is to {limit}"
    );
    Ok(Validity::new(time(now)?, end))
}
