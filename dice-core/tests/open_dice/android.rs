//! The Android profile: configuration descriptors and handovers.

use crate::common::{hex, list, number, text, vectors};
use dice_core::Error;
use dice_core::open_dice::android::{AndroidFlow, ComponentVersion, ConfigDescriptor, Handover};
use dice_core::open_dice::cbor::{CborProblem, Kind, Reader, Writer};
use dice_core::open_dice::{Algorithm, Config, DiceChain, InputValues, Mode, PublicKey};
use serde_json::Value;

const ALGORITHM: Algorithm = Algorithm::P256;

/// The descriptor of a vector: the bits of `configs` say which fields are there.
fn descriptor(case: &Value) -> ConfigDescriptor<'_> {
    let configs = number(&case["configs"]);
    let field = |bit: usize| configs & (1 << bit) != 0;
    let version = |name: &str| case[name].as_u64().expect("a version");
    ConfigDescriptor {
        component_name: field(0).then(|| text(&case["component_name"])),
        component_version: field(1)
            .then(|| ComponentVersion::Number(version("component_version").try_into().expect("in range"))),
        resettable: field(2),
        security_version: field(3).then(|| version("security_version")),
        rkp_vm_marker: field(4),
        component_instance_name: None,
    }
}

#[test]
fn configuration_descriptors_are_those_of_the_reference() {
    let vectors = vectors("dice/android_dice.json");
    let cases = list(&vectors["config_descriptors"]);
    assert_eq!(cases.len(), 8);
    for case in cases {
        let descriptor = descriptor(case);
        let expected = hex(&case["descriptor"]);
        let mut buffer = [0; 128];
        assert_eq!(descriptor.encode(&mut buffer).expect("fits"), expected);
        assert_eq!(ConfigDescriptor::parse(&expected), Ok(descriptor));
        for available in 0..expected.len() {
            let needed = expected.len();
            assert_eq!(
                descriptor.encode(&mut buffer[..available]),
                Err(Error::BufferTooSmall { needed, available })
            );
            assert!(ConfigDescriptor::parse(&expected[..available]).is_err(), "{available}");
        }
    }
}

#[test]
fn configuration_descriptors_are_read_strictly() {
    let full = ConfigDescriptor {
        component_name: Some("name"),
        component_instance_name: Some("instance"),
        component_version: Some(ComponentVersion::Text("1.2.3")),
        resettable: true,
        security_version: Some(u64::MAX),
        rkp_vm_marker: true,
    };
    let mut buffer = [0; 128];
    let encoded = full.encode(&mut buffer).expect("fits").to_vec();
    assert_eq!(ConfigDescriptor::parse(&encoded), Ok(full));

    let parse = |write: fn(&mut Writer<'_>)| {
        let mut buffer = [0; 64];
        let mut writer = Writer::new(&mut buffer);
        write(&mut writer);
        let encoded = writer.finish().expect("fits").to_vec();
        let ConfigDescriptor { component_version, security_version, resettable, .. } =
            ConfigDescriptor::parse(&encoded)?;
        let number = match component_version {
            Some(ComponentVersion::Number(number)) => Some(number),
            _ => None,
        };
        Ok((number, security_version, resettable))
    };
    let cbor = |offset, problem| Err(Error::Cbor { offset, problem });
    // Labels of the implementation, before and after, with anything under them.
    assert_eq!(
        parse(|writer| {
            writer.map(3);
            writer.integer(-65_537);
            writer.array(1);
            writer.map(0);
            writer.integer(-70_003);
            writer.integer(-5);
            writer.integer(-71_000);
            writer.bytes(b"x");
        }),
        Ok((Some(-5), None, false))
    );
    let duplicate = parse(|writer| {
        writer.map(2);
        writer.integer(-70_004);
        writer.null();
        writer.integer(-70_004);
        writer.null();
    });
    assert_eq!(duplicate, cbor(7, CborProblem::DuplicateLabel { label: -70_004 }));
    let reserved = parse(|writer| {
        writer.map(1);
        writer.integer(-70_001);
        writer.null();
    });
    assert_eq!(reserved, cbor(1, CborProblem::Value));
    let negative = parse(|writer| {
        writer.map(1);
        writer.integer(-70_005);
        writer.integer(-1);
    });
    assert_eq!(negative, cbor(6, CborProblem::Kind { expected: Kind::Unsigned, found: Kind::Negative }));
    let not_null = parse(|writer| {
        writer.map(1);
        writer.integer(-70_004);
        writer.raw(&[0xf5]); // true
    });
    assert_eq!(not_null, cbor(6, CborProblem::Value));
    let mut trailing = encoded.clone();
    trailing.push(0);
    assert_eq!(
        ConfigDescriptor::parse(&trailing),
        Err(Error::Cbor { offset: encoded.len(), problem: CborProblem::TrailingBytes })
    );
}

#[cfg(feature = "ed25519")]
#[test]
fn handovers_of_the_reference_are_reproduced() {
    let vectors = vectors("dice/android_dice.json");
    let mut steps = 0;
    for case in list(&vectors["handovers"]) {
        for (index, step) in list(&case["steps"]).iter().enumerate() {
            let flow = AndroidFlow::new(Algorithm::Ed25519);
            let (handover, expected) = (hex(&step["handover"]), hex(&step["next_handover"]));
            let inputs = crate::support::Inputs::read(&step["inputs"]);
            let mut buffer = [0; 4096];
            assert_eq!(flow.run_handover(&handover, &inputs.values(), &mut buffer), Ok(&expected[..]));
            let needed = number(&step["size_reported_for_small_buffer"]);
            assert_eq!(needed, expected.len());
            for available in (0..needed).step_by(7).chain([needed - 1]) {
                let mut buffer = vec![0xee; available];
                assert_eq!(
                    flow.run_handover(&handover, &inputs.values(), &mut buffer),
                    Err(Error::BufferTooSmall { needed, available })
                );
                let next = Handover::parse(&expected).expect("well-formed").cdis;
                let leaks = |secret: &[u8; 32]| buffer.windows(32).any(|window| window == secret);
                assert!(!leaks(next.attest.expose()) && !leaks(next.seal.expose()));
            }

            let next = Handover::parse(&expected).expect("well-formed");
            let chain = DiceChain::parse(next.chain.expect("a chain")).expect("well-formed");
            assert_eq!(chain.len(), index + 1);
            assert!(!chain.is_empty());
            let layers: Vec<_> =
                chain.layers().expect("derives").map(|claims| claims.expect("verifies")).collect();
            assert_eq!(layers.len(), index + 1);
            assert!(layers.iter().all(|claims| claims.profile_name == Some("android.18")));
            let leaf = chain.verify().expect("verifies");
            let key = dice_core::open_dice::KeyPair::from_cdi(&next.cdis.attest, Algorithm::Ed25519);
            assert_eq!(key.expect("derives").public_key(), &leaf);
            steps += 1;
        }
    }
    assert_eq!(steps, 3);
}

#[test]
fn bad_handovers_are_refused_with_the_reason() {
    let vectors = vectors("dice/android_dice.json");
    let cases = list(&vectors["bad_handovers"]);
    let problem = |name: &str| match name {
        "empty map" => (0, CborProblem::Count { found: 0 }),
        "missing seal" => (0, CborProblem::Count { found: 1 }),
        "31-byte cdi" => (2, CborProblem::Length { expected: 32, found: 31 }),
        "33-byte seal" => (37, CborProblem::Length { expected: 32, found: 33 }),
        "wrong order" => (1, CborProblem::Label { expected: 1, found: 2 }),
        "array" => (0, CborProblem::Kind { expected: Kind::Map, found: Kind::Array }),
        "empty chain" => (72, CborProblem::Count { found: 0 }),
        "chain of 1" => (72, CborProblem::Count { found: 1 }),
        "truncated" => (37, CborProblem::Truncated),
        "chain not array" => (72, CborProblem::Kind { expected: Kind::Array, found: Kind::Unsigned }),
        "indefinite map" => (0, CborProblem::Indefinite),
        other => panic!("{other}"),
    };
    assert_eq!(cases.len(), 11);
    for case in cases {
        let name = text(&case["name"]);
        assert_eq!(text(&case["result"]), "invalid_input");
        let (offset, problem) = problem(name);
        let expected = Error::Cbor { offset, problem };
        let handover = hex(&case["handover"]);
        assert_eq!(Handover::parse(&handover).map(|_| ()), Err(expected), "{name}");
        let inputs = InputValues::new(&[1; 64], Config::Inline(&[2; 64]), &[3; 64], Mode::Normal);
        let mut buffer = [0; 1024];
        let result = AndroidFlow::new(ALGORITHM).run_handover(&handover, &inputs, &mut buffer);
        assert_eq!(result, Err(expected), "{name}");
        assert!(buffer.iter().all(|byte| *byte == 0), "{name}");
    }
}

/// A handover without a chain.
fn first_handover() -> Vec<u8> {
    let mut buffer = [0; 128];
    let mut writer = Writer::new(&mut buffer);
    writer.map(2);
    writer.integer(1);
    writer.bytes(&[0x11; 32]);
    writer.integer(2);
    writer.bytes(&[0x22; 32]);
    writer.finish().expect("fits").to_vec()
}

#[test]
fn a_boot_in_p256_hands_over_a_chain_that_verifies() {
    let inputs = InputValues::new(&[1; 64], Config::Descriptor(b"\xa0"), &[3; 64], Mode::Normal);
    let flow = AndroidFlow::new(ALGORITHM).named("android.16");
    let mut handover = first_handover();
    for layers in 1..=3 {
        let mut buffer = [0; 4096];
        handover = flow.run_handover(&handover, &inputs, &mut buffer).expect("hands over").to_vec();
        let parsed = Handover::parse(&handover).expect("well-formed");
        let chain = DiceChain::parse(parsed.chain.expect("a chain")).expect("well-formed");
        assert_eq!(chain.len(), layers);
        for claims in chain.layers().expect("derives") {
            let claims = claims.expect("verifies");
            assert_eq!(claims.profile_name, Some("android.16"));
            let measurements = claims.measurements.expect("measurements");
            assert_eq!(measurements.configuration_descriptor, b"\xa0");
            assert_eq!((measurements.code_hash, measurements.mode), (&[1; 64][..], Mode::Normal));
        }
    }
    assert!(!format!("{:?}", Handover::parse(&handover)).contains("0x11"));
}

#[test]
fn handovers_are_read_strictly() {
    let inputs = InputValues::new(&[1; 64], Config::Inline(&[2; 64]), &[3; 64], Mode::Normal);
    let mut buffer = [0; 1024];
    let first = first_handover();
    let second =
        AndroidFlow::new(ALGORITHM).run_handover(&first, &inputs, &mut buffer).expect("fits").to_vec();
    for handover in [&first, &second] {
        assert!(Handover::parse(handover).is_ok());
        for len in 0..handover.len() {
            assert!(Handover::parse(&handover[..len]).is_err(), "{len}");
        }
        let mut longer = handover.clone();
        longer.push(0);
        let offset = handover.len();
        let trailing = Error::Cbor { offset, problem: CborProblem::TrailingBytes };
        assert_eq!(Handover::parse(&longer).map(|_| ()), Err(trailing));
    }
    // The key of the second handover is the key of the chain's root.
    let parsed = Handover::parse(&second).expect("well-formed");
    let mut reader = Reader::new(parsed.chain.expect("a chain"));
    assert_eq!(reader.array(), Ok(2));
    assert!(PublicKey::read_cose(&mut reader).is_ok());

    let fourth = {
        let mut handover = second.clone();
        handover[0] = 0xa4;
        handover.extend([0x04, 0x00]);
        handover
    };
    let count = Error::Cbor { offset: 0, problem: CborProblem::Count { found: 4 } };
    assert_eq!(Handover::parse(&fourth).map(|_| ()), Err(count));
    let other_label = {
        let mut handover = first.clone();
        handover[0] = 0xa3;
        handover.extend([0x05, 0x00]);
        handover
    };
    let label = Error::Cbor { offset: 71, problem: CborProblem::Label { expected: 3, found: 5 } };
    assert_eq!(Handover::parse(&other_label).map(|_| ()), Err(label));
}
