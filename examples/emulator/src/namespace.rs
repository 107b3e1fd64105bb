//! A network of its own: in it the provisioning service's real host name leads to this program, and no packet leaves the
//! machine.
//!
//! The program starts itself again in private network, mount and process namespaces. As root that needs nothing; other
//! users need user namespaces, which some systems switch off.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

/// Says to the second process that it is inside.
pub(crate) const INSIDE: &str = "--inside-namespace";

/// Runs this program with the same arguments inside, and gives its exit code.
pub(crate) fn enter() -> Result<ExitCode> {
    let program = std::env::current_exe().context("finding this program")?;
    let root = fs::metadata("/proc/self").context("finding out who runs this program")?.uid() == 0;
    let mut unshare = Command::new("unshare");
    unshare.args(["--net", "--mount", "--pid", "--fork", "--kill-child"]);
    if !root {
        unshare.arg("--map-root-user");
    }
    // Leaves a way to tell "no namespace" from what the program itself says.
    let probe = unshare_probe(root)?;
    ensure!(
        probe,
        "no private network namespace is to be had: run this as root, or allow user namespaces \
         (sysctl kernel.unprivileged_userns_clone=1 or kernel.apparmor_restrict_unprivileged_userns=0)"
    );
    let status = unshare.arg(program).args(std::env::args_os().skip(1)).arg(INSIDE).status();
    let status = status.context("starting unshare (package util-linux)")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn unshare_probe(root: bool) -> Result<bool> {
    let mut unshare = Command::new("unshare");
    unshare.args(["--net", "--mount", "--pid", "--fork"]);
    if !root {
        unshare.arg("--map-root-user");
    }
    let output = unshare.arg("true").output().context("starting unshare (package util-linux)")?;
    Ok(output.status.success())
}

/// Makes the namespace usable: loopback up, this program as name server. To be called inside only.
pub(crate) fn furnish(folder: &Path) -> Result<()> {
    run(Command::new("ip").args(["link", "set", "lo", "up"])).context("package iproute2")?;
    let resolver = folder.join("resolv.conf");
    fs::write(&resolver, "nameserver 127.0.0.1\n")?;
    run(Command::new("mount").arg("--bind").arg(&resolver).arg("/etc/resolv.conf"))
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting {command:?}"))?;
    ensure!(status.success(), "{command:?} failed");
    Ok(())
}
