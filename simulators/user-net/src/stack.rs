//! The stack: the board's packets on one side, sockets of this machine on the other.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use ipstack::{
    IpStack, IpStackConfig, IpStackStream, IpStackTcpStream, IpStackUdpStream, TcpConfig, TcpOptions,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::hosts::Hosts;
use crate::packets::{Ends, PacketSender, Packets, pipe};
use crate::{dns, sntp};

/// Longest packet, in bytes.
pub const MTU: u16 = 1500;
/// Largest segment: what is left of a packet.
const MSS: u16 = MTU - 40;
/// A UDP conversation is forgotten after this time.
const UDP_TIMEOUT: Duration = Duration::from_secs(10);
/// A TCP connection without traffic is given up: the hub's keep-alive is two minutes.
const TCP_TIMEOUT: Duration = Duration::from_mins(10);
/// TCP connections at once.
const MAX_CONNECTIONS: usize = 128;
/// What is sent again when the line has lost it. A full window takes a tenth of a second on the line.
const RETRANSMISSION: Duration = Duration::from_secs(1);

/// A network for a board, with the names and addresses that it may reach.
#[derive(Debug, Clone)]
pub struct UserNet {
    hosts: Arc<Mutex<Hosts>>,
}

/// The board's side of a network: packets to it and from it. The network ends with it.
#[derive(Debug)]
pub struct Link {
    /// Takes the board's packets. Damaged ones, by their checksums, are dropped.
    pub to_network: PacketSender,
    /// Gives packets for the board. When more than a thousand wait, others are lost.
    pub to_board: mpsc::Receiver<Vec<u8>>,
}

/// The stack's own threads. Its connections wait, when they are dropped, for tasks of theirs, which a runtime that is
/// shut down does not run any more: nobody may have to wait for them.
#[derive(Debug)]
struct Workers(Option<Runtime>);

impl Workers {
    fn new() -> io::Result<Self> {
        Builder::new_multi_thread().worker_threads(2).enable_all().build().map(|runtime| Self(Some(runtime)))
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl UserNet {
    /// A network with these hosts.
    #[must_use]
    pub fn new(hosts: Hosts) -> Self {
        Self { hosts: Arc::new(Mutex::new(hosts)) }
    }

    /// Connects a board. Gives its link, and what serves it, for as long as that is polled or waits to be; it ends
    /// only if the stack fails.
    ///
    /// # Errors
    /// The system has no threads for it; within the work: those of the stack.
    pub fn connect(&self) -> io::Result<(Link, impl Future<Output = io::Result<()>> + Send + use<>)> {
        let (packets, Ends { to_stack, from_stack }) = pipe();
        let link = Link { to_network: PacketSender(to_stack), to_board: from_stack };
        let workers = Workers::new()?;
        let work = workers.0.as_ref().map(|runtime| runtime.spawn(self.clone().serve(packets)));
        let served = async move {
            let _workers = workers;
            work.ok_or(io::ErrorKind::BrokenPipe)?.await?
        };
        Ok((link, served))
    }

    async fn serve(self, packets: Packets) -> io::Result<()> {
        let mut stack = IpStack::new(config()?, packets);
        let (mut connections, mut datagrams) = (JoinSet::new(), JoinSet::new());
        loop {
            let stream = tokio::select! {
                stream = stack.accept() => stream,
                Some(_) = connections.join_next() => continue,
                Some(_) = datagrams.join_next() => continue,
            };
            match stream.map_err(io::Error::other)? {
                IpStackStream::Tcp(stream) if connections.len() < MAX_CONNECTIONS => {
                    connections.spawn(self.clone().tcp(stream));
                }
                IpStackStream::Udp(stream) => drop(datagrams.spawn(self.clone().udp(stream))),
                // One connection too many is dropped; neither pings nor anything else is answered.
                IpStackStream::Tcp(_)
                | IpStackStream::UnknownTransport(_)
                | IpStackStream::UnknownNetwork(_) => {}
            }
        }
    }

    fn hosts<R>(&self, action: impl FnOnce(&mut Hosts) -> R) -> R {
        action(&mut self.hosts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A connection that goes nowhere, or that is refused, is closed at once: the board sees that.
    async fn tcp(self, mut board: IpStackTcpStream) {
        let host = match self.hosts(|hosts| hosts.target(board.peer_addr())) {
            Some(target) => TcpStream::connect(target).await.ok(),
            None => None,
        };
        let Some(mut host) = host else {
            // The stack has taken the connection already, and can close it once the board has sent something. Nothing
            // is left to do for a board that does not hear that either.
            let _ = board.read(&mut [0]).await;
            let _ = board.shutdown().await;
            return;
        };
        // Small messages go at once; if the system refuses, they go a little later.
        let _ = host.set_nodelay(true);
        // It ends when either side does; both streams are closed by dropping them.
        let _ = tokio::io::copy_bidirectional(&mut board, &mut host).await;
    }

    async fn udp(self, mut board: IpStackUdpStream) {
        let port = board.peer_addr().port();
        let mut datagram = [0; MTU as usize];
        loop {
            let Ok(len @ 1..) = board.read(&mut datagram).await else { return };
            let datagram = &datagram[..len];
            let answer = match port {
                dns::PORT => self.name(datagram).await,
                sntp::PORT => SystemTime::now()
                    .duration_since(SystemTime::UNIX_EPOCH)
                    .ok()
                    .and_then(|now| sntp::answer(datagram, now))
                    .map(|answer| answer.to_vec()),
                _ => None,
            };
            let Some(answer) = answer else { continue };
            if board.write_all(&answer).await.is_err() {
                return;
            }
        }
    }

    /// The answer to a name query.
    async fn name(&self, query: &[u8]) -> Option<Vec<u8>> {
        let name = dns::name(query)?;
        let (known, internet) = self.hosts(|hosts| (hosts.address(&name), hosts.has_internet()));
        let address = match known {
            None if internet => lookup(&name).await,
            known => known,
        };
        dns::answer(query, address)
    }
}

/// What this machine's own resolver says.
async fn lookup(name: &str) -> Option<Ipv4Addr> {
    let mut addresses = tokio::net::lookup_host((name, 0)).await.ok()?;
    addresses.find_map(|address| match address.ip() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    })
}

fn config() -> io::Result<IpStackConfig> {
    let mut tcp = TcpConfig::default();
    tcp.timeout = TCP_TIMEOUT;
    tcp.rto = RETRANSMISSION;
    tcp.options = Some(vec![TcpOptions::MaximumSegmentSize(MSS)]);
    let mut config = IpStackConfig::default();
    config.mtu(MTU).map_err(io::Error::other)?.udp_timeout(UDP_TIMEOUT).with_tcp_config(tcp);
    Ok(config)
}
