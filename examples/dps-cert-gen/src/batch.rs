//! `dps-cert-gen batch`: the certificates of many devices in one go, and what enrols them.
//!
//! Everything is written into a temporary folder beside the target, which gets its name when it is complete.

pub mod devices;
mod enrol;

use std::collections::{BTreeSet, HashMap};
use std::fmt::{self, Display};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::SystemTime;

use anyhow::{Context, Result, bail, ensure};
use dice_core::FirmwareDigest;
use dice_core::pem::{Label, Lines};
use indicatif::{ProgressBar, ProgressStyle};

use super::args::DeviceArgs;
use super::ca::authority::{self, Authority};
use super::make::{self, Make, to_pem};
use super::staged::{self, Readers, Staged};
use super::{files, input};
use devices::{BadLine, Credential, Device};

/// Makes the certificates of many devices, and what enrols them: in the portal, with the Azure CLI, in local-cloud. A
/// line with a secret gives the certificate for an individual enrolment; one with a request (CSR) the certificate of
/// its DeviceID, from a CA of one's own (`dps-cert-gen ca`).
#[derive(Debug, clap::Args)]
pub struct BatchArgs {
    /// The devices, as a CSV file; `-` is standard input
    ///
    /// It begins with a line of column names: `UDS` (64 hexadecimal digits) or `CSR` (PKCS#10 as --make
    /// device-id-request writes it, base64 on one line) or both, `MAC` and `registration id`, separated by commas,
    /// semicolons or tabs. A line without a registration id gets the default one, made from its MAC address and the
    /// firmware version; with a CSR, the name of its DeviceID.
    #[arg(value_name = "DEVICES.CSV")]
    pub devices: PathBuf,

    /// The folder to make: `enrollments/<ID>.pem` for each device with a secret, and `azure-cli.sh`;
    /// `device-ids/<ID>.pem` for each device with a CSR, and the CA as the enrolment group of local-cloud
    #[arg(short, long, value_name = "FOLDER")]
    pub out: PathBuf,

    /// Firmware image as flashed: the application alone, without the boot loader
    #[arg(short, long, value_name = "FILE", required_unless_present = "ca", requires = "firmware_version")]
    pub bin: Option<PathBuf>,

    /// Take any file as firmware image, also one that does not look like it
    #[arg(long)]
    pub force_image: bool,

    /// Firmware version, such as 2.0.0: part of default registration ids and of the certificates
    #[arg(long, value_name = "X.Y.Z", required_unless_present = "ca")]
    pub firmware_version: Option<String>,

    /// The folder of the CA that signs CSRs
    #[arg(long, value_name = "FOLDER")]
    pub ca: Option<PathBuf>,

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
    let firmware = match (&args.bin, &args.firmware_version) {
        (Some(bin), Some(version)) => {
            let digest = FirmwareDigest::of(&super::read_image(bin, true, args.force_image)?)
                .with_context(|| bin.display().to_string())?;
            Some((digest, args.device.firmware(version)))
        }
        _ => None,
    };

    let bytes = files::read(&args.devices, "a list of devices", MAX_DEVICES_LEN, stdin)?;
    let from_stdin = args.devices == Path::new("-");
    let file = if from_stdin { "standard input".to_owned() } else { args.devices.display().to_string() };
    let devices::Devices { all, mut bad } =
        devices::read(&bytes, args.firmware_version.as_deref()).with_context(|| file.clone())?;
    drop(bytes);
    let good = without(all.iter(), &bad);
    ensure!(!all.is_empty() || !bad.is_empty(), "{file}: there is no device in it");
    let refused = |lines, written| Refused { file: file.clone(), lines, written };
    if good.is_empty() || !(bad.is_empty() || args.keep_going) {
        return Err(refused(bad, 0).into());
    }
    let line_with = |is_wanted: fn(&Credential) -> bool| {
        good.iter().find(|device| is_wanted(&device.credential)).map(|device| device.line)
    };
    let secret = line_with(|credential| matches!(credential, Credential::Uds(_)));
    let request = line_with(|credential| matches!(credential, Credential::Request(_)));
    if let (Some(line), None) = (secret, &firmware) {
        bail!("{file}: line {line} has a UDS: the firmware image (--bin) and its version are needed");
    }
    let mut signed = match (request, &args.ca) {
        (Some(line), None) => bail!("{file}: line {line} has a CSR: the folder of a CA (--ca) is needed"),
        (Some(_), Some(ca)) => Some(Signed::new(ca, &good)?),
        (None, _) => None,
    };

    let folder = Staged::beside(&args.out, Readers::All)?;
    for name in [secret.map(|_| enrol::ENROLLMENTS), request.map(|_| enrol::DEVICE_IDS)].into_iter().flatten()
    {
        folder.create_dir(name)?;
    }
    let mut failed = write_all(&good, folder.path(), |device| match &device.credential {
        Credential::Uds(uds) => {
            let (digest, info) = firmware.as_ref().context("there is no firmware")?;
            let der = make::certificate(uds, digest, info, input::registration_id(&device.id)?)?;
            to_pem(Label::Certificate, &der, Lines::Wrapped)
        }
        Credential::Request(_) => {
            let der = signed.as_ref().and_then(|signed| signed.certificates.get(&device.line));
            to_pem(Label::Certificate, der.context("it is not signed")?, Lines::Wrapped)
        }
    })?;
    if let Some(signed) = &mut signed {
        failed.retain(|bad| !signed.refused.iter().any(|refused| refused.line == bad.line));
        failed.append(&mut signed.refused);
    }
    let good = without(good, &failed);
    bad.extend(failed);
    bad.sort_by_key(|bad| (bad.line, bad.column));
    if good.is_empty() || !(bad.is_empty() || args.keep_going) {
        return Err(refused(bad, 0).into());
    }
    if secret.is_some() {
        folder.write(enrol::AZURE_CLI, &enrol::azure_cli(&good), Readers::All)?;
    }
    if let Some(signed) = &signed {
        folder.create_dir(enrol::GROUPS)?;
        folder.write(enrol::CA, &signed.authority.certificate_pem()?, Readers::All)?;
        // Before anything is given out.
        signed.authority.save()?;
    }
    folder.publish(&args.out)?;
    summary(&good, args, stdout)?;
    if bad.is_empty() { Ok(()) } else { Err(refused(bad, good.len()).into()) }
}

/// Says what was written, and what to do with it.
fn summary(devices: &[&Device], args: &BatchArgs, stdout: &mut dyn Write) -> Result<()> {
    let enrolled = devices.iter().filter(|device| matches!(device.credential, Credential::Uds(_))).count();
    let signed = devices.len() - enrolled;
    let path = |name: &str| args.out.join(name).display().to_string();
    if enrolled > 0 {
        writeln!(stdout, "{enrolled} certificates written to {}", path(enrol::ENROLLMENTS))?;
        writeln!(stdout, "Azure CLI:    sh {} <DPS> <GROUP>", path(enrol::AZURE_CLI))?;
    }
    if let (1.., Some(ca)) = (signed, &args.ca) {
        writeln!(stdout, "{signed} DeviceID certificates written to {}", path(enrol::DEVICE_IDS))?;
        let script = ca.join(authority::AZURE_CLI);
        writeln!(stdout, "Azure CLI:    sh {} <DPS> <GROUP> <NAME>, once for the CA", script.display())?;
    }
    writeln!(stdout, "local-cloud:  local-cloud --enrollments {}", path(enrol::ENROLLMENTS))?;
    Ok(())
}

/// The certificates of DeviceIDs from a CA; its list is not written yet.
struct Signed {
    authority: Authority,
    /// In DER, by line.
    certificates: HashMap<usize, Vec<u8>>,
    refused: Vec<BadLine>,
}

impl Signed {
    fn new(ca: &Path, devices: &[&Device]) -> Result<Self> {
        let now = SystemTime::now();
        let mut signed =
            Self { authority: Authority::open(ca, now)?, certificates: HashMap::new(), refused: Vec::new() };
        for device in devices {
            let Credential::Request(request) = &device.credential else { continue };
            match signed.authority.issue(request, None, false, now) {
                Ok(one) => {
                    signed.certificates.insert(device.line, one.der);
                }
                Err(error) => signed.refused.push(BadLine {
                    line: device.line,
                    column: device.column,
                    reason: format!("{error:#}"),
                }),
            }
        }
        Ok(signed)
    }
}

/// Where a device's certificate lies in the folder.
fn place(device: &Device) -> PathBuf {
    let folder = match device.credential {
        Credential::Uds(_) => enrol::ENROLLMENTS,
        Credential::Request(_) => enrol::DEVICE_IDS,
    };
    Path::new(folder).join(&device.file)
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
                    if let Err(error) = staged::write_file(&folder.join(place(device)), &pem, Readers::All) {
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

/// The name of a device's certificate file: that of the command for a single device.
fn certificate_file(id: &str) -> PathBuf {
    super::file_name(Make::Certificate, Some(id), None)
}
