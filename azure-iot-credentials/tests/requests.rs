//! Requests and issued certificates, judged by OpenSSL and by rcgen's reader.

use std::io::Write as _;
use std::pin::pin;
use std::process::{Command, Stdio};
use std::task::{Context, Poll, Waker};

use azure_iot_credentials::certificate::{self, Leaf};
use azure_iot_credentials::key::{Curve, PrivateKey, PublicKey, RequestSigner, Signature};
use azure_iot_credentials::{Error, Policy, Renewal, Validity, request};
use proptest::prelude::*;
use rcgen::{CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, DnType, KeyPair};

/// What OpenSSL says to this on its standard input; `None` if it fails.
fn openssl(arguments: &[&str], input: &[u8]) -> Option<String> {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl runs");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    output.status.success().then(|| String::from_utf8_lossy(&text).into_owned())
}

fn key(curve: Curve) -> PrivateKey {
    PrivateKey::generate(curve, &mut rand::rng()).unwrap()
}

fn csr(name: &str, key: &PrivateKey) -> Vec<u8> {
    request::write(name, key, &mut [0; request::MAX_LEN]).unwrap().to_vec()
}

/// A chain of two for a request, by rcgen, which verifies the request's signature; and the root in PEM.
fn issue(csr: &[u8], name: &str) -> (Vec<u8>, String) {
    let mut root = CertificateParams::default();
    root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    root.distinguished_name.push(DnType::CommonName, "root");
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
    let read = CertificateSigningRequestParams::from_der(&csr.into()).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "somebody");
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(2026, 11, 1);
    params.not_after = rcgen::date_time_ymd(2026, 12, 1);
    let leaf = params.signed_by(&read.public_key, &root).unwrap();
    ([leaf.der().to_vec(), root.der().to_vec()].concat(), root.pem())
}

/// A key elsewhere, whose signatures are of the wrong curve, or do not come.
struct Slot(PublicKey, Option<Signature>);

impl RequestSigner for Slot {
    fn public_key(&self) -> Result<PublicKey, Error> {
        Ok(self.0)
    }

    fn sign(&self, _: &[u8]) -> Result<Signature, Error> {
        self.1.ok_or(Error::Signer)
    }
}

/// A random generator that is broken.
struct Zeros;
impl rand::TryRng for Zeros {
    type Error = core::convert::Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(0)
    }
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(0)
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        out.fill(0);
        Ok(())
    }
}
impl rand::TryCryptoRng for Zeros {}

#[test]
fn openssl_verifies_requests_and_the_certificates_issued_for_them() {
    for curve in [Curve::P256, Curve::P384] {
        let longest = "d".repeat(request::MAX_NAME);
        for name in ["a", "my-device", &longest] {
            let key = key(curve);
            let csr = csr(name, &key);
            let text = openssl(&["req", "-inform", "der", "-verify", "-noout", "-text"], &csr).unwrap();
            assert!(text.contains("verify OK"), "{text}");
            assert!(text.contains(&format!("CN = {name}")) || text.contains(&format!("CN={name}")), "{text}");
            let (hash, bits) = if curve == Curve::P256 { ("SHA256", 256) } else { ("SHA384", 384) };
            assert!(text.contains(&format!("ecdsa-with-{hash}")) && text.contains(&format!("({bits} bit)")));

            let (chain, root) = issue(&csr, name);
            let leaf = Leaf::parse(&chain).unwrap();
            assert_eq!(*leaf.public_key(), key.public_key().unwrap());
            assert_eq!(leaf.common_name(), name);
            let validity = Validity { not_before: 1_793_491_200, not_after: 1_796_083_200 };
            assert_eq!(leaf.validity(), validity);
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(root.as_bytes()).unwrap();
            let first = certificate::split(&chain).unwrap()[0];
            let file = file.path().to_str().unwrap();
            let verify = ["verify", "-no_check_time", "-CAfile", file];
            let pem = openssl(&["x509", "-inform", "der"], first).unwrap();
            assert!(openssl(&verify, pem.as_bytes()).unwrap().contains("OK"));

            let mut renewal = Renewal::new(Policy::DEFAULT, validity, 0);
            renewal.begin(key.clone());
            assert_eq!(renewal.issued(&chain, "other").unwrap_err(), Error::OtherName);
            assert_eq!(renewal.issued(&chain[..chain.len() - 1], name).unwrap_err(), Error::BadCertificate);
            let kept = renewal.issued(&chain, name).unwrap();
            assert_eq!(kept.scalar(), key.scalar());
            renewal.begin(self::key(curve));
            assert_eq!(renewal.issued(&chain, name).unwrap_err(), Error::OtherKey);
        }
    }
}

#[test]
fn a_request_is_refused_before_it_is_made() {
    let key = key(Curve::P256);
    let mut out = [0; request::MAX_LEN];
    for name in ["", &"d".repeat(65), &"d".repeat(300)] {
        assert_eq!(request::write(name, &key, &mut out).unwrap_err(), Error::Name);
    }
    let needed = request::write("d", &key, &mut out).unwrap().len();
    assert_eq!(
        request::write("d", &key, &mut out[..needed - 1]).unwrap_err(),
        Error::BufferTooSmall { needed }
    );

    let public = key.public_key().unwrap();
    let other = Signature::from_bytes(Curve::P384, &[1; 96]).unwrap();
    assert_eq!(request::write("d", &Slot(public, Some(other)), &mut out), Err(Error::Signer));
    assert_eq!(request::write("d", &Slot(public, None), &mut out), Err(Error::Signer));
    assert!(Error::Signer.is_retriable() && !Error::OtherKey.is_retriable());
}

/// A key whose signature is there when it is asked for the second time.
struct Slow(PrivateKey);

impl azure_iot_credentials::key::AsyncRequestSigner for Slow {
    fn public_key(&self) -> Result<PublicKey, Error> {
        RequestSigner::public_key(&self.0)
    }

    async fn sign(&self, digest: &[u8]) -> Result<Signature, Error> {
        let mut asked = false;
        std::future::poll_fn(|_| {
            if std::mem::replace(&mut asked, true) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        RequestSigner::sign(&self.0, digest)
    }
}

#[test]
fn an_awaited_signature_makes_the_same_request() {
    for curve in [Curve::P256, Curve::P384] {
        let key = key(curve);
        let (slow, mut out) = (Slow(key.clone()), [0; request::MAX_LEN]);
        let mut writing = pin!(request::write_async("my-device", &slow, &mut out));
        let mut context = Context::from_waker(Waker::noop());
        assert!(writing.as_mut().poll(&mut context).is_pending());
        let Poll::Ready(written) = writing.as_mut().poll(&mut context) else { panic!("signed") };
        assert_eq!(written.unwrap(), csr("my-device", &key));
    }
}

#[test]
fn keys_are_scalars_of_their_curve_and_are_not_printed() {
    for curve in [Curve::P256, Curve::P384] {
        let length = curve.scalar_len();
        for bad in [vec![0; length], vec![0xFF; length], vec![1; length - 1]] {
            assert_eq!(PrivateKey::from_scalar(curve, &bad).unwrap_err(), Error::Key);
        }
        let key = PrivateKey::from_scalar(curve, &vec![7; length]).unwrap();
        assert_eq!(key.scalar(), vec![7; length]);
        assert!(!format!("{key:?} {:?}", key.public_key()).contains("7,"));
        assert!(PublicKey::from_point(curve, &[4; 64]).is_err());
    }
    assert_eq!(PrivateKey::generate(Curve::P384, &mut Zeros).unwrap_err(), Error::Key);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..900),
        at: prop::sample::Index,
        bit in 0..8u8,
    ) {
        let _ = Leaf::parse(&bytes);
        let key = PrivateKey::from_scalar(Curve::P256, &[7; 32]).unwrap();
        let (mut chain, _) = issue(&csr("d", &key), "d");
        let at = at.index(chain.len());
        chain[at] ^= 1 << bit;
        if let Ok(leaf) = Leaf::parse(&chain) {
            prop_assert!(leaf.common_name().len() <= chain.len());
        }
        let _ = Leaf::parse(&chain[..at]);
    }
}
