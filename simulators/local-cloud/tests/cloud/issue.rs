//! Certificates: issued for a registration, renewed at the hub, refused as the service does.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use local_cloud::{
    Attestation, Config, Credential, Endpoint, Enrollment, Event, Handle, HubFault, IssueKeys,
};
use mqtt_protocol_core::mqtt::packet::Qos;
use rcgen::KeyPair;
use serde_json::{Value, json};

use crate::client::{Client, Connect, Identity, leaf_params};
use crate::flow::{open, start};
use crate::https::ask;

const HUB: &str = "local-hub.azure-devices.net";
const ANSWERS: &str = "$iothub/credentials/res/#";

fn hub() -> Connect {
    Connect { user_name: Some(format!("{HUB}/d/?api-version=2025-08-01-preview")), ..Connect::hub(HUB, "d") }
}

fn key() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap()
}

fn csr(key: &KeyPair, name: &str) -> String {
    BASE64_STANDARD.encode(leaf_params(name).serialize_request(key).unwrap().der())
}

fn identity(chain: &Value, key: &KeyPair) -> Identity {
    let chain = chain.as_array().unwrap().iter();
    let chain = chain.map(|der| BASE64_STANDARD.decode(der.as_str().unwrap()).unwrap().into()).collect();
    Identity::new(chain, key)
}

/// Registers with a certificate of the device's own, and gives the one that is issued.
async fn registered(cloud: &Handle) -> Identity {
    let bootstrap = Identity::self_signed("d");
    cloud.enrollments().put_individual(Enrollment::new("d", Attestation::certificate(bootstrap.leaf())));
    let key = key();
    let body = json!({ "registrationId": "d", "csr": csr(&key, "d") }).to_string();
    let path = "/0ne00000000/registrations/d/register?api-version=2026-11-01";
    let answer = ask(cloud, Some(&bootstrap), ("PUT", path), None, &body).await;
    identity(&answer.body["registrationState"]["issuedCertificateChain"], &key)
}

async fn attempt(cloud: &Handle, identity: &Identity) -> Option<u8> {
    open(cloud, Endpoint::Hub, Some(identity)).await.connect(&hub()).await
}

async fn connected(cloud: &Handle, identity: &Identity) -> Client {
    let mut client = open(cloud, Endpoint::Hub, Some(identity)).await;
    assert_eq!(client.connect(&hub()).await, Some(0));
    assert_eq!(client.subscribe(ANSWERS, Qos::AtLeastOnce).await, Some(vec![1]));
    client
}

async fn send(client: &mut Client, rid: &str, body: &Value) {
    let topic = format!("$iothub/credentials/POST/issueCertificate/?$rid={rid}");
    client.publish(&topic, body.to_string().as_bytes(), Qos::AtMostOnce).await;
}

/// The next answer: status, request id and body.
async fn answer(client: &mut Client) -> (u16, String, Value) {
    let (topic, body, _) = client.message().await;
    let (status, rid) =
        topic.strip_prefix("$iothub/credentials/res/").unwrap().split_once("/?$rid=").unwrap();
    (status.parse().unwrap(), rid.to_owned(), serde_json::from_slice(&body).unwrap())
}

async fn renewed(client: &mut Client) -> Identity {
    let key = key();
    send(client, "7", &json!({ "id": "d", "csr": csr(&key, "d") })).await;
    let (status, rid, accepted) = answer(client).await;
    assert_eq!((status, rid.as_str()), (202, "7"));
    assert!(accepted["correlationId"].is_string() && accepted["operationExpires"].is_string());
    let (status, rid, issued) = answer(client).await;
    assert_eq!((status, rid.as_str()), (200, "7"));
    assert_eq!(issued["correlationId"], accepted["correlationId"]);
    identity(&issued["certificates"], &key)
}

#[tokio::test]
async fn the_old_certificate_is_good_until_the_new_one_has_connected() {
    let cloud = start(Config { assigning_polls: 0, ..Config::default() }).await;
    let mut events = cloud.events();
    let first = registered(&cloud).await;
    let mut client = connected(&cloud, &first).await;
    let lost = renewed(&mut client).await;
    // The device never got it, and asks again.
    let second = renewed(&mut client).await;
    assert_eq!(attempt(&cloud, &lost).await, Some(5), "replaced before it was used");
    assert_eq!(attempt(&cloud, &first).await, Some(0), "still good");
    assert_eq!(attempt(&cloud, &second).await, Some(0));
    assert_eq!(attempt(&cloud, &first).await, Some(5), "replaced");
    assert_eq!(attempt(&cloud, &second).await, Some(0));
    assert_eq!(attempt(&cloud, &Identity::self_signed("d")).await, Some(5), "unknown");
    let issued = events.find(|event| match event {
        Event::CertificateIssued { device, thumbprint, .. } => Some((device, thumbprint.len())),
        _ => None,
    });
    assert_eq!(issued.await, Some(("d".to_owned(), 64)));
}

#[tokio::test]
async fn what_is_not_issued() {
    let cloud = start(Config { assigning_polls: 0, ..Config::default() }).await;
    let first = registered(&cloud).await;
    let mut client = connected(&cloud, &first).await;
    let key = key();
    for (what, code, kind, body) in [
        (
            "P-256",
            400_040,
            "UnsupportedKey",
            json!({ "id": "d", "csr": csr(&KeyPair::generate().unwrap(), "d") }),
        ),
        ("another's name", 400_040, "WrongSubject", json!({ "id": "d", "csr": csr(&key, "e") })),
        ("no request", 400_040, "FailedToDecodeCsr", json!({ "id": "d", "csr": "AAAA" })),
        ("no base64", 400_040, "FailedToDecodeCsr", json!({ "id": "d", "csr": "!" })),
        ("another's id", 400_004, "", json!({ "id": "e", "csr": csr(&key, "d") })),
        ("no csr", 400_004, "", json!({ "id": "d" })),
        ("nothing to replace", 412_001, "", json!({ "id": "d", "csr": csr(&key, "d"), "replace": "8" })),
    ] {
        send(&mut client, "1", &body).await;
        let (mut status, _, mut refused) = answer(&mut client).await;
        if status == 202 {
            (status, _, refused) = answer(&mut client).await;
        }
        assert_eq!((u32::from(status), &refused["errorCode"]), (code / 1000, &json!(code)), "{what}");
        assert_eq!(refused["info"]["credentialError"].as_str().unwrap_or_default(), kind, "{what}");
    }
    cloud.faults().fail_hub_requests(HubFault { status: 429, retry_after: Some(5) }, 1);
    send(&mut client, "1", &json!({ "id": "d", "csr": csr(&key, "d") })).await;
    let (status, _, refused) = answer(&mut client).await;
    assert_eq!((status, &refused["retryAfter"]), (429, &json!(5)));

    // A device whose certificate is its own.
    let own = Identity::self_signed("x");
    let thumbprint = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(own.leaf()));
    cloud.add_device("d", Credential::Thumbprints(vec![thumbprint]));
    let mut client = connected(&cloud, &own).await;
    send(&mut client, "1", &json!({ "id": "d", "csr": csr(&key, "d") })).await;
    assert_eq!(answer(&mut client).await.2["errorCode"], 412_005);

    // An older API version does not know of it.
    let mut client = open(&cloud, Endpoint::Hub, Some(&own)).await;
    assert_eq!(client.connect(&Connect::hub(HUB, "d")).await, Some(0));
    assert_eq!(client.subscribe(ANSWERS, Qos::AtLeastOnce).await, None);
}

#[tokio::test]
async fn one_request_at_a_time() {
    let issue_delay = Duration::from_millis(300);
    let cloud = start(Config { assigning_polls: 0, issue_delay, ..Config::default() }).await;
    let first = registered(&cloud).await;
    let mut client = connected(&cloud, &first).await;
    let key = key();
    send(&mut client, "a", &json!({ "id": "d", "csr": csr(&key, "d"), "replace": null })).await;
    assert_eq!(answer(&mut client).await.0, 202);
    send(&mut client, "b", &json!({ "id": "d", "csr": csr(&key, "d") })).await;
    let (status, rid, busy) = answer(&mut client).await;
    assert_eq!((status, rid.as_str(), &busy["errorCode"]), (409, "b", &json!(409_005)));
    assert_eq!(busy["info"]["requestId"], "a");
    send(&mut client, "c", &json!({ "id": "d", "csr": csr(&key, "d"), "replace": "a" })).await;
    assert_eq!(answer(&mut client).await.0, 202);
    let (status, rid, _) = answer(&mut client).await;
    assert_eq!((status, rid.as_str()), (200, "c"), "the replaced one is not answered");
}

#[tokio::test]
async fn lifetimes_and_keys_are_settings() {
    let cloud = start(Config {
        assigning_polls: 0,
        issue_keys: IssueKeys::Any,
        issued_lifetime: Duration::from_secs(2),
        ..Config::default()
    })
    .await;
    let first = registered(&cloud).await;
    let mut client = connected(&cloud, &first).await;
    let key = KeyPair::generate().unwrap();
    send(&mut client, "1", &json!({ "id": "d", "csr": csr(&key, "d") })).await;
    assert_eq!(answer(&mut client).await.0, 202);
    let second = identity(&answer(&mut client).await.2["certificates"], &key);
    assert_eq!(attempt(&cloud, &second).await, Some(0), "P-256");
    tokio::time::sleep(Duration::from_millis(3100)).await;
    assert_eq!(attempt(&cloud, &second).await, Some(5), "expired");
}
