//! The smallest program that uses the proxy, WebSockets or both, for measuring their flash (see the README of
//! `azure-iot-tunnel`), over a stream that does nothing. On a host it only shows that it builds and what they take in
//! RAM.
#![cfg_attr(target_os = "none", no_std, no_main)]
use core::convert::Infallible;
use core::hint::black_box;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use azure_iot_tunnel::Error;
#[cfg(feature = "proxy")]
use azure_iot_tunnel::proxy::{self, Connect, Credentials};
#[cfg(feature = "websocket")]
use azure_iot_tunnel::websocket::{Upgrade, WebSocket};
use embedded_io_async::{ErrorType, Read, Write};

/// In place of a network: the compiler cannot see through what comes of it.
struct NoLink;

impl ErrorType for NoLink {
    type Error = Infallible;
}

impl Read for NoLink {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Infallible> {
        Ok(black_box(buf.len()))
    }
}

impl Write for NoLink {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Infallible> {
        Ok(black_box(buf.len()))
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        black_box(Ok(()))
    }
}

#[cfg_attr(
    not(any(feature = "proxy", feature = "websocket")),
    expect(unused_mut, reason = "nothing is used")
)]
async fn all() -> Result<usize, Error<Infallible>> {
    let mut link = NoLink;
    let mut done = 0;
    #[cfg(feature = "proxy")]
    {
        let connect = Connect::new(black_box("my-hub.azure-devices.net"), black_box(443))?
            .with_credentials(Credentials::new(black_box("device"), black_box("password"))?);
        proxy::open(&mut link, &connect, &mut [0; proxy::BUFFER]).await?;
        done += 1;
    }
    #[cfg(feature = "websocket")]
    {
        let upgrade = Upgrade::new(black_box("my-hub.azure-devices.net"))?;
        let mut socket: WebSocket<_, _> = WebSocket::open(&mut link, &upgrade, || black_box(7)).await?;
        let mut room = [0; 64];
        for _ in 0..black_box(10) {
            done += socket.write(black_box(b"telemetry")).await?;
            socket.flush().await?;
            done += socket.read(&mut room).await?;
            black_box(&room);
        }
        socket.close().await?;
    }
    black_box(&mut link);
    Ok(done)
}

fn run() -> usize {
    match pin!(all()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(done)) => done,
        _ => 0,
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    #[cfg(feature = "websocket")]
    println!("WebSocket: {} bytes", size_of::<WebSocket<(), ()>>());
    println!("all of it as one future: {} bytes", size_of_val(&all()));
    black_box(run());
}

#[cfg(target_os = "none")]
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    black_box(run());
    loop {}
}

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
