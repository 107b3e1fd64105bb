//! CDIs, seeds, keys and identifiers.

use crate::common::{hex, hex_array, list, text, vectors};
use crate::support::{Inputs, algorithms, cdis};
use dice_core::Uds;
use dice_core::key::SecretKey;
use dice_core::open_dice::{CdiAttest, Cdis, Config, InputValues, KeyPair, KeySeed, Mode};

#[test]
fn cdis_seeds_keys_and_ids_are_those_of_the_reference() {
    let vectors = vectors("dice/open_dice_derive.json");
    let cases = list(&vectors["cases"]);
    assert_eq!(cases.len(), 13);
    for case in cases {
        let name = text(&case["name"]);
        let inputs = Inputs::read(&case["inputs"]);
        let current = cdis(&case["inputs"], "cdi_attest", "cdi_seal");
        let next = current.next(&inputs.values()).expect("derives");
        assert_eq!(next, cdis(case, "next_cdi_attest", "next_cdi_seal"), "{name}");

        for (role, layer) in [("authority", &current), ("subject", &next)] {
            let seed = KeySeed::derive(&layer.attest).expect("derives");
            assert_eq!(seed, KeySeed::new(hex_array(&case[&format!("{role}_key_seed")])), "{name} {role}");
            for (algorithm_name, algorithm) in algorithms() {
                let expected = &case["keys"][algorithm_name];
                let pair = KeyPair::from_cdi(&layer.attest, algorithm).expect("derives");
                let public = pair.public_key();
                assert_eq!(public.as_bytes(), hex(&expected[&format!("{role}_public_key")]), "{name} {role}");
                let id = public.id().expect("derives");
                assert_eq!(id.to_string(), text(&expected[&format!("{role}_id")]), "{name} {role}");
                assert!(id.as_bytes()[0] < 0x80);
                assert_eq!(id.to_hex().as_slice(), id.to_string().as_bytes());
                assert_eq!(public.as_bytes().len(), algorithm.public_key_len());
            }
            let key: SecretKey = seed.p256_key().expect("in range");
            let scalar = text(&case["keys"]["p256"][&format!("{role}_private_key")]);
            assert_eq!(::hex::encode(key.expose_scalar().expose()), scalar, "{name} {role}");
        }
    }
}

#[test]
fn known_answers_of_upstream() {
    let vectors = vectors("dice/open_dice_known_answers.json");
    for name in ["ZeroInput", "HashOnlyInput", "DescriptorInput"] {
        let case = &vectors["cases"][name];
        let inputs = Inputs::read(&case["inputs"]);
        let next = cdis(&case["inputs"], "cdi_attest", "cdi_seal").next(&inputs.values()).expect("derives");
        assert_eq!(next, cdis(case, "cdi_attest", "cdi_seal"), "{name}");
    }
}

#[test]
fn each_input_reaches_the_cdis_it_should() {
    let uds = Uds::from_hex("19e25a259d0c2be03a02d416c05c48ccd0cc7d1743458aae1cb488b074993eae").expect("hex");
    let current = Cdis::from_uds(&uds);
    let base = InputValues::new(&[1; 64], Config::Inline(&[2; 64]), &[3; 64], Mode::Normal);
    let from_base = current.next(&base).expect("derives");
    // What changes, and whether the sealing CDI changes with it.
    let variants = [
        ("code", InputValues { code_hash: &[9; 64], ..base }, false),
        ("configuration", InputValues { config: Config::Inline(&[9; 64]), ..base }, false),
        ("descriptor", InputValues { config: Config::Descriptor(&[2; 64]), ..base }, false),
        ("authority", InputValues { authority_hash: &[9; 64], ..base }, true),
        ("mode", InputValues { mode: Mode::Recovery, ..base }, true),
        ("hidden", InputValues { hidden: &[9; 64], ..base }, true),
    ];
    for (what, inputs, seals) in variants {
        let next = current.next(&inputs).expect("derives");
        assert!(next.attest != from_base.attest, "{what}");
        assert_eq!(next.seal != from_base.seal, seals, "{what}");
    }
    let described = InputValues { code_descriptor: &[9], authority_descriptor: &[9], ..base };
    assert_eq!(
        current.next(&described).expect("derives"),
        from_base,
        "descriptors are for the certificate only"
    );
}

#[test]
fn secrets_are_redacted() {
    let inputs = InputValues {
        hidden: &[0xab; 64],
        ..InputValues::new(&[1; 64], Config::Inline(&[2; 64]), &[3; 64], Mode::Normal)
    };
    let shown = format!(
        "{:?} {:?} {:?} {inputs:?}",
        CdiAttest::new([0xab; 32]),
        Cdis::from_uds(&Uds::from_legacy_bytes_unchecked([0xab; 32])),
        KeySeed::new([0xab; 32]),
    );
    assert!(!shown.contains("171") & !shown.contains("ab"), "{shown}");
    assert!(shown.contains("CdiSeal(..)"));
}

#[test]
fn unknown_modes_count_as_not_configured() {
    for byte in 0..=255 {
        let mode = Mode::from_byte(byte);
        assert_eq!(mode as u8, if byte <= 3 { byte } else { 0 });
    }
}
