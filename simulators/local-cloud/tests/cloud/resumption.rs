//! TLS sessions are not resumed, as with the service, unless that is asked for.

use std::sync::Arc;

use local_cloud::Config;
use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{Identity, connect_as, tls_config};
use crate::flow::start;

#[tokio::test]
async fn resumed_only_if_asked_for() {
    let identity = Identity::self_signed("my-device");
    for resumption in [false, true] {
        let cloud = start(Config { resumption, ..Config::default() }).await;
        for version in [&TLS12, &TLS13] {
            let client = Arc::new(tls_config(cloud.root_der(), Some(&identity), &[version]));
            let second = if resumption { HandshakeKind::Resumed } else { HandshakeKind::Full };
            for expected in [HandshakeKind::Full, second] {
                let mut stream = connect_as(client.clone(), cloud.hub_address(), "localhost").await.unwrap();
                // That is no packet, and ends the connection; a ticket comes before the end.
                stream.write_all(&[0; 2]).await.unwrap();
                let _ = stream.read_to_end(&mut Vec::new()).await;
                assert_eq!(stream.get_ref().1.handshake_kind(), Some(expected), "{resumption} {version:?}");
            }
        }
    }
}
