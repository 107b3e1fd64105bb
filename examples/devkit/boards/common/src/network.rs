//! The application's network over `embassy-net`, with Mbed TLS: the same for every board that has frames or packets to give.

use core::fmt;
use core::net::Ipv4Addr;
use core::pin::pin;

use azure_iot_tls::mbedtls;
use azure_iot_tls::sntp;
use azure_iot_tls::{Trust, roots};
use devkit_app::board::Wifi;
use devkit_app::{Identity, Link, Network};
use embassy_net::dns::DnsQueryType;
use embassy_net::tcp::{ConnectError, TcpSocket};
use embassy_net::udp::{PacketMetadata, UdpSocket};
use embassy_net::{IpAddress, Stack};
use embassy_time::{Duration, Instant, with_timeout};
use heapless::{String, Vec};
use static_cell::{ConstStaticCell, StaticCell};

use crate::random::{RANDOM, Seeded};

/// Received bytes that nobody has read yet: the TCP window. Two full segments, so that they are acknowledged at once.
const RX: usize = 3072;
/// Bytes that the other side has not acknowledged yet: as long as a TLS record of this side.
const TX: usize = 2048;
/// The Azure roots and one more.
const MAX_ROOTS: usize = roots::AZURE.len() + 1;
/// Where the time comes from.
const TIME_SERVER: &str = "pool.ntp.org";
const TIME_PORT: u16 = 123;
/// A time that is over, in seconds since 1970: 2026-01-01.
const NOT_BEFORE: u64 = 1_767_225_600;
/// Requests for the time, and how long each waits for its answer.
const TIME_REQUESTS: usize = 3;
const TIME_PATIENCE: Duration = Duration::from_secs(2);
/// A TCP connection whose other side acknowledges nothing for so long is broken, and one that is silent is asked so often.
const TCP_TIMEOUT: Duration = Duration::from_secs(30);
const TCP_KEEP_ALIVE: Duration = Duration::from_secs(10);
/// The time that was heard is asked for again after this one.
const TIME_IS_FRESH: Duration = Duration::from_secs(12 * 60 * 60);

/// Why there is no network, or no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetworkError {
    /// The host's name has no address, or nobody who could know answers.
    Lookup,
    /// No time server answers: certificates cannot be judged.
    NoTime,
    /// There are no random numbers: the secure element gave no seed.
    NoRandom,
    /// There is no TCP connection.
    Connect(ConnectError),
    /// The TLS handshake failed.
    Tls(azure_iot_tls::Error),
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lookup => f.write_str("the host's address is not to be found"),
            Self::NoTime => f.write_str("no time server answers"),
            Self::NoRandom => f.write_str("there are no random numbers"),
            Self::Connect(ConnectError::ConnectionReset) => f.write_str("TCP: refused"),
            Self::Connect(ConnectError::TimedOut) => f.write_str("TCP: no answer"),
            Self::Connect(_) => f.write_str("TCP: no route"),
            Self::Tls(cause) => write!(f, "TLS: {cause}"),
        }
    }
}

impl core::error::Error for NetworkError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Tls(cause) => Some(cause),
            _ => None,
        }
    }
}

impl From<azure_iot_tls::Error> for NetworkError {
    fn from(error: azure_iot_tls::Error) -> Self {
        Self::Tls(error)
    }
}

/// The application's network.
#[allow(missing_debug_implementations, reason = "stacks have nothing to print")]
pub struct StackNetwork<'d> {
    stack: Stack<'d>,
    tls: Option<mbedtls::Stack>,
    roots: Vec<&'d [u8], MAX_ROOTS>,
    /// What a server told, and when.
    time: Option<(u64, Instant)>,
    // What a connection borrows while it lives:
    host: String<{ Trust::MAX_HOST_LEN }>,
    rx: &'static mut [u8; RX],
    tx: &'static mut [u8; TX],
}

impl<'d> StackNetwork<'d> {
    /// The network over this stack; believed are the Azure services' roots, and this one.
    ///
    /// # Panics
    /// At the second call: there is one network.
    #[must_use]
    pub fn new(stack: Stack<'d>, extra_root: Option<&'d [u8]>) -> Self {
        // Not within the network, which would carry them over the stack.
        static RX_BUFFER: ConstStaticCell<[u8; RX]> = ConstStaticCell::new([0; RX]);
        static TX_BUFFER: ConstStaticCell<[u8; TX]> = ConstStaticCell::new([0; TX]);
        Self {
            stack,
            tls: None,
            roots: roots::AZURE.into_iter().chain(extra_root).collect(),
            time: None,
            host: String::new(),
            rx: RX_BUFFER.take(),
            tx: TX_BUFFER.take(),
        }
    }

    async fn lookup(&self, host: &str) -> Result<IpAddress, NetworkError> {
        let addresses = self.stack.dns_query(host, DnsQueryType::A).await;
        addresses.ok().and_then(|addresses| addresses.first().copied()).ok_or(NetworkError::Lookup)
    }

    /// The time of day: a fresh one, or asked for anew.
    async fn now(&mut self) -> Result<u64, NetworkError> {
        if let Some((told, at)) = self.time
            && at.elapsed() < TIME_IS_FRESH
        {
            return Ok(told + at.elapsed().as_secs());
        }
        let told = self.ask_time().await?;
        self.time = Some((told, Instant::now()));
        Ok(told)
    }

    async fn ask_time(&self) -> Result<u64, NetworkError> {
        let mut metadata = [[PacketMetadata::EMPTY; 2]; 2];
        let mut data = [[0; 2 * sntp::PACKET_LEN]; 2];
        let ([rx_metadata, tx_metadata], [rx, tx]) = (&mut metadata, &mut data);
        let mut socket = UdpSocket::new(self.stack, rx_metadata, rx, tx_metadata, tx);
        // Any port that is free.
        socket.bind(0).map_err(|_| NetworkError::NoTime)?;
        for _ in 0..TIME_REQUESTS {
            let server = self.lookup(TIME_SERVER).await?;
            let mut nonce = [0; 8];
            RANDOM.fill(&mut nonce).map_err(|_| NetworkError::NoRandom)?;
            let request = sntp::Request::new(nonce);
            if socket.send_to(&request.bytes(), (server, TIME_PORT)).await.is_err() {
                return Err(NetworkError::NoTime);
            }
            let sent = Instant::now();
            let answer = async {
                loop {
                    let mut packet = [0; sntp::PACKET_LEN];
                    let Ok((length, _)) = socket.recv_from(&mut packet).await else { continue };
                    let waited_ms = u32::try_from(sent.elapsed().as_millis()).unwrap_or(u32::MAX);
                    match request.accept(packet.get(..length).unwrap_or_default(), waited_ms, NOT_BEFORE) {
                        Err(sntp::Error::NotTheAnswer) => {}
                        judged => return judged,
                    }
                }
            };
            if let Ok(Ok(time)) = with_timeout(TIME_PATIENCE, answer).await {
                return Ok(time.unix_seconds);
            }
        }
        Err(NetworkError::NoTime)
    }
}

/// Makes Mbed TLS ready, once.
fn tls_stack() -> Result<mbedtls::Stack, NetworkError> {
    static GENERATOR: StaticCell<Seeded> = StaticCell::new();
    let seeded = Seeded::new().map_err(|_| NetworkError::NoRandom)?;
    let generator = GENERATOR.try_init(seeded).ok_or(azure_iot_tls::Error::Busy)?;
    Ok(mbedtls::Stack::new(generator)?)
}

impl Network for StackNetwork<'_> {
    type Stream<'s>
        = mbedtls::Stream<'s, TcpSocket<'s>>
    where
        Self: 's;
    type Error = NetworkError;

    async fn join(&mut self, _: Option<Wifi<'_>>) -> Result<(), NetworkError> {
        self.stack.wait_config_up().await;
        Ok(())
    }

    async fn unix_time(&mut self) -> Result<u64, NetworkError> {
        self.now().await
    }

    async fn connect<'s>(
        &'s mut self,
        host: &str,
        port: u16,
        identity: &'s Identity,
    ) -> Result<Self::Stream<'s>, NetworkError> {
        let now = self.now().await?;
        let address = self.lookup(host).await?;
        self.host.clear();
        self.host.push_str(host).map_err(|_| azure_iot_tls::Error::HostName)?;
        if self.tls.is_none() {
            self.tls = Some(tls_stack()?);
        }
        let Self { stack, tls: Some(tls), roots, host, rx, tx, .. } = self else {
            return Err(NetworkError::NoRandom); // it is there, see above
        };
        let mut socket = TcpSocket::new(*stack, &mut **rx, &mut **tx);
        socket.set_timeout(Some(TCP_TIMEOUT));
        socket.set_keep_alive(Some(TCP_KEEP_ALIVE));
        socket.set_nagle_enabled(false);
        socket.connect((address, port)).await.map_err(NetworkError::Connect)?;
        let trust = Trust::new(host, roots)?.at(now);
        Ok(pin!(tls.connect(socket, &trust, Some(identity))).await?)
    }

    fn is_retriable(error: &NetworkError) -> bool {
        match error {
            NetworkError::Tls(cause) => cause.is_retriable(),
            NetworkError::NoRandom => false,
            _ => true,
        }
    }
}

/// The network's state.
#[allow(missing_debug_implementations, reason = "stacks have nothing to print")]
pub struct NetworkLink<'d>(Stack<'d>);

impl<'d> NetworkLink<'d> {
    /// The state of this stack.
    #[must_use]
    pub const fn new(stack: Stack<'d>) -> Self {
        Self(stack)
    }
}

impl Link for NetworkLink<'_> {
    fn address(&self) -> Option<Ipv4Addr> {
        self.0.config_v4().map(|config| config.address.address())
    }
}
