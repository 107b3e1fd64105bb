//! `dps-cert-gen ca`: a CA of one's own above the DeviceIDs of many devices.
//!
//! What is given out is on the CA's list first, and the list holds the certificates: after a power cut the same command
//! gives the same certificate again.

pub mod authority;
mod parts;
pub mod register;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};
use dice_core::pem::{Label, Lines};
use serde::Serialize;

use super::make::to_pem;
use super::request::DeviceIdRequest;
use super::shown::{self, Shown};
use super::{certificates, files, output};
use authority::Authority;
use register::{Issued, Reason, Revocation};

/// The CA above the DeviceIDs: it is enrolled once, and every device that presents a DeviceID certificate of this CA is
/// admitted, with any firmware. What may run is then for `dps-cert-gen verify` to decide.
#[derive(Debug, Args)]
pub struct CaArgs {
    /// What to do
    #[command(subcommand)]
    pub command: CaCommand,
}

/// What a CA does.
#[derive(Debug, Subcommand)]
pub enum CaCommand {
    /// Make a CA: a folder with its key (P-256), its certificate, its list, and azure-cli.sh, which enrols it
    Create(Create),
    /// Sign requests (PKCS#10) of devices, as --make device-id-request writes them: DeviceID certificates
    Sign(Sign),
    /// Answer the service's verification code: a certificate with the code as CN
    Possession(Possession),
    /// Revoke a certificate
    Revoke(Revoke),
    /// Write the certificate revocation list
    Crl(Crl),
    /// List what was issued
    List(List),
}

/// Arguments of `ca create`.
#[derive(Debug, Args)]
pub struct Create {
    /// The folder to make
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,

    /// The common name of the CA
    #[arg(long, value_name = "NAME")]
    pub name: String,

    /// How long the CA's certificate is valid; without, for good (RFC 5280: until the end of 9999)
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..))]
    pub days: Option<u32>,
}

/// Arguments of `ca sign`.
#[derive(Debug, Args)]
pub struct Sign {
    /// The folder of the CA
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,

    /// The requests (PEM or DER), a file each; `-` is standard input
    #[arg(value_name = "REQUEST", required = true)]
    pub requests: Vec<PathBuf>,

    /// Where to write the certificate, or the folder for them, which has to be there; `-` is standard output; without
    /// it, `DeviceID-….pem` in the current directory
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// How long the certificates are valid; without, as long as that of the CA
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..))]
    pub days: Option<u32>,

    /// Make a new certificate also for a key that has a valid one; without, that one is written again
    #[arg(long)]
    pub renew: bool,

    /// Overwrite existing files
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `ca possession`.
#[derive(Debug, Args)]
pub struct Possession {
    /// The folder of the CA
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,

    /// The service's verification code
    #[arg(long, value_name = "CODE")]
    pub code: String,

    /// Where to write the certificate; `-` is standard output
    #[arg(short, long, value_name = "FILE", default_value = "possession.pem")]
    pub out: PathBuf,

    /// Overwrite an existing file
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `ca revoke`.
#[derive(Debug, Args)]
pub struct Revoke {
    /// The folder of the CA
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,

    /// Serial number (hexadecimal) of the certificate, or the device's name (`DeviceID-…`) for all that it has
    #[arg(value_name = "SERIAL|NAME")]
    pub which: String,

    /// Why
    #[arg(long, value_enum, default_value = "unspecified")]
    pub reason: Reason,
}

/// Arguments of `ca crl`.
#[derive(Debug, Args)]
pub struct Crl {
    /// The folder of the CA
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,

    /// How long the list is valid: a new one has to be there before
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    pub days: u32,

    /// Where to write it; `-` is standard output; without it, `ca.crl` in the CA's folder. A list that is there is
    /// overwritten
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Write DER in place of PEM
    #[arg(long)]
    pub der: bool,
}

/// Arguments of `ca list`.
#[derive(Debug, Args)]
pub struct List {
    /// The folder of the CA
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,

    /// Print it as JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// What is wrong with which input, or what cannot be written; see [`authority`].
pub fn run(args: &CaArgs, stdin: &mut dyn Read, stdout: &mut dyn Write) -> Result<()> {
    let now = SystemTime::now();
    match &args.command {
        CaCommand::Create(args) => create(args, now, stdout),
        CaCommand::Sign(args) => sign(args, now, stdin, stdout),
        CaCommand::Possession(args) => {
            let der = Authority::open(&args.folder, now)?.possession(&args.code, now)?;
            let pem = to_pem(Label::Certificate, &der, Lines::Wrapped)?;
            write(&args.out, pem.as_bytes(), args.force, stdout)
        }
        CaCommand::Revoke(args) => revoke(args, now, stdout),
        CaCommand::Crl(args) => crl(args, now, stdout),
        CaCommand::List(args) => list(args, now, stdout),
    }
}

fn create(args: &Create, now: SystemTime, stdout: &mut dyn Write) -> Result<()> {
    authority::create(&args.folder, &args.name, args.days, now)?;
    let file = |name| args.folder.join(name).display().to_string();
    writeln!(
        stdout,
        "{} made: whoever has its key can make devices of yours. Keep it where nobody else reads it.\n\
         Azure CLI:    sh {} <DPS> <GROUP> <NAME>\n\
         local-cloud:  copy {} into enrollments/groups",
        args.folder.display(),
        file(authority::AZURE_CLI),
        file(authority::CERTIFICATE),
    )?;
    Ok(())
}

fn sign(args: &Sign, now: SystemTime, stdin: &mut dyn Read, stdout: &mut dyn Write) -> Result<()> {
    let mut requests = Vec::new();
    for path in &args.requests {
        let bytes = files::read(path, "a certificate request", certificates::MAX_LEN, stdin)?;
        requests.push(DeviceIdRequest::read(&bytes).with_context(|| path.display().to_string())?);
    }
    let dash = Path::new("-");
    let folder = args.out.as_deref().filter(|out| out.is_dir());
    let target = |request: &DeviceIdRequest| {
        let name = format!("{}.pem", request.name());
        match (folder, &args.out) {
            (Some(folder), _) => folder.join(name),
            (None, Some(file)) => file.clone(),
            (None, None) => name.into(),
        }
    };
    ensure!(
        requests.len() == 1 || folder.is_some() || args.out.as_deref().is_none_or(|out| out == dash),
        "several requests: --out has to be a folder that is there"
    );
    let mut authority = Authority::open(&args.folder, now)?;
    // By their files: a device that is named twice is written once.
    let mut made = BTreeMap::new();
    for request in &requests {
        made.insert(
            target(request).join(request.name()),
            (target(request), authority.issue(request, args.days, args.renew, now)?),
        );
    }
    if !args.force {
        for (path, _) in made.values() {
            ensure!(
                path == dash || !path.exists(),
                "{} exists already; --force overwrites it",
                path.display()
            );
        }
    }
    authority.save()?;
    for (path, one) in made.values() {
        let pem = to_pem(Label::Certificate, &one.der, Lines::Wrapped)?;
        if path == dash {
            stdout.write_all(pem.as_bytes())?;
        } else {
            output::write_new(path, &pem, args.force)?;
            writeln!(stdout, "{} written: serial number {}", path.display(), one.serial())?;
        }
    }
    Ok(())
}

fn revoke(args: &Revoke, now: SystemTime, stdout: &mut dyn Write) -> Result<()> {
    let mut authority = Authority::open(&args.folder, now)?;
    let revoked = authority.revoke(&args.which, args.reason, now)?;
    ensure!(!revoked.is_empty(), "{} is revoked already", Shown(&args.which));
    authority.save()?;
    for serial in revoked {
        writeln!(stdout, "revoked: serial number {serial}")?;
    }
    writeln!(stdout, "Next, publish a new list: dps-cert-gen ca crl {}", args.folder.display())?;
    Ok(())
}

fn crl(args: &Crl, now: SystemTime, stdout: &mut dyn Write) -> Result<()> {
    let mut authority = Authority::open(&args.folder, now)?;
    let der = authority.revocation_list(args.days, now)?;
    authority.save()?;
    let path = args.out.clone().unwrap_or_else(|| args.folder.join("ca.crl"));
    let content = if args.der { der } else { crl_pem(&der)?.into_bytes() };
    write(&path, &content, true, stdout)
}

/// A revocation list in PEM.
fn crl_pem(der: &[u8]) -> Result<String> {
    x509_cert::der::pem::encode_string("X509 CRL", x509_cert::der::pem::LineEnding::LF, der)
        .map_err(|error| anyhow::anyhow!("PEM: {error}"))
}

/// A certificate as `ca list` shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    serial: String,
    name: String,
    not_before: String,
    not_after: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<Revocation>,
}

impl Row {
    fn of(one: &Issued, now: u64) -> Self {
        let validity = one.certificate.tbs_certificate().validity();
        let status = match one.revoked {
            Some(_) => "revoked",
            None if one.is_expired(now) => "expired",
            None => "valid",
        };
        Self {
            serial: one.serial(),
            name: one.name(),
            not_before: validity.not_before.to_string(),
            not_after: validity.not_after.to_string(),
            status,
            revoked: one.revoked,
        }
    }
}

fn list(args: &List, now: SystemTime, stdout: &mut dyn Write) -> Result<()> {
    let authority = Authority::open(&args.folder, now)?;
    let now = now.duration_since(SystemTime::UNIX_EPOCH).context("the clock is before 1970")?.as_secs();
    let rows: Vec<_> = authority.register().iter().map(|one| Row::of(one, now)).collect();
    if args.json {
        writeln!(stdout, "{}", shown::json(&rows)?)?;
        return Ok(());
    }
    for Row { serial, name, not_before, not_after, status, .. } in rows {
        writeln!(stdout, "{serial}  {}  {not_before} to {not_after}  {status}", Shown(&name))?;
    }
    Ok(())
}

fn write(path: &Path, content: &[u8], force: bool, stdout: &mut dyn Write) -> Result<()> {
    if path == Path::new("-") {
        stdout.write_all(content)?;
        return Ok(());
    }
    output::write_new(path, content, force)?;
    writeln!(stdout, "{} written", path.display())?;
    Ok(())
}
