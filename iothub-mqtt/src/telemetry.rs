//! Telemetry: messages from the device to the cloud.

use crate::endpoint::MAX_ID;
use crate::property::{BagWriter, SystemProperty};
use crate::session::QoS;
use crate::{Endpoint, Error};
use azure_iot_common::text::Writer;

/// Largest message the hub takes, in bytes: payload, names and values of the properties.
pub const MAX_MESSAGE: usize = 262_144;

/// Longest part of a telemetry topic before the properties, in bytes.
pub const MAX_TOPIC_BASE: usize =
    "devices/".len() + MAX_ID + "/modules/".len() + MAX_ID + "/messages/events/".len();

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

    /// The properties as an MQTT 5 hub wants them. The content type has a property of MQTT's own beside.
    #[cfg(feature = "mqtt5-hub")]
    pub(crate) fn user_properties<'s, const N: usize>(
        &'s self,
        out: &mut heapless::Vec<(&'s str, &'s str), N>,
    ) -> Result<(), Error> {
        if let Some(at) = self.message_id.map(str::len).filter(|len| *len > MAX_MESSAGE_ID) {
            return Err(Error::Invalid { what: "message id", at });
        }
        let mut size = self.payload.len();
        let system = self.system().map(|(name, value)| {
            (if name == SystemProperty::ContentType.name() { "content-type" } else { name }, value)
        });
        for (name, value) in system.chain(self.properties.iter().copied()) {
            // Microsoft's SDKs take the kind of a message from the first property of this name.
            if name.is_empty() || name == crate::mqtt5::Kind::PROPERTY {
                return Err(Error::Invalid { what: "property name", at: 0 });
            }
            size = size.saturating_add(name.len()).saturating_add(value.len());
            out.push((name, value)).map_err(|_| Error::TooLarge)?;
        }
        if size > MAX_MESSAGE { Err(Error::TooLarge) } else { Ok(()) }
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
        Ok(text.finish_str()?)
    }
}

/// Several readings in one message: a JSON array, filled until the buffer is full.
///
/// The hub counts messages in units of 4 KB, so that a batch costs less than its readings one by one.
///
/// ```
/// use iothub_mqtt::telemetry::{Batch, Telemetry};
/// let mut buffer = [0; 20];
/// let mut batch = Batch::new(&mut buffer)?;
/// assert!(batch.push(r#"{"t":1}"#)?);
/// assert!(batch.push(r#"{"t":2}"#)?);
/// assert!(!batch.push(r#"{"t":3}"#)?); // full: send this one and begin another
/// let message = Telemetry::json(batch.finish()?);
/// assert_eq!(message.payload, br#"[{"t":1},{"t":2}]"#);
/// # Ok::<(), iothub_mqtt::Error>(())
/// ```
#[derive(Debug)]
pub struct Batch<'b> {
    text: Writer<'b>,
    count: usize,
}

impl<'b> Batch<'b> {
    /// An empty batch.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`] if not even an empty array fits.
    pub fn new(out: &'b mut [u8]) -> Result<Self, Error> {
        if out.len() < 2 {
            return Err(Error::BufferTooSmall { needed: 2 });
        }
        let mut text = Writer::new(out);
        text.text("[");
        Ok(Self { text, count: 0 })
    }

    /// Adds a reading, which is JSON; `false` if it does not fit any more.
    ///
    /// # Errors
    /// [`Error::Json`].
    pub fn push(&mut self, reading: &str) -> Result<bool, Error> {
        let before = self.text.len();
        if self.count > 0 {
            self.text.text(",");
        }
        crate::json::value(&mut self.text, crate::json::Value::Raw(reading))
            .inspect_err(|_| self.text.truncate(before))?;
        // One byte is for the closing bracket.
        let end = self.text.len();
        self.text.text("]");
        let fits = !self.text.is_over();
        self.text.truncate(if fits { end } else { before });
        self.count += usize::from(fits);
        Ok(fits)
    }

    /// How many readings it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The body of the message.
    ///
    /// # Errors
    /// None in practice: there was room for the end.
    pub fn finish(mut self) -> Result<&'b [u8], Error> {
        self.text.text("]");
        Ok(self.text.finish()?)
    }
}
