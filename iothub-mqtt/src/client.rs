//! The hub client over one connection.

use crate::session::{Inbound, Mqtt, Progress, Ticket};
use crate::telemetry::Telemetry;
use crate::{Endpoint, Error, c2d};

/// The hub client of one connection: [`start`](Self::start) it, then [`poll`](Self::poll) it and send.
///
/// `TOPIC` is the room for the topic of what is sent: that of telemetry holds its properties.
#[derive(Debug)]
pub struct Client<'e, L, const TOPIC: usize = 512> {
    link: L,
    endpoint: Endpoint<'e>,
    subscription: Option<Ticket>,
    topic: [u8; TOPIC],
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
    /// A message larger than the receive buffer came. It was not taken, so the hub is going to send a
    /// cloud-to-device message again until it gives up.
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

impl<'e, L: Mqtt, const TOPIC: usize> Client<'e, L, TOPIC> {
    /// The client of `endpoint` over `link`, which is connected as that endpoint.
    pub fn new(link: L, endpoint: Endpoint<'e>) -> Self {
        Self { link, endpoint, subscription: None, topic: [0; TOPIC] }
    }

    /// Subscribes to everything the hub may send. [`Event::Connected`] comes when it has agreed.
    ///
    /// To be called after every connect, also when the server kept the session.
    ///
    /// # Errors
    /// Those of the connection; [`Error::Invalid`] for an id that no topic filter can hold.
    pub async fn start(&mut self) -> Result<(), Error> {
        let mut buffer = [0; c2d::MAX_FILTER];
        let messages = c2d::filter(&self.endpoint, &mut buffer)?;
        self.subscription = Some(self.link.subscribe(&[messages]).await?);
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
        if let Some(ticket) = self.subscription
            && self.link.progress(ticket) == Progress::Done
        {
            self.subscription = None;
            return Ok(Some(Event::Connected));
        }
        if let Some((ticket, progress)) = self.link.next_settled() {
            return Ok(Some(match progress {
                Progress::Done => Event::Delivered(ticket),
                _ => Event::Lost(ticket),
            }));
        }
        match self.link.poll().await {
            Ok(inbound) => Ok(inbound.map(event)),
            Err(error) => {
                // A subscription the hub refused is not going to stand.
                self.subscription = None;
                Err(error)
            }
        }
    }

    /// Sends a message to the cloud. With QoS 1 its ticket comes back in [`Event::Delivered`].
    ///
    /// # Errors
    /// [`Error::Busy`] when eight messages or a full buffer of them wait to be acknowledged; those of
    /// [`Telemetry::topic`]; and those that end the connection.
    pub async fn send(&mut self, message: &Telemetry<'_>) -> Result<Option<Ticket>, Error> {
        let topic = message.topic(&self.endpoint, &mut self.topic)?;
        self.link.publish(topic, message.payload, message.qos).await
    }

    /// Whether another message may be sent now; if not, poll first.
    pub fn can_send(&self) -> bool {
        self.link.can_publish()
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

/// What a message from the session means.
fn event(inbound: Inbound<'_>) -> Event<'_> {
    let Inbound { topic, payload, oversized } = inbound;
    if let Some(size) = oversized {
        return Event::Oversized { topic, size };
    }
    match c2d::Message::parse(topic, payload) {
        Ok(message) => Event::Message(message),
        Err(_) => Event::Other { topic, payload },
    }
}
