//! The DevKit's firmware on an emulated Cortex-M4 against a cloud on this machine.

mod args;
mod debugger;
mod device;
mod measure;
mod namespace;
mod narrator;
mod services;
mod stage;
mod story;
mod terminal;
mod trouble;
mod wire;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use args::Args;

fn main() -> ExitCode {
    let args = Args::parse();
    let result = if args.inside { inside(&args).map(|()| ExitCode::SUCCESS) } else { namespace::enter() };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\nemulated-devkit failed {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn inside(args: &Args) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("emulated-devkit-").tempdir().context("making a folder")?;
    namespace::furnish(folder.path())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(story::tell(args, folder.path()));
    // What still waits for a connection of the emulator waits for nothing.
    runtime.shutdown_background();
    result
}
