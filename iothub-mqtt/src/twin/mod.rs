//! The device twin: its topics and documents, and the order in which desired properties count.

mod tracker;

pub use tracker::{Step, Timing, Tracker};

use crate::{Error, topic};
use azure_iot_common::json::{self, Object, Value};
use azure_iot_common::query;
use azure_iot_common::text::{parse_u32, parse_u64};

/// Filter of the answers to requests.
pub const ANSWER_FILTER: &str = "$iothub/twin/res/#";

/// Filter of changes to desired properties.
pub const DESIRED_FILTER: &str = "$iothub/twin/PATCH/properties/desired/#";

/// Longest request id taken, in bytes.
pub const MAX_REQUEST_ID: usize = topic::MAX_REQUEST_ID;

/// Longest topic [`get_topic`] and [`report_topic`] write, in bytes.
pub const MAX_TOPIC: usize = REPORT.len() + MAX_REQUEST_ID;

/// Largest section of a twin (desired or reported), in bytes.
pub const MAX_SECTION: usize = 32_768;

const GET: &str = "$iothub/twin/GET/?$rid=";
const REPORT: &str = "$iothub/twin/PATCH/properties/reported/?$rid=";
const ANSWER: &str = "$iothub/twin/res/";
const DESIRED: &str = "$iothub/twin/PATCH/properties/desired";

/// The topic that asks for the whole twin, with an empty body.
///
/// # Errors
/// [`Error::BufferTooSmall`]; [`Error::Invalid`] for an empty id or one longer than [`MAX_REQUEST_ID`].
pub fn get_topic<'b>(request_id: &str, out: &'b mut [u8]) -> Result<&'b str, Error> {
    topic::request(GET, request_id, out)
}

/// The topic that reports properties. The body is a JSON object that is merged into the reported ones: `null`
/// removes, objects merge, anything else replaces.
///
/// # Errors
/// As [`get_topic`].
pub fn report_topic<'b>(request_id: &str, out: &'b mut [u8]) -> Result<&'b str, Error> {
    topic::request(REPORT, request_id, out)
}

/// A message about the twin.
#[derive(Clone, Copy, Debug)]
pub enum Message<'a> {
    /// The answer to a request.
    Answer(Answer<'a>),
    /// A change of desired properties.
    Desired(Desired<'a>),
    /// A change of desired properties whose topic does not tell the version: see [`Desired::from_body`].
    Unversioned {
        /// The change as JSON.
        payload: &'a [u8],
    },
}

/// The answer to a request.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// HTTP-like status: 200 the twin, 204 reported, 429 too many requests, 4xx and 5xx.
    pub status: u16,
    /// The request's id.
    pub request_id: &'a str,
    /// The new version of the reported properties; the hub may leave it out.
    pub version: Option<u64>,
    /// Seconds to wait before trying again.
    pub retry_after_s: Option<u32>,
    /// The twin ([`Document`]), empty, or an error.
    pub payload: &'a [u8],
}

impl Answer<'_> {
    /// Whether the request was granted.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// A change of desired properties: a JSON object to be merged into what is known.
#[derive(Clone, Copy, Debug)]
pub struct Desired<'a> {
    /// Version of the desired properties with this change.
    pub version: u64,
    /// The change as JSON, with the same number in `$version`.
    pub payload: &'a [u8],
}

impl<'a> Desired<'a> {
    /// A change whose version stands in its body only; `None` if it does not stand there either: then the whole twin
    /// has to tell what holds.
    #[must_use]
    pub fn from_body(payload: &'a [u8]) -> Option<Self> {
        let version = version(&json::parse(payload).ok()?.as_object()?)?;
        Some(Self { version, payload })
    }

    /// The change as a JSON object.
    ///
    /// # Errors
    /// [`Error::Json`]; [`Error::BadMember`] if it is not an object.
    pub fn object(&self) -> Result<Object<'a>, Error> {
        json::parse(self.payload)?.as_object().ok_or(Error::BadMember("desired"))
    }
}

impl<'a> Message<'a> {
    /// Takes apart `$iothub/twin/res/<status>/?$rid=<id>[&$version=<n>]` or
    /// `$iothub/twin/PATCH/properties/desired/?$version=<n>`, the fields behind the question mark in any order and
    /// spelling ([`query`]). Only status and request id are needed: anything else that cannot be read counts as absent.
    ///
    /// # Errors
    /// [`Error::BadTopic`] for any other topic.
    pub fn parse(topic: &'a str, payload: &'a [u8]) -> Result<Self, Error> {
        let version = |query| query::values(query, "$version").find_map(parse_u64);
        if let Some(rest) = topic.strip_prefix(DESIRED) {
            let query = match rest.strip_prefix('/') {
                Some(rest) => rest.strip_prefix('?').unwrap_or(rest),
                None if rest.is_empty() => rest,
                None => return Err(Error::BadTopic("not about the twin")),
            };
            return Ok(match version(query) {
                Some(version) => Self::Desired(Desired { version, payload }),
                None => Self::Unversioned { payload },
            });
        }
        let rest = topic.strip_prefix(ANSWER).ok_or(Error::BadTopic("not about the twin"))?;
        let (status, query) = topic::last_element(rest).ok_or(Error::BadTopic("status"))?;
        let status = parse_u32(status)
            .and_then(|status| u16::try_from(status).ok())
            .filter(|status| (100..600).contains(status))
            .ok_or(Error::BadTopic("status"))?;
        let request_id = query::values(query, "$rid").next().ok_or(Error::BadTopic("$rid"))?;
        let retry_after_s = query::retry_after(query);
        let version = version(query);
        Ok(Self::Answer(Answer { status, request_id, version, retry_after_s, payload }))
    }
}

/// A whole twin, as the hub sends it: desired and reported properties.
#[derive(Clone, Copy, Debug)]
pub struct Document<'a> {
    desired: Object<'a>,
    reported: Option<Object<'a>>,
    version: Option<u64>,
}

impl<'a> Document<'a> {
    /// Reads the twin in the answer to [`get_topic`]. A section that is absent or null is empty; whatever else stands
    /// in the document is not looked at.
    ///
    /// # Errors
    /// [`Error::Json`]; [`Error::BadMember`] if the twin or its `desired` is not an object.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Error> {
        let document = json::parse(payload)?.as_object().ok_or(Error::BadMember("twin"))?;
        let desired = match document.get("desired") {
            None | Some(Value::Null) => Object::EMPTY,
            Some(value) => value.as_object().ok_or(Error::BadMember("desired"))?,
        };
        let reported = document.get("reported").and_then(|value| value.as_object());
        Ok(Self { desired, reported, version: version(&desired) })
    }

    /// The twin of an MQTT 5 hub: its sections are told apart from their versions.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    #[cfg(feature = "mqtt5-hub")]
    pub(crate) fn from_sections(
        version: u64,
        desired: Option<&'a [u8]>,
        reported: Option<&'a [u8]>,
    ) -> Result<Self, Error> {
        let object = |section: Option<&'a [u8]>, name| match section {
            None | Some([]) => Ok(Object::EMPTY),
            Some(section) => json::parse(section)?.as_object().ok_or(Error::BadMember(name)),
        };
        let desired = object(desired, "desired")?;
        Ok(Self { desired, reported: object(reported, "reported").ok(), version: Some(version) })
    }

    /// The desired properties, with `$version` at a classic hub.
    #[must_use]
    pub fn desired(&self) -> Object<'a> {
        self.desired
    }

    /// The reported properties, with `$version` at a classic hub.
    #[must_use]
    pub fn reported(&self) -> Option<Object<'a>> {
        self.reported
    }

    /// The version of the desired properties; 0 if the twin does not tell.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.unwrap_or(0)
    }

    pub(crate) fn known_version(&self) -> Option<u64> {
        self.version
    }
}

/// The `$version` of a section or of a change.
#[must_use]
pub fn version(object: &Object<'_>) -> Option<u64> {
    object.get("$version")?.as_u64()
}
