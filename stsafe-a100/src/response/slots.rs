//! The key slots' tables.

use super::flag;
use crate::codec::{Reader, Writer};
use crate::command::{EnvelopeKeyKind, KeyMode};
use crate::curve::Curve;
use crate::error::{InputError, ProtocolError};
use crate::mac::Counter;

/// The host key slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum HostKeySlot {
    /// No host keys: the chip is not paired.
    Empty,
    /// Host keys are there.
    Present {
        /// The counter the next C-MAC is made with; `None` if it is used up.
        counter: Option<Counter>,
    },
}

impl HostKeySlot {
    /// Takes the answer to a host key slot query apart. An empty slot may or may not give a counter.
    ///
    /// # Errors
    /// [`ProtocolError::DataLength`] or [`ProtocolError::Value`] for another shape.
    pub fn parse(data: &[u8]) -> Result<Self, ProtocolError> {
        let mut r = Reader::new(data);
        let slot = if flag(&mut r)? {
            Self::Present { counter: Counter::new(r.u24()?) }
        } else {
            if r.remaining() > 0 {
                r.u24()?;
            }
            Self::Empty
        };
        r.end()?;
        Ok(slot)
    }

    /// Appends the answer; an empty slot gives no counter.
    ///
    /// # Errors
    /// [`InputError::TooLong`] if it does not fit.
    pub fn emit(&self, w: &mut Writer<'_>) -> Result<(), InputError> {
        match self {
            Self::Empty => w.u8(0),
            Self::Present { counter } => {
                let [_, a, b, c] = counter.map_or(0x00FF_FFFF, Counter::get).to_be_bytes();
                w.bytes(&[1, a, b, c])
            }
        }
    }
}

/// A local envelope key slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct EnvelopeSlot {
    /// Its number.
    pub slot: u8,
    /// The key's size; `None` if the slot is empty.
    pub key: Option<EnvelopeKeyKind>,
}

impl EnvelopeSlot {
    fn parse(r: &mut Reader<'_>) -> Result<Self, ProtocolError> {
        let slot = r.u8()?;
        let key = if flag(r)? { Some(EnvelopeKeyKind::parse(r)?) } else { None };
        Ok(Self { slot, key })
    }

    /// Appends the slot's entry in the table.
    ///
    /// # Errors
    /// [`InputError::TooLong`] if it does not fit.
    pub fn emit(&self, w: &mut Writer<'_>) -> Result<(), InputError> {
        match self.key {
            None => w.bytes(&[self.slot, 0]),
            Some(kind) => w.bytes(&[self.slot, 1, kind.code()]),
        }
    }
}

/// The local envelope key table, checked, over the bytes the chip sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnvelopeKeyTable<'a> {
    data: &'a [u8],
}

impl<'a> EnvelopeKeyTable<'a> {
    /// Checks the answer to an envelope key table query.
    ///
    /// # Errors
    /// [`ProtocolError::DataLength`] or [`ProtocolError::Value`] for another shape.
    pub fn parse(data: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut r = Reader::new(data);
        for _ in 0..r.u8()? {
            EnvelopeSlot::parse(&mut r)?;
        }
        r.end()?;
        Ok(Self { data })
    }

    /// The slots.
    pub fn slots(&self) -> impl Iterator<Item = EnvelopeSlot> + use<'a> {
        let mut r = Reader::new(self.data);
        let count = r.u8().unwrap_or(0);
        // `parse` has seen every entry, so none fails here.
        (0..count).map_while(move |_| EnvelopeSlot::parse(&mut r).ok())
    }

    /// The key in this slot.
    #[must_use]
    pub fn key(&self, slot: u8) -> Option<EnvelopeKeyKind> {
        self.slots().find(|entry| entry.slot == slot)?.key
    }
}

/// A private key slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PrivateKeySlot {
    /// Its number.
    pub slot: u8,
    /// What the key may be used for.
    pub mode: KeyMode,
    /// The key's curve; `None` if the slot is empty.
    pub curve: Option<Curve>,
}

impl PrivateKeySlot {
    fn parse(r: &mut Reader<'_>) -> Result<Self, ProtocolError> {
        let slot = r.u8()?;
        let present = flag(r)?;
        let mode = KeyMode::from_bits(r.u16()?);
        let curve = if present { Some(Curve::parse(r)?) } else { None };
        Ok(Self { slot, mode, curve })
    }

    /// Appends the slot's entry in the table.
    ///
    /// # Errors
    /// [`InputError::TooLong`] if it does not fit.
    pub fn emit(&self, w: &mut Writer<'_>) -> Result<(), InputError> {
        w.bytes(&[self.slot, u8::from(self.curve.is_some())])?;
        w.u16(self.mode.bits())?;
        self.curve.map_or(Ok(()), |curve| curve.emit(w))
    }
}

/// The private key table, checked, over the bytes the chip sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrivateKeyTable<'a> {
    data: &'a [u8],
}

impl<'a> PrivateKeyTable<'a> {
    /// Checks the answer to a private key table query.
    ///
    /// # Errors
    /// [`ProtocolError::DataLength`] or [`ProtocolError::Value`] for another shape.
    pub fn parse(data: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut r = Reader::new(data);
        let count = r.u8()?;
        flag(&mut r)?;
        r.u16()?;
        for _ in 0..count {
            PrivateKeySlot::parse(&mut r)?;
        }
        r.end()?;
        Ok(Self { data })
    }

    /// Whether the table's use limit may still be changed.
    #[must_use]
    pub fn changeable(&self) -> bool {
        matches!(self.data, [_, 1, ..])
    }

    /// How often all keys together may still be used; 0xFFFF: without limit.
    #[must_use]
    pub fn use_limit(&self) -> u16 {
        match self.data {
            [_, _, high, low, ..] => u16::from_be_bytes([*high, *low]),
            _ => 0,
        }
    }

    /// The slots.
    pub fn slots(&self) -> impl Iterator<Item = PrivateKeySlot> + use<'a> {
        let count = self.data.first().copied().unwrap_or(0);
        let mut r = Reader::new(self.data.get(4..).unwrap_or_default());
        // `parse` has seen every entry, so none fails here.
        (0..count).map_while(move |_| PrivateKeySlot::parse(&mut r).ok())
    }

    /// The slot of this number.
    #[must_use]
    pub fn slot(&self, slot: u8) -> Option<PrivateKeySlot> {
        self.slots().find(|entry| entry.slot == slot)
    }
}

#[cfg(test)]
mod tests {
    use super::{EnvelopeKeyTable, EnvelopeSlot, HostKeySlot, PrivateKeyTable};
    use crate::codec::Writer;
    use crate::command::EnvelopeKeyKind;
    use crate::curve::Curve;
    use crate::mac::Counter;
    use std::vec::Vec;

    #[test]
    fn host_key_slots() {
        assert_eq!(HostKeySlot::parse(&[0]), Ok(HostKeySlot::Empty));
        assert_eq!(HostKeySlot::parse(&[0, 0xFF, 0xFF, 0xFF]), Ok(HostKeySlot::Empty));
        let present = HostKeySlot::Present { counter: Counter::new(0x01_02_03) };
        assert_eq!(HostKeySlot::parse(&[1, 1, 2, 3]), Ok(present));
        let used_up = HostKeySlot::Present { counter: None };
        assert_eq!(HostKeySlot::parse(&[1, 0xFF, 0xFF, 0xFF]), Ok(used_up));
        for bad in [&[][..], &[1], &[1, 0, 0], &[0, 0], &[2, 0, 0, 0], &[1, 0, 0, 0, 0]] {
            assert!(HostKeySlot::parse(bad).is_err(), "{bad:?}");
        }
        for slot in [HostKeySlot::Empty, present, used_up] {
            let mut buf = [0; 4];
            let mut w = Writer::new(&mut buf);
            slot.emit(&mut w).unwrap();
            assert_eq!(HostKeySlot::parse(w.finish()), Ok(slot));
        }
    }

    #[test]
    fn envelope_tables() {
        let table = EnvelopeKeyTable::parse(&[2, 0, 1, 0, 1, 0]).unwrap();
        assert_eq!(table.key(0), Some(EnvelopeKeyKind::Aes128));
        assert_eq!(table.key(1), None);
        let mut buf = [0; 8];
        let mut w = Writer::new(&mut buf);
        let slots: Vec<EnvelopeSlot> = table.slots().collect();
        w.u8(2).unwrap();
        for slot in slots {
            slot.emit(&mut w).unwrap();
        }
        assert_eq!(w.finish(), [2, 0, 1, 0, 1, 0]);
        for bad in [&[][..], &[2, 0, 1, 0, 1], &[1, 0, 1, 2], &[1, 0, 0, 0]] {
            assert!(EnvelopeKeyTable::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn private_key_tables() {
        let oid = Curve::NistP256.oid();
        let mut data = std::vec![2, 1, 0xFF, 0xFE, 0, 1, 0x80, 0x0D, 0, 8];
        data.extend(oid);
        data.extend([1, 0, 0, 0]);
        let table = PrivateKeyTable::parse(&data).unwrap();
        assert!(table.changeable());
        assert_eq!(table.use_limit(), 0xFFFE);
        assert_eq!(table.slots().count(), 2);
        let slot = table.slot(0).unwrap();
        assert_eq!((slot.curve, slot.mode.bits()), (Some(Curve::NistP256), 0x800D));
        assert_eq!(table.slot(1).unwrap().curve, None);
        assert_eq!(table.slot(2), None);
        let mut buf = [0; 32];
        let mut w = Writer::new(&mut buf);
        w.bytes(&data[..4]).unwrap();
        for slot in table.slots() {
            slot.emit(&mut w).unwrap();
        }
        assert_eq!(w.finish(), data);
        for len in 0..data.len() {
            assert!(PrivateKeyTable::parse(&data[..len]).is_err());
        }
    }
}
