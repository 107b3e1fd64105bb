//! What outlives the process: an embedded database in one file of the state folder. Each change is one transaction,
//! written by a thread of its own as soon as the one before is on the disk; a power cut leaves the state before or
//! after a change, never one between.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, TableError};

/// How long an earlier cloud in this process may take to let go of the file.
const PATIENCE: Duration = Duration::from_secs(5);

/// The tables; keys are text, values JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Table {
    /// The authority's keys and certificates: one entry, `authority`.
    Authority,
    /// Identities at the hubs, by `hub/device[/module]`.
    Devices,
    /// Individual enrolments, by registration id in lower case.
    Individual,
    /// Group enrolments, by name in lower case.
    Groups,
    /// Registration states, by registration id in lower case.
    Registrations,
}

impl Table {
    fn definition(self) -> TableDefinition<'static, &'static str, &'static [u8]> {
        TableDefinition::new(match self {
            Self::Authority => "authority",
            Self::Devices => "devices",
            Self::Individual => "individual enrolments",
            Self::Groups => "group enrolments",
            Self::Registrations => "registrations",
        })
    }
}

/// A new value, or `None` to forget the entry.
pub(super) struct Change {
    pub(super) table: Table,
    pub(super) key: String,
    pub(super) value: Option<Vec<u8>>,
}

impl Change {
    pub(super) fn put(table: Table, key: impl Into<String>, value: &impl serde::Serialize) -> Self {
        // Only maps with keys that are no text could fail, and there are none.
        Self { table, key: key.into(), value: serde_json::to_vec(value).ok() }
    }

    pub(super) fn remove(table: Table, key: impl Into<String>) -> Self {
        Self { table, key: key.into(), value: None }
    }
}

enum Order {
    Write(Vec<Change>),
    Flush(Sender<()>),
}

/// The database and the thread that writes it.
pub(super) struct Store {
    running: Mutex<Option<(Sender<Order>, JoinHandle<()>)>>,
}

impl Store {
    /// Opens or makes the database in `folder`; `fresh` forgets what is in it. `complain` is told when something cannot
    /// be written.
    ///
    /// # Errors
    /// Names the file, and what is wrong with it.
    pub(super) fn open(
        folder: &Path,
        fresh: bool,
        complain: impl Fn(String) + Send + 'static,
    ) -> io::Result<(Self, Contents)> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join("state.redb");
        let error = |e: &dyn std::fmt::Display| io::Error::other(format!("{}: {e}", path.display()));
        if fresh && path.exists() {
            std::fs::remove_file(&path)?;
        }
        let began = Instant::now();
        let database = loop {
            match Database::create(&path) {
                Err(DatabaseError::DatabaseAlreadyOpen) if began.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(DatabaseError::DatabaseAlreadyOpen) => {
                    return Err(error(&"another local-cloud uses it; name another folder with --state"));
                }
                other => break other.map_err(|e| error(&e))?,
            }
        };
        restrict(&path)?;
        let contents = Contents::read(&database).map_err(|e| error(&e))?;
        let (orders, inbox) = mpsc::channel();
        let writer = std::thread::Builder::new()
            .name("local-cloud state".to_owned())
            .spawn(move || write_all(&database, &inbox, &complain))?;
        Ok((Self { running: Mutex::new(Some((orders, writer))) }, contents))
    }

    fn running(&self) -> MutexGuard<'_, Option<(Sender<Order>, JoinHandle<()>)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has these written, all or none.
    pub(super) fn write(&self, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        if let Some((orders, _)) = &*self.running() {
            // The thread ends after the last order only.
            let _ = orders.send(Order::Write(changes));
        }
    }

    /// Waits until everything is on the disk.
    pub(super) fn flush(&self) {
        let (done, wait) = mpsc::channel();
        if let Some((orders, _)) = &*self.running() {
            let _ = orders.send(Order::Flush(done));
        } else {
            return;
        }
        // An error means that the thread is gone, and there is nothing to wait for.
        let _ = wait.recv();
    }

    /// Writes what there is and lets go of the file. Nothing is written from then on.
    pub(super) fn close(&self) {
        let running = self.running().take();
        if let Some((orders, writer)) = running {
            drop(orders);
            // A panic of the thread was reported by itself.
            let _ = writer.join();
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

/// Keys are in the file: it is the owner's only.
fn restrict(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    }
    let _ = path;
    Ok(())
}

fn write_all(database: &Database, inbox: &Receiver<Order>, complain: &dyn Fn(String)) {
    while let Ok(first) = inbox.recv() {
        // What has come in meanwhile goes along; of several values for one entry the last one counts.
        let mut latest = HashMap::new();
        let mut waiting = Vec::new();
        for order in std::iter::once(first).chain(inbox.try_iter()) {
            match order {
                Order::Write(changes) => {
                    latest.extend(changes.into_iter().map(|c| ((c.table, c.key), c.value)));
                }
                Order::Flush(done) => waiting.push(done),
            }
        }
        if !latest.is_empty()
            && let Err(e) = commit(database, &latest)
        {
            complain(format!("the state cannot be written: {e}"));
        }
        for done in waiting {
            // Whoever asked may have gone.
            let _ = done.send(());
        }
    }
}

fn commit(
    database: &Database,
    latest: &HashMap<(Table, String), Option<Vec<u8>>>,
) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    for ((table, key), value) in latest {
        let mut table = transaction.open_table(table.definition())?;
        match value {
            Some(value) => table.insert(key.as_str(), value.as_slice())?,
            None => table.remove(key.as_str())?,
        };
    }
    transaction.commit()?;
    Ok(())
}

/// What was in the database when it was opened.
#[derive(Default)]
pub(super) struct Contents {
    entries: HashMap<Table, Vec<(String, Vec<u8>)>>,
}

impl Contents {
    fn read(database: &Database) -> Result<Self, redb::Error> {
        let transaction = database.begin_read()?;
        let mut entries = HashMap::new();
        for name in [Table::Authority, Table::Devices, Table::Individual, Table::Groups, Table::Registrations]
        {
            let table = match transaction.open_table(name.definition()) {
                Ok(table) => table,
                Err(TableError::TableDoesNotExist(_)) => continue,
                Err(e) => return Err(e.into()),
            };
            let mut rows = Vec::new();
            for row in table.iter()? {
                let (key, value) = row?;
                rows.push((key.value().to_owned(), value.value().to_vec()));
            }
            entries.insert(name, rows);
        }
        Ok(Self { entries })
    }

    /// The readable entries of a table; `complain` is told of each other one.
    pub(super) fn take<T: serde::de::DeserializeOwned>(
        &mut self,
        table: Table,
        mut complain: impl FnMut(String),
    ) -> Vec<(String, T)> {
        let rows = self.entries.remove(&table).unwrap_or_default();
        rows.into_iter()
            .filter_map(|(key, value)| match serde_json::from_slice(&value) {
                Ok(value) => Some((key, value)),
                Err(e) => {
                    complain(format!("the stored state of {key} cannot be read: {e}"));
                    None
                }
            })
            .collect()
    }
}
