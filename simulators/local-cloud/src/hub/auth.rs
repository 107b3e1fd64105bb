//! Who may connect to a hub: user name, and certificate or token against what is registered.

use std::time::SystemTime;

use mqtt_protocol_core::mqtt::packet::v3_1_1::Connect;

use super::{Credential, topic};
use crate::cert::{ClientCertificate, find_anchor};
use crate::dps;
use crate::enrollment::Attestation;
use crate::sas::Token;
use crate::server::Caller;
use crate::shared::Shared;
use crate::tls::algorithms;

const UNAVAILABLE: u8 = 3;
const BAD_USER_NAME: u8 = 4;
const NOT_AUTHORIZED: u8 = 5;

/// A device that has been let in.
pub(crate) struct Admitted {
    /// The hub's index.
    pub(crate) hub: usize,
    /// Seconds since 1970 UTC at which the credential runs out, if it does.
    pub(crate) expiry: Option<u64>,
}

/// Why an identity is not let in.
pub(crate) enum Refusal {
    /// It is the device's affair; in words.
    Device(String),
    /// It is this machine's affair.
    Machine,
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self::Device(reason)
    }
}

impl From<&str> for Refusal {
    fn from(reason: &str) -> Self {
        Self::Device(reason.to_owned())
    }
}

/// Checks CONNECT; the error is CONNACK's return code and the reason in words.
pub(super) fn connect(shared: &Shared, connect: &Connect, caller: &Caller) -> Result<Admitted, (u8, String)> {
    let client_id = connect.client_id();
    let bad_user_name = |reason: &str| (BAD_USER_NAME, reason.to_owned());
    let refuse = |reason: &str| (NOT_AUTHORIZED, reason.to_owned());
    let user_name = connect.user_name().ok_or_else(|| bad_user_name("no user name"))?;
    let (host, rest) = user_name.split_once('/').unwrap_or((user_name, ""));
    if shared.hub_index(host).is_none() && !caller.may_call_hub(host) {
        return Err(bad_user_name("the user name does not begin with the hub's name"));
    }
    let query = rest
        .strip_prefix(client_id)
        .and_then(|rest| rest.strip_prefix("/?api-version="))
        .ok_or_else(|| bad_user_name("user name is not <hub>/<client id>/?api-version=.."))?;
    let mut fields = query.split('&');
    let version = fields.next().unwrap_or_default();
    if !dps::valid_api_version(version) {
        return Err(bad_user_name("api-version is not a date"));
    }
    if version < "2020-09-30" && fields.any(|field| field.starts_with("model-id=")) {
        return Err(bad_user_name("a model id needs api-version 2020-09-30 or later"));
    }
    if connect.will_topic().is_some_and(|will| topic::telemetry_bag(client_id, will).is_none()) {
        return Err(refuse("the will is not telemetry of this device"));
    }
    if client_id.contains('/') && !shared.config.tier.has_cloud_to_device() {
        return Err(refuse("the basic tier has no modules"));
    }
    let password = match connect.password() {
        None => None,
        Some(password) => Some(std::str::from_utf8(password).map_err(|_| refuse("password is not text"))?),
    };
    admit(shared, caller, host, client_id, password).map_err(|refusal| match refusal {
        Refusal::Device(reason) => (NOT_AUTHORIZED, reason),
        Refusal::Machine => (UNAVAILABLE, "the enrolments cannot be read now".to_owned()),
    })
}

/// Checks what an identity (`deviceId` or `deviceId/moduleId`) shows to the hub that it calls `host`.
pub(crate) fn admit(
    shared: &Shared,
    caller: &Caller,
    host: &str,
    id: &str,
    token: Option<&str>,
) -> Result<Admitted, Refusal> {
    let (hub, credential) = find(shared, host, id)?;
    if shared.config.is_mqtt5_hub(hub) {
        return Err("this hub speaks MQTT 5 only".into());
    }
    let expiry = check(shared, caller, hub, host, id, token, &credential)?;
    Ok(Admitted { hub, expiry })
}

/// Checks what a device shows to a hub that speaks MQTT 5; gives the hub's index.
pub(super) fn admit_mqtt5(shared: &Shared, caller: &Caller, id: &str) -> Result<usize, Refusal> {
    let host = caller.name.as_deref().unwrap_or_default();
    let (hub, credential) = find(shared, host, id)?;
    if !shared.config.is_mqtt5_hub(hub) {
        return Err("a classic hub speaks MQTT 3.1.1 only".into());
    }
    if matches!(credential, Credential::Keys(_)) {
        return Err("a hub that speaks MQTT 5 takes certificates only, and this device has a key".into());
    }
    check(shared, caller, hub, host, id, None, &credential)?;
    Ok(hub)
}

/// The hub of this name, or else the one that the device is at; and the device's credential there.
fn find(shared: &Shared, host: &str, id: &str) -> Result<(usize, Credential), Refusal> {
    let mut registry = shared.hub();
    let hub = match shared.hub_index(host) {
        Some(hub) => hub,
        None => registry.hub_of(id).unwrap_or_default(),
    };
    let device = registry.device_at(hub, id).ok_or("unknown device")?;
    if !device.enabled {
        return Err("the device is disabled".into());
    }
    let credential = device.credential.clone();
    drop(registry);
    if shared.faults.is_away(id) {
        return Err("the device is assigned to another hub".into());
    }
    Ok((hub, credential))
}

fn check(
    shared: &Shared,
    caller: &Caller,
    hub: usize,
    host: &str,
    id: &str,
    token: Option<&str>,
    credential: &Credential,
) -> Result<Option<u64>, Refusal> {
    let leaf = || caller.chain.first().ok_or("no client certificate");
    match credential {
        Credential::Thumbprints(wanted) => {
            let leaf = leaf()?;
            leaf.check_validity(SystemTime::now()).map_err(|e| e.to_string())?;
            let (sha1, sha256) = leaf.thumbprints();
            if wanted.iter().any(|w| w.eq_ignore_ascii_case(&sha1) || w.eq_ignore_ascii_case(&sha256)) {
                Ok(None)
            } else {
                Err("the certificate's thumbprint is not the registered one".into())
            }
        }
        Credential::Issued(issued) => {
            let leaf = leaf()?;
            leaf.check_validity(SystemTime::now()).map_err(|e| e.to_string())?;
            let (_, thumbprint) = leaf.thumbprints();
            let Some(at) = issued.iter().position(|known| known.eq_ignore_ascii_case(&thumbprint)) else {
                return Err(
                    "the certificate is not issued by this cloud for this device, or is replaced".into()
                );
            };
            if at > 0 {
                // It works on the device: those before it are replaced.
                if let Some(device) = shared.hub().device_at(hub, id)
                    && let Credential::Issued(issued) = &mut device.credential
                {
                    issued.drain(..at.min(issued.len()));
                }
            }
            Ok(None)
        }
        Credential::Authority(der) => {
            let anchor = ClientCertificate::from_der(der).map_err(|e| e.to_string())?;
            below(caller, id, leaf()?, &[anchor])
        }
        Credential::AnyAuthority => {
            let groups = shared.enrollments.groups().map_err(|_| Refusal::Machine)?;
            let anchors: Vec<_> = groups
                .iter()
                .filter_map(|group| match &group.attestation {
                    Attestation::X509 { primary, .. } => ClientCertificate::from_der(primary).ok(),
                    _ => None,
                })
                .collect();
            below(caller, id, leaf()?, &anchors)
        }
        Credential::Keys(keys) => {
            let token = Token::parse(token.ok_or("no password")?)?;
            let path = id.replacen('/', "/modules/", 1);
            // A device's key opens its own resource, one of its modules' not.
            if !token.is_for(&format!("{host}/devices/{path}")) {
                return Err("the token is for another resource".into());
            }
            if token.is_expired(shared.faults.now()) {
                return Err("the token has expired".into());
            }
            if !keys.iter().any(|key| token.is_signed_with(key)) {
                return Err("the token's signature is wrong".into());
            }
            Ok(Some(token.expiry))
        }
    }
}

/// A chain to one of these authorities, for this device.
fn below(
    caller: &Caller,
    id: &str,
    leaf: &ClientCertificate,
    anchors: &[ClientCertificate],
) -> Result<Option<u64>, Refusal> {
    // A module shows its device's certificate.
    if leaf.common_name() != id.split('/').next() {
        return Err("the certificate's common name is not the device id".into());
    }
    match find_anchor(&caller.chain, anchors, SystemTime::now(), &algorithms()) {
        Ok(Some(_)) => Ok(None),
        Ok(None) => Err("the chain does not lead to the registered authority".into()),
        Err(e) => Err(e.to_string().into()),
    }
}
