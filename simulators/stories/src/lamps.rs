//! The lamps: every change is logged, and looked at in its order, however short a flash was.

use std::time::Duration;

use anyhow::{Result, ensure};
use peripherals::{Change, Lamp, Panel};
use tokio::time::{Instant, sleep};

use crate::bench::PATIENCE;

/// A lamp that goes on or off.
pub type Step = (Lamp, bool);

/// Drops all changes so far.
pub fn forget(panel: &Panel) {
    drop(panel.take_changes());
}

/// Waits until these lamps have done this, in this order, and nothing else meanwhile. Other lamps do not matter.
///
/// # Errors
/// They do something else, or not in time.
pub async fn expect(panel: &Panel, steps: &[Step]) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    while seen.len() < steps.len() {
        seen.extend(changes(panel, |lamp| steps.iter().any(|(watched, _)| *watched == lamp)));
        let agreed = seen.iter().zip(steps).all(|(seen, wanted)| seen == wanted);
        ensure!(agreed, "the lamps should do {steps:?}, and did {seen:?}");
        ensure!(Instant::now() < end, "the lamps should do {steps:?} within {PATIENCE:?}, and did {seen:?}");
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Waits for this time, in which the lamp stays as it is.
///
/// # Errors
/// It changes.
pub async fn expect_still(panel: &Panel, lamp: Lamp, time: Duration) -> Result<()> {
    sleep(time).await;
    let seen = changes(panel, |other| other == lamp);
    ensure!(seen.is_empty(), "{lamp:?} should stay as it is, and did {seen:?}");
    Ok(())
}

/// Lamps that are on at this moment.
#[must_use]
pub fn lit(panel: &Panel) -> Vec<Lamp> {
    Lamp::ALL.into_iter().filter(|lamp| panel.lamp(*lamp) > 0).collect()
}

fn changes(panel: &Panel, watched: impl Fn(Lamp) -> bool) -> Vec<Step> {
    let step = |Change { lamp, value }| (lamp, value > 0);
    panel.take_changes().into_iter().map(step).filter(|(lamp, _)| watched(*lamp)).collect()
}
