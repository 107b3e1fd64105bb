//! The application on this machine as a device.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow};
use azure_iot_tls::{Trust, roots, x509};
use devkit_app::Options;
use devkit_host::{HostBoard, HostNetwork, HostSystem, Memory, User};
use local_cloud::Handle;
use peripherals::{Buttons, FlashSector};
use stsafe_a100::sim::VirtualChip;
use tokio::sync::oneshot;

use crate::device::{Device, HostKeys, Running};

/// What the device finds in its network.
#[derive(Debug, Clone)]
struct Network {
    roots: Vec<Vec<u8>>,
    hosts: Vec<(String, SocketAddr)>,
}

/// The DevKit's application on this machine, in a thread of its own while it is switched on.
#[allow(missing_debug_implementations, reason = "a secure element has nothing to print")]
pub struct HostDevice {
    image: PathBuf,
    version: String,
    mac: [u8; 6],
    options: Options,
    certificate_arguments: Vec<OsString>,
    network: Network,
    chip: VirtualChip,
    memory: Arc<Mutex<Memory>>,
    key_flash: FlashSector,
}

impl HostDevice {
    /// A device with this firmware image, which trusts the roots of the Azure services.
    #[must_use]
    pub fn new(chip: VirtualChip, image: &Path, version: &str, mac: [u8; 6], options: Options) -> Self {
        let memory: Arc<Mutex<Memory>> = Arc::default();
        let key_flash = memory.lock().unwrap_or_else(PoisonError::into_inner).key_flash.clone();
        Self {
            image: image.to_owned(),
            version: version.to_owned(),
            mac,
            options,
            certificate_arguments: Vec::new(),
            network: Network {
                roots: roots::AZURE.into_iter().chain(roots::AZURE_ECC).map(<[u8]>::to_vec).collect(),
                hosts: Vec::new(),
            },
            chip,
            memory,
            key_flash,
        }
    }

    /// The same with further arguments for `dps-cert-gen`.
    #[must_use]
    pub fn with_certificate_arguments(self, certificate_arguments: Vec<OsString>) -> Self {
        Self { certificate_arguments, ..self }
    }

    /// Trusts one authority more.
    ///
    /// # Errors
    /// It is no certificate in DER.
    pub fn trust(&mut self, root: &[u8]) -> Result<()> {
        x509::check_roots(&Trust::new(dps_client::GLOBAL_ENDPOINT, &[root])?)?;
        self.network.roots.push(root.to_vec());
        Ok(())
    }

    /// Gives the device a network in which the services' names lead to this cloud, and which it alone is trusted in.
    ///
    /// # Errors
    /// `root` is no certificate in DER.
    pub fn connect(&mut self, cloud: &Handle, root: &[u8]) -> Result<()> {
        self.network.roots = Vec::new();
        let config = cloud.config();
        let hubs = std::iter::once(&config.hub_name).chain(&config.mqtt5_hubs);
        let hubs = hubs.map(|name| (name.clone(), cloud.hub_address()));
        let provisioning = (dps_client::GLOBAL_ENDPOINT.to_owned(), cloud.dps_address());
        self.network.hosts = std::iter::once(provisioning).chain(hubs).collect();
        self.trust(root)
    }
}

impl Device for HostDevice {
    fn firmware_version(&self) -> &str {
        &self.version
    }

    fn certificate_arguments(&self) -> Vec<OsString> {
        self.certificate_arguments.clone()
    }

    fn secure_element(&self) -> &VirtualChip {
        &self.chip
    }

    fn host_keys(&self) -> &dyn HostKeys {
        &self.key_flash
    }

    fn flash(&mut self, image: &Path) -> Result<()> {
        image.clone_into(&mut self.image);
        Ok(())
    }

    async fn switch_on(&self, buttons: Buttons) -> Result<Running> {
        let image = fs::read(&self.image).with_context(|| format!("reading {}", self.image.display()))?;
        let (chip, version, mac) = (self.chip.clone(), self.version.clone(), self.mac);
        let (options, network, memory) = (self.options.clone(), self.network.clone(), self.memory.clone());
        self.chip.power_on();
        let (started, start) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || -> Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let network = HostNetwork::new(network.roots, network.hosts);
                let system = HostSystem { image, version, mac, observer: Box::new(|_| {}), memory };
                let (mut board, user) = HostBoard::new(chip, network, system);
                user.panel.press(|held| *held = buttons);
                // Whoever wanted it has given up.
                let _ = started.send(user);
                tokio::select! {
                    never = Box::pin(devkit_app::run_forever(&mut board, &options)) => never,
                    _ = stopped => {}
                }
            });
            Ok(())
        });
        let User { terminal, panel, display, climate, .. } =
            start.await.map_err(|_| anyhow!("the device's thread has ended"))?;
        let chip = self.chip.clone();
        let power = Power { stop, thread };
        Ok(Running::new(panel, terminal, display, climate, move || {
            Box::pin(async move {
                chip.power_off();
                let Power { stop, thread } = power;
                drop(stop);
                tokio::task::spawn_blocking(move || thread.join())
                    .await?
                    .map_err(|_| anyhow!("the device panicked"))?
            })
        }))
    }
}

/// The device stops when `stop` is dropped.
struct Power {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<()>>,
}
