//! The provisioning service itself, apart from how requests reach it: who may register, what is assigned, and the answers.

mod admission;
pub(super) mod https;
pub(super) mod mqtt;

use std::collections::HashMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::CertificateDer;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use self::admission::{Admission, Refusal};
use super::cert::ClientCertificate;
use super::clock;
use super::event::Event;
use super::fault::{DpsFault, Endpoint};
use super::hub::Credential;
use super::sas::Token;
use super::shared::Shared;
use super::tls::TlsVersion;

/// A device that talks to the service, with what it has shown of itself.
pub(super) struct Peer {
    pub(super) endpoint: Endpoint,
    pub(super) registration_id: String,
    pub(super) api_version: String,
    pub(super) chain: Vec<ClientCertificate>,
    pub(super) tls: TlsVersion,
    pub(super) token: Option<Token>,
}

/// An answer, for MQTT or HTTPS.
pub(super) struct Answer {
    pub(super) status: u16,
    /// Seconds.
    pub(super) retry_after: Option<u32>,
    pub(super) body: Value,
}

impl Answer {
    fn error(code: u32, message: &str) -> Self {
        Self {
            status: u16::try_from(code / 1000).unwrap_or(500),
            retry_after: None,
            body: json!({
                "errorCode": code,
                "trackingId": tracking_id(),
                "message": message,
                "timestampUtc": clock::now(),
            }),
        }
    }

    fn fault(fault: DpsFault) -> Self {
        Self { retry_after: fault.retry_after, ..Self::error(fault.error_code, "Fault on request.") }
    }
}

/// A certificate made for a device, leaf first.
type IssuedChain = Vec<CertificateDer<'static>>;

/// What the service remembers.
#[derive(Default)]
pub(super) struct Registrations {
    /// By registration id in lower case.
    states: HashMap<String, Value>,
    operations: HashMap<String, Operation>,
    /// Keys that were sent to TPMs, by registration id in lower case.
    challenges: HashMap<String, Vec<u8>>,
}

struct Operation {
    /// In lower case.
    registration: String,
    polls_left: u32,
    api_version: String,
    /// Whether the end was made known as an event.
    announced: bool,
}

pub(super) fn tracking_id() -> String {
    let mut hex = hex::encode(rand::random::<[u8; 16]>());
    for at in [20, 16, 12, 8] {
        hex.insert(at, '-');
    }
    hex
}

/// Splits `<idScope>/registrations/<id>/api-version=<v>[&...]`; the error says what is wrong.
pub(super) fn parse_user_name(user_name: &str) -> Result<(&str, &str, &str), &'static str> {
    let mut parts = user_name.splitn(4, '/');
    let mut next = || parts.next().filter(|part| !part.is_empty());
    let scope = next().ok_or("no id scope in the user name")?;
    if next() != Some("registrations") {
        return Err("user name is not <idScope>/registrations/<registrationId>/api-version=..");
    }
    let id = next().ok_or("no registration id in the user name")?;
    let version = next()
        .and_then(|query| query.strip_prefix("api-version="))
        .map(|rest| rest.split('&').next().unwrap_or_default())
        .ok_or("no api-version after the registration id")?;
    if !valid_api_version(version) {
        return Err("api-version is not a date");
    }
    Ok((scope, id, version))
}

/// `YYYY-MM-DD` or `YYYY-MM-DD-preview`.
pub(super) fn valid_api_version(version: &str) -> bool {
    let date = version.strip_suffix("-preview").unwrap_or(version);
    date.len() == 10
        && date
            .bytes()
            .enumerate()
            .all(|(i, b)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() })
}

impl Shared {
    /// Register: the answer is an operation to poll, or already the end.
    pub(super) fn register(&self, peer: &Peer, body: &[u8]) -> Answer {
        if let Some(fault) = self.faults.take_dps_answer() {
            return Answer::fault(fault);
        }
        let body = match RegisterBody::parse(&peer.registration_id, body) {
            Ok(body) => body,
            Err(message) => return Answer::error(400_004, message),
        };
        if let Some(challenge) = self.tpm_challenge(peer, &body) {
            return challenge;
        }
        let admission = match self.admit(peer) {
            Ok(admission) => admission,
            Err(refusal) => return self.refuse(peer, refusal),
        };
        let issued = match self.issue(peer, &body) {
            Ok(issued) => issued,
            Err(refusal) => return self.refuse(peer, refusal),
        };
        let key = peer.registration_id.to_lowercase();
        let operation_id = format!("5.{}.{}", hex::encode(rand::random::<[u8; 8]>()), tracking_id());
        let enabled = admission.enabled;
        let state = self.registration_state(peer, admission, issued);
        let mut registrations = self.registrations();
        registrations.states.insert(key.clone(), state);
        let polls_left = if enabled { self.config.assigning_polls } else { 0 };
        let operation = Operation {
            registration: key,
            polls_left,
            api_version: peer.api_version.clone(),
            announced: false,
        };
        registrations.operations.insert(operation_id.clone(), operation);
        drop(registrations);
        self.answer_operation(&operation_id, peer)
    }

    /// Status of an operation.
    pub(super) fn operation_status(&self, peer: &Peer, operation_id: &str) -> Answer {
        if let Some(fault) = self.faults.take_dps_answer() {
            return Answer::fault(fault);
        }
        match self.admit(peer) {
            Ok(_) => self.answer_operation(operation_id, peer),
            Err(refusal) => self.refuse(peer, refusal),
        }
    }

    /// What is known of this registration, without changing it.
    pub(super) fn lookup(&self, peer: &Peer, body: &[u8]) -> Answer {
        if let Some(fault) = self.faults.take_dps_answer() {
            return Answer::fault(fault);
        }
        match RegisterBody::parse(&peer.registration_id, body) {
            Ok(body) if body.csr.is_some() => {
                return Answer::error(400_004, "A look-up takes no certificate signing request.");
            }
            Ok(_) => {}
            Err(message) => return Answer::error(400_004, message),
        }
        if let Err(refusal) = self.admit(peer) {
            return self.refuse(peer, refusal);
        }
        let state = self.registrations().states.get(&peer.registration_id.to_lowercase()).cloned();
        match state {
            Some(state) => Answer { status: 200, retry_after: None, body: state },
            None => Answer::error(404_201, "Registration not found"),
        }
    }

    fn refuse(&self, peer: &Peer, (code, message): Refusal) -> Answer {
        self.refused(peer.endpoint, &peer.registration_id, format!("{code} {message}"));
        Answer::error(code, message)
    }

    fn answer_operation(&self, operation_id: &str, peer: &Peer) -> Answer {
        let key = peer.registration_id.to_lowercase();
        let mut registrations = self.registrations();
        let found = registrations.operations.get_mut(operation_id).filter(|o| o.registration == key);
        let Some(operation) = found else {
            return Answer::error(404_208, "OperationStatusNotFound");
        };
        if operation.polls_left > 0 {
            operation.polls_left -= 1;
            let body = json!({ "operationId": operation_id, "status": "assigning" });
            return Answer { status: 202, retry_after: self.config.retry_after, body };
        }
        let profile = operation.api_version.as_str() >= "2026-11-02";
        let announced = std::mem::replace(&mut operation.announced, true);
        let Some(mut state) = registrations.states.get(&key).cloned() else {
            return Answer::error(404_201, "Registration not found");
        };
        drop(registrations);
        if let (true, Some(state)) = (profile, state.as_object_mut()) {
            state.insert("connectionProfile".to_owned(), json!("classic"));
        }
        let status = state.get("status").cloned().unwrap_or_default();
        if announced {
            // A repeated poll.
        } else if status == "assigned" {
            self.events.emit(&Event::Registered {
                registration_id: peer.registration_id.clone(),
                device: state.get("deviceId").and_then(Value::as_str).unwrap_or_default().to_owned(),
                hub: self.config.hub_name.clone(),
                tls: peer.tls,
            });
        } else {
            self.refused(peer.endpoint, &peer.registration_id, "enrolment is disabled".to_owned());
        }
        let body = json!({ "operationId": operation_id, "status": status, "registrationState": state });
        Answer { status: 200, retry_after: None, body }
    }

    /// The certificate that a device asks for in its registration, as versions that know of it issue one.
    fn issue(&self, peer: &Peer, body: &RegisterBody) -> Result<Option<IssuedChain>, Refusal> {
        let Some(csr) = body.csr.as_deref().filter(|_| peer.api_version.as_str() >= "2025-07-01") else {
            return Ok(None);
        };
        let csr = BASE64_STANDARD.decode(csr).map_err(|_| (400_040, "The csr is not base64."))?;
        let chain =
            self.authority.issue_client(&csr, &peer.registration_id).map_err(|reason| (400_040, reason))?;
        Ok(Some(chain))
    }

    /// Makes the device known to the hub and gives the `registrationState`.
    fn registration_state(&self, peer: &Peer, admission: Admission, issued: Option<IssuedChain>) -> Value {
        let now = clock::now();
        let key = peer.registration_id.to_lowercase();
        let created = self
            .registrations()
            .states
            .get(&key)
            .and_then(|state| state.get("createdDateTimeUtc").cloned())
            .unwrap_or_else(|| json!(now));
        let mut state = Map::new();
        let mut set = |name: &str, value: Value| state.insert(name.to_owned(), value);
        set("registrationId", json!(peer.registration_id));
        set("createdDateTimeUtc", created);
        set("lastUpdatedDateTimeUtc", json!(now));
        set("etag", json!(format!("\"{}\"", tracking_id())));
        set(admission.attestation.0, admission.attestation.1);
        if admission.enabled {
            set("status", json!("assigned"));
            set("substatus", json!("initialAssignment"));
            set("assignedHub", json!(self.config.hub_name));
            set("deviceId", json!(admission.device_id));
            let mut credential = admission.credential;
            if let Some(chain) = issued {
                // From now on the device shows this one at the hub.
                let thumbprint = chain.first().map(|leaf| hex::encode_upper(Sha256::digest(leaf)));
                credential = Credential::Thumbprints(thumbprint.into_iter().collect());
                let chain: Vec<String> = chain.iter().map(|der| BASE64_STANDARD.encode(der)).collect();
                set("issuedCertificateChain", json!(chain));
            }
            self.hub().provision(&admission.device_id, credential);
        } else {
            set("status", json!("disabled"));
            set("errorCode", json!(403_001));
            set("errorMessage", json!("Enrollment is disabled."));
        }
        Value::Object(state)
    }
}

/// The members of a register body that decide something.
struct RegisterBody {
    csr: Option<String>,
    /// Base64.
    endorsement_key: Option<String>,
}

impl RegisterBody {
    /// A JSON object whose registration id, if there, is the connection's, and whose payload is an object.
    fn parse(registration_id: &str, body: &[u8]) -> Result<Self, &'static str> {
        let body: Value = serde_json::from_slice(body).map_err(|_| "The body is not JSON.")?;
        let body = body.as_object().ok_or("The body is not a JSON object.")?;
        match body.get("registrationId") {
            None | Some(Value::Null) => {}
            Some(Value::String(id)) if id.eq_ignore_ascii_case(registration_id) => {}
            Some(_) => return Err("The registration id is not the connection's."),
        }
        if !matches!(body.get("payload"), None | Some(Value::Null | Value::Object(_))) {
            return Err("The payload is not a JSON object.");
        }
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        Ok(Self {
            csr: text(body.get("csr")),
            endorsement_key: text(body.get("tpm").and_then(|tpm| tpm.get("endorsementKey"))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names() {
        assert_eq!(
            parse_user_name("0ne1/registrations/dev-1/api-version=2019-03-31&ClientVersion=a%2Fb"),
            Ok(("0ne1", "dev-1", "2019-03-31"))
        );
        assert_eq!(
            parse_user_name("0ne1/registrations/dev-1/api-version=2026-11-02-preview"),
            Ok(("0ne1", "dev-1", "2026-11-02-preview"))
        );
        for bad in [
            "",
            "0ne1",
            "/registrations/dev/api-version=2019-03-31",
            "0ne1/registrations//api-version=2019-03-31",
            "0ne1/registrations/dev",
            "0ne1/registrations/dev/",
            "0ne1/registrations/dev/?api-version=2019-03-31",
            "0ne1/registrations/dev/api-version=",
            "0ne1/registrations/dev/api-version=2019-3-31",
            "0ne1/devices/dev/api-version=2019-03-31",
        ] {
            assert!(parse_user_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bodies() {
        assert!(RegisterBody::parse("a", br#"{"registrationId":"A","payload":{},"extra":1}"#).is_ok());
        let body = RegisterBody::parse("a", br#"{"csr":"Y3Ny","tpm":{"endorsementKey":"ZWs="}}"#).unwrap();
        assert_eq!((body.csr.as_deref(), body.endorsement_key.as_deref()), (Some("Y3Ny"), Some("ZWs=")));
        for bad in ["", "[]", "{", r#"{"registrationId":"b"}"#, r#"{"payload":"text"}"#] {
            assert!(RegisterBody::parse("a", bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
