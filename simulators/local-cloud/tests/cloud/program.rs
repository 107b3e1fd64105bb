//! The program `local-cloud`, driven through its console.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use mqtt_protocol_core::mqtt::packet::Qos;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::client::{Client, Connect, Identity, connect_tls};
use crate::flow::{ANSWERS, ask};

/// Reads on to a line with this in it.
async fn line_with(lines: &mut Output, text: &str) -> String {
    let mut seen = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        if line.contains(text) {
            return line;
        }
        seen.push_str(&line);
        seen.push('\n');
    }
    panic!("the program ended without {text:?}; it said:\n{seen}");
}

type Output = Lines<BufReader<ChildStdout>>;

fn program(args: &[&str], paths: &[(&str, &Path)]) -> (Child, ChildStdin, Output) {
    spawn(Command::new(env!("CARGO_BIN_EXE_local-cloud")), args, paths)
}

fn spawn(mut command: Command, args: &[&str], paths: &[(&str, &Path)]) -> (Child, ChildStdin, Output) {
    if let Some((_, root)) = paths.iter().find(|(option, _)| *option == "--out-ca") {
        command.arg("--state").arg(root.with_file_name("state"));
    }
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    for (option, path) in paths {
        command.arg(option).arg(path);
    }
    let mut program = command.spawn().unwrap();
    let console = program.stdin.take().unwrap();
    let lines = BufReader::new(program.stdout.take().unwrap()).lines();
    (program, console, lines)
}

/// Reads on to the JSON event of this name.
async fn event(lines: &mut Output, name: &str) -> Value {
    loop {
        let line = lines.next_line().await.unwrap().expect("the program ended");
        let event: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}"));
        if event["event"] == name {
            return event;
        }
    }
}

#[tokio::test]
async fn console() {
    let folder = tempfile::tempdir().unwrap();
    let enrollments = folder.path().join("enrolments");
    let root = folder.path().join("root.pem");
    let (mut program, mut console, mut lines) = program(
        &["--dps-port=0", "--hub-port=0", "--https-port=0", "--id-scope=0neABC", "--assigning-polls=0"],
        &[("--enrollments", &enrollments), ("--out-ca", &root)],
    );
    let mut addresses = HashMap::new();
    for _ in 0..5 {
        let line = lines.next_line().await.unwrap().unwrap();
        let (name, rest) = line.split_at(13);
        addresses.insert(name.trim().to_owned(), rest.split(' ').next().unwrap().to_owned());
    }
    let address = |name: &str| addresses[name].parse().unwrap();
    let pem = std::fs::read_to_string(&root).unwrap();
    let root = <rustls::pki_types::CertificateDer<'_> as rustls::pki_types::pem::PemObject>::from_pem_slice(
        pem.as_bytes(),
    )
    .unwrap();

    let device = Identity::self_signed("d");
    std::fs::write(enrollments.join("d.pem"), device.leaf_pem()).unwrap();
    let open = async |name: &str| {
        let tls = connect_tls(address(name), "127.0.0.1", &root, Some(&device), rustls::ALL_VERSIONS)
            .await
            .unwrap();
        Client::new(tls)
    };
    let mut client = open("DPS").await;
    assert_eq!(client.connect(&Connect::dps("0neABC", "d")).await, Some(0));
    client.subscribe(ANSWERS, Qos::AtLeastOnce).await.unwrap();
    let put = "$dps/registrations/PUT/iotdps-register/?$rid=1";
    assert_eq!(ask(&mut client, put, b"{}").await.0, 200);
    line_with(&mut lines, "DPS: d assigned to local-hub.azure-devices.net as device [d]").await;

    let mut client = open("IoT Hub").await;
    assert_eq!(client.connect(&Connect::hub("local-hub.azure-devices.net", "d")).await, Some(0));
    for filter in [
        "devices/d/messages/devicebound/#",
        "$iothub/methods/POST/#",
        "$iothub/twin/PATCH/properties/desired/#",
    ] {
        client.subscribe(filter, Qos::AtLeastOnce).await.unwrap();
    }
    assert!(client.publish_acked("devices/d/messages/events/a=b", b"hello").await);
    line_with(&mut lines, "> Device: [d], Data:[hello], Properties: 'a': 'b'").await;

    let mut type_in = async |line: &str| console.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    type_in("c2d d good morning").await;
    let (_, payload, id) = client.message().await;
    assert_eq!(payload, b"good morning");
    client.puback(id.unwrap()).await;
    line_with(&mut lines, "Device [d] completed message").await;
    type_in("twin d {\"led\":true}").await;
    assert_eq!(client.message().await.1, b"{\"$version\":2,\"led\":true}");
    line_with(&mut lines, "desired properties are at version 2").await;
    type_in("method d blink {}").await;
    let (topic, _, _) = client.message().await;
    let rid = topic.strip_prefix("$iothub/methods/POST/blink/?$rid=").unwrap();
    client.publish(&format!("$iothub/methods/res/207/?$rid={rid}"), b"[]", Qos::AtMostOnce).await;
    line_with(&mut lines, "207 []").await;
    type_in("devices").await;
    line_with(&mut lines, "d  connected").await;
    for (command, error) in [
        ("c2d nobody x", "error: the hub has no such device"),
        ("twin d [", "error: the patch"),
        ("twin d []", "error: the patch is not a JSON object"),
        ("method d", "error: which method?"),
        ("dance", "error: unknown command \"dance\""),
        ("refuse hub 9", "error: a CONNACK code is 1 to 5"),
        ("refuse moon 5", "error: no service is called \"moon\""),
        ("c2d d ?=x y", "error: the properties"),
    ] {
        type_in(command).await;
        line_with(&mut lines, error).await;
    }
    type_in("c2d d ?led=on%21&bare now").await;
    let (topic, payload, id) = client.message().await;
    assert!(topic.ends_with("&led=on%21&bare"), "{topic}");
    assert_eq!(payload, b"now");
    client.puback(id.unwrap()).await;
    type_in("drop").await;
    line_with(&mut lines, "Device [d] disconnected").await;
    type_in("quit").await;
    assert!(program.wait().await.unwrap().success());
}

/// For programs, and for devices that know one address only: one port for DPS and hub, told apart by the name that the
/// device asks for; TLS 1.2 only; the root in DER; events as JSON.
#[tokio::test]
async fn one_port_and_json() {
    let folder = tempfile::tempdir().unwrap();
    let enrollments = folder.path().join("enrolments");
    let (root_pem, root_der) = (folder.path().join("root.pem"), folder.path().join("root.der"));
    // An address of the loopback network that no other process uses, so that a fixed port is free.
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let listen = format!("--listen=127.77.{high}.{}", low.max(1));
    let (mut program, mut console, mut lines) = program(
        &[
            &listen,
            "--dps-port=8883",
            "--hub-port=8883",
            "--https-port=8443",
            "--assigning-polls=0",
            "--tls=1.2",
            "--hub-name=my-hub.azure-devices.net",
            "--name=gateway.local",
            "--json",
        ],
        &[("--enrollments", &enrollments), ("--out-ca", &root_pem), ("--out-ca-der", &root_der)],
    );
    let ready = event(&mut lines, "ready").await;
    assert_eq!((&ready["dps"], &ready["idScope"]), (&ready["hub"], &"0ne00000000".into()));
    let address: SocketAddr = ready["dps"].as_str().unwrap().parse().unwrap();
    assert_eq!(address.port(), 8883);
    let root = std::fs::read(&root_der).unwrap();
    let device = Identity::self_signed("d");
    std::fs::write(enrollments.join("d.pem"), device.leaf_pem()).unwrap();
    let open = |host: &'static str, version| {
        let (root, device) = (root.clone(), device.clone());
        async move { connect_tls(address, host, &root, Some(&device), &[version]).await }
    };
    let (v12, v13) = (&rustls::version::TLS12, &rustls::version::TLS13);
    assert!(open("my-hub.azure-devices.net", v13).await.is_err());
    assert!(event(&mut lines, "refused").await["reason"].as_str().unwrap().starts_with("TLS: "));

    let mut client = Client::new(open("global.azure-devices-provisioning.net", v12).await.unwrap());
    assert_eq!(client.connect(&Connect::dps("0ne00000000", "d")).await, Some(0));
    client.subscribe(ANSWERS, Qos::AtLeastOnce).await.unwrap();
    let put = "$dps/registrations/PUT/iotdps-register/?$rid=1";
    assert_eq!(ask(&mut client, put, b"{}").await.2["registrationState"]["assignedHub"], ready["hubName"]);
    assert_eq!(event(&mut lines, "registered").await["registrationId"], "d");

    let mut client = Client::new(open("my-hub.azure-devices.net", v12).await.unwrap());
    assert_eq!(client.connect(&Connect::hub("my-hub.azure-devices.net", "d")).await, Some(0));
    assert_eq!(event(&mut lines, "connected").await["device"], "d");
    for (body, shown) in [(&b"hi"[..], Value::from("hi")), (&[0xff], serde_json::json!({"hex": "ff"}))] {
        assert!(client.publish_acked("devices/d/messages/events/a=1&bare&%24.ce=utf-8", body).await);
        let telemetry = event(&mut lines, "telemetry").await;
        assert_eq!(telemetry["body"], shown);
        assert_eq!(telemetry["properties"], serde_json::json!({"a": "1", "bare": null, "$.ce": "utf-8"}));
    }
    // No name at all.
    let client = Client::new(open("127.0.0.1", v12).await.unwrap());
    assert!(event(&mut lines, "refused").await["reason"].as_str().unwrap().starts_with("TLS: "));
    drop(client);
    // A name of this machine is that of both services: the first packet says which one is meant, and the hub is called
    // by it.
    let mut client = Client::new(open("gateway.local", v12).await.unwrap());
    assert_eq!(client.connect(&Connect::dps("0ne00000000", "d")).await, Some(0));
    client.subscribe(ANSWERS, Qos::AtLeastOnce).await.unwrap();
    assert_eq!(ask(&mut client, put, b"{}").await.2["registrationState"]["assignedHub"], "gateway.local");
    let mut client = Client::new(open("gateway.local", v12).await.unwrap());
    assert_eq!(client.connect(&Connect::hub("gateway.local", "d")).await, Some(0));

    let mut type_in = async |line: &str| console.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    type_in("devices").await;
    let answer = event(&mut lines, "answer").await;
    assert_eq!(answer["devices"], serde_json::json!([{"id": "d", "connected": true}]));
    assert_eq!(answer["command"], "devices");
    type_in("twin d {\"a\":1}").await;
    assert_eq!(event(&mut lines, "answer").await["desiredVersion"], 2);
    type_in("twin nobody").await;
    assert_eq!(event(&mut lines, "error").await["message"], "the hub has no such device");
    type_in("disable d").await;
    assert_eq!(event(&mut lines, "disconnected").await["reason"], "device disabled");
    let connect = async || {
        let mut client = Client::new(open("my-hub.azure-devices.net", v12).await.unwrap());
        client.connect(&Connect::hub("my-hub.azure-devices.net", "d")).await
    };
    assert_eq!(connect().await, Some(5));
    type_in("enable d").await;
    event(&mut lines, "answer").await;
    type_in("refuse hub 3").await;
    event(&mut lines, "answer").await;
    assert_eq!((connect().await, connect().await), (Some(3), Some(0)));
    type_in("delete d").await;
    event(&mut lines, "answer").await;
    assert_eq!(connect().await, Some(5));
    type_in("quit").await;
    assert!(program.wait().await.unwrap().success());
}

/// Nobody reads what it prints, its console stays open, and it is told to end: it served on, and it ends.
#[cfg(unix)]
#[tokio::test]
async fn output_that_nobody_reads_and_a_console_that_stays_open() {
    let folder = tempfile::tempdir().unwrap();
    let (enrollments, root) = (folder.path().join("enrolments"), folder.path().join("root.pem"));
    let ready = folder.path().join("ready");
    let (mut program, mut console, lines) = program(
        &["--dps-port=0", "--hub-port=0", "--https-port=0", "--json"],
        &[("--enrollments", &enrollments), ("--out-ca", &root), ("--ready-file", &ready)],
    );
    let place: Value = loop {
        match std::fs::read(&ready) {
            Ok(text) => break serde_json::from_slice(&text).unwrap(),
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    };
    // Far more than a pipe holds.
    let long = "x".repeat(2000);
    for _ in 0..400 {
        console.write_all(format!("{long}\n").as_bytes()).await.unwrap();
    }
    let address: SocketAddr = place["https"].as_str().unwrap().parse().unwrap();
    let pem = std::fs::read(&root).unwrap();
    let root =
        <rustls::pki_types::CertificateDer<'_> as rustls::pki_types::pem::PemObject>::from_pem_slice(&pem)
            .unwrap();
    let mut tls = connect_tls(address, "localhost", &root, None, rustls::ALL_VERSIONS).await.unwrap();
    tls.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut tls, &mut answer).await;
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    let id = program.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().await.unwrap().success());
    assert!(program.wait().await.unwrap().success());
    assert!(!ready.exists());
    drop((console, lines));
}

/// Fewer file descriptors than devices: nobody is refused or told of trouble, and each one registers in its turn.
#[cfg(unix)]
#[tokio::test]
async fn fewer_descriptors_than_devices() {
    const DEVICES: usize = 120;
    let folder = tempfile::tempdir().unwrap();
    let (enrollments, root) = (folder.path().join("enrolments"), folder.path().join("root.pem"));
    std::fs::create_dir(&enrollments).unwrap();
    let key = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, [7; 32]);
    let keys = format!(r#"{{"groups": [{{"enrollmentGroupId": "g", "primaryKey": "{key}"}}]}}"#);
    std::fs::write(enrollments.join("keys.json"), keys).unwrap();
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 40; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_local-cloud")]);
    let (mut program, mut console, mut lines) = spawn(
        limited,
        &["--dps-port=0", "--hub-port=0", "--https-port=0", "--assigning-polls=0", "--json"],
        &[("--enrollments", &enrollments), ("--out-ca", &root)],
    );
    let address: SocketAddr = event(&mut lines, "ready").await["dps"].as_str().unwrap().parse().unwrap();
    let pem = std::fs::read(&root).unwrap();
    let root =
        <rustls::pki_types::CertificateDer<'_> as rustls::pki_types::pem::PemObject>::from_pem_slice(&pem)
            .unwrap();
    let devices: Vec<_> = (0..DEVICES)
        .map(|number| {
            let root = root.clone();
            tokio::spawn(async move {
                let id = format!("d{number}");
                let tls = connect_tls(address, "localhost", &root, None, rustls::ALL_VERSIONS).await.unwrap();
                let mut client = Client::new(tls);
                assert_eq!(client.connect(&crate::dps::with_group_key(&id, &[7; 32])).await, Some(0));
                client.subscribe(ANSWERS, Qos::AtLeastOnce).await.unwrap();
                let put = "$dps/registrations/PUT/iotdps-register/?$rid=1";
                let (status, _, answer) = ask(&mut client, put, b"{}").await;
                assert_eq!(status, 200, "{answer}");
                // It takes its time to leave.
                tokio::time::sleep(std::time::Duration::from_millis(30)).await;
                client.disconnect().await;
            })
        })
        .collect();
    for device in devices {
        device.await.unwrap();
    }
    console.write_all(b"quit\n").await.unwrap();
    let mut registered = 0;
    while let Some(line) = lines.next_line().await.unwrap() {
        let event: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(event["event"], "registered", "{line}");
        registered += 1;
    }
    assert_eq!(registered, DEVICES);
    assert!(program.wait().await.unwrap().success());
}

/// What a device sends is shown on one line, whatever is in it; and what is not taken from the folder is said.
#[tokio::test]
async fn nothing_is_shown_raw() {
    let folder = tempfile::tempdir().unwrap();
    let (enrollments, root) = (folder.path().join("enrolments"), folder.path().join("root.pem"));
    std::fs::create_dir(&enrollments).unwrap();
    std::fs::write(enrollments.join("d.cer"), "no certificate").unwrap();
    let (mut program, mut console, mut lines) = program(
        &["--dps-port=0", "--hub-port=0", "--https-port=0"],
        &[("--enrollments", &enrollments), ("--out-ca", &root)],
    );
    let dps = line_with(&mut lines, "DPS  ").await;
    let address: SocketAddr = dps.split_whitespace().nth(1).unwrap().parse().unwrap();
    line_with(&mut lines, "d.cer is not taken: it is neither PEM nor DER nor base64").await;
    let pem = std::fs::read(&root).unwrap();
    let root =
        <rustls::pki_types::CertificateDer<'_> as rustls::pki_types::pem::PemObject>::from_pem_slice(&pem)
            .unwrap();
    let tls = connect_tls(address, "127.0.0.1", &root, None, rustls::ALL_VERSIONS).await.unwrap();
    let mut client = Client::new(tls);
    let forged = "x\u{1b}[2J\nDPS: y assigned\u{202e}";
    assert_eq!(client.connect(&Connect::dps("0neABC", forged)).await, Some(5));
    let line = line_with(&mut lines, "refused").await;
    assert!(line.contains("x\\u{1b}[2J\\nDPS: y assigned\\u{202e} refused"), "{line}");
    console.write_all(b"quit\n").await.unwrap();
    assert!(program.wait().await.unwrap().success());
}
