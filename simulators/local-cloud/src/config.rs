//! How a local cloud is set up.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use super::pki::{Authority, DPS_HOST, ServerCertificate};
use super::tls::TlsVersions;

/// Settings of a local cloud. `Config::default()` is a complete, working set on ports chosen by the system.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address of this machine to listen on.
    pub address: IpAddr,
    /// TCP port of DPS over MQTT; 0: chosen by the system.
    pub dps_port: u16,
    /// TCP port of the hub over MQTT; 0: chosen by the system. If it is that of DPS, the name that a client asks for in
    /// its TLS handshake (SNI) says which of the two it wants.
    pub hub_port: u16,
    /// TCP port of DPS over HTTPS; 0: chosen by the system.
    pub https_port: u16,
    /// The provisioning service's host name.
    pub dps_name: String,
    /// The id scope that devices must name.
    pub id_scope: String,
    /// The hub's host name: what DPS assigns, and what user names and tokens must name.
    pub hub_name: String,
    /// Further names and IP addresses for the server certificate, which has `dps_name`, `hub_name`, `address`, `localhost`
    /// and `127.0.0.1` anyway.
    pub names: Vec<String>,
    /// Folder with enrolments (see [`Enrollments`](super::Enrollments)), read anew at every registration.
    pub enrollments: Option<PathBuf>,
    /// How often a registration is answered with `assigning` before it is `assigned`.
    pub assigning_polls: u32,
    /// Seconds in `retry-after` of an `assigning` answer; `None`: no such field.
    pub retry_after: Option<u32>,
    /// Whether HTTPS bodies come chunked, as the service sends them, or with their length.
    pub https_chunked: bool,
    /// TLS versions taken.
    pub tls: TlsVersions,
    /// The certificate presented by both services.
    pub certificate: ServerCertificate,
    /// The authority to use; `None`: a new one is made.
    pub authority: Option<Authority>,
    /// How long a delivered cloud-to-device message waits for its PUBACK before it is delivered again.
    pub c2d_lock: Duration,
    /// Deliveries of a cloud-to-device message before it is given up.
    pub c2d_max_deliveries: u32,
}

impl Config {
    /// All names and addresses in the server certificate, the first one in its common name.
    pub(super) fn certificate_names(&self) -> Vec<String> {
        let mut names = vec![self.dps_name.clone(), self.hub_name.clone()];
        if !self.address.is_unspecified() {
            names.push(self.address.to_string());
        }
        names.extend(["localhost", "127.0.0.1"].map(str::to_owned));
        names.extend(self.names.iter().cloned());
        let mut seen = std::collections::HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            address: Ipv4Addr::LOCALHOST.into(),
            dps_port: 0,
            hub_port: 0,
            https_port: 0,
            dps_name: DPS_HOST.to_owned(),
            id_scope: "0ne00000000".to_owned(),
            hub_name: "local-hub.azure-devices.net".to_owned(),
            names: Vec::new(),
            enrollments: None,
            assigning_polls: 1,
            retry_after: Some(3),
            https_chunked: true,
            tls: TlsVersions::Both,
            certificate: ServerCertificate::Good,
            authority: None,
            c2d_lock: Duration::from_mins(1),
            c2d_max_deliveries: 10,
        }
    }
}
