//! A strict pull reader for the JSON of RFC 8259: borrowed, without an allocator and without recursion.
//!
//! [`parse`] checks the whole document first (syntax, UTF-8, escapes, depth, nothing after the end); what it hands
//! out can then be walked without further errors. Members are looked at level by level, so a name inside a nested
//! object is never taken for one of the outer object.
//!
//! Why not a ready crate: `serde-json-core` 0.7 skips unknown members by recursion, takes illegal text for skipped
//! scalars and gives no raw spans, which the custom `payload` of a registration needs.
use core::fmt;

use crate::Error;

/// Deepest nesting accepted, in objects and arrays.
pub const MAX_DEPTH: u32 = 32;

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
    /// An unknown escape, or half of a surrogate pair.
    BadEscape,
    /// More than [`MAX_DEPTH`] levels.
    TooDeep,
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
            JsonErrorKind::TooDeep => f.write_str("JSON is nested too deeply")?,
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
    /// A number as it stands in the document.
    Number(&'a str),
    /// A string.
    String(JsonStr<'a>),
    /// An array.
    Array(Array<'a>),
    /// An object.
    Object(Object<'a>),
}

impl<'a> Value<'a> {
    /// The number, if this is a whole one without sign, fraction and exponent that fits 32 bits.
    #[must_use]
    pub fn as_u32(&self) -> Option<u32> {
        match self {
            Self::Number(digits) => crate::buf::parse_u32(digits),
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
        Elements(Cursor { text: self.0, at: 0 })
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

    /// Its members in order, nested ones not included. Names may repeat; that is the reader's to judge.
    #[must_use]
    pub fn members(&self) -> Members<'a> {
        Members(Cursor { text: self.0, at: 0 })
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
        Chars(self.0.chars())
    }

    /// The string with its escapes replaced, in `out`.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`] with the UTF-8 bytes needed.
    pub fn unescape<'b>(&self, out: &'b mut [u8]) -> Result<&'b str, Error> {
        let mut writer = crate::buf::Writer::new(out);
        for character in self.chars() {
            writer.text(character.encode_utf8(&mut [0; 4]));
        }
        writer.finish_str()
    }

    /// Whether the two are the same but for the case of ASCII letters.
    #[must_use]
    pub fn eq_ignore_ascii_case(&self, other: &str) -> bool {
        self.chars().map(|c| c.to_ascii_lowercase()).eq(other.chars().map(|c| c.to_ascii_lowercase()))
    }

    /// The string with its escapes replaced as a value of its own, or `None` if it is longer than `N` bytes.
    pub(crate) fn to_owned<const N: usize>(self) -> Option<heapless::String<N>> {
        let mut owned = heapless::String::new();
        for character in self.chars() {
            owned.push(character).ok()?;
        }
        Some(owned)
    }
}

impl PartialEq<str> for JsonStr<'_> {
    fn eq(&self, other: &str) -> bool {
        self.chars().eq(other.chars())
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
pub struct Chars<'a>(core::str::Chars<'a>);

impl Chars<'_> {
    fn hex4(&mut self) -> Option<u32> {
        let mut value = 0;
        for _ in 0..4 {
            value = value << 4 | self.0.next()?.to_digit(16)?;
        }
        Some(value)
    }
}

impl Iterator for Chars<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        match self.0.next()? {
            '\\' => match self.0.next()? {
                'b' => Some('\u{8}'),
                'f' => Some('\u{c}'),
                'n' => Some('\n'),
                'r' => Some('\r'),
                't' => Some('\t'),
                'u' => {
                    let unit = self.hex4()?;
                    if !is_high_surrogate(unit) {
                        return char::from_u32(unit);
                    }
                    // `\u` of the second half; the reader has seen it.
                    self.0.next()?;
                    self.0.next()?;
                    let low = self.hex4()?;
                    char::from_u32(0x1_0000 + ((unit & 0x3ff) << 10) + (low & 0x3ff))
                }
                // `"`, `\` and `/` stand for themselves.
                other => Some(other),
            },
            other => Some(other),
        }
    }
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
/// use dps_client::json;
/// let object = json::parse(br#"{"status":"assigned","n":{"status":"x"}}"#)?.as_object().unwrap();
/// let (name, value) = object.members().next().unwrap();
/// assert!(name == "status" && value.as_str().unwrap() == "assigned");
/// # Ok::<(), json::JsonError>(())
/// ```
///
/// # Errors
/// [`JsonError`] with the position of the first fault.
pub fn parse(document: &[u8]) -> Result<Value<'_>, JsonError> {
    let text = core::str::from_utf8(document)
        .map_err(|e| JsonError { kind: JsonErrorKind::InvalidUtf8, at: e.valid_up_to() })?;
    let mut cursor = Cursor { text, at: 0 };
    let value = cursor.value()?;
    cursor.blanks();
    match cursor.peek() {
        None => Ok(value),
        Some(_) => Err(cursor.error(JsonErrorKind::TrailingData)),
    }
}

/// A position in a text that is known to be UTF-8. All positions it stops at are next to ASCII characters.
#[derive(Clone, Debug)]
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn error(&self, kind: JsonErrorKind) -> JsonError {
        JsonError { kind, at: self.at }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The fault that the byte at this position is.
    fn unexpected(&self) -> JsonError {
        self.error(match self.peek() {
            Some(byte) => JsonErrorKind::UnexpectedByte(byte),
            None => JsonErrorKind::UnexpectedEnd,
        })
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.take(byte) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Text from `start` to here.
    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or("")
    }

    /// Enters an array or object or passes a comma in it; `None` at its end.
    fn open_or_comma(&mut self) -> Option<()> {
        self.blanks();
        let opens = matches!(self.peek(), Some(b'[' | b'{')) && self.at == 0;
        if !opens && self.peek() != Some(b',') {
            return None;
        }
        self.at += 1;
        self.blanks();
        (!matches!(self.peek(), Some(b']' | b'}'))).then_some(())
    }

    /// A member name with its colon.
    fn name(&mut self) -> Result<JsonStr<'a>, JsonError> {
        self.blanks();
        let name = self.string()?;
        self.blanks();
        self.expect(b':')?;
        Ok(name)
    }

    /// A whole value, nested ones checked without recursion.
    fn value(&mut self) -> Result<Value<'a>, JsonError> {
        self.blanks();
        let start = self.at;
        match self.peek() {
            Some(b'{') => {
                self.nested()?;
                Ok(Value::Object(Object(self.since(start))))
            }
            Some(b'[') => {
                self.nested()?;
                Ok(Value::Array(Array(self.since(start))))
            }
            _ => self.scalar(),
        }
    }

    fn nested(&mut self) -> Result<(), JsonError> {
        // One bit a level, the lowest for the innermost: set for an object.
        let mut objects = 0u32;
        let mut depth = 0u32;
        loop {
            // A value is due here.
            self.blanks();
            let open = self.peek();
            if let Some(b'{' | b'[') = open {
                if depth == MAX_DEPTH {
                    return Err(self.error(JsonErrorKind::TooDeep));
                }
                self.at += 1;
                depth += 1;
                objects = objects << 1 | u32::from(open == Some(b'{'));
                self.blanks();
                if !matches!(self.peek(), Some(b']' | b'}')) {
                    if objects & 1 == 1 {
                        self.name()?;
                    }
                    continue;
                }
            } else {
                self.scalar()?;
            }
            // A value, or an empty nest, ends here.
            loop {
                let object = objects & 1 == 1;
                self.blanks();
                if self.take(b',') {
                    if object {
                        self.name()?;
                    }
                    break;
                }
                self.expect(if object { b'}' } else { b']' })?;
                depth -= 1;
                objects >>= 1;
                if depth == 0 {
                    return Ok(());
                }
            }
        }
    }

    fn scalar(&mut self) -> Result<Value<'a>, JsonError> {
        match self.peek() {
            Some(b'"') => Ok(Value::String(self.string()?)),
            Some(b't') => self.literal("true", Value::Bool(true)),
            Some(b'f') => self.literal("false", Value::Bool(false)),
            Some(b'n') => self.literal("null", Value::Null),
            _ => self.number(),
        }
    }

    fn literal(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, JsonError> {
        for byte in word.bytes() {
            self.expect(byte)?;
        }
        Ok(value)
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.unexpected());
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Value<'a>, JsonError> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits()?;
        }
        Ok(Value::Number(self.since(start)))
    }

    fn string(&mut self) -> Result<JsonStr<'a>, JsonError> {
        self.expect(b'"')?;
        let start = self.at;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let text = JsonStr(self.since(start));
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => self.escape()?,
                None | Some(0..0x20) => return Err(self.unexpected()),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        let at = self.at;
        let bad = JsonError { kind: JsonErrorKind::BadEscape, at };
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                let unit = self.hex4(bad)?;
                if is_low_surrogate(unit) {
                    return Err(bad);
                }
                if is_high_surrogate(unit) {
                    self.expect(b'\\')?;
                    self.expect(b'u')?;
                    if !is_low_surrogate(self.hex4(bad)?) {
                        return Err(bad);
                    }
                }
            }
            Some(_) => return Err(bad),
            None => return Err(self.unexpected()),
        }
        Ok(())
    }

    fn hex4(&mut self, bad: JsonError) -> Result<u32, JsonError> {
        let mut value = 0;
        for _ in 0..4 {
            let byte = self.peek().ok_or(self.unexpected())?;
            value = value << 4 | char::from(byte).to_digit(16).ok_or(bad)?;
            self.at += 1;
        }
        Ok(value)
    }
}
