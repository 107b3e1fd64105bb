//! Chains of this crate.

use dice_core::hash::{Hash, Sha256};
use dice_core::layer::{Layer, Leaf};
use dice_core::open_dice::{Mode, PublicKey};
use dice_core::standard::{FirmwareInfo, Identity, VerificationCode};
use dice_core::tcg::{Fwid, OperationalFlags, TcbFreshness, Ueid};
use dice_core::verify::{
    Certificate, Evidence, Policy, Reason, Reference, TrustAnchor, Verifier, verify_chain,
};
use dice_core::x509::{Time, Validity};
use dice_core::{Error, FirmwareDigest, RegistrationId, Secret, Uds, asn1};
use proptest::prelude::*;

const SECRET: [u8; 32] = *b"a device secret for tests only..";

fn identity() -> Identity<'static> {
    let uds = Uds::from_bytes(SECRET).unwrap();
    let info = FirmwareInfo::new("ACME", "Widget", "1.2.3", 4);
    Identity::derive(&uds, &FirmwareDigest::of(b"firmware").unwrap(), &info).unwrap()
}

/// DeviceID and alias certificate.
fn chain(identity: &Identity<'_>) -> (Vec<u8>, Vec<u8>) {
    let mut out = [0; 1024];
    let device_id = identity.device_id_certificate(&mut out).unwrap().to_vec();
    let id = RegistrationId::new("my-device").unwrap();
    (device_id, identity.alias_certificate(id, &mut out).unwrap().to_vec())
}

fn refused<T: core::fmt::Debug>(result: Result<T, Error>) -> (usize, Reason) {
    match result {
        Err(Error::Refused { certificate, reason }) => (certificate, reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_standard_chain_is_accepted_and_named() {
    let identity = identity();
    let (device_id, alias) = chain(&identity);
    let policy = Policy {
        time: Some(Time::from_unix(1_800_000_000).unwrap()),
        max_intermediates: Some(0),
        max_self_issued: Some(0),
        purpose: Some(asn1::oid::CLIENT_AUTH),
        evidence: Evidence::TcbInfo,
        references: None,
    };
    let leaf = verify_chain(TrustAnchor::Certificate(&device_id), [&alias[..]], policy).unwrap();
    assert_eq!(leaf.subject().text(), Some("my-device"));
    assert!(leaf.issuer().text().unwrap().starts_with("DeviceID-"));
    assert_eq!(*leaf.public_key(), PublicKey::P256(*identity.alias_key().public_key()));
    assert_eq!(leaf.validity(), Validity::NO_EXPIRY);
    assert_eq!(leaf.serial().len(), 20);
    assert!(!leaf.is_ca() && !leaf.is_self_issued());
    let info = leaf.tcb_info().unwrap();
    assert_eq!((info.vendor, info.model, info.version), (Some("ACME"), Some("Widget"), Some("1.2.3")));
    assert_eq!((info.svn, info.layer), (Some(4), Some(1)));

    // The key of the DeviceID alone does as an anchor too.
    let key = PublicKey::P256(*identity.device_id_key().public_key());
    assert!(verify_chain(TrustAnchor::Key(key), [&alias[..]], policy).is_ok());
}

/// A certificate for a key elsewhere says of device and firmware what the alias certificate says.
#[test]
fn a_certificate_for_another_key_tells_the_firmware() {
    let identity = identity();
    let (device_id, alias) = chain(&identity);
    let elsewhere = dice_core::key::SecretKey::from_scalar(Secret::new([7; 32])).unwrap();
    let mut out = [0; 1024];
    let id = RegistrationId::new("my-device").unwrap();
    let other = identity.certificate_for(elsewhere.public_key(), id, &mut out).unwrap();
    let policy = Policy { evidence: Evidence::TcbInfo, ..Policy::default() };
    let anchor = TrustAnchor::Certificate(&device_id);
    let other = verify_chain(anchor, [other], policy).unwrap();
    let alias = verify_chain(anchor, [&alias[..]], policy).unwrap();
    assert_eq!(*other.public_key(), PublicKey::P256(*elsewhere.public_key()));
    assert_eq!((other.tcb_info(), other.subject().text()), (alias.tcb_info(), alias.subject().text()));
}

#[test]
fn what_the_policy_asks_is_checked() {
    let (device_id, alias) = chain(&identity());
    let verify = |policy| refused(verify_chain(TrustAnchor::Certificate(&device_id), [&alias[..]], policy));
    let not_before = Validity::NO_EXPIRY.not_before;
    let early =
        Policy { time: Some(Time::from_unix(not_before.to_unix() - 1).unwrap()), ..Policy::default() };
    assert_eq!(verify(early), (0, Reason::NotYetValid { not_before }));
    let server = asn1::oid::EXT_KEY_USAGE;
    assert_eq!(verify(Policy { purpose: Some(server), ..Policy::default() }), (0, Reason::Purpose));
    assert_eq!(
        verify(Policy { evidence: Evidence::OpenDice, ..Policy::default() }),
        (0, Reason::MissingEvidence)
    );

    let validity = Validity { not_before, not_after: Time::new(2026, 1, 1, 0, 0, 0).unwrap() };
    let (device_id, alias) = chain(&identity().with_validity(validity));
    let at = |seconds| Policy { time: Some(Time::from_unix(seconds).unwrap()), ..Policy::default() };
    let last = validity.not_after.to_unix();
    let verify = |policy| verify_chain(TrustAnchor::Certificate(&device_id), [&alias[..]], policy);
    assert!(verify(at(last)).is_ok());
    assert_eq!(refused(verify(at(last + 1))), (0, Reason::Expired { not_after: validity.not_after }));
}

#[test]
fn possession_is_proven_by_the_code() {
    let identity = identity();
    let (device_id, _) = chain(&identity);
    let mut out = [0; 1024];
    let code = VerificationCode::new("106A5SD242AF512B3498BD6098C4941E").unwrap();
    let proof = identity.possession_certificate(code, &mut out).unwrap();
    let leaf = verify_chain(TrustAnchor::Certificate(&device_id), [proof], Policy::default()).unwrap();
    assert_eq!(leaf.subject().text(), Some(code.as_str()));
}

#[test]
fn layers_are_verified_one_by_one() {
    let uds = Uds::from_bytes(SECRET).unwrap();
    let valid = Validity::NO_EXPIRY;
    let info = FirmwareInfo::new("ACME", "Widget", "1.2.3", 4);
    let image = |image: &[u8]| FirmwareDigest::of(image).unwrap();
    let mut out = [0; 1024];
    let layer = Layer::from_uds(&uds).unwrap();
    let root = layer.device_id_certificate(valid, &mut out).unwrap().to_vec();
    let (layer, certificate) = layer.next(&image(b"rom"), &info, valid, &mut out).unwrap();
    let first = certificate.to_vec();
    let (layer, certificate) = layer.next(&image(b"loader"), &info, valid, &mut out).unwrap();
    let second = certificate.to_vec();
    let leaf = Leaf {
        ueid: Some(Ueid(&[1; 17])),
        freshness: Some(TcbFreshness(b"nonce")),
        ..Leaf::attestation(RegistrationId::new("device").unwrap())
    };
    let (_, certificate) = layer.leaf(&image(b"app"), &info, &leaf, valid, &mut out).unwrap();
    let third = certificate.to_vec();

    let policy = Policy { evidence: Evidence::TcbInfo, max_intermediates: Some(2), ..Policy::default() };
    let mut verifier = Verifier::new(TrustAnchor::Certificate(&root), policy).unwrap();
    for (number, der) in (1..).zip([&first, &second, &third]) {
        let certificate = verifier.next(der).unwrap();
        assert_eq!(certificate.tcb_info().unwrap().layer, Some(number));
        assert_eq!(certificate.is_ca(), number < 3);
    }
    let leaf = verifier.finish().unwrap();
    assert_eq!((leaf.ueid(), leaf.freshness()), (Some(Ueid(&[1; 17])), Some(TcbFreshness(b"nonce"))));

    let verify = |chain: &[&[u8]], policy| {
        verify_chain(TrustAnchor::Certificate(&root), chain.iter().copied(), policy).map(|_| ())
    };
    let short = Policy { max_intermediates: Some(1), ..policy };
    assert_eq!(refused(verify(&[&first, &second, &third], short)), (1, Reason::TooLong { limit: 1 }));
    assert_eq!(refused(verify(&[&second, &third], policy)), (0, Reason::IssuerName));
    assert_eq!(refused(verify(&[&first, &third], policy)), (1, Reason::IssuerName));
    assert_eq!(refused(verify(&[], policy)), (0, Reason::Empty));
    // A chain from the middle is in order; its layer numbers are not.
    let middle = |evidence| {
        verify_chain(
            TrustAnchor::Certificate(&first),
            [&second[..], &third],
            Policy { evidence, ..Policy::default() },
        )
    };
    assert!(middle(Evidence::Any).is_ok());
    assert_eq!(refused(middle(Evidence::TcbInfo)), (0, Reason::LayerNumber { stated: 2, expected: 1 }));
    // The leaf cannot go on issuing.
    let mut verifier = Verifier::new(TrustAnchor::Certificate(&second), Policy::default()).unwrap();
    verifier.next(&third).unwrap();
    assert_eq!(refused(verifier.next(&third)), (0, Reason::NotCa));
}

#[test]
fn reference_values_decide_what_may_run() {
    let (device_id, alias) = chain(&identity());
    let verify = |references: &[Reference<'_>]| {
        let policy =
            Policy { evidence: Evidence::TcbInfo, references: Some(references), ..Policy::default() };
        verify_chain(TrustAnchor::Certificate(&device_id), [&alias[..]], policy).map(|_| ())
    };
    let digest = Sha256::digest(b"firmware");
    let right = [Fwid { algorithm: Sha256::OID, digest: &digest }];
    let wrong = [Fwid { algorithm: Sha256::OID, digest: &[0; 32] }];
    let state = OperationalFlags::NOT_CONFIGURED;
    let good = Reference { admitted_flags: state, ..Reference::firmware(&right) };
    assert_eq!(verify(&[good]), Ok(()));
    assert_eq!(verify(&[Reference::firmware(&wrong), good]), Ok(()));
    assert_eq!(verify(&[Reference { fwids: &[], ..good }]), Ok(()));
    let exact = Reference {
        vendor: Some("ACME"),
        model: Some("Widget"),
        layer: Some(1),
        index: Some(0),
        minimum_svn: Some(4),
        ..good
    };
    assert_eq!(verify(&[exact]), Ok(()));

    assert_eq!(refused(verify(&[])), (0, Reason::NoReference));
    for other in [
        Reference { vendor: Some("Acme"), ..exact },
        Reference { model: Some("Gadget"), ..exact },
        Reference { layer: Some(2), ..exact },
        Reference { index: Some(1), ..exact },
    ] {
        assert_eq!(refused(verify(&[other])), (0, Reason::NoReference));
    }
    let old = Reference { minimum_svn: Some(5), ..exact };
    let strict = Reference { admitted_flags: OperationalFlags::DEBUG, ..exact };
    let other = Reference { fwids: &wrong, ..exact };
    let svn = Reason::Svn { found: Some(4), minimum: 5 };
    assert_eq!(refused(verify(&[other])), (0, Reason::FirmwareDigest));
    assert_eq!(refused(verify(&[other, old])), (0, svn));
    assert_eq!(refused(verify(&[old, other])), (0, svn));
    assert_eq!(refused(verify(&[old, strict, other])), (0, Reason::Flags { refused: state }));
}

#[test]
fn debug_firmware_shows() {
    let uds = Uds::from_bytes(SECRET).unwrap();
    let info = FirmwareInfo::new("ACME", "Widget", "1.2.3", 4).with_mode(Mode::Debug);
    let identity = Identity::derive(&uds, &FirmwareDigest::of(b"firmware").unwrap(), &info).unwrap();
    let (device_id, alias) = chain(&identity);
    let references = [Reference::firmware(&[])];
    let policy = Policy { references: Some(&references), ..Policy::default() };
    let verdict = verify_chain(TrustAnchor::Certificate(&device_id), [&alias[..]], policy);
    assert_eq!(refused(verdict), (0, Reason::Flags { refused: OperationalFlags::DEBUG }));
}

/// One bit of every byte flipped, each time another one.
fn flipped(der: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..der.len()).map(|at| {
        let mut flipped = der.to_vec();
        flipped[at] ^= 1 << (at % 8);
        flipped
    })
}

#[test]
fn a_flipped_bit_in_any_byte_is_refused() {
    let (device_id, alias) = chain(&identity());
    for alias in flipped(&alias) {
        assert!(verify_chain(TrustAnchor::Certificate(&device_id), [&alias[..]], Policy::default()).is_err());
    }
    for device_id in flipped(&device_id) {
        assert!(Verifier::new(TrustAnchor::Certificate(&device_id), Policy::default()).is_err());
    }
}

#[test]
fn every_truncation_is_malformed() {
    let (_, alias) = chain(&identity());
    for len in 0..alias.len() {
        assert!(matches!(Certificate::parse(&alias[..len]), Err(Reason::Malformed(_))), "{len}");
    }
    let mut long = alias.clone();
    long.push(0);
    assert!(matches!(Certificate::parse(&long), Err(Reason::Malformed(_))));
}

#[test]
fn another_device_is_not_trusted() {
    let (device_id, _) = chain(&identity());
    let uds = Uds::from_bytes(*b"another secret for tests only...").unwrap();
    let info = FirmwareInfo::new("ACME", "Widget", "1.2.3", 4);
    let other = Identity::derive(&uds, &FirmwareDigest::of(b"firmware").unwrap(), &info).unwrap();
    let (_, alias) = chain(&other);
    let verdict = verify_chain(TrustAnchor::Certificate(&device_id), [&alias[..]], Policy::default());
    assert_eq!(refused(verdict), (0, Reason::IssuerName));
    let key = *identity().device_id_key().public_key();
    let anchor = TrustAnchor::Key(PublicKey::P256(key));
    assert_eq!(refused(verify_chain(anchor, [&alias[..]], Policy::default())), (0, Reason::Signature));
}

#[test]
fn reasons_are_described() {
    let (device_id, alias) = chain(&identity());
    let error =
        verify_chain(TrustAnchor::Certificate(&device_id), [&alias[1..]], Policy::default()).unwrap_err();
    assert!(error.to_string().starts_with("certificate 0 is refused: malformed: "), "{error}");
    assert!(std::error::Error::source(&error).is_some());
}

proptest! {
    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Certificate::parse(&bytes).is_err());
    }

    #[test]
    fn random_changes_do_not_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let (_, mut alias) = chain(&identity());
        for (at, byte) in changes {
            let at = at.index(alias.len());
            alias[at] = byte;
        }
        if let Ok(certificate) = Certificate::parse(&alias) {
            let _ = certificate.subject().text();
            let _ = format!("{certificate:?}");
        }
        let _ = Certificate::parse(&alias[..cut.index(alias.len())]);
    }
}
