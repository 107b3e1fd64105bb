//! Lists of another issuer, at another time, with what is not understood, and hostile bytes.

use std::time::{Duration, UNIX_EPOCH};

use der::asn1::OctetString;
use p256::ecdsa::{DerSignature, SigningKey, signature::Signer as _};
use p256::pkcs8::DecodePrivateKey as _;
use proptest::prelude::*;
use x509_cert::ext::Extension;

use super::*;
use crate::ca::authority::{self, Authority};
use crate::ca::register::Reason;
use crate::request::DeviceIdRequest;
use crate::request::tests::of_device;

/// A CA in a folder that has issued a certificate and revoked it: its certificate, its key, its list and the serial
/// number.
struct Ca {
    certificate: Vec<u8>,
    key: SigningKey,
    list: RevocationList,
    serial: Vec<u8>,
}

const NOW: u64 = 1_800_000_000;

impl Ca {
    fn new() -> Self {
        let now = UNIX_EPOCH + Duration::from_secs(NOW);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca");
        authority::create(&path, "Test CA", None, now).unwrap();
        let mut authority = Authority::open(&path, now).unwrap();
        let request = DeviceIdRequest::from_der(&of_device(1)).unwrap();
        let one = authority.issue(&request, None, false, now).unwrap();
        authority.revoke(&one.serial(), Reason::KeyCompromise, now).unwrap();
        let list = RevocationList::from_der(&authority.revocation_list(30, now).unwrap()).unwrap();
        let read = |name| std::fs::read(path.join(name)).unwrap();
        let certificate = crate::certificates::read(&read("ca.pem")).unwrap().remove(0);
        let key = String::from_utf8(read("ca-key.pem")).unwrap();
        let serial = one.certificate.tbs_certificate().serial_number().as_bytes().to_vec();
        Self { certificate, key: SigningKey::from_pkcs8_pem(&key).unwrap(), list, serial }
    }

    /// Its list, changed and signed again.
    fn changed(&self, change: impl FnOnce(&mut CertificateList)) -> RevocationList {
        let mut list = self.list.list.clone();
        change(&mut list);
        let signature: DerSignature = self.key.sign(&list.tbs_cert_list.to_der().unwrap());
        list.signature = der::asn1::BitString::from_bytes(signature.as_bytes()).unwrap();
        RevocationList::from_der(&list.to_der().unwrap()).unwrap()
    }
}

#[test]
fn a_list_counts_for_its_issuer_in_its_time() {
    let ca = Ca::new();
    assert_eq!(ca.list.issuer_text(), "CN=Test CA");
    assert_eq!(ca.list.check(&ca.certificate, NOW), Ok(()));
    let refused = ca.list.check_certificate(&[&[0][..], &ca.serial].concat()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!(
            "it is revoked since 2027-01-15T08:00:00Z (serial number {}, reason: key compromise)",
            hex::encode_upper(&ca.serial)
        )
    );
    assert_eq!(ca.list.check_certificate(&[1]), Ok(()));

    let month = 30 * 24 * 60 * 60;
    assert_eq!(ca.list.check(&ca.certificate, NOW + month), Ok(()));
    let expired = ca.list.check(&ca.certificate, NOW + month + 1);
    assert_eq!(expired, Err(Refusal::Expired("2027-02-14T08:00:00Z".to_owned())));
    let early = ca.list.check(&ca.certificate, NOW - 1);
    assert_eq!(early, Err(Refusal::NotYetValid("2027-01-15T08:00:00Z".to_owned())));
    assert_eq!(ca.list.check(&Ca::new().certificate, NOW), Err(Refusal::Signature));
    assert!(matches!(ca.list.check(b"nothing", NOW), Err(Refusal::Issuer(_))));
}

#[test]
fn what_a_list_says_and_is_not_understood_is_refused() {
    let ca = Ca::new();
    let value = OctetString::new([5, 0]).unwrap();
    // deltaCRLIndicator, certificateIssuer.
    let [delta, other_issuer] = ["2.5.29.27", "2.5.29.29"].map(ObjectIdentifier::new_unwrap);
    let extension = |extn_id, critical| Extension { extn_id, critical, extn_value: value.clone() };
    let check = |list: RevocationList| list.check(&ca.certificate, NOW);
    assert_eq!(check(ca.changed(|_| ())), Ok(()));
    let list = |critical| {
        ca.changed(|list| {
            list.tbs_cert_list.crl_extensions.get_or_insert_default().push(extension(delta, critical));
        })
    };
    assert_eq!(check(list(true)), Err(Refusal::UnknownCriticalExtension(delta)));
    assert_eq!(check(list(false)), Ok(()));
    let list = ca.changed(|list| {
        let entries = list.tbs_cert_list.revoked_certificates.as_mut().unwrap();
        entries[0].crl_entry_extensions = Some(vec![extension(other_issuer, true)]);
    });
    assert_eq!(check(list), Err(Refusal::UnknownCriticalExtension(other_issuer)));
    assert_eq!(check(ca.changed(|list| list.tbs_cert_list.next_update = None)), Err(Refusal::NoNextUpdate));
    let sha1 = ObjectIdentifier::new_unwrap("1.2.840.10045.4.1");
    assert_eq!(
        check(ca.changed(|list| list.signature_algorithm.oid = sha1)),
        Err(Refusal::SignatureAlgorithm(sha1))
    );
    let both = ca.changed(|list| {
        list.signature_algorithm.oid = sha1;
        list.tbs_cert_list.signature.oid = sha1;
    });
    assert_eq!(check(both), Err(Refusal::SignatureAlgorithm(sha1)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever is changed in a list: it is refused, or says the same.
    #[test]
    fn a_changed_list_is_refused(
        at in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(any::<u8>(), 0..4),
        cut in 0_usize..4,
    ) {
        let ca = Ca::new();
        let at = at.index(ca.list.der.len());
        let mut changed = ca.list.der.clone();
        changed.splice(at..(at + cut).min(ca.list.der.len()), bytes);
        if changed != ca.list.der && let Ok(list) = RevocationList::from_der(&changed) {
            prop_assert!(list.check(&ca.certificate, NOW).is_err());
            let _ = list.check_certificate(&ca.serial);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(RevocationList::from_der(&bytes).is_err());
    }
}
