//! The application's network: the stack's, once the radio has joined one.

use core::fmt;
use core::net::Ipv4Addr;

use azure_iot_embassy::network::Error as NetworkError;
use bcm43362::{CredentialsError, Key, Ssid};
use devkit_app::board::{AsyncIdentity, Networks, Wifi};
use devkit_app::{Network, NetworkLink};
use devkit_common::network::{StackLink, StackNetwork};
use embassy_net::Stack;
use embassy_time::{Duration, with_timeout};

use super::connection::{Connection, ConnectionError};

/// How long the network may take to give an address.
const ADDRESS: Duration = Duration::from_secs(20);

/// Why there is no network, or no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WifiError {
    /// The radio's settings are missing.
    NoSettings,
    /// No network was named.
    NoSsid,
    /// Name or password is not a valid one.
    Credentials(CredentialsError),
    /// The radio does not start, or does not join.
    Connection(ConnectionError),
    /// The network gives no address.
    NoAddress,
    /// What comes after that.
    Network(NetworkError),
}

impl fmt::Display for WifiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSettings => f.write_str(
                "no radio settings (NVRAM): make them with tools/radio-nvram and flash them at 0x080F0000",
            ),
            Self::NoSsid => f.write_str("no Wi-Fi SSID is stored"),
            Self::Credentials(cause) => cause.fmt(f),
            Self::Connection(ConnectionError::Radio(cause)) => write!(f, "radio: {cause}"),
            Self::Connection(ConnectionError::Join(cause)) => write!(f, "Wi-Fi: {cause}"),
            Self::NoAddress => f.write_str("the network gives no address (DHCP)"),
            Self::Network(cause) => cause.fmt(f),
        }
    }
}

impl core::error::Error for WifiError {}

/// The application's network.
pub(crate) struct WifiNetwork {
    network: StackNetwork<'static>,
    stack: Stack<'static>,
    connection: &'static Connection,
}

impl WifiNetwork {
    pub(crate) fn new(
        network: StackNetwork<'static>,
        stack: Stack<'static>,
        connection: &'static Connection,
    ) -> Self {
        Self { network, stack, connection }
    }

    async fn connect_to(&self, wifi: Option<Wifi<'_>>) -> Result<(), WifiError> {
        if !self.connection.has_settings() {
            return Err(WifiError::NoSettings);
        }
        let wifi = wifi.ok_or(WifiError::NoSsid)?;
        let ssid = Ssid::new(wifi.ssid).map_err(WifiError::Credentials)?;
        let key = if wifi.password.is_empty() {
            None
        } else {
            let text = core::str::from_utf8(wifi.password).unwrap_or_default();
            Some(Key::new(text).map_err(WifiError::Credentials)?)
        };
        self.connection.join(ssid, key).await.map_err(WifiError::Connection)?;
        let address = with_timeout(ADDRESS, self.stack.wait_config_up()).await;
        address.map_err(|_| WifiError::NoAddress)
    }
}

impl Network for WifiNetwork {
    type Stream<'s> = <StackNetwork<'static> as Network>::Stream<'s>;
    type Error = WifiError;

    async fn join(&mut self, wifi: Option<Wifi<'_>>) -> Result<(), WifiError> {
        self.connect_to(wifi).await
    }

    async fn unix_time(&mut self) -> Result<u64, WifiError> {
        self.network.unix_time().await.map_err(WifiError::Network)
    }

    async fn scan(&mut self) -> Result<Networks, WifiError> {
        if !self.connection.has_settings() {
            return Err(WifiError::NoSettings);
        }
        self.connection.scan().await.map_err(WifiError::Connection)
    }

    async fn connect<'s, I: AsyncIdentity>(
        &'s mut self,
        host: &str,
        port: u16,
        identity: &'s I,
    ) -> Result<Self::Stream<'s>, WifiError> {
        core::pin::pin!(self.network.connect(host, port, identity)).await.map_err(WifiError::Network)
    }

    fn is_retriable(error: &WifiError) -> bool {
        match error {
            WifiError::NoSettings | WifiError::NoSsid | WifiError::Credentials(_) => false,
            // The password may be right after the access point's has been changed.
            WifiError::Connection(_) | WifiError::NoAddress => true,
            WifiError::Network(cause) => StackNetwork::is_retriable(cause),
        }
    }

    fn advice(error: &WifiError) -> Option<[&'static str; 2]> {
        match error {
            WifiError::NoSettings => Some(["Make it with", " radio-nvram"]),
            WifiError::NoSsid => Some(["Not configured", " no Wi-Fi SSID"]),
            WifiError::Credentials(_) => Some(["Not configured", " bad Wi-Fi pwd"]),
            _ => None,
        }
    }
}

/// The network's state.
pub(crate) struct WifiLink {
    link: StackLink<'static>,
    connection: &'static Connection,
}

impl WifiLink {
    pub(crate) fn new(stack: Stack<'static>, connection: &'static Connection) -> Self {
        Self { link: StackLink::new(stack), connection }
    }
}

impl NetworkLink for WifiLink {
    fn address(&self) -> Option<Ipv4Addr> {
        self.link.address()
    }

    fn problem(&self) -> Option<&'static str> {
        self.connection.problem()
    }
}
