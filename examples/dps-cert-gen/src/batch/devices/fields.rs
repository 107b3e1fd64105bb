//! The fields of a line of CSV.

use csv_core::{ReadRecordResult, ReaderBuilder};
use zeroize::Zeroizing;

/// More columns than any list has.
pub(super) const MAX_COLUMNS: usize = 64;

/// The fields of a line.
pub(super) struct Fields {
    text: Zeroizing<Vec<u8>>,
    ends: Vec<usize>,
}

impl Fields {
    /// Splits a line, or says in which column it cannot be.
    pub(super) fn split(line: &[u8], separator: u8) -> Result<Self, (usize, &'static str)> {
        let mut reader = ReaderBuilder::new().delimiter(separator).build();
        let mut text = Zeroizing::new(vec![0; line.len() + 1]);
        let mut ends = [0; MAX_COLUMNS];
        let (_, read, written, columns) = reader.read_record(line, &mut text, &mut ends);
        if read < line.len() {
            return Err((MAX_COLUMNS, "too many columns"));
        }
        let (result, _, _, last) = reader.read_record(b"\n", &mut text[written..], &mut ends[columns..]);
        match result {
            ReadRecordResult::Record => Ok(Self { text, ends: ends[..columns + last].to_vec() }),
            ReadRecordResult::OutputEndsFull => Err((MAX_COLUMNS, "too many columns")),
            _ => Err((columns + 1, "a quote is not closed on this line")),
        }
    }

    /// The fields without the blanks around them, where they are text.
    pub(super) fn iter(&self) -> impl Iterator<Item = Result<&str, &'static str>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| {
            let field = self.text.get(start..*end).unwrap_or_default();
            std::str::from_utf8(field).map(str::trim).map_err(|_| "it is not text in UTF-8 or UTF-16")
        })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }
}
