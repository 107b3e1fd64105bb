//! OpenSSL, as a strict and independent reader, takes what the profile `standard` issues.
#![cfg(target_os = "linux")]

use dice_core::key::SecretKey;
use dice_core::layer::{Layer, Leaf};
use dice_core::pem::{self, Label, Lines};
use dice_core::standard::{FirmwareInfo, Identity, VerificationCode};
use dice_core::tcg::{TcbFreshness, Ueid};
use dice_core::x509::Validity;
use dice_core::{FirmwareDigest, RegistrationId, Uds};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

fn openssl(directory: &Path, arguments: &str) -> Output {
    Command::new("openssl")
        .current_dir(directory)
        .args(arguments.split_whitespace())
        .stdin(Stdio::null())
        .output()
        .expect("these tests need the openssl command, version 3")
}

/// The output of a call that has to succeed.
fn accepted(directory: &Path, arguments: &str) -> String {
    let output = openssl(directory, arguments);
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "openssl {arguments}\n{text}");
    text
}

fn write_pem(directory: &TempDir, name: &str, label: Label, der: &[u8]) {
    let mut text = vec![0; pem::encoded_len(label, der.len(), Lines::Wrapped)];
    let text = pem::encode(label, der, Lines::Wrapped, &mut text).unwrap();
    std::fs::write(directory.path().join(name), text).unwrap();
}

/// All outputs of one identity as PEM files.
fn issue(uds: [u8; 32]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let uds = Uds::from_bytes(uds).unwrap();
    let firmware = FirmwareDigest::of(b"firmware").unwrap();
    let info = FirmwareInfo::new("MXCHIP", "AZ3166", "1.0.0", 7);
    let identity = Identity::derive(&uds, &firmware, &info).unwrap();
    let id = RegistrationId::new("az-c89346f8a1b2").unwrap();
    let code = VerificationCode::new("106A5SD242AF512B3498BD6098C4941E66R34H268DDB3288").unwrap();
    let mut out = [0; 1024];
    for (name, label, der) in [
        ("alias.pem", Label::Certificate, identity.alias_certificate(id, &mut out).unwrap().to_vec()),
        ("device-id.pem", Label::Certificate, identity.device_id_certificate(&mut out).unwrap().to_vec()),
        (
            "possession.pem",
            Label::Certificate,
            identity.possession_certificate(code, &mut out).unwrap().to_vec(),
        ),
        ("alias.csr", Label::CertificateRequest, identity.alias_request(id, &mut out).unwrap().to_vec()),
        ("device-id.csr", Label::CertificateRequest, identity.device_id_request(&mut out).unwrap().to_vec()),
        ("alias.key", Label::PrivateKey, identity.alias_key().to_pkcs8_der(&mut out).unwrap().to_vec()),
        ("alias-sec1.key", Label::EcPrivateKey, identity.alias_key().to_sec1_der(&mut out).unwrap().to_vec()),
        ("alias.pub", Label::PublicKey, identity.alias_key().public_key().to_spki().to_vec()),
    ] {
        write_pem(&directory, name, label, &der);
    }
    directory
}

const SECRET: [u8; 32] = *b"a device secret for tests only..";

#[test]
fn the_chain_verifies_strictly_as_a_tls_client_chain() {
    let directory = issue(SECRET);
    for arguments in [
        "verify -x509_strict -check_ss_sig -CAfile device-id.pem device-id.pem",
        "verify -x509_strict -purpose sslclient -CAfile device-id.pem alias.pem",
        "verify -x509_strict -CAfile device-id.pem possession.pem",
    ] {
        assert!(accepted(directory.path(), arguments).contains(": OK"), "{arguments}");
    }
    let other = issue(*b"another secret for tests only...");
    std::fs::copy(other.path().join("device-id.pem"), directory.path().join("other.pem")).unwrap();
    for arguments in [
        "verify -CAfile other.pem alias.pem",
        "verify -purpose sslserver -CAfile device-id.pem alias.pem",
        "verify -CAfile alias.pem possession.pem",
    ] {
        assert!(!openssl(directory.path(), arguments).status.success(), "{arguments}");
    }
}

#[test]
fn fields_read_as_written() {
    let directory = issue(SECRET);
    let alias = accepted(directory.path(), "x509 -in alias.pem -noout -text");
    for expected in [
        "Version: 3 (0x2)",
        "Subject: CN = az-c89346f8a1b2",
        "Issuer: CN = DeviceID-",
        "Not Before: Jan  1 00:00:00 2025 GMT",
        "Not After : Dec 31 23:59:59 9999 GMT",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "X509v3 Extended Key Usage: \n                TLS Web Client Authentication\n",
        "2.23.133.5.4.1: \n",
    ] {
        assert!(alias.contains(expected), "{expected:?} in\n{alias}");
    }
    let device_id = accepted(directory.path(), "x509 -in device-id.pem -noout -text");
    for expected in [
        "X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:0\n",
        "X509v3 Key Usage: critical\n                Certificate Sign\n",
    ] {
        assert!(device_id.contains(expected), "{expected:?} in\n{device_id}");
    }
    let identifiers = accepted(
        directory.path(),
        "x509 -in alias.pem -noout -ext subjectKeyIdentifier,authorityKeyIdentifier -subject -issuer",
    );
    let issuer = accepted(directory.path(), "x509 -in device-id.pem -noout -ext subjectKeyIdentifier");
    let issuer = issuer.lines().nth(1).unwrap().trim();
    assert!(identifiers.contains(issuer));
    assert!(identifiers.to_uppercase().contains(&format!("DEVICEID-{}", issuer.replace(':', ""))));
}

#[test]
fn requests_and_keys_are_taken() {
    let directory = issue(SECRET);
    for request in ["alias.csr", "device-id.csr"] {
        accepted(directory.path(), &format!("req -in {request} -verify -noout"));
    }
    let public = std::fs::read_to_string(directory.path().join("alias.pub")).unwrap();
    for key in ["alias.key", "alias-sec1.key"] {
        accepted(directory.path(), &format!("pkey -in {key} -check -noout"));
        assert_eq!(accepted(directory.path(), &format!("pkey -in {key} -pubout")), public);
    }
    assert_eq!(accepted(directory.path(), "x509 -in alias.pem -noout -pubkey"), public);
}

#[test]
fn a_ca_can_issue_the_device_id_certificate_from_the_request() {
    let directory = issue(SECRET);
    let path = directory.path();
    accepted(
        path,
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=Vendor -addext keyUsage=critical,keyCertSign -keyout ca.key -out ca.pem",
    );
    accepted(
        path,
        "x509 -req -in device-id.csr -CA ca.pem -CAkey ca.key -copy_extensions copyall -out issued.pem",
    );
    let chain = "verify -x509_strict -purpose sslclient -CAfile ca.pem -untrusted issued.pem alias.pem";
    assert!(accepted(path, chain).contains("alias.pem: OK"));
}

#[test]
fn a_chain_of_layers_verifies_strictly() {
    let directory = tempfile::tempdir().unwrap();
    let info = FirmwareInfo::new("ACME", "Widget", "1.0.0", 7);
    let valid = Validity::NO_EXPIRY;
    let image = |image: &[u8]| FirmwareDigest::of(image).unwrap();
    let mut out = [0; 1024];
    let layer = Layer::from_uds(&Uds::from_bytes(SECRET).unwrap()).unwrap();
    write_pem(
        &directory,
        "root.pem",
        Label::Certificate,
        layer.device_id_certificate(valid, &mut out).unwrap(),
    );
    let (layer, certificate) = layer.next(&image(b"rom"), &info, valid, &mut out).unwrap();
    write_pem(&directory, "1.pem", Label::Certificate, certificate);
    let (layer, certificate) = layer.next(&image(b"loader"), &info, valid, &mut out).unwrap();
    write_pem(&directory, "2.pem", Label::Certificate, certificate);
    let mut leaf = Leaf::tls_client(RegistrationId::new("device").unwrap());
    leaf.ueid = Some(Ueid(&[1; 17]));
    leaf.freshness = Some(TcbFreshness(&[2; 16]));
    let (_, certificate) = layer.leaf(&image(b"application"), &info, &leaf, valid, &mut out).unwrap();
    write_pem(&directory, "leaf.pem", Label::Certificate, certificate);
    let chain =
        "verify -x509_strict -purpose sslclient -CAfile root.pem -untrusted 1.pem -untrusted 2.pem leaf.pem";
    assert!(accepted(directory.path(), chain).contains("leaf.pem: OK"));
    let gap = "verify -CAfile root.pem -untrusted 2.pem leaf.pem";
    assert!(!openssl(directory.path(), gap).status.success());
}

/// A server that demands a client certificate takes alias + DeviceID, trusting the DeviceID certificate only.
#[test]
fn a_tls_server_takes_the_chain() {
    let directory = issue(SECRET);
    let path = directory.path();
    accepted(
        path,
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout s.key -out s.pem",
    );
    for version in ["-tls1_2", "-tls1_3"] {
        let mut server = Command::new("openssl")
            .current_dir(path)
            .args(["s_server", "-accept", "127.0.0.1:0", "-naccept", "1", "-key", "s.key", "-cert", "s.pem"])
            .args([
                "-CAfile",
                "device-id.pem",
                "-Verify",
                "2",
                "-verify_return_error",
                "-x509_strict",
                "-rev",
                version,
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(server.stdout.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("ACCEPT") {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "the server ended before it listened");
        }
        let address = line.trim().trim_start_matches("ACCEPT ").to_owned();
        let mut client = Command::new("openssl")
            .current_dir(path)
            .args(["s_client", "-connect", &address, "-cert", "alias.pem", "-key", "alias.key"])
            .args([
                "-cert_chain",
                "device-id.pem",
                "-CAfile",
                "s.pem",
                "-verify_return_error",
                "-quiet",
                version,
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // The server sends each line back reversed.
        let mut input = client.stdin.take().unwrap();
        input.write_all(b"drawer\n").unwrap();
        let mut answer = String::new();
        BufReader::new(client.stdout.take().unwrap()).read_line(&mut answer).unwrap();
        drop(input);
        client.kill().unwrap();
        client.wait().unwrap();
        server.kill().unwrap();
        let mut rest = String::new();
        log.read_to_string(&mut rest).unwrap();
        server.wait().unwrap();
        assert_eq!(answer, "reward\n", "{version}\n{rest}");
    }
}

#[test]
fn stated_key_sizes_are_exact() {
    let key: SecretKey = SecretKey::from_scalar(dice_core::Secret::new([1; 32])).unwrap();
    let mut out = [0; 256];
    let sec1 = key.to_sec1_der(&mut out).unwrap().len();
    assert_eq!(sec1, SecretKey::<dice_core::key::DefaultBackend>::SEC1_DER_LEN);
    let pkcs8 = key.to_pkcs8_der(&mut out).unwrap().len();
    assert_eq!(pkcs8, SecretKey::<dice_core::key::DefaultBackend>::PKCS8_DER_LEN);
}
