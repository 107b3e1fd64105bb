//! The runner: registration, hub and what happens when they break, against services that do what the test says.

#![allow(clippy::cast_possible_truncation, clippy::large_futures)]

use Next::{Reconnect, Register};
use dps_client::{Assignment, Backoff, Config, ConnectionProfile, RegistrationState, Timing};
use embedded_io_adapters::tokio_1::FromTokio;
use iothub_mqtt::runner::{
    Application, Buffers, Connector, Device, DeviceCommand, DeviceEvent, Failure, Ladder, Next, Policy,
    Service, Settings, Target, Token,
};
use iothub_mqtt::{Error, HubEvent, Refusal, Telemetry};
use iothub_mqtt_test_support::{Packet, Server, pair};
use proptest::prelude::*;
use std::collections::VecDeque;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

/// What the connector met, for the test to serve.
struct Visit {
    host: String,
    server: Server,
}

/// Why a connection is not made.
#[derive(Debug, PartialEq, Eq)]
enum NoConnection {
    Unreachable,
    WrongServer,
}

/// Hands the other end of every connection to the test.
struct Bench {
    visits: mpsc::UnboundedSender<Visit>,
    /// What happens to the next connections; then they are made.
    refusals: VecDeque<Option<NoConnection>>,
    tokens: u32,
    with_token: Option<u32>,
}

impl Connector for Bench {
    type Stream<'s> = FromTokio<DuplexStream>;
    type Error = NoConnection;

    async fn connect(&mut self, target: Target<'_>) -> Result<FromTokio<DuplexStream>, NoConnection> {
        assert_eq!(target.port, 8883);
        match self.refusals.pop_front() {
            Some(Some(error)) => return Err(error),
            Some(None) => std::future::pending().await,
            None => {}
        }
        let (stream, server) = pair();
        self.visits.send(Visit { host: target.host.into(), server }).unwrap();
        Ok(stream)
    }

    fn is_retriable(error: &NoConnection) -> bool {
        *error == NoConnection::Unreachable
    }

    fn token(&mut self, target: Target<'_>, out: &mut [u8]) -> Result<Option<Token>, NoConnection> {
        let Some(renew_ms) = self.with_token else { return Ok(None) };
        self.tokens += 1;
        let token = match target.service {
            Service::Provisioning { credential } => format!("dps{credential}-{}", self.tokens),
            Service::Hub(endpoint) => format!("{}-{}", endpoint.device_id(), self.tokens),
        };
        out[..token.len()].copy_from_slice(token.as_bytes());
        Ok(Some(Token { length: token.len(), renew_ms }))
    }
}

/// Notes what it is told, and does what the test says.
struct App {
    log: mpsc::UnboundedSender<String>,
    commands: mpsc::UnboundedReceiver<Do>,
    current: Do,
}

#[derive(Clone)]
enum Do {
    Send(&'static [u8]),
    Respond(iothub_mqtt::method::ReplyTo),
    Report(&'static str),
    Stop,
}

impl Application<NoConnection> for App {
    async fn event(&mut self, event: DeviceEvent<'_, NoConnection>) {
        use HubEvent as Hub;
        let line = match event {
            DeviceEvent::Connecting(target) => format!("connecting {}", target.host),
            DeviceEvent::Registered(assignment) => format!("registered {}", assignment.hub()),
            DeviceEvent::Registering => "registering".into(),
            DeviceEvent::Renewing => "renewing".into(),
            DeviceEvent::Retrying { cause, .. } => format!("retrying: {cause:?}"),
            DeviceEvent::Sent(_) => "sent".into(),
            DeviceEvent::Reporting(_) => "reporting".into(),
            DeviceEvent::NotSent(error) => format!("not sent: {error}"),
            DeviceEvent::Hub(Hub::Connected) => "connected".into(),
            DeviceEvent::Hub(Hub::Delivered(_)) => "delivered".into(),
            DeviceEvent::Hub(Hub::Message(m)) => format!("message {}", String::from_utf8_lossy(m.payload)),
            DeviceEvent::Hub(Hub::Method(request)) => {
                format!("method {} {}", request.name, request.request_id)
            }
            DeviceEvent::Hub(Hub::Reported { result, .. }) => format!("reported {result:?}"),
            other => format!("{other:?}"),
        };
        // The test may have seen enough.
        let _ = self.log.send(line);
    }

    async fn command(&mut self) -> DeviceCommand<'_> {
        self.current = self.commands.recv().await.expect("the test is over");
        match &self.current {
            Do::Send(payload) => DeviceCommand::Telemetry(Telemetry::new(payload)),
            Do::Respond(to) => DeviceCommand::Respond { to: to.clone(), status: 200, payload: b"{}" },
            Do::Report(properties) => DeviceCommand::Report(properties),
            Do::Stop => DeviceCommand::Stop,
        }
    }
}

/// The test's side.
struct Test {
    visits: mpsc::UnboundedReceiver<Visit>,
    log: mpsc::UnboundedReceiver<String>,
    commands: mpsc::UnboundedSender<Do>,
}

impl Test {
    async fn expect(&mut self, line: &str) {
        let got = self.log.recv().await.unwrap();
        assert!(got.contains(line), "expected `{line}`, got `{got}`");
    }

    async fn visit(&mut self, host: &str) -> Server {
        let visit = self.visits.recv().await.unwrap();
        assert_eq!(visit.host, host);
        visit.server
    }

    /// Registers the device at `hub`.
    async fn assign(&mut self, hub: &str) {
        self.expect("registering").await;
        self.expect("connecting dps.net").await;
        let mut server = self.visit("dps.net").await;
        answer_registration(&mut server, &assigned(hub, "")).await;
        assert_eq!(server.packet().await, Packet::Disconnect);
        self.expect(&format!("registered {hub}")).await;
    }

    /// Lets the device in.
    async fn hub(&mut self, host: &str) -> Server {
        self.expect(&format!("connecting {host}")).await;
        let mut server = self.visit(host).await;
        server.accept(true).await;
        server.grant().await;
        self.expect("connected").await;
        server
    }

    fn command(&self, command: Do) {
        self.commands.send(command).ok().unwrap();
    }
}

fn assigned(hub: &str, more: &str) -> String {
    format!(
        "{{\"operationId\":\"5\",\"status\":\"assigned\",\"registrationState\":{{\"assignedHub\":\"{hub}\",\
         \"deviceId\":\"dev\"{more}}}}}"
    )
}

async fn answer_registration(server: &mut Server, body: &str) {
    server.accept(false).await;
    server.grant().await;
    let Packet::Publish { id, topic, .. } = server.packet().await else { panic!() };
    server.puback(id).await;
    let rid = topic.split("$rid=").nth(1).unwrap();
    server.publish(0, &format!("$dps/registrations/res/200/?$rid={rid}"), body.as_bytes()).await;
}

const BACKOFF: Backoff = Backoff { min_ms: 5, max_ms: 20, jitter_ms: 5 };

fn settings() -> Settings<'static> {
    let timing = Timing { backoff: BACKOFF, ..Timing::DEFAULT };
    let registration = Config::new("0ne00000001", "dev").unwrap().with_timing(timing);
    let mut settings = Settings::new(registration);
    settings.provisioning_host = "dps.net";
    settings.client.twin = false;
    settings.connect_ms = 100;
    settings.policy = Policy { backoff: BACKOFF, ..Policy::DEFAULT };
    settings
}

fn known(hub: &str) -> Assignment {
    let state = format!("{{\"assignedHub\":\"{hub}\",\"deviceId\":\"dev\"}}");
    Assignment::from_state(&RegistrationState::parse(state.as_bytes()).unwrap()).unwrap()
}

struct Bag {
    settings: Settings<'static>,
    assignment: Option<Assignment>,
    refusals: Vec<Option<NoConnection>>,
    with_token: Option<u32>,
}

impl Default for Bag {
    fn default() -> Self {
        Self { settings: settings(), assignment: None, refusals: Vec::new(), with_token: None }
    }
}

/// Runs a device against what `play` does; gives how it stopped, and its token buffer.
async fn run<F>(bag: Bag, play: impl FnOnce(Test) -> F) -> (Result<(), Failure<NoConnection>>, [u8; 64])
where
    F: Future<Output = ()>,
{
    run_with(bag, |app| app, play).await
}

/// The same with an application around the test's.
async fn run_with<F, A: Application<NoConnection>>(
    bag: Bag,
    around: impl FnOnce(App) -> A,
    play: impl FnOnce(Test) -> F,
) -> (Result<(), Failure<NoConnection>>, [u8; 64])
where
    F: Future<Output = ()>,
{
    let (visits, visits_to_serve) = mpsc::unbounded_channel();
    let (log, lines) = mpsc::unbounded_channel();
    let (commands, commands_to_do) = mpsc::unbounded_channel();
    let mut bench = Bench { visits, refusals: bag.refusals.into(), tokens: 0, with_token: bag.with_token };
    let mut app = around(App { log, commands: commands_to_do, current: Do::Stop });
    let mut seed = 1u32;
    let random = move || {
        seed = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        seed
    };
    let mut device: Device<'_, _> = Device::new(bag.settings, random);
    let mut token = [0xAA; 64];
    let mut buffers = Buffers {
        rx: &mut [0; 2048],
        tx: &mut [0; 2048],
        registration_rx: &mut [0; 2048],
        registration_tx: &mut [0; 1024],
        body: &mut [0; 256],
        token: &mut token,
    };
    let test = Test { visits: visits_to_serve, log: lines, commands };
    let limit = std::time::Duration::from_secs(30);
    let both =
        async { tokio::join!(device.run(&mut app, &mut bench, &mut buffers, bag.assignment), play(test)).0 };
    (tokio::time::timeout(limit, both).await.expect("the test hangs"), token)
}

#[tokio::test]
async fn from_nothing_to_messages_both_ways() {
    let (stopped, _) = run(Bag::default(), async |mut test: Test| {
        test.assign("hub-1.net").await;
        test.expect("connecting hub-1.net").await;
        let mut server = test.visit("hub-1.net").await;
        let Packet::Connect { fields, .. } = server.accept(true).await else { panic!() };
        assert_eq!(fields[0], b"dev");
        assert_eq!(fields[1], b"hub-1.net/dev/?api-version=2021-04-12");
        assert_eq!(fields.len(), 2);
        server.grant().await;
        test.expect("connected").await;

        test.command(Do::Send(b"reading"));
        let Packet::Publish { id, payload, .. } = server.packet().await else { panic!() };
        assert_eq!(payload, b"reading");
        test.expect("sent").await;
        server.puback(id).await;
        test.expect("delivered").await;

        server.publish(3, "devices/dev/messages/devicebound/", b"hello").await;
        test.expect("message hello").await;
        assert_eq!(server.packet().await, Packet::Puback(3));

        server.publish(0, "$iothub/methods/POST/reboot/?$rid=b", b"").await;
        test.expect("method reboot b").await;
        test.command(Do::Respond(iothub_mqtt::method::ReplyTo::new("b").unwrap()));
        let Packet::Publish { topic, .. } = server.packet().await else { panic!() };
        assert_eq!(topic, "$iothub/methods/res/200/?$rid=b");

        test.command(Do::Report("{\"a\":1}"));
        test.expect("reporting").await;
        let Packet::Publish { topic, .. } = server.packet().await else { panic!() };
        assert!(topic.starts_with("$iothub/twin/PATCH/properties/reported/?$rid="));

        test.command(Do::Stop);
        assert_eq!(server.packet().await, Packet::Disconnect);
    })
    .await;
    assert_eq!(stopped, Ok(()));
}

#[tokio::test]
async fn a_broken_connection_is_made_again_and_nothing_is_lost() {
    let bag = Bag { assignment: Some(known("hub-1.net")), ..Bag::default() };
    let (stopped, _) = run(bag, async |mut test: Test| {
        let mut server = test.hub("hub-1.net").await;
        test.command(Do::Send(b"kept"));
        let Packet::Publish { dup: false, .. } = server.packet().await else { panic!() };
        test.expect("sent").await;
        drop(server);
        test.expect("retrying").await;
        // The hub breaks off twice more, before and after CONNACK.
        for answer in [false, true] {
            test.expect("connecting").await;
            let mut server = test.visit("hub-1.net").await;
            if answer {
                server.accept(true).await;
            }
            drop(server);
            test.expect("retrying").await;
        }
        test.expect("connecting").await;
        let mut server = test.visit("hub-1.net").await;
        server.accept(true).await;
        let mut kept = 0;
        for _ in 0..2 {
            match server.packet().await {
                Packet::Publish { id, payload, dup: true, .. } => {
                    assert_eq!(payload, b"kept");
                    kept += 1;
                    server.puback(id).await;
                }
                Packet::Subscribe { id, filters } => {
                    let [high, low] = id.to_be_bytes();
                    let mut suback = vec![0x90, 2 + filters.len() as u8, high, low];
                    suback.resize(4 + filters.len(), 1);
                    server.send(&suback).await;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(kept, 1);
        let mut lines = [test.log.recv().await.unwrap(), test.log.recv().await.unwrap()];
        lines.sort();
        assert_eq!(lines, ["connected", "delivered"]);
        test.command(Do::Stop);
        assert_eq!(server.packet().await, Packet::Disconnect);
    })
    .await;
    assert_eq!(stopped, Ok(()));
}

#[tokio::test]
async fn a_hub_that_refuses_three_times_is_asked_about() {
    let bag = Bag { assignment: Some(known("old.net")), ..Bag::default() };
    let (stopped, _) = run(bag, async |mut test: Test| {
        for code in [5, 4, 5] {
            test.expect("connecting old.net").await;
            let mut server = test.visit("old.net").await;
            server.packet().await;
            server.send(&[0x20, 2, 0, code]).await;
            test.expect("retrying").await;
        }
        test.assign("new.net").await;
        let mut server = test.hub("new.net").await;
        test.command(Do::Stop);
        assert_eq!(server.packet().await, Packet::Disconnect);
    })
    .await;
    assert_eq!(stopped, Ok(()));
}

#[tokio::test]
async fn the_hub_is_gone_for_long_and_the_device_registers_again() {
    let mut settings = settings();
    settings.policy = Policy { failures: 4, stay_ms: 0, ..settings.policy };
    let bag = Bag {
        settings,
        assignment: Some(known("gone.net")),
        refusals: vec![
            Some(NoConnection::Unreachable),
            None,
            Some(NoConnection::Unreachable),
            Some(NoConnection::Unreachable),
            // and the provisioning service is away too, at first
            Some(NoConnection::Unreachable),
            None,
        ],
        ..Bag::default()
    };
    let (stopped, _) = run(bag, async |mut test: Test| {
        for cause in ["Some(Unreachable)", "None", "Some(Unreachable)", "Some(Unreachable)"] {
            test.expect("connecting gone.net").await;
            test.expect(&format!("retrying: Connection({cause})")).await;
        }
        test.expect("registering").await;
        for cause in ["Some(Unreachable)", "None"] {
            test.expect("connecting dps.net").await;
            test.expect(&format!("retrying: Connection({cause})")).await;
        }
        test.expect("connecting dps.net").await;
        // The service breaks off once, and then answers.
        drop(test.visit("dps.net").await);
        test.expect("retrying").await;
        test.expect("connecting dps.net").await;
        let mut server = test.visit("dps.net").await;
        answer_registration(&mut server, &assigned("back.net", "")).await;
        server.packet().await;
        test.expect("registered back.net").await;
        let mut server = test.hub("back.net").await;
        test.command(Do::Stop);
        assert_eq!(server.packet().await, Packet::Disconnect);
    })
    .await;
    assert_eq!(stopped, Ok(()));
}

#[tokio::test]
async fn what_nobody_can_mend_stops_the_device() {
    // another server than it should be
    let bag = Bag { refusals: vec![Some(NoConnection::WrongServer)], ..Bag::default() };
    let (stopped, _) = run(bag, async |mut test: Test| {
        test.expect("registering").await;
        test.expect("connecting").await;
    })
    .await;
    let error = NoConnection::WrongServer;
    assert_eq!(stopped, Err(Failure::Connection { service: "provisioning service", error }));

    // no enrolment
    let (stopped, _) = run(Bag::default(), async |mut test: Test| {
        let mut server = test.visit("dps.net").await;
        server.packet().await;
        server.send(&[0x20, 2, 0, 5]).await;
    })
    .await;
    let refused = dps_client::Error::ConnectionRefused { code: 5 };
    assert_eq!(stopped, Err(Failure::Registration(Error::Registration(refused))));

    // a hub of another generation: known to the provisioning client, but not to this build
    if !iothub_mqtt::Generation::Mqtt5.is_supported() {
        let (stopped, _) = run(Bag::default(), async |mut test: Test| {
            let mut server = test.visit("dps.net").await;
            let body = assigned("v5.device.net", ",\"connectionProfile\":\"MqttV5\"");
            answer_registration(&mut server, &body).await;
            server.packet().await;
        })
        .await;
        assert_eq!(stopped, Err(Failure::UnsupportedProfile(ConnectionProfile::MqttV5)));
    }

    // and one nobody knows: the error shows the word
    let (stopped, _) = run(Bag::default(), async |mut test: Test| {
        let mut server = test.visit("dps.net").await;
        let body = assigned("x.net", ",\"connectionProfile\":\"CarrierPigeon\"");
        answer_registration(&mut server, &body).await;
        server.packet().await;
    })
    .await;
    let Err(Failure::Registration(error)) = stopped else { panic!("{stopped:?}") };
    assert!(error.to_string().contains("CarrierPigeon"), "{error}");
}

#[tokio::test]
async fn buffers_that_are_too_small_stop_the_device() {
    let mut settings = settings();
    let registration = settings.registration;
    settings.registration = registration.with_payload(Box::leak(vec![b'1'; 300].into())).unwrap();
    let bag = Bag { settings, ..Bag::default() };
    let (stopped, _) = run(bag, async |mut test: Test| {
        let mut server = test.visit("dps.net").await;
        server.accept(false).await;
        server.grant().await;
    })
    .await;
    assert!(
        matches!(stopped, Err(Failure::Settings(Error::BufferTooSmall { needed: 301.. }))),
        "{stopped:?}"
    );
}

#[tokio::test]
async fn tokens_are_made_for_every_connection_and_wiped() {
    let bag = Bag { with_token: Some(1_000_000), ..Bag::default() };
    let (stopped, token) = run(bag, async |mut test: Test| {
        test.expect("registering").await;
        test.expect("connecting").await;
        let mut server = test.visit("dps.net").await;
        let Packet::Connect { fields, .. } = server.packet().await else { panic!() };
        assert_eq!(fields[2], b"dps0-1");
        drop(server);
        test.expect("retrying").await;
        test.expect("connecting").await;
        let mut server = test.visit("dps.net").await;
        let Packet::Connect { fields, .. } = server.packet().await else { panic!() };
        assert_eq!(fields[2], b"dps0-2");
        server.send(&[0x20, 2, 0, 0]).await;
        server.grant().await;
        let Packet::Publish { topic, .. } = server.packet().await else { panic!() };
        let rid = topic.split("$rid=").nth(1).unwrap();
        let topic = format!("$dps/registrations/res/200/?$rid={rid}");
        server.publish(0, &topic, assigned("hub.net", "").as_bytes()).await;
        test.expect("registered hub.net").await;
        test.expect("connecting hub.net").await;
        let mut server = test.visit("hub.net").await;
        let Packet::Connect { flags, fields, .. } = server.accept(true).await else { panic!() };
        assert_eq!((flags & 0xC0, &fields[2][..]), (0xC0, &b"dev-3"[..]));
        server.grant().await;
        test.expect("connected").await;
        test.command(Do::Stop);
        assert_eq!(server.packet().await, Packet::Disconnect);
    })
    .await;
    assert_eq!(stopped, Ok(()));
    assert_eq!(token, [0; 64]);
}

#[tokio::test]
async fn several_credentials_are_tried_in_turn() {
    let mut settings = settings();
    settings.registration = settings.registration.with_credentials(2);
    let bag = Bag { settings, with_token: Some(1_000_000), ..Bag::default() };
    let (stopped, _) = run(bag, async |mut test: Test| {
        for credential in ["dps0-1", "dps1-2"] {
            let mut server = test.visit("dps.net").await;
            let Packet::Connect { fields, .. } = server.packet().await else { panic!() };
            assert_eq!(fields[2], credential.as_bytes());
            server.send(&[0x20, 2, 0, 5]).await;
        }
    })
    .await;
    assert!(matches!(stopped, Err(Failure::Registration(_))));
}

#[tokio::test]
async fn the_gateway_gets_the_connection_and_the_hub_the_name() {
    let mut settings = settings();
    settings.gateway = Some("gateway.local");
    settings.announcement = settings.announcement.with_model_id("dtmi:a;1").unwrap();
    let bag = Bag { settings, assignment: Some(known("hub.net")), ..Bag::default() };
    let (stopped, _) = run(bag, async |mut test: Test| {
        let mut server = test.visit("gateway.local").await;
        let Packet::Connect { fields, .. } = server.accept(true).await else { panic!() };
        assert_eq!(fields[1], b"hub.net/dev/?api-version=2021-04-12&model-id=dtmi%3Aa%3B1");
        server.grant().await;
        test.command(Do::Stop);
        assert_eq!(server.packet().await, Packet::Disconnect);
    })
    .await;
    assert_eq!(stopped, Ok(()));
}

#[test]
fn the_ladder_climbs_and_starts_anew_only_after_a_good_connection() {
    let policy = Policy { backoff: Backoff { min_ms: 1000, max_ms: 8000, jitter_ms: 0 }, ..Policy::DEFAULT };
    let mut ladder = Ladder::new(policy);
    let mut waits = Vec::new();
    let mut now = 0;
    for _ in 0..5 {
        waits.push(ladder.ended(Some(&Error::Disconnected), now, 0).1);
        now += 10_000;
    }
    assert_eq!(waits, [1000, 2000, 4000, 8000, 8000]);
    // Pushed out again and again by another device of the same name: that is no good connection.
    ladder.connected(now);
    assert_eq!(ladder.ended(Some(&Error::Disconnected), now + 29_999, 0).1, 8000);
    ladder.connected(now);
    assert_eq!(ladder.ended(Some(&Error::Disconnected), now + 30_000, 0).1, 1000);
    assert_eq!(ladder.attempts(), 1);
    // A connection that never stood does not profit from one that did.
    assert_eq!(ladder.ended(None, now + 100_000, 0).1, 2000);

    let refused = Error::ConnectionRefused(Refusal::NotAuthorized);
    let mut ladder = Ladder::new(policy);
    let next: Vec<_> = (0..7).map(|_| ladder.ended(Some(&refused), 0, 0).0).collect();
    assert_eq!(next, [Reconnect, Reconnect, Register, Reconnect, Reconnect, Register, Reconnect]);
    // not for a service that is just away
    let away = Error::ConnectionRefused(Refusal::Unavailable);
    let mut ladder = Ladder::new(policy);
    assert!((0..100).all(|_| ladder.ended(Some(&away), 0, 0).0 == Reconnect));
    // nor before the time
    assert_eq!(ladder.ended(None, 899_999, 0).0, Reconnect);
    assert_eq!(ladder.ended(None, 900_000, 0).0, Register);
    assert_eq!(ladder.ended(None, 900_000, 0).0, Reconnect);
}

proptest! {
    #[test]
    fn waits_are_bounded_and_never_shrink_without_a_good_connection(
        ends in proptest::collection::vec((any::<u32>(), 0u64..40_000, any::<bool>()), 1..80),
    ) {
        let policy = Policy::DEFAULT;
        let mut ladder = Ladder::new(policy);
        let (mut now, mut floor) = (u64::MAX / 2, 0);
        for (random, stood, connected) in ends {
            if connected {
                ladder.connected(now);
            }
            now += stood;
            let wait = ladder.ended(Some(&Error::Disconnected), now, random).1;
            let good = connected && stood >= u64::from(policy.good_ms);
            let rung = if good { policy.backoff.min_ms } else { floor };
            prop_assert!(wait >= policy.backoff.min_ms.max(rung));
            prop_assert!(wait <= policy.backoff.max_ms + policy.backoff.jitter_ms);
            floor = policy.backoff.base_ms(ladder.attempts() - 1);
        }
    }
}

#[cfg(feature = "queue")]
#[tokio::test]
async fn a_queue_is_sent_beside_the_application_and_each_removed_when_the_hub_has_it() {
    use embassy_sync::blocking_mutex::raw::NoopRawMutex;
    use iothub_mqtt::queue::{TelemetryQueue, WhenFull};
    use iothub_mqtt::runner::{Queued, SharedQueue};
    use iothub_mqtt_test_support::flash::Flash;

    let mut flash = Flash::<4>::new(4, 1);
    let (area, mut buffer, mut record) = (flash.area(), [0; 400], [0; 400]);
    let queue = TelemetryQueue::open(&mut flash, area, WhenFull::DropNewest, 5, &mut buffer).await.unwrap();
    let queue: SharedQueue<'_, NoopRawMutex, _> = SharedQueue::new(queue);
    for number in 0..6u8 {
        queue.push(&Telemetry::new(&[number])).await.unwrap();
    }
    // No topic has room for this one.
    let long = "%".repeat(200);
    queue.push(&Telemetry { correlation_id: Some(&long), ..Telemetry::new(b"long") }).await.unwrap();
    let queue = &queue;
    let bag = Bag { assignment: Some(known("hub-1.net")), ..Bag::default() };
    let record = &mut record;
    let (stopped, _) = run_with(
        bag,
        |app| Queued::new(app, queue, record).unwrap(),
        async |mut test: Test| {
            let mut server = test.hub("hub-1.net").await;
            let mut ids = Vec::new();
            for number in 0..4u8 {
                let Packet::Publish { id, topic, payload, .. } = server.packet().await else { panic!() };
                assert_eq!(
                    (&payload[..], topic.contains(&format!("0000000000000005-{number}"))),
                    (&[number][..], true)
                );
                ids.push(id);
            }
            // Four are on their way; the application's own is not behind the others.
            test.command(Do::Send(b"own"));
            let Packet::Publish { id: own, payload, .. } = server.packet().await else { panic!() };
            assert_eq!(payload, b"own");
            test.expect("sent").await;
            server.puback(ids[2]).await;
            let Packet::Publish { payload, .. } = server.packet().await else { panic!() };
            assert_eq!(payload, [4]);
            server.puback(own).await;
            test.expect("delivered").await;
            assert_eq!(queue.len().await, 6);

            // A hub of another device: those on their way to this one are sent again.
            drop(server);
            test.expect("retrying").await;
            test.expect("connecting hub-1.net").await;
            for _ in 0..3 {
                let mut server = test.visit("hub-1.net").await;
                server.packet().await;
                server.send(&[0x20, 2, 0, 5]).await;
                if test.log.recv().await.unwrap().starts_with("retrying") {
                    let line = test.log.recv().await.unwrap();
                    if line == "registering" {
                        break;
                    }
                }
            }
            test.expect("connecting dps.net").await;
            let mut server = test.visit("dps.net").await;
            answer_registration(&mut server, &assigned("hub-2.net", "").replace("\"dev\"", "\"new\"")).await;
            server.packet().await;
            test.expect("registered hub-2.net").await;
            let mut server = test.hub("hub-2.net").await;
            for number in [0, 1, 3, 4, 5] {
                let Packet::Publish { id, payload, topic, .. } = server.packet().await else { panic!() };
                assert_eq!((&payload[..], topic.starts_with("devices/new/")), (&[number][..], true));
                server.puback(id).await;
            }
            while queue.len().await > 0 {
                tokio::task::yield_now().await;
            }
            assert_eq!(queue.dropped().await, 1, "the one that no topic has room for");
            queue.push(&Telemetry::new(b"later")).await.unwrap();
            let Packet::Publish { id, payload, .. } = server.packet().await else { panic!() };
            assert_eq!(payload, b"later");
            server.puback(id).await;
            while !queue.is_empty().await {
                tokio::task::yield_now().await;
            }
            test.command(Do::Stop);
            assert_eq!(server.packet().await, Packet::Disconnect);
            assert!(test.log.try_recv().is_err(), "the application hears nothing of the queue's messages");
        },
    )
    .await;
    assert_eq!(stopped, Ok(()));
}
