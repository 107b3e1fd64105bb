//! The bridge: SLIP frames on the line, packets of a network on the other side.

use std::io;

use slip_link::{Decoder, encode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use user_net::{Hosts, Link, MTU, UserNet};

/// A network for whoever is at the other end of a line.
#[derive(Debug, Clone)]
pub struct Bridge {
    network: UserNet,
}

impl Bridge {
    /// A network with these hosts.
    #[must_use]
    pub fn new(hosts: Hosts) -> Self {
        Self { network: UserNet::new(hosts) }
    }

    /// Serves the line until it ends; connections end with it.
    ///
    /// # Errors
    /// Those of the line; [`io::ErrorKind::UnexpectedEof`] when it ends.
    pub async fn run(&self, line: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let (Link { to_network, mut to_board }, serve) = self.network.connect()?;
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
                    if let Some(packet) = decoder.push(*byte) {
                        to_network.send(packet).await?;
                    }
                }
            }
        };
        let send = async {
            while let Some(packet) = to_board.recv().await {
                let line: Vec<u8> = encode(&packet).collect();
                writer.write_all(&line).await?;
                writer.flush().await?;
            }
            Err(io::ErrorKind::BrokenPipe.into())
        };
        tokio::select! {
            end = receive => end,
            end = send => end,
            end = serve => end,
        }
    }
}
