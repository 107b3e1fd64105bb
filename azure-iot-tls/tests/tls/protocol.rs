//! Every adapter with servers that break the protocol: each must be refused, with an error that says how.

use crate::adapter::{Adapter, each_adapter};
use crate::pki::{self, Family, HOST, NOW};
use crate::rogue::{Fault, serve};
use azure_iot_tls::{Alert, Error, Signed, Trust, Versions};
use embedded_io_adapters::tokio_1::FromTokio;
use std::time::Duration;

each_adapter!(obedient, not_authenticated, malformed, alerts, downgrade, late);

/// Connects to a server with this fault and says something.
async fn meet<A: Adapter>(
    adapter: &A,
    offered: Versions,
    version: Versions,
    fault: Fault,
) -> Result<Vec<u8>, Error> {
    let server = pki::server(Family::P256);
    let (ours, theirs) = tokio::io::duplex(20_000);
    let roots = [server.root.as_slice()];
    let trust = Trust::new(HOST, &roots).unwrap().at(NOW).versions(offered);
    let client = async {
        tokio::time::timeout(
            Duration::from_secs(20),
            adapter.talk(FromTokio::new(ours), &trust, None, b"hello", 5),
        )
        .await
        .expect("an answer, not an endless wait")
    };
    tokio::join!(client, serve(theirs, &server, version, fault)).0
}

async fn refuse<A: Adapter>(adapter: &A, faults: &[(Fault, Error)]) {
    for version in A::VERSIONS.iter().copied() {
        for (fault, error) in faults.iter().copied() {
            let expected = Err(A::reports(version, error));
            assert_eq!(meet(adapter, version, version, fault).await, expected, "{fault:?} {version:?}");
        }
    }
}

/// The rogue server can do it right, so that what follows fails for its reason only.
async fn obedient<A: Adapter>(adapter: &A) {
    for version in A::VERSIONS.iter().copied() {
        for offered in [Versions::Both, version] {
            let answer = meet(adapter, offered, version, Fault::Nothing).await;
            assert_eq!(answer.as_deref(), Ok(&b"hello"[..]), "{version:?}");
        }
    }
}

async fn not_authenticated<A: Adapter>(adapter: &A) {
    let signature = Error::BadSignature(Signed::Handshake);
    refuse(
        adapter,
        &[
            (Fault::NoCertificate, Error::NoCertificate),
            (Fault::VerifyOnly, Error::NoCertificate),
            (Fault::NoVerify, Error::NoCertificateVerify),
            (Fault::BadVerify, signature),
            (Fault::OtherKey, signature),
            (Fault::NoFinished, Error::NoFinished),
            (Fault::BadFinished, Error::BadFinished),
            (Fault::LongRecord, Error::TooLong),
        ],
    )
    .await;
}

/// Messages and records that are none: what notices them first differs.
async fn malformed<A: Adapter>(adapter: &A) {
    use Error::{
        BadFinished, BadMessage, BadRecord, NoCertificate, NoFinished, TooLong, UnexpectedMessage,
        Unsupported,
    };
    let both = [
        (Fault::EmptyCertificate, &[NoCertificate, BadMessage][..]),
        (Fault::TornCertificate, &[BadMessage]),
        (Fault::ClearData, &[NoFinished, BadRecord]),
        (Fault::OtherCipher, &[BadMessage]),
        (Fault::Compression, &[BadMessage, Unsupported]),
        (Fault::TwoHellos, &[NoCertificate, BadRecord]),
        (Fault::OddRecord, &[BadRecord]),
        (Fault::OddMessage, &[NoCertificate]),
        (Fault::LongMessage, &[TooLong, BadMessage]),
        (Fault::Garbage, &[BadRecord]),
        (Fault::BadRecord, &[BadRecord, BadFinished]),
    ];
    let tls12 = [(Fault::ClearFinished, &[NoFinished, UnexpectedMessage][..])];
    let tls13 = [
        (Fault::RetryTwice, &[UnexpectedMessage, NoCertificate, Unsupported][..]),
        (Fault::EmptyInner, &[BadRecord]),
    ];
    for version in A::VERSIONS.iter().copied() {
        let more = if version == Versions::Tls12 { &tls12[..] } else { &tls13 };
        for (fault, expected) in both.iter().chain(more) {
            let error = meet(adapter, version, version, *fault).await.expect_err("refused");
            assert!(expected.contains(&error), "{fault:?} {version:?}: {error:?}");
        }
    }
}

async fn alerts<A: Adapter>(adapter: &A) {
    refuse(
        adapter,
        &[
            (Fault::Alert(40), Error::Alert { alert: Alert(40) }),
            (Fault::Alert(70), Error::Downgrade),
            (Fault::Alert(80), Error::Alert { alert: Alert(80) }),
        ],
    )
    .await;
}

async fn downgrade<A: Adapter>(adapter: &A) {
    if A::VERSIONS.contains(&Versions::Tls12) {
        assert_eq!(
            meet(adapter, Versions::Both, Versions::Tls12, Fault::Downgrade).await,
            Err(A::reports(Versions::Tls12, Error::Downgrade))
        );
    }
    // 1.2 where only 1.3 was offered, and the reverse
    assert_eq!(meet(adapter, Versions::Tls13, Versions::Tls12, Fault::Nothing).await, Err(Error::Downgrade));
}

/// After a good handshake: the connection ends with an error.
async fn late<A: Adapter>(adapter: &A) {
    for version in A::VERSIONS.iter().copied() {
        let alert = A::reports_late(version, Alert(80));
        let mut faults = vec![
            (Fault::LateOddMessage, &[Error::UnexpectedMessage][..]),
            (Fault::LateRequest, &[Error::UnexpectedMessage, Error::BadRecord]),
            (Fault::LateBadRecord, &[Error::BadRecord]),
            (Fault::LateAlert(80), std::slice::from_ref(&alert)),
        ];
        if version == Versions::Tls13 {
            faults.push((Fault::LateEmptyInner, &[Error::BadRecord]));
        }
        for (fault, expected) in faults {
            let error = meet(adapter, version, version, fault).await.expect_err("refused");
            assert!(expected.contains(&error), "{fault:?} {version:?}: {error:?}");
        }
    }
}
