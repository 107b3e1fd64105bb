//! Published vectors of the primitives, through the crate's public wrappers.

mod common;

use common::{hex, hex_array, list, number, text, vectors};
use dice_core::hash::{Hash, Hmac, Sha256, Sha384, Sha512};
use dice_core::kdf::{CounterWidth, counter_kdf, hkdf, hkdf_extract};
use dice_core::key::{PublicKey, SecretKey, Signature};
use dice_core::{Error, Secret};
use serde_json::Value;

#[test]
fn rfc4231_hmac() {
    fn check<H: Hash>(cases: &Value) {
        for case in list(cases) {
            let (key, message, tag) = (hex(&case["Key"]), hex(&case["Msg"]), hex(&case["MD"]));
            let mut mac = Hmac::<H>::new(&key);
            for piece in message.chunks(7) {
                mac.update(piece);
            }
            assert!(mac.clone().verify(&tag), "{case}");
            assert!(mac.finalize().as_ref().starts_with(&tag), "{case}");
        }
    }
    let file = vectors("dice/rfc4231_hmac.json");
    check::<Sha256>(&file["cases"]["sha256"]);
    check::<Sha384>(&file["cases"]["sha384"]);
    check::<Sha512>(&file["cases"]["sha512"]);
}

/// Calls `check` with each test of a Wycheproof file and the group it is in.
fn wycheproof(name: &str, mut check: impl FnMut(&Value, &Value)) {
    let file = vectors(&format!("dice/wycheproof_{name}.json"));
    let mut count = 0;
    for group in list(&file["testGroups"]) {
        for test in list(&group["tests"]) {
            check(group, test);
            count += 1;
        }
    }
    assert_eq!(count, number(&file["numberOfTests"]));
}

#[test]
fn wycheproof_hmac() {
    fn check<H: Hash>(name: &str) {
        wycheproof(name, |group, test| {
            let tag = hex(&test["tag"]);
            assert_eq!(tag.len() * 8, number(&group["tagSize"]));
            let mut mac = Hmac::<H>::new(&hex(&test["key"]));
            mac.update(&hex(&test["msg"]));
            assert_eq!(mac.verify(&tag), test["result"] == "valid", "{test}");
        });
    }
    check::<Sha256>("hmac_sha256");
    check::<Sha384>("hmac_sha384");
    check::<Sha512>("hmac_sha512");
}

#[test]
fn an_empty_code_never_verifies_and_a_long_one_does_not_panic() {
    assert!(!Hmac::<Sha256>::new(b"key").verify(&[]));
    assert!(!Hmac::<Sha256>::new(b"key").verify(&[0; 33]));
}

#[test]
fn rfc5869_hkdf() {
    for case in list(&vectors("dice/rfc5869_hkdf_sha256.json")["cases"]) {
        let (input, salt) = (hex(&case["IKM"]), hex(&case["salt"]));
        let (info, expected) = (hex(&case["info"]), hex(&case["OKM"]));
        assert_eq!(&hkdf_extract::<Sha256>(&salt, &input)[..], hex(&case["PRK"]));
        let mut output = vec![0; number(&case["L"])];
        hkdf::<Sha256>(&input, &salt, &info, &mut output).unwrap();
        assert_eq!(output, expected);
    }
}

#[test]
fn wycheproof_hkdf() {
    fn check<H: Hash>(name: &str) {
        wycheproof(name, |_, test| {
            let size = number(&test["size"]);
            let mut output = vec![0; size];
            let result = hkdf::<H>(&hex(&test["ikm"]), &hex(&test["salt"]), &hex(&test["info"]), &mut output);
            if test["result"] == "valid" {
                assert_eq!(result, Ok(()), "{test}");
                assert_eq!(output, hex(&test["okm"]), "{test}");
            } else {
                let limit = 255 * H::OUTPUT_LEN;
                assert_eq!(result, Err(Error::OutputTooLong { requested: size, limit }), "{test}");
            }
        });
    }
    check::<Sha256>("hkdf_sha256");
    check::<Sha384>("hkdf_sha384");
    check::<Sha512>("hkdf_sha512");
}

#[test]
fn nist_sp800_108_counter_mode() {
    fn derive<H: Hash>(case: &Value, width: CounterWidth, fixed: &[u8]) -> Vec<u8> {
        let mut output = vec![0; number(&case["L"]) / 8];
        counter_kdf::<H>(&hex(&case["KI"]), width, &[], &[fixed], &mut output).unwrap();
        output
    }
    let file = vectors("dice/nist_sp800_108_ctr.json");
    for case in list(&file["cases"]) {
        let width = match text(&case["RLEN"]) {
            "8_BITS" => CounterWidth::Bits8,
            "16_BITS" => CounterWidth::Bits16,
            "24_BITS" => CounterWidth::Bits24,
            "32_BITS" => CounterWidth::Bits32,
            other => panic!("counter width {other}"),
        };
        assert_eq!(case["CTRLOCATION"], "BEFORE_FIXED");
        let fixed = hex(&case["FixedInputData"]);
        let output = match text(&case["PRF"]) {
            "HMAC_SHA256" => derive::<Sha256>(case, width, &fixed),
            "HMAC_SHA384" => derive::<Sha384>(case, width, &fixed),
            "HMAC_SHA512" => derive::<Sha512>(case, width, &fixed),
            other => panic!("function {other}"),
        };
        assert_eq!(output, hex(&case["KO"]), "{case}");
    }
}

#[test]
fn the_counter_cannot_wrap() {
    let mut output = vec![0; 255 * 32 + 1];
    assert_eq!(
        counter_kdf::<Sha256>(b"key", CounterWidth::Bits8, &[], &[], &mut output),
        Err(Error::OutputTooLong { requested: 255 * 32 + 1, limit: 255 * 32 })
    );
    assert_eq!(counter_kdf::<Sha256>(b"key", CounterWidth::Bits8, &[], &[], &mut output[1..]), Ok(()));
    let (mut first, mut last) = ([0; 32], [0; 32]);
    counter_kdf::<Sha256>(b"key", CounterWidth::Bits16, &[b"before"], &[b"after"], &mut first).unwrap();
    last.copy_from_slice(&Hmac::<Sha256>::mac(b"key", &[b"before", &[0, 1], b"after"]));
    assert_eq!(first, last);
}

fn secret_key(value: &Value) -> SecretKey {
    SecretKey::from_scalar(Secret::new(hex_array(value))).unwrap()
}

#[test]
fn rfc6979_p256() {
    let file = vectors("dice/rfc6979_ecdsa.json");
    let mut signed = 0;
    for case in list(&file["cases"]).iter().filter(|case| case["curve"] == "P-256") {
        let key = secret_key(&case["private"]);
        assert_eq!(key.public_key().as_sec1()[..], hex(&case["public"]), "{case}");
        let message = text(&case["message"]).as_bytes();
        let (signature, digest) = match text(&case["hash"]) {
            "SHA256" => {
                let digest = Sha256::digest(message).to_vec();
                assert_eq!(key.sign(message), key.sign_prehash::<Sha256>(&digest));
                (key.sign_prehash::<Sha256>(&digest), digest)
            }
            "SHA384" => {
                let digest = Sha384::digest(message).to_vec();
                (key.sign_prehash::<Sha384>(&digest), digest)
            }
            "SHA512" => {
                let digest = Sha512::digest(message).to_vec();
                (key.sign_prehash::<Sha512>(&digest), digest)
            }
            // The crate has no SHA-1 and no SHA-224.
            "SHA1" | "SHA224" => continue,
            other => panic!("hash {other}"),
        };
        let mut der = [0; Signature::MAX_DER_LEN];
        assert_eq!(signature.to_der(&mut der).unwrap(), hex(&case["signature_der"]), "{case}");
        assert_eq!(Signature::from_der(&hex(&case["signature_der"])), Ok(signature));
        assert_eq!(key.public_key().verify_prehash(&digest, &signature), Ok(()));
        signed += 1;
    }
    assert_eq!(signed, 6);
}

#[test]
fn nist_p256() {
    let file = vectors("dice/nist_ecdsa.json");
    let of_curve = |name: &str| -> Vec<Value> {
        list(&file[name]).iter().filter(|case| case["curve"] == "P-256").cloned().collect()
    };
    for case in of_curve("key_pair") {
        let expected = PublicKey::from_affine(&hex_array(&case["Qx"]), &hex_array(&case["Qy"])).unwrap();
        assert_eq!(*secret_key(&case["d"]).public_key(), expected);
    }
    for case in of_curve("public_key_validation") {
        let mut sec1 = vec![4];
        for coordinate in ["Qx", "Qy"] {
            // The file leaves leading zeros out; coordinates that are too large stay too long.
            let digits = text(&case[coordinate]);
            let width = if digits.len() > 64 { 66 } else { 64 };
            sec1.extend(hex(&format!("{digits:0>width$}").into()));
        }
        assert_eq!(PublicKey::from_sec1(&sec1).is_ok(), text(&case["Result"]).starts_with('P'), "{case}");
    }
    for case in of_curve("signature_verification") {
        let key = PublicKey::from_affine(&hex_array(&case["Qx"]), &hex_array(&case["Qy"])).unwrap();
        let message = hex(&case["Msg"]);
        let digest = match text(&case["hash"]) {
            "SHA-256" => Sha256::digest(&message).to_vec(),
            "SHA-384" => Sha384::digest(&message).to_vec(),
            other => panic!("hash {other}"),
        };
        let signature = Signature::from_scalars(&hex_array(&case["R"]), &hex_array(&case["S"])).unwrap();
        let verified = key.verify_prehash(&digest, &signature).is_ok();
        assert_eq!(verified, text(&case["Result"]).starts_with('P'), "{case}");
    }
}

#[test]
fn wycheproof_ecdsa_p256() {
    type Parse = fn(&[u8]) -> Result<Signature, Error>;
    for (name, parse) in [
        ("ecdsa_secp256r1_sha256", Signature::from_der as Parse),
        ("ecdsa_secp256r1_sha256_p1363", Signature::from_slice as Parse),
    ] {
        wycheproof(name, |group, test| {
            let key = PublicKey::from_sec1(&hex(&group["publicKey"]["uncompressed"])).unwrap();
            assert_eq!(key.to_spki()[..], hex(&group["publicKeyDer"]));
            let verdict =
                parse(&hex(&test["sig"])).and_then(|signature| key.verify(&hex(&test["msg"]), &signature));
            assert_eq!(verdict.is_ok(), test["result"] == "valid", "{name} {test}: {verdict:?}");
        });
    }
}

#[test]
fn scalars_out_of_range_are_refused() {
    let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    for text in [&"0".repeat(64), order, &"f".repeat(64)] {
        let scalar = hex_array(&Value::from(text));
        assert_eq!(SecretKey::from_scalar(Secret::new(scalar)).unwrap_err(), Error::ScalarOutOfRange);
    }
    let mut largest: [u8; 32] = hex_array(&Value::from(order));
    largest[31] -= 1;
    let key: SecretKey = SecretKey::from_scalar(Secret::new(largest)).unwrap();
    let one: SecretKey =
        SecretKey::from_scalar(Secret::new(core::array::from_fn(|i| u8::from(i == 31)))).unwrap();
    assert_eq!(key.public_key().as_sec1()[..33], one.public_key().as_sec1()[..33]);
    assert_eq!(key.public_key().verify(b"m", &key.sign(b"m")), Ok(()));
}

#[test]
fn points_that_are_not_uncompressed_curve_points_are_refused() {
    let good = *secret_key(&Value::from("01".repeat(32))).public_key().as_sec1();
    assert!(PublicKey::from_sec1(&good).is_ok());
    for len in 0..good.len() {
        assert_eq!(PublicKey::from_sec1(&good[..len]), Err(Error::PublicKey));
    }
    let mut compressed = [0; 33];
    compressed.copy_from_slice(&good[..33]);
    compressed[0] = 2;
    assert_eq!(PublicKey::from_sec1(&compressed), Err(Error::PublicKey));
    assert_eq!(PublicKey::from_sec1(&[0]), Err(Error::PublicKey));
    assert_eq!(PublicKey::from_sec1(&[0; 65]), Err(Error::PublicKey));
    for index in 0..good.len() {
        let mut bad = good;
        bad[index] ^= 1;
        assert_eq!(PublicKey::from_sec1(&bad), Err(Error::PublicKey), "byte {index}");
    }
}
