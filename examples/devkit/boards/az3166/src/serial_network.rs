//! The network on the second serial port: IP packets in SLIP frames, to a host that bridges them to its own network.
//!
//! Addresses are fixed, as the bridge expects them; they are those of QEMU's user-mode network.

use core::net::Ipv4Addr;

use azure_iot_embassy::random::RANDOM;
use devkit_common::network::{StackLink, StackNetwork};
use embassy_executor::Spawner;
use embassy_futures::join::join;
use embassy_net::{Ipv4Cidr, StackResources, StaticConfigV4};
use embassy_net_driver_channel::driver::{HardwareAddress, LinkState};
use embassy_net_driver_channel::{Device, Runner, RxRunner, State, TxRunner};
use embassy_stm32::peripherals::{PB6, PB7, USART1};
use embassy_stm32::usart::{self, BufferedUart, BufferedUartRx};
use embassy_stm32::{Peri, bind_interrupts};
use embedded_io_async::{Read, Write};
use heapless::Vec;
use slip_link::{Decoder, encode};
use static_cell::{ConstStaticCell, StaticCell};

use crate::board::extra_root;
use crate::port::{Port, Sender, config_for};

/// Bits a second on the line; 8 data bits, no parity, 1 stop bit.
const BAUD: u32 = 460_800;
/// Longest packet, in bytes.
const MTU: usize = 1500;
/// Name queries, the time, and two connections.
const SOCKETS: usize = 5;
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

bind_interrupts!(struct Interrupts {
    USART1 => usart::BufferedInterruptHandler<USART1>;
});

/// The application's network.
pub(crate) type BoardNetwork = StackNetwork<'static>;
/// Its state.
pub(crate) type BoardLink = StackLink<'static>;

/// What the line is connected to.
pub(crate) struct Parts {
    pub(crate) port: Peri<'static, USART1>,
    pub(crate) rx: Peri<'static, PB7>,
    pub(crate) tx: Peri<'static, PB6>,
}

/// Starts the network's tasks.
pub(crate) fn start(spawner: Spawner, parts: Parts) -> (BoardNetwork, BoardLink) {
    // Room for all that a connection's window lets the other side send while this side computes.
    static LINE: ConstStaticCell<([u8; 512], [u8; 4096])> = ConstStaticCell::new(([0; 512], [0; 4096]));
    static PACKETS: ConstStaticCell<Packets> = ConstStaticCell::new(Packets::new());
    static RESOURCES: StaticCell<StackResources<SOCKETS>> = StaticCell::new();
    let (tx, rx) = LINE.take();
    let line = BufferedUart::new(parts.port, parts.rx, parts.tx, tx, rx, Interrupts, config_for(BAUD));
    let Ok(line) = line else { panic!("the network's port refuses its speed") };
    let (packets, interface) = embassy_net_driver_channel::new(PACKETS.take(), HardwareAddress::Ip);
    // Ports and sequence numbers; without random numbers there is no TLS anyway.
    let mut seed = [0; 8];
    let _ = RANDOM.fill(&mut seed);
    let (stack, runner) = embassy_net::new(
        interface,
        config(),
        RESOURCES.init(StackResources::new()),
        u64::from_le_bytes(seed),
    );
    let (Ok(line_task), Ok(network_task)) = (line_task(packets, Port::new(line)), network_task(runner))
    else {
        panic!("a task was spawned twice")
    };
    spawner.spawn(line_task);
    spawner.spawn(network_task);
    (StackNetwork::new(stack, extra_root()), StackLink::new(stack))
}

#[embassy_executor::task]
async fn line_task(packets: Runner<'static, MTU>, port: Port) {
    run(packets, port).await;
}

#[embassy_executor::task]
async fn network_task(mut runner: embassy_net::Runner<'static, Device<'static, MTU>>) {
    runner.run().await;
}

/// Memory for packets.
type Packets = State<MTU, RX_PACKETS, TX_PACKETS>;

/// The board's addresses on the line.
fn config() -> embassy_net::Config {
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
async fn run(packets: Runner<'static, MTU>, port: Port) -> ! {
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
