//! The bytes between a board in the emulator and its virtual peripherals on the host: one definition for both sides.
//!
//! The board asks, the host answers; nothing is sent unasked. All numbers of more than one byte are little-endian.
//!
//! | request | answer |
//! |---|---|
//! | `T` address count, then `count` times: kind length(2) \[data\] | [`Status`], then, if it is [`Status::Ok`], the bytes of all reads |
//! | `P` | one byte: [`Buttons`] |
//! | `L` index value: a [`Lamp`] and its brightness | none |
//! | `M` | the board's MAC address, [`MAC_LEN`] bytes |
//!
//! `T` is one I2C transaction: a START or repeated START wherever the direction changes or the first operation
//! begins, one STOP at its end. `kind` is an [`OperationKind`]; only writes carry data. The operations of a transaction
//! have at most [`MAX_TRANSACTION`] bytes together. The host closes the connection on anything else.
#![no_std]
#![forbid(unsafe_code)]

/// Request: an I2C transaction.
pub const TRANSACTION: u8 = b'T';
/// Request: the state of the buttons.
pub const BUTTONS: u8 = b'P';
/// Request: sets a lamp.
pub const LAMP: u8 = b'L';
/// Request: the board's MAC address.
pub const MAC: u8 = b'M';
/// Bytes of the MAC address.
pub const MAC_LEN: usize = 6;
/// The highest I2C address.
pub const MAX_ADDRESS: u8 = 0x7F;
/// Most bytes, written and read, in one transaction.
pub const MAX_TRANSACTION: usize = 0x4000;

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Everything was acknowledged.
    Ok = 0,
    /// An address was not acknowledged.
    AddressNack = 1,
    /// A written byte was not acknowledged.
    DataNack = 2,
}

impl Status {
    /// The status of an answer's first byte; `None` if there is no such status.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Ok),
            1 => Some(Self::AddressNack),
            2 => Some(Self::DataNack),
            _ => None,
        }
    }
}

/// Which way the bytes of an operation go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationKind {
    /// To the slave; the data follows.
    Write = 0,
    /// From the slave.
    Read = 1,
}

impl OperationKind {
    /// The kind a byte stands for; `None` if it stands for none.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Write),
            1 => Some(Self::Read),
            _ => None,
        }
    }
}

/// A light of the board. Those of the RGB lamp have 256 steps; of the others, any value but 0 is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lamp {
    /// The Wi-Fi LED.
    Wifi = 0,
    /// The Azure LED.
    Azure = 1,
    /// The user LED.
    User = 2,
    /// Red of the RGB lamp.
    Red = 3,
    /// Green of the RGB lamp.
    Green = 4,
    /// Blue of the RGB lamp.
    Blue = 5,
}

impl Lamp {
    /// All of them, in the order of their indices.
    pub const ALL: [Self; 6] = [Self::Wifi, Self::Azure, Self::User, Self::Red, Self::Green, Self::Blue];

    /// The lamp of an index; `None` if there is none.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Wifi),
            1 => Some(Self::Azure),
            2 => Some(Self::User),
            3 => Some(Self::Red),
            4 => Some(Self::Green),
            5 => Some(Self::Blue),
            _ => None,
        }
    }
}

/// Which buttons are pressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buttons {
    /// Button A: bit 0.
    pub a: bool,
    /// Button B: bit 1.
    pub b: bool,
}

impl Buttons {
    /// The answer's byte.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        self.a as u8 | (self.b as u8) << 1
    }

    /// The state an answer tells; `None` if other bits than those of the buttons are set.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        if byte < 4 { Some(Self { a: byte & 1 != 0, b: byte & 2 != 0 }) } else { None }
    }
}

/// The head of a transaction of `operations` operations.
#[must_use]
pub const fn transaction(address: u8, operations: u8) -> [u8; 3] {
    [TRANSACTION, address, operations]
}

/// The head of an operation of `len` bytes; those of a write follow it.
#[must_use]
pub const fn operation(kind: OperationKind, len: u16) -> [u8; 3] {
    let [low, high] = len.to_le_bytes();
    [kind as u8, low, high]
}

/// The request that sets a lamp.
#[must_use]
pub const fn lamp(lamp: Lamp, value: u8) -> [u8; 3] {
    [LAMP, lamp as u8, value]
}

#[cfg(test)]
mod tests {
    use super::{Buttons, Lamp, OperationKind, Status, lamp, operation, transaction};

    #[test]
    fn every_byte_means_what_it_was_written_for_or_nothing() {
        for byte in 0..=u8::MAX {
            assert!(Status::from_byte(byte).is_none_or(|status| status as u8 == byte));
            assert!(OperationKind::from_byte(byte).is_none_or(|kind| kind as u8 == byte));
            assert!(Lamp::from_byte(byte).is_none_or(|lamp| lamp as u8 == byte));
            assert!(Buttons::from_byte(byte).is_none_or(|buttons| buttons.to_byte() == byte));
        }
        assert_eq!((0..=u8::MAX).filter_map(Status::from_byte).count(), 3);
        assert_eq!((0..=u8::MAX).filter_map(OperationKind::from_byte).count(), 2);
        assert!((0..=u8::MAX).filter_map(Lamp::from_byte).eq(Lamp::ALL));
        assert_eq!((0..=u8::MAX).filter_map(Buttons::from_byte).count(), 4);
    }

    #[test]
    fn requests_are_written_as_documented() {
        assert_eq!(transaction(0x20, 2), [b'T', 0x20, 2]);
        assert_eq!(operation(OperationKind::Write, 0x0102), [0, 2, 1]);
        assert_eq!(operation(OperationKind::Read, 5), [1, 5, 0]);
        assert_eq!(lamp(Lamp::Blue, 255), [b'L', 5, 255]);
    }
}
