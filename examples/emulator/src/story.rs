//! The story: a device is configured, finds its cloud, and works.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use examples::cloud::{Event, Properties};
use examples::footprint::Peaks;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use virtual_devices::Buttons;

use crate::args::Args;
use crate::device::Running;
use crate::measure;
use crate::narrator::Narrator;
use crate::stage::{HUB, ID_SCOPE, PATIENCE, Stage};
use crate::trouble;

const PROMPT: &str = "\r\n# ";
const GREETING: &str = "Hello DevKit";

/// Tells it.
pub(crate) async fn tell(args: &Args, folder: &Path) -> Result<()> {
    let mut narrator = Narrator::new();
    ensure!(
        args.firmware.is_file(),
        "there is no firmware at {}: make it with tools/firmware qemu",
        args.firmware.display()
    );
    narrator.step("The stage: a cloud on this machine, an emulated DevKit");
    let mut stage = narrator.failing(Stage::set(args, folder).await)?;
    let size = fs::metadata(&args.firmware)?.len();
    Narrator::line(&format!("DPS and hub on {}, firmware of {size} bytes", stage.cloud.dps_address()));

    narrator.step("Button A is held: the configuration console");
    let a = Buttons { a: true, b: false };
    let running = narrator.failing(stage.device.switch_on(a).await)?;
    let (mut running, console) = narrator.failing(configure(args, &mut stage, running).await)?;
    if args.boot {
        narrator.end();
        return Ok(());
    }

    narrator.step("Reset: the device derives its identity, registers, and sends telemetry");
    narrator.failing(first_telemetry(&mut stage, &mut running).await)?;
    narrator.step("The cloud speaks: a method call, a message, a change of the twin");
    narrator.failing(conversation(&mut stage, &mut running).await)?;
    narrator.step("The display");
    let picture = stage.display(&running, "display.png", |rows| {
        rows[0] == "IoT DevKit" && rows[1] == "10.0.2.15" && rows[2] == "Running..." && is_climate(&rows[3])
    });
    let picture = narrator.failing(picture.await)?;
    Narrator::line(&picture.display().to_string());

    if args.measure {
        let online = narrator.failing(measure::peaks(args, &stage).await)?;
        measure::print(
            args,
            &[("configuration console", console), ("registration, hub, telemetry", online)],
        )?;
    } else if args.all {
        trouble::tell(args, &mut narrator, stage, running).await?;
    } else if args.stay {
        stay(&mut stage).await?;
    }
    narrator.end();
    Ok(())
}

/// Temperature and humidity, as the screen's last row shows them.
fn is_climate(row: &str) -> bool {
    row.contains("C ") && row.ends_with('%')
}

/// Types what a user types, checks the certificate, and enrols it.
async fn configure(args: &Args, stage: &mut Stage, mut running: Running) -> Result<(Running, Peaks)> {
    let terminal = &mut running.terminal;
    let banner = terminal.wait_for(PROMPT, PATIENCE).await?;
    ensure!(banner.contains("Configuration console"), "the console greets with {banner:?}");
    terminal.enter(&format!("set_dps_uds {}", stage.uds)).await?;
    let answer = terminal.wait_for(PROMPT, PATIENCE).await?;
    ensure!(answer.contains("INFO: Set DPS UDS successfully."), "set_dps_uds: {answer:?}");
    ensure!(!terminal.text().contains(&stage.uds), "the console shows the secret");
    terminal.enter(&format!("set_dps_idscope {ID_SCOPE}")).await?;
    let answer = terminal.wait_for(PROMPT, PATIENCE).await?;
    ensure!(answer.contains("successfully"), "set_dps_idscope: {answer:?}");
    Narrator::line("secret and id scope stored");

    let pem = stage.certify(&args.firmware.clone(), &args.firmware_version)?;
    let expected = fs::read_to_string(&pem)?;
    running.terminal.enter("cert").await?;
    let answer = running.terminal.wait_for(PROMPT, PATIENCE).await?.replace('\r', "");
    ensure!(
        answer.contains(expected.trim()),
        "the device's certificate is not that of dps-cert-gen:\n{answer}\n{expected}"
    );
    Narrator::line("the device's certificate is the one dps-cert-gen derives from the .bin file");
    fs::copy(&pem, stage.folder.join("enrolments").join("device.pem")).context("enrolling it")?;
    Narrator::line("enrolled");
    stage.display(&running, "configuration.png", |rows| rows[2] == "Configuration").await?;
    running.panel.press(|held| *held = Buttons::default());
    // A reset begins a new count.
    let peaks = if args.measure { measure::peaks(args, stage).await? } else { Peaks::default() };
    if !args.boot {
        running.terminal.enter("exit").await?;
    }
    Ok((running, peaks))
}

async fn first_telemetry(stage: &mut Stage, running: &mut Running) -> Result<()> {
    let registered = stage.event("registration", PATIENCE, running, |event| match event {
        Event::Registered { registration_id, hub, .. } => Some((registration_id, hub)),
        _ => None,
    });
    let (id, hub) = registered.await?;
    ensure!(hub == HUB, "assigned to {hub}");
    Narrator::line(&format!("registered as {id}, assigned to {hub}"));
    stage.registration_id = id;
    let telemetry = stage.telemetry(PATIENCE, running).await?;
    let body: Value = serde_json::from_slice(&telemetry.body).context("the telemetry's body")?;
    ensure!(
        body["deviceId"] == stage.registration_id.as_str() && body["temperature"].is_number(),
        "telemetry: {body}"
    );
    Narrator::line(&format!("telemetry: {body}"));
    Ok(())
}

async fn conversation(stage: &mut Stage, running: &mut Running) -> Result<()> {
    let id = stage.registration_id.clone();
    let limit = Duration::from_secs(20);
    for (method, expected) in [("stop", 200), ("start", 200), ("fly", 404)] {
        let answer = stage.cloud.invoke_method(&id, method, "null", limit).await;
        let answer = answer.with_context(|| format!("method {method}"))?;
        ensure!(answer.status == expected, "method {method}: {} {answer:?}", answer.status);
    }
    Narrator::line("methods: stop 200, start 200, fly 404");

    stage.cloud.send_c2d(&id, GREETING, &Properties::new())?;
    stage
        .event("acknowledged message", PATIENCE, running, |event| {
            matches!(event, Event::C2dCompleted { .. }).then_some(())
        })
        .await?;
    stage.display(running, "message.png", |rows| rows[2] == GREETING && rows[3].is_empty()).await?;

    let patch = Map::from_iter([("interval".to_owned(), json!(1000))]);
    stage.cloud.patch_desired(&id, &patch)?;
    let accepted = stage.event("acknowledged twin", PATIENCE, running, |event| match event {
        // The interval that holds without the cloud may be on its way.
        Event::TwinReported { patch, .. } => {
            patch.get("interval").filter(|interval| interval["ac"] != 203).cloned()
        }
        _ => None,
    });
    let accepted = accepted.await?;
    ensure!(accepted["value"] == 1000 && accepted["ac"] == 200, "the twin reports {accepted}");
    Narrator::line(&format!("twin: interval {accepted}"));
    Ok(())
}

/// Shows the cloud's events and passes commands on, until the input or the user ends it.
async fn stay(stage: &mut Stage) -> Result<()> {
    println!("\nThe device works; c2d <text>, method <name> [<json>], twin <json>; Ctrl-C ends it.");
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    let id = stage.registration_id.clone();
    loop {
        tokio::select! {
            event = stage.events.next() => match event {
                Some(event) => println!("{event}"),
                None => return Ok(()),
            },
            line = input.next_line() => {
                let Some(line) = line? else { return Ok(()) };
                if let Err(error) = command(stage, &id, line.trim()).await {
                    println!("error: {error:#}");
                }
            }
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

async fn command(stage: &Stage, id: &str, line: &str) -> Result<()> {
    let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
    match name {
        "c2d" => println!("queued message {}", stage.cloud.send_c2d(id, rest, &Properties::new())?),
        "method" => {
            let (method, payload) = rest.split_once(' ').unwrap_or((rest, "null"));
            let answer = stage.cloud.invoke_method(id, method, payload, Duration::from_secs(30)).await?;
            println!("{} {}", answer.status, String::from_utf8_lossy(&answer.body));
        }
        "twin" => {
            let patch = serde_json::from_str(rest).context("the patch")?;
            println!("desired properties are at version {}", stage.cloud.patch_desired(id, &patch)?);
        }
        _ => println!("c2d <text>, method <name> [<json>], twin <json>"),
    }
    Ok(())
}
