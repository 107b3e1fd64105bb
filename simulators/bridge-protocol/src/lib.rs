//! The bytes between a board in the emulator and its virtual peripherals on the host: one definition for both sides.
//!
//! The board asks, the host answers; nothing is sent unasked. All numbers of more than one byte are little-endian.
//!
//! | request | answer |
//! |---|---|
//! | `T` address count, then `count` times: kind length(2) \[data\]; [`END`] | [`Status`], then, if it is
//! [`Status::Ok`], the bytes of all reads |
//! | `P` | one byte: [`Buttons`] |
//! | `L` index value: a [`Lamp`] and its brightness; [`END`] | none |
//! | `M` | the board's MAC address, [`MAC_LEN`] bytes |
//! | `F` offset(2) length(2); [`END`] | [`FlashStatus`], then, if it is [`FlashStatus::Ok`], the bytes |
//! | `W` offset(2) length(2) data; [`END`] | [`FlashStatus`] |
//! | `E`; [`END`] | [`FlashStatus`] |
//! | [`RESTART`] | the same |
//!
//! `T` is one I2C transaction: a START or repeated START wherever the direction changes or the first operation
//! begins, one STOP at its end. `kind` is an [`OperationKind`]; only writes carry data. The operations of a transaction
//! have at most [`MAX_TRANSACTION`] bytes together. `F`, `W` and `E` read, write and erase a sector of NOR flash,
//! [`FLASH_LEN`] bytes, which the host keeps; it is written in words of [`FLASH_WORD`] bytes. The host closes the
//! connection on anything else.
//!
//! A board may be reset in the midst of a request, and then knows neither what the host still waits for nor what it is
//! still to answer. It says [`RESTART`], which counts wherever it stands, and passes over everything that comes before
//! the answer. A request that it cuts short is not carried out: no byte of it can be taken for an [`END`].
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
/// Request: reads the flash sector.
pub const FLASH_READ: u8 = b'F';
/// Request: writes to the flash sector.
pub const FLASH_WRITE: u8 = b'W';
/// Request: erases the flash sector. [`END`] follows.
pub const FLASH_ERASE: u8 = b'E';
/// Bytes of the flash sector.
pub const FLASH_LEN: usize = 0x1000;
/// Bytes that are written at once.
pub const FLASH_WORD: usize = 4;
/// Ends a request of several bytes.
pub const END: u8 = 0;
/// Request: the board has started anew; what it had begun to ask is given up. Bytes that no board sends by accident.
pub const RESTART: [u8; 16] = *b"R\xC1\x5E\x93\x0A\xF7\x44\xB8\x6D\x21\x9C\xE0\x37\x8B\x16\xD2";
/// Bytes of the MAC address.
pub const MAC_LEN: usize = 6;
/// The highest I2C address.
pub const MAX_ADDRESS: u8 = 0x7F;
/// Most bytes, written and read, in one transaction.
pub const MAX_TRANSACTION: usize = 0x4000;

/// Finds [`RESTART`] among other bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct RestartFinder {
    /// Bytes of it that were the last ones seen.
    found: usize,
}

impl RestartFinder {
    /// Whether the last bytes may be the beginning of a [`RESTART`].
    #[must_use]
    pub const fn is_under_way(&self) -> bool {
        self.found > 0
    }

    /// Takes the next byte; `true` if it is the last one of a [`RESTART`].
    pub fn push(&mut self, byte: u8) -> bool {
        // Its first byte is nowhere else in it: after a wrong byte there is no other beginning to go on from.
        let next = if RESTART.get(self.found) == Some(&byte) { self.found + 1 } else { 0 };
        self.found = if next == 0 { usize::from(RESTART.first() == Some(&byte)) } else { next };
        let is_whole = self.found == RESTART.len();
        if is_whole {
            self.found = 0;
        }
        is_whole
    }
}

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

/// How a request to the flash sector ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlashStatus {
    /// It is done.
    Ok = 0,
    /// Part of it is outside the sector; nothing was done.
    OutOfBounds = 1,
    /// It is not made of whole words; nothing was done.
    NotAligned = 2,
    /// The sector fails.
    Failed = 3,
}

impl FlashStatus {
    /// The status of an answer's first byte; `None` if there is no such status.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Ok),
            1 => Some(Self::OutOfBounds),
            2 => Some(Self::NotAligned),
            3 => Some(Self::Failed),
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

/// The head of an operation of `len` bytes; those of a write follow it. Behind the last operation stands [`END`].
#[must_use]
pub const fn operation(kind: OperationKind, len: u16) -> [u8; 3] {
    let [low, high] = len.to_le_bytes();
    [kind as u8, low, high]
}

/// The head of [`FLASH_READ`] or [`FLASH_WRITE`]; the bytes to write follow it.
#[must_use]
pub const fn flash(request: u8, offset: u16, len: u16) -> [u8; 5] {
    let ([a, b], [c, d]) = (offset.to_le_bytes(), len.to_le_bytes());
    [request, a, b, c, d]
}

/// The request that sets a lamp.
#[must_use]
pub const fn lamp(lamp: Lamp, value: u8) -> [u8; 4] {
    [LAMP, lamp as u8, value, END]
}

#[cfg(test)]
mod tests {
    use super::{
        Buttons, END, FLASH_WRITE, FlashStatus, Lamp, OperationKind, RESTART, RestartFinder, Status, flash,
        lamp, operation, transaction,
    };

    #[test]
    fn every_byte_means_what_it_was_written_for_or_nothing() {
        for byte in 0..=u8::MAX {
            assert!(Status::from_byte(byte).is_none_or(|status| status as u8 == byte));
            assert!(FlashStatus::from_byte(byte).is_none_or(|status| status as u8 == byte));
            assert!(OperationKind::from_byte(byte).is_none_or(|kind| kind as u8 == byte));
            assert!(Lamp::from_byte(byte).is_none_or(|lamp| lamp as u8 == byte));
            assert!(Buttons::from_byte(byte).is_none_or(|buttons| buttons.to_byte() == byte));
        }
        assert_eq!((0..=u8::MAX).filter_map(Status::from_byte).count(), 3);
        assert_eq!((0..=u8::MAX).filter_map(FlashStatus::from_byte).count(), 4);
        assert_eq!((0..=u8::MAX).filter_map(OperationKind::from_byte).count(), 2);
        assert!((0..=u8::MAX).filter_map(Lamp::from_byte).eq(Lamp::ALL));
        assert_eq!((0..=u8::MAX).filter_map(Buttons::from_byte).count(), 4);
    }

    #[test]
    fn requests_are_written_as_documented() {
        assert_eq!(transaction(0x20, 2), [b'T', 0x20, 2]);
        assert_eq!(operation(OperationKind::Write, 0x0102), [0, 2, 1]);
        assert_eq!(operation(OperationKind::Read, 5), [1, 5, 0]);
        assert_eq!(flash(FLASH_WRITE, 0x0102, 8), [b'W', 2, 1, 8, 0]);
        assert_eq!(lamp(Lamp::Blue, 255), [b'L', 5, 255, END]);
    }

    #[test]
    fn a_restart_is_found_behind_anything_and_ends_nothing() {
        assert!(!RESTART.contains(&END) && !RESTART.get(1..).unwrap().contains(&RESTART[0]));
        for cut in 0..RESTART.len() {
            let mut finder = RestartFinder::default();
            assert!(RESTART.iter().take(cut).all(|byte| !finder.push(*byte)));
            assert_eq!(finder.is_under_way(), cut > 0);
            let found = RESTART.iter().filter(|byte| finder.push(**byte)).count();
            assert_eq!((found, finder.is_under_way()), (1, false), "{cut}");
        }
    }
}
