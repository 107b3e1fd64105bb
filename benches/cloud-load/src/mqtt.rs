//! As much of an MQTT 3.1.1 client as the measurement needs: one packet out, one packet in.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{PacketBuildResult, PacketBuilder, PacketData, RawPacket};
use mqtt_protocol_core::mqtt::packet::v3_1_1 as v3;
use mqtt_protocol_core::mqtt::packet::{Qos, SubEntry, SubOpts};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::load::Service;

const CONNACK: u8 = 2;
const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;
const SUBACK: u8 = 9;

/// A connection.
pub(crate) struct Client {
    stream: TlsStream<TcpStream>,
    builder: PacketBuilder,
    unread: Vec<u8>,
    next_id: u16,
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
        let mut client = Self { stream, builder: PacketBuilder::new(), unread: Vec::new(), next_id: 0 };
        let connect = v3::Connect::builder().client_id(id)?.user_name(user_name)?;
        let connect = connect.clean_session(true).keep_alive(1200).build()?;
        client.send(&connect.to_continuous_buffer()).await?;
        let answer = client.receive(CONNACK).await?;
        ensure!(answer.data_as_slice().get(1) == Some(&0), "CONNACK {answer:?}");
        Ok(client)
    }

    async fn send(&mut self, packet: &[u8]) -> Result<()> {
        self.stream.write_all(packet).await?;
        Ok(self.stream.flush().await?)
    }

    /// The next packet, which has to be of this type.
    async fn receive(&mut self, wanted: u8) -> Result<RawPacket> {
        loop {
            let mut cursor = Cursor::new(self.unread.as_slice());
            let result = self.builder.feed(&mut cursor);
            let used = usize::try_from(cursor.position())?;
            self.unread.drain(..used);
            match result {
                PacketBuildResult::Complete(packet) => {
                    let found = packet.packet_type();
                    ensure!(found == wanted, "packet of type {found} instead of {wanted}");
                    return Ok(packet);
                }
                PacketBuildResult::Incomplete => {}
                PacketBuildResult::Error(e) => bail!("a malformed packet: {e}"),
            }
            ensure!(
                self.stream.read_buf(&mut self.unread).await? > 0,
                "the server has closed the connection"
            );
        }
    }

    pub(crate) async fn subscribe(&mut self, filter: &str) -> Result<()> {
        self.next_id += 1;
        let entry = SubEntry::new(filter, SubOpts::new().set_qos(Qos::AtMostOnce))?;
        let packet = v3::Subscribe::builder().packet_id(self.next_id).entries(vec![entry]).build()?;
        self.send(&packet.to_continuous_buffer()).await?;
        let answer = self.receive(SUBACK).await?;
        ensure!(answer.data_as_slice().get(2) == Some(&0), "SUBACK {answer:?}");
        Ok(())
    }

    pub(crate) async fn send_qos0(&mut self, topic: &str, body: &[u8]) -> Result<()> {
        let packet = v3::Publish::builder().topic_name(topic)?.qos(Qos::AtMostOnce).payload(body).build()?;
        self.send(&packet.to_continuous_buffer()).await
    }

    /// With QoS 1, up to its acknowledgement.
    pub(crate) async fn publish(&mut self, topic: &str, body: &[u8]) -> Result<()> {
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        let id = self.next_id;
        let packet = v3::Publish::builder().topic_name(topic)?.qos(Qos::AtLeastOnce).packet_id(id);
        self.send(&packet.payload(body).build()?.to_continuous_buffer()).await?;
        let answer = self.receive(PUBACK).await?;
        ensure!(answer.data_as_slice() == id.to_be_bytes(), "PUBACK {answer:?}");
        Ok(())
    }

    /// The next message: its topic and body.
    pub(crate) async fn message(&mut self) -> Result<(String, Vec<u8>)> {
        let packet = self.receive(PUBLISH).await?;
        let PacketData::Publish(data) = &packet.data else { bail!("PUBLISH {packet:?}") };
        let (publish, _) = v3::Publish::parse(packet.flags(), data.clone()).context("a message")?;
        Ok((publish.topic_name().to_owned(), publish.payload().as_slice().to_vec()))
    }

    pub(crate) async fn disconnect(mut self) -> Result<()> {
        self.send(&v3::Disconnect::builder().build()?.to_continuous_buffer()).await?;
        // It may have closed the connection already.
        let _ = self.stream.shutdown().await;
        Ok(())
    }
}
