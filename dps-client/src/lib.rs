#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
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

mod assignment;
pub mod auth;
mod cache;
mod config;
mod error;
#[cfg(feature = "https")]
pub mod https;
mod logging;
mod message;
pub mod mqtt;
mod registration;
mod retry;

pub use assignment::{Assignment, ConnectionProfile, MAX_DEVICE_ID, MAX_HUB, Substatus};
/// Reading JSON, percent-encoding, and the ladder of waiting times: shared with other clients of Azure's services.
pub use azure_iot_common::{Backoff, json, percent};
pub use cache::CacheError;
pub use config::{
    API_VERSION_CONNECTION_PROFILE, API_VERSION_DEFAULT, Config, GLOBAL_ENDPOINT, MAX_API_VERSION,
    MAX_ID_SCOPE, MAX_PRODUCT, MAX_REGISTRATION_ID, Timing, TpmKeys, Transport,
};
pub use error::{AnswerError, Error, Word};
pub use message::{OperationStatus, RegistrationState, ServiceError, Status};
pub use registration::{
    Action, Answer, Fault, MAX_OPERATION_ID, Operation, Progress, Registration, RegistrationEvent, Request,
};
pub use retry::StatusClass;
