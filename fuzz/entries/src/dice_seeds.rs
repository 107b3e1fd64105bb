//! Chains of this repository's own devices, made once, and seeds out of them and of the published vectors.

use std::sync::OnceLock;

use dice_core::layer::{Layer, Leaf};
use dice_core::open_dice::android::AndroidFlow;
use dice_core::open_dice::{
    Algorithm, Cdis, Config, Format, InputValues, KeyPair, MainFlow, Mode, PublicKey,
};
use dice_core::pem::{self, Label, Lines};
use dice_core::standard::{FirmwareInfo, Identity};
use dice_core::tcg::{TcbFreshness, Ueid};
use dice_core::x509::Validity;
use dice_core::{FirmwareDigest, RegistrationId, Uds};
use serde_json::Value;

const TCG: &str = include_str!("../../../dice-core/tests/vectors/dice/tcg_dice_extensions.json");
const SECRET: [u8; 32] = *b"a device secret for tests only..";

/// A device of three stages.
pub(crate) struct X509 {
    /// DeviceID, loader's, application's and leaf's certificate.
    pub(crate) chain: Vec<Vec<u8>>,
    /// The digests of the three stages.
    pub(crate) firmware: Vec<FirmwareDigest>,
}

pub(crate) fn x509() -> &'static X509 {
    static DEVICE: OnceLock<X509> = OnceLock::new();
    DEVICE.get_or_init(|| {
        let uds = Uds::from_bytes(SECRET).expect("a secret");
        let info = FirmwareInfo::new("ACME", "Widget", "1.2.3", 4);
        let stages = [&b"rom"[..], b"loader", b"application"];
        let firmware = stages.map(|stage| FirmwareDigest::of(stage).expect("not empty")).to_vec();
        let (valid, mut out) = (Validity::NO_EXPIRY, [0; 1024]);
        let layer = Layer::from_uds(&uds).expect("a key");
        let root = layer.device_id_certificate(valid, &mut out).expect("fits").to_vec();
        let (layer, first) = layer.next(&firmware[0], &info, valid, &mut out).expect("fits");
        let first = first.to_vec();
        let (layer, second) = layer.next(&firmware[1], &info, valid, &mut out).expect("fits");
        let second = second.to_vec();
        let leaf = Leaf {
            ueid: Some(Ueid(&[1; 17])),
            freshness: Some(TcbFreshness(b"nonce")),
            ..Leaf::attestation(RegistrationId::new("device").expect("an id"))
        };
        let (_, third) = layer.leaf(&firmware[2], &info, &leaf, valid, &mut out).expect("fits");
        X509 { chain: vec![root, first, second, third.to_vec()], firmware }
    })
}

/// A device of the Open Profile with CBOR certificates.
pub(crate) struct Cbor {
    pub(crate) root: PublicKey,
    pub(crate) certificate: Vec<u8>,
    pub(crate) handovers: Vec<Vec<u8>>,
    pub(crate) chains: Vec<Vec<u8>>,
}

const INPUTS: InputValues<'static> =
    InputValues::new(&[1; 64], Config::Descriptor(b"\xa0"), &[3; 64], Mode::Normal);

fn cdis() -> Cdis {
    Cdis::from_uds(&Uds::from_bytes(SECRET).expect("a secret"))
}

pub(crate) fn cbor() -> &'static Cbor {
    static DEVICE: OnceLock<Cbor> = OnceLock::new();
    DEVICE.get_or_init(|| {
        let mut buffer = [0; 2048];
        let flow = MainFlow::new(Format::Cbor, Algorithm::P256).named("name");
        let certificate = flow.run(&cdis(), &INPUTS, &mut buffer).expect("fits").certificate.to_vec();
        let uds = |byte| [&[0x58, 0x20][..], &[byte; 32]].concat();
        let first = [&[0xa2, 1][..], &uds(0x11), &[2], &uds(0x22)].concat();
        let android = AndroidFlow::new(Algorithm::P256);
        let second = android.run_handover(&first, &INPUTS, &mut buffer).expect("fits").to_vec();
        let third = android.run_handover(&second, &INPUTS, &mut buffer).expect("fits").to_vec();
        let chains = [&second, &third].map(|handover| {
            let handover = dice_core::open_dice::android::Handover::parse(handover).expect("just made");
            handover.chain.expect("it has one").to_vec()
        });
        let root = *KeyPair::from_cdi(&cdis().attest, Algorithm::P256).expect("a key").public_key();
        Cbor { root, certificate, handovers: vec![first, second, third], chains: chains.to_vec() }
    })
}

pub(crate) fn certificates() -> Vec<Vec<u8>> {
    let uds = Uds::from_bytes(SECRET).expect("a secret");
    let info = FirmwareInfo::new("ACME", "Widget", "1.2.3", 4);
    let identity =
        Identity::derive(&uds, &FirmwareDigest::of(b"firmware").expect("not empty"), &info).expect("keys");
    let mut out = [0; 1024];
    let id = RegistrationId::new("my-device").expect("an id");
    let alias = identity.alias_certificate(id, &mut out).expect("fits").to_vec();
    let open_dice = MainFlow::new(Format::X509, Algorithm::P256).named("name");
    let mut buffer = [0; 1024];
    let open_dice = open_dice.run(&cdis(), &INPUTS, &mut buffer).expect("fits").certificate.to_vec();
    x509().chain.iter().cloned().chain([alias, open_dice]).collect()
}

pub(crate) fn chains() -> Vec<Vec<u8>> {
    let chain = &x509().chain;
    [(0, 4), (1, 4), (3, 3), (4, 3), (5, 4), (7, 2)]
        .map(|(options, count)| [&[options][..], &chain[1..count].concat()].concat())
        .into()
}

pub(crate) fn cbor_items() -> Vec<Vec<u8>> {
    let known = cbor();
    let descriptor =
        b"\xa3\x3a\x00\x01\x11\x71\x63abc\x3a\x00\x01\x11\x72\x01\x3a\x00\x01\x11\x73\xf6".to_vec();
    let items = b"\x83\x18\x64\x39\x01\x00\xa1\x00\x82\x60\x40".to_vec();
    [descriptor, items, known.certificate.clone()]
        .into_iter()
        .chain(known.handovers.iter().cloned())
        .chain(known.chains.iter().cloned())
        .collect()
}

pub(crate) fn pem_texts() -> Vec<Vec<u8>> {
    let text = |label, der: &[u8], lines| {
        let mut out = vec![0; pem::encoded_len(label, der.len(), lines)];
        pem::encode(label, der, lines, &mut out).expect("fits").to_owned()
    };
    let short = text(Label::PublicKey, b"a key", Lines::Single);
    let two = text(Label::Certificate, &[7; 100], Lines::Wrapped)
        + &text(Label::Certificate, &[8; 49], Lines::Single);
    let private = format!("Bag Attributes\r\n{}", text(Label::EcPrivateKey, &[9; 50], Lines::Wrapped));
    [short, two.replace('\n', "\r\n"), two, private].map(String::into_bytes).into()
}

pub(crate) fn tcb_infos() -> Vec<Vec<u8>> {
    let set: Value = serde_json::from_str(TCG).expect("vectors are JSON");
    let values = ["tcb_info", "multi_tcb_info", "ueid", "tcb_freshness"].into_iter().flat_map(|kind| {
        let cases = set[kind].as_array().expect("cases").iter();
        cases.flat_map(|case| {
            ["value_libnat20", "value_named_bits_trimmed", "value"].map(|form| case[form].as_str())
        })
    });
    values.flatten().map(|text| hex::decode(text).expect("hexadecimal")).collect()
}
