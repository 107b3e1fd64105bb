//! The tutorial: a device is configured, enrolled, finds its cloud, and works.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use local_cloud::{Event, Properties};
use peripherals::{Buttons, Lamp};
use serde_json::Value;

use crate::bench::{Bench, DeviceUnderTest};
use crate::device::{Device, Running};
use crate::lamps::{self, expect};
use crate::narrator::{Narrator, line};
use crate::operation::{ask_for_interval, call};

/// A message from the cloud.
const GREETING: &str = "Hello from the cloud";
/// The interval that the twin asks for, in milliseconds.
const INTERVAL_MS: u32 = 600;

/// Button A is held at the start: the configuration console.
pub const CONSOLE: Buttons = Buttons { a: true, b: false };

/// Types secret, id scope and `further` commands, derives the certificate, checks that it is the device's, and enrols
/// it. The device still shows the console's prompt afterwards.
///
/// # Errors
/// Names the step that failed, and why.
pub async fn configure<D: Device>(
    narrator: &mut Narrator,
    bench: &mut Bench<D>,
    further: &[String],
) -> Result<Running> {
    let id_scope = bench.cloud.config().id_scope.clone();
    let mut commands = vec![format!("set_dps_uds {}", bench.uds), format!("set_dps_idscope {id_scope}")];
    commands.extend_from_slice(further);
    let mut running = type_settings(narrator, bench, &commands).await?;
    let certificate = derive_certificate(narrator, bench, &mut running, true).await?;
    enrol(narrator, bench, &certificate)?;
    Ok(running)
}

/// Enrols this certificate.
///
/// # Errors
/// Names the step, and why the file cannot be written.
pub fn enrol<D: Device>(narrator: &mut Narrator, bench: &Bench<D>, certificate: &Path) -> Result<()> {
    narrator.step("The portal: the certificate is uploaded as an individual enrolment");
    let copied = fs::copy(certificate, bench.enrolment()).context("enrolling the certificate");
    narrator.in_step(copied)?;
    line(&bench.enrolment().display().to_string());
    Ok(())
}

/// Starts the device with button A held, and types settings on its console.
///
/// # Errors
/// Names the step that failed, and why.
pub async fn type_settings<D: Device>(
    narrator: &mut Narrator,
    unit: &DeviceUnderTest<D>,
    commands: &[String],
) -> Result<Running> {
    narrator.step("The console: the device starts with button A held, secret and settings are typed");
    let typing = async {
        let mut running = unit.device.switch_on(CONSOLE).await?;
        let banner = running.terminal.prompt().await?;
        ensure!(banner.contains("Configuration console"), "the console greets with {banner:?}");
        for command in commands {
            let shown = running.terminal.command(command).await?;
            for text in format!("# {shown}").lines().filter(|text| !text.is_empty()) {
                line(&format!("| {text}"));
            }
            ensure!(!shown.contains("ERROR") && !shown.contains("Invalid"), "the console refused: {shown}");
        }
        ensure!(!running.terminal.received().contains(&unit.uds), "the console shows the secret");
        unit.display(&running, "configuration.png", |rows| rows[2] == "Configuration").await?;
        ensure!(lamps::lit(&running.panel).is_empty(), "lit: {:?}", lamps::lit(&running.panel));
        Ok(running)
    };
    narrator.in_step(typing.await)
}

/// Derives the certificate with `dps-cert-gen` for the MAC address that the display shows; gives its file. With
/// `compare` it must be the device's own.
///
/// # Errors
/// Names the step that failed, and why.
pub async fn derive_certificate<D: Device>(
    narrator: &mut Narrator,
    unit: &DeviceUnderTest<D>,
    running: &mut Running,
    compare: bool,
) -> Result<PathBuf> {
    narrator.step("The certificate: dps-cert-gen derives it from the same secret and the firmware image");
    let deriving = async {
        let rows = running.rows();
        let mac = rows[1].strip_prefix("id:").with_context(|| format!("the display shows {rows:?}"))?;
        let pem = unit.make_certificate(mac)?;
        if compare {
            let expected = fs::read_to_string(&pem)?;
            let shown = running.terminal.command("cert").await?;
            // The original's host tool breaks no lines.
            let joined = |text: &str| text.replace(['\r', '\n'], "");
            ensure!(
                joined(&shown).contains(&joined(&expected)),
                "the device's certificate is not that of dps-cert-gen:\n{shown}\n{expected}"
            );
            line("the device shows the same certificate");
        }
        line(&pem.display().to_string());
        Ok(pem)
    };
    narrator.in_step(deriving.await)
}

/// Types `exit` on the console: the device starts again.
///
/// # Errors
/// The line is closed.
pub async fn leave_console(running: &mut Running) -> Result<()> {
    running.panel.press(|held| *held = Buttons::default());
    lamps::forget(&running.panel);
    Ok(running.terminal.type_keys(b"exit\r").await?)
}

/// The device that was just started derives its identity, registers, and sends telemetry.
///
/// # Errors
/// Names the step that failed, and why.
pub async fn go_online<D: Device>(
    narrator: &mut Narrator,
    bench: &mut Bench<D>,
    running: &mut Running,
) -> Result<()> {
    derive_identity(narrator, running).await?;

    narrator.step("It registers: the provisioning service answers with its hub");
    let registered = async {
        let tls = bench.registration(running).await?;
        let hub = &bench.cloud.config().hub_name;
        line(&format!("assigned to {hub} as {} over {tls}", bench.registration_id));
        Ok(())
    };
    narrator.in_step(registered.await)?;

    narrator.step("It works: telemetry reaches the hub");
    narrator.in_step(first_telemetry(bench, running).await)
}

/// The device that was just started derives its identity.
///
/// # Errors
/// Names the step that failed, and why.
pub async fn derive_identity(narrator: &mut Narrator, running: &mut Running) -> Result<()> {
    narrator.step("The device starts: it reads its secret, measures its image, derives its identity");
    let derived = async {
        running.terminal.until("Registration id ").await?;
        Ok(running.terminal.until("\r\n").await?)
    };
    line(&format!("registration id {}", narrator.in_step(derived.await)?.trim()));
    Ok(())
}

async fn first_telemetry<D: Device>(bench: &mut Bench<D>, running: &Running) -> Result<()> {
    let telemetry = bench.telemetry(running).await?;
    let body: Value = serde_json::from_slice(&telemetry.body).context("the telemetry's body")?;
    ensure!(
        body["deviceId"] == bench.registration_id.as_str() && body["temperature"].is_number(),
        "telemetry: {body}"
    );
    line(&Event::Telemetry(telemetry).to_string());
    let steps = [(Lamp::Wifi, true), (Lamp::Azure, true), (Lamp::User, true), (Lamp::Blue, true)];
    expect(&running.panel, &steps).await?;
    line("lamps: Wi-Fi, Azure, User, and the RGB lamp flashed blue");
    bench
        .display(running, "display.png", |rows| {
            rows[0] == "IoT DevKit"
                && rows[1].parse::<std::net::Ipv4Addr>().is_ok()
                && rows[2] == "Running..."
                && rows[3].contains("C ")
                && rows[3].ends_with('%')
        })
        .await?;
    Ok(())
}

/// The cloud sets the interval, calls methods, and sends a message.
///
/// # Errors
/// Names the step that failed, and why.
pub async fn command<D: Device>(
    narrator: &mut Narrator,
    bench: &mut Bench<D>,
    running: &Running,
) -> Result<()> {
    narrator.step("The cloud commands: its twin sets the interval, methods stop and start telemetry");
    narrator.in_step(ask_for_interval(bench, running, INTERVAL_MS, 200, INTERVAL_MS).await)?;
    for method in ["stop", "start"] {
        narrator.in_step(call(bench, running, method, 200).await)?;
        line(&format!("method {method}: 200"));
    }

    narrator.step("A message from the cloud reaches the device");
    let message = async {
        bench.cloud.send_c2d(&bench.registration_id, GREETING, &Properties::new())?;
        let (first, second) = GREETING.split_at(16);
        bench.display(running, "message.png", |rows| rows[2] == first.trim() && rows[3] == second).await?;
        line(&format!("the device received: {GREETING}"));
        Ok(())
    };
    narrator.in_step(message.await)
}
