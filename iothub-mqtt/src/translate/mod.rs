//! Wire translator: MQTT 3.1.1 on the wire, MQTT 5 towards the engine.
//!
//! DPS and classic IoT hubs speak MQTT 3.1.1 only; the engine (`minimq`) speaks MQTT 5 only. The two
//! differ in a few places of a few packets, and [`Translator`] rewrites exactly those, byte by byte,
//! without ever holding a whole packet:
//!
//! | packet | to the wire | to the engine |
//! |---|---|---|
//! | CONNECT | level 5 → 4, properties dropped, CleanSession 1 if the session expiry is 0; or replaced whole by a [`Connect`] | – |
//! | CONNACK | – | return code → reason code, empty properties added |
//! | PUBLISH | properties dropped | empty properties added; larger than the engine's buffer: emptied and marked ([`OVERSIZED_PROPERTY`]) |
//! | PUBACK … PUBCOMP | reason and properties dropped; refusals and acknowledgements of an earlier connection not sent | as it is |
//! | SUBSCRIBE, UNSUBSCRIBE | properties and MQTT 5 options dropped | – |
//! | SUBACK, UNSUBACK | – | empty properties added; UNSUBACK gets one code per filter |
//! | DISCONNECT | reason and properties dropped; "with will" sends nothing, so that the server publishes the will | – |
//!
//! Everything else in either direction is a [`Malformed`] error with the packet, the place and the [`Fault`].
//! The core does no I/O; [`V311`] puts it over a stream.
//!
//! Sources: MQTT Version 3.1.1 and MQTT Version 5.0 (OASIS standards); sections are given at the code.

mod inbound;
mod ledger;
mod outbound;
mod scan;
mod stream;

pub use stream::{StreamError, V311};
#[cfg(feature = "mqtt5-hub")]
pub(crate) use stream::{drain_within, within};

use inbound::Inbound;
use ledger::Ledger;
use outbound::Outbound;

/// Smallest stage a [`Translator`] can work with, in bytes.
pub const MIN_STAGE: usize = 64;

/// Key of the MQTT 5 user property that marks an inbound PUBLISH whose content was left out because the
/// packet is larger than the engine takes. Its value is the packet's size in bytes, in decimal.
///
/// Such a message arrives with its topic, an empty payload and QoS 0: it is not acknowledged, so a QoS 1
/// message stays with the service.
pub const OVERSIZED_PROPERTY: &str = "oversized";

/// Topic of an oversized PUBLISH (see [`OVERSIZED_PROPERTY`]) whose own topic does not fit either.
pub const OVERSIZED_TOPIC: &str = "$oversized";

/// What CONNECT says instead of the engine's own words.
///
/// The engine's client id is bounded (64 bytes, Azure's go to 257 with a module), it always sends a
/// password, and it keeps a copy of the credentials in its buffers. With a `Connect` the translator sends
/// these strings straight from where they are and takes only keep-alive and session expiry from the engine.
#[derive(Clone, Copy)]
pub struct Connect<'a> {
    /// Client id; up to 65535 bytes.
    pub client_id: &'a str,
    /// User name; up to 65535 bytes. Azure always wants one.
    pub user_name: &'a str,
    /// Password: `None` with X.509 authentication, else the SAS token. Up to 65535 bytes.
    pub password: Option<&'a [u8]>,
    /// Will message.
    pub will: Option<Will<'a>>,
}

impl core::fmt::Debug for Connect<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Connect")
            .field("client_id", &self.client_id)
            .field("user_name", &self.user_name)
            .field("password", &self.password.map(|_| "<redacted>"))
            .field("will", &self.will)
            .finish()
    }
}

/// A will: the message the server publishes when the connection ends without DISCONNECT.
#[derive(Clone, Copy, Debug)]
pub struct Will<'a> {
    /// Topic; up to 65535 bytes.
    pub topic: &'a str,
    /// Payload; up to 65535 bytes.
    pub payload: &'a [u8],
    /// QoS 0 to 2 (IoT Hub takes 0 and 1).
    pub qos: u8,
    /// The RETAIN flag (IoT Hub wants it clear).
    pub retain: bool,
}

/// Which way a faulty packet was going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Direction {
    /// From the engine to the wire.
    Outbound,
    /// From the wire to the engine.
    Inbound,
}

/// A packet that cannot be translated, and where it went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Malformed {
    /// Which way the packet was going.
    pub direction: Direction,
    /// The packet's first byte: type in the upper four bits, flags in the lower.
    pub header: u8,
    /// Offset in the packet of the byte that showed the fault.
    pub offset: u32,
    /// What is wrong.
    pub fault: Fault,
}

impl core::fmt::Display for Malformed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let way = match self.direction {
            Direction::Outbound => "outbound",
            Direction::Inbound => "inbound",
        };
        write!(f, "{way} MQTT packet type {} at byte {}: {}", self.header >> 4, self.offset, self.fault)
    }
}

impl core::error::Error for Malformed {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.fault)
    }
}

/// What is wrong with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Fault {
    /// A packet type that does not exist or must not travel in this direction (3.1.1 §2.2.1).
    PacketType,
    /// Reserved flag bits of the fixed header or of CONNECT/CONNACK are wrong (§2.2.2, §3.1.2.3, §3.2.2.1).
    Flags,
    /// The remaining length or a property length is coded in more than four bytes (§2.2.3).
    LengthEncoding,
    /// The fields do not fill the packet exactly, or go beyond its end.
    Length,
    /// CONNECT does not begin with the protocol name `MQTT` and level 5.
    Protocol,
    /// A property that is not allowed in CONNECT (MQTT 5 §3.1.2.11).
    Property,
    /// QoS 3, or DUP with QoS 0 (§3.3.1).
    QoS,
    /// A packet id of zero (§2.3.1).
    PacketId,
    /// An empty topic or topic filter (§4.7.3).
    EmptyTopic,
    /// A CONNACK or SUBACK code the standard does not define (§3.2.2.3, §3.9.3).
    ReturnCode,
    /// CONNECT or CONNACK not first or not once, or a packet after DISCONNECT (§3.1, §3.2).
    Order,
    /// SUBACK or UNSUBACK that answers no request, or with another number of codes (§3.8.4).
    UnexpectedAck,
    /// MQTT 5 enhanced authentication or a topic alias: nothing in 3.1.1 stands for it.
    NotTranslatable,
    /// The MQTT 5 No Local subscription option: nothing in 3.1.1 stands for it.
    NoLocal,
    /// A topic or client id longer than the stage holds.
    TopicTooLong,
    /// A [`Connect`] field longer than 65535 bytes.
    FieldTooLong,
    /// More than 16 requests or acknowledgements open at once.
    TooManyInFlight,
}

impl core::fmt::Display for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::PacketType => "packet type not allowed here",
            Self::Flags => "reserved flags are wrong",
            Self::LengthEncoding => "length coded in more than four bytes",
            Self::Length => "fields do not match the packet's length",
            Self::Protocol => "protocol name or level is wrong",
            Self::Property => "property not allowed in CONNECT",
            Self::QoS => "QoS or DUP flag is wrong",
            Self::PacketId => "packet id is zero",
            Self::EmptyTopic => "topic is empty",
            Self::ReturnCode => "undefined return code",
            Self::Order => "packet out of order",
            Self::UnexpectedAck => "acknowledgement does not match a request",
            Self::NotTranslatable => "no MQTT 3.1.1 form",
            Self::NoLocal => "No Local has no MQTT 3.1.1 form",
            Self::TopicTooLong => "topic or client id longer than the stage",
            Self::FieldTooLong => "CONNECT field longer than 65535 bytes",
            Self::TooManyInFlight => "too many packets in flight",
        })
    }
}

impl core::error::Error for Fault {}

/// The translator of one connection, both directions.
///
/// `N` is the stage in bytes ([`MIN_STAGE`] at least): it collects outbound bytes until they are written,
/// and must hold the longest topic sent plus 9 bytes (or the engine's client id plus 17). Payloads are
/// streamed through it, whatever their size.
///
/// A translator serves one connection; make a new one to reconnect.
///
/// ```
/// use iothub_mqtt::translate::Translator;
///
/// let mut translator = Translator::<64>::new();
/// // CONNECT as an MQTT 5 engine writes it: clean start, keep-alive 60 s, client id "ABC"...
/// let v5 = [0x10, 16, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 60, 0, 0, 3, b'A', b'B', b'C'];
/// assert_eq!(translator.accept(&v5)?, v5.len());
/// // ... and as it goes to the wire: one byte shorter, level 4.
/// let v311 = [0x10, 15, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 3, b'A', b'B', b'C'];
/// assert_eq!(translator.pending(), v311);
/// # Ok::<(), iothub_mqtt::translate::Malformed>(())
/// ```
#[derive(Debug)]
pub struct Translator<'c, const N: usize> {
    ledger: Ledger,
    outbound: Outbound<'c, N>,
    inbound: Inbound,
    dead: Option<Malformed>,
}

impl<const N: usize> Default for Translator<'_, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'c, const N: usize> Translator<'c, N> {
    /// A translator that passes on the engine's own CONNECT.
    #[must_use]
    pub fn new() -> Self {
        const { assert!(N >= MIN_STAGE, "the stage is too small") }
        Self { ledger: Ledger::new(), outbound: Outbound::new(None), inbound: Inbound::new(), dead: None }
    }

    /// A translator that sends `connect` in place of the engine's client id, credentials and will.
    #[must_use]
    pub fn with_connect(connect: &'c Connect<'c>) -> Self {
        let mut this = Self::new();
        this.outbound = Outbound::new(Some(connect));
        this
    }

    /// Reports "session present" to a reconnecting engine even when the server has forgotten the session.
    ///
    /// An MQTT 5 engine throws its unacknowledged messages away when the server lost the session. With
    /// this set it sends them again, which is what at-least-once delivery wants; subscriptions must then
    /// be made anew after every connect. Only for sessions without inbound QoS 2.
    #[must_use]
    pub fn keep_in_flight(mut self) -> Self {
        self.ledger.keep_in_flight = true;
        self
    }

    /// Takes bytes from the engine (MQTT 5) and stages their translation; gives how many were taken.
    ///
    /// Zero means that the stage must be drained first: write [`pending`](Self::pending) out and
    /// [`consume`](Self::consume) it.
    ///
    /// # Errors
    /// [`Malformed`], now and for ever: the connection is of no more use.
    pub fn accept(&mut self, input: &[u8]) -> Result<usize, Malformed> {
        if let Some(dead) = self.dead {
            return Err(dead);
        }
        self.outbound.accept(input, &mut self.ledger).inspect_err(|e| self.dead = Some(*e))
    }

    /// Bytes that wait to go to the wire (MQTT 3.1.1).
    #[must_use]
    pub fn pending(&self) -> &[u8] {
        self.outbound.pending()
    }

    /// Drops the first `n` bytes of [`pending`](Self::pending): they were written.
    pub fn consume(&mut self, n: usize) {
        self.outbound.consume(n);
    }

    /// Takes bytes from the wire (MQTT 3.1.1) and puts their translation into `output`.
    ///
    /// Gives how many bytes were taken and how many were put. Call it with an empty `input` to get what
    /// did not fit into an earlier `output`. With room in `output`, all of `input` gets taken.
    ///
    /// # Errors
    /// [`Malformed`], now and for ever.
    pub fn deliver(&mut self, input: &[u8], output: &mut [u8]) -> Result<(usize, usize), Malformed> {
        if let Some(dead) = self.dead {
            return Err(dead);
        }
        self.inbound.deliver(input, output, &mut self.ledger).inspect_err(|e| self.dead = Some(*e))
    }

    /// How many of the next wire bytes go to the engine unchanged, so that they may be read straight into
    /// its buffer; tell it with [`passed`](Self::passed).
    #[must_use]
    pub fn verbatim(&self) -> usize {
        if self.dead.is_some() { 0 } else { self.inbound.verbatim() }
    }

    /// Notes that `n` wire bytes, at most [`verbatim`](Self::verbatim), were handed to the engine directly.
    ///
    /// # Errors
    /// [`Malformed`] if `n` is too large or the packet that follows is out of order.
    pub fn passed(&mut self, n: usize) -> Result<(), Malformed> {
        self.inbound.passed(n, &mut self.ledger).inspect_err(|e| self.dead = Some(*e))
    }
}
