//! A device's request for its DeviceID certificate (PKCS#10), as `--make device-id-request` writes it: what a CA may
//! sign, and nothing else.

use std::fmt;

use der::Decode;
use der::asn1::ObjectIdentifier;
use dice_core::asn1::{DerReader, oid};
use dice_core::key::{PublicKey, Signature};
use x509_cert::SubjectPublicKeyInfo;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, KeyUsages, SubjectKeyIdentifier};
use x509_cert::ext::{Extension, Extensions};
use x509_cert::name::Name;
use x509_cert::request::{CertReq, CertReqInfo};

use super::certificates::{self, REQUEST};
use super::shown::Shown;

/// The word before the key's identifier in the name of a DeviceID key.
const NAME: &str = "DeviceID";

/// A request that was checked: its signature is that of its key, and it asks for a DeviceID certificate.
#[derive(Debug, Clone)]
pub struct DeviceIdRequest {
    subject: Name,
    key: PublicKey,
    spki: SubjectPublicKeyInfo,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// It is not DER of the structure RFC 2986 gives it.
    Malformed(der::Error),
    /// Its key is of another algorithm or curve than P-256.
    KeyAlgorithm(ObjectIdentifier),
    /// Its key is not an uncompressed point of P-256.
    PublicKey,
    /// It is signed in another way than ECDSA with SHA-256.
    SignatureAlgorithm(ObjectIdentifier),
    /// The signature is not that of its key: nobody has shown to have the private key.
    Signature,
    /// Its subject is not the name that its key has.
    Subject {
        /// What it asks for.
        found: String,
        /// The name of its key.
        expected: String,
    },
    /// It has an attribute that is not one request for extensions.
    Attribute(ObjectIdentifier),
    /// It asks for an extension that a DeviceID certificate does not have.
    Extension(ObjectIdentifier),
    /// It asks for an extension twice.
    DuplicateExtension(ObjectIdentifier),
    /// It lacks an extension that a DeviceID certificate has.
    MissingExtension(&'static str),
    /// It does not ask to be a CA.
    NotCa,
    /// It asks for another path length than 0: for CAs below the DeviceID.
    PathLength(Option<u8>),
    /// It asks for another key usage than keyCertSign alone.
    KeyUsage,
    /// The identifier that it asks for is not that of its key.
    KeyIdentifier,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(cause) => write!(f, "malformed: {cause}"),
            Self::KeyAlgorithm(oid) => write!(f, "its key is not of the curve P-256 (it is {oid})"),
            Self::PublicKey => f.write_str("its key is not a valid point of P-256, uncompressed"),
            Self::SignatureAlgorithm(oid) => write!(f, "signature algorithm {oid} is not ECDSA with SHA-256"),
            Self::Signature => f.write_str("the signature is not that of its key"),
            Self::Subject { found, expected } => {
                write!(f, "the subject is {}, the name of this key is {expected}", Shown(found))
            }
            Self::Attribute(oid) => write!(f, "attribute {oid}: only one request for extensions is allowed"),
            Self::Extension(oid) => write!(f, "extension {oid} is not one of a DeviceID certificate"),
            Self::DuplicateExtension(oid) => write!(f, "extension {oid} is there twice"),
            Self::MissingExtension(name) => write!(f, "it does not ask for {name}"),
            Self::NotCa => f.write_str("basicConstraints do not say that it is a CA"),
            Self::PathLength(None) => f.write_str("it asks for no limit of the path length, 0 is allowed"),
            Self::PathLength(Some(found)) => write!(f, "it asks for a path length of {found}, 0 is allowed"),
            Self::KeyUsage => f.write_str("keyUsage is not keyCertSign alone"),
            Self::KeyIdentifier => f.write_str("subjectKeyIdentifier is not that of its key"),
        }
    }
}

impl std::error::Error for RequestError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Malformed(cause) => Some(cause),
            _ => None,
        }
    }
}

impl From<der::Error> for RequestError {
    fn from(cause: der::Error) -> Self {
        Self::Malformed(cause)
    }
}

impl DeviceIdRequest {
    /// The one request of a file: DER, base64 alone, or PEM with whatever stands around it.
    ///
    /// # Errors
    /// There is none or more than one in it, or it is refused: a [`RequestError`].
    pub fn read(bytes: &[u8]) -> anyhow::Result<Self> {
        let found = certificates::read_all(bytes, REQUEST)?;
        let [der] = &found[..] else {
            anyhow::bail!("there are {} requests in it, expected one", found.len())
        };
        Ok(Self::from_der(der)?)
    }

    /// Checks a request in DER.
    ///
    /// # Errors
    /// Any [`RequestError`].
    pub fn from_der(der: &[u8]) -> Result<Self, RequestError> {
        let CertReq { info, algorithm, signature } = CertReq::from_der(der)?;
        let key = public_key(&info.public_key)?;
        if algorithm.oid != oid::ECDSA_WITH_SHA256 || algorithm.parameters.is_some() {
            return Err(RequestError::SignatureAlgorithm(algorithm.oid));
        }
        let signature = signature.as_bytes().and_then(|bytes| Signature::from_der(bytes).ok());
        let is_signed = signature.is_some_and(|signature| {
            // What is signed, as it stands there.
            let signed = DerReader::new(der).sequence().and_then(|mut content| content.raw());
            signed.is_ok_and(|signed| key.verify(signed, &signature).is_ok())
        });
        if !is_signed {
            return Err(RequestError::Signature);
        }
        let CertReqInfo { subject, public_key: spki, attributes, .. } = info;
        let request = Self { subject, key, spki };
        let (found, expected) = (request.subject.to_string(), format!("CN={}", request.name()));
        if found != expected {
            return Err(RequestError::Subject { found, expected });
        }
        let mut extensions: Option<Extensions> = None;
        for attribute in attributes.iter() {
            match (attribute.oid, attribute.values.as_ref()) {
                (oid::EXTENSION_REQUEST, [value]) if extensions.is_none() => {
                    extensions = Some(value.decode_as()?);
                }
                (other, _) => return Err(RequestError::Attribute(other)),
            }
        }
        request.check_extensions(&extensions.unwrap_or_default())?;
        Ok(request)
    }

    fn check_extensions(&self, extensions: &[Extension]) -> Result<(), RequestError> {
        let (mut constraints, mut usage, mut identifier) = (None, None, None);
        for Extension { extn_id, extn_value, .. } in extensions {
            let value = extn_value.as_bytes();
            let is_second = match *extn_id {
                oid::BASIC_CONSTRAINTS => constraints.replace(BasicConstraints::from_der(value)?).is_some(),
                oid::KEY_USAGE => usage.replace(KeyUsage::from_der(value)?).is_some(),
                oid::SUBJECT_KEY_IDENTIFIER => {
                    identifier.replace(SubjectKeyIdentifier::from_der(value)?).is_some()
                }
                other => return Err(RequestError::Extension(other)),
            };
            if is_second {
                return Err(RequestError::DuplicateExtension(*extn_id));
            }
        }
        let constraints = constraints.ok_or(RequestError::MissingExtension("basicConstraints"))?;
        let usage = usage.ok_or(RequestError::MissingExtension("keyUsage"))?;
        let identifier = identifier.ok_or(RequestError::MissingExtension("subjectKeyIdentifier"))?;
        if !constraints.ca {
            return Err(RequestError::NotCa);
        }
        if constraints.path_len_constraint != Some(0) {
            return Err(RequestError::PathLength(constraints.path_len_constraint));
        }
        if usage != KeyUsage(KeyUsages::KeyCertSign.into()) {
            return Err(RequestError::KeyUsage);
        }
        if identifier.0.as_bytes() != self.key.identifier() {
            return Err(RequestError::KeyIdentifier);
        }
        Ok(())
    }

    /// The name of the key, and of the device: `DeviceID-` and the key's identifier.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{NAME}-{}", hex::encode(self.key.identifier()))
    }

    /// The subject, as the device writes it.
    #[must_use]
    pub fn subject(&self) -> &Name {
        &self.subject
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The key as certificates have it.
    #[must_use]
    pub fn spki(&self) -> &SubjectPublicKeyInfo {
        &self.spki
    }
}

/// A key of P-256, named as such.
pub(crate) fn public_key(spki: &SubjectPublicKeyInfo) -> Result<PublicKey, RequestError> {
    if spki.algorithm.oid != oid::EC_PUBLIC_KEY {
        return Err(RequestError::KeyAlgorithm(spki.algorithm.oid));
    }
    let curve = spki.algorithm.parameters.as_ref().map(der::Any::decode_as::<ObjectIdentifier>);
    match curve.transpose()? {
        Some(oid::PRIME256V1) => {}
        Some(other) => return Err(RequestError::KeyAlgorithm(other)),
        // The curve is implied, or there is none.
        None => return Err(RequestError::KeyAlgorithm(spki.algorithm.oid)),
    }
    let point = spki.subject_public_key.as_bytes().ok_or(RequestError::PublicKey)?;
    PublicKey::from_sec1(point).map_err(|_| RequestError::PublicKey)
}

#[cfg(test)]
pub(crate) mod tests;
