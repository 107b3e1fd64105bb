//! Well-formed inputs to begin with: the published vectors, and sessions as they go over the wire.

use azure_iot_common::backoff::Jitter;
use devkit_settings::Setting;
use iothub_mqtt_test_support::packet::publish;
use serde_json::Value;
use stsafe_a100::blocking::{Stsafe, Vault};
use stsafe_a100::sim::{Profile, VirtualChip};

use crate::stsafe::ZONES;

const DPS_RESPONSES: &str = include_str!("../../../dps-client/tests/vectors/dps_responses.json");
const HUB: [&str; 4] = [
    include_str!("../../../iothub-mqtt/tests/vectors/hub_c2d.json"),
    include_str!("../../../iothub-mqtt/tests/vectors/hub_methods.json"),
    include_str!("../../../iothub-mqtt/tests/vectors/hub_twin.json"),
    include_str!("../../../iothub-mqtt/tests/vectors/hub_telemetry.json"),
];
const PNP: &str = include_str!("../../../iothub-mqtt/tests/vectors/hub_pnp.json");

const STSAFE: [&str; 5] = [
    include_str!("../../../stsafe-a100/tests/vectors/stselib_a100.json"),
    include_str!("../../../stsafe-a100/tests/vectors/middleware_v335_a100.json"),
    include_str!("../../../stsafe-a100/tests/vectors/libstsafe_az3166.json"),
    include_str!("../../../stsafe-a100/tests/vectors/stselib_a110.json"),
    include_str!("../../../stsafe-a100/tests/vectors/middleware_v335_a110.json"),
];

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

/// Values, hints and headers as other writers make them.
pub(crate) fn optional() -> Vec<Vec<u8>> {
    let own = [
        "3",
        "3.5",
        "soon",
        "null",
        "1e999",
        "NaN",
        "\"\\ud800\"",
        "[[{\"a\":1}]]",
        "Sun, 06 Nov 1994 08:49:37 GMT",
    ];
    own.into_iter().map(|text| text.as_bytes().to_vec()).chain(json()).collect()
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
    let certificates = [
        (202, r#"{"correlationId":"8819e8d8","operationExpires":"2025-06-09T17:31:31.426Z"}"#),
        (200, r#"{"correlationId":"8819e8d8","certificates":["MAI\u002B/w==","MAA="]}"#),
        (200, r#"["MAI+/w==","MAA="]"#),
        (
            400,
            r#"{"errorCode":400040,"info":{"credentialError":"FailedToDecodeCsr","credentialMessage":"m"}}"#,
        ),
        (409, r#"{"errorCode":409005,"message":"m","retryAfter":5,"info":{"requestId":"aabbcc"}}"#),
    ];
    let certificates =
        certificates.map(|(status, body)| format!("$iothub/credentials/res/{status}/?$rid=1\n{body}"));
    let mqtt5 = [
        &b"ih/d/dev/twin\n\x08\x03\x10\x05\x1a\x02{}\x22\x02{}"[..],
        b"ih/d/dev/twin\n\x0a\x06\x08\x02\x12\x02{}",
        b"ih/d/dev/methods\n\x0a\x01x\x10\x1e",
        b"ih/d/dev/methods\n\x0a\x10abcdefghijklmnop\x12\x02{}",
    ];
    let classic = topics.chain(get).chain(desired).chain(certificates).map(String::into_bytes);
    classic.chain(mqtt5.into_iter().map(<[u8]>::to_vec)).collect()
}

/// What a hub says in a session with a client of this seed, whose first request has the id that follows from it.
fn session(seed: u32) -> Vec<Vec<u8>> {
    let twin = format!("$iothub/twin/res/200/?$rid={}", Jitter::new(seed).draw());
    vec![
        publish(Some(7), "devices/device-1/messages/devicebound/%24.mid=1&a=b", b"hello"),
        publish(None, "$iothub/methods/POST/blink/?$rid=1", b"{}"),
        publish(None, "$iothub/twin/PATCH/properties/desired/?$version=5", br#"{"a":1,"$version":5}"#),
        publish(None, &twin, br#"{"desired":{"$version":4},"reported":{"$version":1}}"#),
        publish(Some(9), "devices/device-1/messages/devicebound/", &[b'x'; 600]),
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

/// A frame with its length before it.
fn framed(frame: &[u8]) -> Vec<u8> {
    let len = u16::try_from(frame.len()).expect("frames are short");
    [&len.to_be_bytes(), frame].concat()
}

/// A member of every exchange of the secure element's recordings, case by case.
fn stsafe_exchanges(member: &str) -> Vec<Vec<Vec<u8>>> {
    let cases = STSAFE.iter().flat_map(|file| {
        let set: Value = serde_json::from_str(file).expect("vectors are JSON");
        set["cases"].as_array().expect("vectors have cases").clone()
    });
    cases
        .map(|case| {
            let exchanges = case["exchanges"].as_array().cloned().unwrap_or_default();
            exchanges.iter().filter_map(|exchange| hex::decode(exchange[member].as_str()?).ok()).collect()
        })
        .filter(|frames: &Vec<Vec<u8>>| !frames.is_empty())
        .collect()
}

pub(crate) fn stsafe_driver() -> Vec<Vec<u8>> {
    let answers = stsafe_exchanges("rsp_wire").into_iter().enumerate();
    answers
        .map(|(number, frames)| {
            let calls = frames.iter().zip(0_u8..).map(|(frame, at)| {
                let which = u8::try_from(number % 60).unwrap_or_default().wrapping_add(at);
                [&[which], framed(frame).as_slice()].concat()
            });
            calls.flatten().collect()
        })
        .collect()
}

pub(crate) fn stsafe_chip() -> Vec<Vec<u8>> {
    let commands = stsafe_exchanges("cmd_wire");
    commands.iter().map(|frames| frames.iter().flat_map(|frame| framed(frame)).collect()).collect()
}

pub(crate) fn stsafe_vault() -> Vec<Vec<u8>> {
    let write = |zone: u8, offset: u16, data: &[u8]| {
        [&[zone], offset.to_be_bytes().as_slice(), framed(data).as_slice()].concat()
    };
    // A vault's copies as they lie in their zones, and the original's text.
    let chip = VirtualChip::new(Profile::az3166(), [7; 32]);
    let mut vault = Vault::open(Stsafe::new(chip.bus(), chip.delay())).expect("it opens");
    for setting in Setting::ALL {
        let letters = (b'a'..=b'z').cycle().take(setting.max_len().min(40));
        let value: Vec<u8> = if setting == Setting::CertificateSource {
            devkit_settings::BY_SERVICE.to_vec()
        } else {
            letters.collect()
        };
        vault.set(setting, &value).expect("it stores");
    }
    let zones = (0_u8..).zip(ZONES).filter_map(|(number, zone)| Some((number, chip.zone(zone)?)));
    let copies: Vec<Vec<u8>> = zones.map(|(number, memory)| write(number, 0, &memory)).collect();
    let text = [
        write(2, 0, b"HomeAP\0"),
        write(4, 0, b"19e25a259d0c2be03a02d416c05c48ccd0cc7d1743458aae1cb488b074993eae\0"),
        write(3, 0, b"HostName=h.azure-devices.net;DeviceId=d;SharedAccessKey=MDEyMw==\0"),
        write(7, 0, b"correct-horse-9\0"),
    ];
    vec![copies.concat(), copies[1].clone(), text.concat(), [copies[1].clone(), text.concat()].concat()]
}

pub(crate) fn console() -> Vec<Vec<u8>> {
    [
        &b"help\rversion\nscan\r\nshow\rcert\r"[..],
        b"set_wifissid \"Home AP\"\rset_wifipwd correct horse 9\n",
        b"set_dps_uds 19e25a259d0c2be03a02d416c05c48ccd0cc7d1743458aae1cb488b074993eae\r\n",
        b"set_az_iothub HostName=h.azure-devices.net;DeviceId=d;SharedAccessKey=MDEyMw==\r",
        b"enable_secure 2 19e25a259d0c2be03a02d416c05c48ccd0cc7d1743458aae1cb488b074993eae\r",
        b"set_wifissid caf\xC3\xA9\x7f\x08\x17\x15\x03\x1b[A\x1bOP\x1b[[A\x1b[200~gen_uds\x1b[201~\r",
        b"\x1b]0;title\x07\x1bP1$r\x1b\\\x9bA\x1bxset_dps_endpoint localhost:8883\rexit\r",
    ]
    .map(<[u8]>::to_vec)
    .to_vec()
}

pub(crate) fn bridge() -> Vec<Vec<u8>> {
    use bridge_protocol::{END, Lamp, OperationKind, RESTART, lamp, operation, transaction};
    let write = |bytes: &[u8]| {
        let len = u16::try_from(bytes.len()).unwrap_or_default();
        [operation(OperationKind::Write, len).as_slice(), bytes].concat()
    };
    let read = |len| operation(OperationKind::Read, len).to_vec();
    let echo = [transaction(0x20, 1).to_vec(), write(&[0x00, 0xA4, 0xEC, 0x69]), vec![END]].concat();
    let answer = [transaction(0x20, 1).to_vec(), read(6), vec![END]].concat();
    let identity = [transaction(0x5F, 2).to_vec(), write(&[0x8F]), read(2), vec![END]].concat();
    let screen = [
        transaction(0x3C, 1).to_vec(),
        write(&[0x00, 0x8D, 0x14, 0xA5, 0xAF, 0x20, 0, 0x21, 0, 127, 0x22, 0, 7]),
        vec![END],
    ]
    .concat();
    let pixels = [transaction(0x3C, 1).to_vec(), write(&[0x40, 0xFF, 0x55, 0xAA]), vec![END]].concat();
    let panel = [b"PM", lamp(Lamp::Red, 200).as_slice()].concat();
    let restart = [&pixels[..5], &RESTART, b"M"].concat();
    vec![[echo, answer].concat(), identity, [screen, pixels].concat(), panel, restart]
}
