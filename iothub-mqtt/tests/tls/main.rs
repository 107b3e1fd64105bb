//! The TLS adapters against good servers and a rogue one. Each adapter that is compiled in runs the same cases.
#![cfg(any(feature = "mbedtls", feature = "rustls"))]

mod adapter;
mod good;
mod pki;
