//! The stream: Mbed TLS's state machine between the application and the stream below it.

use super::Stack;
use super::credentials::Credentials;
use super::error::{self, Context};
use super::resumption::Resumption;
use super::verifier::Verdict;
use super::wire::Wire;
use crate::{AsyncIdentity, Authenticated, Error, IdentityError, Progress, Trust, Versions, x509};
use azure_iot_tls_mbedtls::{Code, Config, Session, Version};
use core::ffi::CStr;
use core::fmt;
use embedded_io_async::{ErrorType, Read, Write};

/// The most that one write takes, in bytes.
const MAX_WRITE: usize = 2048;

/// A TLS connection to a server that was authenticated.
///
/// Reads give `Ok(0)` after the server's close notice, and [`Error::Truncated`] if the stream below ends without one.
/// What is written is sent by [`flush`](Write::flush), or by the next write or read.
pub struct Stream<'a, S: Read + Write> {
    link: Link<'a, S>,
    _proof: Authenticated,
}

impl<S: Read + Write> fmt::Debug for Stream<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("is_tls13", &self.is_tls13()).finish_non_exhaustive()
    }
}

impl<'a, S: Read + Write> Stream<'a, S> {
    /// Does the handshake.
    pub(super) async fn open<I: AsyncIdentity + ?Sized>(
        stack: &'a Stack,
        io: S,
        trust: &Trust<'a>,
        identity: Option<&'a I>,
        resumption: Resumption<'a>,
    ) -> Result<Self, Error> {
        x509::check_roots(trust)?;
        let mut link = Link {
            session: session(stack, trust, identity, resumption.is_wanted())?,
            resumption,
            wire: Wire::new(io),
            only_tls13: trust.offered_versions() == Versions::Tls13,
            failed: None,
            heard: false,
        };
        link.resumption.offer(&mut link.session);
        let mut verdict = Verdict::new(trust);
        let outcome = loop {
            match link.session.handshake(&mut link.wire, &mut verdict) {
                Err(Code::WANT_READ) => link.wire.fill().await?,
                Err(Code::WANT_SIGNATURE) => {
                    // What comes before it can be on its way already.
                    link.wire.send().await?;
                    if let Err(cause) = link.sign(identity).await {
                        // The server is not to wait for it. What the alert meets is not told: the signer comes first.
                        let _ = link.session.give_up(&mut link.wire);
                        break Err(cause);
                    }
                }
                Ok(()) => break link.resumption.judge(&link.session, &link.wire.watch, &verdict),
                Err(cause) => {
                    let verified = verdict.outcome.is_some();
                    let refused = verdict.outcome.and_then(Result::err);
                    let explained = link.resumption.explain(link.explain(cause, verified, false), verified);
                    break Err(refused.unwrap_or(explained));
                }
            }
        };
        // The alert, or the last message of the handshake.
        let sent = link.wire.send().await;
        outcome?;
        sent?;
        // With the chain accepted Mbed TLS has verified the key's signature: it goes on under no setting without.
        // Whoever goes on with a session has its secret, which only the server of that handshake got.
        let proof = Progress::Key.authenticated()?;
        link.keep_session();
        Ok(Self { link, _proof: proof })
    }

    /// True if the connection goes on with the session of an earlier one, whose server had proved who it is.
    #[cfg(feature = "resumption")]
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.link.resumption.is_resumed()
    }

    /// True for TLS 1.3, false for TLS 1.2.
    #[must_use]
    pub fn is_tls13(&self) -> bool {
        self.link.session.version() == Some(Version::Tls13)
    }

    /// The stream below.
    pub fn io(&mut self) -> &mut S {
        self.link.wire.io()
    }

    /// Sends what was written and the close notice. The stream below can be used again if it is one that can be
    /// borrowed: connect over `&mut stream` then.
    ///
    /// # Errors
    /// Those of the stream below; the connection is gone all the same.
    pub async fn close(mut self) -> Result<(), Error> {
        self.link.check()?;
        self.link.wire.send().await?;
        let closed = self.link.session.close(&mut self.link.wire);
        closed.map_err(|cause| self.link.explain(cause, true, true))?;
        self.link.wire.send().await
    }
}

impl<S: Read + Write> ErrorType for Stream<'_, S> {
    type Error = Error;
}

impl<S: Read + Write> Read for Stream<'_, S> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        self.link.check()?;
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            let outcome = self.link.session.read(&mut self.link.wire, buf);
            self.link.keep_session();
            match outcome {
                Ok(count) => {
                    self.link.heard = true;
                    return Ok(count);
                }
                Err(Code::WANT_READ) => {
                    let filled = self.link.wire.fill().await;
                    filled.map_err(|error| *self.link.failed.get_or_insert(error))?;
                }
                Err(cause) => {
                    let error = self.link.fail(cause);
                    let _ = self.link.wire.send().await; // the alert, as far as it goes
                    return Err(error);
                }
            }
        }
    }
}

impl<S: Read + Write> Write for Stream<'_, S> {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Error> {
        self.link.check()?;
        if buf.is_empty() {
            return Ok(0);
        }
        self.link.wire.send().await?;
        // The queue is empty and takes a record whole: this does not wait, so it cannot be dropped half done.
        let buf = buf.get(..MAX_WRITE).unwrap_or(buf);
        let outcome = self.link.session.write(&mut self.link.wire, buf);
        outcome.map_err(|cause| self.link.fail(cause))
    }

    async fn flush(&mut self) -> Result<(), Error> {
        self.link.check()?;
        self.link.wire.send().await
    }
}

/// Sets up a connection.
fn session<'a, I: AsyncIdentity + ?Sized>(
    stack: &'a Stack,
    trust: &Trust<'a>,
    identity: Option<&'a I>,
    resumable: bool,
) -> Result<Session<'a>, Error> {
    let versions = match trust.offered_versions() {
        Versions::Both => (Version::Tls12, Version::Tls13),
        Versions::Tls12 => (Version::Tls12, Version::Tls12),
        Versions::Tls13 => (Version::Tls13, Version::Tls13),
    };
    let mut host = [0; Trust::MAX_HOST_LEN + 1];
    host.iter_mut().zip(trust.host().bytes()).for_each(|(to, from)| *to = from);
    let host = CStr::from_bytes_until_nul(&host).map_err(|_| Error::HostName)?;
    let credentials = identity.map(Credentials::new).transpose()?;
    let client = credentials.as_ref().map(Credentials::client);
    let session =
        Session::new(stack.reference(), trust.roots(), Config { host, versions, client, resumable });
    session.map_err(|cause| match error::map_plain(cause) {
        Error::Memory => Error::Memory,
        // What the rules can read of the roots, and the device's chain too: Mbed TLS may not.
        Error::BadCertificate | Error::UnsupportedAlgorithm => Error::Roots,
        error => error,
    })
}

/// Mbed TLS over the stream below.
struct Link<'a, S> {
    session: Session<'a>,
    resumption: Resumption<'a>,
    wire: Wire<S>,
    only_tls13: bool,
    /// The error that ended the connection.
    failed: Option<Error>,
    /// Whether the application has read anything.
    heard: bool,
}

impl<S> Link<'_, S> {
    /// Has the identity sign what the handshake waits for.
    async fn sign<I: AsyncIdentity + ?Sized>(&mut self, identity: Option<&I>) -> Result<(), Error> {
        let missing = IdentityError::Signer;
        let (identity, digest) = identity.zip(self.session.digest()).ok_or(missing)?;
        let signature = identity.sign(&digest).await?;
        self.session.give_signature(signature.to_der().as_bytes());
        Ok(())
    }

    fn keep_session(&mut self) {
        self.resumption.keep(&mut self.session, &self.wire.watch);
    }

    fn check(&self) -> Result<(), Error> {
        self.failed.map_or(Ok(()), Err)
    }

    fn fail(&mut self, cause: Code) -> Error {
        let error = self.explain(cause, true, true);
        *self.failed.get_or_insert(error)
    }

    fn explain(&self, cause: Code, verified: bool, connected: bool) -> Error {
        if let Some(error) = self.wire.error() {
            return error;
        }
        let flags = self.session.findings();
        let (watch, heard, only_tls13) = (&self.wire.watch, self.heard, self.only_tls13);
        Context { watch, flags, verified, connected, heard, only_tls13 }.map(cause)
    }
}
