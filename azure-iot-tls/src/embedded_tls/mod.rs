//! TLS 1.3 by `embedded-tls`, for devices without an allocator. Not for today's Azure services: they speak TLS 1.2
//! and show RSA certificates.
//!
//! # Know before you choose it
//! `embedded-tls` 0.19.0, the newest release, has defects that this adapter works around from outside:
//! - it accepts a server that sends no certificate, or does not prove that it has its key: here no stream is made
//!   then, and nothing but the ClientHello is sent;
//! - its own verifiers take any leaf as a CA: here another one judges (chain, basicConstraints, key usage, extended
//!   key usage, names, path length, dates, host);
//! - it panics on an encrypted record without content, and after the handshake on unexpected messages: here the
//!   cipher looks at what it has decrypted, and lets neither pass;
//! - it does not check the version, suite and compression that the server chose, and takes handshake messages in the
//!   clear: here the records are checked below it;
//! - it loses bytes when a read or write is dropped, and panics when the signer fails: here it only gets whole
//!   records, and is not told.
//!
//! What cannot be closed from outside in 0.19.0:
//! - **only the device's leaf is sent**: the server has to know the authority that signed it;
//! - a Certificate that a server splits over two records is [`Error::BadMessage`], another key share wanted
//!   (HelloRetryRequest) is [`Error::Unsupported`], a key update is [`Error::UnexpectedMessage`];
//! - its keys are not wiped from memory when the connection ends;
//! - the server is not told why it was refused.
//!
//! RSA is not supported: the crate for it needs an allocator. Servers must have ECDSA certificates (P-256 or P-384),
//! take the key exchange with P-256 and the suite TLS_AES_128_GCM_SHA256.
//!
//! # Example
//! ```
//! use azure_iot_tls::{Error, Identity, Trust, embedded_tls::{Buffers, FULL_RX, USUAL_TX, connect}};
//! use embedded_io_async::{Read, Write};
//!
//! async fn hello<S: Read + Write>(
//!     buffers: &mut Buffers<FULL_RX, USUAL_TX>,
//!     tcp: S,
//!     roots: &[&[u8]],
//!     identity: &dyn Identity,
//!     random: &mut dyn rand_core::CryptoRng,
//!     now: u64,
//! ) -> Result<(), Error> {
//!     let trust = Trust::new("my-hub.device.azure-devices.net", roots)?.at(now);
//!     let mut stream = connect(tcp, buffers, &trust, Some(identity), random).await?;
//!     stream.write_all(b"hello").await?;
//!     stream.flush().await
//! }
//! ```
//!
//! # Cancelling
//! Every future of [`Stream`] may be dropped at any point, if those of the stream below may: no byte is lost, none is
//! sent twice. [`connect`] may be dropped too, with the connection. It waits as long as the stream below does: put a
//! limit of time around it.
//!
//! # What its errors cannot tell apart
//! Alerts after the handshake are encrypted, and `embedded-tls` keeps their number for itself:
//! [`Alert::UNKNOWN`](super::Alert::UNKNOWN). If it is the first that the server says, it is [`Error::ClientRefused`].

mod port;
mod provider;
mod stream;
mod suite;

pub use stream::{Buffers, Stream};

use super::{Error, Identity, Trust};
use embedded_io_async::{Read, Write};

/// Bytes for any record that a server may send: 16 KiB, the overhead of TLS 1.3 (RFC 8446 §5.2), a header.
pub const FULL_RX: usize = 16_384 + 256 + 5;

/// Bytes for what a device sends: the ClientHello, a certificate of up to 1.5 KiB.
pub const USUAL_TX: usize = 2_048;

/// Does the handshake over `stream` and gives the protected stream.
///
/// With an identity, the first of its certificates is sent and its key asked to sign if the server requests a
/// certificate; without one an empty answer is sent.
///
/// A server judges the client's certificate after this function has returned: its refusal, [`Error::ClientRefused`],
/// then comes from the first read.
///
/// # Errors
/// What refused the server ([`Error`] says which check), [`Error::Unsupported`] if TLS 1.3 is not to be offered, or a
/// failure of the stream or the identity.
pub async fn connect<'a, S: Read + Write, const RX: usize, const TX: usize>(
    stream: S,
    buffers: &'a mut Buffers<RX, TX>,
    trust: &Trust<'_>,
    identity: Option<&dyn Identity>,
    random: &mut dyn rand_core::CryptoRng,
) -> Result<Stream<'a, S, RX, TX>, Error> {
    crate::log_failure(trust.host(), Stream::open(stream, buffers, trust, identity, random).await)
}
