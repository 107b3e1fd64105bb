//! TLS for devices of Azure IoT: what a device shows ([`Identity`]), whom it believes ([`Trust`]), what went wrong
//! ([`Error`]), and one adapter per TLS implementation, each behind a feature.
//!
//! The clients of DPS and hub know nothing of it: they run over any async byte stream. An adapter takes such a
//! stream, does the handshake and hands back a stream; it hands it out only after the server's certificates *and* the
//! server's signature over the handshake were checked.
//!
//! | feature | TLS | needs | meant for |
//! |---|---|---|---|
//! | `mbedtls` | 1.2, 1.3 | an allocator; clang, cmake and ninja to build | devices |
//! | `embedded-tls` | 1.3 | nothing; read its documentation first | devices whose server has ECDSA certificates |
//! | `rustls` | 1.2, 1.3 | `std`, a C compiler | hosts: gateways, tools, tests |
//!
//! # What every adapter checks
//! The server's certificates, by [one policy](x509) that all of them call; the key's signature over the handshake;
//! the Finished value; the version against a forced downgrade. Certificate revocation is not checked by any of them:
//! the Azure services staple no OCSP response that could be relied on, and a device has no way to fetch lists before
//! it is connected.
//!
//! # Time
//! Dates mean something only to a device that knows the time. [`Trust::at`] takes it, as seconds since 1970; a device
//! without a clock gets it from the network first ([`crate::sntp`] says how, and what that is worth).
//!
//! # Roots
//! [`roots`] has those that the Azure services are issued under.

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
// Futures of this crate are as `Send` as the streams they are made from.
#![allow(async_fn_in_trait)]

mod async_identity;
mod chain_identity;
mod error;
mod identity;
#[cfg(feature = "signature")]
mod prehash_key;
#[cfg(feature = "psa")]
pub mod psa;
pub mod roots;
pub mod sntp;
mod trust;

#[cfg(feature = "embedded-tls")]
pub mod embedded_tls;
#[cfg(feature = "mbedtls")]
pub mod mbedtls;
#[cfg(feature = "rustls")]
pub mod rustls;
pub mod x509;

pub use async_identity::{AsyncIdentity, AsyncSigner, Awaited, Waiting};
pub use chain_identity::{ChainIdentity, Signer};
pub use error::{Alert, Error, IdentityError, Signed};
pub use identity::{DerSignature, Identity, SecretKey, Signature};
#[cfg(feature = "signature")]
pub use prehash_key::PrehashKey;
pub use trust::{Trust, Versions};

/// Proof that a server was authenticated: its chain was accepted and its signature over the handshake verified.
///
/// Only the adapters of this module make one, and each needs one to make its stream.
#[cfg(any(feature = "embedded-tls", feature = "mbedtls", feature = "rustls"))]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Authenticated(());

/// What was checked of a server so far, in the order in which it has to happen.
#[cfg(any(feature = "embedded-tls", feature = "mbedtls", feature = "rustls"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(
    not(any(feature = "embedded-tls", feature = "rustls")),
    expect(dead_code, reason = "Mbed TLS does not report its steps")
)]
pub(crate) enum Progress {
    /// No certificate was accepted yet.
    #[default]
    Nothing,
    /// The chain was accepted.
    Chain,
    /// The chain was accepted, and the leaf's key has signed this handshake.
    Key,
}

#[cfg(any(feature = "embedded-tls", feature = "mbedtls", feature = "rustls"))]
#[cfg_attr(
    not(any(feature = "embedded-tls", feature = "rustls")),
    expect(dead_code, reason = "Mbed TLS does not report its steps")
)]
impl Progress {
    /// The proof, once everything was checked.
    ///
    /// # Errors
    /// The first check that is missing.
    pub(crate) fn authenticated(self) -> Result<Authenticated, Error> {
        match self {
            Self::Nothing => Err(Error::NoCertificate),
            Self::Chain => Err(Error::NoCertificateVerify),
            Self::Key => Ok(Authenticated(())),
        }
    }

    /// What a server has left out that sends something else than the next handshake message.
    pub(crate) fn left_out(self) -> Error {
        self.authenticated().err().unwrap_or(Error::NoFinished)
    }
}

/// Says why a connection was not made.
#[cfg(any(feature = "embedded-tls", feature = "mbedtls", feature = "rustls"))]
pub(crate) fn log_failure<T>(host: &str, outcome: Result<T, Error>) -> Result<T, Error> {
    if let Err(error) = &outcome {
        #[cfg(feature = "log")]
        log::warn!("no TLS connection to {host}: {error}");
        #[cfg(feature = "defmt")]
        defmt::warn!("no TLS connection to {=str}: {}", host, error);
        let _ = (host, error);
    }
    outcome
}
