//! The registration as a state machine without I/O: ask it what to do ([`Registration::next`]), do it, tell it what
//! happened ([`Registration::handle`]).
mod types;

pub use types::{Action, Answer, Fault, Operation, Progress, RegistrationEvent, Request};

use crate::assignment::{Assignment, copy_member};
use crate::config::Transport;
use crate::json::JsonStr;
use crate::message::{OperationStatus, ServiceError, Status};
use crate::retry::StatusClass;
use crate::{AnswerError, Config, Error};
use azure_iot_common::backoff::{Jitter, scale};
use azure_iot_common::text::Decimal;

/// Longest operation id kept, in bytes. The service's have about 55.
pub const MAX_OPERATION_ID: usize = 256;

type OperationId = heapless::String<MAX_OPERATION_ID>;

/// How far the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connection {
    Down,
    /// Until the deadline.
    Connecting(u64),
    /// Not subscribed yet.
    Connected,
    /// Until the deadline.
    Subscribing(u64),
    Ready,
    /// Until the deadline.
    Awaiting(u64),
    /// To be closed on the next call, for this reason.
    Closing(Fault),
}

/// How far the registration is.
#[derive(Debug)]
enum Phase {
    Register,
    Poll(OperationId),
    /// The TPM is at work.
    Activate,
    Assigned(Assignment),
    Failed(Error),
}

/// One registration of a device.
///
/// It never reads a clock: every call takes `now_ms`, milliseconds of any steady clock. If that clock is set back,
/// waiting times keep their length; if it leaps forward, they end early.
///
/// ```
/// use dps_client::{Action, Config, RegistrationEvent, Registration, mqtt};
///
/// let config = Config::new("0ne00000001", "my-device")?;
/// let mut registration = Registration::new(config, 0x1234_5678);
/// assert!(matches!(registration.next(0), Action::Connect { credential: 0 }));
/// registration.handle(RegistrationEvent::Connected, 100);
/// assert!(matches!(registration.next(100), Action::Subscribe));
/// registration.handle(RegistrationEvent::Subscribed, 150);
/// let mut buffer = [0; mqtt::MAX_TOPIC];
/// let Action::Send(request) = registration.next(150) else { panic!() };
/// assert!(mqtt::topic(&request, &mut buffer)?.starts_with("$dps/registrations/PUT/iotdps-register/?$rid="));
/// # Ok::<(), dps_client::Error>(())
/// ```
#[derive(Debug)]
pub struct Registration<'a> {
    config: Config<'a>,
    phase: Phase,
    link: Connection,
    /// Nothing is sent and no connection made before this.
    due: u64,
    /// The latest time seen.
    now: u64,
    jitter: Jitter,
    rid: u32,
    /// Faults in a row.
    attempts: u32,
    credential: u8,
    /// The service has lost the operation once.
    operation_lost: bool,
    activated: bool,
    started: bool,
}

impl<'a> Registration<'a> {
    /// A registration that has not begun.
    ///
    /// `seed` should come from a real random source: the jitter that keeps a fleet from acting in step comes from it,
    /// and the first request id, so that an answer to a request before a reset is not taken for a new one. It guards
    /// no secret.
    #[must_use]
    pub fn new(config: Config<'a>, seed: u32) -> Self {
        let mut jitter = Jitter::new(seed);
        Self {
            config,
            phase: Phase::Register,
            link: Connection::Down,
            due: 0,
            now: 0,
            rid: jitter.draw(),
            jitter,
            attempts: 0,
            credential: 0,
            operation_lost: false,
            activated: config.tpm().is_none(),
            started: false,
        }
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config<'a> {
        &self.config
    }

    /// Faults in a row since the last success.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The assignment, once there is one.
    #[must_use]
    pub fn assignment(&self) -> Option<&Assignment> {
        match &self.phase {
            Phase::Assigned(assignment) => Some(assignment),
            _ => None,
        }
    }

    /// What to do now. [`Action::Wait`] repeats as often as asked; every other action is given once and then counts
    /// as under way, except the two that end the registration.
    pub fn next(&mut self, now_ms: u64) -> Action<'_> {
        self.tick(now_ms);
        if !matches!(self.phase, Phase::Assigned(_) | Phase::Failed(_)) {
            if let Connection::Connecting(deadline)
            | Connection::Subscribing(deadline)
            | Connection::Awaiting(deadline) = self.link
            {
                if self.now < deadline {
                    return Action::Wait { until_ms: deadline };
                }
                let reason = match self.link {
                    Connection::Connecting(_) => Fault::ConnectTimeout,
                    _ => Fault::RequestTimeout,
                };
                self.fault(reason, Connection::Closing(reason), None);
            }
            if let Connection::Closing(reason) = self.link {
                self.link = Connection::Down;
                return Action::Disconnect { reason };
            }
        }
        let timing = *self.config.timing();
        match (&self.phase, self.link) {
            (Phase::Assigned(assignment), _) => Action::Finished(assignment),
            (Phase::Failed(error), _) => Action::Failed(error),
            (Phase::Activate, _) => Action::Wait { until_ms: u64::MAX },
            (_, Connection::Connected) => {
                self.link = Connection::Subscribing(self.now.saturating_add(timing.request_ms.into()));
                Action::Subscribe
            }
            _ if self.now < self.due => Action::Wait { until_ms: self.due },
            (_, Connection::Down) => {
                self.link = Connection::Connecting(self.now.saturating_add(timing.connect_ms.into()));
                Action::Connect { credential: self.credential }
            }
            (phase, _) => {
                self.link = Connection::Awaiting(self.now.saturating_add(timing.request_ms.into()));
                self.rid = self.rid.wrapping_add(1);
                Action::Send(Request {
                    config: &self.config,
                    rid: self.rid,
                    operation: match phase {
                        Phase::Poll(id) => Operation::Poll { operation_id: id },
                        _ => Operation::Register,
                    },
                    authorized: self.activated,
                })
            }
        }
    }

    /// Takes an event. Events that do not fit the present state change nothing.
    pub fn handle<'e>(&mut self, event: RegistrationEvent<'e>, now_ms: u64) -> Progress<'e> {
        self.tick(now_ms);
        match (event, self.link) {
            _ if matches!(self.phase, Phase::Assigned(_) | Phase::Failed(_)) => Progress::Ignored,
            (RegistrationEvent::Connected, Connection::Connecting(_)) => {
                self.link = match self.config.transport() {
                    Transport::Mqtt => Connection::Connected,
                    Transport::Https => Connection::Ready,
                };
                Progress::Accepted
            }
            (RegistrationEvent::ConnectionRefused { code }, Connection::Connecting(_)) => {
                self.connection_refused(code)
            }
            (RegistrationEvent::Subscribed, Connection::Subscribing(_)) => {
                self.link = Connection::Ready;
                Progress::Accepted
            }
            (RegistrationEvent::SubscribeRefused, Connection::Subscribing(_)) => {
                self.fault(Fault::SubscribeRefused, Connection::Closing(Fault::SubscribeRefused), None)
            }
            (RegistrationEvent::Answer(answer), Connection::Awaiting(_)) if self.is_expected(answer.rid) => {
                self.answer(answer)
            }
            // A server may close an idle HTTPS connection; and the fault of one to be closed is counted already.
            (RegistrationEvent::Disconnected, Connection::Closing(_)) => self.is_down(),
            (RegistrationEvent::Disconnected, Connection::Ready)
                if self.config.transport() == Transport::Https =>
            {
                self.is_down()
            }
            (RegistrationEvent::Disconnected, link) if link != Connection::Down => {
                self.fault(Fault::ConnectionLost, Connection::Down, None)
            }
            (RegistrationEvent::Activated, _) if matches!(self.phase, Phase::Activate) => {
                self.activated = true;
                self.phase = Phase::Register;
                Progress::Accepted
            }
            (RegistrationEvent::ActivationFailed, _) if matches!(self.phase, Phase::Activate) => {
                self.phase = Phase::Failed(Error::ActivationFailed);
                Progress::Accepted
            }
            _ => Progress::Ignored,
        }
    }

    fn is_down<'e>(&mut self) -> Progress<'e> {
        self.link = Connection::Down;
        Progress::Accepted
    }

    /// Takes the time. Waiting times keep their length when the clock is set back.
    fn tick(&mut self, now_ms: u64) {
        if !self.started {
            self.started = true;
            self.now = now_ms;
            let spread = scale(self.jitter.draw(), self.config.timing().spread_ms);
            self.due = now_ms.saturating_add(spread.into());
        }
        if let Some(back) = self.now.checked_sub(now_ms) {
            self.due = self.due.saturating_sub(back);
            if let Connection::Connecting(deadline)
            | Connection::Subscribing(deadline)
            | Connection::Awaiting(deadline) = &mut self.link
            {
                *deadline = deadline.saturating_sub(back);
            }
        }
        self.now = now_ms;
    }

    /// Whether an answer belongs to the request that is under way.
    fn is_expected(&self, rid: Option<&str>) -> bool {
        match rid {
            Some(rid) => rid.as_bytes() == Decimal::new(self.rid).as_bytes(),
            None => self.config.transport() == Transport::Https,
        }
    }

    /// Ends an attempt; the next one comes after the ladder's delay, not before `floor_s` seconds, and not before the
    /// time that the service set earlier.
    fn fault<'e>(&mut self, fault: Fault, link: Connection, floor_s: Option<u32>) -> Progress<'e> {
        let timing = self.config.timing();
        let base = u64::from(timing.backoff.base_ms(self.attempts));
        let floor = u64::from(floor_s.unwrap_or(0)) * 1000;
        // The jitter comes on top of both, or a fleet that was told the same time would come back at once.
        let delay = base.max(floor) + u64::from(scale(self.jitter.draw(), timing.backoff.jitter_ms));
        self.attempts = self.attempts.saturating_add(1);
        crate::logging::warning!("registration: {:?}, attempt {} in a row", fault, self.attempts);
        self.due = self.due.max(self.now.saturating_add(delay));
        self.link = link;
        if timing.max_attempts != 0 && self.attempts >= timing.max_attempts {
            self.phase = Phase::Failed(Error::GaveUp { attempts: self.attempts, last: fault });
        }
        Progress::Fault(fault)
    }

    /// Turns to the next credential, if the device has one.
    fn next_credential(&mut self) -> bool {
        let next = self.credential.saturating_add(1);
        let found = next < self.config.credentials();
        if found {
            self.credential = next;
        }
        found
    }

    fn connection_refused<'e>(&mut self, code: u8) -> Progress<'e> {
        let credential = matches!(code, 4 | 5);
        if code == crate::mqtt::CONNACK_UNAVAILABLE || (credential && self.next_credential()) {
            return self.fault(Fault::ConnectionRefused(code), Connection::Down, None);
        }
        self.phase = Phase::Failed(Error::ConnectionRefused { code });
        Progress::Accepted
    }

    fn answer<'e>(&mut self, answer: Answer<'e>) -> Progress<'e> {
        self.link = Connection::Ready;
        crate::logging::debug!("registration: the service answers {}", answer.status);
        if StatusClass::of(answer.status) == StatusClass::Success {
            return match self.success(&answer) {
                Ok(progress) => progress,
                Err(error) => {
                    self.phase = Phase::Failed(error);
                    Progress::Unusable
                }
            };
        }
        self.refusal(&answer)
    }

    fn success<'e>(&mut self, answer: &Answer<'e>) -> Result<Progress<'e>, Error> {
        let operation = OperationStatus::parse(answer.body)?;
        let status = operation.status()?;
        self.attempts = 0;
        match status {
            Status::Assigning => {
                let named = operation.operation_id().and_then(|id| id.map(operation_id_from).transpose());
                match (named, &self.phase) {
                    (Ok(Some(id)), _) => self.phase = Phase::Poll(id),
                    // The id is known already.
                    (_, Phase::Poll(_)) => {}
                    (Ok(None), _) => return Err(AnswerError::Missing("operationId").into()),
                    (Err(error), _) => return Err(error.into()),
                }
                let wait = match answer.retry_after_s {
                    Some(seconds @ 1..) => u64::from(seconds) * 1000,
                    _ => self.config.timing().poll_ms.into(),
                };
                self.due = self.now.saturating_add(wait);
                Ok(Progress::Assigning)
            }
            Status::Assigned => {
                let state = operation.state()?.ok_or(AnswerError::Missing("registrationState"))?;
                self.phase = Phase::Assigned(Assignment::from_state(&state)?);
                Ok(Progress::Assigned(state))
            }
            Status::Failed | Status::Disabled | Status::Unassigned => {
                let state = operation.state()?;
                let code = state.and_then(|state| state.error_code().ok()?);
                self.phase = Phase::Failed(Error::NotAssigned { status, code });
                Ok(Progress::NotAssigned(state))
            }
        }
    }

    fn refusal<'e>(&mut self, answer: &Answer<'e>) -> Progress<'e> {
        let status = answer.status;
        let detail = ServiceError::parse(answer.body).ok();
        let floor = answer.retry_after_s;
        match (status, StatusClass::of(status)) {
            (_, StatusClass::Retriable) => {
                self.fault(Fault::Service(status), Connection::Ready, floor);
            }
            (_, StatusClass::Conflict) => {
                self.phase = Phase::Register;
                self.fault(Fault::Service(status), Connection::Ready, floor);
            }
            (404, _) if matches!(self.phase, Phase::Poll(_)) => {
                if self.operation_lost {
                    self.phase = Phase::Failed(Error::OperationLost);
                } else {
                    self.operation_lost = true;
                    self.phase = Phase::Register;
                    self.fault(Fault::OperationLost, Connection::Ready, floor);
                }
            }
            (401, _) if !self.activated => {
                if let Some(key) = detail.and_then(|detail| detail.authentication_key().ok()?) {
                    self.phase = Phase::Activate;
                    return Progress::Challenge(key);
                }
                self.refuse(status, detail);
            }
            (401, _) if self.next_credential() => {
                self.fault(Fault::Service(status), Connection::Closing(Fault::Service(status)), floor);
            }
            _ => self.refuse(status, detail),
        }
        Progress::Refused { status, detail }
    }

    fn refuse(&mut self, status: u16, detail: Option<ServiceError<'_>>) {
        self.phase =
            Phase::Failed(Error::Service { status, code: detail.and_then(|detail| detail.code().ok()?) });
    }
}

/// The id goes into a topic and a path unescaped, so only what cannot change their meaning is let through.
fn is_operation_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'))
}

fn operation_id_from(id: JsonStr<'_>) -> Result<OperationId, AnswerError> {
    let mut owned = OperationId::new();
    copy_member("operationId", Some(id), is_operation_id, &mut owned)?;
    Ok(owned)
}
