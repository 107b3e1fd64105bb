//! The crate's one error type.
use core::fmt;

use crate::cache::CacheError;
use crate::json::JsonError;
use crate::registration::Fault;

/// A word of the service kept for the error message, cut at [`Word::MAX`] bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Word(heapless::String<{ Word::MAX }>);

impl Word {
    /// Bytes kept of the word.
    pub const MAX: usize = 32;

    pub(crate) fn new(word: crate::json::JsonStr<'_>) -> Self {
        let mut kept = heapless::String::new();
        // What does not fit is dropped.
        let _ = word.copy_to(kept.as_mut_view());
        Self(kept)
    }

    /// The word, or its beginning.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is wrong with the body of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum AnswerError {
    /// The body is not JSON.
    Json(JsonError),
    /// The body is JSON, but not an object.
    NotAnObject,
    /// A member that must be there is not.
    Missing(&'static str),
    /// A member has the wrong type, is empty, or has a value that cannot be right.
    BadMember(&'static str),
    /// A member is longer than this crate keeps.
    TooLong(&'static str),
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "the answer: {error}"),
            Self::NotAnObject => f.write_str("the answer is not a JSON object"),
            Self::Missing(member) => write!(f, "the answer has no {member}"),
            Self::BadMember(member) => write!(f, "the answer's {member} is not acceptable"),
            Self::TooLong(member) => write!(f, "the answer's {member} is too long"),
        }
    }
}

impl core::error::Error for AnswerError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Json(error) => Some(error),
            _ => None,
        }
    }
}

impl From<JsonError> for AnswerError {
    fn from(error: JsonError) -> Self {
        Self::Json(error)
    }
}

/// Everything that can go wrong in this crate.
///
/// [`Error::is_retriable`] says whether registering again later can help without anybody changing something.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Error {
    /// A buffer is too small; `needed` bytes would have been enough.
    BufferTooSmall {
        /// Bytes needed.
        needed: usize,
    },
    /// A value given to [`Config`](crate::Config) or a builder breaks the service's rules.
    Invalid {
        /// Which value.
        what: &'static str,
        /// Byte position of the first offending byte; the length when the value is too short or too long.
        at: usize,
    },
    /// A text given to this crate, such as the custom payload, is not JSON.
    Json(JsonError),
    /// An answer of the service cannot be used.
    Answer(AnswerError),
    /// The operation has a status this crate does not know.
    UnknownStatus(Word),
    /// The assigned hub speaks a protocol this crate does not know. Nothing is guessed; update the firmware.
    UnknownConnectionProfile(Word),
    /// A message arrived on a topic that is not an answer of the service.
    NotAnAnswer,
    /// The topic of an answer is malformed; the text names the part at fault.
    BadTopic(&'static str),
    /// The MQTT connection was refused with this CONNACK return code (MQTT 3.1.1, section 3.2.2.3). 4 and 5 mean:
    /// wrong credential, registration id or id scope.
    ConnectionRefused {
        /// The return code.
        code: u8,
    },
    /// The service refused the request.
    Service {
        /// The HTTP-like status.
        status: u16,
        /// The service's own code, such as 401002 (`status` is its first three digits).
        code: Option<u32>,
    },
    /// The service ended the registration without a hub.
    NotAssigned {
        /// `failed`, `disabled` or `unassigned`.
        status: crate::Status,
        /// The service's own code, such as 400207.
        code: Option<u32>,
    },
    /// The service lost the operation twice.
    OperationLost,
    /// A stored assignment cannot be used; register.
    Cache(CacheError),
    /// The device's certificate cannot be read, or has not exactly one common name.
    Certificate,
    /// The common name of the device's certificate is not the registration id.
    CommonName,
    /// The TPM refused the service's credential.
    ActivationFailed,
    /// The policy's number of attempts is used up; the last fault is named.
    GaveUp {
        /// Failed attempts in a row.
        attempts: u32,
        /// What ended the last one.
        last: Fault,
    },
}

impl Error {
    /// Whether the same registration, started again later, may succeed.
    ///
    /// `false` means that someone has to act first: another credential, an enrolment, a configuration or a firmware.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::GaveUp { .. } | Self::OperationLost => true,
            Self::ConnectionRefused { code } => *code == crate::mqtt::CONNACK_UNAVAILABLE,
            Self::Service { status, .. } => {
                matches!(
                    crate::StatusClass::of(*status),
                    crate::StatusClass::Retriable | crate::StatusClass::Conflict
                )
            }
            // An allocation that failed or gave nothing may succeed when the service side has a hub again.
            Self::NotAssigned { status, .. } => *status != crate::Status::Disabled,
            _ => false,
        }
    }
}

impl From<azure_iot_common::Error> for Error {
    fn from(error: azure_iot_common::Error) -> Self {
        match error {
            azure_iot_common::Error::BufferTooSmall { needed } => Self::BufferTooSmall { needed },
            azure_iot_common::Error::Invalid { what, at } => Self::Invalid { what, at },
        }
    }
}

impl From<AnswerError> for Error {
    fn from(error: AnswerError) -> Self {
        Self::Answer(error)
    }
}

impl From<CacheError> for Error {
    fn from(error: CacheError) -> Self {
        Self::Cache(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BufferTooSmall { needed } => {
                write!(f, "the buffer is too small: {needed} bytes are needed")
            }
            Self::Invalid { what, at } => write!(f, "{what} is not valid (at byte {at})"),
            Self::Json(error) => error.fmt(f),
            Self::Answer(error) => error.fmt(f),
            Self::UnknownStatus(word) => write!(f, "unknown registration status \"{}\"", word.as_str()),
            Self::UnknownConnectionProfile(word) => {
                write!(
                    f,
                    "the hub's connection profile \"{}\" is unknown: update the firmware",
                    word.as_str()
                )
            }
            Self::NotAnAnswer => f.write_str("the topic is not one of a DPS answer"),
            Self::BadTopic(part) => write!(f, "malformed {part} in the topic of the answer"),
            Self::ConnectionRefused { code } => {
                write!(f, "the service refused the connection (CONNACK {code})")?;
                match code {
                    1 => f.write_str(": protocol level"),
                    2 => f.write_str(": client id"),
                    3 => f.write_str(": not available, try later"),
                    4 | 5 => f.write_str(
                        ": enrol the device at the provisioning service, or check its ID scope, registration \
                         ID and credential",
                    ),
                    _ => Ok(()),
                }
            }
            Self::Service { status, code } => {
                write!(f, "the service answered {status}")?;
                if let Some(code) = code {
                    write!(f, " (error {code})")?;
                }
                match status {
                    401 => f.write_str(
                        ": the certificate or token is not accepted; compare it with the enrolment, and check \
                         that it has not expired",
                    ),
                    403 => f.write_str(": forbidden; check whether the enrolment is enabled"),
                    404 => f.write_str(
                        ": the device is not enrolled; add an enrolment for its registration ID, or check the ID scope",
                    ),
                    _ => Ok(()),
                }
            }
            Self::NotAssigned { status, code } => {
                write!(f, "the registration ended as {}", status.as_str())?;
                if let Some(code) = code {
                    write!(f, " (error {code})")?;
                }
                f.write_str(match status {
                    crate::Status::Disabled => ": enable the enrolment",
                    crate::Status::Failed => {
                        ": check the hubs that are linked to the provisioning service, \
                     and its allocation policy"
                    }
                    _ => "",
                })
            }
            Self::OperationLost => f.write_str("the service lost the registration twice"),
            Self::Cache(error) => error.fmt(f),
            Self::Certificate => f.write_str("the device's certificate has no readable common name"),
            Self::CommonName => {
                f.write_str("the common name of the device's certificate is not the registration id")
            }
            Self::ActivationFailed => f.write_str("the TPM refused the service's credential"),
            Self::GaveUp { attempts, last } => write!(f, "gave up after {attempts} attempts: {last}"),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Json(error) => Some(error),
            Self::Answer(error) => Some(error),
            Self::Cache(error) => Some(error),
            _ => None,
        }
    }
}
