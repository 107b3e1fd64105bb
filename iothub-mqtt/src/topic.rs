//! What the `$iothub` topics share: a path, then `/?name=value&name=value`.

use crate::Error;
use azure_iot_common::text::Writer;

/// Longest request id taken, in bytes.
pub(crate) const MAX_REQUEST_ID: usize = 64;

/// The topic of a request: `head` ends with `$rid=`.
///
/// # Errors
/// [`Error::BufferTooSmall`]; [`Error::Invalid`] for an empty id or one longer than [`MAX_REQUEST_ID`].
pub(crate) fn request<'b>(head: &str, request_id: &str, out: &'b mut [u8]) -> Result<&'b str, Error> {
    if request_id.is_empty() || request_id.len() > MAX_REQUEST_ID {
        return Err(Error::Invalid { what: "request id", at: request_id.len() });
    }
    let mut text = Writer::new(out);
    text.text(head).text(request_id);
    Ok(text.finish_str()?)
}

/// The element of a path before the first `/?`, and the query after it.
pub(crate) fn last_element(path: &str) -> Option<(&str, &str)> {
    let at = path.find("/?")?;
    Some((path.get(..at)?, path.get(at + 2..)?))
}
