//! The wire translator against packets written by hand from the two standards: byte-exact, at every
//! split point, with hostile input, and against arbitrary bytes.
#![allow(clippy::cast_possible_truncation)]

use iothub_mqtt::translate::{Connect, Direction, Fault, Malformed, OVERSIZED_TOPIC, Translator, Will};
use proptest::prelude::*;

/// One packet of a scenario: as the engine sees it (MQTT 5) and as the wire sees it (3.1.1).
#[derive(Clone, Debug)]
enum Packet {
    Out { v5: Vec<u8>, wire: Vec<u8> },
    In { wire: Vec<u8>, v5: Vec<u8> },
}

fn out(v5: &[u8], wire: &[u8]) -> Packet {
    Packet::Out { v5: v5.to_vec(), wire: wire.to_vec() }
}

fn inn(wire: &[u8], v5: &[u8]) -> Packet {
    Packet::In { wire: wire.to_vec(), v5: v5.to_vec() }
}

const SMALL: usize = 64;

/// Sends `v5` in pieces of `piece` bytes, draining `drain` bytes whenever the stage is full and at the end.
fn accept<const N: usize>(
    t: &mut Translator<'_, N>,
    v5: &[u8],
    piece: usize,
    drain: usize,
) -> Result<Vec<u8>, Malformed> {
    let mut wire = Vec::new();
    for chunk in v5.chunks(piece.max(1)) {
        let mut rest = chunk;
        while !rest.is_empty() {
            let n = t.accept(rest)?;
            rest = &rest[n..];
            if n == 0 {
                assert!(!t.pending().is_empty(), "no progress and nothing to drain");
                let n = drain.min(t.pending().len());
                wire.extend_from_slice(&t.pending()[..n]);
                t.consume(n);
            }
        }
    }
    while !t.pending().is_empty() {
        let n = drain.min(t.pending().len());
        wire.extend_from_slice(&t.pending()[..n]);
        t.consume(n);
    }
    Ok(wire)
}

/// Delivers `wire` in pieces of `piece` bytes into outputs of `room` bytes.
fn deliver<const N: usize>(
    t: &mut Translator<'_, N>,
    wire: &[u8],
    piece: usize,
    room: usize,
) -> Result<Vec<u8>, Malformed> {
    let mut v5 = Vec::new();
    let mut output = vec![0; room.max(1)];
    for chunk in wire.chunks(piece.max(1)) {
        let mut rest = chunk;
        loop {
            let (taken, put) = t.deliver(rest, &mut output)?;
            rest = &rest[taken..];
            v5.extend_from_slice(&output[..put]);
            if rest.is_empty() && put == 0 {
                break;
            }
        }
    }
    Ok(v5)
}

fn play<const N: usize>(t: &mut Translator<'_, N>, packets: &[Packet], a: usize, b: usize) {
    for packet in packets {
        match packet {
            Packet::Out { v5, wire } => {
                assert_eq!(hex::encode(accept(t, v5, a, b).unwrap()), hex::encode(wire), "{packet:?}");
            }
            Packet::In { wire, v5 } => {
                assert_eq!(hex::encode(deliver(t, wire, a, b).unwrap()), hex::encode(v5), "{packet:?}");
            }
        }
    }
}

/// CONNECT as the engine writes it: clean start, expiry 0, keep-alive 60 s, maximum packet 256, client "ABC".
const CONNECT_V5: &[u8] = &[
    0x10, 29, 0, 4, b'M', b'Q', b'T', b'T', 5, 0x02, 0, 60, // head
    13, 0x27, 0, 0, 1, 0, 0x11, 0, 0, 0, 0, 0x21, 0, 8, // properties
    0, 3, b'A', b'B', b'C',
];
const CONNECT_WIRE: &[u8] = &[0x10, 15, 0, 4, b'M', b'Q', b'T', b'T', 4, 0x02, 0, 60, 0, 3, b'A', b'B', b'C'];
const CONNACK_WIRE: &[u8] = &[0x20, 2, 0, 0];
const CONNACK_V5: &[u8] = &[0x20, 3, 0, 0, 0];

fn handshake() -> Vec<Packet> {
    vec![out(CONNECT_V5, CONNECT_WIRE), inn(CONNACK_WIRE, CONNACK_V5)]
}

fn connected<'c>() -> Translator<'c, SMALL> {
    let mut t = Translator::new();
    play(&mut t, &handshake(), 1000, 1000);
    t
}

/// A whole session with every packet of the standard in it.
fn session() -> Vec<Packet> {
    let mut packets = handshake();
    packets.extend([
        // SUBSCRIBE: id 10, subscription identifier property, "a/b" QoS 1 with retain options, "c" QoS 2
        out(
            &[0x82, 15, 0, 10, 2, 0x0B, 1, 0, 3, b'a', b'/', b'b', 0x29, 0, 1, b'c', 0x02],
            &[0x82, 12, 0, 10, 0, 3, b'a', b'/', b'b', 1, 0, 1, b'c', 2],
        ),
        inn(&[0x90, 4, 0, 10, 1, 0x80], &[0x90, 5, 0, 10, 0, 1, 0x80]),
        // UNSUBSCRIBE of two filters; UNSUBACK has no codes in 3.1.1 and one per filter in 5
        out(
            &[0xA2, 11, 0, 11, 0, 0, 3, b'a', b'/', b'b', 0, 1, b'c'],
            &[0xA2, 10, 0, 11, 0, 3, b'a', b'/', b'b', 0, 1, b'c'],
        ),
        inn(&[0xB0, 2, 0, 11], &[0xB0, 5, 0, 11, 0, 0, 0]),
        // PUBLISH QoS 0, no properties, with retain
        out(&[0x31, 6, 0, 1, b't', 0, 1, 2], &[0x31, 5, 0, 1, b't', 1, 2]),
        // PUBLISH QoS 1, user property, DUP
        out(
            &[0x3A, 15, 0, 1, b't', 0, 7, 7, 0x26, 0, 1, b'k', 0, 1, b'v', 9, 9],
            &[0x3A, 7, 0, 1, b't', 0, 7, 9, 9],
        ),
        inn(&[0x40, 2, 0, 7], &[0x40, 2, 0, 7]),
        // PUBLISH QoS 2 outwards
        out(&[0x34, 6, 0, 1, b't', 0, 8, 0], &[0x34, 5, 0, 1, b't', 0, 8]),
        inn(&[0x50, 2, 0, 8], &[0x50, 2, 0, 8]),
        out(&[0x62, 4, 0, 8, 0, 0], &[0x62, 2, 0, 8]),
        inn(&[0x70, 2, 0, 8], &[0x70, 2, 0, 8]),
        // PUBLISH QoS 0, 1, 2 inwards and their acknowledgements in all three MQTT 5 lengths
        inn(&[0x30, 4, 0, 1, b'x', 5], &[0x30, 5, 0, 1, b'x', 0, 5]),
        inn(&[0x32, 5, 0, 1, b'x', 1, 2], &[0x32, 6, 0, 1, b'x', 1, 2, 0]),
        out(&[0x40, 2, 1, 2], &[0x40, 2, 1, 2]),
        inn(&[0x3D, 6, 0, 1, b'x', 1, 3, 0], &[0x3D, 7, 0, 1, b'x', 1, 3, 0, 0]),
        out(&[0x50, 3, 1, 3, 0x10], &[0x50, 2, 1, 3]),
        inn(&[0x62, 2, 1, 3], &[0x62, 2, 1, 3]),
        out(&[0x70, 6, 1, 3, 0, 2, 0x1F, 0], &[0x70, 2, 1, 3]),
        // ping
        out(&[0xC0, 0], &[0xC0, 0]),
        inn(&[0xD0, 0], &[0xD0, 0]),
        // DISCONNECT with a reason and a property
        out(&[0xE0, 7, 0, 5, 0x11, 0, 0, 0, 0], &[0xE0, 0]),
    ]);
    packets
}

#[test]
fn a_whole_session_at_every_piece_size() {
    for a in 1..40 {
        for b in [1, 2, 3, 5, 64, 1000] {
            play(&mut Translator::<SMALL>::new(), &session(), a, b);
        }
    }
}

#[test]
fn a_whole_session_coalesced_and_cut_at_every_point() {
    // All inbound packets of the session follow each other without a gap, cut once, anywhere.
    let mut sent = Vec::new();
    let mut wire = Vec::new();
    let mut v5 = Vec::new();
    for packet in session().iter().skip(2) {
        match packet {
            Packet::Out { v5, .. } if matches!(v5[0] >> 4, 3 | 8 | 10) => sent.push(v5.clone()),
            Packet::Out { .. } => {}
            Packet::In { wire: w, v5: v } => {
                wire.extend_from_slice(w);
                v5.extend_from_slice(v);
            }
        }
    }
    for cut in 0..=wire.len() {
        let mut t = connected();
        for packet in &sent {
            accept(&mut t, packet, 1000, 1000).unwrap();
        }
        let mut got = deliver(&mut t, &wire[..cut], 1000, 7).unwrap();
        got.extend(deliver(&mut t, &wire[cut..], 1000, 7).unwrap());
        assert_eq!(hex::encode(got), hex::encode(&v5), "cut at {cut}");
    }
}

#[test]
fn connect_takes_clean_session_from_the_expiry_and_keeps_the_will() {
    // Session expiry 3600, will QoS 1 retained with a delay property, user name and password.
    let v5 = [
        &[0x10, 45, 0, 4][..],
        b"MQTT",
        &[5, 0b1110_1110, 0, 60, 5, 0x11, 0, 0, 0x0E, 0x10],
        &[0, 2, b'i', b'd'],
        &[5, 0x18, 0, 0, 0, 9],
        &[0, 3, b'w', b'/', b't', 0, 2, 0xAA, 0xBB],
        &[0, 4, b'u', b's', b'e', b'r', 0, 2, b'p', b'w'],
    ]
    .concat();
    let wire = [
        &[0x10, 33, 0, 4][..],
        b"MQTT",
        &[4, 0b1110_1100, 0, 60],
        &[0, 2, b'i', b'd'],
        &[0, 3, b'w', b'/', b't', 0, 2, 0xAA, 0xBB],
        &[0, 4, b'u', b's', b'e', b'r', 0, 2, b'p', b'w'],
    ]
    .concat();
    assert_eq!((v5.len(), wire.len()), (2 + 45, 2 + 33));
    for piece in 1..v5.len() {
        play(&mut Translator::<SMALL>::new(), &[out(&v5, &wire)], piece, 1000);
    }
}

#[test]
fn connect_without_client_id() {
    let v5 = [0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 0, 0, 0, 0];
    let wire = [0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0, 0];
    for piece in 1..v5.len() {
        play(&mut Translator::<SMALL>::new(), &[out(&v5, &wire)], piece, 1000);
    }
}

#[test]
fn connect_replaced_by_the_configured_one() {
    let client_id = "d".repeat(257);
    let user_name = "u".repeat(500);
    let connect = Connect {
        client_id: &client_id,
        user_name: &user_name,
        password: Some(b"secret"),
        will: Some(Will { topic: "will/t", payload: b"gone", qos: 1, retain: true }),
    };
    let body = [
        &[0, 4][..],
        b"MQTT",
        &[4, 0b1110_1110, 0, 60],
        &[1, 1],
        client_id.as_bytes(),
        &[0, 6],
        b"will/t",
        &[0, 4],
        b"gone",
        &[1, 0xF4],
        user_name.as_bytes(),
        &[0, 6],
        b"secret",
    ]
    .concat();
    let length = body.len();
    let wire = [&[0x10, (length % 128) as u8 | 0x80, (length / 128) as u8][..], &body].concat();
    for piece in 1..CONNECT_V5.len() {
        for drain in [1, 2, 63, 64] {
            let mut t = Translator::<SMALL>::with_connect(&connect);
            play(&mut t, &[out(CONNECT_V5, &wire)], piece, drain);
            play(&mut t, &[inn(CONNACK_WIRE, CONNACK_V5)], 1, 1);
        }
    }
    assert!(!format!("{connect:?}").contains("secret"));
    assert!(!format!("{connect:?}").contains("115, 101, 99"));

    // With a certificate there is no password at all, and no flag for it.
    let connect = Connect { client_id: "d", user_name: "u", password: None, will: None };
    let wire = [0x10, 16, 0, 4, b'M', b'Q', b'T', b'T', 4, 0x82, 0, 60, 0, 1, b'd', 0, 1, b'u'];
    play(&mut Translator::<SMALL>::with_connect(&connect), &[out(CONNECT_V5, &wire)], 1, 1);
}

#[test]
fn a_replaced_connect_longer_than_its_field_is_refused() {
    let long = "x".repeat(65536);
    let connect = Connect { client_id: &long, user_name: "u", password: None, will: None };
    let fault = Translator::<SMALL>::with_connect(&connect).accept(CONNECT_V5).unwrap_err();
    assert_eq!(fault.fault, Fault::FieldTooLong);
    assert_eq!(fault.direction, Direction::Outbound);
}

#[test]
fn connack_codes() {
    for (code, reason) in [(1, 0x84), (2, 0x85), (3, 0x88), (4, 0x86), (5, 0x87)] {
        let mut t = Translator::<SMALL>::new();
        play(
            &mut t,
            &[out(CONNECT_V5, CONNECT_WIRE), inn(&[0x20, 2, 0, code], &[0x20, 3, 0, reason, 0])],
            1,
            1,
        );
    }
    let mut t = Translator::<SMALL>::new();
    play(&mut t, &[out(CONNECT_V5, CONNECT_WIRE), inn(&[0x20, 2, 1, 0], &[0x20, 3, 1, 0, 0])], 1, 1);
}

#[test]
fn session_present_for_a_resuming_engine_that_keeps_its_messages() {
    let mut resuming = CONNECT_V5.to_vec();
    resuming[9] = 0;
    for (connect, connack, present) in [
        (&resuming[..], [0x20, 2, 0, 0], 1),
        (CONNECT_V5, [0x20, 2, 0, 0], 0),
        (&resuming[..], [0x20, 2, 1, 0], 1),
        (&resuming[..], [0x20, 2, 0, 5], 0),
    ] {
        let mut t = Translator::<SMALL>::new().keep_in_flight();
        accept(&mut t, connect, 1000, 1000).unwrap();
        assert_eq!(deliver(&mut t, &connack, 1, 1).unwrap()[2], present);
    }
}

#[test]
fn large_payloads_stream_through_a_small_stage() {
    let payload: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
    // 100 003 bytes of 3.1.1, one more of MQTT 5
    let v5 = [&[0x30, 0xA4, 0x8D, 0x06, 0, 1, b't', 0][..], &payload].concat();
    let wire = [&[0x30, 0xA3, 0x8D, 0x06, 0, 1, b't'][..], &payload].concat();
    for (piece, drain) in [(7, 13), (100, 64), (100_000, 1000), (63, 64)] {
        let mut t = connected();
        assert!(accept(&mut t, &v5, piece, drain).unwrap() == wire);
    }
    // inwards there is no limit either, if the engine names none
    let connect = [0x10, 16, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 60, 0, 0, 3, b'A', b'B', b'C'];
    let mut t = Translator::<SMALL>::new();
    accept(&mut t, &connect, 1000, 1000).unwrap();
    deliver(&mut t, CONNACK_WIRE, 1, 1).unwrap();
    assert!(deliver(&mut t, &wire, 1000, 77).unwrap() == v5);
    // and the payload can be passed without a copy
    let mut t = Translator::<SMALL>::new();
    accept(&mut t, &connect, 1000, 1000).unwrap();
    deliver(&mut t, CONNACK_WIRE, 1, 1).unwrap();
    assert_eq!(t.verbatim(), 0);
    deliver(&mut t, &wire[..7], 1, 100).unwrap();
    assert_eq!(t.verbatim(), payload.len());
    t.passed(payload.len() - 1).unwrap();
    assert_eq!(t.verbatim(), 1);
    assert_eq!(t.passed(2).unwrap_err().fault, Fault::Length);
}

#[test]
fn topic_as_long_as_the_stage_and_one_longer() {
    let publish = |topic: usize| {
        let body = [&[0, topic as u8][..], &vec![b't'; topic], &[0, 9, 0]].concat();
        [&[0x32, body.len() as u8][..], &body].concat()
    };
    let mut t = connected();
    // 5 header + 2 length + 2 packet id
    accept(&mut t, &publish(SMALL - 9), 1000, 1000).unwrap();
    let fault = accept(&mut t, &publish(SMALL - 8), 1000, 1000).unwrap_err();
    assert_eq!(fault.fault, Fault::TopicTooLong);
    // nothing heals a translator
    assert_eq!(t.accept(&[0xC0, 0]).unwrap_err(), fault);
    assert_eq!(t.deliver(&[0xD0, 0], &mut [0; 8]).unwrap_err(), fault);
    assert_eq!(t.verbatim(), 0);
}

#[test]
fn oversized_publish_arrives_empty_and_marked() {
    let big = |header: u8, topic: &[u8], total: usize| {
        // `total` is the remaining length
        let mut body = [&[0, topic.len() as u8][..], topic, &[0, 5]].concat();
        body.resize(total, 0xEE);
        [&[header, (total % 128) as u8 | 0x80, (total / 128) as u8][..], &body].concat()
    };
    let marker = |size: &[u8; 10]| [&[24, 0x26, 0, 9][..], b"oversized", &[0, 10], size].concat();
    // The engine takes 256 bytes: 3 header + 253 = 252 of 3.1.1 and one of properties.
    let fits = big(0x32, b"top", 252);
    let mut t = connected();
    let v5 = deliver(&mut t, &fits, 1000, 1000).unwrap();
    assert_eq!(v5.len(), 256);
    // One byte more does not fit.
    let expected = [&[0x30, 30, 0, 3, b't', b'o', b'p'][..], &marker(b"0000000256")].concat();
    for piece in 1..60 {
        let mut t = connected();
        let v5 = deliver(&mut t, &big(0x32, b"top", 253), piece, 3).unwrap();
        assert_eq!(hex::encode(v5), hex::encode(&expected));
        // The next packet is read at its beginning, and the emptied one is not acknowledged.
        assert_eq!(deliver(&mut t, &[0xD0, 0], 1, 1).unwrap(), [0xD0, 0]);
        assert_eq!(accept(&mut t, &[0x40, 2, 0, 5], 1, 1).unwrap(), []);
    }
    // A topic that does not fit either is replaced.
    let long = [b'y'; 230];
    let mut t = connected();
    let v5 = deliver(&mut t, &big(0x3D, &long, 300), 1000, 5).unwrap();
    let stand_in = OVERSIZED_TOPIC.as_bytes();
    let expected = [&[0x30, 37, 0, 10][..], stand_in, &marker(b"0000000303")].concat();
    assert_eq!(hex::encode(v5), hex::encode(expected));
    assert_eq!(deliver(&mut t, &[0xD0, 0], 1, 1).unwrap(), [0xD0, 0]);
}

#[test]
fn acknowledgements_the_wire_does_not_wait_for_are_not_sent() {
    let mut t = connected();
    // left over from an earlier connection
    assert_eq!(accept(&mut t, &[0x40, 2, 0, 9], 1, 1).unwrap(), []);
    assert_eq!(accept(&mut t, &[0x50, 2, 0, 9], 1, 1).unwrap(), []);
    assert_eq!(accept(&mut t, &[0x70, 2, 0, 9], 1, 1).unwrap(), []);
    // PUBREL is replayed across connections (3.1.1 §4.4)
    assert_eq!(accept(&mut t, &[0x62, 2, 0, 9], 1, 1).unwrap(), [0x62, 2, 0, 9]);
    // once each
    deliver(&mut t, &[0x32, 5, 0, 1, b'x', 0, 9], 1, 1).unwrap();
    assert_eq!(accept(&mut t, &[0x40, 2, 0, 9], 1, 1).unwrap(), [0x40, 2, 0, 9]);
    assert_eq!(accept(&mut t, &[0x40, 2, 0, 9], 1, 1).unwrap(), []);
    // A refusal (packet id in use, receive maximum exceeded) must not turn into an acceptance.
    deliver(&mut t, &[0x32, 5, 0, 1, b'x', 0, 9], 1, 1).unwrap();
    assert_eq!(accept(&mut t, &[0x40, 3, 0, 9, 0x91], 1, 1).unwrap(), []);
    deliver(&mut t, &[0x34, 5, 0, 1, b'x', 0, 9], 1, 1).unwrap();
    assert_eq!(accept(&mut t, &[0x50, 3, 0, 9, 0x93], 1, 1).unwrap(), []);
    // but PUBCOMP answers even an unknown PUBREL
    deliver(&mut t, &[0x62, 2, 0, 9], 1, 1).unwrap();
    assert_eq!(accept(&mut t, &[0x70, 3, 0, 9, 0x92], 1, 1).unwrap(), [0x70, 2, 0, 9]);
}

#[test]
fn disconnect_with_will_stays_silent_so_that_the_will_is_sent() {
    let mut t = connected();
    assert_eq!(accept(&mut t, &[0xE0, 1, 0x04], 1, 1).unwrap(), []);
    assert_eq!(t.accept(&[0xC0, 0]).unwrap_err().fault, Fault::Order);
}

#[test]
fn faulty_outbound_packets() {
    use Fault as F;
    let cases: &[(&[u8], u32, Fault)] = &[
        (&[0x00, 0], 1, F::PacketType),
        (&[0x20, 3, 0, 0, 0], 1, F::PacketType), // CONNACK
        (&[0x90, 0], 1, F::PacketType),          // SUBACK
        (&[0xD0, 0], 1, F::PacketType),          // PINGRESP
        (&[0xF0, 0], 1, F::NotTranslatable),     // AUTH
        (CONNECT_V5, 1, F::Order),
        (&[0x30, 0xFF, 0xFF, 0xFF, 0xFF], 4, F::LengthEncoding),
        (&[0x36, 9], 1, F::QoS),
        (&[0x38, 9], 1, F::QoS),
        (&[0x30, 1, 0], 1, F::Length),
        (&[0x30, 3, 0, 0, 0], 3, F::NotTranslatable), // topic alias
        (&[0x30, 4, 0, 3, b't'], 3, F::Length),
        (&[0x30, 3, 0, 1, b't'], 4, F::Length), // no property length
        (&[0x30, 5, 0, 1, b't', 2, 0], 5, F::Length), // properties beyond the end
        (&[0x32, 5, 0, 1, b't', 0, 0], 6, F::PacketId),
        (&[0x41, 2, 0, 1], 1, F::Flags),
        (&[0x60, 2, 0, 1], 1, F::Flags),
        (&[0x40, 1, 0], 1, F::Length),
        (&[0x40, 2, 0, 0], 3, F::PacketId),
        (&[0x80, 9], 1, F::Flags),
        (&[0x82, 3, 0, 1, 0], 4, F::Length), // no filter
        (&[0x82, 6, 0, 1, 0, 0, 0, 0], 6, F::EmptyTopic),
        (&[0x82, 7, 0, 1, 0, 0, 1, b'a', 3], 8, F::QoS),
        (&[0x82, 7, 0, 1, 0, 0, 1, b'a', 5], 8, F::NoLocal),
        (&[0x82, 7, 0, 0], 3, F::PacketId),
        (&[0xC0, 1, 0], 1, F::Length),
        (&[0xE1, 0], 1, F::Flags),
    ];
    for (packet, offset, fault) in cases {
        let mut t = connected();
        let error = accept(&mut t, packet, 1, 1).unwrap_err();
        let expected =
            Malformed { direction: Direction::Outbound, header: packet[0], offset: *offset, fault: *fault };
        assert_eq!(error, expected, "{packet:02x?}");
        assert!(!error.to_string().is_empty());
    }
    let before = |packet: &[u8]| Translator::<SMALL>::new().accept(packet).unwrap_err().fault;
    assert_eq!(before(&[0xC0, 0]), F::Order);
    let mut connect = CONNECT_V5.to_vec();
    connect[8] = 4;
    assert_eq!(before(&connect), F::Protocol);
    connect[8] = 5;
    for (flags, fault) in
        [(0x03, F::Flags), (0x0A, F::Flags), (0x22, F::Flags), (0x1E, F::QoS), (0x42, F::NotTranslatable)]
    {
        connect[9] = flags;
        assert_eq!(before(&connect), fault, "{flags:02x}");
    }
    connect[9] = 2;
    for (id, fault) in [(0x15, F::NotTranslatable), (0x01, F::Property)] {
        connect[13] = id;
        assert_eq!(before(&connect), fault);
    }
}

#[test]
fn faulty_inbound_packets() {
    use Fault as F;
    let cases: &[(&[u8], u32, Fault)] = &[
        (&[0x00, 0], 1, F::PacketType),
        (&[0x10, 0], 1, F::PacketType),
        (&[0x82, 0], 1, F::PacketType),
        (&[0xA2, 0], 1, F::PacketType),
        (&[0xC0, 0], 1, F::PacketType),
        (&[0xE0, 0], 1, F::PacketType),
        (&[0xF0, 0], 1, F::PacketType),
        (CONNACK_WIRE, 1, F::Order),
        (&[0x30, 0x80, 0x80, 0x80, 0x80], 4, F::LengthEncoding),
        (&[0x36, 5], 1, F::QoS),
        (&[0x38, 5], 1, F::QoS),
        (&[0x30, 1], 1, F::Length),
        (&[0x30, 4, 0, 0], 3, F::EmptyTopic),
        (&[0x30, 4, 0, 3], 3, F::Length),
        (&[0x32, 4, 0, 1, b't', 0], 4, F::Length),
        (&[0x32, 5, 0, 1, b't', 0, 0], 6, F::PacketId),
        (&[0x42, 2], 1, F::Flags),
        (&[0x60, 2], 1, F::Flags),
        (&[0x40, 3], 1, F::Length),
        (&[0x40, 1], 1, F::Length),
        (&[0x40, 2, 0, 0], 3, F::PacketId),
        (&[0x90, 2], 1, F::Length),
        (&[0x90, 3, 0, 1], 3, F::UnexpectedAck),
        (&[0xB0, 2, 0, 1], 3, F::UnexpectedAck),
        (&[0xB0, 3], 1, F::Length),
        (&[0xD0, 1], 1, F::Length),
        (&[0xD1, 0], 1, F::Flags),
        // larger than the engine takes, and wrong besides
        (&[0x30, 0x80, 0x7F, 0, 0], 4, F::EmptyTopic),
        (&[0x30, 0x80, 0x7F, 0xFF, 0xFF], 4, F::Length),
    ];
    for (packet, offset, fault) in cases {
        let mut t = connected();
        let error = deliver(&mut t, packet, 1, 1).unwrap_err();
        let expected =
            Malformed { direction: Direction::Inbound, header: packet[0], offset: *offset, fault: *fault };
        assert_eq!(error, expected, "{packet:02x?}");
        assert!(!error.to_string().is_empty());
    }
    // before CONNACK, and before CONNECT
    let first = |connack: &[u8]| {
        let mut t = Translator::<SMALL>::new();
        accept(&mut t, CONNECT_V5, 1000, 1000).unwrap();
        t.deliver(connack, &mut [0; 16]).unwrap_err().fault
    };
    assert_eq!(first(&[0xD0, 0]), F::Order);
    assert_eq!(first(&[0x20, 2, 2, 0]), F::Flags);
    assert_eq!(first(&[0x20, 2, 1, 5]), F::Flags);
    assert_eq!(first(&[0x20, 2, 0, 6]), F::ReturnCode);
    assert_eq!(first(&[0x20, 3, 0, 0, 0]), F::Length);
    let early = Translator::<SMALL>::new().deliver(CONNACK_WIRE, &mut [0; 16]);
    assert_eq!(early.unwrap_err().fault, F::Order);
    // answers that do not match their request
    let subscribe: &[u8] = &[0x82, 7, 0, 1, 0, 0, 1, b'a', 1];
    for (suback, fault) in [
        (&[0x90, 4, 0, 1, 1, 1][..], F::UnexpectedAck),
        (&[0x90, 3, 0, 2, 1], F::UnexpectedAck),
        (&[0xB0, 2, 0, 1], F::UnexpectedAck),
        (&[0x90, 3, 0, 1, 3], F::ReturnCode),
        (&[0x90, 3, 0, 1, 0x81], F::ReturnCode),
    ] {
        let mut t = connected();
        accept(&mut t, subscribe, 1, 1).unwrap();
        assert_eq!(deliver(&mut t, suback, 1, 1).unwrap_err().fault, fault, "{suback:02x?}");
    }
}

#[test]
fn more_in_flight_than_anybody_needs_is_an_error() {
    let mut t = connected();
    let mut fault = None;
    for id in 1..100 {
        if let Err(e) = accept(&mut t, &[0x82, 7, 0, id, 0, 0, 1, b'a', 1], 100, 100) {
            fault = Some((id, e.fault));
            break;
        }
    }
    assert_eq!(fault, Some((17, Fault::TooManyInFlight)));
    let mut t = connected();
    let mut fault = None;
    for id in 1..100 {
        if let Err(e) = deliver(&mut t, &[0x32, 5, 0, 1, b'x', 0, id], 100, 100) {
            fault = Some((id, e.fault));
            break;
        }
    }
    assert_eq!(fault, Some((17, Fault::TooManyInFlight)));
}

#[test]
fn truncated_packets_are_waited_for() {
    for packet in session() {
        let (Packet::In { wire: bytes, .. } | Packet::Out { v5: bytes, .. }) = &packet;
        for cut in 0..bytes.len() {
            let mut t = connected();
            // whatever opens the way for the acknowledgements
            for request in
                [&[0x82, 11, 0, 10, 0, 0, 1, b'a', 1, 0, 1, b'b', 1][..], &[0xA2, 6, 0, 11, 0, 0, 1, b'a']]
            {
                accept(&mut t, request, 100, 100).unwrap();
            }
            match packet {
                Packet::In { .. } if bytes[0] == 0x20 => {}
                Packet::Out { .. } if bytes[0] == 0x10 => {}
                Packet::In { .. } => assert!(deliver(&mut t, &bytes[..cut], 1, 1).is_ok()),
                Packet::Out { .. } => assert!(accept(&mut t, &bytes[..cut], 1, 1).is_ok()),
            }
        }
    }
}

/// A random but valid PUBLISH of MQTT 5 and its 3.1.1 form.
fn publish() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    (
        0u8..3,
        proptest::bool::ANY,
        "[a-z/]{1,50}",
        1u16..,
        proptest::collection::vec(any::<u8>(), 0..300),
        proptest::collection::vec(any::<u8>(), 0..200),
    )
        .prop_map(|(qos, retain, topic, id, properties, payload)| {
            let header = 0x30 | (qos << 1) | u8::from(retain);
            let mut head = [&(topic.len() as u16).to_be_bytes()[..], topic.as_bytes()].concat();
            if qos > 0 {
                head.extend(id.to_be_bytes());
            }
            let v5 = [&head[..], &varint(properties.len()), &properties, &payload].concat();
            let wire = [&head[..], &payload].concat();
            (
                [&[header][..], &varint(v5.len()), &v5].concat(),
                [&[header][..], &varint(wire.len()), &wire].concat(),
            )
        })
}

fn varint(mut n: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = (n % 128) as u8;
        n /= 128;
        if n == 0 {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}

proptest! {
    #[test]
    fn publishes_lose_exactly_their_properties(
        packets in proptest::collection::vec(publish(), 1..8),
        piece in 1usize..700,
        drain in 1usize..100,
    ) {
        let mut t = connected();
        let v5: Vec<u8> = packets.iter().flat_map(|p| p.0.clone()).collect();
        let wire: Vec<u8> = packets.iter().flat_map(|p| p.1.clone()).collect();
        prop_assert_eq!(accept(&mut t, &v5, piece, drain).unwrap(), wire);
    }

    #[test]
    fn publishes_from_the_wire_gain_empty_properties(
        packets in proptest::collection::vec(publish(), 1..8),
        piece in 1usize..700,
        room in 1usize..100,
    ) {
        let mut t = connected();
        // Strip the properties, bring the result back in, and strip it again: the same.
        let v5: Vec<u8> = packets.iter().flat_map(|p| p.0.clone()).collect();
        let wire = accept(&mut t, &v5, 1000, 1000).unwrap();
        let mut t = Translator::<SMALL>::new();
        accept(&mut t, &CONNECT_V5_UNLIMITED, 1000, 1000).unwrap();
        deliver(&mut t, CONNACK_WIRE, 1, 1).unwrap();
        let back = deliver(&mut t, &wire, piece, room).unwrap();
        prop_assert_eq!(accept(&mut connected(), &back, 1000, 1000).unwrap(), wire);
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_never_stall(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        piece in 1usize..600,
        room in 1usize..40,
        greeted in any::<bool>(),
        first in 0u8..16,
    ) {
        let start = || if greeted { connected() } else { Translator::<SMALL>::new() };
        let mut shaped = bytes.clone();
        if let Some(byte) = shaped.first_mut() {
            *byte = (*byte & 0x0F) | (first << 4);
        }
        for input in [bytes, shaped] {
            let _ = deliver(&mut start(), &input, piece, room);
            let _ = accept(&mut start(), &input, piece, room);
        }
    }

    #[test]
    fn one_changed_byte_in_a_session_is_an_error_or_a_packet(
        packet in 0usize..24,
        at in 0usize..40,
        to in any::<u8>(),
    ) {
        let mut t = Translator::<SMALL>::new();
        for (n, p) in session().into_iter().enumerate() {
            let (mut bytes, inwards) = match p {
                Packet::In { wire, .. } => (wire, true),
                Packet::Out { v5, .. } => (v5, false),
            };
            if n == packet && at < bytes.len() {
                bytes[at] = to;
            }
            let result = if inwards { deliver(&mut t, &bytes, 3, 3) } else { accept(&mut t, &bytes, 3, 3) };
            if result.is_err() {
                break;
            }
        }
    }
}

/// Like [`CONNECT_V5`], without a maximum packet size.
const CONNECT_V5_UNLIMITED: [u8; 18] =
    [0x10, 16, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 60, 0, 0, 3, b'A', b'B', b'C'];
