//! What the user is told when something is missing on the machine.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

const PROGRAMS: [&str; 5] = ["qemu-system-arm", "unshare", "setpriv", "ip", "mount"];

/// A folder of programs that do nothing but fail, as on a machine that forbids everything.
fn machine() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for program in PROGRAMS {
        let path = folder.path().join(program);
        fs::write(&path, format!("#!/bin/sh\necho {program}: Operation not permitted >&2\nexit 1\n"))
            .unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::write(folder.path().join("firmware.bin"), [0; 64]).unwrap();
    folder
}

fn said(folder: &Path, firmware: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_qemu-board"))
        .args(["--boot", "--firmware"])
        .arg(folder.join(firmware))
        .env("PATH", folder)
        .output()
        .unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_missing_program_is_named_with_its_package() {
    for (program, package) in
        [("qemu-system-arm", "qemu-system-arm"), ("ip", "iproute2"), ("unshare", "util-linux")]
    {
        let machine = machine();
        fs::remove_file(machine.path().join(program)).unwrap();
        let said = said(machine.path(), "firmware.bin");
        assert!(said.contains(&format!("no {program} here (Debian package {package})")), "{said}");
        assert!(said.contains("tools/setup device"), "{said}");
    }
}

#[test]
fn a_machine_without_namespaces_says_so_and_what_to_do() {
    let said = said(machine().path(), "firmware.bin");
    assert!(
        said.contains("a private network namespace cannot be made (unshare: Operation not permitted)"),
        "{said}"
    );
    // As root and as another user other things help.
    assert!(said.contains("docker run --privileged") || said.contains("run this as root"), "{said}");
}

#[test]
fn firmware_that_is_not_there_is_to_be_made() {
    let said = said(machine().path(), "other.bin");
    assert!(said.contains("other.bin: make it with tools/firmware qemu"), "{said}");
}
