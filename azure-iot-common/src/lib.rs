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

pub mod backoff;
mod error;
pub mod json;
pub mod percent;
pub mod query;
pub mod text;

pub use backoff::Backoff;
pub use error::Error;
