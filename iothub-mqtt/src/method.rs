//! Direct methods, which are Plug and Play commands too.

use crate::{Error, topic};
use azure_iot_common::query;
use azure_iot_common::text::{Writer, cut};

/// The filter to subscribe to.
pub const FILTER: &str = "$iothub/methods/POST/#";

/// Longest request id taken, in bytes. The hub's are a few hexadecimal digits, or a UUID.
pub const MAX_REQUEST_ID: usize = topic::MAX_REQUEST_ID;

/// Longest payload of request and response, in bytes.
pub const MAX_PAYLOAD: usize = 131_072;

/// Longest topic [`ReplyTo::topic`] writes, in bytes; the status has up to 11 characters.
pub const MAX_RESPONSE_TOPIC: usize = RESPONSE.len() + 11 + REQUEST_ID.len() + MAX_REQUEST_ID;

const REQUEST: &str = "$iothub/methods/POST/";
const RESPONSE: &str = "$iothub/methods/res/";
const REQUEST_ID: &str = "/?$rid=";

/// Status of a response: 200 and the like say that it went well; the caller sees the number as it is.
pub mod status {
    /// The method was carried out.
    pub const OK: i32 = 200;
    /// The payload is not what the method wants.
    pub const BAD_REQUEST: i32 = 400;
    /// There is no such method.
    pub const NOT_FOUND: i32 = 404;
    /// The payload is too large for the device.
    pub const TOO_LARGE: i32 = 413;
    /// The method failed.
    pub const FAILED: i32 = 500;
}

/// A method the cloud calls.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Name of the method as it was sent.
    pub name: &'a str,
    /// Identifies the call; a response carries it.
    pub request_id: &'a str,
    /// The argument: JSON, or empty.
    pub payload: &'a [u8],
}

impl<'a> Request<'a> {
    /// Takes apart `$iothub/methods/POST/<name>/?$rid=<id>`; other fields beside the id are passed over.
    ///
    /// # Errors
    /// [`Error::BadTopic`] for any other topic, and for a request id longer than [`MAX_REQUEST_ID`].
    pub fn parse(topic: &'a str, payload: &'a [u8]) -> Result<Self, Error> {
        let rest = topic.strip_prefix(REQUEST).ok_or(Error::BadTopic("not a method"))?;
        let (name, query) = topic::last_element(rest).ok_or(Error::BadTopic("method"))?;
        if name.is_empty() {
            return Err(Error::BadTopic("method name"));
        }
        let request_id = query::values(query, "$rid").next().ok_or(Error::BadTopic("$rid"))?;
        if request_id.len() > MAX_REQUEST_ID {
            return Err(Error::BadTopic("$rid"));
        }
        Ok(Self { name, request_id, payload })
    }

    /// Component and command of a Plug and Play command: `<component>*<command>`, or no component.
    #[must_use]
    pub fn command(&self) -> (Option<&'a str>, &'a str) {
        match cut(self.name, b'*') {
            (component, Some(command)) if !component.is_empty() => (Some(component), command),
            _ => (None, self.name),
        }
    }

    /// Where the response goes; to be kept while the method runs.
    #[must_use]
    pub fn reply_to(&self) -> ReplyTo {
        // `parse` let no longer one pass; a request made by hand with a longer one gets no response.
        ReplyTo(heapless::String::try_from(self.request_id).unwrap_or_default())
    }
}

/// The address of a response. One response a call; after the service's time-out it is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ReplyTo(heapless::String<MAX_REQUEST_ID>);

impl ReplyTo {
    /// A response to the call with this request id.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is empty or longer than [`MAX_REQUEST_ID`].
    pub fn new(request_id: &str) -> Result<Self, Error> {
        let at = request_id.len();
        match heapless::String::try_from(request_id) {
            Ok(id) if at > 0 => Ok(Self(id)),
            _ => Err(Error::Invalid { what: "request id", at }),
        }
    }

    /// The request id.
    #[cfg(feature = "mqtt5-hub")]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The topic of the response, at most [`MAX_RESPONSE_TOPIC`] bytes.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`].
    pub fn topic<'b>(&self, status: i32, out: &'b mut [u8]) -> Result<&'b str, Error> {
        let mut text = Writer::new(out);
        text.text(RESPONSE).decimal_i32(status).text(REQUEST_ID).text(&self.0);
        Ok(text.finish_str()?)
    }
}
