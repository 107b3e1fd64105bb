//! A card in this machine's time, an access point, and a server for those who come that way.
#![allow(unreachable_pub, dead_code, reason = "not every test needs everything")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{MutexGuard, PoisonError};
use std::time::Instant;

use access_point::{AccessPoint, Hosts, Rule};
use embassy_net::tcp::TcpSocket;
use embassy_net::{Config, Stack, StackResources};
use embassy_net_driver::Driver;
use peripherals::{AirNetwork, AirSecurity, RadioModel, SdioCard, Shared, shared};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub const SSID: &str = "Attic Lab";
pub const PASSPHRASE: &str = "correct horse battery";
pub const HOST: &str = "echo.example.net";
pub const PORT: u16 = 8883;

/// A card whose time is this machine's.
#[derive(Clone)]
pub struct RealCard {
    pub card: Shared<SdioCard>,
    since: Instant,
}

impl RealCard {
    /// A card in an air with one secured network.
    pub fn new(model: RadioModel) -> Self {
        let card = SdioCard::with_model(model);
        card.air().add(AirNetwork::new(SSID, AirSecurity::Wpa2(PASSPHRASE.to_owned())));
        Self { card: shared(card), since: Instant::now() }
    }

    /// The card, now.
    pub fn now(&self) -> MutexGuard<'_, SdioCard> {
        let mut card = self.card.lock().unwrap_or_else(PoisonError::into_inner);
        let now = u64::try_from(self.since.elapsed().as_nanos()).unwrap();
        let passed = now.saturating_sub(card.now_ns());
        card.elapse(passed);
        card
    }
}

/// What is sent, byte by byte.
fn byte(at: usize) -> u8 {
    (at.wrapping_mul(0x9E37_79B1) >> 13).to_le_bytes()[0]
}

/// Takes so many bytes and says that they were right, or sends so many: as the first nine bytes want it.
async fn answer(stream: &mut TcpStream) -> std::io::Result<()> {
    let is_upload = stream.read_u8().await? == b'u';
    let len = usize::try_from(stream.read_u64().await?).unwrap();
    if !is_upload {
        return stream.write_all(&(0..len).map(byte).collect::<Vec<u8>>()).await;
    }
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).await?;
    let is_right = bytes.iter().enumerate().all(|(at, found)| *found == byte(at));
    stream.write_u8(is_right.into()).await
}

/// An access point for this card, behind which [`HOST`] takes and gives bytes.
pub async fn serve(card: &RealCard) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                // A connection that ends early is the other side's to notice.
                let _ = answer(&mut stream).await;
            });
        }
    });
    let air = card.now().air();
    tokio::spawn(
        async move { AccessPoint::new(air, Hosts::new(vec![Rule::new(HOST, address)])).run().await },
    );
}

/// A network stack over a device.
pub fn stack<D: Driver>(device: D) -> (Stack<'static>, embassy_net::Runner<'static, D>) {
    let resources = Box::leak(Box::new(StackResources::<4>::new()));
    embassy_net::new(device, Config::dhcpv4(embassy_net::DhcpConfig::default()), resources, 0x1234_5678)
}

/// Sends so many bytes to the host, then gets as many, all of them right, with a window of so many bytes.
pub async fn exchange(stack: Stack<'_>, len: usize, window: usize) {
    stack.wait_config_up().await;
    let addresses = stack.dns_query(HOST, embassy_net::dns::DnsQueryType::A).await.unwrap();
    for kind in [b'u', b'd'] {
        let (mut rx, mut tx) = (vec![0; window], vec![0; 16 * 1024]);
        let mut socket = TcpSocket::new(stack, &mut rx, &mut tx);
        socket.set_timeout(Some(embassy_time::Duration::from_secs(20)));
        socket.connect((addresses[0], PORT)).await.unwrap();
        let header = [&[kind][..], &u64::try_from(len).unwrap().to_be_bytes()].concat();
        let upload = if kind == b'u' { len } else { 0 };
        let mut sent = 0;
        while sent < header.len() + upload {
            let rest = (sent..header.len() + upload).take(4096);
            let piece: Vec<u8> =
                rest.map(|at| header.get(at).copied().unwrap_or_else(|| byte(at - header.len()))).collect();
            sent += socket.write(&piece).await.unwrap();
        }
        let (mut got, mut buf) = (0, vec![0; 4096]);
        let expected = if kind == b'u' { 1 } else { len };
        while got < expected {
            let count = socket.read(&mut buf).await.unwrap();
            assert!(count > 0, "closed after {got} bytes");
            let is_right =
                |(at, found): (usize, &u8)| *found == if kind == b'u' { 1 } else { byte(got + at) };
            assert!(buf[..count].iter().enumerate().all(is_right), "spoilt after {got} bytes");
            got += count;
        }
        socket.close();
    }
}
