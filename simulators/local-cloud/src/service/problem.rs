//! What is answered when something cannot be done, in the words of the service concerned.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};

use crate::backend::CommandError;
use crate::{clock, dps::tracking_id};

/// A refusal.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    status: u16,
    form: Form,
    message: String,
}

#[derive(Debug, Clone, Copy)]
enum Form {
    /// `ErrorCode:DeviceNotFound;...`, the registry's.
    Registry(&'static str),
    /// A number in an object in a string, the form of everything that concerns a device that is online.
    Device(u32),
    /// The provisioning service's: a number in an object.
    Provisioning(u32),
}

impl Problem {
    /// The hub's registry refuses: HTTP status, name of the error, and what else there is to say.
    pub(super) fn registry(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, form: Form::Registry(code), message: message.into() }
    }

    /// Something in the request is wrong.
    pub(super) fn argument(message: impl Into<String>) -> Self {
        Self::registry(400, "ArgumentInvalid", message)
    }

    pub(super) fn not_found(id: &str) -> Self {
        match id.split_once('/') {
            Some((device, module)) => {
                let message = format!("Module {module} on device {device} not registered");
                Self::registry(404, "ModuleNotFound", message)
            }
            None => Self::registry(404, "DeviceNotFound", format!("Device {id} not registered")),
        }
    }

    pub(super) fn precondition() -> Self {
        Self::registry(412, "PreconditionFailed", "Precondition failed: Device version did not match")
    }

    /// The provisioning service refuses; the first three digits of `code` are the HTTP status.
    pub(super) fn provisioning(code: u32, message: impl Into<String>) -> Self {
        let status = u16::try_from(code / 1000).unwrap_or(500);
        Self { status, form: Form::Provisioning(code), message: message.into() }
    }

    /// Why a command to this device failed.
    pub(super) fn command(id: &str, error: &CommandError) -> Self {
        let device = |code: u32| Self {
            status: u16::try_from(code / 1000).unwrap_or(500),
            form: Form::Device(code),
            message: error.to_string(),
        };
        match error {
            CommandError::UnknownDevice => Self::not_found(id),
            CommandError::NotListening => device(404_103),
            CommandError::TimedOut => device(504_101),
            CommandError::QueueFull => {
                Self::registry(403, "DeviceMaximumQueueDepthExceeded", error.to_string())
            }
            CommandError::NotInTier => device(403_010),
            CommandError::QuotaExceeded => device(403_002),
            CommandError::TooLarge => Self::registry(413, "MessageTooLarge", error.to_string()),
            CommandError::Refused(why) => Self::argument(*why),
        }
    }

    /// The name of a registry's error; what a bulk operation's list says.
    pub(super) fn name(&self) -> String {
        match self.form {
            Form::Registry(name) => name.to_owned(),
            Form::Device(code) | Form::Provisioning(code) => code.to_string(),
        }
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// Code and message of a provisioning error, for the list of a bulk operation.
    pub(super) fn entry(&self, id: &str) -> Value {
        let code =
            if let Form::Provisioning(code) = self.form { code } else { u32::from(self.status) * 1000 };
        json!({ "registrationId": id, "errorCode": code, "errorStatus": self.message })
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let tracking = tracking_id();
        let numbered = |code: u32| {
            json!({
                "errorCode": code,
                "trackingId": tracking,
                "message": self.message,
                "timestampUtc": clock::now(),
            })
        };
        let body = match self.form {
            Form::Registry(code) => json!({
                "Message": format!("ErrorCode:{code};{}", self.message),
                "ExceptionMessage": format!("Tracking ID:{tracking}-TimeStamp:{}", clock::now()),
            }),
            Form::Device(code) => json!({ "Message": numbered(code).to_string(), "ExceptionMessage": "" }),
            Form::Provisioning(code) => numbered(code),
        };
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        if let Form::Registry(code) = self.form {
            headers.insert("iothub-errorcode", HeaderValue::from_static(code));
        }
        response
    }
}
