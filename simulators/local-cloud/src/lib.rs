//! A cloud on the desk: Azure's Device Provisioning Service and a classic IoT Hub in one process on loopback ports, with
//! real TLS 1.2 and 1.3, real MQTT 3.1.1, and the service's own strictness, so that a client's mistake fails here
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

mod backend;
mod cert;
mod clock;
mod config;
mod dps;
mod enrollment;
mod event;
mod fault;
mod handle;
mod hub;
mod mqtt;
mod percent;
mod pki;
pub mod program;
mod properties;
mod sas;
mod server;
mod shared;
mod tls;

pub use backend::CommandError;
pub use cert::{CertificateError, ClientCertificate};
pub use config::Config;
pub use enrollment::{Attestation, Enrollment, Enrollments};
pub use event::{Event, Events, Telemetry};
pub use fault::{Direction, DpsFault, Endpoint, FaultAction, Faults, PacketInfo, PacketKind};
pub use handle::{Handle, LocalCloud, Paused};
pub use hub::{Credential, MethodResponse};
pub use pki::{Authority, DPS_HOST, ServerCertificate};
pub use properties::Properties;
pub use tls::{TlsVersion, TlsVersions};
