//! A network of its own: in it the provisioning service's real host name leads to this program, and no packet leaves
//! the machine.
//!
//! The program starts itself again in private network, mount and process namespaces. As root that needs nothing; other
//! users need user namespaces, which some systems switch off. Whatever ends the first process, nothing stays behind:
//! the process namespace goes with the second, the second with the first.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

/// Says to the second process that it is inside, and where its folder is.
pub(crate) const INSIDE: &str = "--inside-namespace";
/// How long the second process may take to end when it is interrupted.
const END: Duration = Duration::from_secs(5);
/// What is started, and the Debian package it is in.
const PROGRAMS: [(&str, &str); 5] = [
    ("qemu-system-arm", "qemu-system-arm"),
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
    ("ip", "iproute2"),
    ("mount", "mount"),
];

/// Runs this program with the same arguments inside, and gives its exit code.
pub(crate) async fn enter(folder: &Path) -> Result<ExitCode> {
    let missing: Vec<_> = PROGRAMS.iter().filter(|(program, _)| !is_there(program)).collect();
    if let Some((program, package)) = missing.first() {
        bail!(
            "there is no {program} here (Debian package {package}); tools/setup device installs what is needed"
        );
    }
    let program = std::env::current_exe().context("finding this program")?;
    let root = fs::metadata("/proc/self").context("finding out who runs this program")?.uid() == 0;
    let mut namespaces = vec!["--net", "--mount", "--pid", "--fork", "--kill-child"];
    if !root {
        namespaces.push("--map-root-user");
    }
    probe(&namespaces, root).await?;
    let mut interrupted = signal(SignalKind::interrupt()).context("SIGINT")?;
    let mut terminated = signal(SignalKind::terminate()).context("SIGTERM")?;
    let mut inside = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "unshare"])
        .args(namespaces)
        .arg(program)
        .args(std::env::args_os().skip(1))
        .arg(INSIDE)
        .arg(folder)
        .kill_on_drop(true)
        .spawn()
        .context("starting setpriv")?;
    tokio::select! {
        status = inside.wait() => return Ok(ExitCode::from(u8::from(!status?.success()))),
        // A terminal interrupts the second process, too, and it ends by itself.
        _ = interrupted.recv() => {}
        _ = terminated.recv() => inside.start_kill()?,
    }
    end(inside).await?;
    bail!("interrupted")
}

async fn end(mut inside: Child) -> Result<()> {
    if timeout(END, inside.wait()).await.is_err() {
        inside.kill().await?;
    }
    Ok(())
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Distinguishes a missing namespace from an error of the program itself.
async fn probe(namespaces: &[&str], root: bool) -> Result<()> {
    let output = Command::new("unshare").args(namespaces).arg("true").output().await;
    let output = output.context("starting unshare")?;
    let why = String::from_utf8_lossy(&output.stderr);
    let help = if root {
        "root may not make one here: a container needs the capability CAP_SYS_ADMIN (docker run --privileged)"
    } else {
        "run this as root, or allow user namespaces (sysctl user.max_user_namespaces above 0, and, where there are such \
         settings, kernel.unprivileged_userns_clone=1 and kernel.apparmor_restrict_unprivileged_userns=0)"
    };
    ensure!(output.status.success(), "a private network namespace cannot be made ({}): {help}", why.trim());
    Ok(())
}

/// Makes the namespace usable: loopback up, this program as name server. To be called inside only.
pub(crate) fn set_up(folder: &Path) -> Result<()> {
    run("ip", &["link", "set", "lo", "up"])?;
    let resolver = folder.join("resolv.conf");
    fs::write(&resolver, "nameserver 127.0.0.1\n")?;
    let resolver = resolver.to_str().context("a folder's name that is not text")?;
    run("mount", &["--bind", resolver, "/etc/resolv.conf"])
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let command = format!("{program} {}", arguments.join(" "));
    let output = std::process::Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("starting {program}"))?;
    let why = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command}: {}", why.trim());
    Ok(())
}
