//! Other clouds than the first one: gone for a while, of one TLS version, and some that are not who they say.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_cloud::{Config, Event, LocalCloud, ServerCertificate, TlsVersion, TlsVersions};
use peripherals::{Buttons, Lamp};

use crate::device::Running;
use crate::lamps::{self, expect};
use crate::narrator::Narrator;
use crate::stage::{PATIENCE, Stage};
use crate::trouble::refusal;

/// The cloud goes away and comes back, as it was.
pub(crate) async fn restart(mut stage: Stage, running: &Running) -> Result<Stage> {
    lamps::forget(&running.panel);
    let paused = stage.cloud.stop().await;
    expect(&running.panel, &[(Lamp::Azure, false), (Lamp::User, false)]).await?;
    ensure!(lamps::lit(&running.panel) == [Lamp::Wifi], "lit without a cloud: {:?}", running.panel);
    tokio::time::sleep(Duration::from_secs(2)).await;
    stage.cloud = paused.resume().await.context("starting the cloud again")?;
    stage.events = stage.cloud.events();
    expect(&running.panel, &[(Lamp::Azure, true), (Lamp::User, true)]).await?;
    let telemetry = stage.uninterrupted(PATIENCE, running).await?;
    Narrator::line(&format!("telemetry again: {}", String::from_utf8_lossy(&telemetry.body)));
    Ok(stage)
}

/// Another cloud with the same enrolments takes the place of this one: it knows no device.
async fn replace(mut stage: Stage, change: impl FnOnce(&mut Config)) -> Result<Stage> {
    let mut config =
        Config { authority: Some(stage.cloud.authority().clone()), ..stage.cloud.config().clone() };
    change(&mut config);
    stage.cloud.stop().await;
    stage.cloud = LocalCloud::start(config).await.context("starting the other cloud")?;
    stage.events = stage.cloud.events();
    Ok(stage)
}

/// Clouds that speak one TLS version only: a device that starts registers and works, and that version was used.
pub(crate) async fn tls_versions(mut stage: Stage, mut running: Running) -> Result<(Stage, Running)> {
    for (taken, version) in [(TlsVersions::Tls12, TlsVersion::Tls12), (TlsVersions::Tls13, TlsVersion::Tls13)]
    {
        running.pull_the_plug().await?;
        stage = replace(stage, |config| config.tls = taken).await?;
        running = stage.device.switch_on(Buttons::default()).await?;
        let agreed = one_version(&mut stage, &running).await.with_context(|| version.to_string())?;
        ensure!(agreed == [version; 2], "{version} is what the cloud takes, the connections were {agreed:?}");
        Narrator::line(&format!("over {version}: registered, telemetry, a method answered"));
    }
    running.pull_the_plug().await?;
    stage = replace(stage, |config| config.tls = TlsVersions::Both).await?;
    running = stage.device.switch_on(Buttons::default()).await?;
    stage.registration(&running).await?;
    stage.telemetry(PATIENCE, &running).await?;
    Ok((stage, running))
}

/// The versions of the connections to the provisioning service and to the hub of a device that works over them.
async fn one_version(stage: &mut Stage, running: &Running) -> Result<[TlsVersion; 2]> {
    let registered = stage.registration(running).await?;
    let connected = stage.event("session", PATIENCE, running, |event| match event {
        Event::Connected { tls, .. } => Some(tls),
        _ => None,
    });
    let connected = connected.await?;
    stage.telemetry(PATIENCE, running).await?;
    let answer = stage.cloud.invoke_method(&stage.registration_id, "start", "null", PATIENCE).await;
    let answer = answer.context("method start")?;
    ensure!(answer.status == 200, "method start: {answer:?}");
    Ok([registered, connected])
}

/// Servers that are not to be trusted get neither a registration nor a second try; then the right one is there again.
pub(crate) async fn impostors(mut stage: Stage) -> Result<()> {
    for (certificate, who, alert) in [
        // The device knows the time from the network, and judges by it.
        (ServerCertificate::Expired, "a certificate that has expired", "Expired"),
        (ServerCertificate::WrongHost, "a certificate for another name", "BadCertificate"),
        (ServerCertificate::OtherAuthority, "a certificate of another authority", "UnknownCA"),
    ] {
        stage = replace(stage, |config| config.certificate = certificate).await?;
        let running = stage.device.switch_on(Buttons::default()).await?;
        let reason = refusal(&mut stage, &running).await.context(who)?;
        ensure!(reason.contains(alert), "{who}: the connection ended because of {reason}");
        stage
            .display(&running, "impostor.png", |rows| rows[2] == "DPS Failed!" && rows[3] == " > Connection")
            .await?;
        ensure!(lamps::lit(&running.panel) == [Lamp::Wifi], "lit: {:?}", lamps::lit(&running.panel));
        Narrator::line(&format!("{who}: the device refuses the server ({reason})"));
        running.pull_the_plug().await?;
    }
    stage = replace(stage, |config| config.certificate = ServerCertificate::Good).await?;
    let running = stage.device.switch_on(Buttons::default()).await?;
    stage.registration(&running).await?;
    stage.telemetry(PATIENCE, &running).await?;
    Narrator::line("the right one: registered, telemetry");
    running.pull_the_plug().await
}
