//! The command line: the original's four letters in any case and order, and long options beside them.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::ArgPredicate;
use clap::{Parser, Subcommand, ValueEnum};
use dice_core::standard::FirmwareInfo;

use super::batch::BatchArgs;
use super::ca::CaArgs;
use super::make::Make;
use super::verify::VerifyArgs;

/// Derives the X.509 identity that a DevKit derives at every boot, from its secret and its firmware image, and writes
/// the certificate to enrol in the Azure Device Provisioning Service. Without any argument it asks for what it needs.
#[derive(Debug, Parser)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of its own on the command line")]
#[command(name = "dps-cert-gen", version, max_term_width = 110, after_help = AFTER_HELP)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub struct Args {
    /// What to do other than deriving
    #[command(subcommand)]
    pub command: Option<Command>,

    /// What to make, in the profile `standard`; `riot` makes the certificate only
    #[arg(long, value_enum, value_name = "WHAT", default_value = "certificate")]
    pub make: Make,

    /// Verification code of the service, for --make possession: it becomes the certificate's CN
    #[arg(long, value_name = "CODE")]
    pub code: Option<String>,

    /// Firmware image as flashed: the application alone, without the boot loader
    #[arg(short, long, value_name = "FILE")]
    pub bin: Option<PathBuf>,

    /// Take any file as firmware image, also one that does not look like it
    #[arg(long)]
    pub force_image: bool,

    /// Linker map of a legacy image (GNU ld), which names the two ranges it measures; implies --profile riot
    #[arg(short, long, value_name = "FILE")]
    pub map: Option<PathBuf>,

    /// How the device derives its identity
    #[arg(long, value_enum, default_value_ifs = [("map", ArgPredicate::IsPresent, "riot")], default_value = "standard")]
    pub profile: ProfileName,

    /// Unique Device Secret, 64 hexadecimal digits; `-` reads it from standard input
    ///
    /// Other users of this machine can see it in the process list, and the shell keeps it in its history:
    /// prefer `--uds-file` or `-u -`.
    #[arg(short, long, value_name = "HEX")]
    pub uds: Option<String>,

    /// File that holds the UDS; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "uds")]
    pub uds_file: Option<PathBuf>,

    /// Registration id: a-z, 0-9 and `-`
    #[arg(short, long = "id", visible_alias = "registration-id", value_name = "ID")]
    pub id: Option<String>,

    /// MAC address, in any usual spelling: with --firmware-version it makes the default registration id
    #[arg(long, value_name = "MAC", conflicts_with = "id", requires = "firmware_version")]
    pub mac: Option<String>,

    /// Firmware version, such as 2.0.0: part of the default registration id and of a standard certificate
    #[arg(long, value_name = "X.Y.Z")]
    pub firmware_version: Option<String>,

    /// What a standard certificate says of the device
    #[command(flatten)]
    pub device: DeviceArgs,

    /// Where to write it; `-` is standard output; without it, a file in the current directory: `<ID>.pem` for a
    /// certificate
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Overwrite an existing file
    #[arg(long)]
    pub force: bool,

    /// Print fingerprints, subject, measurements and what to do next
    #[arg(long)]
    pub print: bool,

    /// Print the same as JSON, and nothing else, on standard output
    #[arg(long, conflicts_with = "print")]
    pub json: bool,

    /// Sign as the original tool does: THIS GIVES THE DEVICE'S PRIVATE KEY AWAY to whoever sees the certificate
    #[cfg(feature = "legacy-insecure-constant-nonce")]
    #[arg(long)]
    pub insecure_constant_nonce: bool,
}

/// What a standard certificate says of the device beside its firmware version.
#[derive(Debug, clap::Args)]
pub struct DeviceArgs {
    /// Maker of the device, in a standard certificate
    #[arg(long, value_name = "NAME", default_value = "MXCHIP")]
    pub vendor: String,

    /// Model of the device, in a standard certificate
    #[arg(long, value_name = "NAME", default_value = "AZ3166")]
    pub model: String,

    /// Security version number of the firmware, in a standard certificate
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub svn: u64,
}

impl DeviceArgs {
    /// With the firmware's version, what a certificate says of the firmware.
    #[must_use]
    pub fn firmware<'a>(&'a self, version: &'a str) -> FirmwareInfo<'a> {
        FirmwareInfo::new(&self.vendor, &self.model, version, self.svn)
    }
}

/// How an identity is derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProfileName {
    /// The whole image is measured; certificates say what runs
    Standard,
    /// As the original tool and firmware: two ranges of the image are measured
    Riot,
}

/// Other things to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check a device's certificate chain, and what runs there against reference values
    Verify(VerifyArgs),
    /// Make the certificates of many devices in one go, from a CSV file
    Batch(BatchArgs),
    /// Be the CA above the DeviceIDs of many devices: make it, sign requests, revoke, write revocation lists
    Ca(CaArgs),
}

const AFTER_HELP: &str = "\
The letters -b, -m, -u and -i may be upper-case, as the original tool allows, and have their value attached (-bfw.bin).

Two ways to enrol a device with the profile standard:

  Individual enrolment of the leaf (--make certificate). The service compares the whole certificate, so this firmware is
  admitted and no other: after every update, make it again and replace it in the enrolment.

  Enrolment group, or CA (--make device-id). Add the DeviceID certificate to the service's certificates, have it
  generate a verification code, answer with --make possession --code CODE, and create a group on it. The device presents
  its chain (--make chain); a firmware update changes the leaf only, and nothing has to be enrolled again. With a CA
  of your own above all devices (dps-cert-gen ca create), sign --make device-id-request with it (ca sign) and enrol
  that CA once.

A legacy image (-m) has the first way only.";

/// The original's short flags, with the words that they stand for.
const ORIGINAL_FLAGS: [(char, &str); 4] = [('b', "bin"), ('m', "map"), ('u', "uds"), ('i', "id")];

/// Folds the original's short flags: one dash, the letter or its word in any case. What else follows the letter is the
/// value.
pub fn fold_original_flags(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut folded = Vec::new();
    for arg in args {
        let known = arg.to_str().and_then(|text| {
            let word = text.strip_prefix('-')?.to_ascii_lowercase();
            let (letter, whole) = ORIGINAL_FLAGS.iter().find(|(letter, _)| word.starts_with(*letter))?;
            let value = if whole.starts_with(&word) { None } else { text.get(2..) };
            Some((
                format!("-{letter}"),
                value.map(|value| value.strip_prefix('=').unwrap_or(value).to_owned()),
            ))
        });
        match known {
            Some((flag, None)) => folded.push(flag.into()),
            // Joined by `=`, so that a value that begins with a dash is one.
            Some((flag, Some(value))) => folded.push(format!("{flag}={value}").into()),
            None => folded.push(arg),
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Args, clap::Error> {
        let words = ["dps-cert-gen"].iter().chain(words).map(OsString::from);
        Args::try_parse_from(fold_original_flags(words))
    }

    #[test]
    fn the_originals_letters_work_in_any_case_and_order() {
        let args = parse(&["-I", "id", "-U", "-", "-Map", "m", "-BIN", "b"]).unwrap();
        assert_eq!(args.id.as_deref(), Some("id"));
        assert_eq!(args.uds.as_deref(), Some("-"));
        assert_eq!((args.bin, args.map), (Some("b".into()), Some("m".into())));
    }

    #[test]
    fn values_may_be_attached() {
        let args = parse(&["-bfw.bin", "-Mfw.map", "-U=00ff", "-Imy-device", "-obinary.pem"]).unwrap();
        assert_eq!((args.bin, args.map), (Some("fw.bin".into()), Some("fw.map".into())));
        assert_eq!((args.uds.as_deref(), args.id.as_deref()), (Some("00ff"), Some("my-device")));
        assert_eq!(args.out, Some("binary.pem".into()));
        let args = parse(&["-BINARY.bin", "-u-", "-idle", "-MAP", "x"]).unwrap();
        assert_eq!((args.bin, args.map), (Some("INARY.bin".into()), Some("x".into())));
        assert_eq!((args.uds.as_deref(), args.id.as_deref()), (Some("-"), Some("dle")));
    }

    #[test]
    fn long_options_are_left_alone_and_bad_ones_refused() {
        let args =
            parse(&["--bin", "b", "--uds-file", "-", "--mac", "c89346f8a1b2", "--firmware-version", "1.0.0"]);
        assert!(args.is_ok(), "{args:?}");
        for bad in
            [&["-x"][..], &["file.bin"], &["-b"], &["--mac", "c89346f8a1b2"], &["-u", "1", "--uds-file", "f"]]
        {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }
}
