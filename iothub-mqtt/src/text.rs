//! Checks of text given to this crate.

use crate::Error;

/// Position of the first byte of `text` that `allowed` refuses.
pub(crate) fn check(
    what: &'static str,
    text: &str,
    max: usize,
    allowed: fn(u8) -> bool,
) -> Result<(), Error> {
    let at = if text.is_empty() || text.len() > max {
        text.len()
    } else {
        match text.bytes().position(|byte| !allowed(byte)) {
            Some(at) => at,
            None => return Ok(()),
        }
    };
    Err(Error::Invalid { what, at })
}
