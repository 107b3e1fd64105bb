//! The service side: the REST interfaces that back ends and operators use, with tokens of the shared access policies.
//!
//! The hub's registry, twins, queries, methods, jobs and cloud-to-device messages, and the provisioning service's
//! enrolments and registrations, answered and refused as the services do.
//!
//! What the services offer over AMQP 1.0 only, sending messages to devices and reading telemetry, is here over HTTPS:
//! `POST /devices/<id>/messages/deviceBound`, and `GET /messages/events`, a stream of server-sent events.
//! `POST /faults` plays a [`Fault`]. `SERVICE.md` says what is here, what is not, and why there is no AMQP.

mod enrollment;
mod identity;
mod jobs;
mod messages;
mod policy;
mod problem;
mod query;
mod registry;
mod select;
mod twins;

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, IF_MATCH};
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use serde_json::Value;

use crate::dps::{tracking_id, valid_api_version};
use crate::fault::{Endpoint, Fault};
use crate::percent;
use crate::shared::Shared;
pub(super) use enrollment::new_key;
pub(super) use identity::twin as describe_twin;
pub(super) use messages::stream;
pub use policy::Policy;
use policy::Right;
use problem::Problem;

/// The largest request body taken.
const MAX_BODY: usize = 512 * 1024;

/// What the service side remembers beside the registry.
#[derive(Default)]
pub(super) struct State {
    jobs: jobs::Jobs,
}

/// What the addresses of the service side begin with.
const COLLECTIONS: [&str; 9] = [
    "faults",
    "devices",
    "twins",
    "jobs",
    "statistics",
    "messages",
    "enrollments",
    "enrollmentGroups",
    "registrations",
];

/// Whether a request is the service side's; the others are devices'.
pub(super) fn is_for(method: &Method, path: &str) -> bool {
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    match *segments.as_slice() {
        ["devices", _, "messages", "deviceBound"] => method == Method::POST,
        ["devices", _, "messages" | "files", ..]
        | ["devices", _, "modules", _, "messages" | "files", ..]
        | [] => false,
        [first, ..] => COLLECTIONS.contains(&first),
    }
}

/// A request, taken apart.
struct Call<'a> {
    shared: &'a Arc<Shared>,
    method: Method,
    /// Percent-decoded.
    segments: Vec<String>,
    query: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Call<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn if_match(&self) -> Option<&str> {
        self.headers.get(IF_MATCH).and_then(|value| value.to_str().ok())
    }

    /// A parameter of the query.
    fn parameter(&self, name: &str) -> Option<String> {
        percent::pairs(&self.query).find(|(n, _)| *n == name).and_then(|(_, value)| percent::decode(value?))
    }

    /// The body as JSON.
    fn json(&self) -> Result<Value, Problem> {
        serde_json::from_slice(&self.body)
            .map_err(|e| Problem::argument(format!("The body is not JSON: {e}")))
    }

    /// How many entries of a list are wanted at most, from `x-ms-max-item-count`.
    fn page_size(&self) -> usize {
        let wanted = self.header("x-ms-max-item-count").and_then(|text| text.parse().ok());
        wanted.unwrap_or(100).clamp(1, 1000)
    }
}

/// Puts tags and desired properties in the place of those of the version `etag`; the error is for people.
pub(super) fn change_twin(shared: &Shared, id: &str, etag: &str, parts: twins::Parts) -> Result<(), String> {
    match twins::change(shared, id, Some(etag), true, parts) {
        Ok(_) => Ok(()),
        Err(problem) if problem.name() == "PreconditionFailed" => {
            Err("The twin was changed by somebody else meanwhile: nothing was saved.".to_owned())
        }
        Err(problem) => Err(format!("The twin was not saved: {}.", problem.message())),
    }
}

type Answer = Result<Response<Body>, Problem>;

fn json_response(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    response
}

#[allow(clippy::unnecessary_wraps)] // what every operation ends with
fn ok(body: &Value) -> Answer {
    let mut response = json_response(StatusCode::OK, body);
    if let Some(etag) = body.get("etag").and_then(Value::as_str)
        && let Ok(etag) = HeaderValue::from_str(&format!("\"{}\"", etag.trim_matches('"')))
    {
        response.headers_mut().insert("etag", etag);
    }
    Ok(response)
}

#[allow(clippy::unnecessary_wraps)] // what every operation ends with
fn no_content() -> Answer {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// Answers one request of the service side.
pub(super) async fn respond<B>(shared: &Arc<Shared>, request: Request<B>) -> Response<Body>
where
    B: axum::body::HttpBody<Data = axum::body::Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    let (head, body) = request.into_parts();
    let mut response = match handle(shared, head, Body::new(body)).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    };
    if let Ok(id) = HeaderValue::from_str(&tracking_id()) {
        response.headers_mut().insert("x-ms-request-id", id);
    }
    response
}

async fn handle(shared: &Arc<Shared>, head: axum::http::request::Parts, body: Body) -> Answer {
    let path = head.uri.path();
    let segments: Option<Vec<String>> = path.trim_matches('/').split('/').map(percent::decode).collect();
    let segments = segments.ok_or_else(|| Problem::argument("The path is not percent-encoded text."))?;
    let provisioning = ["enrollments", "enrollmentGroups", "registrations"]
        .contains(&segments.first().map(String::as_str).unwrap_or_default());
    let right = if provisioning { Right::Provisioning } else { right(&head.method, &segments) };
    let authorization = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    if let Err(reason) = shared.check_policy(authorization, path, right) {
        let endpoint = if provisioning { Endpoint::DpsHttps } else { Endpoint::Hub };
        shared.refused(endpoint, &format!("{} {path}", head.method), reason.to_owned());
        return Err(if provisioning {
            Problem::provisioning(401_002, format!("Unauthorized: {reason}"))
        } else {
            Problem::registry(401, "IotHubUnauthorizedAccess", format!("Unauthorized: {reason}"))
        });
    }
    let body = to_bytes(body, MAX_BODY)
        .await
        .map_err(|_| Problem::registry(413, "MessageTooLarge", "The body did not arrive or is too large."))?;
    let call = Call {
        shared,
        method: head.method,
        segments,
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body: body.into(),
    };
    if !call.parameter("api-version").is_some_and(|version| valid_api_version(&version)) {
        return Err(if provisioning {
            Problem::provisioning(400_004, "There is no api-version that is a date.")
        } else {
            Problem::registry(400, "InvalidProtocolVersion", "There is no api-version that is a date.")
        });
    }
    route(&call).await
}

/// Plays a fault: not the service's, but for tests.
fn fault(call: &Call<'_>) -> Answer {
    let fault: Fault = serde_json::from_slice(&call.body).map_err(|e| Problem::argument(e.to_string()))?;
    call.shared.play(&fault).map_err(|e| Problem::argument(e.to_string()))?;
    no_content()
}

/// What a request at the hub needs.
fn right(method: &Method, segments: &[String]) -> Right {
    match (method, segments.first().map(String::as_str), segments.get(1).map(String::as_str)) {
        (_, Some("devices"), Some("query")) | (_, Some("statistics"), _) => Right::RegistryRead,
        (_, Some("devices"), _) if segments.iter().any(|s| s == "messages" || s == "commands") => {
            Right::ServiceConnect
        }
        (&Method::GET, Some("devices"), _) => Right::RegistryRead,
        (_, Some("devices"), _) => Right::RegistryWrite,
        _ => Right::ServiceConnect,
    }
}

async fn route(call: &Call<'_>) -> Answer {
    let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
    let (get, put, post) =
        (call.method == Method::GET, call.method == Method::PUT, call.method == Method::POST);
    let (delete, patch) = (call.method == Method::DELETE, call.method == Method::PATCH);
    match segments.as_slice() {
        ["devices"] if get => registry::list(call),
        ["devices"] if post => registry::bulk(call),
        ["devices", "query"] if post => query::devices(call),
        ["devices", id, "modules"] if get => registry::modules(call, id),
        ["devices", id, "commands"] if delete => messages::purge(call, id),
        ["devices", id, "messages", "deviceBound"] if post => messages::send(call, id),
        ["devices", id] => registry::one(call, id),
        ["devices", id, "modules", module] => registry::one(call, &format!("{id}/{module}")),
        ["messages", "events"] if get => Ok(messages::events(call)),
        ["faults"] if post => fault(call),
        ["statistics", "devices"] if get => registry::device_statistics(call),
        ["statistics", "service"] if get => registry::service_statistics(call),
        ["twins", id] if get || put || patch => twins::one(call, id),
        ["twins", id, "modules", module] if get || put || patch => {
            twins::one(call, &format!("{id}/{module}"))
        }
        ["twins", id, "methods"] if post => twins::invoke(call, id).await,
        ["twins", id, "modules", module, "methods"] if post => {
            twins::invoke(call, &format!("{id}/{module}")).await
        }
        ["jobs", "v2", "query"] if get => jobs::list(call),
        ["jobs", "v2", id] if get || put => jobs::one(call, id),
        ["jobs", "v2", id, "cancel"] if post => jobs::cancel(call, id),
        [kind @ ("enrollments" | "enrollmentGroups"), rest @ ..] => enrollment::route(call, kind, rest),
        ["registrations", rest @ ..] => enrollment::registrations(call, rest),
        _ => Err(Problem::registry(404, "InvalidOperation", "There is no such operation.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_devices_and_of_the_service() {
        for (method, path) in [
            (Method::GET, "/devices/d"),
            (Method::POST, "/devices/query"),
            (Method::POST, "/devices/d/messages/deviceBound"),
            (Method::GET, "/devices/d/modules/m"),
            (Method::GET, "/enrollments/x"),
            (Method::POST, "/registrations/g/query"),
        ] {
            assert!(is_for(&method, path), "{method} {path}");
        }
        for (method, path) in [
            (Method::GET, "/devices/d/messages/deviceBound"),
            (Method::POST, "/devices/d/messages/events"),
            (Method::POST, "/devices/d/files"),
            (Method::POST, "/devices/d/modules/m/messages/events"),
            (Method::PUT, "/0ne00000000/registrations/r/register"),
            (Method::GET, "/$iothub/websocket"),
            (Method::GET, "/"),
        ] {
            assert!(!is_for(&method, path), "{method} {path}");
        }
    }
}
