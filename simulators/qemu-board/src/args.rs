//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// The DevKit's firmware on an emulated Cortex-M4, from its configuration to its first telemetry, against a
/// provisioning service and a hub on this machine, under their real names.
#[derive(Parser, Debug, Clone)]
#[command(version, about)]
#[allow(clippy::struct_excessive_bools, reason = "switches of a command line")]
pub(crate) struct Args {
    /// The firmware image to run.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "target/firmware/devkit-qemu.bin",
        default_value_if("embedded_tls", "true", "target/firmware/devkit-qemu-embedded-tls.bin")
    )]
    pub firmware: PathBuf,
    /// The version the firmware reports.
    #[arg(long, value_name = "VERSION", default_value = env!("CARGO_PKG_VERSION"))]
    pub firmware_version: String,
    /// Folder for what is made: certificate, pictures of the display.
    #[arg(long, value_name = "DIR", default_value = "target/emulated-devkit")]
    pub out: PathBuf,
    /// Only checks that the firmware starts.
    #[arg(long, conflicts_with_all = ["all", "stay"])]
    pub boot: bool,
    /// The firmware has embedded-tls in the place of Mbed TLS. Goes through what needs TLS: the tutorial, a hub of each
    /// generation, servers that are not to be trusted; and prints what the firmware needs, as `--measure` does.
    #[arg(long, conflicts_with_all = ["all", "stay", "boot", "measure"])]
    pub embedded_tls: bool,
    /// Goes on with everything that can go wrong: a cloud that restarts, a lossy network, crashes, power cuts, lost
    /// host keys, a changed firmware, servers that are not to be trusted.
    #[arg(long)]
    pub all: bool,
    /// Goes on until it is stopped, and passes what is typed on to the cloud: `c2d <text>`, `method <name> [<json>]`,
    /// `twin <json>`.
    #[arg(long, conflicts_with = "all")]
    pub stay: bool,
    /// Prints what the firmware needs, as a Markdown table: flash, statics, and the most there was of stack and heap.
    #[arg(long, conflicts_with_all = ["stay", "boot"])]
    pub measure: bool,
    /// Prints what the device writes on its console.
    #[arg(long, short)]
    pub verbose: bool,
    /// Number of power cuts.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub power_cuts: u32,
    /// Seed of the random moments; the default is another one each time.
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// This process is inside the private network namespace already, and this is its folder.
    #[arg(long = "inside-namespace", hide = true)]
    pub inside: Option<PathBuf>,
}
