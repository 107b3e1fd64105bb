//! The hub's device side over HTTPS: telemetry, fetching cloud-to-device messages, file upload.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderName, RETRY_AFTER};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Call, Reply, Text, blob, empty, reply, set};
use crate::backend::CommandError;
use crate::clock;
use crate::dps::{tracking_id, valid_api_version};
use crate::event::{Event, Telemetry};
use crate::fault::Endpoint;
use crate::hub::auth::{self, Refusal};
use crate::hub::c2d::Next;
use crate::hub::session::MAX_TELEMETRY;
use crate::properties::Properties;
use crate::shared::Shared;

/// Uploads that one device may have open.
const MAX_UPLOADS: usize = 10;
/// A batch of telemetry.
const BATCH: &str = "application/vnd.microsoft.iothub.json";
/// System properties of a message that is one HTTPS request.
const HEADERS: [(&str, &str); 7] = [
    ("iothub-messageid", "$.mid"),
    ("iothub-correlationid", "$.cid"),
    ("iothub-userid", "$.uid"),
    ("iothub-contenttype", "$.ct"),
    ("iothub-contentencoding", "$.ce"),
    ("iothub-expiry", "$.exp"),
    ("iothub-to", "$.to"),
];

/// Status, code and message of an error.
type Problem = (StatusCode, &'static str, String);

fn problem(status: StatusCode, code: &'static str, message: impl Into<String>) -> Problem {
    (status, code, message.into())
}

/// Whether what comes after `/devices/<id>[/modules/<id>]` is for devices.
pub(super) fn is_device_side(method: &Method, rest: &[&str]) -> bool {
    match rest {
        ["messages", "events"]
        | ["files"]
        | ["files", "notifications"]
        | ["files", "notifications", _]
        | ["messages", "devicebound", _, "abandon"] => *method == Method::POST,
        ["messages", "devicebound"] => *method == Method::GET,
        ["messages", "devicebound", _] => *method == Method::DELETE,
        _ => false,
    }
}

pub(super) async fn answer(shared: &Arc<Shared>, mut call: Call) -> Reply {
    let (id, rest) = match call.path.as_slice() {
        [_, device, modules, module, rest @ ..] if modules == "modules" => {
            (format!("{device}/{module}"), rest)
        }
        [_, device, rest @ ..] => (device.clone(), rest),
        _ => return empty(StatusCode::NOT_FOUND),
    };
    let rest: Vec<String> = rest.to_vec();
    if let Some(fault) = shared.faults.take_hub_answer() {
        let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let code = if fault.status == 429 { "ThrottlingException" } else { "ServerError" };
        let mut reply = refuse(shared, &id, problem(status, code, "fault on request"));
        if let Some(seconds) = fault.retry_after {
            set(&mut reply, RETRY_AFTER, &seconds.to_string());
        }
        return reply;
    }
    match handle(shared, &mut call, &id, &rest).await {
        Ok(reply) => reply,
        Err(problem) => refuse(shared, &id, problem),
    }
}

/// What the hub cannot do for its tier or quota.
fn command(error: &CommandError) -> Problem {
    let code =
        if *error == CommandError::QuotaExceeded { "IotHubQuotaExceeded" } else { "OperationNotInTier" };
    problem(StatusCode::FORBIDDEN, code, error.to_string())
}

/// Errors that the service tells as a number in an object in a string.
const NUMBERED: [(&str, u32); 2] = [("IotHubQuotaExceeded", 403_002), ("OperationNotInTier", 403_010)];

fn refuse(shared: &Shared, id: &str, (status, code, message): Problem) -> Reply {
    shared.refused(Endpoint::HubHttps, id, format!("{code}: {message}"));
    let tracking = tracking_id();
    let body = match NUMBERED.iter().find(|(name, _)| *name == code) {
        Some((_, number)) => {
            let error = json!({
                "errorCode": number,
                "trackingId": tracking,
                "message": message,
                "timestampUtc": clock::now(),
            });
            json!({ "Message": error.to_string(), "ExceptionMessage": "" })
        }
        None => json!({
            "Message": format!("ErrorCode:{code};{message}"),
            "ExceptionMessage": format!("Tracking ID:{tracking}-TimeStamp:{}", clock::now()),
        }),
    };
    let mut reply = reply(shared, status, &body);
    set(&mut reply, HeaderName::from_static("iothub-errorcode"), code);
    reply
}

async fn handle(shared: &Arc<Shared>, call: &mut Call, id: &str, rest: &[String]) -> Result<Reply, Problem> {
    if !call.query("api-version").is_some_and(|version| valid_api_version(&version)) {
        let message = "There is no api-version that is a date.";
        return Err(problem(StatusCode::BAD_REQUEST, "InvalidProtocolVersion", message));
    }
    let host = call.host();
    if shared.hub_index(&host).is_none() && !call.caller.may_call_hub(&host) {
        let message = format!("There is no hub {host}.");
        return Err(problem(StatusCode::NOT_FOUND, "IotHubNotFound", message));
    }
    let token = call.header(AUTHORIZATION);
    auth::admit(shared, &call.caller, &host, id, token).map_err(|refusal| match refusal {
        Refusal::Device(reason) => problem(StatusCode::UNAUTHORIZED, "IotHubUnauthorizedAccess", reason),
        Refusal::Machine => problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "ServiceUnavailable",
            "the enrolments cannot be read now",
        ),
    })?;
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    if matches!(rest.as_slice(), ["messages", "devicebound", ..]) {
        shared.needs_cloud_to_device().map_err(|e| command(&e))?;
    }
    match rest.as_slice() {
        ["messages", "events"] => telemetry(shared, call, id).await,
        ["messages", "devicebound"] => fetch(shared, id),
        ["messages", "devicebound", lock] => settle(shared, call, id, lock, false),
        ["messages", "devicebound", lock, _] => settle(shared, call, id, lock, true),
        ["files"] => announce(shared, call, id).await,
        ["files", _, correlation_id] => uploaded(shared, call, id, Some(correlation_id)).await,
        _ => uploaded(shared, call, id, None).await,
    }
}

async fn body(shared: &Shared, call: &mut Call, max: usize) -> Result<hyper::body::Bytes, Problem> {
    call.body(shared, max).await.map_err(|(status, message)| problem(status, "ArgumentInvalid", message))
}

async fn json_body(shared: &Shared, call: &mut Call) -> Result<Value, Problem> {
    let body = body(shared, call, 64 * 1024).await?;
    serde_json::from_slice(&body).map_err(|e| {
        problem(StatusCode::BAD_REQUEST, "ArgumentInvalid", format!("The body is not JSON: {e}"))
    })
}

async fn telemetry(shared: &Shared, call: &mut Call, id: &str) -> Result<Reply, Problem> {
    let body = body(shared, call, 4 * MAX_TELEMETRY).await?;
    let mut messages = Vec::new();
    if call.header(CONTENT_TYPE).is_some_and(|value| value.starts_with(BATCH)) {
        for entry in serde_json::from_slice::<Vec<Value>>(&body).map_err(|e| {
            problem(StatusCode::BAD_REQUEST, "ArgumentInvalid", format!("The batch is not JSON: {e}"))
        })? {
            messages.push(batched(&entry)?);
        }
    } else {
        let mut properties = Properties::new();
        for (name, value) in call.request.headers() {
            let Ok(value) = value.to_str() else { continue };
            if let Some((_, name)) = HEADERS.iter().find(|(header, _)| *header == name.as_str()) {
                if *name != "$.to" {
                    properties.push(*name, Some(value.to_owned()));
                }
            } else if let Some(name) = name.as_str().strip_prefix("iothub-app-") {
                properties.push(name, Some(value.to_owned()));
            }
        }
        messages.push((properties, body.to_vec()));
    }
    for (properties, body) in &messages {
        let size = body.len() + properties.billed_size();
        if size > MAX_TELEMETRY {
            let message = "A message is larger than 256 KB.";
            return Err(problem(StatusCode::PAYLOAD_TOO_LARGE, "MessageTooLarge", message));
        }
        shared.count_message(size).map_err(|e| command(&e))?;
    }
    for (properties, body) in messages {
        let telemetry = Telemetry { device: id.to_owned(), properties, body, qos: 1 };
        shared.events.emit(&Event::Telemetry(telemetry));
    }
    Ok(empty(StatusCode::NO_CONTENT))
}

/// A message of a batch: `{"body": "<base64>", "base64Encoded": true, "properties": {..}}`.
fn batched(entry: &Value) -> Result<(Properties, Vec<u8>), Problem> {
    let bad = |message: &str| problem(StatusCode::BAD_REQUEST, "ArgumentInvalid", message);
    let text = entry.get("body").and_then(Value::as_str).ok_or_else(|| bad("A message has no body."))?;
    let body = if entry.get("base64Encoded").and_then(Value::as_bool) == Some(false) {
        text.as_bytes().to_vec()
    } else {
        BASE64_STANDARD.decode(text).map_err(|_| bad("A message's body is not base64."))?
    };
    let mut properties = Properties::new();
    for (name, value) in entry.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let system = HEADERS.iter().find(|(header, _)| *header == name.as_str()).map(|(_, name)| *name);
        let name = system.or_else(|| name.strip_prefix("iothub-app-")).unwrap_or(name);
        properties.push(name, Some(value));
    }
    Ok((properties, body))
}

/// The lock that a delivery over HTTPS is settled by.
fn lock_token(packet_id: u16) -> String {
    format!("00000000-0000-0000-0000-{packet_id:012}")
}

fn fetch(shared: &Shared, id: &str) -> Result<Reply, Problem> {
    loop {
        let next = shared.with_device(id, |device| {
            let (now, time) = (Instant::now(), clock::unix_millis());
            device.c2d.next(now, time, shared.config.c2d_lock, shared.config.c2d_max_deliveries)
        });
        let device = id.to_owned();
        match next.ok().flatten() {
            None => return Ok(empty(StatusCode::NO_CONTENT)),
            Some(Next::DeadLetter(message_id)) => {
                shared.events.emit(&Event::C2dDeadLettered { device, message_id });
            }
            Some(Next::Expired(message_id)) => shared.events.emit(&Event::C2dExpired { device, message_id }),
            Some(Next::Deliver { message, .. }) => {
                let mut reply = empty(StatusCode::OK);
                *reply.body_mut() = Text::new(message.body.into(), shared.config.https_chunked);
                set(&mut reply, ETAG, &format!("\"{}\"", lock_token(message.packet_id)));
                for (name, value) in message.properties.iter() {
                    let header = match HEADERS.iter().find(|(_, property)| *property == name) {
                        Some((header, _)) => Ok(HeaderName::from_static(header)),
                        None => HeaderName::from_bytes(format!("iothub-app-{name}").as_bytes()),
                    };
                    if let Ok(header) = header {
                        set(&mut reply, header, value.unwrap_or_default());
                    }
                }
                return Ok(reply);
            }
        }
    }
}

fn settle(shared: &Shared, call: &Call, id: &str, lock: &str, free: bool) -> Result<Reply, Problem> {
    let token = lock.trim_matches('"');
    let packet_id = token.rsplit('-').next().and_then(|digits| digits.parse().ok());
    let reject = call.request.uri().query().unwrap_or_default().split('&').any(|f| f.starts_with("reject"));
    let message_id = packet_id
        .filter(|packet_id| lock_token(*packet_id) == token)
        .and_then(|packet_id| shared.with_device(id, |d| d.c2d.settle(packet_id, free)).ok().flatten());
    let Some(message_id) = message_id else {
        let message = "There is no message with this lock.";
        return Err(problem(StatusCode::PRECONDITION_FAILED, "DeviceMessageLockLost", message));
    };
    let device = id.to_owned();
    match (free, reject) {
        (true, _) => {}
        (false, true) => shared.events.emit(&Event::C2dRejected { device, message_id }),
        (false, false) => shared.events.emit(&Event::C2dCompleted { device, message_id }),
    }
    Ok(empty(StatusCode::NO_CONTENT))
}

/// The first step of an upload: where to put the file.
async fn announce(shared: &Shared, call: &mut Call, id: &str) -> Result<Reply, Problem> {
    let bad = |message: &str| problem(StatusCode::BAD_REQUEST, "ArgumentInvalid", message);
    let body = json_body(shared, call).await?;
    let name = body.get("blobName").and_then(Value::as_str).filter(|name| blob::is_name(name));
    let name = name.ok_or_else(|| bad("There is no blobName that is a name."))?;
    let blob = format!("{id}/{name}");
    let correlation_id = BASE64_STANDARD.encode(tracking_id());
    let host = call.header(hyper::header::HOST).unwrap_or_default().to_owned();
    let opened = shared.with_device(id, |device| {
        if device.uploads.len() >= MAX_UPLOADS {
            return false;
        }
        device.uploads.insert(correlation_id.clone(), blob.clone());
        true
    });
    if opened != Ok(true) {
        let message = "Ten uploads are open already.";
        return Err(problem(StatusCode::FORBIDDEN, "DeviceMaximumActiveFileUploadLimitExceeded", message));
    }
    let answer = json!({
        "correlationId": correlation_id,
        "hostName": host,
        "containerName": blob::CONTAINER,
        "blobName": blob,
        "sasToken": blob::token(shared, &blob),
    });
    Ok(reply(shared, StatusCode::OK, &answer))
}

/// The last step of an upload; its correlation id is in the path, as Microsoft's Node SDK puts it, or in the body.
async fn uploaded(
    shared: &Shared,
    call: &mut Call,
    id: &str,
    correlation_id: Option<&str>,
) -> Result<Reply, Problem> {
    let body = json_body(shared, call).await?;
    let in_body = body.get("correlationId").and_then(Value::as_str);
    let correlation_id = correlation_id.or(in_body).unwrap_or_default();
    let blob = shared.with_device(id, |device| device.uploads.remove(correlation_id));
    let Some(blob) = blob.ok().flatten() else {
        let message = "There is no upload with this correlation id.";
        return Err(problem(StatusCode::BAD_REQUEST, "InvalidFileUploadCorrelationId", message));
    };
    let success = body.get("isSuccess").and_then(Value::as_bool).unwrap_or_default();
    let size = shared.blobs().get(&blob).map_or(0, Vec::len);
    shared.events.emit(&Event::FileUploaded { device: id.to_owned(), blob, success, size });
    Ok(empty(StatusCode::NO_CONTENT))
}
