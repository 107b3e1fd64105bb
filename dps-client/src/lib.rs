//! Sans-IO client for the Azure Device Provisioning Service: a transport-agnostic registration state machine.
//!
//! ```
//! use dps_client::{Action, Config, Event, Registration, mqtt};
//!
//! // A stand-in for the MQTT client of the device: what the service would do.
//! fn service(topic: &str, answers: &mut u32) -> (String, &'static str) {
//!     let rid = topic.split("$rid=").nth(1).unwrap().split('&').next().unwrap();
//!     *answers += 1;
//!     match *answers {
//!         1 => (
//!             format!("$dps/registrations/res/202/?$rid={rid}&retry-after=3"),
//!             r#"{"operationId":"5.a1.b2","status":"assigning"}"#,
//!         ),
//!         _ => (
//!             format!("$dps/registrations/res/200/?$rid={rid}"),
//!             r#"{"operationId":"5.a1.b2","status":"assigned","registrationState":
//!                 {"assignedHub":"contoso.azure-devices.net","deviceId":"my-device"}}"#,
//!         ),
//!     }
//! }
//!
//! let config = Config::new("0ne00000001", "my-device")?;
//! let mut registration = Registration::new(config, 42);
//! let (mut now, mut answers) = (0, 0);
//! let (mut topic, mut body) = ([0; mqtt::MAX_TOPIC], [0; 256]);
//! loop {
//!     match registration.next(now) {
//!         Action::Connect { .. } => {
//!             registration.handle(Event::Connected, now);
//!         }
//!         Action::Subscribe => {
//!             registration.handle(Event::Subscribed, now);
//!         }
//!         Action::Send(request) => {
//!             let topic = mqtt::topic(&request, &mut topic)?;
//!             let _body = request.body(&mut body)?;
//!             let (topic, body) = service(topic, &mut answers);
//!             let answer = mqtt::parse_answer(&topic, body.as_bytes())?;
//!             registration.handle(Event::Answer(answer), now);
//!         }
//!         Action::Wait { until_ms } => now = until_ms,
//!         Action::Disconnect { .. } => {}
//!         Action::Finished(assignment) => {
//!             assert_eq!(assignment.hub(), "contoso.azure-devices.net");
//!             assert_eq!(now, 3000);
//!             break;
//!         }
//!         Action::Failed(error) => panic!("{error}"),
//!     }
//! }
//! # Ok::<(), dps_client::Error>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing
    )
)]
#![allow(clippy::cast_possible_truncation)]

mod assignment;
pub mod auth;
mod buf;
mod cache;
mod config;
mod error;
#[cfg(feature = "https")]
pub mod https;
pub mod json;
mod message;
pub mod mqtt;
pub mod percent;
mod registration;
mod retry;

pub use assignment::{Assignment, ConnectionProfile, MAX_DEVICE_ID, MAX_HUB, Substatus};
pub use cache::CacheError;
pub use config::{
    API_VERSION_CONNECTION_PROFILE, API_VERSION_DEFAULT, Config, GLOBAL_ENDPOINT, MAX_API_VERSION,
    MAX_ID_SCOPE, MAX_PRODUCT, MAX_REGISTRATION_ID, Timing, TpmKeys, Transport,
};
pub use error::{AnswerError, Error, Word};
pub use message::{OperationStatus, RegistrationState, ServiceError, Status};
pub use registration::{
    Action, Answer, Event, Fault, MAX_OPERATION_ID, Operation, Progress, Registration, Request,
};
pub use retry::{Backoff, StatusClass};
