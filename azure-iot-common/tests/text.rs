//! Text into a caller's buffer, and decimal numbers.
use azure_iot_common::Error;
use azure_iot_common::text::{Pieces, Writer, cut, parse_u32, parse_u64};
use proptest::prelude::*;

fn write(out: &mut [u8]) -> Result<&str, Error> {
    let mut writer = Writer::new(out);
    writer.text("a=").encoded("\u{e9} ").byte(b'&').decimal(0).text("-").decimal(u32::MAX);
    writer
        .text(" ")
        .decimal_u64(u64::MAX)
        .text(" ")
        .decimal_i64(i64::MIN)
        .decimal_i32(i32::MIN)
        .decimal_i64(1)
        .decimal_i32(2);
    writer.finish_str()
}

const WRITTEN: &str = "a=%C3%A9%20&0-4294967295 18446744073709551615 -9223372036854775808-214748364812";

#[test]
fn every_buffer_that_is_too_small() {
    assert_eq!(write(&mut [0; 80]), Ok(WRITTEN));
    for size in 0..WRITTEN.len() {
        assert_eq!(write(&mut vec![0; size]), Err(Error::BufferTooSmall { needed: WRITTEN.len() }), "{size}");
    }
    assert_eq!(write(&mut vec![0; WRITTEN.len()]), Ok(WRITTEN));
}

#[test]
fn going_back() {
    let mut out = [0; 4];
    let mut writer = Writer::new(&mut out);
    let before = writer.text("ab").len();
    assert!(writer.text("cde").is_over());
    writer.truncate(before);
    assert!(!writer.is_over());
    writer.truncate(100); // never forward
    assert_eq!(writer.text("x").len(), 3);
    assert_eq!(writer.finish(), Ok(&b"abx"[..]));
    let mut out = [0; 4];
    let mut writer = Writer::new(&mut out);
    writer.byte(b'a').byte(0xff);
    assert_eq!(writer.finish_str(), Err(Error::Invalid { what: "UTF-8", at: 1 }));
}

#[test]
fn decimal_numbers() {
    for (text, small, large) in [
        ("0", Some(0), Some(0)),
        ("007", Some(7), Some(7)),
        ("4294967295", Some(u32::MAX), Some(4_294_967_295)),
        ("4294967296", None, Some(4_294_967_296)),
        ("18446744073709551615", None, Some(u64::MAX)),
        ("18446744073709551616", None, None),
        ("", None, None),
        ("+1", None, None),
        ("-1", None, None),
        (" 1", None, None),
        ("1:", None, None),
        ("\u{661}", None, None),
    ] {
        assert_eq!((parse_u32(text), parse_u64(text)), (small, large), "{text:?}");
    }
}

#[test]
fn cutting() {
    assert_eq!(cut("a/b/c", b'/'), ("a", Some("b/c")));
    assert_eq!(cut("/", b'/'), ("", Some("")));
    assert_eq!(cut("\u{e9}", b'/'), ("\u{e9}", None));
}

proptest! {
    #[test]
    fn pieces_are_those_of_split(text in "[a&\u{e9}\u{1f600}=]{0,20}") {
        let pieces: Vec<_> = Pieces::new(&text, b'&').collect();
        prop_assert_eq!(pieces, text.split('&').collect::<Vec<_>>());
        let (before, after) = cut(&text, b'=');
        prop_assert_eq!(after.map(|after| (before, after)), text.split_once('='));
    }
}
