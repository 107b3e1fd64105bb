//! What only one adapter has: Mbed TLS is one, embedded-tls has buffers.

use crate::adapter::Pipe;
use crate::pki::{self, Family, HOST, NOW};
use crate::rogue::{Fault, serve};
#[cfg(feature = "mbedtls")]
use azure_iot_tls::Identity;
use azure_iot_tls::{Error, Trust, Versions};
use embedded_io_adapters::tokio_1::FromTokio;

/// Lets `client` meet a server that does nothing wrong.
async fn meet(
    version: Versions,
    client: impl AsyncFnOnce(Pipe, &Trust<'_>) -> Option<Error>,
) -> Option<Error> {
    let server = pki::server(Family::P256);
    let (ours, theirs) = tokio::io::duplex(20_000);
    let roots = [server.root.as_slice()];
    let trust = Trust::new(HOST, &roots).unwrap().at(NOW);
    let client = client(FromTokio::new(ours), &trust);
    tokio::join!(client, serve(theirs, &server, version, Fault::Nothing)).0
}

#[cfg(feature = "mbedtls")]
#[tokio::test]
async fn there_is_one_mbedtls() {
    use azure_iot_tls::mbedtls::Stack;

    let _turn = crate::adapter::mbedtls_turn().await;
    let random: &'static mut rand::rngs::StdRng = Box::leak(Box::new(rand::make_rng()));
    let stack = Stack::new(random).unwrap();
    let other: &'static mut rand::rngs::StdRng = Box::leak(Box::new(rand::make_rng()));
    assert_eq!(Stack::new(other).unwrap_err(), Error::Busy);
    // Two connections, one after the other.
    for version in [Versions::Tls12, Versions::Tls13] {
        assert_eq!(
            meet(version, async |pipe, trust| stack.connect(pipe, trust, None::<&dyn Identity>).await.err())
                .await,
            None
        );
    }
}

#[cfg(feature = "embedded-tls")]
#[tokio::test]
async fn embedded_tls_with_less() {
    use azure_iot_tls::embedded_tls::{Buffers, connect};

    async fn verdict<const RX: usize, const TX: usize>(offered: Versions) -> Option<Error> {
        let mut buffers = Box::new(Buffers::<RX, TX>::new());
        let mut random: rand::rngs::StdRng = rand::make_rng();
        meet(Versions::Tls13, async |pipe, trust| {
            connect(pipe, &mut buffers, &trust.versions(offered), None, &mut random).await.err()
        })
        .await
    }
    assert_eq!(verdict::<2048, 1024>(Versions::Both).await, None);
    assert_eq!(verdict::<2048, 1024>(Versions::Tls12).await, Some(Error::Unsupported));
    assert_eq!(verdict::<512, 512>(Versions::Both).await, Some(Error::TooLong));
}
