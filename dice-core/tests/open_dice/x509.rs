//! X.509 certificates taken apart again, and the profile's extension.

use crate::common::{hex, list, vectors};
use crate::support::{Inputs, algorithms, uds};
use der::Tag;
use dice_core::asn1::{DerReader, DerWriter};
use dice_core::key::Signature;
use dice_core::open_dice::{
    Algorithm, AttestationData, Config, DICE_ATTESTATION_DATA, Format, InputValues, KeyPair, MainFlow,
    Measurements, Mode,
};
use dice_core::{Error, Result};

/// The parts of a certificate that these tests look at.
struct Parts<'a> {
    tbs: &'a [u8],
    spki: &'a [u8],
    attestation_data: Option<&'a [u8]>,
    signature: &'a [u8],
}

fn take_apart(der: &[u8]) -> Result<Parts<'_>> {
    let mut outer = DerReader::new(der);
    let mut certificate = outer.sequence()?;
    outer.finish()?;
    let mut fields = certificate;
    let tbs = certificate.raw()?;
    certificate.sequence()?;
    let signature = certificate.bit_string()?;
    certificate.finish()?;

    let mut fields = fields.sequence()?;
    fields.constructed(0)?;
    fields.integer()?;
    for _ in 0..4 {
        fields.sequence()?; // algorithm, issuer, validity, subject
    }
    let spki = fields.raw()?;
    let mut list = fields.constructed(3)?.expect("extensions").sequence()?;
    fields.finish()?;
    let mut attestation_data = None;
    while !list.is_empty() {
        let mut extension = list.sequence()?;
        if extension.oid()? == DICE_ATTESTATION_DATA {
            assert!(extension.boolean()?, "critical");
            attestation_data = Some(extension.octet_string()?.rest());
            extension.finish()?;
        }
    }
    Ok(Parts { tbs, spki, attestation_data, signature: signature.bytes })
}

/// The data that the inputs should lead to.
fn expected<'a>(
    inputs: &InputValues<'a>,
    hash: &'a [u8; 64],
    profile_name: Option<&'a str>,
) -> AttestationData<'a> {
    let some = |bytes: &'a [u8]| Some(bytes).filter(|bytes| !bytes.is_empty());
    let (configuration_hash, configuration_descriptor) = match inputs.config {
        Config::Inline(value) => (None, &value[..]),
        Config::Descriptor(descriptor) => (Some(&hash[..]), descriptor),
    };
    AttestationData {
        measurements: Measurements {
            code_hash: inputs.code_hash,
            code_descriptor: some(inputs.code_descriptor),
            configuration_hash,
            configuration_descriptor,
            authority_hash: inputs.authority_hash,
            authority_descriptor: some(inputs.authority_descriptor),
            mode: inputs.mode,
        },
        profile_name,
    }
}

#[test]
fn the_extension_says_what_was_measured() {
    let vectors = vectors("dice/open_dice_derive.json");
    for case in list(&vectors["cases"]) {
        let inputs = Inputs::read(&case["inputs"]);
        let inputs = inputs.values();
        let hash = inputs.config.input();
        for (name, profile_name) in [("x509_p256", Some("opendice.example")), ("x509_ed25519", None)] {
            let certificate = hex(&case["certificates"][name]["der"]);
            let parts = take_apart(&certificate).expect("well-formed");
            let data = parts.attestation_data.expect("the extension");
            assert_eq!(AttestationData::from_der(data), Ok(expected(&inputs, &hash, profile_name)));
            for len in 0..data.len() {
                assert!(matches!(AttestationData::from_der(&data[..len]), Err(Error::Der(_))), "{len}");
            }
        }
    }
}

#[test]
fn the_extension_is_read_strictly() {
    type Field = (u32, Tag, &'static [u8]);
    const FULL: [Field; 5] = [
        (0, Tag::OctetString, &[1; 64]),
        (3, Tag::OctetString, &[2; 64]),
        (4, Tag::OctetString, &[3; 64]),
        (6, Tag::Enumerated, &[2]),
        (7, Tag::Utf8String, b"name"),
    ];
    let parse = |fields: &[Field], trailing: &[u8]| {
        let mut buffer = [0; 400];
        let mut writer = DerWriter::new(&mut buffer);
        writer.sequence(|writer| {
            for (number, tag, content) in fields {
                writer.explicit(*number, |writer| writer.tlv(*tag, content));
            }
        });
        writer.raw(trailing);
        let der = writer.finish().expect("fits");
        AttestationData::from_der(der).map(|data| data.measurements.mode)
    };
    assert_eq!(parse(&FULL, &[]), Ok(Mode::Debug));
    assert_eq!(parse(&FULL[..4], &[]), Ok(Mode::Debug), "the name is optional");
    let with = |index: usize, field: Field| {
        let mut fields = FULL;
        fields[index] = field;
        parse(&fields, &[])
    };
    assert_eq!(with(3, (6, Tag::Integer, &[3])), Ok(Mode::Recovery), "as the profile's text has it");
    assert_eq!(with(3, (6, Tag::Enumerated, &[9])), Ok(Mode::NotConfigured));
    assert!(with(3, (6, Tag::Enumerated, &[0, 2])).is_err());
    assert!(with(3, (6, Tag::Enumerated, &[1, 2])).is_err());
    assert!(with(3, (6, Tag::Boolean, &[0xff])).is_err());
    assert!(with(4, (7, Tag::Utf8String, &[0xc3, 0x28])).is_err());
    assert!(with(4, (7, Tag::PrintableString, b"name")).is_err());
    assert!(with(4, (8, Tag::Utf8String, b"name")).is_err(), "unknown field");
    assert!(with(0, (0, Tag::Utf8String, &[1; 64])).is_err());
    assert!(with(1, (2, Tag::OctetString, &[2; 64])).is_err(), "hash without a descriptor");
    for left_out in 0..4 {
        let fields: Vec<_> = (0..5).filter(|index| *index != left_out).map(|index| FULL[index]).collect();
        assert!(parse(&fields, &[]).is_err(), "{left_out}");
    }
    let mut swapped = FULL;
    swapped.swap(0, 1);
    assert!(parse(&swapped, &[]).is_err());
    assert!(parse(&FULL, &[0]).is_err(), "trailing byte");
    let hashed = |hash: &'static [u8]| {
        let mut fields = vec![FULL[0], (2, Tag::OctetString, hash)];
        fields.extend(&FULL[1..]);
        parse(&fields, &[])
    };
    assert!(hashed(&[0; 64]).is_err());
    assert!(hashed(&[0; 20]).is_err());
    assert!(hashed(&[]).is_err());
}

/// The signature of a certificate in its fixed form.
fn fixed_form(algorithm: Algorithm, signature: &[u8]) -> Vec<u8> {
    if algorithm == Algorithm::P256 {
        return Signature::from_der(signature).expect("strict DER").as_bytes().to_vec();
    }
    if algorithm.signature_len() == 64 {
        return signature.to_vec(); // Ed25519
    }
    let mut reader = DerReader::new(signature).sequence().expect("a sequence");
    let mut fixed = Vec::new();
    for _ in 0..2 {
        let integer = reader.integer().expect("an integer");
        let digits = integer.strip_prefix(&[0]).unwrap_or(integer);
        let half = algorithm.signature_len() / 2;
        fixed.resize(fixed.len() + half - digits.len(), 0);
        fixed.extend_from_slice(digits);
    }
    fixed
}

#[test]
fn a_chain_of_mixed_algorithms_verifies() {
    let algorithms = algorithms();
    let inputs = InputValues::new(&[1; 64], Config::Descriptor(b"\xa0"), &[3; 64], Mode::Normal);
    let mut current = uds();
    let mut authority = algorithms[0].1;
    let mut key = *KeyPair::from_cdi(&current.attest, authority).expect("derives").public_key();
    for (_, subject) in algorithms.iter().cycle().skip(1).take(2 * algorithms.len()) {
        let mut buffer = [0; 1024];
        let flow = MainFlow::new(Format::X509, authority).certifying(*subject);
        let layer = flow.run(&current, &inputs, &mut buffer).expect("issues");
        let parts = take_apart(layer.certificate).expect("well-formed");
        assert_eq!(key.verify(&[parts.tbs], &fixed_form(authority, parts.signature)), Ok(()));
        (current, authority) = (layer.cdis, *subject);
        key = *KeyPair::from_cdi(&current.attest, authority).expect("derives").public_key();
        let mut spki = [0; 160];
        let mut writer = DerWriter::new(&mut spki);
        key.write_spki(&mut writer);
        assert_eq!(writer.finish().expect("fits"), parts.spki);
    }
}

#[cfg(feature = "ed25519")]
#[test]
fn another_project_s_chain_is_signed_and_measured() {
    let vectors = vectors("dice/veraison_open_dice_chains.json");
    let x509 = &vectors["x509"];
    let root = hex(&x509["uds_certificate"]);
    let raw_key = |spki: &[u8]| {
        dice_core::open_dice::PublicKey::from_bytes(Algorithm::Ed25519, &spki[spki.len() - 32..])
            .expect("a key")
    };
    let parts = take_apart(&root).expect("well-formed");
    assert!(parts.attestation_data.is_none());
    let mut key = raw_key(parts.spki);
    assert_eq!(key.verify(&[parts.tbs], parts.signature), Ok(()));
    assert_eq!(list(&x509["chain"]).len(), 7);
    for certificate in list(&x509["chain"]) {
        let certificate = hex(certificate);
        let parts = take_apart(&certificate).expect("well-formed");
        assert_eq!(key.verify(&[parts.tbs], parts.signature), Ok(()));
        let data = AttestationData::from_der(parts.attestation_data.expect("the extension"));
        assert_eq!(data.expect("well-formed").measurements.code_hash.len(), 64);
        key = raw_key(parts.spki);
    }
}
