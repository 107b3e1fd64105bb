//! The A110's command authorisation table.

use super::flag;
use crate::codec::{Reader, Writer};
use crate::error::{InputError, ProtocolError};
use crate::rules::{CommandAccess, Encryption};

/// A line of the command authorisation table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Authorisation {
    /// The command's code, five bits; this driver need not have it.
    pub code: u8,
    /// Who may give the command.
    pub access: CommandAccess,
    /// What of it is encrypted in a host session.
    pub encryption: Encryption,
}

impl Authorisation {
    fn parse(r: &mut Reader<'_>) -> Result<Self, ProtocolError> {
        let code = r.u8()?;
        if code > 0x1F {
            return Err(r.bad(code));
        }
        let access = r.u8()?;
        let access = CommandAccess::from_code(access).ok_or_else(|| r.bad(access))?;
        let encryption = r.u8()?;
        let encryption = Encryption::from_code(encryption).ok_or_else(|| r.bad(encryption))?;
        Ok(Self { code, access, encryption })
    }

    /// Appends the line.
    ///
    /// # Errors
    /// [`InputError::TooLong`] if it does not fit.
    pub fn emit(&self, w: &mut Writer<'_>) -> Result<(), InputError> {
        w.bytes(&[self.code, self.access.code(), self.encryption.code()])
    }
}

/// The command authorisation table, checked, over the bytes the chip sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthorisationTable<'a> {
    data: &'a [u8],
}

impl<'a> AuthorisationTable<'a> {
    /// Checks the answer to a command authorisation query.
    ///
    /// # Errors
    /// [`ProtocolError::DataLength`] or [`ProtocolError::Value`] for another shape, and for a table that names a
    /// command twice.
    pub fn parse(data: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut r = Reader::new(data);
        flag(&mut r)?;
        let mut named = 0_u32;
        for _ in 0..r.u8()? {
            let Authorisation { code, .. } = Authorisation::parse(&mut r)?;
            let bit = 1 << code;
            if named & bit != 0 {
                return Err(r.bad(code));
            }
            named |= bit;
        }
        r.end()?;
        Ok(Self { data })
    }

    /// Whether the table may still be changed.
    #[must_use]
    pub fn changeable(&self) -> bool {
        matches!(self.data, [1, ..])
    }

    /// The lines.
    pub fn entries(&self) -> impl Iterator<Item = Authorisation> + use<'a> {
        let mut r = Reader::new(self.data.get(2..).unwrap_or_default());
        // `parse` has seen every line, so none fails here.
        core::iter::from_fn(move || Authorisation::parse(&mut r).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::AuthorisationTable;
    use crate::codec::Writer;

    #[test]
    fn tables_return_and_nothing_else_does() {
        // What ST's middleware read of an A110.
        let data = [0, 4, 0x0E, 3, 2, 0x0F, 3, 1, 0x16, 3, 2, 0x18, 3, 1];
        let table = AuthorisationTable::parse(&data).unwrap();
        assert!(!table.changeable());
        let mut buf = [0; 16];
        let mut w = Writer::new(&mut buf);
        w.bytes(&data[..2]).unwrap();
        for entry in table.entries() {
            entry.emit(&mut w).unwrap();
        }
        assert_eq!(w.finish(), data);
        for len in 0..data.len() {
            assert!(AuthorisationTable::parse(&data[..len]).is_err(), "{len} bytes");
        }
        assert_eq!(AuthorisationTable::parse(&[0, 0]).unwrap().entries().count(), 0);
        for bad in [
            &[2, 0][..],
            &[0, 0, 0],
            &[0, 1, 0x20, 1, 0],
            &[0, 1, 0x05, 6, 0],
            &[0, 1, 0x05, 1, 4],
            &[0, 2, 0x05, 1, 0, 0x05, 3, 0],
        ] {
            assert!(AuthorisationTable::parse(bad).is_err(), "{bad:02x?}");
        }
    }
}
