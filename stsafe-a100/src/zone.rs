//! Zones: the chip's user memory. Access conditions, the option byte, the partition table, and how long transfers are
//! cut to the chip's buffers.

use crate::codec::{Reader, Writer, len16};
use crate::error::{InputError, ProtocolError};

/// Most bytes one read returns.
pub const MAX_READ: usize = 497;
/// Most bytes one unprotected update writes.
pub const MAX_UPDATE: usize = 497;
/// Most bytes one update with a C-MAC writes: four less.
pub const MAX_UPDATE_MACED: usize = MAX_UPDATE - 4;
/// Most bytes one read returns where the chip's rules encrypt the answer: whole blocks, one byte of padding.
pub const MAX_READ_ENCRYPTED: usize = 495;
/// Most bytes one update writes where the chip's rules encrypt it.
pub const MAX_UPDATE_ENCRYPTED: usize = 491;
/// Most bytes one atomic update writes: the chip's atomicity buffer.
pub const MAX_ATOMIC: usize = 64;

/// Who may read or update a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum AccessCondition {
    /// 0: anybody.
    Always = 0,
    /// 1: commands with a host C-MAC.
    Host = 1,
    /// 2: after an authentication.
    Authentication = 2,
    /// 3: commands with an admin MAC.
    Admin = 3,
    /// 4: nobody.
    Never4 = 4,
    /// 5: nobody.
    Never5 = 5,
    /// 6: nobody on some chips, authentication with a host C-MAC on others.
    AuthenticationAndHost = 6,
    /// 7: nobody.
    Never = 7,
}

impl AccessCondition {
    const ALL: [Self; 8] = [
        Self::Always,
        Self::Host,
        Self::Authentication,
        Self::Admin,
        Self::Never4,
        Self::Never5,
        Self::AuthenticationAndHost,
        Self::Never,
    ];

    /// The condition in the low three bits.
    #[must_use]
    pub fn from_bits(bits: u8) -> Self {
        // The mask keeps the index below 8, so the fallback is never taken.
        Self::ALL.get(usize::from(bits & 7)).copied().unwrap_or(Self::Never)
    }

    /// The three-bit value.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self as u8
    }
}

/// One right of a zone: its condition, and whether the condition may still be changed (only made stricter).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Access {
    /// The condition.
    pub condition: AccessCondition,
    /// The change right.
    pub changeable: bool,
}

impl Access {
    fn from_bits(bits: u8) -> Self {
        Self { condition: AccessCondition::from_bits(bits), changeable: bits & 0x08 != 0 }
    }

    const fn bits(self) -> u8 {
        self.condition.bits() | (self.changeable as u8) << 3
    }
}

/// The option byte of read, update and decrement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ZoneOptions {
    /// Bit 7, update only: all or nothing, at most [`MAX_ATOMIC`] bytes.
    pub atomic: bool,
    /// Bit 4: sets the right the command uses (read: the read right; update and decrement: the update right) to this.
    pub change_access: Option<Access>,
}

impl ZoneOptions {
    /// Nothing special.
    pub const NONE: Self = Self { atomic: false, change_access: None };
    /// An atomic update.
    pub const ATOMIC: Self = Self { atomic: true, change_access: None };

    /// Changes the access right.
    #[must_use]
    pub const fn change(access: Access) -> Self {
        Self { atomic: false, change_access: Some(access) }
    }

    /// The byte on the wire.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        let access = match self.change_access {
            Some(access) => 0x10 | access.bits(),
            None => 0,
        };
        access | (self.atomic as u8) << 7
    }

    /// From the wire; `None` if reserved bits are set, or access bits without the change indicator.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        let change_access = match byte & 0x7F {
            0x00 => None,
            bits @ 0x10..=0x1F => Some(Access::from_bits(bits)),
            _ => return None,
        };
        Some(Self { atomic: byte & 0x80 != 0, change_access })
    }
}

/// What a zone is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ZoneKind {
    /// Bytes.
    Data,
    /// A counter that only goes down, with bytes beside it.
    Counter {
        /// Its value.
        value: u32,
    },
}

/// One line of the partition table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Zone {
    /// The zone's number, used in every command.
    pub index: u8,
    /// What it is.
    pub kind: ZoneKind,
    /// Who may read it.
    pub read: Access,
    /// Who may update or decrement it.
    pub update: Access,
    /// Bytes of data.
    pub size: u16,
}

impl Zone {
    fn parse(r: &mut Reader<'_>) -> Result<Self, ProtocolError> {
        let index = r.u8()?;
        let kind = r.u8()?;
        if kind > 1 {
            return Err(r.bad(kind));
        }
        let access = r.u8()?;
        let size = r.u16()?;
        let kind = if kind == 1 { ZoneKind::Counter { value: r.u32()? } } else { ZoneKind::Data };
        Ok(Self {
            index,
            kind,
            read: Access::from_bits(access >> 4),
            update: Access::from_bits(access),
            size,
        })
    }

    /// Appends the line to a partition table.
    ///
    /// # Errors
    /// [`InputError::TooLong`] if it does not fit.
    pub fn emit(&self, w: &mut Writer<'_>) -> Result<(), InputError> {
        w.u8(self.index)?;
        w.u8(u8::from(self.kind != ZoneKind::Data))?;
        w.u8(self.read.bits() << 4 | self.update.bits())?;
        w.u16(self.size)?;
        match self.kind {
            ZoneKind::Data => Ok(()),
            ZoneKind::Counter { value } => w.u32(value),
        }
    }
}

/// The partition table, checked, over the bytes the chip sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition<'a> {
    data: &'a [u8],
}

impl<'a> Partition<'a> {
    /// Checks the answer to a partition query.
    ///
    /// # Errors
    /// [`ProtocolError::DataLength`] if it is not exactly as long as its lines, [`ProtocolError::Value`] for an unknown
    /// zone type.
    pub fn parse(data: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut r = Reader::new(data);
        for _ in 0..r.u8()? {
            Zone::parse(&mut r)?;
        }
        r.end()?;
        Ok(Self { data })
    }

    /// The zones in the chip's order.
    pub fn zones(&self) -> impl Iterator<Item = Zone> + use<'a> {
        let mut r = Reader::new(self.data);
        let count = r.u8().unwrap_or(0);
        // `parse` has seen every line, so none fails here.
        (0..count).map_while(move |_| Zone::parse(&mut r).ok())
    }

    /// The zone of this number.
    #[must_use]
    pub fn zone(&self, index: u8) -> Option<Zone> {
        self.zones().find(|zone| zone.index == index)
    }
}

/// One command's share of a longer transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Offset in the zone.
    pub offset: u16,
    /// Offset in the caller's buffer.
    pub start: usize,
    /// Bytes.
    pub len: usize,
}

/// Cuts a transfer of `len` bytes at `offset` into chunks of at most `step` bytes, in ascending order.
///
/// # Errors
/// [`InputError::ZoneRange`] if the transfer leaves the 16-bit address range.
pub fn chunks(offset: u16, len: usize, step: usize) -> Result<impl Iterator<Item = Chunk>, InputError> {
    if usize::from(offset) + len > usize::from(u16::MAX) + 1 || step == 0 {
        return Err(InputError::ZoneRange);
    }
    Ok((0..len).step_by(step).map(move |start| Chunk {
        // Below 65536 by the check above.
        offset: offset.wrapping_add(len16(start)),
        start,
        len: step.min(len - start),
    }))
}

/// The whole length of the DER object that begins with these four bytes, such as a certificate in a zone. `None` if
/// it is no SEQUENCE, or if its length takes more than two bytes.
#[must_use]
pub fn der_length(head: [u8; 4]) -> Option<usize> {
    match head {
        [0x30, len @ 0..=0x7F, ..] => Some(2 + usize::from(len)),
        [0x30, 0x81, len @ 0x80..=0xFF, _] => Some(3 + usize::from(len)),
        [0x30, 0x82, high @ 1..=0xFF, low] => Some(4 + usize::from(u16::from_be_bytes([high, low]))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Access, AccessCondition, Chunk, Partition, Zone, ZoneKind, ZoneOptions, chunks, der_length};
    use crate::codec::Writer;
    use crate::error::{InputError, ProtocolError};
    use std::vec::Vec;

    #[test]
    fn option_bytes() {
        let host = Access { condition: AccessCondition::Host, changeable: false };
        assert_eq!(ZoneOptions::change(host).to_byte(), 0x11);
        assert_eq!(ZoneOptions::change(Access { changeable: true, ..host }).to_byte(), 0x19);
        assert_eq!(ZoneOptions::ATOMIC.to_byte(), 0x80);
        for byte in 0..=255 {
            match ZoneOptions::from_byte(byte) {
                Some(options) => assert_eq!(options.to_byte(), byte),
                None => assert!(byte & 0x60 != 0 || (byte & 0x10 == 0 && byte & 0x0F != 0)),
            }
        }
    }

    #[test]
    fn partition_returns() {
        let zones = [
            Zone {
                index: 0,
                kind: ZoneKind::Data,
                read: Access { condition: AccessCondition::Always, changeable: true },
                update: Access { condition: AccessCondition::Never, changeable: false },
                size: 976,
            },
            Zone {
                index: 5,
                kind: ZoneKind::Counter { value: 500_000 },
                read: Access { condition: AccessCondition::Host, changeable: false },
                update: Access { condition: AccessCondition::Admin, changeable: true },
                size: 64,
            },
        ];
        let mut buf = [0; 32];
        let mut w = Writer::new(&mut buf);
        w.u8(2).unwrap();
        for zone in zones {
            zone.emit(&mut w).unwrap();
        }
        let data = w.finish();
        let table = Partition::parse(data).unwrap();
        assert_eq!(table.zones().collect::<Vec<_>>(), zones);
        assert_eq!(table.zone(5), Some(zones[1]));
        assert_eq!(table.zone(1), None);
        for len in 0..data.len() {
            assert!(Partition::parse(&data[..len]).is_err());
        }
        assert_eq!(Partition::parse(&[1, 0, 2, 0, 0, 0]), Err(ProtocolError::Value { at: 2, value: 2 }));
    }

    #[test]
    fn transfers_are_cut() {
        let cut: Vec<_> = chunks(10, 150, 64).unwrap().collect();
        assert_eq!(
            cut,
            [
                Chunk { offset: 10, start: 0, len: 64 },
                Chunk { offset: 74, start: 64, len: 64 },
                Chunk { offset: 138, start: 128, len: 22 }
            ]
        );
        assert_eq!(chunks(0, 0, 64).unwrap().count(), 0);
        assert_eq!(chunks(0xFFFF, 1, 64).unwrap().next().map(|c| c.offset), Some(0xFFFF));
        assert!(matches!(chunks(0xFFFF, 2, 64), Err(InputError::ZoneRange)));
    }

    #[test]
    fn der_heads() {
        assert_eq!(der_length([0x30, 0x10, 0, 0]), Some(18));
        assert_eq!(der_length([0x30, 0x81, 0xC8, 0]), Some(203));
        assert_eq!(der_length([0x30, 0x82, 0x01, 0x94]), Some(408));
        assert_eq!(der_length([0x30, 0x81, 0x10, 0]), None);
        assert_eq!(der_length([0x30, 0x82, 0x00, 0x94]), None);
        assert_eq!(der_length([0x31, 0x10, 0, 0]), None);
        assert_eq!(der_length([0x30, 0x80, 0, 0]), None);
    }
}
