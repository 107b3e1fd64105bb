//! The hubs of the new generation, which speak MQTT 5 (preview): the device works at one as at a classic hub.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use local_cloud::{CommandError, Config, Properties};
use peripherals::{Buttons, Lamp};

use crate::bench::Bench;
use crate::device::{Device, Running};
use crate::lamps::{self, expect};
use crate::narrator::line;
use crate::operation::{ask_for_interval, call};

/// The name of the hub that speaks MQTT 5.
pub const MQTT5_HUB: &str = "story-hub.device.azure-devices.net";
/// Intervals in milliseconds: two that the device takes, one that it does not.
const OFTEN: u32 = 1000;
const MORE_OFTEN: u32 = 600;
const TOO_OFTEN: u32 = 500;

/// A cloud with this hub beside the classic one.
#[must_use]
pub fn with_mqtt5_hub(config: Config) -> Config {
    Config { mqtt5_hubs: vec![MQTT5_HUB.to_owned()], ..config }
}

/// The provisioning service assigns a device that starts to the hub that speaks MQTT 5: telemetry, twin with the Plug
/// and Play acknowledgement, methods and buttons do the same as at a classic one. The cloud is one made
/// [with this hub](with_mqtt5_hub).
///
/// # Errors
/// Says what the device does wrong.
pub async fn mqtt5<D: Device>(bench: &mut Bench<D>, running: Running) -> Result<Running> {
    let running = assign(bench, running, MQTT5_HUB).await.context("to the hub that speaks MQTT 5")?;
    work(bench, &running).await.context("at the hub that speaks MQTT 5")?;
    let unavailable = "The hub does not offer cloud-to-device messages";
    ensure!(running.terminal.received().contains(unavailable), "the device does not say {unavailable:?}");
    match bench.cloud.send_c2d(&bench.registration_id, "in vain", &Properties::new()) {
        Err(CommandError::Refused(_)) => {}
        other => bail!("a message to a device at a hub that has none: {other:?}"),
    }

    bench.cloud.drop_connections();
    // The change finds nobody there: it is in the twin that the device fetches.
    ask_for_interval(bench, &running, OFTEN, 200, OFTEN).await.context("while it was away")?;
    bench.uninterrupted_telemetry(&running).await?;
    line("after a lost connection: the twin's change is taken, telemetry goes on");
    Ok(running)
}

/// At its next start the device is assigned to the classic hub again, and works as before.
///
/// # Errors
/// As [`mqtt5`].
pub async fn classic_again<D: Device>(bench: &mut Bench<D>, running: Running) -> Result<Running> {
    let classic = bench.cloud.config().hub_name.clone();
    let running = assign(bench, running, &classic).await.context("back to the classic hub")?;
    work(bench, &running).await.context("back at the classic hub")?;
    Ok(running)
}

/// Assigns the device to this hub while it is off.
async fn assign<D: Device>(bench: &mut Bench<D>, running: Running, hub: &str) -> Result<Running> {
    running.cut_power().await?;
    bench.cloud.move_device(&bench.registration_id, hub)?;
    let running = bench.device.switch_on(Buttons::default()).await?;
    bench.registration_at(&running, hub).await?;
    bench.telemetry(&running).await?;
    expect(&running.panel, &[(Lamp::User, true)]).await?;
    let is_at = bench.cloud.hub_of(&bench.registration_id);
    ensure!(is_at.as_deref() == Some(hub), "the device is at {is_at:?}");
    line(&format!("assigned to {hub}: telemetry"));
    Ok(running)
}

/// What there is at both generations of hubs.
async fn work<D: Device>(bench: &mut Bench<D>, running: &Running) -> Result<()> {
    ask_for_interval(bench, running, MORE_OFTEN, 200, MORE_OFTEN).await?;
    ask_for_interval(bench, running, TOO_OFTEN, 400, MORE_OFTEN).await?;
    let twin = bench.cloud.twin(&bench.registration_id)?;
    let version = &twin["reported"]["firmwareVersion"];
    ensure!(version == bench.device.firmware_version(), "the twin reports version {version}");
    lamps::forget(&running.panel);
    call(bench, running, "stop", 200).await?;
    expect(&running.panel, &[(Lamp::User, false)]).await?;
    // A flash that had begun is over then.
    tokio::time::sleep(Duration::from_secs(1)).await;
    lamps::forget(&running.panel);
    running.panel.press(|held| *held = Buttons { a: true, b: false });
    bench.uninterrupted_telemetry(running).await.context("button A")?;
    expect(&running.panel, &[(Lamp::Blue, true), (Lamp::Blue, false)]).await.context("button A")?;
    running.panel.press(|held| *held = Buttons::default());
    call(bench, running, "start", 200).await?;
    expect(&running.panel, &[(Lamp::User, true)]).await?;
    call(bench, running, "fly", 404).await?;
    bench.uninterrupted_telemetry(running).await?;
    line("methods: stop 200, start 200, fly 404; button A: a message, acknowledged by the hub");
    Ok(())
}
