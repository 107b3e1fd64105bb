//! The WebSocket against written bytes: handshakes that go wrong in every way, frames allowed and not, in pieces of
//! every size, cut at every byte, with futures dropped whenever they wait.

mod common;

use std::convert::Infallible;

use azure_iot_tunnel::websocket::{Key, PATH_WITHOUT_CERTIFICATE, Upgrade, WebSocket};
use azure_iot_tunnel::{Error, FrameFault, HandshakeFault, RequestError};
use common::{Script, once, run};
use embedded_io_async::{Read as _, Write as _};
use proptest::prelude::*;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

type Fault = Error<Infallible>;
/// What the server sends, what is read of it, and how it ends.
type Case = (Vec<u8>, Vec<u8>, Result<(), Fault>);
type Socket<const N: usize = 1024> = WebSocket<Script, fn() -> u32, N>;

fn random() -> u32 {
    0x0102_0304
}

/// The key that `random` gives, and the answer to it.
fn answer() -> String {
    let accept = derive_accept_key(b"AQIDBAECAwQBAgMEAQIDBA==");
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
    )
}

fn open(stream: Script) -> Result<Socket, Fault> {
    run(WebSocket::open(stream, &Upgrade::new("hub.example").unwrap(), random as fn() -> u32))
}

/// An open WebSocket whose server sends these bytes.
fn opened(frames: &[u8], piece: usize) -> Socket {
    open(Script::new([answer().as_bytes(), frames].concat(), piece)).unwrap()
}

fn read_all(socket: &mut Socket) -> (Vec<u8>, Result<(), Fault>) {
    let (mut data, mut room) = (Vec::new(), [0; 700]);
    loop {
        match run(socket.read(&mut room)) {
            Ok(0) => return (data, Ok(())),
            Ok(count) => data.extend_from_slice(&room[..count]),
            Err(error) => return (data, Err(error)),
        }
    }
}

/// A frame of the server: the first byte, and the payload with the shortest length.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len();
    let mut frame = vec![first];
    match length {
        0..=125 => frame.push(u8::try_from(length).unwrap()),
        126..=0xFFFF => {
            frame.push(126);
            frame.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

/// First byte and payload of each frame of the device; all are masked.
fn unmasked(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        assert_eq!(second & 0x80, 0x80, "masked");
        let (length, rest) = match second & 0x7F {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            127 => panic!("frames of the device are shorter"),
            length => (usize::from(length), rest),
        };
        let (mask, rest) = rest.split_at(4);
        let (payload, rest) = rest.split_at(length);
        let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        frames.push((*first, payload));
        bytes = rest;
    }
    assert!(bytes.is_empty());
    frames
}

/// What the device sent after its request.
fn sent(socket: Socket) -> Vec<(u8, Vec<u8>)> {
    let stream = run(socket.close()).unwrap();
    let at = stream.output.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    unmasked(&stream.output[at..])
}

#[test]
fn the_request_and_its_key() {
    // RFC 6455, section 1.3.
    assert_eq!(&Key::new(*b"the sample nonce").accept(), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    let written = |upgrade: Upgrade<'_>| {
        String::from_utf8(upgrade.write(&Key::new([0; 16]), &mut [0; 512]).unwrap().to_vec()).unwrap()
    };
    let upgrade = Upgrade::new("hub.example").unwrap();
    let rest = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    assert_eq!(written(upgrade), format!("GET /$iothub/websocket HTTP/1.1\r\nHost: hub.example\r\n{rest}"));
    let upgrade = upgrade.with_path(PATH_WITHOUT_CERTIFICATE).unwrap().with_port(8443);
    let line = "GET /$iothub/websocket?iothub-no-client-cert=true HTTP/1.1\r\nHost: hub.example:8443\r\n";
    assert_eq!(written(upgrade), format!("{line}{rest}"));
    for path in ["", "x", "/a b", "/a\r\n", "/#", "/\u{e4}"] {
        assert!(matches!(upgrade.with_path(path), Err(RequestError::Invalid { .. })), "{path}");
    }
    let long = "a".repeat(253);
    let stream = Script::new(answer(), 1000);
    let upgrade = Upgrade::new(&long).unwrap().with_path(PATH_WITHOUT_CERTIFICATE).unwrap();
    assert!(run(WebSocket::<_, _, 512>::open(stream, &upgrade, random)).is_ok(), "the longest name fits");
}

#[test]
fn answers() {
    let good = answer();
    let with = |from: &str, to: &str| good.replace(from, to);
    let without = |name: &str| {
        let kept = good.split_inclusive("\r\n").filter(|line| !line.starts_with(name));
        kept.collect::<String>()
    };
    let accept = good.lines().find(|line| line.starts_with("Sec-WebSocket-Accept")).unwrap();
    let fault = |fault| Some(Error::Handshake(fault));
    let cases: &[(String, Option<Fault>)] = &[
        (good.clone(), None),
        (good.to_lowercase().replace("http/1.1", "HTTP/1.1").replace(&accept.to_lowercase(), accept), None),
        (with("Connection: Upgrade", "Connection: keep-alive, upgrade"), None),
        (with("\r\n", "\n"), None),
        (with("HTTP/1.1 101 Switching Protocols", "HTTP/1.1 101"), None),
        (with("Upgrade: websocket", "Date: today\r\nUpgrade: WebSocket"), None),
        (format!("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n{good}"), None),
        (with("\r\n\r\n", "\r\nSec-WebSocket-Extensions:\r\n\r\n"), None),
        (with("HTTP/1.1 101", "HTTP/1.0 101"), fault(HandshakeFault::Upgrade)),
        (without("Upgrade"), fault(HandshakeFault::Upgrade)),
        (with("Upgrade: websocket", "Upgrade: h2c"), fault(HandshakeFault::Upgrade)),
        (without("Connection"), fault(HandshakeFault::Connection)),
        (without("Sec-WebSocket-Accept"), fault(HandshakeFault::Accept)),
        (with("Sec-WebSocket-Accept: ", "Sec-WebSocket-Accept: x"), fault(HandshakeFault::Accept)),
        (with(accept, &format!("{accept}\r\n{accept}")), fault(HandshakeFault::Accept)),
        (without("Sec-WebSocket-Protocol"), fault(HandshakeFault::Protocol)),
        (with("mqtt", "amqp"), fault(HandshakeFault::Protocol)),
        (with("mqtt", "mqtt, amqp"), fault(HandshakeFault::Protocol)),
        (
            with("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
            fault(HandshakeFault::Extension),
        ),
        (with("\r\n\r\n", "\r\nno colon\r\n\r\n"), Some(Error::NotHttp)),
        (with("\r\n\r\n", &format!("\r\nX: {}\r\n\r\n", "x".repeat(1024))), Some(Error::HeadTooLong)),
        (with("\r\n\r\n", &format!("{}\r\n\r\n", "\r\nX: x".repeat(4000))), Some(Error::HeadTooLong)),
        ("HTTP/1.1 401 Unauthorized\r\n".into(), Some(Error::UpgradeRefused { status: 401 })),
        ("HTTP/1.1 200 OK\r\n\r\n".into(), Some(Error::UpgradeRefused { status: 200 })),
        ("\x20\x02\0\0".into(), Some(Error::NotHttp)),
    ];
    for (answer, expected) in cases {
        for piece in [1, 2, 1000] {
            let outcome = open(Script::new(answer.as_bytes(), piece));
            assert_eq!(outcome.err(), *expected, "{answer}");
        }
    }
    for length in 0..good.len() {
        let outcome = open(Script::new(&good.as_bytes()[..length], 2));
        assert_eq!(outcome.err(), Some(Error::Truncated), "{length}");
    }
}

const CONTINUE: u8 = 0x00;
const BINARY: u8 = 0x02;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8A;
const FIN: u8 = 0x80;

/// In the order of the Autobahn test suite.
#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn frames() {
    let close = frame(CLOSE, &1000u16.to_be_bytes());
    let end = |frames: &[Vec<u8>]| [frames.concat(), close.clone()].concat();
    let long: Vec<u8> = (0..=u8::MAX).cycle().take(70_000).collect();
    let mut cases: Vec<Case> = Vec::new();
    let mut good = |frames: &[Vec<u8>], data: &[u8]| cases.push((end(frames), data.to_vec(), Ok(())));
    // 1: messages
    for length in [0, 1, 125, 126, 127, 128, 65_535, 65_536, 70_000] {
        good(&[frame(FIN | BINARY, &long[..length])], &long[..length]);
    }
    // 2: pings and pongs
    good(&[frame(PING, b""), frame(FIN | BINARY, b"x")], b"x");
    good(&[frame(PING, &[0xFE; 125]), frame(PONG, b"unasked"), frame(FIN | BINARY, b"x")], b"x");
    // 5: fragments, with control frames between them
    let (first, second, third) = (frame(BINARY, b"ab"), frame(CONTINUE, b""), frame(FIN, b"cd"));
    good(&[first.clone(), second.clone(), third.clone()], b"abcd");
    let between =
        [first.clone(), frame(PING, b"1"), second, frame(PONG, b""), frame(PING, b"2"), third.clone()];
    good(&between, b"abcd");
    good(&[frame(BINARY, b""), frame(CONTINUE, b""), frame(FIN, b""), frame(FIN | BINARY, b"x")], b"x");
    // 7: closing
    for payload in [vec![], [&1000u16.to_be_bytes()[..], &[b'x'; 123]].concat()] {
        cases.push((frame(CLOSE, &payload), vec![], Ok(())));
    }
    for code in [1001u16, 1002, 1003, 1007, 1011, 1014, 3000, 3999, 4000, 4999] {
        cases.push((frame(CLOSE, &code.to_be_bytes()), vec![], Err(Error::Closed { code })));
    }
    let mut bad = |frames: &[Vec<u8>], data: &[u8], fault| {
        cases.push((frames.concat(), data.to_vec(), Err(Error::Frame(fault))));
    };
    for code in [0u16, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        bad(&[frame(CLOSE, &code.to_be_bytes())], b"", FrameFault::Close);
    }
    bad(&[frame(CLOSE, &[3])], b"", FrameFault::Close);
    bad(&[frame(CLOSE, &[0x03, 0xE8, 0xCE, 0xBA, 0xE1])], b"", FrameFault::Close);
    bad(&[vec![CLOSE, 126, 0, 126]], b"", FrameFault::ControlTooLong);
    bad(&[vec![PING, 126, 0, 126]], b"", FrameFault::ControlTooLong);
    bad(&[vec![PONG, 127, 0, 0, 0, 0, 0, 0, 0, 1]], b"", FrameFault::ControlTooLong);
    // 3: reserved bits, 4: opcodes
    for bits in [0x10, 0x20, 0x40, 0x70] {
        for opcode in [CONTINUE, BINARY, 8, 9, 10] {
            bad(&[frame(FIN | BINARY, b"x"), frame(FIN | bits | opcode, b"")], b"x", FrameFault::Reserved);
        }
    }
    for opcode in (3..=7).chain(11..=15) {
        bad(&[frame(FIN | opcode, b"")], b"", FrameFault::Reserved);
    }
    // 5: fragments out of order
    bad(&[frame(PING & !FIN, b"x"), frame(FIN, b"y")], b"", FrameFault::ControlFragmented);
    bad(&[frame(CLOSE & !FIN, b"")], b"", FrameFault::ControlFragmented);
    bad(std::slice::from_ref(&third), b"", FrameFault::Continuation);
    bad(&[frame(FIN | BINARY, b"x"), frame(CONTINUE, b"y")], b"x", FrameFault::Continuation);
    bad(&[first.clone(), first.clone()], b"ab", FrameFault::Interleaved);
    bad(&[frame(BINARY, b""), frame(FIN | BINARY, b"")], b"", FrameFault::Interleaved);
    bad(&[first, third, frame(FIN, b"")], b"abcd", FrameFault::Continuation);
    // 6: text, which MQTT does not have
    bad(&[frame(FIN | 1, b"text")], b"", FrameFault::Text);
    // RFC 6455, sections 5.1 and 5.2
    bad(&[vec![FIN | BINARY, 0x81, 0, 0, 0, 0, 0]], b"", FrameFault::Masked);
    bad(&[vec![FIN | BINARY, 126, 0, 125]], b"", FrameFault::Length);
    bad(&[vec![FIN | BINARY, 127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]], b"", FrameFault::Length);
    bad(&[vec![FIN | BINARY, 127, 0x80, 0, 0, 0, 0, 0, 0, 0]], b"", FrameFault::Length);
    // A large frame is none of this layer's business; that it does not end is.
    let huge = [vec![FIN | BINARY, 127, 0x7F], vec![0xFF; 7], b"data".to_vec()].concat();
    cases.push((huge, b"data".to_vec(), Err(Error::Truncated)));
    cases.push((vec![], vec![], Err(Error::Truncated)));

    for (bytes, data, end) in &cases {
        let shown = &bytes[..bytes.len().min(40)];
        for piece in [1, 3, 1000] {
            if bytes.len() > 1000 && piece == 1 {
                continue;
            }
            let mut socket = opened(bytes, piece);
            assert_eq!(read_all(&mut socket), (data.clone(), *end), "{shown:x?} by {piece}");
            // It stays at its end, and takes nothing more.
            assert_eq!(read_all(&mut socket), (vec![], *end), "{shown:x?}");
            assert!(run(socket.write(b"x")).is_err() && run(socket.flush()).is_err());
            let sent = sent(socket);
            let last = match end {
                Err(Error::Frame(fault)) => Some((CLOSE, fault.close_code().to_be_bytes().to_vec())),
                Err(Error::Closed { code }) => Some((CLOSE, code.to_be_bytes().to_vec())),
                Ok(()) => Some((CLOSE, bytes[bytes.len() - 2..].to_vec())),
                _ => None,
            };
            match &last {
                // The same code, without the reason.
                Some((_, code)) if end.is_ok() && *code != 1000u16.to_be_bytes() => {
                    assert!(matches!(&sent[..], [(CLOSE, _)]));
                }
                _ => assert_eq!(sent.last(), last.as_ref(), "{shown:x?}"),
            }
        }
        if bytes.len() < 1000 {
            for length in 0..bytes.len() {
                let (read, outcome) = read_all(&mut opened(&bytes[..length], 2));
                assert!(data.starts_with(&read), "{shown:x?} cut at {length}");
                assert!(outcome == Err(Error::Truncated) || outcome == *end, "{shown:x?} cut at {length}");
            }
        }
    }
}

#[test]
fn pings_are_answered_in_order() {
    let frames = [frame(PING, b"1"), frame(BINARY, b"a"), frame(PING, &[7; 125]), frame(FIN, b"b")].concat();
    let mut socket = opened(&frames, 5);
    run(socket.write_all(b"not flushed")).unwrap();
    assert_eq!(read_all(&mut socket).0, b"ab");
    run(async { socket.flush().await }).unwrap_err();
    assert_eq!(sent(socket), [(PONG, b"1".to_vec()), (PONG, vec![7; 125])]);
}

#[test]
fn closed_by_the_device() {
    let mut socket = opened(&[], 1000);
    run(socket.write_all(b"last words")).unwrap();
    let close = (CLOSE, 1000u16.to_be_bytes().to_vec());
    assert_eq!(sent(socket), [(FIN | BINARY, b"last words".to_vec()), close]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever is written, read and dropped half way: all bytes go out once, in order, and all that come are read.
    #[test]
    fn nothing_is_lost_when_futures_are_dropped(
        writes in proptest::collection::vec((1usize..1500, any::<bool>()), 1..8),
        pings in 0usize..4,
        piece in 1usize..300,
    ) {
        let ping = frame(PING, b"?");
        let mut input = Vec::new();
        for index in 0..8 {
            input.extend(frame(FIN | BINARY, &[index; 150]));
            input.extend(ping.repeat(pings.saturating_sub(usize::from(index))));
        }
        let script = Script::new([answer().as_bytes(), &input].concat(), piece).waiting();
        let mut socket: Socket<512> =
            run(WebSocket::open(script, &Upgrade::new("hub.example").unwrap(), random as fn() -> u32)).unwrap();
        let (mut wrote, mut read, mut room) = (Vec::new(), Vec::new(), [0; 64]);
        let mut next = 0u8;
        for (length, flush) in writes {
            let mut data: Vec<u8> = (0..length).map(|_| { next = next.wrapping_add(1); next }).collect();
            while !data.is_empty() {
                if let Some(count) = once(socket.write(&data)) {
                    let count = count.unwrap();
                    wrote.extend(data.drain(..count));
                }
                if read.len() < 8 * 150 && let Some(count) = once(socket.read(&mut room)) {
                    read.extend_from_slice(&room[..count.unwrap()]);
                }
            }
            while flush && once(socket.flush()).is_none() {}
        }
        while read.len() < 8 * 150 {
            if let Some(count) = once(socket.read(&mut room)) {
                read.extend_from_slice(&room[..count.unwrap()]);
            }
        }
        run(socket.flush()).unwrap();
        let stream = run(socket.close()).unwrap();
        let at = stream.output.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let frames = unmasked(&stream.output[at..]);
        let of = |kind| frames.iter().filter(move |(first, _)| *first == kind).map(|(_, payload)| &payload[..]);
        prop_assert_eq!(of(FIN | BINARY).collect::<Vec<_>>().concat(), wrote);
        prop_assert!(of(FIN | BINARY).all(|payload| !payload.is_empty() && payload.len() <= 512 - 8));
        // Those after the last data are not read.
        prop_assert!(of(PONG).all(|payload| payload == b"?"));
        prop_assert_eq!(read, (0..8u8).flat_map(|index| [index; 150]).collect::<Vec<_>>());
    }
}
