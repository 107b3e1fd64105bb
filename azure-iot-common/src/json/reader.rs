//! The scanner: one pass over a value, everything checked, nesting kept in a bit field instead of a call stack.
use super::{Array, JsonError, JsonErrorKind, JsonStr, MAX_DEPTH, Object, Value, hex4};

/// U+FEFF in UTF-8, with which some writers begin a document (RFC 8259, section 8.1).
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A position in a text that is known to be UTF-8. All positions it stops at are next to ASCII characters.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
    /// Takes the grammar of RFC 8259 and no more.
    strict: bool,
}

impl<'a> Cursor<'a> {
    /// At the front of a value that a document is known to hold.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, strict: false }
    }

    /// At the front of a document; a byte order mark is passed over unless the reader is `strict`.
    pub(super) fn document(text: &'a str, strict: bool) -> Self {
        let marked = !strict && text.starts_with(BYTE_ORDER_MARK);
        Self { text, at: if marked { BYTE_ORDER_MARK.len_utf8() } else { 0 }, strict }
    }

    pub(super) fn error(&self, kind: JsonErrorKind) -> JsonError {
        JsonError { kind, at: self.at }
    }

    pub(super) fn peek(&self) -> Option<u8> {
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

    pub(super) fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Text from `start` to here.
    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or("")
    }

    /// Enters an array or object or passes a comma in it; `None` at its end.
    pub(super) fn open_or_comma(&mut self) -> Option<()> {
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
    pub(super) fn name(&mut self) -> Result<JsonStr<'a>, JsonError> {
        self.blanks();
        let start = self.at;
        self.string()?;
        let name = JsonStr(unquoted(self.since(start)));
        self.blanks();
        self.expect(b':')?;
        Ok(name)
    }

    /// A whole value, nested ones checked without recursion.
    pub(super) fn value(&mut self) -> Result<Value<'a>, JsonError> {
        self.blanks();
        let start = self.at;
        let first = self.peek();
        if matches!(first, Some(b'{' | b'[')) {
            self.nested()?;
        } else {
            self.scalar()?;
        }
        let text = self.since(start);
        Ok(match first {
            Some(b'{') => Value::Object(Object(text)),
            Some(b'[') => Value::Array(Array(text)),
            Some(b'"') => Value::String(JsonStr(unquoted(text))),
            Some(b't') => Value::Bool(true),
            Some(b'f') => Value::Bool(false),
            Some(b'n') => Value::Null,
            _ => Value::Number(text),
        })
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
                    self.skip_deep()?;
                } else {
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

    /// An object or array below the levels that are kept account of: only its end is looked for. Who enters it later
    /// reads it from its own front.
    fn skip_deep(&mut self) -> Result<(), JsonError> {
        let mut open = 0usize;
        loop {
            match self.peek() {
                None => return Err(self.unexpected()),
                Some(b'"') => {
                    self.string()?;
                    continue;
                }
                Some(b'{' | b'[') => open += 1,
                Some(b'}' | b']') => open -= 1,
                Some(_) => {}
            }
            self.at += 1;
            if open == 0 {
                return Ok(());
            }
        }
    }

    fn scalar(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            Some(b'N') if !self.strict => self.literal("NaN"),
            Some(b'I') if !self.strict => self.literal("Infinity"),
            _ => self.number(),
        }
    }

    fn literal(&mut self, word: &str) -> Result<(), JsonError> {
        word.bytes().try_for_each(|byte| self.expect(byte))
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

    fn number(&mut self) -> Result<(), JsonError> {
        if self.take(b'-') && !self.strict && self.peek() == Some(b'I') {
            return self.literal("Infinity");
        }
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
        Ok(())
    }

    fn string(&mut self) -> Result<(), JsonError> {
        self.expect(b'"')?;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                None | Some(0..0x20) => return Err(self.unexpected()),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        let bad = self.error(JsonErrorKind::BadEscape);
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                return Ok(());
            }
            Some(b'u') => {}
            Some(_) => return Err(bad),
            None => return Err(self.unexpected()),
        }
        // Half of a surrogate pair is the grammar's, too: it stands for U+FFFD.
        self.unit().map(drop).ok_or(bad)
    }

    /// `u` and four hexadecimal digits.
    fn unit(&mut self) -> Option<u32> {
        let unit = match self.text.as_bytes().get(self.at..)? {
            [b'u', digits @ ..] => hex4(digits)?,
            _ => return None,
        };
        self.at += 5;
        Some(unit)
    }
}

/// A string without its quotes.
fn unquoted(text: &str) -> &str {
    text.get(1..text.len().wrapping_sub(1)).unwrap_or("")
}
