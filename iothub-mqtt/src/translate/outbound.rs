//! MQTT 5 from the engine → MQTT 3.1.1 to the wire.

use super::ledger::{Ledger, Phase, Request};
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

const FLAG_CLEAN: u8 = 0x02;
const FLAG_WILL: u8 = 0x04;
const FLAG_PASSWORD: u8 = 0x40;
const FLAG_USER_NAME: u8 = 0x80;

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

    fn connect_head(&self, flags: u8) -> [u8; CONNECT_HEAD] {
        let [high, low] = self.keep_alive.to_be_bytes();
        let flags = (flags & !FLAG_CLEAN) | if self.expiry == 0 { FLAG_CLEAN } else { 0 };
        [0, 4, b'M', b'Q', b'T', b'T', 4, flags, high, low]
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
            Step::Name => expect(value == u32::from_be_bytes([0, 4, b'M', b'Q']), Fault::Protocol)
                .and_then(|()| self.scan.number(Step::Level, 3)),
            Step::Level => expect(value == u32::from_be_bytes([0, b'T', b'T', 5]), Fault::Protocol)
                .and_then(|()| self.scan.number(Step::Flags, 1)),
            Step::Flags => {
                let flags = low_byte(value);
                let will = flags & FLAG_WILL != 0;
                expect(flags & 1 == 0 && (will || flags & 0x38 == 0), Fault::Flags)?;
                expect(flags & 0x18 != 0x18, Fault::QoS)?;
                // MQTT 5 allows a password alone, 3.1.1 does not (§3.1.2.9).
                let password_alone = flags & (FLAG_PASSWORD | FLAG_USER_NAME) == FLAG_PASSWORD;
                expect(!password_alone || self.connect.is_some(), Fault::NotTranslatable)?;
                self.flags = flags;
                ledger.resuming = flags & FLAG_CLEAN == 0;
                self.scan.number(Step::KeepAlive, 2)
            }
            Step::KeepAlive => {
                self.keep_alive = low_u16(value);
                self.scan.varint(Step::ConnectProperties)
            }
            Step::ConnectProperties => {
                self.properties_end = self.scan.left.checked_sub(value).ok_or(Fault::Length)?;
                self.next_property()
            }
            Step::PropertyId | Step::PropertyNumber | Step::PropertyTextLength | Step::PropertyText => {
                self.property_field(value, ledger)
            }
            Step::ClientIdLength if self.connect.is_some() => {
                let left = self.scan.left;
                self.scan.skip(Step::Replaced, left)
            }
            Step::ClientIdLength => self.scan.copy(Step::ClientId, value),
            Step::ClientId if !self.collecting => {
                // An empty client id: nothing was copied, so nothing began the head.
                self.begin_or_fail()?;
                self.client_id_done(ledger)
            }
            Step::ClientId => self.client_id_done(ledger),
            Step::WillProperties => self.scan.skip(Step::WillPropertiesText, value),
            Step::WillPropertiesText => self.connect_done(ledger),
            Step::Replaced => self.replace_connect(ledger),
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

    fn next_property(&mut self) -> Result<(), Fault> {
        if self.scan.left == self.properties_end {
            return self.scan.number(Step::ClientIdLength, 2);
        }
        expect(self.scan.left > self.properties_end, Fault::Length)?;
        self.scan.number(Step::PropertyId, 1)
    }

    /// CONNECT's properties (MQTT 5 §3.1.2.11).
    fn property_field(&mut self, value: u32, ledger: &mut Ledger) -> Result<(), Fault> {
        match self.scan.step {
            Step::PropertyId => {
                self.property = low_byte(value);
                match self.property {
                    0x11 | 0x27 => self.scan.number(Step::PropertyNumber, 4),
                    0x21 | 0x22 => self.scan.number(Step::PropertyNumber, 2),
                    0x17 | 0x19 => self.scan.number(Step::PropertyNumber, 1),
                    0x15 | 0x16 => Err(Fault::NotTranslatable),
                    0x26 => {
                        self.texts = 2;
                        self.scan.number(Step::PropertyTextLength, 2)
                    }
                    _ => Err(Fault::Property),
                }
            }
            Step::PropertyNumber => {
                match self.property {
                    0x11 => self.expiry = value,
                    0x27 => ledger.max_packet = value,
                    _ => {}
                }
                self.next_property()
            }
            Step::PropertyTextLength => self.scan.skip(Step::PropertyText, value),
            _ => {
                self.texts = self.texts.saturating_sub(1);
                if self.texts > 0 {
                    self.scan.number(Step::PropertyTextLength, 2)
                } else {
                    self.next_property()
                }
            }
        }
    }

    /// The head around an empty string needs room like any other; `accept` made sure of [`ROOM`].
    fn begin_or_fail(&mut self) -> Result<(), Fault> {
        if self.begin_head(0)? { Ok(()) } else { Err(Fault::TopicTooLong) }
    }

    fn client_id_done(&mut self, ledger: &mut Ledger) -> Result<(), Fault> {
        if self.flags & FLAG_WILL != 0 {
            self.scan.varint(Step::WillProperties)
        } else {
            self.connect_done(ledger)
        }
    }

    /// Will topic and payload, user name and password are the same in both versions.
    fn connect_done(&mut self, ledger: &mut Ledger) -> Result<(), Fault> {
        ledger.phase = Phase::Connecting;
        let tail = self.scan.left;
        self.end_head(tail)?;
        self.finish(true)
    }

    /// The engine's CONNECT was read to its end: sends the configured one.
    fn replace_connect(&mut self, ledger: &mut Ledger) -> Result<(), Fault> {
        let connect = self.connect.ok_or(Fault::Order)?;
        ledger.phase = Phase::Connecting;
        let mut flags = FLAG_USER_NAME;
        let mut length = as_u32(CONNECT_HEAD);
        for field in (0..FIELDS).filter_map(|field| connect_field(connect, field)) {
            let bytes = u16::try_from(field.len()).map_err(|_| Fault::FieldTooLong)?;
            length += 2 + u32::from(bytes);
        }
        if let Some(will) = connect.will {
            expect(will.qos < 3, Fault::QoS)?;
            flags |= FLAG_WILL | (will.qos << 3) | (u8::from(will.retain) << 5);
        }
        if connect.password.is_some() {
            flags |= FLAG_PASSWORD;
        }
        let head = self.connect_head(flags);
        self.put_packet(CONNECT << 4, length, &head)?;
        self.emit = Some(Emit { field: 0, position: 0 });
        self.pump();
        self.finish(false)
    }

    /// Stages as much of the configured CONNECT as there is room for.
    fn pump(&mut self) {
        while let (Some(mut emit), Some(connect)) = (self.emit, self.connect) {
            let Some(field) = connect_field(connect, emit.field) else {
                emit = Emit { field: emit.field.saturating_add(1), position: 0 };
                self.emit = (emit.field < FIELDS).then_some(emit);
                continue;
            };
            if emit.position == 0 {
                if self.free() < 2 || self.put(&as_u16(field.len()).to_be_bytes()).is_err() {
                    return;
                }
                emit.position = 2;
            }
            let rest = field.get(emit.position - 2..).unwrap_or(&[]);
            let n = rest.len().min(self.free());
            if self.put(rest.get(..n).unwrap_or(&[])).is_err() {
                return;
            }
            emit.position += n;
            if n == rest.len() {
                emit = Emit { field: emit.field.saturating_add(1), position: 0 };
                self.emit = (emit.field < FIELDS).then_some(emit);
            } else {
                self.emit = Some(emit);
                return;
            }
        }
    }

    /// PUBACK, PUBREC, PUBREL, PUBCOMP: 3.1.1 has the packet id only.
    fn ack_field(&mut self, value: u32, ledger: &mut Ledger) -> Result<(), Fault> {
        if self.scan.step == Step::AckId {
            expect(value != 0, Fault::PacketId)?;
            self.packet_id = low_u16(value);
            if self.scan.left > 0 {
                return self.scan.number(Step::AckReason, 1);
            }
            return self.ack(0, ledger);
        }
        self.ack(low_byte(value), ledger)
    }

    fn ack(&mut self, reason: u8, ledger: &mut Ledger) -> Result<(), Fault> {
        let kind = self.scan.header >> 4;
        // An acknowledgement the wire does not wait for belongs to an earlier connection: the server is
        // going to send that message again, and the id may by then stand for another one.
        let wanted = kind == PUBREL || ledger.settle(kind, self.packet_id);
        // In 3.1.1 PUBACK and PUBREC always accept, so a refusal is to stay silent.
        let accepts = reason < 0x80 || kind == PUBREL || kind == PUBCOMP;
        if wanted && accepts {
            self.put_packet(self.scan.header, 2, &self.packet_id.to_be_bytes())?;
        }
        self.finish(false)
    }

    /// SUBSCRIBE and UNSUBSCRIBE.
    fn request_field(&mut self, value: u32, ledger: &mut Ledger) -> Result<(), Fault> {
        let subscribe = self.scan.header >> 4 == SUBSCRIBE;
        match self.scan.step {
            Step::RequestId => {
                expect(value != 0, Fault::PacketId)?;
                self.packet_id = low_u16(value);
                self.scan.varint(Step::RequestProperties)
            }
            Step::RequestProperties => self.scan.skip(Step::RequestPropertiesText, value),
            Step::RequestPropertiesText => {
                let filters = self.scan.left;
                self.put_packet(self.scan.header, filters + 2, &self.packet_id.to_be_bytes())?;
                self.scan.number(Step::FilterLength, 2)
            }
            Step::FilterLength => {
                expect(value != 0, Fault::EmptyTopic)?;
                self.filters = self.filters.saturating_add(1);
                self.put(&low_u16(value).to_be_bytes())?;
                self.scan.copy(Step::Filter, value)
            }
            Step::Filter if subscribe => self.scan.number(Step::FilterOptions, 1),
            Step::Filter => self.next_filter(ledger),
            _ => {
                let options = low_byte(value);
                expect(options & 3 != 3, Fault::QoS)?;
                expect(options & 4 == 0, Fault::NoLocal)?;
                // Retain options are for bridges: 3.1.1 servers always send retained messages, flagged.
                self.put(&[options & 3])?;
                self.next_filter(ledger)
            }
        }
    }

    fn next_filter(&mut self, ledger: &mut Ledger) -> Result<(), Fault> {
        if self.scan.left > 0 {
            return self.scan.number(Step::FilterLength, 2);
        }
        ledger.open(Request {
            unsubscribe: self.scan.header >> 4 != SUBSCRIBE,
            packet_id: self.packet_id,
            filters: self.filters,
        })?;
        self.finish(false)
    }

    fn disconnect(&mut self, reason: u8) -> Result<(), Fault> {
        const WITH_WILL: u8 = 0x04;
        self.disconnected = true;
        if reason != WITH_WILL {
            self.put_packet(DISCONNECT << 4, 0, &[])?;
        }
        self.finish(false)
    }
}

/// Fields of CONNECT's payload in their order (3.1.1 §3.1.3).
const FIELDS: u8 = 5;

fn connect_field<'c>(connect: &Connect<'c>, field: u8) -> Option<&'c [u8]> {
    match field {
        0 => Some(connect.client_id.as_bytes()),
        1 => connect.will.map(|will| will.topic.as_bytes()),
        2 => connect.will.map(|will| will.payload),
        3 => Some(connect.user_name.as_bytes()),
        _ => connect.password,
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
