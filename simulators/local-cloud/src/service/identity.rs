//! An identity as the registry's REST interface shows and takes it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::problem::Problem;
use super::twins::Parts;
use crate::hub::record::{etag, text};
use crate::hub::{Credential, Device};

/// Splits `device/module`.
pub(super) fn split(id: &str) -> (&str, Option<&str>) {
    id.split_once('/').map_or((id, None), |(device, module)| (device, Some(module)))
}

fn authentication(credential: &Credential) -> Value {
    let thumbprint = |t: &[String], i: usize| t.get(i).cloned();
    let key = |k: &[Vec<u8>], i: usize| k.get(i).map(|key| BASE64_STANDARD.encode(key));
    let none: (Option<String>, Option<String>) = (None, None);
    let (kind, thumbprints, keys) = match credential {
        Credential::Thumbprints(t) => ("selfSigned", (thumbprint(t, 0), thumbprint(t, 1)), none),
        Credential::Keys(k) => ("sas", none, (key(k, 0), key(k, 1))),
        _ => ("certificateAuthority", none.clone(), none),
    };
    json!({
        "type": kind,
        "symmetricKey": { "primaryKey": keys.0, "secondaryKey": keys.1 },
        "x509Thumbprint": { "primaryThumbprint": thumbprints.0, "secondaryThumbprint": thumbprints.1 },
    })
}

fn connection_state(device: &Device) -> &'static str {
    if device.session.is_some() { "Connected" } else { "Disconnected" }
}

/// The identity, as `GET /devices/<id>` answers it.
pub(super) fn describe(id: &str, device: &Device) -> Value {
    let (device_id, module) = split(id);
    let record = &device.record;
    let mut answer = json!({
        "deviceId": device_id,
        "generationId": record.generation_id,
        "etag": record.etag(),
        "connectionState": connection_state(device),
        "connectionStateUpdatedTime": record.connection_updated,
        "lastActivityTime": record.last_activity,
        "cloudToDeviceMessageCount": device.c2d.len(),
        "authentication": authentication(&device.credential),
    });
    if let Some(module) = module {
        answer["moduleId"] = json!(module);
        answer["managedBy"] = json!(record.managed_by);
    } else {
        answer["status"] = json!(status(device));
        answer["statusReason"] = json!(record.status_reason);
        answer["statusUpdatedTime"] = json!(record.status_updated);
        answer["capabilities"] = json!({ "iotEdge": record.iot_edge });
    }
    answer
}

fn status(device: &Device) -> &'static str {
    if device.enabled { "enabled" } else { "disabled" }
}

/// The twin, as `GET /twins/<id>` answers it and queries see it.
pub(crate) fn twin(id: &str, device: &Device) -> Value {
    let (device_id, module) = split(id);
    let (record, twin) = (&device.record, &device.twin);
    let authentication = authentication(&device.credential);
    let section = |document: Value, updated: &str| {
        let mut document = document;
        document["$metadata"] = json!({ "$lastUpdated": updated });
        document
    };
    let mut answer = json!({
        "deviceId": device_id,
        "etag": etag(twin.revision),
        "deviceEtag": record.etag(),
        "status": status(device),
        "statusReason": record.status_reason,
        "statusUpdateTime": record.status_updated,
        "connectionState": connection_state(device),
        "lastActivityTime": record.last_activity,
        "cloudToDeviceMessageCount": device.c2d.len(),
        "authenticationType": authentication["type"],
        "x509Thumbprint": authentication["x509Thumbprint"],
        "modelId": record.model_id,
        "version": twin.revision + twin.reported.version,
        "tags": twin.tags,
        "properties": {
            "desired": section(twin.desired.document(), &twin.desired.updated),
            "reported": section(twin.reported.document(), &twin.reported.updated),
        },
        "capabilities": { "iotEdge": record.iot_edge },
    });
    if let Some(module) = module {
        answer["moduleId"] = json!(module);
    }
    answer
}

/// The credential that the member `authentication` of an identity describes.
pub(super) fn credential(identity: &Value) -> Result<Credential, Problem> {
    let authentication = identity.get("authentication").filter(|value| !value.is_null());
    let new_keys =
        || Credential::Keys(vec![rand::random::<[u8; 32]>().to_vec(), rand::random::<[u8; 32]>().to_vec()]);
    let Some(authentication) = authentication else { return Ok(new_keys()) };
    match text(authentication, "type").unwrap_or_else(|| "sas".to_owned()).as_str() {
        "sas" => {
            let keys = authentication.get("symmetricKey").cloned().unwrap_or_default();
            match (key(&keys, "primaryKey")?, key(&keys, "secondaryKey")?) {
                (None, None) => Ok(new_keys()),
                (primary, secondary) => Ok(Credential::Keys(primary.into_iter().chain(secondary).collect())),
            }
        }
        "selfSigned" => {
            let thumbprints = authentication.get("x509Thumbprint").cloned().unwrap_or_default();
            let mut found = Vec::new();
            for name in ["primaryThumbprint", "secondaryThumbprint"] {
                if let Some(thumbprint) = text(&thumbprints, name).filter(|t| !t.is_empty()) {
                    let hexadecimal = thumbprint.chars().all(|c| c.is_ascii_hexdigit());
                    if !hexadecimal || ![40, 64].contains(&thumbprint.len()) {
                        return Err(Problem::argument("A thumbprint is 40 or 64 hexadecimal digits."));
                    }
                    found.push(thumbprint);
                }
            }
            if found.is_empty() {
                return Err(Problem::argument("There is no thumbprint."));
            }
            Ok(Credential::Thumbprints(found))
        }
        "certificateAuthority" => Ok(Credential::AnyAuthority),
        other => Err(Problem::argument(format!("There is no authentication of type {other}."))),
    }
}

fn key(keys: &Value, name: &str) -> Result<Option<Vec<u8>>, Problem> {
    let Some(key) = text(keys, name).filter(|key| !key.is_empty()) else { return Ok(None) };
    let key =
        BASE64_STANDARD.decode(&key).map_err(|_| Problem::argument(format!("{name} is not base64.")))?;
    if (16..=64).contains(&key.len()) {
        Ok(Some(key))
    } else {
        Err(Problem::argument(format!("{name} is not 16 to 64 bytes long.")))
    }
}

/// Takes over what an identity says beside its credential.
pub(super) fn change(device: &mut Device, identity: &Value) {
    let enabled = !text(identity, "status").is_some_and(|status| status.eq_ignore_ascii_case("disabled"));
    device.set_enabled(enabled);
    device.record.status_reason = text(identity, "statusReason");
    device.record.managed_by = text(identity, "managedBy");
    let edge = identity.get("capabilities").and_then(|c| c.get("iotEdge")).and_then(Value::as_bool);
    device.record.iot_edge = edge.unwrap_or(device.record.iot_edge);
    device.record.changed();
}

/// Whether `If-Match` lets a change of the identity through.
pub(super) fn matches(if_match: Option<&str>, device: &Device) -> bool {
    crate::hub::record::matches(if_match, &device.record.etag())
}

/// Whether `If-Match` lets a change of the twin through.
pub(super) fn twin_matches(if_match: Option<&str>, device: &Device) -> bool {
    crate::hub::record::matches(if_match, &etag(device.twin.revision))
}

/// Tags and desired properties in the body of a twin change: `None` where there is nothing to be done.
pub(super) fn twin_parts(body: &Value) -> Result<Parts, Problem> {
    let object = |value: Option<&Value>, name: &str| match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(members)) => {
            let mut members = members.clone();
            // What a GET shows beside the properties comes back with them.
            members.retain(|name, _| name != "$metadata" && name != "$version");
            Ok(Some(members))
        }
        Some(_) => Err(Problem::argument(format!("{name} is not an object."))),
    };
    let desired = body.get("properties").and_then(|properties| properties.get("desired"));
    Ok((object(body.get("tags"), "tags")?, object(desired, "properties.desired")?))
}
