//! The other end of a connection: a server that does what the test says.

use embedded_io_adapters::tokio_1::FromTokio;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::packet::{self, Packet, Version};

/// A connected pair: the client's stream and a server that speaks MQTT 3.1.1.
pub fn pair() -> (FromTokio<DuplexStream>, Server) {
    pair_of(Version::V311)
}

/// As [`pair`], with a server that speaks this version.
pub fn pair_of(version: Version) -> (FromTokio<DuplexStream>, Server) {
    let (client, stream) = tokio::io::duplex(1 << 16);
    (FromTokio::new(client), Server { version, ..Server::new(stream) })
}

/// The server's end.
#[derive(Debug)]
pub struct Server {
    version: Version,
    stream: DuplexStream,
    unread: Vec<u8>,
}

impl Server {
    /// At this end of a connection, speaking MQTT 3.1.1.
    pub fn new(stream: DuplexStream) -> Self {
        Self { version: Version::V311, stream, unread: Vec::new() }
    }

    /// The next packet, strictly parsed.
    pub async fn packet(&mut self) -> Packet {
        loop {
            if let Some(packet) = packet::take(self.version, &mut self.unread).expect("a packet") {
                return packet;
            }
            if self.stream.read_buf(&mut self.unread).await.unwrap_or(0) == 0 {
                assert!(self.unread.is_empty(), "the connection ends within a packet");
                return Packet::End;
            }
        }
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the client listens");
    }

    /// Takes CONNECT and answers it.
    pub async fn accept(&mut self, session_present: bool) -> Packet {
        let connect = self.packet().await;
        assert!(matches!(connect, Packet::Connect { .. }), "{connect:?}");
        self.send(&packet::connack(self.version, session_present)).await;
        connect
    }

    /// Takes SUBSCRIBE and grants it.
    pub async fn grant(&mut self) -> Vec<(String, u8)> {
        let packet = self.packet().await;
        let Packet::Subscribe { id, filters } = packet else { panic!("{packet:?} instead of SUBSCRIBE") };
        self.send(&packet::suback(self.version, id, &filters)).await;
        filters
    }

    /// Publishes as with MQTT 3.1.1, with QoS 1 if the id is not 0.
    pub async fn publish(&mut self, id: u16, topic: &str, payload: &[u8]) {
        self.send(&packet::publish((id > 0).then_some(id), topic, payload)).await;
    }

    /// Acknowledges a PUBLISH.
    pub async fn puback(&mut self, id: u16) {
        self.send(&packet::puback(id)).await;
    }
}
