//! The hub of the new generation: presence, methods in their four steps, the twin by version.

use iothub_mqtt_test_support::packet::{self, Properties};

use crate::hub::{Connection, Hub};

/// Where the device's messages go.
pub(crate) const TELEMETRY: &str = "ih/my-device/srv/telemetry";

/// A number as Protocol Buffers write it.
fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7F).expect("seven bits");
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// A field that is a number.
fn field(number: u8, value: u64) -> Vec<u8> {
    [&[number << 3][..], &varint(value)].concat()
}

/// A field that is bytes.
fn bytes(number: u8, value: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2][..], &varint(value.len() as u64), value].concat()
}

/// Reads the number in the first field.
fn first_number(body: &[u8]) -> u64 {
    let digits = body.get(1..).unwrap_or_default().iter();
    let end = digits.clone().position(|byte| byte & 0x80 == 0).expect("a number");
    digits.take(end + 1).rev().fold(0, |number, byte| number << 7 | u64::from(byte & 0x7F))
}

/// A PUBLISH, with QoS 1 if it has an id.
fn to_device(id: Option<u16>, channel: &str, kind: &str, correlation: &[u8], body: &[u8]) -> Vec<u8> {
    let topic = format!("ih/my-device/dev/{channel}");
    packet::publish5(id, &topic, &Properties::new(kind, correlation), body)
}

impl Hub {
    pub(crate) fn publish5(
        &mut self,
        connection: &mut Connection,
        topic: &str,
        properties: &Properties,
        body: &[u8],
    ) {
        let (desired, reported) = {
            let state = self.state.borrow();
            (state.desired, state.reported)
        };
        let correlation = &properties.correlation;
        let answer = match (topic, properties.kind()) {
            (TELEMETRY, "telemetry:1") => {
                let number = std::str::from_utf8(body).ok().and_then(|text| text.parse().ok());
                return self.telemetry(connection, number.expect("a number"));
            }
            ("ih/my-device/srv/presence", "birth:1") => {
                connection.born = Some(correlation.clone());
                let ack = [field(10, desired), field(11, reported)].concat();
                to_device(None, "presence", "birth-ack:1", correlation, &ack)
            }
            ("ih/my-device/srv/twin", "get:1") => {
                let twin = [field(1, desired), field(2, reported), bytes(3, b"{}")].concat();
                to_device(None, "twin", "get-response:1", correlation, &twin)
            }
            ("ih/my-device/srv/twin", "reported-patch:1") => {
                // 1 taken, 2 made for another version.
                let taken = first_number(body) == reported;
                let version = reported + u64::from(taken);
                self.state.borrow_mut().reported = version;
                let result = [field(1, if taken { 1 } else { 2 }), field(2, version)].concat();
                to_device(None, "twin", "reported-patch-response:1", correlation, &result)
            }
            ("ih/my-device/srv/methods", "probe-ack:1") => match body {
                [0x0A, 18, 0x0A, 16, ready @ ..] if connection.born.is_some() => {
                    let exec = [bytes(1, ready), bytes(2, b"{}")].concat();
                    to_device(Some(2), "methods", "exec:1", correlation, &exec)
                }
                // The device is busy, or was ready on an earlier connection.
                _ => return,
            },
            ("ih/my-device/srv/methods", "result:1") => {
                assert_eq!(body, b"\x08\xC8\x01\x12\x02{}");
                self.state.borrow_mut().report.answered += 1;
                return;
            }
            ("ih/my-device/srv/methods", "abandon:1") => return,
            other => panic!("{other:?}"),
        };
        self.send(connection, &answer);
    }

    /// What the cloud wants of the device after this message: a change of its twin, a method.
    pub(crate) fn wants5(&mut self, connection: &mut Connection, number: usize, change: Option<u64>) {
        let Some(nonce) = connection.born.clone() else { return };
        if let Some(version) = change {
            let patch = [field(1, version), bytes(2, format!("{{\"n\":{version}}}").as_bytes())].concat();
            self.send(connection, &to_device(None, "twin", "desired-patch:1", &nonce, &patch));
        }
        if number.is_multiple_of(71) {
            let mut request = [0; 16];
            request[..8].copy_from_slice(&(number as u64).to_be_bytes());
            let probe = [bytes(1, b"blink"), field(2, 30)].concat();
            self.send(connection, &to_device(Some(1), "methods", "probe:1", &request, &probe));
        }
    }
}
