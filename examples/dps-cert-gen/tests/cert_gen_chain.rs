//! What `dps-cert-gen` makes beside the leaf, and `dps-cert-gen verify`: one device, its enrolments, its verifier.

use std::ffi::OsString;
use std::path::Path;

use dice_core::standard::{FirmwareInfo, Identity};
use dice_core::x509::Validity;
use dice_core::{FirmwareDigest, RegistrationId, Uds, pem};
use serde_json::Value;
use tempfile::TempDir;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::request::CertReq;

const UDS: &str = "19e25a259d0c2be03a02d416c05c48ccd0cc7d1743458aae1cb488b074993eae";
/// Vector table, then code.
const IMAGE: &[u8] = b"\0\0\x04\x20\x01\xc4\0\x08\x03\xc4\0\x08\x05\xc4\0\x08the whole firmware image";

/// Runs the program in a folder: (what it prints, or what is wrong).
fn run(folder: &TempDir, words: &[&str]) -> Result<String, String> {
    let inside = |word: &&str| match word.strip_prefix('@') {
        Some(file) => folder.path().join(file).into_os_string(),
        None => OsString::from(word),
    };
    let words = std::iter::once("dps-cert-gen".into()).chain(words.iter().map(inside)).collect();
    let mut printed = Vec::new();
    match dps_cert_gen::run(words, &mut std::io::empty(), &mut printed) {
        Ok(()) => Ok(String::from_utf8(printed).unwrap()),
        Err(error) => Err(format!("{}{error:#}", String::from_utf8(printed).unwrap())),
    }
}

fn device(folder: &TempDir, more: &[&str]) -> Result<String, String> {
    let words = ["-b", "@image", "--firmware-version", "1.2.3", "-u", UDS, "-i", "my-device"];
    run(folder, &words.iter().chain(more).copied().collect::<Vec<_>>())
}

fn project() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("image"), IMAGE).unwrap();
    folder
}

/// A folder with chain, anchor and reference values.
fn enrolled() -> TempDir {
    let folder = project();
    for (what, file) in [("chain", "@chain"), ("device-id", "@anchor"), ("reference-values", "@references")] {
        device(&folder, &["--make", what, "-o", file]).unwrap();
    }
    folder
}

fn read(folder: &TempDir, file: &str) -> String {
    std::fs::read_to_string(folder.path().join(file)).unwrap()
}

fn verify(folder: &TempDir, more: &[&str]) -> Result<String, String> {
    let words = ["verify", "@chain", "--anchor", "@anchor"];
    run(folder, &words.iter().chain(more).copied().collect::<Vec<_>>())
}

fn der(label: pem::Label, text: &str) -> Vec<u8> {
    let mut out = vec![0; text.len()];
    pem::decode(label, text, &mut out).unwrap().0.to_vec()
}

const REFERENCES: &[&str] = &["--reference-values", "@references"];

#[test]
fn every_output_is_what_the_device_would_make() {
    let folder = project();
    let info = FirmwareInfo::new("MXCHIP", "AZ3166", "1.2.3", 1);
    let identity =
        Identity::derive(&Uds::from_hex(UDS).unwrap(), &FirmwareDigest::of(IMAGE).unwrap(), &info).unwrap();
    let mut out = [0; 1024];
    let text = |label, der: &[u8]| dps_cert_gen::make::to_pem(label, der, pem::Lines::Wrapped).unwrap();
    let id = RegistrationId::new("my-device").unwrap();
    let leaf = text(pem::Label::Certificate, identity.alias_certificate(id, &mut out).unwrap());
    let device_id = text(pem::Label::Certificate, identity.device_id_certificate(&mut out).unwrap());
    let request = text(pem::Label::CertificateRequest, identity.alias_request(id, &mut out).unwrap());
    let device_id_request =
        text(pem::Label::CertificateRequest, identity.device_id_request(&mut out).unwrap());
    let code = dice_core::standard::VerificationCode::new("106A5SD2").unwrap();
    let possession = text(pem::Label::Certificate, identity.possession_certificate(code, &mut out).unwrap());
    for (what, expected) in [
        ("certificate", leaf.clone()),
        ("chain", format!("{leaf}{device_id}")),
        ("device-id", device_id),
        ("request", request),
        ("device-id-request", device_id_request),
    ] {
        assert_eq!(device(&folder, &["--make", what, "-o", "-"]).unwrap(), expected, "{what}");
    }
    let made = device(&folder, &["--make", "possession", "--code", "106A5SD2", "-o", "-"]).unwrap();
    assert_eq!(made, possession);
    let certificate = Certificate::from_der(&der(pem::Label::Certificate, &made)).unwrap();
    assert_eq!(certificate.tbs_certificate().subject().to_string(), "CN=106A5SD2");
}

#[test]
fn the_device_id_needs_the_secret_only() {
    let folder = project();
    let with_image = device(&folder, &["--make", "device-id", "-o", "-"]).unwrap();
    assert_eq!(run(&folder, &["-u", UDS, "--make", "device-id", "-o", "-"]).unwrap(), with_image);
    let json: Value = serde_json::from_str(
        &run(&folder, &["-u", UDS, "--make", "device-id", "-o", "@x", "--json"]).unwrap(),
    )
    .unwrap();
    assert_eq!(json["subject"], json["issuer"]);
    assert_eq!(json["certificatePem"], json["deviceIdCertificatePem"]);
    assert_eq!((&json["fwid"], &json["made"]), (&Value::Null, &Value::from("device-id")));
    let request = run(&folder, &["-u", UDS, "--make", "device-id-request", "-o", "-"]).unwrap();
    let request = CertReq::from_der(&der(pem::Label::CertificateRequest, &request)).unwrap();
    assert_eq!(json["subject"], request.info.subject.to_string());
}

#[test]
fn reference_values_need_no_secret() {
    let folder = project();
    let words = ["-b", "@image", "--firmware-version", "1.2.3", "--make", "reference-values", "-o", "-"];
    let json = run(&folder, &words).unwrap();
    assert_eq!(json, device(&folder, &["--make", "reference-values", "-o", "-"]).unwrap());
    assert!(json.contains("\"sha-256;") && !json.contains(UDS), "{json}");
}

#[test]
fn what_does_not_go_together_is_refused() {
    let folder = project();
    std::fs::write(folder.path().join("map"), "").unwrap();
    for (words, expected) in [
        (
            &["-b", "@image", "-m", "@map", "-u", UDS, "-i", "x", "--make", "chain"][..],
            "riot makes the certificate only",
        ),
        (&["-u", UDS, "--make", "possession"], "--code"),
        (&["-u", UDS, "--make", "device-id", "--code", "1"], "--code is for --make possession"),
        (&["-u", UDS, "--make", "chain"], "firmware image"),
        (&["--make", "device-id"], "device secret"),
        (&["-u", UDS, "--make", "possession", "--code", "a b"], "character ' ' at position 1"),
        (&["-u", UDS, "verify", "@chain"], "cannot be used with"),
        (&["verify"], "--anchor"),
    ] {
        let message = run(&folder, words).unwrap_err();
        assert!(message.contains(expected), "{expected} in {message}");
    }
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn a_device_with_admitted_firmware_is_accepted() {
    let folder = enrolled();
    let told = verify(&folder, REFERENCES).unwrap();
    for words in [
        "CN=my-device\n",
        "vendor \"MXCHIP\"",
        "version \"1.2.3\"",
        "svn 1, layer 1",
        "sha-256;",
        "accepted\n",
    ] {
        assert!(told.contains(words), "{words} in {told}");
    }
    assert!(verify(&folder, &[]).unwrap().contains("any firmware may run"));
    // A chain without its anchor is as good, and so is JSON.
    device(&folder, &["--force", "-o", "@chain"]).unwrap();
    let json: Value =
        serde_json::from_str(&verify(&folder, &[REFERENCES, &["--json"]].concat()).unwrap()).unwrap();
    assert_eq!((&json["accepted"], &json["layers"][0]["evidence"][0]["svn"]), (&true.into(), &1.into()));
}

#[test]
fn every_refusal_says_which_certificate_and_why() {
    let folder = enrolled();
    let references = read(&folder, "references");
    let write = |file: &str, text: &str| std::fs::write(folder.path().join(file), text).unwrap();
    for (from, to, expected) in [
        ("sha-256;", "sha-256;00", "33 bytes"),
        ("\"value\": 1", "\"value\": 2", "certificate CN=my-device: security version number 1 is below 2"),
        ("\"notConfigured\"", "", "certificate CN=my-device: state flags 0x80000000 are not admitted"),
        ("AZ3166", "AZ3167", "certificate CN=my-device: no reference value is for this component"),
        ("op-flags", "opflags", "unknown field `opflags`"),
    ] {
        write("references", &references.replace(from, to));
        let message = verify(&folder, REFERENCES).unwrap_err();
        assert!(message.contains(expected), "{expected} in {message}");
    }
    write("references", &references);

    // Another firmware.
    std::fs::write(folder.path().join("image"), [IMAGE, b"another firmware"].concat()).unwrap();
    device(&folder, &["--force", "--make", "chain", "-o", "@chain"]).unwrap();
    let message = verify(&folder, REFERENCES).unwrap_err();
    assert!(
        message.contains("CN=my-device: the firmware digest is not that of any reference value"),
        "{message}"
    );
    let json = verify(&folder, &[REFERENCES, &["--json"]].concat()).unwrap_err();
    assert!(
        json.contains("\"accepted\": false") && json.contains("\"certificate\": \"my-device\""),
        "{json}"
    );
    assert!(verify(&folder, &[]).is_ok(), "the same device");

    // Another purpose.
    let message = verify(&folder, &["--purpose", "attest"]).unwrap_err();
    assert!(message.contains("certificate CN=my-device: extKeyUsage lacks the purpose"), "{message}");
    assert!(verify(&folder, &["--purpose", "any"]).is_ok());

    // Before the certificates were valid.
    let message = verify(&folder, &["--at", "0"]).unwrap_err();
    assert!(message.contains("DeviceID-") && message.contains("valid from 2025-01-01"), "{message}");

    // Another device.
    let other = UDS.replace("eae", "eaf");
    run(&folder, &["-u", &other, "--make", "device-id", "--force", "-o", "@anchor"]).unwrap();
    let message = verify(&folder, &[]).unwrap_err();
    assert!(message.contains("refused: certificate CN=DeviceID-"), "{message}");

    // Damage.
    let chain = read(&folder, "chain");
    write("chain", &chain[..chain.len() - 30]);
    let message = verify(&folder, &[]).unwrap_err();
    assert!(
        message.contains("chain: line ") && message.contains("the block CERTIFICATE has no end"),
        "{message}"
    );
    write("chain", "nothing");
    assert!(verify(&folder, &[]).unwrap_err().contains("there is no certificate in it"));
    write("anchor", &chain);
    assert!(verify(&folder, &[]).unwrap_err().contains("expected one certificate as the anchor, found 2"));
}

/// A CA above the device says nothing about firmware; the device's own layers have to.
#[test]
fn a_ca_above_the_device_does_not_replace_evidence() {
    use dice_core::key::SecretKey;
    use dice_core::standard::DeviceIdCertificate;
    let folder = enrolled();
    let key: SecretKey = SecretKey::from_scalar(dice_core::Secret::new([7; 32])).unwrap();
    let mut out = [0; 1024];
    let root = DeviceIdCertificate { key: key.public_key(), path_len: None, validity: Validity::NO_EXPIRY };
    let root = root.to_be_signed(&mut out).unwrap().sign(&key).unwrap().to_vec();
    let write = |file: &str, der: &[u8]| {
        let text = dps_cert_gen::make::to_pem(pem::Label::Certificate, der, pem::Lines::Wrapped).unwrap();
        std::fs::write(folder.path().join(file), text).unwrap();
    };
    // A leaf without TcbInfo, right below the CA.
    let code = dice_core::standard::VerificationCode::new("bare").unwrap();
    let bare = dice_core::standard::PossessionCertificate {
        key: key.public_key(),
        code,
        validity: Validity::NO_EXPIRY,
    };
    write("chain", bare.to_be_signed(&mut out).unwrap().sign(&key).unwrap());
    write("anchor", &root);
    let message = verify(&folder, REFERENCES).unwrap_err();
    assert!(message.contains("certificate CN=bare"), "{message}");
}

#[test]
fn names_of_files_say_what_they_are() {
    let folder = project();
    let before = std::env::current_dir().unwrap();
    // The one test of this file that depends on the current directory runs as a process of its own.
    let tool = |words: &[&str], cwd: &Path| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_dps-cert-gen"))
            .args(words)
            .current_dir(cwd)
            .output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let firmware = ["-b", "image", "--firmware-version", "1.2.3"];
    let named = [&firmware[..], &["-u", UDS, "-i", "dev"]].concat();
    for (what, file) in [
        ("certificate", "dev.pem"),
        ("chain", "dev-chain.pem"),
        ("device-id", "dev-device-id.pem"),
        ("request", "dev.csr"),
        ("device-id-request", "dev-device-id.csr"),
    ] {
        let told = tool(&[&named[..], &["--make", what, "--print"]].concat(), folder.path());
        assert!(told.contains("Next") || told.contains("presents this chain"), "{told}");
        assert!(folder.path().join(file).is_file(), "{file}");
    }
    tool(&[&firmware[..], &["--make", "reference-values"]].concat(), folder.path());
    assert!(folder.path().join("reference-values.json").is_file());
    let told = tool(&["-u", UDS, "--make", "device-id"], folder.path());
    assert!(told.starts_with("DeviceID-") && told.ends_with("-device-id.pem written\n"), "{told}");
    assert_eq!(std::env::current_dir().unwrap(), before);
}

#[test]
fn what_is_no_image_is_not_measured() {
    let folder = project();
    let write = |bytes: &[u8]| std::fs::write(folder.path().join("image"), bytes).unwrap();
    for (bytes, words) in [
        (&b"\x7fELF\x01\x01\x01\0"[..], "is an ELF file"),
        (b":10C000000000042001C4000803C4000805C4000842", "is Intel HEX"),
        (b"S31508000000", "is Motorola SREC"),
        (b"the whole firmware image", "is a text"),
        (&[0; 1024], "every byte is 0x00"),
        (&[7, 8, 9, 10].repeat(100), "vector table"),
    ] {
        write(bytes);
        for what in ["certificate", "chain", "request", "reference-values"] {
            let message = device(&folder, &["--make", what, "-o", "-"]).unwrap_err();
            assert!(message.contains(words) && message.contains("--force-image"), "{message}");
        }
        assert!(device(&folder, &["--force-image", "-o", "-"]).is_ok());
        assert!(device(&folder, &["--make", "device-id", "-o", "-"]).is_ok(), "measures nothing");
    }
    write(b"");
    assert!(device(&folder, &["--force-image", "-o", "-"]).unwrap_err().contains("no firmware"));
}

/// The files that OpenSSL, GnuTLS and Java make of a chain; each tool is used where it is installed.
#[test]
fn what_real_tools_write_is_verified() {
    let folder = enrolled();
    let path = |file: &str| folder.path().join(file).into_os_string().into_string().unwrap();
    let blocks: Vec<_> =
        read(&folder, "chain").split_inclusive("-----END CERTIFICATE-----\n").map(str::to_owned).collect();
    let [leaf, root] = &blocks[..] else { panic!("a leaf and its CA") };
    for (file, text) in [("leaf.pem", leaf), ("root.pem", root)] {
        std::fs::write(path(file), text).unwrap();
    }
    let tool = |words: &str, input: &str| {
        let words: Vec<_> =
            words.split(' ').map(|word| word.strip_prefix('@').map_or(word.to_owned(), path)).collect();
        let stdin = std::fs::File::open(path(input)).unwrap();
        match std::process::Command::new(&words[0]).args(&words[1..]).stdin(stdin).output() {
            Ok(output) => {
                assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
                Some(output.stdout)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => panic!("{words:?}: {error}"),
        }
    };
    let check = |chain: &[u8]| {
        std::fs::write(path("chain"), chain).unwrap();
        verify(&folder, REFERENCES)
    };
    let mut used = 0;
    for command in [
        "openssl x509",
        "openssl x509 -text",
        "openssl x509 -outform DER",
        "openssl x509 -subject -issuer -dates -fingerprint",
        "certtool --certificate-info",
        "certtool --certificate-info --outder",
        "keytool -printcert -rfc",
    ] {
        if let (Some(leaf), Some(root)) = (tool(command, "leaf.pem"), tool(command, "root.pem")) {
            used += 1;
            // The leaf alone, which has to be found, and the whole chain.
            for chain in [leaf.clone(), [leaf, root].concat()] {
                let told = check(&chain).unwrap_or_else(|error| panic!("{command}: {error}"));
                assert!(told.contains("CN=my-device"), "{command}: {told}");
            }
        }
    }
    for (command, words) in [
        ("openssl x509 -trustout", "TRUSTED CERTIFICATE"),
        ("openssl crl2pkcs7 -nocrl -certfile @leaf.pem", "openssl pkcs7"),
        ("openssl crl2pkcs7 -nocrl -certfile @leaf.pem -outform DER", "openssl pkcs7"),
        ("openssl x509 -noout -text", "there is no certificate in it"),
        ("openssl pkcs12 -export -nokeys -passout pass:x -in @leaf.pem", "PKCS#12"),
    ] {
        if let Some(written) = tool(command, "leaf.pem") {
            used += 1;
            let message = check(&written).unwrap_err();
            assert!(message.contains(words), "{command}: {words} in {message}");
        }
    }
    eprintln!("{used} outputs of real tools");

    // As Windows' certutil and PowerShell write them.
    let base64 =
        |pem: &str| pem.lines().filter(|line| !line.starts_with('-')).collect::<Vec<_>>().join("\r\n");
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let both = format!("{leaf}{root}");
    for chain in [
        both.replace('\n', "\r\n").into_bytes(),
        [b"\xef\xbb\xbf", both.as_bytes()].concat(),
        format!("\u{feff}{leaf}\u{feff}{root}").into_bytes(),
        [&b"\xff\xfe"[..], &utf16(&both.replace('\n', "\r\n"))].concat(),
        utf16(leaf),
        base64(leaf).into_bytes(),
        [b"================ Zertifikat 0 ================\r\nG\xfcltig\r\n", leaf.as_bytes()].concat(),
    ] {
        assert!(check(&chain).unwrap().contains("CN=my-device"));
    }
    let message = check(&[leaf.as_bytes(), &utf16(root)].concat()).unwrap_err();
    assert!(message.contains("different encodings"), "{message}");
    let message =
        check(format!("{}{root}", leaf.replacen("-----BEGIN", "\u{2014}\u{2014}BEGIN", 1)).as_bytes())
            .unwrap_err();
    assert!(message.contains("line 1: this is not a boundary"), "{message}");
}

/// Names and texts of a certificate are of whoever made it.
#[test]
fn what_a_certificate_says_is_shown_escaped() {
    use dice_core::asn1::{DerWriter, oid};
    use dice_core::key::SecretKey;
    use dice_core::standard::DeviceIdCertificate;
    let folder = enrolled();
    let key: SecretKey = SecretKey::from_scalar(dice_core::Secret::new([7; 32])).unwrap();
    let mut out = [0; 2048];
    let root = DeviceIdCertificate { key: key.public_key(), path_len: None, validity: Validity::NO_EXPIRY };
    let root = root.to_be_signed(&mut out).unwrap().sign(&key).unwrap().to_vec();
    let issuer =
        x509_cert::der::Encode::to_der(Certificate::from_der(&root).unwrap().tbs_certificate().subject())
            .unwrap();
    let name = "dev\x1b[31m\nCN=other\u{202e}";
    let build = |write: &dyn Fn(&mut DerWriter<'_>)| {
        let mut buffer = [0; 2048];
        let mut writer = DerWriter::new(&mut buffer);
        write(&mut writer);
        writer.finish().unwrap().to_vec()
    };
    let algorithm = build(&|writer| writer.sequence(|writer| writer.oid(&oid::ECDSA_WITH_SHA256)));
    let digest = [1; 32];
    let fwid =
        dice_core::tcg::Fwid { algorithm: dice_core::hash::HashAlgorithm::Sha256.oid(), digest: &digest };
    let info = dice_core::tcg::TcbInfo {
        vendor: Some("\x1b]0;title\x07MXCHIP\nverdict: accepted"),
        fwids: Some(dice_core::tcg::List::of(std::slice::from_ref(&fwid))),
        ..dice_core::tcg::TcbInfo::default()
    };
    let identifier = key.public_key().identifier();
    let tbs = build(&|writer| {
        writer.sequence(|writer| {
            writer.explicit(0, |writer| writer.unsigned_integer(&[2]));
            writer.unsigned_integer(&[1]);
            writer.raw(&algorithm);
            writer.raw(&issuer);
            writer.sequence(|writer| {
                writer.tlv(der::Tag::UtcTime, b"250101000000Z");
                writer.tlv(der::Tag::UtcTime, b"490101000000Z");
            });
            writer.sequence(|writer| {
                writer.set(|writer| {
                    writer.sequence(|writer| {
                        writer.oid(&oid::COMMON_NAME);
                        writer.utf8(name);
                    });
                });
            });
            writer.raw(&key.public_key().to_spki());
            writer.explicit(3, |writer| {
                writer.sequence(|writer| {
                    for extension in [true, false] {
                        writer.sequence(|writer| {
                            writer.oid(if extension {
                                &oid::AUTHORITY_KEY_IDENTIFIER
                            } else {
                                &dice_core::tcg::oid::TCB_INFO
                            });
                            writer.octet_string_of(|writer| {
                                if extension {
                                    writer.sequence(|writer| writer.implicit(0, &identifier));
                                } else {
                                    info.write_der(writer);
                                }
                            });
                        });
                    }
                });
            });
        });
    });
    let mut signature = [0; 72];
    let signature = key.sign(&tbs).to_der(&mut signature).unwrap().to_vec();
    let leaf = build(&|writer| {
        writer.sequence(|writer| {
            writer.raw(&tbs);
            writer.raw(&algorithm);
            writer.bit_string(&signature);
        });
    });
    std::fs::write(folder.path().join("chain"), leaf).unwrap();
    std::fs::write(folder.path().join("anchor"), root).unwrap();
    let any = ["--purpose", "any"];
    let told = verify(&folder, &any).unwrap();
    assert!(told.contains("CN=dev\\u{1b}[31m\\nCN=other\\u{202e}\n"), "{told}");
    assert!(told.contains("vendor \"\\u{1b}]0;title\\u{7}MXCHIP\\nverdict: accepted\""), "{told}");
    let refused = verify(&folder, &[&any[..], REFERENCES].concat()).unwrap_err();
    let json = verify(&folder, &[&any[..], &["--json"]].concat()).unwrap();
    let error = verify(&folder, &["--purpose", "attest"]).unwrap_err();
    for text in [told, refused, json.clone(), error] {
        assert!(text.bytes().all(|byte| byte == b'\n' || matches!(byte, b' '..=b'~')), "{text:?}");
        assert!(!text.lines().any(|line| line.starts_with("verdict") || line == "CN=other"), "{text}");
    }
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["layers"][0]["subject"], name, "JSON keeps what it escapes");
}
