//! The ways to enrol an identity of the profile `standard`, with what `dps-cert-gen` makes, a firmware update in each,
//! and the end of a device.

use std::path::Path;

use dice_core::standard::{FirmwareInfo, Identity as DiceIdentity};
use dice_core::{FirmwareDigest, RegistrationId, Uds, pem::Label, pem::Lines};
use dps_cert_gen::{self, make::to_pem};
use local_cloud::{Attestation, Config, Enrollment};

use crate::client::{Connect, Identity};
use crate::flow::{register, start};

const SCOPE: &str = "0ne00000000";
const UDS: &str = "19e25a259d0c2be03a02d416c05c48ccd0cc7d1743458aae1cb488b074993eae";
const ID: &str = "my-device";

/// Runs the generator at the desk.
fn generate(make: &str, image: &Path, out: &Path) {
    let (image, out) = (image.to_str().unwrap(), out.to_str().unwrap());
    let words = [
        "dps-cert-gen",
        "--force-image",
        "-b",
        image,
        "--firmware-version",
        "1.0.0",
        "-u",
        UDS,
        "-i",
        ID,
        "--make",
        make,
        "-o",
        out,
    ];
    let words = words.map(std::ffi::OsString::from).into();
    dps_cert_gen::run(words, &mut std::io::empty(), &mut std::io::sink()).unwrap();
}

/// Runs it in a folder, whose files are written with `@` before their names; gives what it says, or why not.
fn desk(folder: &Path, words: &str) -> Result<String, String> {
    let words = ["dps-cert-gen"].into_iter().chain(words.split(' '));
    let words = words.map(|word| match word.strip_prefix('@') {
        Some(file) => folder.join(file).into_os_string(),
        None => word.into(),
    });
    let mut said = Vec::new();
    match dps_cert_gen::run(words.collect(), &mut std::io::empty(), &mut said) {
        Ok(()) => Ok(String::from_utf8(said).unwrap()),
        Err(error) => Err(format!("{error:#}")),
    }
}

/// What the device presents when it runs an image: alias, then DeviceID.
fn device(image: &[u8]) -> Identity {
    device_of(UDS, image, 1)
}

fn device_of(uds: &str, image: &[u8], svn: u64) -> Identity {
    let info = FirmwareInfo::new(devkit_app::identity::VENDOR, devkit_app::identity::MODEL, "1.0.0", svn);
    let identity =
        DiceIdentity::derive(&Uds::from_hex(uds).unwrap(), &FirmwareDigest::of(image).unwrap(), &info)
            .unwrap();
    let mut out = [0; 1024];
    let key = identity.alias_key().to_pkcs8_der(&mut out).unwrap();
    let key = to_pem(Label::PrivateKey, key, Lines::Wrapped).unwrap();
    let alias = identity.alias_certificate(RegistrationId::new(ID).unwrap(), &mut out).unwrap().to_vec();
    let mut device = Identity::from_pem_key(alias, &key);
    device.chain.push(identity.device_id_certificate(&mut out).unwrap().to_vec().into());
    device
}

#[tokio::test]
async fn a_group_on_the_device_id_certificate_survives_a_firmware_update() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    std::fs::write(&image, "first").unwrap();
    std::fs::create_dir(folder.path().join("groups")).unwrap();
    generate("device-id", &image, &folder.path().join("groups/one-device.pem"));
    let cloud = start(Config { enrollments: Some(folder.path().to_owned()), ..Config::default() }).await;
    for image in ["first", "second"] {
        let device = device(image.as_bytes());
        let (status, answer) = register(&cloud, &Connect::dps(SCOPE, ID), Some(&device)).await;
        assert_eq!(
            (status, &answer["registrationState"]["deviceId"]),
            (200, &ID.into()),
            "{image}: {answer}"
        );
        let stranger = device_of(&UDS.replace("eae", "eaf"), image.as_bytes(), 1);
        assert_eq!(register(&cloud, &Connect::dps(SCOPE, ID), Some(&stranger)).await.0, 401, "{image}");
    }
}

#[tokio::test]
async fn an_individual_enrolment_admits_one_firmware() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    std::fs::write(&image, "first").unwrap();
    let enrolment = folder.path().join("my-device.pem");
    generate("certificate", &image, &enrolment);
    let cloud = start(Config { enrollments: Some(folder.path().to_owned()), ..Config::default() }).await;
    let connect = Connect::dps(SCOPE, ID);
    assert_eq!(register(&cloud, &connect, Some(&device(b"first"))).await.0, 200);
    assert_eq!(register(&cloud, &connect, Some(&device(b"second"))).await.0, 401);
    std::fs::remove_file(&enrolment).unwrap();
    std::fs::write(&image, "second").unwrap();
    generate("certificate", &image, &enrolment);
    assert_eq!(register(&cloud, &connect, Some(&device(b"second"))).await.0, 200);
}

/// A device as it presents itself below a CA: its DeviceID certificate is the CA's in place of its own.
fn below_a_ca(uds: &str, image: &[u8], svn: u64, device_id: &Path) -> Identity {
    let mut device = device_of(uds, image, svn);
    let issued = dps_cert_gen::certificates::read(&std::fs::read(device_id).unwrap()).unwrap().remove(0);
    *device.chain.last_mut().unwrap() = issued.into();
    device
}

/// The device's life below a CA of one's own: admitted with any firmware, told apart by the verifier, and at its end
/// locked out, which takes an entry in the service and a revocation list for verifiers.
#[tokio::test]
async fn a_ca_above_all_devices_admits_updates_and_the_verifier_tells_them_apart() {
    const OTHER_UDS: &str = "0ae25a259d0c2be03a02d416c05c48ccd0cc7d1743458aae1cb488b074993eae";
    let folder = tempfile::tempdir().unwrap();
    let desk = |words: &str| desk(folder.path(), words);
    let file = |name: &str| folder.path().join(name);
    desk("ca create @ca --name Fleet").unwrap();
    desk("ca create @foreign --name Fleet").unwrap();
    for (uds, name) in [(UDS, "one"), (OTHER_UDS, "other")] {
        desk(&format!("-u {uds} --make device-id-request -o @{name}.csr")).unwrap();
        desk(&format!("ca sign @ca @{name}.csr -o @{name}.pem")).unwrap();
    }
    desk("ca sign @foreign @one.csr -o @stranger.pem").unwrap();
    std::fs::create_dir_all(file("enrollments/groups")).unwrap();
    std::fs::copy(file("ca/ca.pem"), file("enrollments/groups/fleet.pem")).unwrap();
    let cloud = start(Config { enrollments: Some(file("enrollments")), ..Config::default() }).await;
    let connect = Connect::dps(SCOPE, ID);

    // The update is admitted as the firmware before it, and a chain to another CA of the same name is not.
    let [old, new] = [(b"firmware 1", 1), (b"firmware 2", 2)].map(|(image, svn)| {
        let device = below_a_ca(UDS, image, svn, &file("one.pem"));
        let chain: String =
            device.chain.iter().map(|der| to_pem(Label::Certificate, der, Lines::Wrapped).unwrap()).collect();
        std::fs::write(file(&format!("chain-{svn}")), chain).unwrap();
        device
    });
    for device in [&old, &new] {
        let (status, answer) = register(&cloud, &connect, Some(device)).await;
        assert_eq!((status, &answer["registrationState"]["deviceId"]), (200, &ID.into()), "{answer}");
    }
    let stranger = below_a_ca(UDS, b"firmware 2", 2, &file("stranger.pem"));
    assert_eq!(register(&cloud, &connect, Some(&stranger)).await.0, 401);

    // The verifier tells them apart: by the reference values of the new one, and by the least security version.
    std::fs::write(file("image"), "firmware 2").unwrap();
    let made =
        "--force-image -b @image --firmware-version 1.0.0 --svn 2 --make reference-values -o @references";
    desk(made).unwrap();
    let policy = r#"{"triples":{"reference-values":[{"measurements":[{"value":
        {"svn":{"type":"min-value","value":2},"op-flags":["notConfigured"]}}]}]}}"#;
    std::fs::write(file("policy"), policy).unwrap();
    let verify = |svn: u64, more: &str| desk(&format!("verify @chain-{svn} --anchor @ca/ca.pem {more}"));
    for (references, refused) in [
        ("@references", "the firmware digest is not that of any"),
        ("@policy", "security version number 1 is below 2"),
    ] {
        let more = format!("--reference-values {references}");
        assert!(verify(2, &more).unwrap().ends_with("accepted\n"));
        let error = verify(1, &more).unwrap_err();
        assert!(error.contains(refused), "{error}");
    }

    // Revoked: verifiers that have the list know. The service does not ask for lists and goes on.
    let name = desk("ca list @ca --json").unwrap();
    let name: serde_json::Value = serde_json::from_str(&name).unwrap();
    desk(&format!("ca revoke @ca {} --reason key-compromise", name[0]["name"].as_str().unwrap())).unwrap();
    desk("ca crl @ca").unwrap();
    let error = verify(2, "--reference-values @references --crl @ca/ca.crl").unwrap_err();
    assert!(error.contains("it is revoked since ") && error.contains("key compromise"), "{error}");
    assert_eq!(register(&cloud, &connect, Some(&new)).await.0, 200);

    // What locks the device out there, whatever firmware it runs: a disabled group on its DeviceID certificate, which
    // is nearer than the CA, or a disabled individual enrolment of its registration id. The others stay.
    let device_id = new.chain.last().unwrap().to_vec();
    let mut group = Enrollment::new("locked-out", Attestation::certificate(device_id));
    group.enabled = false;
    let mut individual = Enrollment::new(ID, Attestation::key([7; 32]));
    individual.enabled = false;
    let other = below_a_ca(OTHER_UDS, b"firmware 1", 1, &file("other.pem"));
    let outcome = |(status, answer): (u16, serde_json::Value)| {
        (status, answer["status"].as_str().unwrap_or_default().to_owned())
    };
    let assigned = (200, "assigned".to_owned());
    cloud.enrollments().put_group(group);
    for device in [&old, &new] {
        assert_eq!(outcome(register(&cloud, &connect, Some(device)).await), (200, "disabled".to_owned()));
    }
    assert_eq!(outcome(register(&cloud, &connect, Some(&other)).await), assigned);
    cloud.enrollments().remove_group("locked-out");
    assert_eq!(outcome(register(&cloud, &connect, Some(&new)).await), assigned);
    cloud.enrollments().put_individual(individual);
    for device in [&old, &new] {
        assert_ne!(outcome(register(&cloud, &connect, Some(device)).await), assigned);
    }
}
