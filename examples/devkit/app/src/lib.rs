#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), no_std)]
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

pub mod board;
mod cloud_application;
mod connector;
mod console;
pub mod device;
mod device_identity;
mod display;
pub mod event;
mod failure;
pub mod host_keys;
pub mod identity;
#[cfg(feature = "issued-certificates")]
mod issued;
mod log;
mod sensors;
pub mod setting_store;
pub mod settings;
mod shared;
mod status;
mod tasks;
pub mod telemetry;
mod twin;
mod watchdog;

pub use board::{Board, Network, NetworkLink, Panel, Parts, System};
pub use device::{End, Options, run, run_forever};
pub use event::AppEvent;
pub use failure::{BusErrorOf, EndOf, Failure, FailureOf};
pub use host_keys::{HostKeyError, HostKeyStore};
pub use identity::{Identity, Profile, SlotKey};
pub use settings::Settings;
