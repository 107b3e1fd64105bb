//! The policy of azure-iot-tls over any certificates, and SNTP over any datagram. Signatures are taken for good, so
//! that mutations get as far as the rules. What the policy takes for a server's certificate, rustls-webpki can read,
//! too.

use azure_iot_tls::sntp::Request;
use azure_iot_tls::x509::{self, Link, SignatureVerifier};
use azure_iot_tls::{Error, Trust};
use rustls_pki_types::CertificateDer;
use x509_cert::der::Decode;

struct Good;

impl SignatureVerifier for Good {
    fn verify(&mut self, _: &Link<'_>) -> Result<(), Error> {
        Ok(())
    }
}

/// Where revocation lists are to be had: webpki reads it, the policy does not.
const REVOCATION_LISTS: [u8; 3] = [0x55, 0x1d, 31];

/// A host's name in a line, then leaf, issuer and root, each behind its length in two bytes.
pub(crate) fn run(input: &[u8]) {
    sntp(input);
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return };
    let (host, rest) = (&input[..end], &input[end + 1..]);
    let mut parts = Parts(rest);
    let [leaf, issuer, root] = [parts.next(), parts.next(), parts.next()];
    let roots = [root];
    let Some(trust) = std::str::from_utf8(host).ok().and_then(|host| Trust::new(host, &roots).ok()) else {
        return;
    };
    issued(leaf);
    let trust = trust.at(1_700_000_000);
    let verdict = x509::verify(&trust, leaf, &[issuer, leaf, root].into_iter(), &mut Good);
    let readable = x509::check_roots(&trust).is_ok();
    assert!(readable || verdict.is_err(), "a root that cannot be read");
    let path = x509::check_path(&trust, &[leaf, issuer, root]);
    if readable && path.is_ok() {
        assert!(verdict.is_ok(), "a path that is not found: {verdict:?}");
    }
    if verdict.is_ok() && !leaf.windows(3).any(|id| id == REVOCATION_LISTS) {
        let leaf = CertificateDer::from(leaf);
        webpki::EndEntityCert::try_from(&leaf).expect("webpki reads it");
    }
}

/// What is read of an issued certificate, x509-cert reads, too, if it reads the certificate at all.
fn issued(der: &[u8]) {
    let Ok(leaf) = azure_iot_credentials::certificate::Leaf::parse(der) else { return };
    let Ok(other) = x509_cert::Certificate::from_der(der) else { return };
    let tbs = other.tbs_certificate();
    let validity =
        [tbs.validity().not_before, tbs.validity().not_after].map(|time| time.to_unix_duration().as_secs());
    assert_eq!([leaf.validity().not_before, leaf.validity().not_after], validity);
    let key = tbs.subject_public_key_info().subject_public_key.as_bytes();
    assert_eq!(key, Some(leaf.public_key().point()));
}

fn sntp(input: &[u8]) {
    let nonce = input.get(24..32).and_then(|nonce| nonce.try_into().ok()).unwrap_or_default();
    if let Ok(time) = Request::new(nonce).accept(input, 100, 1_700_000_000) {
        assert!(time.unix_seconds >= 1_700_000_000 && time.millis < 1_000);
    }
}

struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    fn next(&mut self) -> &'a [u8] {
        let Some((length, rest)) = self.0.split_first_chunk::<2>() else { return &[] };
        let (part, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()));
        self.0 = rest;
        part
    }
}

/// The cases of x509-limbo that have a server's name, and an answer of a time server.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let file = include_str!("../../../azure-iot-tls/tests/vectors/x509_limbo_subset.json");
    let file: serde_json::Value = serde_json::from_str(file).expect("vectors are JSON");
    let cases = file["testcases"].as_array().expect("vectors have cases");
    let der = |pem: &serde_json::Value| {
        let lines = pem.as_str().unwrap_or_default().lines().filter(|line| !line.starts_with('-'));
        let der =
            base64::Engine::decode(&base64::engine::general_purpose::STANDARD, lines.collect::<String>());
        der.unwrap_or_default()
    };
    let cases = cases.iter().filter_map(|case| {
        let host = case["expected_peer_name"]["value"].as_str()?;
        let parts =
            [&case["peer_certificate"], &case["untrusted_intermediates"][0], &case["trusted_certs"][0]];
        let mut seed = format!("{host}\n").into_bytes();
        for part in parts.map(der) {
            seed.extend(u16::try_from(part.len()).ok()?.to_be_bytes());
            seed.extend(part);
        }
        Some(seed)
    });
    let mut answer = vec![0; 48];
    answer[..8].copy_from_slice(&[0x24, 2, 6, 0xec, 0, 0, 0x10, 0]);
    answer[24..].fill(0xe9);
    cases.chain([answer]).collect()
}
