//! The hubs: what is kept for each device (credential, subscriptions, cloud-to-device queue, twin), and the line to its
//! present session.

pub(super) mod auth;
pub(super) mod c2d;
mod connected;
pub(super) mod issue;
pub(super) mod mqtt5;
// The back end's REST interface uses all of these.
#[allow(dead_code)]
pub(super) mod record;
#[allow(dead_code)]
pub(super) mod registry;
pub(super) mod session;
pub(super) mod topic;
#[allow(dead_code)]
pub(super) mod twin;

use std::collections::{HashMap, HashSet};
use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::{base64_text, clock};
use c2d::Queue;
use record::Record;
use topic::Subscription;
use twin::{Twin, with_version};

/// What a device has to show at the hub.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Credential {
    /// A certificate with one of these SHA-1 or SHA-256 thumbprints (hexadecimal, either case).
    Thumbprints(Vec<String>),
    /// A certificate that this cloud has issued, with one of these SHA-256 thumbprints, the newest last. Once the
    /// device has connected with one, those before it are replaced: they are refused.
    Issued(Vec<String>),
    /// A certificate chain to this authority (DER), the leaf's CN being the device id.
    Authority(#[serde(with = "base64_text")] Vec<u8>),
    /// A certificate chain to any authority that a group enrolment names, the leaf's CN being the device id: the
    /// service's `certificateAuthority`.
    AnyAuthority,
    /// A token signed with one of these keys.
    Keys(#[serde(with = "base64_text::list")] Vec<Vec<u8>>),
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Thumbprints(_) => "Thumbprints",
            Self::Issued(_) => "Issued",
            Self::Authority(_) => "Authority",
            Self::AnyAuthority => "AnyAuthority",
            Self::Keys(_) => "Keys",
        })
    }
}

/// A direct method's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodResponse {
    /// The device's status.
    pub status: i32,
    /// JSON as the device sent it, or empty.
    pub body: Vec<u8>,
}

/// To a device's session.
#[derive(Debug)]
pub(super) enum ToSession {
    /// There may be a cloud-to-device message to deliver.
    Wake,
    /// Publish with QoS 0.
    Publish { topic: String, payload: Vec<u8> },
    /// End the session.
    Close(String),
    /// At a hub that speaks MQTT 5: the desired properties have changed by this.
    Desired { version: u64, patch: String },
    /// At a hub that speaks MQTT 5: a method is called.
    Call(mqtt5::Call),
}

/// What is stored of an identity, and survives a restart.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StoredDevice {
    pub(super) record: Record,
    pub(super) credential: Credential,
    pub(super) enabled: bool,
    /// Kept over connections with CleanSession 0.
    pub(super) subscriptions: HashSet<Subscription>,
    /// A session with CleanSession 0 was seen and is resumed.
    pub(super) stored_session: bool,
    pub(super) c2d: Queue,
    pub(super) twin: Twin,
}

/// One identity at a hub: `deviceId` or `deviceId/moduleId`. It derefs to what is stored of it; whoever takes that to
/// change it has the identity written.
pub(super) struct Device {
    stored: StoredDevice,
    /// The stored part may differ from what was written.
    changed: bool,
    pub(super) session: Option<Line>,
    pub(super) methods: HashMap<String, PendingMethod>,
    /// The request for a certificate that the hub is working on.
    pub(super) issuing: Option<issue::Operation>,
    /// Uploads to the blob container that were announced and not yet reported done: blobs by correlation id.
    pub(super) uploads: HashMap<String, String>,
    /// At a hub that speaks MQTT 5: until when a session without a connection is kept.
    pub(super) session_until: Option<tokio::time::Instant>,
}

impl Deref for Device {
    type Target = StoredDevice;

    fn deref(&self) -> &StoredDevice {
        &self.stored
    }
}

impl DerefMut for Device {
    fn deref_mut(&mut self) -> &mut StoredDevice {
        self.changed = true;
        &mut self.stored
    }
}

/// The line to a session.
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) sender: UnboundedSender<ToSession>,
    /// With a hub that speaks MQTT 5.
    pub(super) mqtt5: bool,
}

pub(super) struct PendingMethod {
    pub(super) name: String,
    pub(super) answer: oneshot::Sender<MethodResponse>,
}

impl Device {
    fn new(credential: Credential) -> Self {
        let stored = StoredDevice {
            record: Record::default(),
            credential,
            enabled: true,
            subscriptions: HashSet::new(),
            stored_session: false,
            c2d: Queue::default(),
            twin: Twin::default(),
        };
        Self { changed: true, ..Self::restored(stored) }
    }

    /// As it was written.
    fn restored(stored: StoredDevice) -> Self {
        Self {
            stored,
            changed: false,
            session: None,
            methods: HashMap::new(),
            issuing: None,
            uploads: HashMap::new(),
            session_until: None,
        }
    }

    /// Lets it in again, or shuts it out and ends its session.
    pub(super) fn set_enabled(&mut self, enabled: bool) {
        if self.enabled != enabled {
            self.enabled = enabled;
            self.record.status_updated = clock::now();
            self.record.changed();
        }
        if !enabled {
            self.send_to_session(ToSession::Close("device disabled".to_owned()));
        }
    }

    /// Merges a patch into the desired properties, tells the device if it listens, and returns the new version.
    pub(super) fn patch_desired(&mut self, patch: &Map<String, Value>) -> Result<u64, &'static str> {
        let version = self.twin.patch_desired(patch)?;
        self.send_desired(patch, version);
        Ok(version)
    }

    /// Puts these in the place of the desired properties, tells the device what it is to have now, and returns the
    /// new version.
    pub(super) fn replace_desired(&mut self, properties: &Map<String, Value>) -> Result<u64, &'static str> {
        let version = self.twin.replace_desired(properties)?;
        self.send_desired(properties, version);
        Ok(version)
    }

    fn send_desired(&self, properties: &Map<String, Value>, version: u64) {
        if self.session.as_ref().is_some_and(|line| line.mqtt5) {
            let patch = Value::Object(properties.clone()).to_string();
            return self.send_to_session(ToSession::Desired { version, patch });
        }
        if self.listens(Subscription::DesiredProperties) {
            self.send_to_session(ToSession::Publish {
                topic: format!("$iothub/twin/PATCH/properties/desired/?$version={version}"),
                payload: with_version(properties, version).to_string().into_bytes(),
            });
        }
    }

    /// Whether a session is there that has subscribed to this.
    pub(super) fn listens(&self, subscription: Subscription) -> bool {
        self.session.is_some() && self.subscriptions.contains(&subscription)
    }

    pub(super) fn send_to_session(&self, message: ToSession) {
        if let Some(line) = &self.session {
            // A session that is just ending reads no more; its successor looks for itself.
            let _ = line.sender.send(message);
        }
    }
}
