//! The provisioning service over HTTPS (HTTP/1.1).

use std::sync::Arc;

use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER};
use hyper::{Method, StatusCode};
use serde_json::Value;

use super::{Answer, Peer, tracking_id, valid_api_version};
use crate::fault::Endpoint;
use crate::http::{Call, Reply, reply, set};
use crate::percent;
use crate::sas::Token;
use crate::shared::Shared;

/// The largest request body taken.
const MAX_BODY: usize = 64 * 1024;

pub(crate) async fn answer(shared: &Arc<Shared>, mut call: Call) -> Reply {
    let (answer, location) = match handle(shared, &mut call).await {
        Ok(done) => done,
        Err(refused) => {
            let id = call.path.get(2).filter(|_| call.path.get(1).is_some_and(|p| p == "registrations"));
            let code = refused.body.get("errorCode").cloned().unwrap_or_default();
            let message = refused.body.get("message").and_then(Value::as_str).unwrap_or_default();
            let id = id.unwrap_or(&call.caller.address);
            shared.refused(Endpoint::DpsHttps, id, format!("{code} {message}"));
            (refused, None)
        }
    };
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = reply(shared, status, &answer.body);
    set(&mut response, HeaderName::from_static("x-ms-request-id"), &tracking_id());
    if let Some(code) = answer.body.get("errorCode").and_then(Value::as_u64) {
        set(&mut response, HeaderName::from_static("x-ms-error-code"), &code.to_string());
    }
    if let Some(seconds) = answer.retry_after {
        set(&mut response, RETRY_AFTER, &seconds.to_string());
    }
    if let Some(location) = location {
        set(&mut response, LOCATION, &location);
    }
    response
}

/// The answer, and where an operation is to be asked after. What is refused before the device's registration is looked
/// at is the error, and is told here; the rest tells of itself.
async fn handle(shared: &Arc<Shared>, call: &mut Call) -> Result<(Answer, Option<String>), Answer> {
    let api_version = percent::pairs(call.request.uri().query().unwrap_or_default())
        .find(|(name, _)| *name == "api-version")
        .and_then(|(_, value)| value)
        .filter(|version| valid_api_version(version))
        .ok_or_else(|| Answer::error(400_004, "There is no api-version that is a date."))?
        .to_owned();
    let path = call.path.clone();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let &[scope, "registrations", registration_id, ref operation @ ..] = path.as_slice() else {
        return Err(Answer::error(404_000, "No such resource."));
    };
    if scope != shared.config.id_scope {
        return Err(Answer::error(404_201, "No such provisioning service."));
    }
    let token = match call.request.headers().get(AUTHORIZATION) {
        None => None,
        Some(value) => {
            let text = value.to_str().map_err(|_| Answer::error(401_002, "Unauthorized"))?;
            Some(Token::parse(text).map_err(|reason| Answer::error(401_002, reason))?)
        }
    };
    let peer = Peer {
        endpoint: Endpoint::DpsHttps,
        registration_id: registration_id.to_owned(),
        api_version: api_version.clone(),
        caller: call.caller.clone(),
        token,
    };
    let body = call
        .body(shared, MAX_BODY)
        .await
        .map_err(|(status, why)| Answer::error(u32::from(status.as_u16()) * 1000, why))?;
    let is_json = call
        .header(CONTENT_TYPE)
        .is_some_and(|value| value.to_ascii_lowercase().starts_with("application/json"));
    let method = call.request.method();
    if method != Method::GET && !is_json {
        return Err(Answer::error(415_000, "The body is not application/json."));
    }
    match (method, operation) {
        (&Method::PUT, ["register"]) => {
            let answer = shared.register(&peer, &body);
            let location = answer.body.get("operationId").and_then(Value::as_str).map(|id| {
                format!("/{scope}/registrations/{registration_id}/operations/{id}?api-version={api_version}")
            });
            Ok((answer, location))
        }
        (&Method::GET, ["operations", id]) => Ok((shared.operation_status(&peer, id), None)),
        (&Method::POST, []) => Ok((shared.lookup(&peer, &body), None)),
        (_, ["register"] | ["operations", _] | []) => Err(Answer::error(405_000, "Method not allowed.")),
        _ => Err(Answer::error(404_000, "No such resource.")),
    }
}
