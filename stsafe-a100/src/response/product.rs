//! Product data: the list of tagged values by which a chip identifies itself.

use crate::codec::{Reader, Writer, len16};
use crate::error::{InputError, ProtocolError};

/// Product data. Values a chip does not give are `None`; tags without a name here are skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ProductData {
    /// Tag 01: mask identification; its last two bytes tell the family.
    pub mask_id: [u8; 3],
    /// Tag 02: serial number.
    pub serial: [u8; 9],
    /// Tag 03: bytes of the I/O buffer.
    pub io_buffer: Option<u16>,
    /// Tag 04: bytes of the atomicity buffer.
    pub atomicity_buffer: Option<u16>,
    /// Tag 05: bytes of user memory.
    pub nvm: Option<u16>,
    /// Tag 06: test date, as the chip codes it.
    pub test_date: Option<u16>,
    /// Tag 07: product version.
    pub version: Option<u16>,
    /// Tag 08: module date, as the chip codes it.
    pub module_date: Option<u16>,
}

/// The chip family a mask identification belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Family {
    /// STSAFE-A100.
    A100,
    /// STSAFE-A110.
    A110,
    /// STSAFE-A120.
    A120,
    /// None of these.
    Unknown,
}

impl ProductData {
    /// Takes the answer to a product data query apart.
    ///
    /// # Errors
    /// [`ProtocolError::DataLength`] if the list ends within an entry, or lacks mask id or serial number;
    /// [`ProtocolError::Value`] if a known entry has an unusual length.
    pub fn parse(data: &[u8]) -> Result<Self, ProtocolError> {
        let mut r = Reader::new(data);
        let mut mask_id = None;
        let mut serial = None;
        let mut numbers = [None; 6];
        while r.remaining() > 0 {
            let tag = r.u8()?;
            let len = r.u8()?;
            let bad = r.bad(len);
            let value = r.bytes(usize::from(len))?;
            match tag {
                1 => mask_id = Some(value.try_into().map_err(|_| bad)?),
                2 => serial = Some(value.try_into().map_err(|_| bad)?),
                3..=8 => {
                    let number = match *value {
                        [low] => u16::from(low),
                        [high, low] => u16::from_be_bytes([high, low]),
                        _ => return Err(bad),
                    };
                    if let Some(slot) = numbers.get_mut(usize::from(tag - 3)) {
                        *slot = Some(number);
                    }
                }
                _ => {}
            }
        }
        let missing = ProtocolError::DataLength { expected: 16, actual: len16(data.len()) };
        let [io_buffer, atomicity_buffer, nvm, test_date, version, module_date] = numbers;
        Ok(Self {
            mask_id: mask_id.ok_or(missing)?,
            serial: serial.ok_or(missing)?,
            io_buffer,
            atomicity_buffer,
            nvm,
            test_date,
            version,
            module_date,
        })
    }

    /// Appends the list; the product version takes one byte if it fits, the other numbers two.
    ///
    /// # Errors
    /// [`InputError::TooLong`] if it does not fit.
    pub fn emit(&self, w: &mut Writer<'_>) -> Result<(), InputError> {
        w.bytes(&[1, 3])?;
        w.bytes(&self.mask_id)?;
        w.bytes(&[2, 9])?;
        w.bytes(&self.serial)?;
        let numbers =
            [self.io_buffer, self.atomicity_buffer, self.nvm, self.test_date, self.version, self.module_date];
        for (tag, number) in (3..).zip(numbers) {
            match number.map(|number| (u8::try_from(number), number)) {
                Some((Ok(version), _)) if tag == 7 => w.bytes(&[tag, 1, version])?,
                Some((_, number)) => {
                    w.bytes(&[tag, 2])?;
                    w.u16(number)?;
                }
                None => {}
            }
        }
        Ok(())
    }

    /// The chip's family, by its mask identification.
    #[must_use]
    pub const fn family(&self) -> Family {
        Family::of_mask(self.mask_id)
    }
}

impl Family {
    /// The family of chips with this mask identification, of which the last two bytes tell it.
    #[must_use]
    pub const fn of_mask([_, high, low]: [u8; 3]) -> Self {
        match u16::from_be_bytes([high, low]) {
            0x4000..=0x45FF => Self::A100,
            0x4600..=0x5FFF => Self::A110,
            0x6000.. => Self::A120,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Family, ProductData};
    use crate::codec::Writer;

    const A100: &[u8] = &[
        1, 3, 0, 0x40, 0, 2, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 3, 2, 1, 0xFB, 4, 2, 0, 0x40, 5, 2, 0x18, 0, 6, 2,
        0x17, 0x2A, 7, 1, 1, 8, 2, 0x17, 0x2B,
    ];

    #[test]
    fn a100_returns() {
        let product = ProductData::parse(A100).unwrap();
        assert_eq!(product.family(), Family::A100);
        assert_eq!(product.io_buffer, Some(507));
        assert_eq!(product.version, Some(1));
        let mut buf = [0; 64];
        let mut w = Writer::new(&mut buf);
        product.emit(&mut w).unwrap();
        assert_eq!(w.finish(), A100);
    }

    #[test]
    fn later_chips_and_odd_lists() {
        let mut more = A100.to_vec();
        more.extend([9, 3, 1, 2, 3]);
        assert_eq!(ProductData::parse(&more), ProductData::parse(A100));
        more.extend([10, 5, 0]);
        assert!(ProductData::parse(&more).is_err(), "an entry that ends early");
        assert!(ProductData::parse(&A100[..5]).is_err(), "no serial number");
        assert!(ProductData::parse(&[]).is_err());
        let mut bad = A100.to_vec();
        bad[1] = 2;
        assert!(ProductData::parse(&bad).is_err(), "a mask id of two bytes");
    }

    #[test]
    fn families() {
        let product = ProductData::parse(A100).unwrap();
        for (mask, family) in [
            ([0, 0x45, 0xFF], Family::A100),
            ([0, 0x46, 0], Family::A110),
            ([0, 0x60, 0], Family::A120),
            ([0, 0x3F, 0xFF], Family::Unknown),
        ] {
            assert_eq!(ProductData { mask_id: mask, ..product }.family(), family);
        }
    }
}
