//! The firmware's date: no time before it is believed.
//!
//! It is `SOURCE_DATE_EPOCH` if that is set (reproducible-builds.org), and otherwise the date of the last change to
//! the DevKit's sources that is committed, so that two builds of one state give one image.

use std::process::Command;
use std::{env, fs};

/// For sources that come without their history: when this was written, 2026-11-30.
const WRITTEN: u64 = 1_795_996_800;

fn main() {
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let history = "../../../../.git/logs/HEAD";
    if fs::exists(history).unwrap_or(false) {
        println!("cargo:rerun-if-changed={history}");
    }
    println!("cargo:rerun-if-changed=build.rs");
    let given = env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.trim().parse().ok());
    let built: u64 = given.or_else(committed).unwrap_or(WRITTEN).max(WRITTEN);
    println!("cargo:rustc-env=FIRMWARE_DATE={built}");
}

fn committed() -> Option<u64> {
    let git = Command::new("git").args(["log", "-1", "--format=%ct", "--", "../.."]).output().ok()?;
    String::from_utf8(git.stdout).ok()?.trim().parse().ok()
}
