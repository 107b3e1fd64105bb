//! `dps-cert-gen ca` as a user runs it: a CA above DeviceIDs, its list, its revocation lists. OpenSSL judges where it
//! is installed.

use std::path::Path;
use std::process::{Command, Output};
use std::time::SystemTime;

use dps_cert_gen::ca::authority::Authority;
use serde_json::Value;
use tempfile::TempDir;

const TOOL: &str = env!("CARGO_BIN_EXE_dps-cert-gen");
const UDS: &str = "19e25a259d0c2be03a02d416c05c48ccd0cc7d1743458aae1cb488b074993eae";
/// Vector table, then code.
const IMAGE: &[u8] = b"\0\0\x04\x20\x01\xc4\0\x08\x03\xc4\0\x08\x05\xc4\0\x08the whole firmware image";

fn run(folder: &Path, program: &str, words: &[&str]) -> Output {
    Command::new(program).args(words).current_dir(folder).output().unwrap()
}

/// What the tool prints.
fn tool(folder: &TempDir, words: &[&str]) -> Result<String, String> {
    let output = run(folder.path(), TOOL, words);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() {
        Ok(text(output.stdout))
    } else {
        Err(text(output.stdout) + &text(output.stderr))
    }
}

/// Whether OpenSSL agrees, and what it says; where it is not installed, what is wanted.
fn openssl(folder: &TempDir, words: &[&str], wanted: &str) -> String {
    let Ok(output) = Command::new("openssl").args(words).current_dir(folder.path()).output() else {
        return wanted.to_owned();
    };
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

fn read(folder: &TempDir, file: &str) -> String {
    std::fs::read_to_string(folder.path().join(file)).unwrap()
}

/// A folder with a CA in `ca`, a device's request in `csr`, and its chain without the CA in `leaf`.
fn project() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("image"), IMAGE).unwrap();
    tool(&folder, &["ca", "create", "ca", "--name", "Contoso, \"Devices\" + 1"]).unwrap();
    tool(&folder, &["-u", UDS, "--make", "device-id-request", "-o", "csr"]).unwrap();
    let leaf = ["-b", "image", "--firmware-version", "1.2.3", "-u", UDS, "-i", "my-device", "-o", "leaf"];
    tool(&folder, &leaf).unwrap();
    folder
}

fn list(folder: &TempDir) -> Vec<Value> {
    serde_json::from_str(&tool(folder, &["ca", "list", "ca", "--json"]).unwrap()).unwrap()
}

#[test]
fn a_device_below_the_ca_is_accepted_until_it_is_revoked() {
    let folder = project();
    let said = tool(&folder, &["ca", "sign", "ca", "csr", "-o", "device-id"]).unwrap();
    let serial = list(&folder)[0]["serial"].as_str().unwrap().to_owned();
    assert_eq!(said, format!("device-id written: serial number {serial}\n"));
    std::fs::write(folder.path().join("chain"), read(&folder, "leaf") + &read(&folder, "device-id")).unwrap();
    assert_eq!(tool(&folder, &["ca", "crl", "ca", "-o", "first.crl"]).unwrap(), "first.crl written\n");
    let verify =
        |more: &[&str]| tool(&folder, &[&["verify", "chain", "--anchor", "ca/ca.pem"], more].concat());
    assert!(verify(&["--crl", "first.crl"]).unwrap().contains("CN=my-device"));

    let check = ["verify", "-x509_strict", "-CAfile", "ca/ca.pem", "-untrusted", "device-id", "leaf"];
    assert_eq!(openssl(&folder, &check, "leaf: OK\n"), "leaf: OK\n");
    let check = [
        "verify",
        "-x509_strict",
        "-crl_check",
        "-CAfile",
        "ca/ca.pem",
        "-CRLfile",
        "first.crl",
        "device-id",
    ];
    assert_eq!(openssl(&folder, &check, "device-id: OK\n"), "device-id: OK\n");
    let parse = ["crl", "-in", "first.crl", "-noout", "-CAfile", "ca/ca.pem", "-crlnumber", "-issuer"];
    let shown = openssl(&folder, &parse, "verify OK crlNumber=0x1 Contoso, \\\"Devices\\\" + 1");
    for words in ["verify OK", "crlNumber=0x", "Contoso, \\\"Devices\\\" + 1"] {
        assert!(shown.contains(words), "{words} in {shown}");
    }

    let said =
        tool(&folder, &["ca", "revoke", "ca", &serial.to_lowercase(), "--reason", "key-compromise"]).unwrap();
    assert!(said.starts_with(&format!("revoked: serial number {serial}\n")), "{said}");
    let twice = tool(&folder, &["ca", "revoke", "ca", &serial]).unwrap_err();
    assert!(twice.contains("is revoked already"), "{twice}");
    tool(&folder, &["ca", "crl", "ca", "--der", "-o", "second.crl"]).unwrap();
    // The one from before does not know.
    assert!(verify(&["--crl", "first.crl"]).is_ok());
    let refused = verify(&["--crl", "second.crl"]).unwrap_err();
    let words = format!("(serial number {serial}, reason: key compromise)");
    assert!(refused.contains(": it is revoked since ") && refused.contains(&words), "{refused}");
    let ear = verify(&["--crl", "first.crl", "--crl", "second.crl", "--ear", "json"]).unwrap_err();
    assert!(ear.contains("\"instance-identity\": 96"), "{ear}");
    let check = ["verify", "-crl_check", "-CAfile", "ca/ca.pem", "-CRLfile", "second.crl", "device-id"];
    let said = openssl(&folder, &check, "certificate revoked");
    assert!(said.contains("certificate revoked"), "{said}");
    let shown = openssl(
        &folder,
        &["crl", "-in", "second.crl", "-noout", "-text"],
        &format!("{serial} Key Compromise"),
    );
    assert!(shown.contains(&serial) && shown.contains("Key Compromise"), "{shown}");

    // Later, it is no longer known what is revoked.
    let later = (SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + 31 * 86400)
        .to_string();
    let stale = verify(&["--crl", "first.crl", "--at", &later]).unwrap_err();
    assert!(stale.contains("a newer one was due at"), "{stale}");
    // The list of another CA says nothing of these.
    tool(&folder, &["ca", "create", "other", "--name", "Other"]).unwrap();
    tool(&folder, &["ca", "crl", "other"]).unwrap();
    let other = verify(&["--crl", "other/ca.crl"]).unwrap_err();
    assert!(other.contains("the revocation list of CN=Other says nothing about this chain"), "{other}");
    let none = verify(&["--crl", "chain"]).unwrap_err();
    assert!(none.contains("there is no revocation list in it"), "{none}");
}

#[test]
fn a_key_has_one_certificate_until_it_is_renewed_and_none_once_it_is_revoked() {
    let folder = project();
    tool(&folder, &["ca", "sign", "ca", "csr", "-o", "one"]).unwrap();
    // As after a power cut before it was written.
    assert!(tool(&folder, &["ca", "sign", "ca", "csr", "-o", "one"]).unwrap_err().contains("--force"));
    tool(&folder, &["ca", "sign", "ca", "csr", "csr", "-o", "-"]).unwrap();
    tool(&folder, &["ca", "sign", "ca", "csr", "-o", "again"]).unwrap();
    assert_eq!(read(&folder, "one"), read(&folder, "again"));
    assert_eq!(list(&folder).len(), 1);
    tool(&folder, &["ca", "sign", "ca", "csr", "--renew", "--days", "7", "-o", "two"]).unwrap();
    assert_ne!(read(&folder, "one"), read(&folder, "two"));
    let rows = list(&folder);
    assert_eq!((rows.len(), &rows[0]["name"]), (2, &rows[1]["name"]));
    assert!(rows[0]["notAfter"].as_str().unwrap().starts_with("9999-"), "{rows:?}");

    let [first, name] = ["serial", "name"].map(|field| rows[0][field].as_str().unwrap().to_owned());
    tool(&folder, &["ca", "revoke", "ca", &first, "--reason", "superseded"]).unwrap();
    tool(&folder, &["ca", "sign", "ca", "csr", "--force", "-o", "again"]).unwrap();
    assert_eq!(read(&folder, "again"), read(&folder, "two"), "the key may go on");
    let said = tool(&folder, &["ca", "revoke", "ca", &name, "--reason", "key-compromise"]).unwrap();
    assert_eq!(said.matches("revoked: ").count(), 1, "{said}");
    for more in [&[][..], &["--renew"]] {
        let refused =
            tool(&folder, &[&["ca", "sign", "ca", "csr", "-o", "three"], more].concat()).unwrap_err();
        assert!(refused.contains("its key is revoked (serial number"), "{refused}");
    }
    let unknown = tool(&folder, &["ca", "revoke", "ca", "00"]).unwrap_err();
    assert!(unknown.contains("no certificate of this CA"), "{unknown}");
    let said = tool(&folder, &["ca", "list", "ca"]).unwrap();
    assert_eq!((said.lines().count(), said.matches("revoked\n").count()), (2, 2), "{said}");
}

#[test]
fn requests_of_others_are_refused() {
    let folder = project();
    let req = |name: &str, key: &[&str], more: &[&str]| {
        let made = ["req", "-new", "-nodes", "-keyout", "/dev/null", "-subj", "/CN=x", "-out", name];
        let _ = Command::new("openssl")
            .args([&made[..], key, more].concat())
            .current_dir(folder.path())
            .env("RANDFILE", folder.path().join("rnd"))
            .output();
        folder.path().join(name).exists()
    };
    let ec = |curve: &'static str| ["-newkey", "ec", "-pkeyopt", curve];
    for (name, made, words) in [
        (
            "p384",
            req("p384", &ec("ec_paramgen_curve:P-384"), &[]),
            "not of the curve P-256 (it is 1.3.132.0.34)",
        ),
        (
            "rsa",
            req("rsa", &["-newkey", "rsa:2048"], &[]),
            "not of the curve P-256 (it is 1.2.840.113549.1.1.1)",
        ),
        ("sha384", req("sha384", &ec("ec_paramgen_curve:P-256"), &["-sha384"]), "is not ECDSA with SHA-256"),
        (
            "named",
            req("named", &ec("ec_paramgen_curve:P-256"), &[]),
            "the subject is CN=x, the name of this key is CN=D",
        ),
    ] {
        let refused = tool(&folder, &["ca", "sign", "ca", name, "-o", "out"]).unwrap_err();
        let words = if made { words } else { "cannot open" };
        assert!(refused.contains(words), "{name}: {refused}");
    }
    let refused = tool(&folder, &["ca", "sign", "ca", "leaf", "-o", "out"]).unwrap_err();
    assert!(refused.contains("leaf: there is no certificate request in it"), "{refused}");
    let refused = tool(&folder, &["ca", "sign", "ca", "csr", "csr", "-o", "out"]).unwrap_err();
    assert!(refused.contains("--out has to be a folder"), "{refused}");
    assert!(list(&folder).is_empty() && !folder.path().join("out").exists());
}

#[test]
fn a_ca_is_used_by_one_and_its_files_are_kept() {
    let folder = project();
    let path = folder.path().join("ca");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&path.join("ca-key.pem"))), (0o700, 0o600));
    }
    let open = Authority::open(&path, SystemTime::now()).unwrap();
    let refused = tool(&folder, &["ca", "sign", "ca", "csr", "-o", "out"]).unwrap_err();
    assert!(refused.contains("another dps-cert-gen uses this CA now"), "{refused}");
    drop(open);
    let key = read(&folder, "ca/ca-key.pem");
    let refused = tool(&folder, &["ca", "create", "ca", "--name", "again"]).unwrap_err();
    assert!(refused.contains("ca exists already"), "{refused}");
    assert_eq!(read(&folder, "ca/ca-key.pem"), key);
    for name in ["", "a\nb", &"x".repeat(65)] {
        assert!(tool(&folder, &["ca", "create", "new", "--name", name]).unwrap_err().contains("name: "));
    }
    assert!(!folder.path().join("new").exists());

    // A list that is cut off, a key or a certificate that do not belong together: nothing is signed, nothing is lost.
    tool(&folder, &["ca", "sign", "ca", "csr", "-o", "device-id"]).unwrap();
    let whole = read(&folder, "ca/issued.json");
    let now = SystemTime::now();
    for end in (0..whole.len() - 1).step_by(7) {
        std::fs::write(path.join("issued.json"), &whole[..end]).unwrap();
        assert!(Authority::open(&path, now).is_err(), "{end}");
    }
    let twice = whole.replace("\"issued\": [", "\"issued\": [{\"certificate\": \"x\"},");
    std::fs::write(path.join("issued.json"), twice).unwrap();
    assert!(Authority::open(&path, now).is_err());
    std::fs::write(path.join("issued.json"), &whole).unwrap();
    assert!(Authority::open(&path, now).is_ok());
    let certificate = read(&folder, "ca/ca.pem");
    for (file, words) in
        [("device-id", "not the certificate of the key"), ("csr", "there is no certificate in it")]
    {
        std::fs::write(path.join("ca.pem"), read(&folder, file)).unwrap();
        let refused = tool(&folder, &["ca", "list", "ca"]).unwrap_err();
        assert!(refused.contains(words), "{refused}");
    }
    std::fs::write(path.join("ca.pem"), certificate).unwrap();
    assert_eq!(list(&folder).len(), 1);

    // Proof of possession, as the service asks for it.
    tool(&folder, &["ca", "possession", "ca", "--code", "106A5SD2"]).unwrap();
    let check = ["verify", "-x509_strict", "-CAfile", "ca/ca.pem", "possession.pem"];
    assert_eq!(openssl(&folder, &check, "possession.pem: OK\n"), "possession.pem: OK\n");
    // A CA whose own end comes first.
    tool(&folder, &["ca", "create", "short", "--name", "Short", "--days", "10"]).unwrap();
    let refused = tool(&folder, &["ca", "sign", "short", "csr", "--days", "11", "-o", "out"]).unwrap_err();
    assert!(refused.contains("that of the CA is to "), "{refused}");
    tool(&folder, &["ca", "sign", "short", "csr", "-o", "out"]).unwrap();
}

#[cfg(unix)]
#[test]
fn the_script_enrols_the_ca_with_the_azure_cli() {
    use std::os::unix::fs::PermissionsExt;
    let folder = project();
    let az = "#!/bin/sh\nfor a; do printf '[%s]' \"$a\"; test \"$a\" != ca.pem || test -f \"$a\"; done >>\"$LOG\"\necho >>\"$LOG\"\n";
    std::fs::write(folder.path().join("az"), az).unwrap();
    std::fs::set_permissions(folder.path().join("az"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let sh = |words: &[&str]| {
        let mut command = Command::new("sh");
        let command =
            command.arg("ca/azure-cli.sh").args(words).current_dir(folder.path()).env("PATH", &path);
        command.env("LOG", folder.path().join("log")).output().unwrap().status.code()
    };
    assert_eq!(sh(&["dps"]), Some(2));
    assert_eq!(sh(&["my dps", "group", "fleet"]), Some(0));
    assert_eq!(
        read(&folder, "log"),
        "[iot][dps][certificate][create][--dps-name][my dps][--resource-group][group][--certificate-name][fleet]\
         [--path][ca.pem][--verified][true][--output][none]\n\
         [iot][dps][enrollment-group][create][--dps-name][my dps][--resource-group][group][--enrollment-id][fleet]\
         [--root-ca-name][fleet][--output][none]\n"
    );
}
