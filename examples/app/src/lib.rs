//! The DevKit application, independent of the board it runs on.
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
pub mod console;
pub mod device;
pub mod event;
pub mod identity;
pub mod settings;
pub mod telemetry;
mod work;

pub use board::{Board, Link, Network, Panel, Parts, System};
pub use device::{Failure, FailureOf, Options, run};
pub use event::Event;
pub use identity::{Identity, Profile};
pub use settings::Settings;
