//! Requests for certificates and answers to them, as Microsoft's C library writes and reads them.

use azure_iot_common::json::JsonStr;
use iothub_mqtt::certificate::{self, Answer, Progress, Replace};
use iothub_mqtt_test_support::vectors::text;
use serde_json::Value;

/// Compares with a text that is empty if it was absent.
fn same(found: Option<JsonStr<'_>>, case: &Value, name: &str) {
    let found: String = found.map(|text| text.chars().collect()).unwrap_or_default();
    assert_eq!(found, text(case, name), "{name} of {case}");
}

#[test]
fn requests_and_answers() {
    use base64::Engine;
    let cases: Vec<Value> = serde_json::from_str(include_str!("vectors/hub_certificates.json")).unwrap();
    let base64 = base64::prelude::BASE64_STANDARD;
    for case in &cases {
        if case["kind"] == "request" {
            let csr = base64.decode(text(case, "csr")).unwrap();
            let replace = match case["replace"].as_str() {
                None => Replace::Nothing,
                Some("*") => Replace::Any,
                Some(id) => Replace::Request(id),
            };
            let mut out = [0; 256];
            let body = certificate::request_body(text(case, "device"), &csr, replace, &mut out).unwrap();
            assert_eq!(std::str::from_utf8(body).unwrap(), text(case, "payload"));
            let mut out = [0; certificate::MAX_TOPIC];
            assert_eq!(certificate::request_topic(text(case, "rid"), &mut out).unwrap(), text(case, "topic"));
            continue;
        }
        let Ok(answer) = Answer::parse(text(case, "topic"), text(case, "payload").as_bytes()) else {
            assert_eq!(text(case, "result"), "no match", "{case}");
            continue;
        };
        assert_eq!(
            (u64::from(answer.status), answer.request_id),
            (case["status"].as_u64().unwrap(), text(case, "rid"))
        );
        match (answer.progress(), text(case, "result")) {
            (Progress::Accepted(accepted), "accepted") => {
                same(accepted.correlation_id(), case, "correlationId");
                same(accepted.expires(), case, "operationExpires");
            }
            (Progress::Issued(chain), "issued") => {
                let certificates = case["certificates"].as_array().unwrap();
                let ders = certificates.iter().map(|text| base64.decode(text.as_str().unwrap()).unwrap());
                assert_eq!(chain.decode(&mut [0; 64]).unwrap(), ders.collect::<Vec<_>>().concat());
            }
            // An array of something else is found out when it is decoded.
            (Progress::Issued(chain), "unusable") => assert!(chain.decode(&mut [0; 64]).is_err()),
            (Progress::Unusable(_), "unusable") => {}
            (Progress::Refused(refusal), "refused") => {
                assert_eq!(refusal.code().map(u64::from), case["errorCode"].as_u64());
                assert_eq!(
                    u64::from(refusal.retry_after_s().unwrap_or(0)),
                    case["retryAfter"].as_u64().unwrap()
                );
                same(refusal.tracking_id(), case, "trackingId");
                same(refusal.issuer_error(), case, "credentialError");
                same(refusal.request_id(), case, "requestId");
                let message =
                    if text(case, "credentialMessage").is_empty() { "message" } else { "credentialMessage" };
                same(refusal.message(), case, message);
            }
            (progress, result) => panic!("{progress:?} instead of {result}: {case}"),
        }
    }
    assert_eq!(cases.len(), 19);
}
