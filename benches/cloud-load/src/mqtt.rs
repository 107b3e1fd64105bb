//! As much of an MQTT 3.1.1 client as the measurement needs: one packet out, one packet in.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::load::Service;

const CONNACK: u8 = 0x20;
const PUBACK: u8 = 0x40;
const SUBACK: u8 = 0x90;

/// A connection.
pub(crate) struct Client {
    stream: TlsStream<TcpStream>,
    packet: Vec<u8>,
    next_id: u16,
}

/// The parts of a packet behind its first byte, with their length before them.
fn packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut length = parts.iter().map(|part| part.len()).sum::<usize>();
    let mut packet = vec![first];
    loop {
        let byte = u8::try_from(length % 128).unwrap_or_default();
        length /= 128;
        packet.push(if length > 0 { byte | 0x80 } else { byte });
        if length == 0 {
            break;
        }
    }
    packet.extend(parts.iter().flat_map(|part| part.iter()));
    packet
}

/// Text with its length before it.
fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

impl Client {
    /// A TLS connection, and CONNECT.
    pub(crate) async fn connect(
        service: &Service,
        config: &Arc<ClientConfig>,
        id: &str,
        user_name: &str,
    ) -> Result<Self> {
        let tcp = TcpStream::connect(service.address).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from(service.name.clone())?;
        let stream = TlsConnector::from(config.clone()).connect(name, tcp).await?;
        let mut client = Self { stream, packet: Vec::new(), next_id: 0 };
        // Protocol level 4, a user name, a clean session, a keep-alive of 20 minutes.
        let head = b"\0\x04MQTT\x04\x82\x04\xb0";
        client.send(&packet(0x10, &[head, &text(id), &text(user_name)])).await?;
        let answer = client.receive(CONNACK).await?;
        ensure!(answer.get(1) == Some(&0), "CONNACK {answer:?}");
        Ok(client)
    }

    async fn send(&mut self, packet: &[u8]) -> Result<()> {
        self.stream.write_all(packet).await?;
        Ok(self.stream.flush().await?)
    }

    /// The next packet, which has to be of this type.
    async fn receive(&mut self, first: u8) -> Result<&[u8]> {
        let found = self.stream.read_u8().await?;
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = self.stream.read_u8().await?;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
            ensure!(shift < 28, "a length without an end");
        }
        self.packet.resize(length, 0);
        self.stream.read_exact(&mut self.packet).await?;
        ensure!(found & 0xf0 == first & 0xf0, "packet {found:#04x} instead of {first:#04x}");
        Ok(&self.packet)
    }

    pub(crate) async fn subscribe(&mut self, filter: &str) -> Result<()> {
        self.next_id += 1;
        let id = self.next_id.to_be_bytes();
        self.send(&packet(0x82, &[&id, &text(filter), b"\0"])).await?;
        let answer = self.receive(SUBACK).await?;
        ensure!(answer.get(2) == Some(&0), "SUBACK {answer:?}");
        Ok(())
    }

    /// With QoS 0.
    pub(crate) async fn tell(&mut self, topic: &str, body: &[u8]) -> Result<()> {
        self.send(&packet(0x30, &[&text(topic), body])).await
    }

    /// With QoS 1, up to its acknowledgement.
    pub(crate) async fn publish(&mut self, topic: &str, body: &[u8]) -> Result<()> {
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        let id = self.next_id.to_be_bytes();
        self.send(&packet(0x32, &[&text(topic), &id, body])).await?;
        let answer = self.receive(PUBACK).await?;
        ensure!(answer == id, "PUBACK {answer:?}");
        Ok(())
    }

    /// The next message: its topic and body.
    pub(crate) async fn message(&mut self) -> Result<(String, Vec<u8>)> {
        let packet = self.receive(0x30).await?;
        let Some((length, rest)) = packet.split_first_chunk() else { bail!("a message without a topic") };
        let length = usize::from(u16::from_be_bytes(*length));
        let (topic, body) = rest.split_at_checked(length).context("a topic without an end")?;
        Ok((String::from_utf8(topic.to_vec())?, body.to_vec()))
    }

    pub(crate) async fn disconnect(mut self) -> Result<()> {
        self.send(&[0xe0, 0]).await?;
        // It may have closed the connection already.
        let _ = self.stream.shutdown().await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_packets() {
        assert_eq!(packet(0x30, &[]), [0x30, 0]);
        assert_eq!(packet(0x30, &[&[7; 127]])[..2], [0x30, 127]);
        assert_eq!(packet(0x30, &[&[7; 100], &[7; 221]])[..3], [0x30, 0xc1, 2]);
        assert_eq!(text("ab"), b"\0\x02ab");
    }
}
