//! The stage: an emulated device, a cloud, and what the desk knows of the device.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};

use local_cloud::{Config, Event, Events, Handle, LocalCloud, Telemetry, TlsVersion};
use serde_json::Value;
use tokio::time::timeout;

use crate::args::Args;
use crate::device::{Device, MAC, Running};
use crate::services::Services;
use peripherals::screen;

use crate::narrator::Narrator;

/// The port of both services under their real names.
const PORT: u16 = 8883;
/// The hub's name.
pub(crate) const HUB: &str = "emulated-hub.azure-devices.net";
/// The provisioning service's id scope.
pub(crate) const ID_SCOPE: &str = "0ne00EDE717";
/// How long one thing may take that is not the device's own waiting.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// Screen pixels of a pixel in pictures that are saved.
const SCALE: u8 = 4;

/// Everything on it.
pub(crate) struct Stage {
    pub(crate) folder: PathBuf,
    pub(crate) out: PathBuf,
    /// The firmware image, a copy: the original may be built anew meanwhile.
    pub(crate) firmware: PathBuf,
    pub(crate) device: Device,
    pub(crate) cloud: Handle,
    pub(crate) events: Events,
    /// The device's secret, as it is typed.
    pub(crate) uds: String,
    pub(crate) registration_id: String,
    /// The number of the last message.
    messages: u64,
    _services: Services,
}

impl Stage {
    /// Sets it up: the cloud runs, the device is off.
    pub(crate) async fn set(args: &Args, folder: &Path) -> Result<Self> {
        let services = Services::start().await?;
        let enrolments = folder.join("enrolments");
        fs::create_dir_all(&enrolments)?;
        let cloud = LocalCloud::start(Config {
            dps_port: PORT,
            hub_port: PORT,
            hub_name: HUB.to_owned(),
            id_scope: ID_SCOPE.to_owned(),
            enrollments: Some(enrolments),
            retry_after: Some(1),
            ..Config::default()
        })
        .await
        .context("starting the local cloud")?;
        let firmware = folder.join("firmware.bin");
        fs::copy(&args.firmware, &firmware)
            .with_context(|| format!("reading {}", args.firmware.display()))?;
        let device = Device::new(folder, &firmware, cloud.root_der(), args.verbose)?;
        let out = args.out.clone();
        fs::create_dir_all(&out).with_context(|| format!("making {}", out.display()))?;
        Ok(Self {
            folder: folder.to_owned(),
            out,
            firmware,
            device,
            events: cloud.events(),
            cloud,
            uds: hex::encode(rand::random::<[u8; 32]>()),
            registration_id: String::new(),
            messages: 0,
            _services: services,
        })
    }

    /// Derives the certificate of the firmware image as a user at a desk does; gives the file.
    pub(crate) fn certify(&mut self, version: &str) -> Result<PathBuf> {
        let (secret, pem) = (self.folder.join("uds"), self.out.join("device.pem"));
        fs::write(&secret, &self.uds)?;
        let mut words: Vec<OsString> = vec!["dps-cert-gen".into(), "--force".into()];
        for (option, value) in [
            ("--mac", hex::encode(MAC).into()),
            ("--firmware-version", version.into()),
            ("--bin", OsString::from(&self.firmware)),
            ("--uds-file", secret.into()),
            ("--out", pem.clone().into()),
        ] {
            words.extend([option.into(), value]);
        }
        dps_cert_gen::run(words, &mut std::io::empty(), &mut std::io::sink())?;
        Ok(pem)
    }

    /// Waits for an event of the cloud.
    pub(crate) async fn event<T>(
        &mut self,
        what: &str,
        limit: Duration,
        running: &Running,
        wanted: impl FnMut(Event) -> Option<T>,
    ) -> Result<T> {
        match timeout(limit, self.events.find(wanted)).await {
            Ok(found) => found.ok_or_else(|| anyhow!("the cloud is gone")),
            Err(_) => {
                Err(anyhow!("no {what} within {limit:?}; the console shows:\n{}", running.terminal.text()))
            }
        }
    }

    /// Waits for telemetry.
    pub(crate) async fn telemetry(&mut self, limit: Duration, running: &Running) -> Result<Telemetry> {
        let telemetry = self.event("telemetry", limit, running, |event| match event {
            Event::Telemetry(telemetry) => Some(telemetry),
            _ => None,
        });
        let telemetry = telemetry.await?;
        let body: Value = serde_json::from_slice(&telemetry.body).context("the telemetry's body")?;
        self.messages = body["messageId"].as_u64().with_context(|| format!("telemetry: {body}"))?;
        Ok(telemetry)
    }

    /// Waits for telemetry of a device that has not started again meanwhile: then it would count its messages anew.
    pub(crate) async fn uninterrupted(&mut self, limit: Duration, running: &Running) -> Result<Telemetry> {
        let before = self.messages;
        let telemetry = self.telemetry(limit, running).await?;
        ensure!(
            self.messages > before,
            "message {} follows {before}: the device started again",
            self.messages
        );
        Ok(telemetry)
    }

    /// Waits for a registration of the device, which must be the same device as before; gives the connection's TLS version.
    pub(crate) async fn registration(&mut self, running: &Running) -> Result<TlsVersion> {
        let registered = self.event("registration", PATIENCE, running, |event| match event {
            Event::Registered { registration_id, hub, tls, .. } => Some((registration_id, hub, tls)),
            _ => None,
        });
        let (id, hub, tls) = registered.await?;
        ensure!(hub == HUB, "assigned to {hub}");
        ensure!(
            self.registration_id.is_empty() || id == self.registration_id,
            "the device registers as {id}"
        );
        self.registration_id = id;
        Ok(tls)
    }

    /// Waits until the display shows what is wanted, saves its picture, and gives the rows.
    pub(crate) async fn display(
        &self,
        running: &Running,
        file: &str,
        wanted: impl Fn(&[String; screen::ROWS]) -> bool,
    ) -> Result<PathBuf> {
        let look = async {
            loop {
                let picture = running.picture();
                if wanted(&screen::read(&picture)) {
                    return picture;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let seen = timeout(PATIENCE, look).await;
        let picture = seen.as_ref().map_or_else(|_| running.picture(), Clone::clone);
        let path = self.out.join(file);
        picture.write_png(File::create(&path)?, SCALE).context("saving the picture")?;
        let rows = screen::read(&picture);
        ensure!(seen.is_ok(), "the display shows something else: {rows:?}");
        for row in rows {
            Narrator::line(&format!("|{row:<16}|"));
        }
        Ok(path)
    }
}
