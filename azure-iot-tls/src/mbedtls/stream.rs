//! The stream: Mbed TLS's state machine between the application and the stream below it.

use super::clock::CLOCK;
use super::error::{self, Context, flag};
use super::wire::Wire;
use super::{Stack, credentials};
use crate::{Authenticated, Error, Identity, Progress, Trust, Versions};
use core::ffi::CStr;
use core::fmt;
use core::future::poll_fn;
use core::pin::pin;
use embedded_io_async::{ErrorType, Read, Write};
use mbedtls_rs::{AuthMode, ClientSessionConfig, Session, SessionConfig, SessionError, TlsVersion};

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
    pub(super) async fn open(
        stack: &'a Stack,
        io: S,
        trust: &Trust<'a>,
        identity: Option<&'a dyn Identity>,
    ) -> Result<Self, Error> {
        let mut link = Link {
            session: session(stack, io, trust, identity)?,
            only_tls13: trust.offered_versions() == Versions::Tls13,
            failed: None,
            heard: false,
        };
        // Whatever was asked until now was asked by others.
        CLOCK.take_asked();
        let mut verified = false;
        let outcome = {
            let mut handshake = pin!(link.session.connect());
            poll_fn(|cx| {
                // Without a time Mbed TLS gets one that no certificate is valid at, and its finding is set aside below.
                CLOCK.set(Some(trust.time().unwrap_or(0)));
                let outcome = handshake.as_mut().poll(cx);
                CLOCK.set(None);
                verified |= CLOCK.take_asked();
                outcome
            })
            .await
        };
        let proof = match outcome {
            Ok(()) => link.judge(trust, verified),
            Err(cause) => Err(link.explain(cause, verified, false)),
        };
        // The alert, or the last message of the handshake.
        let sent = link.session.stream().send().await;
        let proof = proof?;
        sent?;
        Ok(Self { link, _proof: proof })
    }

    /// True for TLS 1.3, false for TLS 1.2.
    #[must_use]
    pub fn is_tls13(&self) -> bool {
        self.link.session.tls_version() == Some(TlsVersion::Tls1_3)
    }

    /// The stream below.
    pub fn io(&mut self) -> &mut S {
        self.link.session.stream().io()
    }

    /// Sends what was written and the close notice. The stream below can be used again if it is one that can be borrowed:
    /// connect over `&mut stream` then.
    ///
    /// # Errors
    /// Those of the stream below; the connection is gone all the same.
    pub async fn close(mut self) -> Result<(), Error> {
        self.link.check()?;
        self.link.session.stream().send().await?;
        let closed = self.link.session.close().await;
        closed.map_err(|cause| self.link.explain(cause, true, true))?;
        self.link.session.stream().send().await
    }
}

impl<S: Read + Write> ErrorType for Stream<'_, S> {
    type Error = Error;
}

impl<S: Read + Write> Read for Stream<'_, S> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        self.link.check()?;
        let outcome = self.link.session.read(buf).await;
        match outcome {
            Ok(count) => {
                self.link.heard = true;
                Ok(count)
            }
            Err(cause) => {
                let error = self.link.fail(cause);
                let _ = self.link.session.stream().send().await; // the alert, as far as it goes
                Err(error)
            }
        }
    }
}

impl<S: Read + Write> Write for Stream<'_, S> {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Error> {
        self.link.check()?;
        self.link.session.stream().send().await?;
        // The queue is empty and takes a record whole: this does not wait, so it cannot be dropped half done.
        let buf = buf.get(..MAX_WRITE).unwrap_or(buf);
        let outcome = self.link.session.write(buf).await;
        outcome.map_err(|cause| self.link.fail(cause))
    }

    async fn flush(&mut self) -> Result<(), Error> {
        self.link.check()?;
        self.link.session.stream().send().await
    }
}

/// Sets up a connection.
fn session<'a, S: Read + Write>(
    stack: &'a Stack,
    io: S,
    trust: &Trust<'a>,
    identity: Option<&'a dyn Identity>,
) -> Result<Session<'a, Wire<S>>, Error> {
    let (min_version, max_version) = match trust.offered_versions() {
        Versions::Both => (TlsVersion::Tls1_2, TlsVersion::Tls1_3),
        Versions::Tls12 => (TlsVersion::Tls1_2, TlsVersion::Tls1_2),
        Versions::Tls13 => (TlsVersion::Tls1_3, TlsVersion::Tls1_3),
    };
    let config = SessionConfig::Client(ClientSessionConfig {
        ca_chain: Some(credentials::roots(trust)?),
        creds: identity.map(credentials::credentials).transpose()?,
        // Without a time the dates are set aside after the handshake, which must not stop at them.
        auth_mode: if trust.time().is_some() { AuthMode::Required } else { AuthMode::Optional },
        min_version,
        max_version: Some(max_version),
        ..ClientSessionConfig::new()
    });
    let mut session = Session::new(stack.reference(), Wire::new(io), &config).map_err(error::map_plain)?;
    let mut host = [0; Trust::MAX_HOST_LEN + 1];
    host.iter_mut().zip(trust.host().bytes()).for_each(|(to, from)| *to = from);
    let host = CStr::from_bytes_until_nul(&host).map_err(|_| Error::HostName)?;
    session.set_server_name(host).map_err(error::map_plain)?;
    Ok(session)
}

/// Mbed TLS over the stream below.
struct Link<'a, S: Read + Write> {
    session: Session<'a, Wire<S>>,
    only_tls13: bool,
    /// The error that ended the connection.
    failed: Option<Error>,
    /// Whether the application has read anything.
    heard: bool,
}

impl<S: Read + Write> Link<'_, S> {
    fn check(&self) -> Result<(), Error> {
        self.failed.map_or(Ok(()), Err)
    }

    /// Judges a handshake that Mbed TLS has completed.
    fn judge(&self, trust: &Trust<'_>, verified: bool) -> Result<Authenticated, Error> {
        if !verified {
            return Err(Error::NoClock);
        }
        let dates = if trust.time().is_some() { 0 } else { flag::EXPIRED | flag::FUTURE };
        match error::flags(self.session.tls_verification_details() & !dates) {
            // With the chain accepted Mbed TLS has verified the key's signature: it goes on under no setting without.
            None => Progress::Key.authenticated(),
            Some(error) => Err(error),
        }
    }

    fn fail(&mut self, cause: SessionError) -> Error {
        let error = self.explain(cause, true, true);
        *self.failed.get_or_insert(error)
    }

    fn explain(&mut self, cause: SessionError, verified: bool, connected: bool) -> Error {
        let flags = self.session.tls_verification_details();
        let (heard, only_tls13) = (self.heard, self.only_tls13);
        let wire = self.session.stream();
        if let Some(error) = wire.error() {
            return error;
        }
        Context { watch: &wire.watch, flags, verified, connected, heard, only_tls13 }.map(cause)
    }
}
