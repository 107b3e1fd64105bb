//! The device registries of all hubs, and the guard through which they are changed: what was changed is handed to the
//! store when the guard is dropped.

use std::collections::{BTreeMap, HashSet};
use std::ops::{Deref, DerefMut};
use std::sync::MutexGuard;

use super::{Credential, Device, StoredDevice, ToSession};
use crate::enrollment::{InitialTwin, ReprovisionPolicy};
use crate::store::{Change, Store, Table};

/// All devices, by hub.
pub(crate) struct Registry {
    /// The hubs' host names, and each one's devices.
    hubs: Vec<(String, BTreeMap<String, Device>)>,
    next_number: u64,
    /// What somebody had in hand since the guard was taken: hub and id.
    touched: HashSet<(usize, String)>,
}

impl Registry {
    pub(crate) fn new(hubs: Vec<String>) -> Self {
        let hubs = hubs.into_iter().map(|name| (name, BTreeMap::new())).collect();
        Self { hubs, next_number: 0, touched: HashSet::new() }
    }

    /// Puts a stored identity back; `false` if its hub is not there any more.
    pub(crate) fn restore(&mut self, key: &str, stored: StoredDevice) -> bool {
        let Some((hub, id)) = key.split_once('/') else {
            return false;
        };
        match self.hubs.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case(hub)) {
            Some((_, devices)) => {
                devices.insert(id.to_owned(), Device::restored(stored));
                true
            }
            None => false,
        }
    }

    /// Which hub has this device: the first one, if several do.
    pub(crate) fn hub_of(&self, id: &str) -> Option<usize> {
        self.hubs.iter().position(|(_, devices)| devices.contains_key(id))
    }

    /// The device of this id, at whichever hub it is.
    pub(crate) fn device(&mut self, id: &str) -> Option<&mut Device> {
        self.device_at(self.hub_of(id)?, id)
    }

    /// The device of this id at this hub.
    pub(crate) fn device_at(&mut self, hub: usize, id: &str) -> Option<&mut Device> {
        let device = self.hubs.get_mut(hub)?.1.get_mut(id)?;
        self.touched.insert((hub, id.to_owned()));
        Some(device)
    }

    /// Creates the identity at the first hub, or gives the one that is there this credential. Twin and waiting messages
    /// stay.
    pub(crate) fn put(&mut self, id: &str, credential: Credential) {
        let hub = self.hub_of(id).unwrap_or_default();
        self.insert(hub, id, credential);
    }

    fn insert(&mut self, hub: usize, id: &str, credential: Credential) {
        if let Some(device) = self.device_at(hub, id) {
            device.credential = credential;
            device.record.changed();
            return;
        }
        self.touched.insert((hub, id.to_owned()));
        if let Some((_, devices)) = self.hubs.get_mut(hub) {
            devices.insert(id.to_owned(), Device::new(credential));
        }
    }

    /// What an assignment does at the hubs: creates the device, or moves it by the enrolment's policy. Gives the hub it
    /// is at now and the service's `substatus`.
    pub(crate) fn provision(
        &mut self,
        wanted: usize,
        id: &str,
        credential: Credential,
        policy: ReprovisionPolicy,
        initial: Option<&InitialTwin>,
    ) -> (usize, &'static str) {
        let at = self.hub_of(id);
        let (hub, substatus) = match (at, policy) {
            (None, _) => (wanted, "initialAssignment"),
            (Some(at), ReprovisionPolicy::Never) => (at, "initialAssignment"),
            (Some(at), _) if at == wanted => (at, "initialAssignment"),
            (Some(at), ReprovisionPolicy::Migrate) => {
                self.relocate(at, wanted, id);
                (wanted, "deviceDataMigrated")
            }
            (Some(_), ReprovisionPolicy::Reset) => {
                self.remove(id);
                (wanted, "deviceDataReset")
            }
        };
        let created = !self.hubs.get(hub).is_some_and(|(_, devices)| devices.contains_key(id));
        self.insert(hub, id, credential);
        if let (true, Some(initial), Some(device)) = (created, initial, self.device_at(hub, id)) {
            device.twin.begin(initial);
        }
        (hub, substatus)
    }

    /// Moves a device, its data with it, and ends its session.
    fn relocate(&mut self, from: usize, to: usize, id: &str) {
        if from == to {
            return;
        }
        let taken = self.hubs.get_mut(from).and_then(|(_, devices)| devices.remove(id));
        self.touched.extend([(from, id.to_owned()), (to, id.to_owned())]);
        if let (Some(mut device), Some((_, devices))) = (taken, self.hubs.get_mut(to)) {
            device.send_to_session(ToSession::Close("assigned to another hub".to_owned()));
            // The data moves, the connection and its subscriptions do not.
            device.subscriptions.clear();
            device.stored_session = false;
            devices.insert(id.to_owned(), Device { changed: true, ..Device::restored(device.stored) });
        }
    }

    /// Takes a device and its modules away and ends their sessions.
    pub(crate) fn remove(&mut self, id: &str) -> bool {
        let Some(hub) = self.hub_of(id) else {
            return false;
        };
        let Some((_, devices)) = self.hubs.get_mut(hub) else {
            return false;
        };
        let modules = format!("{id}/");
        let mut gone: Vec<String> = devices
            .range(modules.clone()..)
            .map(|(key, _)| key.clone())
            .take_while(|key| key.starts_with(&modules))
            .collect();
        gone.push(id.to_owned());
        for key in gone {
            if let Some(device) = devices.remove(&key) {
                device.send_to_session(ToSession::Close("device deleted".to_owned()));
            }
            self.touched.insert((hub, key));
        }
        true
    }

    pub(crate) fn next_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// The ids at all hubs, sorted.
    pub(crate) fn ids(&self) -> Vec<String> {
        let mut ids: Vec<_> = self.hubs.iter().flat_map(|(_, devices)| devices.keys().cloned()).collect();
        ids.sort();
        ids.dedup();
        ids
    }

    /// All devices and modules at all hubs, in no order: the hub's index, the id and the device.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &str, &Device)> {
        self.hubs.iter().enumerate().flat_map(|(hub, (_, devices))| {
            devices.iter().map(move |(id, device)| (hub, id.as_str(), device))
        })
    }

    /// Everything that was changed since this was asked last.
    fn take_changes(&mut self, keep: bool) -> Vec<Change> {
        let mut changes = Vec::new();
        for (hub, id) in std::mem::take(&mut self.touched) {
            let Some((name, devices)) = self.hubs.get_mut(hub) else {
                continue;
            };
            let key = format!("{name}/{id}");
            match devices.get_mut(&id) {
                Some(device) => {
                    if std::mem::take(&mut device.changed) && keep {
                        changes.push(Change::put(Table::Devices, key, &device.stored));
                    }
                }
                None => changes.push(Change::remove(Table::Devices, key)),
            }
        }
        changes
    }
}

/// The registry in hand.
pub(crate) struct Guard<'a> {
    pub(crate) registry: MutexGuard<'a, Registry>,
    pub(crate) store: Option<&'a Store>,
}

impl Deref for Guard<'_> {
    type Target = Registry;

    fn deref(&self) -> &Registry {
        &self.registry
    }
}

impl DerefMut for Guard<'_> {
    fn deref_mut(&mut self) -> &mut Registry {
        &mut self.registry
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let changes = self.registry.take_changes(self.store.is_some());
        if let Some(store) = self.store {
            store.write(changes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_goes_with_its_modules_and_no_other() {
        let mut registry = Registry::new(vec!["hub".to_owned()]);
        for id in ["d", "d/a", "d/b", "d-1", "d-1/a", "d0", "e"] {
            registry.put(id, Credential::Keys(Vec::new()));
        }
        assert!(registry.remove("d") && !registry.remove("d"));
        assert_eq!(registry.ids(), ["d-1", "d-1/a", "d0", "e"]);
        assert!(registry.remove("d-1/a"));
        assert_eq!(registry.ids(), ["d-1", "d0", "e"]);
    }
}
