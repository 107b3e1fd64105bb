//! What the device of the tutorial tells its narrator.

use devkit_app::Event;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use devkit_host::Observer;

/// An [`Event`] of the device as the narrator gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// The certificate the device derived.
    Derived {
        /// Its registration id.
        registration_id: String,
        /// The certificate, DER.
        certificate: Vec<u8>,
    },
    /// The provisioning service is asked.
    Registering,
    /// Assigned to a hub.
    Assigned {
        /// The hub's host name.
        hub: String,
        /// The device's id there.
        device_id: String,
    },
    /// The hub took the subscriptions.
    HubConnected,
    /// The hub acknowledged a message.
    Delivered,
    /// A message from the cloud.
    Message(String),
    /// The interval was set.
    Interval(u32),
    /// The hub knows what the device reported.
    Reported,
    /// A method was called, and how it was answered.
    Method(String, i32),
    /// Something failed and is tried again.
    Retrying(String),
    /// Nothing the story waits for.
    Other,
}

impl From<&Event<'_>> for Told {
    fn from(event: &Event<'_>) -> Self {
        match event {
            Event::IdentityDerived { registration_id, certificate, .. } => Self::Derived {
                registration_id: (*registration_id).to_owned(),
                certificate: certificate.to_vec(),
            },
            Event::Registering => Self::Registering,
            Event::Assigned { hub, device_id } => {
                Self::Assigned { hub: (*hub).to_owned(), device_id: (*device_id).to_owned() }
            }
            Event::HubConnected => Self::HubConnected,
            Event::TelemetryDelivered => Self::Delivered,
            Event::Message { payload, .. } => Self::Message(String::from_utf8_lossy(payload).into_owned()),
            Event::Interval { ms, accepted: true } => Self::Interval(*ms),
            Event::Reported => Self::Reported,
            Event::Method { name, status, .. } => Self::Method((*name).to_owned(), *status),
            Event::Retrying { cause, .. } => Self::Retrying(cause.to_string()),
            _ => Self::Other,
        }
    }
}

/// An observer for a device, and where its events come out.
pub(super) fn listener() -> (Observer, UnboundedReceiver<Told>) {
    let (told, listener) = unbounded_channel();
    let observer = move |event: &Event<'_>| {
        // When nobody listens any more, the story is over.
        let _ = told.send(event.into());
    };
    (Box::new(observer), listener)
}
