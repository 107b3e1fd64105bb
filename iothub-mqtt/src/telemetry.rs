//! Telemetry: messages from the device to the cloud.

use crate::property::{BagWriter, SystemProperty};
use crate::session::QoS;
use crate::text::Writer;
use crate::{Endpoint, Error};

/// Largest message the hub takes, in bytes: payload, names and values of the properties.
pub const MAX_MESSAGE: usize = 262_144;

/// Longest message id, in bytes.
pub const MAX_MESSAGE_ID: usize = 128;

/// A message from the device to the cloud.
///
/// ```
/// use iothub_mqtt::{Endpoint, telemetry::Telemetry};
/// let message = Telemetry::json(br#"{"temperature":21.5}"#).with_properties(&[("alert", "no & yes")]);
/// let endpoint = Endpoint::new("contoso.azure-devices.net", "my-device")?;
/// let mut buffer = [0; 256];
/// assert_eq!(
///     message.topic(&endpoint, &mut buffer)?,
///     "devices/my-device/messages/events/%24.ct=application%2Fjson&%24.ce=utf-8&alert=no%20%26%20yes"
/// );
/// # Ok::<(), iothub_mqtt::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Telemetry<'a> {
    /// The body; any bytes.
    pub payload: &'a [u8],
    /// At least once unless set otherwise.
    pub qos: QoS,
    /// `$.mid`, at most [`MAX_MESSAGE_ID`] bytes.
    pub message_id: Option<&'a str>,
    /// `$.cid`
    pub correlation_id: Option<&'a str>,
    /// `$.ct`
    pub content_type: Option<&'a str>,
    /// `$.ce`
    pub content_encoding: Option<&'a str>,
    /// `$.uid`
    pub user_id: Option<&'a str>,
    /// `$.ctime`: ISO 8601 in UTC, such as `2026-11-24T10:00:00Z`.
    pub creation_time: Option<&'a str>,
    /// `$.sub`: the Plug and Play component that sends.
    pub component: Option<&'a str>,
    /// `$.on`: the module output the message goes to.
    pub output: Option<&'a str>,
    /// Application properties: names and values as they are; they get percent-encoded here.
    pub properties: &'a [(&'a str, &'a str)],
}

impl<'a> Telemetry<'a> {
    /// A message of any bytes.
    #[must_use]
    pub fn new(payload: &'a [u8]) -> Self {
        Self { payload, ..Self::default() }
    }

    /// A message of JSON in UTF-8, marked as such, so that the hub can route by its content.
    #[must_use]
    pub fn json(payload: &'a [u8]) -> Self {
        Self {
            payload,
            content_type: Some("application/json"),
            content_encoding: Some("utf-8"),
            ..Self::default()
        }
    }

    /// With these application properties.
    #[must_use]
    pub fn with_properties(self, properties: &'a [(&'a str, &'a str)]) -> Self {
        Self { properties, ..self }
    }

    /// From this Plug and Play component.
    #[must_use]
    pub fn with_component(self, component: &'a str) -> Self {
        Self { component: Some(component), ..self }
    }

    fn system(&self) -> impl Iterator<Item = (&'static str, &'a str)> {
        use SystemProperty as S;
        [
            (S::MessageId, self.message_id),
            (S::CorrelationId, self.correlation_id),
            (S::ContentType, self.content_type),
            (S::ContentEncoding, self.content_encoding),
            (S::UserId, self.user_id),
            (S::CreationTime, self.creation_time),
            (S::Component, self.component),
            (S::Output, self.output),
        ]
        .into_iter()
        .filter_map(|(property, value)| value.map(|value| (property.name(), value)))
    }

    /// The topic the message is published on, with its properties, in `out`.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`]; [`Error::Invalid`] for a property without a name or a message id that is too
    /// long; [`Error::TooLarge`] if the message passes [`MAX_MESSAGE`].
    pub fn topic<'b>(&self, endpoint: &Endpoint<'_>, out: &'b mut [u8]) -> Result<&'b str, Error> {
        if let Some(at) = self.message_id.map(str::len).filter(|len| *len > MAX_MESSAGE_ID) {
            return Err(Error::Invalid { what: "message id", at });
        }
        let mut size = self.payload.len();
        let mut text = Writer::new(out);
        endpoint.write_topic_base(&mut text);
        text.text("/messages/events/");
        let mut bag = BagWriter::new(&mut text);
        for (name, value) in self.system() {
            size = size.saturating_add(value.len());
            bag.property(name, value);
        }
        for (name, value) in self.properties {
            if name.is_empty() {
                return Err(Error::Invalid { what: "property name", at: 0 });
            }
            size = size.saturating_add(name.len()).saturating_add(value.len());
            bag.property(name, value);
        }
        if size > MAX_MESSAGE {
            return Err(Error::TooLarge);
        }
        text.finish()
    }
}
