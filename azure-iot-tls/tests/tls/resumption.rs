//! Connections that go on with the session of an earlier one, and those that must not.

use crate::adapter::{exchange, mbedtls_turn};
use crate::good::acceptor_with;
use crate::pki::{self, Device, Family, HOST, NOW, Server};
use crate::rogue::{Fault, serve as serve_rogue};
use azure_iot_tls::mbedtls::{SessionCache, Stack};
use azure_iot_tls::{Error, IdentityError, Signed, Trust, Versions};
use embedded_io_adapters::tokio_1::FromTokio;
use embedded_io_async::{Read, Write};
use rustls::crypto::ring::cipher_suite::{TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS13_AES_128_GCM_SHA256};
use rustls::{HandshakeKind, ServerConfig, crypto::ring::Ticketer};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_rustls::TlsAcceptor;

const VERSIONS: [Versions; 2] = [Versions::Tls12, Versions::Tls13];
/// What is wrong with a chain to a root of the same name.
const OTHER_ROOT: Error = Error::BadSignature(Signed::Certificate);
const DAY: u64 = 24 * 60 * 60;

fn stack() -> Stack {
    Stack::new(Box::leak(Box::new(rand::make_rng::<rand::rngs::StdRng>()))).unwrap()
}

/// A server that wants a device's certificate, and resumes by tickets, or by what it remembers.
fn acceptor(server: &Server, version: Versions, device: &Device, tickets: bool) -> TlsAcceptor {
    let suites = [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS13_AES_128_GCM_SHA256];
    let acceptor = acceptor_with(server, version, &suites, Some(&device.root));
    if !tickets {
        return acceptor;
    }
    let mut config = ServerConfig::clone(acceptor.config());
    config.ticketer = Ticketer::new().unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Echoes five bytes; gives whether a session was resumed, and the length of the device's chain.
async fn serve(acceptor: &TlsAcceptor, pipe: DuplexStream) -> std::io::Result<(bool, usize)> {
    let mut stream = acceptor.accept(pipe).await?;
    let mut bytes = [0; 5];
    stream.read_exact(&mut bytes).await?;
    stream.write_all(&bytes).await?;
    stream.flush().await?;
    let connection = stream.get_ref().1;
    let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
    let chain = connection.peer_certificates().map_or(0, <[_]>::len);
    stream.read_u8().await.expect_err("the client closes");
    Ok((resumed, chain))
}

/// A device's side of all connections of a test.
struct Client<'a> {
    stack: &'a Stack,
    cache: &'a SessionCache,
}

impl Client<'_> {
    async fn talk(&self, pipe: DuplexStream, trust: &Trust<'_>, device: &Device) -> Result<bool, Error> {
        let pipe = FromTokio::new(pipe);
        let mut stream = self.stack.connect_or_resume(pipe, trust, Some(device), self.cache).await?;
        let resumed = stream.is_resumed();
        assert_eq!(exchange(&mut stream, b"hello", 5).await?, b"hello");
        stream.close().await?;
        Ok(resumed)
    }

    /// One connection: whether it was resumed, which both sides see in the same way.
    async fn meet(&self, acceptor: &TlsAcceptor, trust: &Trust<'_>, device: &Device) -> Result<bool, Error> {
        let (ours, theirs) = tokio::io::duplex(20_000);
        let (answer, served) = tokio::join!(self.talk(ours, trust, device), serve(acceptor, theirs));
        let resumed = answer?;
        assert_eq!(served.unwrap(), (resumed, device.chain.len()));
        Ok(resumed)
    }

    async fn meet_rogue(
        &self,
        server: &Server,
        version: Versions,
        fault: Fault,
        trust: &Trust<'_>,
        device: &Device,
    ) -> Result<bool, Error> {
        let (ours, theirs) = tokio::io::duplex(20_000);
        tokio::join!(self.talk(ours, trust, device), serve_rogue(theirs, server, version, fault)).0
    }
}

#[tokio::test]
async fn resumed_by_tickets_and_by_what_the_server_remembers() {
    let _turn = mbedtls_turn().await;
    let (stack, server, mut device) = (stack(), pki::server(Family::P256), pki::device());
    let roots = [server.root.as_slice()];
    for (version, tickets) in VERSIONS.into_iter().flat_map(|version| [(version, true), (version, false)]) {
        let cache = SessionCache::new();
        let client = Client { stack: &stack, cache: &cache };
        let acceptor = acceptor(&server, version, &device, tickets);
        let trust = Trust::new(HOST, &roots).unwrap().at(NOW);
        device.broken = None;
        assert_eq!(client.meet(&acceptor, &trust, &device).await, Ok(false), "{version:?} {tickets}");
        // The device's key is not needed.
        device.broken = Some(IdentityError::Signer);
        for hours in 1..4 {
            let trust = trust.at(NOW + hours * 3600);
            assert_eq!(client.meet(&acceptor, &trust, &device).await, Ok(true), "{version:?} {tickets}");
        }
        cache.clear();
        let outcome = client.meet(&acceptor, &trust, &device).await;
        assert_eq!(outcome, Err(IdentityError::Signer.into()), "{version:?} {tickets}");
    }
}

/// Each change by itself: there is a full handshake, and the session is gone after it, too.
#[tokio::test]
async fn not_under_anything_else() {
    let _turn = mbedtls_turn().await;
    let (stack, server, device) = (stack(), pki::server(Family::P256), pki::device());
    let others = pki::server(Family::P256);
    let mut other_device = pki::device();
    other_device.chain.truncate(1);
    let (roots, more_roots) = ([server.root.as_slice()], [server.root.as_slice(), &others.root]);
    let other_roots = [others.root.as_slice()];
    for version in VERSIONS {
        let acceptor = acceptor(&server, version, &device, true);
        let trust = Trust::new(HOST, &roots).unwrap().at(NOW);
        let with = |host, roots| Trust::new(host, roots).unwrap().at(NOW);
        // What is changed, what comes of that connection, and whether the next one under the first trust is resumed.
        for (index, (changed, expected, next)) in [
            (with("a.other.example", &roots[..]), Ok(false), true),
            (with("a.elsewhere.example", &roots), Err(Error::WrongHost), true),
            (with(HOST, &more_roots), Ok(false), false),
            (with(HOST, &other_roots), Err(OTHER_ROOT), false),
            (trust.versions(version), Ok(false), false),
            (trust.at(NOW + DAY), Ok(false), false),
            (trust.at(NOW - 1), Ok(false), true), // a new session, which counts a second later
            (trust.at(1_800_000_000), Err(Error::Expired), false),
            (Trust::new(HOST, &roots).unwrap(), Ok(false), false),
        ]
        .into_iter()
        .enumerate()
        {
            let cache = SessionCache::new();
            let client = Client { stack: &stack, cache: &cache };
            assert_eq!(client.meet(&acceptor, &trust, &device).await, Ok(false), "{version:?} {index}");
            assert_eq!(client.meet(&acceptor, &changed, &device).await, expected, "{version:?} {index}");
            assert_eq!(client.meet(&acceptor, &trust, &device).await, Ok(next), "{version:?} {index}");
        }
        let cache = SessionCache::new();
        let client = Client { stack: &stack, cache: &cache };
        assert_eq!(client.meet(&acceptor, &trust, &device).await, Ok(false));
        let outcome = client.meet(&acceptor, &trust, &other_device).await;
        assert!(!outcome.is_ok_and(|resumed| resumed), "{version:?}: another device");
    }
}

/// However often a session goes on, the server shows its certificates anew after seven days, in TLS 1.2 after one.
#[tokio::test]
async fn not_for_ever() {
    let _turn = mbedtls_turn().await;
    let (stack, server, device) = (stack(), pki::server(Family::P256), pki::device());
    let roots = [server.root.as_slice()];
    for (version, days) in VERSIONS.into_iter().zip([1, 7]) {
        let cache = SessionCache::new();
        let client = Client { stack: &stack, cache: &cache };
        // Remembered sessions: no lifetime is stated in TLS 1.2, a day in 1.3.
        let acceptor = acceptor(&server, version, &device, false);
        for quarter in 0..=4 * days {
            let trust = Trust::new(HOST, &roots).unwrap().at(NOW + quarter * DAY / 4);
            let resumed = client.meet(&acceptor, &trust, &device).await;
            assert_eq!(resumed, Ok(!quarter.is_multiple_of(4 * days)), "{version:?} {quarter}");
        }
    }
}

/// Nor after the server's certificate has expired.
#[tokio::test]
async fn not_longer_than_the_certificate() {
    let _turn = mbedtls_turn().await;
    let (stack, device) = (stack(), pki::device());
    let server = pki::server_with(Family::P256, 2, |level, params| {
        if level == 2 {
            params.not_after = rcgen::date_time_ymd(2026, 6, 16);
        }
    });
    let roots = [server.root.as_slice()];
    for version in VERSIONS {
        let cache = SessionCache::new();
        let client = Client { stack: &stack, cache: &cache };
        let acceptor = acceptor(&server, version, &device, true);
        for (before, expected) in [(20, Ok(false)), (10, Ok(true)), (-10, Err(Error::Expired))] {
            let trust = Trust::new(HOST, &roots).unwrap().at((NOW + DAY).saturating_add_signed(-before));
            assert_eq!(client.meet(&acceptor, &trust, &device).await, expected, "{version:?} {before}");
        }
    }
}

#[tokio::test]
async fn the_last_two_hosts() {
    let _turn = mbedtls_turn().await;
    let (stack, server, device) = (stack(), pki::server(Family::P256), pki::device());
    let roots = [server.root.as_slice()];
    let cache = SessionCache::new();
    let client = Client { stack: &stack, cache: &cache };
    let acceptor = acceptor(&server, Versions::Tls13, &device, true);
    let hosts = ["a.other.example", "b.other.example", "c.other.example"];
    for (index, expected) in [(0, false), (1, false), (0, true), (1, true), (2, false), (2, true)] {
        let trust = Trust::new(hosts[index], &roots).unwrap().at(NOW);
        assert_eq!(client.meet(&acceptor, &trust, &device).await, Ok(expected), "{index}");
    }
}

/// To another server a ticket is garbage: it has to show its certificates, and they are judged.
#[tokio::test]
async fn another_server() {
    let _turn = mbedtls_turn().await;
    let (stack, server, device) = (stack(), pki::server(Family::P256), pki::device());
    let roots = [server.root.as_slice()];
    let trust = Trust::new(HOST, &roots).unwrap().at(NOW);
    let others = pki::server(Family::P256);
    for (version, other) in VERSIONS.into_iter().zip([Versions::Tls13, Versions::Tls12]) {
        let server_with = |server, version| acceptor(server, version, &device, true);
        let right = server_with(&server, version);
        let again = server_with(&server, version);
        let forged = server_with(&others, version);
        let changed = server_with(&server, other);
        for (next, first, second) in [
            (&right, Ok(true), Ok(true)),
            (&again, Ok(false), Ok(true)),
            (&forged, Err(OTHER_ROOT), Err(OTHER_ROOT)),
            (&changed, Err(Error::NotResumed), Ok(false)),
        ] {
            let cache = SessionCache::new();
            let client = Client { stack: &stack, cache: &cache };
            assert_eq!(client.meet(&right, &trust, &device).await, Ok(false), "{version:?}");
            assert_eq!(client.meet(next, &trust, &device).await, first, "{version:?}");
            assert_eq!(client.meet(next, &trust, &device).await, second, "{version:?}");
        }
    }
}

/// A server that says that it goes on with the session, and does not know its secret; or with a session that there
/// never was.
#[tokio::test]
async fn claimed_session() {
    let _turn = mbedtls_turn().await;
    let (stack, server, device) = (stack(), pki::server(Family::P256), pki::device());
    let roots = [server.root.as_slice()];
    let trust = Trust::new(HOST, &roots).unwrap().at(NOW);
    let forged = pki::server(Family::P256);
    for version in VERSIONS {
        for known in [true, false] {
            let cache = SessionCache::new();
            let client = Client { stack: &stack, cache: &cache };
            if known {
                let acceptor = acceptor(&server, version, &device, true);
                assert_eq!(client.meet(&acceptor, &trust, &device).await, Ok(false));
            }
            let outcome = client.meet_rogue(&forged, version, Fault::ClaimsSession, &trust, &device).await;
            let error = outcome.expect_err("nobody who was authenticated");
            assert!(!known || error.is_retriable(), "{version:?}: {error:?}");
        }
    }
}

/// Tickets that are none, or too long to be kept, or not to be used (TLS 1.3).
#[tokio::test]
async fn odd_tickets() {
    const LONG: &[u8] = &{
        let mut body = [7; 13 + 4000];
        let head = [0, 0, 0x0e, 0x10, 0, 0, 0, 0, 0, 0x0f, 0xa0];
        let mut at = 0;
        while at < head.len() {
            body[at] = head[at];
            at += 1;
        }
        (body[4011], body[4012]) = (0, 0);
        body
    };
    let _turn = mbedtls_turn().await;
    let (stack, server, device) = (stack(), pki::server(Family::P256), pki::device());
    let roots = [server.root.as_slice()];
    let trust = Trust::new(HOST, &roots).unwrap().at(NOW);
    let acceptor = acceptor(&server, Versions::Tls13, &device, true);
    for (body, expected) in [
        (&[0, 0, 0x0e, 0x10, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3, 0, 0][..], Some(Ok(false))), // a good one
        (LONG, Some(Ok(false))),
        (&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3, 0, 0], Some(Ok(false))), // no time to live
        (&[0, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3, 0, 0], None),         // more than seven days
        (&[0, 0, 0x0e, 0x10, 0, 0, 0, 0, 0, 0, 9, 1, 2, 3, 0, 0], None),      // torn
        (&[0, 0, 0x0e, 0x10, 0, 0, 0, 0, 9], None),
        (&[], None),
    ] {
        let cache = SessionCache::new();
        let client = Client { stack: &stack, cache: &cache };
        let fault = Fault::LateTicket(body);
        let outcome = client.meet_rogue(&server, Versions::Tls13, fault, &trust, &device).await;
        match expected {
            Some(expected) => assert_eq!(outcome, expected, "{body:?}"),
            None => assert!(outcome.is_err(), "{body:?}"),
        }
        // The next connection is as good as any.
        assert_eq!(client.meet(&acceptor, &trust, &device).await, Ok(false), "{body:?}");
    }
}

/// An `openssl s_server` that tells who it met.
struct OpenSsl {
    process: Child,
    port: u16,
}

impl OpenSsl {
    fn start(directory: &std::path::Path, version: &str) -> Self {
        let arguments = "s_server -accept 127.0.0.1:0 -www -num_tickets 1 -certform DER -cert leaf.der -keyform DER \
                         -key leaf.key -verify 3 -verify_return_error -CAfile device-root.pem";
        let mut process = Command::new("openssl")
            .args(arguments.split(' ').filter(|argument| !argument.is_empty()))
            .arg(version)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = lines
            .find_map(|line| line.strip_prefix("ACCEPT ")?.rsplit(':').next()?.parse().ok())
            .expect("a port");
        Self { process, port }
    }

    /// Asks for the page that says how this connection was made.
    async fn page(&self, stack: &Stack, trust: &Trust<'_>, device: &Device, cache: &SessionCache) -> String {
        let tcp = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let pipe = FromTokio::new(tcp);
        let mut stream = stack.connect_or_resume(pipe, trust, Some(device), cache).await.unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
        stream.flush().await.unwrap();
        let (mut page, mut buf) = (Vec::new(), [0; 1000]);
        while let Ok(count @ 1..) = stream.read(&mut buf).await {
            page.extend(&buf[..count]);
        }
        assert_eq!(stream.is_resumed(), String::from_utf8_lossy(&page).contains("Reused, "));
        String::from_utf8(page).unwrap()
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn openssl_says_so() {
    let _turn = mbedtls_turn().await;
    let (stack, device) = (stack(), pki::device());
    let server = pki::server_with(Family::P256, 1, |_, _| {});
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in
        [("leaf.der", &server.chain[0]), ("leaf.key", &server.key), ("device-root.der", &device.root)]
    {
        std::fs::write(directory.path().join(name), bytes).unwrap();
    }
    let mut to_pem = Command::new("openssl");
    to_pem.args("x509 -inform DER -in device-root.der -out device-root.pem".split(' '));
    assert!(to_pem.current_dir(directory.path()).status().expect("openssl").success());
    let roots = [server.root.as_slice()];
    let trust = Trust::new(HOST, &roots).unwrap().at(NOW);
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let openssl = OpenSsl::start(directory.path(), version);
        let cache = SessionCache::new();
        for beginning in ["New", "Reused", "Reused"] {
            let page = openssl.page(&stack, &trust, &device, &cache).await;
            assert!(page.contains(&format!("{beginning}, {name}")), "{page}");
        }
        cache.clear();
        let page = openssl.page(&stack, &trust, &device, &cache).await;
        assert!(page.contains(&format!("New, {name}")), "{page}");
    }
}
