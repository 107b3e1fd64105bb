//! The wire translator: whatever the bytes, and in whatever pieces they come, it gives the same bytes or the same
//! fault.

use iothub_mqtt::translate::{Connect, Malformed, Translator, Will};

use crate::bytes::Bytes;

const STAGE: usize = 64;

/// CONNECT as an MQTT 5 engine writes it, with a maximum packet size of 256 bytes.
const CONNECT: &[u8] = &[
    0x10, 29, 0, 4, b'M', b'Q', b'T', b'T', 5, 0x02, 0, 60, 13, 0x27, 0, 0, 1, 0, 0x11, 0, 0, 0, 0, 0x21, 0,
    8, 0, 3, b'A', b'B', b'C',
];
const CONNACK: &[u8] = &[0x20, 2, 0, 0];

/// A translator in the state that the first byte chooses.
fn start(choice: u8) -> Translator<'static, STAGE> {
    static REPLACED: Connect<'static> = Connect {
        client_id: "device-1",
        user_name: "hub/device-1/?api-version=2021-04-12",
        password: None,
        will: Some(Will {
            topic: "devices/device-1/messages/events/",
            payload: b"gone",
            qos: 1,
            retain: false,
        }),
    };
    let mut translator = match choice & 1 {
        0 => Translator::new(),
        _ => Translator::with_connect(&REPLACED).keep_in_flight(),
    };
    if choice & 2 != 0 {
        accept(&mut translator, CONNECT, usize::MAX, usize::MAX).1.expect("a good CONNECT");
    }
    if choice & 4 != 0 {
        let _ = deliver(&mut translator, CONNACK, usize::MAX, 64);
    }
    translator
}

type Outcome = (Vec<u8>, Result<(), Malformed>);

/// From the engine to the wire, in pieces of `piece` bytes, drained by `drain` at a time.
fn accept(translator: &mut Translator<'_, STAGE>, v5: &[u8], piece: usize, drain: usize) -> Outcome {
    let mut wire = Vec::new();
    let mut drained = |translator: &mut Translator<'_, STAGE>| {
        let n = drain.min(translator.pending().len());
        wire.extend_from_slice(&translator.pending()[..n]);
        translator.consume(n);
        n
    };
    let mut result = Ok(());
    'all: for chunk in v5.chunks(piece) {
        let mut rest = chunk;
        while !rest.is_empty() {
            match translator.accept(rest) {
                Ok(0) => assert!(drained(translator) > 0, "no progress and nothing to drain"),
                Ok(n) => rest = &rest[n..],
                Err(fault) => {
                    result = Err(fault);
                    break 'all;
                }
            }
        }
    }
    while drained(translator) > 0 {}
    (wire, result)
}

/// From the wire to the engine, in pieces of `piece` bytes, into outputs of `room` bytes.
fn deliver(translator: &mut Translator<'_, STAGE>, wire: &[u8], piece: usize, room: usize) -> Outcome {
    let (mut v5, mut output) = (Vec::new(), vec![0; room]);
    for chunk in wire.chunks(piece) {
        let mut rest = chunk;
        loop {
            match translator.deliver(rest, &mut output) {
                Ok((taken, put)) => {
                    v5.extend_from_slice(&output[..put]);
                    rest = &rest[taken..];
                    if rest.is_empty() && put == 0 {
                        break;
                    }
                    assert!(taken > 0 || put > 0, "no progress");
                }
                Err(fault) => return (v5, Err(fault)),
            }
        }
    }
    (v5, Ok(()))
}

/// What came out before a fault may end earlier or later, but is never different.
fn assert_same(one: &Outcome, other: &Outcome) {
    assert_eq!(one.1, other.1);
    let common = one.0.len().min(other.0.len());
    assert_eq!(one.0[..common], other.0[..common]);
    assert!(one.1.is_err() || one.0.len() == other.0.len());
}

pub(crate) fn run(input: &[u8]) {
    let mut bytes = Bytes(input);
    let (choice, piece, room) = (bytes.byte(), usize::from(bytes.byte()) + 1, usize::from(bytes.byte()) + 1);
    let whole = accept(&mut start(choice), bytes.0, usize::MAX, usize::MAX);
    assert_same(&whole, &accept(&mut start(choice), bytes.0, piece, room));
    let whole = deliver(&mut start(choice), bytes.0, usize::MAX, 4096);
    assert_same(&whole, &deliver(&mut start(choice), bytes.0, piece, room));
}
