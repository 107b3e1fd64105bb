//! The test bench: a device, what its user knows of it, and a cloud on this machine.

use std::ffi::OsString;
use std::fs::{self, File};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use local_cloud::{Config, Event, Events, Handle, LocalCloud, Telemetry, TlsVersion};
use peripherals::screen;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::device::{Device, Running};
use crate::narrator::line;

/// How long one thing may take that is not the device's own waiting.
pub const PATIENCE: Duration = Duration::from_mins(2);
/// Screen pixels of a pixel in pictures that are saved.
const SCALE: u8 = 4;
/// How often the console is searched for a failure.
const LOOK: Duration = Duration::from_millis(100);

/// A device, and what its user knows and makes of it.
#[allow(missing_debug_implementations, reason = "devices have nothing to print")]
pub struct DeviceUnderTest<D> {
    /// For what is made on the way.
    pub folder: PathBuf,
    /// For the certificate and pictures of the display.
    pub out: PathBuf,
    /// The firmware image.
    pub firmware: PathBuf,
    /// The device.
    pub device: D,
    /// The device's secret, as it is typed.
    pub uds: String,
    /// How long one thing may take.
    pub patience: Duration,
}

impl<D: Device> DeviceUnderTest<D> {
    /// A device with a new secret.
    ///
    /// # Errors
    /// The folder for results cannot be made.
    pub fn new(device: D, firmware: &Path, folder: &Path, out: &Path) -> Result<Self> {
        fs::create_dir_all(out).with_context(|| format!("making {}", out.display()))?;
        Ok(Self {
            folder: folder.to_owned(),
            out: out.to_owned(),
            firmware: firmware.to_owned(),
            device,
            uds: hex::encode(rand::random::<[u8; 32]>()),
            patience: PATIENCE,
        })
    }

    /// Derives the certificate of the firmware image with `dps-cert-gen`, for a device with this MAC address; gives the
    /// file.
    ///
    /// # Errors
    /// Those of `dps-cert-gen`.
    pub fn make_certificate(&self, mac: &str) -> Result<PathBuf> {
        let (secret, pem) = (self.folder.join("secret"), self.out.join("device.pem"));
        fs::write(&secret, &self.uds)?;
        let mut words: Vec<OsString> = vec!["dps-cert-gen".into(), "--force".into()];
        for (option, value) in [
            ("--mac", mac.into()),
            ("--firmware-version", self.device.firmware_version().into()),
            ("--bin", OsString::from(&self.firmware)),
            ("--uds-file", secret.clone().into()),
            ("--out", pem.clone().into()),
        ] {
            words.extend([option.into(), value]);
        }
        words.extend(self.device.certificate_arguments());
        let made = dps_cert_gen::run(words, &mut std::io::empty(), &mut std::io::sink());
        fs::remove_file(&secret)?;
        made?;
        Ok(pem)
    }

    /// Waits until the display shows what is wanted, saves its picture, prints it, and gives its file.
    ///
    /// # Errors
    /// The display does not show it in time, or the picture cannot be saved.
    pub async fn display(
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
                sleep(Duration::from_millis(50)).await;
            }
        };
        let seen = timeout(self.patience, look).await;
        let picture = seen.as_ref().map_or_else(|_| running.picture(), Clone::clone);
        let path = self.out.join(file);
        picture.write_png(File::create(&path)?, SCALE).context("saving the picture")?;
        let rows = screen::read(&picture);
        ensure!(seen.is_ok(), "the display shows something else: {rows:?}");
        let edge = "-".repeat(16);
        line(&format!("+{edge}+"));
        for row in rows {
            line(&format!("|{row:<16}|"));
        }
        line(&format!("+{edge}+"));
        Ok(path)
    }
}

/// A device under test, and a cloud on this machine.
#[allow(missing_debug_implementations, reason = "devices have nothing to print")]
pub struct Bench<D> {
    unit: DeviceUnderTest<D>,
    /// The cloud.
    pub cloud: Handle,
    /// What happens there.
    pub events: Events,
    /// How the device registers; empty until it has.
    pub registration_id: String,
    /// The number of the last message.
    messages: u64,
}

impl<D> Deref for Bench<D> {
    type Target = DeviceUnderTest<D>;

    fn deref(&self) -> &Self::Target {
        &self.unit
    }
}

impl<D> DerefMut for Bench<D> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.unit
    }
}

impl<D: Device> Bench<D> {
    /// Starts a cloud with these settings, in which nobody is enrolled yet, and makes the device with a copy of this
    /// firmware image (the original may be built anew meanwhile); the device is off.
    ///
    /// # Errors
    /// The cloud does not start, a file cannot be read or written, or the device cannot be made.
    pub async fn new(
        config: Config,
        firmware: &Path,
        folder: &Path,
        out: &Path,
        make: impl FnOnce(&Handle, &Path) -> Result<D>,
    ) -> Result<Self> {
        let enrollments = folder.join("enrolments");
        fs::create_dir_all(&enrollments)?;
        let config = Config { enrollments: Some(enrollments), retry_after: Some(1), ..config };
        let cloud = LocalCloud::start(config).await.context("starting the local cloud")?;
        let copy = folder.join("image.bin");
        fs::copy(firmware, &copy).with_context(|| format!("reading {}", firmware.display()))?;
        let device = make(&cloud, &copy)?;
        Ok(Self {
            unit: DeviceUnderTest::new(device, &copy, folder, out)?,
            events: cloud.events(),
            cloud,
            registration_id: String::new(),
            messages: 0,
        })
    }

    /// The file that enrols the device.
    #[must_use]
    pub fn enrolment(&self) -> PathBuf {
        self.folder.join("enrolments").join("device.pem")
    }

    /// Waits for an event of the cloud.
    ///
    /// # Errors
    /// It does not happen in time, or the device reports on its console that it has given up.
    pub async fn event<T>(
        &mut self,
        what: &str,
        running: &Running,
        mut wanted: impl FnMut(Event) -> Option<T>,
    ) -> Result<T> {
        let patience = self.patience;
        tokio::select! {
            biased;
            found = timeout(patience, self.events.find(&mut wanted)) => match found {
                Ok(found) => found.ok_or_else(|| anyhow!("the cloud is gone")),
                Err(_) => {
                    bail!("no {what} within {patience:?}; the console shows:\n{}", running.terminal.received())
                }
            },
            failure = failure(running) => bail!("{failure}"),
        }
    }

    /// Waits for telemetry.
    ///
    /// # Errors
    /// As [`event`](Self::event), or its body is not what the tutorial says.
    pub async fn telemetry(&mut self, running: &Running) -> Result<Telemetry> {
        let telemetry = self.event("telemetry", running, |event| match event {
            Event::Telemetry(telemetry) => Some(telemetry),
            _ => None,
        });
        let telemetry = telemetry.await?;
        let body: Value = serde_json::from_slice(&telemetry.body).context("the telemetry's body")?;
        self.messages = body["messageId"].as_u64().with_context(|| format!("telemetry: {body}"))?;
        Ok(telemetry)
    }

    /// Waits for telemetry of a device that has not started again meanwhile: then it would count its messages anew.
    ///
    /// # Errors
    /// As [`telemetry`](Self::telemetry), or the device has started again.
    pub async fn uninterrupted_telemetry(&mut self, running: &Running) -> Result<Telemetry> {
        let before = self.messages;
        let telemetry = self.telemetry(running).await?;
        ensure!(
            self.messages > before,
            "message {} follows {before}: the device has started again",
            self.messages
        );
        Ok(telemetry)
    }

    /// Waits for a registration of the device, which must be the same device as before; gives the connection's TLS
    /// version.
    ///
    /// # Errors
    /// As [`event`](Self::event), or another device or another hub.
    pub async fn registration(&mut self, running: &Running) -> Result<TlsVersion> {
        let hub = self.cloud.config().hub_name.clone();
        self.registration_at(running, &hub).await
    }

    /// Waits for a registration of the device that assigns it to this hub.
    ///
    /// # Errors
    /// As [`registration`](Self::registration).
    pub async fn registration_at(&mut self, running: &Running, wanted: &str) -> Result<TlsVersion> {
        let registered = self.event("registration", running, |event| match event {
            Event::Registered { registration_id, hub, tls, .. } => Some((registration_id, hub, tls)),
            _ => None,
        });
        let (id, hub, tls) = registered.await?;
        ensure!(hub == wanted, "assigned to {hub}, not to {wanted}");
        ensure!(
            self.registration_id.is_empty() || id == self.registration_id,
            "the device registers as {id}"
        );
        self.registration_id = id;
        Ok(tls)
    }
}

/// Waits until the console says that the device has given up; gives why.
async fn failure(running: &Running) -> String {
    loop {
        if let Some(cause) = logged(&running.terminal.received(), "Failed: ") {
            return cause;
        }
        sleep(LOOK).await;
    }
}

/// Waits until the device writes a line with this text to its log; gives the rest of the line.
///
/// # Errors
/// It does not write it before the limit, or reports that it has given up.
pub async fn log_line(running: &Running, text: &str, limit: Duration) -> Result<String> {
    let look = async {
        loop {
            if let Some(rest) = logged(&running.terminal.received(), text) {
                return rest;
            }
            sleep(LOOK).await;
        }
    };
    tokio::select! {
        found = timeout(limit, look) => found.with_context(|| format!("the device logs no {text:?} within {limit:?}")),
        failure = failure(running) => bail!("{failure}"),
    }
}

/// What follows this text in the last line that has it.
fn logged(log: &str, text: &str) -> Option<String> {
    let (_, rest) = log.rsplit_once(text)?;
    rest.split_once("\r\n").map(|(rest, _)| rest.to_owned())
}
