//! Command line of `local-cloud`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Parser;

use super::command::COMMANDS;
use crate::{Config, DPS_HOST, TlsVersions};

/// Azure DPS and IoT Hub on this machine: enrol a device by putting its .pem into a folder, watch what it sends, and talk
/// back to it from the console.
#[derive(Parser, Debug)]
#[command(name = "local-cloud", version, about, after_help = COMMANDS)]
pub(super) struct Args {
    /// Folder with enrolments: `*.pem` (devices), `groups/*.pem` (authorities), `keys.json` (symmetric keys),
    /// `<id>.disabled` (switches one off). Files put there or taken away count at once.
    #[arg(long, value_name = "DIR", default_value = "enrollments")]
    pub(super) enrollments: PathBuf,
    /// Address to listen on; 0.0.0.0 or :: for all of this machine's.
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub(super) listen: IpAddr,
    /// Port of DPS; 0 lets the system choose.
    #[arg(long, value_name = "PORT", default_value_t = 8883)]
    pub(super) dps_port: u16,
    /// Port of DPS over HTTPS; 0 lets the system choose.
    #[arg(long, value_name = "PORT", default_value_t = 8443)]
    pub(super) https_port: u16,
    /// Port of the hub; 0 lets the system choose. With the port of DPS, the name a device asks for in its TLS handshake
    /// (SNI) says which of the two it wants, as in the real cloud, where both are on 8883.
    #[arg(long, value_name = "PORT", default_value_t = 8884)]
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
    /// A further name or IP address for the server certificate; may be repeated. Both host names, the address to listen on,
    /// localhost and 127.0.0.1 are in it anyway.
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

impl Args {
    /// The cloud that is wanted.
    pub(super) fn config(&self) -> Config {
        Config {
            address: self.listen,
            dps_port: self.dps_port,
            hub_port: self.hub_port,
            https_port: self.https_port,
            dps_name: self.dps_name.clone(),
            id_scope: self.id_scope.clone(),
            hub_name: self.hub_name.clone(),
            names: self.name.clone(),
            enrollments: Some(self.enrollments.clone()),
            assigning_polls: self.assigning_polls,
            retry_after: Some(self.retry_after),
            tls: match self.tls {
                Tls::Both => TlsVersions::Both,
                Tls::V12 => TlsVersions::Tls12,
                Tls::V13 => TlsVersions::Tls13,
            },
            ..Config::default()
        }
    }
}
