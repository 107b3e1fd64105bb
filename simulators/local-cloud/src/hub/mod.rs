//! The hub's device registry and what it keeps for each device: credential, subscriptions, cloud-to-device queue, twin,
//! and the line to the device's present session.

pub(super) mod c2d;
pub(super) mod session;
pub(super) mod topic;
pub(super) mod twin;

use std::collections::{HashMap, HashSet};

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use c2d::Queue;
use topic::Subscription;
use twin::Twin;

/// What a device has to show at the hub.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credential {
    /// A certificate with one of these SHA-1 or SHA-256 thumbprints (hexadecimal, either case).
    Thumbprints(Vec<String>),
    /// A certificate chain to this authority (DER), the leaf's CN being the device id.
    Authority(Vec<u8>),
    /// A token signed with one of these keys.
    Keys(Vec<Vec<u8>>),
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Thumbprints(_) => "Thumbprints",
            Self::Authority(_) => "Authority",
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
}

/// A module input message or anything else goes through here too: one identity, `deviceId` or `deviceId/moduleId`.
pub(super) struct Device {
    pub(super) credential: Credential,
    pub(super) enabled: bool,
    pub(super) session: Option<Line>,
    /// Kept over connections with CleanSession 0.
    pub(super) subscriptions: HashSet<Subscription>,
    /// A session with CleanSession 0 was seen and is resumed.
    pub(super) stored_session: bool,
    pub(super) c2d: Queue,
    pub(super) twin: Twin,
    pub(super) methods: HashMap<String, PendingMethod>,
}

/// The line to a session.
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) sender: UnboundedSender<ToSession>,
}

pub(super) struct PendingMethod {
    pub(super) name: String,
    pub(super) answer: oneshot::Sender<MethodResponse>,
}

impl Device {
    fn new(credential: Credential) -> Self {
        Self {
            credential,
            enabled: true,
            session: None,
            subscriptions: HashSet::new(),
            stored_session: false,
            c2d: Queue::default(),
            twin: Twin::default(),
            methods: HashMap::new(),
        }
    }

    /// Whether a session is there that has subscribed to this.
    pub(super) fn listens(&self, subscription: Subscription) -> bool {
        self.session.is_some() && self.subscriptions.contains(&subscription)
    }

    pub(super) fn tell(&self, message: ToSession) {
        if let Some(line) = &self.session {
            // A session that is just ending reads no more; its successor looks for itself.
            let _ = line.sender.send(message);
        }
    }
}

/// All devices of the hub.
#[derive(Default)]
pub(super) struct Registry {
    devices: HashMap<String, Device>,
    next_number: u64,
}

impl Registry {
    pub(super) fn device(&mut self, id: &str) -> Option<&mut Device> {
        self.devices.get_mut(id)
    }

    /// Creates the device, or gives the one that is there this credential. Twin and waiting messages stay.
    pub(super) fn provision(&mut self, id: &str, credential: Credential) {
        match self.devices.get_mut(id) {
            Some(device) => device.credential = credential,
            None => {
                self.devices.insert(id.to_owned(), Device::new(credential));
            }
        }
    }

    /// Takes a device away and ends its session.
    pub(super) fn remove(&mut self, id: &str) -> bool {
        match self.devices.remove(id) {
            Some(device) => {
                device.tell(ToSession::Close("device deleted".to_owned()));
                true
            }
            None => false,
        }
    }

    pub(super) fn next_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    pub(super) fn ids(&self) -> Vec<String> {
        let mut ids: Vec<_> = self.devices.keys().cloned().collect();
        ids.sort();
        ids
    }
}
