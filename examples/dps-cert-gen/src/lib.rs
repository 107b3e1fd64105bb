//! `dps-cert-gen`: the certificate a device will derive, derived on the host for its enrolment.
//!
//! The program is [`run`] on arguments, an input and an output, so that tests and the tutorial drive it without a
//! process.

pub mod args;
pub mod ask;
pub mod batch;
pub mod ca;
pub mod certificates;
pub mod crl;
pub mod ear;
pub mod files;
pub mod image;
pub mod input;
pub mod make;
pub mod map;
pub mod output;
pub mod reference;
pub mod report;
pub mod request;
pub mod shown;
pub mod staged;
pub mod text;
pub mod verify;

use std::ffi::OsString;
use std::io::{BufRead, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use dice_core::{Error, FirmwareDigest, RegistrationId, Uds, pem, riot};
use zeroize::Zeroizing;

use args::{Args, Command, ProfileName};
use make::{Made, Make};
use map::MeasuredRanges;
use report::Report;

/// The largest file that is read as a linker map, in bytes.
const MAX_MAP_LEN: u64 = 256 << 20;

/// Whose certificate it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A registration id.
    Id(String),
    /// The facts that make the default registration id.
    Device {
        /// In any usual spelling.
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
            Self::Id(id) => id.trim().to_owned(),
            Self::Device { mac, firmware_version } => input::default_registration_id(mac, firmware_version)?,
        };
        input::registration_id(&id)?;
        Ok(id)
    }
}

/// What a run is about, whether from the command line or from answers. What its output does not need may be absent.
struct Request {
    make: Make,
    bin: Option<PathBuf>,
    /// Of the `riot` profile.
    map: Option<PathBuf>,
    uds: Option<Zeroizing<String>>,
    subject: Option<Subject>,
}

/// Runs the program.
///
/// # Errors
/// A [`clap::Error`] for wrong usage and for `--help`; otherwise what is wrong with which input. See [`fail`].
pub fn run(args: Vec<OsString>, stdin: &mut dyn BufRead, stdout: &mut dyn Write) -> Result<()> {
    let interactive = args.len() <= 1;
    let args = Args::try_parse_from(args::fold_original_flags(args))?;
    match &args.command {
        Some(Command::Verify(args)) => return verify::run(args, stdin, stdout),
        Some(Command::Batch(args)) => return batch::run(args, stdin, stdout),
        Some(Command::Ca(args)) => return ca::run(args, stdin, stdout),
        None => {}
    }
    let request = if interactive {
        let ask::Answers { bin, map, uds, subject } = ask::ask(stdin, stdout)?;
        Request {
            make: Make::Certificate,
            bin: Some(bin),
            map: Some(map),
            uds: Some(uds),
            subject: Some(subject),
        }
    } else {
        from_command_line(&args, stdin)?
    };
    let measured = request.bin.as_deref().filter(|_| request.make.needs_firmware());
    let image = measured.map(|bin| read_image(bin, request.map.is_none(), args.force_image)).transpose()?;

    // The original's order of checks: secret, id, map.
    let uds = request.uds.as_deref().map(|text| parse_uds(text)).transpose()?;
    let id = request.subject.as_ref().map(Subject::registration_id).transpose()?;
    let made = derive(&request, uds.as_ref(), image.as_deref(), id.as_deref(), &args)?;
    drop(uds);

    let (text, mut report) = match made {
        Output::ReferenceValues(values) => (values, None),
        Output::Made(profile, made, lines) => {
            let report = Report::new(profile, request.make, id.clone(), &made, lines)?;
            (report.text.clone().into_bytes(), Some(report))
        }
    };
    let path = args.out.clone().unwrap_or_else(|| file_name(request.make, id.as_deref(), report.as_ref()));
    if path == Path::new("-") {
        if !args.json || report.is_none() {
            stdout.write_all(&text)?;
        }
    } else {
        output::write_new(&path, &text, args.force)?;
        if let Some(report) = &mut report {
            report.file = Some(path.display().to_string());
        }
    }
    let written = (path != Path::new("-")).then(|| path.display());
    match report {
        Some(report) if args.json => writeln!(stdout, "{}", shown::json(&report)?)?,
        Some(report) if args.print => writeln!(stdout, "{report}")?,
        _ => {
            if let Some(file) = written {
                match (request.make, &id) {
                    (Make::Certificate, Some(id)) => {
                        writeln!(stdout, "{file} written: enrol it with registration id {id}")?;
                    }
                    _ => writeln!(stdout, "{file} written")?,
                }
            }
        }
    }
    Ok(())
}

fn read_image(path: &Path, has_vectors: bool, force: bool) -> Result<Vec<u8>> {
    let file = files::open(path)?;
    let mut bytes = Vec::new();
    // One byte too many is enough to tell; a device such as /dev/zero has no end.
    let limit = if force { u64::MAX } else { image::MAX_LEN + 1 };
    file.take(limit).read_to_end(&mut bytes).with_context(|| format!("cannot read {}", path.display()))?;
    if !force {
        image::check(&path.display().to_string(), &bytes, has_vectors)?;
    }
    Ok(bytes)
}

/// The name of the file: the registration id, or else the certificate's own, and what it is. Windows would write the
/// file of a device `nul` to nowhere, so it is called otherwise, everywhere.
fn file_name(make: Make, id: Option<&str>, report: Option<&Report>) -> PathBuf {
    let device = id.or(report.map(|report| report.device_id.as_str())).unwrap_or_default();
    let name = format!("{device}{}", make.suffix());
    PathBuf::from(if files::is_device_on_windows(&name) { format!("device-{name}") } else { name })
}

/// What a run ends with.
enum Output {
    ReferenceValues(Vec<u8>),
    Made(&'static str, Made, pem::Lines),
}

fn derive(
    request: &Request,
    uds: Option<&Uds>,
    image: Option<&[u8]>,
    id: Option<&str>,
    args: &Args,
) -> Result<Output> {
    let absent = |what: &str| anyhow!("{what} is needed for this");
    let uds = || uds.ok_or_else(|| absent("the device secret"));
    let image = || image.ok_or_else(|| absent("the firmware image"));
    let id = || input::registration_id(id.ok_or_else(|| absent("a registration id"))?);
    if let (Some(map), Some(bin)) = (&request.map, &request.bin) {
        let text = files::read(map, "a linker map", MAX_MAP_LEN, &mut std::io::empty())?;
        let text = text::decode_lossy(&text);
        let ranges = MeasuredRanges::from_map(&text).with_context(|| map.display().to_string())?;
        let (core, firmware) = ranges.cut(image()?).with_context(|| bin.display().to_string())?;
        return Ok(Output::Made("riot", riot_made(uds()?, core, firmware, id()?, args)?, pem::Lines::Single));
    }
    let made = if request.make.needs_firmware() {
        let version = args.firmware_version.as_deref().unwrap_or_default();
        let info = args.device.firmware(version);
        let firmware = FirmwareDigest::of(image()?).context("firmware image")?;
        if !request.make.needs_uds() {
            let json = shown::json(&reference::of_firmware(&firmware, &info))? + "\n";
            return Ok(Output::ReferenceValues(match request.make {
                Make::Corim => reference::corim::encode(&reference::parse(&json)?)?,
                _ => json.into_bytes(),
            }));
        }
        make::from_firmware(request.make, uds()?, &firmware, &info, id()?)?
    } else {
        make::from_secret(request.make, uds()?, args.code.as_deref())?
    };
    Ok(Output::Made("standard", made, pem::Lines::Wrapped))
}

/// Prints an error to standard error and gives the exit code: 0 for help, 1 for everything else.
#[must_use]
pub fn fail(error: &anyhow::Error) -> ExitCode {
    if let Some(batch::Refused { file, lines, .. }) = error.downcast_ref() {
        for line in lines {
            eprintln!("dps-cert-gen: {}", shown::one_line(&format!("{file}: {line}")));
        }
    }
    let Some(usage) = error.downcast_ref::<clap::Error>() else {
        eprintln!("dps-cert-gen: {}", shown::one_line(&format!("{error:#}")));
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
    let conflict = |what: &str| usage(ErrorKind::ArgumentConflict, what.to_owned());
    let make = args.make;
    if args.profile == ProfileName::Riot && make != Make::Certificate {
        return Err(conflict(
            "--profile riot makes the certificate only: its DeviceID certificate is not a CA certificate",
        )
        .into());
    }
    if args.code.is_some() && make != Make::Possession {
        return Err(conflict("--code is for --make possession").into());
    }
    if args.code.is_none() && make == Make::Possession {
        return Err(missing("the service's verification code (--code)").into());
    }
    let bin = match &args.bin {
        None if make.needs_firmware() => return Err(missing("the firmware image (-b, --bin)").into()),
        bin => bin.clone(),
    };
    let map = match args.profile {
        ProfileName::Riot => Some(args.map.clone().ok_or_else(|| missing("the linker map (-m, --map)"))?),
        ProfileName::Standard if args.map.is_some() => {
            return Err(conflict("--profile standard takes no linker map").into());
        }
        ProfileName::Standard if make.needs_firmware() && args.firmware_version.is_none() => {
            return Err(missing(
                "the firmware version (--firmware-version), or a linker map (-m) for a legacy image,",
            )
            .into());
        }
        ProfileName::Standard => None,
    };
    for file in bin.iter().chain(&map) {
        files::open(file).map_err(|error| usage(ErrorKind::ValueValidation, format!("{error:#}")))?;
    }
    let uds = match (&args.uds, &args.uds_file) {
        _ if !make.needs_uds() => None,
        (Some(dash), _) if dash == "-" => Some(input::read_uds(Path::new("-"), stdin)?),
        (Some(digits), _) => Some(Zeroizing::new(digits.clone())),
        (None, Some(file)) => Some(input::read_uds(file, stdin)?),
        (None, None) => return Err(missing("the device secret (-u, --uds-file)").into()),
    };
    let subject = match (&args.id, &args.mac, &args.firmware_version) {
        (Some(id), _, _) => Some(Subject::Id(id.clone())),
        (None, Some(mac), Some(version)) => {
            Some(Subject::Device { mac: mac.clone(), firmware_version: version.clone() })
        }
        _ if !make.needs_id() => None,
        _ => return Err(missing("a registration id (-i, --id), or --mac with --firmware-version,").into()),
    };
    Ok(Request { make, bin, map, uds, subject })
}

fn parse_uds(text: &str) -> Result<Uds> {
    Uds::from_hex(text.trim()).map_err(|error| match error {
        Error::UdsAllEqual { .. } => error.into(),
        error => anyhow!("UDS: {error}"),
    })
}

/// The `riot` identity: the original's derivation, signed deterministically unless its own broken signature is asked
/// for.
fn riot_made(
    uds: &Uds,
    core: &[u8],
    firmware: &[u8],
    id: RegistrationId<'_>,
    #[cfg_attr(
        not(feature = "legacy-insecure-constant-nonce"),
        allow(unused_variables, reason = "one option fewer")
    )]
    args: &Args,
) -> Result<Made> {
    let identity = riot::Identity::derive(uds, core, firmware).context("profile riot")?;
    let mut alias = [0; riot::ALIAS_CERTIFICATE_MAX_LEN];
    let mut device_id = [0; riot::DEVICE_ID_CERTIFICATE_MAX_LEN];
    let alias = identity.alias_to_be_signed(id, &mut alias).map_err(input::id_error)?;
    let device_id = identity.device_id_to_be_signed(&mut device_id)?;
    let made = |alias: &[u8], device_id: &[u8]| Made {
        der: alias.to_vec(),
        device_id: Some(device_id.to_vec()),
        fwid: Some(identity.fwid().0.to_vec()),
    };

    #[cfg(feature = "legacy-insecure-constant-nonce")]
    if args.insecure_constant_nonce {
        eprintln!(
            "warning: this certificate gives the device's private key away; it is for finding old enrolments only"
        );
        let signer = || riot::ConstantNonceSigner::publishing_the_private_key(identity.device_id_key());
        return Ok(made(alias.sign(signer())?, device_id.sign(signer())?));
    }
    Ok(made(alias.sign(identity.device_id_key())?, device_id.sign(identity.device_id_key())?))
}
