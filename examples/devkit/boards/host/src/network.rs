//! This machine's network as a board's, with TLS by rustls.

use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use devkit_app::board::{Networks, Wifi};
use devkit_app::{Identity, Link, Network};
use embedded_io_adapters::tokio_1::FromTokio;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

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

/// This machine's network, with TLS.
#[derive(Debug)]
pub struct HostNetwork {
    hosts: HashMap<String, SocketAddr>,
    roots: Arc<RootCertStore>,
    /// The access points in reach; with none the network is a wired one.
    access_points: Vec<AccessPoint>,
    address: Rc<Cell<Option<Ipv4Addr>>>,
}

/// A wireless network in reach of the board.
#[derive(Debug, Clone)]
pub struct AccessPoint {
    /// Its name.
    pub ssid: Vec<u8>,
    /// Its password.
    pub password: Vec<u8>,
}

impl HostNetwork {
    /// A network with certificate authorities that the device trusts, and hosts that are not looked up but found here.
    #[must_use]
    pub fn new(roots: RootCertStore, hosts: impl IntoIterator<Item = (String, SocketAddr)>) -> Self {
        Self {
            hosts: hosts.into_iter().collect(),
            roots: Arc::new(roots),
            access_points: Vec::new(),
            address: Rc::default(),
        }
    }

    /// The same with a radio, and these access points in reach.
    #[must_use]
    pub fn with_access_points(self, access_points: Vec<AccessPoint>) -> Self {
        Self { access_points, ..self }
    }

    pub(super) fn link(&self) -> HostLink {
        HostLink(self.address.clone())
    }
}

impl Network for HostNetwork {
    type Stream<'s> = FromTokio<TlsStream<TcpStream>>;
    type Error = ConnectError;

    async fn join(&mut self, wifi: Option<Wifi<'_>>) -> Result<(), ConnectError> {
        let wired = self.access_points.is_empty();
        let found = |wifi: Wifi<'_>| {
            self.access_points.iter().any(|point| point.ssid == wifi.ssid && point.password == wifi.password)
        };
        if wired || wifi.is_some_and(found) {
            self.address.set(Some(Ipv4Addr::LOCALHOST));
            return Ok(());
        }
        match wifi {
            None => Err(invalid("no Wi-Fi SSID is stored".into())),
            Some(_) => Err(ConnectError(io::Error::new(
                io::ErrorKind::NotFound,
                "no such network, or another password",
            ))),
        }
    }

    async fn unix_time(&mut self) -> Result<u64, ConnectError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.map(|since| since.as_secs()).map_err(|error| invalid(error.to_string()))
    }

    async fn scan(&mut self) -> Result<Networks, ConnectError> {
        let names = self.access_points.iter();
        Ok(names.map(|point| point.ssid.iter().copied().take(32).collect()).take(10).collect())
    }

    async fn connect<'s>(
        &'s mut self,
        host: &str,
        port: u16,
        identity: &'s Identity,
    ) -> Result<Self::Stream<'s>, ConnectError> {
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

/// Whether the network was joined.
#[derive(Debug)]
pub struct HostLink(Rc<Cell<Option<Ipv4Addr>>>);

impl Link for HostLink {
    fn address(&self) -> Option<Ipv4Addr> {
        self.0.get()
    }
}
