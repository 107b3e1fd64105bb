//! The device of the tutorial: the firmware's application on a board made of this machine.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use devkit_app::board::{Button, Lamp, Rgb, Wifi};
use devkit_app::{Board, Event, Identity, Link, Network, Panel, Parts, System};
use embedded_io_adapters::tokio_1::FromTokio;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use stsafe_a100::sim::{VirtualBus, VirtualChip, VirtualDelay};
use tokio::io::DuplexStream;
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedSender;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

/// An [`Event`] of the device as the narrator gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// The certificate the device derived.
    Derived {
        /// Its registration id.
        registration_id: String,
        /// The certificate, DER.
        certificate: Vec<u8>,
    },
    /// Assigned to a hub.
    Assigned {
        /// The hub's host name.
        hub: String,
        /// The device's id there.
        device_id: String,
    },
    /// The hub took the subscriptions.
    HubConnected,
    /// The hub acknowledged a message.
    Delivered,
    /// A message from the cloud.
    Message(String),
    /// Something failed and is tried again.
    Retrying(String),
    /// Nothing the story waits for.
    Other(String),
}

impl From<&Event<'_>> for Told {
    fn from(event: &Event<'_>) -> Self {
        match event {
            Event::IdentityDerived { registration_id, certificate, .. } => Self::Derived {
                registration_id: (*registration_id).to_owned(),
                certificate: certificate.to_vec(),
            },
            Event::Assigned { hub, device_id } => {
                Self::Assigned { hub: (*hub).to_owned(), device_id: (*device_id).to_owned() }
            }
            Event::HubConnected => Self::HubConnected,
            Event::TelemetryDelivered => Self::Delivered,
            Event::Message { payload, .. } => Self::Message(String::from_utf8_lossy(payload).into_owned()),
            Event::Retrying { cause, .. } => Self::Retrying(cause.to_string()),
            Event::Connecting { host } => Self::Other(format!("connecting to {host}")),
            _ => Self::Other(format!("{event:?}")),
        }
    }
}

/// A connection that failed.
#[derive(Debug)]
pub struct ConnectError(io::Error);

impl std::fmt::Display for ConnectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// A board made of this machine and a virtual secure element.
#[allow(missing_debug_implementations, reason = "a terminal's stream has nothing to print")]
pub struct HostBoard {
    bus: VirtualBus,
    delay: VirtualDelay,
    console: FromTokio<DuplexStream>,
    panel: HostPanel,
    network: HostNetwork,
    link: HostLink,
    system: HostSystem,
}

impl HostBoard {
    /// A board with this secure element, and the other end of its serial line.
    #[must_use]
    pub fn new(chip: &VirtualChip, network: HostNetwork, system: HostSystem) -> (Self, DuplexStream) {
        let (console, terminal) = tokio::io::duplex(1 << 16);
        let board = Self {
            bus: chip.bus(),
            delay: chip.delay(),
            console: FromTokio::new(console),
            panel: HostPanel,
            network,
            link: HostLink,
            system,
        };
        (board, terminal)
    }
}

impl Board for HostBoard {
    type I2c = VirtualBus;
    type Delay = VirtualDelay;
    type Console = FromTokio<DuplexStream>;
    type Panel = HostPanel;
    type Network = HostNetwork;
    type Link = HostLink;
    type System = HostSystem;

    fn parts(&mut self) -> Parts<'_, Self> {
        let Self { bus, delay, console, panel, network, link, system } = self;
        Parts { i2c: bus, delay, console, panel, network, link, system }
    }
}

/// Nobody presses a button, nobody sees a lamp.
#[derive(Debug)]
pub struct HostPanel;

impl Panel for HostPanel {
    async fn is_pressed(&mut self, _: Button) -> bool {
        false
    }

    async fn set_lamp(&mut self, _: Lamp, _: bool) {}

    async fn set_rgb(&mut self, _: Rgb) {}
}

/// The firmware image, the MAC address, and who listens to the device's events.
#[derive(Debug)]
pub struct HostSystem {
    /// The firmware image in its flash.
    pub image: Vec<u8>,
    /// The firmware's version.
    pub version: String,
    /// The MAC address.
    pub mac: [u8; 6],
    /// Where its events go.
    pub told: UnboundedSender<Told>,
}

impl System for HostSystem {
    fn image(&self) -> &[u8] {
        &self.image
    }

    fn firmware_version(&self) -> &str {
        &self.version
    }

    fn mac(&self) -> [u8; 6] {
        self.mac
    }

    fn random(&mut self) -> u32 {
        rand::random()
    }

    fn reset(&mut self) {}

    fn observe(&mut self, event: &Event<'_>) {
        // When nobody listens any more, the story is over.
        let _ = self.told.send(event.into());
    }
}

/// This machine is always on the network.
#[derive(Debug)]
pub struct HostLink;

impl Link for HostLink {
    fn address(&self) -> Option<IpAddr> {
        Some(Ipv4Addr::LOCALHOST.into())
    }
}

/// This machine's network, with TLS.
#[derive(Debug)]
pub struct HostNetwork {
    /// Hosts that are not looked up but found here.
    pub hosts: HashMap<String, SocketAddr>,
    /// Certificate authorities the device trusts.
    pub roots: Arc<RootCertStore>,
}

impl Network for HostNetwork {
    type Stream<'s> = FromTokio<TlsStream<TcpStream>>;
    type Error = ConnectError;

    async fn join(&mut self, _: Option<Wifi<'_>>) -> Result<(), ConnectError> {
        Ok(())
    }

    async fn unix_time(&mut self) -> Result<u64, ConnectError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.map(|since| since.as_secs()).map_err(|error| invalid(error.to_string()))
    }

    async fn connect(
        &mut self,
        host: &str,
        port: u16,
        identity: &Identity,
    ) -> Result<Self::Stream<'_>, ConnectError> {
        let config = client_config(self.roots.clone(), identity)?;
        let name = ServerName::try_from(host.to_owned()).map_err(|error| invalid(error.to_string()))?;
        let connection = async {
            let tcp = match self.hosts.get(host) {
                Some(address) => TcpStream::connect(address).await?,
                None => TcpStream::connect((host, port)).await?,
            };
            tcp.set_nodelay(true)?;
            TlsConnector::from(Arc::new(config)).connect(name, tcp).await
        };
        connection.await.map(FromTokio::new).map_err(ConnectError)
    }

    /// The network may come back; a server that is not who it should be stays that.
    fn is_retriable(error: &ConnectError) -> bool {
        let cause = error.0.get_ref().and_then(|inner| inner.downcast_ref());
        !matches!(cause, Some(rustls::Error::InvalidCertificate(_)))
            && error.0.kind() != io::ErrorKind::InvalidInput
    }
}

fn invalid(why: String) -> ConnectError {
    ConnectError(io::Error::new(io::ErrorKind::InvalidInput, why))
}

/// TLS 1.2 and 1.3 with the device's chain. The key's copy in the TLS library lives as long as the connection.
fn client_config(roots: Arc<RootCertStore>, identity: &Identity) -> Result<ClientConfig, ConnectError> {
    let chain = identity.chain().map(|certificate| CertificateDer::from(certificate.to_vec())).collect();
    let mut key = Zeroizing::new([0; 256]);
    let key = identity.alias_key().to_pkcs8_der(key.as_mut()).map_err(|error| invalid(error.to_string()))?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.to_vec()));
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map(|builder| builder.with_root_certificates(roots))
        .and_then(|builder| builder.with_client_auth_cert(chain, key))
        .map_err(|error| invalid(error.to_string()))
}
