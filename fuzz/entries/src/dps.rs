//! The provisioning client: messages of the service over MQTT and HTTPS, stored assignments, and the state machine.

use dps_client::https::{HttpError, ResponseReader};
use dps_client::{
    Action, Answer, Assignment, Config, OperationStatus, Progress, Registration, RegistrationEvent,
    RegistrationState, ServiceError, Transport, mqtt,
};

use crate::bytes::{Bytes, topic_and_body};

fn config() -> Config<'static> {
    Config::new("0ne00000001", "device-1").expect("valid ids")
}

pub(crate) fn messages(input: &[u8]) {
    if let Some((topic, body)) = topic_and_body(input)
        && let Ok(answer) = mqtt::parse_answer(topic, body)
    {
        assert!(topic.starts_with("$dps/registrations/res/") && (100..600).contains(&answer.status));
        read(answer.body);
    }
    read(input);
    if let Ok(assignment) = Assignment::decode(input, &config()) {
        assert_host_and_id(&assignment);
    }
    https(input);
}

/// Everything an application may ask about a body.
fn read(body: &[u8]) {
    if let Ok(operation) = OperationStatus::parse(body) {
        let _ = (operation.status(), operation.operation_id());
        if let Ok(Some(state)) = operation.state() {
            state_of(&state);
        }
    }
    if let Ok(state) = RegistrationState::parse(body) {
        state_of(&state);
    }
    if let Ok(error) = ServiceError::parse(body) {
        let _ = (error.code(), error.message(), error.tracking_id(), error.timestamp_utc());
        let _ = error.authentication_key();
    }
}

fn state_of(state: &RegistrationState<'_>) {
    let _ = (state.registration_id(), state.status(), state.substatus(), state.error_code(), state.etag());
    let _ =
        (state.error_message(), state.payload(), state.tpm_authentication_key(), state.last_updated_utc());
    if let Ok(Some(chain)) = state.issued_certificate_chain() {
        let _ = chain.elements().count();
    }
    if let Ok(assignment) = Assignment::from_state(state) {
        assert_host_and_id(&assignment);
        let mut stored = [0; Assignment::MAX_ENCODED];
        assignment.encode(&config(), &mut stored).expect("the largest fits");
        assert_eq!(Assignment::decode(&stored, &config()).as_ref(), Ok(&assignment));
    }
}

/// What goes into DNS, topics and user names.
fn assert_host_and_id(assignment: &Assignment) {
    assert!(assignment.hub().bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b)));
    assert!(!assignment.hub().is_empty() && !assignment.device_id().is_empty());
    assert!(!assignment.device_id().contains(['/', '&', ' ']));
}

/// Status, retry-after, body; or why not.
type Outcome = Result<Option<(u16, Option<u32>, Vec<u8>)>, HttpError>;

fn feed(input: &[u8], piece: usize) -> Outcome {
    let mut buffer = [0; 512];
    let mut reader = ResponseReader::new(&mut buffer);
    for chunk in input.chunks(piece) {
        let mut rest = chunk;
        while !rest.is_empty() {
            let taken = reader.feed(rest)?;
            if taken == 0 {
                break;
            }
            rest = &rest[taken..];
        }
    }
    let finished = reader.finish();
    let answer = reader.answer().map(|a| (a.status, a.retry_after_s, a.body.to_vec()));
    finished.map(|()| answer)
}

/// The pieces in which an answer comes make no difference.
fn https(input: &[u8]) {
    let whole = feed(input, usize::MAX);
    for piece in [1, 7] {
        assert_eq!(feed(input, piece), whole, "in pieces of {piece}");
    }
}

/// Any sequence of events, at any times: the machine never asks for something out of order.
pub(crate) fn registration(input: &[u8]) {
    let mut bytes = Bytes(input);
    let transport = if bytes.byte() & 1 == 0 { Transport::Mqtt } else { Transport::Https };
    let config = config().with_transport(transport).with_credentials(2);
    let mut registration = Registration::new(config, u32::from(bytes.byte()));
    let (mut now, mut connected, mut subscribed) = (0u64, false, false);
    loop {
        let mut rid = 0;
        match registration.next(now) {
            Action::Connect { credential } => {
                assert!(credential < 2);
                (connected, subscribed) = (false, false);
            }
            Action::Subscribe => assert!(connected && transport == Transport::Mqtt),
            Action::Send(request) => {
                assert!(connected && (subscribed || transport == Transport::Https));
                let (mut topic, mut body) = ([0; mqtt::MAX_TOPIC], [0; 150]);
                mqtt::topic(&request, &mut topic).expect("the longest topic fits");
                request.body(&mut body).expect("documented to be enough");
                rid = request.rid();
            }
            Action::Disconnect { .. } => (connected, subscribed) = (false, false),
            Action::Wait { .. } => {}
            Action::Finished(assignment) => return assert_host_and_id(assignment),
            Action::Failed(error) => return assert!(!error.to_string().is_empty()),
        }
        if bytes.is_empty() {
            return;
        }
        let id = rid.to_string();
        let event = match bytes.byte() % 12 {
            0 | 1 => RegistrationEvent::Connected,
            2 => RegistrationEvent::ConnectionRefused { code: bytes.byte() % 7 },
            3 => RegistrationEvent::Subscribed,
            4 => RegistrationEvent::SubscribeRefused,
            5 => RegistrationEvent::Disconnected,
            6 => RegistrationEvent::Activated,
            7 => RegistrationEvent::ActivationFailed,
            8 => {
                // Forwards mostly, now and then back.
                let step = u64::from(bytes.byte());
                now = if step == 7 { now / 2 } else { now.saturating_add(step << (step % 16)) };
                continue;
            }
            what => RegistrationEvent::Answer(Answer {
                status: match bytes.byte() {
                    0..=99 => 202,
                    100..=149 => 200,
                    other => 400 + u16::from(other % 110),
                },
                rid: match (transport, what) {
                    (Transport::Https, _) => None,
                    (Transport::Mqtt, 9) => Some("1"),
                    (Transport::Mqtt, _) => Some(&id),
                },
                retry_after_s: (what == 11).then(|| u32::from(bytes.byte())),
                body: bytes.line(),
            }),
        };
        if matches!(registration.handle(event, now), Progress::Ignored) {
            continue;
        }
        match event {
            RegistrationEvent::Connected => connected = true,
            RegistrationEvent::Subscribed => subscribed = true,
            RegistrationEvent::Disconnected => (connected, subscribed) = (false, false),
            _ => {}
        }
    }
}
