//! MQTT 3.1.1 from the wire → MQTT 5 to the engine.

use super::ledger::{Ledger, Phase};
use super::outbound::{as_u32, expect, low_byte, low_u16, qos, qos_valid};
use super::scan::{MAX_VARINT, Reading, Scanner, varint};
use super::{Direction, Fault, Malformed, OVERSIZED_PROPERTY, OVERSIZED_TOPIC};
use heapless::Vec;

const PUBACK: u8 = 4;
const PUBREC: u8 = 5;
const PUBREL: u8 = 6;
const PUBCOMP: u8 = 7;

/// The most one field brings out: the marker of an oversized PUBLISH, with the stand-in topic.
const STAGE: usize = 64;

/// The marker's property: id, key, and a value of as many digits as a packet size has.
const DIGITS: usize = 10;
const MARKER: usize = 1 + 2 + OVERSIZED_PROPERTY.len() + 2 + DIGITS;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Type,
    Length,
    Connack,
    TopicLength,
    Topic,
    PublishId,
    BigTopicLength,
    BigTopic,
    AckId,
    SubackId,
    SubackCode,
    UnsubackId,
    /// The rest of the packet goes through, or is left out; then the packet is done.
    Rest,
}

#[derive(Debug)]
pub(super) struct Inbound {
    scan: Scanner<Step>,
    staged: Vec<u8, STAGE>,
    /// Zero bytes that follow what is staged: UNSUBACK's reason codes.
    zeros: u16,
    /// Codes SUBACK still has to bring.
    codes: u16,
    /// Size of the packet being emptied.
    oversized: u32,
}

impl Inbound {
    pub(super) const fn new() -> Self {
        Self { scan: Scanner::new(Step::Type), staged: Vec::new(), zeros: 0, codes: 0, oversized: 0 }
    }

    pub(super) fn deliver(
        &mut self,
        input: &[u8],
        output: &mut [u8],
        ledger: &mut Ledger,
    ) -> Result<(usize, usize), Malformed> {
        self.run(input, output, ledger).map_err(|fault| self.scan.malformed(Direction::Inbound, fault))
    }

    pub(super) fn verbatim(&self) -> usize {
        match self.scan.reading {
            Reading::Copy(run) if self.staged.is_empty() && self.zeros == 0 => run as usize,
            _ => 0,
        }
    }

    pub(super) fn passed(&mut self, n: usize, ledger: &mut Ledger) -> Result<(), Malformed> {
        self.scan
            .advance(as_u32(n))
            .and_then(|()| self.complete_runs(ledger))
            .map_err(|fault| self.scan.malformed(Direction::Inbound, fault))
    }

    fn run(&mut self, input: &[u8], output: &mut [u8], ledger: &mut Ledger) -> Result<(usize, usize), Fault> {
        let (mut taken, mut put) = (0, 0);
        loop {
            let room = output.get_mut(put..).unwrap_or_default();
            if !self.staged.is_empty() || self.zeros > 0 {
                if room.is_empty() {
                    return Ok((taken, put));
                }
                put += self.unstage(room);
                continue;
            }
            let rest = input.get(taken..).unwrap_or_default();
            let Some(&byte) = rest.first() else {
                return Ok((taken, put));
            };
            taken += match self.scan.reading {
                Reading::Number(_) | Reading::Varint(_) => {
                    if self.scan.step == Step::Type {
                        self.scan.header = byte;
                    }
                    if let Some(value) = self.scan.feed(byte)? {
                        self.field(value, ledger)?;
                    }
                    1
                }
                Reading::Skip(run) => {
                    let n = rest.len().min(run as usize);
                    self.scan.advance(as_u32(n))?;
                    n
                }
                Reading::Copy(run) => {
                    let n = rest.len().min(run as usize).min(room.len());
                    if n == 0 {
                        return Ok((taken, put));
                    }
                    for (to, from) in room.iter_mut().zip(rest).take(n) {
                        *to = *from;
                    }
                    put += n;
                    self.scan.advance(as_u32(n))?;
                    n
                }
            };
            self.complete_runs(ledger)?;
        }
    }

    fn complete_runs(&mut self, ledger: &mut Ledger) -> Result<(), Fault> {
        while self.scan.run_complete() {
            self.field(0, ledger)?;
        }
        Ok(())
    }

    /// Moves staged bytes to `room`; gives how many.
    fn unstage(&mut self, room: &mut [u8]) -> usize {
        let n = room.len().min(self.staged.len());
        for (to, from) in room.iter_mut().zip(&self.staged).take(n) {
            *to = *from;
        }
        let rest = self.staged.len() - n;
        self.staged.copy_within(n.., 0);
        self.staged.truncate(rest);
        let zeros = (room.len() - n).min(usize::from(self.zeros));
        if rest > 0 {
            return n;
        }
        room.iter_mut().skip(n).take(zeros).for_each(|slot| *slot = 0);
        self.zeros -= low_u16(as_u32(zeros));
        n + zeros
    }

    fn stage(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.staged.extend_from_slice(bytes).map_err(|_| Fault::Length)
    }

    fn stage_header(&mut self, header: u8, length: u32) -> Result<(), Fault> {
        let (bytes, used) = varint(length);
        self.stage(&[header])?;
        self.stage(bytes.get(..used).unwrap_or_default())
    }

    /// A field is complete.
    fn field(&mut self, value: u32, ledger: &mut Ledger) -> Result<(), Fault> {
        match self.scan.step {
            Step::Type => self.scan.varint(Step::Length),
            Step::Length => {
                self.scan.left = value;
                self.scan.in_body = true;
                self.body(value, ledger)
            }
            Step::Connack => self.connack(value, ledger),
            Step::TopicLength => {
                expect(value != 0, Fault::EmptyTopic)?;
                self.stage(&low_u16(value).to_be_bytes())?;
                self.scan.copy(Step::Topic, value)
            }
            Step::Topic if qos(self.scan.header) > 0 => self.scan.number(Step::PublishId, 2),
            Step::Topic => {
                self.stage(&[0])?;
                self.rest()
            }
            Step::PublishId => {
                expect(value != 0, Fault::PacketId)?;
                let id = low_u16(value);
                let ack = if qos(self.scan.header) == 1 { PUBACK } else { PUBREC };
                ledger.owe(ack, id)?;
                let [high, low] = id.to_be_bytes();
                self.stage(&[high, low, 0])?;
                self.rest()
            }
            Step::BigTopicLength => self.big_topic(value, ledger),
            Step::BigTopic => self.big_rest(),
            Step::AckId => {
                expect(value != 0, Fault::PacketId)?;
                let id = low_u16(value);
                if self.scan.header >> 4 == PUBREL {
                    ledger.owe(PUBCOMP, id)?;
                }
                self.stage_header(self.scan.header, 2)?;
                self.stage(&id.to_be_bytes())?;
                self.rest()
            }
            Step::SubackId => {
                expect(value != 0, Fault::PacketId)?;
                let id = low_u16(value);
                self.codes = ledger.close(false, id)?;
                expect(u32::from(self.codes) == self.scan.left, Fault::UnexpectedAck)?;
                self.stage_header(self.scan.header, self.scan.left + 3)?;
                let [high, low] = id.to_be_bytes();
                self.stage(&[high, low, 0])?;
                self.next_code()
            }
            Step::SubackCode => {
                let code = low_byte(value);
                expect(matches!(code, 0..=2 | 0x80), Fault::ReturnCode)?;
                self.stage(&[code])?;
                self.next_code()
            }
            Step::UnsubackId => {
                expect(value != 0, Fault::PacketId)?;
                let id = low_u16(value);
                self.zeros = ledger.close(true, id)?;
                self.stage_header(self.scan.header, 3 + u32::from(self.zeros))?;
                let [high, low] = id.to_be_bytes();
                self.stage(&[high, low, 0])?;
                self.rest()
            }
            Step::Rest => {
                expect(self.scan.left == 0, Fault::Length)?;
                self.scan.restart(Step::Type);
                Ok(())
            }
        }
    }

    /// The fixed header is complete: what kind of packet is it?
    fn body(&mut self, length: u32, ledger: &Ledger) -> Result<(), Fault> {
        let (kind, flags) = (self.scan.header >> 4, self.scan.header & 0x0F);
        let first = kind == 2;
        let wanted = if first { Phase::Connecting } else { Phase::Connected };
        expect(ledger.phase == wanted, Fault::Order)?;
        match (kind, flags) {
            (2, 0) => self.exactly(length, 2, Step::Connack),
            (3, _) => {
                expect(qos_valid(self.scan.header), Fault::QoS)?;
                let (_, used) = varint(length.saturating_add(1));
                // One byte more for the empty properties.
                let size = length.saturating_add(2).saturating_add(as_u32(used));
                if length >= MAX_VARINT || size > ledger.max_packet {
                    self.oversized = length.saturating_add(1 + as_u32(varint(length).1));
                    return self.scan.number(Step::BigTopicLength, 2);
                }
                self.stage_header(self.scan.header, length + 1)?;
                self.scan.number(Step::TopicLength, 2)
            }
            (PUBACK | PUBREC | PUBCOMP, 0) | (PUBREL, 2) => self.exactly(length, 2, Step::AckId),
            (9, 0) => {
                expect(length >= 3, Fault::Length)?;
                self.scan.number(Step::SubackId, 2)
            }
            (11, 0) => self.exactly(length, 2, Step::UnsubackId),
            (13, 0) => {
                expect(length == 0, Fault::Length)?;
                self.stage_header(self.scan.header, 0)?;
                self.rest()
            }
            (2 | PUBACK..=PUBCOMP | 9 | 11 | 13, _) => Err(Fault::Flags),
            _ => Err(Fault::PacketType),
        }
    }

    fn exactly(&mut self, length: u32, wanted: u8, step: Step) -> Result<(), Fault> {
        expect(length == u32::from(wanted), Fault::Length)?;
        self.scan.number(step, wanted)
    }

    /// The rest of the packet goes through: a payload, or nothing.
    fn rest(&mut self) -> Result<(), Fault> {
        let left = self.scan.left;
        self.scan.copy(Step::Rest, left)
    }

    fn next_code(&mut self) -> Result<(), Fault> {
        if self.scan.left == 0 {
            return self.rest();
        }
        self.scan.number(Step::SubackCode, 1)
    }

    /// CONNACK: acknowledge flags and return code (3.1.1 §3.2.2, MQTT 5 §3.2.2).
    fn connack(&mut self, value: u32, ledger: &mut Ledger) -> Result<(), Fault> {
        let [code, flags, ..] = value.to_le_bytes();
        expect(flags <= 1 && (flags == 0 || code == 0), Fault::Flags)?;
        let reason = match code {
            0 => 0x00,
            1 => 0x84,
            2 => 0x85,
            3 => 0x88,
            4 => 0x86,
            5 => 0x87,
            _ => return Err(Fault::ReturnCode),
        };
        let kept = code == 0 && ledger.keep_in_flight && ledger.resuming;
        ledger.phase = Phase::Connected;
        self.stage_header(self.scan.header, 3)?;
        self.stage(&[flags | u8::from(kept), reason, 0])?;
        self.rest()
    }

    /// An oversized PUBLISH: keep the topic if it fits.
    fn big_topic(&mut self, length: u32, ledger: &Ledger) -> Result<(), Fault> {
        expect(length != 0, Fault::EmptyTopic)?;
        expect(length <= self.scan.left, Fault::Length)?;
        // Header byte, length (below 2^21 as the topic is below 2^16), topic, properties.
        let around = as_u32(1 + 3 + 2 + 1 + MARKER);
        let fits = length + around <= ledger.max_packet;
        let topic = if fits { length } else { as_u32(OVERSIZED_TOPIC.len()) };
        self.stage_header(0x30, 2 + topic + 1 + as_u32(MARKER))?;
        self.stage(&low_u16(topic).to_be_bytes())?;
        if fits {
            return self.scan.copy(Step::BigTopic, length);
        }
        self.stage(OVERSIZED_TOPIC.as_bytes())?;
        self.big_rest()
    }

    fn big_rest(&mut self) -> Result<(), Fault> {
        let mut digits = [b'0'; DIGITS];
        let mut size = self.oversized;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + low_byte(size % 10);
            size /= 10;
        }
        self.stage(&[low_byte(as_u32(MARKER)), 0x26])?;
        for text in [OVERSIZED_PROPERTY.as_bytes(), &digits] {
            self.stage(&low_u16(as_u32(text.len())).to_be_bytes())?;
            self.stage(text)?;
        }
        let left = self.scan.left;
        self.scan.skip(Step::Rest, left)
    }
}
