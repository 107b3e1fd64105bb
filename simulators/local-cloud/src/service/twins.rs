//! Twins and direct methods.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};

use super::identity;
use super::problem::Problem;
use super::{Answer, Call, ok};
use crate::backend::CommandError;
use crate::hub::record::text;
use crate::shared::Shared;

/// `GET`, `PUT` (replace) or `PATCH` (merge) of a twin.
pub(super) fn one(call: &Call<'_>, id: &str) -> Answer {
    call.shared.needs_cloud_to_device().map_err(|e| Problem::command(id, &e))?;
    if call.method == Method::GET {
        let mut hub = call.shared.hub();
        let device = hub.device(id).ok_or_else(|| Problem::not_found(id))?;
        return ok(&identity::twin(id, device));
    }
    let parts = identity::twin_parts(&call.json()?)?;
    let replace = call.method == Method::PUT;
    ok(&change(call.shared, id, call.if_match(), replace, parts)?)
}

/// Tags and desired properties of a change.
pub(crate) type Parts = (Option<Map<String, Value>>, Option<Map<String, Value>>);

/// Changes tags and desired properties, and gives the new twin. All of it is done, or nothing.
pub(super) fn change(
    shared: &Shared,
    id: &str,
    if_match: Option<&str>,
    replace: bool,
    (tags, desired): Parts,
) -> Result<Value, Problem> {
    shared.needs_cloud_to_device().map_err(|e| Problem::command(id, &e))?;
    let mut hub = shared.hub();
    let device = hub.device(id).ok_or_else(|| Problem::not_found(id))?;
    if !identity::twin_matches(if_match, device) {
        return Err(Problem::precondition());
    }
    let refused = |why: &'static str| Problem::argument(why);
    let before = device.twin.clone();
    if let Some(tags) = tags.or_else(|| replace.then(Map::new)) {
        if replace {
            device.twin.replace_tags(&tags).map_err(refused)?;
        } else {
            device.twin.patch_tags(&tags).map_err(refused)?;
        }
    }
    let done = match desired {
        Some(desired) if replace => device.replace_desired(&desired),
        None if replace => device.replace_desired(&Map::new()),
        Some(desired) if !desired.is_empty() => device.patch_desired(&desired),
        _ => Ok(0),
    };
    if let Err(why) = done {
        device.twin = before;
        return Err(refused(why));
    }
    Ok(identity::twin(id, device))
}

/// Calls a direct method.
pub(super) async fn invoke(call: &Call<'_>, id: &str) -> Answer {
    ok(&method(call.shared, id, &call.json()?).await?)
}

/// Calls the method that the body of a request describes.
pub(super) async fn method(shared: &Arc<Shared>, id: &str, body: &Value) -> Result<Value, Problem> {
    let name = text(body, "methodName")
        .filter(|name| (1..=100).contains(&name.len()))
        .ok_or_else(|| Problem::argument("methodName is missing, or longer than 100 characters."))?;
    let seconds = |name: &str, least: u64, usual: u64| match body.get(name).and_then(Value::as_u64) {
        Some(seconds) if (least..=300).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        Some(_) => Err(Problem::argument(format!("{name} is not {least} to 300."))),
        None => Ok(Duration::from_secs(usual)),
    };
    let response_timeout = seconds("responseTimeoutInSeconds", 5, 30)?;
    let connect_until = Instant::now() + seconds("connectTimeoutInSeconds", 0, 0)?;
    let payload = body.get("payload").unwrap_or(&Value::Null).to_string().into_bytes();
    let answer = loop {
        match shared.invoke_method(id, &name, payload.clone(), response_timeout).await {
            Err(CommandError::NotListening) if Instant::now() < connect_until => {
                sleep(Duration::from_millis(100)).await;
            }
            done => break done.map_err(|e| Problem::command(id, &e))?,
        }
    };
    let payload: Value = match answer.body.as_slice() {
        [] => Value::Null,
        body => serde_json::from_slice(body).map_err(|_| {
            Problem::registry(502, "InvalidDeviceResponse", "The device's answer is not JSON.")
        })?,
    };
    Ok(json!({ "status": answer.status, "payload": payload }))
}
