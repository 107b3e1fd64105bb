//! The parsers of `dice-core`: certificates and chains of them (X.509 and CBOR), PEM, TcbInfo.

use dice_core::asn1::{DerReader, DerWriter};
use dice_core::open_dice::android::{ConfigDescriptor, Handover};
use dice_core::open_dice::cbor::{Kind, MAX_DEPTH, Reader, Writer};
use dice_core::open_dice::{AttestationData, CborCertificate, ChainVerifier, DiceChain};
use dice_core::pem::{self, Label, Lines};
use dice_core::tcg::{Fwid, MultiTcbInfo, TcbFreshness, TcbInfo, Ueid};
use dice_core::verify::{Certificate, Evidence, Policy, Reason, Reference, TrustAnchor, Verifier};
use dice_core::{Error, x509::Time};
use x509_cert::der::{Decode, Encode};

use crate::dice_seeds::{cbor, x509};

/// One X.509 certificate. What is read, another reader (`x509-cert`) reads, too, and to the same content.
pub(crate) fn certificate(input: &[u8]) {
    match Certificate::parse(input) {
        Ok(ours) => {
            let _ = format!("{ours:?} {:?}", ours.subject().text());
            assert!((1..=20).contains(&ours.serial().len()) && ours.serial()[0] < 0x80);
            assert!(ours.validity().not_before <= ours.validity().not_after);
            let theirs = x509_cert::Certificate::from_der(input).expect("what we read is a certificate");
            let tbs = theirs.tbs_certificate();
            assert_eq!(tbs.serial_number().as_bytes(), ours.serial());
            assert_eq!(tbs.issuer().to_der().expect("read"), ours.issuer().as_der());
            assert_eq!(tbs.subject().to_der().expect("read"), ours.subject().as_der());
            assert_eq!(
                tbs.validity().not_after.to_unix_duration().as_secs(),
                ours.validity().not_after.to_unix()
            );
            assert!(Certificate::parse(&input[..input.len() - 1]).is_err(), "cut off");
            assert!(Certificate::parse(&[input, &[0]].concat()).is_err(), "bytes behind it");
        }
        Err(Reason::Malformed(error)) => {
            let at = error.position().map_or(0, u32::from);
            assert!(usize::try_from(at).is_ok_and(|at| at <= input.len()), "{error}");
        }
        Err(reason) => drop(reason.to_string()),
    }
}

/// A chain below a known anchor, certificate after certificate. Nobody else has the keys: whatever is accepted was
/// issued, signatures aside, in the order of the layers; and with references only the firmware that they admit.
pub(crate) fn chain(input: &[u8]) {
    let Some((options, rest)) = input.split_first() else { return };
    let known = x509();
    let digests: Vec<_> = known.firmware.iter().map(dice_core::FirmwareDigest::as_fwid).collect();
    let references: Vec<_> = digests[..2]
        .iter()
        .map(|fwid: &Fwid<'_>| Reference {
            admitted_flags: dice_core::tcg::OperationalFlags::NOT_CONFIGURED,
            ..Reference::firmware(std::slice::from_ref(fwid))
        })
        .collect();
    let policy = Policy {
        time: (options & 1 != 0).then(|| Time::from_unix(1_800_000_000).expect("in range")),
        evidence: if options & 2 == 0 { Evidence::TcbInfo } else { Evidence::Any },
        references: (options & 4 != 0).then_some(&references),
        ..Policy::default()
    };
    let mut verifier = Verifier::new(TrustAnchor::Certificate(&known.chain[0]), policy).expect("in order");
    let mut reader = DerReader::new(rest);
    let mut accepted = 0;
    while let Ok(der) = reader.raw() {
        match verifier.next(der) {
            Ok(certificate) => {
                accepted += 1;
                let issued = known.chain.get(accepted).expect("there are no more layers");
                assert_eq!(signed_part(der), signed_part(issued), "nobody issued this");
                assert!(certificate.tcb_info().is_some());
                assert!(options & 4 == 0 || accepted <= references.len(), "firmware that is not admitted");
            }
            Err(Error::Refused { certificate, .. }) => return assert!(certificate <= accepted),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(verifier.finish().is_ok(), accepted > 0);
}

fn signed_part(der: &[u8]) -> &[u8] {
    DerReader::new(der).sequence().and_then(|mut content| content.raw()).expect("accepted")
}

/// CBOR: what is skipped is written again to the same bytes; certificates, chains, handovers and descriptors are
/// refused with a position in the input, and no chain is accepted but the one that was issued.
pub(crate) fn cbor_items(input: &[u8]) {
    let mut reader = Reader::new(input);
    while !reader.is_at_end() {
        let start = reader.offset();
        match reader.skip() {
            Ok(item) => {
                assert_eq!(item, &input[start..reader.offset()]);
                written_again(item);
            }
            Err(error) => {
                in_the_input(&error, input);
                break;
            }
        }
    }
    let known = cbor();
    match CborCertificate::parse(input) {
        Ok(certificate) => drop(format!("{certificate:?}")),
        Err(error) => in_the_input(&error, input),
    }
    if ChainVerifier::new(known.root).expect("a key").next(input).is_ok() {
        assert_eq!(input, known.certificate, "nobody issued this");
    }
    match DiceChain::parse(input) {
        Ok(chain) => {
            assert!(!chain.is_empty());
            if chain.root() == &known.root && chain.verify().is_ok() {
                assert!(known.chains.iter().any(|issued| input == issued), "nobody issued this");
            }
        }
        Err(error) => in_the_input(&error, input),
    }
    match Handover::parse(input) {
        Ok(handover) => drop(format!("{handover:?}")),
        Err(error) => in_the_input(&error, input),
    }
    match ConfigDescriptor::parse(input) {
        Ok(descriptor) => {
            let mut out = vec![0; input.len() + 64];
            let encoded = descriptor.encode(&mut out).expect("no longer than what was read");
            assert_eq!(ConfigDescriptor::parse(encoded), Ok(descriptor));
        }
        Err(error) => in_the_input(&error, input),
    }
}

fn in_the_input(error: &Error, input: &[u8]) {
    if let Error::Cbor { offset, .. } = error {
        assert!(*offset <= input.len(), "{error}");
    }
}

/// Reads all items within one that is well-formed, and writes them.
fn written_again(item: &[u8]) {
    let mut out = vec![0; item.len()];
    let mut writer = Writer::new(&mut out);
    let mut reader = Reader::new(item);
    while let Ok(kind) = reader.kind() {
        let read = match kind {
            Kind::Unsigned => reader.unsigned().map(|value| writer.unsigned(value)),
            Kind::Negative => reader.integer().map(|value| writer.integer(value)),
            Kind::Bytes => reader.bytes().map(|bytes| writer.bytes(bytes)),
            Kind::Text => reader.text().map(|text| writer.text(text)),
            Kind::Array => reader.array().map(|items| writer.array(items)),
            Kind::Map => reader.map().map(|pairs| writer.map(pairs)),
            // Neither is written by the profile.
            Kind::Tag => return,
            Kind::Simple => reader.null().map(|()| writer.null()),
        };
        // Integers beyond 64 bits with a sign, and simple values other than null, are well-formed and not wanted.
        if read.is_err() {
            return assert!(matches!(kind, Kind::Negative | Kind::Simple) && MAX_DEPTH > 0);
        }
    }
    assert_eq!(writer.finish(), Ok(item));
}

/// PEM: what is decoded is encoded and decoded to the same, and the rest is the rest.
pub(crate) fn pem_text(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut out = vec![0; text.len()];
    for label in [
        Label::Certificate,
        Label::CertificateRequest,
        Label::PublicKey,
        Label::EcPrivateKey,
        Label::PrivateKey,
    ] {
        match pem::decode(label, &text, &mut out) {
            Ok((der, rest)) => {
                assert!(text.ends_with(rest) && text.contains(label.as_str()));
                for lines in [Lines::Wrapped, Lines::Single] {
                    let mut written = vec![0; pem::encoded_len(label, der.len(), lines)];
                    let written =
                        pem::encode(label, der, lines, &mut written).expect("the length was asked for");
                    let mut again = vec![0; der.len()];
                    assert_eq!(pem::decode(label, written, &mut again), Ok((der, "")));
                }
            }
            Err(Error::PemBase64 { offset }) => assert!(text.is_char_boundary(offset) && offset < text.len()),
            Err(Error::PemMissing { label: missing }) => assert_eq!(missing, label),
            Err(error) => panic!("{error}: the buffer is as long as the text"),
        }
    }
}

/// The extensions of DICE: what is read is written and read to the same; a digest of a known function has its length.
pub(crate) fn tcb_info(input: &[u8]) {
    let written = |write: &dyn Fn(&mut DerWriter<'_>)| {
        let mut out = vec![0; input.len() + 16];
        let mut writer = DerWriter::new(&mut out);
        write(&mut writer);
        writer.finish().expect("no longer than what was read").to_vec()
    };
    let check = |info: &TcbInfo<'_>| {
        let digests = info.integrity_registers.iter().flatten().flat_map(|register| register.digests.iter());
        for Fwid { algorithm, digest } in info.fwids.iter().flatten().chain(digests) {
            let known = dice_core::hash::HashAlgorithm::from_oid(&algorithm);
            assert!(known.map_or(!digest.is_empty(), |known| known.output_len() == digest.len()));
        }
        let _ = format!("{info:?}");
    };
    if let Ok(info) = TcbInfo::parse(input) {
        check(&info);
        assert_eq!(TcbInfo::parse(&written(&|writer| info.write_der(writer))), Ok(info));
    }
    if let Ok(multi) = MultiTcbInfo::parse(input) {
        assert!(!multi.0.is_empty());
        multi.0.iter().for_each(|info| check(&info));
        assert_eq!(MultiTcbInfo::parse(&written(&|writer| multi.write_der(writer))), Ok(multi));
    }
    if let Ok(ueid) = Ueid::parse(input) {
        assert_eq!(written(&|writer| ueid.write_der(writer)), input);
    }
    if let Ok(freshness) = TcbFreshness::parse(input) {
        assert_eq!(written(&|writer| freshness.write_der(writer)), input);
    }
    if let Ok(data) = AttestationData::from_der(input) {
        let _ = format!("{data:?}");
    }
}
