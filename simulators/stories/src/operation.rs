//! What a device that is online does for the cloud, and for the user at its buttons.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_cloud::{Direction, Event, FaultAction, PacketKind, Properties};
use peripherals::{Buttons, Lamp};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::{sleep, timeout};

use crate::bench::{Bench, PATIENCE};
use crate::device::{Device, Running};
use crate::lamps::{self, expect, expect_still};
use crate::narrator::line;

/// Between two messages, in milliseconds: often, hardly ever, and more often than the device takes it.
const OFTEN: u32 = 1000;
const HARDLY_EVER: u32 = 600_000;
const TOO_OFTEN: u32 = 500;
/// In this time a device that sends often has sent several messages.
const WHILE: Duration = Duration::from_secs(4);
/// An acknowledgement that is late by this much.
const LATE: Duration = Duration::from_secs(2);
/// The air in a warm room: hundredths of a degree and of a percent.
const WARM: (i16, u16) = (31_50, 60_00);
const GREETING: &str = "Hello DevKit";

const PRESSED_A: Buttons = Buttons { a: true, b: false };
const PRESSED_B: Buttons = Buttons { a: false, b: true };

/// Everything the tutorial's user can try: interval, methods, sensors, messages, buttons.
///
/// # Errors
/// Says what the device does wrong.
pub async fn run<D: Device>(bench: &mut Bench<D>, running: &Running) -> Result<()> {
    ask_for_interval(bench, running, OFTEN, 200, OFTEN).await.context("interval")?;
    methods(bench, running).await.context("methods")?;
    warm_room(bench, running).await.context("sensors")?;
    message(bench, running).await.context("message")?;
    ask_for_interval(bench, running, TOO_OFTEN, 400, OFTEN).await.context("interval")?;
    ask_for_interval(bench, running, HARDLY_EVER, 200, HARDLY_EVER).await.context("interval")?;
    let sent = messages(bench, running).await?;
    // The one that was due already.
    ensure!(sent <= 1, "{sent} messages in {WHILE:?} with an interval of {HARDLY_EVER} ms");
    button_a(bench, running).await.context("button A")?;
    button_b(bench, running).await.context("button B")?;
    ask_for_interval(bench, running, OFTEN, 200, OFTEN).await.context("interval")
}

/// Asks for an interval in the twin; the device answers with this status, and this interval holds.
///
/// # Errors
/// It answers with something else, or not in time.
pub async fn ask_for_interval<D: Device>(
    bench: &mut Bench<D>,
    running: &Running,
    wanted: u32,
    status: u32,
    holds: u32,
) -> Result<()> {
    let patch = Map::from_iter([("interval".to_owned(), json!(wanted))]);
    let version = bench.cloud.patch_desired(&bench.registration_id, &patch)?;
    let answer = bench.event("acknowledgement", running, |event| match event {
        // One of an older version may be on its way.
        Event::TwinReported { patch, .. } => {
            patch.get("interval").filter(|interval| interval["av"] == version).cloned()
        }
        _ => None,
    });
    let answer = answer.await?;
    ensure!(answer["value"] == holds && answer["ac"] == status, "{wanted} ms: the twin reports {answer}");
    line(&format!("twin: interval {wanted} ms is answered with {answer}"));
    Ok(())
}

/// Messages within a while.
async fn messages<D: Device>(bench: &mut Bench<D>, running: &Running) -> Result<u32> {
    let mut sent = 0;
    let count = async {
        loop {
            bench.telemetry(running).await?;
            sent += 1;
        }
    };
    match timeout(WHILE, count).await {
        Ok(result) => result,
        Err(_) => Ok(sent),
    }
}

pub(crate) async fn call<D: Device>(
    bench: &mut Bench<D>,
    running: &Running,
    method: &str,
    expected: i32,
) -> Result<()> {
    let answer = bench.cloud.invoke_method(&bench.registration_id, method, "null", PATIENCE).await;
    let answer = answer.with_context(|| format!("method {method}"))?;
    ensure!(answer.status == expected, "method {method}: {answer:?}");
    // What was sent before the answer is of no interest any more.
    let answered = |event: Event| matches!(event, Event::MethodAnswered { .. }).then_some(());
    bench.event("answer", running, answered).await
}

async fn methods<D: Device>(bench: &mut Bench<D>, running: &Running) -> Result<()> {
    lamps::forget(&running.panel);
    call(bench, running, "stop", 200).await?;
    expect(&running.panel, &[(Lamp::User, false)]).await?;
    let sent = messages(bench, running).await?;
    ensure!(sent == 0, "{sent} messages after stop");
    call(bench, running, "start", 200).await?;
    expect(&running.panel, &[(Lamp::User, true)]).await?;
    bench.uninterrupted_telemetry(running).await?;
    call(bench, running, "fly", 404).await?;
    line("methods: stop 200 and silence, start 200 and telemetry, fly 404");
    Ok(())
}

async fn warm_room<D: Device>(bench: &mut Bench<D>, running: &Running) -> Result<()> {
    running.set_climate(WARM);
    let warm = bench.event("warm room's message", running, |event| match event {
        Event::Telemetry(telemetry) if telemetry.properties.get("temperatureAlert") == Some("true") => {
            Some(telemetry)
        }
        _ => None,
    });
    let body: Value = serde_json::from_slice(&warm.await?.body)?;
    let near = |name: &str, hundredths: f64| {
        // The sensors' steps are finer than a tenth.
        body[name].as_f64().is_some_and(|value| (value - hundredths / 100.0).abs() < 0.1)
    };
    ensure!(near("temperature", WARM.0.into()) && near("humidity", WARM.1.into()), "telemetry: {body}");
    line(&format!("a warm room: {body}, with an alert"));
    running.set_climate(Running::CLIMATE);
    Ok(())
}

async fn message<D: Device>(bench: &mut Bench<D>, running: &Running) -> Result<()> {
    lamps::forget(&running.panel);
    let id = bench.cloud.send_c2d(&bench.registration_id, GREETING, &Properties::new())?;
    let taken = |event: Event| match event {
        Event::C2dCompleted { message_id, .. } => Some(message_id),
        _ => None,
    };
    let taken = bench.event("acknowledged message", running, taken).await?;
    ensure!(taken == id, "{taken} is acknowledged, not {id}");
    expect(&running.panel, &[(Lamp::Red, true), (Lamp::Red, false)]).await?;
    bench.display(running, "message.png", |rows| rows[2] == GREETING && rows[3].is_empty()).await?;
    line("the message is acknowledged, and the RGB lamp flashed red");
    Ok(())
}

/// A press is one message; the lamp flashes when the cloud has acknowledged it, and not before.
async fn button_a<D: Device>(bench: &mut Bench<D>, running: &Running) -> Result<()> {
    let (sender, mut published) = unbounded_channel();
    bench.cloud.faults().set_script(move |packet| match (packet.direction, packet.kind) {
        (Direction::FromDevice, PacketKind::Publish) => {
            // Whoever waited for it has given up.
            let _ = sender.send(());
            FaultAction::Pass
        }
        (Direction::ToDevice, PacketKind::Puback) => FaultAction::Delay(LATE),
        _ => FaultAction::Pass,
    });
    lamps::forget(&running.panel);
    running.panel.press(|held| *held = PRESSED_A);
    let sent = timeout(PATIENCE, published.recv()).await;
    ensure!(matches!(sent, Ok(Some(()))), "no message; the console shows:\n{}", running.terminal.received());
    expect_still(&running.panel, Lamp::Blue, LATE / 2).await.context("before the acknowledgement")?;
    expect(&running.panel, &[(Lamp::Blue, true), (Lamp::Blue, false)]).await?;
    ensure!(running.panel.rgb() == [0; 3], "the RGB lamp is {:?}", running.panel.rgb());
    bench.cloud.faults().clear();
    bench.uninterrupted_telemetry(running).await?;
    let more = messages(bench, running).await?;
    ensure!(more == 0, "{more} more messages while the button is held");
    running.panel.press(|held| *held = Buttons::default());
    line("button A: one message; the RGB lamp flashed blue when it was acknowledged");
    Ok(())
}

async fn button_b<D: Device>(bench: &mut Bench<D>, running: &Running) -> Result<()> {
    let (id, hub) = (bench.registration_id.clone(), bench.cloud.config().hub_name.clone());
    let hub = hub.get(..16).unwrap_or(&hub);
    running.panel.press(|held| *held = PRESSED_B);
    bench
        .display(running, "who.png", |rows| {
            rows[0] == "IoT DevKit" && format!("{}{}", rows[1], rows[2]) == id && rows[3] == hub
        })
        .await?;
    running.panel.press(|held| *held = Buttons::default());
    let gone = async {
        while running.rows()[3] == hub {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, gone).await.context("the display shows it still after button B")?;
    line("button B: held, the display shows registration id and hub");
    Ok(())
}
