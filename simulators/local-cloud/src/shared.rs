//! What the cloud's parts share. It outlives a stop, so that devices, twins and registrations are there again at a
//! restart.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use super::allocation::Allocator;
use super::config::Config;
use super::dps::Registrations;
use super::enrollment::{Enrollments, List, Lists};
use super::event::{Event, Publisher};
use super::fault::{Endpoint, Faults};
use super::hub::registry::{Guard, Registry};
use super::limits;
use super::pki::{Authority, ServerCertificate};
use super::quota::Quota;
use super::service;
use super::store::{Change, Store, Table};
use super::tls;

pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) authority: Authority,
    pub(super) enrollments: Arc<Enrollments>,
    pub(super) events: Arc<Publisher>,
    pub(super) faults: Faults,
    pub(super) service: service::State,
    /// A change ends the connections that are open then.
    pub(super) drops: watch::Sender<u64>,
    pub(super) quota: Quota,
    /// The connections that may still be taken.
    pub(super) connections: Arc<Semaphore>,
    /// What devices have uploaded, by `deviceId/name`.
    pub(super) blobs: Mutex<HashMap<String, Vec<u8>>>,
    allocator: Mutex<Option<Allocator>>,
    acceptor: Mutex<TlsAcceptor>,
    registrations: Mutex<Registrations>,
    hub: Mutex<Registry>,
    store: Option<Arc<Store>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// With what the state folder has, if there is one.
    ///
    /// # Errors
    /// The folder cannot be used, or there is no randomness for keys.
    pub(super) fn new(config: Config) -> io::Result<Self> {
        let events = Arc::new(Publisher::default());
        let complain = |text: String| events.emit(&Event::Notice { text });
        let (store, mut contents) = match &config.state {
            None => (None, crate::store::Contents::default()),
            Some(folder) => {
                let events = events.clone();
                let complain = move |text| events.emit(&Event::Notice { text });
                let (store, contents) = Store::open(folder, config.fresh, complain)?;
                (Some(Arc::new(store)), contents)
            }
        };
        let authority = if let Some(authority) = &config.authority {
            authority.clone()
        } else {
            let stored = contents.take(Table::Authority, complain).into_iter().next();
            let made = match stored {
                Some((_, stored)) => Authority::from_stored(stored),
                None => Authority::generate(),
            };
            let authority = made.map_err(io::Error::other)?;
            if let Some(store) = &store {
                store.write(vec![Change::put(Table::Authority, "authority", &authority.to_stored())]);
            }
            authority
        };
        let mut hub = Registry::new(config.hub_names());
        for (key, stored) in contents.take(Table::Devices, complain) {
            if !hub.restore(&key, stored) {
                complain(format!("{key} is stored, but there is no such hub any more"));
            }
        }
        let values =
            |entries: Vec<(String, _)>| entries.into_iter().map(|(_, value)| value).collect::<List>();
        let own = Lists {
            individual: values(contents.take(Table::Individual, complain)),
            groups: values(contents.take(Table::Groups, complain)),
        };
        let registrations = Registrations::new(contents.take(Table::Registrations, complain));
        let folder = config.enrollments.clone();
        let enrollments = Arc::new(Enrollments::new(folder, own, store.clone(), events.clone()));
        let acceptor = acceptor(&config, &authority, config.certificate)?;
        Ok(Self {
            enrollments,
            authority,
            events,
            faults: Faults::default(),
            service: service::State::default(),
            drops: watch::channel(0).0,
            quota: Quota::default(),
            connections: Arc::new(Semaphore::new(limits::connections(config.max_connections))),
            blobs: Mutex::default(),
            allocator: Mutex::default(),
            acceptor: Mutex::new(acceptor),
            registrations: Mutex::new(registrations),
            hub: Mutex::new(hub),
            store,
            config,
        })
    }

    pub(super) fn registrations(&self) -> MutexGuard<'_, Registrations> {
        lock(&self.registrations)
    }

    pub(super) fn hub(&self) -> Guard<'_> {
        Guard { registry: lock(&self.hub), store: self.store.as_deref() }
    }

    /// Has changes written that are not the registry's.
    pub(super) fn write(&self, changes: Vec<Change>) {
        if let Some(store) = &self.store {
            store.write(changes);
        }
    }

    /// Waits until everything is on the disk.
    pub(super) fn flush(&self) {
        if let Some(store) = &self.store {
            store.flush();
        }
    }

    /// Lets go of the state folder: this cloud is over.
    pub(super) fn close(&self) {
        if let Some(store) = &self.store {
            store.close();
        }
    }

    pub(super) fn refused(&self, endpoint: Endpoint, id: &str, reason: String) {
        self.events.emit(&Event::Refused { endpoint, id: id.to_owned(), reason });
    }

    pub(super) fn allocator(&self) -> Option<Allocator> {
        lock(&self.allocator).clone()
    }

    pub(super) fn set_allocator(&self, allocator: Option<Allocator>) {
        *lock(&self.allocator) = allocator;
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        lock(&self.acceptor).clone()
    }

    /// Presents this certificate from the next connection on.
    pub(super) fn set_certificate(&self, kind: ServerCertificate) -> io::Result<()> {
        let acceptor = acceptor(&self.config, &self.authority, kind)?;
        *lock(&self.acceptor) = acceptor;
        Ok(())
    }

    pub(super) fn blobs(&self) -> MutexGuard<'_, HashMap<String, Vec<u8>>> {
        lock(&self.blobs)
    }

    /// The hub of this host name.
    pub(super) fn hub_index(&self, name: &str) -> Option<usize> {
        self.config.hub_names().iter().position(|hub| hub.eq_ignore_ascii_case(name))
    }
}

fn acceptor(config: &Config, authority: &Authority, kind: ServerCertificate) -> io::Result<TlsAcceptor> {
    let identity = authority.server(&config.certificate_names(), kind).map_err(io::Error::other)?;
    let config = tls::server_config(identity, config.tls, config.resumption).map_err(io::Error::other)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
