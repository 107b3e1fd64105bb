//! The provisioning service itself, apart from how requests reach it: who may register, what is assigned, and the
//! answers.

mod admission;
pub(super) mod https;
pub(super) mod mqtt;

use std::collections::{HashMap, VecDeque};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::CertificateDer;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use self::admission::{Admission, Refusal};
use super::clock;
use super::config::Config;
use super::enrollment::ReprovisionPolicy;
use super::event::Event;
use super::fault::{DpsFault, Endpoint};
use super::hub::Credential;
use super::sas::Token;
use super::server::Caller;
use super::shared::Shared;
use super::store::{Change, Table};

/// A device that talks to the service, with what it has shown of itself.
pub(super) struct Peer {
    pub(super) endpoint: Endpoint,
    pub(super) registration_id: String,
    pub(super) api_version: String,
    pub(super) caller: Caller,
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
    pub(super) fn error(code: u32, message: &str) -> Self {
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

/// Seconds that a device is to wait when this machine is at its limits.
const RETRY_AFTER: u32 = 5;
/// Operations of one registration that can be asked after: the last few, so that what is remembered is bounded by the
/// registrations.
const MAX_OPERATIONS: usize = 4;

/// What the service remembers.
#[derive(Default)]
pub(super) struct Registrations {
    /// By registration id in lower case.
    states: HashMap<String, Value>,
    /// By registration id in lower case, the oldest one first.
    operations: HashMap<String, VecDeque<Operation>>,
    /// Keys that were sent to TPMs, by registration id in lower case.
    challenges: HashMap<String, Vec<u8>>,
}

impl Registrations {
    /// With what was kept.
    pub(super) fn new(states: Vec<(String, Value)>) -> Self {
        Self { states: states.into_iter().collect(), ..Self::default() }
    }

    fn begin(&mut self, key: &str, operation: Operation) {
        let operations = self.operations.entry(key.to_owned()).or_default();
        operations.push_back(operation);
        if operations.len() > MAX_OPERATIONS {
            operations.pop_front();
        }
    }
}

struct Operation {
    id: String,
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
        if let Some(answer) = self.answer_by_fault(peer) {
            return answer;
        }
        let body = match RegisterBody::parse(&peer.registration_id, body) {
            Ok(body) => body,
            Err(message) => return self.refuse(peer, (400_004, message)),
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
        let enabled = admission.enrollment.enabled;
        let state = self.registration_state(peer, admission, body.payload, issued);
        self.write(vec![Change::put(Table::Registrations, key.clone(), &state)]);
        let mut registrations = self.registrations();
        registrations.states.insert(key.clone(), state);
        let operation = Operation {
            id: operation_id.clone(),
            polls_left: if enabled { self.config.assigning_polls } else { 0 },
            api_version: peer.api_version.clone(),
            announced: false,
        };
        registrations.begin(&key, operation);
        drop(registrations);
        self.answer_operation(&operation_id, peer)
    }

    /// Status of an operation.
    pub(super) fn operation_status(&self, peer: &Peer, operation_id: &str) -> Answer {
        if let Some(answer) = self.answer_by_fault(peer) {
            return answer;
        }
        match self.admit(peer) {
            Ok(_) => self.answer_operation(operation_id, peer),
            Err(refusal) => self.refuse(peer, refusal),
        }
    }

    /// What is known of this registration, without changing it.
    pub(super) fn lookup(&self, peer: &Peer, body: &[u8]) -> Answer {
        if let Some(answer) = self.answer_by_fault(peer) {
            return answer;
        }
        match RegisterBody::parse(&peer.registration_id, body) {
            Ok(body) if body.csr.is_some() => {
                return self.refuse(peer, (400_004, "A look-up takes no certificate signing request."));
            }
            Ok(_) => {}
            Err(message) => return self.refuse(peer, (400_004, message)),
        }
        if let Err(refusal) = self.admit(peer) {
            return self.refuse(peer, refusal);
        }
        let state = self.registrations().states.get(&peer.registration_id.to_lowercase()).cloned();
        match state {
            Some(state) => Answer { status: 200, retry_after: None, body: state },
            None => self.refuse(peer, (404_201, "Registration not found")),
        }
    }

    /// A fault on request, in the place of the right answer.
    fn answer_by_fault(&self, peer: &Peer) -> Option<Answer> {
        let fault = self.faults.take_dps_answer()?;
        self.refused(peer.endpoint, &peer.registration_id, format!("{} fault on request", fault.error_code));
        Some(Answer::fault(fault))
    }

    fn refuse(&self, peer: &Peer, (code, message): Refusal) -> Answer {
        self.refused(peer.endpoint, &peer.registration_id, format!("{code} {message}"));
        let retry_after = (code >= 500_000).then_some(RETRY_AFTER);
        Answer { retry_after, ..Answer::error(code, message) }
    }

    fn answer_operation(&self, operation_id: &str, peer: &Peer) -> Answer {
        let key = peer.registration_id.to_lowercase();
        let mut registrations = self.registrations();
        let operations = registrations.operations.get_mut(&key);
        let found = operations.and_then(|all| all.iter_mut().find(|o| o.id == operation_id));
        let Some(operation) = found else {
            drop(registrations);
            self.refused(peer.endpoint, &peer.registration_id, format!("404208 no operation {operation_id}"));
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
            let device = state.get("deviceId").and_then(Value::as_str).unwrap_or_default();
            let hub = self.hub().hub_of(device).unwrap_or_default();
            let profile = if self.config.is_mqtt5_hub(hub) { "mqttV5" } else { "classic" };
            state.insert("connectionProfile".to_owned(), json!(profile));
        }
        let status = state.get("status").cloned().unwrap_or_default();
        if announced {
            // A repeated poll.
        } else if status == "assigned" {
            self.events.emit(&Event::Registered {
                registration_id: peer.registration_id.clone(),
                device: state.get("deviceId").and_then(Value::as_str).unwrap_or_default().to_owned(),
                hub: state.get("assignedHub").and_then(Value::as_str).unwrap_or_default().to_owned(),
                tls: peer.caller.tls,
            });
        } else {
            let reason = state.get("errorMessage").and_then(Value::as_str).unwrap_or_default().to_owned();
            self.refused(peer.endpoint, &peer.registration_id, reason);
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
        let Config { issue_keys, issued_lifetime, .. } = self.config;
        let chain = self.authority.issue_client(&csr, &peer.registration_id, issue_keys, issued_lifetime);
        chain.map(Some).map_err(|error| (400_040, error.message))
    }

    /// Makes the device known to the hub that it is assigned to, and gives the `registrationState`.
    fn registration_state(
        &self,
        peer: &Peer,
        admission: Admission,
        payload: Option<Value>,
        issued: Option<IssuedChain>,
    ) -> Value {
        let now = clock::now();
        let key = peer.registration_id.to_lowercase();
        let before = self.registrations().states.get(&key).cloned();
        let created = before.as_ref().and_then(|state| state.get("createdDateTimeUtc").cloned());
        let mut state = Map::new();
        let mut set = |name: &str, value: Value| state.insert(name.to_owned(), value);
        set("registrationId", json!(peer.registration_id));
        set("createdDateTimeUtc", created.unwrap_or_else(|| json!(now)));
        set("lastUpdatedDateTimeUtc", json!(now));
        set("etag", json!(format!("\"{}\"", tracking_id())));
        set(admission.attestation.0, admission.attestation.1);
        if !admission.enrollment.enabled {
            set("status", json!("disabled"));
            set("errorCode", json!(403_001));
            set("errorMessage", json!("Enrollment is disabled."));
            return Value::Object(state);
        }
        match self.allocate(&admission.enrollment, &peer.registration_id, payload) {
            Err((code, message)) => {
                set("status", json!("failed"));
                set("errorCode", json!(code));
                set("errorMessage", json!(message));
            }
            Ok((wanted, returned)) => {
                let mut credential = admission.credential;
                if let Some(chain) = issued {
                    // From now on the device shows this one at the hub.
                    let thumbprint = chain.first().map(|leaf| hex::encode_upper(Sha256::digest(leaf)));
                    credential = Credential::Issued(thumbprint.into_iter().collect());
                    let chain: Vec<String> = chain.iter().map(|der| BASE64_STANDARD.encode(der)).collect();
                    set("issuedCertificateChain", json!(chain));
                }
                let initial = admission.enrollment.initial_twin.as_ref();
                let policy = match admission.enrollment.reprovision {
                    ReprovisionPolicy::Never if self.faults.move_of(&peer.registration_id).is_some() => {
                        ReprovisionPolicy::Migrate
                    }
                    policy => policy,
                };
                let (hub, substatus) =
                    self.hub().provision(wanted, &admission.device_id, credential, policy, initial);
                self.faults.has_arrived(&admission.device_id);
                let names = self.config.hub_names();
                let name = names.get(hub).map_or("", String::as_str);
                set("status", json!("assigned"));
                set("substatus", json!(substatus));
                set("assignedHub", json!(peer.caller.hub_name(name)));
                set("deviceId", json!(admission.device_id));
                if let Some(returned) = returned {
                    set("payload", returned);
                }
            }
        }
        Value::Object(state)
    }

    /// What is kept of a registration.
    pub(super) fn registration(&self, registration_id: &str) -> Option<Value> {
        self.registrations().states.get(&registration_id.to_lowercase()).cloned()
    }

    /// What is kept of all registrations, by registration id.
    pub(super) fn all_registrations(&self) -> Vec<Value> {
        let registrations = self.registrations();
        let mut all: Vec<_> = registrations.states.iter().collect();
        all.sort_by_key(|(key, _)| *key);
        all.into_iter().map(|(_, state)| state.clone()).collect()
    }

    /// Forgets a registration; `false` if there is none.
    pub(super) fn remove_registration(&self, registration_id: &str) -> bool {
        let key = registration_id.to_lowercase();
        let mut registrations = self.registrations();
        registrations.operations.remove(&key);
        let found = registrations.states.remove(&key).is_some();
        drop(registrations);
        self.write(vec![Change::remove(Table::Registrations, key)]);
        found
    }
}

/// The members of a register body that decide something.
struct RegisterBody {
    csr: Option<String>,
    payload: Option<Value>,
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
            payload: body.get("payload").filter(|payload| !payload.is_null()).cloned(),
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
