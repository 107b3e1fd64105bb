//! The provisioning service over HTTPS.

use std::collections::HashMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use local_cloud::{Attestation, Config, DpsFault, Endpoint, Enrollment, Handle};
use rcgen::KeyPair;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{Connect, Identity, connect_tls, leaf_params};
use crate::dps::token;
use crate::flow::{open, start};

const SCOPE: &str = "0ne00000000";
const VERSION: &str = "api-version=2021-06-01";
const FAR: u64 = 4_000_000_000;

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Value,
}

async fn raw(cloud: &Handle, identity: Option<&Identity>, request: &str) -> Answer {
    let host = "global.azure-devices-provisioning.net";
    raw_at(cloud, host, identity, request).await
}

/// One request as it stands, to the service of this name.
pub(crate) async fn raw_at(cloud: &Handle, host: &str, identity: Option<&Identity>, request: &str) -> Answer {
    let mut tls = connect_tls(cloud.https_address(), host, cloud.root_der(), identity, rustls::ALL_VERSIONS)
        .await
        .unwrap();
    tls.write_all(request.as_bytes()).await.unwrap();
    let mut text = Vec::new();
    // The server may leave without close_notify.
    let _ = tls.read_to_end(&mut text).await;
    let text = String::from_utf8(text).unwrap();
    let (head, mut rest) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: HashMap<String, String> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let mut body = String::new();
    if headers.get("transfer-encoding").is_some_and(|t| t == "chunked") {
        loop {
            let (length, tail) = rest.split_once("\r\n").unwrap();
            let length = usize::from_str_radix(length, 16).unwrap();
            let (chunk, tail) = tail.split_at(length);
            body.push_str(chunk);
            rest = tail.strip_prefix("\r\n").unwrap();
            if length == 0 {
                break;
            }
        }
    } else if !rest.is_empty() {
        assert_eq!(headers["content-length"], rest.len().to_string());
        body.push_str(rest);
    }
    let body = if body.is_empty() { Value::Null } else { serde_json::from_str(&body).unwrap() };
    Answer { status, headers, body }
}

pub(crate) async fn ask(
    cloud: &Handle,
    identity: Option<&Identity>,
    (method, path): (&str, &str),
    authorization: Option<&str>,
    body: &str,
) -> Answer {
    let authorization = authorization.map(|token| format!("Authorization: {token}\r\n")).unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: global.azure-devices-provisioning.net\r\n{authorization}\
         Content-Type: application/json; charset=utf-8\r\nAccept: application/json\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    raw(cloud, identity, &request).await
}

fn path(id: &str, rest: &str) -> String {
    format!("/{SCOPE}/registrations/{id}{rest}?{VERSION}")
}

async fn whole_way(https_chunked: bool) {
    let cloud = start(Config { https_chunked, retry_after: Some(5), ..Config::default() }).await;
    let device = Identity::self_signed("d");
    cloud.enrollments().put_individual(Enrollment::new("d", Attestation::certificate(device.leaf())));
    let device = Some(&device);
    let body = r#"{"registrationId":"d"}"#;
    let lookup = path("d", "");
    assert_eq!(ask(&cloud, device, ("POST", &lookup), None, body).await.status, 404, "not registered yet");

    let answer = ask(&cloud, device, ("PUT", &path("d", "/register")), None, body).await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.headers["retry-after"], "5");
    assert_eq!(answer.headers.contains_key("transfer-encoding"), https_chunked);
    assert!(answer.headers["date"].ends_with(" GMT"), "{:?}", answer.headers);
    assert!(answer.headers["content-type"].starts_with("application/json"));
    assert_eq!(answer.body["status"], "assigning");
    let operation = answer.body["operationId"].as_str().unwrap();
    let status = path("d", &format!("/operations/{operation}"));
    assert_eq!(answer.headers["location"], status);

    // Node sends a body with its GET.
    let answer = ask(&cloud, device, ("GET", &status), None, "{}").await;
    assert_eq!((answer.status, &answer.body["status"]), (200, &json!("assigned")));
    let state = &answer.body["registrationState"];
    assert_eq!(
        (&state["deviceId"], &state["assignedHub"]),
        (&json!("d"), &json!("local-hub.azure-devices.net"))
    );

    let answer = ask(&cloud, device, ("POST", &lookup), None, body).await;
    assert_eq!((answer.status, &answer.body), (200, state));
    let csr = r#"{"registrationId":"d","csr":"AA=="}"#;
    assert_eq!(ask(&cloud, device, ("POST", &lookup), None, csr).await.status, 400);
}

#[tokio::test]
async fn whole_way_chunked() {
    whole_way(true).await;
}

#[tokio::test]
async fn whole_way_with_length() {
    whole_way(false).await;
}

#[tokio::test]
async fn refusals() {
    let cloud = start(Config::default()).await;
    let device = Identity::self_signed("d");
    cloud.enrollments().put_individual(Enrollment::new("d", Attestation::certificate(device.leaf())));
    let device = Some(&device);
    let body = r#"{"registrationId":"d"}"#;
    let register = path("d", "/register");
    for (request, status, code) in [
        (("PUT", format!("/0ne1/registrations/d/register?{VERSION}")), 404, 404_201),
        (("PUT", "/0ne00000000/registrations/d/register".to_owned()), 400, 400_004),
        (("PUT", path("d", "/enrol")), 404, 404_000),
        (("GET", "/".to_owned() + "?" + VERSION), 404, 404_000),
        (("DELETE", register.clone()), 405, 405_000),
        (("GET", path("d", "/operations/5.1.2")), 404, 404_208),
        (("PUT", path("%zz", "/register")), 400, 400_004),
        (("PUT", path("e", "/register")), 400, 400_004),
    ] {
        let answer = ask(&cloud, device, (request.0, &request.1), None, body).await;
        assert_eq!((answer.status, &answer.body["errorCode"]), (status, &json!(code)), "{request:?}");
        assert_eq!(answer.headers["x-ms-error-code"], code.to_string());
    }
    assert_eq!(ask(&cloud, None, ("PUT", &register), None, body).await.body["errorCode"], 401_000);
    assert_eq!(ask(&cloud, None, ("PUT", &register), Some("Bearer x"), body).await.status, 401);
    let stranger = Identity::self_signed("d");
    assert_eq!(ask(&cloud, Some(&stranger), ("PUT", &register), None, body).await.body["errorCode"], 401_002);
    let large = format!("{{\"payload\":\"{}\"}}", "x".repeat(70_000));
    assert_eq!(ask(&cloud, device, ("PUT", &register), None, &large).await.status, 413);
    let untyped =
        format!("PUT {register} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}");
    assert_eq!(raw(&cloud, device, &untyped).await.status, 415);

    cloud.faults().fail_dps_requests(DpsFault { error_code: 429_001, retry_after: Some(9) }, 1);
    let answer = ask(&cloud, device, ("PUT", &register), None, body).await;
    assert_eq!((answer.status, answer.headers["retry-after"].as_str()), (429, "9"));
}

#[tokio::test]
async fn tpm_and_token() {
    let cloud = start(Config { assigning_polls: 1, ..Config::default() }).await;
    let endorsement_key = b"a TPM2B_PUBLIC".to_vec();
    let tpm = Attestation::Tpm { endorsement_key: endorsement_key.clone() };
    cloud.enrollments().put_individual(Enrollment::new("t", tpm));
    let body = |key: &[u8]| {
        let key = BASE64_STANDARD.encode(key);
        json!({ "registrationId": "t", "tpm": { "endorsementKey": key, "storageRootKey": "AAAA" } })
            .to_string()
    };
    let register = path("t", "/register");
    let put = ("PUT", register.as_str());
    let refused = ask(&cloud, None, put, None, &body(b"another")).await;
    assert_eq!((refused.status, refused.body.get("authenticationKey")), (401, None));

    let challenge = ask(&cloud, None, put, None, &body(&endorsement_key)).await;
    assert_eq!((challenge.status, &challenge.body["keyName"]), (401, &json!("registration")));
    assert_eq!(challenge.body["unencryptedAuthenticationKey"], Value::Null);
    let key = BASE64_STANDARD.decode(challenge.body["authenticationKey"].as_str().unwrap()).unwrap();
    let resource = format!("{SCOPE}%2Fregistrations%2Ft");
    let wrong = token(&resource, b"wrong", FAR, "&skn=registration");
    assert_eq!(ask(&cloud, None, put, Some(&wrong), &body(&endorsement_key)).await.status, 401);
    let right = token(&resource, &key, FAR, "&skn=registration");
    let answer = ask(&cloud, None, put, Some(&right), &body(&endorsement_key)).await;
    assert_eq!(answer.status, 202);
    let status = answer.headers["location"].clone();
    let answer = ask(&cloud, None, ("GET", &status), Some(&right), "").await;
    assert_eq!(answer.body["status"], "assigned");
    let key = answer.body["registrationState"]["tpm"]["authenticationKey"].as_str().unwrap();
    let key = BASE64_STANDARD.decode(key).unwrap();

    // The second key opens the hub.
    let hub = "local-hub.azure-devices.net";
    let password = token(&format!("{hub}%2Fdevices%2Ft"), &key, FAR, "");
    let mut client = open(&cloud, Endpoint::Hub, None).await;
    assert_eq!(
        client.connect(&Connect { password: Some(password), ..Connect::hub(hub, "t") }).await,
        Some(0)
    );
}

#[tokio::test]
async fn issued_certificate() {
    let cloud = start(Config { assigning_polls: 0, ..Config::default() }).await;
    let bootstrap = Identity::self_signed("d");
    cloud.enrollments().put_individual(Enrollment::new("d", Attestation::certificate(bootstrap.leaf())));
    let request = |key: &KeyPair, name: &str| {
        let csr = leaf_params(name).serialize_request(key).unwrap();
        json!({ "registrationId": "d", "csr": BASE64_STANDARD.encode(csr.der()) }).to_string()
    };
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let newer = format!("/{SCOPE}/registrations/d/register?api-version=2026-11-01");
    let refused = [
        request(&KeyPair::generate().unwrap(), "d"),
        request(&key, "e"),
        json!({ "csr": "AAAA" }).to_string(),
        json!({ "csr": "!" }).to_string(),
    ];
    for body in &refused {
        let answer = ask(&cloud, Some(&bootstrap), ("PUT", &newer), None, body).await;
        assert_eq!((answer.status, &answer.body["errorCode"]), (400, &json!(400_040)), "{body}");
    }
    let older =
        ask(&cloud, Some(&bootstrap), ("PUT", &path("d", "/register")), None, &request(&key, "d")).await;
    assert_eq!(older.body["registrationState"]["issuedCertificateChain"], Value::Null);

    let answer = ask(&cloud, Some(&bootstrap), ("PUT", &newer), None, &request(&key, "d")).await;
    assert_eq!(answer.status, 200);
    let chain = answer.body["registrationState"]["issuedCertificateChain"].as_array().unwrap();
    let chain: Vec<_> =
        chain.iter().map(|der| BASE64_STANDARD.decode(der.as_str().unwrap()).unwrap().into()).collect();
    assert_eq!(chain.len(), 2);
    let hub = Connect::hub("local-hub.azure-devices.net", "d");
    let issued = Identity::new(chain, &key);
    assert_eq!(open(&cloud, Endpoint::Hub, Some(&issued)).await.connect(&hub).await, Some(0));
    assert_eq!(open(&cloud, Endpoint::Hub, Some(&bootstrap)).await.connect(&hub).await, Some(5));
}
