//! CONNECT: that of the engine translated, or the configured one in its place.

use super::super::Connect;
use super::super::ledger::{Ledger, Phase};
use super::{CONNECT, CONNECT_HEAD, Emit, Fault, Outbound, Step, as_u16, as_u32, expect, low_byte, low_u16};

const FLAG_CLEAN: u8 = 0x02;
const FLAG_WILL: u8 = 0x04;
const FLAG_PASSWORD: u8 = 0x40;
const FLAG_USER_NAME: u8 = 0x80;

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

impl<const N: usize> Outbound<'_, N> {
    /// A field of CONNECT is complete.
    pub(super) fn connect_step(&mut self, value: u32, ledger: &mut Ledger) -> Result<(), Fault> {
        match self.scan.step {
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
            // The caller passes no other step.
            _ => Err(Fault::Order),
        }
    }

    pub(super) fn connect_head(&self, flags: u8) -> [u8; CONNECT_HEAD] {
        let [high, low] = self.keep_alive.to_be_bytes();
        let flags = (flags & !FLAG_CLEAN) | if self.expiry == 0 { FLAG_CLEAN } else { 0 };
        [0, 4, b'M', b'Q', b'T', b'T', 4, flags, high, low]
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
    pub(super) fn pump(&mut self) {
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
}
