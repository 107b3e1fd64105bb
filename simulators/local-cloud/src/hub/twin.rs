//! A device twin: desired and reported properties, each with its version, changed by JSON merge (RFC 7396).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::clock;
use crate::enrollment::InitialTwin;

/// Bytes of each section as JSON.
pub(crate) const MAX_SECTION: usize = 32 * 1024;
pub(crate) const SECTION_TOO_LARGE: &str = "the section is larger than 32 KB";
const MAX_DEPTH: usize = 10;
const MAX_KEY: usize = 1024;
const MAX_STRING: usize = 4096;
const MAX_INTEGER: u64 = 1 << 52;

/// Bytes of the tags as JSON.
const MAX_TAGS: usize = 8 * 1024;

/// The two sections that a device sees, and the tags that it does not.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Twin {
    pub(crate) desired: Section,
    pub(crate) reported: Section,
    pub(crate) tags: Map<String, Value>,
    /// Counts the back end's changes; what the entity tag is made of.
    pub(crate) revision: u64,
}

/// Properties and their version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Section {
    properties: Map<String, Value>,
    pub(crate) version: u64,
    /// When it was changed, in the service's form.
    pub(crate) updated: String,
}

impl Default for Twin {
    fn default() -> Self {
        let empty = Section { properties: Map::new(), version: 1, updated: clock::now() };
        Self { desired: empty.clone(), reported: empty, tags: Map::new(), revision: 1 }
    }
}

impl Twin {
    /// What a GET answers.
    pub(crate) fn document(&self) -> Value {
        json!({ "desired": self.desired.document(), "reported": self.reported.document() })
    }

    /// What an enrolment wants a new twin to have. What breaks the rules is left out.
    pub(crate) fn begin(&mut self, initial: &InitialTwin) {
        let _ = self.patch_tags(&initial.tags);
        let _ = self.patch_desired(&initial.desired);
    }

    pub(crate) fn patch_desired(&mut self, patch: &Map<String, Value>) -> Result<u64, &'static str> {
        let version = self.desired.patch(patch)?;
        self.revision += 1;
        Ok(version)
    }

    pub(crate) fn replace_desired(&mut self, properties: &Map<String, Value>) -> Result<u64, &'static str> {
        let version = self.desired.replace(properties)?;
        self.revision += 1;
        Ok(version)
    }

    /// Merges a patch into the tags.
    pub(crate) fn patch_tags(&mut self, patch: &Map<String, Value>) -> Result<(), &'static str> {
        self.set_tags(merged(&self.tags, patch)?)
    }

    /// Puts these in the place of the tags.
    pub(crate) fn replace_tags(&mut self, tags: &Map<String, Value>) -> Result<(), &'static str> {
        self.set_tags(merged(&Map::new(), tags)?)
    }

    fn set_tags(&mut self, tags: Map<String, Value>) -> Result<(), &'static str> {
        if Value::Object(tags.clone()).to_string().len() > MAX_TAGS {
            return Err("the tags are larger than 8 KB");
        }
        self.tags = tags;
        self.revision += 1;
        Ok(())
    }
}

/// `patch` merged into a copy of `target`, both within the rules for names, depth and values.
fn merged(
    target: &Map<String, Value>,
    patch: &Map<String, Value>,
) -> Result<Map<String, Value>, &'static str> {
    check(patch, 1)?;
    let mut merged = target.clone();
    merge(&mut merged, patch);
    check(&merged, 1)?;
    Ok(merged)
}

impl Section {
    /// The properties with `$version`.
    pub(crate) fn document(&self) -> Value {
        with_version(&self.properties, self.version)
    }

    /// Merges a patch in; the error says what the hub has against it. Nothing is changed then.
    pub(crate) fn patch(&mut self, patch: &Map<String, Value>) -> Result<u64, &'static str> {
        self.set(merged(&self.properties, patch)?)
    }

    /// Puts these in the place of all that is there. Nothing is changed if the hub has something against them.
    pub(crate) fn replace(&mut self, properties: &Map<String, Value>) -> Result<u64, &'static str> {
        self.set(merged(&Map::new(), properties)?)
    }

    fn set(&mut self, properties: Map<String, Value>) -> Result<u64, &'static str> {
        if Value::Object(properties.clone()).to_string().len() > MAX_SECTION {
            return Err(SECTION_TOO_LARGE);
        }
        self.properties = properties;
        self.version += 1;
        self.updated = clock::now();
        Ok(self.version)
    }
}

/// `properties` with `$version` added.
pub(crate) fn with_version(properties: &Map<String, Value>, version: u64) -> Value {
    let mut document = properties.clone();
    document.insert("$version".to_owned(), json!(version));
    Value::Object(document)
}

/// Depth is bounded by [`check`], which every patch passes first; so recursion is too.
fn merge(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (name, value) in patch {
        match value {
            Value::Null => {
                target.remove(name);
            }
            Value::Object(inner) => {
                let slot = target.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
                if !slot.is_object() {
                    *slot = Value::Object(Map::new());
                }
                if let Value::Object(slot) = slot {
                    merge(slot, inner);
                }
            }
            other => {
                target.insert(name.clone(), other.clone());
            }
        }
    }
}

fn check(properties: &Map<String, Value>, depth: usize) -> Result<(), &'static str> {
    if depth > MAX_DEPTH {
        return Err("properties are nested deeper than 10");
    }
    for (name, value) in properties {
        if name.is_empty() || name.len() > MAX_KEY {
            return Err("a property name is empty or longer than 1 KB");
        }
        if name.chars().any(|c| c.is_control() || ".$ ".contains(c)) {
            return Err("a property name has a character that is not allowed");
        }
        check_value(value, depth)?;
    }
    Ok(())
}

fn check_value(value: &Value, depth: usize) -> Result<(), &'static str> {
    match value {
        Value::Object(inner) => check(inner, depth + 1),
        Value::Array(items) if depth < MAX_DEPTH => items.iter().try_for_each(|v| check_value(v, depth + 1)),
        Value::Array(_) => Err("properties are nested deeper than 10"),
        Value::String(text) if text.len() > MAX_STRING => Err("a string is longer than 4 KB"),
        Value::Number(number) => {
            let magnitude = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            if magnitude.is_some_and(|m| m > MAX_INTEGER) { Err("an integer is beyond 2^52") } else { Ok(()) }
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(map) => map,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn merge_and_versions() {
        let mut section = Twin::default().reported;
        assert_eq!(section.patch(&object(json!({"a": 1, "b": {"c": 2, "d": 3}}))), Ok(2));
        assert_eq!(section.patch(&object(json!({"a": null, "b": {"c": null, "e": [1]}}))), Ok(3));
        assert_eq!(section.document(), json!({"b": {"d": 3, "e": [1]}, "$version": 3}));
        assert_eq!(section.patch(&object(json!({"b": 5}))), Ok(4));
        assert_eq!(section.patch(&object(json!({"b": {"x": null, "y": 1}}))), Ok(5));
        assert_eq!(section.document(), json!({"b": {"y": 1}, "$version": 5}));
    }

    #[test]
    fn limits() {
        let mut section = Twin::default().reported;
        let mut deep = json!(1);
        for _ in 0..10 {
            deep = json!({ "k": deep });
        }
        assert!(section.patch(&object(deep.clone())).is_ok());
        assert!(section.patch(&object(json!({ "k": deep }))).is_err());
        for bad in [
            json!({"a.b": 1}),
            json!({"$version": 1}),
            json!({"a b": 1}),
            json!({"": 1}),
            json!({"a": "x".repeat(4097)}),
            json!({"a": (1_u64 << 52) + 1}),
            json!({"a": -(1_i64 << 53)}),
        ] {
            assert!(section.patch(&object(bad.clone())).is_err(), "{bad}");
        }
        for i in 0..7 {
            assert!(section.patch(&object(json!({ format!("s{i}"): "x".repeat(4096) }))).is_ok());
        }
        assert!(section.patch(&object(json!({ "s8": "x".repeat(4096) }))).is_err(), "over 32 KB");
        assert_eq!(section.version, 9);
    }
}
