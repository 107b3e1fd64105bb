//! The other end of a connection: a server that speaks MQTT 3.1.1 and does what the test says.
#![allow(dead_code, unreachable_pub, clippy::cast_possible_truncation)] // every test file uses its part

use embedded_io_adapters::tokio_1::FromTokio;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// A connected pair: the client's stream and the server.
pub fn pair() -> (FromTokio<DuplexStream>, Server) {
    let (client, server) = tokio::io::duplex(1 << 16);
    (FromTokio::new(client), Server { stream: server })
}

pub struct Server {
    pub stream: DuplexStream,
}

/// A packet from the client.
#[derive(Debug, PartialEq, Eq, Clone)]
pub enum Packet {
    Connect {
        flags: u8,
        keep_alive: u16,
        fields: Vec<Vec<u8>>,
    },
    Publish {
        topic: String,
        id: u16,
        payload: Vec<u8>,
        qos: u8,
        dup: bool,
    },
    Puback(u16),
    Subscribe {
        id: u16,
        filters: Vec<(String, u8)>,
    },
    Unsubscribe {
        id: u16,
        filters: Vec<String>,
    },
    Ping,
    Disconnect,
    /// The connection is closed.
    End,
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take(&mut self, n: usize) -> Vec<u8> {
        let (head, tail) = self.0.split_at(n);
        self.0 = tail;
        head.to_vec()
    }
    fn number(&mut self) -> u16 {
        let bytes = self.take(2);
        u16::from_be_bytes([bytes[0], bytes[1]])
    }
    fn bytes(&mut self) -> Vec<u8> {
        let n = self.number();
        self.take(n.into())
    }
    fn text(&mut self) -> String {
        String::from_utf8(self.bytes()).unwrap()
    }
}

impl Server {
    /// The next packet, strictly parsed.
    pub async fn packet(&mut self) -> Packet {
        let Ok(header) = self.stream.read_u8().await else {
            return Packet::End;
        };
        let (mut length, mut shift) = (0usize, 0);
        loop {
            let byte = self.stream.read_u8().await.unwrap();
            length |= usize::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                break;
            }
            shift += 7;
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.unwrap();
        let mut fields = Fields(&body);
        let packet = match header {
            0x10 => {
                assert_eq!(fields.take(7), b"\0\x04MQTT\x04");
                let flags = fields.take(1)[0];
                let keep_alive = fields.number();
                let mut strings = Vec::new();
                while !fields.0.is_empty() {
                    strings.push(fields.bytes());
                }
                Packet::Connect { flags, keep_alive, fields: strings }
            }
            0x30..=0x3F => {
                let qos = (header >> 1) & 3;
                let topic = fields.text();
                let id = if qos > 0 { fields.number() } else { 0 };
                let payload = fields.take(fields.0.len());
                Packet::Publish { topic, id, payload, qos, dup: header & 8 != 0 }
            }
            0x40 => Packet::Puback(fields.number()),
            0x82 => {
                let id = fields.number();
                let mut filters = Vec::new();
                while !fields.0.is_empty() {
                    filters.push((fields.text(), fields.take(1)[0]));
                }
                Packet::Subscribe { id, filters }
            }
            0xA2 => {
                let id = fields.number();
                let mut filters = Vec::new();
                while !fields.0.is_empty() {
                    filters.push(fields.text());
                }
                Packet::Unsubscribe { id, filters }
            }
            0xC0 => Packet::Ping,
            0xE0 => Packet::Disconnect,
            other => panic!("packet {other:02x}"),
        };
        assert_eq!(fields.0, [], "bytes left over in {packet:?}");
        packet
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Takes CONNECT and answers it.
    pub async fn accept(&mut self, session_present: bool) -> Packet {
        let connect = self.packet().await;
        assert!(matches!(connect, Packet::Connect { .. }), "{connect:?}");
        self.send(&[0x20, 2, session_present.into(), 0]).await;
        connect
    }

    /// Takes SUBSCRIBE and grants it.
    pub async fn grant(&mut self) -> Vec<(String, u8)> {
        let Packet::Subscribe { id, filters } = self.packet().await else {
            panic!("SUBSCRIBE expected");
        };
        let [high, low] = id.to_be_bytes();
        let mut suback = vec![0x90, 2 + filters.len() as u8, high, low];
        suback.extend(filters.iter().map(|(_, qos)| *qos));
        self.send(&suback).await;
        filters
    }

    pub async fn publish(&mut self, id: u16, topic: &str, payload: &[u8]) {
        let [high, low] = (topic.len() as u16).to_be_bytes();
        let mut body = vec![high, low];
        body.extend_from_slice(topic.as_bytes());
        if id > 0 {
            body.extend(id.to_be_bytes());
        }
        body.extend_from_slice(payload);
        let mut packet = vec![if id > 0 { 0x32 } else { 0x30 }];
        let mut length = body.len();
        loop {
            let byte = (length % 128) as u8;
            length /= 128;
            packet.push(if length > 0 { byte | 0x80 } else { byte });
            if length == 0 {
                break;
            }
        }
        packet.extend(body);
        self.send(&packet).await;
    }

    pub async fn puback(&mut self, id: u16) {
        let [high, low] = id.to_be_bytes();
        self.send(&[0x40, 2, high, low]).await;
    }
}
