//! What the hub client tells the application.

#[cfg(feature = "certificates")]
use crate::certificate;
use crate::session::Ticket;
use crate::{Error, c2d, method, twin};
use azure_iot_common::text::Writer;

/// What the hub is subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Subscription {
    /// Cloud-to-device messages, or the messages to a module.
    Messages,
    /// Direct methods.
    Methods,
    /// Answers to requests about the twin. Without it there is no twin, and nothing can be reported.
    TwinAnswers,
    /// Changes of desired properties. Without it the twin is fetched after every connect, and that is all.
    TwinChanges,
    /// Answers to requests for a certificate. Without it the hub issues none.
    #[cfg(feature = "certificates")]
    Certificates,
}

impl core::fmt::Display for Subscription {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Messages => "cloud-to-device messages",
            Self::Methods => "direct methods",
            Self::TwinAnswers => "answers about the twin",
            Self::TwinChanges => "changes of the twin",
            #[cfg(feature = "certificates")]
            Self::Certificates => "issued certificates",
        })
    }
}

/// Identifies a request about the twin, or for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RequestId(pub(super) u32);

/// Why properties were not reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ReportFailure {
    /// The hub refused: 400 bad JSON, 412 somebody else has changed the reported properties meanwhile (an MQTT 5 hub:
    /// report again), 413 too large, 429 too many requests, 5xx fault of the service.
    Refused {
        /// HTTP-like status.
        status: u16,
        /// Seconds to wait before trying again, if the hub said.
        retry_after_s: Option<u32>,
    },
    /// No answer came; the properties may or may not have been taken.
    TimedOut,
}

/// What [`Client::poll`](super::Client::poll) gives.
#[derive(Debug)]
#[non_exhaustive]
pub enum HubEvent<'a> {
    /// All subscriptions are decided: the device is connected for good.
    Connected,
    /// The hub refuses this subscription; the device goes on without. Comes before [`HubEvent::Connected`], once for
    /// each that is refused. An MQTT 5 hub has no cloud-to-device messages: there it comes for
    /// [`Subscription::Messages`], unless they were not wanted.
    SubscriptionRefused(Subscription),
    /// The hub has this message now.
    Delivered(Ticket),
    /// This message is gone with the session that carried it: send it again.
    Lost(Ticket),
    /// The hub does not take this message, however often it is sent: the reason code of an MQTT 5 hub (0x87 not
    /// authorized, 0x90 topic, 0x95 too large, 0x97 quota, 0x99 payload). Of several that were answered at the same
    /// moment it is not known which it was: all of them are told so.
    Rejected {
        /// Which message.
        ticket: Ticket,
        /// MQTT 5, section 3.4.2.1.
        reason: u8,
    },
    /// A message from the cloud.
    Message(c2d::Message<'a>),
    /// The cloud calls a method: [`Client::respond`](super::Client::respond).
    Method(method::Request<'a>),
    /// The whole twin: after every connect, and when a change was missed. It replaces what was known.
    Twin(twin::Document<'a>),
    /// A change of desired properties, to be merged into what is known. None is missing before it.
    Desired(twin::Desired<'a>),
    /// The whole twin cannot be had: it is larger than the receive buffer ([`Error::Oversized`]), or not what a twin
    /// should be. Desired properties that were set before now are unknown; changes go on to come, as
    /// [`HubEvent::Desired`].
    TwinUnusable(Error),
    /// The answer to [`Client::report`](super::Client::report): the new version of the reported properties, if the
    /// hub said.
    Reported {
        /// Which report.
        request: RequestId,
        /// What became of it.
        result: Result<Option<u64>, ReportFailure>,
    },
    /// What became of [`Client::request_certificate`](super::Client::request_certificate).
    #[cfg(feature = "certificates")]
    Certificate {
        /// Which request.
        request: RequestId,
        /// How far it is.
        progress: certificate::Progress<'a>,
    },
    /// A message larger than the receive buffer came. It was not taken: a cloud-to-device message the hub is
    /// going to send again until it gives up, a method should be answered with
    /// [`status::TOO_LARGE`](method::status::TOO_LARGE), for a change of the twin the whole twin is fetched.
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

impl RequestId {
    /// The id as it stands in topics.
    pub(super) fn text(self, out: &mut [u8; 10]) -> Result<&str, Error> {
        let mut text = Writer::new(out);
        text.decimal(self.0);
        Ok(text.finish_str()?)
    }
}
