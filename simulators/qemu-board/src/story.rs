//! The story on QEMU: the tutorial, everything its user can try, and what was asked for after it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use footprint::Peaks;
use local_cloud::{Config, Properties};
use stories::{Bench, Narrator, faults, generation, line, operation, tutorial};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::args::Args;
use crate::device::QemuDevice;
use crate::services::Services;
use crate::{faults as trouble, measure};

/// The port of both services under their real names.
const PORT: u16 = 8883;
/// The hub's name.
const HUB: &str = "emulated-hub.azure-devices.net";
/// The provisioning service's id scope.
const ID_SCOPE: &str = "0ne00EDE717";

/// Runs the story.
pub(crate) async fn run(args: &Args, folder: &Path) -> Result<()> {
    let mut narrator = Narrator::new();
    narrator.step("A cloud on this machine, and an emulated DevKit");
    let (_services, mut bench) = narrator.in_step(set_up(args, folder).await)?;

    let further = ["enable_secure 3".to_owned()];
    let mut running = tutorial::configure(&mut narrator, &mut bench, &further).await?;
    ensure!(bench.device.is_paired(), "the secure element has no host keys");
    line("paired with the secure element: the settings are sealed, the host keys are in flash");
    if args.boot {
        narrator.end();
        return Ok(());
    }
    // A reset begins a new count.
    let measures = args.measure || args.embedded_tls;
    let console = if measures { measure::peaks(args, &bench.device).await? } else { Peaks::default() };
    tutorial::leave_console(&mut running).await?;
    tutorial::go_online(&mut narrator, &mut bench, &mut running).await?;
    tutorial::command(&mut narrator, &mut bench, &running).await?;
    if !args.embedded_tls {
        narrator.step("Everything else its user can try: a warm room, wrong intervals, the buttons");
        narrator.in_step(operation::run(&mut bench, &running).await)?;
    }
    // A reset begins a new count.
    let classic = if measures { measure::peaks(args, &bench.device).await? } else { Peaks::default() };
    narrator.step("A hub that speaks MQTT 5, and back to the classic one");
    running = narrator.in_step(generation::mqtt5(&mut bench, running).await)?;
    if measures {
        let mqtt5 = measure::peaks(args, &bench.device).await?;
        measure::print(
            args,
            &[
                ("configuration console", console),
                ("registration, hub, telemetry", classic),
                ("the same at a hub that speaks MQTT 5", mqtt5),
            ],
        )?;
    }
    if args.all || args.stay {
        running = narrator.in_step(generation::classic_again(&mut bench, running).await)?;
    }

    if args.embedded_tls {
        running.cut_power().await?;
        narrator.step("The cloud is not to be trusted");
        narrator.in_step(faults::untrusted_servers(bench).await)?;
    } else if args.all {
        trouble::run(args, &mut narrator, bench, running).await?;
    } else if args.stay {
        stay(&mut bench).await?;
    }
    narrator.end();
    Ok(())
}

async fn set_up(args: &Args, folder: &Path) -> Result<(Services, Bench<QemuDevice>)> {
    let services = Services::start().await?;
    let config = Config {
        dps_port: PORT,
        hub_port: PORT,
        hub_name: HUB.to_owned(),
        id_scope: ID_SCOPE.to_owned(),
        ..Config::default()
    };
    let config = generation::with_mqtt5_hub(config);
    let bench = Bench::new(config, &args.firmware, folder, &args.out, |cloud, firmware| {
        let version = &args.firmware_version;
        let device = QemuDevice::new(folder, firmware, version, cloud.root_der(), args.verbose)?;
        Ok(if args.embedded_tls { device.without_explanations() } else { device })
    });
    let bench = bench.await?;
    let size = fs::metadata(&bench.firmware)?.len();
    line(&format!("DPS and hub on {}, firmware of {size} bytes", bench.cloud.dps_address()));
    Ok((services, bench))
}

/// Shows the cloud's events and passes commands on, until the input or the user ends it.
async fn stay(bench: &mut Bench<QemuDevice>) -> Result<()> {
    println!("\nThe device is online; c2d <text>, method <name> [<json>], twin <json>; Ctrl-C ends it.");
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    let id = bench.registration_id.clone();
    loop {
        tokio::select! {
            event = bench.events.next() => match event {
                Some(event) => println!("{event}"),
                None => return Ok(()),
            },
            line = input.next_line() => {
                let Some(line) = line? else { return Ok(()) };
                if let Err(error) = command(bench, &id, line.trim()).await {
                    println!("error: {error:#}");
                }
            }
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

async fn command(bench: &Bench<QemuDevice>, id: &str, line: &str) -> Result<()> {
    let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
    match name {
        "c2d" => println!("queued message {}", bench.cloud.send_c2d(id, rest, &Properties::new())?),
        "method" => {
            let (method, payload) = rest.split_once(' ').unwrap_or((rest, "null"));
            let answer = bench.cloud.invoke_method(id, method, payload, Duration::from_secs(30)).await?;
            println!("{} {}", answer.status, String::from_utf8_lossy(&answer.body));
        }
        "twin" => {
            let patch = serde_json::from_str(rest).context("the patch")?;
            println!("desired properties are at version {}", bench.cloud.patch_desired(id, &patch)?);
        }
        _ => println!("c2d <text>, method <name> [<json>], twin <json>"),
    }
    Ok(())
}
