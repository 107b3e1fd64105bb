// The README's example verifies a chain.
#![cfg_attr(feature = "verify", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "verify"),
    doc = "Device identities for microcontrollers by DICE; the README has an introduction and an example."
)]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
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
extern crate alloc;

pub mod asn1;
mod error;
pub mod hash;
mod hex;
pub mod kdf;
pub mod key;
pub mod layer;
mod measure;
pub mod open_dice;
pub mod pem;
mod registration_id;
pub mod riot;
mod secret;
pub mod standard;
pub mod tcg;
mod uds;
mod uds_source;
#[cfg(feature = "verify")]
pub mod verify;
pub mod x509;

pub use error::{Error, Result};
#[cfg(any(feature = "embedded-io", feature = "embedded-io-async", feature = "embedded-storage"))]
pub use measure::SourceError;
pub use measure::{FirmwareDigest, Measurement};
pub use registration_id::RegistrationId;
pub use secret::Secret;
pub use uds::Uds;
pub use uds_source::{AsyncUdsSource, UdsSource};
