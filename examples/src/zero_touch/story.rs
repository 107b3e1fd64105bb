//! The steps of the tutorial and how they are told.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use devkit_app::{FailureOf, Options};
use dps_client::Backoff;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use stsafe_a100::blocking::{Stsafe, Vault};
use stsafe_a100::sim::{self, VirtualChip};
use stsafe_a100::vault::{Layout, Setting};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::args::{Args, Break};
use super::board::{HostBoard, HostNetwork, HostSystem, Told};
use super::device::{Device, FIRMWARE_VERSION};
use crate::cert_gen::{self, args::ProfileName};
use crate::cloud::{self, LocalCloud};

/// The device retries quickly here: the tutorial is watched, and one device is no storm.
const BACKOFF: Backoff = Backoff { min_ms: 500, max_ms: 4000, jitter_ms: 250 };
const ASSIGNING_POLLS: u32 = 1;
const GREETING: &str = "Hello from the cloud";

type DeviceFailure = FailureOf<HostBoard>;

/// Tells the story with this device.
pub(super) async fn tell(args: &Args, device: Device) -> Result<()> {
    let began = Instant::now();
    let mut narrator = Narrator { step: 0, limit: Duration::from_secs(args.timeout) };

    narrator.step("The factory: a secret and a firmware image");
    let state = if device.found { "taken from" } else { "made in" };
    line(&format!("64 hexadecimal digits of secret and an image of {} bytes, {state}", device.image.len()));
    line(&device.folder.display().to_string());

    narrator.step("The desk: dps-cert-gen derives the certificate of that secret and that image");
    let pem = narrator.failing(certify(args, &device))?;
    let certificate = CertificateDer::from_pem_file(&pem).context("reading the certificate")?;
    line(&pem.display().to_string());

    match (&args.endpoint, &args.id_scope) {
        (Some(endpoint), Some(id_scope)) => abroad(args, narrator, device, &pem, endpoint, id_scope).await?,
        _ => at_home(args, narrator, device, &pem, &certificate).await?,
    }
    println!("\nDone in {:.1} s.", began.elapsed().as_secs_f64());
    Ok(())
}

/// Runs the certificate generator as a user would and gives the file it writes.
fn certify(args: &Args, device: &Device) -> Result<PathBuf> {
    let file = |name: &str| OsString::from(device.folder.join(name));
    let pem = device.folder.join("device.pem");
    let mut words: Vec<OsString> = ["dps-cert-gen", "--force", "--mac"].map(OsString::from).into();
    words.push(hex::encode(device.mac).into());
    words.extend(["--firmware-version", FIRMWARE_VERSION, "--bin"].map(OsString::from));
    words.extend([
        file("firmware.bin"),
        "--uds-file".into(),
        file("uds"),
        "--out".into(),
        file("device.pem"),
    ]);
    if args.profile == ProfileName::Riot {
        words.extend(["--map".into(), file("firmware.map")]);
    }
    cert_gen::run(words, &mut std::io::empty(), &mut std::io::sink())?;
    Ok(pem)
}

/// Everything on this machine.
async fn at_home(
    args: &Args,
    mut narrator: Narrator,
    device: Device,
    pem: &Path,
    certificate: &CertificateDer<'static>,
) -> Result<()> {
    narrator.step("The portal: the certificate is uploaded as an individual enrolment");
    let enrolments = device.folder.join("enrolments");
    std::fs::create_dir_all(&enrolments)?;
    let enrolment = enrolments.join("device.pem");
    std::fs::copy(pem, &enrolment).context("enrolling the certificate")?;
    line(&enrolment.display().to_string());

    narrator.step("The cloud: a provisioning service and an IoT Hub start on this machine");
    let mut cloud = LocalCloud::start(cloud::Config {
        enrollments: Some(enrolments),
        assigning_polls: ASSIGNING_POLLS,
        retry_after: Some(1),
        ..cloud::Config::default()
    })
    .await
    .context("starting the local cloud")?;
    let mut events = cloud.events();
    line(&format!("DPS at {}, hub at {}", cloud.dps_address(), cloud.hub_address()));

    let broken = args.break_it;
    let mut board_roots = RootCertStore::empty();
    let root = match broken {
        Some(Break::ForeignServer) => cloud::Authority::generate()?.root_der().to_vec(),
        _ => cloud.root_der().to_vec(),
    };
    board_roots.add(root.into())?;
    let hosts = [
        (dps_client::GLOBAL_ENDPOINT.to_owned(), cloud.dps_address()),
        (cloud.config().hub_name.clone(), cloud.hub_address()),
    ];
    let mut id_scope = cloud.config().id_scope.clone();
    let mut device = device;
    match broken {
        Some(Break::WrongUds) => device.uds[31] ^= 1,
        Some(Break::ChangedFirmware) => device.image[0xb00] ^= 1,
        Some(Break::NoEnrolment) => std::fs::remove_file(&enrolment)?,
        Some(Break::WrongIdScope) => id_scope.replace_range(.., "0ne0BADC0DE"),
        None | Some(Break::ForeignServer | Break::CloudRestart) => {}
    }
    if let Some(broken) = broken {
        line(&format!("(broken on purpose: {broken:?})"));
    }

    narrator.step("The device boots: it reads its secret, measures its image, derives its identity");
    let options = options(args);
    let network = HostNetwork { hosts: HashMap::from(hosts), roots: Arc::new(board_roots) };
    let (mut board, told) = board(device, network, dps_client::GLOBAL_ENDPOINT, &id_scope)?;
    let mut watch = Watch { told, device: Box::pin(devkit_app::run(&mut board, &options)) };

    let registration_id = derived(&mut narrator, &mut watch, certificate).await?;

    narrator.step("It registers: the provisioning service answers with its hub");
    assigned(&mut narrator, &mut watch).await?;

    narrator.step("It works: telemetry reaches the hub");
    narrator.until(&mut watch, |told| (told == Told::HubConnected).then_some(())).await?;
    telemetry(&mut narrator, &mut watch, &mut events).await?;

    if broken == Some(Break::CloudRestart) {
        narrator.step("The cloud goes down, and comes back");
        let paused = cloud.stop().await;
        let cause = narrator
            .until(&mut watch, |told| if let Told::Retrying(cause) = told { Some(cause) } else { None })
            .await?;
        line(&format!("down; the device noticed: {cause}"));
        cloud = paused.resume().await.context("starting the cloud again")?;
        line("up again");
        narrator.until(&mut watch, |told| (told == Told::HubConnected).then_some(())).await?;
        events = cloud.events();
        telemetry(&mut narrator, &mut watch, &mut events).await?;
    }

    narrator.step("A message from the cloud reaches the device");
    cloud.send_c2d(&registration_id, GREETING, &cloud::Properties::new())?;
    let text = narrator
        .until(&mut watch, |told| if let Told::Message(text) = told { Some(text) } else { None })
        .await?;
    ensure!(text == GREETING, "at step {}: the device received {text:?}", narrator.step);
    line(&format!("the device shows: {text}"));
    Ok(())
}

/// The device goes to a provisioning service out there.
async fn abroad(
    args: &Args,
    mut narrator: Narrator,
    device: Device,
    pem: &Path,
    endpoint: &str,
    id_scope: &str,
) -> Result<()> {
    narrator.step("The portal: enrol the certificate, if you have not yet");
    line(&format!("individual enrolment, X.509, primary certificate {}", pem.display()));
    let certificate = CertificateDer::from_pem_file(pem).context("reading the certificate")?;

    narrator.step("The device boots: it reads its secret, measures its image, derives its identity");
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let options = options(args);
    let network = HostNetwork { hosts: HashMap::new(), roots: Arc::new(roots) };
    let (mut board, told) = board(device, network, endpoint, id_scope)?;
    let mut watch = Watch { told, device: Box::pin(devkit_app::run(&mut board, &options)) };
    derived(&mut narrator, &mut watch, &certificate).await?;

    narrator.step("It registers: the provisioning service answers with its hub");
    assigned(&mut narrator, &mut watch).await?;

    narrator.step("It works: the hub acknowledges telemetry");
    narrator.until(&mut watch, |told| (told == Told::Delivered).then_some(())).await
}

fn options(args: &Args) -> Options {
    Options { profile: Device::profile(args.profile), telemetry_interval_ms: 1000, backoff: BACKOFF }
}

/// The board of this device, its settings in its secure element.
fn board(
    device: Device,
    network: HostNetwork,
    endpoint: &str,
    id_scope: &str,
) -> Result<(HostBoard, UnboundedReceiver<Told>)> {
    let chip = VirtualChip::new(sim::Profile::az3166(), VirtualChip::random_seed()?);
    let mut vault = Vault::open(Stsafe::new(chip.bus(), chip.delay()), &Layout::AZ3166)?;
    vault.set(Setting::Uds, device.uds.as_ref())?;
    vault.set(Setting::DpsEndpoint, endpoint.as_bytes())?;
    vault.set(Setting::DpsIdScope, id_scope.as_bytes())?;
    let (told, listener) = unbounded_channel();
    let Device { image, mac, .. } = device;
    let system = HostSystem { image, version: FIRMWARE_VERSION.to_owned(), mac, told };
    let (board, _terminal) = HostBoard::new(&chip, network, system);
    Ok((board, listener))
}

/// Waits for the device's own certificate and compares it with the enrolled one.
async fn derived<F>(
    narrator: &mut Narrator,
    watch: &mut Watch<F>,
    enrolled: &CertificateDer<'_>,
) -> Result<String>
where
    F: Future<Output = DeviceFailure> + Unpin,
{
    let (id, certificate) = narrator
        .until(watch, |told| match told {
            Told::Derived { registration_id, certificate } => Some((registration_id, certificate)),
            _ => None,
        })
        .await?;
    let verdict = if certificate == **enrolled { "the enrolled one" } else { "NOT the enrolled one" };
    line(&format!("registration id {id}, certificate: {verdict}"));
    Ok(id)
}

async fn assigned<F>(narrator: &mut Narrator, watch: &mut Watch<F>) -> Result<()>
where
    F: Future<Output = DeviceFailure> + Unpin,
{
    let (hub, device_id) = narrator
        .until(watch, |told| match told {
            Told::Assigned { hub, device_id } => Some((hub, device_id)),
            _ => None,
        })
        .await?;
    line(&format!("assigned to {hub} as {device_id}"));
    Ok(())
}

/// Waits until the cloud shows a telemetry message.
async fn telemetry<F>(narrator: &mut Narrator, watch: &mut Watch<F>, events: &mut cloud::Events) -> Result<()>
where
    F: Future<Output = DeviceFailure> + Unpin,
{
    let limit = narrator.limit;
    let arrival = async {
        let telemetry = events.telemetry().await;
        telemetry.ok_or_else(|| anyhow!("the cloud is gone"))
    };
    let message = tokio::select! {
        message = tokio::time::timeout(limit, arrival) => message.context("nothing arrived in time").flatten(),
        failure = watch.failure() => Err(failure),
    };
    let message = narrator.failing(message)?;
    line(&cloud::Event::Telemetry(message).to_string());
    Ok(())
}

/// The running device and what it tells.
struct Watch<F> {
    told: UnboundedReceiver<Told>,
    device: F,
}

impl<F: Future<Output = DeviceFailure> + Unpin> Watch<F> {
    async fn next(&mut self) -> Result<Told> {
        tokio::select! {
            biased;
            told = self.told.recv() => told.ok_or_else(|| anyhow!("the device is gone")),
            failure = &mut self.device => Err(failure.into()),
        }
    }

    /// Lets the device run; ends only if it fails for good.
    async fn failure(&mut self) -> anyhow::Error {
        (&mut self.device).await.into()
    }
}

/// Prints what a step found.
fn line(text: &str) {
    println!("    {text}");
}

/// Prints the steps, and names the present one when something fails.
struct Narrator {
    step: u32,
    limit: Duration,
}

impl Narrator {
    fn step(&mut self, title: &str) {
        self.step += 1;
        println!("\n[{}] {title}", self.step);
    }

    fn failing<T>(&self, result: Result<T>) -> Result<T> {
        result.with_context(|| format!("at step {}", self.step))
    }

    /// Waits until the device tells what `wanted` takes, and prints the retries in between.
    async fn until<T, F>(&self, watch: &mut Watch<F>, mut wanted: impl FnMut(Told) -> Option<T>) -> Result<T>
    where
        F: Future<Output = DeviceFailure> + Unpin,
    {
        let story = async {
            loop {
                let told = watch.next().await?;
                if let Told::Retrying(cause) = &told {
                    line(&format!("{cause}; trying again"));
                }
                if let Some(found) = wanted(told) {
                    return Ok(found);
                }
            }
        };
        let limit = self.limit.as_secs();
        self.failing(match tokio::time::timeout(self.limit, story).await {
            Ok(result) => result,
            Err(_) => bail!("at step {}: nothing happened for {limit} s", self.step),
        })
    }
}
