//! TLS 1.2 and 1.3 by rustls, for hosts: over any `embedded-io-async` stream, with or without tokio.
//!
//! Chains are judged by the [one policy](crate::x509) of this crate, and then by `rustls-webpki`; cryptography is
//! `ring`. What [`Trust`] leaves open is the system's clock: a host has one, so dates are always checked. Sessions
//! are not resumed, so that every connection proves both sides anew.
//!
//! # Example
//! ```
//! use azure_iot_tls::{Error, Identity, Trust, rustls};
//! use embedded_io_async::{Read, Write};
//! use std::sync::Arc;
//!
//! async fn hello<S: Read + Write>(
//!     tcp: S,
//!     roots: &[&[u8]],
//!     identity: Arc<dyn Identity + Send + Sync>,
//! ) -> Result<(), Error> {
//!     let trust = Trust::new("my-hub.azure-devices.net", roots)?;
//!     let mut stream = rustls::connect(tcp, &trust, Some(identity)).await?;
//!     stream.write_all(b"hello").await?;
//!     stream.flush().await
//! }
//! ```
//!
//! # Cancelling
//! Every future of [`Stream`] may be dropped at any point: no byte is lost, none is sent twice. [`connect`] may be
//! dropped too, with the connection.

extern crate std;

mod config;
mod error;
mod stream;

pub use stream::Stream;

use super::{Error, Identity, Trust};
use embedded_io_async::{Read, Write};
use std::sync::Arc;

/// Does the handshake over `stream` and gives the protected stream.
///
/// With an identity, its chain is sent and its key asked to sign if the server requests a certificate (as the Azure
/// services do); without one an empty answer is sent.
///
/// In TLS 1.3 a server judges the client's certificate after this function has returned: its refusal,
/// [`Error::ClientRefused`], then comes from the first read.
///
/// # Errors
/// What refused the server ([`Error`] says which check), [`Error::ClientRefused`], or a failure of the stream or the
/// identity. The server is told by an alert, as far as the stream still takes it.
pub async fn connect<S: Read + Write>(
    stream: S,
    trust: &Trust<'_>,
    identity: Option<Arc<dyn Identity + Send + Sync>>,
) -> Result<Stream<S>, Error> {
    let outcome = match config::client(trust, identity) {
        Ok(client) => Stream::open(stream, client).await,
        Err(error) => Err(error),
    };
    crate::log_failure(trust.host(), outcome)
}
