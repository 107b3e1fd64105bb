//! The rogue server in TLS 1.2: ECDHE_ECDSA_WITH_AES_128_GCM_SHA256.

use super::crypto::{Exchange, Keys, hash, prf, sign};
use super::{
    ALERT, CHANGE_CIPHER_SPEC, ClientHello, DATA, Fault, HANDSHAKE, Wire, claims_session, message,
    server_hello, sized, vector,
};
use crate::pki::{self, Family, Server};

const CIPHER: [u8; 2] = [0xc0, 0x2b];

pub(super) async fn run(
    wire: &mut Wire,
    server: &Server,
    mut hello: ClientHello,
    fault: Fault,
) -> Option<()> {
    if claims_session(fault) {
        let extensions = [0, 23, 0, 0];
        let server_hello =
            server_hello(&hello, b"a server's random, not so random", CIPHER, fault, &extensions);
        wire.clear(HANDSHAKE, &server_hello).await?;
        wire.clear(CHANGE_CIPHER_SPEC, &[1]).await?;
        let mut ours = Keys::new(&[1; 16], &[2; 4]);
        return wire.send(&ours.seal12(HANDSHAKE, &message(20, &[3; 12]))).await;
    }
    hello.session_id.clear(); // giving it back would resume a session
    let mut random = *b"a server's random, not so random";
    if fault == Fault::Downgrade {
        random[24..].copy_from_slice(b"DOWNGRD\x01");
    }
    let mut transcript = hello.message.clone();
    let exchange = Exchange::p256();
    for (kind, flight) in flight(server, &hello, &random, &exchange, fault) {
        wire.clear(kind, &flight).await?;
        if kind == HANDSHAKE {
            transcript.extend(flight);
        }
    }
    if fault == Fault::LongRecord {
        return wire.send(&[HANDSHAKE, 3, 3, 0x48, 1]).await;
    }
    if fault == Fault::ClearData {
        return wire.clear(DATA, b"hello").await;
    }

    let exchanged = wire.record().await.filter(|record| record[0] == HANDSHAKE)?;
    let exchanged = &exchanged[5..];
    let secret = exchange.agree(vector(&mut exchanged.get(4..)?, 1)?);
    transcript.extend(exchanged);
    let master = prf(&secret, "master secret", &[&hello.random[..], &random].concat(), 48);
    let block = prf(&master, "key expansion", &[&random[..], &hello.random].concat(), 40);
    let mut client = Keys::new(&block[..16], &block[32..36]);
    let mut ours = Keys::new(&block[16..32], &block[36..]);
    wire.record().await.filter(|record| record[0] == CHANGE_CIPHER_SPEC)?;
    let finished = wire.record().await.filter(|record| record[0] == HANDSHAKE)?;
    transcript.extend(client.open12(&finished)?);

    let mut verify = prf(&master, "server finished", &hash(&transcript), 12);
    if fault == Fault::BadFinished {
        verify[3] ^= 1;
    }
    let finished = message(20, &verify);
    if fault == Fault::ClearFinished {
        return wire.clear(HANDSHAKE, &finished).await;
    }
    wire.clear(CHANGE_CIPHER_SPEC, &[1]).await?;
    let finished = match fault {
        Fault::NoFinished => ours.seal12(DATA, b"hello"),
        Fault::BadRecord => broken(ours.seal12(HANDSHAKE, &finished)),
        _ => ours.seal12(HANDSHAKE, &finished),
    };
    wire.send(&finished).await?;
    match fault {
        Fault::LateOddMessage => wire.send(&ours.seal12(HANDSHAKE, &message(99, b"?"))).await,
        Fault::LateRequest => wire.send(&ours.seal12(HANDSHAKE, &message(13, b"?"))).await,
        Fault::LateBadRecord => wire.send(&broken(ours.seal12(DATA, b"hello"))).await,
        Fault::LateAlert(number) => wire.send(&ours.seal12(ALERT, &[2, number])).await,
        _ => {
            while let Some(record) = wire.record().await {
                let data = client.open12(&record)?;
                if record[0] == DATA {
                    wire.send(&ours.seal12(DATA, &data)).await?;
                }
            }
            Some(())
        }
    }
}

fn broken(mut record: Vec<u8>) -> Vec<u8> {
    *record.last_mut().unwrap() ^= 1;
    record
}

/// The first flight: records by type.
fn flight(
    server: &Server,
    hello: &ClientHello,
    random: &[u8],
    exchange: &Exchange,
    fault: Fault,
) -> Vec<(u8, Vec<u8>)> {
    let server_hello = server_hello(hello, random, CIPHER, fault, &[0xff, 1, 0, 1, 0]);
    let list: Vec<u8> = server.chain.iter().flat_map(|der| sized(3, der)).collect();
    let certificate = match fault {
        Fault::EmptyCertificate => message(11, &[0, 0, 0]),
        Fault::TornCertificate => message(11, &[sized(3, &list), vec![0]].concat()),
        _ => message(11, &sized(3, &list)),
    };
    let parameters = [&[3, 0, 0x17], &sized(1, &exchange.share())[..]].concat();
    let signed = [&hello.random, random, &parameters].concat();
    let mut signature = match fault {
        Fault::OtherKey => sign(&pki::server(Family::P256).key, &signed),
        _ => sign(&server.key, &signed),
    };
    if fault == Fault::BadVerify {
        *signature.last_mut().unwrap() ^= 1;
    }
    let key_exchange = message(12, &[&parameters, &[4, 3][..], &sized(2, &signature)].concat());
    let done = message(14, &[]);
    let messages = match fault {
        Fault::NoCertificate => vec![server_hello, done],
        Fault::VerifyOnly => vec![server_hello, key_exchange, done],
        Fault::NoVerify => vec![server_hello, certificate, done],
        Fault::TwoHellos => vec![server_hello.clone(), server_hello],
        Fault::LongRecord => vec![server_hello],
        Fault::LongMessage => {
            [vec![server_hello, vec![11, 0xff, 0xff, 0xff]], vec![vec![0; 4000]; 5]].concat()
        }
        Fault::OddMessage => vec![server_hello, message(99, b"?")],
        Fault::OddRecord => return vec![(HANDSHAKE, server_hello), (99, vec![0; 10])],
        _ => vec![server_hello, certificate, key_exchange, done],
    };
    messages.into_iter().map(|message| (HANDSHAKE, message)).collect()
}
