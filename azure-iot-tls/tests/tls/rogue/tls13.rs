//! The rogue server in TLS 1.3: TLS_AES_128_GCM_SHA256.

use super::crypto::{Keys, agree, expand, hash, mac, sign};
use super::{
    ALERT, CHANGE_CIPHER_SPEC, ClientHello, DATA, Fault, HANDSHAKE, Wire, claims_session, message,
    server_hello, sized,
};
use crate::pki::{self, Family, Server};

const CIPHER: [u8; 2] = [0x13, 0x01];
/// The random by which a ServerHello is a HelloRetryRequest (RFC 8446 §4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

pub(super) async fn run(wire: &mut Wire, server: &Server, hello: ClientHello, fault: Fault) -> Option<()> {
    let (group, client_share) = hello.share.clone()?;
    if fault == Fault::RetryTwice {
        return retry(wire, hello).await;
    }
    let (share, shared) = agree(group, &client_share);
    let mut extensions =
        [&[0, 43, 0, 2, 3, 4, 0, 51], &sized(2, &[&group.to_be_bytes()[..], &sized(2, &share)].concat())[..]]
            .concat();
    if claims_session(fault) {
        extensions.extend([0, 41, 0, 2, 0, 0]);
    }
    let random = *b"a server's random, not so random";
    let server_hello = server_hello(&hello, &random, CIPHER, fault, &extensions);
    wire.clear(HANDSHAKE, &server_hello).await?;
    match fault {
        Fault::TwoHellos => return wire.clear(HANDSHAKE, &server_hello).await,
        Fault::LongRecord => return wire.send(&[DATA, 3, 3, 0x48, 1]).await,
        Fault::OddRecord => return wire.send(&[99, 3, 3, 0, 2, 0, 0]).await,
        Fault::ClearData => return wire.clear(DATA, b"hello").await,
        _ => {}
    }
    let mut transcript = [hello.message, server_hello].concat();

    let zero = [0; 32];
    let derive = |secret: &[u8]| expand(secret, "derived", &hash(b""), 32);
    let handshake_secret = mac(&derive(&mac(&zero, &zero)), &shared);
    let at_hello = hash(&transcript);
    let client_secret = expand(&handshake_secret, "c hs traffic", &at_hello, 32);
    let server_secret = expand(&handshake_secret, "s hs traffic", &at_hello, 32);
    let (mut client, mut ours) = (Keys::of(&client_secret), Keys::of(&server_secret));
    match fault {
        Fault::EmptyInner => return wire.send(&ours.seal13(&[])).await,
        Fault::BadRecord => return wire.send(&broken(ours.seal13(&[8, 0, 0, 2, 0, 0, HANDSHAKE]))).await,
        _ => {}
    }
    for message in authentication(server, &transcript, fault) {
        transcript.extend(&message);
        wire.send(&ours.seal13(&[&message, &[HANDSHAKE][..]].concat())).await?;
    }
    let mut verify = mac(&expand(&server_secret, "finished", b"", 32), &hash(&transcript));
    match fault {
        Fault::NoFinished => return wire.send(&ours.seal13(&[&b"hello"[..], &[DATA]].concat())).await,
        Fault::BadFinished => verify[3] ^= 1,
        _ => {}
    }
    let finished = message(20, &verify);
    wire.send(&ours.seal13(&[&finished, &[HANDSHAKE][..]].concat())).await?;
    transcript.extend(finished);

    let mut record = wire.record().await?;
    if record[0] == CHANGE_CIPHER_SPEC {
        record = wire.record().await?;
    }
    client.open13(&record)?; // an alert ends it below: there is no next record
    let master = mac(&derive(&handshake_secret), &zero);
    let at_finished = hash(&transcript);
    let mut client = Keys::of(&expand(&master, "c ap traffic", &at_finished, 32));
    let mut ours = Keys::of(&expand(&master, "s ap traffic", &at_finished, 32));
    match fault {
        Fault::LateEmptyInner => wire.send(&ours.seal13(&[])).await,
        Fault::LateOddMessage => {
            wire.send(&ours.seal13(&[message(99, b"?"), vec![HANDSHAKE]].concat())).await
        }
        Fault::LateRequest => {
            let request = message(13, &[1, 7, 0, 8, 0, 13, 0, 4, 0, 2, 4, 3]);
            wire.send(&ours.seal13(&[request, vec![HANDSHAKE]].concat())).await
        }
        Fault::LateBadRecord => wire.send(&broken(ours.seal13(b"hello\x17"))).await,
        Fault::LateAlert(number) => wire.send(&ours.seal13(&[2, number, ALERT])).await,
        #[cfg(feature = "resumption")]
        Fault::LateTicket(body) => {
            wire.send(&ours.seal13(&[message(4, body), vec![HANDSHAKE]].concat())).await?;
            echo(wire, &mut client, &mut ours).await
        }
        _ => echo(wire, &mut client, &mut ours).await,
    }
}

async fn echo(wire: &mut Wire, client: &mut Keys, ours: &mut Keys) -> Option<()> {
    while let Some(record) = wire.record().await {
        let inner = client.open13(&record)?;
        if inner.ends_with(&[DATA]) {
            wire.send(&ours.seal13(&inner)).await?;
        }
    }
    Some(())
}

fn broken(mut record: Vec<u8>) -> Vec<u8> {
    *record.last_mut().unwrap() ^= 1;
    record
}

/// EncryptedExtensions, Certificate and CertificateVerify, or what of them there is.
fn authentication(server: &Server, transcript: &[u8], fault: Fault) -> Vec<Vec<u8>> {
    let extensions = message(8, &[0, 0]);
    let list: Vec<u8> = server.chain.iter().flat_map(|der| [sized(3, der), vec![0, 0]].concat()).collect();
    let certificate = match fault {
        Fault::EmptyCertificate => message(11, &[0, 0, 0, 0]),
        Fault::TornCertificate => message(11, &[&[0], &sized(3, &list)[..], &[0]].concat()),
        _ => message(11, &[&[0], &sized(3, &list)[..]].concat()),
    };
    let mut messages = match fault {
        Fault::NoCertificate | Fault::VerifyOnly => vec![extensions],
        _ if claims_session(fault) => return vec![extensions],
        Fault::LongMessage => {
            return [vec![extensions, vec![11, 0xff, 0xff, 0xff]], vec![vec![0; 4000]; 5]].concat();
        }
        Fault::OddMessage => vec![extensions, message(99, b"?")],
        _ => vec![extensions, certificate],
    };
    if matches!(fault, Fault::NoCertificate | Fault::NoVerify) {
        return messages;
    }
    let so_far = [transcript, &messages.concat()].concat();
    let signed = [&[b' '; 64][..], b"TLS 1.3, server CertificateVerify\0", &hash(&so_far)].concat();
    let mut signature = match fault {
        Fault::OtherKey => sign(&pki::server(Family::P256).key, &signed),
        _ => sign(&server.key, &signed),
    };
    if fault == Fault::BadVerify {
        *signature.last_mut().unwrap() ^= 1;
    }
    messages.push(message(15, &[&[4, 3], &sized(2, &signature)[..]].concat()));
    messages
}

/// Asks for the other group, whatever comes.
async fn retry(wire: &mut Wire, mut hello: ClientHello) -> Option<()> {
    for _ in 0..3 {
        // P-384, which everybody offers and nobody begins with.
        let extensions = [0, 43, 0, 2, 3, 4, 0, 51, 0, 2, 0, 0x18];
        let retry = server_hello(&hello, &RETRY, CIPHER, Fault::RetryTwice, &extensions);
        wire.clear(HANDSHAKE, &retry).await?;
        let mut record = wire.record().await?;
        if record[0] == CHANGE_CIPHER_SPEC {
            record = wire.record().await?;
        }
        hello = ClientHello::parse(record.get(5..)?)?;
    }
    Some(())
}
