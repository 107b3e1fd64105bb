//! The hub client over one connection.

use crate::clock::{left, now_ms};
use crate::session::{Inbound, Mqtt, Progress, QoS, Ticket};
use crate::telemetry::Telemetry;
use crate::{Endpoint, Error, c2d, method, twin};
use azure_iot_common::backoff::Jitter;
use azure_iot_common::text::{Writer, parse_u32};
use embassy_time::with_timeout;
use heapless::Vec;

/// Reports of properties that may wait for their answer at once.
const REPORTS: usize = 4;

/// Of the session's eight places for messages on their way, those telemetry leaves free, so that answers to
/// the cloud do not wait behind it.
const RESERVED: usize = 2;

/// What a client wants of the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ClientOptions {
    /// Cloud-to-device messages (a module: messages to its inputs).
    pub messages: bool,
    /// Direct methods.
    pub methods: bool,
    /// The twin: it is fetched after every connect, and changes come in order.
    pub twin: bool,
    /// How long to wait for the hub to grant the subscriptions, in milliseconds.
    pub subscribe_ms: u32,
    /// Time limits of twin requests.
    pub twin_timing: twin::Timing,
    /// A random number, a new one for each connection: request ids begin with it, so that no late answer is
    /// taken for a new one, and waiting times are spread by it.
    pub seed: u32,
}

impl ClientOptions {
    /// Everything, 30 s for the subscriptions.
    #[must_use]
    pub fn new(seed: u32) -> Self {
        Self {
            messages: true,
            methods: true,
            twin: true,
            subscribe_ms: 30_000,
            twin_timing: twin::Timing::default(),
            seed,
        }
    }
}

/// Identifies a request about the twin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RequestId(u32);

/// Why properties were not reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ReportFailure {
    /// The hub refused: 400 bad JSON, 413 too large, 429 too many requests, 5xx fault of the service.
    Refused {
        /// HTTP-like status.
        status: u16,
        /// Seconds to wait before trying again, if the hub said.
        retry_after_s: Option<u32>,
    },
    /// No answer came; the properties may or may not have been taken.
    TimedOut,
}

/// What [`Client::poll`] gives.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The subscriptions stand: the device is connected for good.
    Connected,
    /// The hub has this message now.
    Delivered(Ticket),
    /// This message is gone with the session that carried it: send it again.
    Lost(Ticket),
    /// A message from the cloud.
    Message(c2d::Message<'a>),
    /// The cloud calls a method: [`Client::respond`].
    Method(method::Request<'a>),
    /// The whole twin: after every connect, and when a change was missed. It replaces what was known.
    Twin(twin::Document<'a>),
    /// A change of desired properties, to be merged into what is known. None is missing before it.
    Desired(twin::Desired<'a>),
    /// The twin came but cannot be read; it is not asked for again.
    TwinUnusable(Error),
    /// The answer to [`Client::report`]: the new version of the reported properties, if the hub said.
    Reported {
        /// Which report.
        request: RequestId,
        /// What became of it.
        result: Result<Option<u64>, ReportFailure>,
    },
    /// A message larger than the receive buffer came. It was not taken: a cloud-to-device message the hub is
    /// going to send again until it gives up, a method should be answered with
    /// [`status::TOO_LARGE`](method::status::TOO_LARGE), the twin is not asked for again.
    Oversized {
        /// Its topic.
        topic: &'a str,
        /// Its size in bytes.
        size: u32,
    },
    /// A message on a topic this client does not know.
    Other {
        /// Its topic.
        topic: &'a str,
        /// Its body.
        payload: &'a [u8],
    },
}

/// A report that waits for its answer.
#[derive(Clone, Copy, Debug)]
struct Pending {
    request: RequestId,
    until_ms: u64,
}

/// What the client knows of the twin.
#[derive(Debug)]
struct TwinState {
    tracker: twin::Tracker,
    reports: Vec<Pending, REPORTS>,
    jitter: Jitter,
    enabled: bool,
}

impl TwinState {
    /// When something is to be done, if nothing comes before.
    fn deadline_ms(&self) -> Option<u64> {
        let tracker = self.enabled.then(|| self.tracker.deadline_ms()).flatten();
        self.reports.iter().map(|report| report.until_ms).chain(tracker).min()
    }

    /// A report whose answer did not come.
    fn expired(&mut self, now_ms: u64) -> Option<RequestId> {
        let at = self.reports.iter().position(|report| now_ms >= report.until_ms)?;
        Some(self.reports.swap_remove(at).request)
    }

    /// Ends the waiting for a report, if there is one with this id.
    fn take_report(&mut self, request: RequestId) -> Option<Pending> {
        let at = self.reports.iter().position(|report| report.request == request)?;
        Some(self.reports.swap_remove(at))
    }

    fn answer<'a>(&mut self, answer: twin::Answer<'a>) -> Option<Event<'a>> {
        let request = RequestId(parse_u32(answer.request_id)?);
        if self.tracker.is_expected(request.0) {
            if !answer.is_success() {
                let random = self.jitter.draw();
                self.tracker.failed(now_ms(), answer.retry_after_s, random);
                return None;
            }
            return Some(match twin::Document::parse(answer.payload) {
                Ok(document) => {
                    self.tracker.document(document.version());
                    Event::Twin(document)
                }
                Err(error) => {
                    self.tracker.unusable();
                    Event::TwinUnusable(error)
                }
            });
        }
        self.take_report(request)?;
        let result = if answer.is_success() {
            Ok(answer.version)
        } else {
            Err(ReportFailure::Refused { status: answer.status, retry_after_s: answer.retry_after_s })
        };
        Some(Event::Reported { request, result })
    }

    /// What a message from the session means; `None` if it is of no interest.
    fn event<'a>(&mut self, inbound: Inbound<'a>) -> Option<Event<'a>> {
        let Inbound { topic, payload, oversized } = inbound;
        let about_twin = if self.enabled { twin::Message::parse(topic, payload).ok() } else { None };
        if let Some(size) = oversized {
            match about_twin {
                Some(twin::Message::Answer(answer))
                    if parse_u32(answer.request_id).is_some_and(|id| self.tracker.is_expected(id)) =>
                {
                    self.tracker.unusable();
                }
                // The change is in the whole twin, which may be smaller than the buffer yet.
                Some(twin::Message::Desired(_)) => self.tracker.refresh(),
                Some(twin::Message::Answer(_)) | None => {}
            }
            return Some(Event::Oversized { topic, size });
        }
        match about_twin {
            Some(twin::Message::Answer(answer)) => self.answer(answer),
            Some(twin::Message::Desired(desired)) => {
                (self.tracker.change(desired.version) == twin::Step::Apply).then_some(Event::Desired(desired))
            }
            None => Some(
                c2d::Message::parse(topic, payload)
                    .map(Event::Message)
                    .or_else(|_| method::Request::parse(topic, payload).map(Event::Method))
                    .unwrap_or(Event::Other { topic, payload }),
            ),
        }
    }
}

/// How far the subscriptions are.
#[derive(Clone, Copy, Debug)]
enum Stage {
    New,
    /// Started, but all room is taken by messages that an earlier connection left.
    Full {
        until_ms: u64,
    },
    Subscribing {
        ticket: Ticket,
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
    twin: TwinState,
    next_request: u32,
    topic: [u8; TOPIC],
}

impl<'e, L: Mqtt, const TOPIC: usize> Client<'e, L, TOPIC> {
    /// The client of `endpoint` over `link`, which is connected as that endpoint.
    pub fn new(link: L, endpoint: Endpoint<'e>, options: ClientOptions) -> Self {
        const {
            // One after the other: which of the two is longer is nobody's business here.
            assert!(TOPIC >= method::MAX_RESPONSE_TOPIC, "room for the topics of answers");
            assert!(TOPIC >= twin::MAX_TOPIC, "room for the topics of twin requests");
        }
        let mut jitter = Jitter::new(options.seed);
        Self {
            link,
            endpoint,
            options,
            stage: Stage::New,
            next_request: jitter.draw(),
            twin: TwinState {
                tracker: twin::Tracker::new(options.twin_timing),
                reports: Vec::new(),
                jitter,
                enabled: options.twin,
            },
            topic: [0; TOPIC],
        }
    }

    /// Subscribes to everything the hub may send. [`Event::Connected`] comes when it has agreed.
    ///
    /// To be called after every connect, also when the server kept the session. If all room is taken by messages that an
    /// earlier connection left, the subscriptions are made while [polling](Self::poll).
    ///
    /// # Errors
    /// Those of the connection; [`Error::Invalid`] for an id that no topic filter can hold.
    pub async fn start(&mut self) -> Result<(), Error> {
        let until_ms = now_ms().saturating_add(self.options.subscribe_ms.into());
        self.subscribe(until_ms).await
    }

    async fn subscribe(&mut self, until_ms: u64) -> Result<(), Error> {
        let mut buffer = [0; c2d::MAX_FILTER];
        let messages = c2d::filter(&self.endpoint, &mut buffer)?;
        let wanted = [
            (self.options.messages, messages),
            (self.options.methods, method::FILTER),
            (self.options.twin, twin::ANSWER_FILTER),
            (self.options.twin, twin::DESIRED_FILTER),
        ];
        let filters: Vec<&str, 4> =
            wanted.into_iter().filter_map(|(wanted, filter)| wanted.then_some(filter)).collect();
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
    pub async fn poll(&mut self) -> Result<Option<Event<'_>>, Error> {
        if let Some((ticket, progress)) = self.link.next_settled() {
            return Ok(Some(match progress {
                Progress::Done => Event::Delivered(ticket),
                _ => Event::Lost(ticket),
            }));
        }
        let now = now_ms();
        let mut deadline = self.twin.deadline_ms();
        match self.stage {
            Stage::New => deadline = None,
            Stage::Full { until_ms } => {
                self.subscribe(until_ms).await?;
                if now >= until_ms {
                    return Err(Error::Timeout("room to subscribe"));
                }
                deadline = Some(until_ms);
            }
            Stage::Subscribing { ticket, until_ms } => {
                if self.link.progress(ticket) == Progress::Done {
                    self.stage = Stage::Connected;
                    return Ok(Some(Event::Connected));
                }
                if now >= until_ms {
                    return Err(Error::Timeout("SUBACK"));
                }
                deadline = Some(until_ms);
            }
            Stage::Connected => {
                if let Some(request) = self.twin.expired(now) {
                    return Ok(Some(Event::Reported { request, result: Err(ReportFailure::TimedOut) }));
                }
                if self.ask_for_twin(now).await? {
                    return Ok(None);
                }
            }
        }
        let inbound = match deadline {
            None => self.link.poll().await?,
            Some(until_ms) => match with_timeout(left(until_ms), self.link.poll()).await {
                Ok(polled) => polled?,
                // The deadline has its turn in the next call.
                Err(_) => return Ok(None),
            },
        };
        Ok(inbound.and_then(|inbound| self.twin.event(inbound)))
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

    /// Sends a message to the cloud. With QoS 1 its ticket comes back in [`Event::Delivered`].
    ///
    /// If this ends the connection, or the future is dropped, a QoS 1 message may have been sent, or may be sent
    /// after the next connect.
    ///
    /// # Errors
    /// [`Error::Busy`] when six messages or a full buffer of them wait to be acknowledged; those of
    /// [`Telemetry::topic`]; and those that end the connection.
    pub async fn send(&mut self, message: &Telemetry<'_>) -> Result<Option<Ticket>, Error> {
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
        let topic = to.topic(status, &mut self.topic)?;
        let ticket = self.link.publish(topic, payload, QoS::AtLeastOnce).await?;
        self.link.forget(ticket);
        Ok(())
    }

    /// Reports properties: a JSON object, merged into the reported ones. [`Event::Reported`] tells the outcome.
    ///
    /// # Errors
    /// [`Error::TooLarge`] above [`twin::MAX_SECTION`]; [`Error::Busy`] when four reports wait for their answer;
    /// those that end the connection.
    pub async fn report(&mut self, properties: &str) -> Result<RequestId, Error> {
        if properties.len() > twin::MAX_SECTION {
            return Err(Error::TooLarge);
        }
        let request = self.request_id();
        let until_ms = now_ms().saturating_add(self.options.twin_timing.answer_ms.into());
        self.twin.reports.push(Pending { request, until_ms }).map_err(|_| Error::Busy)?;
        let result = self.publish_report(request, properties).await;
        if result.is_err() {
            self.twin.take_report(request);
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

    /// Fetches the whole twin again: [`Event::Twin`].
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

impl RequestId {
    /// The id as it stands in topics.
    fn text(self, out: &mut [u8; 10]) -> Result<&str, Error> {
        let mut text = Writer::new(out);
        text.decimal(self.0);
        Ok(text.finish_str()?)
    }
}
