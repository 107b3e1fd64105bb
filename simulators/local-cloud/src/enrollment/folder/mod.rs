//! Enrolments as files, in the forms that people's tools write.
//!
//! ```text
//! DIR/<any name>.pem        individual enrolment; its first certificate is the device's leaf,
//!                           the CN its registration id (or .cer, .crt, .der; PEM, DER or bare
//!                           base64, with or without a byte order mark, UTF-16 as well)
//! DIR/<registration id>.disabled   (or DIR/<any name>.disabled)  switches that enrolment off
//! DIR/groups/<group>.pem    group enrolment below this authority (possession of its key counts as proven)
//! DIR/groups/<group>.disabled
//! DIR/keys.json             symmetric keys and TPMs:
//!   {"individual": [{"registrationId": "..", "primaryKey": "<base64>", "secondaryKey": "..", "deviceId": "..", "disabled": true},
//!                   {"registrationId": "..", "endorsementKey": "<base64>"}],
//!    "groups": [{"enrollmentGroupId": "..", "primaryKey": "<base64>", "secondaryKey": "..", "disabled": true}]}
//!   an entry may also have: "hubs", "allocation" (hashed, static, custom), "reprovision" (migrate, reset, never),
//!   "initialTwin" ({"tags": {..}, "desired": {..}}) and "payload" (returned to the device)
//! ```
//!
//! What was read is remembered, so that a registration costs the same whether the folder has one file or ten thousand,
//! and is looked up again as far as something may have changed: the list of files when the folder has, the file that a
//! device is found in each time, and all files once a second.

mod read;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::Enrollment;
use read::{Place, Read, Trouble};

/// How often all files are looked at, whether or not the folder itself has changed.
const LOOK: Duration = Duration::from_secs(1);

/// The enrolment folder.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    known: Mutex<Known>,
}

/// Everything that a folder has.
#[derive(Debug, Default)]
pub(super) struct All {
    pub(super) individual: Vec<Enrollment>,
    pub(super) groups: Vec<Enrollment>,
}

/// What is remembered of it.
#[derive(Debug, Default)]
struct Known {
    files: BTreeMap<PathBuf, File>,
    /// The folders as they were when they were listed.
    listed: [Option<Stamp>; 2],
    /// When all files were looked at last.
    looked: Option<Instant>,
    /// The file that has the individual enrolment of a registration id in lower case: the first one by name.
    individual: HashMap<String, PathBuf>,
    /// The files with group enrolments, by name.
    groups: Vec<PathBuf>,
    /// What was found wrong since this was asked last, naming file and reason.
    problems: Vec<String>,
}

#[derive(Debug)]
struct File {
    place: Place,
    /// As it was when it was read; `None`: it has to be read.
    stamp: Option<Stamp>,
    inode: Option<u64>,
    content: Read,
}

/// What tells whether a file or folder has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    len: u64,
    /// The time of the last change of anything, the time of modification included.
    changed: Option<(i64, i64)>,
}

impl Stamp {
    /// `None` if it has changed so recently that another change might leave it the same.
    fn of(path: &Path) -> io::Result<Option<Self>> {
        let metadata = std::fs::metadata(path)?;
        let modified = metadata.modified()?;
        #[cfg(unix)]
        let changed = {
            use std::os::unix::fs::MetadataExt;
            Some((metadata.ctime(), metadata.ctime_nsec()))
        };
        #[cfg(not(unix))]
        let changed = None;
        // Some file systems count whole seconds, and the others the ticks of the kernel's clock.
        let age = SystemTime::now().duration_since(modified);
        let whole_seconds =
            modified.duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|t| t.subsec_nanos() == 0);
        let settled = Duration::from_millis(if whole_seconds { 2000 } else { 50 });
        Ok(age.is_ok_and(|age| age > settled).then_some(Self { modified, len: metadata.len(), changed }))
    }
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The individual enrolment of this registration id, compared without case.
    ///
    /// # Errors
    /// The folder cannot be read now, which says nothing about the device.
    pub(super) fn individual(&self, registration_id: &str) -> io::Result<Option<Enrollment>> {
        let is_it = |enrollment: &Enrollment| enrollment.id.eq_ignore_ascii_case(registration_id);
        // Most files are named after their registration id, and then nothing needs to be remembered.
        if !registration_id.contains(['/', '\\']) {
            let path = self.path.join(format!("{registration_id}.pem"));
            if let Some(found) = read::certificate(&path).ok().flatten().filter(is_it) {
                return Ok(Some(switched(&path, Place::Top, &found)));
            }
        }
        let mut known = self.known();
        known.refresh(&self.path, false)?;
        let key = registration_id.to_ascii_lowercase();
        if let Some(path) = known.individual.get(&key).cloned() {
            known.renew(&[path])?;
        }
        let found = known.individual.get(&key).and_then(|path| known.files.get_key_value(path));
        Ok(found.and_then(|(path, file)| {
            file.content.individual.iter().find(|e| is_it(e)).map(|e| switched(path, Place::Top, e))
        }))
    }

    /// All group enrolments.
    ///
    /// # Errors
    /// The folder cannot be read now, which says nothing about any device.
    pub(super) fn groups(&self) -> io::Result<Vec<Enrollment>> {
        let mut known = self.known();
        known.refresh(&self.path, false)?;
        let paths = known.groups.clone();
        known.renew(&paths)?;
        Ok(known.groups().collect())
    }

    /// Everything that can be read now.
    pub(super) fn all(&self) -> All {
        let mut known = self.known();
        // What cannot be read now is not among it.
        let _ = known.refresh(&self.path, true);
        let individual = known
            .files
            .iter()
            .flat_map(|(path, file)| file.content.individual.iter().map(|e| switched(path, Place::Top, e)));
        All { individual: individual.collect(), groups: known.groups().collect() }
    }

    /// What was found wrong since this was asked last, naming file and reason.
    pub(super) fn take_problems(&self) -> Vec<String> {
        std::mem::take(&mut self.known().problems)
    }
}

/// With the files beside it that switch it off.
fn switched(path: &Path, place: Place, enrollment: &Enrollment) -> Enrollment {
    let enabled = enrollment.enabled && read::is_enabled(path, place, &enrollment.id);
    Enrollment { enabled, ..enrollment.clone() }
}

impl Known {
    fn groups(&self) -> impl Iterator<Item = Enrollment> {
        let files = self.groups.iter().filter_map(|path| self.files.get_key_value(path));
        files.flat_map(|(path, file)| file.content.groups.iter().map(|e| switched(path, file.place, e)))
    }

    /// Looks again at what may have changed: everything, if `all` or if that was done too long ago.
    fn refresh(&mut self, folder: &Path, all: bool) -> io::Result<()> {
        for (place, folder) in [(Place::Top, folder.to_owned()), (Place::Groups, folder.join("groups"))] {
            // A folder that is not there, or not to be read, is found out when it is listed.
            let stamp = Stamp::of(&folder).ok().flatten();
            if stamp.is_none() || self.listed.get(place as usize) != Some(&stamp) {
                self.list(&folder, place)?;
                if let Some(listed) = self.listed.get_mut(place as usize) {
                    *listed = stamp;
                }
            }
        }
        let all = all || self.looked.is_none_or(|looked| looked.elapsed() > LOOK);
        let due: Vec<PathBuf> = self
            .files
            .iter()
            .filter(|(path, file)| all || file.stamp.is_none() || path.ends_with(read::KEYS))
            .map(|(path, _)| path.clone())
            .collect();
        self.renew(&due)?;
        if all {
            self.looked = Some(Instant::now());
        }
        Ok(())
    }

    /// Looks which files there are.
    fn list(&mut self, folder: &Path, place: Place) -> io::Result<()> {
        let found = match list(folder) {
            Ok(found) => found,
            Err(e) if e.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(e) => {
                self.problems.push(Trouble::from(e).of(folder)?);
                BTreeMap::new()
            }
        };
        let before = self.files.len();
        // On some systems a listing does not tell whether a name stands for another file now.
        self.files.retain(|path, file| {
            file.place != place || found.get(path).is_some_and(|inode| *inode == file.inode)
        });
        let gone = before != self.files.len();
        for (path, inode) in found {
            self.files.entry(path).or_insert_with(|| File {
                place,
                stamp: None,
                inode,
                content: Read::default(),
            });
        }
        if gone {
            self.index();
        }
        Ok(())
    }

    /// Reads those of these files that have changed since they were read.
    fn renew(&mut self, paths: &[PathBuf]) -> io::Result<()> {
        let mut changed = false;
        for path in paths {
            let Some(file) = self.files.get_mut(path) else { continue };
            // A file that has gone has nothing in it.
            let stamp = Stamp::of(path).ok().flatten();
            if stamp.is_some() && stamp == file.stamp {
                continue;
            }
            file.content = read::read(path, file.place)?;
            file.stamp = stamp;
            self.problems.extend_from_slice(&file.content.problems);
            changed = true;
        }
        if changed {
            self.index();
        }
        Ok(())
    }

    fn index(&mut self) {
        self.individual.clear();
        for (path, file) in &self.files {
            for enrollment in &file.content.individual {
                self.individual.entry(enrollment.id.to_ascii_lowercase()).or_insert_with(|| path.clone());
            }
        }
        let groups = self.files.iter().filter(|(_, file)| !file.content.groups.is_empty());
        self.groups = groups.map(|(path, _)| path.clone()).collect();
    }
}

/// The files of a folder with their numbers.
fn list(folder: &Path) -> io::Result<BTreeMap<PathBuf, Option<u64>>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let path = entry.path();
        if kind.is_dir() || kind.is_symlink() && path.is_dir() {
            continue;
        }
        #[cfg(unix)]
        let inode = Some(std::os::unix::fs::DirEntryExt::ino(&entry));
        #[cfg(not(unix))]
        let inode = None;
        files.insert(path, inode);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(id: &str) -> String {
        format!(r#"{{"individual": [{{"registrationId": "{id}", "primaryKey": "{}"}}]}}"#, "A".repeat(32))
    }

    fn certificate(id: &str) -> String {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, id);
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
    }

    fn found(folder: &Folder, id: &str) -> Option<bool> {
        folder.individual(id).unwrap().map(|enrollment| enrollment.enabled)
    }

    /// Whatever is done to the folder counts at the next registration, also right after another change.
    #[test]
    fn a_change_counts_at_once() {
        for pause in [0, 80] {
            let dir = tempfile::tempdir().unwrap();
            let (path, folder) = (|name: &str| dir.path().join(name), Folder::new(dir.path().to_owned()));
            let put = |name: &str, text: &str| {
                std::fs::write(path(name), text).unwrap();
                std::thread::sleep(Duration::from_millis(pause));
            };
            assert_eq!(found(&folder, "a"), None);
            put("any.pem", &certificate("a"));
            assert_eq!((found(&folder, "a"), found(&folder, "A")), (Some(true), Some(true)));
            put("any.pem", &certificate("b"));
            assert_eq!((found(&folder, "a"), found(&folder, "b")), (None, Some(true)), "{pause}");
            put("b.disabled", "");
            assert_eq!(found(&folder, "b"), Some(false));
            std::fs::remove_file(path("b.disabled")).unwrap();
            assert_eq!(found(&folder, "b"), Some(true));
            put("keys.json", &keys("c"));
            assert_eq!(found(&folder, "c"), Some(true));
            put("keys.json", &keys("d"));
            assert_eq!((found(&folder, "c"), found(&folder, "d")), (None, Some(true)));
            put("other", &certificate("e"));
            std::fs::rename(path("other"), path("any.pem")).unwrap();
            assert_eq!((found(&folder, "b"), found(&folder, "e")), (None, Some(true)));
            std::fs::remove_file(path("any.pem")).unwrap();
            assert_eq!((found(&folder, "e"), found(&folder, "d")), (None, Some(true)));
            put("broken.pem", "nothing");
            assert_eq!(found(&folder, "f"), None);
            let problems = folder.take_problems();
            assert!(problems.iter().any(|p| p.contains("broken.pem is not taken")), "{problems:?}");
            assert!(folder.groups().unwrap().is_empty());
            std::fs::create_dir(path("groups")).unwrap();
            let mut params = rcgen::CertificateParams::default();
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            let authority = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
            put("groups/g.pem", &authority.pem());
            assert!(folder.groups().unwrap().first().is_some_and(|group| group.id == "g" && group.enabled));
            put("groups/g.disabled", "");
            assert!(folder.groups().unwrap().first().is_some_and(|group| !group.enabled));
            put("groups/g.pem", "no authority any more");
            assert!(folder.groups().unwrap().is_empty());
        }
    }

    /// An edit of one file that gives it to another device is no change of the folder: it is seen within the second.
    #[test]
    fn an_edited_file_counts_within_a_second() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path().to_owned());
        std::fs::write(dir.path().join("any.pem"), certificate("a")).unwrap();
        std::thread::sleep(Duration::from_millis(80));
        assert_eq!(found(&folder, "a"), Some(true));
        std::fs::write(dir.path().join("any.pem"), certificate("b")).unwrap();
        std::thread::sleep(LOOK);
        assert_eq!((found(&folder, "b"), found(&folder, "a")), (Some(true), None));
    }

    /// Ten thousand files cost a registration no more than one.
    #[test]
    fn nothing_is_read_twice() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path().to_owned());
        for name in ["a", "b", "c"] {
            std::fs::write(dir.path().join(format!("file-{name}.pem")), certificate(name)).unwrap();
        }
        std::thread::sleep(Duration::from_millis(80));
        assert_eq!(found(&folder, "a"), Some(true));
        // What is known of the others now is not what their files have.
        for file in folder.known().files.values_mut().filter(|file| file.content.individual[0].id != "a") {
            file.content.individual[0].device_id = Some("remembered".to_owned());
        }
        assert_eq!(folder.individual("c").unwrap().unwrap().device_id.as_deref(), Some("remembered"));
        assert_eq!(found(&folder, "nobody"), None);
        assert_eq!(folder.individual("b").unwrap().unwrap().device_id.as_deref(), Some("remembered"));
    }
}
