//! A DevKit without a DevKit: the simulated board at the terminal.

mod args;
mod cloud_console;
mod key_sector;
mod keys;
mod run;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match run::run(&args::Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("virtual-devkit: {error:#}");
            ExitCode::FAILURE
        }
    }
}
