//! Chains of several layers, against an independent model (`tests/interop/standard_profile.py`).

mod common;

use common::{hex, hex_array, list, text, vectors};
use dice_core::hash::{Hash, Sha256, Sha384, Sha512};
use dice_core::layer::{After, ECA_CERTIFICATE_MAX_LEN, Hardware, Layer, Leaf, Level, sealing_key};
use dice_core::open_dice::{CdiSeal, Mode};
use dice_core::standard::{FirmwareInfo, Identity};
use dice_core::tcg::{TcbFreshness, Ueid};
use dice_core::x509::{Time, Validity};
use dice_core::{Error, FirmwareDigest, Measurement, RegistrationId, Uds};
use serde_json::Value;

fn firmware(layer: &Value) -> FirmwareDigest {
    fn measure<H: Hash>(image: &[u8]) -> FirmwareDigest {
        let mut measurement = Measurement::<H>::with_hash();
        measurement.update(image);
        measurement.finish().unwrap()
    }
    let image = hex(&layer["firmware"]);
    match text(&layer["hash"]) {
        "sha256" => measure::<Sha256>(&image),
        "sha384" => measure::<Sha384>(&image),
        "sha512" => measure::<Sha512>(&image),
        other => panic!("hash {other}"),
    }
}

fn info(layer: &Value) -> FirmwareInfo<'_> {
    let mode = match text(&layer["mode"]) {
        "not_configured" => Mode::NotConfigured,
        "normal" => Mode::Normal,
        "debug" => Mode::Debug,
        "recovery" => Mode::Recovery,
        other => panic!("mode {other}"),
    };
    FirmwareInfo {
        authority_hash: hex_array(&layer["authority_hash"]),
        ..FirmwareInfo::new(
            text(&layer["vendor"]),
            text(&layer["model"]),
            text(&layer["version"]),
            layer["svn"].as_u64().unwrap(),
        )
        .with_mode(mode)
    }
}

/// What is the same at every layer of one case.
struct Case<'a> {
    layers: &'a [Value],
    leaf: Leaf<'a>,
    sealing_keys: Vec<Vec<u8>>,
    certificates: Vec<Vec<u8>>,
    leaf_private: Vec<u8>,
}

/// Goes down one layer of the chain. The number of layers is in the type, so that each is a function of its own.
macro_rules! descend {
    ($name:ident, $level:ty, $next:ident) => {
        fn $name(layer: Layer<$level>, case: &Case<'_>) {
            let index = usize::try_from(<$level>::INDEX).unwrap();
            let content = &case.layers[index];
            let mut out = [0; 1024];
            if index + 1 < case.layers.len() {
                let (next, certificate) =
                    layer.next(&firmware(content), &info(content), Validity::NO_EXPIRY, &mut out).unwrap();
                assert_eq!(certificate, case.certificates[index + 1]);
                let key = next.sealing_key(text(&content["sealing_label"]).as_bytes()).unwrap();
                assert_eq!(key.expose()[..], case.sealing_keys[index]);
                // The next stage gets nothing but the two secrets.
                $next(Layer::resume(next.into_cdis()).unwrap(), case);
            } else {
                let (key, certificate) = layer
                    .leaf(&firmware(content), &info(content), &case.leaf, Validity::NO_EXPIRY, &mut out)
                    .unwrap();
                assert_eq!(certificate, case.certificates[index + 1]);
                assert_eq!(key.expose_scalar().expose()[..], case.leaf_private);
            }
        }
    };
}

fn too_deep(_: Layer<After<After<After<After<Hardware>>>>>, _: &Case<'_>) {
    panic!("the vectors have four layers at most");
}

descend!(third, After<After<After<Hardware>>>, too_deep);
descend!(second, After<After<Hardware>>, third);
descend!(first, After<Hardware>, second);
descend!(hardware, Hardware, first);

#[test]
fn chains_equal_the_independent_model() {
    let file = vectors("standard/layers.json");
    assert_eq!(list(&file["cases"]).len(), 4);
    for case in list(&file["cases"]) {
        let layer = Layer::from_uds(&Uds::from_hex(text(&case["uds"])).unwrap()).unwrap();
        let all_hex = |value: &Value| list(value).iter().map(hex).collect::<Vec<_>>();
        let certificates = all_hex(&case["certificates"]);
        let mut out = [0; 1024];
        assert_eq!(layer.device_id_certificate(Validity::NO_EXPIRY, &mut out).unwrap(), certificates[0]);

        let purposes: Vec<_> = list(&case["purposes"]).iter().map(|oid| text(oid).parse().unwrap()).collect();
        let bytes = |name: &str| (!case[name].is_null()).then(|| hex(&case[name]));
        let (ueid, nonce) = (bytes("ueid"), bytes("nonce"));
        let leaf = Leaf {
            id: RegistrationId::new(text(&case["registration_id"])).unwrap(),
            purposes: &purposes,
            ueid: ueid.as_deref().map(Ueid),
            freshness: nonce.as_deref().map(TcbFreshness),
        };
        let case = Case {
            layers: list(&case["layers"]),
            leaf,
            sealing_keys: all_hex(&case["sealing_keys"]),
            certificates,
            leaf_private: hex(&case["leaf_private"]),
        };
        hardware(layer, &case);
    }
}

const SECRET: [u8; 32] = *b"a device secret for tests only..";

#[test]
fn one_layer_gives_the_standard_identity() {
    let uds = Uds::from_bytes(SECRET).unwrap();
    let firmware = FirmwareDigest::of(b"firmware").unwrap();
    let info = FirmwareInfo::new("ACME", "Widget", "1.2.3", 4);
    let id = RegistrationId::new("device").unwrap();
    let identity = Identity::derive(&uds, &firmware, &info).unwrap();
    let layer = Layer::from_uds(&uds).unwrap();
    assert_eq!(layer.public_key(), identity.device_id_key().public_key());
    let (mut of_layer, mut of_identity) = ([0; 1024], [0; 1024]);
    let (key, certificate) =
        layer.leaf(&firmware, &info, &Leaf::tls_client(id), Validity::NO_EXPIRY, &mut of_layer).unwrap();
    assert_eq!(&key, identity.alias_key());
    assert_eq!(certificate, identity.alias_certificate(id, &mut of_identity).unwrap());
}

#[test]
fn sealing_keys_survive_updates_and_differ_by_label_authority_and_layer() {
    let sealed = |image: &[u8], version, authority, label: &[u8]| {
        let mut out = [0; 1024];
        let info =
            FirmwareInfo { authority_hash: [authority; 64], ..FirmwareInfo::new("v", "m", version, 1) };
        let (layer, _) = Layer::from_uds(&Uds::from_bytes(SECRET).unwrap())
            .unwrap()
            .next(&FirmwareDigest::of(image).unwrap(), &info, Validity::NO_EXPIRY, &mut out)
            .unwrap();
        layer.sealing_key(label).unwrap()
    };
    let base = sealed(b"old", "1", 1, b"label");
    assert_eq!(sealed(b"new", "2", 1, b"label"), base);
    assert_ne!(sealed(b"old", "1", 2, b"label"), base);
    assert_ne!(sealed(b"old", "1", 1, b"label\0"), base);
    assert_ne!(sealing_key(&CdiSeal::new(SECRET), b"label").unwrap(), base);
}

#[test]
fn the_longest_certificate_of_an_embedded_ca_fits() {
    let long = "x".repeat(64);
    let info = FirmwareInfo::new(&long, &long, &long, u64::MAX).with_mode(Mode::Debug);
    let mut measurement = Measurement::<Sha512>::with_hash();
    measurement.update(b"firmware");
    let firmware = measurement.finish().unwrap();
    let layer = Layer::from_uds(&Uds::from_bytes(SECRET).unwrap()).unwrap();
    let validity = Validity { not_before: Time::NO_EXPIRY, not_after: Time::NO_EXPIRY };
    assert_eq!(
        layer.next(&firmware, &info, validity, &mut []).unwrap_err(),
        Error::BufferTooSmall { needed: ECA_CERTIFICATE_MAX_LEN, available: 0 }
    );
}

#[test]
fn a_layer_shows_its_number_and_nothing_secret() {
    let uds = Uds::from_bytes(SECRET).unwrap();
    let layer = Layer::from_uds(&uds).unwrap();
    let shown = format!("{layer:?}");
    assert!(shown.starts_with("Layer { index: 0, public: PublicKey(04"), "{shown}");
    assert!(!shown.contains(&hex::encode(SECRET)));
}
