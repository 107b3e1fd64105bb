//! What the forms do. Each one changes something, remembers what is to be said about it, and leads back to the page.

use std::collections::HashMap;
use std::time::Duration;

use axum::Form;
use axum::extract::State;
use axum::response::Response;
use serde_json::{Map, Value};

use super::layout::device_link;
use super::{App, Shown, guard, see_other};
use crate::fault::Fault;
use crate::hub::Credential;
use crate::properties::Properties;
use crate::rules;
use crate::service::{change_twin as save_twin, new_key};
use crate::shown::body as body_text;

pub(super) type Fields = HashMap<String, String>;
/// What is said about it: a success or a failure.
pub(super) type Outcome = Result<String, String>;

/// The fields of a form that is this page's own.
pub(super) fn checked<'a>(
    app: &App,
    fields: &'a Fields,
) -> Result<impl Fn(&str) -> &'a str + use<'a>, String> {
    let token = fields.get("form").map(String::as_str).unwrap_or_default();
    if guard::same(token, &app.form_token) {
        Ok(|name: &str| fields.get(name).map(String::as_str).unwrap_or_default())
    } else {
        Err("The form is not this page's, or from before a restart: nothing was done.".to_owned())
    }
}

pub(super) fn done(app: &App, outcome: Outcome, back: &str) -> Response {
    app.say(outcome);
    see_other(back)
}

pub(super) async fn create_device(State(app): State<Shown>, Form(fields): Form<Fields>) -> Response {
    let outcome = checked(&app, &fields).and_then(|field| {
        let id = field("id").trim();
        if !rules::is_identity(id) {
            return Err(format!("{id:?} cannot be a device id."));
        }
        let mut hub = app.shared.hub();
        if hub.device(id).is_some() {
            return Err(format!("There is a device {id} already."));
        }
        if id.split_once('/').is_some_and(|(device, _)| hub.device(device).is_none()) {
            return Err("A module needs its device.".to_owned());
        }
        hub.put(id, Credential::Keys(vec![new_key(), new_key()]));
        Ok(format!("{id} is there; its keys are in the registry (GET /devices/{id})."))
    });
    done(&app, outcome, "/portal/devices")
}

pub(super) async fn change_device(State(app): State<Shown>, Form(fields): Form<Fields>) -> Response {
    let mut back = "/portal/devices".to_owned();
    let outcome = checked(&app, &fields).and_then(|field| {
        let (id, what) = (field("id"), field("do"));
        if what == "delete" {
            let deleted = app.shared.hub().remove(id);
            return if deleted {
                Ok(format!("{id} is deleted."))
            } else {
                Err(format!("The hub has no device {id}."))
            };
        }
        back = device_link(id);
        let changed = app.shared.with_device(id, |device| match what {
            "purge" => device.c2d.clear(),
            _ => device.set_enabled(what == "enable"),
        });
        changed.map_err(|e| e.to_string())?;
        Ok(if what == "purge" {
            "Nothing is waiting any more.".to_owned()
        } else {
            format!("{id} is {what}d.")
        })
    });
    done(&app, outcome, &back)
}

fn object(text: &str, what: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(format!("{what} have to be a JSON object.")),
        Err(e) => Err(format!("{what} are not JSON: {e}.")),
    }
}

pub(super) async fn change_twin(State(app): State<Shown>, Form(fields): Form<Fields>) -> Response {
    let id = fields.get("id").cloned().unwrap_or_default();
    let outcome = checked(&app, &fields).and_then(|field| {
        let tags = object(field("tags"), "The tags")?;
        let desired = object(field("desired"), "The desired properties")?;
        save_twin(&app.shared, &id, field("etag"), (Some(tags), Some(desired)))?;
        Ok("The twin is saved; a device that listens has it already.".to_owned())
    });
    done(&app, outcome, &device_link(&id))
}

pub(super) async fn invoke(State(app): State<Shown>, Form(fields): Form<Fields>) -> Response {
    let id = fields.get("id").cloned().unwrap_or_default();
    let outcome = match checked(&app, &fields) {
        Ok(field) => call(&app, &id, field("method"), field("payload").trim()).await,
        Err(e) => Err(e),
    };
    done(&app, outcome, &device_link(&id))
}

async fn call(app: &App, id: &str, method: &str, payload: &str) -> Outcome {
    if !payload.is_empty() {
        serde_json::from_str::<Value>(payload).map_err(|e| format!("The payload is not JSON: {e}."))?;
    }
    let wait = Duration::from_secs(30);
    let answer = app.shared.invoke_method(id, method, payload.as_bytes().to_vec(), wait).await;
    let answer = answer.map_err(|e| format!("{method}: {e}."))?;
    Ok(format!("{method} answered {}: {}", answer.status, body_text(&answer.body)))
}

pub(super) async fn send(State(app): State<Shown>, Form(fields): Form<Fields>) -> Response {
    let id = fields.get("id").cloned().unwrap_or_default();
    let outcome = checked(&app, &fields).and_then(|field| {
        let properties = Properties::parse(field("properties").trim())
            .ok_or("The properties are not name=value&other=value, percent-encoded.")?;
        let body = field("body").as_bytes().to_vec();
        let message = app.shared.send_c2d(&id, body, &properties).map_err(|e| format!("Not sent: {e}."))?;
        Ok(format!("Message {message} is on its way, or waits for the device."))
    });
    done(&app, outcome, &device_link(&id))
}

pub(super) async fn fault(State(app): State<Shown>, Form(fields): Form<Fields>) -> Response {
    let outcome = checked(&app, &fields).and_then(|field| {
        let mut object = Map::new();
        for (name, value) in fields.iter().filter(|(name, value)| *name != "form" && !value.is_empty()) {
            // Numbers and switches are JSON as they stand; all else is text.
            let value = serde_json::from_str(value)
                .ok()
                .filter(|value: &Value| value.is_number() || value.is_boolean());
            object.insert(name.clone(), value.unwrap_or_else(|| field(name).into()));
        }
        if object.get("fault").is_some_and(|name| name == "twinError") {
            let number = |name: &str| object.get(name).and_then(Value::as_u64);
            let status =
                number("status").and_then(|n| u16::try_from(n).ok()).ok_or("The status is no status.")?;
            let count = number("count").unwrap_or(1).min(1000);
            app.shared.faults.fail_twin_requests(status, usize::try_from(count).unwrap_or(1));
        } else {
            let fault: Fault =
                serde_json::from_value(Value::Object(object)).map_err(|e| format!("Not done: {e}."))?;
            app.shared.play(&fault).map_err(|e| format!("Not done: {e}."))?;
        }
        Ok("Done.".to_owned())
    });
    done(&app, outcome, "/portal/faults")
}
