//! Command line of `local-cloud`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use super::command::COMMANDS;
use crate::{Config, DPS_HOST, IssueKeys, Tier, TlsVersions};

/// Azure DPS and IoT Hub on this machine: enrol a device by putting its .pem into a folder, watch what it sends, and
/// talk back to it from the console.
#[derive(Parser, Debug)]
#[command(name = "local-cloud", version, about, after_help = COMMANDS)]
pub(super) struct Args {
    /// Folder with enrolments: certificates of devices (`*.pem`, `*.cer`, `*.crt`, `*.der`), of authorities
    /// (`groups/*.pem`, ...), `keys.json` (symmetric keys), `<id>.disabled` (switches one off). Files put there or
    /// taken away count at once; what is not taken is said.
    #[arg(long, value_name = "DIR", default_value = "enrollments")]
    pub(super) enrollments: PathBuf,
    /// Address to listen on; 0.0.0.0 or :: for all of this machine's.
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub(super) listen: IpAddr,
    /// Folder for what is to be there again after a restart: root certificate, devices, twins, registrations, waiting
    /// messages.
    #[arg(long, value_name = "DIR", default_value = "local-cloud-state")]
    pub(super) state: PathBuf,
    /// Forget what was there before: a new root certificate, no devices.
    #[arg(long)]
    pub(super) fresh: bool,
    /// Port of DPS over MQTT; 0 lets the system choose.
    #[arg(long, value_name = "PORT", default_value_t = 8883)]
    pub(super) dps_port: u16,
    /// Port of everything over HTTPS, and of MQTT over WebSockets; 0 lets the system choose. By default 443, or 8443
    /// where 443 may not be listened on.
    #[arg(long, value_name = "PORT")]
    pub(super) https_port: Option<u16>,
    /// Port of the hub over MQTT; 0 lets the system choose. With the port of DPS, as by default, the name a device asks
    /// for in its TLS handshake (SNI) says which of the two it wants, as in the real cloud; a device that calls this
    /// machine `localhost`, or by a --name, gets whichever its first packet is for.
    #[arg(long, value_name = "PORT", default_value_t = 8883)]
    pub(super) hub_port: u16,
    /// The id scope that devices must name.
    #[arg(long, value_name = "SCOPE", default_value = "0ne00000000")]
    pub(super) id_scope: String,
    /// The host name of DPS.
    #[arg(long, value_name = "NAME", default_value = DPS_HOST)]
    pub(super) dps_name: String,
    /// The hub's host name, as DPS assigns it.
    #[arg(long, value_name = "NAME", default_value = "local-hub.azure-devices.net")]
    pub(super) hub_name: String,
    /// The host name of a further hub, for moves between hubs; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub(super) more_hub: Vec<String>,
    /// The host name of a hub of the new generation, which speaks MQTT 5; may be repeated. Devices whose enrolment
    /// names it are assigned to it.
    #[arg(long, value_name = "NAME")]
    pub(super) mqtt5_hub: Vec<String>,
    /// A further name or IP address for the server certificate; may be repeated. Both host names, the address to listen
    /// on, localhost and 127.0.0.1 are in it anyway.
    #[arg(long, value_name = "NAME")]
    pub(super) name: Vec<String>,
    /// Where to write the root certificate (PEM) that devices have to trust.
    #[arg(long, value_name = "FILE", default_value = "local-cloud-root.pem")]
    pub(super) out_ca: PathBuf,
    /// Where to write it in DER.
    #[arg(long, value_name = "FILE")]
    pub(super) out_ca_der: Option<PathBuf>,
    /// How often a registration is answered with "assigning" first.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) assigning_polls: u32,
    /// Seconds in "retry-after".
    #[arg(long, value_name = "SECONDS", default_value_t = 3)]
    pub(super) retry_after: u32,
    /// TLS versions to take.
    #[arg(long, value_enum, default_value_t = Tls::Both)]
    pub(super) tls: Tls,
    /// Give tickets by which clients resume a TLS session; the service gives none.
    #[arg(long)]
    pub(super) resumption: bool,
    /// What the hub's tier allows.
    #[arg(long, value_enum, default_value_t = TierName::Unlimited)]
    pub(super) tier: TierName,
    /// Connections open at once; by default as many as the machine allows.
    #[arg(long, value_name = "N")]
    pub(super) max_connections: Option<usize>,
    /// The keys that certificates are issued for.
    #[arg(long, value_enum, value_name = "KEYS", default_value_t = IssueKeysName::P384)]
    pub(super) issue_keys: IssueKeysName,
    /// How long an issued certificate is valid, in seconds; the service: 7 to 90 days.
    #[arg(long, value_name = "SECONDS", default_value_t = 30 * 86_400)]
    pub(super) issued_lifetime: u64,
    /// Write where everything is into this file, as JSON, once the cloud can be used; it is taken away at the end.
    #[arg(long, value_name = "FILE")]
    pub(super) ready_file: Option<PathBuf>,
    /// Serve the page, with enrolments, devices, telemetry and all the rest: at 127.0.0.1:8080, or where this says. The
    /// link to open is printed.
    #[arg(long, value_name = "ADDR:PORT", num_args = 0..=1, default_missing_value = "127.0.0.1:8080")]
    pub(super) web: Option<SocketAddr>,
    /// Print events and answers as JSON, one object a line; the first one tells that the cloud is ready.
    #[arg(long)]
    pub(super) json: bool,
}

/// TLS versions to take.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum Tls {
    /// 1.2 and 1.3.
    Both,
    /// 1.2 only.
    #[value(name = "1.2")]
    V12,
    /// 1.3 only.
    #[value(name = "1.3")]
    V13,
}

/// The keys that certificates are issued for.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum IssueKeysName {
    /// P-384 only, as the service's documentation says.
    P384,
    /// Any key that the cloud can sign for: Microsoft's SDK for C makes P-256 or RSA keys.
    Any,
}

/// What the hub's tier allows.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum TierName {
    /// No quota.
    Unlimited,
    /// 8,000 messages a day.
    Free,
    /// 400,000 messages a day; nothing is sent to devices, no twins, no modules.
    Basic,
    /// 400,000 messages a day.
    Standard,
}

impl Args {
    /// The cloud that is wanted, with its HTTPS port.
    pub(super) fn config(&self, https_port: u16) -> Config {
        Config {
            address: self.listen,
            dps_port: self.dps_port,
            hub_port: self.hub_port,
            https_port,
            dps_name: self.dps_name.clone(),
            id_scope: self.id_scope.clone(),
            hub_name: self.hub_name.clone(),
            more_hubs: self.more_hub.clone(),
            mqtt5_hubs: self.mqtt5_hub.clone(),
            names: self.name.clone(),
            state: Some(self.state.clone()),
            fresh: self.fresh,
            max_connections: self.max_connections,
            issue_keys: match self.issue_keys {
                IssueKeysName::P384 => IssueKeys::P384,
                IssueKeysName::Any => IssueKeys::Any,
            },
            issued_lifetime: Duration::from_secs(self.issued_lifetime.clamp(1, 100 * 365 * 86_400)),
            tier: match self.tier {
                TierName::Unlimited => Tier::Unlimited,
                TierName::Free => Tier::Free,
                TierName::Basic => Tier::Basic,
                TierName::Standard => Tier::Standard,
            },
            enrollments: Some(self.enrollments.clone()),
            assigning_polls: self.assigning_polls,
            retry_after: Some(self.retry_after),
            web: self.web,
            tls: match self.tls {
                Tls::Both => TlsVersions::Both,
                Tls::V12 => TlsVersions::Tls12,
                Tls::V13 => TlsVersions::Tls13,
            },
            resumption: self.resumption,
            ..Config::default()
        }
    }
}
