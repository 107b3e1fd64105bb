//! What is written is read; what a CoRIM cannot say, and what this program does not understand, is refused.

use proptest::prelude::*;

use super::super::{Alternative, Class, Digest, FLAGS, Register};
use super::{COMID, Fields, MIN_SVN, UNSIGNED, decode, encode, map, to_bytes};
use ciborium::Value;
use dice_core::hash::HashAlgorithm;
use dice_core::tcg::OperationalFlags;

const SHA256: HashAlgorithm = HashAlgorithm::Sha256;

/// The parts that count, to compare.
type Parts = (
    Vec<Option<String>>,
    Vec<Option<u64>>,
    Vec<Digest>,
    u32,
    Option<Vec<(Option<String>, Option<u64>, Vec<Digest>)>>,
);

fn parts(alternative: &Alternative) -> Parts {
    let Class { vendor, model, layer, index } = &alternative.class;
    let registers = alternative.registers.as_ref().map(|registers| {
        registers.iter().map(|one| (one.name.clone(), one.number, one.digests.clone())).collect()
    });
    (
        vec![vendor.clone(), model.clone()],
        vec![*layer, *index, alternative.minimum_svn],
        alternative.digests.clone(),
        alternative.admitted_flags.0,
        registers,
    )
}

fn firmware(digests: Vec<Digest>) -> Alternative {
    let class = Class { vendor: Some("ACME".into()), model: None, layer: Some(1), index: Some(0) };
    Alternative {
        class,
        digests,
        registers: None,
        minimum_svn: Some(7),
        admitted_flags: OperationalFlags::NOT_CONFIGURED,
    }
}

fn refusal(bytes: &[u8]) -> String {
    format!("{:#}", decode(bytes, 1000).unwrap_err())
}

/// A CoRIM around a CoMID's triples, with more fields of its own.
fn corim(triples: Value, more: Vec<(u64, Value)>) -> Vec<u8> {
    let comid = map(vec![(1, map(vec![(0, "x".into())])), (4, triples)]);
    let tag = Value::Tag(COMID, Box::new(Value::Bytes(to_bytes(&comid).unwrap())));
    let fields = [vec![(0, "x".into()), (1, Value::Array(vec![tag]))], more].concat();
    to_bytes(&Value::Tag(UNSIGNED, Box::new(map(fields)))).unwrap()
}

/// A reference triple with this value, for vendor "v".
fn triples(values: Vec<(u64, Value)>) -> Value {
    let environment = map(vec![(0, map(vec![(1, "v".into())]))]);
    let measurements = Value::Array(vec![map(vec![(1, map(values))])]);
    map(vec![(0, Value::Array(vec![Value::Array(vec![environment, measurements])]))])
}

#[test]
fn several_digests_of_one_function_are_alternatives() {
    let two = firmware(vec![(SHA256, vec![1; 32]), (SHA256, vec![2; 32])]);
    let read = decode(&encode(&[two]).unwrap(), 0).unwrap();
    let digests: Vec<_> = read.iter().map(|one| one.digests.clone()).collect();
    assert_eq!(digests, [[(SHA256, vec![1; 32])], [(SHA256, vec![2; 32])]]);
    let mixed = vec![(SHA256, vec![1; 32]), (SHA256, vec![2; 32]), (HashAlgorithm::Sha384, vec![3; 48])];
    assert!(encode(&[firmware(mixed)]).unwrap_err().to_string().contains("cannot say that"));
    let nobody = Alternative { class: Class::default(), ..firmware(vec![]) };
    assert!(encode(&[nobody]).unwrap_err().to_string().contains("a vendor"));
    assert!(encode(&[]).is_err());
}

#[test]
fn what_is_not_understood_is_refused() {
    let svn = || (1, Value::Tag(MIN_SVN, Box::new(3.into())));
    assert_eq!(decode(&corim(triples(vec![svn()]), vec![]), 0).unwrap()[0].minimum_svn, Some(3));
    let digest = |algorithm: Value, len| {
        (2, Value::Array(vec![Value::Array(vec![algorithm, Value::Bytes(vec![0; len])])]))
    };
    let named = decode(&corim(triples(vec![digest("sha-384".into(), 48)]), vec![]), 0).unwrap();
    assert_eq!(named[0].digests, [(HashAlgorithm::Sha384, vec![0; 48])]);
    let flag = |key: u64, state| (3, map(vec![(key, Value::Bool(state))]));
    for (values, expected) in [
        (vec![(1, 3.into())], "an exact SVN"),
        (
            vec![svn(), (0, map(vec![(0, "1.0".into())]))],
            "field 0 of the measurement's value is not understood",
        ),
        (vec![digest(1.into(), 31)], "31 bytes"),
        (vec![digest(2.into(), 16)], "not one of sha-256"),
        (vec![flag(3, true)], "flag debug cannot be required"),
        (vec![flag(1, false)], "flag notSecure cannot be required"),
        (vec![flag(9, true)], "field 9 of the map of flags"),
        (vec![], "is empty"),
    ] {
        let message = refusal(&corim(triples(values), vec![]));
        assert!(message.contains("reference value 0: ") && message.contains(expected), "{message}");
    }
    let time = |seconds: u64| Value::Tag(1, Box::new(seconds.into()));
    let good = || triples(vec![svn()]);
    for (triples, more, expected) in [
        (good(), vec![(3, "x".into())], "field 3 of the CoRIM"),
        (good(), vec![(4, map(vec![(1, time(999))]))], "has expired"),
        (good(), vec![(4, map(vec![(0, time(1001)), (1, time(2000))]))], "not valid yet"),
        (map(vec![(1, Value::Array(vec![]))]), vec![], "no reference values"),
        (map(vec![(7, Value::Null)]), vec![], "field 7 of the map of triples"),
    ] {
        let message = refusal(&corim(triples, more));
        assert!(message.contains(expected), "{expected} in {message}");
    }
    let valid = vec![(4, map(vec![(0, time(1000)), (1, time(1000))])), (5, Value::Null)];
    assert!(decode(&corim(good(), valid), 1000).is_ok());
    assert!(refusal(&[0xD2, 0x80]).contains("a signed CoRIM"));
    assert!(refusal(&[0xC1, 0x00]).contains("tag 1"));
    assert!(refusal(&[corim(good(), vec![]), vec![0]].concat()).contains("1 bytes follow"));
    let twice = Value::Map(vec![(1.into(), Value::Null), (1.into(), Value::Null)]);
    assert!(Fields::of(twice, "map").is_err());
    // As deep as one likes.
    assert!(refusal(&[vec![0xD9, 0x01, 0xF5], vec![0x81; 100_000]].concat()).contains("not CBOR"));
}

#[test]
fn damage_admits_nothing_else() {
    let original = firmware(vec![(SHA256, vec![0xA5; 32])]);
    let bytes = encode(&[firmware(vec![(SHA256, vec![0xA5; 32])])]).unwrap();
    for len in 0..bytes.len() {
        assert!(decode(&bytes[..len], 0).is_err(), "{len}");
    }
    for at in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[at / 8] ^= 1 << (at % 8);
        for one in decode(&damaged, 0).into_iter().flatten() {
            // One digest, still: never none, which would admit every firmware.
            assert_eq!(one.digests.len(), 1, "bit {at}");
            assert_ne!(one.admitted_flags.0 & !original.admitted_flags.0, u32::MAX);
        }
    }
}

fn digests() -> impl Strategy<Value = Vec<Digest>> {
    (any::<Option<[u8; 32]>>(), any::<bool>(), any::<bool>()).prop_map(|(first, second, third)| {
        let first = first.map(|bytes| (SHA256, bytes.to_vec()));
        let second = second.then(|| (HashAlgorithm::Sha384, vec![2; 48]));
        let third = third.then(|| (HashAlgorithm::Sha512, vec![3; 64]));
        first.into_iter().chain(second).chain(third).collect()
    })
}

fn alternatives() -> impl Strategy<Value = Alternative> {
    let class = (any::<Option<String>>(), any::<Option<String>>(), any::<Option<u64>>(), any::<u64>());
    let register = (any::<Option<u64>>(), digests().prop_filter("digests", |digests| !digests.is_empty()));
    (class, digests(), any::<Option<u64>>(), 0usize..512, proptest::option::of(register)).prop_map(
        |((vendor, model, layer, index), digests, minimum_svn, flags, register)| {
            let bits = (0..9).filter(|at| flags >> at & 1 != 0).map(|at| FLAGS[at].1);
            let register = register.map(|(number, digests)| {
                let name = number.is_none().then(|| "boot".to_owned());
                vec![Register { name, number, digests }]
            });
            Alternative {
                class: Class { vendor, model, layer, index: Some(index) },
                digests,
                registers: register,
                minimum_svn,
                admitted_flags: bits.fold(OperationalFlags::default(), OperationalFlags::with),
            }
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read(values in proptest::collection::vec(alternatives(), 1..4)) {
        if let Ok(bytes) = encode(&values) {
            let read: Vec<_> = decode(&bytes, 0).unwrap().iter().map(parts).collect();
            prop_assert_eq!(read, values.iter().map(parts).collect::<Vec<_>>());
            prop_assert_eq!(encode(&values).unwrap(), bytes);
        } else {
            // Only what says nothing at all.
            prop_assert!(values.iter().any(|one| one.digests.is_empty() && one.minimum_svn.is_none()));
        }
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = decode(&[&[0xD9, 0x01, 0xF5], &bytes[..]].concat(), 0);
    }
}
