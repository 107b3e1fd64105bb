//! Both ways to enrol an identity of the profile `standard`, with what `dps-cert-gen` makes, and a firmware update.

use std::path::Path;

use dice_core::standard::{FirmwareInfo, Identity as DiceIdentity};
use dice_core::{FirmwareDigest, RegistrationId, Uds, pem::Label, pem::Lines};
use dps_cert_gen::{self, make::to_pem};
use local_cloud::Config;

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

/// What the device presents when it runs an image: alias, then DeviceID.
fn device(image: &[u8]) -> Identity {
    device_of(UDS, image)
}

fn device_of(uds: &str, image: &[u8]) -> Identity {
    let info = FirmwareInfo::new(devkit_app::identity::VENDOR, devkit_app::identity::MODEL, "1.0.0", 1);
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
        let stranger = device_of(&UDS.replace("eae", "eaf"), image.as_bytes());
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
