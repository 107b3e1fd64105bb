//! What the programs beside this file share, so that each shows one subject: the command line, the device's
//! identity, and connections from this machine. Nothing depends on this package.

pub mod credentials;
pub mod flash;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use azure_iot_tls::{ChainIdentity, SecretKey, Trust, roots, rustls};
use azure_iot_tunnel::proxy::{self, Connect, Credentials};
use clap::Parser;
use dice_core::standard::{self, FirmwareInfo, Identity};
use dice_core::{FirmwareDigest, RegistrationId, Uds, pem};
use embedded_io_adapters::tokio_1::FromTokio;
use iothub_mqtt::dps_client::{API_VERSION_CONNECTION_PROFILE, Config};
use iothub_mqtt::runner::{Application, Connector, Device, Failure, Memory, Settings, Target};
use tokio::net::TcpStream;

/// Where the cloud is, and who this device is there.
#[derive(Debug, Parser)]
pub struct Args {
    /// The id scope of the provisioning service
    #[arg(long, default_value = "0ne00000000")]
    pub id_scope: String,
    /// The device's registration id
    #[arg(long, default_value = "my-device")]
    pub id: String,
    /// Connect to this address instead of the services' own, to reach a local cloud
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub at: Option<SocketAddr>,
    /// The local cloud's root certificate, a PEM file
    #[arg(long, value_name = "FILE")]
    pub root: Option<PathBuf>,
    /// A symmetric key in base64, for the programs that register with one
    #[arg(long, value_name = "KEY", default_value = "")]
    pub key: String,
    /// Go through this HTTP proxy
    #[arg(long, value_name = "HOST:PORT")]
    pub proxy: Option<String>,
    /// User name and password for the proxy
    #[arg(long, value_name = "USER:PASSWORD", requires = "proxy")]
    pub proxy_user: Option<String>,
    /// Ask the provisioning service what the hub speaks, for hubs that speak MQTT 5 (preview); without this it is taken
    /// for a classic one
    #[arg(long)]
    pub any_hub: bool,
}

impl Args {
    /// The registration that these ask for.
    ///
    /// # Errors
    /// An id that the provisioning service would not take.
    pub fn registration(&self) -> anyhow::Result<Config<'_>> {
        let registration = Config::new(&self.id_scope, &self.id)?;
        Ok(if self.any_hub {
            registration.with_api_version(API_VERSION_CONNECTION_PROFILE)?
        } else {
            registration
        })
    }
}

/// Why there is no connection: of TCP and TLS as [`Io`](azure_iot_tunnel::Error::Io), of the proxy, of WebSockets.
pub type Error = azure_iot_tunnel::Error<azure_iot_tls::Error>;
/// A TLS connection of this machine.
pub type Stream = rustls::Stream<FromTokio<TcpStream>>;
/// The certificate chain of a device with its key.
pub type Certificate = ChainIdentity<SecretKey>;

/// Connections from this machine, with a certificate or without.
pub struct Network {
    at: Option<SocketAddr>,
    proxy: Option<(String, Option<String>)>,
    root: Option<Vec<u8>>,
    /// What is shown from the next connection on.
    pub certificate: Option<Arc<dyn azure_iot_tls::Identity + Send + Sync>>,
}

impl Network {
    /// Connects as `certificate` says; without one, the device proves who it is later.
    ///
    /// # Errors
    /// The root certificate cannot be read.
    pub fn new(args: &Args, certificate: Option<Certificate>) -> anyhow::Result<Self> {
        let root = match &args.root {
            None => None,
            Some(file) => {
                let mut der = [0; 4096];
                let text = std::fs::read_to_string(file)?;
                Some(pem::decode(pem::Label::Certificate, &text, &mut der)?.0.to_vec())
            }
        };
        let certificate =
            certificate.map(|own| Arc::new(own) as Arc<dyn azure_iot_tls::Identity + Send + Sync>);
        let proxy = args.proxy.clone().map(|proxy| (proxy, args.proxy_user.clone()));
        Ok(Self { at: args.at, proxy, root, certificate })
    }

    /// A connection to `host`, which has proved that it is.
    ///
    /// # Errors
    /// It cannot be reached, or is not to be trusted.
    pub async fn open(&self, host: &str, port: u16) -> Result<Stream, Error> {
        let tcp = self.reach(host, port).await.map_err(|error| {
            error.map_io(|cause| azure_iot_tls::Error::Io(embedded_io_async::Error::kind(&cause)))
        })?;
        let own = [self.root.as_deref().unwrap_or_default()];
        let roots = if self.root.is_some() { &own[..] } else { &roots::AZURE };
        let trust = Trust::new(host, roots).map_err(Error::Io)?;
        rustls::connect(tcp, &trust, self.certificate.clone()).await.map_err(Error::Io)
    }

    /// A TCP connection to `host`, through the proxy if there is one.
    async fn reach(
        &self,
        host: &str,
        port: u16,
    ) -> Result<FromTokio<TcpStream>, azure_iot_tunnel::Error<std::io::Error>> {
        use azure_iot_tunnel::Error::Io;
        let address = self.at.map(|at| (at.ip().to_string(), at.port()));
        let (host, port) = address.as_ref().map_or((host, port), |(host, port)| (host, *port));
        let Some((proxy, user)) = &self.proxy else {
            return Ok(FromTokio::new(TcpStream::connect((host, port)).await.map_err(Io)?));
        };
        let mut connect = Connect::new(host, port)?;
        if let Some((user, password)) = user.as_ref().and_then(|user| user.split_once(':')) {
            connect = connect.with_credentials(Credentials::new(user, password)?);
        }
        let mut tcp = FromTokio::new(TcpStream::connect(proxy).await.map_err(Io)?);
        proxy::open(&mut tcp, &connect, &mut [0; proxy::BUFFER]).await?;
        Ok(tcp)
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Connector for Network {
    type Stream<'s> = Stream;
    type Error = Error;

    async fn connect(&mut self, target: Target<'_>) -> Result<Stream, Error> {
        self.open(target.host, target.port).await
    }

    fn is_retriable(error: &Error) -> bool {
        error.is_retriable(azure_iot_tls::Error::is_retriable)
    }
}

/// The identity that the program `identity` prints: enrol its first certificate.
///
/// # Errors
/// The registration id has characters that it must not have.
pub fn certificate(id: &str) -> anyhow::Result<Certificate> {
    let uds = Uds::from_hex("19e25a259d0c2be03a02d416c05c48ccd0cc7d1743458aae1cb488b074993eae")?;
    let firmware = FirmwareDigest::of(b"the whole firmware image")?;
    let identity = Identity::derive(&uds, &firmware, &FirmwareInfo::new("ACME", "Widget", "1.2.3", 4))?;
    let mut leaf = [0; standard::ALIAS_CERTIFICATE_MAX_LEN];
    let leaf = identity.alias_certificate(RegistrationId::new(id)?, &mut leaf)?;
    let mut issuer = [0; standard::DEVICE_ID_CERTIFICATE_MAX_LEN];
    let issuer = identity.device_id_certificate(&mut issuer)?;
    Ok(ChainIdentity::new(&[leaf, issuer], *identity.alias_key().expose_scalar().expose())?)
}

/// Registers, connects and stays online with this application until it stops itself or somebody has to act.
///
/// # Errors
/// Somebody has to act.
pub async fn stay_online<A: Application<Error>>(args: &Args, application: &mut A) -> anyhow::Result<()> {
    let mut network = Network::new(args, Some(certificate(&args.id)?))?;
    stay_online_over(&mut network, args, application).await
}

/// The same over connections of another kind.
///
/// # Errors
/// Somebody has to act.
pub async fn stay_online_over<C: Connector<Error = Error>, A: Application<Error>>(
    network: &mut C,
    args: &Args,
    application: &mut A,
) -> anyhow::Result<()> {
    let settings = Settings::new(args.registration()?);
    let mut device: Device<'_, _> = Device::new(settings, rand::random);
    let mut memory: Box<Memory> = Box::new(Memory::new());
    let ended = device.run(application, network, &mut memory.buffers(), None).await;
    ended.map_err(|failure: Failure<Error>| anyhow::Error::new(failure))
}
