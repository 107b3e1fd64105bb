//! The service as bytes: a server of MQTT 3.1.1 for one device that behaves.

use crate::service;
use core::cell::RefCell;
use critical_section::Mutex;
use heapless::Vec;

/// The longest packet, either way.
const PACKET: usize = 6 * 1024;

struct Wire {
    /// What the device wrote of a packet.
    input: Vec<u8, PACKET>,
    /// What it has not read yet, from `read` on.
    output: Vec<u8, PACKET>,
    read: usize,
    /// Messages that it has not acknowledged.
    unacknowledged: u32,
}

static WIRE: Mutex<RefCell<Wire>> =
    Mutex::new(RefCell::new(Wire { input: Vec::new(), output: Vec::new(), read: 0, unacknowledged: 0 }));

fn with<T>(call: impl FnOnce(&mut Wire) -> T) -> T {
    critical_section::with(|cs| call(&mut WIRE.borrow_ref_mut(cs)))
}

/// The device writes.
pub(crate) fn write(bytes: &[u8]) {
    with(|wire| {
        wire.input.extend_from_slice(bytes).expect("a packet fits");
        while let Some((header, length)) = frame(&wire.input) {
            let end = header + length;
            wire.packet(header, end);
            let rest = wire.input.len() - end;
            wire.input.copy_within(end.., 0);
            wire.input.truncate(rest);
        }
    });
}

/// The device reads; 0 if there is nothing.
pub(crate) fn read(out: &mut [u8]) -> usize {
    with(|wire| {
        if wire.read == wire.output.len() {
            wire.output.clear();
            wire.read = 0;
            service::next(|message| wire.message(message));
        }
        let n = out.len().min(wire.output.len() - wire.read);
        out[..n].copy_from_slice(&wire.output[wire.read..wire.read + n]);
        wire.read += n;
        n
    })
}

/// Whether all is read and acknowledged.
pub(crate) fn is_idle() -> bool {
    with(|wire| wire.read == wire.output.len() && wire.unacknowledged == 0 && wire.input.is_empty())
}

/// Forgets the connection.
#[cfg(feature = "growth")]
pub(crate) fn reset() {
    with(|wire| {
        wire.input.clear();
        wire.output.clear();
        (wire.read, wire.unacknowledged) = (0, 0);
    });
}

/// Bytes of the fixed header and of the rest, if a whole packet is there.
fn frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (at, byte) in bytes.iter().enumerate().skip(1).take(4) {
        length |= usize::from(byte & 0x7f) << (7 * (at - 1));
        if byte & 0x80 == 0 {
            return (bytes.len() > at + length).then_some((at + 1, length));
        }
    }
    None
}

impl Wire {
    fn packet(&mut self, start: usize, end: usize) {
        let (kind, body) = (self.input[0], &self.input[start..end]);
        match kind >> 4 {
            1 => answer(&mut self.output, &[0x20, 2, 0, 0]),
            3 => {
                let (topic, rest) = body[2..].split_at(usize::from(u16::from_be_bytes([body[0], body[1]])));
                let topic = core::str::from_utf8(topic).expect("UTF-8");
                if kind & 6 == 0 {
                    service::publish(topic, rest);
                } else {
                    answer(&mut self.output, &[0x40, 2, rest[0], rest[1]]);
                    service::publish(topic, &rest[2..]);
                }
            }
            4 => self.unacknowledged = self.unacknowledged.saturating_sub(1),
            8 => {
                let (mut filters, mut rest) = (0, &body[2..]);
                while let [high, low, more @ ..] = rest {
                    rest = &more[usize::from(u16::from_be_bytes([*high, *low])) + 1..];
                    filters += 1;
                }
                answer(&mut self.output, &[0x90, 2 + filters, body[0], body[1]]);
                (0..filters).for_each(|_| answer(&mut self.output, &[1]));
            }
            12 => answer(&mut self.output, &[0xd0, 0]),
            14 => {}
            other => panic!("packet {other}"),
        }
    }

    fn message(&mut self, message: &service::Message) {
        let id: &[u8] = if message.at_least_once { &[0, 9] } else { &[] };
        let mut length = 2 + message.topic.len() + id.len() + message.payload.len();
        answer(&mut self.output, &[if message.at_least_once { 0x32 } else { 0x30 }]);
        loop {
            let more = if length > 0x7f { 0x80 } else { 0 };
            answer(&mut self.output, &[u8::try_from(length & 0x7f).expect("seven bits") | more]);
            length >>= 7;
            if length == 0 {
                break;
            }
        }
        let topic = u16::try_from(message.topic.len()).expect("short").to_be_bytes();
        for part in [&topic[..], message.topic.as_bytes(), id, &message.payload] {
            answer(&mut self.output, part);
        }
        self.unacknowledged += u32::from(message.at_least_once);
    }
}

fn answer(output: &mut Vec<u8, PACKET>, bytes: &[u8]) {
    output.extend_from_slice(bytes).expect("a packet fits");
}
