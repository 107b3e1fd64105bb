//! Chains that somebody else changed, by pieces: nothing panics, nothing changed is accepted.

use dice_core::asn1::DerWriter;
use dice_core::layer::{Layer, Leaf};
use dice_core::open_dice::{Algorithm, AttestationData, Cdis, Config, Format, InputValues, MainFlow, Mode};
use dice_core::standard::FirmwareInfo;
use dice_core::tcg::{MultiTcbInfo, TcbFreshness, TcbInfo, Ueid};
use dice_core::verify::{Certificate, Evidence, Policy, Reference, TrustAnchor, verify_chain};
use dice_core::x509::Validity;
use dice_core::{Error, FirmwareDigest, RegistrationId, Uds};
use proptest::prelude::*;
use proptest::sample::Index;
use std::sync::OnceLock;

const SECRET: [u8; 32] = *b"a device secret for tests only..";

/// Root, embedded CA, leaf with every extension.
fn chain() -> &'static [Vec<u8>; 3] {
    static CHAIN: OnceLock<[Vec<u8>; 3]> = OnceLock::new();
    CHAIN.get_or_init(|| {
        let info = FirmwareInfo::new("ACME", "Widget", "1.2.3", 4);
        let image = |image: &[u8]| FirmwareDigest::of(image).unwrap();
        let mut out = [0; 1024];
        let layer = Layer::from_uds(&Uds::from_bytes(SECRET).unwrap()).unwrap();
        let root = layer.device_id_certificate(Validity::NO_EXPIRY, &mut out).unwrap().to_vec();
        let (layer, eca) = layer.next(&image(b"loader"), &info, Validity::NO_EXPIRY, &mut out).unwrap();
        let eca = eca.to_vec();
        let leaf = Leaf {
            ueid: Some(Ueid(&[1; 17])),
            freshness: Some(TcbFreshness(b"nonce")),
            ..Leaf::tls_client(RegistrationId::new("device").unwrap())
        };
        let (_, leaf) = layer.leaf(&image(b"app"), &info, &leaf, Validity::NO_EXPIRY, &mut out).unwrap();
        [root, eca, leaf.to_vec()]
    })
}

/// A certificate of the Open Profile, whose extension has a reader of its own.
fn open_dice() -> &'static Vec<u8> {
    static CERTIFICATE: OnceLock<Vec<u8>> = OnceLock::new();
    CERTIFICATE.get_or_init(|| {
        let (code, authority) = ([0x11; 64], [0x22; 64]);
        let inputs = InputValues::new(&code, Config::Descriptor(b"descriptor"), &authority, Mode::Normal);
        let current = Cdis::from_uds(&Uds::from_bytes(SECRET).unwrap());
        let flow = MainFlow::new(Format::X509, Algorithm::P256).named("name");
        flow.run(&current, &inputs, &mut [0; 1024]).unwrap().certificate.to_vec()
    })
}

fn verify(root: &[u8], rest: &[&[u8]]) -> Result<(), Error> {
    let references = [Reference {
        admitted_flags: dice_core::tcg::OperationalFlags::NOT_CONFIGURED,
        ..Reference::firmware(&[])
    }];
    let policy = Policy { evidence: Evidence::TcbInfo, references: Some(&references), ..Policy::default() };
    verify_chain(TrustAnchor::Certificate(root), rest.iter().copied(), policy).map(|_| ())
}

/// A stretch of bytes replaced by others.
fn splice(bytes: &[u8], position: Index, removed: usize, inserted: &[u8]) -> Vec<u8> {
    let start = position.index(bytes.len());
    let end = (start + removed).min(bytes.len());
    [&bytes[..start], inserted, &bytes[end..]].concat()
}

/// Everything a certificate can be asked.
fn ask(der: &[u8]) {
    let Ok(certificate) = Certificate::parse(der) else { return };
    let _ = format!("{certificate:?} {:?}", certificate.subject().text());
    let _ = (certificate.ueid(), certificate.freshness(), certificate.validity(), certificate.serial());
    let several = certificate.multi_tcb_info().into_iter().flat_map(|multi| multi.0.iter());
    for info in certificate.tcb_info().copied().into_iter().chain(several) {
        let mut out = vec![0; der.len() + 64];
        let mut writer = DerWriter::new(&mut out);
        info.write_der(&mut writer);
        let written = writer.finish().expect("no longer than what was read");
        assert_eq!(TcbInfo::parse(written), Ok(info));
    }
}

#[test]
fn the_chain_without_changes_is_accepted() {
    let [root, eca, leaf] = chain();
    assert_eq!(verify(root, &[eca, leaf]), Ok(()));
    ask(open_dice());
    assert!(Certificate::parse(open_dice()).unwrap().attestation_data().is_some());
}

#[test]
fn certificates_left_out_doubled_or_exchanged_are_refused() {
    let all: Vec<&[u8]> = chain().iter().map(Vec::as_slice).collect();
    let [root, eca, leaf] = [all[0], all[1], all[2]];
    let mut refused = 0;
    // Every sequence of up to three certificates but the right one; roots and leaves in any place.
    for first in &all {
        for second in [None].into_iter().chain(all.iter().map(Some)) {
            for third in [None].into_iter().chain(all.iter().map(Some)) {
                let sequence: Vec<&[u8]> =
                    [Some(first), second, third].into_iter().flatten().copied().collect();
                let whole = sequence == [eca, leaf];
                // A chain may end early: its last certificate is then the one that is asked about.
                let part = sequence == [eca];
                assert_eq!(verify(root, &sequence).is_ok(), whole || part, "{}", sequence.len());
                refused += usize::from(!whole && !part);
            }
        }
    }
    assert_eq!(refused, 45);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_changed_stretch_is_accepted(
        which in 0_usize..3,
        position: Index,
        removed in 0_usize..24,
        inserted in prop::collection::vec(any::<u8>(), 0..24),
    ) {
        let mut changed = chain().clone();
        changed[which] = splice(&changed[which], position, removed, &inserted);
        prop_assume!(changed[which] != chain()[which]);
        ask(&changed[which]);
        let [root, eca, leaf] = &changed;
        prop_assert!(verify(root, &[eca, leaf]).is_err());
    }

    #[test]
    fn stretches_of_other_certificates_are_read_or_refused(
        from in 0_usize..4,
        to in 0_usize..4,
        source: Index,
        length in 1_usize..200,
        position: Index,
        removed in 0_usize..200,
    ) {
        let all = [&chain()[0], &chain()[1], &chain()[2], open_dice()];
        let start = source.index(all[from].len());
        let stretch = &all[from][start..(start + length).min(all[from].len())];
        ask(&splice(all[to], position, removed, stretch));
    }

    /// The extensions' own readers, on what is almost right.
    #[test]
    fn evidence_is_read_or_refused(
        which in 0_usize..2,
        start: Index,
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 0..4),
    ) {
        let source = [&chain()[2], open_dice()][which];
        let mut bytes = source[start.index(source.len())..].to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        // Cut to one whole value, so that the readers get beyond the length.
        let value = dice_core::asn1::DerReader::new(&bytes).raw().unwrap_or(&bytes);
        let _ = (TcbInfo::parse(value), MultiTcbInfo::parse(value), Ueid::parse(value), TcbFreshness::parse(value));
        let _ = AttestationData::from_der(value);
    }
}
