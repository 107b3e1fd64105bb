//! The stream: `embedded-tls` between the application and whole records.

use super::port::{Chunk, Link, Port, Records};
use super::provider::{Notes, Provider};
use super::suite::Suite;
use crate::{Alert, Authenticated, Error, Identity, IdentityError, Progress, Trust, Versions, x509};
use core::cell::RefCell;
use core::fmt;
use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::Poll;
use embedded_io_async::{ErrorType, Read, Write};
use embedded_tls::{TlsConfig, TlsConnection, TlsContext, TlsError};

/// Memory for one connection: `RX` bytes for a record of the server, twice, and `TX` bytes for one of the device,
/// twice.
///
/// A server may send records of 16 KiB and does not ask first: [`FULL_RX`](super::FULL_RX) takes them all. `TX` must
/// hold the ClientHello and the device's certificate: [`USUAL_TX`](super::USUAL_TX) usually does.
#[derive(Debug)]
pub struct Buffers<const RX: usize, const TX: usize> {
    records: RefCell<Records<RX, TX>>,
    rx: [u8; RX],
    tx: [u8; TX],
}

impl<const RX: usize, const TX: usize> Buffers<RX, TX> {
    /// Empty buffers; they can be in a static. Less than 512 bytes either way do not compile: no handshake fits them.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(RX >= 512 && TX >= 512, "no handshake fits buffers of this size") };
        Self { records: RefCell::new(Records::new()), rx: [0; RX], tx: [0; TX] }
    }
}

impl<const RX: usize, const TX: usize> Default for Buffers<RX, TX> {
    fn default() -> Self {
        Self::new()
    }
}

/// A TLS connection to a server that was authenticated.
///
/// Reads give `Ok(0)` after the server's close notice, and [`Error::Truncated`] if the stream below ends without one.
/// What is written is sent by [`flush`](Write::flush), or by the next read.
pub struct Stream<'a, S, const RX: usize, const TX: usize> {
    tls: TlsConnection<'a, Port<'a, RX, TX>, Suite>,
    link: Link<'a, S, RX, TX>,
    /// The error that ended the connection, or that the server closed it.
    ended: Option<Result<(), Error>>,
    /// Whether anything was read.
    received: bool,
    _proof: Authenticated,
}

impl<S, const RX: usize, const TX: usize> fmt::Debug for Stream<'_, S, RX, TX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

/// Polls a future once. None of `embedded-tls` waits for anything but a record or room in the queue.
async fn once<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

impl<'a, S: Read + Write, const RX: usize, const TX: usize> Stream<'a, S, RX, TX> {
    /// Does the handshake.
    pub(super) async fn open(
        io: S,
        buffers: &'a mut Buffers<RX, TX>,
        trust: &Trust<'_>,
        identity: Option<&dyn Identity>,
        random: &mut dyn rand_core::CryptoRng,
    ) -> Result<Self, Error> {
        if trust.offered_versions() == Versions::Tls12 {
            return Err(Error::Unsupported);
        }
        x509::check_roots(trust)?;
        if identity.is_some_and(|identity| identity.certificate(0).is_none()) {
            return Err(IdentityError::NoCertificate.into());
        }
        if identity.is_some_and(Identity::is_p384) {
            return Err(IdentityError::UnsupportedKey.into());
        }
        let Buffers { records, rx, tx } = buffers;
        records.get_mut().reset();
        let records = &*records;
        let mut link = Link { io, records, unflushed: false, chunk: Chunk::new() };
        let mut tls = TlsConnection::new(Port(records), rx, tx);
        let notes = Notes::default();
        let mut provider = Provider::new(trust, identity, random, &notes);
        let config = TlsConfig::new().with_server_name(trust.host());
        let outcome = {
            let mut handshake = pin!(tls.open(TlsContext::new(&config, &mut provider)));
            let mut greeted = false;
            loop {
                if let Some(outcome) = once(handshake.as_mut()).await {
                    break outcome;
                }
                if link.has_queue() {
                    // After the greeting nothing is said to a server that has not proved who it is.
                    if greeted {
                        checked(&notes)?;
                    }
                    greeted = true;
                    link.send().await?;
                } else {
                    link.fill().await?;
                }
            }
        };
        if let Err(cause) = outcome {
            return Err(notes.failed.get().unwrap_or_else(|| in_handshake(cause, notes.progress.get())));
        }
        let proof = checked(&notes)?;
        link.send().await?;
        records.borrow_mut().handshake_is_over();
        Ok(Self { tls, link, ended: None, received: false, _proof: proof })
    }

    /// Sends what was written and the close notice, and gives back the stream below.
    ///
    /// # Errors
    /// Those of the stream below; the connection is gone all the same.
    pub async fn close(mut self) -> Result<S, Error> {
        self.flush().await?;
        let closed = once(pin!(self.tls.close())).await;
        if !matches!(closed, Some(Ok(_))) {
            return Err(Error::Memory);
        }
        self.link.send().await?;
        Ok(self.link.io)
    }

    fn check(&self) -> Result<(), Error> {
        match self.ended {
            Some(Err(error)) => Err(error),
            _ => Ok(()),
        }
    }

    fn fail(&mut self, error: Error) -> Error {
        self.ended = Some(Err(error));
        error
    }

    /// Sends what `embedded-tls` holds back, and the queue.
    async fn drain(&mut self) -> Result<(), Error> {
        let sent = self.link.send().await;
        sent.map_err(|error| self.fail(error))?;
        let flushed = once(pin!(self.tls.flush())).await;
        if !matches!(flushed, Some(Ok(()))) {
            return Err(self.fail(Error::Memory));
        }
        let sent = self.link.send().await;
        sent.map_err(|error| self.fail(error))
    }

    fn explain(&self, cause: TlsError) -> Error {
        match cause {
            // An alert. If it is the first word of a server, it is about the device's certificate.
            TlsError::InternalError if !self.received => Error::ClientRefused { alert: Alert::UNKNOWN },
            TlsError::InternalError => Error::Alert { alert: Alert::UNKNOWN },
            TlsError::Unimplemented => Error::UnexpectedMessage,
            TlsError::CryptoError | TlsError::InvalidRecord => Error::BadRecord,
            TlsError::InsufficientSpace => Error::TooLong,
            _ => Error::BadMessage,
        }
    }
}

/// The proof that a server was authenticated, if nothing else went wrong.
fn checked(notes: &Notes) -> Result<Authenticated, Error> {
    match notes.failed.get() {
        Some(error) => Err(error),
        None => notes.progress.get().authenticated(),
    }
}

/// What an error of `embedded-tls` means in a handshake that neither the judge nor the records have refused.
fn in_handshake(cause: TlsError, progress: Progress) -> Error {
    match cause {
        TlsError::Unimplemented => Error::Alert { alert: Alert::UNKNOWN },
        TlsError::InvalidRecord => progress.left_out(),
        TlsError::InvalidSignature => Error::BadFinished,
        TlsError::CryptoError => Error::BadRecord,
        TlsError::InsufficientSpace | TlsError::OutOfMemory | TlsError::EncodeError => Error::Memory,
        _ => Error::BadMessage,
    }
}

impl<S, const RX: usize, const TX: usize> ErrorType for Stream<'_, S, RX, TX> {
    type Error = Error;
}

impl<S: Read + Write, const RX: usize, const TX: usize> Read for Stream<'_, S, RX, TX> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        self.check()?;
        if buf.is_empty() || self.ended.is_some() {
            return Ok(0);
        }
        self.drain().await?;
        loop {
            let outcome = { once(pin!(self.tls.read(buf))).await };
            match outcome {
                Some(Ok(count)) => {
                    self.received = true;
                    return Ok(count);
                }
                Some(Err(TlsError::ConnectionClosed)) => {
                    self.ended = Some(Ok(()));
                    return Ok(0);
                }
                Some(Err(cause)) => {
                    let error = self.explain(cause);
                    return Err(self.fail(error));
                }
                None => {
                    let filled = self.link.fill().await;
                    filled.map_err(|error| self.fail(error))?;
                }
            }
        }
    }
}

impl<S: Read + Write, const RX: usize, const TX: usize> Write for Stream<'_, S, RX, TX> {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Error> {
        self.check()?;
        let sent = self.link.send().await;
        sent.map_err(|error| self.fail(error))?;
        // The queue is empty and takes a record whole: this does not wait, so it cannot be dropped half done.
        let outcome = { once(pin!(self.tls.write(buf))).await };
        match outcome {
            Some(Ok(count)) => Ok(count),
            Some(Err(_)) => Err(self.fail(Error::Closed)),
            None => Err(self.fail(Error::Memory)),
        }
    }

    async fn flush(&mut self) -> Result<(), Error> {
        self.check()?;
        self.drain().await
    }
}
