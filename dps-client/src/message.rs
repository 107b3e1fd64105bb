//! The JSON bodies of the service, the same over MQTT and HTTPS: the request to register, the status of the
//! operation, the state of the registration and the error.
use core::fmt;

use crate::json::{self, JsonStr, Object, Value};
use crate::{AnswerError, Config, Error};
use azure_iot_common::text::{Writer, parse_u32};

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
        const ALL: [(&str, Status); 5] = [
            (Status::Unassigned.as_str(), Status::Unassigned),
            (Status::Assigning.as_str(), Status::Assigning),
            (Status::Assigned.as_str(), Status::Assigned),
            (Status::Failed.as_str(), Status::Failed),
            (Status::Disabled.as_str(), Status::Disabled),
        ];
        word.find(&ALL).ok_or_else(|| Error::UnknownStatus(crate::Word::new(word)))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The member of this name, in whatever case; null when there is none. If the name repeats the last one counts, as with
/// most readers.
fn member<'a>(object: Object<'a>, name: &'static str) -> Value<'a> {
    let named = object.members().filter(|(key, _)| key.eq_ignore_ascii_case(name));
    named.last().map_or(Value::Null, |(_, value)| value)
}

fn text<'a>(object: Object<'a>, name: &'static str) -> Result<Option<JsonStr<'a>>, AnswerError> {
    match member(object, name) {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        _ => Err(AnswerError::BadMember(name)),
    }
}

fn number(object: Object<'_>, name: &'static str) -> Result<Option<u32>, AnswerError> {
    match member(object, name) {
        Value::Null => Ok(None),
        // Some services put numbers between quotes.
        Value::String(digits) => parse_u32(digits.raw()).map(Some).ok_or(AnswerError::BadMember(name)),
        value => value.as_u32().map(Some).ok_or(AnswerError::BadMember(name)),
    }
}

fn nested<'a>(object: Object<'a>, name: &'static str) -> Result<Option<Object<'a>>, AnswerError> {
    match member(object, name) {
        Value::Null => Ok(None),
        Value::Object(object) => Ok(Some(object)),
        _ => Err(AnswerError::BadMember(name)),
    }
}

fn status(object: Object<'_>) -> Result<Option<Status>, Error> {
    text(object, "status")?.map(Status::parse).transpose()
}

fn parse_object(body: &[u8]) -> Result<Object<'_>, AnswerError> {
    json::parse(body)?.as_object().ok_or(AnswerError::NotAnObject)
}

/// The body of a 2xx answer to register and poll.
///
/// The syntax of the whole body has been checked; members are looked up when asked for. A member counts only at its
/// own level, `null` counts as absent, and members that nobody asks for may hold anything. The accessors give
/// [`AnswerError::BadMember`] for a wrong type. What a registration does not need costs it nothing, whatever it looks
/// like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct OperationStatus<'a>(Object<'a>);

impl<'a> OperationStatus<'a> {
    /// Checks the body.
    ///
    /// # Errors
    /// [`AnswerError::Json`], or [`AnswerError::NotAnObject`].
    pub fn parse(body: &'a [u8]) -> Result<Self, AnswerError> {
        parse_object(body).map(Self)
    }

    /// Names the operation in polls.
    ///
    /// # Errors
    /// See [`OperationStatus`].
    pub fn operation_id(&self) -> Result<Option<JsonStr<'a>>, AnswerError> {
        text(self.0, "operationId")
    }

    /// How the operation stands.
    ///
    /// # Errors
    /// See [`OperationStatus`]; [`AnswerError::Missing`], [`Error::UnknownStatus`].
    pub fn status(&self) -> Result<Status, Error> {
        status(self.0)?.ok_or(Error::Answer(AnswerError::Missing("status")))
    }

    /// Details; nearly always there once the status is final.
    ///
    /// # Errors
    /// See [`OperationStatus`].
    pub fn state(&self) -> Result<Option<RegistrationState<'a>>, AnswerError> {
        Ok(nested(self.0, "registrationState")?.map(RegistrationState))
    }
}

/// What the service knows of the registration. Which members come depends on the status, the attestation and the
/// API version. Accessors work as those of [`OperationStatus`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RegistrationState<'a>(Object<'a>);

impl<'a> RegistrationState<'a> {
    /// Checks a bare registration state, the body of a lookup over HTTPS.
    ///
    /// # Errors
    /// [`AnswerError::Json`], or [`AnswerError::NotAnObject`].
    pub fn parse(body: &'a [u8]) -> Result<Self, AnswerError> {
        parse_object(body).map(Self)
    }

    /// All members, also those without an accessor, such as `x509` or `createdDateTimeUtc`.
    #[must_use]
    pub fn members(&self) -> json::Members<'a> {
        self.0.members()
    }

    /// The registration id as enrolled.
    ///
    /// # Errors
    /// See [`OperationStatus`].
    pub fn registration_id(&self) -> Result<Option<JsonStr<'a>>, AnswerError> {
        text(self.0, "registrationId")
    }

    /// The state, here of the registration, not of the operation.
    ///
    /// # Errors
    /// See [`OperationStatus`]; [`Error::UnknownStatus`].
    pub fn status(&self) -> Result<Option<Status>, Error> {
        status(self.0)
    }

    /// How the assignment came about, as worded by the service; see [`Substatus`](crate::Substatus).
    ///
    /// # Errors
    /// See [`OperationStatus`].
    pub fn substatus(&self) -> Result<Option<JsonStr<'a>>, AnswerError> {
        text(self.0, "substatus")
    }

    /// Host name of the hub.
    ///
    /// # Errors
    /// See [`OperationStatus`].
    pub fn assigned_hub(&self) -> Result<Option<JsonStr<'a>>, AnswerError> {
        text(self.0, "assignedHub")
    }

    /// The device's id at the hub, case-sensitive.
    ///
    /// # Errors
    /// See [`OperationStatus`].
    pub fn device_id(&self) -> Result<Option<JsonStr<'a>>, AnswerError> {
        text(self.0, "deviceId")
    }

    /// Protocol of the hub, as worded by the service; see [`ConnectionProfile`](crate::ConnectionProfile).
    ///
    /// # Errors
    /// See [`OperationStatus`].
    pub fn connection_profile(&self) -> Result<Option<JsonStr<'a>>, AnswerError> {
        text(self.0, "connectionProfile")
    }

    /// The service's own code of a failure, such as 400207.
    ///
    /// # Errors
    /// See [`OperationStatus`].
    pub fn error_code(&self) -> Result<Option<u32>, AnswerError> {
        number(self.0, "errorCode")
    }

    /// Words for people about a failure.
    ///
    /// # Errors
    /// See [`OperationStatus`].
    pub fn error_message(&self) -> Result<Option<JsonStr<'a>>, AnswerError> {
        text(self.0, "errorMessage")
    }

    /// What the custom allocation webhook has for the device, usually an object; null when there is nothing.
    ///
    /// # Errors
    /// See [`OperationStatus`].
    pub fn payload(&self) -> Result<Value<'a>, AnswerError> {
        Ok(member(self.0, "payload"))
    }

    /// Certificates issued for the CSR: base64 of DER each, leaf first.
    ///
    /// # Errors
    /// See [`OperationStatus`].
    pub fn issued_certificate_chain(&self) -> Result<Option<json::Array<'a>>, AnswerError> {
        match member(self.0, "issuedCertificateChain") {
            Value::Null => Ok(None),
            Value::Array(chain) => Ok(Some(chain)),
            _ => Err(AnswerError::BadMember("issuedCertificateChain")),
        }
    }

    /// With a TPM: base64 of the blob that activates the hub key.
    ///
    /// # Errors
    /// See [`OperationStatus`].
    pub fn tpm_authentication_key(&self) -> Result<Option<JsonStr<'a>>, AnswerError> {
        match nested(self.0, "tpm")? {
            Some(tpm) => text(tpm, "authenticationKey"),
            None => Ok(None),
        }
    }

    /// Last change, ISO 8601 UTC with up to seven decimals.
    ///
    /// # Errors
    /// See [`OperationStatus`].
    pub fn last_updated_utc(&self) -> Result<Option<JsonStr<'a>>, AnswerError> {
        text(self.0, "lastUpdatedDateTimeUtc")
    }

    /// Version of the registration's record.
    ///
    /// # Errors
    /// See [`OperationStatus`].
    pub fn etag(&self) -> Result<Option<JsonStr<'a>>, AnswerError> {
        text(self.0, "etag")
    }
}

/// The body of a refusal. Accessors work as those of [`OperationStatus`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ServiceError<'a>(Object<'a>);

impl<'a> ServiceError<'a> {
    /// Checks the body. Proxies answer with other bodies, so a status must be usable without one.
    ///
    /// # Errors
    /// [`AnswerError::Json`], or [`AnswerError::NotAnObject`].
    pub fn parse(body: &'a [u8]) -> Result<Self, AnswerError> {
        parse_object(body).map(Self)
    }

    /// The service's own code, such as 401002; its first three digits are the status.
    ///
    /// # Errors
    /// See [`OperationStatus`].
    pub fn code(&self) -> Result<Option<u32>, AnswerError> {
        number(self.0, "errorCode")
    }

    /// Words for people.
    ///
    /// # Errors
    /// See [`OperationStatus`].
    pub fn message(&self) -> Result<Option<JsonStr<'a>>, AnswerError> {
        text(self.0, "message")
    }

    /// What Azure support asks for.
    ///
    /// # Errors
    /// See [`OperationStatus`].
    pub fn tracking_id(&self) -> Result<Option<JsonStr<'a>>, AnswerError> {
        text(self.0, "trackingId")
    }

    /// When, ISO 8601 UTC.
    ///
    /// # Errors
    /// See [`OperationStatus`].
    pub fn timestamp_utc(&self) -> Result<Option<JsonStr<'a>>, AnswerError> {
        text(self.0, "timestampUtc")
    }

    /// In the first 401 to a TPM: base64 of the activation blob.
    ///
    /// # Errors
    /// See [`OperationStatus`].
    pub fn authentication_key(&self) -> Result<Option<JsonStr<'a>>, AnswerError> {
        text(self.0, "authenticationKey")
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

/// Writes a part of the body. The rare parts are reached through a pointer that the builder of [`Config`] sets, so that
/// firmware without them does not carry their encoder.
pub(crate) type PartWriter = fn(&Config<'_>, &mut Writer<'_>);

pub(crate) fn write_tpm(config: &Config<'_>, body: &mut Writer<'_>) {
    if let Some(tpm) = config.tpm() {
        body.text(",\"tpm\":{\"endorsementKey\":\"");
        write_base64(tpm.endorsement_key, body);
        body.text("\",\"storageRootKey\":\"");
        write_base64(tpm.storage_root_key, body);
        body.text("\"}");
    }
}

pub(crate) fn write_csr(config: &Config<'_>, body: &mut Writer<'_>) {
    if let Some(der) = config.csr() {
        body.text(",\"csr\":\"");
        write_base64(der, body);
        body.text("\"");
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
    if let Some(write) = config.tpm_writer() {
        write(config, &mut body);
    }
    if let (true, Some(write)) = (csr, config.csr_writer()) {
        write(config, &mut body);
    }
    body.text("}");
    Ok(body.finish()?)
}
