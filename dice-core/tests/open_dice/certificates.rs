//! Certificates, byte for byte.

use crate::common::{hex, list, text, vectors};
use crate::support::{Inputs, algorithm, cdis};
use der::asn1::ObjectIdentifier;
use dice_core::Error;
use dice_core::asn1::DerWriter;
use dice_core::open_dice::android::ANDROID_18;
use dice_core::open_dice::{
    Algorithm, CborCertificate, Cdis, Config, Format, InputValues, KeyPair, Layer, MainFlow, Mode,
    OPEN_DICE_EXAMPLE, issue_cbor, issue_x509,
};
use serde_json::Value;

/// The format, algorithm name and profile name that the name of a certificate in the vectors stands for.
fn kind(name: &str) -> Option<(Format, &str, Option<&'static str>)> {
    let (format, rest) = match name.split_once('_').expect("format and algorithm") {
        ("x509", rest) => (Format::X509, rest),
        ("cbor", rest) => (Format::Cbor, rest),
        other => panic!("{other:?}"),
    };
    let (algorithm, profile_name) = match rest.strip_suffix("_android18") {
        Some(algorithm) => (algorithm, Some(ANDROID_18)),
        None => (rest, (rest != "ed25519").then_some(OPEN_DICE_EXAMPLE)),
    };
    (!algorithm.starts_with("mldsa")).then_some((format, algorithm, profile_name))
}

fn flow(format: Format, algorithm: Algorithm, profile_name: Option<&str>) -> MainFlow<'_> {
    let flow = MainFlow::new(format, algorithm);
    profile_name.map_or(flow, |name| flow.named(name))
}

#[test]
fn known_answers_of_upstream() {
    let vectors = vectors("dice/open_dice_known_answers.json");
    let (mut whole, mut up_to_signature, mut out_of_scope) = (0, 0, 0);
    for case in ["ZeroInput", "HashOnlyInput", "DescriptorInput"] {
        let case = &vectors["cases"][case];
        let inputs = Inputs::read(&case["inputs"]);
        let current = cdis(&case["inputs"], "cdi_attest", "cdi_seal");
        for (name, certificate) in case["certificates"].as_object().expect("certificates") {
            let Some((format, algorithm_name, profile_name)) = kind(name) else {
                out_of_scope += 1;
                continue;
            };
            let Some(algorithm) = algorithm(algorithm_name) else { continue };
            let expected = hex(certificate);
            let mut buffer = [0; 2048];
            let Layer { certificate, .. } = flow(format, algorithm, profile_name)
                .run(&current, &inputs.values(), &mut buffer)
                .expect("issues");
            if algorithm_name == "ed25519" || format == Format::X509 {
                assert_eq!(certificate, expected, "{name}");
                whole += 1;
            } else {
                let signature_len = algorithm.signature_len();
                assert_eq!(certificate.len(), expected.len(), "{name}");
                let signed = certificate.len() - signature_len;
                assert_eq!(certificate[..signed], expected[..signed], "{name}");
                let authority = KeyPair::from_cdi(&current.attest, algorithm).expect("derives");
                for certificate in [certificate, &expected] {
                    let parsed = CborCertificate::parse(certificate).expect("well-formed");
                    assert_eq!(parsed.verify(authority.public_key()), Ok(()), "{name}");
                }
                up_to_signature += 1;
            }
        }
    }
    let ed25519 = cfg!(feature = "ed25519");
    let p384 = cfg!(feature = "p384");
    assert_eq!(whole, 3 + if ed25519 { 8 } else { 0 });
    assert_eq!(up_to_signature, 6 + if p384 { 6 } else { 0 });
    assert_eq!(out_of_scope, 18);
}

#[test]
fn certificates_of_the_reference_are_reproduced() {
    let vectors = vectors("dice/open_dice_derive.json");
    let mut compared = 0;
    for case in list(&vectors["cases"]) {
        let inputs = Inputs::read(&case["inputs"]);
        let current = cdis(&case["inputs"], "cdi_attest", "cdi_seal");
        for (name, expected) in case["certificates"].as_object().expect("certificates") {
            let Some((format, algorithm_name, profile_name)) = kind(name) else { continue };
            assert_eq!(expected["profile_name"].as_str(), profile_name, "{name}");
            let Some(algorithm) = algorithm(algorithm_name) else { continue };
            let mut buffer = [0; 2048];
            let layer = flow(format, algorithm, profile_name)
                .run(&current, &inputs.values(), &mut buffer)
                .expect("issues");
            assert_eq!(layer.cdis, cdis(case, "next_cdi_attest", "next_cdi_seal"));
            let name = format!("{} {name}", text(&case["name"]));
            match format {
                Format::X509 => compare_x509(layer.certificate, expected, &name),
                Format::Cbor => compare_cbor(layer.certificate, expected, &name),
            }
            compared += 1;
        }
    }
    let per_case =
        2 + if cfg!(feature = "ed25519") { 3 } else { 0 } + if cfg!(feature = "p384") { 2 } else { 0 };
    assert_eq!(compared, 13 * per_case);
}

fn compare_x509(certificate: &[u8], expected: &Value, name: &str) {
    if let Some(der) = expected.get("der") {
        assert_eq!(certificate, hex(der), "{name}");
    }
    if let Some(tbs) = expected.get("tbs") {
        let (tbs, signature) = (hex(tbs), hex(&expected["rfc6979_signature_der"]));
        let mut buffer = [0; 2048];
        let mut writer = DerWriter::new(&mut buffer);
        writer.sequence(|writer| {
            writer.raw(&tbs);
            writer.sequence(|writer| writer.oid(&signature_algorithm(name)));
            writer.bit_string(&signature);
        });
        assert_eq!(certificate, writer.finish().expect("fits"), "{name}");
    }
    assert!(expected.get("der").or(expected.get("tbs")).is_some());
}

fn signature_algorithm(name: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(if name.ends_with("p384") {
        "1.2.840.10045.4.3.3"
    } else {
        "1.2.840.10045.4.3.2"
    })
}

fn compare_cbor(certificate: &[u8], expected: &Value, name: &str) {
    let parsed = CborCertificate::parse(certificate).expect("well-formed");
    if let Some(payload) = expected.get("payload") {
        assert_eq!(parsed.signed().payload_bytes(), hex(payload), "{name}");
    }
    let whole = expected.get("cose_sign1").or(expected.get("cose_sign1_rfc6979")).expect("a message");
    assert_eq!(certificate, hex(whole), "{name}");
}

#[test]
fn chains_of_the_reference_are_reproduced() {
    let vectors = vectors("dice/open_dice_chains.json");
    let mut layers = 0;
    for case in list(&vectors["cases"]) {
        let name = text(&case["name"]);
        let format = if text(&case["format"]) == "x509" { Format::X509 } else { Format::Cbor };
        let Some(mut authority) = algorithm(text(&case["uds_key"]["algorithm"])) else { continue };
        let mut current = cdis(case, "uds", "uds");
        let root = *KeyPair::from_cdi(&current.attest, authority).expect("derives").public_key();
        assert_eq!(root.as_bytes(), hex(&case["uds_key"]["public_key"]), "{name}");
        assert_eq!(root.id().expect("derives").to_string(), text(&case["uds_key"]["id"]));
        for (index, expected) in list(&case["layers"]).iter().enumerate() {
            let Some(subject) = algorithm(text(&expected["subject_algorithm"])) else { break };
            let profile_name = match (name.starts_with("mixed"), text(&case["uds_key"]["algorithm"])) {
                (true, _) => Some(ANDROID_18),
                (false, "ed25519") => None,
                (false, _) => Some(OPEN_DICE_EXAMPLE),
            };
            let inputs = Inputs::read(&expected["inputs"]);
            let mut buffer = [0; 2048];
            let Layer { cdis: next, certificate } = flow(format, authority, profile_name)
                .certifying(subject)
                .run(&current, &inputs.values(), &mut buffer)
                .expect("issues");
            assert_eq!(next, cdis(expected, "next_cdi_attest", "next_cdi_seal"), "{name} {index}");
            let expected = hex(&expected["certificate"]);
            if case["certificates_deterministic"] == true
                || text(&case["uds_key"]["algorithm"]) == "ed25519" && index == 0
            {
                assert_eq!(certificate, expected, "{name} {index}");
            } else {
                let signed = certificate.len() - authority.signature_len();
                assert_eq!(certificate.len(), expected.len(), "{name} {index}");
                assert_eq!(certificate[..signed], expected[..signed], "{name} {index}");
            }
            (current, authority) = (next, subject);
            layers += 1;
        }
    }
    assert_eq!(
        layers,
        match (cfg!(feature = "ed25519"), cfg!(feature = "p384")) {
            (false, false) => 3,
            (false, true) => 5,
            (true, false) => 3 + 6 + 1,
            (true, true) => 3 + 6 + 3 + 2,
        }
    );
}

const INPUTS: InputValues<'static> =
    InputValues::new(&[1; 64], Config::Inline(&[2; 64]), &[3; 64], Mode::Normal);

fn uds(byte: u8) -> Cdis {
    let mut uds = [byte; 32];
    uds[0] = 0x5a;
    Cdis::from_uds(&dice_core::Uds::from_bytes(uds).expect("not blank"))
}

#[test]
fn short_buffers_are_refused_with_a_size_that_is_enough() {
    for (_, algorithm) in crate::support::algorithms() {
        let current = uds(7);
        for format in [Format::X509, Format::Cbor] {
            let flow = MainFlow::new(format, algorithm).named("a name");
            let mut buffer = [0; 1024];
            let len = flow.run(&current, &INPUTS, &mut buffer).expect("fits").certificate.len();
            let certificate = buffer[..len].to_vec();
            let mut needed_sizes = Vec::new();
            // Each length once is too slow for the NIST curves: the ends, and the places where something begins.
            for available in (0..len).filter(|available| available % 97 == 0 || len - available < 3) {
                let mut buffer = vec![0xee; available];
                match flow.run(&current, &INPUTS, &mut buffer) {
                    Err(Error::BufferTooSmall { needed, available: reported }) => {
                        assert_eq!(reported, available);
                        needed_sizes.push(needed);
                    }
                    other => panic!("{other:?}"),
                }
            }
            let needed = needed_sizes[0];
            assert!(needed_sizes.iter().all(|size| *size == needed), "{needed_sizes:?}");
            let slack = needed - len;
            assert!(if format == Format::Cbor { slack == 0 } else { slack <= 10 }, "{slack}");
            let mut buffer = vec![0; needed];
            assert_eq!(flow.run(&current, &INPUTS, &mut buffer).expect("enough").certificate, certificate);
        }
    }
}

#[test]
fn serial_numbers_are_minimal_der() {
    // Identifiers that begin 00 0x (20 bytes, of which DER drops the first) and 00 8x (the first is the sign).
    let authority = KeyPair::from_cdi(&uds(1).attest, Algorithm::P256).expect("derives");
    let (mut short, mut signed) = (0, 0);
    let mut current = uds(2);
    for _ in 0..4096 {
        let subject = KeyPair::from_cdi(&current.attest, Algorithm::P256).expect("derives");
        let id = subject.public_key().id().expect("derives");
        let leading = id.as_bytes().iter().take_while(|byte| **byte == 0).count();
        if leading > 0 {
            let mut buffer = [0; 1024];
            let der =
                issue_x509(&authority, subject.public_key(), &INPUTS, None, &mut buffer).expect("issues");
            // SEQUENCE { SEQUENCE { [0] { INTEGER 2 }, INTEGER serial
            let serial = &der[13..];
            assert_eq!(serial[0], 0x02);
            let (len, content) = (usize::from(serial[1]), &serial[2..]);
            let digits = &id.as_bytes()[leading..];
            if digits[0] < 0x80 {
                assert_eq!(&content[..len], digits);
                short += 1;
            } else {
                assert_eq!(&content[..len], &id.as_bytes()[leading - 1..]);
                signed += 1;
            }
        }
        if short > 0 && signed > 0 {
            return;
        }
        current = current.next(&INPUTS).expect("derives");
    }
    panic!("{short} short and {signed} signed serial numbers found");
}

#[test]
fn keys_of_two_algorithms_meet_in_one_certificate() {
    let algorithms = crate::support::algorithms();
    for (_, above) in &algorithms {
        for (_, below) in &algorithms {
            let authority = KeyPair::from_cdi(&uds(1).attest, *above).expect("derives");
            let subject = KeyPair::from_cdi(&uds(2).attest, *below).expect("derives");
            let mut buffer = [0; 1024];
            let cbor = issue_cbor(&authority, subject.public_key(), &INPUTS, None, &mut buffer)
                .expect("issues")
                .to_vec();
            let parsed = CborCertificate::parse(&cbor).expect("well-formed");
            assert_eq!(parsed.claims().subject_public_key, *subject.public_key());
            assert_eq!(parsed.signed().algorithm(), *above);
            parsed.verify(authority.public_key()).expect("verifies");
            assert_eq!(
                parsed.verify(subject.public_key()),
                Err(Error::SignatureMismatch),
                "{above:?} {below:?}"
            );
            let flow = MainFlow::new(Format::X509, *above).certifying(*below);
            let layer = flow.run(&uds(1), &INPUTS, &mut buffer).expect("issues");
            let next = KeyPair::from_cdi(&layer.cdis.attest, *below).expect("derives");
            let key = next.public_key().as_bytes();
            assert!(layer.certificate.windows(key.len()).any(|window| window == key));
        }
    }
}
