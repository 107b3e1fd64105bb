//! A fleet after a power cut: a million devices come back within a minute, each with these crates' state machines,
//! against the quotas that Microsoft publishes. Events are simulated one by one; hours take seconds.
//!
//!     cargo run --release -p benches --example power_cut [-- [DEVICES] [--write]]
//!
//! `--write` puts the table into the README of `dps-client`, and the picture beside the tutorial's.

mod hub;
mod picture;
mod registrations;

use std::collections::BinaryHeap;
use std::fmt::Write;
use std::path::Path;

use dps_client::{Backoff, Timing};

/// Registrations a minute that one provisioning service takes (Azure's page "Quotas and limits in IoT Hub DPS").
const REGISTRATIONS_PER_MINUTE: u32 = 1000;
/// Connections a second that one unit of the size S3 takes (Azure's page "IoT Hub quotas and throttling").
const CONNECTIONS_PER_SECOND: u32 = 6000;
/// Power comes back everywhere within this time.
const POWER_MS: u32 = 60_000;
const MINUTE_MS: u64 = 60_000;

/// What became of a fleet.
#[derive(Default)]
pub(crate) struct Course {
    pub(crate) name: &'static str,
    /// Requests, or attempts to connect, in each minute.
    pub(crate) attempts: Vec<u32>,
    /// When each device was done, in milliseconds, in order.
    pub(crate) done_ms: Vec<u64>,
    pub(crate) devices: u32,
    /// Most that the service takes in a minute.
    pub(crate) quota: u32,
}

impl Course {
    fn attempt(&mut self, now_ms: u64) {
        let minute = usize::try_from(now_ms / MINUTE_MS).expect("simulated hours");
        if self.attempts.len() <= minute {
            self.attempts.resize(minute + 1, 0);
        }
        self.attempts[minute] += 1;
    }

    /// When this share of the fleet was done.
    fn share(&self, percent: u32) -> Option<u64> {
        let index = (u64::from(self.devices) * u64::from(percent)).div_ceil(100);
        self.done_ms.get(usize::try_from(index).ok()?.checked_sub(1)?).copied()
    }

    /// A row of the table.
    fn row(&self) -> String {
        let busiest = self.attempts.iter().max().copied().unwrap_or_default();
        let all: u64 = self.attempts.iter().copied().map(u64::from).sum();
        let least = u64::from(self.devices) * MINUTE_MS / u64::from(self.quota);
        let mut row = format!("| {} | {} ", self.name, time(Some(least)));
        let _ = write!(row, "| {} | {} ", time(self.share(99)), time(self.share(100)));
        let _ = write!(
            row,
            "| {:.1} | {:.2} |",
            ratio(busiest.into(), self.quota.into()),
            ratio(all, self.devices.into())
        );
        row
    }
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

fn time(ms: Option<u64>) -> String {
    let Some(ms) = ms else { return "not in the time simulated".into() };
    match ms / 1000 {
        seconds @ ..600 => format!("{seconds} s"),
        seconds @ ..36_000 => format!("{} min", seconds / 60),
        seconds => format!("{:.1} h", ratio(seconds, 3600)),
    }
}

/// What is due when, and for which device; the earliest first.
#[derive(Default)]
pub(crate) struct Agenda(BinaryHeap<std::cmp::Reverse<(u64, u32)>>);

impl Agenda {
    pub(crate) fn at(&mut self, ms: u64, device: u32) {
        self.0.push(std::cmp::Reverse((ms, device)));
    }

    pub(crate) fn next(&mut self) -> Option<(u64, u32)> {
        self.0.pop().map(|std::cmp::Reverse(due)| due)
    }
}

/// What a service takes in a window of time; then no more until the next one.
pub(crate) struct Quota {
    window_ms: u64,
    most: u32,
    window: u64,
    taken: u32,
}

impl Quota {
    pub(crate) fn new(most: u32, window_ms: u64) -> Self {
        Self { window_ms, most, window: 0, taken: 0 }
    }

    pub(crate) fn takes(&mut self, now_ms: u64) -> bool {
        let window = now_ms / self.window_ms;
        if window != self.window {
            (self.window, self.taken) = (window, 0);
        }
        let takes = self.taken < self.most;
        self.taken += u32::from(takes);
        takes
    }
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let devices = match arguments.iter().find(|argument| *argument != "--write") {
        Some(count) => count.parse()?,
        None => 1_000_000,
    };
    // The spread that lets a fleet through at the quota's pace.
    let spread_ms = u32::try_from(u64::from(devices) * MINUTE_MS / u64::from(REGISTRATIONS_PER_MINUTE))?;
    let patient = Timing {
        // Some more than the least: chance fills no minute to the last place.
        spread_ms: spread_ms.saturating_add(spread_ms / 20),
        backoff: Backoff { min_ms: 60_000, max_ms: 3_600_000, jitter_ms: 60_000 },
        ..Timing::DEFAULT
    };
    let courses = [
        hub::run("to the hub, assignments stored", devices),
        registrations::run(
            "to DPS, `Timing::DEFAULT`, ten minutes of it",
            devices,
            Timing::DEFAULT,
            Some(10),
        ),
        registrations::run(
            "to DPS, spread over fleet ÷ quota, waits from 1 min to 1 h",
            devices,
            patient,
            None,
        ),
    ];
    let mut table = String::from(
        "| a fleet goes | at the quota, at least | 99 % online after | all after | busiest minute, of the quota | attempts for each device |\n\
         |---|--:|--:|--:|--:|--:|\n",
    );
    for course in &courses {
        let _ = writeln!(table, "{}", course.row());
    }
    print!("{table}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    if arguments.iter().any(|argument| argument == "--write") {
        write(&root.join("dps-client/README.md"), &table)?;
        picture::draw(&courses, &root.join("docs/pictures/power-cut.svg"))
    } else {
        let path = root.join("target/power-cut.svg");
        picture::draw(&courses, &path)?;
        println!("{}", path.display());
        Ok(())
    }
}

/// Puts the table between its marks.
fn write(readme: &Path, table: &str) -> anyhow::Result<()> {
    const BEGIN: &str = "<!-- power_cut -->\n";
    let text = std::fs::read_to_string(readme)?;
    let whole =
        text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once("<!-- end -->")?.1)));
    let (before, after) = whole.ok_or_else(|| anyhow::anyhow!("no marks in {}", readme.display()))?;
    Ok(std::fs::write(readme, format!("{before}{BEGIN}{table}<!-- end -->{after}"))?)
}
