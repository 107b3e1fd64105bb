//! Published vectors of Ed25519 and P-384, and the strictness of verification. P-256 has its own test program.

use crate::support::{algorithms, uds};
use dice_core::Error;
use dice_core::open_dice::{KeyPair, PublicKey};

#[cfg(any(feature = "ed25519", feature = "p384"))]
use {
    crate::common::{hex, list, text, vectors},
    dice_core::asn1::DerWriter,
    dice_core::open_dice::Algorithm,
    serde_json::Value,
};

#[cfg(any(feature = "ed25519", feature = "p384"))]
fn spki(key: &PublicKey) -> Vec<u8> {
    let mut buffer = [0; 160];
    let mut writer = DerWriter::new(&mut buffer);
    key.write_spki(&mut writer);
    writer.finish().expect("fits").to_vec()
}

/// Verifies every signature of a Wycheproof file, the message in two pieces, and gives the number of each verdict.
#[cfg(any(feature = "ed25519", feature = "p384"))]
fn wycheproof(name: &str, algorithm: Algorithm, raw_key: impl Fn(&Value) -> Vec<u8>) -> (usize, usize) {
    let file = vectors(name);
    let (mut valid, mut invalid) = (0, 0);
    for group in list(&file["testGroups"]) {
        let key = PublicKey::from_bytes(algorithm, &raw_key(&group["publicKey"])).expect("a key");
        assert_eq!(spki(&key), hex(&group["publicKeyDer"]));
        for test in list(&group["tests"]) {
            let (message, signature) = (hex(&test["msg"]), hex(&test["sig"]));
            let (head, tail) = message.split_at(message.len() / 2);
            let verdict = key.verify(&[head, tail], &signature);
            match text(&test["result"]) {
                "valid" => {
                    assert_eq!(verdict, Ok(()), "{test}");
                    valid += 1;
                }
                "invalid" => {
                    let refused = matches!(verdict, Err(Error::SignatureMismatch | Error::SignatureEncoding));
                    assert!(refused, "{test}: {verdict:?}");
                    invalid += 1;
                }
                other => panic!("{other}"),
            }
        }
    }
    assert_eq!(file["numberOfTests"].as_u64(), u64::try_from(valid + invalid).ok());
    (valid, invalid)
}

#[cfg(feature = "ed25519")]
#[test]
fn wycheproof_ed25519() {
    let (valid, invalid) =
        wycheproof("dice/wycheproof_ed25519.json", Algorithm::Ed25519, |key| hex(&key["pk"]));
    assert!(valid > 50 && invalid > 50, "{valid} {invalid}");
}

#[cfg(feature = "p384")]
#[test]
fn wycheproof_p384() {
    let (valid, invalid) =
        wycheproof("dice/wycheproof_ecdsa_secp384r1_sha384_p1363.json", Algorithm::P384, |key| {
            hex(&key["uncompressed"]).split_off(1)
        });
    assert!(valid > 50 && invalid > 50, "{valid} {invalid}");
}

#[cfg(feature = "p384")]
#[test]
fn nist_p384() {
    let file = vectors("dice/nist_ecdsa.json");
    let of_curve = |name: &str| {
        list(&file[name]).iter().filter(|case| case["curve"] == "P-384").cloned().collect::<Vec<_>>()
    };
    // The file leaves leading zeros out; coordinates that are too large stay too long.
    let joined = |case: &Value, fields: [&str; 2]| {
        let padded = |field| {
            let digits = text(&case[field]);
            let width = if digits.len() > 96 { 98 } else { 96 };
            hex(&format!("{digits:0>width$}").into())
        };
        fields.map(padded).concat()
    };
    let passes = |case: &Value| text(&case["Result"]).starts_with('P');
    for case in of_curve("public_key_validation") {
        let key = PublicKey::from_bytes(Algorithm::P384, &joined(&case, ["Qx", "Qy"]));
        assert_eq!(key.is_ok(), passes(&case), "{case}");
    }
    let mut checked = 0;
    for case in of_curve("signature_verification").iter().filter(|case| case["hash"] == "SHA-384") {
        let key = PublicKey::from_bytes(Algorithm::P384, &joined(case, ["Qx", "Qy"])).expect("a key");
        let verdict = key.verify(&[&hex(&case["Msg"])], &joined(case, ["R", "S"]));
        assert_eq!(verdict.is_ok(), passes(case), "{case}");
        checked += 1;
    }
    assert_eq!(checked, 7);
}

#[cfg(feature = "ed25519")]
#[test]
fn points_of_small_order_are_refused() {
    // The canonical encodings of the eight points of small order.
    let small = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    ];
    let pair = KeyPair::from_cdi(&uds().attest, Algorithm::Ed25519).expect("derives");
    let message = [&b"mes"[..], b"sage"];
    let signature = pair.sign(b"message").expect("signs");
    assert_eq!(pair.public_key().verify(&message, signature.as_bytes()), Ok(()));
    for point in small {
        let point = hex(&point.into());
        assert_eq!(PublicKey::from_bytes(Algorithm::Ed25519, &point), Err(Error::PublicKey));
        let mut signature = signature.as_bytes().to_vec();
        signature[..32].copy_from_slice(&point);
        assert_eq!(pair.public_key().verify(&message, &signature), Err(Error::SignatureMismatch));
    }
}

#[test]
fn signatures_are_checked_in_full() {
    for (name, algorithm) in algorithms() {
        let pair = KeyPair::from_cdi(&uds().attest, algorithm).expect("derives");
        let key = pair.public_key();
        let signature = pair.sign(b"message").expect("signs");
        assert_eq!(pair.sign(b"message").expect("signs"), signature, "deterministic");
        assert_eq!(key.verify(&[b"message"], signature.as_bytes()), Ok(()), "{name}");
        assert_eq!(key.verify(&[b"massage"], signature.as_bytes()), Err(Error::SignatureMismatch));
        assert_eq!(key.verify(&[b"message"], &signature.as_bytes()[1..]), Err(Error::SignatureEncoding));
        let ones = vec![0xff; signature.as_bytes().len()];
        assert!(key.verify(&[b"message"], &ones).is_err());
        for position in (0..signature.as_bytes().len()).step_by(5) {
            let mut changed = signature.as_bytes().to_vec();
            changed[position] ^= 0x10;
            assert!(key.verify(&[b"message"], &changed).is_err(), "{name} {position}");
        }
    }
}

#[test]
fn raw_keys_of_the_wrong_length_or_off_the_curve_are_refused() {
    for (name, algorithm) in algorithms() {
        assert_eq!(
            PublicKey::from_bytes(algorithm, &vec![0; algorithm.public_key_len()]),
            Err(Error::PublicKey)
        );
        for len in [0, 31, 33, 63, 65, 95, 97] {
            assert_eq!(
                PublicKey::from_bytes(algorithm, &vec![1; len]),
                Err(Error::PublicKey),
                "{name} {len}"
            );
        }
    }
}
