//! Certificates that renew, for devices of Azure IoT that get theirs for a certificate signing request: from the Device
//! Provisioning Service first, from the hub they are connected to afterwards.
//!
//! - [`key`]: keys made on the device, on P-256 or P-384, and the trait for keys that live elsewhere.
//! - [`request`]: the certificate signing request (PKCS#10).
//! - [`certificate`]: what is to be known of an issued certificate.
//! - [`policy`]: when to renew, by the server's time.
//! - [`Renewal`]: one renewal after the other, as a state machine.
//! - [`CredentialStore`]: keys and certificates in flash; the old credential stays until the new one has worked.
//!
//! Nothing here does network I/O. `iothub-mqtt` (feature `certificates`) carries requests and answers.
//!
//! ```
//! use azure_iot_credentials::key::{Curve, PrivateKey};
//! use azure_iot_credentials::{Policy, Renewal, request};
//!
//! # use azure_iot_credentials::Error;
//! # fn main_(rng: &mut impl rand_core::CryptoRng, now: u64, chain: &[u8]) -> Result<(), Error> {
//! // What the device shows now is valid from `now` for thirty days; a random number spreads a fleet's renewals.
//! let leaf = azure_iot_credentials::certificate::Leaf::parse(chain)?;
//! let mut renewal = Renewal::new(Policy::DEFAULT, leaf.validity(), 4);
//! assert!(renewal.due_in_s(now) > 22 * 86_400);
//!
//! // Some weeks later: a new key, and the request to send.
//! renewal.begin(PrivateKey::generate(Curve::P384, rng)?);
//! let mut csr = [0; request::MAX_LEN];
//! let csr = request::write("my-device", renewal.key()?, &mut csr)?;
//!
//! // The hub's answer: the certificate must be for that key and that name.
//! let key = renewal.issued(chain, "my-device")?;
//! # let _ = (csr, key);
//! # Ok(())
//! # }
//! ```
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
// Futures of this crate are as `Send` as the flash that they wait for.
#![allow(async_fn_in_trait)]

#[cfg(test)]
extern crate std;

pub mod certificate;
mod error;
pub mod key;
pub mod policy;
mod renewal;
pub mod request;
pub mod store;

pub use error::Error;
pub use policy::{Policy, ServerTime, Validity};
pub use renewal::Renewal;
pub use store::{Candidates, CredentialStore, Entry, KeyBytes};
