//! The power goes away: at any moment of a start, and while a setting is stored.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use local_cloud::Event;
use peripherals::Buttons;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng};
use tokio::time::{Instant, sleep, timeout};

use crate::bench::Bench;
use crate::device::{Device, Running};
use crate::narrator::line;
use crate::tutorial::CONSOLE;

/// Cuts the power so many times at any moment of a start. After every one of them the device is who it was.
///
/// # Errors
/// It is not, or does not start any more.
pub async fn cuts_while_starting<D: Device>(
    cuts: u32,
    seed: u64,
    bench: &mut Bench<D>,
    running: Running,
) -> Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    running.cut_power().await?;
    // A whole start first: the cuts are to hit every part of it.
    let mut running = bench.device.switch_on(Buttons::default()).await?;
    let began = Instant::now();
    bench.events = bench.cloud.events();
    bench.telemetry(&running).await?;
    let start = began.elapsed();
    line(&format!("telemetry comes {:.1} s after power-on", start.as_secs_f64()));
    let (mut online, mut registered) = (0, 0);
    for _ in 0..cuts {
        running.cut_power().await?;
        running = bench.device.switch_on(Buttons::default()).await?;
        sleep(start.mul_f64(random.random_range(0.0..1.2))).await;
        online += u32::from(bench.cloud.is_connected(&bench.registration_id));
    }
    running.cut_power().await?;
    while let Ok(Some(event)) = timeout(Duration::ZERO, bench.events.next()).await {
        match event {
            Event::Registered { registration_id, .. } => {
                registered += 1;
                let expected = &bench.registration_id;
                ensure!(registration_id == *expected, "the device registered as {registration_id}");
            }
            Event::Refused { id, reason, .. } if id == bench.registration_id => {
                bail!("the device was refused: {reason}")
            }
            _ => {}
        }
    }
    let running = bench.device.switch_on(Buttons::default()).await?;
    bench.registration(&running).await?;
    let reported = bench.event("report of the start", &running, |event| match event {
        Event::TwinReported { patch, .. } => patch.get("firmwareVersion").is_some().then_some(patch),
        _ => None,
    });
    let reported = reported.await?;
    ensure!(
        reported["firmwareVersion"] == bench.device.firmware_version() && reported["lastCrash"].is_null(),
        "the device reports {reported}"
    );
    bench.telemetry(&running).await?;
    line(&format!(
        "{registered} registrations, {online} cuts while the device was online; after the last one: same identity, \
         no crash to report, telemetry"
    ));
    running.cut_power().await
}

/// Cuts the power so many times while a setting is stored: it is the old one or the new one then, and the others are as
/// they were.
///
/// # Errors
/// A setting is lost.
pub async fn cuts_while_storing<D: Device>(cuts: u32, seed: u64, bench: &mut Bench<D>) -> Result<()> {
    const OTHER: &str = "0ne00000042";
    let scope = bench.cloud.config().id_scope.clone();
    let mut random = StdRng::seed_from_u64(seed);
    let (mut took, mut old, mut new) = (Duration::ZERO, 0, 0);
    for cut in 0..=cuts {
        let mut running = bench.device.switch_on(CONSOLE).await?;
        let terminal = &mut running.terminal;
        terminal.prompt().await?;
        let shown = terminal.command("show").await?;
        ensure!(shown.contains("DPS UDS: (set)"), "after cut {cut}: {shown}");
        let stored =
            [&*scope, OTHER].into_iter().find(|scope| shown.contains(&format!("DPS ID scope: {scope}")));
        let stored = stored.with_context(|| format!("after cut {cut}: {shown}"))?;
        if cut > 0 {
            *(if stored == scope { &mut old } else { &mut new }) += 1;
        }
        let values: &[&str] = if cut == 0 { &[OTHER, &scope] } else { &[&scope] };
        for value in values {
            let began = Instant::now();
            let answer = terminal.command(&format!("set_dps_idscope {value}")).await?;
            ensure!(answer.contains("successfully"), "set_dps_idscope: {answer:?}");
            if cut == 0 {
                took = began.elapsed();
            }
        }
        if cut < cuts {
            terminal.type_keys(format!("set_dps_idscope {OTHER}\r").as_bytes()).await?;
            sleep(took.mul_f64(random.random_range(0.0..1.2))).await;
        }
        running.cut_power().await?;
    }
    line(&format!("the old value {old} times, the new one {new} times, the secret always"));
    Ok(())
}
