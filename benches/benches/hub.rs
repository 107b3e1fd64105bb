//! Topics, documents and packets of the Azure clients on the host, packets beside other MQTT crates.
//!
//!     cargo bench -p benches --bench hub
//!
//! The packets are MQTT 3.1.1, a PUBLISH with QoS 1, a telemetry topic and 256 bytes of payload. `device` is the whole
//! way through engine and translator; the other crates are codecs only.

use std::convert::Infallible;
use std::future::poll_fn;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dps_client::{OperationStatus, mqtt};
use embedded_io_async::{ErrorType, Read, Write};
use iothub_mqtt::session::{Mqtt, Options, QoS, Session};
use iothub_mqtt::translate::{Connect, Translator};
use iothub_mqtt::{Endpoint, Telemetry, c2d, method, pnp, twin};
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{PacketBuildResult, PacketBuilder, PacketData};
use mqtt_protocol_core::mqtt::packet::{Qos, v3_1_1};

const TOPIC: &str = "devices/my-device/messages/events/%24.ct=application%2Fjson&%24.ce=utf-8";
const PAYLOAD: [u8; 256] = [b'x'; 256];
const CONNECT: &[u8] = &[0x10, 16, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 60, 0, 0, 3, b'A', b'B', b'C'];

/// A PUBLISH with the packet id 7, as 3.1.1, or as 5 with its empty properties.
fn publish(version: u8) -> Vec<u8> {
    let properties: &[u8] = if version == 5 { &[0] } else { &[] };
    let length = 2 + TOPIC.len() + 2 + properties.len() + PAYLOAD.len();
    let topic_length = u16::try_from(TOPIC.len()).expect("short").to_be_bytes();
    let length =
        [u8::try_from(length % 128).expect("seven bits") | 0x80, u8::try_from(length / 128).expect("short")];
    [&[0x32], length.as_slice(), &topic_length, TOPIC.as_bytes(), &[0, 7], properties, &PAYLOAD].concat()
}

fn topics(c: &mut Criterion) {
    let mut group = c.benchmark_group("hub/topics");
    let endpoint = Endpoint::new("contoso.azure-devices.net", "my-device").expect("valid");
    let properties = [("alert", "no & yes"), ("site", "42")];
    group.bench_function("telemetry, two properties", |b| {
        let telemetry = Telemetry::json(&PAYLOAD).with_properties(&properties);
        let mut out = [0; 512];
        b.iter(|| telemetry.topic(black_box(&endpoint), &mut out).map(str::len));
    });
    group.bench_function("cloud-to-device message, one look-up", |b| {
        let topic =
            "devices/my-device/messages/devicebound/%24.mid=1&%24.to=%2Fdevices%2Fmy-device&key=a%20value";
        b.iter(|| {
            let message = c2d::Message::parse(black_box(topic), &PAYLOAD).expect("a message");
            let mut out = [0; 32];
            message
                .properties
                .get(black_box("key"))
                .flatten()
                .map(|value| value.decode(&mut out).map(str::len))
        });
    });
    group.bench_function("method call and its answer's topic", |b| {
        let topic = "$iothub/methods/POST/thermostat1*getReport/?$rid=1a2b";
        let mut out = [0; method::MAX_RESPONSE_TOPIC];
        b.iter(|| {
            let request = method::Request::parse(black_box(topic), b"{}").expect("a call");
            black_box(request.command());
            request.reply_to().topic(200, &mut out).map(str::len)
        });
    });
    group.bench_function("twin answer", |b| {
        let topic = "$iothub/twin/res/204/?$rid=26&$version=5";
        b.iter(|| twin::Message::parse(black_box(topic), b"").is_ok());
    });
    group.finish();
}

fn documents(c: &mut Criterion) {
    let mut group = c.benchmark_group("hub/documents");
    let document = br#"{"desired":{"thermostat1":{"__t":"c","targetTemperature":21.5},"fan":{"speed":3},"$version":4},
        "reported":{"thermostat1":{"__t":"c","targetTemperature":{"value":20,"ac":200,"av":3,"ad":"done"}},"$version":9}}"#;
    group.throughput(Throughput::Bytes(document.len() as u64));
    group.bench_function("whole twin, walked", |b| {
        b.iter(|| {
            let twin = twin::Document::parse(black_box(document)).expect("a twin");
            pnp::properties(&twin.desired(), &["thermostat1"]).count()
        });
    });
    let answer = br#"{"operationId":"5.a1b2c3d4e5f60718.0f0e0d0c-1111-2222-3333-444455556666","status":"assigned","registrationState":
        {"x509":{},"registrationId":"my-device","createdDateTimeUtc":"2026-11-24T10:00:00.0000000Z","assignedHub":
        "contoso.azure-devices.net","deviceId":"my-device","status":"assigned","substatus":"initialAssignment",
        "lastUpdatedDateTimeUtc":"2026-11-24T10:00:01.0000000Z","etag":"IjEyMyI="}}"#;
    group.throughput(Throughput::Bytes(answer.len() as u64));
    group.bench_function("DPS answer, hub and device id", |b| {
        b.iter(|| {
            let answer = mqtt::parse_answer(black_box("$dps/registrations/res/200/?$rid=1"), answer)
                .expect("an answer");
            let operation = OperationStatus::parse(answer.body).expect("JSON");
            let state = operation.state().expect("an object").expect("there");
            (state.assigned_hub().is_ok(), state.device_id().is_ok())
        });
    });
    group.finish();
}

fn connected() -> Translator<'static, 512> {
    let mut translator = Translator::new();
    translator.accept(CONNECT).expect("well-formed");
    let n = translator.pending().len();
    translator.consume(n);
    translator.deliver(&[0x20, 2, 0, 0], &mut [0; 16]).expect("CONNACK");
    translator
}

fn packets(c: &mut Criterion) {
    let mut group = c.benchmark_group("hub/packets");
    let (v311, v5) = (publish(4), publish(5));
    group.throughput(Throughput::Bytes(v311.len() as u64));

    group.bench_function("encode PUBLISH: translator", |b| {
        let mut translator = connected();
        b.iter(|| {
            let n = translator.accept(black_box(&v5)).expect("well-formed");
            assert_eq!(n, v5.len());
            let n = black_box(translator.pending()).len();
            translator.consume(n);
            n
        });
    });
    group.bench_function("encode PUBLISH: mqtt-protocol-core", |b| {
        b.iter(|| {
            let packet = v3_1_1::Publish::builder()
                .topic_name(black_box(TOPIC))
                .expect("a topic")
                .qos(Qos::AtLeastOnce)
                .packet_id(7)
                .payload(PAYLOAD.as_slice())
                .build()
                .expect("complete");
            packet.to_continuous_buffer()
        });
    });
    group.bench_function("encode PUBLISH: mqttrs2", |b| {
        let mut out = [0; 512];
        b.iter(|| {
            let packet = mqttrs2::Publish {
                dup: false,
                qospid: mqttrs2::QosPid::AtLeastOnce(mqttrs2::Pid::try_from(7).expect("not zero")),
                retain: false,
                topic_name: black_box(TOPIC),
                payload: &PAYLOAD,
            };
            mqttrs2::encode_slice(&packet.into(), &mut out).expect("room")
        });
    });

    group.bench_function("decode PUBLISH: translator", |b| {
        let mut out = [0; 512];
        b.iter_batched_ref(
            connected,
            |translator| translator.deliver(black_box(&v311), &mut out).expect("well-formed"),
            criterion::BatchSize::SmallInput,
        );
    });
    group.bench_function("decode PUBLISH: mqtt-protocol-core", |b| {
        let mut builder = PacketBuilder::new();
        b.iter(|| {
            let mut cursor = Cursor::new(black_box(v311.as_slice()));
            let PacketBuildResult::Complete(raw) = builder.feed(&mut cursor) else { panic!("incomplete") };
            let PacketData::Publish(data) = &raw.data else { panic!("no PUBLISH") };
            v3_1_1::Publish::parse(raw.flags(), data.clone()).expect("well-formed").1
        });
    });
    group.bench_function("decode PUBLISH: mqttrs2", |b| {
        b.iter(|| mqttrs2::decode_slice(black_box(&v311)).expect("well-formed").is_some());
    });
    group.bench_function("device: a message sent and acknowledged", |b| {
        let (mut rx, mut tx) = ([0; 512], [0; 2048]);
        let mut session: Session<'_, 512> = Session::new(Options::default(), &mut rx, &mut tx);
        let connect =
            Connect { client_id: "my-device", user_name: "hub/my-device/", password: None, will: None };
        let mut link = ready(session.connect(Echo::default(), &connect)).expect("connects");
        b.iter(|| {
            ready(async {
                link.publish(black_box(TOPIC), &PAYLOAD, QoS::AtLeastOnce).await.expect("room");
                while link.next_settled().is_none() {
                    link.poll().await.expect("acknowledged");
                }
            });
        });
    });
    group.finish();
}

/// A server that accepts everything at once.
#[derive(Default)]
struct Echo {
    answer: Vec<u8>,
    wire: Vec<u8>,
}

impl ErrorType for Echo {
    type Error = Infallible;
}

impl Write for Echo {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.wire.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        match self.wire.first() {
            Some(0x10) => self.answer.extend([0x20, 2, 0, 0]),
            // The id stands behind the topic; the length takes two bytes.
            Some(0x32) => {
                let at = 5 + TOPIC.len();
                self.answer.extend([0x40, 2, self.wire[at], self.wire[at + 1]]);
            }
            _ => {}
        }
        self.wire.clear();
        Ok(())
    }
}

impl Read for Echo {
    async fn read(&mut self, out: &mut [u8]) -> Result<usize, Infallible> {
        let n = out.len().min(self.answer.len());
        if n == 0 {
            poll_fn(|_| Poll::<()>::Pending).await;
        }
        out[..n].copy_from_slice(&self.answer[..n]);
        self.answer.drain(..n);
        Ok(n)
    }
}

/// The result of a future that never waits.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("waits"),
    }
}

criterion_group!(benches, topics, documents, packets);
criterion_main!(benches);
