//! Reading and checking CBOR certificates and chains.

use crate::common::{hex, list, text, vectors};
use crate::support::{algorithm, uds};
use dice_core::Error;
use dice_core::open_dice::cbor::{CborProblem, Reader, Writer};
use dice_core::open_dice::{
    Algorithm, CborCertificate, ChainProblem, ChainVerifier, Config, DiceChain, Format, InputValues, KeyPair,
    MAX_CLAIMS, MainFlow, Mode, PublicKey,
};

const INPUTS: InputValues<'static> =
    InputValues::new(&[1; 64], Config::Inline(&[2; 64]), &[3; 64], Mode::Debug);

/// The root key and `layers` certificates below it.
fn chain(algorithms: &[Algorithm]) -> (PublicKey, Vec<Vec<u8>>) {
    let mut current = uds();
    let root = *KeyPair::from_cdi(&current.attest, algorithms[0]).expect("derives").public_key();
    let mut certificates = Vec::new();
    for pair in algorithms.windows(2) {
        let mut buffer = [0; 1024];
        let flow = MainFlow::new(Format::Cbor, pair[0]).certifying(pair[1]);
        let layer = flow.run(&current, &INPUTS, &mut buffer).expect("issues");
        certificates.push(layer.certificate.to_vec());
        current = layer.cdis;
    }
    (root, certificates)
}

#[test]
fn chains_of_the_reference_verify() {
    let vectors = vectors("dice/open_dice_chains.json");
    let mut verified = 0;
    for case in list(&vectors["cases"]).iter().filter(|case| text(&case["format"]) == "cbor") {
        let Some(root) = algorithm(text(&case["uds_key"]["algorithm"])) else { continue };
        let root = PublicKey::from_bytes(root, &hex(&case["uds_key"]["public_key"])).expect("a key");
        let mut verifier = ChainVerifier::new(root).expect("derives");
        for layer in list(&case["layers"]) {
            if algorithm(text(&layer["subject_algorithm"])).is_none() {
                let refused = verifier.next(&hex(&layer["certificate"])).map(|_| ());
                assert!(matches!(refused, Err(Error::Algorithm { .. })), "{refused:?}");
                break;
            }
            let certificate = hex(&layer["certificate"]);
            let claims = verifier.next(&certificate).expect("verifies");
            let measurements = claims.measurements.expect("measurements");
            let inputs = &layer["inputs"];
            assert_eq!(measurements.code_hash, hex(&inputs["code_hash"]));
            assert_eq!(measurements.authority_hash, hex(&inputs["authority_hash"]));
            assert_eq!(
                measurements.configuration_hash.is_some(),
                text(&inputs["config_type"]) == "descriptor"
            );
            let given = |field: &str| Some(hex(&inputs[field])).filter(|bytes| !bytes.is_empty());
            assert_eq!(measurements.code_descriptor.map(<[u8]>::to_vec), given("code_descriptor"));
            assert_eq!(measurements.authority_descriptor.map(<[u8]>::to_vec), given("authority_descriptor"));
            assert_eq!(claims.subject, text(&layer["subject_id"]));
            assert_eq!(verifier.key().as_bytes(), hex(&layer["subject_public_key"]));
            verified += 1;
        }
        assert!(verifier.layer() <= list(&case["layers"]).len());
    }
    assert_eq!(
        verified,
        match (cfg!(feature = "ed25519"), cfg!(feature = "p384")) {
            (false, false) => 0,
            (false, true) => 2,
            (true, false) => 3 + 1,
            (true, true) => 3 + 2 + 3,
        }
    );
}

#[cfg(feature = "ed25519")]
#[test]
fn another_project_s_chain_verifies_from_its_self_signed_root() {
    let vectors = vectors("dice/veraison_open_dice_chains.json");
    let cbor = &vectors["cbor"];
    let root = hex(&cbor["uds_certificate"]);
    let mut verifier = ChainVerifier::from_self_signed(&root).expect("verifies");
    assert_eq!(verifier.layer(), 1);
    let certificates = list(&cbor["chain"]);
    assert_eq!(certificates.len(), 7);
    for certificate in certificates {
        let certificate = hex(certificate);
        assert!(verifier.next(&certificate).expect("verifies").measurements.is_some());
    }
    // Out of order, a certificate has the wrong issuer.
    let mut verifier = ChainVerifier::from_self_signed(&root).expect("verifies");
    let second = hex(&certificates[1]);
    let issuer = Error::Chain { layer: 1, problem: ChainProblem::Issuer };
    assert_eq!(verifier.next(&second).map(|_| ()), Err(issuer));
    assert_eq!(verifier.layer(), 1);
    // A certificate without measurements is for the root only.
    let measurements = Error::Chain { layer: 1, problem: ChainProblem::Measurements };
    assert_eq!(verifier.next(&root).map(|_| ()), Err(measurements));
}

/// Takes a certificate apart, has `change` change its claims' bytes, and signs it again with `authority`.
fn resigned(certificate: &[u8], authority: &KeyPair, change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let parsed = CborCertificate::parse(certificate).expect("well-formed");
    let mut payload = parsed.signed().payload_bytes().to_vec();
    change(&mut payload);
    signed(authority, &payload)
}

/// A message with any payload, made without the crate's own encoder of messages.
fn signed(authority: &KeyPair, payload: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0; payload.len() + 200];
    let mut writer = Writer::new(&mut buffer);
    writer.array(4);
    writer.text("Signature1");
    writer.bytes(&[0xa1, 0x01, 0x26]);
    writer.bytes(&[]);
    writer.bytes(payload);
    let signature = authority.sign(writer.finish().expect("fits")).expect("signs");
    let mut writer = Writer::new(&mut buffer);
    writer.array(4);
    writer.bytes(&[0xa1, 0x01, 0x26]);
    writer.map(0);
    writer.bytes(payload);
    writer.bytes(signature.as_bytes());
    writer.finish().expect("fits").to_vec()
}

fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let at = bytes.windows(from.len()).position(|window| window == from).expect("contained");
    bytes[at..at + to.len()].copy_from_slice(to);
}

#[test]
fn whatever_does_not_fit_is_named() {
    let (root, certificates) = chain(&[Algorithm::P256; 3]);
    let authority = KeyPair::from_cdi(&uds().attest, Algorithm::P256).expect("derives");
    let first = &certificates[0];
    let verify = |certificate: &[u8]| {
        ChainVerifier::new(root).expect("derives").next(certificate).map(|claims| claims.subject.to_owned())
    };
    let chain_error = |problem| Err(Error::Chain { layer: 0, problem });
    let subject = verify(first).expect("verifies");
    assert_eq!(
        verify(&resigned(first, &authority, |_| {})),
        Ok(subject.clone()),
        "same bytes, same signature"
    );
    assert_eq!(resigned(first, &authority, |_| {}), *first);

    let issuer = root.id().expect("derives").to_string();
    let other_issuer = resigned(first, &authority, |payload| {
        replace(payload, issuer.as_bytes(), subject.as_bytes());
    });
    assert_eq!(verify(&other_issuer), chain_error(ChainProblem::Issuer));
    let upper_case = resigned(first, &authority, |payload| {
        replace(payload, issuer.as_bytes(), issuer.to_uppercase().as_bytes());
    });
    assert_eq!(verify(&upper_case), chain_error(ChainProblem::Issuer));
    let other_subject = resigned(first, &authority, |payload| {
        replace(payload, subject.as_bytes(), issuer.as_bytes());
    });
    assert_eq!(verify(&other_subject), chain_error(ChainProblem::Subject));
    let other_signer = KeyPair::from_cdi(&uds().next(&INPUTS).expect("derives").attest, Algorithm::P256);
    let forged = resigned(first, &other_signer.expect("derives"), |_| {});
    assert_eq!(verify(&forged), chain_error(ChainProblem::Signature));
    assert_eq!(verify(&certificates[1]), chain_error(ChainProblem::Issuer), "a layer left out");

    // Two layers at once, and the place of the second in the error.
    let mut verifier = ChainVerifier::new(root).expect("derives");
    assert!(verifier.next(first).is_ok());
    assert_eq!(
        verifier.next(first).map(|_| ()),
        Err(Error::Chain { layer: 1, problem: ChainProblem::Issuer })
    );
    assert!(verifier.next(&certificates[1]).is_ok());
    assert_eq!(verifier.layer(), 2);
}

#[test]
fn claims_are_read_strictly() {
    let (_, certificates) = chain(&[Algorithm::P256; 2]);
    let authority = KeyPair::from_cdi(&uds().attest, Algorithm::P256).expect("derives");
    let first = &certificates[0];
    let parse = |certificate: &[u8]| CborCertificate::parse(certificate).map(|_| ());
    assert_eq!(parse(first), Ok(()));
    let problem_of = |certificate: &[u8]| match parse(certificate) {
        Err(Error::Cbor { problem, .. }) => problem,
        other => panic!("{other:?}"),
    };
    let label = |number: u8| [0x3a, 0x00, 0x47, 0x44, number];
    // Each claim under a label nobody knows is a claim that is missing.
    let unknown = label(0x7f);
    for (number, id) in [
        (0x50, -4_670_545),
        (0x53, -4_670_548),
        (0x54, -4_670_549),
        (0x56, -4_670_551),
        (0x57, -4_670_552),
        (0x58, -4_670_553),
    ] {
        let changed = resigned(first, &authority, |payload| replace(payload, &label(number), &unknown));
        assert_eq!(problem_of(&changed), CborProblem::MissingLabel { label: id });
    }
    for (number, id) in [(1, 1), (2, 2)] {
        let changed = resigned(first, &authority, |payload| {
            replace(payload, &[number, 0x78, 40], &[7, 0x78, 40]);
        });
        assert_eq!(problem_of(&changed), CborProblem::MissingLabel { label: id });
    }
    let duplicate = resigned(first, &authority, |payload| replace(payload, &label(0x54), &label(0x50)));
    assert_eq!(problem_of(&duplicate), CborProblem::DuplicateLabel { label: -4_670_545 });
    let hashed = resigned(first, &authority, |payload| {
        // The authority hash becomes the hash of the configuration, which it is not.
        replace(payload, &label(0x54), &label(0x52));
    });
    assert_eq!(problem_of(&hashed), CborProblem::MissingLabel { label: -4_670_549 });
    for usage in [0x00, 0x21, 0x04, 0x60, 0xff] {
        let changed = resigned(first, &authority, |payload| {
            replace(payload, &[0x44, 0x58, 0x41, 0x20], &[0x44, 0x58, 0x41, usage]);
        });
        assert_eq!(problem_of(&changed), CborProblem::Value, "{usage:#x}");
    }
    for mode in [0, 1, 2, 3, 4, 255] {
        let changed = resigned(first, &authority, |payload| {
            replace(payload, &[0x44, 0x56, 0x41, 0x02], &[0x44, 0x56, 0x41, mode]);
        });
        let parsed = CborCertificate::parse(&changed).expect("well-formed");
        let measurements = parsed.claims().measurements.expect("measurements");
        assert_eq!(measurements.mode, Mode::from_byte(mode));
    }
}

#[test]
fn the_configuration_hash_is_that_of_the_descriptor() {
    let authority = KeyPair::from_cdi(&uds().attest, Algorithm::P256).expect("derives");
    let inputs = InputValues { config: Config::Descriptor(b"\xa0"), ..INPUTS };
    let mut buffer = [0; 1024];
    let flow = MainFlow::new(Format::Cbor, Algorithm::P256);
    let certificate = flow.run(&uds(), &inputs, &mut buffer).expect("issues").certificate.to_vec();
    assert!(CborCertificate::parse(&certificate).is_ok());
    let other = resigned(&certificate, &authority, |payload| {
        replace(payload, &[0x44, 0x53, 0x41, 0xa0], &[0x44, 0x53, 0x41, 0xa1]);
    });
    assert!(matches!(CborCertificate::parse(&other), Err(Error::Cbor { problem: CborProblem::Value, .. })));
}

#[test]
fn limits_in_time_are_not_overlooked() {
    let (_, certificates) = chain(&[Algorithm::P256; 2]);
    let authority = KeyPair::from_cdi(&uds().attest, Algorithm::P256).expect("derives");
    for (label, refused) in [(3, false), (4, true), (5, true), (6, false), (7, false)] {
        let with_claim = resigned(&certificates[0], &authority, |payload| {
            payload[0] += 1;
            payload.extend([label, 0x1a, 0x7f, 0xff, 0xff, 0xff]);
        });
        let parsed = CborCertificate::parse(&with_claim).map(|_| ());
        assert_eq!(
            matches!(parsed, Err(Error::Cbor { problem: CborProblem::Value, .. })),
            refused,
            "{label}"
        );
        assert_eq!(parsed.is_ok(), !refused, "{label}");
    }
}

#[test]
fn the_number_of_claims_is_bounded() {
    let (_, certificates) = chain(&[Algorithm::P256; 2]);
    let authority = KeyPair::from_cdi(&uds().attest, Algorithm::P256).expect("derives");
    let with_claims = |extra: usize| {
        resigned(&certificates[0], &authority, |payload| {
            let claims = payload[0] & 0x1f;
            let total = claims + u8::try_from(extra).expect("few");
            let mut longer = if total < 24 { vec![0xa0 | total] } else { vec![0xb8, total] };
            longer.extend_from_slice(&payload[1..]);
            for index in 0..extra {
                longer.extend([0x19, 0x10, u8::try_from(index).expect("few"), 0x81, 0x60]);
            }
            *payload = longer;
        })
    };
    assert!(CborCertificate::parse(&with_claims(MAX_CLAIMS - 8)).is_ok());
    let found = MAX_CLAIMS + 1;
    assert!(matches!(
        CborCertificate::parse(&with_claims(MAX_CLAIMS - 7)),
        Err(Error::Cbor { problem: CborProblem::Count { found: count }, .. }) if count == found
    ));
}

#[test]
fn keys_survive_cose_and_bad_ones_are_refused() {
    for (name, algorithm) in crate::support::algorithms() {
        let key = *KeyPair::from_cdi(&uds().attest, algorithm).expect("derives").public_key();
        let mut buffer = [0; 160];
        let mut writer = Writer::new(&mut buffer);
        key.write_cose(&mut writer);
        let bytes = writer.finish().expect("fits").to_vec();
        let read = |bytes: &[u8]| -> dice_core::Result<PublicKey> {
            let mut reader = Reader::new(bytes);
            let key = PublicKey::read_cose(&mut reader)?;
            reader.finish()?;
            Ok(key)
        };
        assert_eq!(read(&bytes), Ok(key), "{name}");
        for len in 0..bytes.len() {
            assert!(read(&bytes[..len]).is_err(), "{name} {len}");
        }
        for position in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[position] ^= 1 << bit;
                // A changed Ed25519 key may well be another key; nothing is ever the same one.
                assert_ne!(read(&changed), Ok(key), "{name} {position}");
            }
        }
    }
}

#[test]
fn a_whole_chain_in_one_array() {
    let (root, certificates) = chain(&[Algorithm::P256; 4]);
    let mut buffer = [0; 4096];
    let mut writer = Writer::new(&mut buffer);
    writer.array(4);
    root.write_cose(&mut writer);
    for certificate in &certificates {
        writer.raw(certificate);
    }
    let bytes = writer.finish().expect("fits").to_vec();
    let chain = DiceChain::parse(&bytes).expect("well-formed");
    assert_eq!((chain.root(), chain.len()), (&root, 3));
    let mut layers = chain.layers().expect("derives");
    assert_eq!(layers.size_hint(), (0, Some(3)));
    let modes: Vec<_> = layers
        .by_ref()
        .map(|claims| claims.expect("verifies").measurements.expect("measurements").mode)
        .collect();
    assert_eq!(modes, [Mode::Debug; 3]);
    assert_eq!(Ok(*layers.key()), chain.verify());

    let mut longer = bytes.clone();
    longer.push(0);
    let trailing = Error::Cbor { offset: bytes.len(), problem: CborProblem::TrailingBytes };
    assert_eq!(DiceChain::parse(&longer).map(|_| ()), Err(trailing));
    // One certificate less than the array says.
    let last = certificates.last().map_or(0, Vec::len);
    let shorter = &bytes[..bytes.len() - last];
    let truncated = Error::Cbor { offset: shorter.len(), problem: CborProblem::Truncated };
    assert_eq!(DiceChain::parse(shorter).map(|_| ()), Err(truncated));

    // The second signature changed: the first layer passes, the second is named, the third is not looked at.
    let mut changed = bytes.clone();
    let end_of_second = bytes.len() - last;
    changed[end_of_second - 1] ^= 1;
    let chain = DiceChain::parse(&changed).expect("well-formed");
    let mut layers = chain.layers().expect("derives");
    assert!(layers.next().is_some_and(|claims| claims.is_ok()));
    let signature = Error::Chain { layer: 1, problem: ChainProblem::Signature };
    assert_eq!(layers.next(), Some(Err(signature)));
    assert_eq!(layers.next(), None);
    assert_eq!(chain.verify(), Err(signature));
}
