//! A board at the other end of a line: an IP stack that is not ours (smoltcp), and a server for it to talk to.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use slip_link::{Decoder, encode};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::{dns, tcp};
use smoltcp::time::Instant;
use smoltcp::wire::{DnsQueryType, HardwareAddress, IpAddress, IpCidr};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// The board's end of the line.
pub(crate) struct Line {
    received: Vec<Vec<u8>>,
    to_send: Vec<u8>,
    /// Packets to the host get lost and damaged, the same ones every time.
    pub(crate) is_bad: bool,
    packets: usize,
}

impl Line {
    /// What the line makes of a packet.
    fn carry(&mut self, mut packet: Vec<u8>) -> Vec<u8> {
        self.packets += 1;
        match self.packets % 13 {
            4 if self.is_bad => packet.clear(),
            9 if self.is_bad => {
                let bit = self.packets * 7919 % (8 * packet.len());
                packet[bit / 8] ^= 1 << (bit % 8);
            }
            _ => {}
        }
        packet
    }
}

pub(crate) struct Received(Vec<u8>);
pub(crate) struct Sending<'a>(&'a mut Line);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        let packet = self.0.carry(packet);
        self.0.to_send.extend(encode(&packet));
        result
    }
}

impl Device for Line {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Sending<'_>)> {
        let packet = (!self.received.is_empty()).then(|| self.received.remove(0))?;
        Some((Received(packet), Sending(self)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        Some(Sending(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 1500;
        capabilities
    }
}

/// A board: IP stack, sockets, and the line.
pub(crate) struct Board<L> {
    pub(crate) line: L,
    decoder: Decoder<1500>,
    pub(crate) device: Line,
    interface: Interface,
    pub(crate) sockets: SocketSet<'static>,
    names: SocketHandle,
}

impl<L: AsyncRead + AsyncWrite + Unpin> Board<L> {
    pub(crate) fn new(line: L) -> Self {
        let mut device = Line { received: Vec::new(), to_send: Vec::new(), is_bad: false, packets: 0 };
        let mut interface = Interface::new(Config::new(HardwareAddress::Ip), &mut device, Instant::now());
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(IpAddress::v4(10, 0, 2, 15), 24)).unwrap();
        });
        interface.routes_mut().add_default_ipv4_route(Ipv4Addr::new(10, 0, 2, 2)).unwrap();
        let mut sockets = SocketSet::new(Vec::new());
        let names = sockets.add(dns::Socket::new(&[IpAddress::v4(10, 0, 2, 3)], vec![None]));
        Self { line, decoder: Decoder::new(), device, interface, sockets, names }
    }

    /// Lets the stack work until `done` gives something.
    pub(crate) async fn until<T>(
        &mut self,
        mut done: impl FnMut(&mut Interface, &mut SocketSet<'_>) -> Option<T>,
    ) -> T {
        let work = async {
            loop {
                self.interface.poll(Instant::now(), &mut self.device, &mut self.sockets);
                if let Some(result) = done(&mut self.interface, &mut self.sockets) {
                    self.interface.poll(Instant::now(), &mut self.device, &mut self.sockets);
                    self.line.write_all(&std::mem::take(&mut self.device.to_send)).await.unwrap();
                    return result;
                }
                self.line.write_all(&std::mem::take(&mut self.device.to_send)).await.unwrap();
                let mut bytes = [0; 256];
                let wait = tokio::time::timeout(Duration::from_millis(5), self.line.read(&mut bytes));
                if let Ok(len) = wait.await {
                    for byte in &bytes[..len.unwrap()] {
                        self.device.received.extend(self.decoder.push(*byte).map(<[u8]>::to_vec));
                    }
                }
            }
        };
        tokio::time::timeout(Duration::from_mins(1), work).await.expect("the bridge does not answer")
    }

    pub(crate) async fn lookup(&mut self, name: &str) -> Option<IpAddress> {
        let handle = self.names;
        let socket = self.sockets.get_mut::<dns::Socket<'_>>(handle);
        let query = socket.start_query(self.interface.context(), name, DnsQueryType::A).unwrap();
        self.until(|_, sockets| match sockets.get_mut::<dns::Socket<'_>>(handle).get_query_result(query) {
            Ok(addresses) => Some(addresses.first().copied()),
            Err(dns::GetQueryResultError::Pending) => None,
            Err(dns::GetQueryResultError::Failed) => Some(None),
        })
        .await
    }

    pub(crate) fn connect(&mut self, address: IpAddress, port: u16) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; 4096]);
        let handle = self.sockets.add(tcp::Socket::new(buffer(), buffer()));
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(handle);
        socket.connect(self.interface.context(), (address, port), 49_200 + port % 1000).unwrap();
        handle
    }

    /// Sends everything and reads until as much has come back, or the other side closes.
    pub(crate) async fn exchange(&mut self, handle: SocketHandle, request: &[u8]) -> Vec<u8> {
        let (mut sent, mut got) = (0, Vec::new());
        self.until(|_, sockets| {
            let socket = sockets.get_mut::<tcp::Socket<'_>>(handle);
            if socket.can_send() && sent < request.len() {
                sent += socket.send_slice(&request[sent..]).unwrap();
            }
            while socket.can_recv() {
                socket.recv(|bytes| (bytes.len(), got.extend_from_slice(bytes))).unwrap();
            }
            let closed = !socket.may_recv() && socket.state() != tcp::State::SynSent;
            (closed || got.len() == request.len()).then_some(())
        })
        .await;
        self.sockets.get_mut::<tcp::Socket<'_>>(handle).close();
        got
    }
}

/// A server that sends back what it gets, piece by piece.
pub(crate) async fn echo() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                tokio::io::copy(&mut reader, &mut writer).await.unwrap();
            });
        }
    });
    address
}
