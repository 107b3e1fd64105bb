//! The JSON bodies of the service, the same over MQTT and HTTPS: the request to register, the status of the
//! operation, the state of the registration and the error.
use core::fmt;

use crate::buf::Writer;
use crate::json::{self, JsonStr, Object, Value};
use crate::{Config, Error};

/// State of a registration as the service words it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Status {
    /// Ended without an assignment.
    Unassigned,
    /// Still at work; ask again.
    Assigning,
    /// Assigned to a hub.
    Assigned,
    /// The service could not assign the device.
    Failed,
    /// The enrolment or the device is switched off.
    Disabled,
}

impl Status {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unassigned => "unassigned",
            Self::Assigning => "assigning",
            Self::Assigned => "assigned",
            Self::Failed => "failed",
            Self::Disabled => "disabled",
        }
    }

    fn parse(word: JsonStr<'_>) -> Result<Self, Error> {
        [Self::Unassigned, Self::Assigning, Self::Assigned, Self::Failed, Self::Disabled]
            .into_iter()
            .find(|status| word == status.as_str())
            .ok_or_else(|| Error::UnknownStatus(crate::Word::new(word)))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The body of an answer to register and poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct OperationStatus<'a> {
    /// Names the operation in polls.
    pub operation_id: Option<JsonStr<'a>>,
    /// How it stands.
    pub status: Status,
    /// Details; nearly always there once the status is final.
    pub state: Option<RegistrationState<'a>>,
}

/// What the service knows of the registration. Everything is optional on the wire: which members come depends on
/// the status, the attestation and the API version. `null` counts as absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RegistrationState<'a> {
    /// The registration id as enrolled.
    pub registration_id: Option<JsonStr<'a>>,
    /// The state, here of the registration, not of the operation.
    pub status: Option<Status>,
    /// How the assignment came about; see [`Substatus`](crate::Substatus).
    pub substatus: Option<JsonStr<'a>>,
    /// Host name of the hub.
    pub assigned_hub: Option<JsonStr<'a>>,
    /// The device's id at the hub, case-sensitive.
    pub device_id: Option<JsonStr<'a>>,
    /// The service's own code of a failure, such as 400207.
    pub error_code: Option<u32>,
    /// Words for people.
    pub error_message: Option<JsonStr<'a>>,
    /// What the custom allocation webhook has for the device: the JSON as it stands in the answer.
    pub payload: Option<Value<'a>>,
    /// Protocol of the hub; see [`ConnectionProfile`](crate::ConnectionProfile).
    pub connection_profile: Option<JsonStr<'a>>,
    /// Certificates issued for the CSR: base64 of DER each, leaf first.
    pub issued_certificate_chain: Option<json::Array<'a>>,
    /// With a TPM: base64 of the hub key's activation blob.
    pub tpm_authentication_key: Option<JsonStr<'a>>,
    /// Last change, ISO 8601 UTC with up to seven decimals.
    pub last_updated_utc: Option<JsonStr<'a>>,
    /// Version of the registration's record.
    pub etag: Option<JsonStr<'a>>,
}

/// The body of a refusal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ServiceError<'a> {
    /// The service's own code, such as 401002; its first three digits are the status.
    pub code: Option<u32>,
    /// Words for people.
    pub message: Option<JsonStr<'a>>,
    /// What Azure support asks for.
    pub tracking_id: Option<JsonStr<'a>>,
    /// When, ISO 8601 UTC.
    pub timestamp_utc: Option<JsonStr<'a>>,
    /// In the first 401 to a TPM: base64 of the activation blob.
    pub authentication_key: Option<JsonStr<'a>>,
}

/// Stores a member's value once; `null` counts as absent.
fn set<'a, T>(
    slot: &mut Option<T>,
    name: &'static str,
    value: Value<'a>,
    get: fn(&Value<'a>) -> Option<T>,
) -> Result<(), Error> {
    if slot.is_some() {
        return Err(Error::Duplicate(name));
    }
    if value != Value::Null {
        *slot = Some(get(&value).ok_or(Error::BadMember(name))?);
    }
    Ok(())
}

fn object(body: &[u8]) -> Result<Object<'_>, Error> {
    json::parse(body)?.as_object().ok_or(Error::BadMember("body"))
}

impl<'a> OperationStatus<'a> {
    /// Reads the body of a 2xx answer to register or poll.
    ///
    /// # Errors
    /// [`Error::Json`]; [`Error::Missing`] without a status; [`Error::UnknownStatus`]; [`Error::BadMember`] for a
    /// wrong type; [`Error::Duplicate`].
    pub fn parse(body: &'a [u8]) -> Result<Self, Error> {
        let (mut operation_id, mut status, mut state) = (None, None, None);
        for (name, value) in object(body)?.members() {
            if name == "operationId" {
                set(&mut operation_id, "operationId", value, Value::as_str)?;
            } else if name == "status" {
                set(&mut status, "status", value, Value::as_str)?;
            } else if name == "registrationState" {
                set(&mut state, "registrationState", value, Value::as_object)?;
            }
        }
        Ok(Self {
            operation_id,
            status: Status::parse(status.ok_or(Error::Missing("status"))?)?,
            state: state.map(RegistrationState::read).transpose()?,
        })
    }
}

impl<'a> RegistrationState<'a> {
    /// Reads a bare registration state, the body of a lookup over HTTPS.
    ///
    /// # Errors
    /// As [`OperationStatus::parse`], but nothing is mandatory.
    pub fn parse(body: &'a [u8]) -> Result<Self, Error> {
        Self::read(object(body)?)
    }

    fn read(object: Object<'a>) -> Result<Self, Error> {
        let mut state = Self::default();
        let (mut status, mut tpm) = (None, None);
        for (name, value) in object.members() {
            let (slot, name) = if name == "registrationId" {
                (&mut state.registration_id, "registrationId")
            } else if name == "status" {
                (&mut status, "status")
            } else if name == "substatus" {
                (&mut state.substatus, "substatus")
            } else if name == "assignedHub" {
                (&mut state.assigned_hub, "assignedHub")
            } else if name == "deviceId" {
                (&mut state.device_id, "deviceId")
            } else if name == "errorMessage" {
                (&mut state.error_message, "errorMessage")
            } else if name == "connectionProfile" {
                (&mut state.connection_profile, "connectionProfile")
            } else if name == "lastUpdatedDateTimeUtc" {
                (&mut state.last_updated_utc, "lastUpdatedDateTimeUtc")
            } else if name == "etag" {
                (&mut state.etag, "etag")
            } else {
                if name == "errorCode" {
                    set(&mut state.error_code, "errorCode", value, Value::as_u32)?;
                } else if name == "payload" {
                    set(&mut state.payload, "payload", value, |value| Some(*value))?;
                } else if name == "issuedCertificateChain" {
                    set(
                        &mut state.issued_certificate_chain,
                        "issuedCertificateChain",
                        value,
                        Value::as_array,
                    )?;
                } else if name == "tpm" {
                    set(&mut tpm, "tpm", value, Value::as_object)?;
                }
                continue;
            };
            set(slot, name, value, Value::as_str)?;
        }
        state.status = status.map(Status::parse).transpose()?;
        for (name, value) in tpm.iter().flat_map(Object::members) {
            if name == "authenticationKey" {
                set(&mut state.tpm_authentication_key, "authenticationKey", value, Value::as_str)?;
            }
        }
        Ok(state)
    }
}

impl<'a> ServiceError<'a> {
    /// Reads the body of a refusal. Proxies answer with other bodies, so a status must be usable without one.
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::BadMember`], [`Error::Duplicate`].
    pub fn parse(body: &'a [u8]) -> Result<Self, Error> {
        let mut error = Self::default();
        for (name, value) in object(body)?.members() {
            if name == "errorCode" {
                set(&mut error.code, "errorCode", value, Value::as_u32)?;
            } else if name == "message" {
                set(&mut error.message, "message", value, Value::as_str)?;
            } else if name == "trackingId" {
                set(&mut error.tracking_id, "trackingId", value, Value::as_str)?;
            } else if name == "timestampUtc" {
                set(&mut error.timestamp_utc, "timestampUtc", value, Value::as_str)?;
            } else if name == "authenticationKey" {
                set(&mut error.authentication_key, "authenticationKey", value, Value::as_str)?;
            }
        }
        Ok(error)
    }
}

/// Base64 with padding, as the service has it everywhere (RFC 4648, section 4).
pub(crate) fn write_base64(bytes: &[u8], out: &mut Writer<'_>) {
    use base64ct::{Base64, Encoding};
    // Whole groups of three bytes become four characters, so pieces can be joined.
    let mut piece = [0; 64];
    for chunk in bytes.chunks(48) {
        // 48 bytes fill the 64 characters exactly; it cannot be too small.
        out.text(Base64::encode(chunk, &mut piece).unwrap_or(""));
    }
}

/// Writes the body of a registration (or, without CSR, of a lookup) into `out`.
///
/// # Errors
/// [`Error::BufferTooSmall`] with the bytes needed.
pub(crate) fn write_register<'b>(
    config: &Config<'_>,
    csr: bool,
    out: &'b mut [u8],
) -> Result<&'b [u8], Error> {
    let mut body = Writer::new(out);
    // The registration id's alphabet needs no escapes.
    body.text("{\"registrationId\":\"");
    body.text(config.registration_id());
    body.text("\"");
    if let Some(payload) = config.payload() {
        body.text(",\"payload\":");
        body.bytes(payload);
    }
    if let Some(tpm) = config.tpm() {
        body.text(",\"tpm\":{\"endorsementKey\":\"");
        write_base64(tpm.endorsement_key, &mut body);
        body.text("\",\"storageRootKey\":\"");
        write_base64(tpm.storage_root_key, &mut body);
        body.text("\"}");
    }
    if let (true, Some(der)) = (csr, config.csr()) {
        body.text(",\"csr\":\"");
        write_base64(der, &mut body);
        body.text("\"");
    }
    body.text("}");
    body.finish()
}
