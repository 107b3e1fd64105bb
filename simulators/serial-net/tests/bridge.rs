//! The bridge with an IP stack at the other end of the line that is not ours.

mod board;

use std::time::Duration;

use board::{Board, echo};
use serial_net::{Bridge, Hosts, Rule};
use smoltcp::socket::udp;
use smoltcp::wire::{IpAddress, IpEndpoint};
use tokio::io::{AsyncWriteExt, DuplexStream};

fn bridged(rules: Vec<Rule>) -> Board<DuplexStream> {
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
