//! Everything that can go wrong, and the device that recovers from it. Lost frames and crashes are possible here only.

use std::fs;

use anyhow::{Context, Result, ensure};
use local_cloud::Event;
use peripherals::Lamp;
use stories::lamps::{self, expect};
use stories::operation::ask_for_interval;
use stories::{Bench, Narrator, Running, faults, line};

use crate::args::Args;
use crate::device::QemuDevice;

/// How many of a hundred frames get lost, in each direction.
const LOSS: u32 = 10;
/// Messages that have to come through a lossy network, and the interval between them in milliseconds.
const LOSSY_MESSAGES: usize = 20;
const LOSSY_INTERVAL: u32 = 600;

/// Runs the story of the faults.
pub(crate) async fn run(
    args: &Args,
    narrator: &mut Narrator,
    bench: Bench<QemuDevice>,
    running: Running,
) -> Result<()> {
    narrator.step("The cloud goes down, and comes back");
    let bench = narrator.in_step(faults::restart(bench, &running).await)?;

    narrator.step("Clouds that speak one TLS version only");
    let (bench, running) = narrator.in_step(faults::tls_versions(bench, running).await)?;

    narrator.step("A key in the secure element, over each TLS version, and a chip that fails");
    let (mut bench, running) = narrator.in_step(faults::slot_key(bench, running).await)?;

    narrator.step(&format!("{LOSS} % of all frames are lost, in each direction"));
    narrator.in_step(packet_loss(&mut bench, &running).await)?;

    narrator.step("The program crashes, in four ways");
    narrator.in_step(crashes(&mut bench, &running).await)?;

    let (cuts, seed) = (args.power_cuts, args.seed.unwrap_or_else(rand::random));
    narrator.step(&format!("{cuts} power cuts at random moments (seed {seed})"));
    narrator.in_step(faults::cuts_while_starting(cuts, seed, &mut bench, running).await)?;

    narrator.step(&format!("{cuts} power cuts while a setting is stored (seed {seed})"));
    narrator.in_step(faults::cuts_while_storing(cuts, seed, &mut bench).await)?;

    narrator.step("The flash with the host keys is lost, and restored");
    narrator.in_step(faults::lost_keys(&mut bench).await)?;

    narrator.step("One bit of the firmware is changed");
    narrator.in_step(faults::changed_firmware(&mut bench).await)?;

    narrator.step("The cloud is not to be trusted");
    narrator.in_step(faults::untrusted_servers(bench).await)
}

async fn packet_loss(bench: &mut Bench<QemuDevice>, running: &Running) -> Result<()> {
    ask_for_interval(bench, running, LOSSY_INTERVAL, 200, LOSSY_INTERVAL).await?;
    let loss = bench.device.wire().loss();
    let before = loss.count();
    loss.set_percent(LOSS);
    // The handshake, too, has to come through.
    bench.cloud.drop_connections();
    bench
        .event("new session", running, |event| matches!(event, Event::Connected { .. }).then_some(()))
        .await?;
    for _ in 0..LOSSY_MESSAGES {
        bench.uninterrupted_telemetry(running).await?;
    }
    let loss = bench.device.wire().loss();
    loss.set_percent(0);
    let after = loss.count();
    let (lost, passed) = (after.0 - before.0, after.1 - before.1);
    ensure!(lost > 0, "no frame was lost");
    line(&format!("{LOSSY_MESSAGES} messages arrived; {lost} frames were lost, {passed} were not"));
    Ok(())
}

/// A way to crash, and what the device has to report of it.
#[derive(Clone, Copy)]
enum Crash {
    /// An interrupt without a handler.
    Panic,
    /// A jump to where nothing is.
    Fault,
    /// No room on the stack for the next exception.
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

async fn crashes(bench: &mut Bench<QemuDevice>, running: &Running) -> Result<()> {
    const RAM: u32 = 0x2000_0000;
    const LOOP: [u8; 2] = 0xe7fe_u16.to_le_bytes();
    /// `cpsid i`; `ldr r0, [pc, #4]`; `mov sp, r0`; `udf #0`; the address 0x2000_0008. It fails at once, so that no
    /// other code runs on such a stack: what that would do before it fails depends on chance.
    const OVERFLOW: [u8; 12] = [0x72, 0xb6, 0x01, 0x48, 0x85, 0x46, 0x00, 0xde, 0x08, 0x00, 0x00, 0x20];
    /// The vector of an interrupt that the firmware does not use.
    const UNEXPECTED: usize = 4 * (16 + 4);
    /// Its handler does nothing but panic.
    const HANDLER_LEN: u32 = 32;
    let image = fs::read(&bench.firmware)?;
    let vector = image.get(UNEXPECTED..).and_then(<[u8]>::first_chunk).context("the vector table")?;
    let handler = u32::from_le_bytes(*vector) & !1;
    for (crash, expected) in Crash::ALL {
        lamps::forget(&running.panel);
        let mut core = bench.device.debug().await?;
        match crash {
            Crash::Panic => core.set_program_counter(handler).await?,
            Crash::Fault => core.set_program_counter(0x7000_0000).await?,
            Crash::Overflow => {
                core.write(RAM, &OVERFLOW).await?;
                core.set_program_counter(RAM).await?;
            }
            Crash::Hang => {
                core.write(RAM, &LOOP).await?;
                core.set_program_counter(RAM).await?;
            }
        }
        core.release().await?;
        let reported = bench
            .event("report of the crash", running, |event| match event {
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
        line(&format!("reported: {text}"));
        // Dark with the reset, and then as after any start.
        let lamps = [(Lamp::Azure, false), (Lamp::Azure, true)];
        expect(&running.panel, &lamps).await.context("after the crash")?;
        bench.telemetry(running).await?;
    }
    Ok(())
}

/// The addresses that a report names.
fn addresses(report: &str) -> impl Iterator<Item = u32> {
    report.split_whitespace().filter_map(|word| u32::from_str_radix(word.strip_prefix("0x")?, 16).ok())
}
