//! Well-formed inputs to begin with: the published vectors, and sessions as they go over the wire.

use azure_iot_common::backoff::Jitter;
use serde_json::Value;

const DPS_RESPONSES: &str = include_str!("../../../dps-client/tests/vectors/dps_responses.json");
const HUB: [&str; 4] = [
    include_str!("../../../iothub-mqtt/tests/vectors/hub_c2d.json"),
    include_str!("../../../iothub-mqtt/tests/vectors/hub_methods.json"),
    include_str!("../../../iothub-mqtt/tests/vectors/hub_twin.json"),
    include_str!("../../../iothub-mqtt/tests/vectors/hub_telemetry.json"),
];
const PNP: &str = include_str!("../../../iothub-mqtt/tests/vectors/hub_pnp.json");

/// The member of the input of every case that has it as text.
fn inputs(file: &str, member: &str) -> Vec<String> {
    let set: Value = serde_json::from_str(file).expect("vectors are JSON");
    let cases = set["cases"].as_array().expect("vectors have cases");
    cases.iter().filter_map(|case| case["in"][member].as_str().map(str::to_owned)).collect()
}

pub(crate) fn json() -> Vec<Vec<u8>> {
    let documents = inputs(DPS_RESPONSES, "payload").into_iter().chain(inputs(PNP, "json"));
    let own = [r#"[-1.5e+3,0,true,null,{},"\u00e9\uD83D\uDE00\n\"\\\/"]"#.to_owned(), "[".repeat(33)];
    documents.chain(own).map(String::into_bytes).collect()
}

pub(crate) fn dps_messages() -> Vec<Vec<u8>> {
    let pairs = inputs(DPS_RESPONSES, "topic").into_iter().zip(inputs(DPS_RESPONSES, "payload"));
    let http = [
        "HTTP/1.1 202 Accepted\r\nRetry-After: 3\r\nContent-Length: 2\r\nDate: Tue, 24 Nov 2026 10:00:00 GMT\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\n{\"a\":\r\n2\r\n1}\r\n0\r\nTrailer: 1\r\n\r\n",
        "HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n{\"message\":\"x\"}",
    ];
    let mut seeds: Vec<_> =
        pairs.map(|(topic, payload)| format!("{topic}\n{payload}").into_bytes()).collect();
    seeds.extend(http.map(|text| text.as_bytes().to_vec()));
    seeds.push(b"DPSA\x01\0\0\x04\x01\x9c\x11\x22\x33host1\0\0\0\0".to_vec());
    seeds
}

pub(crate) fn dps_registration() -> Vec<Vec<u8>> {
    let assigning = r#"{"operationId":"5.a","status":"assigning"}"#;
    let assigned = r#"{"operationId":"5.a","status":"assigned","registrationState":{"assignedHub":"h.net","deviceId":"d"}}"#;
    // Over MQTT: connected, subscribed, an answer, some time, the final one.
    let mqtt =
        [&[0, 1, 0, 3, 10, 0], assigning.as_bytes(), b"\n", &[8, 200, 10, 100], assigned.as_bytes()].concat();
    let https =
        [&[1, 1, 0, 11, 0, 3], assigning.as_bytes(), b"\n", &[8, 200, 10, 100], assigned.as_bytes()].concat();
    let broken = [&[0, 9, 5, 8, 200, 0, 4, 8, 255, 0, 3, 10, 200], b"{}\n".as_slice(), &[2, 5]].concat();
    vec![mqtt, https, broken]
}

pub(crate) fn hub_topics() -> Vec<Vec<u8>> {
    let topics = HUB.iter().flat_map(|file| inputs(file, "topic").into_iter().chain(inputs(file, "bag")));
    let documents = inputs(PNP, "json");
    let get = documents.iter().map(|json| format!("$iothub/twin/res/200/?$rid=1\n{json}"));
    let desired =
        documents.iter().map(|json| format!("$iothub/twin/PATCH/properties/desired/?$version=4\n{json}"));
    topics.chain(get).chain(desired).map(String::into_bytes).collect()
}

/// A PUBLISH of a server.
fn publish(id: u16, topic: &str, payload: &str) -> Vec<u8> {
    let id = if id == 0 { Vec::new() } else { id.to_be_bytes().to_vec() };
    let length = 2 + topic.len() + id.len() + payload.len();
    assert!(length < 16_384, "two bytes of length");
    let (low, high) = (length % 128, length / 128);
    let header = if id.is_empty() { 0x30 } else { 0x32 };
    let length = if high == 0 { vec![low] } else { vec![low | 0x80, high] };
    let length: Vec<u8> = length.into_iter().map(|byte| u8::try_from(byte).expect("seven bits")).collect();
    let topic_length = u16::try_from(topic.len()).expect("short topics").to_be_bytes();
    [&[header], length.as_slice(), &topic_length, topic.as_bytes(), &id, payload.as_bytes()].concat()
}

/// What a hub says in a session with a client of this seed, whose first request has the id that follows from it.
fn session(seed: u32) -> Vec<Vec<u8>> {
    let twin = format!("$iothub/twin/res/200/?$rid={}", Jitter::new(seed).draw());
    vec![
        publish(7, "devices/device-1/messages/devicebound/%24.mid=1&a=b", "hello"),
        publish(0, "$iothub/methods/POST/blink/?$rid=1", "{}"),
        publish(0, "$iothub/twin/PATCH/properties/desired/?$version=5", r#"{"a":1,"$version":5}"#),
        publish(0, &twin, r#"{"desired":{"$version":4},"reported":{"$version":1}}"#),
        publish(9, "devices/device-1/messages/devicebound/", &"x".repeat(600)),
        vec![0x40, 2, 0, 2],
        vec![0x40, 2, 0, 3, 0x40, 2, 0, 3],
        vec![0xD0, 0],
        vec![0xB0, 2, 0, 5],
    ]
}

pub(crate) fn hub_packets() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for choice in [0x00, 0x02, 0x10, 0xF2] {
        let said = session(choice.into()).concat();
        let quarter = u8::try_from(said.len() / 4 + 1).unwrap_or(255);
        seeds.push([&[choice, quarter], said.as_slice(), &[0xF2, 1, 0x40, 2, 0, 2, 0xF0, 0]].concat());
    }
    seeds.push(vec![0xF1, 2, 0x20, 2, 0, 5, 0, 0, 0, 0, 0xF1, 2, 0x20, 2, 1, 0, 0x90, 3, 0, 1, 0x80]);
    seeds
}

pub(crate) fn translator() -> Vec<Vec<u8>> {
    let inbound = [&[0x20, 2, 0, 0], session(1).concat().as_slice()].concat();
    // As an engine of MQTT 5 writes: CONNECT, SUBSCRIBE, PUBLISH, PUBACK, UNSUBSCRIBE, PINGREQ, DISCONNECT.
    let outbound: &[&[u8]] = &[
        &[0x10, 16, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 60, 0, 0, 3, b'A', b'B', b'C'],
        &[0x82, 10, 0, 1, 0, 0, 1, b'a', 1, 0, 1, b'b', 1],
        &[0x32, 9, 0, 1, b't', 0, 2, 2, 1, 1, b'x'],
        &[0x40, 3, 0, 7, 0],
        &[0xA2, 6, 0, 3, 0, 0, 1, b'a'],
        &[0xC0, 0],
        &[0xE0, 0],
    ];
    let outbound = outbound.concat();
    let mut seeds = Vec::new();
    for choice in 0..8 {
        for sizes in [[0, 0], [6, 2], [255, 63]] {
            seeds.push([&[choice], sizes.as_slice(), &inbound].concat());
            seeds.push([&[choice], sizes.as_slice(), &outbound].concat());
        }
    }
    seeds
}
