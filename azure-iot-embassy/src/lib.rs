//! What firmware on Embassy needs to reach Azure IoT, and what is the same on every board.
//!
//! - [`entropy`]: a seed from several sources, with health tests; no seed without 256 bits that count.
//! - [`random`]: the firmware's random number generator, which gives nothing before it was seeded.
//! - [`time`]: what a board keeps over a reset, and the time before which no time server is believed.
//! - `network` (feature `mbedtls` or `embedded-tls`): TLS by that library over `embassy-net`, with the time from SNTP.
//!
//! The README has an example of all of it.

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
#![allow(async_fn_in_trait, reason = "used on single-core executors")]

pub mod entropy;
#[cfg(any(feature = "mbedtls", feature = "embedded-tls"))]
pub mod network;
pub mod random;
pub mod time;
