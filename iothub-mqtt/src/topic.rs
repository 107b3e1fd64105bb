//! What the `$iothub` topics share: a path, then `/?name=value&name=value`.

use crate::Error;

/// The value of the field `name` in the text after the question mark; a field may stand there once.
pub(crate) fn field<'a>(query: &'a str, name: &'static str) -> Result<Option<&'a str>, Error> {
    let mut values =
        query.split('&').filter_map(|field| field.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')));
    let value = values.next();
    match (value, values.next()) {
        (Some(""), _) | (_, Some(_)) => Err(Error::BadTopic(name)),
        _ => Ok(value),
    }
}
