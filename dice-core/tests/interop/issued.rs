//! What the profile `standard` issues, as files for other programs.

use dice_core::pem::{self, Label, Lines};
use dice_core::standard::{FirmwareInfo, Identity, VerificationCode};
use dice_core::{FirmwareDigest, RegistrationId, Uds};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

pub(crate) const SECRET: [u8; 32] = *b"a device secret for tests only..";

pub(crate) fn openssl(directory: &Path, arguments: &str) -> Output {
    Command::new("openssl")
        .current_dir(directory)
        .args(arguments.split_whitespace())
        .stdin(Stdio::null())
        .output()
        .expect("these tests need the openssl command, version 3")
}

/// The output of a call that has to succeed.
pub(crate) fn accepted(directory: &Path, arguments: &str) -> String {
    let output = openssl(directory, arguments);
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "openssl {arguments}\n{text}");
    text
}

pub(crate) fn write_pem(directory: &TempDir, name: &str, label: Label, der: &[u8]) {
    let mut text = vec![0; pem::encoded_len(label, der.len(), Lines::Wrapped)];
    let text = pem::encode(label, der, Lines::Wrapped, &mut text).unwrap();
    std::fs::write(directory.path().join(name), text).unwrap();
}

/// All outputs of one identity as PEM files.
pub(crate) fn issue(uds: [u8; 32]) -> TempDir {
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
