//! A TLS server of our own, which does what it is told to do wrong.

mod crypto;
mod tls12;
mod tls13;

use crate::pki::Server;
use azure_iot_tls::Versions;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// What the server does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing: the handshake is completed, and what comes is sent back.
    Nothing,
    /// Sends neither Certificate nor CertificateVerify (TLS 1.3) or ServerKeyExchange (1.2).
    NoCertificate,
    /// Sends CertificateVerify or ServerKeyExchange without a Certificate before it.
    VerifyOnly,
    /// Sends a Certificate message with no certificate in it.
    EmptyCertificate,
    /// Sends a Certificate message whose lengths do not add up.
    TornCertificate,
    /// Leaves out CertificateVerify or ServerKeyExchange.
    NoVerify,
    /// Corrupts the signature in CertificateVerify or ServerKeyExchange.
    BadVerify,
    /// Signs CertificateVerify or ServerKeyExchange with a key that is not the certificate's.
    OtherKey,
    /// Sends application data in the place of Finished.
    NoFinished,
    /// Sends application data in the clear after its part of the handshake (TLS 1.2: without Finished).
    ClearData,
    /// Sends its Finished in the clear, without ChangeCipherSpec (TLS 1.2).
    ClearFinished,
    /// Corrupts Finished.
    BadFinished,
    /// Answers with TLS 1.2 and the sign that it can do better (RFC 8446 §4.1.3).
    Downgrade,
    /// Chooses a cipher suite that was not offered.
    OtherCipher,
    /// Chooses a compression method.
    Compression,
    /// Sends its ServerHello twice.
    TwoHellos,
    /// Asks for another key share again and again (TLS 1.3).
    RetryTwice,
    /// Answers the ClientHello with an alert.
    Alert(u8),
    /// Announces a record of more than the protocol allows.
    LongRecord,
    /// Announces a handshake message of 16 MiB.
    LongMessage,
    /// Sends a record of a content type that does not exist.
    OddRecord,
    /// Sends a message type that does not exist, inside the handshake.
    OddMessage,
    /// Sends bytes that are nothing, in the place of the ServerHello.
    Garbage,
    /// Sends an encrypted record whose plaintext is empty, without even a content type (TLS 1.3).
    EmptyInner,
    /// Sends an encrypted record that does not decrypt.
    BadRecord,
    /// After the handshake: an encrypted record whose plaintext is empty.
    LateEmptyInner,
    /// After the handshake: a handshake message type that does not exist.
    LateOddMessage,
    /// After the handshake: a request for a certificate.
    LateRequest,
    /// After the handshake: a record that does not decrypt.
    LateBadRecord,
    /// After the handshake: a fatal alert.
    LateAlert(u8),
    /// Says that it goes on with a session, whose secret it does not know.
    #[cfg(feature = "resumption")]
    ClaimsSession,
    /// After the handshake: a NewSessionTicket with this body (TLS 1.3).
    #[cfg(feature = "resumption")]
    LateTicket(&'static [u8]),
}

/// Serves one connection, then reads until the client closes.
pub(crate) async fn serve(pipe: DuplexStream, server: &Server, version: Versions, fault: Fault) {
    let mut wire = Wire { pipe };
    // Where the client goes away there is no more to do.
    let _ = run(&mut wire, server, version, fault).await;
    let _ = wire.pipe.shutdown().await;
    while wire.record().await.is_some() {}
}

async fn run(wire: &mut Wire, server: &Server, version: Versions, fault: Fault) -> Option<()> {
    let hello = ClientHello::parse(wire.record().await?.get(5..)?)?;
    match fault {
        Fault::Alert(number) => wire.clear(ALERT, &[2, number]).await,
        Fault::Garbage => {
            wire.send(&(0..400_u32).map(|n| (n * n * 31 % 251).to_le_bytes()[0]).collect::<Vec<_>>()).await
        }
        _ if version == Versions::Tls13 => tls13::run(wire, server, hello, fault).await,
        _ => tls12::run(wire, server, hello, fault).await,
    }
}

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;

struct Wire {
    pipe: DuplexStream,
}

impl Wire {
    /// The next record, header included; `None` at the end.
    async fn record(&mut self) -> Option<Vec<u8>> {
        let mut record = vec![0; 5];
        self.pipe.read_exact(&mut record).await.ok()?;
        let length = usize::from(u16::from_be_bytes([record[3], record[4]]));
        record.resize(5 + length, 0);
        self.pipe.read_exact(&mut record[5..]).await.ok()?;
        Some(record)
    }

    async fn send(&mut self, bytes: &[u8]) -> Option<()> {
        self.pipe.write_all(bytes).await.ok()
    }

    /// A record in the clear.
    async fn clear(&mut self, kind: u8, content: &[u8]) -> Option<()> {
        let mut record = vec![kind, 3, 3];
        record.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
        record.extend(content);
        self.send(&record).await
    }
}

/// What the server needs of a ClientHello.
struct ClientHello {
    message: Vec<u8>,
    random: Vec<u8>,
    session_id: Vec<u8>,
    /// The first key share of a group that the server can do.
    share: Option<(u16, Vec<u8>)>,
}

impl ClientHello {
    fn parse(message: &[u8]) -> Option<Self> {
        let mut rest = message.get(4 + 2..)?;
        let random = take(&mut rest, 32)?.to_vec();
        let session_id = vector(&mut rest, 1)?.to_vec();
        vector(&mut rest, 2)?;
        vector(&mut rest, 1)?;
        let mut extensions = vector(&mut rest, 2)?;
        let mut share = None;
        while !extensions.is_empty() {
            let kind = take(&mut extensions, 2)?;
            let mut content = vector(&mut extensions, 2)?;
            if kind == [0, 51] {
                let mut shares = vector(&mut content, 2)?;
                while !shares.is_empty() && share.is_none() {
                    let group = take(&mut shares, 2)?;
                    let group = u16::from_be_bytes([group[0], group[1]]);
                    let key = vector(&mut shares, 2)?.to_vec();
                    share = Some((group, key))
                        .filter(|(group, _)| [crypto::GROUP_P256, crypto::GROUP_X25519].contains(group));
                }
            }
        }
        Some(Self { message: message.to_vec(), random, session_id, share })
    }
}

/// Whether it is [`Fault::ClaimsSession`].
fn claims_session(fault: Fault) -> bool {
    #[cfg(feature = "resumption")]
    return fault == Fault::ClaimsSession;
    #[cfg(not(feature = "resumption"))]
    {
        let _ = fault;
        false
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(head)
}

/// Bytes that follow their length.
fn vector<'a>(rest: &mut &'a [u8], size: usize) -> Option<&'a [u8]> {
    let length = take(rest, size)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    take(rest, length)
}

/// Bytes behind their length in `size` bytes.
fn sized(size: usize, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&length[4 - size..], content].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [vec![kind], sized(3, body)].concat()
}

fn server_hello(
    hello: &ClientHello,
    random: &[u8],
    cipher: [u8; 2],
    fault: Fault,
    extensions: &[u8],
) -> Vec<u8> {
    let cipher = if fault == Fault::OtherCipher { [0, 0x3c] } else { cipher };
    let compression = u8::from(fault == Fault::Compression);
    let body =
        [&[3, 3], random, &sized(1, &hello.session_id), &cipher, &[compression], &sized(2, extensions)];
    message(2, &body.concat())
}
