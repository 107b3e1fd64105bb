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

#[cfg(any(test, feature = "sim"))]
extern crate std;

pub mod asynch;
pub mod blocking;
pub mod channel;
pub mod codec;
pub mod command;
pub mod config;
pub mod crc;
pub mod crypto;
pub mod curve;
pub mod error;
mod fmt;
pub mod frame;
mod interop;
mod irreversible;
pub mod mac;
pub mod pairing;
pub mod response;
mod secret;
#[cfg(feature = "sim")]
pub mod sim;
pub mod status;
pub mod timing;
pub mod vault;
pub mod zone;

pub use error::Error;
pub use irreversible::Irreversible;
pub use secret::SharedSecret;
