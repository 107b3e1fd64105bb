//! The second half of the story: everything that can go wrong, and the device that stands it.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use local_cloud::Event;
use peripherals::{Buttons, Lamp};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng};
use tokio::time::{Instant, timeout};

use crate::args::Args;
use crate::clouds;
use crate::conversation::ask_for_interval;
use crate::device::Running;
use crate::lamps::{self, expect};
use crate::narrator::Narrator;
use crate::stage::{ID_SCOPE, PATIENCE, Stage};
use crate::terminal::PROMPT;

/// How many of a hundred frames get lost, in each direction.
const LOSS: u32 = 10;
/// A lossy network may take its time.
const LOSSY_PATIENCE: Duration = Duration::from_mins(2);
/// Messages that have to come through it, and the interval between them in milliseconds.
const LOSSY_MESSAGES: usize = 20;
const LOSSY_INTERVAL: u32 = 600;

/// Tells it.
pub(crate) async fn tell(args: &Args, narrator: &mut Narrator, stage: Stage, running: Running) -> Result<()> {
    narrator.step("The cloud goes down, and comes back");
    let stage = narrator.failing(clouds::restart(stage, &running).await)?;

    narrator.step("Clouds that speak one TLS version only");
    let (mut stage, running) = narrator.failing(clouds::tls_versions(stage, running).await)?;

    narrator.step(&format!("{LOSS} % of all frames get lost, in each direction"));
    narrator.failing(packet_loss(&mut stage, &running).await)?;

    narrator.step("The program crashes, in four ways");
    narrator.failing(crashes(&mut stage, &running).await)?;

    let seed = args.seed.unwrap_or_else(rand::random);
    narrator.step(&format!("{} power cuts at random moments (seed {seed})", args.power_cuts));
    narrator.failing(power_cuts(args, seed, &mut stage, running).await)?;

    narrator.step(&format!("{} power cuts while a setting is stored (seed {seed})", args.power_cuts));
    narrator.failing(cuts_while_storing(args, seed, &mut stage).await)?;

    narrator.step("The flash with the host keys is lost, and found again");
    narrator.failing(lost_keys(&mut stage).await)?;

    narrator.step("One bit of the firmware is changed");
    narrator.failing(changed_firmware(&mut stage).await)?;

    narrator.step("The cloud is not who it should be");
    stage.device.flash(&stage.firmware);
    narrator.failing(clouds::impostors(stage).await)
}

async fn packet_loss(stage: &mut Stage, running: &Running) -> Result<()> {
    ask_for_interval(stage, running, LOSSY_INTERVAL, 200, LOSSY_INTERVAL).await?;
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
        stage.uninterrupted(LOSSY_PATIENCE, running).await?;
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

async fn crashes(stage: &mut Stage, running: &Running) -> Result<()> {
    const RAM: u32 = 0x2000_0000;
    const LOOP: [u8; 2] = 0xe7fe_u16.to_le_bytes();
    /// The vector of an interrupt that the firmware does not use.
    const UNEXPECTED: usize = 4 * (16 + 4);
    /// Its handler does nothing but panic.
    const HANDLER_LEN: u32 = 32;
    let image = fs::read(&stage.firmware)?;
    let vector = image.get(UNEXPECTED..).and_then(<[u8]>::first_chunk).context("the vector table")?;
    let handler = u32::from_le_bytes(*vector) & !1;
    for (crash, expected) in Crash::ALL {
        lamps::forget(&running.panel);
        let mut core = stage.device.debug().await?;
        match crash {
            Crash::Panic => core.set_program_counter(handler).await?,
            Crash::Fault => core.set_program_counter(0x7000_0000).await?,
            Crash::Overflow => {
                // Something that calls, not something that might return first.
                core.set_program_counter(handler).await?;
                core.set_stack_pointer(RAM + 8).await?;
            }
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
        // Dark with the reset, and then as after any start.
        let lamps = [(Lamp::Azure, false), (Lamp::Azure, true)];
        expect(&running.panel, &lamps).await.context("after the crash")?;
        stage.telemetry(PATIENCE, running).await?;
    }
    Ok(())
}

/// The addresses that a report names.
fn addresses(report: &str) -> impl Iterator<Item = u32> {
    report.split_whitespace().filter_map(|word| u32::from_str_radix(word.strip_prefix("0x")?, 16).ok())
}

/// The plug is pulled at any moment of a start. After every one of them the device is who it was.
async fn power_cuts(args: &Args, seed: u64, stage: &mut Stage, running: Running) -> Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    running.pull_the_plug().await?;
    // A whole start first: the cuts are to hit every part of it.
    let mut running = stage.device.switch_on(Buttons::default()).await?;
    let began = Instant::now();
    stage.events = stage.cloud.events();
    stage.telemetry(PATIENCE, &running).await?;
    let start = began.elapsed();
    Narrator::line(&format!("telemetry comes {:.1} s after power", start.as_secs_f64()));
    let (mut online, mut registered) = (0, 0);
    for _ in 0..args.power_cuts {
        running.pull_the_plug().await?;
        running = stage.device.switch_on(Buttons::default()).await?;
        tokio::time::sleep(start.mul_f64(random.random_range(0.0..1.2))).await;
        online += u32::from(stage.cloud.is_connected(&stage.registration_id));
    }
    running.pull_the_plug().await?;
    while let Ok(Some(event)) = timeout(Duration::ZERO, stage.events.next()).await {
        match event {
            Event::Registered { registration_id, .. } => {
                registered += 1;
                ensure!(
                    registration_id == stage.registration_id,
                    "the device registered as {registration_id}"
                );
            }
            Event::Refused { id, reason, .. } if id == stage.registration_id => {
                bail!("the device was refused: {reason}")
            }
            _ => {}
        }
    }
    let running = stage.device.switch_on(Buttons::default()).await?;
    stage.registration(&running).await?;
    let reported = stage.event("report of the start", PATIENCE, &running, |event| match event {
        Event::TwinReported { patch, .. } => patch.get("firmwareVersion").is_some().then_some(patch),
        _ => None,
    });
    let reported = reported.await?;
    ensure!(
        reported["firmwareVersion"] == args.firmware_version.as_str() && reported["lastCrash"].is_null(),
        "the device reports {reported}"
    );
    stage.telemetry(PATIENCE, &running).await?;
    Narrator::line(&format!(
        "{registered} registrations, {online} cuts while the device was online; after the last one: same identity, \
         no crash to report, telemetry"
    ));
    running.pull_the_plug().await
}

/// The plug is pulled while a setting is stored: it is the old one or the new one then, and the others are as they were.
async fn cuts_while_storing(args: &Args, seed: u64, stage: &mut Stage) -> Result<()> {
    const OTHER: &str = "0ne00000042";
    let mut random = StdRng::seed_from_u64(seed);
    let console = Buttons { a: true, b: false };
    let (mut took, mut old, mut new) = (Duration::ZERO, 0, 0);
    for cut in 0..=args.power_cuts {
        let mut running = stage.device.switch_on(console).await?;
        let terminal = &mut running.terminal;
        terminal.wait_for(PROMPT, PATIENCE).await?;
        let shown = terminal.ask("show", PATIENCE).await?;
        ensure!(shown.contains("DPS UDS: (set)"), "after cut {cut}: {shown}");
        let stored =
            [ID_SCOPE, OTHER].into_iter().find(|scope| shown.contains(&format!("DPS ID scope: {scope}")));
        let stored = stored.with_context(|| format!("after cut {cut}: {shown}"))?;
        if cut > 0 {
            *(if stored == ID_SCOPE { &mut old } else { &mut new }) += 1;
        }
        let values: &[&str] = if cut == 0 { &[OTHER, ID_SCOPE] } else { &[ID_SCOPE] };
        for value in values {
            let began = Instant::now();
            let answer = terminal.ask(&format!("set_dps_idscope {value}"), PATIENCE).await?;
            ensure!(answer.contains("successfully"), "set_dps_idscope: {answer:?}");
            if cut == 0 {
                took = began.elapsed();
            }
        }
        if cut < args.power_cuts {
            terminal.enter(&format!("set_dps_idscope {OTHER}")).await?;
            tokio::time::sleep(took.mul_f64(random.random_range(0.0..1.2))).await;
        }
        running.pull_the_plug().await?;
    }
    Narrator::line(&format!("the old value {old} times, the new one {new} times, the secret always"));
    Ok(())
}

/// A device without its keys can read nothing that is sealed, says so, and destroys nothing.
async fn lost_keys(stage: &mut Stage) -> Result<()> {
    let keys = stage.device.key_flash().contents();
    stage.device.key_flash().erase_all()?;
    let mut running = stage.device.switch_on(Buttons::default()).await?;
    running.terminal.wait_for("is sealed and wants a host session", PATIENCE).await?;
    stage.display(&running, "lost-keys.png", |rows| rows[2] == "Failed!" && rows[3] == " > Settings").await?;
    running.pull_the_plug().await?;
    stage.device.key_flash().load(&keys)?;
    stage.events = stage.cloud.events();
    let running = stage.device.switch_on(Buttons::default()).await?;
    stage.telemetry(PATIENCE, &running).await?;
    Narrator::line("with its keys again, the device goes on");
    running.pull_the_plug().await
}

async fn changed_firmware(stage: &mut Stage) -> Result<()> {
    const TEXT: &[u8] = b"Microsoft Azure IoT Developer Kit";
    let mut image = fs::read(&stage.firmware)?;
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
    ensure!(reason.starts_with("401"), "the provisioning service refuses: {reason}");
    Narrator::line(&format!("the provisioning service refuses: {reason}"));
    let shown = stage.display(&running, "refused.png", |rows| rows[2] == "DPS Failed!").await?;
    Narrator::line(&shown.display().to_string());
    running.pull_the_plug().await
}

/// Why the cloud did not take the device.
pub(crate) async fn refusal(stage: &mut Stage, running: &Running) -> Result<String> {
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
