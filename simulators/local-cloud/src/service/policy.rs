//! Shared access policies: who may do what on the service side, and the tokens that prove it.

use std::net::{IpAddr, Ipv4Addr};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;

use crate::percent;
use crate::sas::{self, Token};
use crate::shared::Shared;

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    /// To read identities.
    RegistryRead,
    /// To create, change and delete identities.
    RegistryWrite,
    /// To use the back end's side: twins, methods, messages, telemetry.
    ServiceConnect,
    /// Everything of the provisioning service.
    Provisioning,
}

use Right::{Provisioning, RegistryRead, RegistryWrite, ServiceConnect};

/// The policies that a hub and a provisioning service have when they are new.
const POLICIES: [(&str, &[Right]); 5] = [
    ("iothubowner", &[RegistryRead, RegistryWrite, ServiceConnect]),
    ("service", &[ServiceConnect]),
    ("registryRead", &[RegistryRead]),
    ("registryReadWrite", &[RegistryRead, RegistryWrite]),
    ("provisioningserviceowner", &[Provisioning]),
];

/// A policy of the hub or the provisioning service, with what to paste into a program.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Policy {
    /// `iothubowner`, `service`, ...
    pub name: &'static str,
    /// `HostName=...;SharedAccessKeyName=...;SharedAccessKey=...`: a secret as far as this cloud has any.
    pub connection_string: String,
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Shared {
    /// A policy's key. It follows from the authority's: a cloud with the same root has the same connection strings.
    fn policy_key(&self, name: &str) -> Vec<u8> {
        sas::derive_key(&self.authority.secret(), &format!("shared access policy {name}"))
    }

    /// All policies; `https_port` is where the services listen for HTTPS.
    pub(crate) fn policies(&self, https_port: u16) -> Vec<Policy> {
        // A name that leads here without anything being done about name resolution.
        let address = self.config.address;
        let host = match address {
            _ if address == Ipv4Addr::LOCALHOST || address.is_unspecified() => "localhost".to_owned(),
            IpAddr::V6(address) => format!("[{address}]"),
            IpAddr::V4(address) => address.to_string(),
        };
        let port = if https_port == 443 { String::new() } else { format!(":{https_port}") };
        POLICIES
            .iter()
            .map(|(name, _)| {
                let key = BASE64_STANDARD.encode(self.policy_key(name));
                let connection_string =
                    format!("HostName={host}{port};SharedAccessKeyName={name};SharedAccessKey={key}");
                Policy { name, connection_string }
            })
            .collect()
    }

    /// Checks the `Authorization` header of a request for `path`.
    pub(super) fn check_policy(
        &self,
        authorization: Option<&str>,
        path: &str,
        right: Right,
    ) -> Result<(), &'static str> {
        let token = Token::parse(authorization.ok_or("there is no Authorization header")?)?;
        let name = token.policy.as_deref().ok_or("the token names no policy (skn)")?;
        let (name, rights) =
            POLICIES.iter().find(|(known, _)| *known == name).ok_or("there is no policy of that name")?;
        if !token.is_signed_with(&self.policy_key(name)) {
            return Err("the token is not signed with the policy's key");
        }
        if token.is_expired(self.faults.now()) {
            return Err("the token has expired");
        }
        if !self.covers(token.resource(), path) {
            return Err("the token is for another resource");
        }
        if rights.contains(&right) { Ok(()) } else { Err("the policy does not give the right to do this") }
    }

    /// Whether `<name of this cloud>[:port][/<beginning of the path>]` includes the path.
    fn covers(&self, resource: &str, path: &str) -> bool {
        let resource = resource.strip_prefix("https://").unwrap_or(resource);
        let (host, beginning) = resource.split_once('/').unwrap_or((resource, ""));
        let name =
            host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(n, _)| n);
        let known = self.config.certificate_names().iter().any(|known| known.eq_ignore_ascii_case(name));
        let path = percent::decode(path).unwrap_or_default();
        let rest = path.trim_start_matches('/').strip_prefix(beginning.trim_end_matches('/'));
        known && rest.is_some_and(|rest| beginning.is_empty() || rest.is_empty() || rest.starts_with('/'))
    }
}
