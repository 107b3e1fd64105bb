//! TLS 1.2 and 1.3 by Mbed TLS, for devices: over any `embedded-io-async` stream.
//!
//! Chains with ECDSA (P-256, P-384) and RSA keys (PKCS #1 v1.5 and PSS, from 2048 bits) are verified; the key
//! exchange is ECDHE with P-256 or P-384, the cipher AES-GCM.
//!
//! # What the firmware provides
//! Mbed TLS is C, and expects of its surroundings:
//! - a global allocator, with the heap that the crate's README states;
//! - an implementation of `critical-section`;
//! - the C functions `calloc`, `free`, `strlen`, `strcmp`, `strncmp`, `strchr` and `strstr`, which the crate
//!   `tinyrlibc` 0.5 has (features `alloc` and those of the functions' names);
//! - a random number generator for cryptography, for ever: [`Stack::new`].
//!
//! # Example
//! ```
//! use azure_iot_tls::{Error, Identity, Trust, mbedtls::Stack};
//! use embedded_io_async::{Read, Write};
//!
//! async fn hello<S: Read + Write>(
//!     stack: &Stack,
//!     tcp: S,
//!     roots: &[&[u8]],
//!     identity: &dyn Identity,
//!     now: u64,
//! ) -> Result<(), Error> {
//!     let trust = Trust::new("my-hub.azure-devices.net", roots)?.at(now);
//!     let mut stream = stack.connect(tcp, &trust, Some(identity)).await?;
//!     stream.write_all(b"hello").await?;
//!     stream.flush().await
//! }
//! ```
//!
//! # The device's key
//! A key that [`AsyncIdentity::secret_key`] gives is copied into Mbed TLS's heap when a connection begins, and wiped
//! there when the [`Stream`] is dropped, or when [`connect`](Stack::connect) fails; Mbed TLS signs with it by itself.
//! Without one, [`AsyncIdentity::sign`] is asked, once, and only if the server requests a certificate. The signature is
//! awaited between two steps of the handshake: Mbed TLS is not running meanwhile, and what was to be sent before has
//! been sent. If there is none, the server is told with the alert `internal_error`, and the error is
//! [`Error::Identity`].
//!
//! # Resumption
//! Every connection proves both sides anew. With the feature `resumption`, `Stack::connect_or_resume` goes on with the
//! session of an earlier connection instead, if the server offers that: neither side's certificates are sent then,
//! and nothing is signed or verified. A session counts for the very host, roots, versions and device certificates
//! under which the server's certificates were judged, not after one of those has expired, and at most for seven days
//! (a day in TLS 1.2) or as long as the server says. In TLS 1.3 the keys are fresh all the same (ECDHE); in TLS 1.2
//! a session is kept only if its secret is bound to the handshake that it comes from (RFC 7627).
//!
//! What a resumed connection does not notice: that the server's certificate has been replaced or revoked since. The
//! server for its part believes the device for as long as it accepts the session.
//!
//! # Cancelling
//! Every future of [`Stream`] may be dropped at any point, if those of the stream below may: no byte is lost, none is
//! sent twice. [`connect`](Stack::connect) may be dropped too, with the connection. It waits as long as the stream
//! below does: put a limit of time around it.
//!
//! # How it judges the server
//! By the [one policy](crate::x509) of this crate, inside the handshake, before anything of the device is shown. Mbed
//! TLS finds the path and verifies its signatures. What it does by itself on top of that:
//! - it refuses a critical name constraint, obeyed or not: [`Error::BadCertificate`];
//! - of several paths it tries one: the first issuer whose name and signature fit;
//! - it passes over bytes that follow a certificate in its place in the handshake.
//!
//! # What its errors cannot tell apart
//! - In TLS 1.3, a wrong Finished is [`Error::BadSignature`] of the handshake, and a missing CertificateVerify or
//!   Finished is [`Error::UnexpectedMessage`].
//! - In TLS 1.3, alerts are encrypted and Mbed TLS keeps their number for itself:
//!   [`Alert::UNKNOWN`](super::Alert::UNKNOWN). If it is the first that the server says after the handshake, it is
//!   [`Error::ClientRefused`].

extern crate alloc;

#[cfg(feature = "resumption")]
mod cache;
mod credentials;
mod error;
#[cfg_attr(not(feature = "resumption"), path = "no_resumption.rs")]
mod resumption;
mod stream;
mod verifier;
mod watch;
mod wire;

pub use ::azure_iot_tls_mbedtls::mbedtls_rs;
#[cfg(feature = "resumption")]
pub use cache::SessionCache;
pub use stream::Stream;

use super::{AsyncIdentity, Error, Trust};
use core::fmt;
use core::marker::PhantomData;
use embedded_io_async::{Read, Write};
use mbedtls_rs::{Tls, TlsReference};
use rand_core::CryptoRng;
use resumption::Resumption;

/// Mbed TLS itself, of which there is one. All connections borrow it, and it stays where it was made: Mbed TLS is
/// built without locks, so only one thread (or one executor) may use it.
pub struct Stack {
    tls: Tls<'static>,
    _one_thread: PhantomData<*const ()>,
}

impl Stack {
    /// Takes the random number generator, which must be fit for cryptography.
    ///
    /// # Errors
    /// [`Error::Busy`] if there is a stack already.
    pub fn new(random: &'static mut (dyn CryptoRng + Send)) -> Result<Self, Error> {
        match Tls::new(random) {
            Ok(tls) => Ok(Self { tls, _one_thread: PhantomData }),
            Err(_) => Err(Error::Busy),
        }
    }

    /// Does the handshake over `stream` and gives the protected stream.
    ///
    /// With an identity, its chain is sent and its key signs if the server requests a certificate (as the Azure
    /// services do); without one (`None::<&dyn Identity>`) an empty answer is sent.
    ///
    /// In TLS 1.3 a server judges the client's certificate after this function has returned: its refusal,
    /// [`Error::ClientRefused`], then comes from the first read.
    ///
    /// # Errors
    /// What refused the server ([`Error`] says which check), [`Error::ClientRefused`], [`Error::Memory`], or a
    /// failure of the stream or the identity. The server is told by an alert, as far as the stream still takes it.
    pub async fn connect<'a, S: Read + Write, I: AsyncIdentity + ?Sized>(
        &'a self,
        stream: S,
        trust: &Trust<'a>,
        identity: Option<&'a I>,
    ) -> Result<Stream<'a, S>, Error> {
        let opened = Stream::open(self, stream, trust, identity, Resumption::NONE).await;
        crate::log_failure(trust.host(), opened)
    }

    /// As [`connect`](Self::connect), and goes on with the host's session in `cache` if there is one and the server
    /// takes it; [`Stream::is_resumed`] says so. The new connection's session is put there: in TLS 1.3 when it has come
    /// from the server, which is before anything else that is read. Without a time in `trust` there is no resumption.
    ///
    /// If the server does not take the session there is a full handshake, on the same connection. Only a server that
    /// has changed its version since fails, once: a session is taken out before it is offered.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    #[cfg(feature = "resumption")]
    pub async fn connect_or_resume<'a, S: Read + Write, I: AsyncIdentity + ?Sized>(
        &'a self,
        stream: S,
        trust: &Trust<'a>,
        identity: Option<&'a I>,
        cache: &'a SessionCache,
    ) -> Result<Stream<'a, S>, Error> {
        let resumption = Resumption::new(cache, trust, identity);
        let opened = Stream::open(self, stream, trust, identity, resumption).await;
        crate::log_failure(trust.host(), opened)
    }

    /// For other uses of `mbedtls-rs` beside this adapter's: it has only one of these, and this has it.
    #[must_use]
    pub fn reference(&self) -> TlsReference<'_> {
        self.tls.reference()
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stack")
    }
}
