//! Keys that are somewhere else: signatures that are awaited, fail, never come, or are somebody else's.

use crate::adapter::{Adapter, each_adapter};
use crate::good::{acceptor_with, echo};
use crate::pki::{self, Family, HOST, NOW, Server};
use azure_iot_tls::{Alert, AsyncIdentity, AsyncSigner, Awaited, ChainIdentity, Error, IdentityError};
use azure_iot_tls::{PrehashKey, Signature, Signer, Trust, Versions, psa};
use embedded_io_adapters::tokio_1::FromTokio;
use p256::ecdsa::signature::hazmat::{AsyncPrehashSigner, PrehashSigner};
use p256::ecdsa::{self, SigningKey};
use rustls::SupportedCipherSuite;
use rustls::crypto::ring::cipher_suite;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

each_adapter!(awaited, not_asked, fails_once, another_key, through_signature, through_psa);

/// rustls keeps what it is given.
fn leaked<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// What the key does, one after the other; in the end it signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Fails(IdentityError),
    OtherKey,
    Never,
}

/// A device whose key takes its time.
pub(crate) struct Slow {
    device: pki::Device,
    turns: Mutex<VecDeque<Turn>>,
    asked: AtomicU32,
}

impl Slow {
    fn new(turns: impl Into<VecDeque<Turn>>) -> &'static Self {
        leaked(Self { device: pki::device(), turns: Mutex::new(turns.into()), asked: AtomicU32::new(0) })
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }
}

impl AsyncIdentity for Slow {
    fn certificate(&self, index: usize) -> Option<&[u8]> {
        self.device.chain.get(index).map(Vec::as_slice)
    }

    async fn sign(&self, digest: &[u8; 32]) -> Result<Signature, IdentityError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        let turn = self.turns.lock().unwrap().pop_front();
        match turn {
            None => azure_iot_tls::Identity::sign(&self.device, digest),
            Some(Turn::Fails(cause)) => Err(cause),
            Some(Turn::OtherKey) => azure_iot_tls::Identity::sign(&pki::device(), digest),
            Some(Turn::Never) => std::future::pending().await,
        }
    }
}

/// Lets the device meet a good server; returns the answer that the device got, and what the server saw.
async fn meet<A: Adapter>(
    adapter: &A,
    server: &Server,
    (version, suites): (Versions, &[SupportedCipherSuite]),
    (clients, device): (Option<&[u8]>, &'static (impl AsyncIdentity + Sync)),
) -> (Result<Vec<u8>, Error>, std::io::Result<(Vec<u8>, usize)>) {
    let (ours, theirs) = tokio::io::duplex(700);
    let acceptor = acceptor_with(server, version, suites, clients);
    let roots = [server.root.as_slice()];
    let trust = Trust::new(HOST, &roots).unwrap().at(NOW);
    let client = async { adapter.talk_external(FromTokio::new(ours), &trust, device, b"hello", 5).await };
    // A server that was left waiting would never end.
    let echo = async { tokio::time::timeout(Duration::from_secs(20), echo(acceptor, theirs)).await.unwrap() };
    tokio::join!(client, echo)
}

fn authority<A: Adapter>(device: &pki::Device) -> &[u8] {
    if A::CLIENT_CHAIN { &device.root } else { &device.chain[1] }
}

/// Cipher suites with either hash, which decides what is signed.
const SUITES: [&[SupportedCipherSuite]; 2] = [
    &[
        cipher_suite::TLS13_AES_128_GCM_SHA256,
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ],
    &[
        cipher_suite::TLS13_AES_256_GCM_SHA384,
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ],
];

async fn awaited<A: Adapter>(adapter: &A) {
    for version in A::VERSIONS {
        for family in [Family::P256, Family::Rsa] {
            for suites in SUITES.iter().take(if A::RSA { 2 } else { 1 }) {
                if family == Family::Rsa && !A::RSA {
                    continue;
                }
                let slow = Slow::new([]);
                let clients = Some(authority::<A>(&slow.device));
                let (answer, echoed) =
                    meet(adapter, &pki::server(family), (*version, suites), (clients, slow)).await;
                assert_eq!(answer.as_deref(), Ok(&b"hello"[..]), "{version:?} {family:?} {suites:?}");
                assert_eq!(echoed.unwrap().1, 1 + usize::from(A::CLIENT_CHAIN));
                assert_eq!(slow.asked(), 1);
            }
        }
    }
}

/// A server that wants no certificate costs no signature.
async fn not_asked<A: Adapter>(adapter: &A) {
    for version in A::VERSIONS {
        let slow = Slow::new([]);
        let (answer, _) =
            meet(adapter, &pki::server(Family::P256), (*version, SUITES[0]), (None, slow)).await;
        assert_eq!((answer.as_deref(), slow.asked()), (Ok(&b"hello"[..]), 0), "{version:?}");
    }
}

/// The handshake ends for both, and the next one succeeds with the same identity.
async fn fails_once<A: Adapter>(adapter: &A) {
    for version in A::VERSIONS {
        for cause in [IdentityError::Signer, IdentityError::KeyUnusable] {
            let slow = Slow::new([Turn::Fails(cause)]);
            let clients = Some(authority::<A>(&slow.device));
            let server = pki::server(Family::P256);
            let (answer, echoed) = meet(adapter, &server, (*version, SUITES[0]), (clients, slow)).await;
            let error = answer.unwrap_err();
            assert_eq!(error, Error::Identity(cause));
            assert_eq!(error.is_retriable(), cause == IdentityError::Signer);
            assert!(echoed.is_err(), "{version:?}");
            let (answer, echoed) = meet(adapter, &server, (*version, SUITES[0]), (clients, slow)).await;
            assert_eq!((answer.as_deref(), echoed.is_ok()), (Ok(&b"hello"[..]), true), "{version:?}");
        }
    }
}

/// A signature of another key is refused by the server.
async fn another_key<A: Adapter>(adapter: &A) {
    for version in A::VERSIONS {
        let slow = Slow::new([Turn::OtherKey]);
        let clients = Some(authority::<A>(&slow.device));
        let (answer, echoed) =
            meet(adapter, &pki::server(Family::P256), (*version, SUITES[0]), (clients, slow)).await;
        let expected = A::reports(*version, Error::ClientRefused { alert: Alert(51) });
        assert_eq!(answer, Err(expected), "{version:?}");
        assert!(echoed.is_err());
    }
}

/// A key of the crate `signature`, which signs at once or in its own time.
struct Key(SigningKey);

impl PrehashSigner<ecdsa::Signature> for Key {
    fn sign_prehash(&self, prehash: &[u8]) -> Result<ecdsa::Signature, ecdsa::signature::Error> {
        self.0.sign_prehash(prehash)
    }
}

impl AsyncPrehashSigner<ecdsa::Signature> for Key {
    async fn sign_prehash_async(&self, prehash: &[u8]) -> Result<ecdsa::Signature, ecdsa::signature::Error> {
        tokio::task::yield_now().await;
        self.0.sign_prehash(prehash)
    }
}

async fn connects<A: Adapter>(
    adapter: &A,
    clients: Option<&[u8]>,
    identity: &'static (impl AsyncIdentity + Sync),
) {
    for version in A::VERSIONS {
        let server = pki::server(Family::P256);
        let (answer, _) = meet(adapter, &server, (*version, SUITES[0]), (clients, identity)).await;
        assert_eq!(answer.as_deref(), Ok(&b"hello"[..]), "{version:?}");
    }
}

async fn through_signature<A: Adapter>(adapter: &A) {
    let device = pki::device();
    let chain: Vec<&[u8]> = device.chain.iter().map(Vec::as_slice).collect();
    let key = || PrehashKey(Key(SigningKey::from(&device.key)));
    let awaited = ChainIdentity::<Awaited<_>, 4096>::new(&chain, Awaited(key())).unwrap();
    connects(adapter, Some(authority::<A>(&device)), leaked(awaited)).await;
    let at_once = ChainIdentity::<PrehashKey<Key>, 4096>::new(&chain, key()).unwrap();
    connects(adapter, Some(authority::<A>(&device)), leaked(at_once)).await;
}

/// A platform with the PSA Crypto API, which has one key.
struct Platform {
    key: SigningKey,
    aborted: AtomicU32,
    status: Mutex<Option<psa::Status>>,
}

const KEY_ID: psa::KeyId = 7;

impl Platform {
    fn new(device: &pki::Device) -> &'static Self {
        leaked(Self {
            key: SigningKey::from(&device.key),
            aborted: AtomicU32::new(0),
            status: Mutex::new(None),
        })
    }

    fn aborted(&self) -> usize {
        usize::try_from(self.aborted.load(Ordering::Relaxed)).unwrap()
    }
}

impl psa::Psa for &'static Platform {
    fn sign_hash(
        &self,
        key: psa::KeyId,
        algorithm: psa::Algorithm,
        hash: &[u8],
        signature: &mut [u8],
    ) -> Result<usize, psa::Status> {
        if let Some(status) = *self.status.lock().unwrap() {
            return Err(status);
        }
        if key != KEY_ID || algorithm != psa::ECDSA_SHA_256 || hash.len() != 32 {
            return Err(psa::Status::DOES_NOT_EXIST);
        }
        let signed: ecdsa::Signature = self.key.sign_prehash(hash).unwrap();
        signature.copy_from_slice(&signed.to_bytes());
        Ok(signature.len())
    }
}

impl psa::PsaInterruptible for &'static Platform {
    type Operation = (u32, Vec<u8>);

    fn start(
        &self,
        operation: &mut Self::Operation,
        key: psa::KeyId,
        algorithm: psa::Algorithm,
        hash: &[u8],
    ) -> Result<(), psa::Status> {
        let mut signature = vec![0; 64];
        psa::Psa::sign_hash(self, key, algorithm, hash, &mut signature)?;
        *operation = (30, signature);
        Ok(())
    }

    fn complete(&self, operation: &mut Self::Operation, out: &mut [u8]) -> Result<usize, psa::Status> {
        if operation.0 > 0 {
            operation.0 -= 1;
            return Err(psa::Status::OPERATION_INCOMPLETE);
        }
        out.copy_from_slice(&operation.1);
        Ok(out.len())
    }

    fn abort(&self, operation: &mut Self::Operation) {
        *operation = Self::Operation::default();
        self.aborted.fetch_add(1, Ordering::Relaxed);
    }
}

async fn through_psa<A: Adapter>(adapter: &A) {
    let device = pki::device();
    let chain: Vec<&[u8]> = device.chain.iter().map(Vec::as_slice).collect();
    let platform = Platform::new(&device);
    let key = psa::PsaKey::new(platform, KEY_ID);
    let in_pieces = ChainIdentity::<Awaited<_>, 4096>::new(&chain, Awaited(key)).unwrap();
    connects(adapter, Some(authority::<A>(&device)), leaked(in_pieces)).await;
    let at_once = ChainIdentity::<psa::PsaKey<_>, 4096>::new(&chain, key).unwrap();
    connects(adapter, Some(authority::<A>(&device)), leaked(at_once)).await;
    assert_eq!(platform.aborted(), A::VERSIONS.len());
}

#[tokio::test]
async fn what_psa_refuses_for_good_is_not_retriable() {
    let platform = Platform::new(&pki::device());
    let refused = |id, status| {
        *platform.status.lock().unwrap() = status;
        let key = psa::PsaKey::new(platform, id);
        let refused = Signer::sign(&key, &[1; 32]).unwrap_err();
        (refused, Error::Identity(refused).is_retriable())
    };
    assert_eq!(refused(8, None), (IdentityError::KeyUnusable, false));
    let hardware_failure = psa::Status(-147);
    assert_eq!(refused(KEY_ID, Some(hardware_failure)), (IdentityError::Signer, true));
    *platform.status.lock().unwrap() = None;
    // A future that is dropped ends its operation.
    let key = psa::PsaKey::new(platform, KEY_ID);
    let begun = tokio::time::timeout(Duration::ZERO, AsyncSigner::sign(&key, &[1; 32])).await;
    assert!(begun.is_err() && platform.aborted() == 1);
}

/// Mbed TLS's handshake stands still while the signature is made, and nothing else does: the key waits for a task that
/// runs beside the handshake. And a handshake that is dropped there leaves no server waiting.
#[cfg(feature = "mbedtls")]
#[tokio::test]
async fn others_run_while_mbedtls_waits() {
    use crate::adapter::{Mbedtls, mbedtls_turn};
    use tokio::sync::Notify;

    static ASKED: Notify = Notify::const_new();
    static DONE: Notify = Notify::const_new();
    let _turn = mbedtls_turn().await;
    for version in Mbedtls::VERSIONS {
        let device = leaked(pki::device());
        let sign = async |digest: &[u8; 32]| {
            ASKED.notify_one();
            DONE.notified().await;
            azure_iot_tls::Identity::sign(device, digest)
        };
        let chain: Vec<&[u8]> = device.chain.iter().map(Vec::as_slice).collect();
        let identity = ChainIdentity::<Awaited<_>, 4096>::new(&chain, Awaited(sign)).unwrap();
        let server = pki::server(Family::P256);
        let met = meet(&Mbedtls, &server, (*version, SUITES[0]), (Some(&device.root), leaked(identity)));
        let helper = async {
            ASKED.notified().await;
            DONE.notify_one();
        };
        assert_eq!(tokio::join!(met, helper).0.0.as_deref(), Ok(&b"hello"[..]));

        let slow = Slow::new([Turn::Never]);
        let (ours, theirs) = tokio::io::duplex(700);
        let roots = [server.root.as_slice()];
        let trust = Trust::new(HOST, &roots).unwrap().at(NOW);
        let client = Mbedtls.talk_external(FromTokio::new(ours), &trust, slow, b"hello", 5);
        let dropped = tokio::time::timeout(Duration::from_millis(300), client);
        let acceptor = acceptor_with(&server, *version, SUITES[0], Some(&slow.device.root));
        let (dropped, echoed) = tokio::join!(dropped, echo(acceptor, theirs));
        assert!(dropped.is_err() && echoed.is_err() && slow.asked() == 1, "{version:?}");
    }
}
