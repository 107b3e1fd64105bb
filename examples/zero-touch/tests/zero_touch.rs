//! The tutorial, whole and broken: each way to break it is seen to fail at the step it should, and the restart to
//! recover.

use std::process::{Command, Output};

use local_cloud::{Config, LocalCloud};

fn zero_touch(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_zero-touch")).args(args).output().unwrap()
}

#[track_caller]
fn succeeds(args: &[&str]) -> String {
    let output = zero_touch(args);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[track_caller]
fn fails(break_it: &str, step: &str, why: &str) {
    let output = zero_touch(&["--break", break_it]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains(step) && error.contains(why), "{error}");
}

#[test]
fn the_whole_tutorial() {
    for profile in ["standard", "riot"] {
        let printed = succeeds(&["--profile", profile]);
        for words in [
            "# set_dps_uds ****",
            "DPS UDS: (set)",
            "the device shows the same certificate",
            "assigned to",
            "\"temperature\":22.5",
            "temperatureAlert",
            "\"value\":600",
            "method stop: 200",
            "Hello from the cloud",
        ] {
            assert!(printed.contains(words), "{profile}: {words} in {printed}");
        }
    }
}

#[test]
fn a_device_kept_in_a_folder_keeps_its_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("device");
    let args = ["--device", path.to_str().unwrap()];
    let made = succeeds(&args);
    let certificate = std::fs::read(path.join("device.pem")).unwrap();
    let taken = succeeds(&args);
    assert!(made.contains("made in") && taken.contains("taken from"), "{made}{taken}");
    assert_eq!(std::fs::read(path.join("device.pem")).unwrap(), certificate);
    let secret = std::fs::read_to_string(path.join("uds")).unwrap();
    assert!(!made.contains(&secret) && !taken.contains(&secret), "the secret was printed");
}

#[test]
fn another_secret_is_refused() {
    fails("wrong-uds", "step 7", "401002");
}

#[test]
fn another_firmware_is_refused() {
    fails("changed-firmware", "step 7", "401002");
}

#[test]
fn a_device_that_is_not_enrolled_is_refused() {
    fails("no-enrolment", "step 7", "401002");
}

#[test]
fn another_id_scope_is_refused() {
    fails("wrong-id-scope", "step 7", "CONNACK 5");
}

#[test]
fn a_server_of_another_ca_is_refused_by_the_device() {
    fails("foreign-server", "step 7", "a signature in the server's certificates does not verify");
}

#[test]
fn the_device_recovers_when_the_cloud_is_back() {
    let printed = succeeds(&["--break", "cloud-restart"]);
    let down = printed.find("down: the device has noticed").expect("a failure was noticed");
    let back = printed.rfind("messageId").expect("telemetry");
    assert!(down < back, "telemetry after the restart: {printed}");
}

#[test]
fn a_fleet_spreads_its_registrations() {
    let printed = succeeds(&["--devices", "12", "--spread", "2"]);
    let last = |name: &str| -> f64 {
        let row = printed.lines().find(|line| line.trim_start().starts_with(name)).expect(name);
        row.split_whitespace().rev().nth(2).expect("a time").parse().expect("a number")
    };
    assert!(last("connect to DPS") < last("assigned"), "{printed}");
    assert!(last("assigned") <= last("message delivered"), "{printed}");
    assert!(printed.contains("attempts that were repeated: 0"), "{printed}");
}

/// Fewer file descriptors than devices: none of them is told an error that ends it, and all get in, each in its turn.
#[cfg(unix)]
#[test]
fn a_fleet_with_fewer_descriptors_than_devices() {
    let folder = tempfile::tempdir().unwrap();
    let plot = folder.path().join("fleet.svg");
    let fleet = format!("ulimit -n 64; exec \"$0\" --devices 60 --spread 1 --plot {}", plot.display());
    let output = Command::new("sh").args(["-c", &fleet, env!("CARGO_BIN_EXE_zero-touch")]).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains("a device that is done leaves"), "{printed}");
    assert!(printed.contains("message delivered  |"), "{printed}");
    assert!(std::fs::read_to_string(plot).unwrap().starts_with("<svg "));
}

/// As a user goes to a service out there: the first run shows what to enrol and fails, the next one succeeds.
#[tokio::test]
async fn a_provisioning_service_elsewhere() {
    // A device asks for names, and this one resolves everywhere. The hub has the port that every hub has.
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::create_dir(path("enrolments")).unwrap();
    let config = Config {
        hub_port: 8883,
        hub_name: "localhost".to_owned(),
        retry_after: Some(0),
        enrollments: Some(path("enrolments").into()),
        ..Config::default()
    };
    let cloud = LocalCloud::start(config).await.unwrap();
    std::fs::write(path("root.pem"), cloud.root_pem()).unwrap();
    let endpoint = format!("localhost:{}", cloud.dps_address().port());
    let args = [
        "--endpoint",
        &endpoint,
        "--id-scope",
        &cloud.config().id_scope,
        "--root",
        &path("root.pem"),
        "--device",
        &path("device"),
    ];
    let program = || tokio::process::Command::new(env!("CARGO_BIN_EXE_zero-touch")).args(args).output();
    let first = program().await.unwrap();
    let error = String::from_utf8(first.stderr).unwrap();
    assert!(!first.status.success() && error.contains("step 7") && error.contains("401002"), "{error}");
    std::fs::copy(path("device/device.pem"), path("enrolments/device.pem")).unwrap();
    let second = program().await.unwrap();
    let printed = String::from_utf8(second.stdout).unwrap();
    assert!(second.status.success(), "{printed}{}", String::from_utf8_lossy(&second.stderr));
    assert!(
        printed.contains("assigned to localhost") && printed.contains("the hub acknowledges"),
        "{printed}"
    );
}
