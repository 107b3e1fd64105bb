//! The bridge: the line on one side, sockets of this machine on the other.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use ipstack::{
    IpStack, IpStackConfig, IpStackStream, IpStackTcpStream, IpStackUdpStream, TcpConfig, TcpOptions,
};
use slip_link::{Decoder, encode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::hosts::Hosts;
use crate::intact::is_intact;
use crate::packets::{Ends, pipe};
use crate::{dns, sntp};

/// Longest packet on the line, in bytes.
const MTU: u16 = 1500;
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

/// A network for whoever is at the other end of a line.
#[derive(Debug, Clone)]
pub struct Bridge {
    hosts: Arc<Mutex<Hosts>>,
}

impl Bridge {
    /// A network with these hosts.
    #[must_use]
    pub fn new(hosts: Hosts) -> Self {
        Self { hosts: Arc::new(Mutex::new(hosts)) }
    }

    /// Serves the line until it ends. Must be called within a Tokio runtime, on which it spawns a task for each connection; they
    /// end with it.
    ///
    /// # Errors
    /// Those of the line; [`io::ErrorKind::UnexpectedEof`] when it ends.
    pub async fn run(&self, line: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let (packets, Ends { to_stack, mut from_stack }) = pipe();
        let mut stack = IpStack::new(config()?, packets);
        let (mut reader, mut writer) = tokio::io::split(line);
        let receive = async {
            let mut decoder: Decoder<{ MTU as usize }> = Decoder::new();
            let mut bytes = [0; 512];
            loop {
                let len = reader.read(&mut bytes).await?;
                if len == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                for byte in &bytes[..len] {
                    if let Some(packet) = decoder.push(*byte).filter(|packet| is_intact(packet)) {
                        to_stack.send(packet.to_vec()).await.map_err(io::Error::other)?;
                    }
                }
            }
        };
        let send = async {
            while let Some(packet) = from_stack.recv().await {
                let line: Vec<u8> = encode(&packet).collect();
                writer.write_all(&line).await?;
                writer.flush().await?;
            }
            Err(io::ErrorKind::BrokenPipe.into())
        };
        // They end with the line.
        let (mut connections, mut datagrams) = (JoinSet::new(), JoinSet::new());
        let serve = async {
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
        };
        tokio::select! {
            end = receive => end,
            end = send => end,
            end = serve => end,
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
            // The stack has taken the connection already, and can close it once the board has sent something. Nothing is
            // left to do for a board that does not hear that either.
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
