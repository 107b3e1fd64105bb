//! What the `$iothub` topics share: a path, then `/?name=value&name=value`.

use crate::Error;
use azure_iot_common::text::{Pieces, cut};

/// The value of the field `name` in the text after the question mark; a field may stand there once.
pub(crate) fn field<'a>(query: &'a str, name: &'static str) -> Result<Option<&'a str>, Error> {
    let mut found = None;
    for field in Pieces::new(query, b'&') {
        let (field, value) = cut(field, b'=');
        if field == name
            && let Some(value) = value
            && (value.is_empty() || found.replace(value).is_some())
        {
            return Err(Error::BadTopic(name));
        }
    }
    Ok(found)
}

/// The element of a path before `/?`, and the query after it.
pub(crate) fn last_element(path: &str) -> Option<(&str, &str)> {
    let (element, query) = cut(path, b'/');
    Some((element, query?.strip_prefix('?')?))
}
