//! The policy against judges from outside: the cases of x509-limbo, and rustls-webpki on chains that nobody has
//! thought of.

use azure_iot_tls::x509::{self, Link, SignatureVerifier};
use azure_iot_tls::{Error, Signed, Trust};
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use serde_json::Value;
use std::sync::LazyLock;
use std::time::Duration;

const HOST: &str = "my-hub.azure-devices.net";
const NOW: u64 = 1_781_481_600;

/// Signatures by ring, as rustls has them.
struct Ring;

impl SignatureVerifier for Ring {
    fn verify(&mut self, link: &Link<'_>) -> Result<(), Error> {
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        let algorithm = algorithms.all.iter().find(|known| {
            known.public_key_alg_id().as_ref() == link.key.identifier()
                && known.signature_alg_id().as_ref() == link.algorithm.identifier()
        });
        let verified = algorithm.ok_or(Error::UnsupportedAlgorithm)?.verify_signature(
            link.key.as_bytes(),
            link.message,
            link.signature,
        );
        verified.map_err(|_| Error::BadSignature(Signed::Certificate))
    }
}

/// A root, what a server sends, and the time.
struct Case<'a> {
    host: &'a str,
    roots: &'a [Vec<u8>],
    leaf: &'a [u8],
    others: &'a [Vec<u8>],
    now: u64,
}

impl Case<'_> {
    fn ours(&self) -> Result<(), Error> {
        let roots: Vec<&[u8]> = self.roots.iter().map(Vec::as_slice).collect();
        let trust = Trust::new(self.host, &roots)?.at(self.now);
        x509::check_roots(&trust)?;
        x509::verify(&trust, self.leaf, &self.others.iter().map(Vec::as_slice), &mut Ring).map(|_| ())
    }

    /// What rustls-webpki says to the same.
    fn webpki(&self) -> Result<(), webpki::Error> {
        let roots: Vec<_> = self.roots.iter().map(|root| CertificateDer::from(root.as_slice())).collect();
        let anchors: Result<Vec<_>, _> = roots.iter().map(webpki::anchor_from_trusted_cert).collect();
        let leaf = CertificateDer::from(self.leaf);
        let leaf = webpki::EndEntityCert::try_from(&leaf)?;
        let others: Vec<_> = self.others.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(self.now));
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        let usage = webpki::KeyUsage::server_auth();
        leaf.verify_for_usage(algorithms.all, &anchors?, &others, now, usage, None, None)?;
        leaf.verify_is_valid_for_subject_name(&ServerName::try_from(self.host).unwrap())
    }
}

/// What x509-limbo wants refused and the policy accepts: rules for authorities, which say nothing about whom to
/// believe.
const LENIENT: &[&str] = &[
    "rfc5280::aki::leaf-missing-aki", // key identifiers are hints for finding a path
    "rfc5280::aki::intermediate-missing-aki",
    "rfc5280::aki::cross-signed-root-missing-aki",
    "rfc5280::ski::root-missing-ski",
    "rfc5280::ski::intermediate-missing-ski",
    "rfc5280::serial::zero",
    "rfc5280::root-non-critical-basic-constraints",
    "rfc5280::leaf-ku-keycertsign", // it is no CA all the same
];

/// What it wants accepted and the policy refuses.
const STRICT: &[(&str, &str)] = &[
    ("pathlen::validation-ignores-pathlen-in-leaf", "a leaf that is a CA"),
    ("rfc5280::ca-as-leaf", "a leaf that is a CA"),
    ("pathlen::self-issued-certs-pathlen", "self-issued CAs count, as in rustls-webpki"),
    ("rfc5280::unknown-critical-extension-unrelated-root", "all roots have to be readable"),
];

#[test]
fn x509_limbo() {
    let file: Value = serde_json::from_str(include_str!("vectors/x509_limbo_subset.json")).unwrap();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for case in file["testcases"].as_array().unwrap() {
        let (id, name) = (case["id"].as_str().unwrap(), case["expected_peer_name"]["value"].as_str());
        let Some(host) = name.filter(|_| case["expected_peer_name"]["kind"] == "DNS") else { continue };
        // Its longest chain is a setting that there is none of here.
        if !case["max_chain_depth"].is_null() || Trust::new(host, &[b""]).is_err() {
            continue;
        }
        let der =
            |pem: &Value| CertificateDer::from_pem_slice(pem.as_str().unwrap().as_bytes()).unwrap().to_vec();
        let all = |list: &Value| list.as_array().unwrap().iter().map(der).collect::<Vec<_>>();
        let (leaf, others, roots) = (
            der(&case["peer_certificate"]),
            all(&case["untrusted_intermediates"]),
            all(&case["trusted_certs"]),
        );
        let now = case["validation_time"].as_str().map_or(NOW, seconds);
        let verdict = Case { host, roots: &roots, leaf: &leaf, others: &others, now }.ours();
        let expected = case["expected_result"] == "SUCCESS";
        count += 1;
        if verdict.is_ok() != expected
            && !LENIENT.contains(&id)
            && !STRICT.iter().any(|(strict, _)| *strict == id)
        {
            wrong.push(format!("{id}: {verdict:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(count > 45, "{count}");
}

/// `YYYY-MM-DDThh:mm:ss`, in seconds since 1970.
fn seconds(text: &str) -> u64 {
    let number = |range: std::ops::Range<usize>| text[range].parse::<u8>().unwrap();
    let date = der::DateTime::new(
        text[..4].parse().unwrap(),
        number(5..7),
        number(8..10),
        number(11..13),
        number(14..16),
        number(17..19),
    );
    date.unwrap().unix_duration().as_secs()
}

static KEYS: LazyLock<[KeyPair; 3]> =
    LazyLock::new(|| [(); 3].map(|()| KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()));

/// Root, issuing CA and leaf, each bent as told.
fn chain(bends: &[(usize, Bend)]) -> [Vec<u8>; 3] {
    let mut made = Vec::new();
    let mut issuer: Option<Issuer<'_, &KeyPair>> = None;
    for (level, key) in KEYS.iter().enumerate() {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, format!("level {level}"));
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2040, 1, 1));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        if level == 2 {
            params.is_ca = IsCa::NoCa;
            params.subject_alt_names = vec![SanType::DnsName(HOST.try_into().unwrap())];
        }
        bends.iter().filter(|(at, _)| *at == level).for_each(|(_, bend)| bend.apply(&mut params));
        let cert = match &issuer {
            None => params.self_signed(key).unwrap(),
            Some(issuer) => params.signed_by(key, issuer).unwrap(),
        };
        made.push(cert.der().to_vec());
        issuer = Some(Issuer::new(params, key));
    }
    made.try_into().unwrap()
}

/// Something unusual in a certificate.
#[derive(Debug, Clone)]
enum Bend {
    Name(String),
    NoName,
    Ca(Option<u8>),
    NoCa,
    Usage(KeyUsagePurpose),
    Purpose(ExtendedKeyUsagePurpose),
    Dates(i32, i32),
    /// Any extension that counts, with any content.
    Extension(u64, bool, Vec<u8>),
    /// A name constraint: permitted or excluded, the choice of a name, and a base.
    Constraint(bool, u8, Vec<u8>),
}

impl Bend {
    fn apply(&self, params: &mut CertificateParams) {
        match self.clone() {
            Self::Name(name) => {
                params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into().unwrap()));
            }
            Self::NoName => params.subject_alt_names.clear(),
            Self::Ca(None) => params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            Self::Ca(Some(most)) => params.is_ca = IsCa::Ca(BasicConstraints::Constrained(most)),
            Self::NoCa => params.is_ca = IsCa::NoCa,
            Self::Usage(usage) => params.key_usages.push(usage),
            Self::Purpose(purpose) => params.extended_key_usages.push(purpose),
            Self::Dates(from, to) => {
                (params.not_before, params.not_after) =
                    (date_time_ymd(from, 6, 15), date_time_ymd(to, 6, 15));
            }
            Self::Extension(number, critical, content) => {
                let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, number], content);
                extension.set_criticality(critical);
                params.custom_extensions.push(extension);
            }
            Self::Constraint(permitted, choice, base) => {
                let wrap = |tag: u8, content: &[u8]| {
                    [&[tag, u8::try_from(content.len()).unwrap()], content].concat()
                };
                let tree = wrap(0x30, &wrap(0x80 | choice, &base));
                let content = wrap(0x30, &wrap(if permitted { 0xa0 } else { 0xa1 }, &tree));
                params.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 30], content));
            }
        }
    }
}

fn bend() -> impl Strategy<Value = Bend> {
    let name = prop_oneof![
        Just(HOST.to_owned()),
        Just("*.azure-devices.net".to_owned()),
        Just("*.net".to_owned()),
        "[a-z*.]{1,6}(azure-devices\\.)?net",
    ];
    let domain = prop_oneof![
        Just(b"azure-devices.net".to_vec()),
        Just(b".azure-devices.net".to_vec()),
        Just(HOST.as_bytes().to_vec()),
        Just(b"net".to_vec()),
        Just(Vec::new()),
        prop::collection::vec(any::<u8>(), 0..9),
    ];
    prop_oneof![
        name.prop_map(Bend::Name),
        Just(Bend::NoName),
        prop::option::of(0..3_u8).prop_map(Bend::Ca),
        Just(Bend::NoCa),
        prop::sample::select(vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::KeyEncipherment,
        ])
        .prop_map(Bend::Usage),
        prop::sample::select(vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::Any,
        ])
        .prop_map(Bend::Purpose),
        (2020..2035, 2020..2060).prop_map(|(from, to)| Bend::Dates(from, to)),
        (
            prop::sample::select(vec![14_u64, 15, 17, 18, 19, 30, 32, 35, 36, 37, 54]),
            any::<bool>(),
            prop_oneof![
                Just(vec![0x30, 0]),
                Just(vec![0x30, 3, 1, 1, 0xff]),
                Just(vec![3, 2, 5, 0xa0]),
                prop::collection::vec(any::<u8>(), 0..12),
            ],
        )
            .prop_map(|(number, critical, content)| Bend::Extension(number, critical, content)),
        (any::<bool>(), prop::sample::select(vec![1_u8, 2, 2, 2, 4, 6, 7]), domain)
            .prop_map(|(permitted, choice, base)| Bend::Constraint(permitted, choice, base)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    /// Whoever is accepted here is accepted by rustls-webpki, too; and a path that was found is one that may be
    /// taken. Where revocation lists are to be had (extension 31) is left out: webpki reads it, the policy has no use
    /// for it.
    #[test]
    fn never_more_lenient_than_webpki(bends in prop::collection::vec((0..3_usize, bend()), 0..4)) {
        let [root, issuer, leaf] = chain(&bends);
        let roots = [root.clone()];
        let case = Case { host: HOST, roots: &roots, leaf: &leaf, others: std::slice::from_ref(&issuer), now: NOW };
        let ours = case.ours();
        if ours.is_ok() {
            let theirs = case.webpki();
            prop_assert!(theirs.is_ok(), "{:?}", theirs);
        }
        // Both ways of asking give one answer.
        let der = [root.as_slice()];
        let trust = Trust::new(HOST, &der).unwrap().at(NOW);
        let path = x509::check_path(&trust, &[&leaf, &issuer, &root]).map(|_| ());
        if x509::check_roots(&trust).is_ok() && ours != Err(Error::UnknownCa) {
            prop_assert_eq!(ours, path);
        }
    }
}

#[test]
fn every_bit_of_a_certificate_counts() {
    let [root, issuer, leaf] = chain(&[]);
    let (roots, others) = ([root], [issuer]);
    let verdict = |leaf: &[u8]| Case { host: HOST, roots: &roots, leaf, others: &others, now: NOW }.ours();
    assert_eq!(verdict(&leaf), Ok(()));
    for at in 0..leaf.len() {
        for bit in 0..8 {
            let mut leaf = leaf.clone();
            leaf[at] ^= 1 << bit;
            assert!(verdict(&leaf).is_err(), "{at} {bit}");
        }
        assert_eq!(verdict(&leaf[..at]), Err(Error::BadCertificate));
    }
}

/// Whatever byte is another one: what is taken for a certificate, signatures aside, rustls-webpki can read, too. It
/// once was not so: a name was taken without a look at its tag, and primitive values for constructed ones.
#[test]
fn what_is_read_is_a_certificate() {
    struct Good;
    impl SignatureVerifier for Good {
        fn verify(&mut self, _: &Link<'_>) -> Result<(), Error> {
            Ok(())
        }
    }
    let [root, issuer, leaf] = chain(&[]);
    let roots = [root.as_slice()];
    let trust = Trust::new(HOST, &roots).unwrap().at(NOW);
    let mut read = 0;
    for at in 0..leaf.len() {
        for bit in 0..8 {
            let mut leaf = leaf.clone();
            leaf[at] ^= 1 << bit;
            if x509::verify(&trust, &leaf, &[issuer.as_slice()].into_iter(), &mut Good).is_ok() {
                read += 1;
                let der = CertificateDer::from(leaf.as_slice());
                assert!(webpki::EndEntityCert::try_from(&der).is_ok(), "{at} {bit}");
            }
        }
    }
    assert!(read > 1_000, "the signature and the key alone have as many bits: {read}");
}

/// A CA with more constraints than are compared, and a leaf with more names.
#[test]
fn constraints_are_bounded() {
    let wrap = |tag: u8, content: &[u8]| {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82], &length[..], content].concat()
    };
    let tree = [0x30, 4, 0x82, 2, b'x', b'y'];
    for (trees, names, expected) in
        [(64, 250, Ok(())), (65, 1, Err(Error::BadCertificate)), (64, 300, Err(Error::WrongUsage))]
    {
        let content = [
            &[0x30, 0x82][..],
            &u16::try_from(trees * 6 + 4).unwrap().to_be_bytes(),
            &wrap(0xa1, &tree.repeat(trees)),
        ]
        .concat();
        let mut bends = vec![(1, Bend::Extension(30, false, content))];
        bends.extend((0..names).map(|n| (2, Bend::Name(format!("a{n}.example")))));
        let [root, issuer, leaf] = chain(&bends);
        let (roots, others) = ([root], [issuer]);
        let case = Case { host: HOST, roots: &roots, leaf: &leaf, others: &others, now: NOW };
        assert_eq!(case.ours(), expected, "{trees} {names}");
    }
}

/// CAs that sign each other, and copies of them: no way leads to the root, and none is walked for ever. With the root
/// above one of them there is a way, and it is found.
#[test]
fn circles() {
    let [first_key, second_key, leaf_key] = &*KEYS;
    let params = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    };
    let [first, second, top] = ["first", "second", "top"].map(params);
    let sign = |params: &CertificateParams, key: &KeyPair, by: &CertificateParams, with: &KeyPair| {
        params.signed_by(key, &Issuer::new(by.clone(), with)).unwrap().der().to_vec()
    };
    let leaf = CertificateParams::new(vec![HOST.into()]).unwrap();
    let leaf = sign(&leaf, leaf_key, &first, first_key);
    let top_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let root = top.self_signed(&top_key).unwrap().der().to_vec();
    let circle = [sign(&first, first_key, &second, second_key), sign(&second, second_key, &first, first_key)];
    let verdict = |others: &[Vec<u8>]| {
        Case { host: HOST, roots: std::slice::from_ref(&root), leaf: &leaf, others, now: NOW }.ours()
    };
    assert_eq!(verdict(&circle), Err(Error::UnknownCa));
    let with_a_way = [&circle[..], &[sign(&second, second_key, &top, &top_key)]].concat();
    assert_eq!(verdict(&with_a_way), Ok(()));
    let copies: Vec<Vec<u8>> = circle.iter().cycle().take(16).cloned().collect();
    assert_eq!(verdict(&copies), Err(Error::PathTooLong));
    // Many certificates of one name and different keys.
    let strangers = (0..40).map(|_| {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        first.self_signed(&key).unwrap().der().to_vec()
    });
    assert_eq!(verdict(&strangers.collect::<Vec<_>>()), Err(Error::PathTooLong));
}
