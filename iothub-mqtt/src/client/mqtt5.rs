//! The client at a hub of the new generation: presence, methods in their four steps, the twin by version.

use super::event::{HubEvent, ReportFailure, RequestId, Subscription};
use super::twin_state::TwinState;
use super::{Client, RESERVED, Stage, method, twin};
use crate::clock::{left, now_ms};
use crate::error::{Error, Refusal};
use crate::mqtt5::method::{
    Abandonment, Exec, Probe, Rejection, abandon, margin_s, ready, rejected, result_head,
};
use crate::mqtt5::{self, CONTENT_TYPE, Channel, ID_SIZE, Id, Kind, presence, twin as body};
use crate::session::{Attributes, Inbound, MAX_PROPERTIES, Mqtt, Outbound, Progress, QoS, Ticket};
use crate::telemetry::Telemetry;
use azure_iot_common::text::Writer;
use embassy_time::with_timeout;
use heapless::Vec;

/// Calls that are probed, wait or run at once, those that are turned away among them.
const CALLS: usize = 4;

/// Of these, calls the application may have at once.
const MAX_ACCEPTED: usize = 3;

/// Longest name of a method, in bytes; the service takes no longer one.
const MAX_NAME: usize = 100;

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The probe is to be answered.
    Probed,
    /// It is to be turned away.
    Rejected(Rejection),
    /// The hub was told that the device is ready.
    Ready,
    /// It is given up before it ran; the hub is to be told.
    Abandoned(Abandonment),
    /// The application has it.
    Running,
}

/// A call of a method.
#[derive(Debug)]
struct Call {
    request: Id,
    ready: Id,
    name: heapless::String<MAX_NAME>,
    response_timeout_s: u32,
    step: Step,
    /// Until when somebody waits for the next step.
    until_ms: u64,
}

/// What the client of such a hub keeps.
#[derive(Debug)]
pub(super) struct State {
    nonce: Id,
    /// The hub is yet to be told that the device is connected.
    announce: bool,
    /// Version of the reported properties.
    reported: u64,
    calls: Vec<Call, CALLS>,
    next_ready: u32,
    /// The request id of the call given to the application last, in hexadecimal digits.
    given: [u8; 2 * ID_SIZE],
}

impl State {
    pub(super) fn new(seed: u32) -> Self {
        Self {
            nonce: mqtt5::nonce(seed),
            announce: false,
            reported: 0,
            calls: Vec::new(),
            next_ready: 0,
            given: [0; 2 * ID_SIZE],
        }
    }

    /// An id of this connection: its nonce with a number in the place of the last four bytes.
    fn id(&self, number: u32) -> Id {
        let mut id = self.nonce;
        if let Some(tail) = id.last_chunk_mut::<4>() {
            *tail = number.to_be_bytes();
        }
        id
    }

    /// The request that correlation data answers, if it is one of this connection.
    fn request(&self, correlation: &Id) -> Option<RequestId> {
        let number = u32::from_be_bytes(*correlation.last_chunk()?);
        (self.id(number) == *correlation).then_some(RequestId(number))
    }

    /// A probe. It is answered with the next poll; one that cannot be kept is not, and the caller's time runs out.
    fn probe(&mut self, request: Id, body: &[u8], expiry_s: Option<u32>, wanted: bool, now_ms: u64) {
        if self.calls.iter().any(|call| call.request == request) {
            return;
        }
        let Ok(probe) = Probe::parse(body) else { return };
        let accepted = |call: &&Call| !matches!(call.step, Step::Rejected(_));
        let margin = margin_s(probe.response_timeout_s);
        let (name, step) = match heapless::String::try_from(probe.name) {
            Ok(name) if wanted && !name.is_empty() => {
                if probe.response_timeout_s != 0 && probe.response_timeout_s <= margin {
                    (name, Step::Rejected(Rejection::TooLittleTime))
                } else if self.calls.iter().filter(accepted).count() >= MAX_ACCEPTED {
                    (name, Step::Rejected(Rejection::Busy))
                } else {
                    (name, Step::Probed)
                }
            }
            _ => (heapless::String::new(), Step::Rejected(Rejection::NotFound)),
        };
        self.next_ready = self.next_ready.wrapping_add(1);
        // Unlike request ids of the twin, which never meet these.
        let ready = self.id(self.next_ready);
        let wait_s = u64::from(expiry_s.unwrap_or(0))
            .saturating_add(probe.response_timeout_s.into())
            .saturating_add(margin.into());
        let until_ms = now_ms.saturating_add(wait_s * 1000);
        let response_timeout_s = probe.response_timeout_s;
        // No room: as above.
        let _ = self.calls.push(Call { request, ready, name, response_timeout_s, step, until_ms });
    }

    /// The hub lets a call go: what the application is given.
    fn exec<'a>(
        &'a mut self,
        request: &Id,
        body: &'a [u8],
        expiry_s: Option<u32>,
        now_ms: u64,
    ) -> Option<HubEvent<'a>> {
        let exec = Exec::parse(body).ok()?;
        let call = self.calls.iter_mut().find(|call| {
            call.request == *request && call.ready == exec.ready && matches!(call.step, Step::Ready)
        })?;
        if expiry_s.is_some_and(|left| left <= margin_s(call.response_timeout_s)) {
            call.step = Step::Abandoned(Abandonment::TooLittleTime);
            return None;
        }
        call.step = Step::Running;
        let wait_s = expiry_s.unwrap_or(call.response_timeout_s);
        call.until_ms = now_ms.saturating_add(u64::from(wait_s) * 1000);
        let mut text = Writer::new(&mut self.given);
        mqtt5::write_hex(&mut text, request);
        let request_id = text.finish_str().ok()?;
        Some(HubEvent::Method(method::Request { name: &call.name, request_id, payload: exec.payload }))
    }

    /// When something is to be done about a call, if nothing comes before.
    fn deadline_ms(&self) -> Option<u64> {
        self.calls.iter().map(|call| call.until_ms).min()
    }

    /// Gives up what was waited for too long.
    fn expire(&mut self, now_ms: u64) {
        for call in &mut self.calls {
            if call.step == Step::Ready && now_ms >= call.until_ms {
                call.step = Step::Abandoned(Abandonment::WaitedTooLong);
            }
        }
        self.calls.retain(|call| call.step != Step::Running || now_ms < call.until_ms);
    }
}

impl<L: Mqtt, const TOPIC: usize> Client<'_, L, TOPIC> {
    pub(super) async fn start_mqtt5(&mut self) -> Result<(), Error> {
        self.mqtt5 = State::new(self.options.seed);
        let until_ms = self.subscribe_until_ms();
        self.subscribe_mqtt5(until_ms).await
    }

    async fn subscribe_mqtt5(&mut self, until_ms: u64) -> Result<(), Error> {
        let mut buffer = [0; mqtt5::MAX_TOPIC];
        let filter = mqtt5::filter(&self.endpoint, &mut buffer)?;
        self.stage = match self.link.subscribe(&[filter]).await {
            Ok(ticket) => Stage::Subscribing { ticket, until_ms },
            Err(Error::Busy) => Stage::Full { until_ms },
            Err(error) => return Err(error),
        };
        Ok(())
    }

    /// Sends a message whose correlation data, if it has any, is an id of this connection or of a call.
    async fn publish_message(
        &mut self,
        channel: Channel,
        kind: Kind,
        correlation: &Id,
        body: (&[u8], &[u8]),
        (qos, expiry_s): (QoS, Option<u32>),
    ) -> Result<(), Error> {
        let topic = channel.topic(&self.endpoint, &mut self.topic)?;
        let (head, payload) = body;
        let ticket = self
            .link
            .send(&Outbound {
                topic,
                head,
                payload,
                qos,
                kind,
                correlation: Some(correlation),
                expiry_s,
                content_type: Some(CONTENT_TYPE),
                properties: &[],
            })
            .await?;
        self.link.forget(ticket);
        Ok(())
    }

    /// Publishes the birth; `false` if there is no room for it yet.
    async fn publish_birth(&mut self, until_ms: u64) -> Result<bool, Error> {
        // Noted first: if this future is dropped, the birth may be on its way already.
        self.stage = Stage::Born { until_ms };
        let mut buffer = [0; presence::MAX_BIRTH];
        let body = presence::birth(false, &mut buffer)?;
        let nonce = self.mqtt5.nonce;
        let how = (QoS::AtMostOnce, None);
        match self.publish_message(Channel::Presence, Kind::Birth, &nonce, (body, &[]), how).await {
            Ok(()) => Ok(true),
            Err(Error::Busy) => {
                self.stage = Stage::Subscribed { until_ms };
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Tells the hub what became of calls. What finds no room now has its turn later.
    async fn settle_calls(&mut self, now_ms: u64) -> Result<(), Error> {
        self.mqtt5.expire(now_ms);
        for index in 0..CALLS {
            let Some(call) = self.mqtt5.calls.get_mut(index) else { continue };
            let mut buffer = [0; mqtt5::method::MAX_PROBE_ACK];
            let mut abandoned = [0; mqtt5::method::MAX_ABANDON];
            let (before, request) = (call.step, call.request);
            let (kind, body) = match before {
                Step::Probed => (Kind::ProbeAck, ready(&call.ready, &mut buffer)?),
                Step::Rejected(reason) => (Kind::ProbeAck, rejected(reason, &mut buffer)?),
                Step::Abandoned(reason) => (Kind::Abandon, abandon(&call.ready, reason, &mut abandoned)?),
                Step::Ready | Step::Running => continue,
            };
            // Noted first: if this future is dropped, the message may be on its way already.
            if before == Step::Probed {
                call.step = Step::Ready;
            }
            let expiry = Some(call.response_timeout_s.max(1));
            let sent = self
                .publish_message(Channel::Methods, kind, &request, (body, &[]), (QoS::AtLeastOnce, expiry))
                .await;
            match sent {
                Ok(()) => {}
                Err(Error::Busy) => {
                    if let Some(call) = self.mqtt5.calls.get_mut(index) {
                        call.step = before;
                    }
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
            if before != Step::Probed {
                self.mqtt5.calls.retain(|call| call.request != request);
                // The one behind it has moved up; it has its turn in the next poll.
                return Ok(());
            }
        }
        Ok(())
    }

    pub(super) async fn poll_mqtt5(&mut self) -> Result<Option<HubEvent<'_>>, Error> {
        let now = now_ms();
        let mut deadline = self.twin.deadline_ms();
        match self.stage {
            Stage::New => deadline = None,
            Stage::Full { until_ms } => {
                self.subscribe_mqtt5(until_ms).await?;
                if now >= until_ms {
                    return Err(Error::Timeout("room to subscribe"));
                }
                deadline = Some(until_ms);
            }
            Stage::Subscribing { ticket, until_ms } => match self.link.progress(ticket) {
                Progress::Done => {
                    self.stage = Stage::Subscribed { until_ms: self.subscribe_until_ms() };
                    return Ok(None);
                }
                Progress::Pending if now < until_ms => deadline = Some(until_ms),
                Progress::Pending => return Err(Error::Timeout("SUBACK")),
                // Without this one there is nothing for a device to do here.
                Progress::Refused(_) => return Err(Error::ConnectionRefused(Refusal::NotAuthorized)),
                Progress::Lost => return Err(Error::Disconnected),
            },
            Stage::Subscribed { until_ms } => {
                if self.publish_birth(until_ms).await? {
                    return Ok(None);
                }
                if now >= until_ms {
                    return Err(Error::Timeout("room for the birth"));
                }
                deadline = Some(until_ms);
            }
            Stage::Born { until_ms } => {
                if now >= until_ms {
                    return Err(Error::Timeout("answer to the birth"));
                }
                deadline = Some(until_ms);
            }
            Stage::Connected => {
                if core::mem::take(&mut self.mqtt5.announce) {
                    return Ok(Some(HubEvent::Connected));
                }
                if let Some(request) = self.twin.expired(now) {
                    return Ok(Some(HubEvent::Reported { request, result: Err(ReportFailure::TimedOut) }));
                }
                self.settle_calls(now).await?;
                if self.ask_for_twin_mqtt5(now).await? {
                    return Ok(None);
                }
                deadline = deadline.into_iter().chain(self.mqtt5.deadline_ms()).min();
            }
        }
        let polled = match deadline {
            None => self.link.poll().await,
            Some(until_ms) => match with_timeout(left(until_ms), self.link.poll()).await {
                Ok(polled) => polled,
                // The deadline has its turn in the next call.
                Err(_) => return Ok(None),
            },
        };
        let Some(Inbound { topic, payload, attributes, .. }) = polled? else { return Ok(None) };
        let Attributes { kind, correlation, expiry_s } = attributes;
        let born = matches!(self.stage, Stage::Connected);
        Ok(match (Channel::parse(&self.endpoint, topic), kind, correlation) {
            (Some(Channel::Presence), Some(Kind::BirthAck), Some(nonce)) => {
                if nonce != self.mqtt5.nonce || !matches!(self.stage, Stage::Born { .. }) {
                    return Ok(None);
                }
                self.mqtt5.reported = presence::BirthAck::parse(payload)?.reported_version;
                self.stage = Stage::Connected;
                crate::logging::debug!("hub: the birth is acknowledged");
                if self.options.messages {
                    self.mqtt5.announce = true;
                    // These hubs send none.
                    Some(HubEvent::SubscriptionRefused(Subscription::Messages))
                } else {
                    Some(HubEvent::Connected)
                }
            }
            (Some(Channel::Methods), Some(Kind::Probe), Some(request)) if born => {
                self.mqtt5.probe(request, payload, expiry_s, self.options.methods, now_ms());
                None
            }
            (Some(Channel::Methods), Some(Kind::Exec), Some(request)) if born => {
                self.mqtt5.exec(&request, payload, expiry_s, now_ms())
            }
            (Some(Channel::Twin), Some(kind), Some(correlation)) if born => {
                if self.twin.enabled {
                    twin_message(&mut self.mqtt5, &mut self.twin, (kind, correlation), payload)
                } else {
                    None
                }
            }
            // Of an earlier connection, or out of its place.
            (Some(_), Some(_), _) => None,
            _ => Some(HubEvent::Other { topic, payload }),
        })
    }
}

impl<L: Mqtt, const TOPIC: usize> Client<'_, L, TOPIC> {
    /// Asks for the whole twin if that is due; `true` if something changed.
    async fn ask_for_twin_mqtt5(&mut self, now_ms: u64) -> Result<bool, Error> {
        if !self.twin.enabled {
            return Ok(false);
        }
        let random = self.twin.jitter.draw();
        if !self.twin.tracker.wants(now_ms, random) {
            return Ok(false);
        }
        let request = self.request_id();
        // Noted first: if this future is dropped, the request may be on its way already.
        self.twin.tracker.asked(request.0, now_ms);
        let mut buffer = [0; body::MAX_GET];
        let get = body::get(&mut buffer)?;
        let id = self.mqtt5.id(request.0);
        match self.publish_message(Channel::Twin, Kind::Get, &id, (get, &[]), (QoS::AtMostOnce, None)).await {
            Ok(()) => {}
            Err(Error::Busy) => self.twin.tracker.not_asked(now_ms),
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    pub(super) async fn send_mqtt5(&mut self, message: &Telemetry<'_>) -> Result<Option<Ticket>, Error> {
        let mut properties: Vec<(&str, &str), MAX_PROPERTIES> = Vec::new();
        message.user_properties(&mut properties)?;
        if message.qos == QoS::AtLeastOnce && self.link.room() <= RESERVED {
            return Err(Error::Busy);
        }
        let topic = Channel::Telemetry.topic(&self.endpoint, &mut self.topic)?;
        let message = Outbound {
            topic,
            head: &[],
            payload: message.payload,
            qos: message.qos,
            kind: Kind::Telemetry,
            correlation: None,
            expiry_s: None,
            content_type: message.content_type,
            properties: &properties,
        };
        self.link.send(&message).await
    }

    pub(super) async fn respond_mqtt5(
        &mut self,
        to: &method::ReplyTo,
        status: i32,
        payload: &[u8],
    ) -> Result<(), Error> {
        let request = mqtt5::parse_hex(to.as_str());
        let running = |call: &&Call| Some(call.request) == request && call.step == Step::Running;
        let Some(call) = self.mqtt5.calls.iter().find(running) else {
            // Nobody waits for it any more, or it is the answer to a call of an earlier connection.
            return Ok(());
        };
        let (request, until_ms) = (call.request, call.until_ms);
        let left_ms = until_ms.saturating_sub(now_ms());
        if left_ms > 0 {
            let expiry_s = u32::try_from(left_ms.div_ceil(1000)).unwrap_or(u32::MAX);
            let mut buffer = [0; mqtt5::method::MAX_RESULT_HEAD];
            let head = result_head(status, payload.len(), &mut buffer)?;
            let how = (QoS::AtLeastOnce, Some(expiry_s));
            self.publish_message(Channel::Methods, Kind::Result, &request, (head, payload), how).await?;
        }
        self.mqtt5.calls.retain(|call| call.request != request);
        Ok(())
    }

    pub(super) async fn report_mqtt5(&mut self, properties: &str) -> Result<RequestId, Error> {
        if !matches!(self.stage, Stage::Connected) {
            // Before the hub has told the version there is none to patch.
            return Err(Error::Busy);
        }
        // The reports on their way are going to be taken before this one.
        let version = self.mqtt5.reported.saturating_add(self.twin.reports() as u64);
        let request = self.request_id();
        let until_ms = now_ms().saturating_add(self.options.twin_timing.answer_ms.into());
        self.twin.add_report(request, until_ms)?;
        let mut buffer = [0; body::MAX_PATCH_HEAD];
        let head = body::reported_patch_head(version, properties.len(), &mut buffer)?;
        let id = self.mqtt5.id(request.0);
        let patch = (head, properties.as_bytes());
        let sent = self
            .publish_message(Channel::Twin, Kind::ReportedPatch, &id, patch, (QoS::AtMostOnce, None))
            .await;
        match sent {
            Ok(()) => Ok(request),
            Err(error) => {
                self.twin.end_report(request);
                Err(error)
            }
        }
    }
}

/// What a message about the twin means; `None` if it is of no interest.
fn twin_message<'a>(
    state: &mut State,
    known: &mut TwinState,
    (kind, correlation): (Kind, Id),
    payload: &'a [u8],
) -> Option<HubEvent<'a>> {
    let now = correlation == state.nonce;
    match kind {
        Kind::GetResponse if known.tracker.is_expected(state.request(&correlation)?.0) => {
            let document = body::GetResponse::parse(payload).and_then(|twin| {
                state.reported = twin.reported.version;
                let document = twin::Document::from_sections(
                    twin.desired.version,
                    twin.desired.payload,
                    twin.reported.payload,
                )?;
                Ok(document)
            });
            Some(whole_twin(known, document))
        }
        Kind::TwinPush if now => {
            let push = body::Push::parse(payload).ok()?;
            if let Some(reported) = push.reported {
                state.reported = reported.version;
            }
            let desired = push.desired?;
            let reported = push.reported.and_then(|section| section.payload);
            let document = twin::Document::from_sections(desired.version, desired.payload, reported);
            Some(whole_twin(known, document))
        }
        Kind::DesiredPatch if now => {
            let Ok(body::DesiredPatch(section)) = body::DesiredPatch::parse(payload) else {
                known.tracker.refresh();
                return None;
            };
            let Some(payload) = section.payload else {
                // It only tells the version.
                if known.tracker.version().is_some_and(|version| version < section.version) {
                    known.tracker.refresh();
                }
                return None;
            };
            known.change(twin::Message::Desired(twin::Desired { version: section.version, payload }))
        }
        Kind::ReportedPatchResponse => {
            let request = state.request(&correlation)?;
            if !known.end_report(request) {
                return None;
            }
            let response = body::PatchResponse::parse(payload).unwrap_or_default();
            if response.version != 0 {
                state.reported = response.version;
            }
            let status = response.status();
            let refused = ReportFailure::Refused { status, retry_after_s: None };
            let result = if status < 300 { Ok(Some(response.version)) } else { Err(refused) };
            Some(HubEvent::Reported { request, result })
        }
        _ => None,
    }
}

/// The whole twin came, or what should have been it.
fn whole_twin<'a>(known: &mut TwinState, document: Result<twin::Document<'a>, Error>) -> HubEvent<'a> {
    match document {
        Ok(document) => {
            known.tracker.document(Some(document.version()));
            HubEvent::Twin(document)
        }
        Err(error) => {
            known.tracker.unusable();
            HubEvent::TwinUnusable(error)
        }
    }
}
