//! The provisioning service's strictness.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use local_cloud::{Attestation, ClientCertificate, Config, DpsFault, Endpoint, Enrollment, Event, Handle};
use mqtt_protocol_core::mqtt::packet::Qos;
use rcgen::{CertifiedIssuer, KeyPair};
use serde_json::json;
use sha2::Sha256;

use crate::client::{Client, Connect, Identity, Received, authority_params, leaf_params, pem};
use crate::flow::{ANSWERS, ask, open, register, start};

const SCOPE: &str = "0ne00000000";
const PUT: &str = "$dps/registrations/PUT/iotdps-register/?$rid=1";
const FAR: u64 = 4_000_000_000;

pub(crate) fn hmac_sha256(key: &[u8], message: &str) -> Vec<u8> {
    Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(message).finalize().into_bytes().to_vec()
}

/// A token for a resource that is already encoded as it is to stand in the token.
/// CONNECT of a member of a group with this key.
pub(crate) fn with_group_key(id: &str, group_key: &[u8]) -> Connect {
    let resource = format!("0ne00000000%2Fregistrations%2F{id}");
    let password = token(&resource, &hmac_sha256(group_key, id), 4_000_000_000, "&skn=registration");
    Connect { password: Some(password), ..Connect::dps("0ne00000000", id) }
}

pub(crate) fn token(resource: &str, key: &[u8], expiry: u64, rest: &str) -> String {
    let signature = BASE64_STANDARD.encode(hmac_sha256(key, &format!("{resource}\n{expiry}")));
    let signature = signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("SharedAccessSignature sr={resource}&sig={signature}&se={expiry}{rest}")
}

fn enrol(cloud: &Handle, device: &Identity, id: &str) {
    cloud.enrollments().put_individual(Enrollment::new(id, Attestation::certificate(device.leaf())));
}

#[tokio::test]
async fn refused_certificates() {
    let cloud = start(Config::default()).await;
    let mut events = cloud.events();
    let enrolled = Identity::self_signed("my-device");
    enrol(&cloud, &enrolled, "my-device");
    let connect = Connect::dps(SCOPE, "my-device");

    let impostor = Identity::self_signed("my-device");
    let (status, answer) = register(&cloud, &connect, Some(&impostor)).await;
    assert_eq!((status, &answer["errorCode"]), (401, &json!(401_002)));
    assert_eq!(answer["message"], "Invalid certificate.");
    assert!(answer["trackingId"].is_string() && answer["timestampUtc"].is_string());

    let unknown = Identity::self_signed("other");
    let (status, answer) = register(&cloud, &Connect::dps(SCOPE, "other"), Some(&unknown)).await;
    assert_eq!((status, &answer["errorCode"]), (401, &json!(401_002)));
    assert_eq!(answer["message"], "CA certificate not found.");

    let (status, answer) = register(&cloud, &Connect::dps(SCOPE, "other"), Some(&enrolled)).await;
    assert_eq!((status, &answer["errorCode"]), (401, &json!(401_002)), "CN is not the registration id");

    let mut params = leaf_params("old");
    params.not_after = (SystemTime::now() - Duration::from_hours(1)).into();
    let expired = Identity::from_params(&params);
    enrol(&cloud, &expired, "old");
    assert_eq!(register(&cloud, &Connect::dps(SCOPE, "old"), Some(&expired)).await.0, 401);

    for id in ["my-device", "other", "other", "old"] {
        let Some(Event::Refused { endpoint: Endpoint::Dps, id: refused, reason }) = events.next().await
        else {
            panic!("no refusal of {id}");
        };
        assert_eq!(refused, id);
        assert!(reason.starts_with("401002 "), "{reason}");
    }
    // Case does not matter.
    let (status, answer) = register(&cloud, &Connect::dps(SCOPE, "MY-Device"), Some(&enrolled)).await;
    assert_eq!(status, 200);
    assert_eq!(answer["registrationState"]["deviceId"], "my-device");
}

/// The alias certificate of the original system has a malformed critical subjectAltName. The service takes it.
#[tokio::test]
async fn original_certificate_is_taken() {
    let der = hex::decode(include_str!("../vectors/riot_alias_cert.hex").trim()).unwrap();
    let cert = ClientCertificate::from_der(&der).unwrap();
    assert_eq!(cert.common_name(), Some("az-c89346f8a1b2v2v0v0"));
    assert!(!cert.is_authority());
    assert_eq!(cert.thumbprints().0, "7D526ED81C7B719ECC94D9A5A01774CA042D9B93");
    assert!(ClientCertificate::from_der(&der[..der.len() - 1]).is_err());

    let device = Identity::from_pem_key(der, include_str!("../vectors/riot_alias_key.pem"));
    let cloud = start(Config::default()).await;
    enrol(&cloud, &device, "az-c89346f8a1b2v2v0v0");
    let (status, answer) =
        register(&cloud, &Connect::dps(SCOPE, "az-c89346f8a1b2v2v0v0"), Some(&device)).await;
    assert_eq!((status, &answer["status"]), (200, &json!("assigned")));
}

#[tokio::test]
async fn refused_connects() {
    let cloud = start(Config::default()).await;
    let device = Identity::self_signed("d");
    enrol(&cloud, &device, "d");
    let good = Connect::dps(SCOPE, "d");
    let user = |user_name: &str| Connect { user_name: Some(user_name.to_owned()), ..good.clone() };
    for (what, connect) in [
        ("id scope", Connect::dps("0neFFFFFFFF", "d")),
        ("client id", Connect { client_id: "e".into(), ..good.clone() }),
        ("no user name", Connect { user_name: None, ..good.clone() }),
        ("no api-version", user("0ne00000000/registrations/d")),
        ("question mark", user("0ne00000000/registrations/d/?api-version=2019-03-31")),
        ("will", Connect { will: Some(("t".into(), vec![])), ..good.clone() }),
        ("password", Connect { password: Some("secret".into()), ..good.clone() }),
    ] {
        let mut client = open(&cloud, Endpoint::Dps, Some(&device)).await;
        assert_eq!(client.connect(&connect).await, Some(5), "{what}");
        assert_eq!(client.recv().await, Received::Closed, "{what}");
    }
    let mut client = open(&cloud, Endpoint::Dps, None).await;
    assert_eq!(client.connect(&good).await, Some(5), "no credential at all");
    let mut client = open(&cloud, Endpoint::Dps, Some(&device)).await;
    assert_eq!(client.connect(&Connect { client_id: String::new(), ..good.clone() }).await, Some(2));
    // An MQTT 5 CONNECT with client id "d".
    let mut client = open(&cloud, Endpoint::Dps, Some(&device)).await;
    client.send_raw(b"\x10\x0e\0\x04MQTT\x05\x02\0\x3c\0\0\x01d").await;
    assert_eq!(client.recv().await, Received::Connack { session_present: false, code: 1 });
    // What official clients send besides.
    let mut client = open(&cloud, Endpoint::Dps, Some(&device)).await;
    let python = Connect {
        clean_session: false,
        user_name: Some("0ne00000000/registrations/d/api-version=2019-03-31&ClientVersion=a%2Fb".into()),
        ..good
    };
    assert_eq!(client.connect(&python).await, Some(0));
}

async fn connected(cloud: &Handle, device: &Identity, id: &str) -> Client {
    let mut client = open(cloud, Endpoint::Dps, Some(device)).await;
    assert_eq!(client.connect(&Connect::dps(SCOPE, id)).await, Some(0));
    client
}

#[tokio::test]
async fn protocol_abuse_closes() {
    let cloud = start(Config::default()).await;
    let device = Identity::self_signed("d");
    enrol(&cloud, &device, "d");
    for filter in ["#", "$dps/registrations/#", "devices/d/messages/devicebound/#"] {
        let mut client = connected(&cloud, &device, "d").await;
        assert_eq!(client.subscribe(filter, Qos::AtLeastOnce).await, None, "{filter}");
    }
    let long = "x".repeat(60_000);
    for topic in [
        "$dps/registrations/PUT/iotdps-register",
        "$dps/registrations/PUT/iotdps-register/?",
        "$dps/registrations/PUT/iotdps-register/?$rid=",
        "$dps/registrations/PUT/iotdps-register/?rid=1",
        "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=1",
        "$dps/registrations/GET/iotdps-get-operationstatus/?operationId=1",
        "$dps/registrations/res/200/?$rid=1",
        "devices/d/messages/events/",
        &long,
    ] {
        let mut client = connected(&cloud, &device, "d").await;
        client.publish(topic, b"{}", Qos::AtMostOnce).await;
        assert_eq!(client.recv().await, Received::Closed, "{topic}");
    }
    let mut client = connected(&cloud, &device, "d").await;
    client.publish(PUT, b"{}", Qos::ExactlyOnce).await;
    assert_eq!(client.recv().await, Received::Closed, "QoS 2");
    for (what, bytes) in [
        ("second CONNECT", &b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01d"[..]),
        ("SUBSCRIBE flags", b"\x80\x06\0\x01\0\x01a\0"),
        ("SUBSCRIBE without filter", b"\x82\x02\0\x01"),
        ("packet id 0", b"\x82\x06\0\0\0\x01a\0"),
        ("PINGREQ with body", b"\xc0\x01\0"),
        ("server packet", b"\xd0\0"),
        ("type 0", b"\0\0"),
        ("type 15", b"\xf0\0"),
        ("length of five bytes", b"\x30\xff\xff\xff\xff\x01"),
        ("too large", b"\x30\xff\xff\xff\x7f"),
        ("PUBLISH QoS 3", b"\x36\x05\0\x01a\0\x01"),
        ("wildcard in a topic name", b"\x30\x03\0\x01#"),
        ("topic not UTF-8", b"\x30\x03\0\x01\xff"),
        ("DUP with QoS 0", b"\x38\x03\0\x01a"),
    ] {
        let mut client = connected(&cloud, &device, "d").await;
        client.send_raw(bytes).await;
        assert_eq!(client.recv().await, Received::Closed, "{what}");
    }
    for (what, bytes) in [
        ("not CONNECT", &b"\xc0\0"[..]),
        ("protocol name", b"\x10\x0d\0\x04MQIT\x04\x02\0\x3c\0\x01d"),
        ("reserved flag", b"\x10\x0d\0\x04MQTT\x04\x03\0\x3c\0\x01d"),
        ("will QoS without will", b"\x10\x0d\0\x04MQTT\x04\x0a\0\x3c\0\x01d"),
        ("password without user name", b"\x10\x0f\0\x04MQTT\x04\x42\0\x3c\0\x01d\0\0"),
        ("trailing bytes", b"\x10\x0e\0\x04MQTT\x04\x02\0\x3c\0\x01d!"),
    ] {
        let mut client = open(&cloud, Endpoint::Dps, Some(&device)).await;
        client.send_raw(bytes).await;
        assert_eq!(client.recv().await, Received::Closed, "{what}");
    }
}

#[tokio::test]
async fn requests() {
    let cloud = start(Config { assigning_polls: 2, retry_after: None, ..Config::default() }).await;
    let device = Identity::self_signed("d");
    enrol(&cloud, &device, "d");
    let mut client = connected(&cloud, &device, "d").await;
    // No subscription, no answer; the connection stays.
    assert!(client.publish_acked(PUT, b"{}").await);
    client.ping().await;
    client.subscribe(ANSWERS, Qos::AtLeastOnce).await.unwrap();
    for body in ["", "{", "[]", r#"{"registrationId":"e"}"#, r#"{"registrationId":"d","payload":1}"#] {
        let (status, _, answer) = ask(&mut client, PUT, body.as_bytes()).await;
        assert_eq!((status, &answer["errorCode"]), (400, &json!(400_004)), "{body}");
    }
    let body = br#"{"registrationId":"d","payload":{"modelId":"dtmi:a;1"}}"#;
    let (status, query, answer) = ask(&mut client, PUT, body).await;
    assert_eq!((status, query.as_str()), (202, "$rid=1"));
    let operation = answer["operationId"].as_str().unwrap().to_owned();
    let poll = |operation: &str| {
        format!("$dps/registrations/GET/iotdps-get-operationstatus/?$rid=x&operationId={operation}")
    };
    let (status, _, answer) = ask(&mut client, &poll("5.0.0"), b"").await;
    assert_eq!((status, &answer["errorCode"]), (404, &json!(404_208)));

    cloud.faults().fail_dps_requests(DpsFault { error_code: 429_001, retry_after: Some(7) }, 1);
    cloud.faults().fail_dps_requests(DpsFault { error_code: 503_001, retry_after: None }, 1);
    let (status, query, answer) = ask(&mut client, &poll(&operation), b"").await;
    assert_eq!((status, query.as_str()), (429, "$rid=x&retry-after=7"));
    assert_eq!(answer["errorCode"], 429_001);
    assert_eq!(ask(&mut client, &poll(&operation), b"").await.0, 503);

    // Microsoft's C SDK sends the body of its registration again with each poll.
    let body = br#"{"registrationId":"d","payload":{"model":"x"}}"#;
    assert_eq!(ask(&mut client, &poll(&operation), body).await.0, 202);
    let (status, _, answer) = ask(&mut client, &poll(&operation), b"").await;
    assert_eq!((status, &answer["status"]), (200, &json!("assigned")));
    assert_eq!(answer["registrationState"]["connectionProfile"], json!(null));
    // Another device may not ask for this operation.
    let other = Identity::self_signed("e");
    enrol(&cloud, &other, "e");
    let mut client = connected(&cloud, &other, "e").await;
    client.subscribe(ANSWERS, Qos::AtMostOnce).await.unwrap();
    assert_eq!(ask(&mut client, &poll(&operation), b"").await.0, 404);
    client.unsubscribe(ANSWERS).await;
    assert!(client.publish_acked(PUT, b"{}").await);
    client.ping().await;
}

#[tokio::test]
async fn newest_version_names_the_profile_and_first_answer_may_be_final() {
    let cloud = start(Config { assigning_polls: 0, ..Config::default() }).await;
    let device = Identity::self_signed("d");
    enrol(&cloud, &device, "d");
    let user_name = "0ne00000000/registrations/d/api-version=2026-11-02-preview".to_owned();
    let connect = Connect { user_name: Some(user_name), ..Connect::dps(SCOPE, "d") };
    let (status, answer) = register(&cloud, &connect, Some(&device)).await;
    assert_eq!(status, 200);
    assert_eq!(answer["registrationState"]["connectionProfile"], "classic");
}

#[tokio::test]
async fn folder_counts_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let cloud = start(Config { enrollments: Some(folder.path().to_owned()), ..Config::default() }).await;
    let device = Identity::self_signed("my-device");
    let connect = Connect::dps(SCOPE, "my-device");
    let status = async || register(&cloud, &connect, Some(&device)).await;
    assert_eq!(status().await.0, 401, "not there yet");

    // A file of another name, with other files beside it.
    let file = folder.path().join("cert of the device.pem");
    std::fs::write(folder.path().join("a.pem"), "no certificate").unwrap();
    std::fs::write(folder.path().join("b.pem"), Identity::self_signed("else").leaf_pem()).unwrap();
    std::fs::write(&file, device.leaf_pem()).unwrap();
    assert_eq!(status().await.0, 200);

    for marker in ["my-device.disabled", "cert of the device.disabled"] {
        let marker = folder.path().join(marker);
        std::fs::write(&marker, "").unwrap();
        let (code, answer) = status().await;
        assert_eq!((code, &answer["status"]), (200, &json!("disabled")));
        assert_eq!(answer["registrationState"]["errorCode"], 403_001);
        assert!(answer["registrationState"].get("assignedHub").is_none());
        std::fs::remove_file(&marker).unwrap();
        assert_eq!(status().await.1["status"], "assigned");
    }
    // Another certificate in the file: the firmware was changed.
    std::fs::write(&file, Identity::self_signed("my-device").leaf_pem()).unwrap();
    assert_eq!(status().await.0, 401);
    std::fs::write(&file, device.leaf_pem()).unwrap();
    assert_eq!(status().await.0, 200);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(status().await.0, 401);
}

#[tokio::test]
async fn groups() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("groups")).unwrap();
    let cloud = start(Config { enrollments: Some(folder.path().to_owned()), ..Config::default() }).await;
    let authority = |params, parent: Option<&CertifiedIssuer<'_, KeyPair>>| {
        let key = KeyPair::generate().unwrap();
        match parent {
            Some(parent) => CertifiedIssuer::signed_by(params, key, parent).unwrap(),
            None => CertifiedIssuer::self_signed(params, key).unwrap(),
        }
    };
    let root = authority(authority_params("root", 1), None);
    let middle = authority(authority_params("middle", 0), Some(&root));
    let below = authority(authority_params("too deep", 0), Some(&middle));
    let not_ca = authority(leaf_params("no authority"), Some(&root));
    let group = folder.path().join("groups/fleet.pem");
    std::fs::write(&group, pem(root.der())).unwrap();

    let device = Identity::issued(&leaf_params("d"), &middle);
    let connect = Connect::dps(SCOPE, "d");
    let full = device.clone().with_issuer(&middle);
    let (status, answer) = register(&cloud, &connect, Some(&full)).await;
    assert_eq!(status, 200);
    let state = &answer["registrationState"];
    assert_eq!(state["deviceId"], "d");
    assert_eq!(state["x509"]["enrollmentGroupId"], "fleet");

    let complete = full.clone().with_issuer(&root);
    assert_eq!(register(&cloud, &connect, Some(&complete)).await.0, 200, "with the root in the chain");
    let refused = [
        ("gap", device.clone()),
        ("wrong order", device.clone().with_issuer(&root).with_issuer(&middle)),
        (
            "path too long",
            Identity::issued(&leaf_params("d"), &below).with_issuer(&below).with_issuer(&middle),
        ),
        ("path too long, with the root", {
            let leaf = Identity::issued(&leaf_params("d"), &below);
            leaf.with_issuer(&below).with_issuer(&middle).with_issuer(&root)
        }),
        ("issuer is no authority", Identity::issued(&leaf_params("d"), &not_ca).with_issuer(&not_ca)),
        ("leaf is an authority", {
            let key = KeyPair::generate().unwrap();
            let cert = authority_params("d", 0).signed_by(&key, &root).unwrap();
            Identity::new(vec![cert.der().clone()], &key)
        }),
        ("same names, other keys", {
            let root = authority(authority_params("root", 1), None);
            let middle = authority(authority_params("middle", 0), Some(&root));
            Identity::issued(&leaf_params("d"), &middle).with_issuer(&middle).with_issuer(&root)
        }),
    ];
    for (what, identity) in &refused {
        let (status, answer) = register(&cloud, &connect, Some(identity)).await;
        assert_eq!((status, &answer["errorCode"]), (401, &json!(401_002)), "{what}");
    }
    // An individual enrolment goes before the group.
    enrol(&cloud, &Identity::self_signed("d"), "d");
    assert_eq!(register(&cloud, &connect, Some(&full)).await.0, 401);
    cloud.enrollments().remove_individual("d");

    std::fs::write(group.with_extension("disabled"), "").unwrap();
    assert_eq!(register(&cloud, &connect, Some(&full)).await.1["status"], "disabled");
    std::fs::remove_file(&group).unwrap();
    assert_eq!(register(&cloud, &connect, Some(&full)).await.0, 401);
}

#[tokio::test]
async fn symmetric_keys() {
    let folder = tempfile::tempdir().unwrap();
    let cloud = start(Config { enrollments: Some(folder.path().to_owned()), ..Config::default() }).await;
    let attempt = async |id: &str, password: String| {
        let connect = Connect { password: Some(password), ..Connect::dps(SCOPE, id) };
        register(&cloud, &connect, None).await
    };
    let resource = |id: &str| format!("{SCOPE}%2fregistrations%2F{id}");
    let (key, second, group_key) = ([1; 32], [2; 32], [3; 64]);
    let (status, answer) = attempt("solo", token(&resource("solo"), &key, FAR, "")).await;
    assert_eq!((status, &answer["errorCode"]), (404, &json!(404_201)));

    let keys = json!({
        "individual": [{
            "registrationId": "solo",
            "primaryKey": BASE64_STANDARD.encode(key),
            "secondaryKey": BASE64_STANDARD.encode(second),
            "deviceId": "renamed",
        }],
        "groups": [{ "enrollmentGroupId": "many", "primaryKey": BASE64_STANDARD.encode(group_key) }],
    });
    std::fs::write(folder.path().join("keys.json"), keys.to_string()).unwrap();
    let (status, answer) = attempt("solo", token(&resource("solo"), &key, FAR, "&skn=registration")).await;
    assert_eq!((status, &answer["registrationState"]["deviceId"]), (200, &json!("renamed")));
    assert_eq!(answer["registrationState"]["symmetricKey"], json!({}));
    // Not encoded at all, as Node sends it, and the second key.
    let bare = format!("{SCOPE}/registrations/solo");
    assert_eq!(attempt("solo", token(&bare, &second, FAR, "&skn=registration")).await.0, 200);

    let derived = hmac_sha256(&group_key, "member-7");
    let (status, answer) = attempt("member-7", token(&resource("member-7"), &derived, FAR, "")).await;
    assert_eq!(status, 200);
    assert_eq!(answer["registrationState"]["symmetricKey"]["enrollmentGroupId"], "many");

    for (what, password) in [
        ("wrong key", token(&resource("solo"), &[9; 32], FAR, "")),
        ("other policy", token(&resource("solo"), &key, FAR, "&skn=owner")),
        ("other device's resource", token(&resource("member-7"), &key, FAR, "")),
        ("hub's resource", token("local-hub.azure-devices.net%2Fdevices%2Fsolo", &key, FAR, "")),
        ("group key itself", token(&resource("solo"), &group_key, FAR, "")),
    ] {
        let (status, answer) = attempt("solo", password).await;
        assert_eq!((status, &answer["errorCode"]), (401, &json!(401_002)), "{what}");
    }
    let good = token(&resource("solo"), &key, FAR, "");
    for (what, password) in [
        ("expired", token(&resource("solo"), &key, 1_500_000_000, "")),
        ("no sig", format!("SharedAccessSignature sr={}&se={FAR}", resource("solo"))),
        ("twice", format!("{good}&se={FAR}")),
        ("field unknown", format!("{good}&x=1")),
        ("scheme", good.replacen("SharedAccessSignature ", "", 1)),
        ("sig not base64", good.replacen("sig=", "sig=%21", 1)),
        ("expiry not a number", good.replacen("se=4", "se=x", 1)),
    ] {
        let mut client = open(&cloud, Endpoint::Dps, None).await;
        let connect = Connect { password: Some(password), ..Connect::dps(SCOPE, "solo") };
        assert_eq!(client.connect(&connect).await, Some(5), "{what}");
    }
    // A certificate does not open an enrolment by key, nor a token one by certificate.
    let device = Identity::self_signed("solo");
    assert_eq!(register(&cloud, &Connect::dps(SCOPE, "solo"), Some(&device)).await.0, 401);
}
