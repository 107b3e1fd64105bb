//! The last events, and their form for the page's script.

use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::event::Event;
use crate::shown::body as body_text;

/// How many events are remembered.
const MAX_EVENTS: usize = 500;

/// The last events, oldest first, as [`for_page`] makes them.
#[derive(Debug, Default)]
pub(super) struct History {
    events: VecDeque<Value>,
}

impl History {
    pub(super) fn add(&mut self, event: &Event) {
        if self.events.len() == MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(for_page(event));
    }

    /// All of them, or those of one device.
    pub(super) fn of(&self, device: Option<&str>) -> Vec<Value> {
        let wanted = |event: &&Value| device.is_none() || event["device"].as_str() == device;
        self.events.iter().filter(wanted).cloned().collect()
    }

    /// Those of one kind, newest first.
    pub(super) fn of_kind(&self, kind: &str) -> Vec<Value> {
        self.events.iter().rev().filter(|event| event["event"] == kind).cloned().collect()
    }
}

/// An event as an object: kind, time, device, and a line for people.
pub(super) fn for_page(event: &Event) -> Value {
    let mut object = event.to_json();
    object["device"] = json!(event.device());
    object["line"] = match event {
        // Time and device have columns of their own.
        Event::Telemetry(telemetry) if telemetry.properties.is_empty() => json!(body_text(&telemetry.body)),
        Event::Telemetry(telemetry) => {
            json!(format!("{}  {}", body_text(&telemetry.body), json!(telemetry.properties)))
        }
        other => json!(other.to_string()),
    };
    object
}
