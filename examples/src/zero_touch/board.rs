//! The device of the tutorial: the firmware's application on a board made of this machine.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use devkit_app::telemetry::Reading;
use devkit_app::{Board, Event, Identity, Network};
use dice_core::Uds;
use embedded_io_adapters::tokio_1::FromTokio;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
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

/// A board made of this machine: a secret, an image and a MAC address of its own.
#[derive(Debug)]
pub struct HostBoard {
    /// The device secret, as its secure element would hold it.
    pub uds: Zeroizing<[u8; Uds::LEN]>,
    /// The firmware image in its flash.
    pub image: Vec<u8>,
    /// The firmware's version.
    pub version: String,
    /// The MAC address.
    pub mac: [u8; 6],
    /// Where its events go.
    pub told: UnboundedSender<Told>,
}

impl Board for HostBoard {
    type Error = dice_core::Error;

    async fn uds(&mut self) -> Result<Uds, dice_core::Error> {
        Uds::from_bytes(*self.uds)
    }

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

    async fn read_sensors(&mut self) -> Reading {
        // A room at 22 to 32 degrees, so that the alert is seen now and then.
        Reading { temperature: rand::random_range(22_00..32_00), humidity: rand::random_range(40_00..60_00) }
    }

    fn report(&mut self, event: &Event<'_>) {
        // When nobody listens any more, the story is over.
        let _ = self.told.send(event.into());
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
