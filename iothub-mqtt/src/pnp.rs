//! Plug and Play conventions on top of telemetry, methods and the twin.
//!
//! - The model id is announced on connect: [`Announcement::with_model_id`](crate::Announcement::with_model_id).
//! - Telemetry of a component: [`Telemetry::with_component`](crate::telemetry::Telemetry::with_component).
//! - Commands: [`method::Request::command`](crate::method::Request::command).
//! - Properties of components, and the acknowledgement of writable ones: here.

use crate::json::{self, Value};
use crate::{Error, json::string};
use azure_iot_common::json::{JsonStr, Object, Value as Read};
use azure_iot_common::text::Writer;

/// A property in a twin section or in a change of desired properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Property<'a> {
    /// The component it belongs to; `None` for the default component.
    pub component: Option<JsonStr<'a>>,
    /// Its name.
    pub name: JsonStr<'a>,
    /// Its value.
    pub value: Read<'a>,
}

/// The properties in `section`: desired or reported properties, or a change.
///
/// A change need not say which of its members are components, so the device says it: `components` are the names
/// of its model's. Members that begin with `$` and the marks of components (`__t`) are left out. A member with
/// a component's name that is not an object is given as a property.
pub fn properties<'a, 'c>(
    section: &Object<'a>,
    components: &'c [&'c str],
) -> impl Iterator<Item = Property<'a>> + use<'a, 'c> {
    section.members().filter(|(name, _)| !name.raw().starts_with('$')).flat_map(|(name, value)| {
        let inner = match value {
            Read::Object(object) if components.iter().any(|component| name == **component) => Some(object),
            _ => None,
        };
        let whole = inner.is_none().then_some(Property { component: None, name, value });
        let parts = inner.into_iter().flat_map(move |object| {
            object.members().filter(|(part, _)| *part != "__t").map(move |(part, value)| Property {
                component: Some(name),
                name: part,
                value,
            })
        });
        whole.into_iter().chain(parts)
    })
}

/// How the device took a new value of a writable property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Acknowledgement<'a> {
    /// HTTP-like status: 200 done, 202 going on, 203 the device's own initial value, 4xx and 5xx refused.
    pub status: i32,
    /// The version of the desired properties the value came with.
    pub version: i64,
    /// A text for people, if it is not empty.
    pub description: &'a str,
}

/// Writes the JSON of reported properties into a buffer.
///
/// ```
/// use iothub_mqtt::pnp::{Acknowledgement, Report};
/// let mut buffer = [0; 256];
/// let mut report = Report::new(&mut buffer);
/// report.property("serialNumber", "a-17")?;
/// report.begin_component("thermostat1")?;
/// let done = Acknowledgement { status: 200, version: 3, description: "" };
/// report.acknowledge("targetTemperature", 23, done)?;
/// assert_eq!(
///     report.finish()?,
///     r#"{"serialNumber":"a-17","thermostat1":{"__t":"c","targetTemperature":{"value":23,"ac":200,"av":3}}}"#
/// );
/// # Ok::<(), iothub_mqtt::Error>(())
/// ```
#[derive(Debug)]
pub struct Report<'b> {
    text: Writer<'b>,
    /// Nothing stands in the innermost open object.
    empty: bool,
    in_component: bool,
}

impl<'b> Report<'b> {
    /// An empty report.
    pub fn new(out: &'b mut [u8]) -> Self {
        let mut text = Writer::new(out);
        text.text("{");
        Self { text, empty: true, in_component: false }
    }

    fn name(&mut self, name: &str) -> Result<(), Error> {
        // The rules of the service: no control characters, dots, dollar signs or spaces, at most 1 KB.
        let at = name.find(|c: char| c.is_control() || matches!(c, '.' | '$' | ' '));
        if let Some(at) = at.or((name.is_empty() || name.len() > 1024).then_some(name.len())) {
            return Err(Error::Invalid { what: "property name", at });
        }
        if !self.empty {
            self.text.text(",");
        }
        self.empty = false;
        string(&mut self.text, name);
        self.text.text(":");
        Ok(())
    }

    /// A property and its value, in the component begun last.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name the service does not take, [`Error::Json`] for a raw value that is not JSON.
    pub fn property<'v>(&mut self, name: &str, value: impl Into<Value<'v>>) -> Result<(), Error> {
        self.name(name)?;
        json::value(&mut self.text, value.into())
    }

    /// Acknowledges a writable property of the component begun last: the value it has now, and how that came.
    ///
    /// # Errors
    /// As [`property`](Self::property).
    pub fn acknowledge<'v>(
        &mut self,
        name: &str,
        value: impl Into<Value<'v>>,
        acknowledgement: Acknowledgement<'_>,
    ) -> Result<(), Error> {
        self.name(name)?;
        self.text.text("{\"value\":");
        json::value(&mut self.text, value.into())?;
        self.text.text(",\"ac\":").decimal_i32(acknowledgement.status);
        self.text.text(",\"av\":").decimal_i64(acknowledgement.version);
        if !acknowledgement.description.is_empty() {
            self.text.text(",\"ad\":");
            string(&mut self.text, acknowledgement.description);
        }
        self.text.text("}");
        Ok(())
    }

    /// What follows belongs to this component, until the next one begins. Report the properties of the default
    /// component first, and each component once.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name the service does not take.
    pub fn begin_component(&mut self, component: &str) -> Result<(), Error> {
        self.end_component();
        self.name(component)?;
        self.text.text("{\"__t\":\"c\"");
        self.in_component = true;
        Ok(())
    }

    fn end_component(&mut self) {
        if self.in_component {
            self.text.text("}");
            self.in_component = false;
        }
    }

    /// The whole report.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`].
    pub fn finish(mut self) -> Result<&'b str, Error> {
        self.end_component();
        self.text.text("}");
        Ok(self.text.finish_str()?)
    }
}
