//! `dps-cert-gen batch`: the certificates of many devices in one go, and what enrols them.
//!
//! Everything is written into a temporary folder beside the target, which gets its name when it is complete.

pub mod devices;
mod enrol;

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use dice_core::FirmwareDigest;
use dice_core::pem::{Label, Lines};
use indicatif::{ProgressBar, ProgressStyle};

use super::args::DeviceArgs;
use super::make::{self, Make, to_pem};
use super::{files, input};
use devices::{BadLine, Device};

/// Makes the certificates of many devices, and what enrols them: in the portal, with the Azure CLI, in local-cloud.
#[derive(Debug, clap::Args)]
pub struct BatchArgs {
    /// The devices, as a CSV file; `-` is standard input
    ///
    /// It begins with a line of column names: `UDS` (64 hexadecimal digits), `MAC` and `registration id`, separated by
    /// commas, semicolons or tabs. A line without a registration id gets the default one, made from its MAC address
    /// and the firmware version.
    #[arg(value_name = "DEVICES.CSV")]
    pub devices: PathBuf,

    /// The folder to make: `enrollments/<ID>.pem` for each device, and `azure-cli.sh`
    #[arg(short, long, value_name = "FOLDER")]
    pub out: PathBuf,

    /// Firmware image as flashed: the application alone, without the boot loader
    #[arg(short, long, value_name = "FILE")]
    pub bin: PathBuf,

    /// Take any file as firmware image, also one that does not look like it
    #[arg(long)]
    pub force_image: bool,

    /// Firmware version, such as 2.0.0: part of default registration ids and of the certificates
    #[arg(long, value_name = "X.Y.Z")]
    pub firmware_version: String,

    /// What a standard certificate says of the device
    #[command(flatten)]
    pub device: DeviceArgs,

    /// Write the devices whose lines are right even if others are wrong; the exit code is 1 nevertheless
    #[arg(long)]
    pub keep_going: bool,
}

/// The largest file that is read as a list of devices, in bytes.
const MAX_DEVICES_LEN: u64 = 64 << 20;

/// Lines of the file are wrong.
#[derive(Debug)]
pub struct Refused {
    /// The file.
    pub file: String,
    /// What is wrong, in the order of the lines and columns.
    pub lines: Vec<BadLine>,
    /// How many devices were written all the same.
    pub written: usize,
}

impl Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lines.iter().map(|bad| bad.line).collect::<BTreeSet<_>>().len();
        write!(f, "{}: wrong lines: {lines}; ", self.file)?;
        match self.written {
            0 => f.write_str("nothing is written"),
            written => write!(f, "devices written: {written}"),
        }
    }
}

impl std::error::Error for Refused {}

/// Runs the command.
///
/// # Errors
/// [`Refused`] for wrong lines; otherwise what cannot be read or written.
pub fn run(args: &BatchArgs, stdin: &mut dyn Read, stdout: &mut dyn Write) -> Result<()> {
    files::not_a_device(&args.out)?;
    ensure!(!args.out.exists(), "{} exists already: choose another folder", args.out.display());
    let firmware = FirmwareDigest::of(&super::read_image(&args.bin, true, args.force_image)?)
        .with_context(|| args.bin.display().to_string())?;
    let info = args.device.firmware(&args.firmware_version);

    let bytes = files::read(&args.devices, "a list of devices", MAX_DEVICES_LEN, stdin)?;
    let from_stdin = args.devices == Path::new("-");
    let file = if from_stdin { "standard input".to_owned() } else { args.devices.display().to_string() };
    let devices::Devices { all, mut bad } =
        devices::read(&bytes, &args.firmware_version).with_context(|| file.clone())?;
    drop(bytes);
    let good = without(all.iter(), &bad);
    ensure!(!all.is_empty() || !bad.is_empty(), "{file}: there is no device in it");
    let refused = |lines, written| Refused { file: file.clone(), lines, written };
    if good.is_empty() || !(bad.is_empty() || args.keep_going) {
        return Err(refused(bad, 0).into());
    }

    let folder = Staged::beside(&args.out)?;
    let enrollments = folder.path().join(enrol::ENROLLMENTS);
    std::fs::create_dir(&enrollments).with_context(|| format!("cannot write {}", args.out.display()))?;
    let failed = write_all(&good, &enrollments, |device| {
        let id = input::registration_id(&device.id)?;
        let der = make::certificate(&device.uds, &firmware, &info, id)?;
        to_pem(Label::Certificate, &der, Lines::Wrapped)
    })?;
    let good = without(good, &failed);
    bad.extend(failed);
    bad.sort_by_key(|bad| (bad.line, bad.column));
    if good.is_empty() || !(bad.is_empty() || args.keep_going) {
        return Err(refused(bad, 0).into());
    }
    write_file(&folder.path().join(enrol::AZURE_CLI), &enrol::azure_cli(&good))?;
    folder.publish(&args.out)?;

    let count = good.len();
    writeln!(
        stdout,
        "{count} certificates written to {0}\n\
         Azure CLI:    sh {1} <DPS> <GROUP>\n\
         local-cloud:  local-cloud --enrollments {0}",
        args.out.join(enrol::ENROLLMENTS).display(),
        args.out.join(enrol::AZURE_CLI).display(),
    )?;
    if bad.is_empty() { Ok(()) } else { Err(refused(bad, count).into()) }
}

/// The devices whose lines are not wrong.
fn without<'d>(devices: impl IntoIterator<Item = &'d Device>, bad: &[BadLine]) -> Vec<&'d Device> {
    let wrong: BTreeSet<usize> = bad.iter().map(|bad| bad.line).collect();
    devices.into_iter().filter(|device| !wrong.contains(&device.line)).collect()
}

/// Makes and writes every certificate, on all cores. What cannot be made is the fault of its line; what cannot be
/// written ends the run.
fn write_all(
    devices: &[&Device],
    folder: &Path,
    make: impl Fn(&Device) -> Result<String> + Sync,
) -> Result<Vec<BadLine>> {
    let bar = progress(devices.len());
    let (next, bad, failure) = (AtomicUsize::new(0), Mutex::new(Vec::new()), Mutex::new(None));
    let work = || {
        while let Some(device) = devices.get(next.fetch_add(1, Ordering::Relaxed)) {
            match make(device) {
                Ok(pem) => {
                    if let Err(error) = write_file(&folder.join(&device.file), &pem) {
                        next.store(devices.len(), Ordering::Relaxed);
                        *lock(&failure) = Some(error);
                    }
                }
                Err(error) => lock(&bad).push(BadLine {
                    line: device.line,
                    column: device.column,
                    reason: format!("{error:#}"),
                }),
            }
            bar.inc(1);
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(devices.len());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    bar.finish_and_clear();
    match lock(&failure).take() {
        Some(error) => Err(error),
        None => Ok(std::mem::take(&mut *lock(&bad))),
    }
}

/// What a thread that panicked has left behind is still whole here.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A bar on a terminal; where there is none, nothing.
fn progress(devices: usize) -> ProgressBar {
    let bar = ProgressBar::new(devices as u64);
    match ProgressStyle::with_template("{bar:40} {pos} of {len} certificates, {elapsed}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn write_file(path: &Path, content: &str) -> Result<()> {
    let write = || {
        let mut file = std::fs::File::create_new(path)?;
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

/// A folder that is made completely before it gets its name, and removed if that does not happen.
struct Staged(tempfile::TempDir);

impl Staged {
    fn beside(out: &Path) -> Result<Self> {
        let parent = match out.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(".dps-cert-gen-");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(std::fs::Permissions::from_mode(0o755));
        }
        let folder = builder.tempdir_in(parent).with_context(|| format!("cannot write {}", out.display()))?;
        Ok(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn publish(mut self, out: &Path) -> Result<()> {
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

/// The name of a device's certificate file: that of the command for a single device.
fn certificate_file(id: &str) -> PathBuf {
    super::file_name(Make::Certificate, Some(id), None)
}
