//! A virtual STSAFE-A100 or A110 as a process: transactions in on standard input, answers out on standard output.

use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, ValueEnum};
use stsafe_a100::sim::line::{Trouble, line, parse_fault};
use stsafe_a100::sim::{Profile, VirtualChip};

/// A virtual STSAFE-A100 or A110. One line in, one line out: `W <hex>` writes and answers `A` or `N`; `R <len>` reads
/// and answers `D <hex>` or `N`; `RESET`, `POWER on`, `POWER off` and `FAULT <fault>` answer `A`; a line it does not
/// understand answers `E <reason>`.
#[derive(Parser)]
struct Options {
    /// Keep the chip in this file (made if missing); without it the chip is gone at the end.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Make a new chip of this family, with the zones of the AZ3166's.
    #[arg(long, value_enum, default_value_t = Model::A100)]
    family: Model,
    /// Make a new chip from this JSON file instead.
    #[arg(long, value_name = "FILE", conflicts_with = "family")]
    profile: Option<PathBuf>,
    /// Random numbers of a new chip follow from this text; without it they are random.
    #[arg(long, value_name = "TEXT")]
    seed: Option<String>,
    /// A fault to begin with, such as nack-reads:3, flip-response:5:80, busy:2 or power-cut:100; can be repeated.
    #[arg(long, value_name = "FAULT", value_parser = |text: &str| parse_fault(text))]
    fault: Vec<Trouble>,
}

/// What the program can play.
#[derive(Clone, Copy, ValueEnum)]
enum Model {
    A100,
    A110,
}

/// Spreads a seed text over the 32 bytes the chip wants.
fn seed(text: &str) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(text).into()
}

fn main() -> Result<()> {
    let options = Options::parse();
    let profile = match &options.profile {
        None => match options.family {
            Model::A100 => Profile::az3166(),
            Model::A110 => Profile::a110(),
        },
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
            serde_json::from_str(&text).with_context(|| format!("{} is no chip profile", path.display()))?
        }
    };
    let address = profile.i2c_address;
    let seed = match &options.seed {
        Some(text) => seed(text),
        None => VirtualChip::random_seed()?,
    };
    let chip = match &options.state {
        None => VirtualChip::new(profile, seed),
        Some(path) => {
            VirtualChip::open(path, profile, seed).with_context(|| format!("open {}", path.display()))?
        }
    };
    for fault in options.fault {
        fault.apply(&chip);
    }
    let mut out = std::io::stdout().lock();
    for request in std::io::stdin().lock().lines() {
        let answer = line(&chip, address, &request?);
        if let Some(error) = chip.store_error() {
            bail!("the state file cannot be written: {error}");
        }
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}
