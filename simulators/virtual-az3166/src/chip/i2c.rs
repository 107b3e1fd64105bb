//! The I2C controller as master (RM0402 §27): conditions and bytes take their time on the bus, and the firmware is told
//! by flags and two interrupt lines.

use peripherals::Bus;

use crate::time::{CORE_HZ, Cycles};

const SB: u32 = 1;
const ADDR: u32 = 1 << 1;
const BTF: u32 = 1 << 2;
const RXNE: u32 = 1 << 6;
const TXE: u32 = 1 << 7;
const AF: u32 = 1 << 10;

const START: u32 = 1 << 8;
const STOP: u32 = 1 << 9;
const ACK: u32 = 1 << 10;

/// What is on the wires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    /// Nothing, with the bus free or held by this master.
    Quiet,
    Start,
    Address(u8),
    Sending(u8),
    Receiving,
}

/// The controller and its bus.
pub(crate) struct I2c {
    bus: Bus,
    control: u32,
    control2: u32,
    clock: u32,
    other: super::registers::Registers,
    /// SR1.
    flags: u32,
    /// Master, and the bus is taken.
    master: bool,
    transmitting: bool,
    wire: Wire,
    done_at: Option<Cycles>,
    /// A byte that waits: to be sent behind the one on the wire, or received behind the one in the data register.
    waiting: Option<u8>,
    data: u8,
    /// The bus knows the time up to here.
    bus_time: Cycles,
}

impl I2c {
    pub(crate) fn new(bus: Bus) -> Self {
        Self {
            bus,
            control: 0,
            control2: 0,
            clock: 0,
            other: super::registers::Registers::default(),
            flags: 0,
            master: false,
            transmitting: false,
            wire: Wire::Quiet,
            done_at: None,
            waiting: None,
            data: 0,
            bus_time: 0,
        }
    }

    /// After a reset of the chip: the wires are let go. The slaves see neither STOP nor reset.
    pub(crate) fn reset(&mut self) {
        let bus = std::mem::take(&mut self.bus);
        *self = Self { bus_time: self.bus_time, ..Self::new(bus) };
    }

    pub(crate) fn read(&mut self, offset: u32, now: Cycles) -> u32 {
        self.advance(now);
        match offset {
            0x00 => self.control,
            0x04 => self.control2,
            0x10 => self.take_byte(now),
            0x14 => self.flags,
            0x18 => {
                let status = (u32::from(self.master) * 3) | (u32::from(self.transmitting) << 2);
                if self.flags & ADDR != 0 {
                    self.flags &= !ADDR;
                    self.addressed(now);
                }
                status
            }
            0x1C => self.clock,
            _ => self.other.read(offset),
        }
    }

    pub(crate) fn write(&mut self, offset: u32, value: u32, now: Cycles) {
        self.advance(now);
        match offset {
            0x00 => self.command(value, now),
            0x04 => self.control2 = value,
            #[allow(clippy::cast_possible_truncation, reason = "a byte")]
            0x10 => self.put_byte(value as u8, now),
            0x14 => self.flags &= value | !AF,
            0x1C => self.clock = value,
            _ => self.other.write(offset, value),
        }
    }

    fn command(&mut self, value: u32, now: Cycles) {
        if value & 1 << 15 != 0 {
            // Software reset: registers and lines.
            if self.master {
                self.bus.stop();
            }
            self.reset();
            self.control = value;
            return;
        }
        self.control = value;
        if value & 1 != 0 && self.wire == Wire::Quiet {
            self.begin_conditions(now);
        }
    }

    /// A condition the firmware has asked for goes out when the wires are quiet.
    fn begin_conditions(&mut self, now: Cycles) {
        if self.control & STOP != 0 {
            self.control &= !STOP;
            self.bus.stop();
            self.master = false;
            self.transmitting = false;
            self.flags &= RXNE | AF;
        }
        if self.control & START != 0 {
            self.put_on_wire(Wire::Start, 1, now);
        }
    }

    fn put_on_wire(&mut self, what: Wire, bits: Cycles, now: Cycles) {
        self.wire = what;
        self.done_at = Some(now + bits * self.bit());
    }

    /// One bit on the bus. The port's clock is half the core's.
    fn bit(&self) -> Cycles {
        let periods = match (self.clock >> 15 & 1, self.clock >> 14 & 1) {
            (0, _) => 2,
            (_, 0) => 3,
            _ => 25,
        };
        (periods * Cycles::from(self.clock & 0xFFF) * 2).max(16)
    }

    fn put_byte(&mut self, byte: u8, now: Cycles) {
        if self.flags & SB != 0 {
            self.flags &= !SB;
            self.put_on_wire(Wire::Address(byte), 9, now);
        } else if self.transmitting && self.flags & TXE != 0 {
            self.flags &= !BTF;
            if self.wire == Wire::Quiet {
                self.put_on_wire(Wire::Sending(byte), 9, now);
            } else {
                self.flags &= !TXE;
                self.waiting = Some(byte);
            }
        }
    }

    fn take_byte(&mut self, now: Cycles) -> u32 {
        let byte = self.data;
        self.flags &= !RXNE;
        if let Some(next) = self.waiting.take() {
            // The clock was held for as long as nobody read.
            self.data = next;
            self.flags = (self.flags & !BTF) | RXNE;
            self.receive_next(now);
        }
        u32::from(byte)
    }

    /// The firmware has seen that the address was acknowledged.
    fn addressed(&mut self, now: Cycles) {
        if self.transmitting {
            self.flags |= TXE;
        } else {
            self.put_on_wire(Wire::Receiving, 9, now);
        }
    }

    /// After a received byte: another one, unless it was not acknowledged or a condition is to come.
    fn receive_next(&mut self, now: Cycles) {
        if self.control & (STOP | START) != 0 {
            self.begin_conditions(now);
        } else if self.control & ACK != 0 {
            self.put_on_wire(Wire::Receiving, 9, now);
        }
    }

    /// The lines for events and for errors.
    pub(crate) fn lines(&self) -> (bool, bool) {
        let events = SB | ADDR | BTF | if self.control2 & 1 << 10 != 0 { TXE | RXNE } else { 0 };
        (
            self.control2 & 1 << 9 != 0 && self.flags & events != 0,
            self.control2 & 1 << 8 != 0 && self.flags & AF != 0,
        )
    }

    pub(crate) fn next_event(&self) -> Option<Cycles> {
        self.done_at
    }

    /// Lets time pass.
    pub(crate) fn advance(&mut self, now: Cycles) {
        while let Some(at) = self.done_at.filter(|at| *at <= now) {
            self.advance_bus(at);
            self.done_at = None;
            let was = std::mem::replace(&mut self.wire, Wire::Quiet);
            self.finish(was, at);
        }
        self.advance_bus(now);
    }

    fn advance_bus(&mut self, now: Cycles) {
        // Whole microseconds, so that nothing is lost by rounding.
        let whole = now / (CORE_HZ / 1_000_000);
        let before = self.bus_time / (CORE_HZ / 1_000_000);
        if whole > before {
            self.bus.elapse((whole - before) * 1000);
        }
        self.bus_time = self.bus_time.max(now);
    }

    fn finish(&mut self, was: Wire, now: Cycles) {
        match was {
            Wire::Quiet => {}
            Wire::Start => {
                self.control &= !START;
                self.master = true;
                self.transmitting = false;
                self.waiting = None;
                self.flags = (self.flags & AF) | SB;
            }
            Wire::Address(byte) => {
                let read = byte & 1 != 0;
                if self.bus.start(byte >> 1, read) {
                    self.transmitting = !read;
                    self.flags |= ADDR;
                } else {
                    self.flags |= AF;
                }
                self.conditions_while_quiet(now);
            }
            Wire::Sending(byte) => {
                if !self.bus.put(byte) {
                    self.flags |= AF;
                    self.waiting = None;
                }
                self.flags |= TXE;
                if let Some(next) = self.waiting.take() {
                    self.put_on_wire(Wire::Sending(next), 9, now);
                } else {
                    self.flags |= BTF;
                    self.conditions_while_quiet(now);
                }
            }
            Wire::Receiving => {
                let byte = self.bus.get();
                if self.flags & RXNE != 0 {
                    self.waiting = Some(byte);
                    self.flags |= BTF;
                } else {
                    self.data = byte;
                    self.flags |= RXNE;
                    self.receive_next(now);
                }
            }
        }
    }

    fn conditions_while_quiet(&mut self, now: Cycles) {
        if self.control & (STOP | START) != 0 {
            self.begin_conditions(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peripherals::{I2cSlave, Shared, shared};

    /// Remembers what it gets; sends 1, 2, 3...; refuses the byte 0xEE.
    #[derive(Default)]
    struct Slave {
        seen: Vec<u8>,
        sent: u8,
        stops: usize,
    }

    impl I2cSlave for Slave {
        fn start(&mut self, _read: bool) -> bool {
            true
        }
        fn write(&mut self, byte: u8) -> bool {
            self.seen.push(byte);
            byte != 0xEE
        }
        fn read(&mut self) -> u8 {
            self.sent += 1;
            self.sent
        }
        fn stop(&mut self) {
            self.stops += 1;
        }
    }

    fn controller() -> (I2c, Shared<Slave>) {
        let slave = shared(Slave::default());
        let mut bus = Bus::new();
        bus.attach(0x20, slave.clone());
        let mut i2c = I2c::new(bus);
        // 400 kHz from 48 MHz, duty 2: a bit takes 240 cycles of the core.
        i2c.write(0x1C, 1 << 15 | 0x28, 0);
        i2c.write(0x00, 1, 0);
        (i2c, slave)
    }

    fn addressed(i2c: &mut I2c, address: u32, now: Cycles) -> Cycles {
        i2c.write(0x00, 1 | START | ACK, now);
        assert_eq!(i2c.read(0x14, now + 239) & SB, 0);
        assert_eq!(i2c.read(0x14, now + 240) & SB, SB);
        assert_eq!(i2c.read(0x00, now + 240) & START, 0);
        i2c.write(0x10, address, now + 240);
        now + 240 + 9 * 240
    }

    #[test]
    fn writes_bytes_and_stops() {
        let (mut i2c, slave) = controller();
        let now = addressed(&mut i2c, 0x40, 0);
        assert_eq!(i2c.read(0x14, now - 1), 0);
        assert_eq!(i2c.read(0x14, now), ADDR);
        assert_eq!(i2c.read(0x18, now), 0b111);
        assert_eq!(i2c.read(0x14, now), TXE);
        i2c.write(0x10, 7, now);
        i2c.write(0x10, 8, now);
        assert_eq!(i2c.read(0x14, now), 0, "one on the wire, one waits");
        assert_eq!(i2c.read(0x14, now + 2160), TXE);
        assert_eq!(i2c.read(0x14, now + 4320), TXE | BTF);
        i2c.write(0x00, 1 | STOP, now + 4320);
        let slave = slave.lock().unwrap();
        assert_eq!((&slave.seen[..], slave.stops, i2c.read(0x18, now + 4321)), (&[7, 8][..], 1, 0));
    }

    #[test]
    fn reads_bytes_and_holds_the_clock_for_a_slow_reader() {
        let (mut i2c, slave) = controller();
        let now = addressed(&mut i2c, 0x41, 0);
        i2c.read(0x18, now);
        assert_eq!(i2c.read(0x14, now + 100_000), RXNE | BTF, "two bytes and no more");
        assert_eq!(slave.lock().unwrap().sent, 2);
        assert_eq!(i2c.read(0x10, now + 100_000), 1);
        i2c.write(0x00, 1 | STOP, now + 100_001);
        assert_eq!(i2c.read(0x10, now + 100_002), 2);
        assert_eq!(i2c.read(0x10, now + 102_200), 3);
        assert_eq!(i2c.next_event(), None);
        assert_eq!(slave.lock().unwrap().stops, 1);
    }

    #[test]
    fn missing_acknowledge_sets_the_flag_that_software_clears() {
        let (mut i2c, _) = controller();
        let now = addressed(&mut i2c, 0x42, 0);
        assert_eq!(i2c.read(0x14, now), AF);
        i2c.write(0x14, !AF, now);
        assert_eq!(i2c.read(0x14, now), 0);
        i2c.write(0x04, 1 << 8, now);
        let now = addressed(&mut i2c, 0x40, now);
        i2c.read(0x18, now);
        i2c.write(0x10, 0xEE, now);
        assert_eq!(i2c.read(0x14, now + 2160) & AF, AF);
        assert_eq!(i2c.lines(), (false, true));
    }
}
