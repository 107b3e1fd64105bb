//! x509-limbo: RFC 5280 path validation, as far as it is about an ordered chain.
//!
//! The verifier takes a chain in order; limbo gives a heap of certificates. A small search here puts them in order.

use crate::common::{list, text, vectors};
use dice_core::Error;
use dice_core::pem::{self, Label};
use dice_core::verify::{Policy, TrustAnchor, verify_chain};
use dice_core::x509::Time;
use serde_json::Value;

/// Cases the verifier does not decide, with the reason.
const OUT_OF_SCOPE: &[(&str, &str)] = &[
    ("rfc5280::ca-as-leaf-wrong-san", "about server names"),
    ("cve::cve-2025-61727", "about server names below name constraints; refused all the same"),
    (
        "cve::cve-2025-61727-nc-permits-variant",
        "about server names below name constraints; refused all the same",
    ),
    ("pathological::pathological-chain-distinct-subject-distinct-key", "about the cost of path building"),
    ("pathological::pathological-chain-same-subject-distinct-key", "about the cost of path building"),
    ("pathological::pathological-chain-distinct-subject-same-key", "about the cost of path building"),
    ("pathological::pathological-chain-same-subject-same-key", "about the cost of path building"),
];

fn der(pem: &Value) -> Vec<u8> {
    let mut out = vec![0; text(pem).len()];
    pem::decode(Label::Certificate, text(pem), &mut out).unwrap().0.to_vec()
}

/// `YYYY-MM-DDThh:mm:ss+00:00`, to the nearest second not before: a certificate that starts at a later fraction of the
/// same second is not valid yet.
fn time(text: &str) -> Time {
    let number = |range: std::ops::Range<usize>| text[range].parse::<u8>().unwrap();
    let year = text[..4].parse().unwrap();
    Time::new(year, number(5..7), number(8..10), number(11..13), number(14..16), number(17..19)).unwrap()
}

/// Tries every order of every choice of intermediates; keeps the refusal that got furthest.
fn search<'a>(
    anchor: &'a [u8],
    chain: &mut Vec<&'a [u8]>,
    unused: &[&'a [u8]],
    leaf: &'a [u8],
    policy: Policy<'_>,
) -> Result<(), Error> {
    chain.push(leaf);
    let mut best = verify_chain(TrustAnchor::Certificate(anchor), chain.iter().copied(), policy).map(|_| ());
    chain.pop();
    // A prefix that is refused stays refused whatever follows.
    let prefix = chain.last().map(|last| {
        verify_chain(
            TrustAnchor::Certificate(anchor),
            chain.iter().copied(),
            Policy { purpose: None, ..policy },
        )
        .map(|_| last)
    });
    if best.is_ok() || prefix.is_some_and(|verdict| verdict.is_err()) {
        return best;
    }
    for (index, next) in unused.iter().enumerate() {
        let mut rest = unused.to_vec();
        rest.remove(index);
        chain.push(next);
        let found = search(anchor, chain, &rest, leaf, policy);
        chain.pop();
        if found.is_ok() {
            best = found;
            break;
        }
    }
    best
}

#[test]
fn limbo_cases_get_their_verdicts() {
    let file = vectors("dice/x509_limbo_subset.json");
    let cases = list(&file["testcases"]);
    assert_eq!(cases.len(), 72);
    let mut decided = 0;
    for case in cases {
        let id = text(&case["id"]);
        if OUT_OF_SCOPE.iter().any(|(name, _)| *name == id) {
            continue;
        }
        let ders = |name: &str| list(&case[name]).iter().map(der).collect::<Vec<_>>();
        let (anchors, intermediates) = (ders("trusted_certs"), ders("untrusted_intermediates"));
        let leaf = der(&case["peer_certificate"]);
        let policy = Policy {
            time: Some(
                case["validation_time"].as_str().map_or_else(|| time("2026-07-01T00:00:00+00:00"), time),
            ),
            max_intermediates: case["max_chain_depth"].as_u64().map(|depth| usize::try_from(depth).unwrap()),
            ..Policy::default()
        };
        let unused: Vec<_> = intermediates.iter().map(Vec::as_slice).collect();
        let verdicts: Vec<_> =
            anchors.iter().map(|anchor| search(anchor, &mut vec![], &unused, &leaf, policy)).collect();
        let accepted = verdicts.iter().any(Result::is_ok);
        assert_eq!(accepted, case["expected_result"] == "SUCCESS", "{id}: {verdicts:?}");
        decided += 1;
    }
    assert_eq!(decided + OUT_OF_SCOPE.len(), cases.len());
}
