//! Chains and signatures of others.

use crate::common::{hex, list, text, vectors};
use der::asn1::ObjectIdentifier;
use dice_core::Error;
use dice_core::open_dice::{Algorithm, Mode, PublicKey};
use dice_core::verify::{Certificate, Evidence, Policy, Reason, TrustAnchor, verify_chain, verify_signature};

/// Why each refused chain of the file is refused: the certificate and the reason.
fn expected(name: &str) -> (usize, Reason) {
    let unknown = ObjectIdentifier::new_unwrap("1.2.3.4.5.6.7");
    match name {
        "pathlen0_first" => (1, Reason::PathLength),
        "intermediate_not_ca" | "intermediate_no_bc" => (1, Reason::CaFieldsWithoutCa),
        "intermediate_no_certsign" => (1, Reason::KeyUsage),
        "unknown_critical_leaf" => (2, Reason::UnknownCriticalExtension(unknown)),
        "unknown_critical_intermediate" => (1, Reason::UnknownCriticalExtension(unknown)),
        "aki_mismatch" => (2, Reason::AuthorityKeyIdentifier),
        "issuer_mismatch" => (2, Reason::IssuerName),
        "wrong_signer" | "tampered_tbs" | "tampered_signature" => (2, Reason::Signature),
        "self_signed_middle" => (1, Reason::Signature),
        "missing_middle" => (1, Reason::IssuerName),
        "swapped" => (0, Reason::Signature),
        "duplicate_last" => (3, Reason::IssuerName),
        "no_dice_extension" => (2, Reason::MissingEvidence),
        "empty" => (0, Reason::Empty),
        other => panic!("{other}"),
    }
}

#[test]
fn open_dice_chains_get_their_verdicts() {
    let file = vectors("dice/dice_chain_verdicts.json");
    let key = PublicKey::from_bytes(Algorithm::P256, &hex(&file["uds_public_key"])).unwrap();
    let policy = Policy { evidence: Evidence::OpenDice, ..Policy::default() };
    let (mut accepted, mut refused) = (0, 0);
    for case in list(&file["cases"]) {
        let name = text(&case["name"]);
        let chain: Vec<_> = list(&case["chain"]).iter().map(hex).collect();
        let verdict = verify_chain(TrustAnchor::Key(key), chain.iter().map(Vec::as_slice), policy);
        match (text(&case["verdict"]), verdict) {
            ("accept", Ok(leaf)) => {
                let data = leaf.attestation_data().unwrap();
                assert_eq!(data.profile_name, Some("opendice.example"), "{name}");
                assert_eq!(data.measurements.mode, Mode::Normal, "{name}");
                assert_eq!(leaf.subject().text().map(str::len), Some(40), "{name}");
                accepted += 1;
            }
            (_, Err(Error::Refused { certificate: 2, reason: Reason::Malformed(_) }))
                if matches!(name, "trailing_byte" | "truncated") =>
            {
                refused += 1;
            }
            ("reject" | "reject_by_profile", Err(error)) => {
                let (certificate, reason) = expected(name);
                assert_eq!(error, Error::Refused { certificate, reason }, "{name}");
                refused += 1;
            }
            (wanted, got) => panic!("{name}: {wanted}, got {got:?}"),
        }
        // Without the demand for evidence the profile's refusal becomes an acceptance.
        if case["verdict"] == "reject_by_profile" {
            let chain = chain.iter().map(Vec::as_slice);
            assert!(verify_chain(TrustAnchor::Key(key), chain, Policy::default()).is_ok());
        }
    }
    assert_eq!((accepted, refused), (4, 19));
}

/// The X.509 chain of another implementation's tests: Ed25519.
#[test]
#[cfg(feature = "ed25519")]
fn an_ed25519_chain_is_accepted_from_its_certificate() {
    let file = vectors("dice/veraison_open_dice_chains.json");
    let chain = &file["x509"];
    let root = hex(&chain["uds_certificate"]);
    let layers: Vec<_> = list(&chain["chain"]).iter().map(hex).collect();
    assert_eq!(layers.len(), 7);
    let policy = Policy { evidence: Evidence::OpenDice, ..Policy::default() };
    let leaf =
        verify_chain(TrustAnchor::Certificate(&root), layers.iter().map(Vec::as_slice), policy).unwrap();
    assert_eq!(leaf.public_key().algorithm(), Algorithm::Ed25519);
    assert!(leaf.attestation_data().is_some());
}

fn wycheproof_signatures(name: &str, algorithm: Algorithm) {
    let file = vectors(&format!("dice/wycheproof_{name}.json"));
    let mut count = 0;
    for group in list(&file["testGroups"]) {
        let point = hex(&group["publicKey"]["uncompressed"]);
        let key = PublicKey::from_bytes(algorithm, &point[1..]).unwrap();
        for test in list(&group["tests"]) {
            let verdict = verify_signature(&key, &hex(&test["msg"]), &hex(&test["sig"]));
            assert_eq!(verdict.is_ok(), test["result"] == "valid", "{name} {test}: {verdict:?}");
            count += 1;
        }
    }
    assert_eq!(count, file["numberOfTests"]);
}

#[test]
fn wycheproof_ecdsa_p256_der() {
    wycheproof_signatures("ecdsa_secp256r1_sha256", Algorithm::P256);
}

#[test]
#[cfg(feature = "p384")]
fn wycheproof_ecdsa_p384_der() {
    wycheproof_signatures("ecdsa_secp384r1_sha384", Algorithm::P384);
}

/// Certificates of the original development kit are read far enough to say what is wrong with them.
#[test]
fn original_certificates_are_refused_for_what_they_lack() {
    let case = vectors("riot/pub-01-realistic.json");
    let alias = hex(&case["expect"]["alias_cert"]["legacy_cert_der"]);
    let key = hex(&case["expect"]["device_id"]["public_sec1"]);
    let key = PublicKey::from_bytes(Algorithm::P256, &key[1..]).unwrap();
    assert_eq!(
        verify_chain(TrustAnchor::Key(key), [&alias[..]], Policy::default()).unwrap_err(),
        Error::Refused { certificate: 0, reason: Reason::MissingAuthorityKeyIdentifier }
    );
    let device_id = hex(&case["expect"]["device_cert"]["legacy_cert_der"]);
    let basic_constraints = ObjectIdentifier::new_unwrap("2.5.29.19");
    assert_eq!(Certificate::parse(&device_id).unwrap_err(), Reason::Criticality(basic_constraints));
}
