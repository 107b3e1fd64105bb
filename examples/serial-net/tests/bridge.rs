//! The bridge with an IP stack at the other end of the line that is not ours (smoltcp).

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serial_net::{Bridge, Hosts, Rule};
use slip_link::{Decoder, encode};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::{dns, tcp, udp};
use smoltcp::time::Instant;
use smoltcp::wire::{DnsQueryType, HardwareAddress, IpAddress, IpCidr, IpEndpoint};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpListener;

/// The board's end of the line.
struct Line {
    received: Vec<Vec<u8>>,
    to_send: Vec<u8>,
}

struct Received(Vec<u8>);
struct Sending<'a>(&'a mut Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        self.0.extend(encode(&packet));
        result
    }
}

impl Device for Line {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Sending<'_>)> {
        let packet = (!self.received.is_empty()).then(|| self.received.remove(0))?;
        Some((Received(packet), Sending(&mut self.to_send)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        Some(Sending(&mut self.to_send))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 1500;
        capabilities
    }
}

/// A board: IP stack, sockets, and the line.
struct Board {
    line: DuplexStream,
    decoder: Decoder<1500>,
    device: Line,
    interface: Interface,
    sockets: SocketSet<'static>,
    names: SocketHandle,
}

impl Board {
    fn new(line: DuplexStream) -> Self {
        let mut device = Line { received: Vec::new(), to_send: Vec::new() };
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
    async fn until<T>(&mut self, mut done: impl FnMut(&mut Interface, &mut SocketSet<'_>) -> Option<T>) -> T {
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
        tokio::time::timeout(Duration::from_secs(30), work).await.expect("the bridge does not answer")
    }

    async fn lookup(&mut self, name: &str) -> Option<IpAddress> {
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

    fn connect(&mut self, address: IpAddress, port: u16) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; 4096]);
        let handle = self.sockets.add(tcp::Socket::new(buffer(), buffer()));
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(handle);
        socket.connect(self.interface.context(), (address, port), 49_200 + port % 1000).unwrap();
        handle
    }

    /// Sends everything and reads until as much has come back, or the other side closes.
    async fn exchange(&mut self, handle: SocketHandle, request: &[u8]) -> Vec<u8> {
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

/// A server that sends back what it gets, and its own port first.
async fn echo() -> SocketAddr {
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

fn bridged(rules: Vec<Rule>) -> Board {
    let (board, line) = tokio::io::duplex(1024);
    tokio::spawn(async move { Bridge::new(Hosts::new(rules)).run(line).await });
    Board::new(board)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_leads_to_a_server_on_this_machine() {
    let server = echo().await;
    let mut board = bridged(vec![Rule::new("*.azure-devices-provisioning.net", server)]);
    assert_eq!(board.lookup("example.org").await, None);
    let address = board.lookup("global.azure-devices-provisioning.net").await.unwrap();
    let request: Vec<u8> = (0..80).flat_map(|_| 0..=250).collect();
    let handle = board.connect(address, 8883);
    assert_eq!(board.exchange(handle, &request).await, request);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_is_this_machine_and_nothing_else_is_there() {
    let server = echo().await;
    let mut board = bridged(Vec::new());
    let handle = board.connect(IpAddress::v4(10, 0, 2, 2), server.port());
    assert_eq!(board.exchange(handle, b"ping").await, b"ping");
    // A host of the world outside: the connection ends without a byte.
    let handle = board.connect(IpAddress::v4(192, 0, 2, 1), server.port());
    assert_eq!(board.exchange(handle, b"ping").await, b"");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_is_this_machine_s() {
    let mut board = bridged(Vec::new());
    let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 4], vec![0; 1024]);
    let handle = board.sockets.add(udp::Socket::new(buffer(), buffer()));
    let socket = board.sockets.get_mut::<udp::Socket<'_>>(handle);
    socket.bind(4000).unwrap();
    let mut request = [0; 48];
    (request[0], request[47]) = (0x23, 9);
    socket.send_slice(&request, IpEndpoint::new(IpAddress::v4(10, 0, 2, 2), 123)).unwrap();
    let answer = board
        .until(|_, sockets| {
            sockets.get_mut::<udp::Socket<'_>>(handle).recv().ok().map(|(data, _)| data.to_vec())
        })
        .await;
    assert_eq!((answer.len(), answer[0], answer[31]), (48, 0x24, 9));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn noise_on_the_line_is_survived() {
    let server = echo().await;
    let mut board = bridged(vec![Rule::new("a.example", server)]);
    let noise: Vec<u8> =
        (1..5000_u32).map(|index| index.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    board.line.write_all(&noise).await.unwrap();
    let address = board.lookup("a.example").await.unwrap();
    let handle = board.connect(address, 1);
    assert_eq!(board.exchange(handle, b"still there").await, b"still there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bridge_ends_with_its_line() {
    let (board, line) = tokio::io::duplex(64);
    let bridge = tokio::spawn(async move { Bridge::new(Hosts::default()).run(line).await });
    drop(board);
    let end = tokio::time::timeout(Duration::from_secs(30), bridge).await.unwrap().unwrap();
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
}
