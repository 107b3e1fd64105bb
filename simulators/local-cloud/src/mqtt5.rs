//! MQTT 5 packets, server side: what is this version's alone. Encoding and parsing are `mqtt-protocol-core`'s; what its
//! parser lets pass although the standard forbids it, or the service refuses it, is refused here.

use mqtt_protocol_core::mqtt::connection::{PacketData, RawPacket};
use mqtt_protocol_core::mqtt::packet::{Property, Qos, v5_0 as v5};
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, DisconnectReasonCode, MqttError, PubackReasonCode, SubackReasonCode,
    UnsubackReasonCode,
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::fault::PacketKind;
use super::mqtt::{Link, LinkError, Packet, Publish, check_flags, encoding};

/// The largest packet that a hub takes.
pub(super) const MAX_PACKET: u32 = 512 * 1024;

/// Reason codes (MQTT 5, 2.4).
pub(super) mod reason {
    pub(crate) const MALFORMED: u8 = 0x81;
    pub(crate) const PROTOCOL_ERROR: u8 = 0x82;
    pub(crate) const UNSUPPORTED_VERSION: u8 = 0x84;
    pub(crate) const CLIENT_ID_NOT_VALID: u8 = 0x85;
    pub(crate) const BAD_USER_NAME_OR_PASSWORD: u8 = 0x86;
    pub(crate) const NOT_AUTHORIZED: u8 = 0x87;
    pub(crate) const SERVER_UNAVAILABLE: u8 = 0x88;
    pub(crate) const BAD_AUTHENTICATION_METHOD: u8 = 0x8C;
    pub(crate) const KEEP_ALIVE_TIMEOUT: u8 = 0x8D;
    pub(crate) const SESSION_TAKEN_OVER: u8 = 0x8E;
    pub(crate) const TOPIC_NAME_INVALID: u8 = 0x90;
    pub(crate) const TOPIC_ALIAS_INVALID: u8 = 0x94;
    pub(crate) const PACKET_TOO_LARGE: u8 = 0x95;
    pub(crate) const QUOTA_EXCEEDED: u8 = 0x97;
    pub(crate) const ADMINISTRATIVE_ACTION: u8 = 0x98;
    pub(crate) const PAYLOAD_FORMAT_INVALID: u8 = 0x99;
    pub(crate) const RETAIN_NOT_SUPPORTED: u8 = 0x9A;
    pub(crate) const QOS_NOT_SUPPORTED: u8 = 0x9B;
    pub(crate) const SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED: u8 = 0xA1;
}

/// What MQTT 5 adds to a PUBLISH.
impl Publish {
    /// The user properties in order.
    pub(super) fn user_properties(&self) -> impl Iterator<Item = (&str, &str)> {
        self.properties.iter().filter_map(|property| match property {
            Property::UserProperty(pair) => Some((pair.key(), pair.val())),
            _ => None,
        })
    }

    /// The correlation data, if it has 16 bytes.
    pub(super) fn correlation(&self) -> Option<[u8; 16]> {
        self.properties.iter().find_map(|property| match property {
            Property::CorrelationData(data) => data.val().try_into().ok(),
            _ => None,
        })
    }

    pub(super) fn content_type(&self) -> Option<&str> {
        self.properties.iter().find_map(|property| match property {
            Property::ContentType(text) => Some(text.val()),
            _ => None,
        })
    }

    pub(super) fn alias(&self) -> Option<u16> {
        self.properties.iter().find_map(|property| match property {
            Property::TopicAlias(alias) => Some(alias.val()),
            _ => None,
        })
    }
}

fn refused(reason: u8, what: impl Into<String>) -> LinkError {
    LinkError::Refused(reason, what.into())
}

/// User properties are for PUBLISH only at these hubs.
fn without_user_properties(packet: &str, properties: &[Property]) -> Result<(), LinkError> {
    if properties.iter().any(|property| matches!(property, Property::UserProperty(_))) {
        return Err(refused(reason::PROTOCOL_ERROR, format!("{packet} with a user property")));
    }
    Ok(())
}

pub(super) fn parse(raw: &RawPacket) -> Result<Packet, LinkError> {
    let kind = raw.packet_type();
    let fault = |e: MqttError| refused(reason::MALFORMED, format!("type {kind}: {e:?}"));
    check_flags(raw).map_err(|what| refused(reason::MALFORMED, what))?;
    let packet_id = |id: u16| {
        if id == 0 { Err(refused(reason::PROTOCOL_ERROR, "packet identifier 0")) } else { Ok(id) }
    };
    Ok(match kind {
        1 => Packet::Connect5(Box::new(raw.parse_exact(v5::Connect::parse).map_err(fault)?)),
        3 => parse_publish(raw)?,
        4 => {
            let ack = raw.parse_exact(v5::Puback::parse).map_err(fault)?;
            without_user_properties("PUBACK", ack.props().as_deref().unwrap_or_default())?;
            Packet::Puback(packet_id(ack.packet_id())?)
        }
        8 => {
            let subscribe = raw.parse_exact(v5::Subscribe::parse).map_err(fault)?;
            without_user_properties("SUBSCRIBE", subscribe.props())?;
            if !subscribe.props().is_empty() {
                let reason = reason::SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED;
                return Err(refused(reason, "SUBSCRIBE with a subscription identifier"));
            }
            let filters = subscribe
                .entries()
                .iter()
                .map(|entry| (entry.topic_filter().to_owned(), entry.sub_opts().qos()))
                .collect();
            Packet::Subscribe { id: packet_id(subscribe.packet_id())?, filters }
        }
        10 => {
            let unsubscribe = raw.parse_exact(v5::Unsubscribe::parse).map_err(fault)?;
            without_user_properties("UNSUBSCRIBE", unsubscribe.props())?;
            let filters = unsubscribe.entries().iter().map(|entry| entry.as_str().to_owned()).collect();
            Packet::Unsubscribe { id: packet_id(unsubscribe.packet_id())?, filters }
        }
        12 if raw.data_as_slice().is_empty() => Packet::Pingreq,
        14 => {
            let disconnect = raw.parse_exact(v5::Disconnect::parse).map_err(fault)?;
            without_user_properties("DISCONNECT", disconnect.props().as_deref().unwrap_or_default())?;
            Packet::Disconnect
        }
        _ => return Err(refused(reason::PROTOCOL_ERROR, format!("type {kind} from a client"))),
    })
}

fn parse_publish(raw: &RawPacket) -> Result<Packet, LinkError> {
    let PacketData::Publish(data) = &raw.data else {
        return Err(refused(reason::MALFORMED, "PUBLISH"));
    };
    let (publish, _) = v5::Publish::parse(raw.flags(), data.clone())
        .map_err(|e| refused(reason::MALFORMED, format!("PUBLISH: {e:?}")))?;
    let topic = publish.topic_name();
    if topic.contains(['+', '#', '\0']) {
        return Err(refused(reason::TOPIC_NAME_INVALID, format!("topic name {topic:?}")));
    }
    if publish.qos() == Qos::AtMostOnce && publish.dup() {
        return Err(refused(reason::MALFORMED, "DUP with QoS 0"));
    }
    if publish.packet_id() == Some(0) {
        return Err(refused(reason::PROTOCOL_ERROR, "packet identifier 0"));
    }
    Ok(Packet::Publish(Publish {
        topic: topic.to_owned(),
        qos: publish.qos(),
        retain: publish.retain(),
        id: publish.packet_id(),
        properties: publish.props().clone(),
        payload: publish.payload().as_slice().to_vec(),
    }))
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    pub(super) async fn connack5(
        &mut self,
        session_present: bool,
        reason: u8,
        properties: Vec<Property>,
    ) -> Result<(), LinkError> {
        let reason = ConnectReasonCode::try_from(reason).unwrap_or(ConnectReasonCode::NotAuthorized);
        let packet = v5::Connack::builder()
            .session_present(session_present && reason == ConnectReasonCode::Success)
            .reason_code(reason)
            .props(properties)
            .build()
            .map_err(encoding)?;
        self.send(PacketKind::Connack, None, packet.to_continuous_buffer()).await
    }

    pub(super) async fn puback5(&mut self, id: u16, reason: u8) -> Result<(), LinkError> {
        let mut builder = v5::Puback::builder().packet_id(id);
        if reason != 0 {
            let reason = PubackReasonCode::try_from(reason).unwrap_or(PubackReasonCode::UnspecifiedError);
            builder = builder.reason_code(reason);
        }
        let packet = builder.build().map_err(encoding)?;
        self.send(PacketKind::Puback, None, packet.to_continuous_buffer()).await
    }

    /// `None`: this one is refused.
    pub(super) async fn suback5(&mut self, id: u16, granted: &[Option<Qos>]) -> Result<(), LinkError> {
        let code = |qos: &Option<Qos>| match qos {
            None => SubackReasonCode::NotAuthorized,
            Some(Qos::AtMostOnce) => SubackReasonCode::GrantedQos0,
            Some(_) => SubackReasonCode::GrantedQos1,
        };
        let codes = granted.iter().map(code).collect();
        let packet = v5::Suback::builder().packet_id(id).reason_codes(codes).build().map_err(encoding)?;
        self.send(PacketKind::Suback, None, packet.to_continuous_buffer()).await
    }

    pub(super) async fn unsuback5(&mut self, id: u16, existed: &[bool]) -> Result<(), LinkError> {
        let code = |existed: &bool| match existed {
            true => UnsubackReasonCode::Success,
            false => UnsubackReasonCode::NoSubscriptionExisted,
        };
        let codes = existed.iter().map(code).collect();
        let packet = v5::Unsuback::builder().packet_id(id).reason_codes(codes).build().map_err(encoding)?;
        self.send(PacketKind::Unsuback, None, packet.to_continuous_buffer()).await
    }

    /// The bytes of a PUBLISH: QoS 0 without `id`, QoS 1 with it.
    pub(super) fn encode_publish5(
        topic: &str,
        payload: &[u8],
        id: Option<u16>,
        properties: Vec<Property>,
    ) -> Result<Vec<u8>, LinkError> {
        let mut builder =
            v5::Publish::builder().topic_name(topic).map_err(encoding)?.props(properties).payload(payload);
        builder = match id {
            Some(id) => builder.qos(Qos::AtLeastOnce).packet_id(id),
            None => builder.qos(Qos::AtMostOnce),
        };
        Ok(builder.build().map_err(encoding)?.to_continuous_buffer())
    }

    /// Says why the connection ends. Whether the peer still hears it does not matter.
    pub(super) async fn disconnect5(&mut self, reason: u8) {
        let reason = DisconnectReasonCode::try_from(reason).unwrap_or(DisconnectReasonCode::UnspecifiedError);
        if let Ok(packet) = v5::Disconnect::builder().reason_code(reason).build() {
            let _ = self.send(PacketKind::Disconnect, None, packet.to_continuous_buffer()).await;
        }
    }
}
