//! What goes into the state machine and what comes out of it.
use core::fmt;

use crate::assignment::Assignment;
use crate::json::JsonStr;
use crate::message::{self, RegistrationState, ServiceError};
use crate::{Config, Error};

/// What to do next.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Action<'r> {
    /// Open the connection (TCP, TLS, and MQTT CONNECT), then report [`RegistrationEvent::Connected`],
    /// [`RegistrationEvent::ConnectionRefused`] or [`RegistrationEvent::Disconnected`].
    Connect {
        /// Which of the device's credentials to use, from 0. Build a fresh SAS token for each connection.
        credential: u8,
    },
    /// Subscribe to [`SUBSCRIBE_FILTER`](crate::mqtt::SUBSCRIBE_FILTER), then report [`RegistrationEvent::Subscribed`]
    /// or
    /// [`RegistrationEvent::SubscribeRefused`]. Never comes over HTTPS.
    Subscribe,
    /// Send the request and report the answer with [`RegistrationEvent::Answer`].
    Send(Request<'r>),
    /// Close the connection; nothing needs to be reported. A new [`Action::Connect`] follows in time.
    Disconnect {
        /// Why.
        reason: Fault,
    },
    /// Nothing to do until the clock shows this or an event comes.
    Wait {
        /// In the caller's milliseconds.
        until_ms: u64,
    },
    /// The device is assigned. Close the connection and go to the hub.
    Finished(&'r Assignment),
    /// The registration has failed for good. Close the connection.
    Failed(&'r Error),
}

/// What happened.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum RegistrationEvent<'e> {
    /// The connection stands (over MQTT: CONNACK 0 came).
    Connected,
    /// MQTT CONNACK with this return code, not 0.
    ConnectionRefused {
        /// The return code of MQTT 3.1.1, section 3.2.2.3.
        code: u8,
    },
    /// SUBACK with success.
    Subscribed,
    /// SUBACK with 0x80.
    SubscribeRefused,
    /// A message of the service, taken apart by [`mqtt::parse_answer`](crate::mqtt::parse_answer) or the HTTPS
    /// binding.
    Answer(Answer<'e>),
    /// No connection could be made, or it is lost.
    Disconnected,
    /// The TPM has activated the credential of [`Progress::Challenge`]; requests can be authorised now.
    Activated,
    /// The TPM refused the credential.
    ActivationFailed,
}

/// An answer of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Answer<'e> {
    /// The HTTP-like status, 100-599.
    pub status: u16,
    /// The echoed request id; `None` over HTTPS, where the connection pairs request and answer.
    pub rid: Option<&'e str>,
    /// How long to wait at least, in seconds.
    pub retry_after_s: Option<u32>,
    /// The JSON body.
    pub body: &'e [u8],
}

/// What an event meant: for logs, and for the parts of an answer that the machine does not keep.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Progress<'e> {
    /// The event does not belong to the present state, such as a late answer to an earlier request. Nothing changed.
    Ignored,
    /// The event was expected and taken.
    Accepted,
    /// The service is at work on the operation; a poll follows.
    Assigning,
    /// The device is assigned; here are payload, issued certificates and the TPM's hub key.
    Assigned(RegistrationState<'e>),
    /// The service ended the registration without a hub; here are its code and message.
    NotAssigned(Option<RegistrationState<'e>>),
    /// The service refused the request; whether another try follows, [`Registration::next`](crate::Registration::next)
    /// tells.
    Refused {
        /// The HTTP-like status.
        status: u16,
        /// The body, when it was one of the service's.
        detail: Option<ServiceError<'e>>,
    },
    /// The service wants the TPM to activate this credential (base64). Report [`RegistrationEvent::Activated`] when
    /// done.
    Challenge(JsonStr<'e>),
    /// The attempt ended in a fault; another follows after a while unless the attempts are used up.
    Fault(Fault),
    /// The answer cannot be used; [`Registration::next`](crate::Registration::next) gives the error.
    Unusable,
}

/// What ended an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Fault {
    /// The connection was lost or could not be made.
    ConnectionLost,
    /// No connection within [`Timing::connect_ms`](crate::Timing::connect_ms).
    ConnectTimeout,
    /// No answer within [`Timing::request_ms`](crate::Timing::request_ms).
    RequestTimeout,
    /// The subscription was refused.
    SubscribeRefused,
    /// The service refused the connection with this CONNACK code.
    ConnectionRefused(u8),
    /// The service refused the request with this status.
    Service(u16),
    /// The service lost the operation.
    OperationLost,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectionLost => f.write_str("no connection, or the connection was lost"),
            Self::ConnectTimeout => f.write_str("no connection in time"),
            Self::RequestTimeout => f.write_str("no answer in time"),
            Self::SubscribeRefused => f.write_str("the subscription was refused"),
            Self::ConnectionRefused(code) => write!(f, "the service refused the connection (CONNACK {code})"),
            Self::Service(status) => write!(f, "the service answered {status}"),
            Self::OperationLost => f.write_str("the service lost the operation"),
        }
    }
}

/// A request to send. Over MQTT: [`mqtt::topic`](crate::mqtt::topic) and [`Request::body`].
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Request<'r> {
    #[cfg_attr(feature = "defmt", defmt(Debug2Format))]
    pub(super) config: &'r Config<'r>,
    pub(super) rid: u32,
    pub(super) operation: Operation<'r>,
    pub(super) authorized: bool,
}

/// The operations of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Operation<'r> {
    /// Register the device.
    Register,
    /// Ask how the registration stands.
    Poll {
        /// Names the operation.
        operation_id: &'r str,
    },
}

impl<'r> Request<'r> {
    /// The request id, echoed in the answer in decimal.
    #[must_use]
    pub fn rid(&self) -> u32 {
        self.rid
    }

    /// What is asked.
    #[must_use]
    pub fn operation(&self) -> Operation<'r> {
        self.operation
    }

    /// The registration it belongs to.
    #[must_use]
    pub fn config(&self) -> &'r Config<'r> {
        self.config
    }

    /// Whether an HTTPS request carries the SAS token (if the device has one at all). Only the first request of a
    /// TPM goes without.
    #[must_use]
    pub fn is_authorized(&self) -> bool {
        self.authorized
    }

    /// The JSON body, in `out`; empty for a poll.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`] with the bytes needed. Without payload, CSR and TPM 150 bytes are always enough.
    pub fn body<'b>(&self, out: &'b mut [u8]) -> Result<&'b [u8], Error> {
        match self.operation {
            Operation::Register => message::write_register(self.config, true, out),
            Operation::Poll { .. } => Ok(&[]),
        }
    }
}
