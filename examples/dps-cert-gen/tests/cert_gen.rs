//! `dps-cert-gen` as a user runs it: every recorded run of the original tool, and what ours does better.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use base64::Engine;
use serde_json::Value;
use sha2::{Digest, Sha256};
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};

const TOOL: &str = env!("CARGO_BIN_EXE_dps-cert-gen");
const UDS: &str = "19e25a259d0c2be03a02d416c05c48ccd0cc7d1743458aae1cb488b074993eae";

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/riot-tool.json")).unwrap()
}

/// The image a case asks for: SHA-256 over seed and block counter, block after block.
fn image(rule: &Value) -> Vec<u8> {
    assert_eq!(rule["kind"], "sha256ctr");
    let length = usize::try_from(rule["length"].as_u64().unwrap()).unwrap();
    let seed = rule["seed"].as_str().unwrap();
    let blocks =
        (0_u32..).flat_map(|n| Sha256::new().chain_update(seed).chain_update(n.to_be_bytes()).finalize());
    blocks.take(length).collect()
}

/// A case's files in a fresh folder.
fn folder(case: &Value) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(case["bin_file"].as_str().unwrap()), image(&case["bin"])).unwrap();
    std::fs::write(
        folder.path().join(case["map_file"].as_str().unwrap()),
        case["map_text"].as_str().unwrap(),
    )
    .unwrap();
    folder
}

fn run(folder: &Path, args: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(TOOL)
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A tool that refuses its arguments may be gone before it reads anything.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

fn pem_files(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains("pem") || name.starts_with(".tmp")).collect()
}

/// The certificate in a PEM text of one base64 line, as the original writes it.
fn certificate(pem: &str) -> Certificate {
    let lines: Vec<_> = pem.lines().collect();
    assert_eq!(
        (lines.len(), lines[0], lines[2]),
        (3, "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----")
    );
    Certificate::from_der(&base64::prelude::BASE64_STANDARD.decode(lines[1]).unwrap()).unwrap()
}

/// What our message has to contain for each kind of error the original reports.
fn expected_words(kind: &str) -> &'static [&'static str] {
    match kind {
        "usage" => &["Usage"],
        "input_file_missing" => &["nope.bin", "other.ino.bin"],
        "uds_length" => &["64 hexadecimal digits"],
        "uds_not_hex" => &["UDS: character 'z' at position 62"],
        "registration_id_charset" => &["registration id: character", "MAC address: "],
        "registration_id_length" => &["registration id"],
        "mac_length" => &["MAC address: 12 hexadecimal digits wanted, 11"],
        "firmware_version_format" => &["three parts"],
        "firmware_version_digit" => &["'a' at position 2"],
        "firmware_version_empty" => &["firmware version: empty"],
        "map_symbol_missing" => &["__start_riot_core is missing", "__stop_riot_fw is missing"],
        other => panic!("unknown kind of error {other}"),
    }
}

/// Runs that end otherwise than the original's: (case, registration id or refusal). It cut a secret and a MAC address
/// that were too long, the latter in the middle of `c8:93:46:f8:a1:b2`.
const FIXED: [(&str, Option<&str>); 2] =
    [("interactive-uds-too-long", None), ("err-mac-colons", Some("az-c89346f8a1b2v2v0v0"))];

#[test]
fn every_recorded_run_of_the_original() {
    let vectors = vectors();
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 40);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let folder = folder(case);
        let argv: Vec<_> = case["argv"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
        let output = run(folder.path(), &argv, case["stdin"].as_str().unwrap());
        let stderr = String::from_utf8(output.stderr).unwrap();
        let fixed = FIXED.iter().find(|(fixed, _)| *fixed == name).map(|(_, id)| match id {
            Some(id) => serde_json::json!({ "exit": 0, "registration_id": id }),
            None => serde_json::json!({ "exit": 1 }),
        });
        let wanted = fixed.as_ref().or(case.get("wanted"));
        let exit = wanted.map_or(&case["original"]["exit"], |wanted| &wanted["exit"]);
        assert_eq!(output.status.code().map(i64::from), exit.as_i64(), "{name}: {stderr}");

        if exit != 0 {
            assert_eq!(pem_files(folder.path()), [""; 0], "{name}: nothing may be left behind");
            assert!(!stderr.contains(UDS), "{name}: the secret was printed");
            for kind in case["original"]["errors"].as_array().unwrap() {
                let words = expected_words(kind.as_str().unwrap());
                assert!(words.iter().any(|w| stderr.contains(w)), "{name}: {kind} in {stderr}");
            }
            continue;
        }
        let file = match wanted {
            Some(wanted) => format!("{}.pem", wanted["registration_id"].as_str().unwrap()),
            None => case["original"]["pem"][0]["name"].as_str().unwrap().to_owned(),
        };
        assert_eq!(pem_files(folder.path()), [file.as_str()], "{name}");
        let pem = std::fs::read_to_string(folder.path().join(&file)).unwrap();
        let id = file.trim_end_matches(".pem");
        let certificate = certificate(&pem);
        assert!(certificate.tbs_certificate().subject().to_string().contains(&format!("CN={id}")), "{name}");
        if let Some(tbs) = case.get("alias_tbs_sha256").and_then(Value::as_str) {
            let ours = certificate.tbs_certificate().to_der().unwrap();
            assert_eq!(hex::encode(Sha256::digest(ours)), tbs, "{name}: TBS differs from the original's");
        }
    }
}

#[cfg(feature = "legacy-insecure-constant-nonce")]
#[test]
fn the_constant_nonce_option_makes_the_originals_file_to_the_byte() {
    let vectors = vectors();
    let mut compared = 0;
    for case in vectors["cases"].as_array().unwrap() {
        let mut argv: Vec<_> = case["argv"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
        if argv.is_empty() || case.get("wanted").is_some() || case["original"]["exit"] != 0 {
            continue; // The questions do not offer the option, and not every result is to be matched.
        }
        let file = &case["original"]["pem"][0];
        argv.push("--insecure-constant-nonce");
        let folder = folder(case);
        let output = run(folder.path(), &argv, "");
        assert!(output.status.success() && String::from_utf8_lossy(&output.stderr).contains("private key"));
        let pem = std::fs::read(folder.path().join(file["name"].as_str().unwrap())).unwrap();
        assert_eq!(hex::encode(Sha256::digest(pem)), file["sha256"], "{}", case["name"]);
        compared += 1;
    }
    assert!(compared >= 8, "{compared}");
}

/// The first recorded case, as a project folder for the tests of what is ours alone.
fn project() -> (tempfile::TempDir, [&'static str; 4]) {
    (folder(&vectors()["cases"][0]), ["-b", "DevKitDPS.ino.bin", "-m", "DevKitDPS.ino.map"])
}

#[test]
fn the_secret_comes_from_standard_input_or_a_file_and_gives_the_same_certificate() {
    let (folder, files) = project();
    let ways: [(&[&str], &str); 3] =
        [(&["-u", "-"], UDS), (&["--uds-file", "-"], &format!("{UDS}\r\n")), (&["--uds-file", "secret"], "")];
    std::fs::write(folder.path().join("secret"), format!("  {UDS}\n")).unwrap();
    let mut certificates = Vec::new();
    for (option, stdin) in ways {
        let args: Vec<_> = files.iter().chain(option).copied().chain(["--id", "x", "--out", "-"]).collect();
        let output = run(folder.path(), &args, stdin);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        certificates.push(output.stdout);
    }
    assert!(certificates[0].starts_with(b"-----BEGIN CERTIFICATE-----"));
    assert!(certificates.iter().all(|c| *c == certificates[0]));
    assert_eq!(pem_files(folder.path()), [""; 0], "standard output was asked for");
}

#[test]
fn an_existing_file_is_kept_unless_forced() {
    let (folder, files) = project();
    let args: Vec<_> = files.iter().copied().chain(["-u", UDS, "-i", "x"]).collect();
    assert!(run(folder.path(), &args, "").status.success());
    let path = folder.path().join("x.pem");
    let certificate = std::fs::read(&path).unwrap();
    std::fs::write(&path, "mine").unwrap();
    let refused = run(folder.path(), &args, "");
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--force"));
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    let forced: Vec<_> = args.iter().copied().chain(["--force"]).collect();
    assert!(run(folder.path(), &forced, "").status.success());
    assert_eq!(std::fs::read(&path).unwrap(), certificate);
}

#[test]
fn json_and_print_agree_with_the_certificate() {
    let (folder, files) = project();
    let device = ["-u", UDS, "--mac", "C89346F8A1B2", "--firmware-version", "2.0.0"];
    let args: Vec<_> = files.iter().copied().chain(device).chain(["--json"]).collect();
    let output = run(folder.path(), &args, "");
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
    assert_eq!(json["registrationId"], "az-c89346f8a1b2v2v0v0");
    assert_eq!(json["file"], "az-c89346f8a1b2v2v0v0.pem");
    let pem = std::fs::read_to_string(folder.path().join("az-c89346f8a1b2v2v0v0.pem")).unwrap();
    assert_eq!(json["certificatePem"], pem);
    let der = certificate(&pem).to_der().unwrap();
    assert_eq!(json["sha256Fingerprint"], hex::encode_upper(Sha256::digest(&der)));
    let fwid = Sha256::digest(&image(&vectors()["cases"][0]["bin"])[2604..3100]);
    assert_eq!(json["fwid"], hex::encode(fwid));
    assert!(!String::from_utf8(output.stdout).unwrap().contains(UDS));

    let args: Vec<_> = files.iter().copied().chain(device).chain(["--print", "--force"]).collect();
    let printed = String::from_utf8(run(folder.path(), &args, "").stdout).unwrap();
    for word in ["sha1Thumbprint", "sha256Fingerprint", "subject", "fwid"] {
        assert!(printed.contains(json[word].as_str().unwrap()), "{word} in {printed}");
    }
    assert!(printed.contains("az iot dps enrollment create") && printed.contains("portal"), "{printed}");
}

#[test]
fn one_changed_byte_of_the_secret_or_the_firmware_gives_another_certificate() {
    let (folder, files) = project();
    let certificate = |uds: &str, flip: Option<usize>| {
        let mut bytes = image(&vectors()["cases"][0]["bin"]);
        if let Some(at) = flip {
            bytes[at] ^= 1;
        }
        std::fs::write(folder.path().join(files[1]), bytes).unwrap();
        let args: Vec<_> = files.iter().copied().chain(["-u", uds, "-i", "x", "-o", "-"]).collect();
        run(folder.path(), &args, "").stdout
    };
    let original = certificate(UDS, None);
    assert_ne!(certificate(&UDS.replace("eae", "eaf"), None), original);
    assert_ne!(certificate(UDS, Some(1024)), original, "first byte of the core");
    assert_ne!(certificate(UDS, Some(3099)), original, "last byte of the firmware section");
}

#[test]
fn values_may_be_attached_to_their_letters() {
    let (folder, [_, bin, _, map]) = project();
    let apart = run(folder.path(), &["-b", bin, "-m", map, "-u", UDS, "-i", "x", "-o", "-"], "").stdout;
    assert!(apart.starts_with(b"-----BEGIN CERTIFICATE-----"));
    let [b, m, u] = [format!("-b{bin}"), format!("-M{map}"), format!("-U{UDS}")];
    assert_eq!(run(folder.path(), &[&b, &m, &u, "-ix", "-o-"], "").stdout, apart);
}

/// A map, a secret and answers as Windows' programs write them.
#[test]
fn text_from_windows_is_text() {
    let (folder, [_, bin, _, map]) = project();
    let path = |file: &str| folder.path().join(file);
    let plain = std::fs::read_to_string(path(map)).unwrap();
    let utf16 = |text: &str| {
        [&b"\xff\xfe"[..], &text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()].concat()
    };
    let args = ["-b", bin, "-m", map, "--uds-file", "secret", "-i", "x", "-o", "-"];
    let mut certificates = Vec::new();
    for (map_bytes, secret) in [
        (plain.clone().into_bytes(), UDS.as_bytes().to_vec()),
        (utf16(&plain.replace('\n', "\r\n")), utf16(&format!("{UDS}\r\n"))),
        ([b"\xef\xbb\xbf", plain.as_bytes()].concat(), [b"\xef\xbb\xbf", UDS.as_bytes(), b"\r\n"].concat()),
    ] {
        std::fs::write(path(map), map_bytes).unwrap();
        std::fs::write(path("secret"), secret).unwrap();
        let output = run(folder.path(), &args, "");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        certificates.push(output.stdout);
    }
    assert!(certificates.iter().all(|certificate| *certificate == certificates[0]));
    let answers = format!("\u{feff}\r\n{UDS}\r\n\r\nC8-93-46-F8-A1-B2\r\n2.0.0\r\n");
    assert!(run(folder.path(), &[], &answers).status.success());
    assert_eq!(pem_files(folder.path()), ["az-c89346f8a1b2v2v0v0.pem"]);
}

#[test]
fn a_device_may_be_called_as_windows_calls_its_own() {
    let (folder, files) = project();
    for (id, file) in [
        ("nul", "device-nul.pem"),
        ("con", "device-con.pem"),
        ("com1", "device-com1.pem"),
        ("null", "null.pem"),
    ] {
        let args: Vec<_> = files.iter().copied().chain(["-u", UDS, "-i", id]).collect();
        assert!(run(folder.path(), &args, "").status.success());
        assert_eq!(pem_files(folder.path()), [file]);
        std::fs::remove_file(folder.path().join(file)).unwrap();
    }
}

/// A message names what is wrong once, and the right thing.
#[test]
fn messages_say_it_once() {
    let (folder, [_, bin, _, map]) = project();
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    let legacy = |more: &[&str]| [&["-b", bin, "-m", map][..], more].concat().join(" ");
    for (args, message) in [
        (
            legacy(&["-u", UDS, "-i", "My-Dev"]),
            "registration id: character 'M' at position 0 (counted from 0); only a-z, 0-9 and - are allowed",
        ),
        (
            legacy(&["-u", UDS, "-i", &"a".repeat(127)]),
            "registration id: it has 127 characters, 1 to 126 are allowed here",
        ),
        (
            legacy(&["-u", &"0".repeat(64), "-i", "x"]),
            "every byte of the device secret is 0x00: this is blank memory, not a secret",
        ),
        (legacy(&["-u", &UDS[1..], "-i", "x"]), "UDS: 64 hexadecimal digits wanted, 63 characters found"),
        (legacy(&["--uds-file", "folder", "-i", "x"]), "folder is a folder"),
        (
            format!("-u {UDS} --make possession --code \u{e9}"),
            "character '\\u{e9}' at position 0 (counted from 0) of verification code is not allowed",
        ),
        ("verify - --anchor -".to_owned(), "chain and anchor cannot both come from standard input"),
        ("verify DevKitDPS.ino.map --anchor -".to_owned(), "-: there is no certificate in it"),
    ] {
        let output = run(folder.path(), &args.split(' ').collect::<Vec<_>>(), "");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), format!("dps-cert-gen: {message}\n"), "{args}");
    }
}
