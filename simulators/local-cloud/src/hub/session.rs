//! One MQTT session of a device with the hub.

use std::sync::Arc;
use std::time::Duration;

use mqtt_protocol_core::mqtt::packet::{Qos, v3_1_1::Connect};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep_until};

use super::auth::{self, Admitted};
use super::c2d::Next;
use super::connected::ConnectedDevice;
use super::issue;
use super::topic::{self, Request, Subscription};
use super::{Device, MethodResponse, ToSession};
use crate::event::{Event, Telemetry};
use crate::fault::Endpoint;
use crate::mqtt::{Link, LinkError, Packet, Publish};
use crate::properties::Properties;
use crate::server::{Caller, Stream, patience};
use crate::shared::Shared;
use crate::tls::TlsVersion;
use crate::{clock, dps, percent};

/// Bytes of a telemetry message with its properties.
pub(crate) const MAX_TELEMETRY: usize = 262_144;
/// Subscriptions of one device.
const MAX_SUBSCRIPTIONS: usize = 5;

pub(crate) async fn serve(shared: &Arc<Shared>, mut link: Link<Stream>, caller: &Caller, connect: &Connect) {
    let verdict = match shared.faults.take_refusal(Endpoint::Hub) {
        Some(code) => Err((code, "fault on request".to_owned())),
        None => auth::connect(shared, connect, caller),
    };
    match verdict {
        Ok(admitted) => {
            let (mut session, inbox) = Session::begin(shared, connect, caller.tls, &admitted);
            session.end = match session.run(&mut link, inbox).await {
                Ok(reason) => reason,
                Err(e) => e.to_string(),
            };
        }
        Err((code, reason)) => {
            shared.refused(Endpoint::Hub, connect.client_id(), reason);
            let _ = link.connack(false, code).await;
        }
    }
    link.close().await;
}

/// The API version that the device announces in its user name.
fn api_version(connect: &Connect) -> &str {
    let query =
        connect.user_name().and_then(|name| name.split_once("/?api-version=")).map(|(_, query)| query);
    query.and_then(|query| query.split('&').next()).unwrap_or_default()
}

/// A session that has been let in. Dropping it, in whatever way the connection ends, signs the device off.
struct Session {
    device: ConnectedDevice,
    resumed: bool,
    keep_alive: u16,
    expiry: Option<Instant>,
    /// Its API version knows of certificates.
    issues: bool,
    will: Option<(Properties, Vec<u8>)>,
    end: String,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.device.sign_off(|device| {
            device.c2d.unlock_all();
            if !device.stored_session {
                device.subscriptions.clear();
            }
        });
        if let Some((properties, body)) = self.will.take() {
            let properties = properties.with("iothub-MessageType", "Will");
            self.emit(&Event::Telemetry(Telemetry {
                device: self.device.id.clone(),
                properties,
                body,
                qos: 0,
            }));
        }
        let reason = std::mem::take(&mut self.end);
        self.emit(&Event::Disconnected { device: self.device.id.clone(), reason });
    }
}

/// The model that the device announces in its user name.
fn model_id(connect: &Connect) -> Option<String> {
    let (_, query) = connect.user_name()?.split_once("/?")?;
    let (_, value) = percent::pairs(query).find(|(name, _)| *name == "model-id")?;
    percent::decode(value?)
}

impl Session {
    /// Takes the device over from an older connection.
    fn begin(
        shared: &Arc<Shared>,
        connect: &Connect,
        tls: TlsVersion,
        admitted: &Admitted,
    ) -> (Self, UnboundedReceiver<ToSession>) {
        let id = connect.client_id();
        let mut resumed = false;
        let prepare = |device: &mut Device| {
            device.c2d.unlock_all();
            if connect.clean_session() {
                device.subscriptions.clear();
                device.c2d.clear();
            }
            resumed = device.stored_session && !connect.clean_session();
            device.stored_session = !connect.clean_session();
            device.record.model_id = model_id(connect).unwrap_or_default();
        };
        let (device, inbox) = ConnectedDevice::take_over(shared, admitted.hub, id, false, tls, prepare);
        let expiry = admitted.expiry.map(|at| {
            let left = Duration::from_secs(at.saturating_sub(shared.faults.now()));
            // A token may be valid for longer than a clock can count.
            Instant::now() + left.min(Duration::from_hours(24 * 365))
        });
        let will = connect.will_topic().and_then(|will| {
            let properties = Properties::parse(topic::telemetry_bag(id, will)?)?;
            Some((properties, connect.will_payload().unwrap_or_default().to_vec()))
        });
        let session = Self {
            device,
            resumed,
            keep_alive: connect.keep_alive(),
            expiry,
            issues: api_version(connect) >= issue::API_VERSION,
            will,
            end: "the cloud closed the connection".to_owned(),
        };
        (session, inbox)
    }

    fn emit(&self, event: &Event) {
        self.device.shared.events.emit(event);
    }

    async fn run(
        &mut self,
        link: &mut Link<Stream>,
        mut inbox: UnboundedReceiver<ToSession>,
    ) -> Result<String, LinkError> {
        link.connack(self.resumed, 0).await?;
        let mut silent_since = Instant::now();
        self.deliver(link).await?;
        loop {
            let silence = silent_since + patience(self.keep_alive);
            let unlock = self.device.with(|device| device.c2d.next_unlock()).flatten();
            tokio::select! {
                packet = link.recv() => {
                    let packet = packet?;
                    silent_since = Instant::now();
                    if matches!(packet, Packet::Disconnect) {
                        self.will = None;
                        return Ok("by the device".to_owned());
                    }
                    self.handle(link, packet).await?;
                }
                message = inbox.recv() => match message {
                    Some(ToSession::Wake) => self.deliver(link).await?,
                    Some(ToSession::Publish { topic, payload }) => {
                        link.publish(&topic, &payload, None, false).await?;
                    }
                    Some(ToSession::Close(reason)) => return Ok(reason),
                    // Not at a classic hub.
                    Some(ToSession::Desired { .. } | ToSession::Call(_)) => {}
                    None => return Ok("device deleted".to_owned()),
                },
                () = sleep_until(silence) => return Ok("nothing within 1.5 times the keep-alive".to_owned()),
                () = at(self.expiry) => return Ok("the token has expired".to_owned()),
                () = at(unlock) => self.deliver(link).await?,
            }
        }
    }

    /// Sends every cloud-to-device message that is due.
    async fn deliver(&self, link: &mut Link<Stream>) -> Result<(), LinkError> {
        let config = &self.device.shared.config;
        loop {
            let next = self.device.with(|device| {
                let acknowledged = device.subscriptions.contains(&Subscription::CloudToDevice);
                if !acknowledged && !device.subscriptions.contains(&Subscription::CloudToDeviceQos0) {
                    return None;
                }
                if device.c2d.len() == 0 {
                    return None;
                }
                let (now, time) = (Instant::now(), clock::unix_millis());
                let next = device.c2d.next(now, time, config.c2d_lock, config.c2d_max_deliveries)?;
                Some((next, acknowledged))
            });
            let Some((next, acknowledged)) = next.flatten() else {
                return Ok(());
            };
            let device = self.device.id.clone();
            match next {
                Next::DeadLetter(message_id) => self.emit(&Event::C2dDeadLettered { device, message_id }),
                Next::Expired(message_id) => self.emit(&Event::C2dExpired { device, message_id }),
                Next::Deliver { message, dup } => {
                    let topic = topic::c2d(&self.device.id, &message.properties);
                    let packet_id = acknowledged.then_some(message.packet_id);
                    link.publish(&topic, &message.body, packet_id, dup).await?;
                    if !acknowledged {
                        self.complete(message.packet_id);
                    }
                }
            }
        }
    }

    fn complete(&self, packet_id: u16) {
        if let Some(message_id) = self.device.with(|device| device.c2d.complete(packet_id)).flatten() {
            self.emit(&Event::C2dCompleted { device: self.device.id.clone(), message_id });
        }
    }

    async fn handle(&mut self, link: &mut Link<Stream>, packet: Packet) -> Result<(), LinkError> {
        match packet {
            Packet::Connect(_) | Packet::Connect5(_) => Err(violation("second CONNECT")),
            Packet::Publish(publish) => self.publish(link, publish).await,
            Packet::Puback(id) => {
                self.complete(id);
                Ok(())
            }
            Packet::Subscribe { id, filters } => {
                let granted = self.subscribe(&filters)?;
                link.suback(id, &granted).await?;
                self.deliver(link).await
            }
            Packet::Unsubscribe { id, filters } => {
                for filter in filters {
                    if let Some(subscription) = topic::subscription(&self.device.id, &filter) {
                        self.device.with(|device| {
                            device.subscriptions.remove(&subscription);
                            if subscription == Subscription::CloudToDevice {
                                device.subscriptions.remove(&Subscription::CloudToDeviceQos0);
                            }
                        });
                    }
                }
                link.unsuback(id).await
            }
            Packet::Pingreq => link.pingresp().await,
            Packet::Disconnect => Ok(()),
        }
    }

    fn subscribe(&self, filters: &[(String, Qos)]) -> Result<Vec<Option<Qos>>, LinkError> {
        let mut granted = Vec::new();
        for (filter, qos) in filters {
            let qos = if *qos == Qos::AtMostOnce { *qos } else { Qos::AtLeastOnce };
            let subscription = topic::subscription(&self.device.id, filter)
                .filter(|subscription| self.issues || *subscription != Subscription::Certificates)
                .ok_or_else(|| violation(format!("unknown topic filter {filter:?}")))?;
            if !self.device.shared.config.tier.has_cloud_to_device() {
                let reason = format!("the basic tier has no subscriptions: {filter}");
                self.device.shared.refused(Endpoint::Hub, &self.device.id, reason);
                granted.push(None);
                continue;
            }
            self.device.with(|device| {
                if subscription == Subscription::CloudToDevice {
                    // A newer subscription replaces the one before (MQTT 3.1.1, 3.8.4).
                    device.subscriptions.remove(&Subscription::CloudToDeviceQos0);
                    device.subscriptions.remove(&Subscription::CloudToDevice);
                }
                device.subscriptions.insert(match (subscription, qos) {
                    (Subscription::CloudToDevice, Qos::AtMostOnce) => Subscription::CloudToDeviceQos0,
                    (other, _) => other,
                });
            });
            granted.push(Some(qos));
        }
        let count = self.device.with(|device| device.subscriptions.len()).unwrap_or_default();
        if count > MAX_SUBSCRIPTIONS {
            return Err(violation("more than five subscriptions"));
        }
        Ok(granted)
    }

    async fn publish(&mut self, link: &mut Link<Stream>, publish: Publish) -> Result<(), LinkError> {
        if publish.qos == Qos::ExactlyOnce {
            return Err(violation("PUBLISH with QoS 2"));
        }
        let request = topic::request(&self.device.id, &publish.topic)
            .filter(|request| self.issues || !matches!(request, Request::IssueCertificate { .. }))
            .ok_or_else(|| violation(format!("unknown topic {:?}", publish.topic)))?;
        let answer = match request {
            Request::Telemetry(properties) => {
                self.telemetry(properties, &publish)?;
                None
            }
            Request::TwinGet { .. } | Request::TwinPatch { .. } | Request::MethodAnswer { .. }
                if !self.device.shared.config.tier.has_cloud_to_device() =>
            {
                return Err(violation("403010 the basic tier has no twins and no methods"));
            }
            Request::TwinGet { rid } => Some(self.twin_get(rid)),
            Request::TwinPatch { rid } => Some(self.twin_patch(rid, &publish.payload)),
            Request::MethodAnswer { status, rid } => {
                self.method_answer(status, rid, &publish.payload);
                None
            }
            Request::IssueCertificate { rid } => {
                if let Some(id) = publish.id {
                    link.puback(id).await?;
                }
                issue::request(&self.device.shared, self.device.hub, &self.device.id, rid, &publish.payload);
                return Ok(());
            }
        };
        if let Some(id) = publish.id {
            link.puback(id).await?;
        }
        let listening = self.device.with(|device| device.listens(Subscription::TwinAnswers));
        if let (Some((topic, body)), Some(true)) = (answer, listening) {
            link.publish(&topic, body.as_bytes(), None, false).await?;
        }
        Ok(())
    }

    fn telemetry(&self, mut properties: Properties, publish: &Publish) -> Result<(), LinkError> {
        if publish.payload.len() + properties.billed_size() > MAX_TELEMETRY {
            return Err(violation("message larger than 256 KB"));
        }
        let size = publish.payload.len() + properties.billed_size();
        self.device.shared.count_message(size).map_err(|e| violation(format!("403002 {e}")))?;
        if publish.retain {
            properties.push("mqtt-retain", Some("true".to_owned()));
        }
        let qos = u8::from(publish.qos != Qos::AtMostOnce);
        let (device, body) = (self.device.id.clone(), publish.payload.clone());
        self.emit(&Event::Telemetry(Telemetry { device, properties, body, qos }));
        Ok(())
    }

    fn twin_get(&self, rid: &str) -> (String, String) {
        if let Some(status) = self.device.shared.faults.take_twin_answer() {
            return twin_error(status, rid, "fault on request");
        }
        match self.device.with(|device| device.twin.document()) {
            Some(twin) => (format!("$iothub/twin/res/200/?$rid={rid}"), twin.to_string()),
            None => twin_error(404, rid, "unknown device"),
        }
    }

    fn twin_patch(&self, rid: &str, body: &[u8]) -> (String, String) {
        if let Some(status) = self.device.shared.faults.take_twin_answer() {
            return twin_error(status, rid, "fault on request");
        }
        let Ok(Value::Object(patch)) = serde_json::from_slice(body) else {
            return twin_error(400, rid, "the patch is not a JSON object");
        };
        match self.device.with(|device| device.twin.reported.patch(&patch)) {
            Some(Ok(version)) => {
                let patch = Value::Object(patch);
                self.emit(&Event::TwinReported { device: self.device.id.clone(), patch, version });
                (format!("$iothub/twin/res/204/?$rid={rid}&$version={version}"), String::new())
            }
            Some(Err(reason)) => twin_error(400, rid, reason),
            None => twin_error(404, rid, "unknown device"),
        }
    }

    fn method_answer(&self, status: i32, rid: &str, body: &[u8]) {
        // An answer that nobody waits for any more is dropped.
        if let Some(pending) = self.device.with(|device| device.methods.remove(rid)).flatten() {
            let body = body.to_vec();
            let event = Event::MethodAnswered {
                device: self.device.id.clone(),
                method: pending.name,
                status,
                body: body.clone(),
            };
            self.emit(&event);
            let _ = pending.answer.send(MethodResponse { status, body });
        }
    }
}

fn twin_error(status: u16, rid: &str, message: &str) -> (String, String) {
    let body = json!({
        "errorCode": u32::from(status) * 1000 + 4,
        "trackingId": dps::tracking_id(),
        "message": message,
        "timestampUtc": clock::now(),
    });
    (format!("$iothub/twin/res/{status}/?$rid={rid}"), body.to_string())
}

fn violation(what: impl Into<String>) -> LinkError {
    LinkError::Malformed(what.into())
}

/// Waits until then, or for ever.
pub(super) async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
