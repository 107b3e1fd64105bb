//! What the registry keeps of an identity beside its credential: the fields that a back end reads and writes.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock;

/// The time that stands for "never" in the service's answers.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Of one device or module.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Record {
    /// Tells two devices apart that had the same name one after the other.
    pub(crate) generation_id: String,
    /// Counts the changes of the identity; its entity tag.
    pub(crate) revision: u64,
    /// Why it was disabled, in the words of whoever did it.
    pub(crate) status_reason: Option<String>,
    pub(crate) status_updated: String,
    pub(crate) connection_updated: String,
    pub(crate) last_activity: String,
    /// `capabilities.iotEdge`.
    pub(crate) iot_edge: bool,
    /// `managedBy` of a module.
    pub(crate) managed_by: Option<String>,
    /// The Plug and Play model that the device announced.
    pub(crate) model_id: String,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            generation_id: clock::unix_time().as_nanos().to_string(),
            revision: 1,
            status_reason: None,
            status_updated: NEVER.to_owned(),
            connection_updated: NEVER.to_owned(),
            last_activity: NEVER.to_owned(),
            iot_edge: false,
            managed_by: None,
            model_id: String::new(),
        }
    }
}

impl Record {
    /// The identity was changed.
    pub(crate) fn changed(&mut self) {
        self.revision += 1;
    }

    /// The device has just come or gone.
    pub(crate) fn connection_changed(&mut self) {
        self.connection_updated = clock::now();
        self.last_activity.clone_from(&self.connection_updated);
    }

    /// The entity tag, without the quotes of a header.
    pub(crate) fn etag(&self) -> String {
        etag(self.revision)
    }
}

/// An entity tag as the service forms it: base64 of something that changes.
pub(crate) fn etag(revision: u64) -> String {
    use base64::Engine;
    base64::prelude::BASE64_STANDARD.encode(revision.to_be_bytes())
}

/// Whether `If-Match` lets a change through: absent or `*` always, else one of its tags must be the present one.
pub(crate) fn matches(if_match: Option<&str>, etag: &str) -> bool {
    let Some(wanted) = if_match else { return true };
    wanted.split(',').any(|tag| {
        let tag = tag.trim().trim_start_matches("W/").trim_matches('"');
        tag == "*" || tag == etag
    })
}

/// Text of a JSON member, if it is text.
pub(crate) fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name).and_then(Value::as_str).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_tags() {
        assert_eq!(etag(1), "AAAAAAAAAAE=");
        for let_through in
            [None, Some("*"), Some("\"*\""), Some("\"x\""), Some("W/\"x\""), Some("\"y\", \"x\""), Some("x")]
        {
            assert!(matches(let_through, "x"), "{let_through:?}");
        }
        for kept_out in ["", "\"y\"", "xx"] {
            assert!(!matches(Some(kept_out), "x"), "{kept_out}");
        }
    }
}
