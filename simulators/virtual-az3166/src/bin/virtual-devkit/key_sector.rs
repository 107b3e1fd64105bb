//! The flash sector with the host keys, kept in the board's folder between runs.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use peripherals::replace_private_file;
use virtual_az3166::{FLASH_ADDRESS, KEY_ADDRESS, KEY_SECTOR_LEN, VirtualBoard};

use crate::args::Args;

fn path(args: &Args) -> PathBuf {
    args.device.join("key-sector.bin")
}

/// What the run before has left.
pub(crate) fn load(args: &Args) -> Result<Option<Vec<u8>>> {
    let path = path(args);
    if !path.exists() {
        return Ok(None);
    }
    let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    ensure!(bytes.len() == KEY_SECTOR_LEN, "{} is no flash sector", path.display());
    Ok(Some(bytes))
}

/// Keeps it for the next run.
pub(crate) fn save(args: &Args, board: &VirtualBoard) -> Result<()> {
    let (path, at) = (path(args), (KEY_ADDRESS - FLASH_ADDRESS) as usize);
    let bytes = board.flash().get(at..at + KEY_SECTOR_LEN).unwrap_or_default();
    replace_private_file(&path, bytes).with_context(|| format!("writing {}", path.display()))
}
