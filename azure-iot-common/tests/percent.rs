//! Percent-encoding: the published vectors, made with Azure's embedded C library, and what a decoder must not take.
use azure_iot_common::{Error, percent};
use proptest::prelude::*;
use serde_json::Value;

#[test]
fn vectors() {
    let set: Value = serde_json::from_str(include_str!("vectors/url_encode.json")).unwrap();
    let cases = set["cases"].as_array().unwrap();
    for (op, count) in [("percent_encode", 20), ("percent_encode_cap", 4)] {
        assert_eq!(cases.iter().filter(|case| case["op"] == op).count(), count, "{op}");
    }
    assert_eq!(cases.len(), 24);
    for case in cases {
        let bytes = hex::decode(case["in"]["bytes_hex"].as_str().unwrap()).unwrap();
        let capacity = case["in"]["capacity"].as_u64().map_or(1024, |n| usize::try_from(n).unwrap());
        let mut out = vec![0; capacity];
        match percent::encode(&bytes, &mut out) {
            Ok(encoded) => {
                assert_eq!(encoded, case["out"]["value"], "{}", case["id"]);
                assert_eq!(encoded.len(), percent::encoded_len(&bytes));
                assert_eq!(percent::decode(encoded, &mut [0; 1024]).unwrap(), bytes);
            }
            Err(error) => {
                assert_eq!(case["out"]["result"], "NOT_ENOUGH_SPACE", "{}", case["id"]);
                assert_eq!(error, Error::BufferTooSmall { needed: percent::encoded_len(&bytes) });
            }
        }
    }
}

#[test]
fn malformed() {
    for (text, at) in [("%", 0), ("a%2", 1), ("%zz", 0), ("%20%g0", 3), ("%+1", 0), ("%é", 0)] {
        assert_eq!(
            percent::decode(text, &mut [0; 16]),
            Err(Error::Invalid { what: "percent-encoding", at }),
            "{text}"
        );
    }
    assert_eq!(percent::decode("a+b%2fc%2Fd", &mut [0; 16]), Ok(&b"a+b/c/d"[..]));
    assert_eq!(percent::decode("abc", &mut [0; 2]), Err(Error::BufferTooSmall { needed: 3 }));
    // One by one, decoding goes on after a fault.
    let bytes: Vec<_> = percent::Decoder::new("%4%41").map(Result::ok).collect();
    assert_eq!(bytes, [None, Some(b'4'), Some(b'A')]);
}

proptest! {
    #[test]
    fn round_trip(bytes: Vec<u8>) {
        let mut out = vec![0; percent::encoded_len(&bytes)];
        let encoded = percent::encode(&bytes, &mut out).unwrap();
        let mut decoded = vec![0; bytes.len()];
        prop_assert_eq!(percent::decode(encoded, &mut decoded).unwrap(), &bytes[..]);
    }

    #[test]
    fn any_text(text: String) {
        // Errors are fine, panics are not; never more bytes than characters went in.
        prop_assert!(percent::Decoder::new(&text).count() <= text.len());
        let _ = percent::decode(&text, &mut vec![0; text.len()]);
    }
}
