//! The part of CBOR (RFC 8949) that the profile needs: a writer into a caller's buffer and a strict reader.
//!
//! Both keep to the encoding rules of RFC 8949 §4.2.1 for single items: shortest arguments, definite lengths. Maps keep
//! the order of their labels, which the profile fixes differently.

mod reader;
mod writer;

pub use reader::{MAX_DEPTH, Reader};
pub use writer::Writer;

use core::fmt;

/// The kinds of data items: the major types of RFC 8949 §3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum Kind {
    /// Unsigned integer.
    Unsigned = 0,
    /// Negative integer.
    Negative = 1,
    /// Byte string.
    Bytes = 2,
    /// Text string.
    Text = 3,
    /// Array.
    Array = 4,
    /// Map.
    Map = 5,
    /// Tag.
    Tag = 6,
    /// Simple value or floating-point number.
    Simple = 7,
}

impl Kind {
    /// The kind in the three highest bits of an initial byte.
    const fn of(initial: u8) -> Self {
        match initial >> 5 {
            0 => Self::Unsigned,
            1 => Self::Negative,
            2 => Self::Bytes,
            3 => Self::Text,
            4 => Self::Array,
            5 => Self::Map,
            6 => Self::Tag,
            _ => Self::Simple,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned integer",
            Self::Negative => "negative integer",
            Self::Bytes => "byte string",
            Self::Text => "text string",
            Self::Array => "array",
            Self::Map => "map",
            Self::Tag => "tag",
            Self::Simple => "simple value",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is wrong with CBOR data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum CborProblem {
    /// The input ends within the item.
    Truncated,
    /// Bytes follow where the data should end.
    TrailingBytes,
    /// An item of indefinite length.
    Indefinite,
    /// An argument or a simple value that is not written in its shortest form.
    NotShortest,
    /// An initial byte that RFC 8949 reserves.
    Reserved,
    /// More levels of arrays, maps and tags than [`MAX_DEPTH`].
    TooDeep,
    /// A text string that is not UTF-8.
    NotUtf8,
    /// An item of another kind than wanted.
    Kind {
        /// The kind wanted.
        expected: Kind,
        /// The kind found.
        found: Kind,
    },
    /// An integer beyond the range of its use.
    IntegerRange,
    /// A byte or text string with another length than its use asks for.
    Length {
        /// Bytes wanted.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// An array or map with a number of entries that its use does not allow.
    Count {
        /// Entries found.
        found: usize,
    },
    /// A map label other than the one that has to come here.
    Label {
        /// The label wanted.
        expected: i64,
        /// The label found.
        found: i64,
    },
    /// A map label that occurs twice.
    DuplicateLabel {
        /// The label.
        label: i64,
    },
    /// A map lacks a label that its use requires.
    MissingLabel {
        /// The label.
        label: i64,
    },
    /// A value that its use does not allow.
    Value,
}

impl fmt::Display for CborProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated => f.write_str("the data ends here within an item"),
            Self::TrailingBytes => f.write_str("data follows where it should end"),
            Self::Indefinite => f.write_str("items of indefinite length are not allowed"),
            Self::NotShortest => f.write_str("value is not in its shortest form"),
            Self::Reserved => f.write_str("reserved initial byte"),
            Self::TooDeep => write!(f, "items are nested more than {MAX_DEPTH} deep"),
            Self::NotUtf8 => f.write_str("text is not UTF-8"),
            Self::Kind { expected, found } => write!(f, "{expected} wanted, {found} found"),
            Self::IntegerRange => f.write_str("integer is out of range"),
            Self::Length { expected, found } => write!(f, "{expected} bytes wanted, {found} found"),
            Self::Count { found } => write!(f, "{found} entries are not allowed here"),
            Self::Label { expected, found } => write!(f, "map label {expected} wanted, {found} found"),
            Self::DuplicateLabel { label } => write!(f, "map label {label} occurs twice"),
            Self::MissingLabel { label } => write!(f, "map label {label} is missing"),
            Self::Value => f.write_str("value is not allowed here"),
        }
    }
}
