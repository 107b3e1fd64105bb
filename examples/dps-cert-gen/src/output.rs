//! Writing the certificate: whole or not at all, and never over an existing file unless told to.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Writes `content` to `path` in one step: a reader sees the old file, no file, or the whole new one.
///
/// # Errors
/// The path is a device's name on Windows, the file exists and `force` is not given, or it cannot be written.
pub fn write_new(path: &Path, content: impl AsRef<[u8]>, force: bool) -> Result<()> {
    super::files::not_a_device(path)?;
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let context = || format!("cannot write {}", path.display());
    let mut file =
        readable_by_all(&mut tempfile::Builder::new()).tempfile_in(folder).with_context(context)?;
    file.write_all(content.as_ref()).with_context(context)?;
    file.as_file().sync_all().with_context(context)?;
    let persisted = if force { file.persist(path) } else { file.persist_noclobber(path) };
    match persisted {
        Ok(_) => sync_folder(folder).with_context(context),
        Err(error) if !force && path.exists() => {
            drop(error);
            bail!("{} exists already; --force overwrites it", path.display())
        }
        Err(error) => Err(error.error).with_context(context),
    }
}

/// The new name, too, has to survive a power cut. Some file systems cannot be asked for that.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    use std::io::ErrorKind;
    match std::fs::File::open(folder)?.sync_all() {
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        outcome => outcome,
    }
}

/// Folders cannot be opened there.
#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps, reason = "as on other systems")]
fn sync_folder(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// A certificate is public; the default of a temporary file would keep it from the browser's user.
#[cfg(unix)]
fn readable_by_all<'b, 'p, 's>(
    builder: &'b mut tempfile::Builder<'p, 's>,
) -> &'b mut tempfile::Builder<'p, 's> {
    use std::os::unix::fs::PermissionsExt;
    builder.permissions(std::fs::Permissions::from_mode(0o644))
}

/// Files have no mode there.
#[cfg(not(unix))]
fn readable_by_all<T>(builder: T) -> T {
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_existing_file_stays_unless_forced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.pem");
        write_new(&path, "one", false).unwrap();
        let error = write_new(&path, "two", false).unwrap_err().to_string();
        assert!(error.contains("--force"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one");
        write_new(&path, "two", true).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
        assert!(write_new(&folder.path().join("no/such/a.pem"), "x", false).is_err());
    }
}
