//! A serial port (RM0402 §28): one character takes the time its baud rate gives it, and one that is not read in time is
//! lost, as on the chip.

use std::collections::VecDeque;

use crate::time::Cycles;

const ORE: u32 = 1 << 3;
const IDLE: u32 = 1 << 4;
const RXNE: u32 = 1 << 5;
const TC: u32 = 1 << 6;
const TXE: u32 = 1 << 7;

/// One port.
#[derive(Default)]
pub(crate) struct Usart {
    control: [u32; 3],
    rate: u32,
    /// Flags but `TXE`, which follows from `holding`.
    status: u32,
    received: u8,
    /// On the line towards the chip; the first one has arrived at the given time.
    incoming: VecDeque<u8>,
    arrives_at: Option<Cycles>,
    /// The line has been quiet for a character.
    idle_at: Option<Cycles>,
    /// The character being sent and when it is out; the one that waits.
    sending: Option<(u8, Cycles)>,
    holding: Option<u8>,
    sent: Vec<u8>,
    /// Characters that were lost because the firmware was late.
    overruns: u64,
}

impl Usart {
    /// After a reset. What is on its way in is lost; what was sent is kept for the reader.
    pub(crate) fn reset(&mut self) {
        let (sent, overruns) = (std::mem::take(&mut self.sent), self.overruns);
        *self = Self { sent, overruns, status: TC, ..Self::default() };
    }

    pub(crate) fn read(&mut self, offset: u32, now: Cycles) -> u32 {
        self.advance(now);
        match offset {
            0x00 => self.flags(),
            0x04 => {
                self.status &= !(ORE | IDLE | RXNE);
                u32::from(self.received)
            }
            0x08 => self.rate,
            0x0C..0x18 => self.control[(offset as usize - 0xC) / 4],
            _ => 0,
        }
    }

    pub(crate) fn write(&mut self, offset: u32, value: u32, now: Cycles) {
        self.advance(now);
        match offset {
            0x00 => self.status &= value | !(TC | RXNE),
            #[allow(clippy::cast_possible_truncation, reason = "a character of eight bits")]
            0x04 => self.send(value as u8, now),
            0x08 => self.rate = value & 0xFFFF,
            0x0C..0x18 => {
                let was_receiving = self.is_receiving();
                self.control[(offset as usize - 0xC) / 4] = value;
                if !was_receiving && self.is_receiving() && !self.incoming.is_empty() {
                    self.arrives_at = Some(now + self.character());
                }
            }
            _ => {}
        }
    }

    fn flags(&self) -> u32 {
        self.status | if self.holding.is_none() { TXE } else { 0 }
    }

    fn send(&mut self, byte: u8, now: Cycles) {
        if self.control[0] & (1 << 13 | 1 << 3) != 1 << 13 | 1 << 3 {
            return;
        }
        self.status &= !TC;
        if self.sending.is_some() {
            self.holding = Some(byte);
        } else {
            self.sending = Some((byte, now + self.character()));
        }
    }

    /// Enabled, and the receiver, too.
    fn is_receiving(&self) -> bool {
        self.control[0] & (1 << 13 | 1 << 2) == 1 << 13 | 1 << 2
    }

    /// Start bit, eight bits, stop bit. The port's clock is the core's.
    fn character(&self) -> Cycles {
        let divider =
            if self.control[0] & 1 << 15 == 0 { self.rate } else { (self.rate >> 4) * 8 + (self.rate & 7) };
        10 * Cycles::from(divider.max(8))
    }

    /// The interrupt line.
    pub(crate) fn line(&self) -> bool {
        let flags = self.flags();
        let enabled = self.control[0] & (TXE | TC | RXNE | IDLE);
        flags & enabled != 0 || flags & ORE != 0 && enabled & RXNE != 0
    }

    pub(crate) fn next_event(&self) -> Option<Cycles> {
        let sent = self.sending.map(|(_, at)| at);
        [self.arrives_at, self.idle_at, sent].into_iter().flatten().min()
    }

    /// Lets time pass.
    pub(crate) fn advance(&mut self, now: Cycles) {
        while let Some((byte, at)) = self.sending.filter(|(_, at)| *at <= now) {
            self.sent.push(byte);
            self.sending = self.holding.take().map(|next| (next, at + self.character()));
            if self.sending.is_none() {
                self.status |= TC;
            }
        }
        while let Some(at) = self.arrives_at.filter(|at| *at <= now) {
            let Some(byte) = self.incoming.pop_front() else {
                self.arrives_at = None;
                break;
            };
            if self.status & RXNE == 0 {
                self.received = byte;
                self.status |= RXNE;
            } else {
                self.status |= ORE;
                self.overruns += 1;
            }
            let next = at + self.character();
            self.arrives_at = (!self.incoming.is_empty()).then_some(next);
            self.idle_at = self.arrives_at.is_none().then_some(next);
        }
        if self.idle_at.is_some_and(|at| at <= now) {
            self.idle_at = None;
            self.status |= IDLE;
        }
    }

    /// Bytes from the other end of the line. What comes while the port is off is lost.
    pub(crate) fn receive(&mut self, bytes: &[u8], now: Cycles) {
        if !self.is_receiving() || bytes.is_empty() {
            return;
        }
        self.advance(now);
        self.incoming.extend(bytes);
        if self.arrives_at.is_none() {
            self.arrives_at = Some(now + self.character());
            self.idle_at = None;
        }
    }

    /// Bytes still on their way to the chip.
    pub(crate) fn waiting(&self) -> usize {
        self.incoming.len()
    }

    /// Takes what was sent.
    pub(crate) fn take_sent(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.sent)
    }

    /// How many characters were lost because nobody read them in time.
    pub(crate) fn overruns(&self) -> u64 {
        self.overruns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 115200 baud: a character takes 8330 cycles.
    fn port() -> Usart {
        let mut port = Usart::default();
        port.reset();
        port.write(0x08, 833, 0);
        port.write(0x0C, 1 << 13 | 1 << 3 | 1 << 2, 0);
        port
    }

    #[test]
    fn sends_one_character_after_the_other() {
        let mut port = port();
        port.write(0x04, u32::from(b'a'), 0);
        assert_eq!(port.read(0, 0), TXE, "the shift register took it at once");
        port.write(0x04, u32::from(b'b'), 0);
        assert_eq!(port.read(0, 8329), 0);
        assert_eq!(port.read(0, 8330), TXE);
        assert_eq!(port.next_event(), Some(16_660));
        assert_eq!(port.read(0, 16_660), TXE | TC);
        assert_eq!(port.take_sent(), b"ab");
    }

    #[test]
    fn receives_and_reports_the_silence_after() {
        let mut port = port();
        port.write(0x0C, 1 << 13 | 1 << 2 | RXNE | IDLE, 0);
        port.receive(b"xy", 100);
        assert!(!port.line());
        port.advance(8430);
        assert!(port.line());
        assert_eq!(port.read(0x04, 8431), u32::from(b'x'));
        assert!(!port.line());
        assert_eq!(port.read(0x04, 16_760), u32::from(b'y'));
        assert_eq!(port.read(0x00, 25_089) & IDLE, 0);
        assert_eq!(port.read(0x00, 25_090) & IDLE, IDLE);
        port.read(0x04, 25_090);
        assert_eq!((port.line(), port.next_event()), (false, None));
    }

    #[test]
    fn what_is_not_read_in_time_is_lost() {
        let mut port = port();
        port.receive(b"abc", 0);
        assert_eq!(port.read(0x00, 30_000) & (ORE | RXNE), ORE | RXNE);
        assert_eq!((port.read(0x04, 30_000), port.overruns()), (u32::from(b'a'), 2));
        let mut off = Usart::default();
        off.receive(b"abc", 0);
        assert_eq!((off.next_event(), off.waiting()), (None, 0));
    }
}
