//! Percent-encoding as Azure's clients and services do it: everything but `A-Z a-z 0-9 - _ . ~` as `%XX`. A `+` is a
//! plus.

/// Encodes every byte outside the unreserved set, with upper-case digits.
pub(super) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&hex::encode_upper([byte]));
        }
    }
    out
}

/// Decodes `%XX` in either case; `None` for a `%` without two digits after it, or if the result is not UTF-8.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let (digits, after) = tail.split_first_chunk::<2>()?;
            let mut byte = [0];
            hex::decode_to_slice(digits, &mut byte).ok()?;
            out.extend(byte);
            rest = after;
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(out).ok()
}

/// Splits `a=1&b=2`; a part without `=` has no value. Nothing is decoded.
pub(super) fn pairs(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    text.split('&').filter(|part| !part.is_empty()).map(|part| match part.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (part, None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_errors() {
        assert_eq!(encode("a b/ü+~"), "a%20b%2F%C3%BC%2B~");
        assert_eq!(decode("a%20b%2f%C3%BC%2B~+").as_deref(), Some("a b/ü+~+"));
        for bad in ["%", "%2", "%zz", "%ff", "a%4"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
        let all: Vec<_> = pairs("a=1&b&&c=&d=x=y").collect();
        assert_eq!(all, [("a", Some("1")), ("b", None), ("c", Some("")), ("d", Some("x=y"))]);
    }
}
