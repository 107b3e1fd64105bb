//! The hub of the connection profile `mqttV5` (preview of 2026): topics, kinds of messages, and their bodies.
//!
//! Everything goes over four topics each way, `ih/<device id>/srv/…` to the hub and `ih/<device id>/dev/…` to the
//! device; what a message is stands in its user property `type`, what it answers in its correlation data (16 bytes).
//! Bodies are Protocol Buffers around the same JSON as at a classic hub. After every connect the device subscribes to
//! [`filter`] and says [`Kind::Birth`]; nothing is sent to it before the hub has answered.
//!
//! The client drives all this by itself ([`Client`](crate::Client) with an [`Endpoint`] of
//! [`Generation::Mqtt5`](crate::Generation)); here is what it is made of, without I/O.
//!
//! Source: Microsoft's SDK of both generations (github.com/Azure/azure-iot-sdk, `common/Protos` and `c/docs`), and the
//! documents "MQTT v5 capabilities" and "MQTT v5 overview" of Azure IoT Hub.

pub mod method;
pub mod presence;
mod protobuf;
mod stream;
pub mod twin;

pub use stream::V5;

use crate::Error;
use crate::endpoint::{Endpoint, MAX_ID, MAX_PRODUCT_INFO};
use azure_iot_common::backoff::Jitter;
use azure_iot_common::text::Writer;

/// Longest session expiry the hub takes, in seconds; more is cut to it.
pub const MAX_SESSION_EXPIRY_S: u32 = 8 * 60 * 60;

/// Longest keep-alive the hub takes, in seconds.
pub const MAX_KEEP_ALIVE_S: u16 = 1160;

/// Longest topic of the device, in bytes.
pub const MAX_TOPIC: usize = "ih/".len() + MAX_ID + "/srv/telemetry".len();

/// Content type of all bodies but telemetry's.
pub const CONTENT_TYPE: &str = "application/protobuf";

/// Longest user name, in bytes: the nonce in hexadecimal digits, and the product info with every byte encoded.
pub const MAX_USER_NAME: usize =
    "correlationId=".len() + 2 * ID_SIZE + "&clientVersion=".len() + 3 * MAX_PRODUCT_INFO;

/// Bytes of correlation data, request ids, ready ids and nonces.
pub const ID_SIZE: usize = 16;

/// Correlation data, a request id, a ready id or a nonce.
pub type Id = [u8; ID_SIZE];

/// What a topic is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Channel {
    /// Birth and its acknowledgement.
    Presence,
    /// Messages of the device; none come back.
    Telemetry,
    /// The twin.
    Twin,
    /// Direct methods.
    Methods,
}

impl Channel {
    const ALL: [Self; 4] = [Self::Presence, Self::Telemetry, Self::Twin, Self::Methods];

    fn name(self) -> &'static str {
        match self {
            Self::Presence => "presence",
            Self::Telemetry => "telemetry",
            Self::Twin => "twin",
            Self::Methods => "methods",
        }
    }

    /// The topic to publish on, at most [`MAX_TOPIC`] bytes.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`].
    pub fn topic<'b>(self, endpoint: &Endpoint<'_>, out: &'b mut [u8]) -> Result<&'b str, Error> {
        let mut text = Writer::new(out);
        text.text("ih/").text(endpoint.device_id()).text("/srv/").text(self.name());
        Ok(text.finish_str()?)
    }

    /// The channel of a topic of the hub to this device; `None` for any other topic.
    #[must_use]
    pub fn parse(endpoint: &Endpoint<'_>, topic: &str) -> Option<Self> {
        let name = topic.strip_prefix("ih/")?.strip_prefix(endpoint.device_id())?.strip_prefix("/dev/")?;
        Self::ALL.into_iter().find(|channel| channel.name() == name)
    }
}

/// The one filter to subscribe to, with QoS 1, at most [`MAX_TOPIC`] bytes.
///
/// # Errors
/// [`Error::BufferTooSmall`]; [`Error::Invalid`] for a module, which these hubs do not have, and for a device id with
/// `#` or `+` in it: MQTT would take them for wildcards.
pub fn filter<'b>(endpoint: &Endpoint<'_>, out: &'b mut [u8]) -> Result<&'b str, Error> {
    if endpoint.module_id().is_some() {
        return Err(Error::Invalid { what: "module at an MQTT 5 hub", at: 0 });
    }
    if let Some(at) = endpoint.device_id().bytes().position(|byte| matches!(byte, b'#' | b'+')) {
        return Err(Error::Invalid { what: "id in a topic filter", at });
    }
    let mut text = Writer::new(out);
    text.text("ih/").text(endpoint.device_id()).text("/dev/#");
    Ok(text.finish_str()?)
}

/// What a message is: its user property [`Kind::PROPERTY`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Kind {
    /// To the hub: the device is there ([`presence::birth`]).
    Birth,
    /// To the device: the hub knows ([`presence::BirthAck`]).
    BirthAck,
    /// To the hub: a message.
    Telemetry,
    /// To the hub: the twin is wanted ([`twin::get`]).
    Get,
    /// To the device: the twin ([`twin::GetResponse`]).
    GetResponse,
    /// To the hub: a patch of the reported properties ([`twin::reported_patch_head`]).
    ReportedPatch,
    /// To the device: what became of it ([`twin::PatchResponse`]).
    ReportedPatchResponse,
    /// To the device: sections of the twin, unasked ([`twin::Push`]).
    TwinPush,
    /// To the device: a change of desired properties ([`twin::DesiredPatch`]).
    DesiredPatch,
    /// To the device: would it carry out this method ([`method::Probe`])?
    Probe,
    /// To the hub: yes or no ([`method::ready`], [`method::rejected`]).
    ProbeAck,
    /// To the device: carry it out ([`method::Exec`]).
    Exec,
    /// To the hub: it was not carried out after all ([`method::abandon`]).
    Abandon,
    /// To the hub: it was ([`method::result_head`]).
    Result,
}

impl Kind {
    /// Name of the user property that tells the kind.
    pub const PROPERTY: &str = "type";

    const ALL: [Self; 14] = [
        Self::Birth,
        Self::BirthAck,
        Self::Telemetry,
        Self::Get,
        Self::GetResponse,
        Self::ReportedPatch,
        Self::ReportedPatchResponse,
        Self::TwinPush,
        Self::DesiredPatch,
        Self::Probe,
        Self::ProbeAck,
        Self::Exec,
        Self::Abandon,
        Self::Result,
    ];

    /// The property's value: name and version of the body.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Birth => "birth:1",
            Self::BirthAck => "birth-ack:1",
            Self::Telemetry => "telemetry:1",
            Self::Get => "get:1",
            Self::GetResponse => "get-response:1",
            Self::ReportedPatch => "reported-patch:1",
            Self::ReportedPatchResponse => "reported-patch-response:1",
            Self::TwinPush => "twin-push:1",
            Self::DesiredPatch => "desired-patch:1",
            Self::Probe => "probe:1",
            Self::ProbeAck => "probe-ack:1",
            Self::Exec => "exec:1",
            Self::Abandon => "abandon:1",
            Self::Result => "result:1",
        }
    }

    /// The kind with this value; `None` for another name or another version of its body.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == value)
    }
}

/// The nonce of the connection with this seed ([`ClientOptions::seed`](crate::ClientOptions::seed)): it is in the user
/// name and in the birth, and what the hub sends for this connection carries it.
#[must_use]
pub fn nonce(seed: u32) -> Id {
    let mut jitter = Jitter::new(seed);
    let mut nonce = [0; ID_SIZE];
    for part in nonce.chunks_exact_mut(4) {
        part.copy_from_slice(&jitter.draw().to_be_bytes());
    }
    nonce
}

/// Writes an id in hexadecimal digits.
pub(crate) fn write_hex(text: &mut Writer<'_>, id: &Id) {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    for byte in id {
        for digit in [byte >> 4, byte & 0xF] {
            text.byte(DIGITS.get(usize::from(digit)).copied().unwrap_or(b'0'));
        }
    }
}

/// Reads an id in hexadecimal digits.
pub(crate) fn parse_hex(text: &str) -> Option<Id> {
    let mut id = [0; ID_SIZE];
    if text.len() != 2 * ID_SIZE {
        return None;
    }
    for (byte, digits) in id.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        for digit in digits {
            let digit = char::from(*digit).to_digit(16)?;
            *byte = (*byte << 4) | u8::try_from(digit).ok()?;
        }
    }
    Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics() -> Result<(), Error> {
        let endpoint = Endpoint::new("h", "a-1")?;
        let mut buffer = [0; MAX_TOPIC];
        assert_eq!(Channel::Telemetry.topic(&endpoint, &mut buffer)?, "ih/a-1/srv/telemetry");
        assert_eq!(filter(&endpoint, &mut buffer)?, "ih/a-1/dev/#");
        assert_eq!(Channel::parse(&endpoint, "ih/a-1/dev/methods"), Some(Channel::Methods));
        for other in ["ih/a-2/dev/twin", "ih/a-1/srv/twin", "ih/a-1/dev/twin/x", "ih/a-1/dev/", "ih/a-1", ""]
        {
            assert_eq!(Channel::parse(&endpoint, other), None, "{other}");
        }
        assert!(filter(&Endpoint::new("h", "a+1")?, &mut buffer).is_err());
        assert!(filter(&endpoint.with_module("m")?, &mut buffer).is_err());
        let longest = "d".repeat(MAX_ID);
        let longest = Endpoint::new("h", &longest)?;
        assert_eq!(Channel::Telemetry.topic(&longest, &mut buffer)?.len(), MAX_TOPIC);
        Ok(())
    }

    #[test]
    fn kinds_are_exact() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
        }
        for other in ["", "get", "get:2", "get:01", "get:1 ", "Get:1", "get-response"] {
            assert_eq!(Kind::parse(other), None, "{other}");
        }
    }

    #[test]
    fn ids_in_hexadecimal_digits() {
        let id = nonce(7);
        assert_ne!(id, nonce(8));
        let mut buffer = [0; 2 * ID_SIZE];
        let mut text = Writer::new(&mut buffer);
        write_hex(&mut text, &id);
        let text = text.finish_str().unwrap();
        assert_eq!(parse_hex(text), Some(id));
        assert_eq!(parse_hex(&text[1..]), None);
        assert_eq!(parse_hex("zz000000000000000000000000000000"), None);
    }
}
