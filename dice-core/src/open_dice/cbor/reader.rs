//! Reading CBOR, strictly.

use super::{CborProblem, Kind};
use crate::{Error, Result};

/// The most levels of arrays, maps and tags that [`Reader::skip`] follows.
pub const MAX_DEPTH: usize = 16;

/// Reads data items one after another.
///
/// Items of indefinite length and arguments that are not in their shortest form are refused. Errors carry the position
/// of the item at fault, counted from the start of the outermost input.
///
/// ```
/// use dice_core::Error;
/// use dice_core::open_dice::cbor::{CborProblem, Reader};
///
/// let mut reader = Reader::new(b"\xa1\x27\x18\x05");
/// assert_eq!(reader.map()?, 1);
/// assert_eq!(reader.integer()?, -8);
/// let error = reader.integer().unwrap_err(); // 5 in two bytes
/// assert_eq!(error, Error::Cbor { offset: 2, problem: CborProblem::NotShortest });
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    input: &'a [u8],
    position: usize,
    /// Position of `input` in the outermost input.
    base: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the beginning of `input`.
    #[must_use]
    pub const fn new(input: &'a [u8]) -> Self {
        Self { input, position: 0, base: 0 }
    }

    /// A reader for bytes that stand at `base` in the outermost input.
    #[must_use]
    pub(crate) const fn nested(input: &'a [u8], base: usize) -> Self {
        Self { input, position: 0, base }
    }

    /// Position of the next item, counted from the start of the outermost input.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.base.saturating_add(self.position)
    }

    /// Whether everything has been read.
    #[must_use]
    pub const fn is_at_end(&self) -> bool {
        self.position == self.input.len()
    }

    /// Checks that everything has been read.
    ///
    /// # Errors
    /// [`CborProblem::TrailingBytes`].
    pub fn finish(&self) -> Result<()> {
        if self.is_at_end() { Ok(()) } else { Err(self.problem(CborProblem::TrailingBytes)) }
    }

    /// The error with `problem` at the next item.
    pub(crate) const fn problem(&self, problem: CborProblem) -> Error {
        Error::Cbor { offset: self.offset(), problem }
    }

    /// The kind of the next item, without reading it.
    ///
    /// # Errors
    /// [`CborProblem::Truncated`] at the end.
    pub fn kind(&self) -> Result<Kind> {
        self.input
            .get(self.position)
            .map(|initial| Kind::of(*initial))
            .ok_or(self.problem(CborProblem::Truncated))
    }

    /// An unsigned integer.
    ///
    /// # Errors
    /// [`Error::Cbor`] for everything else.
    pub fn unsigned(&mut self) -> Result<u64> {
        self.argument(Kind::Unsigned)
    }

    /// An integer in the range of `i64`.
    ///
    /// # Errors
    /// [`CborProblem::IntegerRange`] beyond it, and [`Error::Cbor`] for everything else.
    pub fn integer(&mut self) -> Result<i64> {
        let range = self.problem(CborProblem::IntegerRange);
        if self.kind()? == Kind::Negative {
            let argument = i64::try_from(self.argument(Kind::Negative)?).map_err(|_| range)?;
            Ok(!argument)
        } else {
            i64::try_from(self.argument(Kind::Unsigned)?).map_err(|_| range)
        }
    }

    /// A byte string.
    ///
    /// # Errors
    /// [`Error::Cbor`] for everything else.
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        self.string(Kind::Bytes)
    }

    /// A byte string of `N` bytes.
    ///
    /// # Errors
    /// [`CborProblem::Length`] for another length, [`Error::Cbor`] for everything else.
    pub fn bytes_array<const N: usize>(&mut self) -> Result<&'a [u8; N]> {
        let start = self.clone();
        let bytes = self.bytes()?;
        bytes.try_into().map_err(|_| start.problem(CborProblem::Length { expected: N, found: bytes.len() }))
    }

    /// A byte string, as a reader for the items in it.
    ///
    /// # Errors
    /// [`Error::Cbor`] for everything else.
    pub fn bytes_reader(&mut self) -> Result<Self> {
        let bytes = self.bytes()?;
        Ok(Self::nested(bytes, self.offset().saturating_sub(bytes.len())))
    }

    /// A text string.
    ///
    /// # Errors
    /// [`CborProblem::NotUtf8`], and [`Error::Cbor`] for everything else.
    pub fn text(&mut self) -> Result<&'a str> {
        let start = self.clone();
        core::str::from_utf8(self.string(Kind::Text)?).map_err(|_| start.problem(CborProblem::NotUtf8))
    }

    /// The beginning of an array: the number of items that follow.
    ///
    /// # Errors
    /// [`Error::Cbor`] for everything else, also if there are more items than bytes left.
    pub fn array(&mut self) -> Result<usize> {
        self.count(Kind::Array, 1)
    }

    /// The beginning of a map: the number of pairs that follow.
    ///
    /// # Errors
    /// [`Error::Cbor`] for everything else, also if there are more pairs than bytes left.
    pub fn map(&mut self) -> Result<usize> {
        self.count(Kind::Map, 2)
    }

    /// The simple value null.
    ///
    /// # Errors
    /// [`Error::Cbor`] for everything else.
    pub fn null(&mut self) -> Result<()> {
        let start = self.clone();
        self.argument(Kind::Simple)?;
        // The bits of a floating-point number are an argument, too, and may be 22.
        if start.input.get(start.position..self.position) == Some(&[0xf6][..]) {
            Ok(())
        } else {
            Err(start.problem(CborProblem::Value))
        }
    }

    /// Reads over one item with everything in it, and gives its bytes.
    ///
    /// Every part of it is checked for well-formedness, but labels of maps are not compared.
    ///
    /// # Errors
    /// [`Error::Cbor`], also for items more than [`MAX_DEPTH`] levels deep.
    pub fn skip(&mut self) -> Result<&'a [u8]> {
        let start = self.position;
        // Items still to be read on each open level; the outermost "level" is the item itself.
        let mut pending = [0_u64; MAX_DEPTH];
        let mut depth = 0_usize;
        loop {
            let too_deep = self.problem(CborProblem::TooDeep);
            let children = self.skip_head()?;
            if children > 0 {
                *pending.get_mut(depth).ok_or(too_deep)? = children;
                depth += 1;
                continue;
            }
            // One item is complete, and with it each level of which it was the last.
            loop {
                let Some(remaining) = pending.get_mut(..depth).and_then(<[u64]>::last_mut) else {
                    return Ok(self.input.get(start..self.position).unwrap_or_default());
                };
                *remaining = remaining.saturating_sub(1);
                if *remaining > 0 {
                    break;
                }
                depth -= 1;
            }
        }
    }

    /// Reads one item without the items in it, and gives their number.
    fn skip_head(&mut self) -> Result<u64> {
        let widen = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        match self.kind()? {
            Kind::Bytes => self.bytes().map(|_| 0),
            Kind::Text => self.text().map(|_| 0),
            Kind::Array => self.array().map(widen),
            Kind::Map => self.map().map(|pairs| widen(pairs).saturating_mul(2)),
            Kind::Tag => self.argument(Kind::Tag).map(|_| 1),
            kind => self.argument(kind).map(|_| 0),
        }
    }

    fn string(&mut self, kind: Kind) -> Result<&'a [u8]> {
        let start = self.clone();
        let truncated = start.problem(CborProblem::Truncated);
        let len = usize::try_from(self.argument(kind)?).map_err(|_| truncated)?;
        let end = self.position.checked_add(len).ok_or(truncated)?;
        let bytes = self.input.get(self.position..end).ok_or(truncated)?;
        self.position = end;
        Ok(bytes)
    }

    /// The number of entries of an array or map, each of which takes at least `least` bytes.
    fn count(&mut self, kind: Kind, least: usize) -> Result<usize> {
        let truncated = self.problem(CborProblem::Truncated);
        let count = usize::try_from(self.argument(kind)?).map_err(|_| truncated)?;
        let room = self.input.len().saturating_sub(self.position) / least;
        if count <= room { Ok(count) } else { Err(truncated) }
    }

    /// Initial byte and argument of an item of the kind given (RFC 8949 §3).
    fn argument(&mut self, expected: Kind) -> Result<u64> {
        let truncated = self.problem(CborProblem::Truncated);
        let rest = self.input.get(self.position..).unwrap_or_default();
        let (initial, rest) = rest.split_first().ok_or(truncated)?;
        let found = Kind::of(*initial);
        if found != expected {
            return Err(self.problem(CborProblem::Kind { expected, found }));
        }
        // The argument, the bytes it takes, and the smallest value that needs as many.
        let (argument, len, smallest) = match initial & 0x1f {
            short @ 0..24 => (u64::from(short), 0, 0),
            24 => (u64::from(u8::from_be_bytes(*rest.first_chunk().ok_or(truncated)?)), 1, 24),
            25 => (u64::from(u16::from_be_bytes(*rest.first_chunk().ok_or(truncated)?)), 2, 1 << 8),
            26 => (u64::from(u32::from_be_bytes(*rest.first_chunk().ok_or(truncated)?)), 4, 1 << 16),
            27 => (u64::from_be_bytes(*rest.first_chunk().ok_or(truncated)?), 8, 1 << 32),
            31 => return Err(self.problem(CborProblem::Indefinite)),
            _ => return Err(self.problem(CborProblem::Reserved)),
        };
        // The argument of a simple value is its number or the bits of a floating-point number, whose length counts.
        let too_long = match (found, len) {
            (Kind::Simple, 1) => argument < 32,
            (Kind::Simple, _) => false,
            _ => argument < smallest,
        };
        if too_long {
            return Err(self.problem(CborProblem::NotShortest));
        }
        self.position += 1 + len;
        Ok(argument)
    }
}
