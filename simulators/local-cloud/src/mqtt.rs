//! MQTT packets over a stream, server side: 3.1.1, and the framing of both versions (`mqtt5` has what is 5's alone).
//! Framing, parsing and encoding are `mqtt-protocol-core`'s; what its parser lets pass although the standard forbids it
//! is refused here, because the service refuses it.

use std::collections::VecDeque;
use std::time::Duration;

use mqtt_protocol_core::mqtt::common::{ArcPayload, Cursor};
use mqtt_protocol_core::mqtt::connection::{PacketBuildResult, PacketBuilder, PacketData, RawPacket};
use mqtt_protocol_core::mqtt::packet::{Property, Qos, v3_1_1 as v3, v5_0 as v5};
use mqtt_protocol_core::mqtt::result_code::{ConnectReturnCode, MqttError, SubackReturnCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};

use super::fault::{Direction, Endpoint, FaultAction, Faults, PacketInfo, PacketKind};
use super::mqtt5;

/// The largest packet taken: the largest message, a topic of full length, and headers.
const MAX_PACKET: u32 = 262_144 + 65_535 + 16;
/// How long a write may take before the connection counts as dead.
const WRITE_LIMIT: Duration = Duration::from_mins(1);

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum LinkError {
    /// The peer closed it, or a fault script did.
    Closed,
    Io(std::io::Error),
    /// A packet that MQTT 3.1.1 does not allow.
    Malformed(String),
    /// CONNECT with a protocol level other than 4 and 5.
    ProtocolLevel,
    /// What an MQTT 5 hub does not take, with the reason code of DISCONNECT.
    Refused(u8, String),
}

impl std::fmt::Display for LinkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => f.write_str("connection closed"),
            Self::Io(e) => write!(f, "connection lost: {e}"),
            Self::Malformed(what) => write!(f, "malformed packet: {what}"),
            Self::ProtocolLevel => f.write_str("not MQTT 3.1.1"),
            Self::Refused(reason, what) => write!(f, "{what} (0x{reason:02x})"),
        }
    }
}

/// A packet from a device.
#[derive(Debug, Clone)]
pub(super) enum Packet {
    Connect(v3::Connect),
    Connect5(Box<v5::Connect>),
    Publish(Publish),
    Puback(u16),
    Subscribe { id: u16, filters: Vec<(String, Qos)> },
    Unsubscribe { id: u16, filters: Vec<String> },
    Pingreq,
    Disconnect,
}

impl Packet {
    fn kind(&self) -> PacketKind {
        match self {
            Self::Connect(_) | Self::Connect5(_) => PacketKind::Connect,
            Self::Publish(_) => PacketKind::Publish,
            Self::Puback(_) => PacketKind::Puback,
            Self::Subscribe { .. } => PacketKind::Subscribe,
            Self::Unsubscribe { .. } => PacketKind::Unsubscribe,
            Self::Pingreq => PacketKind::Pingreq,
            Self::Disconnect => PacketKind::Disconnect,
        }
    }
}

/// A PUBLISH from a device.
#[derive(Debug, Clone)]
pub(super) struct Publish {
    /// Empty in MQTT 5: an alias stands for it.
    pub(super) topic: String,
    pub(super) qos: Qos,
    pub(super) retain: bool,
    /// With QoS above 0.
    pub(super) id: Option<u16>,
    /// MQTT 5 only.
    pub(super) properties: Vec<Property>,
    pub(super) payload: Vec<u8>,
}

/// A stream of packets with one device.
pub(super) struct Link<S> {
    stream: S,
    endpoint: Endpoint,
    faults: Faults,
    builder: PacketBuilder,
    unread: Vec<u8>,
    inbox: VecDeque<(Instant, Packet)>,
    held_in: Option<Packet>,
    held_out: Option<Vec<u8>>,
    frozen: bool,
    index: u64,
    /// CONNECT was that of MQTT 5.
    five: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    pub(super) fn new(stream: S, endpoint: Endpoint, faults: Faults) -> Self {
        Self {
            stream,
            endpoint,
            faults,
            builder: PacketBuilder::with_maximum_packet_size(MAX_PACKET),
            unread: Vec::new(),
            inbox: VecDeque::new(),
            held_in: None,
            held_out: None,
            frozen: false,
            index: 0,
            five: false,
        }
    }

    /// From here on it is known whose link it is.
    pub(super) fn set_endpoint(&mut self, endpoint: Endpoint) {
        self.endpoint = endpoint;
    }

    fn fault_for(&mut self, direction: Direction, kind: PacketKind, topic: Option<&str>) -> FaultAction {
        let info = PacketInfo { endpoint: self.endpoint, direction, kind, topic, index: self.index };
        self.index += 1;
        self.faults.fault_for(&info)
    }

    /// The next packet. Cancel safe: a packet that was begun is kept.
    pub(super) async fn recv(&mut self) -> Result<Packet, LinkError> {
        loop {
            if self.frozen {
                std::future::pending::<()>().await;
            }
            if let Some((due, _)) = self.inbox.front() {
                sleep_until(*due).await;
                if let Some((_, packet)) = self.inbox.pop_front() {
                    return Ok(packet);
                }
            }
            let Some(packet) = self.frame()? else {
                let mut chunk = [0; 4096];
                match self.stream.read(&mut chunk).await {
                    Ok(0) => return Err(LinkError::Closed),
                    Ok(n) => self.unread.extend_from_slice(chunk.get(..n).unwrap_or_default()),
                    Err(e) => return Err(LinkError::Io(e)),
                }
                continue;
            };
            self.admit(packet).await?;
        }
    }

    /// Cuts one packet off the bytes read so far.
    fn frame(&mut self) -> Result<Option<Packet>, LinkError> {
        if self.unread.is_empty() {
            return Ok(None);
        }
        let mut cursor = Cursor::new(self.unread.as_slice());
        let result = self.builder.feed(&mut cursor);
        let used = usize::try_from(cursor.position()).unwrap_or(self.unread.len());
        self.unread.drain(..used.min(self.unread.len()));
        match result {
            PacketBuildResult::Complete(raw) if self.five => mqtt5::parse(&raw).map(Some),
            PacketBuildResult::Complete(raw) => {
                let packet = parse(&raw)?;
                if matches!(packet, Packet::Connect5(_)) {
                    self.five = true;
                    self.builder = PacketBuilder::with_maximum_packet_size(mqtt5::MAX_PACKET);
                }
                Ok(Some(packet))
            }
            PacketBuildResult::Incomplete => Ok(None),
            PacketBuildResult::Error(e) => Err(LinkError::Malformed(format!("{e:?}"))),
        }
    }

    /// Puts a packet into the inbox, as the fault script wants it.
    async fn admit(&mut self, packet: Packet) -> Result<(), LinkError> {
        let topic = match &packet {
            Packet::Publish(publish) => Some(publish.topic.clone()),
            _ => None,
        };
        let mut due = Instant::now();
        let mut copies = 1;
        let mut inject = None;
        match self.fault_for(Direction::FromDevice, packet.kind(), topic.as_deref()) {
            FaultAction::Pass => {}
            FaultAction::Swallow => return Ok(()),
            FaultAction::Delay(delay) => due += delay,
            FaultAction::Duplicate => copies = 2,
            FaultAction::Hold => {
                if let Some(earlier) = self.held_in.replace(packet) {
                    self.inbox.push_back((due, earlier));
                }
                return Ok(());
            }
            FaultAction::Inject(bytes) => inject = Some(bytes),
            FaultAction::Close => return Err(LinkError::Closed),
            FaultAction::Freeze => {
                self.frozen = true;
                return Ok(());
            }
        }
        for _ in 1..copies {
            self.inbox.push_back((due, packet.clone()));
        }
        self.inbox.push_back((due, packet));
        if let Some(earlier) = self.held_in.take() {
            self.inbox.push_back((due, earlier));
        }
        // Last, because a caller that goes away while this waits must not lose the packet.
        match inject {
            Some(bytes) => self.write(&bytes).await,
            None => Ok(()),
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        if self.frozen {
            return Ok(());
        }
        let work = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        match timeout(WRITE_LIMIT, work).await {
            Ok(result) => result.map_err(LinkError::Io),
            Err(_) => Err(LinkError::Io(std::io::ErrorKind::TimedOut.into())),
        }
    }

    pub(super) async fn send(
        &mut self,
        kind: PacketKind,
        topic: Option<&str>,
        bytes: Vec<u8>,
    ) -> Result<(), LinkError> {
        match self.fault_for(Direction::ToDevice, kind, topic) {
            FaultAction::Pass => {}
            FaultAction::Swallow => return Ok(()),
            FaultAction::Delay(delay) => tokio::time::sleep(delay).await,
            FaultAction::Duplicate => self.write(&bytes).await?,
            FaultAction::Hold => {
                if let Some(earlier) = self.held_out.replace(bytes) {
                    self.write(&earlier).await?;
                }
                return Ok(());
            }
            FaultAction::Inject(other) => self.write(&other).await?,
            FaultAction::Close => return Err(LinkError::Closed),
            FaultAction::Freeze => self.frozen = true,
        }
        self.write(&bytes).await?;
        if let Some(earlier) = self.held_out.take() {
            self.write(&earlier).await?;
        }
        Ok(())
    }

    pub(super) async fn connack(&mut self, session_present: bool, code: u8) -> Result<(), LinkError> {
        let code = ConnectReturnCode::try_from(code).unwrap_or(ConnectReturnCode::NotAuthorized);
        let session_present = session_present && code == ConnectReturnCode::Accepted;
        let packet = v3::Connack::builder().session_present(session_present).return_code(code).build();
        self.send(PacketKind::Connack, None, packet.map_err(encoding)?.to_continuous_buffer()).await
    }

    pub(super) async fn puback(&mut self, id: u16) -> Result<(), LinkError> {
        let packet = v3::Puback::builder().packet_id(id).build().map_err(encoding)?;
        self.send(PacketKind::Puback, None, packet.to_continuous_buffer()).await
    }

    /// `None`: this one is refused.
    pub(super) async fn suback(&mut self, id: u16, granted: &[Option<Qos>]) -> Result<(), LinkError> {
        let codes = granted
            .iter()
            .map(|qos| match qos {
                None => SubackReturnCode::Failure,
                Some(Qos::AtMostOnce) => SubackReturnCode::SuccessMaximumQos0,
                Some(_) => SubackReturnCode::SuccessMaximumQos1,
            })
            .collect();
        let packet = v3::Suback::builder().packet_id(id).return_codes(codes).build().map_err(encoding)?;
        self.send(PacketKind::Suback, None, packet.to_continuous_buffer()).await
    }

    pub(super) async fn unsuback(&mut self, id: u16) -> Result<(), LinkError> {
        let packet = v3::Unsuback::builder().packet_id(id).build().map_err(encoding)?;
        self.send(PacketKind::Unsuback, None, packet.to_continuous_buffer()).await
    }

    pub(super) async fn pingresp(&mut self) -> Result<(), LinkError> {
        let packet = v3::Pingresp::builder().build().map_err(encoding)?;
        self.send(PacketKind::Pingresp, None, packet.to_continuous_buffer()).await
    }

    /// QoS 0 without `id`, QoS 1 with it.
    pub(super) async fn publish(
        &mut self,
        topic: &str,
        payload: &[u8],
        id: Option<u16>,
        dup: bool,
    ) -> Result<(), LinkError> {
        let mut builder = v3::Publish::builder().topic_name(topic).map_err(encoding)?.payload(payload);
        builder = match id {
            Some(id) => builder.qos(Qos::AtLeastOnce).packet_id(id).dup(dup),
            None => builder.qos(Qos::AtMostOnce),
        };
        let bytes = builder.build().map_err(encoding)?.to_continuous_buffer();
        self.send(PacketKind::Publish, Some(topic), bytes).await
    }

    /// Closes the TLS session and the connection, waiting a moment for the peer to take what was sent.
    pub(super) async fn close(mut self) {
        if !self.frozen {
            let _ = timeout(Duration::from_secs(1), self.stream.shutdown()).await;
        }
    }
}

pub(super) fn encoding(e: MqttError) -> LinkError {
    LinkError::Malformed(format!("own packet cannot be encoded: {e:?}"))
}

fn malformed(what: impl Into<String>) -> LinkError {
    LinkError::Malformed(what.into())
}

fn parse(raw: &RawPacket) -> Result<Packet, LinkError> {
    let fault = |e: MqttError| match e {
        MqttError::UnsupportedProtocolVersion => LinkError::ProtocolLevel,
        e => malformed(format!("type {}: {e:?}", raw.packet_type())),
    };
    let kind = raw.packet_type();
    check_flags(raw).map_err(LinkError::Malformed)?;
    let packet = match kind {
        // Protocol name and level: MQTT 5.
        1 if raw.data_as_slice().starts_with(b"\0\x04MQTT\x05") => mqtt5::parse(raw)?,
        1 => {
            let connect = raw.parse_exact(v3::Connect::parse).map_err(fault)?;
            check_connect_flags(raw.data_as_slice())?;
            Packet::Connect(connect)
        }
        3 => parse_publish(raw)?,
        4 => Packet::Puback(packet_id(raw.parse_exact(v3::Puback::parse).map_err(fault)?.packet_id())?),
        8 => {
            let subscribe = raw.parse_exact(v3::Subscribe::parse).map_err(fault)?;
            let filters = subscribe
                .entries()
                .iter()
                .map(|entry| (entry.topic_filter().to_owned(), entry.sub_opts().qos()))
                .collect();
            Packet::Subscribe { id: packet_id(subscribe.packet_id())?, filters }
        }
        10 => {
            let unsubscribe = raw.parse_exact(v3::Unsubscribe::parse).map_err(fault)?;
            let filters = unsubscribe.entries().iter().map(|entry| entry.as_str().to_owned()).collect();
            Packet::Unsubscribe { id: packet_id(unsubscribe.packet_id())?, filters }
        }
        12 if raw.data_as_slice().is_empty() => Packet::Pingreq,
        14 if raw.data_as_slice().is_empty() => Packet::Disconnect,
        _ => return Err(malformed(format!("type {kind} from a client"))),
    };
    Ok(packet)
}

/// Reserved flags must be as listed (MQTT 3.1.1, 2.2.2; MQTT 5, 2.1.3).
pub(super) fn check_flags(raw: &RawPacket) -> Result<(), String> {
    let (kind, flags) = (raw.packet_type(), raw.flags());
    let wanted = match kind {
        3 => flags,
        8 | 10 => 2,
        _ => 0,
    };
    if flags == wanted { Ok(()) } else { Err(format!("type {kind}: reserved flags are {flags:#x}")) }
}

fn packet_id(id: u16) -> Result<u16, LinkError> {
    if id == 0 { Err(malformed("packet identifier 0")) } else { Ok(id) }
}

/// MQTT 3.1.1, 3.1.2.3: reserved bit, and will QoS and retain only with a will.
fn check_connect_flags(body: &[u8]) -> Result<(), LinkError> {
    let flags = body.get(7).copied().unwrap_or(1);
    let will = flags & 0b100 != 0;
    let will_qos = (flags >> 3) & 3;
    if flags & 1 != 0 || will_qos == 3 || (!will && flags & 0b11_1000 != 0) {
        return Err(malformed(format!("CONNECT flags {flags:#04x}")));
    }
    Ok(())
}

fn parse_publish(raw: &RawPacket) -> Result<Packet, LinkError> {
    let PacketData::Publish(data) = &raw.data else {
        return Err(malformed("PUBLISH"));
    };
    let (publish, _) =
        v3::Publish::parse(raw.flags(), data.clone()).map_err(|e| malformed(format!("PUBLISH: {e:?}")))?;
    let topic = publish.topic_name();
    if topic.is_empty() || topic.contains(['+', '#', '\0']) {
        return Err(malformed(format!("topic name {topic:?}")));
    }
    let id = publish.packet_id().map(packet_id).transpose()?;
    if publish.qos() == Qos::AtMostOnce && publish.dup() {
        return Err(malformed("DUP with QoS 0"));
    }
    let payload: &ArcPayload = publish.payload();
    Ok(Packet::Publish(Publish {
        topic: topic.to_owned(),
        qos: publish.qos(),
        retain: publish.retain(),
        id,
        properties: Vec::new(),
        payload: payload.as_slice().to_vec(),
    }))
}
