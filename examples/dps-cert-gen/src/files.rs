//! Reading input files, bounded, and the names that Windows keeps for devices.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use zeroize::Zeroizing;

/// Reads a file, or standard input where the path is `-`. `what` it is stands in the message.
///
/// # Errors
/// It cannot be read, has more than `limit` bytes, or its name is a device's on Windows.
pub fn read(path: &Path, what: &str, limit: u64, stdin: &mut dyn Read) -> Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(1 << 12));
    let name = if path == Path::new("-") {
        stdin
            .take(limit + 1)
            .read_to_end(&mut bytes)
            .with_context(|| format!("reading {what} from standard input"))?;
        "standard input".to_owned()
    } else {
        let file = open(path)?;
        file.take(limit + 1)
            .read_to_end(&mut bytes)
            .with_context(|| format!("cannot read {}", path.display()))?;
        path.display().to_string()
    };
    ensure!(bytes.len() as u64 <= limit, "{name}: {what} cannot have more than {limit} bytes");
    Ok(bytes)
}

/// Opens a file that can be read to its end.
///
/// # Errors
/// There is none, it is a folder, or its name is a device's on Windows.
pub fn open(path: &Path) -> Result<std::fs::File> {
    not_a_device(path)?;
    let file = std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    ensure!(!file.metadata().is_ok_and(|data| data.is_dir()), "{} is a folder", path.display());
    Ok(file)
}

/// Refuses a path that names a device, on Windows.
///
/// # Errors
/// It does.
pub fn not_a_device(path: &Path) -> Result<()> {
    let name = path.file_name().map(|name| name.to_string_lossy());
    match name {
        Some(name) if cfg!(windows) && is_device_on_windows(&name) => {
            bail!(
                "{} is the name of a device on Windows, whatever its extension; choose another",
                path.display()
            )
        }
        _ => Ok(()),
    }
}

/// Whether Windows takes a file name for a device: these names in any case, with any extension, blanks behind them.
#[must_use]
pub fn is_device_on_windows(name: &str) -> bool {
    let stem = name.split(['.', ':']).next().unwrap_or_default().trim_end_matches(' ').to_ascii_lowercase();
    let port = |prefix| {
        stem.strip_prefix(prefix).is_some_and(|number: &str| {
            let mut digits = number.chars();
            matches!(digits.next(), Some('0'..='9' | '¹' | '²' | '³')) && digits.next().is_none()
        })
    };
    matches!(&*stem, "con" | "prn" | "aux" | "nul" | "conin$" | "conout$") || port("com") || port("lpt")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_are_known_in_every_spelling() {
        for name in
            ["nul", "NUL.pem", "con", "Con.tar.gz", "aux .pem", "prn", "com1.pem", "LPT9", "com¹.x", "nul:x"]
        {
            assert!(is_device_on_windows(name), "{name}");
        }
        for name in
            ["null.pem", "console", "com", "com10.pem", "comx", "a.nul", "id-nul.pem", "nul-chain.pem", ""]
        {
            assert!(!is_device_on_windows(name), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_with_what_it_was_to_be() {
        let message = |path: &str, limit| {
            format!("{:#}", read(Path::new(path), "the anchor", limit, &mut &b"0123456789"[..]).unwrap_err())
        };
        assert!(message("no/such/file", 9).starts_with("cannot open no/such/file: "));
        assert_eq!(message("-", 9), "standard input: the anchor cannot have more than 9 bytes");
        assert!(message(".", 9).ends_with("is a folder"), "{}", message(".", 9));
        assert_eq!(read(Path::new("-"), "x", 10, &mut &b"0123456789"[..]).unwrap().len(), 10);
    }
}
