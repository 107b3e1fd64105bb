//! Starting and stopping a local cloud, and the back end's side of the hub.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::allocation::{Allocation, AllocationRequest};
use super::backend::CommandError;
use super::config::Config;
use super::enrollment::Enrollments;
use super::event::Events;
use super::fault::{Endpoint, Fault, Faults};
use super::hub::{Credential, MethodResponse};
use super::pki::{Authority, ServerCertificate};
use super::properties::Properties;
use super::server::{self, Service};
use super::service::Policy;
use super::shared::Shared;
use super::web;

/// Where a local cloud begins.
#[derive(Debug)]
pub struct LocalCloud;

impl LocalCloud {
    /// Starts both services, within the present tokio runtime.
    ///
    /// # Errors
    /// A port that cannot be listened on, a state folder that cannot be used, or no randomness for keys.
    pub async fn start(config: Config) -> io::Result<Handle> {
        let at = |port| SocketAddr::from((config.address, port));
        let addresses = Addresses {
            dps: at(config.dps_port),
            https: at(config.https_port),
            hub: at(config.hub_port),
            web: config.web,
        };
        start_on(Arc::new(Shared::new(config)?), addresses).await
    }
}

/// A stopped cloud: ports, authority, devices, twins and waiting messages are kept.
pub struct Paused {
    shared: Arc<Shared>,
    addresses: Addresses,
}

impl std::fmt::Debug for Paused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Paused").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Paused {
    /// Starts again on the same ports.
    ///
    /// # Errors
    /// A port that somebody else has taken meanwhile.
    pub async fn resume(self) -> io::Result<Handle> {
        start_on(self.shared, self.addresses).await
    }
}

/// Where the services listen.
#[derive(Debug, Clone, Copy)]
struct Addresses {
    dps: SocketAddr,
    https: SocketAddr,
    hub: SocketAddr,
    web: Option<SocketAddr>,
}

async fn start_on(shared: Arc<Shared>, wanted: Addresses) -> io::Result<Handle> {
    let drops = shared.drops.clone();
    let dps = server::listen(wanted.dps)?;
    let https = server::listen(wanted.https)?;
    let one_port = wanted.dps.port() != 0 && wanted.dps == wanted.hub;
    let hub = if one_port { None } else { Some(server::listen(wanted.hub)?) };
    let dps_address = dps.local_addr()?;
    let hub_address = hub.as_ref().map_or(Ok(dps_address), TcpListener::local_addr)?;
    let https_address = https.local_addr()?;
    let page = match wanted.web {
        Some(web) => Some(web::start(&shared, web, https_address.port()).await?),
        None => None,
    };
    let web_address = page.as_ref().map(|page| page.address);
    let addresses = Addresses { dps: dps_address, https: https_address, hub: hub_address, web: web_address };
    let mut listeners = vec![(Service::Https, https)];
    match hub {
        Some(hub) => {
            listeners.extend([(Service::Mqtt(Endpoint::Dps), dps), (Service::Mqtt(Endpoint::Hub), hub)]);
        }
        None => listeners.push((Service::NamedMqtt, dps)),
    }
    let (web_link, web_tasks) = page.map(|page| (page.link, page.tasks)).unzip();
    let mut tasks: Vec<JoinHandle<()>> = web_tasks.unwrap_or_default();
    let services = listeners.into_iter().map(|(service, listener)| {
        let drops = drops.subscribe();
        tokio::spawn(server::accept(shared.clone(), service, listener, drops))
    });
    tasks.extend(services);
    Ok(Handle { shared, addresses, tasks, drops, web_link, paused: false })
}

/// A running local cloud. Dropping it closes all connections and ports.
pub struct Handle {
    shared: Arc<Shared>,
    addresses: Addresses,
    tasks: Vec<JoinHandle<()>>,
    drops: watch::Sender<u64>,
    /// It goes on as a [`Paused`].
    paused: bool,
    web_link: Option<String>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        if self.paused {
            self.shared.flush();
        } else {
            self.shared.close();
        }
    }
}

impl Handle {
    /// Where DPS listens for MQTT.
    #[must_use]
    pub fn dps_address(&self) -> SocketAddr {
        self.addresses.dps
    }

    /// Where DPS listens for HTTPS.
    #[must_use]
    pub fn https_address(&self) -> SocketAddr {
        self.addresses.https
    }

    /// Where the hub listens for MQTT.
    #[must_use]
    pub fn hub_address(&self) -> SocketAddr {
        self.addresses.hub
    }

    /// The page's address with the token that opens it, if [`Config::web`] asks for a page.
    #[must_use]
    pub fn web_link(&self) -> Option<&str> {
        self.web_link.as_deref()
    }

    /// The shared access policies of hub and provisioning service, with connection strings to paste into back-end
    /// programs.
    #[must_use]
    pub fn policies(&self) -> Vec<Policy> {
        self.shared.policies(self.addresses.https.port())
    }

    /// The settings it was started with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// The authority that issued the server certificate; give it to another [`Config`] to start a cloud that the
    /// same devices trust.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.shared.authority
    }

    /// The root certificate that devices have to trust, in PEM.
    #[must_use]
    pub fn root_pem(&self) -> String {
        self.shared.authority.root_pem()
    }

    /// The root certificate that devices have to trust, in DER.
    #[must_use]
    pub fn root_der(&self) -> &[u8] {
        self.shared.authority.root_der()
    }

    /// The enrolment list.
    #[must_use]
    pub fn enrollments(&self) -> &Enrollments {
        &self.shared.enrollments
    }

    /// Everything that happens from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        self.shared.events.subscribe()
    }

    /// Faults to be played to devices.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Closes every open connection without ceremony; new ones are taken.
    pub fn drop_connections(&self) {
        self.drops.send_modify(|n| *n += 1);
    }

    /// Closes ports and connections, and waits until that is done.
    pub async fn stop(mut self) -> Paused {
        for task in std::mem::take(&mut self.tasks) {
            task.abort();
            // Cancelled, as it should be.
            let _ = task.await;
        }
        self.paused = true;
        Paused { shared: self.shared.clone(), addresses: self.addresses }
    }

    /// Waits until everything that is to survive a restart is on the disk.
    pub fn flush(&self) {
        self.shared.flush();
    }

    /// Presents this certificate from the next connection on.
    ///
    /// # Errors
    /// No randomness for a key.
    pub fn set_certificate(&self, certificate: ServerCertificate) -> io::Result<()> {
        self.shared.set_certificate(certificate)
    }

    /// Has enrolments with [`AllocationPolicy::Custom`](super::AllocationPolicy::Custom) ask this function.
    pub fn set_allocation(
        &self,
        allocator: impl Fn(&AllocationRequest) -> Option<Allocation> + Send + Sync + 'static,
    ) {
        self.shared.set_allocator(Some(Arc::new(allocator)));
    }

    /// Moves a device to another hub: the one that it is at closes the connection and does not let it in any more, and
    /// its next registration leads to the other one, with twin and messages by its enrolment's reprovisioning policy.
    ///
    /// # Errors
    /// [`CommandError::UnknownDevice`], or `Refused` if there is no such hub.
    pub fn move_device(&self, id: &str, hub: &str) -> Result<(), CommandError> {
        self.shared.move_device(id, hub)
    }

    /// Plays a fault.
    ///
    /// # Errors
    /// [`CommandError::UnknownDevice`] or `Refused`, with what is wrong with the request.
    pub fn play(&self, fault: &Fault) -> Result<(), CommandError> {
        self.shared.play(fault)
    }

    /// What the service keeps of a registration (`registrationState`).
    #[must_use]
    pub fn registration(&self, registration_id: &str) -> Option<Value> {
        self.shared.registration(registration_id)
    }

    /// What the service keeps of all registrations, by registration id.
    #[must_use]
    pub fn registrations(&self) -> Vec<Value> {
        self.shared.all_registrations()
    }

    /// Forgets a registration; the device at the hub stays. `false`: there is none.
    #[allow(clippy::must_use_candidate)] // that it is gone now is all that most want
    pub fn remove_registration(&self, registration_id: &str) -> bool {
        self.shared.remove_registration(registration_id)
    }

    /// What a device has uploaded under `deviceId/name`.
    #[must_use]
    pub fn blob(&self, name: &str) -> Option<Vec<u8>> {
        self.shared.blobs().get(name).cloned()
    }

    /// The host name of the hub that has this device or module.
    #[must_use]
    pub fn hub_of(&self, id: &str) -> Option<String> {
        let index = self.shared.hub().hub_of(id)?;
        self.shared.config.hub_names().get(index).cloned()
    }

    /// Creates a device (`deviceId`) or module (`deviceId/moduleId`) at the hub without DPS, or gives it a new
    /// credential.
    pub fn add_device(&self, id: &str, credential: Credential) {
        self.shared.hub().put(id, credential);
    }

    /// Deletes a device and ends its session.
    ///
    /// # Errors
    /// [`CommandError::UnknownDevice`].
    pub fn remove_device(&self, id: &str) -> Result<(), CommandError> {
        if self.shared.hub().remove(id) { Ok(()) } else { Err(CommandError::UnknownDevice) }
    }

    /// The ids of all devices and modules at the hub, sorted.
    #[must_use]
    pub fn devices(&self) -> Vec<String> {
        self.shared.hub().ids()
    }

    /// Whether the device has a session now.
    #[must_use]
    pub fn is_connected(&self, id: &str) -> bool {
        self.shared.hub().device(id).is_some_and(|device| device.session.is_some())
    }

    /// Lets a device in again, or shuts it out and ends its session.
    ///
    /// # Errors
    /// [`CommandError::UnknownDevice`].
    pub fn set_enabled(&self, id: &str, enabled: bool) -> Result<(), CommandError> {
        self.shared.with_device(id, |device| device.set_enabled(enabled))
    }

    /// Queues a cloud-to-device message and returns its message id: `$.mid` of `properties`, or a new one.
    ///
    /// It is delivered when the device is connected and subscribed, and completed by the device's PUBACK.
    ///
    /// # Errors
    /// [`CommandError::UnknownDevice`] (modules have no queue either), `TooLarge`, `QueueFull`, `NotInTier`,
    /// `QuotaExceeded`.
    pub fn send_c2d(
        &self,
        device: &str,
        body: impl Into<Vec<u8>>,
        properties: &Properties,
    ) -> Result<String, CommandError> {
        self.shared.send_c2d(device, body.into(), properties)
    }

    /// How many cloud-to-device messages wait for a device, delivered but not completed ones included.
    ///
    /// # Errors
    /// [`CommandError::UnknownDevice`].
    pub fn waiting_c2d(&self, device: &str) -> Result<usize, CommandError> {
        self.shared.with_device(device, |device| device.c2d.len())
    }

    /// Sends a message to an input of a module (`deviceId/moduleId`), with QoS 0.
    ///
    /// # Errors
    /// [`CommandError::UnknownDevice`], `NotListening`, `NotInTier`.
    pub fn send_to_input(
        &self,
        module: &str,
        input: &str,
        body: impl Into<Vec<u8>>,
        properties: &Properties,
    ) -> Result<(), CommandError> {
        self.shared.send_to_input(module, input, body.into(), properties)
    }

    /// Calls a direct method and waits up to `response_timeout` for the answer.
    ///
    /// # Errors
    /// [`CommandError::UnknownDevice`], `NotListening`, `TimedOut`, `TooLarge`, `NotInTier`, `QuotaExceeded`.
    pub async fn invoke_method(
        &self,
        id: &str,
        name: &str,
        payload: impl Into<Vec<u8>>,
        response_timeout: Duration,
    ) -> Result<MethodResponse, CommandError> {
        self.shared.invoke_method(id, name, payload.into(), response_timeout).await
    }

    /// Merges a patch into the desired properties, tells the device if it listens, and returns the new version.
    ///
    /// # Errors
    /// [`CommandError::UnknownDevice`], `NotInTier`, or `Refused` if the patch breaks the service's rules.
    pub fn patch_desired(&self, id: &str, patch: &Map<String, Value>) -> Result<u64, CommandError> {
        self.shared.patch_desired(id, patch)
    }

    /// The twin as the device would get it: `desired` and `reported`, each with `$version`.
    ///
    /// # Errors
    /// [`CommandError::UnknownDevice`].
    pub fn twin(&self, id: &str) -> Result<Value, CommandError> {
        self.shared.with_device(id, |device| device.twin.document())
    }
}
