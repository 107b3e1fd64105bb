//! Certificates that the hub issues to a connected device, over `$iothub/credentials`: as the service, 202 when a
//! request is accepted and 200 with the chain when it is issued, or an error.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::topic::Subscription;
use super::{Credential, ToSession};
use crate::cert::ClientCertificate;
use crate::config::Config;
use crate::event::Event;
use crate::fault::Endpoint;
use crate::pki::CsrError;
use crate::shared::Shared;
use crate::{clock, dps};

/// The first API version that knows of certificates.
pub(super) const API_VERSION: &str = "2025-08-01";

/// How long a request counts as active if its certificate does not come.
const OPERATION_LIFE: Duration = Duration::from_hours(12);

/// A request that the hub is working on.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    rid: String,
    correlation: String,
    expires: String,
}

/// A refusal: the service's code, its words, and what it says besides.
struct Refusal {
    code: u32,
    message: &'static str,
    info: Value,
    retry_after: Option<u32>,
}

impl Refusal {
    fn new(code: u32, message: &'static str) -> Self {
        Self { code, message, info: Value::Null, retry_after: None }
    }

    fn body(&self) -> Value {
        let mut body = json!({
            "errorCode": self.code,
            "message": self.message,
            "trackingId": dps::tracking_id(),
            "timestampUtc": clock::now(),
        });
        if !self.info.is_null() {
            body["info"] = self.info.clone();
        }
        if let Some(seconds) = self.retry_after {
            body["retryAfter"] = json!(seconds);
        }
        body
    }
}

/// A request of a device: sends the answers to its session, some of them later.
pub(super) fn request(shared: &Arc<Shared>, hub: usize, id: &str, rid: &str, body: &[u8]) {
    match accept(shared, hub, id, rid, body) {
        Err(refusal) => {
            shared.refused(Endpoint::Hub, id, format!("{} {}", refusal.code, refusal.message));
            answer(shared, hub, id, refusal.code / 1000, rid, &refusal.body());
        }
        Ok((operation, csr)) => {
            let accepted =
                json!({ "correlationId": operation.correlation, "operationExpires": operation.expires });
            answer(shared, hub, id, 202, rid, &accepted);
            let (shared, id, delay) = (shared.clone(), id.to_owned(), shared.config.issue_delay);
            if delay.is_zero() {
                finish(&shared, hub, &id, &operation, &csr);
            } else {
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    finish(&shared, hub, &id, &operation, &csr);
                });
            }
        }
    }
}

/// Takes the request on, or says why not.
fn accept(
    shared: &Shared,
    hub: usize,
    id: &str,
    rid: &str,
    body: &[u8],
) -> Result<(Operation, Vec<u8>), Refusal> {
    if let Some(fault) = shared.faults.take_hub_answer() {
        let retry_after = fault.retry_after;
        return Err(Refusal {
            retry_after,
            ..Refusal::new(u32::from(fault.status) * 1000 + 1, "Fault on request.")
        });
    }
    let body: Value =
        serde_json::from_slice(body).map_err(|_| Refusal::new(400_004, "The body is not JSON."))?;
    if body.get("id").and_then(Value::as_str) != Some(id) {
        return Err(Refusal::new(400_004, "The id is not the device's."));
    }
    let csr = body.get("csr").and_then(Value::as_str).ok_or(Refusal::new(400_004, "There is no csr."))?;
    let replace = body.get("replace").and_then(Value::as_str);
    let mut registry = shared.hub();
    let device = registry.device_at(hub, id).ok_or(Refusal::new(404_001, "Device not found."))?;
    if !matches!(device.credential, Credential::Issued(_)) {
        let message = "The device's certificate is not managed: it was not issued for its registration.";
        return Err(Refusal::new(412_005, message));
    }
    match (&device.issuing, replace) {
        (Some(active), Some(replaced)) if replaced == "*" || replaced == active.rid => {}
        (None, None | Some("*")) => {}
        (None | Some(_), Some(_)) => {
            return Err(Refusal::new(412_001, "There is no such operation to replace."));
        }
        (Some(active), None) => {
            let info = json!({
                "requestId": active.rid,
                "correlationId": active.correlation,
                "operationExpires": active.expires,
            });
            let message = "A certificate signing request operation is already active.";
            return Err(Refusal { info, ..Refusal::new(409_005, message) });
        }
    }
    let correlation = dps::tracking_id();
    // Decoded before the request is accepted, so that the device learns of this mistake at once.
    let csr = decode(csr, &correlation)?;
    let expires = clock::timestamp(clock::unix_time() + OPERATION_LIFE);
    let operation = Operation { rid: rid.to_owned(), correlation, expires };
    device.issuing = Some(operation.clone());
    Ok((operation, csr))
}

fn decode(csr: &str, correlation: &str) -> Result<Vec<u8>, Refusal> {
    BASE64_STANDARD.decode(csr).map_err(|_| {
        let message = "The certificate signing request is not base64.";
        failed(CsrError { kind: "FailedToDecodeCsr", message }, correlation)
    })
}

/// The refusal of a request whose content is wrong.
fn failed(error: CsrError, correlation: &str) -> Refusal {
    let info = json!({
        "correlationId": correlation,
        "credentialError": error.kind,
        "credentialMessage": error.message,
    });
    Refusal { info, ..Refusal::new(400_040, "A certificate signing request operation failed.") }
}

/// Issues the certificate, unless another request has taken this one's place.
fn finish(shared: &Shared, hub: usize, id: &str, operation: &Operation, csr: &[u8]) {
    let mut registry = shared.hub();
    let Some(device) = registry.device_at(hub, id) else { return };
    if device.issuing.as_ref().is_none_or(|active| active.correlation != operation.correlation) {
        return;
    }
    device.issuing = None;
    let Config { issue_keys, issued_lifetime, .. } = shared.config;
    let issued = shared.authority.issue_client(csr, id, issue_keys, issued_lifetime);
    let chain = match issued {
        Ok(chain) => chain,
        Err(error) => {
            drop(registry);
            let refusal = failed(error, &operation.correlation);
            shared.refused(Endpoint::Hub, id, format!("{} {}", refusal.code, error.message));
            answer(shared, hub, id, refusal.code / 1000, &operation.rid, &refusal.body());
            return;
        }
    };
    let described = chain
        .first()
        .and_then(|leaf| ClientCertificate::from_der(leaf).ok())
        .map(|leaf| (leaf.thumbprints().1, leaf.describe()));
    if let (Credential::Issued(issued), Some((thumbprint, _))) = (&mut device.credential, &described) {
        // The newest one that the device has connected with stays good until this one connects; what was issued in
        // between and has never connected is replaced.
        issued.truncate(1);
        issued.push(thumbprint.clone());
    }
    drop(registry);
    if let Some((thumbprint, description)) = described {
        let not_after = description["notAfterUtc"].as_str().unwrap_or_default().to_owned();
        shared.events.emit(&Event::CertificateIssued { device: id.to_owned(), thumbprint, not_after });
    }
    let certificates: Vec<String> = chain.iter().map(|der| BASE64_STANDARD.encode(der)).collect();
    let body = json!({ "correlationId": operation.correlation, "certificates": certificates });
    answer(shared, hub, id, 200, &operation.rid, &body);
}

/// Sends an answer, if the device listens for it.
fn answer(shared: &Shared, hub: usize, id: &str, status: u32, rid: &str, body: &Value) {
    let topic = format!("$iothub/credentials/res/{status}/?$rid={rid}");
    let payload = body.to_string().into_bytes();
    if let Some(device) = shared.hub().device_at(hub, id)
        && device.listens(Subscription::Certificates)
    {
        device.send_to_session(ToSession::Publish { topic, payload });
    }
}
