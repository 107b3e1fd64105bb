//! The engine: `minimq`, over MQTT 5 as it is or with the 3.1.1 translator under it.

#[cfg(feature = "mqtt5-hub")]
use super::{Attributes, MAX_PROPERTIES, Outbound};
use super::{Inbound, Mqtt, Progress, Protocol, QoS, Ticket, Wire};
use crate::Error;
use crate::clock::{left, now_ms};
use crate::error::Refusal;
#[cfg(feature = "mqtt5-hub")]
use crate::mqtt5::{Kind, V5};
use crate::translate::{Connect, MIN_STAGE, OVERSIZED_PROPERTY, StreamError, V311};
use azure_iot_common::text::Writer;
use core::pin::pin;
use embassy_time::{Duration, with_timeout};
use embedded_io_async::{ErrorType, Read, Write};
use heapless::Vec;
use minimq::{
    Buffers, ConfigBuilder, Io, Op, PeerError, Property, PubError, Publication, ResourceError,
    SubscriptionOptions, ToPayload, TopicFilter,
};

/// Messages and subscriptions the engine keeps until they are acknowledged.
const IN_FLIGHT: usize = 8;

/// Filters in one SUBSCRIBE.
const MAX_FILTERS: usize = 8;

/// Properties of a message beside its user properties: correlation data, expiry, content type; and its kind.
#[cfg(feature = "mqtt5-hub")]
const OWN_PROPERTIES: usize = 5;

/// Bytes of the stage a topic cannot use: fixed header, length, packet id.
const STAGE_OVERHEAD: usize = 9;

/// How a session behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Options {
    /// Keep-alive in seconds: the server drops a connection that is silent for one and a half times as long.
    /// IoT Hub takes up to 1177.
    pub keep_alive_s: u16,
    /// The server forgets the session, and with it waiting cloud-to-device messages, when the connection ends.
    pub clean: bool,
    /// How long to wait for CONNACK, in milliseconds.
    pub connack_ms: u32,
    /// How long a message or subscription may wait for its acknowledgement, in milliseconds. Then the connection counts
    /// as broken, and the next one sends it again. A hub that throttles answers late before it closes the connection.
    pub ack_ms: u32,
    /// How long the stream may take no bytes, in milliseconds. Then the connection counts as broken: to ask a peer that
    /// has vanished whether it is there, bytes must get out first.
    pub write_ms: u32,
    /// Which version of MQTT the server speaks.
    pub protocol: Protocol,
    /// How long an MQTT 5 server keeps the session after the connection ends, in seconds, unless it is `clean`; up to
    /// 8 hours at a hub.
    pub session_expiry_s: u32,
}

impl Default for Options {
    /// 240 s keep-alive, a session the server keeps (for an hour with MQTT 5), 30 s for CONNACK, 240 s for
    /// acknowledgements, 60 s for writes; MQTT 3.1.1.
    fn default() -> Self {
        Self {
            keep_alive_s: 240,
            clean: false,
            connack_ms: 30_000,
            ack_ms: 240_000,
            write_ms: 60_000,
            protocol: Protocol::default(),
            session_expiry_s: 3600,
        }
    }
}

/// A message in flight.
#[derive(Clone, Copy, Debug)]
struct Flight {
    ticket: Ticket,
    op: Op,
    /// A subscription, or forgotten: not reported when settled.
    silent: bool,
    /// When it was given to the engine, or connected again.
    since_ms: u64,
    /// Of a subscription: which one.
    filters: Option<u64>,
    /// Whether it was pending when the engine was polled last.
    #[cfg(feature = "mqtt5-hub")]
    was_pending: bool,
}

/// An MQTT session over caller's buffers.
///
/// `STAGE` bounds the topics it can send to `STAGE` − 9 bytes.
pub struct Session<'buf, const STAGE: usize = 1024> {
    engine: minimq::Session<'buf>,
    options: Options,
    flights: Vec<Flight, IN_FLIGHT>,
    next_ticket: u32,
    #[cfg(feature = "mqtt5-hub")]
    refusal: Option<u8>,
}

impl<const STAGE: usize> core::fmt::Debug for Session<'_, STAGE> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Session")
            .field("options", &self.options)
            .field("flights", &self.flights)
            .finish_non_exhaustive()
    }
}

impl<'buf, const STAGE: usize> Session<'buf, STAGE> {
    /// A session that has not been connected yet.
    ///
    /// `rx` takes one inbound packet: the largest message to be received plus its topic and 16 bytes. Larger
    /// ones are reported, see [`Inbound::oversized`]. `tx` takes all messages in flight, at most eight, and 48
    /// bytes.
    #[must_use]
    pub fn new(options: Options, rx: &'buf mut [u8], tx: &'buf mut [u8]) -> Self {
        const { assert!(STAGE >= MIN_STAGE, "the stage is too small") }
        let config = ConfigBuilder::new(Buffers::new(rx, tx))
            .keepalive_interval(options.keep_alive_s)
            .session_expiry_interval(match options.protocol {
                _ if options.clean => 0,
                // The translator makes it a flag.
                Protocol::V311 => u32::MAX,
                #[cfg(feature = "mqtt5-hub")]
                Protocol::V5 => options.session_expiry_s,
            });
        Self {
            engine: minimq::Session::new(config),
            options,
            flights: Vec::new(),
            next_ticket: 0,
            #[cfg(feature = "mqtt5-hub")]
            refusal: None,
        }
    }

    /// Connects over `stream`, saying `connect`. Unacknowledged messages are sent again by and by.
    ///
    /// # Errors
    /// [`Error::ConnectionRefused`]; [`Error::Timeout`] if CONNACK does not come in time; and those of the stream.
    pub async fn connect<'s, S: Read + Write>(
        &'s mut self,
        stream: S,
        connect: &'s Connect<'s>,
    ) -> Result<Connection<'s, 'buf, Wire<'s, S, STAGE>>, Error> {
        let io = self.wire(stream, connect);
        self.connect_over(io).await
    }

    /// `stream` with what the session's protocol needs on it, for [`connect_over`](Self::connect_over).
    pub fn wire<'c, S>(&self, stream: S, connect: &'c Connect<'c>) -> Wire<'c, S, STAGE> {
        match self.options.protocol {
            Protocol::V311 => {
                Wire::V311(V311::with_connect(stream, connect).with_write_limit(self.options.write_ms))
            }
            #[cfg(feature = "mqtt5-hub")]
            Protocol::V5 => {
                Wire::V5(V5::new(stream, connect, self.options.clean).with_write_limit(self.options.write_ms))
            }
        }
    }

    /// As [`connect`](Self::connect), over a [prepared](Self::wire) stream, or `&mut` one: a stream that stays
    /// where it is makes futures smaller by several times its size.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_over<'s, IO, E>(&'s mut self, io: IO) -> Result<Connection<'s, 'buf, IO>, Error>
    where
        IO: Io + ErrorType<Error = StreamError<E>>,
        E: embedded_io_async::Error,
    {
        let limit = Duration::from_millis(self.options.connack_ms.into());
        let connecting = pin!(self.engine.connect(io));
        let connection = with_timeout(limit, connecting)
            .await
            .map_err(|_| Error::Timeout("CONNACK"))?
            .map_err(|error| match error {
                minimq::Error::Peer(PeerError::Rejected(reason)) => {
                    Error::ConnectionRefused(Refusal::from_reason(u8::from(&reason)))
                }
                other => from_engine(other),
            })?;
        let now = now_ms();
        self.flights.iter_mut().for_each(|flight| flight.since_ms = now);
        Ok(Connection {
            engine: connection,
            flights: &mut self.flights,
            next_ticket: &mut self.next_ticket,
            ack_ms: self.options.ack_ms,
            max_topic: STAGE - STAGE_OVERHEAD,
            protocol: self.options.protocol,
            #[cfg(feature = "mqtt5-hub")]
            refusal: &mut self.refusal,
        })
    }

    /// How many messages wait for their acknowledgement.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.flights.iter().filter(|flight| !flight.silent).count()
    }
}

/// A payload in two parts.
struct Parts<'a>([&'a [u8]; 2]);

impl ToPayload for Parts<'_> {
    type Error = ();

    fn serialize(self, out: &mut [u8]) -> Result<usize, ()> {
        let mut text = Writer::new(out);
        for part in self.0 {
            text.bytes(part);
        }
        text.finish().map(<[u8]>::len).map_err(|_| ())
    }
}

/// A live connection of a [`Session`].
pub struct Connection<'s, 'buf, IO> {
    engine: minimq::Connection<'s, 'buf, IO>,
    flights: &'s mut Vec<Flight, IN_FLIGHT>,
    next_ticket: &'s mut u32,
    ack_ms: u32,
    max_topic: usize,
    protocol: Protocol,
    /// The reason of the refusal that the last poll met.
    #[cfg(feature = "mqtt5-hub")]
    refusal: &'s mut Option<u8>,
}

impl<IO> core::fmt::Debug for Connection<'_, '_, IO> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Connection").field("flights", &self.flights).finish_non_exhaustive()
    }
}

impl<IO, E> Connection<'_, '_, IO>
where
    IO: Io + ErrorType<Error = StreamError<E>>,
    E: embedded_io_async::Error,
{
    fn take_off(&mut self, op: Op, silent: bool, filters: Option<u64>) -> Result<Ticket, Error> {
        let ticket = Ticket(*self.next_ticket);
        *self.next_ticket = self.next_ticket.wrapping_add(1);
        let flight = Flight {
            ticket,
            op,
            silent,
            since_ms: now_ms(),
            filters,
            #[cfg(feature = "mqtt5-hub")]
            was_pending: true,
        };
        self.flights.push(flight).map_err(|_| Error::Busy)?;
        Ok(ticket)
    }

    /// When the oldest acknowledgement is overdue.
    fn overdue_ms(&self) -> Option<u64> {
        let pending = self.flights.iter().filter(|flight| self.engine.is_pending(&flight.op));
        let oldest = pending.map(|flight| flight.since_ms).min()?;
        Some(oldest.saturating_add(self.ack_ms.into()))
    }

    /// Room that messages in flight take now may come back.
    fn busy_or(&self, error: Error) -> Error {
        if error == Error::TooLarge && !self.flights.is_empty() { Error::Busy } else { error }
    }

    /// Room for another ticket; forgets subscriptions that nobody asks about any more.
    fn make_room(&mut self) -> Result<(), Error> {
        if self.flights.is_full() {
            let connection = &self.engine;
            self.flights.retain(|flight| !flight.silent || connection.is_pending(&flight.op));
        }
        if self.flights.is_full() { Err(Error::Busy) } else { Ok(()) }
    }

    /// Sends a message of either protocol: one type of payload, so that the engine's code for it is there once.
    async fn send_publication(
        &mut self,
        publication: Publication<'_, Parts<'_>>,
        qos: QoS,
    ) -> Result<Option<Ticket>, Error> {
        let publication = match qos {
            QoS::AtMostOnce => publication,
            QoS::AtLeastOnce => {
                self.make_room()?;
                publication.qos(minimq::QoS::AtLeastOnce)
            }
        };
        let op = self.engine.publish(publication).await.map_err(|error| match error {
            PubError::Session(error) => from_engine(error),
            // The payload is copied as it is: this is lack of room.
            PubError::Payload(()) => Error::TooLarge,
        });
        let op = op.map_err(|error| self.busy_or(error))?;
        op.map(|op| self.take_off(op, false, None)).transpose()
    }

    fn state(&self, flight: &Flight) -> Progress {
        if self.engine.is_pending(&flight.op) {
            Progress::Pending
        } else if self.engine.is_complete(&flight.op) {
            // The engine tells a refusal, but not of what: it is one of those that were settled by that poll.
            #[cfg(feature = "mqtt5-hub")]
            if let Some(reason) = *self.refusal
                && flight.was_pending
            {
                return Progress::Refused(reason);
            }
            Progress::Done
        } else {
            Progress::Lost
        }
    }

    /// Notes what is pending, so that a refusal finds whom it concerns.
    #[cfg(feature = "mqtt5-hub")]
    fn note_pending(&mut self) {
        *self.refusal = None;
        for flight in &mut *self.flights {
            flight.was_pending = self.engine.is_pending(&flight.op);
        }
    }
}

impl<IO, E> Mqtt for Connection<'_, '_, IO>
where
    IO: Io + ErrorType<Error = StreamError<E>>,
    E: embedded_io_async::Error,
{
    async fn publish(&mut self, topic: &str, payload: &[u8], qos: QoS) -> Result<Option<Ticket>, Error> {
        if topic.len() > self.max_topic && self.protocol == Protocol::V311 {
            return Err(Error::TooLarge);
        }
        self.send_publication(Publication::new(topic, Parts([&[], payload])), qos).await
    }

    #[cfg(feature = "mqtt5-hub")]
    async fn send(&mut self, message: &Outbound<'_>) -> Result<Option<Ticket>, Error> {
        if self.protocol != Protocol::V5 {
            return Err(Error::Invalid { what: "protocol of the session", at: 0 });
        }
        let mut properties: Vec<Property<'_>, { OWN_PROPERTIES + MAX_PROPERTIES }> = Vec::new();
        let own = [
            Some(Property::UserProperty(Kind::PROPERTY, message.kind.as_str())),
            message.correlation.map(|id| Property::CorrelationData(id)),
            message.expiry_s.map(Property::MessageExpiryInterval),
            message.content_type.map(Property::ContentType),
        ];
        let further = message.properties.iter().map(|(name, value)| Property::UserProperty(name, value));
        for property in own.into_iter().flatten().chain(further) {
            properties.push(property).map_err(|_| Error::TooLarge)?;
        }
        let payload = Parts([message.head, message.payload]);
        self.send_publication(Publication::new(message.topic, payload).properties(&properties), message.qos)
            .await
    }

    async fn subscribe(&mut self, filters: &[&str]) -> Result<Ticket, Error> {
        let digest = digest(filters);
        let same = |flight: &&Flight| flight.filters == Some(digest) && self.engine.is_pending(&flight.op);
        if let Some(flight) = self.flights.iter().find(same) {
            // An earlier connection ended before it was granted: the engine has sent it again.
            return Ok(flight.ticket);
        }
        self.make_room()?;
        let options = SubscriptionOptions::default().maximum_qos(minimq::QoS::AtLeastOnce);
        let mut list: Vec<TopicFilter<'_>, MAX_FILTERS> = Vec::new();
        for filter in filters {
            list.push(TopicFilter::new(filter).options(options)).map_err(|_| Error::TooLarge)?;
        }
        let op = self.engine.subscribe(&list, &[]).await.map_err(from_engine);
        let op = op.map_err(|error| self.busy_or(error))?;
        self.take_off(op, true, Some(digest))
    }

    async fn unsubscribe(&mut self, filters: &[&str]) -> Result<Ticket, Error> {
        self.make_room()?;
        let op = self.engine.unsubscribe(filters, &[]).await.map_err(from_engine);
        let op = op.map_err(|error| self.busy_or(error))?;
        self.take_off(op, true, None)
    }

    async fn poll(&mut self) -> Result<Option<Inbound<'_>>, Error> {
        let limit = self.overdue_ms();
        if limit.is_some_and(|at| now_ms() >= at) {
            self.engine.handle_disconnect();
            return Err(Error::Timeout("acknowledgement"));
        }
        #[cfg(feature = "mqtt5-hub")]
        self.note_pending();
        let poll = self.engine.poll();
        let polled = match limit {
            None => poll.await,
            Some(at) => match with_timeout(left(at), poll).await {
                Ok(polled) => polled,
                // The next call tells that it is too late.
                Err(_) => return Ok(None),
            },
        };
        #[cfg(feature = "mqtt5-hub")]
        if let (Protocol::V5, Err(minimq::Error::Peer(PeerError::Rejected(reason)))) =
            (self.protocol, &polled)
        {
            // Whom it concerns is told with its progress.
            *self.refusal = Some(u8::from(reason));
            return Ok(None);
        }
        let Some(message) = polled.map_err(from_engine)? else {
            return Ok(None);
        };
        #[cfg(feature = "mqtt5-hub")]
        if self.protocol == Protocol::V5 {
            let attributes = attributes(&message);
            return Ok(Some(Inbound {
                topic: message.topic(),
                payload: message.payload(),
                oversized: None,
                attributes,
            }));
        }
        let oversized = message.properties().iter().find_map(|property| match property {
            Ok(Property::UserProperty(OVERSIZED_PROPERTY, size)) => size.parse().ok(),
            _ => None,
        });
        Ok(Some(Inbound {
            topic: message.topic(),
            payload: message.payload(),
            oversized,
            #[cfg(feature = "mqtt5-hub")]
            attributes: Attributes::default(),
        }))
    }

    fn progress(&mut self, ticket: Ticket) -> Progress {
        let Some(at) = self.flights.iter().position(|flight| flight.ticket == ticket) else {
            return Progress::Lost;
        };
        let state = self.flights.get(at).map_or(Progress::Lost, |flight| self.state(flight));
        if state != Progress::Pending {
            self.flights.remove(at);
        }
        state
    }

    fn next_settled(&mut self) -> Option<(Ticket, Progress)> {
        let ticket = self
            .flights
            .iter()
            .find(|flight| !flight.silent && self.state(flight) != Progress::Pending)?
            .ticket;
        Some((ticket, self.progress(ticket)))
    }

    fn forget(&mut self, ticket: Option<Ticket>) {
        if let Some(flight) = self.flights.iter_mut().find(|flight| Some(flight.ticket) == ticket) {
            flight.silent = true;
        }
    }

    fn room(&self) -> usize {
        if !self.engine.can_publish(minimq::QoS::AtLeastOnce) {
            return 0;
        }
        let taken = self.flights.iter().filter(|flight| !flight.silent || self.engine.is_pending(&flight.op));
        IN_FLIGHT - taken.count()
    }

    async fn disconnect(&mut self) -> Result<(), Error> {
        self.engine.disconnect().await.map_err(from_engine)
    }
}

/// What a message carries beside topic and body. A property that cannot be read counts as absent.
#[cfg(feature = "mqtt5-hub")]
fn attributes(message: &minimq::InboundPublish<'_>) -> Attributes {
    let mut attributes = Attributes::default();
    for property in message.properties().iter() {
        match property {
            Ok(Property::UserProperty(Kind::PROPERTY, value)) => attributes.kind = Kind::parse(value),
            Ok(Property::CorrelationData(data)) => attributes.correlation = data.try_into().ok(),
            Ok(Property::MessageExpiryInterval(seconds)) => attributes.expiry_s = Some(seconds),
            _ => {}
        }
    }
    attributes
}

/// Tells subscriptions apart (FNV-1a).
fn digest(filters: &[&str]) -> u64 {
    let bytes = filters.iter().flat_map(|filter| filter.bytes().chain([0]));
    bytes.fold(0xCBF2_9CE4_8422_2325, |digest, byte| {
        (digest ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

fn from_engine<E: embedded_io_async::Error>(error: minimq::Error<StreamError<E>>) -> Error {
    // The stream's own error, of which only the kind goes on.
    #[cfg(feature = "log")]
    if let minimq::Error::Transport(error) = &error {
        log::warn!("session: {error}");
    }
    match error {
        minimq::Error::NotReady | minimq::Error::Resource(ResourceError::InflightExhausted) => Error::Busy,
        minimq::Error::Disconnected => Error::Disconnected,
        minimq::Error::Transport(error) => error.into(),
        minimq::Error::WriteZero => Error::Transport(embedded_io_async::ErrorKind::WriteZero),
        minimq::Error::Resource(_) => Error::TooLarge,
        // Only SUBACK carries a refusal in 3.1.1.
        minimq::Error::Peer(PeerError::Rejected(_)) => Error::SubscriptionRefused,
        // What is left is an invalid packet; requests are well-formed.
        _ => Error::Protocol,
    }
}
