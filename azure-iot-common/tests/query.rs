//! Fields of queries in every spelling.
use azure_iot_common::query::{is_name, retry_after, seconds, values};
use proptest::prelude::*;

#[test]
fn names_in_every_spelling() {
    for query in [
        "$rid=1",
        "%24rid=1",
        "$RID=1",
        "%24%52%49d=1",
        "&&x=2&$rid=1",
        "$rid=&$rid=1",
        "$rid&$rid=1&",
        "$rid=1&$rid=2",
    ] {
        assert_eq!(values(query, "$rid").next(), Some("1"), "{query}");
    }
    for query in ["", "$rid", "$rid=", "rid=1", "$rid2=1", "$ri=1", "%2rid=1", "%24rid%=1", "x=$rid=1"] {
        assert_eq!(values(query, "$rid").next(), None, "{query}");
    }
    assert!(is_name("", "") && !is_name("", "a") && !is_name("a", ""));
}

#[test]
fn waits() {
    for (text, expected) in [
        ("3", Some(3)),
        (" 3", None),
        ("003", Some(3)),
        ("3.0", Some(3)),
        ("2.1", Some(3)),
        ("4294967295", Some(u32::MAX)),
        ("4294967295.1", None),
        ("4294967296", None),
        ("", None),
        ("3.", None),
        (".5", None),
        ("-1", None),
        ("3s", None),
        ("3.x", None),
    ] {
        assert_eq!(seconds(text), expected, "{text:?}");
    }
    assert_eq!(retry_after("retry-after=x&Retry-After=5&retry%2Dafter=3"), Some(5));
    assert_eq!(retry_after("retry-after=soon&$rid=1"), None);
}

proptest! {
    /// A field that nobody understands changes nothing of what the others say.
    #[test]
    fn odd_fields_cost_nothing(before in "[^&]{0,12}", after in "[^&]{0,12}") {
        prop_assume!(values(&before, "$rid").next().is_none() && values(&after, "$rid").next().is_none());
        prop_assume!(retry_after(&before).is_none() && retry_after(&after).is_none());
        let query = format!("{before}&$rid=7&{after}&retry-after=3");
        prop_assert_eq!(values(&query, "$rid").next(), Some("7"));
        prop_assert_eq!(retry_after(&query), Some(3));
    }
}
