//! OpenSSL, as a strict and independent reader, takes what the profile `standard` issues.

use crate::issued::{SECRET, accepted, issue, openssl, write_pem};
use dice_core::key::SecretKey;
use dice_core::layer::{Layer, Leaf};
use dice_core::pem::Label;
use dice_core::standard::FirmwareInfo;
use dice_core::tcg::{TcbFreshness, Ueid};
use dice_core::x509::Validity;
use dice_core::{FirmwareDigest, RegistrationId, Uds};

#[test]
fn the_chain_verifies_strictly_as_a_tls_client_chain() {
    let directory = issue(SECRET);
    for arguments in [
        "verify -x509_strict -check_ss_sig -CAfile device-id.pem device-id.pem",
        "verify -x509_strict -purpose sslclient -CAfile device-id.pem alias.pem",
        "verify -x509_strict -CAfile device-id.pem possession.pem",
    ] {
        assert!(accepted(directory.path(), arguments).contains(": OK"), "{arguments}");
    }
    let other = issue(*b"another secret for tests only...");
    std::fs::copy(other.path().join("device-id.pem"), directory.path().join("other.pem")).unwrap();
    for arguments in [
        "verify -CAfile other.pem alias.pem",
        "verify -purpose sslserver -CAfile device-id.pem alias.pem",
        "verify -CAfile alias.pem possession.pem",
    ] {
        assert!(!openssl(directory.path(), arguments).status.success(), "{arguments}");
    }
}

#[test]
fn fields_read_as_written() {
    let directory = issue(SECRET);
    let alias = accepted(directory.path(), "x509 -in alias.pem -noout -text");
    for expected in [
        "Version: 3 (0x2)",
        "Subject: CN = az-c89346f8a1b2",
        "Issuer: CN = DeviceID-",
        "Not Before: Jan  1 00:00:00 2025 GMT",
        "Not After : Dec 31 23:59:59 9999 GMT",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "X509v3 Extended Key Usage: \n                TLS Web Client Authentication\n",
        "2.23.133.5.4.1: \n",
    ] {
        assert!(alias.contains(expected), "{expected:?} in\n{alias}");
    }
    let device_id = accepted(directory.path(), "x509 -in device-id.pem -noout -text");
    for expected in [
        "X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:0\n",
        "X509v3 Key Usage: critical\n                Certificate Sign\n",
    ] {
        assert!(device_id.contains(expected), "{expected:?} in\n{device_id}");
    }
    let identifiers = accepted(
        directory.path(),
        "x509 -in alias.pem -noout -ext subjectKeyIdentifier,authorityKeyIdentifier -subject -issuer",
    );
    let issuer = accepted(directory.path(), "x509 -in device-id.pem -noout -ext subjectKeyIdentifier");
    let issuer = issuer.lines().nth(1).unwrap().trim();
    assert!(identifiers.contains(issuer));
    assert!(identifiers.to_uppercase().contains(&format!("DEVICEID-{}", issuer.replace(':', ""))));
}

#[test]
fn requests_and_keys_are_taken() {
    let directory = issue(SECRET);
    for request in ["alias.csr", "device-id.csr"] {
        accepted(directory.path(), &format!("req -in {request} -verify -noout"));
    }
    let public = std::fs::read_to_string(directory.path().join("alias.pub")).unwrap();
    for key in ["alias.key", "alias-sec1.key"] {
        accepted(directory.path(), &format!("pkey -in {key} -check -noout"));
        assert_eq!(accepted(directory.path(), &format!("pkey -in {key} -pubout")), public);
    }
    assert_eq!(accepted(directory.path(), "x509 -in alias.pem -noout -pubkey"), public);
}

#[test]
fn a_ca_can_issue_the_device_id_certificate_from_the_request() {
    let directory = issue(SECRET);
    let path = directory.path();
    accepted(
        path,
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=Vendor \
         -addext keyUsage=critical,keyCertSign -keyout ca.key -out ca.pem",
    );
    accepted(
        path,
        "x509 -req -in device-id.csr -CA ca.pem -CAkey ca.key -copy_extensions copyall -out issued.pem",
    );
    let chain = "verify -x509_strict -purpose sslclient -CAfile ca.pem -untrusted issued.pem alias.pem";
    assert!(accepted(path, chain).contains("alias.pem: OK"));
}

#[test]
fn a_chain_of_layers_verifies_strictly() {
    let directory = tempfile::tempdir().unwrap();
    let info = FirmwareInfo::new("ACME", "Widget", "1.0.0", 7);
    let valid = Validity::NO_EXPIRY;
    let image = |image: &[u8]| FirmwareDigest::of(image).unwrap();
    let mut out = [0; 1024];
    let layer = Layer::from_uds(&Uds::from_bytes(SECRET).unwrap()).unwrap();
    write_pem(
        &directory,
        "root.pem",
        Label::Certificate,
        layer.device_id_certificate(valid, &mut out).unwrap(),
    );
    let (layer, certificate) = layer.next(&image(b"rom"), &info, valid, &mut out).unwrap();
    write_pem(&directory, "1.pem", Label::Certificate, certificate);
    let (layer, certificate) = layer.next(&image(b"loader"), &info, valid, &mut out).unwrap();
    write_pem(&directory, "2.pem", Label::Certificate, certificate);
    let mut leaf = Leaf::tls_client(RegistrationId::new("device").unwrap());
    leaf.ueid = Some(Ueid(&[1; 17]));
    leaf.freshness = Some(TcbFreshness(&[2; 16]));
    let (_, certificate) = layer.leaf(&image(b"application"), &info, &leaf, valid, &mut out).unwrap();
    write_pem(&directory, "leaf.pem", Label::Certificate, certificate);
    let chain =
        "verify -x509_strict -purpose sslclient -CAfile root.pem -untrusted 1.pem -untrusted 2.pem leaf.pem";
    assert!(accepted(directory.path(), chain).contains("leaf.pem: OK"));
    let gap = "verify -CAfile root.pem -untrusted 2.pem leaf.pem";
    assert!(!openssl(directory.path(), gap).status.success());
}

#[test]
fn stated_key_sizes_are_exact() {
    let key: SecretKey = SecretKey::from_scalar(dice_core::Secret::new([1; 32])).unwrap();
    let mut out = [0; 256];
    let sec1 = key.to_sec1_der(&mut out).unwrap().len();
    assert_eq!(sec1, SecretKey::<dice_core::key::DefaultBackend>::SEC1_DER_LEN);
    let pkcs8 = key.to_pkcs8_der(&mut out).unwrap().len();
    assert_eq!(pkcs8, SecretKey::<dice_core::key::DefaultBackend>::PKCS8_DER_LEN);
}
