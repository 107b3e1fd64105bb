//! A part of a fleet, in a process of its own: its devices, each with the libraries' whole way from the secret to the
//! hub, and nothing of a board.
//!
//! A process has no more than [`LARGEST`] devices, because `embassy-time` on a host keeps 128 tasks waiting and no
//! more; with several processes the fleet also has more than one processor, and its descriptors are not the cloud's.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use devkit_app::{Identity, Network as _, Profile};
use devkit_host::{ConnectError, HostNetwork};
use dice_core::Uds;
use dice_core::riot::{DEFAULT_REGISTRATION_ID_MAX_LEN, MacAddress, default_registration_id};
use dps_client::{Config, Timing};
use iothub_mqtt::provision::MIN_BODY;
use iothub_mqtt::runner::{
    self, Application, Connector, DeviceCommand, DeviceEvent, Memory, Policy, Service, Settings, Target,
};
use iothub_mqtt::{ClientOptions, HubEvent, Telemetry};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::task::LocalSet;

use crate::device::FIRMWARE_VERSION;
use crate::story::BACKOFF;

/// The most devices of one part.
pub(super) const LARGEST: u16 = 100;

/// What a part is to do: its first line of input.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// The number of its first device.
    pub(super) first: u16,
    pub(super) count: u16,
    pub(super) id_scope: String,
    /// Where the services are, by host name.
    pub(super) hosts: Vec<(String, SocketAddr)>,
    /// The root certificate that the devices trust.
    pub(super) root: Vec<u8>,
    /// The firmware's image.
    pub(super) image: Vec<u8>,
    /// The time over which the devices spread their first registration.
    pub(super) spread_ms: u32,
    /// A device leaves when the hub has its first message: others wait for its place.
    pub(super) leave: bool,
}

/// What a part says: one a line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report {
    /// A device is made, and is to be enrolled.
    Made { id: String, certificate: Vec<u8> },
    /// A device has come this far, at this time (microseconds since 1970).
    Reached(Step, u64),
    /// A device tries something again.
    Retrying,
    /// A device has failed for good.
    Failed(String),
}

/// How far a device has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Step {
    /// It connects to the provisioning service.
    Registering,
    /// It has a hub.
    Assigned,
    /// The hub has its first message.
    Delivered,
}

/// The time in microseconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

fn say(report: &Report) {
    let mut out = std::io::stdout().lock();
    // Without its reader this process has nothing to do, and is ended.
    let _ = serde_json::to_writer(&mut out, report);
    let _ = out.write_all(b"\n");
}

/// Makes the devices that the first line of input describes, waits for the second one, and runs them until this process
/// is ended.
pub(crate) async fn run() -> Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let order = lines.next_line().await?.context("no order")?;
    let order: Order = serde_json::from_str(&order)?;
    let devices = LocalSet::new();
    let mut made = Vec::new();
    for number in order.first..order.first.saturating_add(order.count) {
        let (id, identity) = make(number, &order.image)?;
        say(&Report::Made { id: id.clone(), certificate: identity.certificate().to_vec() });
        made.push((id, identity));
    }
    lines.next_line().await?.context("the fleet is not switched on")?;
    for (id, identity) in made {
        let (id_scope, leave) = (order.id_scope.clone(), order.leave);
        let network = HostNetwork::new(vec![order.root.clone()], order.hosts.clone());
        let spread_ms = order.spread_ms;
        devices.spawn_local(async move {
            if let Err(error) = Box::pin(device(&id_scope, &id, identity, network, spread_ms, leave)).await {
                say(&Report::Failed(format!("{id}: {error:#}")));
            }
        });
    }
    devices.await;
    Ok(())
}

/// A device's name and identity, from a secret of its own and the firmware of all.
fn make(number: u16, image: &[u8]) -> Result<(String, Identity)> {
    let uds = Uds::from_bytes(rand::random())?;
    let [high, low] = number.to_be_bytes();
    // Locally administered, unicast.
    let mac = MacAddress([0x02, 0, 0, 0, high, low]);
    let mut id = [0; DEFAULT_REGISTRATION_ID_MAX_LEN];
    let id = default_registration_id(mac, FIRMWARE_VERSION, &mut id)?;
    let identity = Identity::derive(&Profile::Standard, &uds, image, FIRMWARE_VERSION, id, None)?;
    Ok((id.as_str().to_owned(), identity))
}

/// Runs one device.
async fn device(
    id_scope: &str,
    id: &str,
    identity: Identity,
    network: HostNetwork,
    spread_ms: u32,
    leave: bool,
) -> Result<()> {
    let timing = Timing { backoff: BACKOFF, spread_ms, ..Timing::DEFAULT };
    let registration = Config::new(id_scope, id)?.with_timing(timing);
    let settings = Settings {
        client: ClientOptions::new(rand::random()),
        policy: Policy { backoff: BACKOFF, ..Policy::DEFAULT },
        ..Settings::new(registration)
    };
    let mut device: runner::Device<'_, _> = runner::Device::new(settings, rand::random::<u32>);
    let mut memory = Box::new(Memory::<1024, 1024, 2048, 1024, MIN_BODY, 0>::new());
    let mut connector = DeviceConnector { identity, network };
    let mut hello = Hello { leave, sent: false, reached: None };
    Ok(device.run(&mut hello, &mut connector, &mut memory.buffers(), None).await?)
}

/// Opens connections with the device's identity.
struct DeviceConnector {
    identity: Identity,
    network: HostNetwork,
}

impl Connector for DeviceConnector {
    type Stream<'s> = <HostNetwork as devkit_app::Network>::Stream<'s>;
    type Error = ConnectError;

    async fn connect(&mut self, target: Target<'_>) -> Result<Self::Stream<'_>, ConnectError> {
        self.network.connect(target.host, target.port, &self.identity).await
    }

    fn is_retriable(error: &ConnectError) -> bool {
        HostNetwork::is_retriable(error)
    }
}

/// Sends one message, and stays at the hub or leaves it.
struct Hello {
    leave: bool,
    sent: bool,
    /// What was said of it last.
    reached: Option<Step>,
}

impl Application<ConnectError> for Hello {
    async fn event(&mut self, event: DeviceEvent<'_, ConnectError>) {
        let step = match event {
            DeviceEvent::Connecting(Target { service: Service::Provisioning { .. }, .. }) => {
                Step::Registering
            }
            DeviceEvent::Registered(_) => Step::Assigned,
            DeviceEvent::Hub(HubEvent::Delivered(_)) => Step::Delivered,
            DeviceEvent::Retrying { .. } => {
                // What was on its way may be lost.
                self.sent = self.reached == Some(Step::Delivered);
                return say(&Report::Retrying);
            }
            _ => return,
        };
        if self.reached < Some(step) {
            self.reached = Some(step);
            say(&Report::Reached(step, now()));
        }
    }

    async fn command(&mut self) -> DeviceCommand<'_> {
        if self.reached == Some(Step::Delivered) && self.leave {
            return DeviceCommand::Stop;
        }
        if std::mem::replace(&mut self.sent, true) {
            std::future::pending::<()>().await;
        }
        DeviceCommand::Telemetry(Telemetry::json(br#"{"hello":"hub"}"#))
    }
}
