//! How a local cloud is set up.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
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
    /// TCP port of everything over HTTPS (DPS, the hub's device side, file upload) and of MQTT over WebSockets; 0:
    /// chosen by the system.
    pub https_port: u16,
    /// The provisioning service's host name.
    pub dps_name: String,
    /// The id scope that devices must name.
    pub id_scope: String,
    /// The hub's host name: what DPS assigns, and what user names and tokens must name.
    pub hub_name: String,
    /// Host names of further hubs, for allocation policies and moves between hubs.
    pub more_hubs: Vec<String>,
    /// Host names of hubs of the new generation, which speak MQTT 5 (connection profile `mqttV5`). A device is assigned
    /// to one only if its enrolment names it.
    pub mqtt5_hubs: Vec<String>,
    /// Further names and IP addresses for the server certificate, which has `dps_name`, `hub_name`, `address`,
    /// `localhost` and `127.0.0.1` anyway.
    pub names: Vec<String>,
    /// Folder with enrolments (see [`Enrollments`](super::Enrollments)), read anew at every registration.
    pub enrollments: Option<PathBuf>,
    /// Folder for what is to be there again after a restart: authority, enrolments made by the program, registrations,
    /// devices with twins and waiting messages. `None`: nothing is kept.
    pub state: Option<PathBuf>,
    /// Forget what is in `state`, and begin anew.
    pub fresh: bool,
    /// Connections open at once; `None`: as many as the machine allows. What is beyond waits until one is closed.
    pub max_connections: Option<usize>,
    /// How long a client may take for the TLS handshake, for its CONNECT, and for the body of an HTTPS request.
    pub patience: Duration,
    /// What the hub's tier allows.
    pub tier: Tier,
    /// The keys that certificates are issued for.
    pub issue_keys: IssueKeys,
    /// How long an issued certificate is valid; at least a second. The service: 7 to 90 days.
    pub issued_lifetime: Duration,
    /// How long the hub takes from accepting a request for a certificate to issuing it.
    pub issue_delay: Duration,
    /// How often a registration is answered with `assigning` before it is `assigned`.
    pub assigning_polls: u32,
    /// Seconds in `retry-after` of an `assigning` answer; `None`: no such field.
    pub retry_after: Option<u32>,
    /// Whether HTTPS bodies come chunked, as the service sends them, or with their length.
    pub https_chunked: bool,
    /// TLS versions taken.
    pub tls: TlsVersions,
    /// Whether clients get tickets by which they resume a TLS session. The service gives none.
    pub resumption: bool,
    /// The certificate presented by both services.
    pub certificate: ServerCertificate,
    /// The authority to use; `None`: a new one is made.
    pub authority: Option<Authority>,
    /// How long a delivered cloud-to-device message waits for its PUBACK before it is delivered again.
    pub c2d_lock: Duration,
    /// Deliveries of a cloud-to-device message before it is given up.
    pub c2d_max_deliveries: u32,
    /// Where to serve the page, over plain HTTP; `None`: nowhere. Port 0: chosen by the system.
    pub web: Option<SocketAddr>,
    /// How long a cloud-to-device message without an expiry of its own is kept.
    pub c2d_ttl: Duration,
}

/// The keys that certificates are issued for. Microsoft's documentation and Microsoft's own SDK for C contradict each
/// other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IssueKeys {
    /// P-384 only, as the service's documentation says.
    #[default]
    P384,
    /// Any key that the cloud can sign for: that SDK makes P-256 or RSA keys.
    Any,
}

/// A hub's tier: what it can do, and how many messages a day it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Tier {
    /// No quota: for tests.
    #[default]
    Unlimited,
    /// F1: all there is, 8,000 messages a day of 0.5 KB each.
    Free,
    /// B1: telemetry and file upload; no cloud-to-device messages, twins, methods or modules. 400,000 messages of 4 KB.
    Basic,
    /// S1: all there is, 400,000 messages of 4 KB.
    Standard,
}

impl Tier {
    /// Whether the hub sends anything to devices: messages, methods, twins.
    #[must_use]
    pub fn has_cloud_to_device(self) -> bool {
        self != Self::Basic
    }

    /// Messages a day, and the bytes that one of them may have before it counts as two.
    pub(super) fn quota(self) -> Option<(u64, usize)> {
        match self {
            Self::Unlimited => None,
            Self::Free => Some((8_000, 512)),
            Self::Basic | Self::Standard => Some((400_000, 4096)),
        }
    }
}

impl Config {
    /// The host names of all hubs, `hub_name` first, those that speak MQTT 5 last.
    pub(super) fn hub_names(&self) -> Vec<String> {
        std::iter::once(&self.hub_name).chain(&self.more_hubs).chain(&self.mqtt5_hubs).cloned().collect()
    }

    /// Whether the hub of this index speaks MQTT 5, and only that.
    pub(super) fn is_mqtt5_hub(&self, index: usize) -> bool {
        index > self.more_hubs.len()
    }

    /// Whether DPS and the hub share a port, and are told apart by name.
    pub(super) fn has_one_port(&self) -> bool {
        self.dps_port != 0 && self.dps_port == self.hub_port
    }

    /// Whether this is a name of this machine: in the certificate, but of no service.
    pub(super) fn is_own_name(&self, name: &str) -> bool {
        name.eq_ignore_ascii_case("localhost") || self.names.iter().any(|own| own.eq_ignore_ascii_case(name))
    }

    /// All names and addresses in the server certificate, the first one in its common name.
    pub(super) fn certificate_names(&self) -> Vec<String> {
        let mut names = vec![self.dps_name.clone()];
        names.extend(self.hub_names());
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
            more_hubs: Vec::new(),
            mqtt5_hubs: Vec::new(),
            names: Vec::new(),
            enrollments: None,
            state: None,
            fresh: false,
            max_connections: None,
            patience: Duration::from_mins(1),
            tier: Tier::default(),
            issue_keys: IssueKeys::default(),
            issued_lifetime: Duration::from_hours(24 * 30),
            issue_delay: Duration::ZERO,
            assigning_polls: 1,
            retry_after: Some(3),
            https_chunked: true,
            tls: TlsVersions::Both,
            resumption: false,
            certificate: ServerCertificate::Good,
            authority: None,
            c2d_lock: Duration::from_mins(1),
            c2d_max_deliveries: 10,
            web: None,
            c2d_ttl: Duration::from_hours(1),
        }
    }
}
