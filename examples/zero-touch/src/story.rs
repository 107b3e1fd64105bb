//! The steps of the tutorial and how they are told.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use devkit_app::{End, EndOf, Options};
use dps_client::Backoff;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;
use stsafe_a100::sim::{self, VirtualChip};

use super::args::{Args, Break};
use super::device::{Device, FIRMWARE_VERSION};
use super::narrator::{Narrator, Watch, line};
use super::told::{Told, listener};
use devkit_host::{HostBoard, HostNetwork, HostSystem, User, screen};
use dps_cert_gen::{self, args::ProfileName};
use local_cloud::LocalCloud;

/// The device retries quickly here: the tutorial is watched, and one device is no storm.
pub(super) const BACKOFF: Backoff = Backoff { min_ms: 500, max_ms: 4000, jitter_ms: 250 };
const ASSIGNING_POLLS: u32 = 1;
const GREETING: &str = "Hello from the cloud";
/// The interval the twin asks for, in milliseconds.
const INTERVAL_MS: u32 = 600;
/// Until the user looks at the display.
const GLANCE: Duration = Duration::from_millis(200);
/// Another id scope than the cloud's.
const WRONG_SCOPE: &str = "0ne0BADC0DE";

/// The device and everything around it, from the first step to the last.
pub(super) struct Story<'a> {
    pub(super) args: &'a Args,
    pub(super) narrator: Narrator,
    pub(super) device: Device,
    chip: VirtualChip,
}

/// Tells the story with this device.
pub(super) async fn tell(args: &Args, device: Device) -> Result<()> {
    let began = Instant::now();
    let mut narrator = Narrator { step: 0, limit: Duration::from_secs(args.timeout) };
    narrator.step("The factory: a firmware image, and a secret for the device");
    let state = if device.found { "taken from" } else { "made in" };
    line(&format!("64 hexadecimal digits of secret and an image of {} bytes, {state}", device.image.len()));
    line(&device.folder.display().to_string());
    let chip = VirtualChip::open(
        &device.folder.join("stsafe"),
        sim::Profile::az3166(),
        VirtualChip::random_seed()?,
    )?;
    let story = Story { args, narrator, device, chip };
    match (&args.endpoint, &args.id_scope) {
        (Some(endpoint), Some(id_scope)) => story.abroad(endpoint, id_scope).await?,
        _ => story.at_home().await?,
    }
    println!("\nDone in {:.1} s.", began.elapsed().as_secs_f64());
    Ok(())
}

impl Story<'_> {
    /// Everything on this machine.
    async fn at_home(mut self) -> Result<()> {
        self.narrator.step("The cloud: a provisioning service and an IoT Hub start on this machine");
        let enrolments = self.device.folder.join("enrolments");
        std::fs::create_dir_all(&enrolments)?;
        let mut cloud = LocalCloud::start(local_cloud::Config {
            enrollments: Some(enrolments.clone()),
            assigning_polls: ASSIGNING_POLLS,
            retry_after: Some(1),
            ..local_cloud::Config::default()
        })
        .await
        .context("starting the local cloud")?;
        line(&format!("DPS at {}, hub at {}", cloud.dps_address(), cloud.hub_address()));

        let broken = self.args.break_it;
        let id_scope = match broken {
            Some(Break::WrongIdScope) => WRONG_SCOPE.to_owned(),
            _ => cloud.config().id_scope.clone(),
        };
        let certificate = self.prepare(dps_client::GLOBAL_ENDPOINT, &id_scope).await?;

        self.narrator.step("The portal: the certificate is uploaded as an individual enrolment");
        let enrolment = enrolments.join("device.pem");
        std::fs::copy(self.device.folder.join("device.pem"), &enrolment)
            .context("enrolling the certificate")?;
        line(&enrolment.display().to_string());
        match broken {
            Some(Break::ChangedFirmware) => self.device.image[0xb00] ^= 1,
            Some(Break::NoEnrolment) => std::fs::remove_file(&enrolment)?,
            _ => {}
        }
        if let Some(broken) = broken {
            line(&format!("(broken on purpose: {broken:?})"));
        }

        self.narrator
            .step("The device starts: it reads its secret, measures its image, derives its identity");
        let root = match broken {
            Some(Break::ForeignServer) => local_cloud::Authority::generate()?.root_der().to_vec(),
            _ => cloud.root_der().to_vec(),
        };
        let options = self.options();
        let (observer, told) = listener();
        let (mut board, mut user) = self.board(network(&cloud, root)?, observer);
        let display = user.display.clone();
        let device = Box::pin(devkit_app::run(&mut board, &options));
        let mut watch = Watch { told, terminal: &mut user.terminal, device };
        let narrator = &mut self.narrator;
        let id = derived(narrator, &mut watch, &certificate).await?;

        narrator.step("It registers: the provisioning service answers with its hub");
        assigned(narrator, &mut watch).await?;

        narrator.step("It works: telemetry reaches the hub");
        let mut events = cloud.events();
        narrator.told(&mut watch, &Told::HubConnected).await?;
        telemetry(narrator, &mut watch, &mut events).await?;
        glance(narrator, &mut watch, &display).await?;

        if broken == Some(Break::CloudRestart) {
            narrator.step("The cloud goes down, and comes back");
            let paused = cloud.stop().await;
            let retrying = |told| if let Told::Retrying(cause) = told { Some(cause) } else { None };
            let cause = narrator.until(&mut watch, retrying).await?;
            line(&format!("down; the device noticed: {cause}"));
            cloud = paused.resume().await.context("starting the cloud again")?;
            line("up again");
            narrator.told(&mut watch, &Told::HubConnected).await?;
            events = cloud.events();
            telemetry(narrator, &mut watch, &mut events).await?;
        }

        narrator.step("The cloud commands: its twin sets the interval, methods stop and start telemetry");
        let patch = json!({ "interval": INTERVAL_MS });
        cloud.patch_desired(&id, patch.as_object().context("an object")?)?;
        narrator.told(&mut watch, &Told::Interval(INTERVAL_MS)).await?;
        let mut interval = serde_json::Value::Null;
        while interval["value"] != INTERVAL_MS {
            narrator.told(&mut watch, &Told::Reported).await?;
            interval = cloud.twin(&id)?["reported"]["interval"].clone();
        }
        line(&format!("reported: interval {interval}"));
        for method in ["stop", "start"] {
            let call =
                async { Ok(cloud.invoke_method(&id, method, b"null", Duration::from_secs(10)).await?) };
            let status = narrator.meanwhile(&mut watch, call).await?.status;
            line(&format!("method {method}: {status}"));
            ensure!(status == 200, "at step {}: the device answered {status}", narrator.step);
        }

        narrator.step("A message from the cloud reaches the device");
        cloud.send_c2d(&id, GREETING, &local_cloud::Properties::new())?;
        let message = |told| if let Told::Message(text) = told { Some(text) } else { None };
        let text = narrator.until(&mut watch, message).await?;
        ensure!(text == GREETING, "at step {}: the device received {text:?}", narrator.step);
        line(&format!("the device received: {text}"));
        glance(narrator, &mut watch, &display).await?;
        Ok(())
    }

    /// The device goes to a provisioning service out there.
    async fn abroad(mut self, endpoint: &str, id_scope: &str) -> Result<()> {
        self.narrator.step("The cloud: a provisioning service of yours");
        line(&format!("{endpoint}, id scope {id_scope}"));
        let certificate = self.prepare(endpoint, id_scope).await?;

        self.narrator.step("The portal: enrol the certificate, if you have not yet");
        let pem = self.device.folder.join("device.pem");
        line(&format!("individual enrolment, X.509, primary certificate {}", pem.display()));

        self.narrator
            .step("The device starts: it reads its secret, measures its image, derives its identity");
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(file) = &self.args.root {
            let root = CertificateDer::from_pem_file(file);
            roots.add(root.with_context(|| format!("reading {}", file.display()))?)?;
        }
        let options = self.options();
        let (observer, told) = listener();
        let (mut board, mut user) = self.board(HostNetwork::new(roots, []), observer);
        let display = user.display.clone();
        let device = Box::pin(devkit_app::run(&mut board, &options));
        let mut watch = Watch { told, terminal: &mut user.terminal, device };
        let narrator = &mut self.narrator;
        derived(narrator, &mut watch, &certificate).await?;

        narrator.step("It registers: the provisioning service answers with its hub");
        assigned(narrator, &mut watch).await?;

        narrator.step("It works: the hub acknowledges telemetry");
        narrator.told(&mut watch, &Told::Delivered).await?;
        glance(narrator, &mut watch, &display).await
    }

    /// Configures the device on its console, and derives its certificate at the desk.
    async fn prepare(&mut self, endpoint: &str, id_scope: &str) -> Result<CertificateDer<'static>> {
        self.narrator
            .step("The console: the device starts with button A held, secret and settings are typed");
        let configured = self.configure(endpoint, id_scope).await;
        self.narrator.failing(configured)?;
        self.narrator.step("The desk: dps-cert-gen derives the certificate of that secret and that image");
        let pem = self.certify();
        let pem = self.narrator.failing(pem)?;
        line(&pem.display().to_string());
        CertificateDer::from_pem_file(&pem).context("reading the certificate")
    }

    /// Runs the device with button A held, and types.
    async fn configure(&mut self, endpoint: &str, id_scope: &str) -> Result<()> {
        let mut uds = self.device.uds.clone();
        if self.args.break_it == Some(Break::WrongUds) {
            uds[31] ^= 1;
        }
        let digits = zeroize::Zeroizing::new(hex::encode(*uds));
        let commands = [
            format!("set_dps_uds {}", *digits),
            format!("set_dps_endpoint {endpoint}"),
            format!("set_dps_idscope {id_scope}"),
            "show".to_owned(),
        ];
        let options = self.options();
        let (mut board, mut user) =
            self.board(HostNetwork::new(RootCertStore::empty(), []), Box::new(|_| {}));
        user.panel.press(|buttons| buttons.a = true);
        let typing = async {
            user.terminal.prompt().await?;
            for command in commands.map(zeroize::Zeroizing::new) {
                let shown = user.terminal.command(&command).await?;
                for text in format!("# {shown}").lines().filter(|text| !text.is_empty()) {
                    line(&format!("| {text}"));
                }
                ensure!(
                    !shown.contains("ERROR") && !shown.contains("Invalid"),
                    "the console refused: {shown}"
                );
            }
            line("| # exit");
            user.terminal.type_keys(b"exit\r").await?;
            user.terminal.until("Reboot").await?;
            Ok(())
        };
        let (end, typed) = tokio::join!(Box::pin(devkit_app::run(&mut board, &options)), typing);
        typed?;
        ensure!(matches!(end, End::Restart), "the console ended with {end:?}");
        Ok(())
    }

    /// Runs the certificate generator as a user would and gives the file it writes.
    fn certify(&self) -> Result<PathBuf> {
        let file = |name: &str| OsString::from(self.device.folder.join(name));
        let pem = self.device.folder.join("device.pem");
        let mut words: Vec<OsString> = ["dps-cert-gen", "--force", "--mac"].map(OsString::from).into();
        words.push(hex::encode(self.device.mac).into());
        words.extend(["--firmware-version", FIRMWARE_VERSION, "--bin"].map(OsString::from));
        words.extend([
            file("firmware.bin"),
            "--uds-file".into(),
            file("uds"),
            "--out".into(),
            file("device.pem"),
        ]);
        if self.args.profile == ProfileName::Riot {
            words.extend(["--map".into(), file("firmware.map")]);
        }
        dps_cert_gen::run(words, &mut std::io::empty(), &mut std::io::sink())?;
        Ok(pem)
    }

    fn options(&self) -> Options {
        Options {
            profile: Device::profile(self.args.profile),
            telemetry_interval_ms: 1000,
            backoff: BACKOFF,
            ..Options::default()
        }
    }

    /// The board of this device.
    fn board(&self, network: HostNetwork, observer: devkit_host::Observer) -> (HostBoard, User) {
        let system = HostSystem {
            image: self.device.image.clone(),
            version: FIRMWARE_VERSION.to_owned(),
            mac: self.device.mac,
            observer,
            memory: std::sync::Arc::default(),
        };
        HostBoard::new(self.chip.clone(), network, system)
    }
}

/// A network where the local cloud has the names of the real one.
pub(super) fn network(cloud: &local_cloud::Handle, root: Vec<u8>) -> Result<HostNetwork> {
    let mut roots = RootCertStore::empty();
    roots.add(root.into())?;
    let hosts = [
        (dps_client::GLOBAL_ENDPOINT.to_owned(), cloud.dps_address()),
        (cloud.config().hub_name.clone(), cloud.hub_address()),
    ];
    Ok(HostNetwork::new(roots, hosts))
}

/// Waits for the device's own certificate and compares it with the enrolled one.
async fn derived<F>(
    narrator: &Narrator,
    watch: &mut Watch<'_, F>,
    enrolled: &CertificateDer<'_>,
) -> Result<String>
where
    F: Future<Output = EndOf<HostBoard>> + Unpin,
{
    let (id, certificate) = narrator
        .until(watch, |told| match told {
            Told::Derived { registration_id, certificate } => Some((registration_id, certificate)),
            _ => None,
        })
        .await?;
    let verdict = if certificate == **enrolled { "the enrolled one" } else { "NOT the enrolled one" };
    line(&format!("registration id {id}, certificate: {verdict}"));
    narrator.told(watch, &Told::Registering).await?;
    Ok(id)
}

/// Gives the device the time to draw, and prints what stands on its display.
async fn glance<F>(
    narrator: &Narrator,
    watch: &mut Watch<'_, F>,
    display: &peripherals::Shared<peripherals::Ssd1306>,
) -> Result<()>
where
    F: Future<Output = EndOf<HostBoard>> + Unpin,
{
    let wait = async {
        tokio::time::sleep(GLANCE).await;
        Ok(())
    };
    narrator.meanwhile(watch, wait).await?;
    let edge = "-".repeat(16);
    line(&format!("+{edge}+"));
    for row in screen::rows(display) {
        line(&format!("|{row:16}|"));
    }
    line(&format!("+{edge}+"));
    Ok(())
}

async fn assigned<F>(narrator: &Narrator, watch: &mut Watch<'_, F>) -> Result<()>
where
    F: Future<Output = EndOf<HostBoard>> + Unpin,
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
async fn telemetry<F>(
    narrator: &Narrator,
    watch: &mut Watch<'_, F>,
    events: &mut local_cloud::Events,
) -> Result<()>
where
    F: Future<Output = EndOf<HostBoard>> + Unpin,
{
    let arrival = async { events.telemetry().await.ok_or_else(|| anyhow!("the cloud is gone")) };
    let message = narrator.meanwhile(watch, arrival).await?;
    line(&local_cloud::Event::Telemetry(message).to_string());
    Ok(())
}
