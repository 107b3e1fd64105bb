//! The TLS adapters against good servers and a rogue one. Each adapter that is compiled in runs the same cases.
#![cfg(any(feature = "embedded-tls", feature = "mbedtls", feature = "rustls"))]

mod adapter;
mod certificates;
mod cut;
#[cfg(all(feature = "psa", feature = "signature"))]
mod external;
mod good;
#[cfg(any(feature = "embedded-tls", feature = "mbedtls"))]
mod own;
mod pki;
mod protocol;
#[cfg(feature = "resumption")]
mod resumption;
mod rogue;
