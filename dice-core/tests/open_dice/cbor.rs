//! The CBOR reader and writer.

use dice_core::open_dice::cbor::{CborProblem, Kind, MAX_DEPTH, Reader, Writer};
use dice_core::{Error, Result};
use proptest::prelude::*;

fn problem<T>(offset: usize, problem: CborProblem) -> Result<T> {
    Err(Error::Cbor { offset, problem })
}

fn written(write: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
    let mut buffer = vec![0; 4096];
    let mut writer = Writer::new(&mut buffer);
    write(&mut writer);
    let len = writer.len();
    let written = writer.finish().expect("fits").to_vec();
    assert_eq!(written.len(), len);
    for available in [0, len / 2, len.saturating_sub(1)].into_iter().filter(|available| *available < len) {
        let mut buffer = vec![0; available];
        let mut writer = Writer::new(&mut buffer);
        write(&mut writer);
        assert_eq!(writer.finish(), Err(Error::BufferTooSmall { needed: len, available }));
    }
    written
}

// RFC 8949, appendix A.
#[test]
fn integers_of_the_standard() {
    let cases: [(i64, &str); 22] = [
        (0, "00"),
        (1, "01"),
        (10, "0a"),
        (23, "17"),
        (24, "1818"),
        (25, "1819"),
        (100, "1864"),
        (255, "18ff"),
        (256, "190100"),
        (1000, "1903e8"),
        (65_535, "19ffff"),
        (65_536, "1a00010000"),
        (1_000_000, "1a000f4240"),
        (1_000_000_000_000, "1b000000e8d4a51000"),
        (i64::MAX, "1b7fffffffffffffff"),
        (-1, "20"),
        (-10, "29"),
        (-24, "37"),
        (-25, "3818"),
        (-100, "3863"),
        (-1000, "3903e7"),
        (i64::MIN, "3b7fffffffffffffff"),
    ];
    for (value, expected) in cases {
        let expected = hex::decode(expected).expect("hex");
        assert_eq!(written(|writer| writer.integer(value)), expected);
        let mut reader = Reader::new(&expected);
        assert_eq!(reader.integer(), Ok(value));
        assert_eq!(reader.finish(), Ok(()));
        for len in 0..expected.len() {
            assert_eq!(Reader::new(&expected[..len]).integer(), problem(0, CborProblem::Truncated));
        }
    }
    assert_eq!(Reader::new(&hex::decode("1bffffffffffffffff").expect("hex")).unsigned(), Ok(u64::MAX));
    for beyond in ["1b8000000000000000", "3b8000000000000000", "3bffffffffffffffff"] {
        let bytes = hex::decode(beyond).expect("hex");
        assert_eq!(Reader::new(&bytes).integer(), problem(0, CborProblem::IntegerRange), "{beyond}");
    }
}

#[test]
fn only_the_shortest_form_is_read() {
    for long in [
        "1800",
        "1817",
        "190000",
        "1900ff",
        "1a00000000",
        "1a0000ffff",
        "1b0000000000000000",
        "1b00000000ffffffff",
    ] {
        let bytes = hex::decode(long).expect("hex");
        for major in [0x00, 0x20, 0x40, 0x60, 0x80, 0xa0, 0xc0] {
            let mut bytes = bytes.clone();
            bytes[0] |= major;
            // Enough bytes after it for every length it may claim.
            bytes.resize(300, 0);
            let kind = Reader::new(&bytes).kind().expect("not empty");
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.skip(), problem(0, CborProblem::NotShortest), "{long} {kind}");
            assert_eq!(reader.offset(), 0);
        }
    }
    // Simple values below 32 have one form, and it is not the long one (RFC 8949 §3.3).
    for value in 0..32 {
        assert_eq!(Reader::new(&[0xf8, value]).skip(), problem(0, CborProblem::NotShortest));
    }
    assert_eq!(Reader::new(&[0xf8, 32]).skip(), Ok(&[0xf8, 32][..]));
    // Floating-point numbers are read over as they are.
    for float in ["f90000", "fa47c35000", "fb3ff199999999999a"] {
        let bytes = hex::decode(float).expect("hex");
        assert_eq!(Reader::new(&bytes).skip(), Ok(&bytes[..]));
    }
}

#[test]
fn indefinite_and_reserved_forms_are_refused() {
    for major in 0..8_u8 {
        let initial = major << 5;
        assert_eq!(Reader::new(&[initial | 31, 0, 0xff]).skip(), problem(0, CborProblem::Indefinite));
        for reserved in 28..31 {
            assert_eq!(Reader::new(&[initial | reserved, 0, 0]).skip(), problem(0, CborProblem::Reserved));
        }
    }
    // Inside other items too, where they are.
    assert_eq!(
        Reader::new(&[0x82, 0x00, 0x5f, 0x41, 0x00, 0xff]).skip(),
        problem(2, CborProblem::Indefinite)
    );
}

#[test]
fn kinds_are_not_mixed_up() {
    let items: [(&[u8], Kind); 8] = [
        (&[0x00], Kind::Unsigned),
        (&[0x20], Kind::Negative),
        (&[0x40], Kind::Bytes),
        (&[0x60], Kind::Text),
        (&[0x80], Kind::Array),
        (&[0xa0], Kind::Map),
        (&[0xc0, 0x00], Kind::Tag),
        (&[0xf6], Kind::Simple),
    ];
    for (item, found) in items {
        assert_eq!(Reader::new(item).kind(), Ok(found));
        let other = |expected| CborProblem::Kind { expected, found };
        let check = |result: Result<()>, expected| {
            let expected = if expected == found { Ok(()) } else { problem(0, other(expected)) };
            assert_eq!(result, expected);
        };
        check(Reader::new(item).unsigned().map(drop), Kind::Unsigned);
        check(Reader::new(item).bytes().map(drop), Kind::Bytes);
        check(Reader::new(item).text().map(drop), Kind::Text);
        check(Reader::new(item).array().map(drop), Kind::Array);
        check(Reader::new(item).map().map(drop), Kind::Map);
        check(Reader::new(item).null(), Kind::Simple);
        assert_eq!(Reader::new(item).integer().is_ok(), matches!(found, Kind::Unsigned | Kind::Negative));
    }
}

#[test]
fn null_is_no_number_and_no_other_simple_value() {
    assert_eq!(Reader::new(&[0xf6]).null(), Ok(()));
    // Undefined, false, and floating-point numbers whose bits are the number of null.
    for item in [&[0xf7][..], &[0xf4], &[0xf9, 0, 22], &[0xfa, 0, 0, 0, 22], &[0xfb, 0, 0, 0, 0, 0, 0, 0, 22]]
    {
        assert_eq!(Reader::new(item).null(), problem(0, CborProblem::Value), "{item:?}");
    }
}

#[test]
fn strings_arrays_and_maps_stay_within_the_input() {
    assert_eq!(Reader::new(&[0x43, 1, 2]).bytes(), problem(0, CborProblem::Truncated));
    assert_eq!(Reader::new(&[0x63, b'a', b'b']).text(), problem(0, CborProblem::Truncated));
    assert_eq!(Reader::new(&[0x62, 0xc3, 0x28]).text(), problem(0, CborProblem::NotUtf8));
    assert_eq!(Reader::new(&[0x42, 1, 2]).bytes_array::<2>(), Ok(&[1, 2]));
    assert_eq!(
        Reader::new(&[0x42, 1, 2]).bytes_array::<3>(),
        problem(0, CborProblem::Length { expected: 3, found: 2 })
    );
    // Counts that no input can fulfil are refused at once.
    for huge in [
        "5bffffffffffffffff",
        "7bffffffffffffffff",
        "9bffffffffffffffff",
        "bbffffffffffffffff",
        "9affffffff",
        "b903e8",
    ] {
        let mut bytes = hex::decode(huge).expect("hex");
        bytes.resize(500, 0);
        assert_eq!(Reader::new(&bytes).skip(), problem(0, CborProblem::Truncated), "{huge}");
    }
    assert_eq!(Reader::new(&[0x82, 0]).array(), problem(0, CborProblem::Truncated));
    assert_eq!(Reader::new(&[0xa1, 0]).map(), problem(0, CborProblem::Truncated));
    assert_eq!(Reader::new(&[]).kind(), problem(0, CborProblem::Truncated));
    assert_eq!(Reader::new(&[0]).finish(), problem(0, CborProblem::TrailingBytes));
}

#[test]
fn nesting_is_followed_to_a_limit_and_not_beyond() {
    for open in [0x81_u8, 0xc1] {
        for depth in 0..2 * MAX_DEPTH {
            let mut bytes = vec![open; depth];
            bytes.push(0);
            let expected =
                if depth <= MAX_DEPTH { Ok(&bytes[..]) } else { problem(MAX_DEPTH, CborProblem::TooDeep) };
            assert_eq!(Reader::new(&bytes).skip(), expected, "{depth}");
        }
    }
    // A long input of openings ends at the limit, whatever follows.
    assert_eq!(Reader::new(&vec![0x81; 100_000]).skip(), problem(MAX_DEPTH, CborProblem::TooDeep));
}

#[test]
fn skipping_gives_exactly_one_item() {
    let item = written(|writer| {
        writer.map(2);
        writer.integer(1);
        writer.array(3);
        writer.bytes(b"abc");
        writer.array(0);
        writer.map(0);
        writer.text("t");
        writer.bytes_of(|writer| writer.text("inner"));
    });
    for len in 0..item.len() {
        assert!(Reader::new(&item[..len]).skip().is_err(), "{len}");
    }
    let mut twice = item.clone();
    twice.extend_from_slice(&item);
    let mut reader = Reader::new(&twice);
    assert_eq!(reader.skip(), Ok(&item[..]));
    assert_eq!(reader.offset(), item.len());
    assert_eq!(reader.skip(), Ok(&item[..]));
    assert!(reader.is_at_end());
}

#[test]
fn positions_in_nested_data_count_from_the_outside() {
    let bytes = [0x82, 0x00, 0x43, 0x81, 0x18, 0x05];
    let mut reader = Reader::new(&bytes);
    assert_eq!(reader.array(), Ok(2));
    assert_eq!(reader.integer(), Ok(0));
    let mut inner = reader.bytes_reader().expect("a byte string");
    assert!(reader.is_at_end());
    assert_eq!(inner.array(), Ok(1));
    assert_eq!(inner.integer(), problem(4, CborProblem::NotShortest));
}

#[test]
fn problems_are_described() {
    let display = |problem| Error::Cbor { offset: 7, problem }.to_string();
    assert_eq!(display(CborProblem::Truncated), "CBOR at byte 7: the data ends here within an item");
    assert_eq!(
        display(CborProblem::Kind { expected: Kind::Map, found: Kind::Bytes }),
        "CBOR at byte 7: map wanted, byte string found"
    );
    assert_eq!(
        display(CborProblem::Label { expected: 1, found: -2 }),
        "CBOR at byte 7: map label 1 wanted, -2 found"
    );
    assert_eq!(display(CborProblem::TooDeep), "CBOR at byte 7: items are nested more than 16 deep");
}

/// Any data item, nested a little.
#[derive(Clone, Debug)]
enum Item {
    Integer(i64),
    Unsigned(u64),
    Bytes(Vec<u8>),
    Text(String),
    Null,
    Array(Vec<Item>),
    Map(Vec<(Item, Item)>),
}

impl Item {
    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Integer(value) => writer.integer(*value),
            Self::Unsigned(value) => writer.unsigned(*value),
            Self::Bytes(bytes) => writer.bytes(bytes),
            Self::Text(text) => writer.text(text),
            Self::Null => writer.null(),
            Self::Array(items) => {
                writer.array(items.len());
                for item in items {
                    item.write(writer);
                }
            }
            Self::Map(pairs) => {
                writer.map(pairs.len());
                for (key, value) in pairs {
                    key.write(writer);
                    value.write(writer);
                }
            }
        }
    }

    fn check(&self, reader: &mut Reader<'_>) {
        match self {
            Self::Integer(value) => assert_eq!(reader.integer(), Ok(*value)),
            Self::Unsigned(value) => assert_eq!(reader.unsigned(), Ok(*value)),
            Self::Bytes(bytes) => assert_eq!(reader.bytes(), Ok(&bytes[..])),
            Self::Text(text) => assert_eq!(reader.text(), Ok(&text[..])),
            Self::Null => assert_eq!(reader.null(), Ok(())),
            Self::Array(items) => {
                assert_eq!(reader.array(), Ok(items.len()));
                for item in items {
                    item.check(reader);
                }
            }
            Self::Map(pairs) => {
                assert_eq!(reader.map(), Ok(pairs.len()));
                for (key, value) in pairs {
                    key.check(reader);
                    value.check(reader);
                }
            }
        }
    }
}

fn item() -> impl Strategy<Value = Item> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Item::Integer),
        (-300_i64..300).prop_map(Item::Integer),
        any::<u64>().prop_map(Item::Unsigned),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Item::Bytes),
        ".{0,20}".prop_map(Item::Text),
        Just(Item::Null),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..30).prop_map(Item::Array),
            prop::collection::vec((inner.clone(), inner), 0..30).prop_map(Item::Map),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(item in item()) {
        let mut buffer = vec![0; 1 << 16];
        let mut writer = Writer::new(&mut buffer);
        item.write(&mut writer);
        let bytes = writer.finish().expect("fits");
        let mut reader = Reader::new(bytes);
        item.check(&mut reader);
        prop_assert_eq!(reader.finish(), Ok(()));
        prop_assert_eq!(Reader::new(bytes).skip(), Ok(bytes));
        for len in 0..bytes.len().min(200) {
            prop_assert!(Reader::new(&bytes[..len]).skip().is_err());
        }
    }

    #[test]
    fn any_bytes_are_skipped_or_refused_without_moving_past_the_end(
        bytes in prop::collection::vec(any::<u8>(), 0..200)
    ) {
        let mut reader = Reader::new(&bytes);
        match reader.skip() {
            Ok(item) => {
                prop_assert_eq!(item, &bytes[..reader.offset()]);
                prop_assert_eq!(Reader::new(item).skip(), Ok(item));
            }
            Err(Error::Cbor { offset, .. }) => prop_assert!(offset <= bytes.len()),
            Err(other) => panic!("{other:?}"),
        }
    }
}
