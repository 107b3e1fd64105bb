//! The hub client: methods, twin, modules, against a server that does what the test says.

#![allow(clippy::cast_possible_truncation)]

mod support;

use iothub_mqtt::Backoff;
use iothub_mqtt::client::ReportFailure;
use iothub_mqtt::method::status;
use iothub_mqtt::session::{Options, Session};
use iothub_mqtt::translate::Connect;
use iothub_mqtt::twin::{Step, Timing, Tracker};
use iothub_mqtt::{Client, ClientOptions, Endpoint, Error, Event, Telemetry};
use proptest::prelude::*;
use support::{Packet, Server, pair};

const CONNECT: Connect<'static> =
    Connect { client_id: "dev", user_name: "hub/dev/?api-version=2021-04-12", password: None, will: None };

fn endpoint() -> Endpoint<'static> {
    Endpoint::new("hub", "dev").unwrap()
}

fn options() -> ClientOptions {
    ClientOptions {
        subscribe_ms: 300,
        twin_timing: Timing { answer_ms: 300, backoff: Backoff { min_ms: 30, max_ms: 60, jitter_ms: 0 } },
        ..ClientOptions::new(11)
    }
}

macro_rules! event {
    ($client:expr) => {
        loop {
            if let Some(event) = $client.poll().await.unwrap() {
                break event;
            }
        }
    };
}

/// A client over the client's end, started.
macro_rules! client {
    ($session:ident, $stream:ident, $options:expr) => {{
        let link = $session.connect($stream, &CONNECT).await.unwrap();
        let mut client: Client<'_, _> = Client::new(link, endpoint(), $options);
        client.start().await.unwrap();
        client
    }};
}

/// The next publish that is no twin request, or that is one of this kind; acknowledged.
async fn published(server: &mut Server, prefix: &str) -> (String, Vec<u8>) {
    loop {
        match server.packet().await {
            Packet::Publish { id, topic, payload, qos, .. } => {
                if qos > 0 {
                    server.puback(id).await;
                }
                assert!(topic.starts_with(prefix), "{topic}");
                return (topic, payload);
            }
            Packet::Puback(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn get_request(server: &mut Server) -> String {
    let (topic, payload) = published(server, "$iothub/twin/GET/?$rid=").await;
    assert_eq!(payload, b"");
    topic.rsplit('=').next().unwrap().to_string()
}

async fn answer(server: &mut Server, status: u16, id: &str, more: &str, payload: &[u8]) {
    server.publish(0, &format!("$iothub/twin/res/{status}/?$rid={id}{more}"), payload).await;
}

async fn desired(server: &mut Server, version: u64) {
    let topic = format!("$iothub/twin/PATCH/properties/desired/?$version={version}");
    server.publish(0, &topic, format!("{{\"n\":{version},\"$version\":{version}}}").as_bytes()).await;
}

fn twin(version: u64) -> Vec<u8> {
    format!("{{\"desired\":{{\"$version\":{version}}},\"reported\":{{\"$version\":1}}}}").into_bytes()
}

/// Waits for the goodbye, so that nothing of a test runs into a closed stream.
async fn goodbye(server: &mut Server) {
    loop {
        match server.packet().await {
            Packet::Disconnect => return,
            Packet::Puback(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn subscriptions_of_devices_and_modules() {
    let module = endpoint().with_module("m").unwrap();
    let all = "$iothub/methods/POST/#,$iothub/twin/res/#,$iothub/twin/PATCH/properties/desired/#";
    for (endpoint, options, filters) in [
        (endpoint(), options(), format!("devices/dev/messages/devicebound/#,{all}")),
        (module, options(), format!("devices/dev/modules/m/#,{all}")),
        (module, ClientOptions { messages: false, ..options() }, all.to_string()),
        (
            module,
            ClientOptions { messages: false, twin: false, ..options() },
            "$iothub/methods/POST/#".to_string(),
        ),
    ] {
        let (stream, mut server) = pair();
        let (mut rx, mut tx) = ([0; 512], [0; 512]);
        let mut session: Session = Session::new(Options::default(), &mut rx, &mut tx);
        let device = async {
            let link = session.connect(stream, &CONNECT).await.unwrap();
            let mut client: Client<'_, _> = Client::new(link, endpoint, options);
            client.start().await.unwrap();
            assert!(matches!(event!(client), Event::Connected));
            client.disconnect().await.unwrap();
        };
        let hub = async {
            server.accept(false).await;
            let got = server.grant().await;
            assert!(got.iter().all(|(_, qos)| *qos == 1));
            let names: Vec<_> = got.into_iter().map(|(filter, _)| filter).collect();
            assert_eq!(names.join(","), filters);
            goodbye(&mut server).await;
        };
        tokio::join!(device, hub);
    }
    // nothing wanted, nothing waited for
    let (stream, mut server) = pair();
    let (mut rx, mut tx) = ([0; 512], [0; 512]);
    let mut session: Session = Session::new(Options::default(), &mut rx, &mut tx);
    let device = async {
        let options = ClientOptions { messages: false, methods: false, twin: false, ..options() };
        let mut client = client!(session, stream, options);
        client.send(&Telemetry::new(b"x")).await.unwrap();
        assert!(matches!(event!(client), Event::Delivered(_)));
    };
    let hub = async {
        server.accept(false).await;
        published(&mut server, "devices/dev/messages/events/").await;
    };
    tokio::join!(device, hub);
}

#[tokio::test]
async fn no_suback_ends_the_connection() {
    let (stream, mut server) = pair();
    let (mut rx, mut tx) = ([0; 512], [0; 512]);
    let mut session: Session = Session::new(Options::default(), &mut rx, &mut tx);
    let device = async {
        let mut client = client!(session, stream, options());
        loop {
            match client.poll().await {
                Ok(None) => {}
                Ok(Some(event)) => panic!("{event:?}"),
                Err(error) => break assert_eq!(error, Error::Timeout("SUBACK")),
            }
        }
    };
    tokio::join!(device, server.accept(false));
}

#[tokio::test]
async fn methods_are_answered() {
    let (stream, mut server) = pair();
    let (mut rx, mut tx) = ([0; 512], [0; 1024]);
    let mut session: Session = Session::new(Options::default(), &mut rx, &mut tx);
    let device = async {
        let mut client = client!(session, stream, ClientOptions { twin: false, ..options() });
        assert!(matches!(event!(client), Event::Connected));
        let Event::Method(request) = event!(client) else { panic!() };
        assert_eq!((request.name, request.payload), ("reboot", &b"{\"in\":5}"[..]));
        let first = request.reply_to();
        let Event::Method(request) = event!(client) else { panic!() };
        assert_eq!(request.command(), (Some("thermostat1"), "getReport"));
        let second = request.reply_to();
        // in any order
        client.respond(&second, status::NOT_FOUND, b"").await.unwrap();
        client.respond(&first, status::OK, b"{\"ok\":true}").await.unwrap();
        assert_eq!(client.respond(&first, 200, &vec![b' '; 131_073]).await, Err(Error::TooLarge));
        // The answers are delivered in silence.
        let Event::Oversized { topic, size } = event!(client) else { panic!() };
        assert_eq!((topic, size), ("$iothub/methods/POST/big/?$rid=9", 2037));
        client.disconnect().await.unwrap();
    };
    let hub = async {
        server.accept(false).await;
        server.grant().await;
        server.publish(0, "$iothub/methods/POST/reboot/?$rid=ab", b"{\"in\":5}").await;
        server.publish(0, "$iothub/methods/POST/thermostat1*getReport/?$rid=7", b"").await;
        let (topic, payload) = published(&mut server, "$iothub/methods/res/").await;
        assert_eq!((topic.as_str(), &payload[..]), ("$iothub/methods/res/404/?$rid=7", &b""[..]));
        let (topic, payload) = published(&mut server, "$iothub/methods/res/").await;
        assert_eq!(topic, "$iothub/methods/res/200/?$rid=ab");
        assert_eq!(payload, b"{\"ok\":true}");
        server.publish(0, "$iothub/methods/POST/big/?$rid=9", &[b' '; 2000]).await;
        goodbye(&mut server).await;
    };
    tokio::join!(device, hub);
}

#[tokio::test]
async fn the_twin_comes_first_then_its_changes_and_a_gap_fetches_it_again() {
    let (stream, mut server) = pair();
    let (mut rx, mut tx) = ([0; 512], [0; 1024]);
    let mut session: Session = Session::new(Options::default(), &mut rx, &mut tx);
    let device = async {
        let mut client = client!(session, stream, options());
        assert!(matches!(event!(client), Event::Connected));
        assert!(matches!(event!(client), Event::Twin(twin) if twin.version() == 5));
        let Event::Desired(change) = event!(client) else { panic!() };
        assert_eq!(change.version, 6);
        assert_eq!(iothub_mqtt::twin::version(&change.object().unwrap()), Some(6));
        assert!(matches!(event!(client), Event::Twin(twin) if twin.version() == 8));
        assert!(matches!(event!(client), Event::Desired(change) if change.version == 9));
        client.refresh_twin();
        assert!(matches!(event!(client), Event::Twin(twin) if twin.version() == 2));
        client.disconnect().await.unwrap();
    };
    let hub = async {
        server.accept(false).await;
        server.grant().await;
        let id = get_request(&mut server).await;
        // This one is in the twin already; an answer to somebody else is dropped.
        desired(&mut server, 5).await;
        answer(&mut server, 200, "12345", "", &twin(99)).await;
        answer(&mut server, 200, &id, "", &twin(5)).await;
        desired(&mut server, 5).await;
        desired(&mut server, 6).await;
        desired(&mut server, 6).await;
        // 7 is lost
        desired(&mut server, 8).await;
        let again = get_request(&mut server).await;
        assert_ne!(id, again);
        answer(&mut server, 200, &again, "", &twin(8)).await;
        desired(&mut server, 9).await;
        // The twin was made anew: lower versions count from here.
        let id = get_request(&mut server).await;
        answer(&mut server, 200, &id, "", &twin(2)).await;
        goodbye(&mut server).await;
    };
    tokio::join!(device, hub);
}

#[tokio::test]
async fn twin_requests_are_repeated_when_throttled_or_lost() {
    let (stream, mut server) = pair();
    let (mut rx, mut tx) = ([0; 512], [0; 1024]);
    let mut session: Session = Session::new(Options::default(), &mut rx, &mut tx);
    let device = async {
        let mut client = client!(session, stream, options());
        assert!(matches!(event!(client), Event::Connected));
        assert!(matches!(event!(client), Event::Twin(twin) if twin.version() == 1));
        assert!(matches!(event!(client), Event::TwinUnusable(Error::BadMember("desired"))));
        client.disconnect().await.unwrap();
    };
    let hub = async {
        server.accept(false).await;
        server.grant().await;
        let first = get_request(&mut server).await;
        answer(&mut server, 429, &first, "", b"").await;
        // no answer to the second
        let second = get_request(&mut server).await;
        let third = get_request(&mut server).await;
        assert!(first != second && second != third);
        // the second comes too late
        answer(&mut server, 200, &second, "", &twin(77)).await;
        answer(&mut server, 200, &third, "", &twin(1)).await;
        desired(&mut server, 3).await;
        let fourth = get_request(&mut server).await;
        answer(&mut server, 200, &fourth, "", b"{}").await;
        goodbye(&mut server).await;
    };
    tokio::join!(device, hub);
}

#[tokio::test]
async fn a_twin_that_does_not_fit_is_not_asked_for_again() {
    let (stream, mut server) = pair();
    let (mut rx, mut tx) = ([0; 256], [0; 1024]);
    let mut session: Session = Session::new(Options::default(), &mut rx, &mut tx);
    let device = async {
        let mut client = client!(session, stream, options());
        assert!(matches!(event!(client), Event::Connected));
        assert!(matches!(event!(client), Event::Oversized { size: 2040.., .. }));
        let quiet = embassy_time::Duration::from_millis(100);
        assert!(matches!(embassy_time::with_timeout(quiet, client.poll()).await, Err(_) | Ok(Ok(None))));
        client.disconnect().await.unwrap();
    };
    let hub = async {
        server.accept(false).await;
        server.grant().await;
        let id = get_request(&mut server).await;
        answer(&mut server, 200, &id, "", &[b' '; 2000]).await;
        goodbye(&mut server).await;
    };
    tokio::join!(device, hub);
}

#[tokio::test]
async fn reports_are_answered_refused_or_time_out() {
    let (stream, mut server) = pair();
    let (mut rx, mut tx) = ([0; 512], [0; 1024]);
    let mut session: Session = Session::new(Options::default(), &mut rx, &mut tx);
    let device = async {
        let mut client = client!(session, stream, options());
        assert!(matches!(event!(client), Event::Connected));
        assert!(matches!(event!(client), Event::Twin(_)));
        let a = client.report("{\"a\":1}").await.unwrap();
        let b = client.report("{\"b\":1}").await.unwrap();
        let c = client.report("{\"c\":1}").await.unwrap();
        let d = client.report("{\"d\":1}").await.unwrap();
        assert_eq!(client.report("{}").await, Err(Error::Busy));
        assert_eq!(client.report(&" ".repeat(32_769)).await, Err(Error::TooLarge));
        let Event::Reported { request, result } = event!(client) else { panic!() };
        assert_eq!((request, result), (b, Ok(Some(17))));
        let Event::Reported { request, result } = event!(client) else { panic!() };
        assert_eq!((request, result), (a, Ok(None)));
        let Event::Reported { request, result } = event!(client) else { panic!() };
        let refused = ReportFailure::Refused { status: 429, retry_after_s: Some(3) };
        assert_eq!((request, result), (c, Err(refused)));
        let Event::Reported { request, result } = event!(client) else { panic!() };
        assert_eq!((request, result), (d, Err(ReportFailure::TimedOut)));
        client.disconnect().await.unwrap();
    };
    let hub = async {
        server.accept(false).await;
        server.grant().await;
        let id = get_request(&mut server).await;
        answer(&mut server, 200, &id, "", &twin(1)).await;
        let mut ids = Vec::new();
        for body in [b"{\"a\":1}", b"{\"b\":1}", b"{\"c\":1}", b"{\"d\":1}"] {
            let (topic, payload) =
                published(&mut server, "$iothub/twin/PATCH/properties/reported/?$rid=").await;
            assert_eq!(payload, body);
            ids.push(topic.rsplit('=').next().unwrap().to_string());
        }
        answer(&mut server, 204, &ids[1], "&$version=17", b"").await;
        answer(&mut server, 204, &ids[0], "", b"").await;
        answer(&mut server, 429, &ids[2], "&retry-after=3", b"").await;
        goodbye(&mut server).await;
    };
    tokio::join!(device, hub);
}

#[tokio::test]
async fn telemetry_leaves_room_for_answers() {
    let (stream, mut server) = pair();
    let (mut rx, mut tx) = ([0; 512], [0; 2048]);
    let mut session: Session = Session::new(Options::default(), &mut rx, &mut tx);
    let device = async {
        let mut client = client!(session, stream, ClientOptions { twin: false, ..options() });
        assert!(matches!(event!(client), Event::Connected));
        let Event::Method(request) = event!(client) else { panic!() };
        let to = request.reply_to();
        for _ in 0..6 {
            assert!(client.can_send());
            client.send(&Telemetry::new(b"x")).await.unwrap();
        }
        assert!(!client.can_send());
        assert_eq!(client.send(&Telemetry::new(b"x")).await, Err(Error::Busy));
        client.respond(&to, 200, b"").await.unwrap();
        for _ in 0..6 {
            assert!(matches!(event!(client), Event::Delivered(_)));
        }
        assert!(client.can_send());
        client.disconnect().await.unwrap();
    };
    let hub = async {
        server.accept(false).await;
        server.grant().await;
        server.publish(0, "$iothub/methods/POST/m/?$rid=1", b"").await;
        let mut ids = Vec::new();
        for n in 0..7 {
            let Packet::Publish { id, topic, .. } = server.packet().await else { panic!() };
            assert_eq!(topic.starts_with("$iothub/methods/res/200/"), n == 6);
            ids.push(id);
        }
        for id in ids {
            server.puback(id).await;
        }
        goodbye(&mut server).await;
    };
    tokio::join!(device, hub);
}

fn tracker() -> Tracker {
    Tracker::new(options().twin_timing)
}

#[test]
fn tracker_ladder() {
    let mut t = tracker();
    let mut now = 1000;
    let mut waits = Vec::new();
    for request in 0..5 {
        assert!(t.wants(now, 0));
        t.asked(request, now);
        assert!(!t.wants(now + 299, 0));
        assert!(!t.wants(now + 300, 0), "a request that timed out is not repeated at once");
        waits.push(t.deadline_ms().unwrap() - now - 300);
        now = t.deadline_ms().unwrap();
    }
    assert_eq!(waits, [30, 60, 60, 60, 60]);
    // what the hub says is a floor
    assert!(t.wants(now, 0));
    t.asked(9, now);
    t.failed(now, Some(5), 0);
    assert_eq!(t.deadline_ms(), Some(now + 5000));
    // a good answer starts the ladder again
    t.asked(10, now);
    assert!(t.is_expected(10) && !t.is_expected(9));
    assert_eq!(t.document(3), Step::Apply);
    assert_eq!((t.version(), t.deadline_ms()), (Some(3), None));
    t.refresh();
    assert_eq!(t.version(), None);
    t.asked(11, now);
    t.failed(now, None, 0);
    assert_eq!(t.deadline_ms(), Some(now + 30));
}

proptest! {
    /// Whatever is lost, repeated or late: what the application ends with is what the hub has, in order.
    #[test]
    fn the_tracker_never_applies_a_change_out_of_order(
        start in 0u64..5,
        faults in proptest::collection::vec(0u8..4, 1..60),
    ) {
        let mut t = tracker();
        let mut now = 0;
        let mut request = 0;
        let mut hub = start;
        let mut applied: Option<u64> = None;
        for fault in faults.into_iter().chain([0, 0]) {
            // a change is made, and sent unless it is lost
            hub += 1;
            let sent: &[u64] = match fault {
                0 => &[0],
                1 => &[],
                2 => &[0, 0],
                _ => &[1, 0],
            };
            for back in sent {
                let version = hub.saturating_sub(*back);
                if t.change(version) == Step::Apply {
                    prop_assert_eq!(applied, version.checked_sub(1));
                    applied = Some(version);
                }
            }
            now += 1000;
            if t.wants(now, 0) {
                request += 1;
                t.asked(request, now);
                prop_assert_eq!(t.document(hub), Step::Apply);
                applied = Some(hub);
            }
        }
        prop_assert_eq!(applied, Some(hub));
        prop_assert_eq!(t.version(), Some(hub));
    }

    #[test]
    fn arbitrary_topics_and_bodies_never_panic(topic in ".{0,120}", payload in proptest::collection::vec(any::<u8>(), 0..120)) {
        use iothub_mqtt::{c2d, method, property::Properties, twin};
        let topics = [
            topic.clone(),
            format!("$iothub/methods/POST/{topic}"),
            format!("$iothub/twin/res/{topic}"),
            format!("$iothub/twin/PATCH/properties/desired/?{topic}"),
            format!("devices/d/messages/devicebound/{topic}"),
            format!("devices/d/modules/m/inputs/{topic}"),
        ];
        let mut out = [0; 64];
        for topic in &topics {
            if let Ok(request) = method::Request::parse(topic, &payload) {
                let _ = (request.command(), request.reply_to().topic(200, &mut out));
            }
            if let Ok(message) = c2d::Message::parse(topic, &payload) {
                for (name, value) in message.properties.iter() {
                    let _ = name.decode(&mut out);
                    let _ = value.map(|value| value.decode(&mut out).map(str::len));
                }
                let _ = message.message_id();
            }
            if let Ok(twin::Message::Desired(desired)) = twin::Message::parse(topic, &payload) {
                let _ = desired.object();
            }
            let _ = Properties::new(topic).get("a");
        }
        if let Ok(document) = twin::Document::parse(&payload) {
            let opened = document.desired().raw().as_bytes().first() == Some(&b'{');
            prop_assert!(opened);
        }
    }

    #[test]
    fn what_is_encoded_decodes_to_itself(pairs in proptest::collection::vec((".{1,20}", ".{0,20}"), 0..6)) {
        use iothub_mqtt::c2d::Message;
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let mut buffer = [0; 4096];
        let topic = Telemetry::new(b"").with_properties(&pairs).topic(&endpoint(), &mut buffer).unwrap();
        prop_assert!(topic.bytes().all(|byte| byte.is_ascii_graphic()));
        let topic = topic.replace("/messages/events/", "/messages/devicebound/");
        let message = Message::parse(&topic, b"").unwrap();
        let mut out = [0; 128];
        let mut got = Vec::new();
        for (name, value) in message.properties.iter() {
            let name = name.decode(&mut out).unwrap().to_string();
            got.push((name, value.unwrap().decode(&mut out).unwrap().to_string()));
        }
        let got: Vec<(&str, &str)> = got.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        prop_assert_eq!(got, pairs);
    }
}
