//! The DevKit's firmware on an emulated Cortex-M4 against a cloud on this machine.

mod args;
mod debugger;
mod device;
mod faults;
mod measure;
mod namespace;
mod services;
mod story;
mod wire;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use tokio::signal::ctrl_c;

use args::Args;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\nemulated-devkit failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = if let Some(folder) = &args.inside {
        runtime.block_on(inside(args, folder)).map(|()| ExitCode::SUCCESS)
    } else {
        ensure!(
            args.firmware.is_file(),
            "there is no firmware at {}: make it with tools/firmware qemu",
            args.firmware.display()
        );
        let folder =
            tempfile::Builder::new().prefix("emulated-devkit-").tempdir().context("making a folder")?;
        runtime.block_on(namespace::enter(folder.path()))
    };
    // What still waits for a connection of the emulator waits for nothing.
    runtime.shutdown_background();
    result
}

async fn inside(args: &Args, folder: &Path) -> Result<()> {
    namespace::set_up(folder)?;
    tokio::select! {
        biased;
        result = story::run(args, folder) => result,
        _ = ctrl_c() => bail!("interrupted"),
    }
}
