//! The device of one session, in either version of MQTT: its own until a newer connection takes the device over.

use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{Device, Line, ToSession};
use crate::event::Event;
use crate::shared::Shared;
use crate::tls::TlsVersion;

/// Why the older session of a device ends when a newer one begins.
pub(super) const TAKEN_OVER: &str = "taken over by a newer connection";

pub(super) struct ConnectedDevice {
    pub(super) shared: Arc<Shared>,
    /// The hub's index.
    pub(super) hub: usize,
    pub(super) id: String,
    number: u64,
}

impl ConnectedDevice {
    /// Takes the device over from an older connection. `prepare` sees it before this session is there.
    pub(super) fn take_over(
        shared: &Arc<Shared>,
        hub: usize,
        id: &str,
        mqtt5: bool,
        tls: TlsVersion,
        prepare: impl FnOnce(&mut Device),
    ) -> (Self, UnboundedReceiver<ToSession>) {
        let (sender, inbox) = unbounded_channel();
        let mut registry = shared.hub();
        let number = registry.next_number();
        if let Some(device) = registry.device_at(hub, id) {
            prepare(device);
            device.send_to_session(ToSession::Close(TAKEN_OVER.to_owned()));
            device.session = Some(Line { number, sender, mqtt5 });
            device.record.connection_changed();
        }
        drop(registry);
        shared.events.emit(&Event::Connected { device: id.to_owned(), tls });
        (Self { shared: shared.clone(), hub, id: id.to_owned(), number }, inbox)
    }

    /// Does something with the device; `None` if it was deleted or taken over.
    pub(super) fn with<T>(&self, f: impl FnOnce(&mut Device) -> T) -> Option<T> {
        let mut registry = self.shared.hub();
        let device = registry.device_at(self.hub, &self.id)?;
        device.session.as_ref().is_some_and(|line| line.number == self.number).then(|| f(device))
    }

    /// Signs the device off, and does what else its end takes, unless it was deleted or taken over.
    pub(super) fn sign_off(&self, f: impl FnOnce(&mut Device)) {
        self.with(|device| {
            device.session = None;
            device.record.connection_changed();
            f(device);
        });
    }
}
