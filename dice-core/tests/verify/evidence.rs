//! Evidence that is missing, contradictory, or of other firmware, all correctly signed.

use der::asn1::ObjectIdentifier;
use dice_core::Error;
use dice_core::asn1::DerWriter;
use dice_core::hash::{Hash, Sha256, Sha384};
use dice_core::tcg::{self, Fwid, IntegrityRegister, List, MultiTcbInfo, OperationalFlags, TcbInfo};
use dice_core::verify::{Certificate, Evidence, Policy, Reason, Reference, TrustAnchor, verify_chain};

use super::parts::{Parts, extension, root};

const GOOD: &[u8] = &[1; 32];
const EVIL: &[u8] = &[2; 32];
const GOOD_384: &[u8] = &[1; 48];
const EVIL_384: &[u8] = &[2; 48];
const ADMITTED: &[Fwid<'_>] = &[sha256(GOOD), sha384(GOOD_384)];

const fn sha256(digest: &[u8]) -> Fwid<'_> {
    Fwid { algorithm: Sha256::OID, digest }
}

const fn sha384(digest: &[u8]) -> Fwid<'_> {
    Fwid { algorithm: Sha384::OID, digest }
}

/// The verdict on a leaf with an extension.
fn verdict(
    id: ObjectIdentifier,
    content: impl FnOnce(&mut DerWriter<'_>),
    policy: Policy<'_>,
) -> Result<(), Reason> {
    let extension = extension(id, false, content);
    let (root, leaf) = (root(), Parts::leaf().with(|parts| parts.extensions.push(extension)).issue());
    match verify_chain(TrustAnchor::Certificate(&root), [&leaf[..]], policy) {
        Ok(_) => Ok(()),
        Err(Error::Refused { certificate: 0, reason }) => Err(reason),
        Err(other) => panic!("{other}"),
    }
}

fn single(info: &TcbInfo<'_>, policy: Policy<'_>) -> Result<(), Reason> {
    verdict(tcg::oid::TCB_INFO, |writer| info.write_der(writer), policy)
}

fn multi(infos: &[TcbInfo<'_>], policy: Policy<'_>) -> Result<(), Reason> {
    verdict(tcg::oid::MULTI_TCB_INFO, |writer| MultiTcbInfo(List::of(infos)).write_der(writer), policy)
}

const WANTED: Policy<'_> = Policy {
    time: None,
    max_intermediates: None,
    max_self_issued: None,
    purpose: None,
    evidence: Evidence::TcbInfo,
    references: None,
};

/// The verdict on a component by one reference value.
fn by(reference: Reference<'_>, info: &TcbInfo<'_>) -> Result<(), Reason> {
    single(info, Policy { references: Some(&[reference]), ..WANTED })
}

fn with_fwids<'a>(fwids: &'a [Fwid<'a>]) -> TcbInfo<'a> {
    TcbInfo { fwids: Some(List::of(fwids)), ..TcbInfo::default() }
}

#[test]
fn evidence_without_a_digest_is_none() {
    let good = [sha256(GOOD)];
    let good = with_fwids(&good);
    assert_eq!(single(&good, WANTED), Ok(()));
    assert!(matches!(multi(&[], WANTED), Err(Reason::Malformed(_))), "an empty MultiTcbInfo");
    let words = TcbInfo { vendor: Some("ACME"), svn: Some(9), layer: Some(1), ..TcbInfo::default() };
    for empty in [TcbInfo::default(), words] {
        assert_eq!(single(&empty, WANTED), Err(Reason::MissingEvidence));
        assert_eq!(multi(&[good, empty], WANTED), Err(Reason::MissingEvidence));
        let any = [Reference::firmware(&[])];
        assert_eq!(single(&empty, Policy { references: Some(&any), ..WANTED }), Err(Reason::MissingEvidence));
    }
    // Lists without members, which the writer leaves out.
    for empty in [&[0xa6, 0][..], &[0xab, 0], &[0xab, 4, 0x30, 2, 0xa2, 0]] {
        let verdict =
            verdict(tcg::oid::TCB_INFO, |writer| writer.sequence(|writer| writer.raw(empty)), WANTED);
        assert!(matches!(verdict, Err(Reason::Malformed(_))), "{empty:?}");
    }
}

#[test]
fn references_ask_for_evidence_themselves() {
    let references = [Reference::firmware(ADMITTED)];
    let bare = Parts::leaf().issue();
    for evidence in [Evidence::Any, Evidence::OpenDice, Evidence::TcbInfo] {
        let policy = Policy { evidence, references: Some(&references), ..WANTED };
        let refused = verify_chain(TrustAnchor::Certificate(&root()), [&bare[..]], policy).unwrap_err();
        assert_eq!(refused, Error::Refused { certificate: 0, reason: Reason::MissingEvidence });
    }
    let good = [sha256(GOOD)];
    let policy = Policy { evidence: Evidence::Any, references: Some(&references), ..WANTED };
    assert_eq!(single(&TcbInfo { layer: Some(1), ..with_fwids(&good) }, policy), Ok(()));
    let skipped = Reason::LayerNumber { stated: 2, expected: 1 };
    assert_eq!(single(&TcbInfo { layer: Some(2), ..with_fwids(&good) }, policy), Err(skipped));
}

#[test]
fn every_digest_in_a_hash_function_in_common_has_to_match() {
    let verdict = |fwids: &[Fwid<'_>]| by(Reference::firmware(ADMITTED), &with_fwids(fwids));
    assert_eq!(verdict(&[sha256(GOOD)]), Ok(()));
    assert_eq!(verdict(&[sha384(GOOD_384)]), Ok(()));
    assert_eq!(verdict(&[sha256(GOOD), sha384(GOOD_384)]), Ok(()));
    let refused = Err(Reason::FirmwareDigest);
    assert_eq!(verdict(&[sha256(GOOD), sha256(EVIL)]), refused);
    assert_eq!(verdict(&[sha256(GOOD), sha384(EVIL_384)]), refused);
    assert_eq!(verdict(&[sha256(EVIL), sha384(GOOD_384)]), refused);
    // A function that the reference does not have says nothing, and is not enough.
    let unknown = Fwid { algorithm: ObjectIdentifier::new_unwrap("1.2.3"), digest: &[9] };
    assert_eq!(verdict(&[unknown, sha256(GOOD)]), Ok(()));
    assert_eq!(verdict(&[unknown]), refused);
}

#[test]
fn digests_have_the_length_of_their_function() {
    let (long, short) = ([1; 33], [1; 31]);
    let sha256_as_384 = Fwid { algorithm: Sha384::OID, digest: GOOD };
    let empty = Fwid { algorithm: ObjectIdentifier::new_unwrap("1.2.3"), digest: &[] };
    for wrong in [sha256(&[1]), sha256(&[]), sha256(&long), sha256(&short), sha256_as_384, empty] {
        let fwids = [sha256(GOOD), wrong];
        assert!(matches!(single(&with_fwids(&fwids), WANTED), Err(Reason::Malformed(_))), "{wrong:?}");
        let registers = [IntegrityRegister { name: None, number: Some(0), digests: List::of(&fwids[1..]) }];
        let info = TcbInfo { integrity_registers: Some(List::of(&registers)), ..TcbInfo::default() };
        assert!(matches!(single(&info, WANTED), Err(Reason::Malformed(_))), "{wrong:?}");
    }
}

#[test]
fn layers_count_on_without_a_gap() {
    let good = [sha256(GOOD)];
    let verdict = |layers: &[Option<u64>]| {
        let infos: Vec<_> =
            layers.iter().map(|layer| TcbInfo { layer: *layer, ..with_fwids(&good) }).collect();
        multi(&infos, WANTED)
    };
    for accepted in
        [&[Some(1)][..], &[Some(1), Some(1)], &[Some(1), Some(2), Some(3)], &[None, Some(1), None]]
    {
        assert_eq!(verdict(accepted), Ok(()), "{accepted:?}");
    }
    let wrong = |stated, expected| Err(Reason::LayerNumber { stated, expected });
    assert_eq!(verdict(&[Some(7), Some(3)]), wrong(7, 1));
    assert_eq!(verdict(&[Some(1), Some(3)]), wrong(3, 1));
    assert_eq!(verdict(&[Some(1), Some(2), Some(1)]), wrong(1, 2));
    assert_eq!(verdict(&[None, Some(2)]), wrong(2, 1));
    assert_eq!(verdict(&[Some(0)]), wrong(0, 1));
    assert_eq!(verdict(&[Some(1), Some(u64::MAX)]), wrong(u64::MAX, 1));
}

#[test]
fn integrity_registers_are_compared() {
    let fwids = [sha256(GOOD)];
    let (good, evil) = ([sha256(GOOD)], [sha256(EVIL)]);
    let register = |number, digests| IntegrityRegister { name: None, number: Some(number), digests };
    let (zero, zero_evil) = (register(0, List::of(&good)), register(0, List::of(&evil)));
    let one = register(1, List::of(&good));
    let named = IntegrityRegister { name: Some("pcr0"), number: Some(0), ..zero };
    let verdict = |admitted: Option<&[IntegrityRegister<'_>]>, stated: &[IntegrityRegister<'_>]| {
        let registers = (!stated.is_empty()).then(|| List::of(stated));
        let info = TcbInfo { integrity_registers: registers, ..with_fwids(&fwids) };
        by(Reference { integrity_registers: admitted, ..Reference::firmware(&fwids) }, &info)
    };
    let refused = Err(Reason::IntegrityRegister);
    assert_eq!(verdict(Some(&[]), &[zero]), refused, "none is admitted unless one is named");
    assert_eq!(verdict(Some(&[]), &[]), Ok(()));
    assert_eq!(verdict(Some(&[zero]), &[zero]), Ok(()));
    assert_eq!(verdict(Some(&[zero]), &[zero_evil]), refused);
    assert_eq!(verdict(Some(&[zero]), &[zero, zero_evil]), refused);
    assert_eq!(verdict(Some(&[zero]), &[one]), refused);
    assert_eq!(verdict(Some(&[zero, one]), &[zero]), refused, "one is missing");
    assert_eq!(verdict(Some(&[zero]), &[named]), refused, "another name");
    assert_eq!(verdict(Some(&[zero, zero_evil]), &[zero_evil]), Ok(()), "alternatives");
    assert_eq!(verdict(None, &[zero_evil]), Ok(()), "not judged");
}

#[test]
fn flags_and_their_mask_are_compared() {
    let fwids = [sha256(GOOD)];
    let (debug, recovery) = (OperationalFlags::DEBUG, OperationalFlags::RECOVERY);
    let verdict = |reference: Reference<'_>, flags, flags_mask| {
        by(reference, &TcbInfo { flags, flags_mask, ..with_fwids(&fwids) })
    };
    let strict = Reference::firmware(ADMITTED);
    let refused = Err(Reason::Flags { refused: debug });
    assert_eq!(verdict(strict, None, Some(debug)), Ok(()), "known to be off");
    assert_eq!(verdict(strict, Some(debug), Some(debug)), refused);
    assert_eq!(verdict(strict, Some(debug), Some(recovery)), refused, "a mask does not hide a flag");
    let admitting = Reference { admitted_flags: debug, ..strict };
    assert_eq!(verdict(admitting, Some(debug), None), Ok(()));
    let contradiction = Err(Reason::FlagsMask { flags: debug });
    assert_eq!(verdict(admitting, Some(debug), Some(recovery)), contradiction);
    let knowing = Reference { known_flags: debug, ..strict };
    assert_eq!(verdict(knowing, None, Some(debug.with(recovery))), Ok(()));
    assert_eq!(verdict(knowing, None, Some(recovery)), contradiction);
    assert_eq!(verdict(knowing, None, None), contradiction);
    assert_eq!(verdict(Reference { known_flags: debug, ..admitting }, Some(debug), None), Ok(()));
}

#[test]
fn every_component_of_a_multi_tcb_info_is_checked() {
    let (first, second) = ([1; 32], [2; 32]);
    let sha256 = dice_core::hash::HashAlgorithm::Sha256.oid();
    let fwids = [&first, &second].map(|digest| [Fwid { algorithm: sha256, digest }]);
    let infos = fwids.each_ref().map(|fwids| TcbInfo { fwids: Some(List::of(fwids)), ..TcbInfo::default() });
    let multi =
        extension(tcg::oid::MULTI_TCB_INFO, false, |writer| MultiTcbInfo(List::of(&infos)).write_der(writer));
    let (root, leaf) = (root(), Parts::leaf().with(|parts| parts.extensions.push(multi)).issue());
    let verify = |references: &[Reference<'_>]| {
        let policy =
            Policy { evidence: Evidence::TcbInfo, references: Some(references), ..Policy::default() };
        verify_chain(TrustAnchor::Certificate(&root), [&leaf[..]], policy).map(|leaf| {
            assert_eq!(leaf.multi_tcb_info().unwrap().0.iter().count(), 2);
        })
    };
    assert_eq!(verify(&[Reference::firmware(&fwids[0]), Reference::firmware(&fwids[1])]), Ok(()));
    let refused = Err(Error::Refused { certificate: 0, reason: Reason::FirmwareDigest });
    assert_eq!(verify(&[Reference::firmware(&fwids[0])]), refused);
    assert_eq!(verify(&[Reference::firmware(&fwids[1])]), refused);
    let svn = [Reference { minimum_svn: Some(1), ..Reference::firmware(&[]) }];
    let missing = Reason::Svn { found: None, minimum: 1 };
    assert_eq!(verify(&svn), Err(Error::Refused { certificate: 0, reason: missing }));
    assert!(Certificate::parse(&leaf).unwrap().tcb_info().is_none());
}
