//! The fields behind the question mark of a topic or URL: `name=value&name=value`, in any order, unknown ones between
//! them.
//!
//! Names are compared percent-decoded and without case (`$rid`, `%24rid` and `$RID` are one name): the services write
//! them in more than one way. Values are given as they stand.
use crate::percent;
use crate::text::{Pieces, cut, parse_u32};

/// The values of the fields `name` that are not empty, in order.
pub fn values<'a>(query: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    Pieces::new(query, b'&').filter_map(move |field| {
        let (found, value) = cut(field, b'=');
        value.filter(|value| !value.is_empty() && is_name(found, name))
    })
}

/// Whether the encoded text is this name, but for the case of ASCII letters.
#[must_use]
pub fn is_name(encoded: &str, name: &str) -> bool {
    let mut wanted = name.bytes();
    percent::Decoder::new(encoded).all(|byte| {
        byte.is_ok_and(|byte| wanted.next().is_some_and(|other| byte.eq_ignore_ascii_case(&other)))
    }) && wanted.next().is_none()
}

/// Seconds to wait, as they stand in `retry-after`: a number of seconds, a fraction rounded up. `None` for anything
/// else: it is a hint, and an answer with a hint that cannot be read is an answer without one.
#[must_use]
pub fn seconds(text: &str) -> Option<u32> {
    let (whole, fraction) = cut(text, b'.');
    let seconds = parse_u32(whole)?;
    match fraction {
        None => Some(seconds),
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            seconds.checked_add(digits.bytes().any(|byte| byte != b'0').into())
        }
        Some(_) => None,
    }
}

/// The longest wait that the query asks for in fields `retry-after`, in seconds.
#[must_use]
pub fn retry_after(query: &str) -> Option<u32> {
    values(query, "retry-after").filter_map(seconds).max()
}
