//! A pull reader for JSON (RFC 8259): borrowed, without an allocator and without recursion.
//!
//! [`parse`] checks the whole document first; what it hands out can then be walked without further errors. Members are
//! looked at level by level, so a name inside a nested object is never taken for one of the outer object.
//!
//! It takes what back ends in any language write: blanks anywhere, every escape, halves of surrogate pairs (read as
//! U+FFFD), numbers of any size and form, names that repeat ([`Object::get`] gives the last, as most readers do), any
//! depth, a byte order mark at the front, and `NaN` and `Infinity`, which some writers use for numbers. What is not
//! JSON for another reason, or is cut off, is refused as a whole. [`check`] is for what is sent: it takes the
//! standard's grammar and no more.
//!
//! Why not a ready crate: `serde-json-core` 0.7 skips unknown members by recursion, takes illegal text for skipped
//! scalars and gives no raw spans, which the custom `payload` of a registration needs.
mod number;
mod reader;

use core::fmt;

use crate::Error;
use reader::Cursor;

/// Levels of objects and arrays whose brackets are matched by kind; of what lies deeper only the end is looked for.
const MAX_DEPTH: u32 = 32;

/// Why a text is not acceptable JSON, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct JsonError {
    /// What was wrong.
    pub kind: JsonErrorKind,
    /// Byte position in the document, from 0.
    pub at: usize,
}

/// The kinds of [`JsonError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum JsonErrorKind {
    /// The document ends inside a value.
    UnexpectedEnd,
    /// A byte that cannot stand here.
    UnexpectedByte(u8),
    /// Not UTF-8.
    InvalidUtf8,
    /// An unknown escape.
    BadEscape,
    /// Something follows the document.
    TrailingData,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            JsonErrorKind::UnexpectedEnd => f.write_str("JSON ends too early")?,
            JsonErrorKind::UnexpectedByte(byte) => write!(f, "unexpected byte 0x{byte:02x} in JSON")?,
            JsonErrorKind::InvalidUtf8 => f.write_str("JSON is not UTF-8")?,
            JsonErrorKind::BadEscape => f.write_str("bad escape in a JSON string")?,
            JsonErrorKind::TrailingData => f.write_str("data after the JSON document")?,
        }
        write!(f, " at byte {}", self.at)
    }
}

impl core::error::Error for JsonError {}

/// One JSON value, borrowed from the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number as it stands in the document; also `NaN`, `Infinity` and `-Infinity`.
    Number(&'a str),
    /// A string.
    String(JsonStr<'a>),
    /// An array.
    Array(Array<'a>),
    /// An object.
    Object(Object<'a>),
}

impl<'a> Value<'a> {
    /// The number, if this is a whole one that fits, however it is written: `1000`, `1000.0` and `1e3` are the same.
    #[must_use]
    pub fn as_u32(&self) -> Option<u32> {
        self.as_u64()?.try_into().ok()
    }

    /// As [`as_u32`](Self::as_u32), with 64 bits.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        let Self::Number(text) = self else { return None };
        let (negative, magnitude) = number::whole(text)?;
        (!negative || magnitude == 0).then_some(magnitude)
    }

    /// As [`as_u64`](Self::as_u64), with a sign.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        let Self::Number(text) = self else { return None };
        let (negative, magnitude) = number::whole(text)?;
        if negative { 0i64.checked_sub_unsigned(magnitude) } else { magnitude.try_into().ok() }
    }

    /// The truth value, if this is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The string, if this is one.
    #[must_use]
    pub fn as_str(&self) -> Option<JsonStr<'a>> {
        match self {
            Self::String(text) => Some(*text),
            _ => None,
        }
    }

    /// The object, if this is one.
    #[must_use]
    pub fn as_object(&self) -> Option<Object<'a>> {
        match self {
            Self::Object(object) => Some(*object),
            _ => None,
        }
    }

    /// The array, if this is one.
    #[must_use]
    pub fn as_array(&self) -> Option<Array<'a>> {
        match self {
            Self::Array(array) => Some(*array),
            _ => None,
        }
    }
}

/// A checked array; [`Array::raw`] is its text with the brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Array<'a>(&'a str);

impl<'a> Array<'a> {
    /// The text of the array, brackets included.
    #[must_use]
    pub fn raw(&self) -> &'a str {
        self.0
    }

    /// Its elements in order.
    #[must_use]
    pub fn elements(&self) -> Elements<'a> {
        Elements(Cursor::new(self.0))
    }
}

/// A checked object; [`Object::raw`] is its text with the braces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Object<'a>(&'a str);

impl<'a> Object<'a> {
    /// The text of the object, braces included.
    #[must_use]
    pub fn raw(&self) -> &'a str {
        self.0
    }

    /// The object without members.
    pub const EMPTY: Object<'static> = Object("{}");

    /// The value of the member `name`; the last one if the name repeats.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        self.members().filter(|(found, _)| *found == *name).last().map(|(_, value)| value)
    }

    /// Its members in order, nested ones not included. Names may repeat; that is the reader's to judge.
    #[must_use]
    pub fn members(&self) -> Members<'a> {
        Members(Cursor::new(self.0))
    }
}

/// Iterator over the elements of an [`Array`].
#[derive(Clone, Debug)]
pub struct Elements<'a>(Cursor<'a>);

impl<'a> Iterator for Elements<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.open_or_comma()?;
        self.0.value().ok()
    }
}

/// Iterator over the members of an [`Object`].
#[derive(Clone, Debug)]
pub struct Members<'a>(Cursor<'a>);

impl<'a> Iterator for Members<'a> {
    type Item = (JsonStr<'a>, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.open_or_comma()?;
        let name = self.0.name().ok()?;
        Some((name, self.0.value().ok()?))
    }
}

/// A JSON string whose escapes have been checked but not yet replaced.
///
/// Compare it with `==`, copy it with [`JsonStr::unescape`], or print it; all three see the real characters.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct JsonStr<'a>(&'a str);

impl<'a> JsonStr<'a> {
    /// The text between the quotes as it stands in the document.
    #[must_use]
    pub fn raw(&self) -> &'a str {
        self.0
    }

    /// Whether the string has no characters.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The characters, escapes replaced.
    #[must_use]
    pub fn chars(&self) -> Chars<'a> {
        Chars(self.0)
    }

    /// The string with its escapes replaced, in `out`.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`] with the UTF-8 bytes needed.
    pub fn unescape<'b>(&self, out: &'b mut [u8]) -> Result<&'b str, Error> {
        let mut writer = crate::text::Writer::new(out);
        for character in self.chars() {
            writer.text(character.encode_utf8(&mut [0; 4]));
        }
        writer.finish_str()
    }

    /// Whether the two are the same but for the case of ASCII letters.
    #[must_use]
    pub fn eq_ignore_ascii_case(&self, other: &str) -> bool {
        self.same(other, |a, b| a.eq_ignore_ascii_case(&b))
    }

    fn same(&self, other: &str, equal: fn(char, char) -> bool) -> bool {
        let mut others = other.chars();
        self.chars().all(|a| others.next().is_some_and(|b| equal(a, b))) && others.next().is_none()
    }

    /// What the table has for this word.
    #[must_use]
    pub fn find<T: Copy>(self, table: &[(&str, T)]) -> Option<T> {
        table.iter().find(|(word, _)| self == *word).map(|(_, meaning)| *meaning)
    }

    /// Appends as many characters as fit, escapes replaced; whether that was all.
    pub fn copy_to<W: fmt::Write + ?Sized>(self, out: &mut W) -> bool {
        self.chars().all(|character| out.write_char(character).is_ok())
    }
}

impl PartialEq<str> for JsonStr<'_> {
    fn eq(&self, other: &str) -> bool {
        self.same(other, |a, b| a == b)
    }
}

impl PartialEq<&str> for JsonStr<'_> {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

impl PartialEq for JsonStr<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.chars().eq(other.chars())
    }
}

impl Eq for JsonStr<'_> {}

impl fmt::Display for JsonStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        self.chars().try_for_each(|character| f.write_char(character))
    }
}

/// Iterator over the characters of a [`JsonStr`].
#[derive(Clone, Debug)]
pub struct Chars<'a>(&'a str);

impl Iterator for Chars<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let first = self.0.chars().next()?;
        let (character, len) = match (first, self.0.as_bytes().get(1)) {
            ('\\', Some(b'b')) => ('\u{8}', 2),
            ('\\', Some(b'f')) => ('\u{c}', 2),
            ('\\', Some(b'n')) => ('\n', 2),
            ('\\', Some(b'r')) => ('\r', 2),
            ('\\', Some(b't')) => ('\t', 2),
            ('\\', Some(b'u')) => {
                let unit = self.unit_at(2)?;
                match self.low_surrogate_at(6) {
                    Some(low) if is_high_surrogate(unit) => {
                        (char::from_u32(0x1_0000 + ((unit & 0x3ff) << 10) + (low & 0x3ff))?, 12)
                    }
                    _ => (char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER), 6),
                }
            }
            // `"`, `\` and `/` stand for themselves.
            ('\\', Some(&other)) => (char::from(other), 2),
            _ => (first, first.len_utf8()),
        };
        self.0 = self.0.get(len..)?;
        Some(character)
    }
}

impl Chars<'_> {
    /// The UTF-16 unit whose four digits start here.
    fn unit_at(&self, at: usize) -> Option<u32> {
        hex4(self.0.as_bytes().get(at..)?)
    }

    /// The low half of a surrogate pair whose escape starts here.
    fn low_surrogate_at(&self, at: usize) -> Option<u32> {
        self.0.as_bytes().get(at..)?.strip_prefix(b"\\u")?;
        self.unit_at(at + 2).filter(|unit| is_low_surrogate(*unit))
    }
}

/// The number that the first four bytes write in hexadecimal.
fn hex4(digits: &[u8]) -> Option<u32> {
    let digits = digits.first_chunk::<4>()?;
    digits.iter().try_fold(0, |value, &digit| Some(value << 4 | char::from(digit).to_digit(16)?))
}

fn is_high_surrogate(unit: u32) -> bool {
    unit & 0xfc00 == 0xd800
}

fn is_low_surrogate(unit: u32) -> bool {
    unit & 0xfc00 == 0xdc00
}

/// Checks a whole document and gives its value.
///
/// ```
/// use azure_iot_common::json;
/// let object = json::parse(br#"{"status":"assigned","n":{"status":"x"}}"#)?.as_object().unwrap();
/// let (name, value) = object.members().next().unwrap();
/// assert!(name == "status" && value.as_str().unwrap() == "assigned");
/// # Ok::<(), json::JsonError>(())
/// ```
///
/// # Errors
/// [`JsonError`] with the position of the first fault.
pub fn parse(document: &[u8]) -> Result<Value<'_>, JsonError> {
    read(document, false)
}

/// Checks a document that is to be sent: the grammar of RFC 8259, without a byte order mark, `NaN` or `Infinity`.
///
/// # Errors
/// [`JsonError`] with the position of the first fault.
pub fn check(document: &[u8]) -> Result<(), JsonError> {
    read(document, true).map(drop)
}

fn read(document: &[u8], strict: bool) -> Result<Value<'_>, JsonError> {
    let text = core::str::from_utf8(document)
        .map_err(|e| JsonError { kind: JsonErrorKind::InvalidUtf8, at: e.valid_up_to() })?;
    let mut cursor = Cursor::document(text, strict);
    let value = cursor.value()?;
    cursor.blanks();
    match cursor.peek() {
        None => Ok(value),
        Some(_) => Err(cursor.error(JsonErrorKind::TrailingData)),
    }
}
