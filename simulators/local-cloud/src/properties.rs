//! Message properties: the bag at the end of a telemetry or cloud-to-device topic.

use super::percent;

/// Names and values in the order of the topic. A bare name has no value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties {
    entries: Vec<(String, Option<String>)>,
}

impl Properties {
    /// No properties.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one property; system properties are named `$.mid`, `$.ct` and so on.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.push(name, Some(value.into()));
        self
    }

    /// Adds one property with no value: a bare name in the topic, `null` to the receiver.
    #[must_use]
    pub fn with_null(mut self, name: impl Into<String>) -> Self {
        self.push(name, None);
        self
    }

    pub(super) fn push(&mut self, name: impl Into<String>, value: Option<String>) {
        self.entries.push((name.into(), value));
    }

    /// The value of the first property of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.entries.iter().find(|(n, _)| n == name).and_then(|(_, value)| value.as_deref())
    }

    /// Whether there is a property of this name, with or without a value.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.entries.iter().any(|(n, _)| n == name)
    }

    /// All properties in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.entries.iter().map(|(name, value)| (name.as_str(), value.as_deref()))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The bytes that count towards a message's size: system properties by value, others by name and value.
    pub(super) fn billed_size(&self) -> usize {
        self.iter()
            .map(|(name, value)| {
                value.map_or(0, str::len) + if name.starts_with("$.") { 0 } else { name.len() }
            })
            .sum()
    }

    /// Reads a bag; `None` if a name is empty or something is not percent-encoded text.
    #[must_use]
    pub fn parse(bag: &str) -> Option<Self> {
        let mut entries = Vec::new();
        for (name, value) in percent::pairs(bag) {
            let name = percent::decode(name).filter(|name| !name.is_empty())?;
            let value = match value {
                Some(value) => Some(percent::decode(value)?),
                None => None,
            };
            entries.push((name, value));
        }
        Some(Self { entries })
    }

    /// Writes the bag with everything encoded, as the service does.
    pub(super) fn encode(&self) -> String {
        let parts: Vec<String> = self
            .iter()
            .map(|(name, value)| match value {
                Some(value) => format!("{}={}", percent::encode(name), percent::encode(value)),
                None => percent::encode(name),
            })
            .collect();
        parts.join("&")
    }
}

/// For programs: an object; a bare name has the value `null`.
impl serde::Serialize for Properties {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// The same object; its order is kept.
impl<'de> serde::Deserialize<'de> for Properties {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> serde::de::Visitor<'de> for Pairs {
            type Value = Properties;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of texts and nulls")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Properties, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Properties { entries })
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bags() {
        let bag = Properties::parse("%24.ct=application%2Fjson&$.ce=utf-8&bare&empty=").unwrap();
        assert_eq!(bag.get("$.ct"), Some("application/json"));
        assert_eq!(bag.get("$.ce"), Some("utf-8"));
        assert!(bag.contains("bare") && bag.get("bare").is_none());
        assert_eq!(bag.get("empty"), Some(""));
        assert_eq!(bag.encode(), "%24.ct=application%2Fjson&%24.ce=utf-8&bare&empty=");
        assert_eq!(
            bag.billed_size(),
            "application/json".len() + "utf-8".len() + "bare".len() + "empty".len()
        );
        assert!(Properties::parse("").unwrap().is_empty());
        assert_eq!(Properties::parse("=x"), None);
        assert_eq!(Properties::parse("a=%G0"), None);
    }
}
