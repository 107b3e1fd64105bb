//! MQTT 5 from the engine → MQTT 3.1.1 to the wire.

mod connect;
mod requests;

use super::ledger::{Ledger, Phase};
use super::scan::{MAX_VARINT, Reading, Scanner, varint};
use super::{Connect, Direction, Fault, Malformed};

/// Fixed header: one byte and up to four of length.
const HEADER: usize = 5;
/// Variable header of CONNECT (3.1.1 §3.1.2).
const CONNECT_HEAD: usize = 10;
/// Room the stage must have before any single byte of input is looked at: the most one byte brings out.
const ROOM: usize = HEADER + CONNECT_HEAD + 2;

const CONNECT: u8 = 1;
const PUBACK: u8 = 4;
const PUBREC: u8 = 5;
const PUBREL: u8 = 6;
const PUBCOMP: u8 = 7;
const SUBSCRIBE: u8 = 8;
const DISCONNECT: u8 = 14;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Type,
    Length,
    Name,
    Level,
    Flags,
    KeepAlive,
    ConnectProperties,
    PropertyId,
    PropertyNumber,
    PropertyTextLength,
    PropertyText,
    ClientIdLength,
    ClientId,
    WillProperties,
    WillPropertiesText,
    Replaced,
    TopicLength,
    Topic,
    PublishId,
    PublishProperties,
    PublishPropertiesText,
    AckId,
    AckReason,
    RequestId,
    RequestProperties,
    RequestPropertiesText,
    FilterLength,
    Filter,
    FilterOptions,
    DisconnectReason,
    /// The rest of the packet goes through, or is left out; then the packet is done.
    Rest,
}

/// Progress in sending a [`Connect`].
#[derive(Clone, Copy, Debug)]
struct Emit {
    field: u8,
    position: usize,
}

#[derive(Debug)]
pub(super) struct Outbound<'c, const N: usize> {
    scan: Scanner<Step>,
    connect: Option<&'c Connect<'c>>,
    emit: Option<Emit>,
    stage: [u8; N],
    start: usize,
    end: usize,
    /// A packet's head, collected at `stage[end + HEADER..]` until its length is known.
    head: usize,
    collecting: bool,
    disconnected: bool,
    // What the fields read so far said.
    flags: u8,
    keep_alive: u16,
    expiry: u32,
    /// `left` at the end of CONNECT's properties.
    properties_end: u32,
    property: u8,
    texts: u8,
    packet_id: u16,
    filters: u16,
}

impl<'c, const N: usize> Outbound<'c, N> {
    pub(super) fn new(connect: Option<&'c Connect<'c>>) -> Self {
        Self {
            scan: Scanner::new(Step::Type),
            connect,
            emit: None,
            stage: [0; N],
            start: 0,
            end: 0,
            head: 0,
            collecting: false,
            disconnected: false,
            flags: 0,
            keep_alive: 0,
            expiry: 0,
            properties_end: 0,
            property: 0,
            texts: 0,
            packet_id: 0,
            filters: 0,
        }
    }

    pub(super) fn pending(&self) -> &[u8] {
        self.stage.get(self.start..self.end).unwrap_or(&[])
    }

    pub(super) fn consume(&mut self, n: usize) {
        self.start = (self.start.saturating_add(n)).min(self.end);
        self.compact();
        self.pump();
    }

    /// An empty stage begins at the front again, unless a head is being collected behind it.
    fn compact(&mut self) {
        if self.start == self.end && !self.collecting {
            (self.start, self.end) = (0, 0);
        }
    }

    fn free(&self) -> usize {
        N.saturating_sub(self.end)
    }

    pub(super) fn accept(&mut self, input: &[u8], ledger: &mut Ledger) -> Result<usize, Malformed> {
        self.run(input, ledger).map_err(|fault| self.scan.malformed(Direction::Outbound, fault))
    }

    fn run(&mut self, input: &[u8], ledger: &mut Ledger) -> Result<usize, Fault> {
        let mut taken = 0;
        while let Some(rest) = input.get(taken..).filter(|rest| !rest.is_empty()) {
            self.pump();
            if self.emit.is_some() {
                break;
            }
            let n = match self.scan.reading {
                Reading::Number(_) | Reading::Varint(_) => {
                    if !self.collecting && self.free() < ROOM {
                        break;
                    }
                    let (Some(&byte), position) = (rest.first(), self.scan.step) else { break };
                    if position == Step::Type {
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
                    if matches!(self.scan.step, Step::Topic | Step::ClientId) && !self.collecting {
                        // Wait until the whole head has room, then collect it.
                        if !self.begin_head(run as usize)? {
                            break;
                        }
                        continue;
                    }
                    let room = if self.collecting { run as usize } else { self.free() };
                    let n = rest.len().min(run as usize).min(room);
                    if n == 0 {
                        break;
                    }
                    self.put(rest.get(..n).unwrap_or(&[]))?;
                    self.scan.advance(as_u32(n))?;
                    n
                }
            };
            taken += n;
            while self.scan.run_complete() {
                self.field(0, ledger)?;
            }
        }
        Ok(taken)
    }

    /// Copies to the stage: behind the collected head, or ready to be sent.
    fn put(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let at = if self.collecting { self.end + HEADER + self.head } else { self.end };
        self.stage.get_mut(at..at + bytes.len()).ok_or(Fault::TopicTooLong)?.copy_from_slice(bytes);
        if self.collecting {
            self.head += bytes.len();
        } else {
            self.end += bytes.len();
        }
        Ok(())
    }

    /// Starts to collect the head of CONNECT or PUBLISH around a string of `text` bytes; `false` if the
    /// stage has to be drained first.
    fn begin_head(&mut self, text: usize) -> Result<bool, Fault> {
        let fixed = if self.scan.step == Step::ClientId { CONNECT_HEAD + 2 } else { 2 + 2 };
        let need = HEADER + fixed + text;
        if need > N {
            return Err(Fault::TopicTooLong);
        }
        self.compact();
        if need > self.free() {
            return Ok(false);
        }
        (self.collecting, self.head) = (true, 0);
        if self.scan.step == Step::ClientId {
            let head = self.connect_head(self.flags);
            self.put(&head)?;
        }
        self.put(&as_u16(text).to_be_bytes())?;
        Ok(true)
    }

    /// The head is complete and `tail` bytes follow it: puts the fixed header before it.
    fn end_head(&mut self, tail: u32) -> Result<(), Fault> {
        let head = as_u32(self.head);
        let (fixed, used) = fixed_header(self.scan.header, head + tail)?;
        let from = self.end + HEADER;
        self.stage.copy_within(from..from + self.head, self.end + used);
        self.collecting = false;
        let at = self.end;
        self.end += used + self.head;
        self.stage
            .get_mut(at..at + used)
            .ok_or(Fault::TopicTooLong)?
            .copy_from_slice(fixed.get(..used).unwrap_or(&[]));
        Ok(())
    }

    /// Puts a packet that is complete with `body`.
    fn put_packet(&mut self, header: u8, length: u32, body: &[u8]) -> Result<(), Fault> {
        let (fixed, used) = fixed_header(header, length)?;
        self.put(fixed.get(..used).unwrap_or(&[]))?;
        self.put(body)
    }

    /// A field is complete.
    fn field(&mut self, value: u32, ledger: &mut Ledger) -> Result<(), Fault> {
        match self.scan.step {
            Step::Type => self.scan.varint(Step::Length),
            Step::Length => {
                self.scan.left = value;
                self.scan.in_body = true;
                self.body(ledger)
            }
            Step::Name
            | Step::Level
            | Step::Flags
            | Step::KeepAlive
            | Step::ConnectProperties
            | Step::PropertyId
            | Step::PropertyNumber
            | Step::PropertyTextLength
            | Step::PropertyText
            | Step::ClientIdLength
            | Step::ClientId
            | Step::WillProperties
            | Step::WillPropertiesText
            | Step::Replaced => self.connect_step(value, ledger),
            Step::TopicLength => {
                expect(value != 0, Fault::NotTranslatable)?;
                self.scan.copy(Step::Topic, value)
            }
            Step::Topic if qos(self.scan.header) > 0 => self.scan.number(Step::PublishId, 2),
            Step::Topic => self.scan.varint(Step::PublishProperties),
            Step::PublishId => {
                expect(value != 0, Fault::PacketId)?;
                self.put(&low_u16(value).to_be_bytes())?;
                self.scan.varint(Step::PublishProperties)
            }
            Step::PublishProperties => self.scan.skip(Step::PublishPropertiesText, value),
            Step::PublishPropertiesText => {
                let payload = self.scan.left;
                self.end_head(payload)?;
                self.scan.copy(Step::Rest, payload)
            }
            Step::AckId | Step::AckReason => self.ack_field(value, ledger),
            Step::RequestId
            | Step::RequestProperties
            | Step::RequestPropertiesText
            | Step::FilterLength
            | Step::Filter
            | Step::FilterOptions => self.request_field(value, ledger),
            Step::DisconnectReason => self.disconnect(low_byte(value)),
            Step::Rest => {
                expect(self.scan.left == 0, Fault::Length)?;
                self.scan.restart(Step::Type);
                Ok(())
            }
        }
    }

    /// The fixed header is complete: what kind of packet is it?
    fn body(&mut self, ledger: &mut Ledger) -> Result<(), Fault> {
        let (kind, flags) = (self.scan.header >> 4, self.scan.header & 0x0F);
        let first = kind == CONNECT;
        expect(first == (ledger.phase == Phase::Start) && !self.disconnected, Fault::Order)?;
        match (kind, flags) {
            (CONNECT, 0) => self.scan.number(Step::Name, 4),
            (3, _) => {
                expect(qos_valid(self.scan.header), Fault::QoS)?;
                self.scan.number(Step::TopicLength, 2)
            }
            (PUBACK | PUBREC | PUBCOMP, 0) | (PUBREL, 2) => self.scan.number(Step::AckId, 2),
            (SUBSCRIBE | 10, 2) => {
                self.filters = 0;
                self.scan.number(Step::RequestId, 2)
            }
            (12, 0) => {
                expect(self.scan.left == 0, Fault::Length)?;
                self.put_packet(0xC0, 0, &[])?;
                self.finish(false)
            }
            (DISCONNECT, 0) if self.scan.left == 0 => self.disconnect(0),
            (DISCONNECT, 0) => self.scan.number(Step::DisconnectReason, 1),
            (15, 0) => Err(Fault::NotTranslatable),
            (CONNECT | PUBACK..=SUBSCRIBE | 10 | 12 | DISCONNECT | 15, _) => Err(Fault::Flags),
            _ => Err(Fault::PacketType),
        }
    }

    /// The rest of the packet goes through (`copy`) or is left out.
    fn finish(&mut self, copy: bool) -> Result<(), Fault> {
        let left = self.scan.left;
        if copy { self.scan.copy(Step::Rest, left) } else { self.scan.skip(Step::Rest, left) }
    }
}

fn fixed_header(first: u8, length: u32) -> Result<([u8; HEADER], usize), Fault> {
    expect(length <= MAX_VARINT, Fault::Length)?;
    let ([a, b, c, d], used) = varint(length);
    Ok(([first, a, b, c, d], 1 + used))
}

/// QoS of a PUBLISH's first byte.
pub(super) fn qos(header: u8) -> u8 {
    (header >> 1) & 3
}

/// QoS 3 does not exist, and DUP says nothing about QoS 0 (3.1.1 §3.3.1).
pub(super) fn qos_valid(header: u8) -> bool {
    qos(header) != 3 && (header & 8 == 0 || qos(header) != 0)
}

pub(super) fn expect(condition: bool, fault: Fault) -> Result<(), Fault> {
    if condition { Ok(()) } else { Err(fault) }
}

pub(super) fn low_byte(value: u32) -> u8 {
    value.to_le_bytes()[0]
}

pub(super) fn low_u16(value: u32) -> u16 {
    let [a, b, ..] = value.to_le_bytes();
    u16::from_le_bytes([a, b])
}

fn as_u16(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}

pub(super) fn as_u32(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
