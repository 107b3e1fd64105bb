//! What the `$iothub` topics share: a path, then `/?name=value&name=value`.

/// The element of a path before the first `/?`, and the query after it.
pub(crate) fn last_element(path: &str) -> Option<(&str, &str)> {
    let at = path.find("/?")?;
    Some((path.get(..at)?, path.get(at + 2..)?))
}
