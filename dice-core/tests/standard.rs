//! Profile `standard` against an independent model of PROFILE.md (`tests/interop/standard_profile.py`).

mod common;

use common::{hex, hex_array, list, text, vectors};
use dice_core::hash::{Hash, Sha256, Sha384, Sha512};
use dice_core::open_dice::Mode;
use dice_core::standard::{
    ALIAS_CERTIFICATE_MAX_LEN, ALIAS_REQUEST_MAX_LEN, DEVICE_ID_CERTIFICATE_MAX_LEN,
    DEVICE_ID_REQUEST_MAX_LEN, FirmwareInfo, Identity, POSSESSION_CERTIFICATE_MAX_LEN,
    REGISTRATION_ID_MAX_LEN, VerificationCode, derive_cdis,
};
use dice_core::x509::{Time, Validity};
use dice_core::{Error, FirmwareDigest, Measurement, RegistrationId, Uds};
use proptest::prelude::*;
use serde_json::Value;

fn measure<H: Hash>(image: &[u8]) -> FirmwareDigest {
    let mut measurement = Measurement::<H>::with_hash();
    image.chunks(5).for_each(|piece| measurement.update(piece));
    measurement.finish().unwrap()
}

fn firmware(case: &Value) -> FirmwareDigest {
    let image = hex(&case["firmware"]);
    let digest = match text(&case["hash"]) {
        "sha256" => measure::<Sha256>(&image),
        "sha384" => measure::<Sha384>(&image),
        "sha512" => measure::<Sha512>(&image),
        other => panic!("hash {other}"),
    };
    assert_eq!(digest.as_bytes(), hex(&case["firmware_digest"]));
    digest
}

fn info(case: &Value) -> FirmwareInfo<'_> {
    let mode = match text(&case["mode"]) {
        "not_configured" => Mode::NotConfigured,
        "normal" => Mode::Normal,
        "debug" => Mode::Debug,
        "recovery" => Mode::Recovery,
        other => panic!("mode {other}"),
    };
    FirmwareInfo {
        vendor: text(&case["vendor"]),
        model: text(&case["model"]),
        version: text(&case["version"]),
        svn: case["svn"].as_u64().unwrap(),
        mode,
        authority_hash: hex_array(&case["authority_hash"]),
    }
}

/// `YYYYMMDDhhmmssZ`.
fn time(value: &Value) -> Time {
    let text = text(value);
    let number = |range: std::ops::Range<usize>| text[range].parse().unwrap();
    Time::new(
        text[..4].parse().unwrap(),
        number(4..6),
        number(6..8),
        number(8..10),
        number(10..12),
        number(12..14),
    )
    .unwrap()
}

fn identity(case: &Value) -> Identity<'_> {
    let uds = Uds::from_hex(text(&case["uds"])).unwrap();
    let validity = Validity { not_before: time(&case["not_before"]), not_after: time(&case["not_after"]) };
    Identity::derive(&uds, &firmware(case), &info(case)).unwrap().with_validity(validity)
}

#[test]
fn identities_equal_the_independent_model() {
    let file = vectors("standard/identities.json");
    assert_eq!(list(&file["cases"]).len(), 32);
    for case in list(&file["cases"]) {
        let name = text(&case["name"]);
        let uds = Uds::from_hex(text(&case["uds"])).unwrap();
        let cdis = derive_cdis(&uds, &firmware(case), &info(case)).unwrap();
        assert_eq!(cdis.attest.expose()[..], hex(&case["cdi_attest"]), "{name}");
        assert_eq!(cdis.seal.expose()[..], hex(&case["cdi_seal"]), "{name}");

        let identity = identity(case);
        let (device_id, alias) = (identity.device_id_key(), identity.alias_key());
        assert_eq!(device_id.expose_scalar().expose()[..], hex(&case["device_id_private"]), "{name}");
        assert_eq!(device_id.public_key().as_sec1()[..], hex(&case["device_id_public"]), "{name}");
        assert_eq!(alias.expose_scalar().expose()[..], hex(&case["alias_private"]), "{name}");
        assert_eq!(alias.public_key().as_sec1()[..], hex(&case["alias_public"]), "{name}");

        let id = RegistrationId::new(text(&case["registration_id"])).unwrap();
        let code = VerificationCode::new(text(&case["code"])).unwrap();
        let mut out = [0; 1024];
        assert_eq!(
            identity.device_id_certificate(&mut out).unwrap(),
            hex(&case["device_id_certificate"]),
            "{name}"
        );
        assert_eq!(
            identity.alias_certificate(id, &mut out).unwrap(),
            hex(&case["alias_certificate"]),
            "{name}"
        );
        let possession = identity.possession_certificate(code, &mut out).unwrap();
        assert_eq!(possession, hex(&case["possession_certificate"]), "{name}");
        assert_eq!(identity.device_id_request(&mut out).unwrap(), hex(&case["device_id_request"]), "{name}");
        assert_eq!(identity.alias_request(id, &mut out).unwrap(), hex(&case["alias_request"]), "{name}");
        assert_eq!(identity.into_alias_key().expose_scalar().expose()[..], hex(&case["alias_private"]));
    }
}

#[test]
fn a_firmware_update_changes_the_alias_and_leaves_the_device_id() {
    let file = vectors("standard/identities.json");
    let cases = list(&file["cases"]);
    let sample = identity(&cases[0]);
    for changed in &cases[1..4] {
        let changed = identity(changed);
        assert_eq!(changed.device_id_key(), sample.device_id_key());
        assert_ne!(changed.alias_key(), sample.alias_key());
        let (mut a, mut b) = ([0; DEVICE_ID_CERTIFICATE_MAX_LEN], [0; DEVICE_ID_CERTIFICATE_MAX_LEN]);
        assert_eq!(changed.device_id_certificate(&mut a), sample.device_id_certificate(&mut b));
    }
}

#[test]
fn the_longest_of_everything_fits_in_the_stated_sizes() {
    let long = "x".repeat(64);
    let id = RegistrationId::new(&long).unwrap();
    let uds = Uds::from_bytes(*b"a device secret for tests only..").unwrap();
    let info = FirmwareInfo::new(&long, &long, &long, u64::MAX).with_mode(Mode::Debug);
    let validity = Validity { not_before: Time::NO_EXPIRY, not_after: Time::NO_EXPIRY };
    let identity = Identity::derive(&uds, &measure::<Sha512>(b"fw"), &info).unwrap().with_validity(validity);
    let needed = |result: Result<&[u8], Error>| match result {
        Err(Error::BufferTooSmall { needed, available: 0 }) => needed,
        other => panic!("{other:?}"),
    };
    assert_eq!(needed(identity.alias_certificate(id, &mut [])), ALIAS_CERTIFICATE_MAX_LEN);
    assert_eq!(needed(identity.device_id_certificate(&mut [])), DEVICE_ID_CERTIFICATE_MAX_LEN);
    let code = VerificationCode::new(&long).unwrap();
    assert_eq!(needed(identity.possession_certificate(code, &mut [])), POSSESSION_CERTIFICATE_MAX_LEN);
    assert_eq!(needed(identity.alias_request(id, &mut [])), ALIAS_REQUEST_MAX_LEN);
    assert_eq!(needed(identity.device_id_request(&mut [])), DEVICE_ID_REQUEST_MAX_LEN);
}

#[test]
fn texts_and_ids_that_do_not_fit_are_named() {
    let uds = Uds::from_bytes(*b"a device secret for tests only..").unwrap();
    let firmware = FirmwareDigest::of(b"fw").unwrap();
    let derive = |info: &FirmwareInfo<'_>| Identity::derive(&uds, &firmware, info).map(|_| ()).unwrap_err();
    let long = "x".repeat(65);
    assert_eq!(
        derive(&FirmwareInfo::new("", "m", "1", 0)),
        Error::TextLength { text: "vendor", found: 0, limit: 64 }
    );
    assert_eq!(
        derive(&FirmwareInfo::new("v", &long, "1", 0)),
        Error::TextLength { text: "model", found: 65, limit: 64 }
    );
    assert_eq!(
        derive(&FirmwareInfo::new("v", "m", "1\n2", 0)),
        Error::TextCharacter { text: "version", index: 1, found: '\n' }
    );
    assert_eq!(
        VerificationCode::new("a b"),
        Err(Error::TextCharacter { text: "verification code", index: 1, found: ' ' })
    );
    let identity = Identity::derive(&uds, &firmware, &FirmwareInfo::new("v", "m", "1", 0)).unwrap();
    let mut out = [0; ALIAS_CERTIFICATE_MAX_LEN];
    assert_eq!(
        identity.alias_certificate(RegistrationId::new(&long).unwrap(), &mut out).unwrap_err(),
        Error::RegistrationIdLength { found: 65, limit: REGISTRATION_ID_MAX_LEN }
    );
    assert_eq!(FirmwareDigest::of(&[]), Err(Error::EmptyMeasurement));
}

#[test]
fn serial_numbers_are_positive_and_differ_with_the_content() {
    let uds = Uds::from_bytes(*b"a device secret for tests only..").unwrap();
    let firmware = FirmwareDigest::of(b"fw").unwrap();
    let identity = Identity::derive(&uds, &firmware, &FirmwareInfo::new("v", "m", "1", 0)).unwrap();
    let serial = |id: &str| {
        let mut out = [0; ALIAS_CERTIFICATE_MAX_LEN];
        let der = identity.alias_certificate(RegistrationId::new(id).unwrap(), &mut out).unwrap();
        assert_eq!(der[8..15], [0xa0, 3, 2, 1, 2, 2, 20]);
        der[15..35].to_vec()
    };
    let serials: std::collections::BTreeSet<_> = (0..64).map(|i| serial(&format!("id{i}"))).collect();
    assert_eq!(serials.len(), 64);
    assert!(serials.iter().all(|serial| serial[0] & 0xc0 == 0x40));
}

#[test]
fn a_signature_made_elsewhere_gives_the_same_certificate() {
    let file = vectors("standard/identities.json");
    let case = &list(&file["cases"])[0];
    let identity = identity(case);
    let info = info(case);
    let certificate = dice_core::standard::AliasCertificate {
        issuer: identity.device_id_key().public_key(),
        key: identity.alias_key().public_key(),
        id: RegistrationId::new(text(&case["registration_id"])).unwrap(),
        firmware: identity.firmware(),
        info,
        validity: Validity::NO_EXPIRY,
    };
    let mut out = [0; ALIAS_CERTIFICATE_MAX_LEN];
    let unsigned = certificate.to_be_signed(&mut out).unwrap();
    assert_eq!(unsigned.digest(), Sha256::digest(unsigned.as_bytes()));
    let signature = identity.device_id_key().sign_prehash::<Sha256>(&unsigned.digest());
    assert_eq!(unsigned.finish(&signature).unwrap(), hex(&case["alias_certificate"]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_input_of_the_alias_key_matters(which in 0..6_usize) {
        let uds = Uds::from_bytes(*b"a device secret for tests only..").unwrap();
        let base = FirmwareInfo::new("vendor", "model", "1.0.0", 7);
        let (digest, changed_digest) = (FirmwareDigest::of(b"a").unwrap(), FirmwareDigest::of(b"b").unwrap());
        let mut info = base;
        match which {
            0 => info.vendor = "vendos",
            1 => info.model = "modem",
            2 => info.version = "1.0.1",
            3 => info.svn = 8,
            4 => info.mode = Mode::Debug,
            _ => info.authority_hash[63] = 1,
        }
        let key = |digest, info| derive_cdis(&uds, digest, info).unwrap();
        let (original, changed) = (key(&digest, &base), key(&digest, &info));
        prop_assert_ne!(&changed.attest, &original.attest);
        prop_assert_ne!(&key(&changed_digest, &base).attest, &original.attest);
        // What is sealed stays readable for other code of the same authority in the same mode.
        prop_assert_eq!(changed.seal == original.seal, which < 4);
    }
}

#[test]
fn an_issuer_that_fails_is_reported() {
    struct Broken(dice_core::key::SecretKey);
    #[derive(Debug, PartialEq)]
    enum ChipError {
        Nack,
        Dice(Error),
    }
    impl From<Error> for ChipError {
        fn from(cause: Error) -> Self {
            Self::Dice(cause)
        }
    }
    impl dice_core::key::Signer for Broken {
        type Error = ChipError;
        fn public_key(&self) -> &dice_core::key::PublicKey {
            self.0.public_key()
        }
        fn sign_sha256(&mut self, _: &[u8; 32]) -> Result<dice_core::key::Signature, ChipError> {
            Err(ChipError::Nack)
        }
    }
    let uds = Uds::from_bytes(*b"a device secret for tests only..").unwrap();
    let key = dice_core::standard::derive_device_id(&uds).unwrap();
    let mut out = [0; DEVICE_ID_CERTIFICATE_MAX_LEN];
    let public = *key.public_key();
    let certificate = dice_core::standard::DeviceIdCertificate {
        key: &public,
        path_len: None,
        validity: Validity::NO_EXPIRY,
    };
    let unsigned = certificate.to_be_signed(&mut out).unwrap();
    assert_eq!(unsigned.sign(&mut Broken(key)), Err(ChipError::Nack));
}
