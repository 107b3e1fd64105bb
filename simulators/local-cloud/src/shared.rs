//! What the cloud's parts share. It outlives a stop, so that devices, twins and registrations are there again at a restart.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::config::Config;
use super::dps::Registrations;
use super::enrollment::Enrollments;
use super::event::{Event, Publisher};
use super::fault::{Endpoint, Faults};
use super::hub::Registry;
use super::pki::Authority;

pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) authority: Authority,
    pub(super) enrollments: Arc<Enrollments>,
    pub(super) events: Publisher,
    pub(super) faults: Faults,
    registrations: Mutex<Registrations>,
    hub: Mutex<Registry>,
}

impl Shared {
    pub(super) fn new(config: Config, authority: Authority) -> Self {
        Self {
            enrollments: Arc::new(Enrollments::new(config.enrollments.clone())),
            config,
            authority,
            events: Publisher::default(),
            faults: Faults::default(),
            registrations: Mutex::default(),
            hub: Mutex::default(),
        }
    }

    pub(super) fn registrations(&self) -> MutexGuard<'_, Registrations> {
        self.registrations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hub(&self) -> MutexGuard<'_, Registry> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn refused(&self, endpoint: Endpoint, id: &str, reason: String) {
        self.events.emit(&Event::Refused { endpoint, id: id.to_owned(), reason });
    }
}
