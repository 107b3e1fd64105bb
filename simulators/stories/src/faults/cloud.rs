//! Faults of the cloud: it is gone for a while, speaks one TLS version only, or is not to be trusted.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use local_cloud::{Config, Event, LocalCloud, ServerCertificate, TlsVersion, TlsVersions};
use peripherals::{Buttons, Lamp};

use crate::bench::{Bench, PATIENCE};
use crate::device::{Device, Running};
use crate::lamps::{self, expect};
use crate::narrator::line;

/// The cloud goes away and comes back, as it was.
///
/// # Errors
/// The device does not go on.
pub async fn restart<D: Device>(mut bench: Bench<D>, running: &Running) -> Result<Bench<D>> {
    lamps::forget(&running.panel);
    let paused = bench.cloud.stop().await;
    expect(&running.panel, &[(Lamp::Azure, false), (Lamp::User, false)]).await?;
    let [wifi, rest @ ..] = [Lamp::Wifi, Lamp::Azure, Lamp::User].map(|lamp| running.panel.lamp(lamp) > 0);
    ensure!(wifi && rest == [false; 2], "lit without a cloud: {:?}", lamps::lit(&running.panel));
    line("down: the device has noticed, only its Wi-Fi lamp is lit");
    tokio::time::sleep(Duration::from_secs(2)).await;
    bench.cloud = paused.resume().await.context("starting the cloud again")?;
    bench.events = bench.cloud.events();
    expect(&running.panel, &[(Lamp::Azure, true), (Lamp::User, true)]).await?;
    let telemetry = bench.uninterrupted_telemetry(running).await?;
    line(&format!("telemetry again: {}", String::from_utf8_lossy(&telemetry.body)));
    Ok(bench)
}

/// Another cloud with the same enrolments takes the place of this one, at the same ports: it knows no device.
pub(super) async fn replace<D>(mut bench: Bench<D>, change: impl FnOnce(&mut Config)) -> Result<Bench<D>> {
    let mut config = Config {
        authority: Some(bench.cloud.authority().clone()),
        dps_port: bench.cloud.dps_address().port(),
        hub_port: bench.cloud.hub_address().port(),
        ..bench.cloud.config().clone()
    };
    change(&mut config);
    bench.cloud.stop().await;
    bench.cloud = LocalCloud::start(config).await.context("starting the other cloud")?;
    bench.events = bench.cloud.events();
    Ok(bench)
}

/// Clouds that speak one TLS version only: a device that starts registers and works, and that version was used.
///
/// # Errors
/// The device does not work, or with another version.
pub async fn tls_versions<D: Device>(
    mut bench: Bench<D>,
    mut running: Running,
) -> Result<(Bench<D>, Running)> {
    for (taken, version) in [(TlsVersions::Tls12, TlsVersion::Tls12), (TlsVersions::Tls13, TlsVersion::Tls13)]
    {
        running.cut_power().await?;
        bench = replace(bench, |config| config.tls = taken).await?;
        running = bench.device.switch_on(Buttons::default()).await?;
        let agreed = one_version(&mut bench, &running).await.with_context(|| version.to_string())?;
        ensure!(agreed == [version; 2], "{version} is what the cloud takes, the connections were {agreed:?}");
        line(&format!("over {version}: registered, telemetry, a method answered"));
    }
    running.cut_power().await?;
    bench = replace(bench, |config| config.tls = TlsVersions::Both).await?;
    running = bench.device.switch_on(Buttons::default()).await?;
    bench.registration(&running).await?;
    bench.telemetry(&running).await?;
    Ok((bench, running))
}

/// The versions of the connections to the provisioning service and to the hub of a device that works over them.
pub(super) async fn one_version<D: Device>(
    bench: &mut Bench<D>,
    running: &Running,
) -> Result<[TlsVersion; 2]> {
    let registered = bench.registration(running).await?;
    let connected = bench.event("session", running, |event| match event {
        Event::Connected { tls, .. } => Some(tls),
        _ => None,
    });
    let connected = connected.await?;
    bench.telemetry(running).await?;
    let answer = bench.cloud.invoke_method(&bench.registration_id, "start", "null", PATIENCE).await;
    let answer = answer.context("method start")?;
    ensure!(answer.status == 200, "method start: {answer:?}");
    Ok([registered, connected])
}

/// Servers that are not to be trusted get neither a registration nor a second attempt; then the right one is there
/// again.
///
/// # Errors
/// The device trusts a server that it should not, or does not trust the right one afterwards.
pub async fn untrusted_servers<D: Device>(mut bench: Bench<D>) -> Result<()> {
    for (certificate, who, logged, alert) in [
        // The device knows the time from the network, and judges by it.
        (ServerCertificate::Expired, "a certificate that has expired", "server has expired", "Expired"),
        (
            ServerCertificate::WrongHost,
            "a certificate for another name",
            "for another host",
            "BadCertificate",
        ),
        (
            ServerCertificate::OtherAuthority,
            "a certificate of another authority",
            "the server's certificates",
            "UnknownCA",
        ),
    ] {
        bench = replace(bench, |config| config.certificate = certificate).await?;
        let mut running = bench.device.switch_on(Buttons::default()).await?;
        let reason = refusal(&mut bench, &running).await.context(who)?;
        let explained = reason.contains(alert) || !bench.device.explains_refusals();
        ensure!(explained, "{who}: the connection ended because of {reason}");
        running.terminal.until(logged).await.context(who)?;
        bench
            .display(&running, "untrusted.png", |rows| rows[2] == "DPS Failed!" && rows[3] == " > Connection")
            .await?;
        ensure!(lamps::lit(&running.panel) == [Lamp::Wifi], "lit: {:?}", lamps::lit(&running.panel));
        line(&format!("{who}: the device refuses the server ({reason})"));
        running.cut_power().await?;
    }
    bench = replace(bench, |config| config.certificate = ServerCertificate::Good).await?;
    let running = bench.device.switch_on(Buttons::default()).await?;
    bench.registration(&running).await?;
    bench.telemetry(&running).await?;
    line("the right one: registered, telemetry");
    running.cut_power().await
}

/// Why the cloud did not take the device.
pub(super) async fn refusal<D: Device>(bench: &mut Bench<D>, running: &Running) -> Result<String> {
    let refused = async |events: &mut local_cloud::Events| {
        events
            .find(|event| match event {
                Event::Refused { reason, .. } => Some(Ok(reason)),
                Event::Registered { registration_id, .. } => {
                    Some(Err(anyhow!("{registration_id} was registered")))
                }
                _ => None,
            })
            .await
    };
    let patience = bench.patience;
    match tokio::time::timeout(patience, refused(&mut bench.events)).await {
        Ok(reason) => reason.context("the cloud is gone")?,
        Err(_) => {
            bail!("no refusal within {patience:?}; the console shows:\n{}", running.terminal.received())
        }
    }
}
