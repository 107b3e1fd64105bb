//! The part of Protocol Buffers that the hub's messages need: fields of numbers and bytes, borrowed, in any order;
//! unknown ones are passed over.

use crate::Error;
use azure_iot_common::text::Writer;

/// What stands in a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Eight or four bytes: no message here has such a field.
    Fixed,
}

const MALFORMED: Error = Error::BadMember("Protocol Buffers");

/// The fields of a message.
#[derive(Debug)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        self.0.split_off(..n)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = *self.0.split_off_first()?;
            let bits = u64::from(byte & 0x7F);
            // Of the tenth byte only one bit counts.
            if shift == 63 && bits > 1 {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn field(&mut self) -> Option<(u32, Value<'a>)> {
        let key = u32::try_from(self.number()?).ok()?;
        let number = key >> 3;
        let value = match key & 7 {
            0 => Value::Number(self.number()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = usize::try_from(self.number()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return None,
        };
        (number != 0).then_some((number, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Error>;

    /// Ends with the first error.
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field().ok_or(MALFORMED);
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

fn write_number(text: &mut Writer<'_>, mut number: u64) {
    loop {
        // Seven bits.
        let low = (number & 0x7F) as u8;
        number >>= 7;
        if number == 0 {
            text.byte(low);
            return;
        }
        text.byte(low | 0x80);
    }
}

/// Writes a number; zero is left out, as proto3 wants it.
pub(super) fn put_number(text: &mut Writer<'_>, field: u32, number: u64) {
    if number != 0 {
        write_number(text, u64::from(field) << 3);
        write_number(text, number);
    }
}

/// Writes what stands before so many bytes; nothing before none.
pub(super) fn put_length(text: &mut Writer<'_>, field: u32, length: usize) {
    if length > 0 {
        write_number(text, u64::from(field) << 3 | 2);
        write_number(text, length as u64);
    }
}

/// Writes bytes; none are left out.
pub(super) fn put_bytes(text: &mut Writer<'_>, field: u32, bytes: &[u8]) {
    put_length(text, field, bytes.len());
    text.bytes(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn fields(bytes: &[u8]) -> Result<Vec<(u32, Value<'_>)>, Error> {
        Fields(bytes).collect()
    }

    #[test]
    fn fields_of_every_kind() {
        let bytes = [0x08, 0x96, 0x01, 0x12, 2, b'h', b'i', 0x19, 1, 2, 3, 4, 5, 6, 7, 8, 0x25, 1, 2, 3, 4];
        let all = fields(&bytes).unwrap();
        assert_eq!(
            all,
            [(1, Value::Number(150)), (2, Value::Bytes(b"hi")), (3, Value::Fixed), (4, Value::Fixed)]
        );
        let largest = [&[0x08][..], &[0xFF; 9], &[1]].concat();
        assert_eq!(fields(&largest).unwrap(), [(1, Value::Number(u64::MAX))]);
        let beyond = [&[0x08][..], &[0xFF; 9], &[2]].concat();
        for bad in [
            &beyond[..],
            &[0x08],
            &[0x08, 0x80],
            &[0x12, 3, 1, 2],
            &[0x0B],
            &[0x00, 1],
            &[0x19, 1],
            &[0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1],
        ] {
            assert_eq!(fields(bad), Err(MALFORMED), "{bad:?}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut buffer = [0; 64];
        let mut text = Writer::new(&mut buffer);
        put_number(&mut text, 1, 0);
        put_number(&mut text, 10, u64::MAX);
        put_bytes(&mut text, 2, b"");
        put_bytes(&mut text, 3, b"abc");
        let written = text.finish().unwrap();
        assert_eq!(fields(written).unwrap(), [(10, Value::Number(u64::MAX)), (3, Value::Bytes(b"abc"))]);
    }
}
