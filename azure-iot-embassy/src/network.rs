//! TLS over `embassy-net`, by Mbed TLS or embedded-tls, with the time from SNTP: one call from a host's name to a
//! stream.

use core::fmt;

#[cfg(feature = "mbedtls")]
use azure_iot_tls::{AsyncIdentity, mbedtls};
#[cfg(feature = "embedded-tls")]
use azure_iot_tls::{Identity, embedded_tls};
use azure_iot_tls::{Trust, sntp};
use embassy_net::dns::DnsQueryType;
use embassy_net::tcp::{ConnectError, TcpSocket};
use embassy_net::udp::{PacketMetadata, UdpSocket};
use embassy_net::{IpAddress, Stack};
use embassy_time::{Duration, Instant, with_timeout};
use heapless::{String, Vec};
#[cfg(feature = "mbedtls")]
use static_cell::StaticCell;

use crate::entropy;
use crate::random::{RANDOM, Seeded};

/// Received bytes that nobody has read yet: the TCP window. Two full segments, so that they are acknowledged at once.
const RX: usize = 3072;
/// Bytes that the other side has not acknowledged yet: as long as a TLS record of this side.
const TX: usize = 2048;
/// The most roots.
pub const MAX_ROOTS: usize = 4;
/// Where the time comes from, unless it is set.
const TIME_SERVER: &str = "pool.ntp.org";
const TIME_PORT: u16 = 123;
/// Requests for the time, and how long each waits for its answer.
const TIME_REQUESTS: usize = 3;
const TIME_PATIENCE: Duration = Duration::from_secs(2);
/// A TCP connection whose other side acknowledges nothing for so long is broken, and one that is silent is asked so
/// often.
const TCP_TIMEOUT: Duration = Duration::from_secs(30);
const TCP_KEEP_ALIVE: Duration = Duration::from_secs(10);
/// The time that was heard is asked for again after this one.
const TIME_IS_FRESH: Duration = Duration::from_secs(12 * 60 * 60);

/// A connection protected by Mbed TLS.
#[cfg(feature = "mbedtls")]
pub type Stream<'s> = mbedtls::Stream<'s, TcpSocket<'s>>;

/// A connection protected by embedded-tls.
#[cfg(feature = "embedded-tls")]
pub type EmbeddedTlsStream<'s, const RX: usize, const TX: usize> =
    embedded_tls::Stream<'s, TcpSocket<'s>, RX, TX>;

/// Why there is no time, or no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The host's name has no address, or nobody who could know answers.
    Lookup,
    /// No time server answers: certificates cannot be judged.
    NoTime,
    /// A time server answers, and what it says is no time.
    Time(sntp::Error),
    /// There are no random numbers, and so no connections.
    Entropy(entropy::Error),
    /// There is no TCP connection.
    Connect(ConnectError),
    /// The TLS handshake failed.
    Tls(azure_iot_tls::Error),
}

impl Error {
    /// Whether the same call may succeed later without anybody changing anything. A server that is not who it should
    /// be stays that, and so does a random number generator that fails.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        match self {
            Self::Tls(cause) => cause.is_retriable(),
            Self::Entropy(cause) => cause.is_retriable(),
            _ => true,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lookup => f.write_str("the host's address cannot be found"),
            Self::NoTime => f.write_str("no time server answers"),
            Self::Time(cause) => cause.fmt(f),
            Self::Entropy(cause) => cause.fmt(f),
            Self::Connect(ConnectError::ConnectionReset) => f.write_str("TCP: refused"),
            Self::Connect(ConnectError::TimedOut) => f.write_str("TCP: no answer"),
            Self::Connect(_) => f.write_str("TCP: no route"),
            Self::Tls(cause) => write!(f, "TLS: {cause}"),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Tls(cause) => Some(cause),
            Self::Time(cause) => Some(cause),
            Self::Entropy(cause) => Some(cause),
            _ => None,
        }
    }
}

impl From<azure_iot_tls::Error> for Error {
    fn from(error: azure_iot_tls::Error) -> Self {
        Self::Tls(error)
    }
}

impl From<entropy::Error> for Error {
    fn from(error: entropy::Error) -> Self {
        Self::Entropy(error)
    }
}

/// The socket's buffers; they can be in a static.
#[derive(Debug)]
pub struct Buffers {
    rx: [u8; RX],
    tx: [u8; TX],
}

impl Buffers {
    /// Empty ones.
    #[must_use]
    pub const fn new() -> Self {
        Self { rx: [0; RX], tx: [0; TX] }
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes connections, one at a time.
#[allow(missing_debug_implementations, reason = "stacks have nothing to print")]
pub struct Network<'d> {
    stack: Stack<'d>,
    #[cfg(feature = "mbedtls")]
    tls: Option<mbedtls::Stack>,
    roots: Vec<&'d [u8], MAX_ROOTS>,
    time_server: &'d str,
    /// No time is before this one.
    floor: u64,
    /// What a server said, and when.
    time: Option<(u64, Instant)>,
    #[cfg(feature = "resumption")]
    sessions: mbedtls::SessionCache,
    // What a connection borrows while it lives:
    host: String<{ Trust::MAX_HOST_LEN }>,
    buffers: &'d mut Buffers,
}

impl<'d> Network<'d> {
    /// Connections over this stack, to servers below these roots (DER; more than [`MAX_ROOTS`] are left out).
    ///
    /// `floor`, seconds since 1970, is a time that is certainly over: see [`time::floor`](crate::time::floor).
    #[must_use]
    pub fn new(
        stack: Stack<'d>,
        buffers: &'d mut Buffers,
        roots: impl IntoIterator<Item = &'d [u8]>,
        floor: u64,
    ) -> Self {
        let roots = roots.into_iter().take(MAX_ROOTS).collect();
        Self {
            stack,
            #[cfg(feature = "mbedtls")]
            tls: None,
            roots,
            time_server: TIME_SERVER,
            floor,
            time: None,
            #[cfg(feature = "resumption")]
            sessions: mbedtls::SessionCache::new(),
            host: String::new(),
            buffers,
        }
    }

    /// Asks this server for the time, instead of pool.ntp.org.
    #[must_use]
    pub fn with_time_server(self, host: &'d str) -> Self {
        Self { time_server: host, ..self }
    }

    /// The stack below.
    #[must_use]
    pub const fn stack(&self) -> Stack<'d> {
        self.stack
    }

    /// The time of day in seconds since 1970: a fresh one, or asked for anew. It is the floor for the next one.
    ///
    /// # Errors
    /// [`Error::Lookup`], [`Error::NoTime`], [`Error::Time`], [`Error::Entropy`].
    pub async fn unix_time(&mut self) -> Result<u64, Error> {
        if let Some((now, at)) = self.time
            && at.elapsed() < TIME_IS_FRESH
        {
            return Ok(now + at.elapsed().as_secs());
        }
        let now = self.ask_time().await?;
        self.time = Some((now, Instant::now()));
        self.floor = now;
        Ok(now)
    }

    /// Connects to a host by Mbed TLS and proves that it is that host. `identity` is shown if the host asks for a
    /// certificate.
    ///
    /// # Errors
    /// Those of [`unix_time`](Self::unix_time), [`Error::Connect`], [`Error::Tls`].
    #[cfg(feature = "mbedtls")]
    pub async fn connect<'s, I: AsyncIdentity + ?Sized>(
        &'s mut self,
        host: &str,
        port: u16,
        identity: Option<&'s I>,
    ) -> Result<Stream<'s>, Error> {
        let (now, address) = self.prepare(host).await?;
        let tls = match &mut self.tls {
            Some(tls) => tls,
            none => none.insert(tls_stack()?),
        };
        let socket = open(self.stack, self.buffers, address, port).await?;
        let trust = Trust::new(&self.host, &self.roots)?.at(now);
        #[cfg(feature = "resumption")]
        let connected = tls.connect_or_resume(socket, &trust, identity, &self.sessions).await;
        #[cfg(not(feature = "resumption"))]
        let connected = tls.connect(socket, &trust, identity).await;
        Ok(connected?)
    }

    /// Connects to a host by embedded-tls, over these buffers, and proves that it is that host. `identity` is shown if
    /// the host asks for a certificate: its leaf only.
    ///
    /// # Errors
    /// Those of [`unix_time`](Self::unix_time), [`Error::Connect`], [`Error::Tls`].
    #[cfg(feature = "embedded-tls")]
    pub async fn connect_embedded_tls<'s, const RX: usize, const TX: usize>(
        &'s mut self,
        tls: &'s mut embedded_tls::Buffers<RX, TX>,
        host: &str,
        port: u16,
        identity: Option<&dyn Identity>,
    ) -> Result<EmbeddedTlsStream<'s, RX, TX>, Error> {
        let (now, address) = self.prepare(host).await?;
        let mut random = Seeded::new()?;
        let socket = open(self.stack, self.buffers, address, port).await?;
        let trust = Trust::new(&self.host, &self.roots)?.at(now);
        Ok(embedded_tls::connect(socket, tls, &trust, identity, &mut random).await?)
    }

    /// What is needed before a connection: the time, and the host's address.
    async fn prepare(&mut self, host: &str) -> Result<(u64, IpAddress), Error> {
        // Without random numbers nobody is asked for anything.
        RANDOM.check()?;
        let now = self.unix_time().await?;
        let address = self.lookup(host).await?;
        self.host.clear();
        self.host.push_str(host).map_err(|_| azure_iot_tls::Error::HostName)?;
        Ok((now, address))
    }

    async fn lookup(&self, host: &str) -> Result<IpAddress, Error> {
        let addresses = self.stack.dns_query(host, DnsQueryType::A).await;
        addresses.ok().and_then(|addresses| addresses.first().copied()).ok_or(Error::Lookup)
    }

    async fn ask_time(&self) -> Result<u64, Error> {
        let mut metadata = [[PacketMetadata::EMPTY; 2]; 2];
        let mut data = [[0; 2 * sntp::PACKET_LEN]; 2];
        let ([rx_metadata, tx_metadata], [rx, tx]) = (&mut metadata, &mut data);
        let mut socket = UdpSocket::new(self.stack, rx_metadata, rx, tx_metadata, tx);
        // Any port that is free.
        socket.bind(0).map_err(|_| Error::NoTime)?;
        let mut last = Error::NoTime;
        for _ in 0..TIME_REQUESTS {
            let server = self.lookup(self.time_server).await?;
            let mut nonce = [0; 8];
            RANDOM.fill(&mut nonce)?;
            let request = sntp::Request::new(nonce);
            if socket.send_to(&request.bytes(), (server, TIME_PORT)).await.is_err() {
                return Err(Error::NoTime);
            }
            let sent = Instant::now();
            let answer = async {
                loop {
                    let mut packet = [0; sntp::PACKET_LEN];
                    let Ok((length, _)) = socket.recv_from(&mut packet).await else { continue };
                    let waited_ms = u32::try_from(sent.elapsed().as_millis()).unwrap_or(u32::MAX);
                    match request.accept(packet.get(..length).unwrap_or_default(), waited_ms, self.floor) {
                        Err(sntp::Error::NotTheAnswer) => {}
                        judged => return judged,
                    }
                }
            };
            match with_timeout(TIME_PATIENCE, answer).await {
                Ok(Ok(time)) => return Ok(time.unix_seconds),
                Ok(Err(error)) => last = Error::Time(error),
                Err(_) => {}
            }
        }
        Err(last)
    }
}

/// A TCP connection.
async fn open<'s>(
    stack: Stack<'s>,
    buffers: &'s mut Buffers,
    address: IpAddress,
    port: u16,
) -> Result<TcpSocket<'s>, Error> {
    let Buffers { rx, tx } = buffers;
    let mut socket = TcpSocket::new(stack, rx, tx);
    socket.set_timeout(Some(TCP_TIMEOUT));
    socket.set_keep_alive(Some(TCP_KEEP_ALIVE));
    socket.set_nagle_enabled(false);
    socket.connect((address, port)).await.map_err(Error::Connect)?;
    Ok(socket)
}

/// Makes Mbed TLS ready, once.
#[cfg(feature = "mbedtls")]
fn tls_stack() -> Result<mbedtls::Stack, Error> {
    static GENERATOR: StaticCell<Seeded> = StaticCell::new();
    let generator = GENERATOR.try_init(Seeded::new()?).ok_or(azure_iot_tls::Error::Busy)?;
    Ok(mbedtls::Stack::new(generator)?)
}
