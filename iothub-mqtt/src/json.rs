//! Writing JSON into a caller's buffer; reading it is [`read`].

use crate::Error;
/// Reading JSON: borrowed, checked as a whole, without recursion.
pub use azure_iot_common::json as read;
use azure_iot_common::text::Writer;

/// A JSON value to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A string; it gets quoted and escaped.
    String(&'a str),
    /// JSON text as it is, for everything else: fractions, arrays, objects. It is checked.
    Raw(&'a str),
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i32> for Value<'_> {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<u32> for Value<'_> {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::String(value)
    }
}

/// Writes a string with its quotes.
pub(crate) fn string(text: &mut Writer<'_>, value: &str) {
    text.text("\"");
    for character in value.chars() {
        match character {
            '"' => text.text("\\\""),
            '\\' => text.text("\\\\"),
            '\n' => text.text("\\n"),
            '\r' => text.text("\\r"),
            '\t' => text.text("\\t"),
            '\0'..' ' => {
                // Two digits, the first of them 0 or 1.
                let low = char::from_digit(u32::from(character) & 0xF, 16).unwrap_or('0');
                text.text(if character < '\u{10}' { "\\u000" } else { "\\u001" });
                text.text(low.encode_utf8(&mut [0; 4]))
            }
            other => text.text(other.encode_utf8(&mut [0; 4])),
        };
    }
    text.text("\"");
}

/// Writes a value.
pub(crate) fn value(text: &mut Writer<'_>, value: Value<'_>) -> Result<(), Error> {
    match value {
        Value::Null => text.text("null"),
        Value::Bool(true) => text.text("true"),
        Value::Bool(false) => text.text("false"),
        Value::Int(number) => text.decimal_i64(number),
        Value::String(value) => {
            string(text, value);
            text
        }
        Value::Raw(raw) => {
            read::check(raw.as_bytes())?;
            text.text(raw)
        }
    };
    Ok(())
}
