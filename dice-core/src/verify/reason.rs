//! Why a chain is refused.

use crate::tcg::OperationalFlags;
use crate::x509::Time;
use core::fmt;
use der::asn1::ObjectIdentifier;

/// Why a certificate, and the chain with it, is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The chain has no certificates.
    Empty,
    /// There are more certificates between anchor and leaf than the policy allows.
    TooLong {
        /// The most allowed.
        limit: usize,
    },
    /// There are more self-issued certificates between anchor and leaf than the policy allows.
    TooManySelfIssued {
        /// The most allowed.
        limit: usize,
    },
    /// The certificate is not DER of the structure RFC 5280 gives it; the position counts within the certificate.
    Malformed(der::Error),
    /// The version is not 3.
    Version,
    /// The serial number is not positive or has more than 20 bytes, a leading zero byte counted.
    Serial,
    /// The two statements of the signature algorithm differ.
    SignatureAlgorithmsDiffer,
    /// The algorithm of the public key is not supported, or its feature is off.
    KeyAlgorithm(ObjectIdentifier),
    /// The public key is not a valid key of its algorithm.
    PublicKey,
    /// The signature algorithm is not that of the issuer's key.
    SignatureAlgorithm(ObjectIdentifier),
    /// The signature is not that of the issuer.
    Signature,
    /// The issuer has no name.
    EmptyIssuer,
    /// The subject has no name, and no critical subjectAltName in its place.
    EmptySubject,
    /// The issuer is not the subject of the certificate above.
    IssuerName,
    /// An extension is there twice.
    DuplicateExtension(ObjectIdentifier),
    /// There are more extensions than are read.
    TooManyExtensions {
        /// The most read.
        limit: usize,
    },
    /// The meaning of a critical extension (or one that has to be critical) is not known.
    UnknownCriticalExtension(ObjectIdentifier),
    /// An extension is critical that must not be, or the other way round.
    Criticality(ObjectIdentifier),
    /// authorityKeyIdentifier is missing.
    MissingAuthorityKeyIdentifier,
    /// authorityKeyIdentifier names another key than the issuer's, or another certificate.
    AuthorityKeyIdentifier,
    /// subjectKeyIdentifier is missing in the certificate of a CA.
    MissingSubjectKeyIdentifier,
    /// The certificate is used as a CA's and is not one: basicConstraints is missing or says so.
    NotCa,
    /// The certificate is used as a CA's and its keyUsage lacks keyCertSign.
    KeyUsage,
    /// keyUsage has keyCertSign, or basicConstraints has a path length, in a certificate that is not a CA's.
    CaFieldsWithoutCa,
    /// More CA certificates follow than a certificate above allows.
    PathLength,
    /// Its validity ends before it begins.
    Validity,
    /// The certificate is not valid yet.
    NotYetValid {
        /// Its first second.
        not_before: Time,
    },
    /// The certificate is no longer valid.
    Expired {
        /// Its last second.
        not_after: Time,
    },
    /// extKeyUsage of the leaf lacks the purpose the policy asks for.
    Purpose,
    /// The policy asks for a purpose, and the leaf's keyUsage lacks digitalSignature.
    LeafKeyUsage,
    /// The evidence the policy asks for is missing, or a component in it has no digest.
    MissingEvidence,
    /// TcbInfo or MultiTcbInfo gives another layer than the one that follows in the chain.
    LayerNumber {
        /// The layer stated.
        stated: u64,
        /// The layer expected, counted from 1 below the anchor; within a MultiTcbInfo the layer before, which may be
        /// followed by itself or the next.
        expected: u64,
    },
    /// No reference value is for this component.
    NoReference,
    /// No reference value for this component has its firmware digests: in every hash function in common one of those
    /// admitted, and at least one in common.
    FirmwareDigest,
    /// An integrity register is not admitted: its digests differ, it has no reference value, or one that has is
    /// missing.
    IntegrityRegister,
    /// The component's security version number is too low, or missing.
    Svn {
        /// The number stated.
        found: Option<u64>,
        /// The least admitted.
        minimum: u64,
    },
    /// The component is in a state that is not admitted.
    Flags {
        /// The flags set that are not admitted.
        refused: OperationalFlags,
    },
    /// Flags are set that flagsMask says are unknown, or flags whose state has to be known are not.
    FlagsMask {
        /// The flags at fault.
        flags: OperationalFlags,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("there are no certificates"),
            Self::TooLong { limit } => {
                write!(f, "more than {limit} certificates lie between anchor and leaf")
            }
            Self::TooManySelfIssued { limit } => {
                write!(f, "more than {limit} self-issued certificates lie between anchor and leaf")
            }
            Self::Malformed(cause) => write!(f, "malformed: {cause}"),
            Self::Version => f.write_str("the version is not 3"),
            Self::Serial => f.write_str("the serial number is not positive or longer than 20 bytes"),
            Self::SignatureAlgorithmsDiffer => f.write_str("its two signature algorithms differ"),
            Self::KeyAlgorithm(oid) => write!(f, "keys of algorithm {oid} are not supported"),
            Self::PublicKey => f.write_str("the public key is not valid"),
            Self::SignatureAlgorithm(oid) => {
                write!(f, "signature algorithm {oid} is not that of the issuer's key")
            }
            Self::Signature => f.write_str("the signature is not the issuer's"),
            Self::EmptyIssuer => f.write_str("the issuer has no name"),
            Self::EmptySubject => f.write_str("the subject has no name"),
            Self::IssuerName => f.write_str("the issuer is not the subject of the certificate above"),
            Self::DuplicateExtension(oid) => write!(f, "extension {oid} is there twice"),
            Self::TooManyExtensions { limit } => write!(f, "there are more than {limit} extensions"),
            Self::UnknownCriticalExtension(oid) => write!(f, "critical extension {oid} is not known"),
            Self::Criticality(oid) => {
                write!(f, "extension {oid} is critical where it must not be, or not where it must")
            }
            Self::MissingAuthorityKeyIdentifier => f.write_str("authorityKeyIdentifier is missing"),
            Self::AuthorityKeyIdentifier => {
                f.write_str("authorityKeyIdentifier names another key or certificate than the issuer's")
            }
            Self::MissingSubjectKeyIdentifier => f.write_str("a CA's subjectKeyIdentifier is missing"),
            Self::NotCa => f.write_str("it issued a certificate and is not a CA"),
            Self::KeyUsage => f.write_str("it issued a certificate and its keyUsage lacks keyCertSign"),
            Self::CaFieldsWithoutCa => f.write_str("keyCertSign or a path length without being a CA"),
            Self::PathLength => f.write_str("more CA certificates follow than one above allows"),
            Self::Validity => f.write_str("its validity ends before it begins"),
            Self::NotYetValid { not_before } => write!(f, "valid from {not_before} on only"),
            Self::Expired { not_after } => write!(f, "expired, it was valid until {not_after}"),
            Self::Purpose => f.write_str("extKeyUsage lacks the purpose asked for"),
            Self::LeafKeyUsage => {
                f.write_str("keyUsage lacks digitalSignature, which the purpose asked for needs")
            }
            Self::MissingEvidence => {
                f.write_str("the evidence asked for is missing, or a component in it has no digest")
            }
            Self::LayerNumber { stated, expected } => {
                write!(f, "layer {stated} is stated, {expected} expected")
            }
            Self::NoReference => f.write_str("no reference value is for this component"),
            Self::FirmwareDigest => f.write_str("the firmware digest is not that of any reference value"),
            Self::Svn { found: Some(found), minimum } => {
                write!(f, "security version number {found} is below {minimum}")
            }
            Self::Svn { found: None, minimum } => {
                write!(f, "security version number is missing, at least {minimum} is wanted")
            }
            Self::IntegrityRegister => {
                f.write_str("an integrity register is not that of any reference value")
            }
            Self::FlagsMask { flags } => write!(
                f,
                "state flags {:#010x} are set outside flagsMask, or not known and have to be",
                flags.0
            ),
            Self::Flags { refused } => write!(f, "state flags {:#010x} are not admitted", refused.0),
        }
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Reason {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}", defmt::Display2Format(self));
    }
}
