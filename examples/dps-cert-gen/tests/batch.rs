//! `dps-cert-gen batch` as a user runs it: the same files as one device at a time, all or nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use sha2::{Digest, Sha256};

const TOOL: &str = env!("CARGO_BIN_EXE_dps-cert-gen");
const FIRMWARE: [&str; 7] =
    ["--bin", "fw.bin", "--force-image", "--firmware-version", "2.0.0", "--vendor", "Contoso"];

fn secret(number: u32) -> String {
    hex::encode(Sha256::digest(number.to_be_bytes()))
}

fn folder(list: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("fw.bin"), (0..=255_u8).collect::<Vec<_>>()).unwrap();
    std::fs::write(folder.path().join("devices.csv"), list).unwrap();
    folder
}

fn run(folder: &Path, args: &[&str]) -> Output {
    Command::new(TOOL).args(args).args(FIRMWARE).current_dir(folder).output().unwrap()
}

fn batch(folder: &Path, more: &[&str]) -> (bool, String, String) {
    let output = run(folder, &[&["batch", "devices.csv", "--out", "fleet"], more].concat());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

/// Every file below a folder, by its path, with its content.
fn tree(folder: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let (path, name) =
            entry.map(|entry| (entry.path(), entry.file_name().into_string().unwrap())).unwrap();
        if path.is_dir() {
            files
                .extend(tree(&path).into_iter().map(|(below, content)| (format!("{name}/{below}"), content)));
        } else {
            files.insert(name, String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned());
        }
    }
    files
}

#[test]
fn a_batch_is_to_the_byte_what_one_device_at_a_time_gives() {
    let devices: Vec<[String; 3]> = (0..20)
        .map(|n| {
            let id = match n {
                0 => "nul".to_owned(),
                1 => "-leading".to_owned(),
                n if n % 2 == 0 => format!("device-{n}"),
                _ => String::new(),
            };
            [id, format!("C8:93:46:F8:A1:{n:02X}"), secret(n)]
        })
        .collect();
    let lines: String = devices.iter().map(|device| device.join(";") + "\r\n").collect();
    let folder = folder(&format!("\u{feff}registration id;MAC;UDS\r\n{lines}"));
    let (done, stdout, stderr) = batch(folder.path(), &[]);
    assert!(done && stderr.is_empty(), "{stderr}");
    assert!(stdout.starts_with("20 certificates written to "), "{stdout}");

    let files = tree(&folder.path().join("fleet"));
    assert_eq!(files.len(), 21);
    for [id, mac, uds] in &devices {
        let subject = if id.is_empty() { format!("--mac={mac}") } else { format!("--id={id}") };
        let output = run(folder.path(), &[&subject, "--uds", uds]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).unwrap();
        let name = said.split(" written").next().unwrap();
        let single = std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(files[&format!("enrollments/{name}")], single, "{name}");
        assert!(files.values().all(|content| !content.to_lowercase().contains(uds)));
    }
    // Another judge of what was written: its signature is the DeviceID key's.
    let run = |args: &[&str]| Command::new("openssl").args(args).current_dir(folder.path()).output();
    if run(&["version"]).is_ok() {
        let make = ["--make", "device-id", "--uds", &devices[2][2], "--out", "ca.pem"];
        assert!(Command::new(TOOL).args(make).current_dir(folder.path()).status().unwrap().success());
        let output =
            run(&["verify", "-x509_strict", "-CAfile", "ca.pem", "fleet/enrollments/device-2.pem"]).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    // A second time, the folder is there.
    let (done, _, stderr) = batch(folder.path(), &[]);
    assert!(!done && stderr.contains("fleet exists already"), "{stderr}");
    assert_eq!(tree(&folder.path().join("fleet")), files);
}

#[test]
fn a_wrong_line_stops_all_or_is_left_out_on_demand() {
    let list = format!(
        "id,mac,uds\ngood-1,,{}\nBad,,{}\ngood-2,,{}\n{},,{}\n,nonsense,{}\n",
        secret(1),
        secret(2),
        secret(3),
        // Right by its characters, and too long for a certificate.
        "a".repeat(65),
        secret(4),
        &secret(5)[2..],
    );
    let folder = folder(&list);
    let before = tree(folder.path());
    let (done, stdout, stderr) = batch(folder.path(), &[]);
    assert!(!done && stdout.is_empty());
    for words in
        ["devices.csv: line 3, column 1: ", "line 6, column 2: ", "line 6, column 3: ", "nothing is written"]
    {
        assert!(stderr.contains(words), "{words} in {stderr}");
    }
    assert_eq!(tree(folder.path()), before, "nothing may be left behind");

    let (done, _, stderr) = batch(folder.path(), &["--keep-going"]);
    assert!(
        !done && stderr.contains("devices written: 2") && stderr.contains("line 5, column 1: "),
        "{stderr}"
    );
    let files = tree(&folder.path().join("fleet"));
    assert_eq!(
        files.keys().collect::<Vec<_>>(),
        ["azure-cli.sh", "enrollments/good-1.pem", "enrollments/good-2.pem"]
    );
    assert_eq!(files["azure-cli.sh"].matches("enrol '").count(), 2);
    for number in 1..=5 {
        assert!(!stderr.contains(&secret(number)[2..]));
    }
}

#[test]
fn requests_give_certificates_of_a_ca() {
    let folder = folder("");
    let tool = |args: &[&str]| {
        let output = Command::new(TOOL).args(args).current_dir(folder.path()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    };
    assert!(tool(&["ca", "create", "ca", "--name", "Fleet"]).0);
    let csr = |number: u32| {
        let (_, pem, _) = tool(&["--make", "device-id-request", "--uds", &secret(number), "-o", "-"]);
        pem.lines().filter(|line| !line.starts_with('-')).collect::<String>()
    };
    let list = format!("id,csr,uds\npump-1,{},\n,{},\npump-3,,{}\n", csr(1), csr(2), secret(3));
    std::fs::write(folder.path().join("devices.csv"), &list).unwrap();
    let (done, _, stderr) = tool(&["batch", "devices.csv", "--out", "fleet", "--ca", "ca"]);
    assert!(!done && stderr.contains("line 4 has a UDS: the firmware image (--bin)"), "{stderr}");
    let (done, _, stderr) = batch(folder.path(), &[]);
    assert!(!done && stderr.contains("line 2 has a CSR: the folder of a CA (--ca)"), "{stderr}");
    let (done, stdout, stderr) = batch(folder.path(), &["--ca", "ca"]);
    assert!(done && stderr.is_empty(), "{stderr}");
    for words in ["1 certificates written to ", "2 DeviceID certificates written to "] {
        assert!(stdout.contains(words), "{stdout}");
    }
    let files = tree(&folder.path().join("fleet"));
    assert_eq!(files["enrollments/groups/ca.pem"], tree(&folder.path().join("ca"))["ca.pem"]);
    assert!(files.contains_key("enrollments/pump-3.pem"), "{:?}", files.keys());
    assert_eq!(files["azure-cli.sh"].matches("enrol '").count(), 1);
    let device_ids: Vec<_> = files.iter().filter(|(name, _)| name.starts_with("device-ids/")).collect();
    assert_eq!(device_ids.len(), 2);
    for (name, pem) in device_ids {
        std::fs::write(folder.path().join("one.pem"), pem).unwrap();
        let (accepted, stdout, stderr) =
            tool(&["verify", "one.pem", "--anchor", "ca/ca.pem", "--purpose", "any"]);
        assert!(
            !accepted && stdout.is_empty() && stderr.contains("DeviceID-"),
            "{name}: no evidence: {stderr}"
        );
    }
    // The same list again gives the same certificates: they are on the CA's list.
    let (done, _, stderr) = tool(&[
        "batch",
        "devices.csv",
        "--out",
        "again",
        "--ca",
        "ca",
        "--bin",
        "fw.bin",
        "--force-image",
        "--firmware-version",
        "2.0.0",
        "--vendor",
        "Contoso",
    ]);
    assert!(done, "{stderr}");
    assert_eq!(tree(&folder.path().join("again")), files);
    // One that is revoked stops all of it, or is left out.
    let (_, rows, _) = tool(&["ca", "list", "ca"]);
    let serial = rows.split(' ').next().unwrap();
    assert!(tool(&["ca", "revoke", "ca", serial]).0);
    std::fs::write(folder.path().join("devices.csv"), list.lines().take(3).collect::<Vec<_>>().join("\n"))
        .unwrap();
    let words = ["batch", "devices.csv", "--out", "third", "--ca", "ca"];
    let (done, _, stderr) = tool(&words);
    assert!(
        !done && stderr.contains("line 2, column 1: ") && stderr.contains("its key is revoked"),
        "{stderr}"
    );
    assert!(!folder.path().join("third").exists());
    let (done, stdout, _) = tool(&[&words[..], &["--keep-going"]].concat());
    assert!(!done && stdout.starts_with("1 DeviceID certificates written"), "{stdout}");
    assert_eq!(tree(&folder.path().join("third")).len(), 2);
}

#[cfg(unix)]
#[test]
fn the_script_calls_the_azure_cli_once_for_each_device() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder(&format!("id,uds\none,{}\n-two,{}\n", secret(1), secret(2)));
    assert!(batch(folder.path(), &[]).0);
    // Stands in for `az`: writes its arguments down, checks the file, and fails for the second device.
    let az = "#!/bin/sh\nfor a; do printf '[%s]' \"$a\"; case $a in --certificate-path=*) test -f \"${a#*=}\" || exit 9;; \
              --enrollment-id=-two) code=1;; esac; done >>\"$LOG\"\necho >>\"$LOG\"\nexit ${code-0}\n";
    std::fs::write(folder.path().join("az"), az).unwrap();
    std::fs::set_permissions(folder.path().join("az"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let log = folder.path().join("log");
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let sh = |args: &[&str]| {
        Command::new("sh")
            .args(args)
            .current_dir(&folder)
            .env("PATH", &path)
            .env("LOG", &log)
            .output()
            .unwrap()
    };
    assert_eq!(sh(&["fleet/azure-cli.sh"]).status.code(), Some(2));
    let output = sh(&["fleet/azure-cli.sh", "my dps", "$(group)"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "not enrolled: -two\n");
    let line = |id: &str| {
        format!(
            "[iot][dps][enrollment][create][--dps-name][my dps][--resource-group][$(group)][--attestation-type][x509]\
             [--enrollment-id={id}][--certificate-path=enrollments/{id}.pem][--output][none]\n"
        )
    };
    assert_eq!(std::fs::read_to_string(&log).unwrap(), line("one") + &line("-two"));
}
