//! The network on the second serial port: IP packets in SLIP frames, to a host that bridges them to its own network.
//!
//! Addresses are fixed, as the bridge expects them; they are those of QEMU's user-mode network.

use core::net::Ipv4Addr;

use embassy_futures::join::join;
use embassy_net::{Ipv4Cidr, StaticConfigV4};
use embassy_net_driver_channel::driver::{HardwareAddress, LinkState};
use embassy_net_driver_channel::{Device, Runner, RxRunner, State, TxRunner};
use embassy_stm32::usart::BufferedUartRx;
use embedded_io_async::{Read, Write};
use heapless::Vec;
use slip_link::{Decoder, encode};

use crate::port::{Port, Sender};

/// Bits a second on the line; 8 data bits, no parity, 1 stop bit.
pub(crate) const BAUD: u32 = 460_800;
/// Longest packet, in bytes.
pub(crate) const MTU: usize = 1500;
/// Packets that wait to be read: the receive window of a connection, and some.
const RX_PACKETS: usize = 3;
/// Packets that wait to be sent.
const TX_PACKETS: usize = 2;
/// Bytes that are given to the port at once.
const CHUNK: usize = 64;

const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const PREFIX: u8 = 24;
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);

/// Memory for packets.
pub(crate) type Packets = State<MTU, RX_PACKETS, TX_PACKETS>;

/// The network interface for the IP stack, and what moves its packets.
pub(crate) fn interface(packets: &'static mut Packets) -> (Runner<'static, MTU>, Device<'static, MTU>) {
    embassy_net_driver_channel::new(packets, HardwareAddress::Ip)
}

/// The board's addresses on the line.
pub(crate) fn config() -> embassy_net::Config {
    let mut config = StaticConfigV4 {
        address: Ipv4Cidr::new(ADDRESS, PREFIX),
        gateway: Some(GATEWAY),
        dns_servers: heapless::Vec::new(),
    };
    // It has room for three.
    let _ = config.dns_servers.push(NAME_SERVER);
    embassy_net::Config::ipv4_static(config)
}

/// Moves packets between the line and the IP stack.
pub(crate) async fn run(packets: Runner<'static, MTU>, port: Port) -> ! {
    let (state, receiver, sender) = packets.split();
    state.set_link_state(LinkState::Up);
    let (tx, rx) = port.split();
    join(receive(receiver, rx), send(sender, tx)).await.0
}

async fn receive(mut packets: RxRunner<'static, MTU>, mut port: BufferedUartRx<'static>) -> ! {
    let mut decoder: Decoder<MTU> = Decoder::new();
    let mut bytes = [0; CHUNK];
    loop {
        // A character that was lost spoils its packet; the checksums find that.
        let len = port.read(&mut bytes).await.unwrap_or_default();
        for byte in bytes.iter().take(len) {
            let Some(packet) = decoder.push(*byte) else { continue };
            let room = packets.rx_buf().await;
            // As long as the longest packet.
            room.iter_mut().zip(packet).for_each(|(to, from)| *to = *from);
            packets.rx_done(packet.len());
        }
    }
}

async fn send(mut packets: TxRunner<'static, MTU>, mut port: Sender) -> ! {
    loop {
        let packet = packets.tx_buf().await;
        let mut line = encode(packet);
        loop {
            let chunk: Vec<u8, CHUNK> = line.by_ref().take(CHUNK).collect();
            if chunk.is_empty() {
                break;
            }
            // The port's only error would be one of receiving.
            let _ = port.write_all(&chunk).await;
        }
        drop(line);
        packets.tx_done();
    }
}
