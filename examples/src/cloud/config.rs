//! How a local cloud is set up.

use std::path::PathBuf;
use std::time::Duration;

use super::pki::{Authority, ServerCertificate};
use super::tls::TlsVersions;

/// Settings of a local cloud. `Config::default()` is a complete, working set on ports chosen by the system.
#[derive(Debug, Clone)]
pub struct Config {
    /// TCP port of DPS over MQTT on 127.0.0.1; 0: chosen by the system.
    pub dps_port: u16,
    /// TCP port of the hub over MQTT on 127.0.0.1; 0: chosen by the system.
    pub hub_port: u16,
    /// TCP port of DPS over HTTPS on 127.0.0.1; 0: chosen by the system.
    pub https_port: u16,
    /// The id scope that devices must name.
    pub id_scope: String,
    /// The hub's host name: what DPS assigns, what user names and tokens must name, and what its certificate is for.
    pub hub_name: String,
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

impl Default for Config {
    fn default() -> Self {
        Self {
            dps_port: 0,
            hub_port: 0,
            https_port: 0,
            id_scope: "0ne00000000".to_owned(),
            hub_name: "local-hub.azure-devices.net".to_owned(),
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
