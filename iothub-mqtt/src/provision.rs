//! Registration at the Device Provisioning Service over a stream.

use crate::clock::{left, now_ms};
use crate::session::{self, Mqtt, Options, Session, Ticket};
use crate::translate::Connect;
use crate::{Error, Refusal};
use core::pin::pin;
use dps_client::{
    Action, Assignment, Progress, Registration, RegistrationEvent, RegistrationState, Transport, mqtt,
};
use embassy_time::{Timer, with_timeout};
use embedded_io_async::{Read, Write};

/// Room for the body of a register request without payload, certificate request or TPM.
pub const MIN_BODY: usize = 256;

/// Smallest stage of the [session](Session) of a registration, in bytes: poll topics carry the operation id.
pub const MIN_STAGE: usize = mqtt::MAX_TOPIC + 16;

/// Buffers of a registration. They are free again afterwards.
#[derive(Debug)]
pub struct Buffers<'b> {
    /// One answer of the service: 2 KiB without issued certificates, 12 KiB with.
    pub rx: &'b mut [u8],
    /// Requests in flight: the body and 400 bytes.
    pub tx: &'b mut [u8],
    /// The body of a request: [`MIN_BODY`], payload and certificate request added (the latter in base64).
    pub body: &'b mut [u8],
}

/// What a registration wants before it goes on.
pub(crate) enum Wanted {
    /// A connection, with this one of the device's credentials.
    Connection { credential: u8 },
    /// Nothing: it has its assignment.
    Nothing,
}

/// Waits until `registration` wants a connection, or is decided.
pub(crate) async fn wanted(registration: &mut Registration<'_>) -> Result<Wanted, Error> {
    loop {
        match registration.next(now_ms()) {
            Action::Connect { credential } => return Ok(Wanted::Connection { credential }),
            Action::Wait { until_ms } => Timer::after(left(until_ms)).await,
            Action::Finished(_) => return Ok(Wanted::Nothing),
            Action::Failed(error) => return Err(Error::Registration(error.clone())),
            // The end of an earlier connection; nothing else comes before a connection.
            Action::Disconnect { .. } | Action::Subscribe | Action::Send(_) => {}
        }
    }
}

/// Waits until `registration` wants a connection: make it then, and give it to [`register_ready`]. If it cannot be
/// made, tell the registration with [`RegistrationEvent::Disconnected`], so that it climbs its ladder, and call this
/// again.
///
/// Gives the assignment if there is one already.
///
/// # Errors
/// [`Error::Registration`] if the registration has failed for good.
pub async fn ready(registration: &mut Registration<'_>) -> Result<Option<Assignment>, Error> {
    wanted(registration).await?;
    Ok(registration.assignment().cloned())
}

/// Runs `registration` over `stream`, a connection to the provisioning service, until it is decided or the
/// connection ends.
///
/// `password` is the SAS token, `None` with a certificate. The registration keeps its place and its ladder of
/// waiting times: after [`Error::RegistrationInterrupted`], or another
/// [retriable](Error::is_retriable) error, call this again with a new connection; it waits as long as it has to
/// by itself. Where a connection should not stand idle meanwhile, use [`ready`] and [`register_ready`].
///
/// # Errors
/// [`Error::Registration`] if it failed for good; else those of the connection.
pub async fn register<S: Read + Write>(
    registration: &mut Registration<'_>,
    stream: S,
    password: Option<&[u8]>,
    buffers: &mut Buffers<'_>,
) -> Result<Assignment, Error> {
    match ready(registration).await? {
        Some(assignment) => Ok(assignment),
        None => register_ready(registration, stream, password, buffers).await,
    }
}

/// [`register`] that also hands over what the service said when it assigned the device: the payload, or the
/// certificates that it issued for a request ([`RegistrationState::issued_certificate_chain`]).
///
/// # Errors
/// As [`register`].
pub async fn register_with<S: Read + Write>(
    registration: &mut Registration<'_>,
    stream: S,
    password: Option<&[u8]>,
    buffers: &mut Buffers<'_>,
    assigned: impl FnMut(&RegistrationState<'_>),
) -> Result<Assignment, Error> {
    if let Some(assignment) = ready(registration).await? {
        return Ok(assignment);
    }
    pin!(decide::<S, _, MIN_STAGE>(registration, stream, password, buffers, assigned)).await?;
    registration.assignment().cloned().ok_or(Error::Disconnected)
}

/// [`register`] for a registration that is [`ready`], over the connection made since.
///
/// # Errors
/// As [`register`].
pub async fn register_ready<S: Read + Write>(
    registration: &mut Registration<'_>,
    stream: S,
    password: Option<&[u8]>,
    buffers: &mut Buffers<'_>,
) -> Result<Assignment, Error> {
    pin!(decide::<S, _, MIN_STAGE>(registration, stream, password, buffers, |_| ())).await?;
    // Decided, and not refused: it has its assignment.
    registration.assignment().cloned().ok_or(Error::Disconnected)
}

/// [`register_ready`] with a stage of the caller's choice, [`MIN_STAGE`] at least; leaves the assignment in the
/// registration.
pub(crate) async fn decide<S: Read + Write, F: FnMut(&RegistrationState<'_>), const N: usize>(
    registration: &mut Registration<'_>,
    stream: S,
    password: Option<&[u8]>,
    buffers: &mut Buffers<'_>,
    assigned: F,
) -> Result<(), Error> {
    const { assert!(N >= MIN_STAGE, "room for the topics of the provisioning service") }
    let config = registration.config();
    if config.transport() != Transport::Mqtt {
        return Err(Error::Invalid { what: "transport of the registration", at: 0 });
    }
    let mut user_name = [0; mqtt::MAX_USER_NAME];
    let connect = Connect {
        client_id: config.registration_id(),
        user_name: mqtt::user_name(config, &mut user_name)?,
        password,
        will: None,
    };
    let options =
        Options { clean: mqtt::CLEAN_SESSION, connack_ms: config.timing().connect_ms, ..Options::default() };
    let mut session: Session<'_, N> = Session::new(options, buffers.rx, buffers.tx);
    let mut io = session.wire(stream, &connect);
    let connected = pin!(session.connect_over(&mut io)).await;
    let mut link = match connected {
        Ok(link) => link,
        Err(error) => return Err(connect_failed(registration, error)),
    };
    registration.handle(RegistrationEvent::Connected, now_ms());
    let decided = pin!(drive(registration, &mut link, buffers.body, assigned)).await;
    if decided.is_ok() {
        // The assignment stands; whether the service hears the goodbye does not matter.
        let _ = pin!(link.disconnect()).await;
    } else {
        registration.handle(RegistrationEvent::Disconnected, now_ms());
    }
    decided
}

/// Tells the registration that there is no connection; gives the error that is left.
fn connect_failed(registration: &mut Registration<'_>, error: Error) -> Error {
    let Error::ConnectionRefused(refusal) = error else {
        registration.handle(RegistrationEvent::Disconnected, now_ms());
        return error;
    };
    let event = match refusal {
        Refusal::Other(_) => RegistrationEvent::Disconnected,
        refusal => RegistrationEvent::ConnectionRefused { code: refusal.code() },
    };
    if let Progress::Fault(fault) = registration.handle(event, now_ms()) {
        // It goes on, perhaps with another credential.
        return Error::RegistrationInterrupted(fault);
    }
    match registration.next(now_ms()) {
        Action::Failed(error) => Error::Registration(error.clone()),
        _ => Error::ConnectionRefused(refusal),
    }
}

async fn drive<L: Mqtt>(
    registration: &mut Registration<'_>,
    link: &mut L,
    body: &mut [u8],
    mut assigned: impl FnMut(&RegistrationState<'_>),
) -> Result<(), Error> {
    let mut subscription: Option<Ticket> = None;
    loop {
        match registration.next(now_ms()) {
            Action::Subscribe => subscription = Some(link.subscribe(&[mqtt::SUBSCRIBE_FILTER]).await?),
            Action::Send(request) => {
                let mut topic = [0; mqtt::MAX_TOPIC];
                let topic = mqtt::topic(&request, &mut topic)?;
                link.publish(topic, request.body(body)?, session::QoS::AtLeastOnce).await?;
            }
            Action::Wait { until_ms } => {
                listen(registration, link, &mut subscription, until_ms, &mut assigned).await?;
            }
            Action::Disconnect { reason } => return Err(Error::RegistrationInterrupted(reason)),
            Action::Finished(_) => return Ok(()),
            Action::Failed(error) => return Err(Error::Registration(error.clone())),
            Action::Connect { .. } => return Err(Error::Disconnected),
        }
    }
}

/// Takes what the service sends until the clock shows `until_ms` or something changed.
async fn listen<L: Mqtt>(
    registration: &mut Registration<'_>,
    link: &mut L,
    subscription: &mut Option<Ticket>,
    until_ms: u64,
    assigned: &mut impl FnMut(&RegistrationState<'_>),
) -> Result<(), Error> {
    match with_timeout(left(until_ms), link.poll()).await {
        // Time is up; the registration knows what that means.
        Err(_) => return Ok(()),
        Ok(Ok(Some(message))) => {
            // Other topics and malformed ones are dropped; if the answer does not come, the request times out.
            let oversized = message.oversized;
            if let Ok(answer) = mqtt::parse_answer(message.topic, message.payload) {
                match (registration.handle(RegistrationEvent::Answer(answer), now_ms()), oversized) {
                    (Progress::Assigned(state), _) => assigned(&state),
                    // Without its body, which an assignment needs.
                    (Progress::Unusable, Some(size)) => return Err(Error::Oversized { size }),
                    _ => {}
                }
            }
        }
        Ok(Ok(None)) => {}
        Ok(Err(Error::SubscriptionRefused)) => {
            *subscription = None;
            registration.handle(RegistrationEvent::SubscribeRefused, now_ms());
        }
        Ok(Err(error)) => return Err(error),
    }
    if let Some(ticket) = *subscription
        && link.progress(ticket) == session::Progress::Done
    {
        *subscription = None;
        registration.handle(RegistrationEvent::Subscribed, now_ms());
    }
    while link.next_settled().is_some() {}
    Ok(())
}
