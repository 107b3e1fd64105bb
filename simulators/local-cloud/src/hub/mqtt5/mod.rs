//! A hub of the new generation: one MQTT 5 session of a device. Presence first; then the twin and methods over the
//! device's own topics, bodies in Protocol Buffers. Whatever the preview's description does not have is refused.

mod connect;
mod message;
mod methods;
mod twin;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mqtt_protocol_core::mqtt::packet::v5_0::Connect;
use mqtt_protocol_core::mqtt::packet::{
    ContentType, CorrelationData, MessageExpiryInterval, Property, Qos, UserProperty,
};
use prost::Message;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use self::connect::{MAX_ALIAS, Terms};
use self::message::{Birth, BirthAck, DesiredPatch, TwinPush};
use self::methods::Calls;
use super::connected::{ConnectedDevice, TAKEN_OVER};
use super::session::{MAX_TELEMETRY, at};
use super::topic::Subscription;
use super::{Device, MethodResponse, ToSession};
use crate::backend::CommandError;
use crate::event::{Event, Telemetry};
use crate::fault::{Endpoint, PacketKind};
use crate::mqtt::{Link, LinkError, Packet, Publish, encoding};
use crate::mqtt5::reason;
use crate::properties::Properties;
use crate::server::{Caller, Stream, patience};
use crate::shared::Shared;

type Id = [u8; 16];

/// Content type of all bodies but telemetry's.
const CONTENT_TYPE: &str = "application/protobuf";

/// A method to be called.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) payload: Vec<u8>,
    /// From the moment at which the device may begin.
    pub(crate) response_timeout: Duration,
    pub(crate) answer: oneshot::Sender<Result<MethodResponse, CommandError>>,
}

/// A message to the device.
struct Outgoing<'a> {
    /// The last element of its topic.
    channel: &'a str,
    kind: &'a str,
    correlation: Id,
    body: Vec<u8>,
    /// With QoS 1, and for so many seconds only; `None`: with QoS 0.
    expiry: Option<u32>,
}

impl<'a> Outgoing<'a> {
    /// With QoS 0.
    fn new(channel: &'a str, kind: &'a str, correlation: Id, body: &impl Message) -> Self {
        Self { channel, kind, correlation, body: body.encode_to_vec(), expiry: None }
    }
}

pub(crate) async fn serve(shared: &Arc<Shared>, mut link: Link<Stream>, caller: &Caller, connect: &Connect) {
    let verdict = match shared.faults.take_refusal(Endpoint::Hub) {
        // The return code of 3.1.1 as a reason code of 5.
        Some(code) => {
            let code = match code {
                1 => reason::UNSUPPORTED_VERSION,
                2 => reason::CLIENT_ID_NOT_VALID,
                3 => reason::SERVER_UNAVAILABLE,
                4 => reason::BAD_USER_NAME_OR_PASSWORD,
                _ => reason::NOT_AUTHORIZED,
            };
            Err((code, "fault on request".to_owned()))
        }
        None => connect::check(shared, connect, caller),
    };
    match verdict {
        Ok(terms) => {
            let (mut session, inbox) = Session::begin(shared, connect, caller, &terms);
            let ended = match connect::properties(connect, &terms).map_err(encoding) {
                Ok(properties) => session.run(&mut link, inbox, properties).await,
                Err(e) => Err(e),
            };
            let (code, text) = match ended {
                Ok(ended) => ended,
                Err(LinkError::Refused(code, what)) => {
                    shared.refused(Endpoint::Hub, connect.client_id(), what.clone());
                    (Some(code), what)
                }
                Err(e @ LinkError::Malformed(_)) => (Some(reason::MALFORMED), e.to_string()),
                Err(e) => (None, e.to_string()),
            };
            session.end = text;
            if let Some(code) = code {
                link.disconnect5(code).await;
            }
        }
        Err((code, reason)) => {
            shared.refused(Endpoint::Hub, connect.client_id(), reason);
            let _ = link.connack5(false, code, Vec::new()).await;
        }
    }
    link.close().await;
}

/// How a session ended: the reason code of the DISCONNECT to be sent, if one is, and words.
type Ended = (Option<u8>, String);

/// A session that has been let in. Dropping it, in whatever way the connection ends, signs the device off.
struct Session {
    device: ConnectedDevice,
    resumed: bool,
    /// How long the session is kept without a connection.
    expiry: Duration,
    keep_alive: u16,
    max_packet: usize,
    /// The device's birth in this connection: its nonce.
    born: Option<Id>,
    aliases: HashMap<u16, String>,
    calls: Calls,
    last_packet_id: u16,
    end: String,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.device.sign_off(|device| {
            device.session_until = Some(Instant::now() + self.expiry);
            if self.expiry.is_zero() {
                device.subscriptions.clear();
            }
        });
        let reason = std::mem::take(&mut self.end);
        self.device.shared.events.emit(&Event::Disconnected { device: self.device.id.clone(), reason });
    }
}

impl Session {
    /// Takes the device over from an older connection.
    fn begin(
        shared: &Arc<Shared>,
        connect: &Connect,
        caller: &Caller,
        terms: &Terms,
    ) -> (Self, UnboundedReceiver<ToSession>) {
        let mut resumed = false;
        let prepare = |device: &mut Device| {
            let kept =
                device.session.is_some() || device.session_until.is_some_and(|until| Instant::now() < until);
            resumed = kept && !connect.clean_start();
            if !resumed {
                device.subscriptions.clear();
            }
        };
        let id = connect.client_id();
        let (device, inbox) = ConnectedDevice::take_over(shared, terms.hub, id, true, caller.tls, prepare);
        let session = Self {
            device,
            resumed,
            expiry: Duration::from_secs(terms.session_expiry.into()),
            keep_alive: terms.keep_alive,
            max_packet: terms.max_packet,
            born: None,
            aliases: HashMap::new(),
            calls: Calls::default(),
            last_packet_id: 0,
            end: "the cloud closed the connection".to_owned(),
        };
        (session, inbox)
    }

    async fn run(
        &mut self,
        link: &mut Link<Stream>,
        mut inbox: UnboundedReceiver<ToSession>,
        properties: Vec<Property>,
    ) -> Result<Ended, LinkError> {
        link.connack5(self.resumed, 0, properties).await?;
        let mut silent_since = Instant::now();
        loop {
            let silence = silent_since + patience(self.keep_alive);
            tokio::select! {
                packet = link.recv() => {
                    let packet = packet?;
                    silent_since = Instant::now();
                    if matches!(packet, Packet::Disconnect) {
                        return Ok((None, "by the device".to_owned()));
                    }
                    self.handle(link, packet).await?;
                }
                message = inbox.recv() => match message {
                    Some(ToSession::Close(reason)) => {
                        let code = if reason == TAKEN_OVER {
                            reason::SESSION_TAKEN_OVER
                        } else {
                            reason::ADMINISTRATIVE_ACTION
                        };
                        return Ok((Some(code), reason));
                    }
                    None => return Ok((Some(reason::NOT_AUTHORIZED), "device deleted".to_owned())),
                    Some(message) => self.forward(link, message).await?,
                },
                () = sleep_until(silence) => {
                    let reason = "nothing within 1.5 times the keep-alive".to_owned();
                    return Ok((Some(reason::KEEP_ALIVE_TIMEOUT), reason));
                }
                () = at(self.calls.deadline()) => self.calls.expire(Instant::now()),
            }
        }
    }

    /// What the back end has for the device.
    async fn forward(&mut self, link: &mut Link<Stream>, message: ToSession) -> Result<(), LinkError> {
        match message {
            ToSession::Desired { version, patch } => {
                // Without its birth the device fetches the whole.
                let Some(nonce) = self.born else { return Ok(()) };
                let patch = DesiredPatch { version, payload: patch };
                self.send(link, Outgoing::new("twin", "desired-patch:1", nonce, &patch)).await
            }
            ToSession::Call(call) => self.probe(link, call).await,
            // These are for classic hubs; a hub of this kind refuses what leads to them.
            ToSession::Wake | ToSession::Publish { .. } | ToSession::Close(_) => Ok(()),
        }
    }

    /// Sends a message, if the device is subscribed and takes packets as large.
    async fn send(&mut self, link: &mut Link<Stream>, message: Outgoing<'_>) -> Result<(), LinkError> {
        if self.device.with(|device| device.listens(Subscription::DeviceBound)) != Some(true) {
            return Ok(());
        }
        let topic = format!("ih/{}/dev/{}", self.device.id, message.channel);
        let mut properties: Vec<Property> = vec![
            UserProperty::new("type", message.kind).map_err(encoding)?.into(),
            ContentType::new(CONTENT_TYPE).map_err(encoding)?.into(),
            CorrelationData::new(message.correlation.to_vec()).map_err(encoding)?.into(),
        ];
        if let Some(seconds) = message.expiry {
            properties.push(MessageExpiryInterval::new(seconds).map_err(encoding)?.into());
        }
        let id = message.expiry.is_some().then(|| {
            self.last_packet_id = self.last_packet_id.wrapping_add(1).max(1);
            self.last_packet_id
        });
        let bytes = Link::<Stream>::encode_publish5(&topic, &message.body, id, properties)?;
        if bytes.len() > self.max_packet {
            // MQTT 5, 3.1.2.11.4: it is dropped.
            let text = format!(
                "{}: {} of {} bytes is more than the device takes",
                self.device.id,
                message.kind,
                bytes.len()
            );
            self.device.shared.events.emit(&Event::Notice { text });
            return Ok(());
        }
        link.send(PacketKind::Publish, Some(&topic), bytes).await
    }

    async fn handle(&mut self, link: &mut Link<Stream>, packet: Packet) -> Result<(), LinkError> {
        match packet {
            Packet::Connect(_) | Packet::Connect5(_) => {
                Err(LinkError::Refused(reason::PROTOCOL_ERROR, "second CONNECT".to_owned()))
            }
            Packet::Publish(publish) => self.publish(link, publish).await,
            Packet::Subscribe { id, filters } => {
                let granted: Vec<_> =
                    filters.iter().map(|(filter, qos)| self.subscribe(filter, *qos)).collect();
                link.suback5(id, &granted).await
            }
            Packet::Unsubscribe { id, filters } => {
                let existed: Vec<_> = filters.iter().map(|filter| self.unsubscribe(filter)).collect();
                link.unsuback5(id, &existed).await
            }
            Packet::Pingreq => link.pingresp().await,
            // What is not acknowledged is not sent again: the connect budget of a call is shorter than a reconnect.
            Packet::Puback(_) | Packet::Disconnect => Ok(()),
        }
    }

    fn is_own_filter(&self, filter: &str) -> bool {
        filter.strip_prefix("ih/").and_then(|rest| rest.strip_suffix("/dev/#")) == Some(&self.device.id)
    }

    fn subscribe(&self, filter: &str, qos: Qos) -> Option<Qos> {
        if !self.is_own_filter(filter) || !self.device.shared.config.tier.has_cloud_to_device() {
            let reason =
                format!("a device subscribes to ih/{}/dev/# and nothing else: {filter:?}", self.device.id);
            self.device.shared.refused(Endpoint::Hub, &self.device.id, reason);
            return None;
        }
        self.device.with(|device| device.subscriptions.insert(Subscription::DeviceBound))?;
        Some(if qos == Qos::AtMostOnce { qos } else { Qos::AtLeastOnce })
    }

    fn unsubscribe(&self, filter: &str) -> bool {
        self.is_own_filter(filter)
            && self.device.with(|device| device.subscriptions.remove(&Subscription::DeviceBound))
                == Some(true)
    }

    async fn publish(&mut self, link: &mut Link<Stream>, mut publish: Publish) -> Result<(), LinkError> {
        self.resolve_alias(&mut publish)?;
        if publish.qos == Qos::ExactlyOnce {
            return Err(LinkError::Refused(reason::QOS_NOT_SUPPORTED, "PUBLISH with QoS 2".to_owned()));
        }
        if publish.retain {
            let what = "PUBLISH with RETAIN".to_owned();
            return Err(LinkError::Refused(reason::RETAIN_NOT_SUPPORTED, what));
        }
        let channel = publish
            .topic
            .strip_prefix("ih/")
            .and_then(|rest| rest.strip_prefix(self.device.id.as_str()))
            .and_then(|rest| rest.strip_prefix("/srv/"));
        let done = match channel {
            Some("presence") => self.presence(link, &publish).await,
            Some("telemetry") => self.telemetry(&publish),
            Some("twin") => self.twin(link, &publish).await,
            Some("methods") => self.method(link, &publish).await,
            _ => Err(Problem::Refused(
                reason::NOT_AUTHORIZED,
                format!("no topic of this device: {:?}", publish.topic),
            )),
        };
        let code = match done {
            Ok(()) => 0,
            Err(Problem::Link(e)) => return Err(e),
            Err(Problem::Refused(code, what)) => {
                if publish.id.is_none() {
                    return Err(LinkError::Refused(code, what));
                }
                self.device.shared.refused(Endpoint::Hub, &self.device.id, what);
                code
            }
        };
        match publish.id {
            Some(id) => link.puback5(id, code).await,
            None => Ok(()),
        }
    }

    /// Puts the topic in the place of its alias (MQTT 5, 3.3.2.3.4).
    fn resolve_alias(&mut self, publish: &mut Publish) -> Result<(), LinkError> {
        let invalid = |what: &str| LinkError::Refused(reason::TOPIC_ALIAS_INVALID, what.to_owned());
        match publish.alias() {
            None if publish.topic.is_empty() => {
                Err(LinkError::Refused(reason::TOPIC_NAME_INVALID, "PUBLISH without topic".to_owned()))
            }
            None => Ok(()),
            Some(alias) if alias == 0 || alias > MAX_ALIAS => Err(invalid("topic alias beyond the maximum")),
            Some(alias) if publish.topic.is_empty() => {
                publish.topic = self.aliases.get(&alias).cloned().ok_or(invalid("unknown topic alias"))?;
                Ok(())
            }
            Some(alias) => {
                self.aliases.insert(alias, publish.topic.clone());
                Ok(())
            }
        }
    }

    fn telemetry(&self, publish: &Publish) -> Result<(), Problem> {
        if kind(publish) != Some("telemetry:1") {
            return Err(problem("telemetry without the user property type=telemetry:1"));
        }
        let mut properties = Properties::new();
        for (name, value) in publish.user_properties().filter(|(name, _)| *name != "type") {
            if name.is_empty() {
                return Err(problem("a user property without a name"));
            }
            let name = if name == "content-type" { "$.ct" } else { name };
            properties.push(name, Some(value.to_owned()));
        }
        if let Some(content_type) = publish.content_type()
            && !properties.contains("$.ct")
        {
            properties.push("$.ct", Some(content_type.to_owned()));
        }
        let size = publish.payload.len() + properties.billed_size();
        if size > MAX_TELEMETRY {
            return Err(Problem::Refused(reason::PACKET_TOO_LARGE, "message larger than 256 KB".to_owned()));
        }
        let quota = self.device.shared.count_message(size);
        quota.map_err(|e| Problem::Refused(reason::QUOTA_EXCEEDED, e.to_string()))?;
        let qos = u8::from(publish.qos != Qos::AtMostOnce);
        let (device, body) = (self.device.id.clone(), publish.payload.clone());
        self.device.shared.events.emit(&Event::Telemetry(Telemetry { device, properties, body, qos }));
        Ok(())
    }

    async fn presence(&mut self, link: &mut Link<Stream>, publish: &Publish) -> Result<(), Problem> {
        let (kind, nonce) = envelope(publish, Qos::AtMostOnce)?;
        if kind != "birth:1" {
            return Err(problem(format!("{kind:?} on srv/presence")));
        }
        let birth = Birth::decode(publish.payload.as_slice()).map_err(undecodable)?;
        let versions = self.device.with(|device| (device.twin.desired.version, device.twin.reported.version));
        let Some((desired_version, reported_version)) = versions else { return Ok(()) };
        if self.device.with(|device| device.listens(Subscription::DeviceBound)) != Some(true) {
            return Err(problem("birth before the subscription to its answer"));
        }
        self.born = Some(nonce);
        let ack = BirthAck { desired_version, reported_version };
        self.send(link, Outgoing::new("presence", "birth-ack:1", nonce, &ack)).await?;
        let desired = birth.push_desired && birth.desired_version != desired_version;
        let reported = birth.push_reported && birth.reported_version != reported_version;
        if desired || reported {
            let push = TwinPush {
                desired: desired.then(|| self.section(|twin| &twin.desired)).flatten(),
                reported: reported.then(|| self.section(|twin| &twin.reported)).flatten(),
            };
            self.send(link, Outgoing::new("twin", "twin-push:1", nonce, &push)).await?;
        }
        Ok(())
    }
}

/// Why a message of the device is not taken.
enum Problem {
    Link(LinkError),
    /// Reason code, and words.
    Refused(u8, String),
}

impl From<LinkError> for Problem {
    fn from(e: LinkError) -> Self {
        Self::Link(e)
    }
}

fn problem(what: impl Into<String>) -> Problem {
    Problem::Refused(reason::PAYLOAD_FORMAT_INVALID, what.into())
}

#[allow(clippy::needless_pass_by_value)] // for map_err
fn undecodable(e: prost::DecodeError) -> Problem {
    problem(format!("the body is not a message of its type: {e}"))
}

/// The one user property that says what a message is.
fn kind(publish: &Publish) -> Option<&str> {
    let mut kinds = publish.user_properties().filter(|(name, _)| *name == "type");
    let kind = kinds.next()?.1;
    kinds.next().is_none().then_some(kind)
}

/// What every message but telemetry has: its kind and correlation data of 16 bytes.
fn envelope(publish: &Publish, qos: Qos) -> Result<(&str, Id), Problem> {
    let kind = kind(publish).ok_or_else(|| problem("a message without one user property type"))?;
    if publish.qos != qos {
        let what = format!("{kind:?} whose QoS is not {}", qos as u8);
        return Err(Problem::Refused(reason::QOS_NOT_SUPPORTED, what));
    }
    if publish.content_type() != Some(CONTENT_TYPE) {
        return Err(problem(format!("{kind:?} without the content type {CONTENT_TYPE}")));
    }
    let id = publish.correlation();
    Ok((kind, id.ok_or_else(|| problem(format!("{kind:?} without correlation data of 16 bytes")))?))
}
