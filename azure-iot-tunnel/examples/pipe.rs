//! Standard input to a WebSocket, and what comes from it to standard output; without TLS, for a test bench.
//!
//!     cargo run -p azure-iot-tunnel --example pipe -- ADDRESS:PORT
//!
//! It ends when the server closes the WebSocket.

use std::error::Error;

use azure_iot_tunnel::websocket::{Upgrade, WebSocket};
use embedded_io_adapters::tokio_1::FromTokio;
use embedded_io_async::{Read as _, Write as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, stdin, stdout};
use tokio::net::TcpStream;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("ADDRESS:PORT")?;
    let tcp = FromTokio::new(TcpStream::connect(&address).await?);
    let mut socket: WebSocket<_, _> =
        WebSocket::open(tcp, &Upgrade::new("localhost")?, rand::random::<u32>).await?;
    let (mut stdin, mut out) = (stdin(), stdout());
    let (mut sent, mut received, mut is_open) = ([0; 5000], [0; 5000], true);
    loop {
        tokio::select! {
            count = stdin.read(&mut sent), if is_open => {
                let count = count?;
                is_open = count > 0;
                socket.write_all(&sent[..count]).await?;
                socket.flush().await?;
            }
            // Dropped when there is something to send, and begun again: nothing is lost by that.
            count = socket.read(&mut received) => match count? {
                0 => return Ok(()),
                count => {
                    out.write_all(&received[..count]).await?;
                    out.flush().await?;
                }
            }
        }
    }
}
