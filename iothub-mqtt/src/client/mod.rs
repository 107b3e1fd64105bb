//! The hub client over one connection.

#[cfg(feature = "certificates")]
mod certificate_state;
mod dispatch;
mod event;
#[cfg(feature = "mqtt5-hub")]
mod mqtt5;
mod subscribe;
mod twin_state;

pub use event::{HubEvent, ReportFailure, RequestId, Subscription};

use crate::clock::{left, now_ms};
use crate::session::{Inbound, Mqtt, Progress, QoS, Ticket};
use crate::telemetry::Telemetry;
use crate::{Endpoint, Error, c2d, method, twin};
use azure_iot_common::backoff::Jitter;
use dispatch::{Topic, dispatch};
use embassy_time::with_timeout;
use subscribe::Subscriptions;
use twin_state::TwinState;

/// Of the session's eight places for messages on their way, those telemetry leaves free, so that answers to
/// the cloud do not wait behind it.
const RESERVED: usize = 2;

/// What a client wants of the hub.
#[allow(clippy::struct_excessive_bools, reason = "each is a subscription that is wanted or not")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ClientOptions {
    /// Cloud-to-device messages (a module: messages to its inputs).
    pub messages: bool,
    /// Direct methods.
    pub methods: bool,
    /// The twin: it is fetched after every connect, and changes come in order.
    pub twin: bool,
    /// Certificates that the hub issues ([`Client::request_certificate`]). Only for hubs that can: others close the
    /// connection over the subscription. Not by default.
    #[cfg(feature = "certificates")]
    pub certificates: bool,
    /// How long to wait for the hub's next word about a requested certificate, in milliseconds.
    #[cfg(feature = "certificates")]
    pub certificate_ms: u32,
    /// How long to wait for the hub to grant the subscriptions, in milliseconds.
    pub subscribe_ms: u32,
    /// Time limits of twin requests.
    pub twin_timing: twin::Timing,
    /// A random number, a new one for each connection: request ids begin with it, so that no late answer is
    /// taken for a new one, and waiting times are spread by it.
    pub seed: u32,
}

impl ClientOptions {
    /// Messages, methods and twin, 30 s for the subscriptions.
    #[must_use]
    pub fn new(seed: u32) -> Self {
        Self {
            messages: true,
            methods: true,
            twin: true,
            #[cfg(feature = "certificates")]
            certificates: false,
            #[cfg(feature = "certificates")]
            certificate_ms: 120_000,
            subscribe_ms: 30_000,
            twin_timing: twin::Timing::default(),
            seed,
        }
    }
}

/// How far the subscriptions are.
#[derive(Clone, Copy, Debug)]
enum Stage {
    New,
    /// A subscription is to be asked for; until now all room was taken by messages that an earlier connection left.
    Full {
        until_ms: u64,
    },
    Subscribing {
        ticket: Ticket,
        until_ms: u64,
    },
    /// The subscription is granted; the birth is to be sent.
    #[cfg(feature = "mqtt5-hub")]
    Subscribed {
        until_ms: u64,
    },
    /// The birth is sent.
    #[cfg(feature = "mqtt5-hub")]
    Born {
        until_ms: u64,
    },
    Connected,
}

/// The hub client of one connection: [`start`](Self::start) it, then [`poll`](Self::poll) it and send.
///
/// `TOPIC` is the room for the topic of what is sent: that of telemetry holds its properties, behind
/// [`MAX_TOPIC_BASE`](crate::telemetry::MAX_TOPIC_BASE) bytes at most. It has to hold
/// [`twin::MAX_TOPIC`] and [`method::MAX_RESPONSE_TOPIC`] bytes anyway.
#[derive(Debug)]
pub struct Client<'e, L, const TOPIC: usize = 512> {
    link: L,
    endpoint: Endpoint<'e>,
    options: ClientOptions,
    stage: Stage,
    subscriptions: Subscriptions,
    twin: TwinState,
    #[cfg(feature = "certificates")]
    certificate: certificate_state::CertificateState,
    next_request: u32,
    topic: [u8; TOPIC],
    #[cfg(feature = "mqtt5-hub")]
    mqtt5: mqtt5::State,
}

impl<'e, L: Mqtt, const TOPIC: usize> Client<'e, L, TOPIC> {
    /// The client of `endpoint` over `link`, which is connected as that endpoint.
    pub fn new(link: L, endpoint: Endpoint<'e>, options: ClientOptions) -> Self {
        const {
            // One after the other: which of the two is longer is nobody's business here.
            assert!(TOPIC >= method::MAX_RESPONSE_TOPIC, "room for the topics of answers");
            assert!(TOPIC >= twin::MAX_TOPIC, "room for the topics of twin requests");
            #[cfg(feature = "mqtt5-hub")]
            assert!(TOPIC >= crate::mqtt5::MAX_TOPIC, "room for the topics of an MQTT 5 hub");
            #[cfg(feature = "certificates")]
            assert!(TOPIC >= crate::certificate::MAX_TOPIC, "room for the topic of a certificate's request");
        }
        let mut jitter = Jitter::new(options.seed);
        Self {
            link,
            endpoint,
            options,
            stage: Stage::New,
            subscriptions: Subscriptions::new(&options),
            next_request: jitter.draw(),
            #[cfg(feature = "certificates")]
            certificate: certificate_state::CertificateState::new(&options),
            twin: TwinState::new(options.twin_timing, jitter, options.twin),
            topic: [0; TOPIC],
            #[cfg(feature = "mqtt5-hub")]
            mqtt5: mqtt5::State::new(options.seed),
        }
    }

    /// Subscribes to everything the hub may send. [`HubEvent::Connected`] comes when it has decided; what it refuses is
    /// told by [`HubEvent::SubscriptionRefused`] before.
    ///
    /// To be called after every connect, also when the server kept the session. If all room is taken by messages that
    /// an earlier connection left, the subscriptions are made while [polling](Self::poll).
    ///
    /// # Errors
    /// Those of the connection; [`Error::Invalid`] for an id that no topic filter can hold, and for a hub of a
    /// generation that this build does not serve.
    pub async fn start(&mut self) -> Result<(), Error> {
        if !self.endpoint.generation().is_supported() {
            return Err(Error::Invalid { what: "generation of the hub", at: 0 });
        }
        #[cfg(feature = "mqtt5-hub")]
        if self.endpoint.generation().is_mqtt5() {
            return self.start_mqtt5().await;
        }
        self.subscriptions = Subscriptions::new(&self.options);
        let until_ms = self.subscribe_until_ms();
        self.subscribe(until_ms).await?;
        if matches!(self.stage, Stage::Connected) {
            // Nothing is wanted: the next poll tells that the device is connected.
            self.stage = Stage::Full { until_ms };
        }
        Ok(())
    }

    fn subscribe_until_ms(&self) -> u64 {
        now_ms().saturating_add(self.options.subscribe_ms.into())
    }

    /// Asks for the subscriptions whose turn it is.
    async fn subscribe(&mut self, until_ms: u64) -> Result<(), Error> {
        let mut buffer = [0; c2d::MAX_FILTER];
        let filters = self.subscriptions.filters(subscribe::message_filter(&self.endpoint, &mut buffer)?);
        self.stage = if filters.is_empty() {
            Stage::Connected
        } else {
            match self.link.subscribe(&filters).await {
                Ok(ticket) => Stage::Subscribing { ticket, until_ms },
                Err(Error::Busy) => Stage::Full { until_ms },
                Err(error) => return Err(error),
            }
        };
        Ok(())
    }

    /// Waits until something has happened, and gives it if it concerns the application: `None` is progress of
    /// the session's own, so call it again.
    ///
    /// Keeps the connection alive, so call it all the time, beside what else the application waits for:
    /// dropping the future half-way loses nothing if the stream's reads, writes and flushes are such.
    ///
    /// A message from the cloud is acknowledged by the next call of any method of the client: the application
    /// has taken it when it lets the event go. If it cannot take it, it drops the client instead, and the
    /// hub sends the message again.
    ///
    /// # Errors
    /// All but [local](Error::is_local) ones end the connection.
    pub async fn poll(&mut self) -> Result<Option<HubEvent<'_>>, Error> {
        if let Some((ticket, progress)) = self.link.next_settled() {
            return Ok(Some(match progress {
                Progress::Done => HubEvent::Delivered(ticket),
                Progress::Refused(reason) => HubEvent::Rejected { ticket, reason },
                Progress::Lost | Progress::Pending => HubEvent::Lost(ticket),
            }));
        }
        #[cfg(feature = "mqtt5-hub")]
        if self.endpoint.generation().is_mqtt5() {
            return self.poll_mqtt5().await;
        }
        let now = now_ms();
        let mut deadline = self.twin.deadline_ms();
        #[cfg(feature = "certificates")]
        {
            deadline = deadline.into_iter().chain(self.certificate.deadline_ms()).min();
        }
        match self.stage {
            Stage::New => deadline = None,
            Stage::Full { until_ms } => {
                self.subscribe(until_ms).await?;
                if matches!(self.stage, Stage::Connected) {
                    return Ok(Some(HubEvent::Connected));
                }
                if now >= until_ms {
                    return Err(Error::Timeout("room to subscribe"));
                }
                deadline = Some(until_ms);
            }
            Stage::Subscribing { ticket, until_ms } => {
                if self.link.progress(ticket) == Progress::Done {
                    if self.subscriptions.granted() {
                        crate::logging::debug!("hub: the subscriptions are decided");
                        self.stage = Stage::Connected;
                        return Ok(Some(HubEvent::Connected));
                    }
                    self.subscribe(self.subscribe_until_ms()).await?;
                    return Ok(None);
                }
                if now >= until_ms {
                    return Err(Error::Timeout("SUBACK"));
                }
                deadline = Some(until_ms);
            }
            #[cfg(feature = "mqtt5-hub")]
            Stage::Subscribed { .. } | Stage::Born { .. } => deadline = None,
            Stage::Connected => {
                if let Some(request) = self.twin.expired(now) {
                    return Ok(Some(HubEvent::Reported { request, result: Err(ReportFailure::TimedOut) }));
                }
                #[cfg(feature = "certificates")]
                if let Some(event) = self.certificate.expired(now) {
                    return Ok(Some(event));
                }
                if self.ask_for_twin(now).await? {
                    return Ok(None);
                }
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
        if matches!(polled, Err(Error::SubscriptionRefused)) {
            let Stage::Subscribing { .. } = self.stage else {
                // It belongs to an earlier connection.
                return Ok(None);
            };
            crate::logging::warning!("hub: a subscription is refused");
            let refused = self.subscriptions.refused();
            self.twin.enabled &= refused != Some(Subscription::TwinAnswers);
            #[cfg(feature = "certificates")]
            self.certificate.subscription_refused(refused);
            // The next poll asks for the next.
            self.stage = Stage::Full { until_ms: now_ms().saturating_add(self.options.subscribe_ms.into()) };
            return Ok(refused.map(HubEvent::SubscriptionRefused));
        }
        let Some(Inbound { topic, payload, oversized, .. }) = polled? else { return Ok(None) };
        Ok(match (dispatch(topic, payload), oversized) {
            (Topic::Twin(twin::Message::Answer(answer)), oversized) if self.twin.enabled => {
                self.twin.answer(answer, oversized, now_ms())
            }
            (Topic::Twin(message), None) if self.twin.enabled => self.twin.change(message),
            (Topic::Twin(_), Some(size)) if self.twin.enabled => {
                // The change is in the whole twin, which may be smaller than the buffer yet.
                self.twin.tracker.refresh();
                Some(HubEvent::Oversized { topic, size })
            }
            #[cfg(feature = "certificates")]
            (Topic::Certificate(answer), oversized) => self.certificate.answer(&answer, oversized, now_ms()),
            (_, Some(size)) => Some(HubEvent::Oversized { topic, size }),
            (Topic::Message(message), None) => Some(HubEvent::Message(message)),
            (Topic::Method(request), None) => Some(HubEvent::Method(request)),
            (Topic::Twin(_) | Topic::Other, None) => Some(HubEvent::Other { topic, payload }),
        })
    }

    /// Asks for the whole twin if that is due; `true` if something changed.
    async fn ask_for_twin(&mut self, now: u64) -> Result<bool, Error> {
        if !self.twin.enabled {
            return Ok(false);
        }
        let random = self.twin.jitter.draw();
        if !self.twin.tracker.wants(now, random) {
            return Ok(false);
        }
        let request = self.request_id();
        // Noted first: if this future is dropped, the request may be on its way already.
        self.twin.tracker.asked(request.0, now);
        let mut id = [0; 10];
        let topic = twin::get_topic(request.text(&mut id)?, &mut self.topic)?;
        match self.link.publish(topic, &[], QoS::AtLeastOnce).await {
            Ok(ticket) => self.link.forget(ticket),
            Err(Error::Busy) => self.twin.tracker.not_asked(now),
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    fn request_id(&mut self) -> RequestId {
        let id = RequestId(self.next_request);
        self.next_request = self.next_request.wrapping_add(1);
        id
    }

    /// Sends a message to the cloud. With QoS 1 its ticket comes back in [`HubEvent::Delivered`].
    ///
    /// If this ends the connection, or the future is dropped, a QoS 1 message may have been sent, or may be sent
    /// after the next connect.
    ///
    /// # Errors
    /// [`Error::Busy`] when six messages or a full buffer of them wait to be acknowledged; those of
    /// [`Telemetry::topic`]; and those that end the connection.
    pub async fn send(&mut self, message: &Telemetry<'_>) -> Result<Option<Ticket>, Error> {
        #[cfg(feature = "mqtt5-hub")]
        if self.endpoint.generation().is_mqtt5() {
            return self.send_mqtt5(message).await;
        }
        let topic = message.topic(&self.endpoint, &mut self.topic)?;
        if message.qos == QoS::AtLeastOnce && self.link.room() <= RESERVED {
            return Err(Error::Busy);
        }
        self.link.publish(topic, message.payload, message.qos).await
    }

    /// Whether another message may be sent now; if not, poll first.
    pub fn can_send(&self) -> bool {
        self.link.room() > RESERVED
    }

    /// Answers a method call. `payload` is JSON, or empty; `status` see [`method::status`].
    ///
    /// # Errors
    /// [`Error::TooLarge`] above [`method::MAX_PAYLOAD`]; [`Error::Busy`]; those that end the connection.
    pub async fn respond(&mut self, to: &method::ReplyTo, status: i32, payload: &[u8]) -> Result<(), Error> {
        if payload.len() > method::MAX_PAYLOAD {
            return Err(Error::TooLarge);
        }
        #[cfg(feature = "mqtt5-hub")]
        if self.endpoint.generation().is_mqtt5() {
            return self.respond_mqtt5(to, status, payload).await;
        }
        let topic = to.topic(status, &mut self.topic)?;
        let ticket = self.link.publish(topic, payload, QoS::AtLeastOnce).await?;
        self.link.forget(ticket);
        Ok(())
    }

    /// Reports properties: a JSON object, merged into the reported ones. [`HubEvent::Reported`] tells the outcome.
    ///
    /// # Errors
    /// [`Error::TooLarge`] above [`twin::MAX_SECTION`]; [`Error::SubscriptionRefused`] if the hub refuses
    /// [the answers](Subscription::TwinAnswers); [`Error::Busy`] when four reports wait for their answer; those that
    /// end the connection.
    pub async fn report(&mut self, properties: &str) -> Result<RequestId, Error> {
        if properties.len() > twin::MAX_SECTION {
            return Err(Error::TooLarge);
        }
        if self.options.twin && !self.twin.enabled {
            return Err(Error::SubscriptionRefused);
        }
        #[cfg(feature = "mqtt5-hub")]
        if self.endpoint.generation().is_mqtt5() {
            return self.report_mqtt5(properties).await;
        }
        let request = self.request_id();
        let until_ms = now_ms().saturating_add(self.options.twin_timing.answer_ms.into());
        self.twin.add_report(request, until_ms)?;
        let result = self.publish_report(request, properties).await;
        if result.is_err() {
            self.twin.end_report(request);
        }
        result
    }

    async fn publish_report(&mut self, request: RequestId, properties: &str) -> Result<RequestId, Error> {
        let mut id = [0; 10];
        let topic = twin::report_topic(request.text(&mut id)?, &mut self.topic)?;
        let ticket = self.link.publish(topic, properties.as_bytes(), QoS::AtLeastOnce).await?;
        self.link.forget(ticket);
        Ok(request)
    }

    /// Asks the hub for a certificate: `body` is from [`certificate::request_body`](crate::certificate::request_body).
    /// [`HubEvent::Certificate`] tells how it goes on. Whatever comes of it, this connection stays as it is; the new
    /// certificate is for the next.
    ///
    /// # Errors
    /// [`Error::Invalid`] unless [`ClientOptions::certificates`] was set; [`Error::SubscriptionRefused`] if the hub
    /// refuses [the answers](Subscription::Certificates); [`Error::Busy`] while another request waits for its answer,
    /// or when there is no room for the message; those that end the connection.
    #[cfg(feature = "certificates")]
    pub async fn request_certificate(&mut self, body: &[u8]) -> Result<RequestId, Error> {
        #[cfg(feature = "mqtt5-hub")]
        if self.endpoint.generation().is_mqtt5() {
            return Err(Error::Invalid { what: "request for a certificate at an MQTT 5 hub", at: 0 });
        }
        let request = self.request_id();
        self.certificate.begin(request, now_ms())?;
        let result = self.publish_certificate_request(request, body).await;
        if result.is_err() {
            self.certificate.end();
        }
        result
    }

    #[cfg(feature = "certificates")]
    async fn publish_certificate_request(
        &mut self,
        request: RequestId,
        body: &[u8],
    ) -> Result<RequestId, Error> {
        let mut id = [0; 10];
        let topic = crate::certificate::request_topic(request.text(&mut id)?, &mut self.topic)?;
        let ticket = self.link.publish(topic, body, QoS::AtLeastOnce).await?;
        self.link.forget(ticket);
        Ok(request)
    }

    /// Fetches the whole twin again: [`HubEvent::Twin`].
    pub fn refresh_twin(&mut self) {
        self.twin.tracker.refresh();
    }

    /// Who this client is.
    pub fn endpoint(&self) -> &Endpoint<'e> {
        &self.endpoint
    }

    /// Says goodbye, so that the hub does not publish the will.
    ///
    /// # Errors
    /// [`Error::Transport`] if the stream failed.
    pub async fn disconnect(&mut self) -> Result<(), Error> {
        self.link.disconnect().await
    }
}
