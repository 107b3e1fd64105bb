//! What the service takes from a back end: names, values and payloads. What it would refuse is refused here, and never
//! reaches a device.

use super::clock;
use super::properties::Properties;

/// System properties that a back end may set in a message to a device.
const SYSTEM: [&str; 8] = ["$.mid", "$.cid", "$.uid", "$.ct", "$.ce", "$.exp", "$.to", "$.ctime"];

/// A character that the service takes in the names and values of application properties.
fn is_property_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// A character of a message id.
fn is_id_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-:.+%_#*?!(),=@;$'".contains(c)
}

/// The documented rules for application properties of a message to a device or module. Blanks in values are beyond
/// their letter, but the service passes them on.
pub(super) fn properties(properties: &Properties) -> Result<(), &'static str> {
    for (name, value) in properties.iter() {
        if name.starts_with("$.") {
            system(name, value)?;
        } else if name.is_empty() || !name.chars().all(is_property_character) {
            return Err("a property's name has a character beyond ASCII letters, digits and !#$%&'*+-.^_`|~");
        } else if !value.unwrap_or_default().chars().all(|c| c == ' ' || is_property_character(c)) {
            return Err(
                "a property's value has a character beyond ASCII letters, digits and !#$%&'*+-.^_`|~",
            );
        }
    }
    Ok(())
}

fn system(name: &str, value: Option<&str>) -> Result<(), &'static str> {
    if !SYSTEM.contains(&name) {
        return Err("there is no such system property of a message to a device");
    }
    let value = value.unwrap_or_default();
    match name {
        "$.mid" | "$.cid" if value.len() > 128 || !value.chars().all(is_id_character) => {
            Err("a message or correlation id has at most 128 ASCII letters, digits and -:.+%_#*?!(),=@;$'")
        }
        "$.exp" | "$.ctime" if clock::parse(value).is_none() => {
            Err("a time is ISO 8601, such as 2030-01-02T03:04:05Z")
        }
        "$.ce" if !["utf-8", "utf-16", "utf-32"].iter().any(|known| value.eq_ignore_ascii_case(known)) => {
            Err("a content encoding is utf-8, utf-16 or utf-32")
        }
        _ if value.chars().any(char::is_control) => Err("a system property has a control character"),
        _ => Ok(()),
    }
}

/// The documented rules for a cloud-to-device message.
pub(super) fn c2d_properties(all: &Properties) -> Result<(), &'static str> {
    properties(all)?;
    match all.get("iothub-ack") {
        None | Some("none" | "positive" | "negative" | "full") => Ok(()),
        Some(_) => Err("iothub-ack is none, positive, negative or full"),
    }
}

/// The documented rules for a direct method: printable ASCII without separators, and JSON.
pub(super) fn method(name: &str, payload: &[u8]) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > 100 {
        return Err("a method's name has 1 to 100 characters");
    }
    if !name.chars().all(|c| c.is_ascii_graphic() && !"$()<>@,;:\\\"/[]?={}#+%&".contains(c)) {
        return Err("a method's name has a character that the service does not take");
    }
    if !payload.trim_ascii().is_empty() && serde_json::from_slice::<serde::de::IgnoredAny>(payload).is_err() {
        return Err("a method's payload is JSON");
    }
    Ok(())
}

/// A device's or module's id at the hub: `deviceId` or `deviceId/moduleId`.
pub(super) fn is_identity(id: &str) -> bool {
    let part = |part: &str| {
        (1..=128).contains(&part.len())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-:.+%_#*?!(),=@$'".contains(c))
    };
    match id.split_once('/') {
        Some((device, module)) => part(device) && part(module),
        None => part(id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        let good = Properties::new()
            .with("plain", "a-b~ c")
            .with_null("bare")
            .with("$.mid", "m:1")
            .with("$.exp", "2030-01-02T03:04:05Z")
            .with("iothub-ack", "full");
        assert_eq!(c2d_properties(&good), Ok(()));
        for bad in [
            Properties::new().with("a b", "x"),
            Properties::new().with("ü", "x"),
            Properties::new().with("a", "€"),
            Properties::new().with("a", "line\nbreak"),
            Properties::new().with("$.mid", "m 1"),
            Properties::new().with("$.mid", "x".repeat(129)),
            Properties::new().with("$.exp", "soon"),
            Properties::new().with("$.ce", "latin1"),
            Properties::new().with("$.none", "x"),
            Properties::new().with("iothub-ack", "maybe"),
        ] {
            assert!(c2d_properties(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn methods_and_ids() {
        for (name, payload) in
            [("blink", ""), ("c*reboot", "null"), ("a.b-c_d~!", "{\"a\":[1]}"), ("x", " 1 ")]
        {
            assert_eq!(method(name, payload.as_bytes()), Ok(()), "{name}");
        }
        for (name, payload) in
            [("", ""), ("a b", ""), ("a/b", ""), ("ä", ""), ("a\n", ""), ("a", "{"), ("a", "text")]
        {
            assert!(method(name, payload.as_bytes()).is_err(), "{name}");
        }
        assert!(is_identity("d-1:x") && is_identity("d/$edgeAgent"));
        for bad in ["", "a b", "a/b/c", "/m", "d/", "ä"] {
            assert!(!is_identity(bad), "{bad}");
        }
    }
}
