//! Against mosquitto over TLS 1.3, both sides with certificates: the broker takes the device's name from its
//! certificate.
//!
//! Needs the program `mosquitto`, see `mosquitto.rs`.

#[path = "../../azure-iot-tls/tests/tls/pki.rs"]
#[allow(dead_code)] // the tests of the adapters use the rest
mod pki;

use azure_iot_tls::{Trust, Versions, rustls};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use embassy_time::{Duration, with_timeout};
use iothub_mqtt::session::{Options, Session};
use iothub_mqtt::translate::Connect;
use iothub_mqtt::{Client, ClientOptions, Endpoint, HubEvent, Telemetry};
use iothub_mqtt_test_support::Broker;
use pki::{Family, HOST, NOW};
use std::sync::Arc;

fn pem<'a>(label: &str, documents: impl IntoIterator<Item = &'a Vec<u8>>) -> String {
    let one =
        |der| format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64_STANDARD.encode(der));
    documents.into_iter().map(one).collect()
}

async fn device_and_broker(version: Versions, broker_version: &str) {
    let (server, device) = (pki::server(Family::P256), pki::device());
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("server.pem"), pem("CERTIFICATE", &server.chain)).unwrap();
    std::fs::write(path("server.key"), pem("PRIVATE KEY", [&server.key])).unwrap();
    std::fs::write(path("clients.pem"), pem("CERTIFICATE", [&device.root])).unwrap();
    let config = format!(
        "cafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\nuse_identity_as_username true\n\
         tls_version {broker_version}",
        path("clients.pem").display(),
        path("server.pem").display(),
        path("server.key").display(),
    );
    let broker = Broker::start_in(folder, &config).await;

    let roots = [server.root.as_slice()];
    let trust = Trust::new(HOST, &roots).unwrap().at(NOW).versions(version);
    let tls = rustls::connect(broker.connect().await, &trust, Some(Arc::new(device))).await.unwrap();
    assert_eq!(tls.is_tls13(), version == Versions::Tls13);
    let endpoint = Endpoint::new(HOST, "device-1").unwrap();
    let connect = Connect {
        client_id: "device-1",
        user_name: "hub/device-1/?api-version=2021-04-12",
        password: None,
        will: None,
    };
    let (mut rx, mut tx) = (vec![0; 4096], vec![0; 4096]);
    let mut session: Session = Session::new(Options::default(), &mut rx, &mut tx);
    let link = session.connect(tls, &connect).await.unwrap();
    let options = ClientOptions { methods: false, twin: false, ..ClientOptions::new(1) };
    let mut client: Client<'_, _> = Client::new(link, endpoint, options);
    client.start().await.unwrap();
    let mut delivered = 0;
    let payload = vec![b'x'; 3000];
    while delivered < 3 {
        let polled = with_timeout(Duration::from_secs(10), client.poll()).await.expect("no event").unwrap();
        match polled {
            Some(HubEvent::Connected) => drop(client.send(&Telemetry::new(&payload)).await.unwrap()),
            Some(HubEvent::Delivered(_)) => {
                delivered += 1;
                client.send(&Telemetry::new(&payload)).await.unwrap();
            }
            Some(other) => panic!("{other:?}"),
            None => {}
        }
    }
    client.disconnect().await.unwrap();
    drop(client);
    // The user's name is the certificate's.
    broker.logged("as device-1 (p2, c0, k240, u'device-1')").await;

    // Without a certificate there is no connection.
    let tls = rustls::connect(broker.connect().await, &trust, None).await;
    match tls {
        Err(error) => assert_eq!(version, Versions::Tls12, "{error}"),
        // In TLS 1.3 the server judges after the handshake.
        Ok(tls) => {
            let error = session.connect(tls, &connect).await.unwrap_err();
            assert!(error.is_retriable() && version == Versions::Tls13, "{error}");
        }
    }
}

#[tokio::test]
async fn tls_1_3_with_client_certificate() {
    device_and_broker(Versions::Tls13, "tlsv1.3").await;
}

#[tokio::test]
async fn tls_1_2_with_client_certificate() {
    device_and_broker(Versions::Tls12, "tlsv1.2").await;
}
