//! The property bag: `name=value&name=value` at the end of a topic, both sides percent-encoded.

use crate::Error;
use azure_iot_common::percent;
use azure_iot_common::query;
use azure_iot_common::text::{Pieces, Writer, cut};

/// Percent-encoded text, decoded only when asked. May come from the network: decoding checks it.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Encoded<'a>(&'a str);

impl<'a> Encoded<'a> {
    /// The text as it was sent.
    #[must_use]
    pub fn raw(&self) -> &'a str {
        self.0
    }

    /// The text decoded into `out`; the raw length is always enough. A `+` stays a plus.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`]; [`Error::Invalid`] for a `%` without two hexadecimal digits, or if the result
    /// is not UTF-8.
    pub fn decode<'b>(&self, out: &'b mut [u8]) -> Result<&'b str, Error> {
        let bytes = percent::decode(self.0, out)?;
        core::str::from_utf8(bytes).map_err(|e| Error::Invalid { what: "UTF-8", at: e.valid_up_to() })
    }

    /// The decoded bytes one by one; an error stands for a `%` that is not followed by two hexadecimal digits.
    #[must_use]
    pub fn bytes(&self) -> percent::Decoder<'a> {
        percent::Decoder::new(self.0)
    }
}

impl PartialEq<str> for Encoded<'_> {
    /// Compares what the text decodes to.
    fn eq(&self, other: &str) -> bool {
        self.bytes().eq(other.bytes().map(Ok))
    }
}

impl PartialEq<&str> for Encoded<'_> {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

/// The properties of a received message.
///
/// A bare name stands for null, `name=` for an empty value; empty fields (`&&`) are skipped. Names may repeat;
/// [`get`](Self::get) finds the first.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Properties<'a>(&'a str);

impl<'a> Properties<'a> {
    /// The properties in `bag`, the text after the last slash of a topic; it may begin with a question mark.
    #[must_use]
    pub fn new(bag: &'a str) -> Self {
        Self(bag.strip_prefix('?').unwrap_or(bag))
    }

    /// The bag as it was sent, without the question mark.
    #[must_use]
    pub fn raw(&self) -> &'a str {
        self.0
    }

    /// All properties in order: name, and value unless it is null.
    pub fn iter(&self) -> impl Iterator<Item = (Encoded<'a>, Option<Encoded<'a>>)> + use<'a> {
        Pieces::new(self.0, b'&').filter(|field| !field.is_empty()).map(|field| {
            let (name, value) = cut(field, b'=');
            (Encoded(name), value.map(Encoded))
        })
    }

    /// The value of the property with the (decoded) name `name`.
    ///
    /// `None`: no such property; `Some(None)`: its value is null.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Option<Encoded<'a>>> {
        self.iter().find(|(found, _)| *found == *name).map(|(_, value)| value)
    }

    /// As [`get`](Self::get), whatever the case of the name: those of the service's own properties differ between SDKs.
    #[must_use]
    pub fn get_ignore_case(&self, name: &str) -> Option<Option<Encoded<'a>>> {
        self.iter().find(|(found, _)| query::is_name(found.0, name)).map(|(_, value)| value)
    }

    /// The value of a system property, in any spelling of its name, unless it is absent or null.
    #[must_use]
    pub fn system(&self, property: SystemProperty) -> Option<Encoded<'a>> {
        self.get_ignore_case(property.name()).flatten()
    }
}

/// System properties of messages and their names in the property bag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SystemProperty {
    /// `$.mid`: message id, at most 128 characters.
    MessageId,
    /// `$.cid`: correlation id.
    CorrelationId,
    /// `$.ct`: content type, such as `application/json`; needed for routing by the body's content.
    ContentType,
    /// `$.ce`: content encoding: `utf-8`, `utf-16` or `utf-32`.
    ContentEncoding,
    /// `$.uid`: user id.
    UserId,
    /// `$.ctime`: creation time, ISO 8601 in UTC.
    CreationTime,
    /// `$.sub`: Plug and Play component.
    Component,
    /// `$.on`: output of a module.
    Output,
    /// `$.exp`: expiry time.
    Expiry,
    /// `$.to`: destination, on messages from the cloud.
    To,
    /// `$.cdid`: id of the device the message came from.
    ConnectionDevice,
    /// `$.cmid`: id of the module the message came from.
    ConnectionModule,
}

impl SystemProperty {
    /// The name, decoded.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MessageId => "$.mid",
            Self::CorrelationId => "$.cid",
            Self::ContentType => "$.ct",
            Self::ContentEncoding => "$.ce",
            Self::UserId => "$.uid",
            Self::CreationTime => "$.ctime",
            Self::Component => "$.sub",
            Self::Output => "$.on",
            Self::Expiry => "$.exp",
            Self::To => "$.to",
            Self::ConnectionDevice => "$.cdid",
            Self::ConnectionModule => "$.cmid",
        }
    }
}

/// Writes a bag field by field.
pub(crate) struct BagWriter<'w, 'b> {
    text: &'w mut Writer<'b>,
    first: bool,
}

impl<'w, 'b> BagWriter<'w, 'b> {
    pub(crate) fn new(text: &'w mut Writer<'b>) -> Self {
        Self { text, first: true }
    }

    pub(crate) fn property(&mut self, name: &str, value: &str) {
        if !self.first {
            self.text.text("&");
        }
        self.first = false;
        self.text.encoded(name).text("=").encoded(value);
    }
}
