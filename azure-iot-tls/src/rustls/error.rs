//! rustls's errors in the words of this crate.

use super::config::Notes;
use crate::{Alert, Error, Progress, Signed};
use ::rustls::{CertificateError, HandshakeType, InvalidMessage, PeerIncompatible, PeerMisbehaved};
use webpki::Error as Path;

/// Says which check failed; `notes` tells apart what rustls reports alike.
pub(super) fn map(error: &::rustls::Error, notes: &Notes) -> Error {
    use ::rustls::Error as Tls;
    if let Some(cause) = notes.identity() {
        return cause.into();
    }
    if let Some(refusal) = notes.refusal() {
        return refusal;
    }
    match error {
        Tls::InvalidCertificate(cause) => certificate(cause, notes.progress()),
        Tls::NoCertificatesPresented => Error::NoCertificate,
        Tls::InappropriateHandshakeMessage { expect_types, .. } => match expect_types.as_slice() {
            [.., HandshakeType::Finished] => Error::NoFinished,
            [HandshakeType::CertificateVerify | HandshakeType::ServerKeyExchange] => {
                Error::NoCertificateVerify
            }
            types if types.contains(&HandshakeType::Certificate) => Error::NoCertificate,
            _ => Error::UnexpectedMessage,
        },
        // Anything but a handshake message inside the handshake.
        Tls::InappropriateMessage { expect_types, .. }
            if matches!(
                expect_types.as_slice(),
                [::rustls::ContentType::Handshake | ::rustls::ContentType::ChangeCipherSpec]
            ) =>
        {
            notes.progress().left_out()
        }
        Tls::InappropriateMessage { .. } => Error::UnexpectedMessage,
        Tls::AlertReceived(alert) => Error::from_alert(Alert(u8::from(*alert))),
        Tls::PeerMisbehaved(cause) => misbehaved(cause),
        Tls::PeerIncompatible(cause) => incompatible(cause),
        Tls::InvalidMessage(cause) => message(cause),
        Tls::PeerSentOversizedRecord => Error::TooLong,
        Tls::DecryptError if notes.progress() == Progress::Key => Error::BadFinished,
        Tls::DecryptError => Error::BadRecord,
        Tls::FailedToGetRandomBytes => Error::Random,
        Tls::UnsupportedNameType => Error::HostName,
        _ => Error::Stack(0),
    }
}

fn certificate(error: &CertificateError, progress: Progress) -> Error {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Error::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Error::NotYetValid,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Error::WrongHost
        }
        CertificateError::UnknownIssuer => Error::UnknownCa,
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            Error::WrongUsage
        }
        CertificateError::Revoked => Error::Revoked,
        CertificateError::BadSignature if progress == Progress::Nothing => {
            Error::BadSignature(Signed::Certificate)
        }
        CertificateError::BadSignature => Error::BadSignature(Signed::Handshake),
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            Error::UnsupportedAlgorithm
        }
        CertificateError::Other(other) => match other.0.downcast_ref::<Path>() {
            Some(cause) => path(cause),
            None => Error::BadCertificate,
        },
        _ => Error::BadCertificate,
    }
}

fn path(error: &Path) -> Error {
    match error {
        Path::EndEntityUsedAsCa => Error::NotACa,
        Path::CaUsedAsEndEntity | Path::NameConstraintViolation => Error::WrongUsage,
        Path::PathLenConstraintViolated | Path::MaximumPathDepthExceeded => Error::PathTooLong,
        Path::MaximumPathBuildCallsExceeded | Path::MaximumSignatureChecksExceeded => Error::UnknownCa,
        Path::UnsupportedSignatureAlgorithmContext(_)
        | Path::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => Error::UnsupportedAlgorithm,
        _ => Error::BadCertificate,
    }
}

fn misbehaved(error: &PeerMisbehaved) -> Error {
    match error {
        PeerMisbehaved::AttemptedDowngradeToTls12WhenTls13IsSupported
        | PeerMisbehaved::SelectedTls12UsingTls13VersionExtension => Error::Downgrade,
        PeerMisbehaved::IllegalTlsInnerPlaintext | PeerMisbehaved::TooManyEmptyFragments => Error::BadRecord,
        PeerMisbehaved::SignedKxWithWrongAlgorithm
        | PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme => Error::UnsupportedAlgorithm,
        PeerMisbehaved::MessageInterleavedWithHandshakeMessage
        | PeerMisbehaved::KeyEpochWithPendingFragment
        | PeerMisbehaved::IllegalMiddleboxChangeCipherSpec
        | PeerMisbehaved::TooManyKeyUpdateRequests
        | PeerMisbehaved::TooManyRenegotiationRequests
        | PeerMisbehaved::TooManyWarningAlertsReceived => Error::UnexpectedMessage,
        _ => Error::BadMessage,
    }
}

fn incompatible(error: &PeerIncompatible) -> Error {
    match error {
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig => Error::Downgrade,
        _ => Error::Unsupported,
    }
}

fn message(error: &InvalidMessage) -> Error {
    match error {
        InvalidMessage::MessageTooLarge
        | InvalidMessage::HandshakePayloadTooLarge
        | InvalidMessage::CertificatePayloadTooLarge => Error::TooLong,
        InvalidMessage::InvalidContentType
        | InvalidMessage::UnknownProtocolVersion
        | InvalidMessage::InvalidEmptyPayload
        | InvalidMessage::MessageTooShort
        | InvalidMessage::InvalidCcs => Error::BadRecord,
        InvalidMessage::UnexpectedMessage(_) => Error::UnexpectedMessage,
        _ => Error::BadMessage,
    }
}
