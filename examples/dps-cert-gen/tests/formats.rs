//! What `dps-cert-gen verify` says to other systems: attestation results (EAR) and reference values (CoRIM).

use std::ffi::OsString;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ciborium::Value as Cbor;
use coset::{CoseSign1, TaggedCborSerializable as _};
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use p256::pkcs8::EncodePrivateKey as _;
use serde_json::{Value, json};
use tempfile::TempDir;

const UDS: &str = "19e25a259d0c2be03a02d416c05c48ccd0cc7d1743458aae1cb488b074993eae";
/// Vector table, then code.
const IMAGE: &[u8] = b"\0\0\x04\x20\x01\xc4\0\x08\x03\xc4\0\x08\x05\xc4\0\x08the whole firmware image";
const NONCE: &str = "0011223344556677";
const JSON: &[&str] = &["--reference-values", "@references"];
const CORIM: &[&str] = &["--reference-values", "@corim"];

/// Runs the program in a folder: what it prints, and what is wrong.
fn run(folder: &TempDir, words: &[&str]) -> (Vec<u8>, Option<String>) {
    let inside = |word: &&str| match word.strip_prefix('@') {
        Some(file) => folder.path().join(file).into_os_string(),
        None => OsString::from(word),
    };
    let words = std::iter::once("dps-cert-gen".into()).chain(words.iter().map(inside)).collect();
    let mut printed = Vec::new();
    let outcome = dps_cert_gen::run(words, &mut std::io::empty(), &mut printed);
    (printed, outcome.err().map(|error| format!("{error:#}")))
}

fn device(folder: &TempDir, what: &str, file: &str) {
    let words = ["-b", "@image", "--firmware-version", "1.2.3", "-u", UDS, "-i", "my-device", "--force"];
    let (_, wrong) = run(folder, &[&words[..], &["--make", what, "-o", file]].concat());
    assert_eq!(wrong, None);
}

fn verify(folder: &TempDir, more: &[&[&str]]) -> (Vec<u8>, Option<String>) {
    run(folder, &[&["verify", "@chain", "--anchor", "@anchor"], &more.concat()[..]].concat())
}

fn key() -> SigningKey {
    SigningKey::from_slice(&[0x42; 32]).unwrap()
}

/// A folder with chain, anchor, reference values in both forms, and a key.
fn enrolled() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("image"), IMAGE).unwrap();
    for (what, file) in [
        ("chain", "@chain"),
        ("device-id", "@anchor"),
        ("reference-values", "@references"),
        ("corim", "@corim"),
    ] {
        device(&folder, what, file);
    }
    let pem = p256::SecretKey::from(key()).to_pkcs8_pem(p256::pkcs8::LineEnding::LF).unwrap();
    std::fs::write(folder.path().join("key"), pem).unwrap();
    folder
}

fn ear(folder: &TempDir, more: &[&[&str]]) -> (Value, Option<String>) {
    let (printed, wrong) = verify(folder, &[more, &[&["--ear", "json"]]].concat());
    (serde_json::from_slice(&printed).unwrap(), wrong)
}

#[test]
fn the_verdict_as_an_attestation_result() {
    let folder = enrolled();
    let (claims, wrong) = ear(&folder, &[JSON, &["--nonce", NONCE]]);
    assert_eq!(wrong, None);
    assert_eq!(claims["eat_profile"], "tag:ietf.org,2026:rats/ear#04");
    assert_eq!((&claims["ear_status"], &claims["eat_nonce"]), (&json!("affirming"), &json!("ABEiM0RVZnc")));
    let vector = json!({ "instance-identity": 2, "configuration": 2, "executables": 3 });
    assert_eq!(claims["submods"]["dice"]["ear_trustworthiness_vector"], vector);
    let policy = claims["submods"]["dice"]["ear_appraisal_policy_ids"][0].as_str().unwrap();
    assert!(policy.starts_with("sha-256;"), "{policy}");

    // Nobody said what may run: a warning, and accepted.
    let (claims, wrong) = ear(&folder, &[]);
    assert_eq!((&claims["ear_status"], wrong), (&json!("warning"), None));
    assert!(claims["submods"]["dice"].get("ear_appraisal_policy_ids").is_none());

    // Refused: the result says so, and the program fails.
    let refused = |more: &[&[&str]], vector: Value, expected: &str| {
        let (claims, wrong) = ear(&folder, more);
        assert!(wrong.unwrap().contains(expected));
        assert_eq!(claims["ear_status"], "contraindicated");
        assert_eq!(claims["submods"]["dice"]["ear_status"], "contraindicated");
        assert_eq!(claims["submods"]["dice"]["ear_trustworthiness_vector"], vector, "{expected}");
    };
    refused(&[&["--at", "0"]], json!({ "instance-identity": 97 }), "valid from");
    let references = std::fs::read_to_string(folder.path().join("references")).unwrap();
    for (from, to, vector, expected) in [
        ("\"value\": 1", "\"value\": 2", json!({ "instance-identity": 2, "executables": 32 }), "below 2"),
        ("\"notConfigured\"", "", json!({ "instance-identity": 2, "configuration": 96 }), "not admitted"),
        ("AZ3166", "AZ3167", json!({ "instance-identity": 2, "executables": 33 }), "no reference value"),
    ] {
        std::fs::write(folder.path().join("references"), references.replace(from, to)).unwrap();
        refused(&[JSON], vector, expected);
    }
    // One bit of the leaf's signature.
    let chain = std::fs::read_to_string(folder.path().join("chain")).unwrap();
    let end = chain.find("-----END").unwrap();
    let last = chain[..end].trim_end().trim_end_matches('=').len() - 4;
    let other = if &chain[last..=last] == "A" { "B" } else { "A" };
    std::fs::write(folder.path().join("chain"), format!("{}{other}{}", &chain[..last], &chain[last + 1..]))
        .unwrap();
    refused(&[], json!({ "instance-identity": 99 }), "signature");
}

#[test]
fn signed_results_say_the_same() {
    let folder = enrolled();
    let signed = |form| verify(&folder, &[JSON, &["--nonce", NONCE, "--ear", form, "--ear-key", "@key"]]);
    let (mut plain, _) = ear(&folder, &[JSON, &["--nonce", NONCE]]);
    let verifier = VerifyingKey::from(&key());

    let (token, wrong) = signed("jwt");
    assert_eq!(wrong, None);
    let token = String::from_utf8(token).unwrap();
    let (message, signature) = token.trim_end().rsplit_once('.').unwrap();
    let signature = Signature::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    verifier.verify(message.as_bytes(), &signature).unwrap();
    let part = |text: &str| -> Value {
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
    };
    let (header, claims) = message.split_once('.').unwrap();
    assert_eq!(part(header), json!({ "typ": "JWT", "alg": "ES256" }));
    plain["iat"] = part(claims)["iat"].clone();
    assert_eq!(part(claims), plain);

    let (token, wrong) = signed("cwt");
    assert_eq!(wrong, None);
    let token = CoseSign1::from_tagged_slice(&token).unwrap();
    token
        .verify_signature(&[], |signature, message| {
            verifier.verify(message, &Signature::from_slice(signature).unwrap())
        })
        .unwrap();
    let claims: Cbor = ciborium::from_reader(&token.payload.unwrap()[..]).unwrap();
    let field = |map: &Cbor, key: u64| {
        let fields = map.as_map().unwrap();
        fields.iter().find(|(known, _)| *known == Cbor::from(key)).unwrap().1.clone()
    };
    assert_eq!(field(&claims, 265), Cbor::from(plain["eat_profile"].as_str().unwrap()));
    assert_eq!(field(&claims, 10), Cbor::Bytes(hex::decode(NONCE).unwrap()));
    assert_eq!(field(&claims, 1000), Cbor::from(2));
    let submods = field(&claims, 266);
    let (label, appraisal) = &submods.as_map().unwrap()[0];
    assert_eq!((label, field(appraisal, 1000)), (&Cbor::from("dice"), Cbor::from(2)));
    let vector = [(0, 2), (1, 2), (2, 3)].map(|(key, value)| (Cbor::from(key), Cbor::from(value)));
    assert_eq!(field(appraisal, 1001), Cbor::Map(vector.to_vec()));

    for (more, expected) in [
        (&["--ear", "jwt"][..], "--ear-key"),
        (&["--ear", "json", "--ear-key", "@key"], "not signed"),
        (&["--ear", "jwt", "--ear-key", "@chain"], "P-256 private key"),
        (&["--ear", "json", "--nonce", "00"], "1 bytes"),
        (&["--ear", "json", "--nonce", "zz"], "hexadecimal"),
        (&["--ear", "json", "--json"], "cannot be used with"),
    ] {
        let (printed, wrong) = verify(&folder, &[more]);
        assert!(wrong.as_ref().is_some_and(|wrong| wrong.contains(expected)), "{expected} in {wrong:?}");
        assert!(printed.is_empty());
    }
}

#[test]
fn a_corim_admits_what_the_json_does() {
    let folder = enrolled();
    assert_eq!(verify(&folder, &[CORIM]).1, None);
    device(&folder, "corim", "@corim");
    // The same values, the same bytes; no secret is needed.
    let words = ["-b", "@image", "--firmware-version", "1.2.3", "--make", "corim", "-o", "-"];
    let (made, _) = run(&folder, &words);
    assert_eq!(made, std::fs::read(folder.path().join("corim")).unwrap());

    std::fs::write(folder.path().join("image"), [IMAGE, b"another firmware"].concat()).unwrap();
    device(&folder, "chain", "@chain");
    let wrong = verify(&folder, &[CORIM]).1.unwrap();
    assert!(wrong.contains("the firmware digest is not that of any reference value"), "{wrong}");
    std::fs::write(folder.path().join("corim"), &made[..made.len() - 1]).unwrap();
    assert!(verify(&folder, &[CORIM]).1.unwrap().contains("not CBOR"));
}
