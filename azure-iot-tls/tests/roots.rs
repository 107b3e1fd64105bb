//! The roots that the crate brings are what they say they are.

use azure_iot_tls::roots;
use ring::digest::{SHA256, digest};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

#[test]
fn fingerprints() {
    for root in roots::ALL {
        assert_eq!(digest(&SHA256, root.der).as_ref(), root.sha256, "{}", root.name);
    }
    // As published, in the authorities' own spelling.
    let published =
        "CB:3C:CB:B7:60:31:E5:E0:13:8F:8D:D3:9A:23:F9:DE:47:FF:C3:5E:43:C1:14:4C:EA:27:D4:6A:5A:B1:CB:5F";
    let own = roots::DIGICERT_GLOBAL_ROOT_G2.sha256.map(|byte| format!("{byte:02X}")).join(":");
    assert_eq!(own, published);
}

#[test]
fn mozilla_trusts_them() {
    for root in roots::ALL {
        let found = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().any(|der| der.as_ref() == root.der);
        assert!(found, "{}", root.name);
    }
}

#[test]
fn they_are_what_their_names_say() {
    for root in roots::ALL {
        assert!(root.der.windows(root.name.len()).any(|part| part == root.name.as_bytes()), "{}", root.name);
        RootCertStore::empty().add(CertificateDer::from(root.der)).unwrap();
    }
    assert_eq!(roots::AZURE, [roots::ALL[0].der, roots::ALL[1].der]);
    assert_eq!(roots::AZURE_ECC, [roots::ALL[2].der, roots::ALL[3].der]);
}
