//! `zero-touch`: the tutorial, from the first secret to the first message, in one process.

pub mod args;
pub mod device;
mod fleet;
mod story;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use args::Args;
use device::Device;

/// Runs the program with the process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(usage) => {
            // Nothing is left to do if the terminal itself is gone.
            let _ = usage.print();
            return if usage.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nzero-touch failed {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Goes through the whole tutorial.
///
/// # Errors
/// Names the step that failed, and why.
pub fn run(args: &Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if args.fleet_part {
        return runtime.block_on(fleet::part::run());
    }
    if let Some(devices) = args.devices {
        return runtime.block_on(fleet::run(args, devices));
    }
    let temporary;
    let folder = match (&args.device, &args.endpoint) {
        (Some(folder), _) => folder.clone(),
        (None, Some(_)) => PathBuf::from("zero-touch-device"),
        (None, None) => {
            temporary =
                tempfile::Builder::new().prefix("zero-touch-").tempdir().context("making a folder")?;
            temporary.path().to_owned()
        }
    };
    runtime.block_on(story::run(args, Device::make_or_take(&folder)?))
}
