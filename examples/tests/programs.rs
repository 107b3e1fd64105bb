//! Every program as a reader runs it: those that end, by what they print; those that stay online, by what the cloud
//! sees.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use dice_core::pem;
use local_cloud::{Attestation, Config, Enrollment, Handle, LocalCloud, Properties};
use serde_json::{Map, Value, json};
use tokio::process::{Child, Command};

const PATIENCE: Duration = Duration::from_secs(30);
/// A hub of the new generation.
const MQTT5_HUB: &str = "local-hub5.device.azure-devices.net";

/// What a program prints before it ends well.
async fn output(program: &str, args: &[&str], folder: &Path) -> String {
    let output =
        tokio::time::timeout(PATIENCE, Command::new(program).args(args).current_dir(folder).output());
    let output = output.await.expect("the program ends").unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A cloud on one port, as the programs expect it.
struct Cloud {
    handle: Handle,
    folder: tempfile::TempDir,
    hub: &'static str,
}

impl Cloud {
    async fn start() -> Self {
        Self::with_hub("local-hub.azure-devices.net").await
    }

    /// With devices assigned to this hub.
    async fn with_hub(hub: &'static str) -> Self {
        Self::start_with(hub, Config::default()).await
    }

    async fn start_with(hub: &'static str, config: Config) -> Self {
        // A port that was free a moment ago.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mqtt5_hubs = vec![MQTT5_HUB.to_owned()];
        let config = Config { dps_port: port, hub_port: port, mqtt5_hubs, retry_after: Some(0), ..config };
        let handle = LocalCloud::start(config).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("root.pem"), handle.root_pem()).unwrap();
        Self { handle, folder, hub }
    }

    /// Enrols `my-device` with the first certificate that a program prints.
    async fn enrol(&self, program: &str, args: &[&str]) {
        let text = output(program, args, self.folder.path()).await;
        let mut der = [0; 4096];
        let (der, _) = pem::decode(pem::Label::Certificate, &text, &mut der).unwrap();
        let mut enrollment = Enrollment::new("my-device", Attestation::certificate(der));
        enrollment.hubs = vec![self.hub.to_owned()];
        self.handle.enrollments().put_individual(enrollment);
    }

    /// Starts a program that stays online, and waits until it is.
    async fn online(&self, program: &str) -> Child {
        self.online_at(&self.handle.dps_address().to_string(), program, &[]).await
    }

    /// The same at another address of the cloud, with further arguments.
    async fn online_at(&self, address: &str, program: &str, args: &[&str]) -> Child {
        let child = Command::new(program)
            .args(["--at", address, "--root", "root.pem"])
            .args(args)
            .args((self.hub == MQTT5_HUB).then_some("--any-hub"))
            .current_dir(self.folder.path())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.until(|| self.handle.is_connected("my-device")).await;
        child
    }

    async fn offline(&self, mut device: Child) {
        device.kill().await.unwrap();
        self.until(|| !self.handle.is_connected("my-device")).await;
    }

    async fn until(&self, condition: impl Fn() -> bool) {
        let waiting = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("it happens in time");
    }

    /// Calls a method as soon as the device listens to methods.
    async fn call(&self, name: &str) -> (i32, Value) {
        loop {
            match self.handle.invoke_method("my-device", name, "null", PATIENCE).await {
                Ok(answer) => return (answer.status, serde_json::from_slice(&answer.body).unwrap()),
                Err(local_cloud::CommandError::NotListening) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn wish(&self, desired: Value) {
        let desired: Map<String, Value> = serde_json::from_value(desired).unwrap();
        self.handle.patch_desired("my-device", &desired).unwrap();
    }

    fn reported(&self, name: &str) -> Value {
        self.handle.twin("my-device").unwrap()["reported"][name].clone()
    }
}

#[tokio::test]
async fn identities_and_the_secure_element() {
    let folder = tempfile::tempdir().unwrap();
    let print = |program| output(program, &[], folder.path());
    let chain = print(env!("CARGO_BIN_EXE_identity")).await;
    assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 2);
    assert_eq!(chain, print(env!("CARGO_BIN_EXE_identity")).await, "the same at every boot");
    let stages = print(env!("CARGO_BIN_EXE_boot-stages")).await;
    assert!(stages.contains("the application's certificate is another"), "{stages}");
    let verdicts = print(env!("CARGO_BIN_EXE_verify-chain")).await;
    assert!(
        verdicts.contains("firmware 1.0: admitted")
            && verdicts.contains("firmware 0.9: certificate 0 is refused")
    );
    let first = print(env!("CARGO_BIN_EXE_uds-in-secure-element")).await;
    let again = print(env!("CARGO_BIN_EXE_uds-in-secure-element")).await;
    assert_eq!(first, format!("first start: the chip makes a secret\n{again}"));
}

#[tokio::test]
async fn registrations() {
    let cloud = Cloud::start().await;
    cloud.enrol(env!("CARGO_BIN_EXE_identity"), &[]).await;
    let (bytes, key) = (b"with a symmetric key of 32 bytes", "d2l0aCBhIHN5bW1ldHJpYyBrZXkgb2YgMzIgYnl0ZXM=");
    let enrolments = cloud.handle.enrollments();
    enrolments.put_individual(Enrollment::new("keyed-device", Attestation::key(bytes)));
    enrolments.put_group(Enrollment::new("fleet", Attestation::key(bytes)));

    let mqtt = cloud.handle.dps_address().to_string();
    let https = cloud.handle.https_address().to_string();
    let programs = [
        (env!("CARGO_BIN_EXE_register-with-certificate"), &mqtt, "my-device"),
        (env!("CARGO_BIN_EXE_register-over-your-transport"), &https, "my-device"),
        (env!("CARGO_BIN_EXE_register-with-symmetric-key"), &mqtt, "keyed-device"),
        (env!("CARGO_BIN_EXE_register-with-group-key"), &mqtt, "group-device"),
    ];
    for (program, address, id) in programs {
        let args = ["--at", address, "--root", "root.pem", "--id", id, "--key", key];
        let said = output(program, &args, cloud.folder.path()).await;
        assert_eq!(said, format!("{id} is the device {id} of local-hub.azure-devices.net\n"), "{program}");
    }
}

#[tokio::test]
async fn telemetry_and_messages() {
    let cloud = Cloud::start().await;
    cloud.enrol(env!("CARGO_BIN_EXE_identity"), &[]).await;
    let mut events = cloud.handle.events();
    let _device = cloud.online(env!("CARGO_BIN_EXE_telemetry-and-messages")).await;
    let telemetry = tokio::time::timeout(PATIENCE, events.telemetry()).await.unwrap().unwrap();
    assert!(telemetry.body.starts_with(br#"{"temperature":20."#));
    cloud.handle.send_c2d("my-device", "hello", &Properties::default()).unwrap();
    cloud.until(|| cloud.handle.waiting_c2d("my-device") == Ok(0)).await;
}

#[tokio::test]
async fn telemetry_that_outlives_resets() {
    use tokio::io::{AsyncBufReadExt as _, BufReader};
    let cloud = Cloud::start().await;
    cloud.enrol(env!("CARGO_BIN_EXE_identity"), &[]).await;
    let mut events = cloud.handle.events();
    let start = |address: &str| {
        Command::new(env!("CARGO_BIN_EXE_queue-telemetry"))
            .args(["--at", address, "--root", "root.pem", "--every", "10"])
            .current_dir(cloud.folder.path())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    };
    // Nobody listens there.
    let mut device = start("127.0.0.1:1");
    let mut lines = BufReader::new(device.stdout.take().unwrap()).lines();
    while lines.next_line().await.unwrap().unwrap() != "20 wait, 0 were dropped" {}
    device.kill().await.unwrap();

    // Killed in the middle of things; the numbers that came, by the start that stored them.
    let address = cloud.handle.dps_address().to_string();
    let mut came = BTreeMap::<String, BTreeSet<u32>>::new();
    for reset in 1..=4 {
        let mut device = start(&address);
        while came.len() <= reset || came.values().any(|numbers| numbers.len() < 20) {
            let telemetry = tokio::time::timeout(PATIENCE, events.telemetry()).await.unwrap().unwrap();
            let id = telemetry.properties.get("$.mid").unwrap();
            let (start, number) = id.split_once('-').unwrap();
            assert_eq!(telemetry.body, format!("{{\"measurement\":{number}}}").into_bytes());
            came.entry(start.to_owned()).or_default().insert(number.parse().unwrap());
        }
        device.kill().await.unwrap();
    }
    for (start, numbers) in came {
        let count = u32::try_from(numbers.len()).unwrap();
        assert!(count >= 20 && numbers.into_iter().eq(0..count), "one of {start} is missing");
    }
}

#[tokio::test]
async fn methods_twin_and_plug_and_play() {
    methods_twin_and_plug_and_play_at(Cloud::start().await).await;
}

/// The same programs; the hub speaks MQTT 5.
#[tokio::test]
async fn at_a_hub_of_the_new_generation() {
    let cloud = Cloud::with_hub(MQTT5_HUB).await;
    let mut events = cloud.handle.events();
    cloud.enrol(env!("CARGO_BIN_EXE_identity"), &[]).await;
    let device = cloud.online(env!("CARGO_BIN_EXE_telemetry-and-messages")).await;
    let telemetry = tokio::time::timeout(PATIENCE, events.telemetry()).await.unwrap().unwrap();
    assert!(telemetry.body.starts_with(br#"{"temperature":20."#));
    cloud.offline(device).await;
    methods_twin_and_plug_and_play_at(cloud).await;
}

async fn methods_twin_and_plug_and_play_at(cloud: Cloud) {
    cloud.enrol(env!("CARGO_BIN_EXE_identity"), &[]).await;
    let device = cloud.online(env!("CARGO_BIN_EXE_methods")).await;
    assert_eq!(cloud.call("on").await, (200, json!({"lamp": true})));
    assert_eq!(cloud.call("dance").await, (404, json!({"lamp": true})));
    cloud.offline(device).await;

    cloud.wish(json!({"interval": 20}));
    let device = cloud.online(env!("CARGO_BIN_EXE_twin")).await;
    cloud.until(|| cloud.reported("interval") == 20).await;
    cloud.wish(json!({"interval": 30}));
    cloud.until(|| cloud.reported("interval") == 30).await;
    cloud.offline(device).await;

    cloud.wish(json!({"targetTemperature": 21}));
    let _device = cloud.online(env!("CARGO_BIN_EXE_plug-and-play")).await;
    cloud.until(|| cloud.reported("targetTemperature")["ac"] == 200).await;
    assert_eq!(cloud.reported("targetTemperature")["value"], 21);
    assert_eq!(cloud.call("reboot").await.0, 200);
}

/// A proxy that others wrote, and what it says of the connections it makes.
struct Proxy {
    _process: Child,
    address: String,
    log: std::path::PathBuf,
}

impl Proxy {
    /// Lets in who has this user name and password.
    async fn start(folder: &Path, user: &str, password: &str) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (settings, log) = (folder.join("tinyproxy.conf"), folder.join("tinyproxy.log"));
        let text = format!(
            "Port {port}\nListen 127.0.0.1\nMaxClients 20\nTimeout 60\nBasicAuth {user} {password}\n\
             LogFile \"{}\"\nLogLevel Connect\n",
            log.display()
        );
        std::fs::write(&settings, text).unwrap();
        let process = Command::new("tinyproxy")
            .args([Path::new("-d"), Path::new("-c"), &settings])
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("tinyproxy, which tools/setup installs");
        let address = format!("127.0.0.1:{port}");
        let listens = async {
            while tokio::net::TcpStream::connect(&address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, listens).await.expect("the proxy starts");
        Self { _process: process, address, log }
    }

    /// How often it has connected to this address.
    fn connections(&self, to: &str) -> usize {
        std::fs::read_to_string(&self.log).unwrap().matches(&format!("CONNECT {to} ")).count()
    }
}

#[tokio::test]
async fn over_websockets_and_through_a_proxy() {
    let program = env!("CARGO_BIN_EXE_websocket");
    for hub in ["local-hub.azure-devices.net", MQTT5_HUB] {
        let cloud = Cloud::with_hub(hub).await;
        let proxy = Proxy::start(cloud.folder.path(), "device", "open-sesame").await;
        cloud.enrol(env!("CARGO_BIN_EXE_identity"), &[]).await;
        let (mqtt, https) =
            (cloud.handle.dps_address().to_string(), cloud.handle.https_address().to_string());
        let through = ["--proxy", &proxy.address, "--proxy-user", "device:open-sesame"];

        for (address, program, args) in [
            (&https, program, &[][..]),
            (&https, program, &through),
            (&mqtt, env!("CARGO_BIN_EXE_telemetry-and-messages"), &through),
        ] {
            let mut events = cloud.handle.events();
            let device = cloud.online_at(address, program, args).await;
            let telemetry = tokio::time::timeout(PATIENCE, events.telemetry()).await.unwrap().unwrap();
            assert!(telemetry.body.starts_with(b"{\""));
            if hub != MQTT5_HUB {
                cloud.handle.send_c2d("my-device", "x".repeat(1500), &Properties::default()).unwrap();
                cloud.until(|| cloud.handle.waiting_c2d("my-device") == Ok(0)).await;
            }
            cloud.offline(device).await;
        }
        // To the provisioning service and to the hub.
        assert_eq!((proxy.connections(&https), proxy.connections(&mqtt)), (2, 2));

        // Somebody has to act, and is told why.
        for user in ["device:wrong", "device"] {
            let args =
                ["--at", &https, "--root", "root.pem", "--proxy", &proxy.address, "--proxy-user", user];
            let ended = Command::new(program).args(args).current_dir(cloud.folder.path()).output();
            let ended = tokio::time::timeout(PATIENCE, ended).await.expect("the program ends").unwrap();
            let said = String::from_utf8(ended.stderr).unwrap();
            assert!(
                !ended.status.success() && said.contains("the proxy wants a user name and password"),
                "{said}"
            );
        }
    }
}

#[tokio::test]
async fn all_of_it_in_one_file() {
    let cloud = Cloud::start().await;
    let program = env!("CARGO_BIN_EXE_minimal");
    cloud.enrol(program, &["--print"]).await;
    let mut events = cloud.handle.events();
    let _device = cloud.online(program).await;
    let telemetry = tokio::time::timeout(PATIENCE, events.telemetry()).await.unwrap().unwrap();
    assert_eq!(telemetry.body, br#"{"hello":"world"}"#);
    assert_eq!(cloud.call("anything").await.0, 200);
}

#[tokio::test]
async fn a_certificate_that_renews() {
    use local_cloud::Event;
    let issued_lifetime = Duration::from_secs(30);
    let cloud =
        Cloud::start_with("local-hub.azure-devices.net", Config { issued_lifetime, ..Config::default() })
            .await;
    let mut events = cloud.handle.events();
    cloud.enrol(env!("CARGO_BIN_EXE_identity"), &[]).await;
    let address = cloud.handle.dps_address().to_string();
    let start = || {
        Command::new(env!("CARGO_BIN_EXE_renew-certificate"))
            .args(["--at", &address, "--root", "root.pem", "--renew-at", "5"])
            .current_dir(cloud.folder.path())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    };
    let device = start();
    let (mut registered, mut issued, mut connected) = (0, 0, 0);
    let renewals = async {
        while issued < 3 || connected < 4 {
            match events.next().await.unwrap() {
                Event::Registered { .. } => registered += 1,
                Event::Refused { reason, .. } => panic!("{reason}"),
                Event::CertificateIssued { .. } => issued += 1,
                Event::Connected { .. } => connected += 1,
                _ => {}
            }
        }
    };
    tokio::time::timeout(2 * PATIENCE, renewals).await.expect("three renewals in time");
    assert_eq!(registered, 1);
    cloud.offline(device).await;

    // A restart: the hub takes what is in the flash.
    let device = start();
    let again = events.find(|event| match event {
        Event::Registered { .. } => Some(Err("registered again")),
        Event::Connected { .. } => Some(Ok(())),
        _ => None,
    });
    assert_eq!(tokio::time::timeout(PATIENCE, again).await.expect("in time"), Some(Ok(())));
    cloud.offline(device).await;
}
