//! The provisioning service's interface for operators: enrolments, enrolment groups, and what became of registrations.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::Method;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value, json};

use super::problem::Problem;
use super::query::{page, parse};
use super::{Answer, Call, no_content, ok};
use crate::cert::ClientCertificate;
use crate::enrollment::{AllocationPolicy, Attestation, Enrollment, InitialTwin, ReprovisionPolicy};
use crate::hub::record::{matches, text};

/// Entries that one bulk operation may have.
const MAX_BULK: usize = 10;

/// One of the two lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    Individual,
    Groups,
}

impl List {
    fn id_member(self) -> &'static str {
        match self {
            Self::Individual => "registrationId",
            Self::Groups => "enrollmentGroupId",
        }
    }

    fn all(self, call: &Call<'_>) -> Vec<Enrollment> {
        match self {
            Self::Individual => call.shared.enrollments.all_individuals(),
            Self::Groups => call.shared.enrollments.all_groups(),
        }
    }

    fn find(self, call: &Call<'_>, id: &str) -> Option<Enrollment> {
        let found = match self {
            Self::Individual => call.shared.enrollments.individual(id),
            Self::Groups => call.shared.enrollments.group(id),
        };
        // What cannot be read now is not found, as in a query.
        found.ok().flatten()
    }

    fn get(self, call: &Call<'_>, id: &str) -> Result<Enrollment, Problem> {
        self.find(call, id).ok_or_else(|| Problem::provisioning(404_201, "Enrollment not found."))
    }
}

/// Everything below `/enrollments` and `/enrollmentGroups`.
pub(super) fn route(call: &Call<'_>, kind: &str, rest: &[&str]) -> Answer {
    let list = if kind == "enrollments" { List::Individual } else { List::Groups };
    match (&call.method, rest) {
        (&Method::POST, ["query"]) => {
            let select = parse(call)?;
            let rows = list.all(call).iter().map(|e| (e.id.to_lowercase(), describe(e, list))).collect();
            let mut rows = select.run(rows).map_err(|why| Problem::provisioning(400_001, why))?;
            rows.sort_by(|a, b| a.0.cmp(&b.0));
            page(call, rows, if list == List::Individual { "Enrollment" } else { "EnrollmentGroup" })
        }
        (&Method::POST, []) => bulk(call, list),
        (&Method::GET, [id]) => ok(&describe(&list.get(call, id)?, list)),
        (&Method::PUT, [id]) => {
            let body = call.json().map_err(|e| Problem::provisioning(400_004, e.message()))?;
            ok(&put(call, list, id, call.if_match(), &body)?)
        }
        (&Method::DELETE, [id]) => {
            remove(call, list, id, call.if_match())?;
            no_content()
        }
        (&Method::POST, [id, "attestationmechanism"]) => ok(&attestation(&list.get(call, id)?, list, true)),
        _ => Err(Problem::provisioning(404_000, "There is no such operation.")),
    }
}

/// Everything below `/registrations`.
pub(super) fn registrations(call: &Call<'_>, rest: &[&str]) -> Answer {
    let not_found = || Problem::provisioning(404_201, "Registration not found.");
    match (&call.method, rest) {
        (&Method::GET, [id]) => {
            let state = call.shared.registration(id).ok_or_else(not_found)?;
            ok(&state)
        }
        (&Method::DELETE, [id]) => {
            if call.shared.remove_registration(id) {
                no_content()
            } else {
                Err(not_found())
            }
        }
        (&Method::POST, [group, "query"]) => {
            let group = List::Groups.get(call, group)?.id;
            let of_group = |state: &Value| {
                ["x509", "symmetricKey"].iter().any(|kind| {
                    let id = state.get(kind).and_then(|kind| kind.get("enrollmentGroupId"));
                    id.and_then(Value::as_str) == Some(group.as_str())
                })
            };
            let mut states = call.shared.all_registrations();
            states.retain(of_group);
            let key = |state: &Value| text(state, "registrationId").unwrap_or_default().to_lowercase();
            let mut rows: Vec<_> = states.into_iter().map(|state| (key(&state), state)).collect();
            rows.sort_by(|a, b| a.0.cmp(&b.0));
            page(call, rows, "DeviceRegistration")
        }
        _ => Err(Problem::provisioning(404_000, "There is no such operation.")),
    }
}

fn put(
    call: &Call<'_>,
    list: List,
    id: &str,
    if_match: Option<&str>,
    body: &Value,
) -> Result<Value, Problem> {
    let bad = |message: &str| Problem::provisioning(400_004, message);
    if text(body, list.id_member()).is_some_and(|named| !named.eq_ignore_ascii_case(id)) {
        return Err(bad("The id in the body is not that of the address."));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    if !(1..=128).contains(&id.len()) || !id.chars().all(allowed) {
        return Err(bad("The id has characters that are not allowed, or is longer than 128."));
    }
    let present = list.find(call, id);
    match (&present, if_match) {
        (Some(_), None) => return Err(Problem::provisioning(409_204, "Enrollment already exists.")),
        (None, Some(_)) => return Err(Problem::provisioning(404_201, "Enrollment not found.")),
        (Some(present), Some(_)) if !matches(if_match, &present.etag) => {
            return Err(Problem::provisioning(412_201, "Precondition failed: the etag is another."));
        }
        _ => {}
    }
    let mechanism = body.get("attestation").filter(|value| !value.is_null());
    let attestation = match (mechanism, &present) {
        (None, None) => return Err(bad("There is no attestation.")),
        (None, Some(present)) => present.attestation.clone(),
        (Some(mechanism), _) => read_attestation(mechanism, list, present.as_ref().map(|p| &p.attestation))?,
    };
    let mut enrollment = Enrollment::new(id, attestation);
    enrollment.enabled = text(body, "provisioningStatus").as_deref() != Some("disabled");
    if list == List::Individual {
        enrollment.device_id = text(body, "deviceId").filter(|id| !id.is_empty());
    }
    read_allocation(call, &mut enrollment, body)?;
    let enrollments = &call.shared.enrollments;
    match list {
        List::Individual => enrollments.put_individual(enrollment),
        List::Groups => enrollments.put_group(enrollment),
    }
    Ok(describe(&list.get(call, id)?, list))
}

fn read_allocation(call: &Call<'_>, enrollment: &mut Enrollment, body: &Value) -> Result<(), Problem> {
    let bad = |message: &str| Problem::provisioning(400_004, message);
    enrollment.allocation = match text(body, "allocationPolicy").as_deref() {
        None | Some("hashed") => AllocationPolicy::Hashed,
        Some("static") => AllocationPolicy::Static,
        Some("geoLatency") => AllocationPolicy::GeoLatency,
        Some("custom") => AllocationPolicy::Custom,
        Some(_) => return Err(bad("There is no such allocationPolicy.")),
    };
    let hubs = body.get("iotHubs").and_then(Value::as_array).cloned().unwrap_or_default();
    let one = body.get("iotHubHostName").filter(|name| !name.is_null()).cloned();
    enrollment.hubs =
        hubs.into_iter().chain(one).filter_map(|name| name.as_str().map(str::to_owned)).collect();
    let known = call.shared.config.hub_names();
    if let Some(name) =
        enrollment.hubs.iter().find(|name| !known.iter().any(|hub| hub.eq_ignore_ascii_case(name)))
    {
        return Err(bad(&format!("No hub {name} is linked to this service.")));
    }
    let policy = body.get("reprovisionPolicy").cloned().unwrap_or_default();
    let flag = |name: &str| policy.get(name).and_then(Value::as_bool).unwrap_or(true);
    enrollment.reprovision = match (flag("updateHubAssignment"), flag("migrateDeviceData")) {
        (false, _) => ReprovisionPolicy::Never,
        (true, false) => ReprovisionPolicy::Reset,
        (true, true) => ReprovisionPolicy::Migrate,
    };
    if let Some(twin) = body.get("initialTwin").filter(|twin| !twin.is_null()) {
        let object = |value: Option<&Value>| -> Map<String, Value> {
            value.and_then(Value::as_object).cloned().unwrap_or_default()
        };
        let desired = object(twin.get("properties").and_then(|properties| properties.get("desired")));
        enrollment.initial_twin = Some(InitialTwin { tags: object(twin.get("tags")), desired });
    }
    Ok(())
}

fn remove(call: &Call<'_>, list: List, id: &str, if_match: Option<&str>) -> Result<(), Problem> {
    let present = list.get(call, id)?;
    if !matches(if_match, &present.etag) {
        return Err(Problem::provisioning(412_201, "Precondition failed: the etag is another."));
    }
    match list {
        List::Individual => call.shared.enrollments.remove_individual(id),
        List::Groups => call.shared.enrollments.remove_group(id),
    }
    if list.find(call, id).is_some() {
        return Err(Problem::provisioning(409_000, "This enrolment is a file in the folder of enrolments."));
    }
    Ok(())
}

fn bulk(call: &Call<'_>, list: List) -> Answer {
    let body = call.json().map_err(|e| Problem::provisioning(400_004, e.message()))?;
    let entries = body
        .get(if list == List::Individual { "enrollments" } else { "enrollmentGroups" })
        .and_then(Value::as_array)
        .filter(|entries| (1..=MAX_BULK).contains(&entries.len()))
        .ok_or_else(|| Problem::provisioning(400_004, "There are no entries, or more than 10."))?;
    let mode = text(&body, "mode").unwrap_or_default();
    let mut errors = Vec::new();
    for entry in entries {
        let id = text(entry, list.id_member()).unwrap_or_default();
        let tag = text(entry, "etag");
        let exists = list.find(call, &id).is_some();
        let done = match mode.as_str() {
            "create" => put(call, list, &id, None, entry).map(drop),
            "update" => put(call, list, &id, Some("*"), entry).map(drop),
            "updateIfMatchETag" => put(call, list, &id, tag.as_deref().or(Some("*")), entry).map(drop),
            "createOrUpdate" => put(call, list, &id, exists.then_some("*"), entry).map(drop),
            "delete" => remove(call, list, &id, None),
            _ => Err(Problem::provisioning(400_004, format!("There is no mode {mode:?}."))),
        };
        if let Err(problem) = done {
            errors.push(problem.entry(&id));
        }
    }
    ok(&json!({ "isSuccessful": errors.is_empty(), "errors": errors }))
}

/// An enrolment as `GET` answers it: without keys, which only `attestationmechanism` tells.
fn describe(enrollment: &Enrollment, list: List) -> Value {
    let status = if enrollment.enabled { "enabled" } else { "disabled" };
    let mut answer = json!({
        "attestation": attestation(enrollment, list, false),
        "provisioningStatus": status,
        "etag": format!("\"{}\"", enrollment.etag),
        "allocationPolicy": enrollment.allocation,
        "iotHubs": enrollment.hubs,
        "reprovisionPolicy": {
            "updateHubAssignment": enrollment.reprovision != ReprovisionPolicy::Never,
            "migrateDeviceData": enrollment.reprovision == ReprovisionPolicy::Migrate,
        },
        "capabilities": { "iotEdge": false },
        "createdDateTimeUtc": time(&enrollment.created),
        "lastUpdatedDateTimeUtc": time(&enrollment.updated),
    });
    answer[list.id_member()] = json!(enrollment.id);
    if let Some(device) = &enrollment.device_id {
        answer["deviceId"] = json!(device);
    }
    if let Some(twin) = &enrollment.initial_twin {
        answer["initialTwin"] = json!({ "tags": twin.tags, "properties": { "desired": twin.desired } });
    }
    answer
}

/// A file in the folder of enrolments has no such times: it is as old as time.
fn time(text: &str) -> &str {
    if text.is_empty() { "1970-01-01T00:00:00.0000000Z" } else { text }
}

fn attestation(enrollment: &Enrollment, list: List, keys: bool) -> Value {
    let certificate = |der: &[u8]| {
        let info = ClientCertificate::from_der(der).map(|certificate| certificate.describe());
        json!({ "certificate": BASE64_STANDARD.encode(der), "info": info.unwrap_or_default() })
    };
    match &enrollment.attestation {
        Attestation::X509 { primary, secondary } => {
            let kind = if list == List::Individual { "clientCertificates" } else { "signingCertificates" };
            let both = json!({ "primary": certificate(primary), "secondary": secondary.as_deref().map(certificate) });
            json!({ "type": "x509", "x509": { kind: both } })
        }
        Attestation::SymmetricKey { primary, secondary } if keys => json!({
            "type": "symmetricKey",
            "symmetricKey": {
                "primaryKey": BASE64_STANDARD.encode(primary),
                "secondaryKey": secondary.as_ref().map(|key| BASE64_STANDARD.encode(key)),
            },
        }),
        Attestation::SymmetricKey { .. } => json!({ "type": "symmetricKey" }),
        Attestation::Tpm { endorsement_key } => {
            json!({ "type": "tpm", "tpm": { "endorsementKey": BASE64_STANDARD.encode(endorsement_key) } })
        }
    }
}

/// The attestation in a body. A symmetric-key attestation without keys keeps the present ones, or gets new ones.
fn read_attestation(
    mechanism: &Value,
    list: List,
    present: Option<&Attestation>,
) -> Result<Attestation, Problem> {
    let bad = |message: &str| Problem::provisioning(400_004, message);
    match text(mechanism, "type").as_deref() {
        Some("symmetricKey") => {
            let key = |name: &str| -> Result<Option<Vec<u8>>, Problem> {
                let key = mechanism.get("symmetricKey").and_then(|keys| text(keys, name));
                let Some(key) = key.filter(|key| !key.is_empty()) else { return Ok(None) };
                let key = BASE64_STANDARD.decode(key).map_err(|_| bad("A key is not base64."))?;
                if (16..=64).contains(&key.len()) {
                    Ok(Some(key))
                } else {
                    Err(bad("A key is not 16 to 64 bytes long."))
                }
            };
            match (key("primaryKey")?, key("secondaryKey")?, present) {
                (None, None, Some(present @ Attestation::SymmetricKey { .. })) => Ok(present.clone()),
                (primary, secondary, _) => Ok(Attestation::SymmetricKey {
                    primary: primary.unwrap_or_else(new_key),
                    secondary: Some(secondary.unwrap_or_else(new_key)),
                }),
            }
        }
        Some("x509") => {
            let kind = if list == List::Individual { "clientCertificates" } else { "signingCertificates" };
            let certificates = mechanism.get("x509").and_then(|x509| x509.get(kind)).ok_or_else(|| {
                bad(&format!("There are no {kind}: certificates by reference are not taken here."))
            })?;
            let certificate = |name: &str| -> Result<Option<Vec<u8>>, Problem> {
                let text = certificates.get(name).and_then(|c| text(c, "certificate"));
                text.filter(|text| !text.is_empty()).map(|text| read_certificate(&text)).transpose()
            };
            let primary = certificate("primary")?.ok_or_else(|| bad("There is no primary certificate."))?;
            Ok(Attestation::X509 { primary, secondary: certificate("secondary")? })
        }
        Some("tpm") if list == List::Individual => {
            let key = mechanism.get("tpm").and_then(|tpm| text(tpm, "endorsementKey")).unwrap_or_default();
            let endorsement_key = BASE64_STANDARD
                .decode(key)
                .ok()
                .filter(|key| !key.is_empty())
                .ok_or_else(|| bad("The endorsement key is not base64."))?;
            Ok(Attestation::Tpm { endorsement_key })
        }
        _ => Err(bad("There is no such attestation.")),
    }
}

/// A new key of a symmetric-key enrolment.
pub(crate) fn new_key() -> Vec<u8> {
    rand::random::<[u8; 64]>().to_vec()
}

/// A certificate as base64 of DER, as base64 of PEM, or in PEM: all three occur.
fn read_certificate(text: &str) -> Result<Vec<u8>, Problem> {
    let bad = |message: String| Problem::provisioning(400_004, message);
    let bytes: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let bytes = if text.contains("-----BEGIN") {
        text.as_bytes().to_vec()
    } else {
        BASE64_STANDARD.decode(bytes).map_err(|_| bad("A certificate is not base64.".to_owned()))?
    };
    let der = match CertificateDer::from_pem_slice(&bytes) {
        Ok(der) => der.to_vec(),
        Err(_) => bytes,
    };
    let certificate = ClientCertificate::from_der(&der).map_err(|e| bad(e.to_string()))?;
    let now = SystemTime::now().max(UNIX_EPOCH);
    certificate.check_validity(now).map_err(|e| bad(e.to_string()))?;
    Ok(der)
}
