//! The packet scanner both directions share: numbers, variable-length integers, runs to copy or skip,
//! each checked against the packet's remaining length.

use super::{Direction, Fault, Malformed};

/// What the scanner is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// A big-endian number: bytes still to come.
    Number(u8),
    /// A variable-length integer: bits so far.
    Varint(u8),
    /// A run that goes through: bytes still to come.
    Copy(u32),
    /// A run that is left out: bytes still to come.
    Skip(u32),
}

/// Position in a packet; `S` names the field being read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scanner<S> {
    pub(super) step: S,
    pub(super) reading: Reading,
    value: u32,
    /// Bytes of the packet after the fixed header that were not read yet.
    pub(super) left: u32,
    /// First byte of the packet.
    pub(super) header: u8,
    /// Bytes read of the packet, fixed header included.
    pub(super) offset: u32,
    /// The fixed header was read: `left` counts.
    pub(super) in_body: bool,
}

impl<S: Copy> Scanner<S> {
    pub(super) const fn new(first: S) -> Self {
        Self {
            step: first,
            reading: Reading::Number(1),
            value: 0,
            left: 0,
            header: 0,
            offset: 0,
            in_body: false,
        }
    }

    /// Starts over at the next packet.
    pub(super) fn restart(&mut self, first: S) {
        *self = Self { header: self.header, ..Self::new(first) };
    }

    /// Next: a number of `bytes` bytes for `step`.
    pub(super) fn number(&mut self, step: S, bytes: u8) -> Result<(), Fault> {
        if self.in_body && u32::from(bytes) > self.left {
            return Err(Fault::Length);
        }
        (self.step, self.reading, self.value) = (step, Reading::Number(bytes), 0);
        Ok(())
    }

    /// Next: a variable-length integer for `step`.
    pub(super) fn varint(&mut self, step: S) -> Result<(), Fault> {
        if self.in_body && self.left == 0 {
            return Err(Fault::Length);
        }
        (self.step, self.reading, self.value) = (step, Reading::Varint(0), 0);
        Ok(())
    }

    /// Next: `bytes` bytes that go through, for `step`.
    pub(super) fn copy(&mut self, step: S, bytes: u32) -> Result<(), Fault> {
        if bytes > self.left {
            return Err(Fault::Length);
        }
        (self.step, self.reading) = (step, Reading::Copy(bytes));
        Ok(())
    }

    /// Next: `bytes` bytes to leave out, for `step`.
    pub(super) fn skip(&mut self, step: S, bytes: u32) -> Result<(), Fault> {
        if bytes > self.left {
            return Err(Fault::Length);
        }
        (self.step, self.reading) = (step, Reading::Skip(bytes));
        Ok(())
    }

    /// The field is a run and complete (perhaps because it is empty).
    pub(super) fn run_complete(&self) -> bool {
        matches!(self.reading, Reading::Copy(0) | Reading::Skip(0))
    }

    /// Reads one byte of a number or integer; its value when complete.
    pub(super) fn feed(&mut self, byte: u8) -> Result<Option<u32>, Fault> {
        self.offset = self.offset.saturating_add(1);
        if self.in_body {
            self.left = self.left.checked_sub(1).ok_or(Fault::Length)?;
        }
        match self.reading {
            Reading::Number(bytes) => {
                self.value = (self.value << 8) | u32::from(byte);
                let bytes = bytes.saturating_sub(1);
                self.reading = Reading::Number(bytes);
                Ok((bytes == 0).then_some(self.value))
            }
            Reading::Varint(bits) => {
                if bits > 21 {
                    return Err(Fault::LengthEncoding);
                }
                self.value |= u32::from(byte & 0x7F) << bits;
                if byte & 0x80 == 0 {
                    return Ok(Some(self.value));
                }
                if bits == 21 {
                    return Err(Fault::LengthEncoding);
                }
                if self.in_body && self.left == 0 {
                    return Err(Fault::Length);
                }
                self.reading = Reading::Varint(bits + 7);
                Ok(None)
            }
            Reading::Copy(_) | Reading::Skip(_) => Err(Fault::Length),
        }
    }

    /// Notes that `n` bytes of the current run were read.
    pub(super) fn advance(&mut self, n: u32) -> Result<(), Fault> {
        self.reading = match self.reading {
            Reading::Copy(bytes) => Reading::Copy(bytes.checked_sub(n).ok_or(Fault::Length)?),
            Reading::Skip(bytes) => Reading::Skip(bytes.checked_sub(n).ok_or(Fault::Length)?),
            Reading::Number(_) | Reading::Varint(_) => return Err(Fault::Length),
        };
        self.left = self.left.checked_sub(n).ok_or(Fault::Length)?;
        self.offset = self.offset.saturating_add(n);
        Ok(())
    }

    /// The fault at the current place.
    pub(super) fn malformed(&self, direction: Direction, fault: Fault) -> Malformed {
        Malformed { direction, header: self.header, offset: self.offset.saturating_sub(1), fault }
    }
}

/// A variable-length integer: its bytes and how many of them count.
pub(super) fn varint(mut value: u32) -> ([u8; 4], usize) {
    let mut bytes = [0; 4];
    let mut used = 0;
    for slot in &mut bytes {
        *slot = value.to_le_bytes()[0] & 0x7F;
        value >>= 7;
        used += 1;
        if value == 0 {
            break;
        }
        *slot |= 0x80;
    }
    (bytes, used)
}

/// Largest value a variable-length integer can have (3.1.1 §2.2.3).
pub(super) const MAX_VARINT: u32 = 268_435_455;
