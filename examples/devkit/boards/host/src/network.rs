//! This machine's network as a board's, with TLS by azure-iot-tls's adapter for rustls.

use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use azure_iot_tls::{ChainIdentity, IdentityError, SecretKey, Signature, Signer, Trust, rustls};
use devkit_app::board::{AsyncIdentity, Networks, Wifi};
use devkit_app::{Network, NetworkLink};
use embedded_io_adapters::tokio_1::FromTokio;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// A connection that failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// There is no such network, or no connection to the host.
    Io(io::Error),
    /// The TLS handshake failed.
    Tls(azure_iot_tls::Error),
}

impl std::fmt::Display for ConnectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(cause) => cause.fmt(f),
            Self::Tls(cause) => write!(f, "TLS: {cause}"),
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(cause) => Some(cause),
            Self::Tls(cause) => Some(cause),
        }
    }
}

impl From<io::Error> for ConnectError {
    fn from(cause: io::Error) -> Self {
        Self::Io(cause)
    }
}

impl From<azure_iot_tls::Error> for ConnectError {
    fn from(cause: azure_iot_tls::Error) -> Self {
        Self::Tls(cause)
    }
}

/// This machine's network, with TLS.
#[derive(Debug)]
pub struct HostNetwork {
    hosts: HashMap<String, SocketAddr>,
    roots: Vec<Vec<u8>>,
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
    /// A network with roots that the device trusts (DER), and hosts that are not looked up but found here.
    #[must_use]
    pub fn new(roots: Vec<Vec<u8>>, hosts: impl IntoIterator<Item = (String, SocketAddr)>) -> Self {
        Self { hosts: hosts.into_iter().collect(), roots, access_points: Vec::new(), address: Rc::default() }
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
    type Stream<'s> = rustls::Stream<FromTokio<TcpStream>>;
    type Error = ConnectError;
    const NEEDS_KEY: bool = true;

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
            Some(_) => {
                Err(io::Error::new(io::ErrorKind::NotFound, "no network with this name and password").into())
            }
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

    async fn connect<'s, I: AsyncIdentity>(
        &'s mut self,
        host: &str,
        port: u16,
        identity: &'s I,
    ) -> Result<Self::Stream<'s>, ConnectError> {
        let device = identity;
        let tcp = match self.hosts.get(host) {
            Some(address) => TcpStream::connect(address).await?,
            None => TcpStream::connect((host, port)).await?,
        };
        tcp.set_nodelay(true)?;
        let roots: Vec<&[u8]> = self.roots.iter().map(Vec::as_slice).collect();
        let trust = Trust::new(host, &roots)?;
        let chain: Vec<&[u8]> = (0..).map_while(|index| identity.certificate(index)).collect();
        if let Some(key) = identity.secret_key() {
            let identity =
                ChainIdentity::<SecretKey, 4096>::new(&chain, key).map_err(azure_iot_tls::Error::from)?;
            return Ok(rustls::connect(FromTokio::new(tcp), &trust, Some(Arc::new(identity))).await?);
        }
        // The key is in the secure chip, whose signature has to be awaited, and rustls asks for it from where nothing
        // can be. So the handshake is done by another thread, which waits for this one to sign.
        let (ask, mut asked) = mpsc::unbounded_channel();
        let identity = ChainIdentity::<Asking, 4096>::new(&chain, Asking(ask));
        let identity = Arc::new(identity.map_err(azure_iot_tls::Error::from)?);
        let (host, roots, runtime) = (host.to_owned(), self.roots.clone(), Handle::current());
        let mut handshake = tokio::task::spawn_blocking(move || {
            runtime.block_on(async {
                let roots: Vec<&[u8]> = roots.iter().map(Vec::as_slice).collect();
                rustls::connect(FromTokio::new(tcp), &Trust::new(&host, &roots)?, Some(identity)).await
            })
        });
        loop {
            tokio::select! {
                Some((digest, answer)) = asked.recv() => {
                    // Whoever has asked may have given up.
                    let _ = answer.send(device.sign(&digest).await);
                }
                connected = &mut handshake => return Ok(connected.map_err(io::Error::other)??),
            }
        }
    }

    /// The network may come back; a server that is not who it should be stays that.
    fn is_retriable(error: &ConnectError) -> bool {
        match error {
            ConnectError::Io(cause) => cause.kind() != io::ErrorKind::InvalidInput,
            ConnectError::Tls(cause) => cause.is_retriable(),
        }
    }
}

/// A digest to sign, and where to say its signature.
type Question = ([u8; 32], std::sync::mpsc::Sender<Result<Signature, IdentityError>>);

/// Signs by asking another thread, and waits for it.
struct Asking(mpsc::UnboundedSender<Question>);

impl Signer for Asking {
    fn sign(&self, digest: &[u8; 32]) -> Result<Signature, IdentityError> {
        let (answer, answered) = std::sync::mpsc::channel();
        self.0.send((*digest, answer)).map_err(|_| IdentityError::Signer)?;
        answered.recv().map_err(|_| IdentityError::Signer)?
    }
}

fn invalid(why: String) -> ConnectError {
    io::Error::new(io::ErrorKind::InvalidInput, why).into()
}

/// Whether the network was joined.
#[derive(Debug)]
pub struct HostLink(Rc<Cell<Option<Ipv4Addr>>>);

impl NetworkLink for HostLink {
    fn address(&self) -> Option<Ipv4Addr> {
        self.0.get()
    }
}
