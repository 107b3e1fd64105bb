//! MQTT sessions: what the hub client needs of one, and the engine that gives it.
//!
//! [`Session`] is the state that outlives connections: unacknowledged messages wait in it until they are
//! delivered. [`Session::connect`] makes a connection of it, a [`Connection`], which implements [`Mqtt`]: all that
//! the rest of the crate sees. Topics and payloads are none of its business, so that a session of another
//! MQTT version needs no other client, and another client no other session.

mod engine;
mod wire;

pub use engine::{Connection, Options, Session};
pub use wire::{Protocol, Wire};

use crate::Error;

/// How surely a message arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum QoS {
    /// At most once: sent and forgotten.
    AtMostOnce,
    /// At least once: kept until acknowledged, sent again after a reconnect.
    #[default]
    AtLeastOnce,
}

/// A message or subscription on its way; see [`Mqtt::progress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Ticket(u32);

impl Ticket {
    /// For implementations of [`Mqtt`]: a number that no other ticket of the session has.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }
}

/// How far a ticket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Progress {
    /// The server has not answered yet.
    Pending,
    /// The server has it.
    Done,
    /// It is gone: the session that could have delivered it was given up. Send it again.
    Lost,
    /// The server does not take it, for this reason (MQTT 5 only).
    Refused(u8),
}

/// A message as the session gives it.
#[derive(Clone, Copy, Debug)]
pub struct Inbound<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The body; empty if `oversized`.
    pub payload: &'a [u8],
    /// Size in bytes of a packet that is larger than the receive buffer; its body was left out and it is not
    /// acknowledged.
    pub oversized: Option<u32>,
    /// What it carries beside topic and body.
    #[cfg(feature = "mqtt5-hub")]
    pub attributes: Attributes,
}

/// What an MQTT 5 message from a hub carries beside topic and body.
#[cfg(feature = "mqtt5-hub")]
#[derive(Clone, Copy, Debug, Default)]
pub struct Attributes {
    /// What it is, if that is known here.
    pub kind: Option<crate::mqtt5::Kind>,
    /// Its correlation data, if that has 16 bytes.
    pub correlation: Option<crate::mqtt5::Id>,
    /// After how many seconds it is of no more use.
    pub expiry_s: Option<u32>,
}

/// A message to an MQTT 5 hub.
#[cfg(feature = "mqtt5-hub")]
#[derive(Clone, Copy, Debug)]
pub struct Outbound<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The body begins with this,
    pub head: &'a [u8],
    /// and goes on with this.
    pub payload: &'a [u8],
    /// How surely it arrives.
    pub qos: QoS,
    /// What it is.
    pub kind: crate::mqtt5::Kind,
    /// Its correlation data.
    pub correlation: Option<&'a crate::mqtt5::Id>,
    /// After how many seconds it is of no more use.
    pub expiry_s: Option<u32>,
    /// Content type of the body.
    pub content_type: Option<&'a str>,
    /// Further user properties; [`MAX_PROPERTIES`] at most.
    pub properties: &'a [(&'a str, &'a str)],
}

/// Further user properties of an [`Outbound`].
#[cfg(feature = "mqtt5-hub")]
pub const MAX_PROPERTIES: usize = 20;

/// One live MQTT connection.
pub trait Mqtt {
    /// Sends a message.
    ///
    /// With [`QoS::AtLeastOnce`] it is kept until it is acknowledged, and the ticket tells; a reconnect sends it
    /// again. With [`QoS::AtMostOnce`] there is no ticket, and dropping the future half-way ruins the connection.
    ///
    /// # Errors
    /// [`Error::Busy`] or [`Error::TooLarge`] if nothing was sent; others end the connection.
    async fn publish(&mut self, topic: &str, payload: &[u8], qos: QoS) -> Result<Option<Ticket>, Error>;

    /// Sends a message to an MQTT 5 hub; else as [`publish`](Self::publish). Dropping the future half-way is safe for
    /// messages smaller than the session's stage, whatever their QoS.
    ///
    /// # Errors
    /// As [`publish`](Self::publish); [`Error::Invalid`] on a connection of another protocol.
    #[cfg(feature = "mqtt5-hub")]
    async fn send(&mut self, message: &Outbound<'_>) -> Result<Option<Ticket>, Error> {
        let _ = message;
        Err(Error::Invalid { what: "protocol of the session", at: 0 })
    }

    /// Subscribes to `filters` with QoS 1. Messages may arrive before the ticket is done.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    async fn subscribe(&mut self, filters: &[&str]) -> Result<Ticket, Error>;

    /// Ends a subscription.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    async fn unsubscribe(&mut self, filters: &[&str]) -> Result<Ticket, Error>;

    /// Waits until something has happened; gives the message, if that was one.
    ///
    /// Keeps the connection alive, so call it all the time; dropping the future half-way is safe if it is for
    /// the stream's reads, writes and flushes. A QoS 1 message is acknowledged by the next call of any method
    /// here: until then it is the caller's to take.
    ///
    /// # Errors
    /// [`Error::SubscriptionRefused`] leaves the connection standing; all others end it.
    async fn poll(&mut self) -> Result<Option<Inbound<'_>>, Error>;

    /// How far a ticket is. [`Progress::Done`] is told once: after that the ticket is unknown, and
    /// [`Progress::Lost`].
    fn progress(&mut self, ticket: Ticket) -> Progress;

    /// The next message that was delivered or lost, if any, oldest first.
    fn next_settled(&mut self) -> Option<(Ticket, Progress)>;

    /// Stops keeping account of a ticket: nobody is going to ask. The message itself goes on.
    fn forget(&mut self, ticket: Option<Ticket>);

    /// How many more messages and subscriptions may be on their way; if none, poll first.
    fn room(&self) -> usize;

    /// Says goodbye, so that the server does not publish the will.
    ///
    /// # Errors
    /// [`Error::Transport`] if the stream failed.
    async fn disconnect(&mut self) -> Result<(), Error>;
}
