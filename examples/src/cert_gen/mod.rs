//! `dps-cert-gen`: the certificate a device will derive, derived on the host for its enrolment.
//!
//! The program is [`run`] on arguments, an input and an output, so that tests and the tutorial drive it without a process.

pub mod args;
pub mod ask;
pub mod input;
pub mod map;
pub mod output;
pub mod report;

use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use dice_core::standard::{self, FirmwareInfo};
use dice_core::{FirmwareDigest, RegistrationId, Uds, pem, riot};
use zeroize::Zeroizing;

use args::{Args, ProfileName};
use map::MeasuredRanges;
use report::Report;

/// Whose certificate it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A registration id.
    Id(String),
    /// The facts that make the default registration id.
    Device {
        /// 12 hexadecimal digits.
        mac: String,
        /// Three numbers joined by dots.
        firmware_version: String,
    },
}

impl Subject {
    /// The registration id, checked.
    ///
    /// # Errors
    /// Names the character, the length or the part at fault.
    pub fn registration_id(&self) -> Result<String> {
        let id = match self {
            Self::Id(id) => id.clone(),
            Self::Device { mac, firmware_version } => input::default_registration_id(mac, firmware_version)?,
        };
        RegistrationId::new(&id).map_err(|error| anyhow!("registration id: {error}"))?;
        Ok(id)
    }
}

/// What a run is about, whether from the command line or from answers.
struct Request {
    bin: PathBuf,
    /// Of the `riot` profile.
    map: Option<PathBuf>,
    uds: Zeroizing<String>,
    subject: Subject,
}

/// Runs the program.
///
/// # Errors
/// A [`clap::Error`] for wrong usage and for `--help`; otherwise what is wrong with which input. See [`fail`].
pub fn run(args: Vec<OsString>, stdin: &mut dyn BufRead, stdout: &mut dyn Write) -> Result<()> {
    let interactive = args.len() <= 1;
    let args = Args::try_parse_from(args::fold_original_flags(args))?;
    let request = if interactive {
        let ask::Answers { bin, map, uds, subject } = ask::ask(stdin, stdout)?;
        Request { bin, map: Some(map), uds, subject }
    } else {
        from_command_line(&args, stdin)?
    };
    let image =
        std::fs::read(&request.bin).with_context(|| format!("cannot read {}", request.bin.display()))?;

    // The original's order of checks: secret, id, map.
    let uds = parse_uds(&request.uds)?;
    drop(request.uds);
    let id = request.subject.registration_id()?;
    let mut report = match &request.map {
        Some(map) => {
            let text = std::fs::read(map).with_context(|| format!("cannot read {}", map.display()))?;
            let text = String::from_utf8_lossy(&text);
            let ranges = MeasuredRanges::from_map(&text).with_context(|| map.display().to_string())?;
            let (core, firmware) = ranges.cut(&image).with_context(|| request.bin.display().to_string())?;
            riot_report(&uds, core, firmware, RegistrationId::new(&id)?, &args)?
        }
        None => standard_report(&uds, &image, RegistrationId::new(&id)?, &args)?,
    };
    drop(uds);

    let path = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("{id}.pem")));
    if path == Path::new("-") {
        if !args.json {
            stdout.write_all(report.certificate_pem.as_bytes())?;
        }
    } else {
        output::write_new(&path, &report.certificate_pem, args.force)?;
        report.file = Some(path.display().to_string());
    }
    if args.json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(&report)?)?;
    } else if args.print {
        writeln!(stdout, "{report}")?;
    } else if let Some(file) = &report.file {
        writeln!(stdout, "{file} written: enrol it with registration id {id}")?;
    }
    Ok(())
}

/// Prints an error to standard error and gives the exit code: 0 for help, 1 for everything else.
#[must_use]
pub fn fail(error: &anyhow::Error) -> ExitCode {
    let Some(usage) = error.downcast_ref::<clap::Error>() else {
        eprintln!("dps-cert-gen: {error:#}");
        return ExitCode::FAILURE;
    };
    // Nothing is left to do if standard error itself is gone.
    let _ = usage.print();
    if !usage.use_stderr() {
        return ExitCode::SUCCESS;
    }
    if usage.kind() == ErrorKind::InvalidValue {
        // The one kind of mistake whose message leaves the usage line out.
        eprintln!("{}", Args::command().render_usage());
    }
    ExitCode::FAILURE
}

fn from_command_line(args: &Args, stdin: &mut dyn BufRead) -> Result<Request> {
    let usage = |kind, message: String| Args::command().error(kind, message);
    let missing = |what: &str| usage(ErrorKind::MissingRequiredArgument, format!("{what} is needed"));
    let bin = args.bin.clone().ok_or_else(|| missing("the firmware image (-b, --bin)"))?;
    let map = match args.profile {
        ProfileName::Riot => Some(args.map.clone().ok_or_else(|| missing("the linker map (-m, --map)"))?),
        ProfileName::Standard if args.map.is_some() => {
            return Err(usage(
                ErrorKind::ArgumentConflict,
                "--profile standard takes no linker map".to_owned(),
            )
            .into());
        }
        ProfileName::Standard if args.firmware_version.is_none() => {
            return Err(missing(
                "the firmware version (--firmware-version), or a linker map (-m) for a legacy image,",
            )
            .into());
        }
        ProfileName::Standard => None,
    };
    for file in std::iter::once(&bin).chain(&map) {
        std::fs::File::open(file).map_err(|error| {
            usage(ErrorKind::ValueValidation, format!("cannot open {}: {error}", file.display()))
        })?;
    }
    let uds = match (&args.uds, &args.uds_file) {
        (Some(dash), _) if dash == "-" => input::read_uds(Path::new("-"), stdin)?,
        (Some(digits), _) => Zeroizing::new(digits.clone()),
        (None, Some(file)) => input::read_uds(file, stdin)?,
        (None, None) => return Err(missing("the device secret (-u, --uds-file)").into()),
    };
    let subject = match (&args.id, &args.mac, &args.firmware_version) {
        (Some(id), _, _) => Subject::Id(id.clone()),
        (None, Some(mac), Some(version)) => {
            Subject::Device { mac: mac.clone(), firmware_version: version.clone() }
        }
        _ => return Err(missing("a registration id (-i, --id), or --mac with --firmware-version,").into()),
    };
    Ok(Request { bin, map, uds, subject })
}

fn parse_uds(text: &str) -> Result<Uds> {
    Uds::from_hex(text).map_err(|error| anyhow!("UDS: {error}"))
}

/// The `standard` identity: the whole image is measured.
fn standard_report(uds: &Uds, image: &[u8], id: RegistrationId<'_>, args: &Args) -> Result<Report> {
    let version = args.firmware_version.as_deref().unwrap_or_default();
    let info = FirmwareInfo::new(&args.vendor, &args.model, version, args.svn);
    let firmware = FirmwareDigest::of(image).context("firmware image")?;
    let identity = standard::Identity::derive(uds, &firmware, &info).context("profile standard")?;
    let (mut alias, mut device_id) =
        ([0; standard::ALIAS_CERTIFICATE_MAX_LEN], [0; standard::DEVICE_ID_CERTIFICATE_MAX_LEN]);
    let alias =
        identity.alias_certificate(id, &mut alias).map_err(|error| anyhow!("registration id: {error}"))?;
    let certificates = [alias, identity.device_id_certificate(&mut device_id)?];
    Report::new("standard", certificates, firmware.as_bytes(), pem::Lines::Wrapped)
}

/// The `riot` identity: the original's derivation, signed deterministically unless its own broken signature is asked for.
fn riot_report(
    uds: &Uds,
    core: &[u8],
    firmware: &[u8],
    id: RegistrationId<'_>,
    #[cfg_attr(
        not(feature = "legacy-insecure-constant-nonce"),
        allow(unused_variables, reason = "one option fewer")
    )]
    args: &Args,
) -> Result<Report> {
    let identity = riot::Identity::derive(uds, core, firmware).context("profile riot")?;
    let mut alias = [0; riot::ALIAS_CERTIFICATE_MAX_LEN];
    let mut device_id = [0; riot::DEVICE_ID_CERTIFICATE_MAX_LEN];
    let alias =
        identity.alias_to_be_signed(id, &mut alias).map_err(|error| anyhow!("registration id: {error}"))?;
    let device_id = identity.device_id_to_be_signed(&mut device_id)?;

    #[cfg(feature = "legacy-insecure-constant-nonce")]
    if args.insecure_constant_nonce {
        eprintln!(
            "warning: this certificate gives the device's private key away; it is for finding old enrolments only"
        );
        let signer = || riot::ConstantNonceSigner::publishing_the_private_key(identity.device_id_key());
        let certificates = [alias.sign(signer())?, device_id.sign(signer())?];
        return Report::new("riot", certificates, &identity.fwid().0, pem::Lines::Single);
    }
    let certificates = [alias.sign(identity.device_id_key())?, device_id.sign(identity.device_id_key())?];
    Report::new("riot", certificates, &identity.fwid().0, pem::Lines::Single)
}
