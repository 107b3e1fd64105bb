//! A folder that is there completely or not at all: it is filled under a temporary name beside its target.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Who may read what is written; where files have no mode, this makes no difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// Certificates are public.
    All,
    /// Keys are for their owner.
    Owner,
}

/// A folder that is made completely before it gets its name, and removed if that does not happen.
#[derive(Debug)]
pub struct Staged(tempfile::TempDir);

impl Staged {
    /// Begins a folder that is to be called `out`.
    ///
    /// # Errors
    /// Nothing can be written there.
    pub fn beside(out: &Path, readers: Readers) -> Result<Self> {
        let parent = match out.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(".dps-cert-gen-");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = if readers == Readers::All { 0o755 } else { 0o700 };
            builder.permissions(std::fs::Permissions::from_mode(mode));
        }
        #[cfg(not(unix))]
        let _ = readers;
        let folder = builder.tempdir_in(parent).with_context(|| format!("cannot write {}", out.display()))?;
        Ok(Self(folder))
    }

    /// The folder's present name.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Makes a folder in it, and those above.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn create_dir(&self, name: &str) -> Result<()> {
        let path = self.path().join(name);
        std::fs::create_dir_all(&path).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Writes a new file in it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, name: &str, content: &str, readers: Readers) -> Result<()> {
        write_file(&self.path().join(name), content, readers)
    }

    /// Gives the folder its name.
    ///
    /// # Errors
    /// There is something of this name already, or it cannot be written.
    pub fn publish(mut self, out: &Path) -> Result<()> {
        sync(self.path()).with_context(|| format!("cannot write {}", out.display()))?;
        if let Err(error) = std::fs::rename(self.path(), out) {
            if out.exists() {
                bail!("{} exists already: choose another folder", out.display());
            }
            return Err(error).with_context(|| format!("cannot write {}", out.display()));
        }
        // Nothing is left under the temporary name.
        self.0.disable_cleanup(true);
        Ok(())
    }
}

/// Writes a new file within a [`Staged`] folder.
///
/// # Errors
/// There is one already, or it cannot be written.
pub fn write_file(path: &Path, content: &str, readers: Readers) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if readers == Readers::Owner {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    #[cfg(not(unix))]
    let _ = readers;
    let write = || {
        let mut file = options.open(path)?;
        file.write_all(content.as_bytes())?;
        if cfg!(target_os = "linux") { Ok(()) } else { file.sync_all() }
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Has the disk hold every file of a folder: with Linux one call, in place of one for each file, where the disk's time
/// would be several times that of the arithmetic. Elsewhere each file is there already.
fn sync(folder: &Path) -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(std::fs::File::open(folder)?)?;
    #[cfg(not(target_os = "linux"))]
    let _ = folder;
    Ok(())
}
