//! Every adapter with servers that do everything right: both versions, every kind of chain, with a device's chain.

use crate::adapter::{Adapter, Device, each_adapter};
use crate::pki::{self, Family, HOST, NOW, Server};
use azure_iot_tls::{Alert, Error, Identity, IdentityError, Signature, Trust, Versions};
use embedded_io_adapters::tokio_1::FromTokio;
use p384::ecdsa::signature::hazmat::PrehashSigner as _;
use p384::pkcs8::DecodePrivateKey as _;
use rcgen::DnType;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_rustls::TlsAcceptor;

each_adapter!(
    mutual,
    client_refused,
    no_client_certificate,
    signer_fails,
    empty_chain,
    p384_key,
    much_data,
    cut_off,
    wrong_roots,
    azure_roots
);

/// A rustls server that asks for a client certificate below `clients` and gives back what it hears.
fn acceptor(server: &Server, version: Versions, clients: &[u8]) -> TlsAcceptor {
    acceptor_with(server, version, rustls::crypto::ring::ALL_CIPHER_SUITES, Some(clients))
}

/// The same with these cipher suites, and without a request for a certificate if there are no `clients`.
pub(crate) fn acceptor_with(
    server: &Server,
    version: Versions,
    suites: &[SupportedCipherSuite],
    clients: Option<&[u8]>,
) -> TlsAcceptor {
    let version: &'static SupportedProtocolVersion =
        if version == Versions::Tls12 { &rustls::version::TLS12 } else { &rustls::version::TLS13 };
    let provider =
        CryptoProvider { cipher_suites: suites.to_vec(), ..rustls::crypto::ring::default_provider() };
    let provider = Arc::new(provider);
    let verifier = clients.map(|clients| {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(clients)).unwrap();
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap()
    });
    let chain = server.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(verifier.unwrap_or_else(WebPkiClientVerifier::no_client_auth))
        .with_single_cert(chain, PrivatePkcs8KeyDer::from(server.key.clone()).into())
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Echoes until the client closes; gives what was received and the length of the client's chain.
pub(crate) async fn echo(acceptor: TlsAcceptor, pipe: DuplexStream) -> std::io::Result<(Vec<u8>, usize)> {
    let mut stream = acceptor.accept(pipe).await?;
    let chain = stream.get_ref().1.peer_certificates().map_or(0, <[_]>::len);
    let mut received = Vec::new();
    let mut buf = [0; 1000];
    loop {
        match stream.read(&mut buf).await? {
            0 => break,
            count => {
                received.extend_from_slice(&buf[..count]);
                stream.write_all(&buf[..count]).await?;
                stream.flush().await?;
            }
        }
    }
    Ok((received, chain))
}

async fn run(
    adapter: &impl Adapter,
    server: &Server,
    version: Versions,
    clients: &[u8],
    device: Device,
    request: &[u8],
) -> (Result<Vec<u8>, Error>, std::io::Result<(Vec<u8>, usize)>) {
    let (ours, theirs) = tokio::io::duplex(700);
    let acceptor = acceptor(server, version, clients);
    let roots = [server.root.as_slice()];
    let trust = Trust::new(HOST, &roots).unwrap().at(NOW);
    let client = async { adapter.talk(FromTokio::new(ours), &trust, device, request, request.len()).await };
    tokio::join!(client, echo(acceptor, theirs))
}

async fn mutual<A: Adapter>(adapter: &A) {
    for version in adapter_versions(adapter) {
        for family in Family::ALL {
            let device = pki::device();
            // Where only the leaf comes, the server has to know what signed it.
            let clients = if A::CLIENT_CHAIN { device.root.clone() } else { device.chain[1].clone() };
            let (answer, echoed) =
                run(adapter, &pki::server(family), version, &clients, Some(Arc::new(device)), b"hello").await;
            if family == Family::Rsa && !A::RSA {
                assert!(matches!(answer, Err(Error::Alert { .. })), "{version:?} {answer:?}");
                continue;
            }
            assert_eq!(answer.as_deref(), Ok(&b"hello"[..]), "{family:?} {version:?}");
            let (echoed, chain) = echoed.unwrap();
            assert_eq!((echoed.as_slice(), chain), (&b"hello"[..], 1 + usize::from(A::CLIENT_CHAIN)));
        }
    }
}

fn adapter_versions<A: Adapter>(_: &A) -> impl Iterator<Item = Versions> + use<A> {
    A::VERSIONS.iter().copied()
}

/// The server knows another root than the device's: one of another name, then one of the same name.
async fn client_refused<A: Adapter>(adapter: &A) {
    for version in adapter_versions(adapter) {
        let other_name = pki::server_with(Family::P256, 1, |_, params| {
            params.distinguished_name.push(DnType::CommonName, "Others");
        });
        for (clients, alert) in [(other_name.root, 48), (pki::device().root, 51)] {
            let device = Some(Arc::new(pki::device()) as _);
            let (answer, echoed) =
                run(adapter, &pki::server(Family::P256), version, &clients, device, b"hello").await;
            let expected = A::reports(version, Error::ClientRefused { alert: Alert(alert) });
            assert_eq!(answer, Err(expected), "{version:?}");
            assert!(echoed.is_err());
        }
    }
}

async fn no_client_certificate<A: Adapter>(adapter: &A) {
    for version in adapter_versions(adapter) {
        let (answer, _) =
            run(adapter, &pki::server(Family::P256), version, &pki::device().root, None, b"hello").await;
        let expected = A::reports(version, Error::ClientRefused { alert: Alert(116) });
        assert_eq!(answer, Err(expected), "{version:?}");
    }
}

async fn signer_fails<A: Adapter>(adapter: &A) {
    for version in adapter_versions(adapter) {
        let mut device = pki::device();
        device.broken = Some(IdentityError::Signer);
        let clients = device.root.clone();
        let (answer, echoed) =
            run(adapter, &pki::server(Family::P256), version, &clients, Some(Arc::new(device)), b"hello")
                .await;
        assert_eq!(answer, Err(Error::Identity(IdentityError::Signer)), "{version:?}");
        assert!(echoed.is_err());
    }
}

async fn empty_chain(adapter: &impl Adapter) {
    let mut device = pki::device();
    device.chain.clear();
    let clients = device.root.clone();
    let (answer, _) =
        run(adapter, &pki::server(Family::P256), Versions::Tls13, &clients, Some(Arc::new(device)), b"")
            .await;
    assert_eq!(answer, Err(Error::Identity(IdentityError::NoCertificate)));
}

/// A device whose key is on P-384.
struct P384Device {
    leaf: Vec<u8>,
    key: p384::ecdsa::SigningKey,
}

impl Identity for P384Device {
    fn certificate(&self, index: usize) -> Option<&[u8]> {
        (index == 0).then_some(&self.leaf)
    }

    fn sign(&self, _: &[u8; 32]) -> Result<Signature, IdentityError> {
        Err(IdentityError::Signer)
    }

    fn is_p384(&self) -> bool {
        true
    }

    fn sign_p384(&self, digest: &[u8; 48]) -> Result<[u8; 96], IdentityError> {
        let signature: p384::ecdsa::Signature = self.key.sign_prehash(digest).unwrap();
        Ok(signature.to_bytes().into())
    }
}

/// It works, or the device is told that it cannot: before anything is sent.
async fn p384_key<A: Adapter>(adapter: &A) {
    for version in adapter_versions(adapter) {
        let (params, key) = (rcgen::CertificateParams::default(), rcgen::KeyPair::generate().unwrap());
        let issuer = {
            let mut params = params.clone();
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            params.distinguished_name.push(DnType::CommonName, "devices");
            rcgen::CertifiedIssuer::self_signed(params, key).unwrap()
        };
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let leaf = params.signed_by(&key, &issuer).unwrap().der().to_vec();
        let key = p384::ecdsa::SigningKey::from_pkcs8_der(&key.serialize_der()).unwrap();
        let device = Arc::new(P384Device { leaf, key });
        let server = pki::server(Family::P256);
        let (answer, _) = run(adapter, &server, version, issuer.der(), Some(device), b"hello").await;
        let unsupported = Error::Identity(IdentityError::UnsupportedKey);
        let expected = if A::P384 { Ok(b"hello".to_vec()) } else { Err(unsupported) };
        assert_eq!(answer, expected, "{version:?}");
    }
    assert!(!Error::Identity(IdentityError::UnsupportedKey).is_retriable());
}

/// More than any buffer holds, both ways at once over a narrow pipe.
async fn much_data<A: Adapter>(adapter: &A) {
    let data: Vec<u8> = (0..40_000_u32).map(|n| n.to_le_bytes()[usize::from(n % 3 == 0)]).collect();
    for version in adapter_versions(adapter) {
        let device = pki::device();
        let clients = if A::CLIENT_CHAIN { device.root.clone() } else { device.chain[1].clone() };
        let server = pki::server(Family::P256);
        let (ours, theirs) = tokio::io::duplex(50_000);
        let roots = [server.root.as_slice()];
        let trust = Trust::new(HOST, &roots).unwrap().at(NOW);
        let client = adapter.talk(FromTokio::new(ours), &trust, Some(Arc::new(device)), &data, data.len());
        let (answer, echoed) = tokio::join!(client, echo(acceptor(&server, version, &clients), theirs));
        assert!(answer.unwrap() == data, "{version:?}");
        assert!(echoed.unwrap().0 == data);
    }
}

/// The server's side of the stream ends without a close notice.
async fn cut_off<A: Adapter>(adapter: &A) {
    for version in adapter_versions(adapter) {
        let device = pki::device();
        let server = pki::server(Family::P256);
        let clients = if A::CLIENT_CHAIN { &device.root } else { &device.chain[1] };
        let acceptor = acceptor(&server, version, clients);
        let (ours, theirs) = tokio::io::duplex(4000);
        let roots = [server.root.as_slice()];
        let trust = Trust::new(HOST, &roots).unwrap().at(NOW);
        let cut = async {
            let mut stream = acceptor.accept(theirs).await.unwrap();
            stream.write_all(b"half").await.unwrap();
            stream.flush().await.unwrap();
        };
        let client = adapter.talk(FromTokio::new(ours), &trust, Some(Arc::new(device)), b"", 100);
        let (answer, ()) = tokio::join!(client, cut);
        assert_eq!(answer, Err(Error::Truncated), "{version:?}");
    }
}

async fn wrong_roots(adapter: &impl Adapter) {
    let garbage: &[u8] = b"not a certificate";
    let server = pki::server(Family::P256);
    let roots = [server.root.as_slice(), garbage];
    let trust = Trust::new(HOST, &roots).unwrap().at(NOW);
    let (ours, _theirs) = tokio::io::duplex(4000);
    assert_eq!(adapter.talk(FromTokio::new(ours), &trust, None, b"", 0).await, Err(Error::Roots));
}

/// The roots that the crate brings can be read, together and alone; a server below none of them is refused.
async fn azure_roots<A: Adapter>(adapter: &A) {
    use azure_iot_tls::roots;

    let all = roots::ALL.map(|root| root.der);
    let server = pki::server(Family::P256);
    for roots in [&all[..], &roots::AZURE, &roots::AZURE_ECC, &all[..1], &all[1..2], &all[2..3], &all[3..]] {
        let (ours, theirs) = tokio::io::duplex(20_000);
        let trust = Trust::new(HOST, roots).unwrap().at(NOW);
        let acceptor = acceptor(&server, Versions::Tls13, &pki::device().root);
        let client = adapter.talk(FromTokio::new(ours), &trust, None, b"", 0);
        let (answer, _) = tokio::join!(client, echo(acceptor, theirs));
        assert_eq!(answer, Err(Error::UnknownCa));
    }
}
