#![doc = include_str!("../README.md")]
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
