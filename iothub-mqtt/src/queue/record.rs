//! A message as it lies in the queue.

use crate::session::QoS;
use crate::telemetry::{MAX_MESSAGE, MAX_MESSAGE_ID};
use crate::{Error, Telemetry};
use core::fmt::Write as _;
use heapless::{String, Vec};
use serde::{Deserialize, Serialize};

/// Application properties of a message in a queue, at most.
pub const MAX_PROPERTIES: usize = 16;
/// The longest id that a queue gives, in bytes.
const MAX_GIVEN_ID: usize = 16 + 1 + 10;

/// What a record is. Kinds are added at the end: what an earlier firmware has written is read by a later one.
#[allow(clippy::large_enum_variant, reason = "without an allocator there is nowhere else to put it")]
#[derive(Serialize, Deserialize)]
pub(super) enum Record<'a> {
    Message(#[serde(borrow)] Message<'a>),
    /// How many messages were dropped, for when no message is there to tell.
    Dropped(u32),
}

impl<'a> Record<'a> {
    pub(super) fn decode(bytes: &'a [u8]) -> Option<Self> {
        // What comes after the record is of no interest: a later firmware may have written more.
        postcard::from_bytes(bytes).ok()
    }

    /// The length in `out`.
    pub(super) fn encode(&self, out: &mut [u8]) -> Result<usize, Error> {
        postcard::to_slice(self, out).map(|bytes| bytes.len()).map_err(|_| Error::TooLarge)
    }
}

/// Which message of a queue; it keeps its name over resets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RecordId {
    /// The random number of the start that stored it.
    pub(super) start: u64,
    /// Its number since then.
    pub(super) number: u32,
}

/// A message out of a queue.
#[allow(clippy::struct_field_names, reason = "the names of the properties")]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Message<'a> {
    pub(super) id: RecordId,
    /// How many messages the queue had dropped when it took this one.
    pub(super) dropped: u32,
    message_id: Option<&'a str>,
    correlation_id: Option<&'a str>,
    content_type: Option<&'a str>,
    content_encoding: Option<&'a str>,
    user_id: Option<&'a str>,
    creation_time: Option<&'a str>,
    component: Option<&'a str>,
    output: Option<&'a str>,
    #[serde(borrow)]
    properties: Vec<(&'a str, &'a str), MAX_PROPERTIES>,
    payload: &'a [u8],
    #[serde(skip)]
    given_id: String<MAX_GIVEN_ID>,
}

impl<'a> Message<'a> {
    pub(super) fn new(telemetry: &Telemetry<'a>, id: RecordId, dropped: u32) -> Result<Self, Error> {
        let properties = Vec::from_slice(telemetry.properties).map_err(|_| Error::TooLarge)?;
        if properties.iter().any(|(name, _)| name.is_empty()) {
            return Err(Error::Invalid { what: "property name", at: 0 });
        }
        if let Some(at) = telemetry.message_id.map(str::len).filter(|len| *len > MAX_MESSAGE_ID) {
            return Err(Error::Invalid { what: "message id", at });
        }
        if telemetry.payload.len() > MAX_MESSAGE {
            return Err(Error::TooLarge);
        }
        Ok(Self {
            id,
            dropped,
            message_id: telemetry.message_id,
            correlation_id: telemetry.correlation_id,
            content_type: telemetry.content_type,
            content_encoding: telemetry.content_encoding,
            user_id: telemetry.user_id,
            creation_time: telemetry.creation_time,
            component: telemetry.component,
            output: telemetry.output,
            properties,
            payload: telemetry.payload,
            given_id: String::new(),
        })
    }

    /// Which one.
    #[must_use]
    pub fn id(&self) -> RecordId {
        self.id
    }

    /// The message to send, with the id that it was stored with, or else the queue's: the start's random number in
    /// hexadecimal, a hyphen, a running number. It is the same whenever the message is sent.
    #[must_use]
    pub fn telemetry(&self) -> Telemetry<'_> {
        Telemetry {
            payload: self.payload,
            qos: QoS::AtLeastOnce,
            message_id: Some(self.message_id.unwrap_or(&self.given_id)),
            correlation_id: self.correlation_id,
            content_type: self.content_type,
            content_encoding: self.content_encoding,
            user_id: self.user_id,
            creation_time: self.creation_time,
            component: self.component,
            output: self.output,
            properties: &self.properties,
        }
    }
}

/// A record as it was read from flash, see [`TelemetryQueue::load`](super::TelemetryQueue::load).
#[derive(Clone, Copy)]
pub struct Stored<'a>(pub(crate) &'a [u8]);

impl<'a> Stored<'a> {
    /// A record that was read in another way.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The message in it.
    ///
    /// # Errors
    /// [`Error::QueueCorrupted`] if the bytes are no longer those that were read.
    pub fn message(&self) -> Result<Message<'a>, Error> {
        let Some(Record::Message(mut message)) = Record::decode(self.0) else {
            return Err(Error::QueueCorrupted);
        };
        let RecordId { start, number } = message.id;
        write!(message.given_id, "{start:016x}-{number}").map_err(|_| Error::QueueCorrupted)?;
        Ok(message)
    }

    /// Length of the record in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing; never so.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl core::fmt::Debug for Stored<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Stored").field(&self.0.len()).finish()
    }
}
