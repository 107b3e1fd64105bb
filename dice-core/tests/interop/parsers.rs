//! Parsers that share no code with this crate print what the certificates say.

use crate::issued::{SECRET, issue};
use serde_json::{Value, json};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a program prints about a certificate.
fn shown(mut command: Command, certificate: &Path) -> String {
    let output = command
        .stdin(File::open(certificate).unwrap())
        .output()
        .unwrap_or_else(|error| panic!("this test needs the program in {command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text.into_owned()
}

/// Debian's Python, whose packages the set-up installs.
fn python(certificate: &Path) -> Value {
    let mut command = Command::new("/usr/bin/python3");
    command.arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/interop/show_tcb_info.py"));
    serde_json::from_str(&shown(command, certificate)).unwrap()
}

#[test]
fn asn1crypto_reads_every_field_as_written() {
    let folder = issue(SECRET);
    let alias = python(&folder.path().join("alias.pem"));
    let device_id = python(&folder.path().join("device-id.pem"));
    let digest = hex::encode(dice_core::FirmwareDigest::of(b"firmware").unwrap().as_bytes());
    assert_eq!(
        alias,
        json!({
            "subject": { "common_name": "az-c89346f8a1b2" },
            "issuer": device_id["subject"],
            "ca": false,
            "keyUsage": ["digital_signature"],
            "extKeyUsage": ["client_auth"],
            "keyIdentifier": alias["keyIdentifier"],
            "authorityKeyIdentifier": device_id["keyIdentifier"],
            "critical": ["2.5.29.15"],
            "tcbInfo": {
                "vendor": "MXCHIP",
                "model": "AZ3166",
                "version": "1.0.0",
                "svn": 7,
                "layer": 1,
                "index": 0,
                "fwids": [{ "hash_alg": "2.16.840.1.101.3.4.2.1", "digest": digest }],
                "flags": ["notConfigured"],
            },
        })
    );
    let name = format!("DeviceID-{}", device_id["keyIdentifier"].as_str().unwrap());
    assert_eq!(
        device_id,
        json!({
            "subject": { "common_name": name },
            "issuer": { "common_name": name },
            "ca": true,
            "keyUsage": ["key_cert_sign"],
            "extKeyUsage": null,
            "keyIdentifier": device_id["keyIdentifier"],
            "authorityKeyIdentifier": null,
            "critical": ["2.5.29.19", "2.5.29.15"],
        })
    );
}

#[test]
fn certtool_prints_the_extensions() {
    let folder = issue(SECRET);
    let mut command = Command::new("certtool");
    command.arg("--certificate-info");
    let text = shown(command, &folder.path().join("alias.pem"));
    for words in [
        "Subject: CN=az-c89346f8a1b2",
        "Key Usage (critical):\n\t\t\tDigital signature.",
        "Key Purpose (not critical):\n\t\t\tTLS WWW Client.",
        "Unknown extension 2.23.133.5.4.1 (not critical):",
        "80064d58434849508106415a33313636",
    ] {
        assert!(text.contains(words), "{words} in {text}");
    }
    let mut command = Command::new("certtool");
    command.current_dir(folder.path()).args(["--verify", "--load-ca-certificate", "device-id.pem"]);
    let text = shown(command, &folder.path().join("alias.pem"));
    assert!(text.contains("Chain verification output: Verified. The certificate is trusted."), "{text}");
}
