//! Requests of devices, requests that ask for something else, and hostile bytes.

use der::Encode as _;
use der::asn1::{Any, BitString, SetOfVec};
use dice_core::Uds;
use dice_core::key::{DefaultBackend, SecretKey};
use dice_core::standard;
use p256::ecdsa::{DerSignature, SigningKey, signature::Signer as _};
use proptest::prelude::*;
use x509_cert::attr::Attribute;
use x509_cert::ext::ToExtension as _;
use x509_cert::ext::pkix::ExtendedKeyUsage;
use x509_cert::request::Version;

use super::*;

fn uds(byte: u8) -> Uds {
    Uds::from_hex(&format!("{}{byte:02x}", "5f".repeat(31))).unwrap()
}

/// What the device makes.
pub(crate) fn of_device(byte: u8) -> Vec<u8> {
    let key: SecretKey = standard::derive_device_id::<DefaultBackend>(&uds(byte)).unwrap();
    let mut out = [0; standard::DEVICE_ID_REQUEST_MAX_LEN];
    standard::device_id_request(key.public_key(), &mut out).unwrap().sign(&key).unwrap().to_vec()
}

/// A request that is changed and then signed again by its key.
fn changed(change: impl FnOnce(&mut CertReqInfo)) -> Vec<u8> {
    let key: SecretKey = standard::derive_device_id::<DefaultBackend>(&uds(1)).unwrap();
    let CertReq { mut info, algorithm, .. } = CertReq::from_der(&of_device(1)).unwrap();
    change(&mut info);
    let signer = SigningKey::from_slice(key.expose_scalar().expose()).unwrap();
    let signature: DerSignature = signer.sign(&info.to_der().unwrap());
    let signature = BitString::from_bytes(signature.as_bytes()).unwrap();
    CertReq { info, algorithm, signature }.to_der().unwrap()
}

/// With these extensions in place of its own.
fn with_extensions(extensions: &[Extension]) -> Vec<u8> {
    changed(|info| info.attributes = SetOfVec::try_from([attribute(extensions)]).unwrap())
}

fn attribute(extensions: &[Extension]) -> Attribute {
    let value = Any::encode_from(&extensions.to_vec()).unwrap();
    Attribute { oid: oid::EXTENSION_REQUEST, values: SetOfVec::try_from([value]).unwrap() }
}

fn extension<E>(extension: &E) -> Extension
where
    for<'a> &'a E: x509_cert::ext::ToExtension<Error = der::Error>,
{
    extension.to_extension(&Name::default(), &[]).unwrap()
}

fn constraints(ca: bool, path_len_constraint: Option<u8>) -> Extension {
    extension(&BasicConstraints { ca, path_len_constraint })
}

#[test]
fn a_devices_request_is_taken() {
    let der = of_device(1);
    let request = DeviceIdRequest::from_der(&der).unwrap();
    assert_eq!(request.subject().to_string(), format!("CN={}", request.name()));
    let pem =
        crate::make::to_pem(dice_core::pem::Label::CertificateRequest, &der, dice_core::pem::Lines::Wrapped);
    assert_eq!(DeviceIdRequest::read(pem.unwrap().as_bytes()).unwrap().key(), request.key());
    let two = [der.clone(), of_device(2)].concat();
    assert!(DeviceIdRequest::read(&two).unwrap_err().to_string().contains("there are 2 requests"));
    // Changed and signed again without a change, so that the cases below fail for their own reasons.
    assert!(DeviceIdRequest::from_der(&changed(|_| ())).is_ok());
}

#[test]
fn what_is_no_request_for_a_device_id_is_refused() {
    let good = of_device(1);
    let attributes = CertReq::from_der(&good).unwrap().info.attributes;
    let own: Extensions = attributes.iter().next().unwrap().values.as_ref()[0].decode_as().unwrap();
    let [_, usage, identifier] = &own[..] else { panic!("three extensions") };
    let ca = constraints(true, Some(0));
    let client = extension(&ExtendedKeyUsage(vec![oid::CLIENT_AUTH]));
    let signs_all = extension(&KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign));
    let other = extension(&SubjectKeyIdentifier(der::asn1::OctetString::new([7; 20]).unwrap()));
    let (usage, identifier) = (usage.clone(), identifier.clone());
    for (extensions, expected) in [
        (vec![], RequestError::MissingExtension("basicConstraints")),
        (vec![ca.clone(), identifier.clone()], RequestError::MissingExtension("keyUsage")),
        (vec![ca.clone(), usage.clone()], RequestError::MissingExtension("subjectKeyIdentifier")),
        (vec![constraints(false, None), usage.clone(), identifier.clone()], RequestError::NotCa),
        (vec![constraints(true, None), usage.clone(), identifier.clone()], RequestError::PathLength(None)),
        (
            vec![constraints(true, Some(1)), usage.clone(), identifier.clone()],
            RequestError::PathLength(Some(1)),
        ),
        (vec![ca.clone(), signs_all, identifier.clone()], RequestError::KeyUsage),
        (vec![ca.clone(), usage.clone(), other], RequestError::KeyIdentifier),
        (
            vec![ca.clone(), usage.clone(), identifier.clone(), client],
            RequestError::Extension(oid::EXT_KEY_USAGE),
        ),
        (
            vec![ca.clone(), ca.clone(), usage, identifier],
            RequestError::DuplicateExtension(oid::BASIC_CONSTRAINTS),
        ),
    ] {
        let error = DeviceIdRequest::from_der(&with_extensions(&extensions)).unwrap_err();
        assert_eq!(error, expected);
    }

    let challenge = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.7");
    let password = |info: &mut CertReqInfo| {
        let value = Any::encode_from(&der::asn1::Utf8StringRef::new("x").unwrap()).unwrap();
        let values = SetOfVec::try_from([value]).unwrap();
        info.attributes.insert(Attribute { oid: challenge, values }).unwrap();
    };
    let named = |info: &mut CertReqInfo| info.subject = "CN=my-device\\0A".parse().unwrap();
    let other_key = |info: &mut CertReqInfo| {
        info.public_key = CertReq::from_der(&of_device(2)).unwrap().info.public_key;
    };
    let p384 = ObjectIdentifier::new_unwrap("1.3.132.0.34");
    let other_curve = |info: &mut CertReqInfo| {
        info.public_key.algorithm.parameters = Some(Any::encode_from(&p384).unwrap());
    };
    let rsa = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
    assert_eq!(
        DeviceIdRequest::from_der(&changed(password)).unwrap_err(),
        RequestError::Attribute(challenge)
    );
    let error = DeviceIdRequest::from_der(&changed(named)).unwrap_err();
    assert!(matches!(&error, RequestError::Subject { expected, .. } if expected.starts_with("CN=DeviceID-")));
    assert!(!error.to_string().contains('\n'), "{error}");
    assert_eq!(DeviceIdRequest::from_der(&changed(other_key)).unwrap_err(), RequestError::Signature);
    assert_eq!(
        DeviceIdRequest::from_der(&changed(other_curve)).unwrap_err(),
        RequestError::KeyAlgorithm(p384)
    );
    let error = DeviceIdRequest::from_der(&changed(|info| info.public_key.algorithm.oid = rsa)).unwrap_err();
    assert_eq!(error, RequestError::KeyAlgorithm(rsa));
    // Compressed.
    let error = DeviceIdRequest::from_der(&changed(|info| {
        let point = info.public_key.subject_public_key.raw_bytes();
        let compressed = [&[2 + (point[64] & 1)], &point[1..33]].concat();
        info.public_key.subject_public_key = BitString::from_bytes(&compressed).unwrap();
    }));
    assert_eq!(error.unwrap_err(), RequestError::PublicKey);
    let mut sha1 = CertReq::from_der(&good).unwrap();
    sha1.algorithm.oid = ObjectIdentifier::new_unwrap("1.2.840.10045.4.1");
    let error = DeviceIdRequest::from_der(&sha1.to_der().unwrap()).unwrap_err();
    assert_eq!(error, RequestError::SignatureAlgorithm(sha1.algorithm.oid));
    assert_eq!(sha1.info.version, Version::V1);
    let cut = DeviceIdRequest::from_der(&good[..good.len() - 1]).unwrap_err();
    assert!(matches!(cut, RequestError::Malformed(_)), "{cut}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    /// Whatever is changed in a request: it is refused, as the signature covers all of it.
    #[test]
    fn a_changed_request_is_refused(
        at in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(any::<u8>(), 0..4),
        cut in 0_usize..4,
    ) {
        let good = of_device(1);
        let at = at.index(good.len());
        let mut changed = good.clone();
        changed.splice(at..(at + cut).min(good.len()), bytes);
        if changed != good {
            prop_assert!(DeviceIdRequest::from_der(&changed).is_err());
            let _ = DeviceIdRequest::read(&changed);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(DeviceIdRequest::read(&bytes).is_err());
    }
}
