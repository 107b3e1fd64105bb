//! The second half of the story: everything that can go wrong, and the device that stands it.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use examples::cloud::{Config, Event, LocalCloud, ServerCertificate};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng};
use virtual_devices::Buttons;

use crate::args::Args;
use crate::device::Running;
use crate::narrator::Narrator;
use crate::stage::{PATIENCE, Stage};

/// How many of a hundred frames get lost, in each direction.
const LOSS: u32 = 10;
/// A lossy network may take its time.
const LOSSY_PATIENCE: Duration = Duration::from_mins(2);
/// Messages that have to come through it.
const LOSSY_MESSAGES: usize = 5;
/// The plug is pulled within this time after it was put in: from the first instruction to telemetry.
const POWERED_MS: u64 = 4000;

/// Tells it.
pub(crate) async fn tell(
    args: &Args,
    narrator: &mut Narrator,
    mut stage: Stage,
    running: Running,
) -> Result<()> {
    narrator.step("The cloud goes down, and comes back");
    stage = narrator.failing(cloud_restart(stage, &running).await)?;

    narrator.step(&format!("{LOSS} % of all frames get lost, in each direction"));
    narrator.failing(packet_loss(&mut stage, &running).await)?;

    narrator.step("The program crashes, in four ways");
    narrator.failing(crashes(args, &mut stage, &running).await)?;

    let seed = args.seed.unwrap_or_else(rand::random);
    narrator.step(&format!("{} power cuts at random moments (seed {seed})", args.power_cuts));
    narrator.failing(power_cuts(args.power_cuts, seed, &mut stage, running).await)?;

    narrator.step("One bit of the firmware is changed");
    narrator.failing(changed_firmware(args, &mut stage).await)?;

    narrator.step("The cloud's certificate has expired");
    narrator.failing(expired_certificate(args, stage).await)
}

async fn cloud_restart(mut stage: Stage, running: &Running) -> Result<Stage> {
    let paused = stage.cloud.stop().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    stage.cloud = paused.resume().await.context("starting the cloud again")?;
    stage.events = stage.cloud.events();
    let telemetry = stage.telemetry(PATIENCE, running).await?;
    Narrator::line(&format!("telemetry again: {}", String::from_utf8_lossy(&telemetry.body)));
    Ok(stage)
}

async fn packet_loss(stage: &mut Stage, running: &Running) -> Result<()> {
    let loss = stage.device.wire().loss();
    let before = loss.count();
    loss.set_percent(LOSS);
    // The handshake, too, has to come through.
    stage.cloud.drop_connections();
    stage
        .event("new session", LOSSY_PATIENCE, running, |event| {
            matches!(event, Event::Connected { .. }).then_some(())
        })
        .await?;
    for _ in 0..LOSSY_MESSAGES {
        stage.telemetry(LOSSY_PATIENCE, running).await?;
    }
    let loss = stage.device.wire().loss();
    loss.set_percent(0);
    let after = loss.count();
    let (lost, passed) = (after.0 - before.0, after.1 - before.1);
    ensure!(lost > 0, "no frame was lost");
    Narrator::line(&format!("{LOSSY_MESSAGES} messages arrived; {lost} frames were lost, {passed} were not"));
    Ok(())
}

/// A way to crash, and what the device has to report of it.
#[derive(Clone, Copy)]
enum Crash {
    /// An interrupt without a handler.
    Panic,
    /// A jump to where nothing is.
    Fault,
    /// No room on the stack for the next interrupt.
    Overflow,
    /// An endless loop.
    Hang,
}

impl Crash {
    const ALL: [(Self, &str); 4] = [
        (Self::Panic, "panic at"),
        (Self::Fault, "hard fault at 0x70000000"),
        (Self::Overflow, "stack overflow"),
        (Self::Hang, "watchdog"),
    ];
}

async fn crashes(args: &Args, stage: &mut Stage, running: &Running) -> Result<()> {
    const RAM: u32 = 0x2000_0000;
    const LOOP: [u8; 2] = 0xe7fe_u16.to_le_bytes();
    /// The vector of an interrupt that the firmware does not use.
    const UNEXPECTED: usize = 4 * (16 + 4);
    /// Its handler does nothing but panic.
    const HANDLER_LEN: u32 = 32;
    let image = fs::read(&args.firmware)?;
    let vector = image.get(UNEXPECTED..).and_then(<[u8]>::first_chunk).context("the vector table")?;
    let handler = u32::from_le_bytes(*vector) & !1;
    for (crash, expected) in Crash::ALL {
        let mut core = stage.device.debug().await?;
        match crash {
            Crash::Panic => core.set_program_counter(handler).await?,
            Crash::Fault => core.set_program_counter(0x7000_0000).await?,
            Crash::Overflow => core.set_stack_pointer(RAM + 8).await?,
            Crash::Hang => {
                core.write(RAM, &LOOP).await?;
                core.set_program_counter(RAM).await?;
            }
        }
        core.release().await?;
        let reported = stage
            .event("report of the crash", PATIENCE, running, |event| match event {
                Event::TwinReported { patch, .. } => patch.get("lastCrash").cloned(),
                _ => None,
            })
            .await?;
        let text = reported.as_str().unwrap_or_default();
        ensure!(text.contains(expected), "the device reports {reported}, not {expected:?}");
        if matches!(crash, Crash::Panic) {
            let mut calls = addresses(text);
            ensure!(
                calls.any(|call| (handler..handler + HANDLER_LEN).contains(&call)),
                "no call in the handler"
            );
        }
        Narrator::line(&format!("reported: {text}"));
        stage.telemetry(PATIENCE, running).await?;
    }
    Ok(())
}

/// The addresses that a report names.
fn addresses(report: &str) -> impl Iterator<Item = u32> {
    report.split_whitespace().filter_map(|word| u32::from_str_radix(word.strip_prefix("0x")?, 16).ok())
}

async fn power_cuts(count: u32, seed: u64, stage: &mut Stage, running: Running) -> Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut running = running;
    let mut online = 0;
    for _ in 0..count {
        running.pull_the_plug().await?;
        running = stage.device.switch_on(Buttons::default()).await?;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..POWERED_MS))).await;
        online += u32::from(stage.cloud.is_connected(&stage.registration_id));
    }
    running.pull_the_plug().await?;
    stage.events = stage.cloud.events();
    let running = stage.device.switch_on(Buttons::default()).await?;
    let id = stage
        .event("registration", PATIENCE, &running, |event| match event {
            Event::Registered { registration_id, .. } => Some(registration_id),
            _ => None,
        })
        .await?;
    ensure!(id == stage.registration_id, "the device registers as {id}");
    stage.telemetry(PATIENCE, &running).await?;
    Narrator::line(&format!(
        "{online} of them while the device was online; after the last one: same identity, telemetry"
    ));
    running.pull_the_plug().await
}

async fn changed_firmware(args: &Args, stage: &mut Stage) -> Result<()> {
    const TEXT: &[u8] = b"Microsoft Azure IoT Developer Kit";
    let mut image = fs::read(&args.firmware)?;
    let at = image.windows(TEXT.len()).position(|window| window == TEXT);
    let at = at.context("the firmware's banner is not in the image")?;
    // A capital letter becomes a small one: the program runs as before.
    image[at] ^= 0x20;
    let changed = stage.folder.join("changed.bin");
    fs::write(&changed, image)?;
    stage.device.flash(&changed);
    stage.events = stage.cloud.events();
    let running = stage.device.switch_on(Buttons::default()).await?;
    let reason = refusal(stage, &running).await?;
    Narrator::line(&format!("the provisioning service refuses: {reason}"));
    let shown = stage.display(&running, "refused.png", |rows| rows[2] == "DPS Failed!").await?;
    Narrator::line(&shown.display().to_string());
    running.pull_the_plug().await
}

/// The device knows the time from the network, and judges by it.
async fn expired_certificate(args: &Args, mut stage: Stage) -> Result<()> {
    let config = Config {
        certificate: ServerCertificate::Expired,
        authority: Some(stage.cloud.authority().clone()),
        ..stage.cloud.config().clone()
    };
    stage.cloud.stop().await;
    stage.cloud = LocalCloud::start(config).await.context("starting the other cloud")?;
    stage.events = stage.cloud.events();
    stage.device.flash(&args.firmware);
    let running = stage.device.switch_on(Buttons::default()).await?;
    let reason = refusal(&mut stage, &running).await?;
    ensure!(reason.contains("Expired"), "the connection ended because of {reason}");
    Narrator::line(&format!("the device refuses the server: {reason}"));
    running.pull_the_plug().await
}

/// Why the cloud did not take the device.
async fn refusal(stage: &mut Stage, running: &Running) -> Result<String> {
    stage
        .event("refusal", PATIENCE, running, |event| match event {
            Event::Refused { reason, .. } => Some(Ok(reason)),
            Event::Registered { registration_id, .. } => {
                Some(Err(anyhow!("{registration_id} was registered")))
            }
            _ => None,
        })
        .await?
}
