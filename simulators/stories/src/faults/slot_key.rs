//! The device's key is made in the secure element: it goes online with it over each TLS version, also after the chip
//! has failed in the midst of a handshake.

use std::fs;

use anyhow::{Context, Result, ensure};
use local_cloud::{TlsVersion, TlsVersions};
use peripherals::Buttons;

use super::cloud::{one_version, replace};
use crate::bench::Bench;
use crate::device::{Device, Running};
use crate::narrator::line;
use crate::tutorial::CONSOLE;

/// What the device logs after each signature of its chip.
const SIGNED: &str = "The secure chip has signed the handshake in ";

/// The user chooses the identity whose key is in the secure element and enrols its certificate; the device keeps it.
///
/// # Errors
/// The device does not work with that key, or with another TLS version than the cloud's, or not after its chip failed.
pub async fn slot_key<D: Device>(mut bench: Bench<D>, running: Running) -> Result<(Bench<D>, Running)> {
    running.cut_power().await?;
    let certificate = choose(&bench).await?;
    fs::write(bench.enrolment(), certificate).context("enrolling the certificate")?;
    for (taken, version) in [(TlsVersions::Tls12, TlsVersion::Tls12), (TlsVersions::Tls13, TlsVersion::Tls13)]
    {
        bench = replace(bench, |config| config.tls = taken).await?;
        let mut running = bench.device.switch_on(Buttons::default()).await?;
        running.terminal.until("The device's key is in the secure chip").await?;
        let chip = bench.device.secure_element().clone();
        chip.power_off();
        running.terminal.until("The secure chip does not sign").await?;
        running.terminal.until("trying again").await?;
        chip.power_on();
        let agreed = one_version(&mut bench, &running).await.with_context(|| version.to_string())?;
        ensure!(agreed == [version; 2], "{version} is what the cloud takes, the connections were {agreed:?}");
        let log = running.terminal.received();
        let times: Vec<_> = log.split(SIGNED).skip(1).filter_map(|rest| rest.split_once(" ms")).collect();
        let times: Vec<_> = times.into_iter().map(|(ms, _)| ms).collect();
        ensure!(times.len() >= 2, "one signature for each connection: {log}");
        line(&format!(
            "over {version}: a failed signature, then registered and working; signed in {times:?} ms"
        ));
        running.cut_power().await?;
    }
    bench = replace(bench, |config| config.tls = TlsVersions::Both).await?;
    let running = bench.device.switch_on(Buttons::default()).await?;
    bench.registration(&running).await?;
    bench.telemetry(&running).await?;
    Ok((bench, running))
}

/// Makes the key on the console; gives the certificate for it.
async fn choose<D: Device>(bench: &Bench<D>) -> Result<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let mut running = bench.device.switch_on(CONSOLE).await?;
    running.terminal.prompt().await?;
    let derived = running.terminal.command("cert").await?;
    ensure!(derived.contains("Identity: derived"), "cert says {derived}");
    let set = running.terminal.command("set_identity slot").await?;
    ensure!(set.contains("Set identity successfully"), "the console refused: {set}");
    let shown = running.terminal.command("show").await?;
    ensure!(shown.contains("Identity: slot (key in the secure chip)"), "show says {shown}");
    let text = running.terminal.command("cert").await?;
    ensure!(text.contains("Identity: slot") && text.matches(END).count() == 2, "cert says {text}");
    let start = text.find("-----BEGIN").context("no certificate")?;
    let end = text.find(END).context("no certificate")? + END.len();
    let certificate = text.get(start..end).context("no certificate")?;
    ensure!(!derived.contains(certificate), "the certificate is still the other one");
    running.cut_power().await?;
    Ok(format!("{}\n", certificate.replace('\r', "")))
}
