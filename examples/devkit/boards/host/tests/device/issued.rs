//! The identity whose key is in the secure chip, and whose certificate the provisioning service issues and the hub
//! renews.

use std::time::Duration;

use devkit_app::{End, Failure};
use local_cloud::{Config, Endpoint, Event, Handle, IssueKeys, LocalCloud, TlsVersion, TlsVersions};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::bench::{Bench, ID};
use crate::console::session;

/// A device on which `issued` was chosen, and the certificate that it is enrolled with.
async fn chosen() -> (Bench, Vec<u8>) {
    let mut bench = Bench::configured();
    (bench.options.renewal.percent, bench.options.renewal.spread_percent) = (5, 0);
    let shown = session(&bench, &["set_identity issued", "show", "cert", "set_identity issued"]).await;
    let words = "issued (key in the secure chip, certificate from DPS)";
    assert!(shown[0].contains("Set identity successfully") && shown[0].contains(words), "{shown:?}");
    assert!(shown[1].contains(&format!("Identity: {words}")), "{shown:?}");
    assert!(shown[2].contains(&format!("Identity: {words}")), "{shown:?}");
    assert!(shown[3].contains("already"), "{shown:?}");
    let certificate = CertificateDer::from_pem_slice(shown[2].as_bytes()).unwrap().to_vec();
    (bench, certificate)
}

async fn start(certificate: &[u8], config: Config) -> Handle {
    let cloud = LocalCloud::start(Config { assigning_polls: 0, ..config }).await.unwrap();
    let attestation = local_cloud::Attestation::certificate(certificate);
    cloud.enrollments().put_individual(local_cloud::Enrollment::new(ID, attestation));
    cloud
}

/// Over each TLS version: registered, connected with what was issued, renewed; the hub refuses the new certificate
/// once, the one before is shown again, and the next renewal succeeds.
#[tokio::test]
async fn certificates_are_issued_and_renewed() {
    let (bench, certificate) = chosen().await;
    for (tls, version) in [(TlsVersions::Tls12, TlsVersion::Tls12), (TlsVersions::Tls13, TlsVersion::Tls13)] {
        let issued_lifetime = Duration::from_secs(30);
        let config = Config { tls, issue_keys: IssueKeys::Any, issued_lifetime, ..Config::default() };
        let cloud = start(&certificate, config).await;
        let (mut board, mut user) = bench.online(&cloud);
        let mut events = cloud.events();
        let story = async {
            let (mut registered, mut issued, mut refused, mut connected) = (0, 0, 0, Vec::new());
            while issued < 2 || connected.len() < 3 {
                match events.next().await.unwrap() {
                    Event::Registered { .. } => registered += 1,
                    Event::CertificateIssued { .. } => issued += 1,
                    Event::Refused { .. } => refused += 1,
                    Event::Connected { tls, .. } => {
                        if connected.is_empty() {
                            cloud.faults().refuse_connects(Endpoint::Hub, 5, 1);
                        }
                        connected.push(tls);
                    }
                    _ => {}
                }
            }
            assert_eq!((registered, refused), (1, 1));
            assert!(connected.iter().all(|tls| *tls == version), "{connected:?}");
            for line in [
                "The provisioning service has issued a certificate",
                "The hub takes the certificate that was issued",
                "The hub has issued a certificate",
                "The hub refuses the new certificate",
                "The hub takes the certificate that was issued",
            ] {
                user.terminal.until(line).await.unwrap();
            }
            events.telemetry().await.unwrap();
        };
        bench.during(&mut board, story).await;
        cloud.stop().await;
    }
}

/// A service that issues certificates for keys on P-384 only, as its documentation says: the device says so, and ends.
#[tokio::test]
async fn a_service_that_wants_another_key_is_told_apart() {
    let (bench, certificate) = chosen().await;
    let cloud = start(&certificate, Config::default()).await;
    let (mut board, _user) = bench.online(&cloud);
    let End::Failed(failure) = bench.run(&mut board).await else { panic!("it goes on") };
    assert!(matches!(failure, Failure::Cloud(_)) && failure.to_string().contains("400"), "{failure}");
}
