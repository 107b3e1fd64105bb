//! The command line of `zero-touch`.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use dps_cert_gen::args::ProfileName;

/// The zero-touch provisioning tutorial from the first secret to the first message, narrated. By default everything
/// runs on this machine against a local cloud; with --endpoint and --id-scope the device goes to that provisioning
/// service.
#[derive(Debug, Clone, Parser)]
#[command(name = "zero-touch", version, max_term_width = 110)]
pub struct Args {
    /// Break something, and see the step that fails
    #[arg(long = "break", value_enum, value_name = "WHAT", conflicts_with = "endpoint")]
    pub break_it: Option<Break>,

    /// How the device derives its identity
    #[arg(long, value_enum, default_value_t = ProfileName::Standard)]
    pub profile: ProfileName,

    /// Host name of a real provisioning service, such as global.azure-devices-provisioning.net; a port may follow it
    #[arg(long, value_name = "HOST", requires = "id_scope")]
    pub endpoint: Option<String>,

    /// Id scope of that provisioning service
    #[arg(long, value_name = "SCOPE", requires = "endpoint")]
    pub id_scope: Option<String>,

    /// Certificate authority (PEM) the device trusts besides the public ones, for a provisioning service of your own
    #[arg(long, value_name = "FILE", requires = "endpoint")]
    pub root: Option<PathBuf>,

    /// Folder that keeps the device (secret, image, certificate) between runs [default: a temporary one;
    /// zero-touch-device with --endpoint]
    #[arg(long, value_name = "DIR")]
    pub device: Option<PathBuf>,

    /// Go on until Ctrl-C, with the cloud's page in the browser: its link is printed
    #[arg(long, conflicts_with_all = ["endpoint", "devices", "break_it"])]
    pub stay: bool,

    /// Instead of one device, switch on a fleet of up to 10,000 in one moment, and see how its registrations spread
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000),
          conflicts_with_all = ["endpoint", "device", "break_it", "profile"])]
    pub devices: Option<u16>,

    /// The time over which the devices of a fleet spread their first registration
    #[arg(long, value_name = "SECONDS", default_value_t = 5, requires = "devices")]
    pub spread: u64,

    /// Draw how a fleet's registrations spread (SVG)
    #[arg(long, value_name = "FILE", requires = "devices")]
    pub plot: Option<PathBuf>,

    /// Run as a part of a fleet, started by the fleet's own process
    #[arg(long, hide = true, exclusive = true)]
    pub fleet_part: bool,

    /// Give up when a step takes longer than this; a fleet has 50 ms more for each device
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub timeout: u64,
}

/// What `--break` can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Break {
    /// The device holds another secret than the one its certificate was enrolled with
    WrongUds,
    /// One bit of the firmware differs from the image that was enrolled
    ChangedFirmware,
    /// The enrolment is taken away before the device registers
    NoEnrolment,
    /// The device names another id scope
    WrongIdScope,
    /// The server's certificate comes from a CA that the device does not trust
    ForeignServer,
    /// The cloud goes down while the device works, and comes back: the device recovers
    CloudRestart,
}
