//! What the fuzz targets run: every parser of the Azure clients, of `dice-core` and of the secure element's driver that
//! sees bytes of others, with the properties it must keep. Each entry takes any bytes and panics if one of its
//! properties does not hold.
//!
//! The same entries run without a fuzzer, on mutations of well-formed inputs: [`Target::run_mutations`].

mod bytes;
mod certificates;
mod console;
mod dice;
mod dice_seeds;
mod dps;
mod hub;
mod json;
mod optional;
mod packets;
mod queue;
mod radio;
mod seeds;
mod stsafe;
mod translator;
mod tunnel;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, that of its corpus too.
    pub name: &'static str,
    /// Runs it on any bytes.
    pub run: fn(&[u8]),
    seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: [Target; 21] = [
    Target { name: "json", run: json::run, seeds: seeds::json },
    Target { name: "dps_messages", run: dps::messages, seeds: seeds::dps_messages },
    Target { name: "dps_registration", run: dps::registration, seeds: seeds::dps_registration },
    Target { name: "hub_topics", run: hub::topics, seeds: seeds::hub_topics },
    Target { name: "optional", run: optional::run, seeds: seeds::optional },
    Target { name: "hub_packets", run: packets::run, seeds: seeds::hub_packets },
    Target { name: "translator", run: translator::run, seeds: seeds::translator },
    Target { name: "stsafe_driver", run: stsafe::driver, seeds: seeds::stsafe_driver },
    Target { name: "stsafe_chip", run: stsafe::chip, seeds: seeds::stsafe_chip },
    Target { name: "stsafe_vault", run: stsafe::vault, seeds: seeds::stsafe_vault },
    Target { name: "dice_certificate", run: dice::certificate, seeds: dice_seeds::certificates },
    Target { name: "dice_chain", run: dice::chain, seeds: dice_seeds::chains },
    Target { name: "dice_cbor", run: dice::cbor_items, seeds: dice_seeds::cbor_items },
    Target { name: "dice_pem", run: dice::pem_text, seeds: dice_seeds::pem_texts },
    Target { name: "dice_tcb_info", run: dice::tcb_info, seeds: dice_seeds::tcb_infos },
    Target { name: "radio_frames", run: radio::frames, seeds: radio::seeds },
    Target { name: "console", run: console::console, seeds: seeds::console },
    Target { name: "bridge", run: stsafe::bridge, seeds: seeds::bridge },
    Target { name: "tunnel", run: tunnel::run, seeds: tunnel::seeds },
    Target { name: "telemetry_queue", run: queue::run, seeds: queue::seeds },
    Target { name: "certificates", run: certificates::run, seeds: certificates::seeds },
];

/// The target of this name.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn target(name: &str) -> Target {
    *TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| panic!("no target {name}"))
}

impl Target {
    /// Well-formed inputs to begin with.
    #[must_use]
    pub fn seeds(&self) -> Vec<Vec<u8>> {
        (self.seeds)()
    }

    /// Runs all seeds, and `count` mutations of them, the same ones every time.
    pub fn run_mutations(&self, count: usize) {
        let seeds = self.seeds();
        for seed in &seeds {
            (self.run)(seed);
        }
        let mut random = StdRng::seed_from_u64(0x5EED);
        for _ in 0..count {
            let input = mutate(&seeds, &mut random);
            // Shown by the test harness if the run fails.
            let shown = Shown(self.name, &input);
            (self.run)(&input);
            std::mem::forget(shown);
        }
    }
}

/// Prints an input when it is dropped, which happens only when its run fails.
struct Shown<'a>(&'a str, &'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        eprintln!("{} fails on {:?}", self.0, self.1);
    }
}

/// A seed with a few bytes changed, inserted, taken out, doubled, or joined with another seed.
fn mutate(seeds: &[Vec<u8>], random: &mut StdRng) -> Vec<u8> {
    let mut input = seeds[random.random_range(0..seeds.len())].clone();
    for _ in 0..random.random_range(1..6) {
        let at = random.random_range(0..=input.len());
        match random.random_range(0..6) {
            0 if at < input.len() => input[at] = random.random(),
            1 if at < input.len() => input[at] ^= 1 << random.random_range(0..8),
            2 => input.insert(at, random.random()),
            3 if at < input.len() => {
                let end = (at + random.random_range(1..5)).min(input.len());
                input.drain(at..end);
            }
            4 => {
                let end = (at + random.random_range(0..40)).min(input.len());
                let piece = input[at..end].to_vec();
                input.splice(at..at, piece);
            }
            _ => {
                input.truncate(at);
                let other = &seeds[random.random_range(0..seeds.len())];
                input.extend_from_slice(&other[random.random_range(0..=other.len())..]);
            }
        }
    }
    input
}
