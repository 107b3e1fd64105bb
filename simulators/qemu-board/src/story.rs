//! The story: a device is configured, finds its cloud, and works.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use footprint::Peaks;
use local_cloud::Properties;
use peripherals::{Buttons, Lamp};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::args::Args;
use crate::conversation;
use crate::device::Running;
use crate::lamps::{self, expect};
use crate::measure;
use crate::narrator::Narrator;
use crate::stage::{HUB, ID_SCOPE, PATIENCE, Stage};
use crate::terminal::PROMPT;
use crate::trouble;

/// Tells it.
pub(crate) async fn tell(args: &Args, folder: &Path) -> Result<()> {
    let mut narrator = Narrator::new();
    narrator.step("The stage: a cloud on this machine, an emulated DevKit");
    let mut stage = narrator.failing(Stage::set(args, folder).await)?;
    let size = fs::metadata(&stage.firmware)?.len();
    Narrator::line(&format!("DPS and hub on {}, firmware of {size} bytes", stage.cloud.dps_address()));

    narrator.step("Button A is held: the configuration console");
    let a = Buttons { a: true, b: false };
    let running = narrator.failing(stage.device.switch_on(a).await)?;
    let (running, console) = narrator.failing(configure(args, &mut stage, running).await)?;
    if args.boot {
        narrator.end();
        return Ok(());
    }

    narrator.step("Reset: the device derives its identity, registers, and sends telemetry");
    narrator.failing(first_telemetry(&mut stage, &running).await)?;
    narrator.step("It works: the cloud speaks, the room gets warm, the user presses buttons");
    narrator.failing(conversation::lead(&mut stage, &running).await)?;
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
    let answer = terminal.ask(&format!("set_dps_uds {}", stage.uds), PATIENCE).await?;
    ensure!(answer.contains("INFO: Set DPS UDS successfully."), "set_dps_uds: {answer:?}");
    ensure!(!terminal.text().contains(&stage.uds), "the console shows the secret");
    let answer = terminal.ask(&format!("set_dps_idscope {ID_SCOPE}"), PATIENCE).await?;
    ensure!(answer.contains("successfully"), "set_dps_idscope: {answer:?}");
    Narrator::line("secret and id scope stored");
    let answer = terminal.ask("enable_secure 3", PATIENCE).await?;
    ensure!(answer.contains("INFO: Enable secure channel successfully."), "enable_secure: {answer:?}");
    ensure!(stage.device.is_paired(), "the secure element has no host keys");
    Narrator::line("paired with the secure element: the settings are sealed, the host keys are in flash");

    let pem = stage.certify(&args.firmware_version)?;
    let expected = fs::read_to_string(&pem)?;
    let answer = running.terminal.ask("cert", PATIENCE).await?.replace('\r', "");
    ensure!(
        answer.contains(expected.trim()),
        "the device's certificate is not that of dps-cert-gen:\n{answer}\n{expected}"
    );
    Narrator::line("the device's certificate is the one dps-cert-gen derives from the .bin file");
    fs::copy(&pem, stage.folder.join("enrolments").join("device.pem")).context("enrolling it")?;
    Narrator::line("enrolled");
    stage.display(&running, "configuration.png", |rows| rows[2] == "Configuration").await?;
    ensure!(lamps::lit(&running.panel).is_empty(), "lit: {:?}", lamps::lit(&running.panel));
    running.panel.press(|held| *held = Buttons::default());
    // A reset begins a new count.
    let peaks = if args.measure { measure::peaks(args, stage).await? } else { Peaks::default() };
    if !args.boot {
        running.terminal.enter("exit").await?;
    }
    Ok((running, peaks))
}

async fn first_telemetry(stage: &mut Stage, running: &Running) -> Result<()> {
    lamps::forget(&running.panel);
    let tls = stage.registration(running).await?;
    // Not before the hub has taken it.
    ensure!(lamps::lit(&running.panel) == [Lamp::Wifi], "lit: {:?}", lamps::lit(&running.panel));
    let id = &stage.registration_id;
    Narrator::line(&format!("registered as {id} over {tls}, assigned to {HUB}"));
    let telemetry = stage.telemetry(PATIENCE, running).await?;
    let body: Value = serde_json::from_slice(&telemetry.body).context("the telemetry's body")?;
    ensure!(
        body["deviceId"] == stage.registration_id.as_str() && body["temperature"].is_number(),
        "telemetry: {body}"
    );
    Narrator::line(&format!("telemetry: {body}"));
    let panel = &running.panel;
    expect(panel, &[(Lamp::Wifi, true), (Lamp::Azure, true), (Lamp::User, true), (Lamp::Blue, true)]).await?;
    Narrator::line("lamps: Wi-Fi, Azure, User, and the RGB lamp flashed blue");
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
