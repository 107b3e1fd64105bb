//! The program `local-cloud`, driven through its console.

use std::collections::HashMap;
use std::process::Stdio;

use mqtt_protocol_core::mqtt::packet::Qos;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdout, Command};

use crate::client::{Client, Connect, Identity, connect_tls};
use crate::flow::{ANSWERS, ask};

/// Reads on to a line with this in it.
async fn line_with(lines: &mut Lines<BufReader<ChildStdout>>, text: &str) -> String {
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

#[tokio::test]
async fn console() {
    let folder = tempfile::tempdir().unwrap();
    let enrollments = folder.path().join("enrolments");
    let root = folder.path().join("root.pem");
    let mut program = Command::new(env!("CARGO_BIN_EXE_local-cloud"))
        .args(["--dps-port=0", "--hub-port=0", "--https-port=0", "--id-scope=0neABC", "--assigning-polls=0"])
        .arg("--enrollments")
        .arg(&enrollments)
        .arg("--out-ca")
        .arg(&root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut console = program.stdin.take().unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
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
    ] {
        type_in(command).await;
        line_with(&mut lines, error).await;
    }
    type_in("drop").await;
    line_with(&mut lines, "Device [d] disconnected").await;
    type_in("quit").await;
    assert!(program.wait().await.unwrap().success());
}
