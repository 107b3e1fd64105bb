//! The command line of `virtual-devkit`.

use std::path::PathBuf;

use access_point::Rule;
use clap::{Parser, ValueEnum};

/// Runs the firmware image of the AZ3166 on a simulated board. The terminal is the board's console.
#[derive(Debug, Parser)]
#[allow(clippy::struct_excessive_bools, reason = "switches of a command line")]
#[command(name = "virtual-devkit", version, max_term_width = 110, after_help = crate::keys::HELP)]
pub(crate) struct Args {
    /// The firmware image
    #[arg(long, value_name = "FILE", default_value = "target/firmware/devkit-az3166.bin")]
    pub(crate) image: PathBuf,
    /// Folder that keeps the board (its secure element, and the host keys in its flash) between runs, and enrolments
    #[arg(long, value_name = "DIR", default_value = "virtual-devkit")]
    pub(crate) device: PathBuf,
    /// Button that is held for half a second when the power comes: a opens the configuration console
    #[arg(long, value_enum, value_name = "BUTTON")]
    pub(crate) hold: Option<Held>,
    /// Start a provisioning service and a hub on this machine, for this board. Devices with a certificate (.pem) in the
    /// folder `enrollments` of the board's folder are enrolled
    #[arg(long)]
    pub(crate) cloud: bool,
    /// Where a host is to be found: NAME=ADDRESS[:PORT]; "*.example.net" stands for all names below. May be repeated
    #[arg(long, value_name = "RULE")]
    pub(crate) host: Vec<Rule>,
    /// The network is a serial line (for an image built with the feature serial-line), not the radio and a virtual
    /// access point
    #[arg(long)]
    pub(crate) serial: bool,
    /// Let the board reach everything this machine reaches
    #[arg(long)]
    pub(crate) internet: bool,
    /// Root certificate (DER) that the board trusts besides Azure's, such as that of local-cloud
    #[arg(long, value_name = "FILE", conflicts_with = "cloud")]
    pub(crate) root: Option<PathBuf>,
    /// Write the display's picture here (PNG) whenever it changes
    #[arg(long, value_name = "FILE")]
    pub(crate) png: Option<PathBuf>,
    /// Show the display in the terminal whenever it changes
    #[arg(long)]
    pub(crate) display: bool,
    /// End after so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) seconds: Option<u64>,
}

/// A button.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Held {
    /// Left.
    A,
    /// Right.
    B,
}
