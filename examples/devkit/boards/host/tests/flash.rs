//! `tools/flash-az3166` with a `probe-rs` that writes down what it is asked to do.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;

/// One test at a time: a program cannot be run while the child of another test, just forked, has it open for writing.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../..");

/// A program that notes its name and arguments in `calls`, and then does this.
fn program(folder: &Path, name: &str, then: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, format!("#!/bin/sh\necho \"{name} $*\" >>\"$CALLS\"\n{then}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The script in a tree where nothing is built, and with it this `probe-rs`.
fn tree(probe_rs: Option<&str>) -> (TempDir, MutexGuard<'static, ()>) {
    let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let tree = tempfile::tempdir().unwrap();
    let root = tree.path();
    program(root, "tools/setup", "");
    program(
        root,
        "tools/firmware",
        "mkdir -p target/firmware; echo image >target/firmware/devkit-az3166.bin",
    );
    if let Some(then) = probe_rs {
        program(&root.join("bin"), "probe-rs", then);
    }
    fs::copy(format!("{REPOSITORY}/tools/flash-az3166"), root.join("tools/flash-az3166")).unwrap();
    (tree, alone)
}

fn flash(tree: &TempDir, arguments: &[&str]) -> (Output, Vec<String>) {
    let calls = tree.path().join("calls");
    let output = Command::new(tree.path().join("tools/flash-az3166"))
        .args(arguments)
        .env("CALLS", &calls)
        // Where it was called does not matter.
        .current_dir("/")
        .env("PATH", format!("{}:/usr/bin:/bin", tree.path().join("bin").display()))
        .output()
        .unwrap();
    let calls = fs::read_to_string(calls).unwrap_or_default();
    (output, calls.lines().map(str::to_owned).collect())
}

#[test]
fn the_applications_sectors_are_written_and_nothing_else() {
    let (tree, _alone) = tree(Some("[ \"$1\" = reset ] || [ -f target/firmware/devkit-az3166.bin ]"));
    let (output, calls) = flash(&tree, &["--probe", "0483:374b"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        calls,
        [
            "tools/setup device",
            "tools/firmware az3166",
            "probe-rs download --chip STM32F412RGTx --binary-format bin --base-address 0x0800C000 \
             --probe 0483:374b target/firmware/devkit-az3166.bin",
            "probe-rs reset --chip STM32F412RGTx --probe 0483:374b",
        ]
    );
    // Where the image is linked to.
    let memory = fs::read_to_string(format!("{REPOSITORY}/examples/devkit/boards/az3166/memory.x")).unwrap();
    assert!(memory.contains("FLASH : ORIGIN = 0x0800C000"), "{memory}");
}

#[test]
fn a_failure_is_passed_on_and_the_board_is_left_alone() {
    let (tree, _alone) = tree(Some("exit 3"));
    let (output, calls) = flash(&tree, &[]);
    assert_eq!(output.status.code(), Some(3));
    assert!(calls.last().unwrap().starts_with("probe-rs download"), "{calls:?}");
}

#[test]
fn without_probe_rs_nothing_is_built() {
    let (tree, _alone) = tree(None);
    let (output, calls) = flash(&tree, &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("cargo install probe-rs-tools"), "{said}");
    assert!(calls.is_empty(), "{calls:?}");
}
