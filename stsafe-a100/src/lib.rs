//! Driver for the STSAFE-A100 secure element, async and blocking from one source, with a virtual chip to test against.
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

#[cfg(test)]
extern crate std;

pub mod codec;
pub mod command;
pub mod crc;
pub mod crypto;
pub mod curve;
pub mod error;
pub mod frame;
pub mod mac;
pub mod response;
pub mod status;
pub mod zone;

pub use error::Error;
