//! Cloud-to-device messages, and messages to a module's inputs.

use crate::Error;
use crate::endpoint::{Endpoint, MAX_ID};
use crate::property::{Encoded, Properties, SystemProperty};
use azure_iot_common::text::{Writer, cut};

/// Longest filter [`filter`] writes, in bytes.
pub const MAX_FILTER: usize = "devices/".len() + MAX_ID + "/modules/".len() + MAX_ID + "/#".len();

/// The filter to subscribe to, with QoS 1: messages to the device, or all that goes to the module.
///
/// # Errors
/// [`Error::BufferTooSmall`]; [`Error::Invalid`] for an id with `#` or `+` in it: MQTT would take them for
/// wildcards.
pub fn filter<'b>(endpoint: &Endpoint<'_>, out: &'b mut [u8]) -> Result<&'b str, Error> {
    for id in [Some(endpoint.device_id()), endpoint.module_id()].into_iter().flatten() {
        if let Some(at) = id.bytes().position(|byte| matches!(byte, b'#' | b'+')) {
            return Err(Error::Invalid { what: "id in a topic filter", at });
        }
    }
    let mut text = Writer::new(out);
    endpoint.write_topic_base(&mut text);
    text.text(if endpoint.module_id().is_some() { "/#" } else { "/messages/devicebound/#" });
    Ok(text.finish_str()?)
}

/// A message from the cloud.
///
/// The hub keeps it until it is acknowledged, and sends it again if that does not happen within a minute or so.
/// See [`Client::poll`](crate::Client::poll) for when that is.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The module input it goes to; `None` for a message to the device.
    pub input: Option<&'a str>,
    /// Application and system properties.
    pub properties: Properties<'a>,
    /// The body.
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// Takes apart `devices/<id>/messages/devicebound/<bag>` or
    /// `devices/<id>/modules/<id>/inputs/<input>/<bag>`.
    ///
    /// # Errors
    /// [`Error::BadTopic`] for any other topic.
    pub fn parse(topic: &'a str, payload: &'a [u8]) -> Result<Self, Error> {
        const OTHER: Error = Error::BadTopic("not a cloud-to-device message");
        let rest = topic.strip_prefix("devices/").ok_or(OTHER)?;
        let (device, rest) = cut(rest, b'/');
        let rest = rest.ok_or(OTHER)?;
        if device.is_empty() {
            return Err(Error::BadTopic("device id"));
        }
        if let Some(bag) = rest.strip_prefix("messages/devicebound") {
            // The bag, and the slash before it, may be absent: the filter takes such a topic, too (MQTT 3.1.1,
            // 4.7.1.2).
            let bag = if bag.is_empty() { bag } else { bag.strip_prefix('/').ok_or(OTHER)? };
            return Ok(Self { input: None, properties: Properties::new(bag), payload });
        }
        let rest = rest.strip_prefix("modules/").ok_or(OTHER)?;
        let (module, rest) = cut(rest, b'/');
        let rest = rest.and_then(|rest| rest.strip_prefix("inputs/")).ok_or(OTHER)?;
        if module.is_empty() {
            return Err(Error::BadTopic("module id"));
        }
        // The bag, and the slash before it, may be absent.
        let (input, bag) = cut(rest, b'/');
        if input.is_empty() {
            return Err(Error::BadTopic("input"));
        }
        Ok(Self { input: Some(input), properties: Properties::new(bag.unwrap_or_default()), payload })
    }

    /// The message id, if there is one.
    #[must_use]
    pub fn message_id(&self) -> Option<Encoded<'a>> {
        self.properties.system(SystemProperty::MessageId)
    }

    /// The feedback the sender wants (`iothub-ack`): `none`, `full`, `positive` or `negative`.
    #[must_use]
    pub fn wanted_feedback(&self) -> Option<Encoded<'a>> {
        self.properties.get_ignore_case("iothub-ack").flatten()
    }
}
