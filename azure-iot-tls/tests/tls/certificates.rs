//! Every adapter with servers whose certificates are not in order: each must be refused, with an error that says why.

use crate::adapter::{Adapter, each_adapter};
use crate::pki::{self, Family, HOST, NOW, Server, names, server_with};
use crate::rogue::{Fault, serve};
use azure_iot_tls::{Error, Signed, Trust, Versions};
use embedded_io_adapters::tokio_1::FromTokio;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, GeneralSubtree,
    IsCa, KeyUsagePurpose, NameConstraints, date_time_ymd,
};

each_adapter!(names_that_match, wrong_host, dates, no_time, unknown_ca, rights, usage, signatures, nonsense);

/// What the adapter says to this server, in each of its versions.
async fn judge<A: Adapter>(
    adapter: &A,
    server: &Server,
    trust: &Trust<'_>,
) -> Vec<(Versions, Option<Error>)> {
    let mut verdicts = Vec::new();
    for version in A::VERSIONS.iter().copied() {
        let (ours, theirs) = tokio::io::duplex(20_000);
        let trust = trust.versions(version);
        let client = adapter.talk(FromTokio::new(ours), &trust, None, b"hello", 5);
        let (heard, ()) = tokio::join!(client, serve(theirs, server, version, Fault::Nothing));
        verdicts.push((version, heard.err()));
    }
    verdicts
}

async fn expect<A: Adapter>(adapter: &A, server: &Server, what: &str, expected: Option<Error>) {
    let roots = [server.root.as_slice()];
    let trust = Trust::new(HOST, &roots).unwrap().at(NOW);
    for (version, verdict) in judge(adapter, server, &trust).await {
        assert_eq!(verdict, expected.map(|error| A::reports(version, error)), "{what} {version:?}");
    }
}

fn leaf(bend: impl Fn(&mut CertificateParams)) -> Server {
    server_with(Family::P256, 2, |level, params| {
        if level == 2 {
            bend(params);
        }
    })
}

async fn names_that_match<A: Adapter>(adapter: &A) {
    let many: Vec<String> = (0..40).map(|n| format!("host-{n}.a-rather-long-name.example")).collect();
    let mut many: Vec<&str> = many.iter().map(String::as_str).collect();
    many.push(HOST);
    for list in
        [&[HOST][..], &["MY-HUB.Azure-Devices.NET"], &["*.azure-devices.net"], &["x.example", HOST], &many]
    {
        let server = leaf(|params| params.subject_alt_names = names(list));
        expect(adapter, &server, &format!("{list:?}"), None).await;
    }
}

async fn wrong_host<A: Adapter>(adapter: &A) {
    for list in [
        &["other.azure-devices.net"][..],
        &["azure-devices.net"],
        &["my-hub.azure-devices.net.evil.example"],
        &["*.net"],
        &["*.my-hub.azure-devices.net"],
        &["*"],
        &["my-*.azure-devices.net"],
        // the subject names the host; that counts for nothing where there are alternative names
        &["one.example", "two.example"],
    ] {
        let server = leaf(|params| params.subject_alt_names = names(list));
        let roots = [server.root.as_slice()];
        let trust = Trust::new(HOST, &roots).unwrap().at(NOW);
        for (version, verdict) in judge(adapter, &server, &trust).await {
            // A name that is no name may make the certificate malformed.
            let allowed = [Error::WrongHost, Error::BadCertificate].map(Some);
            assert!(allowed.contains(&verdict), "{list:?} {version:?} {verdict:?}");
        }
    }
}

async fn dates<A: Adapter>(adapter: &A) {
    for level in [1, 2] {
        let expired = server_with(Family::P256, 2, |at, params| {
            if at == level {
                params.not_after = date_time_ymd(2026, 6, 14);
            }
        });
        expect(adapter, &expired, "expired", Some(Error::Expired)).await;
        let early = server_with(Family::P256, 2, |at, params| {
            if at == level {
                params.not_before = date_time_ymd(2026, 6, 16);
            }
        });
        expect(adapter, &early, "not yet valid", Some(Error::NotYetValid)).await;
    }
    // The first and the last second.
    let server = leaf(|_| {});
    let roots = [server.root.as_slice()];
    for (time, expected) in [
        (1_767_225_600 - 1, Some(Error::NotYetValid)),
        (1_767_225_600, None),
        (1_798_761_600, None),
        (1_798_761_600 + 1, Some(Error::Expired)),
    ] {
        let trust = Trust::new(HOST, &roots).unwrap().at(time);
        for (version, verdict) in judge(adapter, &server, &trust).await {
            assert_eq!(verdict, expected, "{time} {version:?}");
        }
    }
    // Dates beyond 2049, as certificates without an end have.
    let endless = leaf(|params| params.not_after = date_time_ymd(9999, 12, 31));
    expect(adapter, &endless, "endless", None).await;
}

/// Without a time nothing but the dates is left out.
async fn no_time<A: Adapter>(adapter: &A) {
    if A::HAS_CLOCK {
        return;
    }
    let expired = leaf(|params| params.not_after = date_time_ymd(2026, 2, 1));
    let roots = [expired.root.as_slice()];
    let trust = Trust::new(HOST, &roots).unwrap();
    for (version, verdict) in judge(adapter, &expired, &trust).await {
        assert_eq!(verdict, None, "{version:?}");
    }
    let other = Trust::new("other.example", &roots).unwrap();
    for (version, verdict) in judge(adapter, &expired, &other).await {
        assert_eq!(verdict, Some(Error::WrongHost), "{version:?}");
    }
    let stranger = pki::device();
    let roots = [stranger.root.as_slice()];
    let trust = Trust::new(HOST, &roots).unwrap();
    for (version, verdict) in judge(adapter, &expired, &trust).await {
        let allowed = [Error::UnknownCa, A::reports(version, Error::BadSignature(Signed::Certificate))];
        assert!(verdict.is_some_and(|error| allowed.contains(&error)), "{version:?} {verdict:?}");
    }
}

async fn unknown_ca<A: Adapter>(adapter: &A) {
    let other_name = server_with(Family::P256, 1, |level, params| {
        if level == 0 {
            params.distinguished_name.push(DnType::CommonName, "Others");
        }
    });
    let server = Server { root: other_name.root, ..leaf(|_| {}) };
    expect(adapter, &server, "another root", Some(Error::UnknownCa)).await;

    let mut short = leaf(|_| {});
    short.chain.truncate(1);
    expect(adapter, &short, "no issuer", Some(Error::UnknownCa)).await;

    // Self-signed, and nothing above it.
    let alone = server_with(Family::P256, 0, |_, _| {});
    let alone = Server { chain: vec![alone.root.clone()], root: leaf(|_| {}).root, key: alone.key.clone() };
    expect(adapter, &alone, "self-signed", Some(Error::UnknownCa)).await;

    // A second root that leads nowhere does no harm, in either order.
    let server = leaf(|_| {});
    let stranger = pki::device().root;
    for roots in [[server.root.as_slice(), &stranger], [stranger.as_slice(), &server.root]] {
        let trust = Trust::new(HOST, &roots).unwrap().at(NOW);
        for (version, verdict) in judge(adapter, &server, &trust).await {
            assert_eq!(verdict, None, "{version:?}");
        }
    }
}

/// Who may sign, and how many below.
async fn rights<A: Adapter>(adapter: &A) {
    for is_ca in [IsCa::NoCa, IsCa::ExplicitNoCa] {
        let server = server_with(Family::P256, 2, |level, params| {
            if level == 1 {
                params.is_ca = is_ca;
                params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            }
        });
        expect(adapter, &server, "a leaf as CA", Some(Error::NotACa)).await;
    }
    let server = server_with(Family::P256, 3, |level, params| {
        if level == 1 {
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        }
    });
    expect(adapter, &server, "two CAs where one may be", Some(Error::PathTooLong)).await;
    let server = server_with(Family::P256, 3, |level, params| {
        if level == 1 {
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
        }
    });
    expect(adapter, &server, "two CAs where two may be", None).await;
    if A::CHECKS_KEY_USAGE {
        let server = server_with(Family::P256, 2, |level, params| {
            if level == 1 {
                params.key_usages = vec![KeyUsagePurpose::CrlSign];
            }
        });
        expect(adapter, &server, "a CA that may not sign certificates", Some(Error::NotACa)).await;
    }
}

async fn usage<A: Adapter>(adapter: &A) {
    let client = leaf(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    expect(adapter, &client, "for clients only", Some(Error::WrongUsage)).await;
    let any = leaf(|params| params.extended_key_usages.clear());
    expect(adapter, &any, "no extended key usage", None).await;
    if A::CHECKS_KEY_USAGE {
        let sealed = leaf(|params| params.key_usages = vec![KeyUsagePurpose::KeyEncipherment]);
        expect(adapter, &sealed, "a key that may not sign", Some(Error::WrongUsage)).await;
    }
    let constrained = server_with(Family::P256, 2, |level, params| {
        if level == 1 {
            params.name_constraints = Some(NameConstraints {
                permitted_subtrees: vec![GeneralSubtree::DnsName("example".into())],
                excluded_subtrees: Vec::new(),
            });
        }
    });
    let roots = [constrained.root.as_slice()];
    let trust = Trust::new(HOST, &roots).unwrap().at(NOW);
    for (version, verdict) in judge(adapter, &constrained, &trust).await {
        let allowed = [Error::WrongUsage, Error::BadCertificate].map(Some);
        assert!(allowed.contains(&verdict), "name constraint {version:?} {verdict:?}");
    }
}

/// One bit in the signature of each certificate, and a root of the same name.
async fn signatures<A: Adapter>(adapter: &A) {
    let wrong = Error::BadSignature(Signed::Certificate);
    for level in [0, 1] {
        let mut server = leaf(|_| {});
        *server.chain[level].last_mut().unwrap() ^= 1;
        expect(adapter, &server, "a bit", Some(wrong)).await;
    }
    let server = Server { root: leaf(|_| {}).root, ..leaf(|_| {}) };
    expect(adapter, &server, "a root of the same name", Some(wrong)).await;
}

async fn nonsense<A: Adapter>(adapter: &A) {
    let mut unknown = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![5, 0]);
    let optional = leaf(|params| params.custom_extensions = vec![unknown.clone()]);
    expect(adapter, &optional, "unknown, not critical", None).await;
    unknown.set_criticality(true);
    let critical = leaf(|params| params.custom_extensions = vec![unknown.clone()]);
    expect(adapter, &critical, "unknown and critical", Some(Error::BadCertificate)).await;
    let whole = leaf(|_| {}).chain[0].clone();
    let short = whole[..whole.len() - 1].to_vec();
    let long = [&whole[..], &[0]].concat();
    for torn in [short, long, [&[0x30, 0x82, 1, 0][..], &[0; 256]].concat(), b"no certificate".repeat(20)] {
        let mut server = leaf(|_| {});
        server.chain[0] = torn;
        let roots = [server.root.as_slice()];
        let trust = Trust::new(HOST, &roots).unwrap().at(NOW);
        for (version, verdict) in judge(adapter, &server, &trust).await {
            // One adapter leaves out what stands behind a certificate, and then finds it signed by nobody.
            let allowed = [Error::BadCertificate, Error::UnknownCa].map(Some);
            assert!(allowed.contains(&verdict), "{version:?} {verdict:?}");
        }
    }
}
