//! Topics and documents of the hub.

use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine as _, alphabet};
use iothub_mqtt::certificate::{self, Chain, Progress};
use iothub_mqtt::method::{self, ReplyTo};
use iothub_mqtt::property::Properties;
use iothub_mqtt::{c2d, json, mqtt5, pnp, twin};

use crate::bytes::topic_and_body;

pub(crate) fn topics(input: &[u8]) {
    let Some((topic, body)) = topic_and_body(input) else { return };
    let known = [
        c2d::Message::parse(topic, body).is_ok_and(|message| {
            properties(&message.properties);
            let _ = (message.message_id(), message.wanted_feedback());
            true
        }),
        method::Request::parse(topic, body).is_ok_and(|request| {
            method(&request);
            true
        }),
        twin::Message::parse(topic, body).is_ok_and(|message| {
            twin_message(&message);
            true
        }),
        certificate::Answer::parse(topic, body).is_ok_and(|answer| {
            certificate_answer(&answer, body);
            true
        }),
    ];
    assert!(known.iter().filter(|known| **known).count() <= 1, "{topic:?} is taken for two things");
    properties(&Properties::new(topic));
    document(body);
    mqtt5_bodies(body);
}

/// The bodies of a hub that speaks MQTT 5; what is in them is JSON again.
fn mqtt5_bodies(body: &[u8]) {
    use mqtt5::{method, presence, twin};
    let _ = presence::BirthAck::parse(body);
    let _ = (twin::PatchResponse::parse(body).map(|answer| answer.status()), method::Probe::parse(body));
    if let Ok(twin) = twin::GetResponse::parse(body) {
        [twin.desired, twin.reported].iter().filter_map(|section| section.payload).for_each(document);
    }
    if let Ok(push) = twin::Push::parse(body) {
        let sections = [push.desired, push.reported].into_iter().flatten();
        sections.filter_map(|section| section.payload).for_each(document);
    }
    if let Ok(twin::DesiredPatch(section)) = twin::DesiredPatch::parse(body) {
        section.payload.into_iter().for_each(document);
    }
    if let Ok(exec) = method::Exec::parse(body) {
        document(exec.payload);
    }
}

fn properties(properties: &Properties<'_>) {
    for (name, value) in properties.iter() {
        let mut out = vec![0; name.raw().len()];
        if let Ok(decoded) = name.decode(&mut out) {
            assert!(name == *decoded && properties.get(decoded).is_some());
        }
        if let Some(value) = value {
            let mut out = vec![0; value.raw().len()];
            assert!(value.decode(&mut out).is_err() || value.bytes().all(|byte| byte.is_ok()));
        }
    }
}

fn method(request: &method::Request<'_>) {
    let (component, command) = request.command();
    assert!(component.is_none_or(|component| request.name == format!("{component}*{command}")));
    assert_eq!(ReplyTo::new(request.request_id), Ok(request.reply_to()));
    let mut out = [0; method::MAX_RESPONSE_TOPIC];
    let topic = request.reply_to().topic(i32::MIN, &mut out).expect("the longest fits").to_owned();
    assert!(topic.ends_with(request.request_id));
}

fn twin_message(message: &twin::Message<'_>) {
    match message {
        twin::Message::Answer(answer) => {
            assert!((100..600).contains(&answer.status) && !answer.request_id.is_empty());
        }
        twin::Message::Desired(desired) => {
            if let Ok(object) = desired.object() {
                section(&object);
            }
        }
        twin::Message::Unversioned { payload } => {
            let _ = twin::Desired::from_body(payload);
        }
    }
}

fn certificate_answer(answer: &certificate::Answer<'_>, body: &[u8]) {
    assert!((100..600).contains(&answer.status) && !answer.request_id.is_empty());
    match answer.progress() {
        Progress::Accepted(accepted) => {
            assert!(!answer.is_final());
            let _ = (accepted.correlation_id(), accepted.expires());
        }
        Progress::Issued(chain) => issued(&chain, body),
        Progress::Refused(refusal) => {
            assert_eq!(refusal.status(), answer.status);
            assert_eq!(refusal.is_retriable(), refusal.reason().is_retriable());
            let _ = (refusal.code(), refusal.retry_after_s(), refusal.request_id());
            let _ = (refusal.message(), refusal.issuer_error(), refusal.tracking_id());
        }
        _ => {}
    }
}

/// Bits of the last symbol that count for nothing may be set, which RFC 4648 (section 3.5) leaves to the decoder.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// What is decoded is what `serde_json` and `base64` make of the body.
fn issued(chain: &Chain<'_>, body: &[u8]) {
    assert!(!chain.is_empty());
    let mut out = vec![0; 2 * body.len()];
    let Ok(decoded) = chain.decode(&mut out) else { return };
    let Ok(document) = serde_json::from_slice::<serde_json::Value>(body) else { return };
    let certificates = document.get("certificates").unwrap_or(&document).as_array().expect("an array");
    let texts = certificates.iter().map(|text| text.as_str().expect("a text"));
    let expected: Vec<Vec<u8>> = texts.map(|text| BASE64.decode(text).expect("base64")).collect();
    assert_eq!(decoded, expected.concat());
    if let Ok(split) = azure_iot_credentials::certificate::split(decoded) {
        assert!(split.iter().eq(expected.iter()));
    } else {
        assert!(expected.len() > azure_iot_credentials::certificate::MAX_CERTIFICATES);
    }
}

fn document(body: &[u8]) {
    if let Ok(document) = twin::Document::parse(body) {
        assert_eq!(twin::version(&document.desired()).unwrap_or(0), document.version());
        section(&document.desired());
        if let Some(reported) = document.reported() {
            section(&reported);
        }
    }
}

fn section(section: &json::read::Object<'_>) {
    for property in pnp::properties(section, &["thermostat1", "c"]) {
        assert!(!property.name.raw().starts_with('$') || property.component.is_some());
    }
}
