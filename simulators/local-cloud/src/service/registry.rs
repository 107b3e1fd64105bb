//! The registry: identities of devices and modules, one by one and in bulk, and how many there are.

use axum::http::Method;
use serde_json::{Value, json};

use super::identity::{self, split};
use super::problem::Problem;
use super::{Answer, Call, no_content, ok};
use crate::hub::record::text;
use crate::rules;

/// Identities that one bulk operation or list may have.
const MAX_LIST: usize = 1000;
const MAX_BULK: usize = 100;

/// `GET`, `PUT` or `DELETE` of one identity.
pub(super) fn one(call: &Call<'_>, id: &str) -> Answer {
    match call.method {
        Method::GET => {
            let mut hub = call.shared.hub();
            let device = hub.device(id).ok_or_else(|| Problem::not_found(id))?;
            ok(&identity::describe(id, device))
        }
        Method::PUT => {
            let body = call.json()?;
            let (device, module) = split(id);
            let names = |name: &str, wanted: &str| text(&body, name).is_none_or(|id| id == wanted);
            if !names("deviceId", device) || module.is_some_and(|module| !names("moduleId", module)) {
                return Err(Problem::argument("The id in the body is not that of the address."));
            }
            ok(&put(call, id, call.if_match(), &body)?)
        }
        Method::DELETE => {
            remove(call, id, call.if_match())?;
            no_content()
        }
        _ => Err(Problem::registry(405, "InvalidOperation", "There is no such operation.")),
    }
}

/// Creates an identity (no `If-Match`), or changes the one that is there.
fn put(call: &Call<'_>, id: &str, if_match: Option<&str>, body: &Value) -> Result<Value, Problem> {
    let (device_id, module) = split(id);
    if !rules::is_identity(id) {
        return Err(Problem::argument("The id has characters that are not allowed, or is longer than 128."));
    }
    let credential = identity::credential(body)?;
    let mut hub = call.shared.hub();
    if module.is_some() && hub.device(device_id).is_none() {
        return Err(Problem::not_found(device_id));
    }
    match (hub.device(id), if_match) {
        (Some(_), None) => {
            let (kind, name) = if module.is_some() { ("Module", "module") } else { ("Device", "device") };
            let code = if module.is_some() { "ModuleAlreadyExistsOnDevice" } else { "DeviceAlreadyExists" };
            let message = format!("{kind} {id} already registered: a {name} is changed with If-Match");
            return Err(Problem::registry(409, code, message));
        }
        (None, Some(_)) => return Err(Problem::not_found(id)),
        (Some(device), Some(_)) if !identity::matches(if_match, device) => {
            return Err(Problem::precondition());
        }
        _ => {}
    }
    hub.put(id, credential);
    let device = hub.device(id).ok_or_else(|| Problem::not_found(id))?;
    identity::change(device, body);
    Ok(identity::describe(id, device))
}

fn remove(call: &Call<'_>, id: &str, if_match: Option<&str>) -> Result<(), Problem> {
    let mut hub = call.shared.hub();
    let device = hub.device(id).ok_or_else(|| Problem::not_found(id))?;
    if !identity::matches(if_match, device) {
        return Err(Problem::precondition());
    }
    hub.remove(id);
    Ok(())
}

/// The first devices of the registry, in no order that the service promises.
pub(super) fn list(call: &Call<'_>) -> Answer {
    let top = call.parameter("top").and_then(|text| text.parse().ok()).unwrap_or(MAX_LIST).min(MAX_LIST);
    let mut hub = call.shared.hub();
    let ids: Vec<String> = hub.ids().into_iter().filter(|id| !id.contains('/')).take(top).collect();
    let list: Vec<Value> =
        ids.iter().filter_map(|id| Some(identity::describe(id, hub.device(id)?))).collect();
    ok(&Value::Array(list))
}

/// The modules of a device.
pub(super) fn modules(call: &Call<'_>, device: &str) -> Answer {
    let mut hub = call.shared.hub();
    if hub.device(device).is_none() {
        return Err(Problem::not_found(device));
    }
    let prefix = format!("{device}/");
    let ids: Vec<String> = hub.ids().into_iter().filter(|id| id.starts_with(&prefix)).collect();
    let list: Vec<Value> =
        ids.iter().filter_map(|id| Some(identity::describe(id, hub.device(id)?))).collect();
    ok(&Value::Array(list))
}

/// Up to a hundred changes; each one succeeds or fails by itself.
pub(super) fn bulk(call: &Call<'_>) -> Answer {
    let Value::Array(entries) = call.json()? else {
        return Err(Problem::argument("The body is not a list."));
    };
    if entries.len() > MAX_BULK {
        return Err(Problem::registry(400, "TooManyDevices", "A list has up to 100 devices."));
    }
    let mut errors = Vec::new();
    for entry in &entries {
        if let Err(problem) = one_of_bulk(call, entry) {
            errors.push(json!({
                "deviceId": text(entry, "id"),
                "moduleId": text(entry, "moduleId"),
                "errorCode": problem.name(),
                "errorStatus": problem.message(),
            }));
        }
    }
    ok(&json!({ "isSuccessful": errors.is_empty(), "errors": errors, "warnings": [] }))
}

fn one_of_bulk(call: &Call<'_>, entry: &Value) -> Result<(), Problem> {
    let device = text(entry, "id").ok_or_else(|| Problem::argument("An entry has no id."))?;
    let id = match text(entry, "moduleId").filter(|module| !module.is_empty()) {
        Some(module) => format!("{device}/{module}"),
        None => device,
    };
    let tag = text(entry, "eTag").or_else(|| text(entry, "etag"));
    let exists = call.shared.hub().device(&id).is_some();
    let mode = text(entry, "importMode").unwrap_or_else(|| "create".to_owned());
    match mode.as_str() {
        "create" => put(call, &id, None, entry).map(drop)?,
        "update" => put(call, &id, Some("*"), entry).map(drop)?,
        "updateIfMatchETag" => put(call, &id, tag.as_deref().or(Some("*")), entry).map(drop)?,
        "createOrUpdate" => put(call, &id, exists.then_some("*"), entry).map(drop)?,
        "createOrUpdateIfMatchETag" => {
            put(call, &id, exists.then(|| tag.as_deref().unwrap_or("*")), entry).map(drop)?;
        }
        "delete" => return remove(call, &id, None),
        "deleteIfMatchETag" => return remove(call, &id, tag.as_deref().or(Some("*"))),
        "updateTwin" | "updateTwinIfMatchETag" => {}
        other => return Err(Problem::argument(format!("There is no import mode {other}."))),
    }
    let (tags, desired) = identity::twin_parts(entry)?;
    let if_match = (mode == "updateTwinIfMatchETag").then_some(tag).flatten();
    super::twins::change(call.shared, &id, if_match.as_deref(), false, (tags, desired)).map(drop)
}

/// How many devices there are, and how many of them are let in.
pub(super) fn device_statistics(call: &Call<'_>) -> Answer {
    let hub = call.shared.hub();
    let (mut enabled, mut disabled) = (0_u32, 0_u32);
    for (_, _, device) in hub.iter().filter(|(_, id, _)| !id.contains('/')) {
        if device.enabled {
            enabled += 1;
        } else {
            disabled += 1;
        }
    }
    ok(&json!({
        "totalDeviceCount": enabled + disabled,
        "enabledDeviceCount": enabled,
        "disabledDeviceCount": disabled,
    }))
}

/// How many devices are online.
pub(super) fn service_statistics(call: &Call<'_>) -> Answer {
    let hub = call.shared.hub();
    let connected =
        hub.iter().filter(|(_, id, device)| !id.contains('/') && device.session.is_some()).count();
    ok(&json!({ "connectedDeviceCount": connected }))
}
