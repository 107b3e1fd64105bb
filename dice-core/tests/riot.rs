//! Profile `riot` against vectors recorded from the original tool and device code.

mod common;

use common::{hex, hex_array, list, number, text, vector_path, vectors};
use dice_core::hash::{Hash, Hmac, Sha256};
use dice_core::key::{PublicKey, SecretKey, Signature};
use dice_core::pem::{self, Label, Lines};
use dice_core::riot::{
    ALIAS_CERTIFICATE_MAX_LEN, Cdi, CoreDigest, CoreMeasurement, DEVICE_ID_CERTIFICATE_MAX_LEN, DiceHash,
    Fwid, Identity, REGISTRATION_ID_MAX_LEN,
};
use dice_core::riot::{DEFAULT_REGISTRATION_ID_MAX_LEN, MacAddress, default_registration_id};
use dice_core::{Error, RegistrationId, Secret, Uds};
use proptest::prelude::*;
use serde_json::Value;

const TEST_SECRET: [u8; 32] = *b"a device secret for tests only..";

/// The bytes an input describes, checked against its digest.
fn input(value: &Value) -> Vec<u8> {
    let bytes = if let Some(file) = value["file"].as_str() {
        std::fs::read(vector_path(&format!("riot/{file}"))).unwrap()
    } else {
        let source = &value["source"];
        match text(&source["kind"]) {
            "sha256ctr" => (0_u32..)
                .flat_map(|i| Sha256::digest_parts(&[text(&source["seed"]).as_bytes(), &i.to_be_bytes()]))
                .take(number(&source["length"]))
                .collect(),
            other => panic!("source {other}"),
        }
    };
    assert_eq!(bytes.len(), number(&value["length"]));
    assert_eq!(Sha256::digest(&bytes)[..], hex(&value["sha256"]));
    bytes
}

fn cases() -> Vec<Value> {
    let mut names: Vec<_> = std::fs::read_dir(vector_path("riot"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("pub-"))
        .collect();
    names.sort();
    assert_eq!(names.len(), 16);
    names.iter().map(|name| vectors(&format!("riot/{name}"))).collect()
}

/// The parts of a case's input. Some cases use blank secrets, which only the legacy constructor takes.
fn parts(case: &Value) -> (Uds, Vec<u8>, Vec<u8>) {
    let case = &case["input"];
    let uds = Uds::from_legacy_bytes_unchecked(hex_array(&case["uds_hex"]));
    (uds, input(&case["riot_core"]), input(&case["riot_fw"]))
}

fn pem_text(label: Label, der: &[u8]) -> String {
    let mut out = vec![0; pem::encoded_len(label, der.len(), Lines::Single)];
    pem::encode(label, der, Lines::Single, &mut out).unwrap().to_owned()
}

fn check_key(key: &SecretKey, expected: &Value) {
    assert_eq!(key.expose_scalar().expose()[..], hex(&expected["private_scalar_be"]));
    assert_eq!(key.public_key().as_sec1()[..], hex(&expected["public_sec1"]));
    let mut kdf_output = hex(&expected["kdf_output"]);
    kdf_output.reverse();
    assert_eq!(key.expose_scalar().expose()[..], kdf_output);
    if let Some(pem) = expected["public_pem"].as_str() {
        assert_eq!(pem_text(Label::PublicKey, &key.public_key().to_spki()), pem);
    }
    if let Some(pem) = expected["private_key_pem"].as_str() {
        let mut der = [0; SecretKey::<dice_core::key::Portable>::SEC1_DER_LEN];
        assert_eq!(pem_text(Label::EcPrivateKey, key.to_sec1_der(&mut der).unwrap()), pem);
    }
}

/// A certificate differs from the recorded one in the signature only, and both signatures verify.
fn check_certificate(tbs: &[u8], certificate: &[u8], key: &PublicKey, expected: &Value) {
    assert_eq!(tbs, hex(&expected["tbs_der"]));
    assert_eq!(Sha256::digest(tbs)[..], hex(&expected["tbs_sha256"]));

    let recorded =
        Signature::from_scalars(&hex_array(&expected["legacy_sig_r"]), &hex_array(&expected["legacy_sig_s"]));
    assert_eq!(key.verify(tbs, &recorded.unwrap()), Ok(()));

    // SEQUENCE of more than 255 bytes, TBS, algorithm (12 bytes), BIT STRING header (3 bytes), signature.
    assert_eq!(certificate[..2], [0x30, 0x82]);
    assert_eq!(usize::from(u16::from_be_bytes([certificate[2], certificate[3]])), certificate.len() - 4);
    let (signed, rest) = certificate[4..].split_at(tbs.len());
    assert_eq!(signed, tbs);
    let recorded_certificate = hex(&expected["legacy_cert_der"]);
    let recorded_rest = &recorded_certificate[4 + tbs.len()..];
    assert_eq!(rest[..13], recorded_rest[..13]);
    assert_eq!((usize::from(rest[13]), rest[14]), (rest.len() - 14, 0));
    let signature = Signature::from_der(&rest[15..]).unwrap();
    assert_eq!(key.verify(tbs, &signature), Ok(()));
    assert_ne!(signature.r()[..], hex(&expected["legacy_sig_r"]), "the constant nonce is not used");
}

#[test]
fn recorded_identities_are_reproduced() {
    let mut derived = 0;
    for case in cases() {
        let (uds, core, firmware) = parts(&case);
        let expected = &case["expect"];
        if expected["ok"] == false {
            continue;
        }
        let core_digest = CoreDigest::of(&core).unwrap();
        assert_eq!(core_digest.as_bytes()[..], hex(&expected["dice"]["riot_core_digest"]));
        assert_eq!(DiceHash::digest(&[uds.expose()])[..], hex(&expected["dice"]["uds_digest"]));
        let cdi = Cdi::derive(&uds, &core_digest);
        assert_eq!(cdi.expose()[..], hex(&expected["dice"]["cdi"]));
        assert_eq!(Sha256::digest(cdi.expose())[..], hex(&expected["device_id"]["seed"]));

        let identity = Identity::derive(&uds, &core, &firmware).unwrap();
        assert_eq!(identity.fwid().0[..], hex(&expected["fwid"]));
        check_key(identity.device_id_key(), &expected["device_id"]);
        check_key(identity.alias_key(), &expected["alias"]);

        let id = RegistrationId::new(text(&case["input"]["registration_id"])).unwrap();
        let signer = identity.device_id_key().public_key();
        let (mut tbs, mut der) = ([0; ALIAS_CERTIFICATE_MAX_LEN], [0; ALIAS_CERTIFICATE_MAX_LEN]);
        let tbs = identity.alias_to_be_signed(id, &mut tbs).unwrap();
        let certificate = identity.alias_certificate(id, &mut der).unwrap();
        check_certificate(tbs.as_bytes(), certificate, signer, &expected["alias_cert"]);
        let mut der = [0; DEVICE_ID_CERTIFICATE_MAX_LEN];
        let mut tbs = [0; DEVICE_ID_CERTIFICATE_MAX_LEN];
        let tbs = identity.device_id_to_be_signed(&mut tbs).unwrap();
        let certificate = identity.device_id_certificate(&mut der).unwrap();
        check_certificate(tbs.as_bytes(), certificate, signer, &expected["device_cert"]);

        if let (Some(mac), Some(version)) =
            (case["input"]["mac"].as_str(), case["input"]["firmware_version"].as_str())
        {
            let mut out = [0; DEFAULT_REGISTRATION_ID_MAX_LEN];
            assert_eq!(default_registration_id(MacAddress::parse(mac).unwrap(), version, &mut out), Ok(id));
        }
        derived += 1;
    }
    assert_eq!(derived, 13);
}

#[test]
fn recorded_refusals_are_refused() {
    let mut refused = 0;
    for case in cases().iter().filter(|case| case["expect"]["ok"] == false) {
        let (uds, core, firmware) = parts(case);
        let identity = Identity::derive(&uds, &core, &firmware);
        match text(&case["expect"]["stage"]) {
            "dice_measure" => {
                assert_eq!(
                    identity.unwrap_err(),
                    Error::CoreTooShort { found: core.len() as u64, minimum: 8 }
                );
            }
            "alias_tbs" => {
                let cdi = Cdi::derive(&uds, &CoreDigest::of(&core).unwrap());
                assert_eq!(cdi.expose()[..], hex(&case["expect"]["cdi"]));
                let id = RegistrationId::new(text(&case["input"]["registration_id"])).unwrap();
                let mut out = [0; ALIAS_CERTIFICATE_MAX_LEN];
                assert_eq!(
                    identity.unwrap().alias_certificate(id, &mut out).unwrap_err(),
                    Error::RegistrationIdLength { found: id.as_str().len(), limit: REGISTRATION_ID_MAX_LEN }
                );
            }
            other => panic!("stage {other}"),
        }
        refused += 1;
    }
    assert_eq!(refused, 3);
}

#[test]
fn recorded_primitives_are_reproduced() {
    let file = vectors("riot/primitives.json");
    for case in list(&file["dice_hash"]) {
        assert_eq!(DiceHash::digest(&[&hex(&case["message"])])[..], hex(&case["digest"]), "{case}");
    }
    for case in list(&file["dice_hash_two_parts"]) {
        let digest = DiceHash::digest(&[&hex(&case["first"]), &hex(&case["second"])]);
        assert_eq!(digest[..], hex(&case["digest"]), "{case}");
    }
    for case in list(&file["kdf"]) {
        let output = Hmac::<Sha256>::mac(
            &hex(&case["key"]),
            &[&hex(&case["counter_bytes"]), &hex(&case["fixed_bytes"])],
        );
        assert_eq!(output[..], hex(&case["output"]), "{case}");
    }
    for case in list(&file["derive_key_pair"]) {
        let mut scalar: [u8; 32] = hex_array(&case["kdf_output"]);
        scalar.reverse();
        check_key(&SecretKey::from_scalar(Secret::new(scalar)).unwrap(), case);
    }
    for case in list(&file["der_integer"]) {
        let mut out = [0; 48];
        let mut writer = dice_core::asn1::DerWriter::new(&mut out);
        writer.unsigned_integer(&hex(&case["big_endian"]));
        assert_eq!(writer.finish().unwrap(), hex(&case["der"]), "{case}");
    }
    for case in list(&file["pem"]) {
        let label = match text(&case["label"]) {
            "CERTIFICATE" => Label::Certificate,
            "CERTIFICATE REQUEST" => Label::CertificateRequest,
            "PUBLIC KEY" => Label::PublicKey,
            "EC PRIVATE KEY" => Label::EcPrivateKey,
            other => panic!("label {other}"),
        };
        assert_eq!(pem_text(label, &hex(&case["der"])), text(&case["pem"]), "{case}");
    }
    for case in list(&file["default_registration_id"]) {
        let mac = MacAddress::parse(text(&case["mac_text"])).unwrap();
        let mut out = [0; DEFAULT_REGISTRATION_ID_MAX_LEN];
        let id = default_registration_id(mac, text(&case["version"]), &mut out).unwrap();
        assert_eq!(id.as_str(), text(&case["registration_id"]));
    }
    for case in list(&file["registration_id_check"]) {
        let id = RegistrationId::new(text(&case["id"]));
        assert_eq!(id.is_ok(), case["accepted_by_original_check"] == true, "{case}");
        if let Ok(id) = id {
            let identity =
                Identity::derive(&Uds::from_legacy_bytes_unchecked([1; 32]), &[0; 8], &[]).unwrap();
            let mut out = [0; ALIAS_CERTIFICATE_MAX_LEN];
            assert_eq!(identity.alias_certificate(id, &mut out).is_ok(), case["encodable"] == true, "{case}");
        }
    }
    for case in list(&file["device_uds_text_parser"]) {
        // The original turns other characters into zeros; here they are errors.
        let digits = text(&case["text"]);
        let all_digits = digits.chars().all(|character| character.is_ascii_hexdigit());
        match Uds::from_hex(digits) {
            Ok(uds) => assert_eq!(uds.expose()[..], hex(&case["bytes"]), "{case}"),
            Err(error) => assert!(!all_digits || case["bytes"].is_null(), "{error} {case}"),
        }
    }
}

#[test]
fn every_buffer_that_is_too_small_is_refused_with_a_size_that_is_enough() {
    let identity = Identity::derive(&Uds::from_bytes(TEST_SECRET).unwrap(), &[1; 64], b"fw").unwrap();
    let id = RegistrationId::new("device").unwrap();
    let mut whole = [0; ALIAS_CERTIFICATE_MAX_LEN];
    let whole = identity.alias_certificate(id, &mut whole).unwrap();
    for available in 0..whole.len() {
        let mut out = vec![0; available];
        match identity.alias_certificate(id, &mut out) {
            Err(Error::BufferTooSmall { needed, available: found }) => {
                assert_eq!(found, available);
                assert!((whole.len()..=ALIAS_CERTIFICATE_MAX_LEN).contains(&needed), "{needed}");
                assert_eq!(identity.alias_certificate(id, &mut vec![0; needed]).unwrap(), whole);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(identity.alias_certificate(id, &mut vec![0; whole.len()]).unwrap(), whole);

    let longest = "a".repeat(REGISTRATION_ID_MAX_LEN);
    assert_eq!(
        identity.alias_certificate(RegistrationId::new(&longest).unwrap(), &mut []).unwrap_err(),
        Error::BufferTooSmall { needed: ALIAS_CERTIFICATE_MAX_LEN, available: 0 }
    );
    assert_eq!(
        identity.device_id_certificate(&mut []).unwrap_err(),
        Error::BufferTooSmall { needed: DEVICE_ID_CERTIFICATE_MAX_LEN, available: 0 }
    );
}

#[test]
fn secrets_are_not_printed() {
    let uds = Uds::from_hex(&"5a6b".repeat(16)).unwrap();
    let identity = Identity::derive(&uds, &[1; 64], b"fw").unwrap();
    let cdi = Cdi::derive(&uds, &CoreDigest::of(&[1; 64]).unwrap());
    let shown = format!("{uds:?} {identity:?} {cdi:?}").to_lowercase();
    let secrets = [uds.expose(), cdi.expose(), identity.alias_key().expose_scalar().expose()];
    for secret in secrets {
        assert!(!shown.contains(&hex::encode(secret)));
        assert!(!shown.contains(&format!("{secret:?}")));
    }
}

proptest! {
    #[test]
    fn pieces_and_wholes_measure_alike(core in prop::collection::vec(any::<u8>(), 8..300), cut in 1_usize..70) {
        let mut measurement = CoreMeasurement::new();
        core.chunks(cut).for_each(|piece| measurement.update(piece));
        prop_assert_eq!(measurement.finish(), CoreDigest::of(&core));
    }

    #[test]
    fn each_input_matters(at in 0_usize..32, bit in 0_u8..8) {
        let secret = TEST_SECRET;
        let derive = |secret, core: &[u8; 32], firmware: &[u8; 32]| {
            let cdi = Cdi::derive(&Uds::from_bytes(secret).unwrap(), &CoreDigest::of(core).unwrap());
            (cdi, Fwid::of(firmware))
        };
        let flip = |mut bytes: [u8; 32]| {
            bytes[at] ^= 1 << bit;
            bytes
        };
        let base = derive(secret, &[7; 32], &[9; 32]);
        prop_assert_ne!(&derive(flip(secret), &[7; 32], &[9; 32]).0, &base.0);
        prop_assert_ne!(&derive(secret, &flip([7; 32]), &[9; 32]).0, &base.0);
        prop_assert_ne!(&derive(secret, &[7; 32], &flip([9; 32])).1, &base.1);
    }
}

#[cfg(feature = "legacy-insecure-constant-nonce")]
mod legacy {
    use super::*;
    use dice_core::key::Signer;
    use dice_core::riot::ConstantNonceSigner;

    #[test]
    fn recorded_certificates_are_reproduced_whole() {
        for case in cases().iter().filter(|case| case["expect"]["ok"] == true) {
            let (uds, core, firmware) = parts(case);
            let expected = &case["expect"];
            let identity = Identity::derive(&uds, &core, &firmware).unwrap();
            let id = RegistrationId::new(text(&case["input"]["registration_id"])).unwrap();
            let signer = || ConstantNonceSigner::publishing_the_private_key(identity.device_id_key());
            let mut out = [0; ALIAS_CERTIFICATE_MAX_LEN];

            let alias = identity.alias_to_be_signed(id, &mut out).unwrap().sign(signer()).unwrap();
            assert_eq!(alias, hex(&expected["alias_cert"]["legacy_cert_der"]));
            assert_eq!(Sha256::digest(alias)[..], hex(&expected["alias_cert"]["legacy_cert_sha256"]));
            let pem = pem_text(Label::Certificate, alias);
            assert_eq!(pem, text(&expected["alias_cert"]["legacy_cert_pem"]));
            assert_eq!(pem.len(), number(&expected["tool"]["pem_file_length"]));
            assert_eq!(Sha256::digest(pem.as_bytes())[..], hex(&expected["tool"]["pem_file_sha256"]));

            let device = identity.device_id_to_be_signed(&mut out).unwrap().sign(&mut signer()).unwrap();
            assert_eq!(device, hex(&expected["device_cert"]["legacy_cert_der"]));
            assert_eq!(Sha256::digest(device)[..], hex(&expected["device_cert"]["legacy_cert_sha256"]));
        }
    }

    #[test]
    fn recorded_signatures_are_reproduced() {
        for case in list(&vectors("riot/primitives.json")["legacy_sign"]) {
            let key: SecretKey =
                SecretKey::from_scalar(Secret::new(hex_array(&case["private_scalar_be"]))).unwrap();
            let mut signer = ConstantNonceSigner::publishing_the_private_key(&key);
            let message = hex(&case["message"]);
            let signature = signer.sign_sha256(&Sha256::digest(&message)).unwrap();
            assert_eq!(signature.r()[..], hex(&case["r"]));
            assert_eq!(signature.s()[..], hex(&case["s"]));
            assert_eq!(signer.public_key().verify(&message, &signature), Ok(()));
        }
    }
}
