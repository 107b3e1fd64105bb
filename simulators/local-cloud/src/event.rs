//! What the cloud tells its user: one stream of events, and their form on a console.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::clock;
use super::fault::Endpoint;
use super::properties::Properties;
use super::shown::{self, Shown};
use super::tls::TlsVersion;

/// A message from a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Telemetry {
    /// `deviceId` or `deviceId/moduleId`.
    pub device: String,
    /// The property bag, percent-decoded, system properties (`$.ct`, ...) included.
    pub properties: Properties,
    /// The payload.
    #[serde(serialize_with = "text_or_hex")]
    pub body: Vec<u8>,
    /// Quality of service it came with.
    pub qos: u8,
}

/// Something that happened in the cloud.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Event {
    /// The provisioning service assigned a device to the hub.
    Registered {
        /// As the device gave it.
        registration_id: String,
        /// Its name at the hub.
        device: String,
        /// The hub's host name.
        hub: String,
        /// The TLS version of the connection.
        tls: TlsVersion,
    },
    /// A connection, registration or packet was refused.
    Refused {
        /// By which service.
        endpoint: Endpoint,
        /// Client id or registration id, or the peer's address if it did not get that far.
        id: String,
        /// Why, in words.
        reason: String,
    },
    /// Something that the user of this cloud should know about it: a file that is not taken, a limit that is reached, a
    /// state that cannot be written.
    Notice {
        /// In words.
        text: String,
    },
    /// A device's MQTT session with the hub began.
    Connected {
        /// `deviceId` or `deviceId/moduleId`.
        device: String,
        /// The TLS version of the connection.
        tls: TlsVersion,
    },
    /// A device's MQTT session with the hub ended.
    Disconnected {
        /// `deviceId` or `deviceId/moduleId`.
        device: String,
        /// Why, in words.
        reason: String,
    },
    /// A device sent a message.
    Telemetry(Telemetry),
    /// A device took a cloud-to-device message (PUBACK, or delivery with QoS 0).
    C2dCompleted {
        /// `deviceId`.
        device: String,
        /// As [`Handle::send_c2d`](super::Handle::send_c2d) returned it.
        message_id: String,
    },
    /// A cloud-to-device message was not delivered before its time was over.
    C2dExpired {
        /// `deviceId`.
        device: String,
        /// As [`Handle::send_c2d`](super::Handle::send_c2d) returned it.
        message_id: String,
    },
    /// A device that fetches over HTTPS, or the hub by a limit, rejected a cloud-to-device message.
    C2dRejected {
        /// `deviceId`.
        device: String,
        /// As [`Handle::send_c2d`](super::Handle::send_c2d) returned it.
        message_id: String,
    },
    /// A device reported how an upload to the blob container went.
    FileUploaded {
        /// `deviceId` or `deviceId/moduleId`.
        device: String,
        /// `deviceId/name`.
        blob: String,
        /// What the device says.
        success: bool,
        /// The bytes that arrived.
        size: usize,
    },
    /// A cloud-to-device message was delivered too often without an acknowledgement and is given up.
    C2dDeadLettered {
        /// `deviceId`.
        device: String,
        /// As [`Handle::send_c2d`](super::Handle::send_c2d) returned it.
        message_id: String,
    },
    /// A device answered a direct method.
    MethodAnswered {
        /// `deviceId` or `deviceId/moduleId`.
        device: String,
        /// The method's name.
        method: String,
        /// The device's status.
        status: i32,
        /// The device's answer.
        #[serde(serialize_with = "text_or_hex")]
        body: Vec<u8>,
    },
    /// The hub issued a certificate to a connected device.
    CertificateIssued {
        /// `deviceId`.
        device: String,
        /// The SHA-256 thumbprint, in upper-case hexadecimal.
        thumbprint: String,
        /// The end of its validity, as the service writes times.
        not_after: String,
    },
    /// A device changed its reported properties.
    TwinReported {
        /// `deviceId` or `deviceId/moduleId`.
        device: String,
        /// The patch as sent.
        patch: Value,
        /// The new version of the reported section.
        version: u64,
    },
}

impl Event {
    /// The device concerned, if a hub device is.
    #[must_use]
    pub fn device(&self) -> Option<&str> {
        match self {
            Self::Refused { .. } | Self::Notice { .. } => None,
            Self::Telemetry(telemetry) => Some(&telemetry.device),
            Self::Registered { device, .. }
            | Self::Connected { device, .. }
            | Self::Disconnected { device, .. }
            | Self::C2dCompleted { device, .. }
            | Self::C2dDeadLettered { device, .. }
            | Self::C2dExpired { device, .. }
            | Self::C2dRejected { device, .. }
            | Self::FileUploaded { device, .. }
            | Self::MethodAnswered { device, .. }
            | Self::CertificateIssued { device, .. }
            | Self::TwinReported { device, .. } => Some(device),
        }
    }
}

/// For programs: a string if it is UTF-8, else `{"hex": ".."}`.
fn text_or_hex<S: Serializer>(body: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    match std::str::from_utf8(body) {
        Ok(text) => text.serialize(serializer),
        Err(_) => json!({ "hex": hex::encode(body) }).serialize(serializer),
    }
}

impl Event {
    /// For programs: an object with the member `event` (`registered`, `telemetry`, ...), `time`, and the fields of this
    /// type in camel case. A body is a string if it is UTF-8, else `{"hex": ".."}`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut event = json!(self);
        if let Value::Object(members) = &mut event {
            members.insert("time".to_owned(), clock::now().into());
        }
        event
    }
}

/// One line as the Device Explorer would show it. Whatever a device or a client sent is shown as [`Shown`] shows it.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registered { registration_id, device, hub, tls } => {
                let (registration_id, device) = (Shown(registration_id), Shown(device));
                write!(f, "DPS: {registration_id} assigned to {hub} as device [{device}] ({tls})")
            }
            Self::Refused { endpoint, id, reason } => {
                write!(f, "{endpoint}: {} refused: {}", Shown(id), Shown(reason))
            }
            Self::Notice { text } => write!(f, "Note: {}", Shown(text)),
            Self::Connected { device, tls } => write!(f, "Device [{}] connected ({tls})", Shown(device)),
            Self::Disconnected { device, reason } => {
                write!(f, "Device [{}] disconnected: {}", Shown(device), Shown(reason))
            }
            Self::Telemetry(t) => {
                let now = clock::now();
                write!(f, "{now}> Device: [{}], Data:[{}]", Shown(&t.device), shown::body(&t.body))?;
                if !t.properties.is_empty() {
                    f.write_str(", Properties:")?;
                    for (name, value) in t.properties.iter() {
                        write!(f, " '{}': '{}'", Shown(name), Shown(value.unwrap_or_default()))?;
                    }
                }
                Ok(())
            }
            Self::C2dCompleted { device, message_id } => {
                write!(f, "Device [{}] completed message {}", Shown(device), Shown(message_id))
            }
            Self::C2dDeadLettered { device, message_id } => {
                let (device, id) = (Shown(device), Shown(message_id));
                write!(f, "Device [{device}] never completed message {id}: dead-lettered")
            }
            Self::C2dExpired { device, message_id } => {
                let (device, id) = (Shown(device), Shown(message_id));
                write!(f, "Message {id} for device [{device}] has expired and is not delivered")
            }
            Self::C2dRejected { device, message_id } => {
                write!(f, "Device [{}] rejected message {}", Shown(device), Shown(message_id))
            }
            Self::FileUploaded { device, blob, success, size } => {
                let what = if *success { "uploaded" } else { "could not upload" };
                write!(f, "Device [{}] {what} {} ({size} bytes)", Shown(device), Shown(blob))
            }
            Self::MethodAnswered { device, method, status, body } => {
                let (device, method) = (Shown(device), Shown(method));
                write!(f, "Device [{device}] answered method {method} with {status}: {}", shown::body(body))
            }
            Self::CertificateIssued { device, thumbprint, not_after } => {
                write!(
                    f,
                    "Device [{}] was issued a certificate, valid until {not_after} ({thumbprint})",
                    Shown(device)
                )
            }
            Self::TwinReported { device, patch, version } => {
                let patch = shown::json_text(patch, false);
                write!(f, "Device [{}] reported (version {version}): {patch}", Shown(device))
            }
        }
    }
}

/// Receives every event from its making on. Nothing is dropped: whoever keeps one must read it.
#[derive(Debug)]
pub struct Events {
    receiver: UnboundedReceiver<Event>,
}

impl Events {
    /// The next event; `None` when the cloud is gone for good.
    pub async fn next(&mut self) -> Option<Event> {
        self.receiver.recv().await
    }

    /// As [`next`](Self::next), for streams.
    pub(super) fn poll_next(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Event>> {
        self.receiver.poll_recv(context)
    }

    /// Skips to the first event that `wanted` turns into something.
    pub async fn find<T>(&mut self, mut wanted: impl FnMut(Event) -> Option<T>) -> Option<T> {
        loop {
            if let Some(found) = wanted(self.next().await?) {
                return Some(found);
            }
        }
    }

    /// Skips to the next telemetry message.
    pub async fn telemetry(&mut self) -> Option<Telemetry> {
        self.find(|event| if let Event::Telemetry(telemetry) = event { Some(telemetry) } else { None }).await
    }
}

/// Notices kept for the first one who listens.
const MAX_EARLY: usize = 100;

/// Where events go out.
#[derive(Debug, Default)]
pub(super) struct Publisher {
    receivers: Mutex<Vec<UnboundedSender<Event>>>,
    /// Notices from before anybody listened: while the cloud starts.
    early: Mutex<Vec<Event>>,
}

impl Publisher {
    pub(super) fn subscribe(&self) -> Events {
        let (sender, receiver) = unbounded_channel();
        for event in std::mem::take(&mut *self.early.lock().unwrap_or_else(PoisonError::into_inner)) {
            // The receiver is in hand.
            let _ = sender.send(event);
        }
        self.receivers.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        Events { receiver }
    }

    pub(super) fn emit(&self, event: &Event) {
        let mut receivers = self.receivers.lock().unwrap_or_else(PoisonError::into_inner);
        if receivers.is_empty() && matches!(event, Event::Notice { .. }) {
            let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
            if early.len() < MAX_EARLY {
                early.push(event.clone());
            }
        }
        receivers.retain(|receiver| receiver.send(event.clone()).is_ok());
    }
}
