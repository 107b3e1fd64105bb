//! A cloud on the desk: Azure's Device Provisioning Service and a classic IoT Hub in one process on loopback ports,
//! with real TLS 1.2 and 1.3, real MQTT 3.1.1, and the service's own strictness, so that a client's mistake fails here
//! and not in the field.
//!
//! ```
//! use local_cloud::{Attestation, Config, Enrollment, LocalCloud};
//!
//! # fn certificate() -> Vec<u8> {
//! #     rcgen::generate_simple_self_signed(Vec::new()).unwrap().cert.der().to_vec()
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> anyhow::Result<()> {
//! let cloud = LocalCloud::start(Config::default()).await?;
//! let enrollment = Enrollment::new("my-device", Attestation::certificate(certificate()));
//! cloud.enrollments().put_individual(enrollment);
//! let mut events = cloud.events();
//! println!("trust this: {}", cloud.root_pem());
//! println!("provision at {} with id scope {}", cloud.dps_address(), cloud.config().id_scope);
//! // ... let a device register, connect to `cloud.hub_address()` and send telemetry, then read `events` ...
//! # drop(events);
//! let paused = cloud.stop().await;
//! let cloud = paused.resume().await?; // same ports, same authority, same devices
//! # cloud.stop().await;
//! # Ok(())
//! # }
//! ```

mod allocation;
mod backend;
mod base64_text;
mod cert;
mod clock;
mod config;
mod dps;
mod enrollment;
mod event;
mod fault;
mod handle;
mod http;
mod hub;
mod limits;
mod mqtt;
mod mqtt5;
mod percent;
mod pki;
pub mod program;
mod properties;
mod quota;
mod rules;
mod sas;
mod server;
mod service;
mod shared;
mod shown;
mod store;
mod tls;
mod web;

pub use allocation::{Allocation, AllocationRequest};
pub use backend::CommandError;
pub use cert::{CertificateError, ClientCertificate};
pub use config::{Config, IssueKeys, Tier};
pub use enrollment::{
    AllocationPolicy, Attestation, Enrollment, Enrollments, InitialTwin, ReprovisionPolicy,
};
pub use event::{Event, Events, Telemetry};
pub use fault::{
    Direction, DpsFault, Endpoint, Fault, FaultAction, Faults, HubFault, PacketInfo, PacketKind,
};
pub use handle::{Handle, LocalCloud, Paused};
pub use hub::{Credential, MethodResponse};
pub use limits::connections_allowed;
pub use pki::{Authority, DPS_HOST, ServerCertificate};
pub use properties::Properties;
pub use service::Policy;
pub use shown::{Shown, json_text};
pub use tls::{TlsVersion, TlsVersions};

/// The README's example compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[derive(Debug)]
pub struct Readme;
