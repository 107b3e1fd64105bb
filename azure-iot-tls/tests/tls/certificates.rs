//! Every adapter with servers whose certificates are not in order: each must be refused, with an error that says why.

use crate::adapter::{Adapter, each_adapter};
use crate::pki::{self, Family, HOST, NOW, Server, names, server_with};
use crate::rogue::{Fault, serve};
use azure_iot_tls::{Error, Signed, Trust, Versions};
use embedded_io_adapters::tokio_1::FromTokio;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, GeneralSubtree,
    IsCa, KeyUsagePurpose, NameConstraints, SanType, date_time_ymd,
};

each_adapter!(
    names_that_match,
    wrong_host,
    names_of_other_kinds,
    name_constraints,
    twice,
    dates,
    no_time,
    unknown_ca,
    rights,
    usage,
    signatures,
    nonsense
);

/// What the adapter says to this server, in each of its versions.
async fn verdicts<A: Adapter>(
    adapter: &A,
    server: &Server,
    trust: &Trust<'_>,
) -> Vec<(Versions, Option<Error>)> {
    let mut verdicts = Vec::new();
    for version in A::VERSIONS.iter().copied() {
        let (ours, theirs) = tokio::io::duplex(20_000);
        let trust = trust.versions(version);
        let client = adapter.talk(FromTokio::new(ours), &trust, None, b"hello", 5);
        let (answer, ()) = tokio::join!(client, serve(theirs, server, version, Fault::Nothing));
        verdicts.push((version, answer.err()));
    }
    verdicts
}

async fn expect<A: Adapter>(adapter: &A, server: &Server, what: &str, expected: Option<Error>) {
    let roots = [server.root.as_slice()];
    let trust = Trust::new(HOST, &roots).unwrap().at(NOW);
    for (version, verdict) in verdicts(adapter, server, &trust).await {
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
        expect(adapter, &server, &format!("{list:?}"), Some(Error::WrongHost)).await;
    }
}

/// An extension by the last part of its identifier under 2.5.29.
fn extension(number: u64, critical: bool, content: Vec<u8>) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, number], content);
    extension.set_criticality(critical);
    extension
}

/// DER, where lengths take one byte.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag, u8::try_from(content.len()).unwrap()], content].concat()
}

/// A subjectAltName with one name.
fn alternative(tag: u8, name: &[u8]) -> CustomExtension {
    extension(17, false, der(0x30, &der(tag, name)))
}

/// What is not a DNS name among the alternative ones is no name of the host: neither is the common name, which every
/// leaf here has.
async fn names_of_other_kinds<A: Adapter>(adapter: &A) {
    let host = HOST.try_into().unwrap();
    let uri: rcgen::string::Ia5String = format!("https://{HOST}/").as_str().try_into().unwrap();
    let address = SanType::IpAddress("10.0.0.1".parse().unwrap());
    for names in [
        vec![],
        vec![address.clone()],
        vec![SanType::URI(host)],
        vec![SanType::URI(uri)],
        vec![SanType::Rfc822Name(HOST.try_into().unwrap())],
        vec![address, SanType::Rfc822Name(HOST.try_into().unwrap())],
    ] {
        let server = leaf(|params| params.subject_alt_names.clone_from(&names));
        expect(adapter, &server, &format!("{names:?}"), Some(Error::WrongHost)).await;
    }
    for common_name in ["*.azure-devices.net", "*", HOST] {
        let server = leaf(|params| {
            params.subject_alt_names.clear();
            params.distinguished_name.remove(DnType::CommonName);
            params.distinguished_name.push(DnType::CommonName, common_name);
        });
        expect(adapter, &server, common_name, Some(Error::WrongHost)).await;
    }
    // A dot at the end, a NUL within, and the name under another choice of GeneralName: x400Address, registeredID.
    let with_dot = [HOST.as_bytes(), b"."].concat();
    let with_nul = [HOST.as_bytes(), b"\0.evil.example"].concat();
    for (tag, name) in
        [(0x82, &with_dot[..]), (0x82, &with_nul), (0x83, HOST.as_bytes()), (0x88, HOST.as_bytes())]
    {
        let server = leaf(|params| {
            params.subject_alt_names.clear();
            params.custom_extensions = vec![alternative(tag, name)];
        });
        for (version, verdict) in verdicts_at_now(adapter, &server).await {
            // Mbed TLS cannot read some of them at all.
            let allowed = [Error::WrongHost, Error::BadCertificate].map(Some);
            assert!(allowed.contains(&verdict), "{tag:#x} {version:?} {verdict:?}");
        }
    }
}

async fn verdicts_at_now<A: Adapter>(adapter: &A, server: &Server) -> Vec<(Versions, Option<Error>)> {
    let roots = [server.root.as_slice()];
    verdicts(adapter, server, &Trust::new(HOST, &roots).unwrap().at(NOW)).await
}

/// Name constraints of the root and of the issuing CA, critical or not, by any kind of name that the leaf has.
async fn name_constraints<A: Adapter>(adapter: &A) {
    let permitted = |trees: &[Vec<u8>]| der(0x30, &der(0xa0, &trees.concat()));
    let excluded = |trees: &[Vec<u8>]| der(0x30, &der(0xa1, &trees.concat()));
    let tree = |tag: u8, base: &[u8]| der(0x30, &der(tag, base));
    let dns = |base: &str| tree(0x82, base.as_bytes());
    let organisation = |name: &str| {
        let name = der(0x30, &[&[6, 3, 0x55, 4, 10][..], &der(0x0c, name.as_bytes())].concat());
        tree(0xa4, &der(0x30, &der(0x31, &name)))
    };
    let [wrong, fine] = [Some(Error::WrongUsage), None];
    let cases = [
        ("another domain", permitted(&[dns("example")]), wrong),
        ("a part of a label", permitted(&[dns("devices.net")]), wrong),
        ("the domain itself", excluded(&[dns("azure-devices.net")]), wrong),
        ("the host itself", excluded(&[dns("MY-HUB.azure-devices.net")]), wrong),
        ("all names", excluded(&[dns("")]), wrong),
        ("names below a dot", excluded(&[dns(".net")]), wrong),
        ("one of two", permitted(&[dns("azure-devices.net")]), wrong), // the leaf has another name, too
        ("another organisation", permitted(&[organisation("Others")]), wrong),
        ("an organisation", excluded(&[organisation("Others")]), wrong), // in some other spelling it may be this one
        ("both", permitted(&[dns("azure-devices.net"), dns("other.example")]), fine),
        ("names of others", excluded(&[dns("example.com"), dns("hub.azure-devices.net")]), fine),
        ("addresses", permitted(&[tree(0x87, &[10, 0, 0, 0, 255, 0, 0, 0])]), fine),
        ("mail", permitted(&[tree(0x81, b"example.com")]), fine),
    ];
    for level in [0, 1] {
        for (what, content, expected) in &cases {
            for critical in [false, true] {
                let server = server_with(Family::P256, 2, |at, params| {
                    if at == level {
                        params.custom_extensions = vec![extension(30, critical, content.clone())];
                    }
                });
                let what = format!("{what}, level {level}, critical: {critical}");
                // A root that cannot be read is the caller's fault, not the server's.
                match (critical, A::CRITICAL_CONSTRAINT, level) {
                    (true, Error::BadCertificate, 0) => {
                        expect(adapter, &server, &what, Some(Error::Roots)).await;
                    }
                    (true, error @ Error::BadCertificate, _) => {
                        expect(adapter, &server, &what, Some(error)).await;
                    }
                    _ => expect(adapter, &server, &what, *expected).await,
                }
            }
        }
    }
    // Of a wildcard the host counts, too.
    let wildcard = server_with(Family::P256, 2, |at, params| match at {
        1 => params.custom_extensions = vec![extension(30, false, excluded(&[dns(HOST)]))],
        2 => params.subject_alt_names = names(&["*.azure-devices.net"]),
        _ => {}
    });
    expect(adapter, &wildcard, "a wildcard for an excluded host", Some(Error::WrongUsage)).await;
    // An address, a mail address and a URI in the leaf.
    let mail = SanType::Rfc822Name("a@example.com".try_into().unwrap());
    let address = |text: &str| SanType::IpAddress(text.parse().unwrap());
    for (name, constraint, expected) in [
        (address("10.1.2.3"), permitted(&[tree(0x87, &[10, 0, 0, 0, 255, 0, 0, 0])]), fine),
        (address("11.1.2.3"), permitted(&[tree(0x87, &[10, 0, 0, 0, 255, 0, 0, 0])]), wrong),
        (address("::1"), permitted(&[tree(0x87, &[10, 0, 0, 0, 255, 0, 0, 0])]), wrong),
        (address("10.1.2.3"), excluded(&[tree(0x87, &[10, 0, 0, 0, 255, 0, 0, 0])]), wrong),
        (mail.clone(), permitted(&[tree(0x81, b"example.com")]), wrong), // not understood, so not allowed
        (mail, permitted(&[tree(0x86, b"example.com")]), fine),
    ] {
        let what = format!("{name:?}");
        let server = server_with(Family::P256, 2, |at, params| match at {
            1 => params.custom_extensions = vec![extension(30, false, constraint.clone())],
            2 => params.subject_alt_names.push(name.clone()),
            _ => {}
        });
        expect(adapter, &server, &what, expected).await;
    }
}

/// No extension may come twice: of two, each reader might obey another.
async fn twice<A: Adapter>(adapter: &A) {
    let server = leaf(|params| {
        params.subject_alt_names = names(&["x.example"]);
        params.custom_extensions = vec![alternative(0x82, HOST.as_bytes())];
    });
    expect(adapter, &server, "two alternative names", Some(Error::BadCertificate)).await;
    let private = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![5, 0]);
    let server = leaf(|params| params.custom_extensions = vec![private.clone(), private.clone()]);
    expect(adapter, &server, "two private extensions", Some(Error::BadCertificate)).await;
    let server = server_with(Family::P256, 2, |level, params| {
        if level == 1 {
            params.custom_extensions = vec![extension(19, true, vec![0x30, 0])];
        }
    });
    expect(adapter, &server, "two basicConstraints", Some(Error::BadCertificate)).await;
}

async fn dates<A: Adapter>(adapter: &A) {
    for level in [0, 1, 2] {
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
        for (version, verdict) in verdicts(adapter, &server, &trust).await {
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
    for (version, verdict) in verdicts(adapter, &expired, &trust).await {
        assert_eq!(verdict, None, "{version:?}");
    }
    let other = Trust::new("other.example", &roots).unwrap();
    for (version, verdict) in verdicts(adapter, &expired, &other).await {
        assert_eq!(verdict, Some(Error::WrongHost), "{version:?}");
    }
    let stranger = pki::device();
    let roots = [stranger.root.as_slice()];
    let trust = Trust::new(HOST, &roots).unwrap();
    for (version, verdict) in verdicts(adapter, &expired, &trust).await {
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
        for (version, verdict) in verdicts(adapter, &server, &trust).await {
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
    for level in [0, 1] {
        let server = server_with(Family::P256, 2, |at, params| {
            if at == level {
                params.key_usages = vec![KeyUsagePurpose::CrlSign];
            }
        });
        expect(adapter, &server, "a CA that may not sign certificates", Some(Error::NotACa)).await;
    }
}

async fn usage<A: Adapter>(adapter: &A) {
    use ExtendedKeyUsagePurpose::{Any, ClientAuth, OcspSigning, ServerAuth};

    let client = leaf(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    expect(adapter, &client, "for clients only", Some(Error::WrongUsage)).await;
    let any = leaf(|params| params.extended_key_usages.clear());
    expect(adapter, &any, "no extended key usage", None).await;
    for usage in [KeyUsagePurpose::KeyEncipherment, KeyUsagePurpose::KeyCertSign] {
        let sealed = leaf(|params| params.key_usages = vec![usage]);
        expect(adapter, &sealed, "a key that may not sign", Some(Error::WrongUsage)).await;
    }
    let no_usages = leaf(|params| params.key_usages.clear());
    expect(adapter, &no_usages, "no key usage", None).await;
    let ca = leaf(|params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages.clear();
    });
    expect(adapter, &ca, "a leaf that is a CA", Some(Error::WrongUsage)).await;
    for level in [0, 1] {
        let server = |purposes: &[ExtendedKeyUsagePurpose]| {
            server_with(Family::P256, 2, |at, params| {
                if at == level {
                    params.extended_key_usages = purposes.to_vec();
                }
            })
        };
        for purposes in [&[ClientAuth][..], &[OcspSigning, ClientAuth], &[Any]] {
            let what = format!("a CA of level {level} for {purposes:?}");
            expect(adapter, &server(purposes), &what, Some(Error::WrongUsage)).await;
        }
        expect(adapter, &server(&[ClientAuth, ServerAuth]), "a CA for servers, too", None).await;
    }
    let constrained = server_with(Family::P256, 2, |level, params| {
        if level == 1 {
            params.name_constraints = Some(NameConstraints {
                permitted_subtrees: vec![GeneralSubtree::DnsName("example".into())],
                excluded_subtrees: Vec::new(),
            });
        }
    });
    expect(adapter, &constrained, "name constraint", Some(A::CRITICAL_CONSTRAINT)).await;
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
    for torn in [short, [&[0x30, 0x82, 1, 0][..], &[0; 256]].concat(), b"no certificate".repeat(20)] {
        let mut server = leaf(|_| {});
        server.chain[0] = torn;
        let roots = [server.root.as_slice()];
        let trust = Trust::new(HOST, &roots).unwrap().at(NOW);
        for (version, verdict) in verdicts(adapter, &server, &trust).await {
            assert_eq!(verdict, Some(Error::BadCertificate), "{version:?}");
        }
    }
}
