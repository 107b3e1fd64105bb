//! The hub client: methods, twin, modules, against a server that does what the test says.

#![allow(clippy::cast_possible_truncation)]

use iothub_mqtt::Backoff;
use iothub_mqtt::client::{ReportFailure, Subscription};
use iothub_mqtt::method::status;
use iothub_mqtt::session::{Options, Session};
use iothub_mqtt::translate::Connect;
use iothub_mqtt::twin::{Step, Timing, Tracker};
use iothub_mqtt::{Client, ClientOptions, Endpoint, Error, HubEvent, Telemetry};
use iothub_mqtt_test_support::{Packet, Server, pair};
use proptest::prelude::*;

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
            assert!(matches!(event!(client), HubEvent::Connected));
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
        assert!(matches!(event!(client), HubEvent::Connected));
        assert!(matches!(event!(client), HubEvent::Delivered(_)));
    };
    let hub = async {
        server.accept(false).await;
        published(&mut server, "devices/dev/messages/events/").await;
    };
    tokio::join!(device, hub);
}

#[cfg(feature = "certificates")]
#[tokio::test]
async fn a_certificate_is_accepted_then_issued_or_refused_or_nothing_comes() {
    use iothub_mqtt::certificate::{self, Progress, Reason, Replace};
    let (stream, mut server) = pair();
    let (mut rx, mut tx) = ([0; 512], [0; 1024]);
    let mut session: Session = Session::new(Options::default(), &mut rx, &mut tx);
    let (mut body, mut der) = ([0; 128], [0; 64]);
    let body = certificate::request_body("dev", &[0x30, 1, 7], Replace::Any, &mut body).unwrap();
    let device = async {
        let options = ClientOptions {
            messages: false,
            methods: false,
            twin: false,
            certificates: true,
            certificate_ms: 200,
            ..options()
        };
        let mut client = client!(session, stream, options);
        assert!(matches!(event!(client), HubEvent::Connected));
        let first = client.request_certificate(body).await.unwrap();
        assert_eq!(client.request_certificate(body).await, Err(Error::Busy));
        let HubEvent::Certificate { request, progress: Progress::Accepted(accepted) } = event!(client) else {
            panic!("not accepted")
        };
        assert!(request == first && accepted.correlation_id().unwrap() == "c");
        let HubEvent::Certificate { request, progress: Progress::Issued(chain) } = event!(client) else {
            panic!("not issued")
        };
        assert_eq!((request, chain.decode(&mut der).unwrap()), (first, &[0x30, 1, 7, 0x30, 0][..]));
        let second = client.request_certificate(body).await.unwrap();
        let HubEvent::Certificate { request, progress: Progress::Refused(refusal) } = event!(client) else {
            panic!("not refused")
        };
        assert_eq!(
            (request, refusal.reason(), refusal.retry_after_s()),
            (second, Reason::Throttled, Some(9))
        );
        let third = client.request_certificate(body).await.unwrap();
        let HubEvent::Certificate { request, progress: Progress::Unusable(error) } = event!(client) else {
            panic!("usable")
        };
        assert_eq!((request, error), (third, Error::Oversized { size: 749 }));
        let last = client.request_certificate(body).await.unwrap();
        let HubEvent::Certificate { request, progress: Progress::TimedOut } = event!(client) else {
            panic!("something came")
        };
        assert_eq!(request, last);
        client.disconnect().await.unwrap();
    };
    let hub = async {
        server.accept(false).await;
        let filters = server.grant().await;
        assert_eq!(filters, [("$iothub/credentials/res/#".to_string(), 1)]);
        let (topic, sent) = published(&mut server, "$iothub/credentials/POST/issueCertificate/?$rid=").await;
        assert_eq!(sent, br#"{"id":"dev","csr":"MAEH","replace":"*"}"#);
        let id = |topic: &str| topic.rsplit('=').next().unwrap().parse::<u32>().unwrap();
        let first = id(&topic);
        let answer = |status: u16, id: u32| format!("$iothub/credentials/res/{status}/?$rid={id}");
        server.publish(0, &answer(202, first), br#"{"correlationId":"c"}"#).await;
        server.publish(0, &answer(200, first.wrapping_add(1)), br#"["MAA="]"#).await; // to another request
        server.publish(0, &answer(200, first), br#"{"certificates":["MAEH","MAA="]}"#).await;
        for (status, payload) in [
            (429, br#"{"errorCode":429002,"retryAfter":9}"#.to_vec()),
            (200, vec![b'x'; 700]), // more than the buffer takes
        ] {
            let (topic, _) = published(&mut server, "$iothub/credentials/POST/").await;
            server.publish(0, &answer(status, id(&topic)), &payload).await;
        }
        published(&mut server, "$iothub/credentials/POST/").await;
        goodbye(&mut server).await;
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
        assert!(matches!(event!(client), HubEvent::Connected));
        let HubEvent::Method(request) = event!(client) else { panic!() };
        assert_eq!((request.name, request.payload), ("reboot", &b"{\"in\":5}"[..]));
        let first = request.reply_to();
        let HubEvent::Method(request) = event!(client) else { panic!() };
        assert_eq!(request.command(), (Some("thermostat1"), "getReport"));
        let second = request.reply_to();
        // in any order
        client.respond(&second, status::NOT_FOUND, b"").await.unwrap();
        client.respond(&first, status::OK, b"{\"ok\":true}").await.unwrap();
        assert_eq!(client.respond(&first, 200, &vec![b' '; 131_073]).await, Err(Error::TooLarge));
        // The answers are delivered in silence.
        let HubEvent::Oversized { topic, size } = event!(client) else { panic!() };
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
        assert!(matches!(event!(client), HubEvent::Connected));
        assert!(matches!(event!(client), HubEvent::Twin(twin) if twin.version() == 5));
        let HubEvent::Desired(change) = event!(client) else { panic!() };
        assert_eq!(change.version, 6);
        assert_eq!(iothub_mqtt::twin::version(&change.object().unwrap()), Some(6));
        assert!(matches!(event!(client), HubEvent::Twin(twin) if twin.version() == 8));
        assert!(matches!(event!(client), HubEvent::Desired(change) if change.version == 9));
        client.refresh_twin();
        assert!(matches!(event!(client), HubEvent::Twin(twin) if twin.version() == 2));
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
        assert!(matches!(event!(client), HubEvent::Connected));
        assert!(matches!(event!(client), HubEvent::Twin(twin) if twin.version() == 1));
        assert!(matches!(event!(client), HubEvent::TwinUnusable(Error::BadMember("twin"))));
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
        answer(&mut server, 200, &fourth, "", b"[]").await;
        goodbye(&mut server).await;
    };
    tokio::join!(device, hub);
}

/// A twin that does not fit, or is none, costs what was set before; changes that come later are given all the same.
#[tokio::test]
async fn an_unusable_twin_does_not_switch_its_changes_off() {
    for large in [true, false] {
        let (stream, mut server) = pair();
        let (mut rx, mut tx) = ([0; 256], [0; 1024]);
        let mut session: Session = Session::new(Options::default(), &mut rx, &mut tx);
        let device = async {
            let mut client = client!(session, stream, options());
            assert!(matches!(event!(client), HubEvent::Connected));
            match event!(client) {
                HubEvent::TwinUnusable(Error::Oversized { size: 2040.. }) => assert!(large),
                HubEvent::TwinUnusable(Error::BadMember("twin")) => assert!(!large),
                other => panic!("{other:?}"),
            }
            // It is not asked for again of itself.
            assert!(matches!(event!(client), HubEvent::Desired(change) if change.version == 57));
            assert!(matches!(event!(client), HubEvent::Desired(change) if change.version == 58));
            // One is missing: what came counts, and perhaps the twin is small enough by now.
            assert!(matches!(event!(client), HubEvent::Desired(change) if change.version == 60));
            assert!(matches!(event!(client), HubEvent::Desired(change) if change.version == 61));
            assert!(matches!(event!(client), HubEvent::Twin(twin) if twin.version() == 61));
            // A change that does not fit is told, and is in the whole twin.
            assert!(matches!(event!(client), HubEvent::Oversized { topic, .. } if topic.ends_with("=62")));
            assert!(matches!(event!(client), HubEvent::Twin(twin) if twin.version() == 62));
            // So is one that cannot be read, and one that does not tell its version.
            assert!(matches!(event!(client), HubEvent::TwinUnusable(Error::Json(_))));
            assert!(matches!(event!(client), HubEvent::Twin(twin) if twin.version() == 63));
            assert!(matches!(event!(client), HubEvent::Twin(twin) if twin.version() == 64));
            assert!(matches!(event!(client), HubEvent::Desired(change) if change.version == 65));
            client.disconnect().await.unwrap();
        };
        let hub = async {
            const DESIRED: &str = "$iothub/twin/PATCH/properties/desired/?$version=";
            server.accept(false).await;
            server.grant().await;
            let id = get_request(&mut server).await;
            answer(&mut server, 200, &id, "", if large { &[b' '; 2000] } else { b"[]" }).await;
            for version in [57, 58, 58, 60] {
                desired(&mut server, version).await;
            }
            let id = get_request(&mut server).await;
            desired(&mut server, 61).await;
            answer(&mut server, 200, &id, "", &twin(61)).await;
            server.publish(0, &format!("{DESIRED}62"), &[b' '; 2000]).await;
            let id = get_request(&mut server).await;
            answer(&mut server, 200, &id, "", &twin(62)).await;
            server.publish(0, &format!("{DESIRED}63"), b"{").await;
            let id = get_request(&mut server).await;
            answer(&mut server, 200, &id, "", &twin(63)).await;
            server.publish(0, &format!("{DESIRED}soon"), b"{\"$version\":\"64\"}").await;
            let id = get_request(&mut server).await;
            answer(&mut server, 200, &id, "", &twin(64)).await;
            server.publish(0, &format!("{DESIRED}later"), b"{\"$version\":65.0}").await;
            goodbye(&mut server).await;
        };
        tokio::join!(device, hub);
    }
}

/// An answer to a report needs no body, a refusal neither: however large they are.
#[tokio::test]
async fn bodies_that_are_not_needed_may_have_any_size() {
    let (stream, mut server) = pair();
    let (mut rx, mut tx) = ([0; 256], [0; 1024]);
    let mut session: Session = Session::new(Options::default(), &mut rx, &mut tx);
    let device = async {
        let mut client = client!(session, stream, options());
        assert!(matches!(event!(client), HubEvent::Connected));
        assert!(matches!(event!(client), HubEvent::Twin(twin) if twin.version() == 3));
        client.report("{}").await.unwrap();
        let refused = ReportFailure::Refused { status: 400, retry_after_s: None };
        assert!(matches!(event!(client), HubEvent::Reported { result: Err(why), .. } if why == refused));
        client.disconnect().await.unwrap();
    };
    let hub = async {
        server.accept(false).await;
        server.grant().await;
        let id = get_request(&mut server).await;
        answer(&mut server, 500, &id, "&retry-after=x&$version=", &[b'x'; 2000]).await;
        let id = get_request(&mut server).await;
        answer(&mut server, 200, &id, "&$version=none", &twin(3)).await;
        let (topic, _) = published(&mut server, "$iothub/twin/PATCH/properties/reported/?$rid=").await;
        answer(&mut server, 400, topic.rsplit('=').next().unwrap(), "", &[b'x'; 2000]).await;
        goodbye(&mut server).await;
    };
    tokio::join!(device, hub);
}

/// Answers SUBSCRIBE packets until all filters are decided, refusing those with this text.
async fn grant_but(server: &mut Server, refused: &str) {
    loop {
        let Packet::Subscribe { id, filters } = server.packet().await else { panic!() };
        let mut suback = vec![0x90, 2 + filters.len() as u8, 0, id as u8];
        suback.extend(filters.iter().map(|(filter, _)| if filter.contains(refused) { 0x80 } else { 1 }));
        server.send(&suback).await;
        if filters.len() == 1 && filters[0].0.contains("desired") {
            return;
        }
    }
}

#[tokio::test]
async fn a_refused_subscription_costs_only_itself() {
    for (part, refused) in [
        ("devicebound", vec![Subscription::Messages]),
        ("methods", vec![Subscription::Methods]),
        ("twin/res", vec![Subscription::TwinAnswers]),
        ("twin", vec![Subscription::TwinAnswers, Subscription::TwinChanges]),
        ("desired", vec![Subscription::TwinChanges]),
    ] {
        let (stream, mut server) = pair();
        let (mut rx, mut tx) = ([0; 512], [0; 512]);
        let mut session: Session = Session::new(Options::default(), &mut rx, &mut tx);
        let device = async {
            let mut client = client!(session, stream, options());
            for expected in &refused {
                let HubEvent::SubscriptionRefused(found) = event!(client) else { panic!() };
                assert_eq!(found, *expected);
            }
            assert!(matches!(event!(client), HubEvent::Connected));
            if refused.contains(&Subscription::TwinAnswers) {
                assert_eq!(client.report("{}").await, Err(Error::SubscriptionRefused));
            } else {
                assert!(matches!(event!(client), HubEvent::Twin(_)));
            }
            client.send(&Telemetry::new(b"x")).await.unwrap();
            assert!(matches!(event!(client), HubEvent::Delivered(_)));
            client.disconnect().await.unwrap();
        };
        let hub = async {
            server.accept(false).await;
            grant_but(&mut server, part).await;
            if !refused.contains(&Subscription::TwinAnswers) {
                let id = get_request(&mut server).await;
                answer(&mut server, 200, &id, "", &twin(1)).await;
            }
            published(&mut server, "devices/dev/messages/events/").await;
            goodbye(&mut server).await;
        };
        tokio::join!(device, hub);
    }
}

#[tokio::test]
async fn reports_are_answered_refused_or_time_out() {
    let (stream, mut server) = pair();
    let (mut rx, mut tx) = ([0; 512], [0; 1024]);
    let mut session: Session = Session::new(Options::default(), &mut rx, &mut tx);
    let device = async {
        let mut client = client!(session, stream, options());
        assert!(matches!(event!(client), HubEvent::Connected));
        assert!(matches!(event!(client), HubEvent::Twin(_)));
        let a = client.report("{\"a\":1}").await.unwrap();
        let b = client.report("{\"b\":1}").await.unwrap();
        let c = client.report("{\"c\":1}").await.unwrap();
        let d = client.report("{\"d\":1}").await.unwrap();
        assert_eq!(client.report("{}").await, Err(Error::Busy));
        assert_eq!(client.report(&" ".repeat(32_769)).await, Err(Error::TooLarge));
        let HubEvent::Reported { request, result } = event!(client) else { panic!() };
        assert_eq!((request, result), (b, Ok(Some(17))));
        let HubEvent::Reported { request, result } = event!(client) else { panic!() };
        assert_eq!((request, result), (a, Ok(None)));
        let HubEvent::Reported { request, result } = event!(client) else { panic!() };
        let refused = ReportFailure::Refused { status: 429, retry_after_s: Some(3) };
        assert_eq!((request, result), (c, Err(refused)));
        let HubEvent::Reported { request, result } = event!(client) else { panic!() };
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
        assert!(matches!(event!(client), HubEvent::Connected));
        let HubEvent::Method(request) = event!(client) else { panic!() };
        let to = request.reply_to();
        for _ in 0..6 {
            assert!(client.can_send());
            client.send(&Telemetry::new(b"x")).await.unwrap();
        }
        assert!(!client.can_send());
        assert_eq!(client.send(&Telemetry::new(b"x")).await, Err(Error::Busy));
        client.respond(&to, 200, b"").await.unwrap();
        for _ in 0..6 {
            assert!(matches!(event!(client), HubEvent::Delivered(_)));
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
    assert_eq!(t.document(Some(3)), Step::Apply);
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
                prop_assert_eq!(t.document(Some(hub)), Step::Apply);
                applied = Some(hub);
            }
        }
        prop_assert_eq!(applied, Some(hub));
        prop_assert_eq!(t.version(), Some(hub));
    }

    /// Without a base, whatever the hub sends and however often the twin is of no use: each change newer than all
    /// before it counts, at once.
    #[test]
    fn without_a_base_changes_count_as_they_come(
        versions in proptest::collection::vec(1u64..40, 1..60),
        answers in proptest::collection::vec(any::<bool>(), 60),
    ) {
        let mut t = tracker();
        t.asked(0, 0);
        t.unusable();
        prop_assert_eq!(t.version(), None);
        let (mut highest, mut request, mut now) = (0, 0, 0);
        for (version, answered) in versions.into_iter().zip(answers) {
            prop_assert_eq!(t.change(version) == Step::Apply, version > highest);
            highest = highest.max(version);
            now += 1000;
            if t.wants(now, 0) {
                request += 1;
                t.asked(request, now);
                if answered {
                    t.unusable();
                }
            }
        }
    }

    /// A field that nobody understands changes nothing of what the others say.
    #[test]
    fn odd_fields_of_topics_cost_nothing(odd in "[^&/?]{0,20}", bag in "[^&/?]{0,20}") {
        use iothub_mqtt::{c2d::Message as C2d, method::Request, twin::Message};
        for hint in [odd.clone(), format!("retry-after={odd}"), format!("$version={odd}")] {
            for query in [format!("$rid=7&{hint}"), format!("{hint}&%24RID=7")] {
                prop_assume!(!hint.to_ascii_lowercase().contains("rid="));
                let topic = format!("$iothub/twin/res/204/?{query}");
                let parsed = Message::parse(&topic, b"");
                let is_answer = matches!(parsed, Ok(Message::Answer(a)) if a.status == 204 && a.request_id == "7");
                prop_assert!(is_answer, "{}", topic);
                let topic = format!("$iothub/methods/POST/m/?{query}");
                let parsed = Request::parse(&topic, b"");
                let is_call = matches!(parsed, Ok(call) if call.name == "m" && call.request_id == "7");
                prop_assert!(is_call, "{}", topic);
            }
            for query in [format!("?{hint}"), format!("?x&{hint}"), String::new()] {
                let topic = format!("$iothub/twin/PATCH/properties/desired/{query}");
                match Message::parse(&topic, b"") {
                    Ok(Message::Desired(_)) => prop_assert!(hint.contains("version=")),
                    Ok(Message::Unversioned { .. }) => {}
                    other => panic!("{topic}: {other:?}"),
                }
            }
        }
        let topic = format!("devices/d/messages/devicebound/{bag}&%24.MID=1&{odd}");
        let message = C2d::parse(&topic, b"").unwrap();
        prop_assert!(message.message_id().is_some_and(|id| id == "1") || bag.to_ascii_lowercase().contains("mid"));
    }

    #[test]
    fn arbitrary_topics_and_bodies_never_panic(
        topic in ".{0,120}",
        payload in proptest::collection::vec(any::<u8>(), 0..120),
    ) {
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
