//! Input that somebody else controls: nothing panics, nothing wrong is accepted.

use crate::support::uds;
use dice_core::Error;
use dice_core::open_dice::android::{AndroidFlow, ConfigDescriptor, Handover};
use dice_core::open_dice::{
    Algorithm, CborCertificate, ChainVerifier, Config, DiceChain, Format, InputValues, KeyPair, MainFlow,
    Mode,
};
use proptest::prelude::*;
use std::sync::OnceLock;

const INPUTS: InputValues<'static> =
    InputValues::new(&[1; 64], Config::Descriptor(&[2; 64]), &[3; 64], Mode::Normal);

/// A certificate and a handover with a chain of two layers, made once.
fn samples() -> &'static (Vec<u8>, Vec<u8>) {
    static SAMPLES: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
    SAMPLES.get_or_init(|| {
        let mut buffer = [0; 2048];
        let flow = MainFlow::new(Format::Cbor, Algorithm::P256).named("name");
        let certificate = flow.run(&uds(), &INPUTS, &mut buffer).expect("issues").certificate.to_vec();
        let first = {
            let mut handover = vec![0xa2, 0x01, 0x58, 0x20];
            handover.extend([0x11; 32]);
            handover.extend([0x02, 0x58, 0x20]);
            handover.extend([0x22; 32]);
            handover
        };
        let android = AndroidFlow::new(Algorithm::P256);
        let second = android.run_handover(&first, &INPUTS, &mut buffer).expect("fits").to_vec();
        let third = android.run_handover(&second, &INPUTS, &mut buffer).expect("fits").to_vec();
        (certificate, third)
    })
}

/// Checks a certificate that claims to be the first below the UDS key.
fn verify(certificate: &[u8]) -> dice_core::Result<()> {
    let root = *KeyPair::from_cdi(&uds().attest, Algorithm::P256)?.public_key();
    ChainVerifier::new(root)?.next(certificate).map(|_| ())
}

#[test]
fn truncated_certificates_are_refused_at_each_length() {
    let (certificate, handover) = samples();
    assert_eq!(verify(certificate), Ok(()));
    for len in 0..certificate.len() {
        match CborCertificate::parse(&certificate[..len]) {
            Err(Error::Cbor { offset, .. }) => assert!(offset <= len),
            other => panic!("{len}: {other:?}"),
        }
    }
    let chain = Handover::parse(handover).expect("well-formed").chain.expect("a chain");
    for len in 0..chain.len() {
        assert!(DiceChain::parse(&chain[..len]).is_err(), "{len}");
    }
}

#[test]
fn no_changed_bit_passes() {
    let (certificate, _) = samples();
    // Most changes are caught by the parser; of the rest, every 16th is carried through the signature check.
    let mut well_formed = 0;
    for position in 0..certificate.len() {
        for bit in 0..8 {
            let mut changed = certificate.clone();
            changed[position] ^= 1 << bit;
            if CborCertificate::parse(&changed).is_ok() {
                well_formed += 1;
                if well_formed % 16 == 0 {
                    assert!(verify(&changed).is_err(), "byte {position}, bit {bit}");
                }
            }
        }
    }
    assert!(well_formed > 1000, "{well_formed}");
}

#[test]
fn messages_that_are_almost_right_are_refused() {
    let (certificate, _) = samples();
    let parse = |bytes: &[u8]| CborCertificate::parse(bytes).map(|_| ());
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut changed = certificate.clone();
        change(&mut changed);
        parse(&changed)
    };
    // 84 43 a10126 a0 59....
    assert_eq!(certificate[..6], [0x84, 0x43, 0xa1, 0x01, 0x26, 0xa0]);
    assert!(with(&|bytes| bytes[0] = 0x85).is_err(), "five items");
    assert!(with(&|bytes| bytes.insert(0, 0xd2)).is_err(), "tagged");
    assert!(with(&|bytes| bytes[3] = 0x04).is_err(), "no algorithm");
    assert_eq!(with(&|bytes| bytes[4] = 0x27).is_ok(), cfg!(feature = "ed25519"), "another algorithm");
    assert!(matches!(with(&|bytes| bytes[4] = 0x28), Err(Error::Algorithm { cose_id: -9 })));
    assert!(
        with(&|bytes| {
            bytes.splice(1..5, [0x45, 0xa2, 0x01, 0x26, 0x02, 0x80]); // crit
        })
        .is_err(),
        "two protected headers"
    );
    assert!(
        with(&|bytes| {
            bytes.splice(1..5, [0x40]);
        })
        .is_err(),
        "no protected header"
    );
    assert!(
        with(&|bytes| {
            bytes.splice(5..6, [0xa1, 0x04, 0x40]);
        })
        .is_err(),
        "unprotected header"
    );
    assert!(with(&|bytes| bytes.push(0)).is_err(), "trailing byte");
    assert!(
        with(&|bytes| {
            let payload = 6..bytes.len() - 66;
            bytes.splice(payload, [0xf6]);
        })
        .is_err(),
        "detached payload"
    );
}

/// Whether parsing succeeded; if not, the error has to be one of data, at a place within the data.
fn accepted<T>(bytes: &[u8], result: dice_core::Result<T>) -> Option<T> {
    match result {
        Ok(value) => return Some(value),
        Err(Error::Cbor { offset, .. }) => assert!(offset <= bytes.len()),
        Err(Error::Algorithm { .. } | Error::PublicKey | Error::Chain { .. }) => {}
        Err(other) => panic!("{other:?}"),
    }
    None
}

/// Feeds every parser.
fn parse_all(bytes: &[u8]) {
    if let Some(descriptor) = accepted(bytes, ConfigDescriptor::parse(bytes)) {
        let mut buffer = [0; 512];
        let encoded = descriptor.encode(&mut buffer).expect("fits");
        assert_eq!(ConfigDescriptor::parse(encoded), Ok(descriptor));
    }
    if let Some(certificate) = accepted(bytes, CborCertificate::parse(bytes)) {
        assert_eq!(certificate.signed().signature().len(), certificate.signed().algorithm().signature_len());
        let payload = certificate.signed().payload_bytes();
        assert!(bytes.windows(payload.len().max(1)).any(|window| window == payload));
    }
    if let Some(chain) = accepted(bytes, Handover::parse(bytes)).and_then(|handover| handover.chain) {
        assert!(bytes.ends_with(chain));
        accepted(chain, DiceChain::parse(chain));
    }
    accepted(bytes, DiceChain::parse(bytes).and_then(|chain| chain.verify()));
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        parse_all(&bytes);
    }

    #[test]
    fn any_bytes_in_the_middle_are_parsed_or_refused(
        position in any::<prop::sample::Index>(),
        removed in 0_usize..40,
        inserted in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let (certificate, handover) = samples();
        for sample in [certificate, handover] {
            let mut bytes = sample.clone();
            let start = position.index(bytes.len());
            let end = (start + removed).min(bytes.len());
            bytes.splice(start..end, inserted.iter().copied());
            parse_all(&bytes);
        }
    }

    #[test]
    fn a_handover_that_fails_leaves_no_secrets_behind(available in 0_usize..1800) {
        let (_, handover) = samples();
        let flow = AndroidFlow::new(Algorithm::P256);
        let mut buffer = vec![0; 4096];
        let next = Handover::parse(flow.run_handover(handover, &INPUTS, &mut buffer).expect("fits"));
        let cdis = next.expect("well-formed").cdis;
        let mut buffer = vec![0; available];
        let failed = flow.run_handover(handover, &INPUTS, &mut buffer).is_err();
        let holds = |secret: &[u8; 32]| buffer.windows(32).any(|window| window == secret);
        prop_assert_eq!(holds(cdis.attest.expose()), !failed);
        prop_assert_eq!(holds(cdis.seal.expose()), !failed);
    }
}
