//! The enrolment list: entries made by the program, which are kept in the state folder if there is one, and a folder
//! in which a file that is put there or taken away counts at the next registration.

mod folder;
mod list;

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::base64_text;
use super::event::{Event, Publisher};
use super::store::{Change, Store, Table};
use folder::Folder;
pub(super) use list::List;

/// What an enrolment goes by.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Attestation {
    /// The device's leaf certificate(s) in DER; in a group, the authority's.
    X509 {
        /// Compared byte for byte.
        #[serde(with = "base64_text")]
        primary: Vec<u8>,
        /// A second one that counts as well.
        #[serde(with = "base64_text::option")]
        secondary: Option<Vec<u8>>,
    },
    /// Keys, not base64.
    SymmetricKey {
        /// 16 to 64 bytes.
        #[serde(with = "base64_text")]
        primary: Vec<u8>,
        /// A second one that counts as well.
        #[serde(with = "base64_text::option")]
        secondary: Option<Vec<u8>>,
    },
    /// A TPM, over HTTPS only. The local cloud's challenge is a test form: the blob that the real service encrypts to
    /// the TPM is here the bare HMAC key.
    Tpm {
        /// The TPM2B_PUBLIC area of the endorsement key, as the device sends it.
        #[serde(with = "base64_text")]
        endorsement_key: Vec<u8>,
    },
}

impl std::fmt::Debug for Attestation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::X509 { .. } => "X509",
            Self::SymmetricKey { .. } => "SymmetricKey",
            Self::Tpm { .. } => "Tpm",
        })
    }
}

impl Attestation {
    /// By this one certificate.
    pub fn certificate(der: impl Into<Vec<u8>>) -> Self {
        Self::X509 { primary: der.into(), secondary: None }
    }

    /// By this one key.
    pub fn key(key: impl Into<Vec<u8>>) -> Self {
        Self::SymmetricKey { primary: key.into(), secondary: None }
    }
}

/// How a hub is chosen among several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AllocationPolicy {
    /// By a hash of the registration id: evenly, and the same one each time.
    #[default]
    Hashed,
    /// The first of the enrolment's hubs.
    Static,
    /// As `Static`: nothing here is far away.
    GeoLatency,
    /// As [`Handle::set_allocation`](super::Handle::set_allocation) says; without it the first of the enrolment's hubs,
    /// with the enrolment's `payload`.
    Custom,
}

/// What becomes of a device that registers again and is to go to another hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ReprovisionPolicy {
    /// It is moved, twin and waiting messages with it.
    #[default]
    Migrate,
    /// It is moved and begins anew.
    Reset,
    /// It stays where it is.
    Never,
}

/// What a twin begins with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct InitialTwin {
    /// Seen by the back end only.
    pub tags: Map<String, Value>,
    /// Desired properties.
    pub desired: Map<String, Value>,
}

/// An individual or a group enrolment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Enrollment {
    /// Registration id, or the group's name.
    pub id: String,
    /// What a device has to show.
    pub attestation: Attestation,
    /// The device id to assign; the registration id if `None`, and always in a group.
    pub device_id: Option<String>,
    /// A disabled enrolment refuses its devices.
    pub enabled: bool,
    /// Host names of the hubs to choose from; empty: all.
    #[serde(default)]
    pub hubs: Vec<String>,
    /// How the hub is chosen.
    #[serde(default)]
    pub allocation: AllocationPolicy,
    /// What becomes of a device that is to go to another hub.
    #[serde(default)]
    pub reprovision: ReprovisionPolicy,
    /// What a new twin begins with.
    #[serde(default)]
    pub initial_twin: Option<InitialTwin>,
    /// What a custom allocation returns to the device, as `payload` of its registration state.
    #[serde(default)]
    pub payload: Option<Value>,
    /// New with every change; made by [`Enrollments`].
    #[serde(default)]
    pub etag: String,
    /// When it was made, in the service's form; made by [`Enrollments`].
    #[serde(default)]
    pub created: String,
    /// When it was changed last, in the service's form; made by [`Enrollments`].
    #[serde(default)]
    pub updated: String,
}

impl Enrollment {
    /// An enabled enrolment.
    pub fn new(id: impl Into<String>, attestation: Attestation) -> Self {
        Self {
            id: id.into(),
            attestation,
            device_id: None,
            enabled: true,
            hubs: Vec::new(),
            allocation: AllocationPolicy::default(),
            reprovision: ReprovisionPolicy::default(),
            initial_twin: None,
            payload: None,
            etag: String::new(),
            created: String::new(),
            updated: String::new(),
        }
    }
}

/// The enrolment list of a provisioning service.
pub struct Enrollments {
    folder: Option<Folder>,
    own: Mutex<Lists>,
    store: Option<Arc<Store>>,
    events: Arc<Publisher>,
    /// What was said about files, so that it is said once.
    said: Mutex<HashSet<String>>,
}

impl std::fmt::Debug for Enrollments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Enrollments").finish_non_exhaustive()
    }
}

/// The enrolments that the program has made.
#[derive(Debug, Default)]
pub(super) struct Lists {
    pub(super) individual: List,
    pub(super) groups: List,
}

impl Enrollments {
    pub(super) fn new(
        folder: Option<PathBuf>,
        own: Lists,
        store: Option<Arc<Store>>,
        events: Arc<Publisher>,
    ) -> Self {
        Self { folder: folder.map(Folder::new), own: Mutex::new(own), store, events, said: Mutex::default() }
    }

    fn own(&self) -> std::sync::MutexGuard<'_, Lists> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, change: Change) {
        if let Some(store) = &self.store {
            store.write(vec![change]);
        }
    }

    /// Says once what is wrong with a file.
    fn say(&self, text: String) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.insert(text.clone()) {
            drop(said);
            self.events.emit(&Event::Notice { text });
        }
    }

    /// Adds an individual enrolment, or replaces the one of the same id.
    pub fn put_individual(&self, enrollment: Enrollment) {
        let kept = self.own().individual.put(enrollment);
        self.write(Change::put(Table::Individual, kept.id.to_lowercase(), &kept));
    }

    /// Adds a group enrolment, or replaces the one of the same name.
    pub fn put_group(&self, enrollment: Enrollment) {
        let kept = self.own().groups.put(enrollment);
        self.write(Change::put(Table::Groups, kept.id.to_lowercase(), &kept));
    }

    /// Takes away an individual enrolment made with [`put_individual`](Self::put_individual).
    pub fn remove_individual(&self, registration_id: &str) {
        self.own().individual.remove(registration_id);
        self.write(Change::remove(Table::Individual, registration_id.to_lowercase()));
    }

    /// Takes away a group enrolment made with [`put_group`](Self::put_group).
    pub fn remove_group(&self, name: &str) {
        self.own().groups.remove(name);
        self.write(Change::remove(Table::Groups, name.to_lowercase()));
    }

    /// The individual enrolments made with [`put_individual`](Self::put_individual), in the order of their making.
    #[must_use]
    pub fn individuals(&self) -> Vec<Enrollment> {
        self.own().individual.iter().cloned().collect()
    }

    /// The group enrolments made with [`put_group`](Self::put_group), in the order of their making.
    #[must_use]
    pub fn own_groups(&self) -> Vec<Enrollment> {
        self.own().groups.iter().cloned().collect()
    }

    /// Every individual enrolment: those made by the program, and what the folder has.
    #[must_use]
    pub fn all_individuals(&self) -> Vec<Enrollment> {
        let mut all = self.individuals();
        all.extend(self.folder.iter().flat_map(|folder| folder.all().individual));
        all
    }

    /// Every group enrolment: those made by the program, and what the folder has.
    #[must_use]
    pub fn all_groups(&self) -> Vec<Enrollment> {
        let mut all = self.own_groups();
        all.extend(self.folder.iter().flat_map(|folder| folder.all().groups));
        all
    }

    /// Reads the folder and tells as [`Event::Notice`] which files in it are not taken, and why; each one once.
    pub fn check(&self) {
        if let Some(folder) = &self.folder {
            // What they are is of no interest here.
            let _ = folder.all();
            self.say_problems(folder);
        }
    }

    /// The individual enrolment of this registration id, compared without case.
    ///
    /// # Errors
    /// The folder cannot be read now, which says nothing about the device.
    pub(super) fn individual(&self, registration_id: &str) -> io::Result<Option<Enrollment>> {
        let own = self.own().individual.get(registration_id).cloned();
        let (None, Some(folder)) = (&own, &self.folder) else {
            return Ok(own);
        };
        let found = folder.individual(registration_id);
        self.say_problems(folder);
        found
    }

    /// The group enrolment of this name, compared without case.
    ///
    /// # Errors
    /// The folder cannot be read now, which says nothing about the group.
    pub(super) fn group(&self, name: &str) -> io::Result<Option<Enrollment>> {
        Ok(self.groups()?.into_iter().find(|group| group.id.eq_ignore_ascii_case(name)))
    }

    /// All group enrolments.
    ///
    /// # Errors
    /// The folder cannot be read now, which says nothing about the device.
    pub(super) fn groups(&self) -> io::Result<Vec<Enrollment>> {
        let mut groups = self.own_groups();
        if let Some(folder) = &self.folder {
            let found = folder.groups();
            self.say_problems(folder);
            groups.extend(found?);
        }
        Ok(groups)
    }

    fn say_problems(&self, folder: &Folder) {
        for problem in folder.take_problems() {
            self.say(problem);
        }
    }
}
