//! Registrations against a strict service that misbehaves at random: breaks connections, keeps silent, throttles,
//! loses operations, answers late and twice. Every device must be assigned in the end, and no device may ask earlier
//! than it was told to.
mod support;

use dps_client::{
    Action, Backoff, Config, Operation, Registration, RegistrationEvent, Timing, Transport, mqtt,
};
use proptest::prelude::*;
use support::config;

/// Numbers for the service's moods (splitmix64).
struct Moods(u64);

impl Moods {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A message to the device.
type Message = (String, String);

struct Service {
    moods: Moods,
    /// No more faults from then on.
    calm_at: u64,
    connected: bool,
    subscribed: bool,
    /// Requests before this break the rules.
    not_before: u64,
    operation: Option<(String, u64)>,
    operations: u64,
    /// An old answer that may come again.
    last: Option<Message>,
    requests: u32,
}

impl Service {
    fn new(seed: u64) -> Self {
        Self {
            moods: Moods(seed),
            calm_at: 3_600_000,
            connected: false,
            subscribed: false,
            not_before: 0,
            operation: None,
            operations: 0,
            last: None,
            requests: 0,
        }
    }

    fn fault(&mut self, now: u64, one_in: u64) -> bool {
        now < self.calm_at && self.moods.one_in(one_in)
    }

    fn break_connection(&mut self) {
        (self.connected, self.subscribed) = (false, false);
    }

    fn refusal(&mut self, now: u64, status: u16, rid: &str) -> Message {
        let retry_after = self.moods.below(400);
        let mut topic = format!("$dps/registrations/res/{status}/?$rid={rid}");
        if self.moods.one_in(2) {
            topic = format!("{topic}&retry-after={retry_after}");
            self.not_before = now + retry_after * 1000;
        }
        (topic, format!(r#"{{"errorCode":{status}001,"message":"mood"}}"#))
    }

    /// Takes a request and answers, or not.
    fn request(&mut self, now: u64, topic: &str, body: &[u8]) -> Vec<Message> {
        assert!(self.connected && self.subscribed, "a request before the subscription");
        assert!(now >= self.not_before, "a request {} ms too early", self.not_before - now);
        self.requests += 1;
        let query = topic.rsplit_once("/?$rid=").expect(topic).1;
        let (rid, operation_id) = match query.split_once("&operationId=") {
            Some((rid, id)) => (rid, Some(id)),
            None => (query, None),
        };
        assert!(rid.bytes().all(|byte| byte.is_ascii_digit()));
        if self.fault(now, 8) {
            return vec![];
        }
        if self.fault(now, 6) {
            let status = [429, 500, 503, 504, 409][usize::try_from(self.moods.below(5)).unwrap()];
            return vec![self.refusal(now, status, rid)];
        }
        let (id, polls) = match operation_id {
            None => {
                assert!(topic.starts_with("$dps/registrations/PUT/iotdps-register/?$rid="));
                assert_eq!(body, br#"{"registrationId":"device-1"}"#);
                self.operations += 1;
                (format!("5.{}.x", self.operations), self.moods.below(4))
            }
            Some(id) => {
                assert!(topic.starts_with("$dps/registrations/GET/iotdps-get-operationstatus/?$rid="));
                assert!(body.is_empty());
                // The one 404 that a registration outlives.
                if self.operations == 1 && self.fault(now, 10) {
                    return vec![self.refusal(now, 404, rid)];
                }
                let (known, polls) = self.operation.clone().expect("a poll without an operation");
                assert_eq!(id, known);
                (known, polls.saturating_sub(1))
            }
        };
        self.operation = Some((id.clone(), polls));
        let answer = if polls > 0 {
            let seconds = self.moods.below(30);
            // Without a time, or with zero, the client's two seconds apply.
            self.not_before = now + if seconds == 0 { 2000 } else { seconds * 1000 };
            let retry = if seconds == 0 { String::new() } else { format!("retry-after={seconds}&") };
            (
                format!("$dps/registrations/res/202/?{retry}$rid={rid}"),
                format!(r#"{{"operationId":"{id}","status":"assigning"}}"#),
            )
        } else {
            (
                format!("$dps/registrations/res/200/?$rid={rid}"),
                format!(
                    r#"{{"operationId":"{id}","status":"assigned","registrationState":{{"assignedHub":"{id}.net",
                    "deviceId":"device-1"}}}}"#
                ),
            )
        };
        // Older answers around the right one.
        let mut answers = vec![answer.clone()];
        if self.fault(now, 3) {
            answers.extend(self.last.clone());
        }
        if self.fault(now, 3) {
            answers.splice(0..0, self.last.clone());
        }
        self.last = Some(answer);
        answers
    }
}

/// Runs one registration to its end and gives the time it took.
fn run(seed: u64, transport: Transport) -> u64 {
    let timing =
        Timing { backoff: Backoff { min_ms: 1000, max_ms: 20_000, jitter_ms: 3000 }, ..Timing::DEFAULT };
    let config = config().with_timing(timing).with_transport(transport);
    let mut registration = Registration::new(config, u32::try_from(seed & 0xffff_ffff).unwrap());
    let mut service = Service::new(seed);
    let mut now = 0;
    let (mut topic, mut body) = ([0; mqtt::MAX_TOPIC], [0; 64]);
    for _ in 0..100_000 {
        if service.connected && service.fault(now, 20) {
            service.break_connection();
            registration.handle(RegistrationEvent::Disconnected, now);
        }
        match registration.next(now) {
            Action::Connect { credential } => {
                assert_eq!(credential, 0);
                now += service.moods.below(500);
                if service.fault(now, 4) {
                    let code = mqtt::CONNACK_UNAVAILABLE;
                    let event = if service.moods.one_in(2) {
                        RegistrationEvent::ConnectionRefused { code }
                    } else {
                        RegistrationEvent::Disconnected
                    };
                    registration.handle(event, now);
                } else if !service.fault(now, 6) {
                    service.connected = true;
                    // HTTPS has no subscription to wait for.
                    service.subscribed = transport == Transport::Https;
                    registration.handle(RegistrationEvent::Connected, now);
                }
            }
            Action::Subscribe => {
                assert!(service.connected && transport == Transport::Mqtt);
                if service.fault(now, 10) {
                    registration.handle(RegistrationEvent::SubscribeRefused, now);
                } else if !service.fault(now, 10) {
                    service.subscribed = true;
                    registration.handle(RegistrationEvent::Subscribed, now);
                }
            }
            Action::Send(request) => {
                let topic = mqtt::topic(&request, &mut topic).unwrap();
                let answers = service.request(now, topic, request.body(&mut body).unwrap());
                now += service.moods.below(3000);
                for (topic, body) in answers {
                    let answer = mqtt::parse_answer(&topic, body.as_bytes()).unwrap();
                    registration.handle(RegistrationEvent::Answer(answer), now);
                }
            }
            Action::Disconnect { .. } => service.break_connection(),
            Action::Wait { until_ms } => {
                assert!(until_ms > now);
                now = until_ms;
            }
            Action::Finished(assignment) => {
                assert_eq!(assignment.hub(), format!("5.{}.x.net", service.operations));
                return now;
            }
            Action::Failed(error) => panic!("seed {seed}: {error}"),
        }
    }
    panic!("seed {seed}: no end");
}

#[test]
fn every_device_is_assigned_in_the_end() {
    for transport in [Transport::Mqtt, Transport::Https] {
        let slow = (0..1500).map(|seed| run(seed, transport)).filter(|time| *time > 60_000).count();
        assert!(slow > 500, "the service was not bad enough: {slow}");
    }
}

/// What a careless caller may report at any time.
#[derive(Clone, Debug)]
enum Report {
    Next,
    Connected,
    Refused(u8),
    Subscribed,
    SubscribeRefused,
    Disconnected,
    Activated,
    /// Status, whether with the right id, retry time, body.
    Answer(u16, bool, Option<u32>, usize),
}

const BODIES: [&str; 6] = [
    support::ASSIGNING,
    support::ASSIGNED,
    r#"{"status":"failed"}"#,
    r#"{"errorCode":401002,"authenticationKey":"AAEC"}"#,
    "",
    "<html>",
];

fn report() -> impl Strategy<Value = Report> {
    let status = prop_oneof![Just(200), Just(202), Just(404), Just(409), Just(429), 100..600u16];
    prop_oneof![
        6 => Just(Report::Next),
        2 => Just(Report::Connected),
        1 => (0..8u8).prop_map(Report::Refused),
        2 => Just(Report::Subscribed),
        1 => Just(Report::SubscribeRefused),
        1 => Just(Report::Disconnected),
        1 => Just(Report::Activated),
        4 => (status, any::<bool>(), any::<Option<u32>>(), 0..BODIES.len())
            .prop_map(|(status, right, retry, body)| Report::Answer(status, right, retry, body)),
    ]
}

proptest! {
    #[test]
    fn any_order_of_events_at_any_time(
        seed in any::<u32>(),
        https in any::<bool>(),
        max_attempts in 0..4u32,
        reports in prop::collection::vec((report(), prop_oneof![Just(0), 0..100_000u64, any::<u64>()]), 1..60),
    ) {
        let transport = if https { Transport::Https } else { Transport::Mqtt };
        let timing = Timing { max_attempts, spread_ms: 1000, ..Timing::DEFAULT };
        let config: Config<'_> = config().with_transport(transport).with_timing(timing).with_credentials(2);
        let mut registration = Registration::new(config, seed);
        let (mut now, mut rid, mut up, mut ended) = (0u64, String::new(), false, false);
        for (report, step) in reports {
            // Mostly onwards, sometimes anywhere.
            now = if step < 100_000 { now.saturating_add(step) } else { step };
            let event = match report {
                Report::Next => {
                    match registration.next(now) {
                        Action::Wait { until_ms } => prop_assert!(until_ms > now && !ended),
                        Action::Send(request) => {
                            prop_assert!(up && !ended, "a request without a connection");
                            rid = request.rid().to_string();
                            if let Operation::Poll { operation_id } = request.operation() {
                                prop_assert_eq!(operation_id, support::OPERATION);
                            }
                        }
                        Action::Connect { credential } => prop_assert!(credential < 2 && !up && !ended),
                        Action::Subscribe => prop_assert!(!https && up && !ended),
                        Action::Disconnect { .. } => up = false,
                        Action::Finished(_) | Action::Failed(_) => ended = true,
                    }
                    continue;
                }
                Report::Connected => RegistrationEvent::Connected,
                Report::Refused(code) => RegistrationEvent::ConnectionRefused { code },
                Report::Subscribed => RegistrationEvent::Subscribed,
                Report::SubscribeRefused => RegistrationEvent::SubscribeRefused,
                Report::Disconnected => RegistrationEvent::Disconnected,
                Report::Activated => RegistrationEvent::Activated,
                Report::Answer(status, right, retry_after_s, body) => {
                    let rid = if right { rid.as_str() } else { "0" };
                    let rid = Some(rid).filter(|_| !https);
                    {
                        let body = BODIES[body].as_bytes();
                        RegistrationEvent::Answer(dps_client::Answer { status, rid, retry_after_s, body })
                    }
                }
            };
            let progress = registration.handle(event, now);
            prop_assert!(!ended || matches!(progress, dps_client::Progress::Ignored));
            match (event, &progress) {
                (_, dps_client::Progress::Ignored) => {}
                (RegistrationEvent::Connected, _) => up = true,
                (RegistrationEvent::Disconnected, _) => up = false,
                _ => {}
            }
        }
    }
}
