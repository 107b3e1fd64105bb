//! The stream: rustls's state machine between the application and the stream below it.
//!
//! What was read from below goes to rustls, and what rustls has to send goes to a queue, without a pause between; only
//! the queue and the stream below are waited for. So a dropped future leaves nothing half done.

use super::config::{Client, Notes};
use super::error::map;
use super::std::boxed::Box;
use super::std::io::{ErrorKind as StdKind, Read as _, Write as _};
use super::std::sync::Arc;
use super::std::vec::Vec;
use crate::{Authenticated, Error};
use ::rustls::{ClientConnection, ProtocolVersion};
use core::fmt;
use embedded_io_async::{Error as _, ErrorType, Read, Write};

/// Bytes read from below at once.
const CHUNK: usize = 4096;

/// A TLS connection to a server that was authenticated.
///
/// Reads give `Ok(0)` after the server's close notice, and [`Error::Truncated`] if the stream below ends without one.
/// What is written is sent by [`flush`](Write::flush), or by the next write or read.
pub struct Stream<S> {
    link: Link<S>,
    _proof: Authenticated,
}

impl<S> fmt::Debug for Stream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("version", &self.link.tls.protocol_version()).finish_non_exhaustive()
    }
}

impl<S: Read + Write> Stream<S> {
    /// Does the handshake.
    pub(super) async fn open(io: S, client: Client) -> Result<Self, Error> {
        let mut link = Link {
            io,
            tls: Box::new(client.tls),
            notes: client.notes,
            received: Vec::new(),
            to_send: Vec::new(),
            sent: 0,
            failed: None,
        };
        while link.tls.is_handshaking() {
            link.take_output();
            link.send().await?;
            if link.tls.is_handshaking() {
                link.receive().await?;
            }
        }
        let proof = link.notes.progress().authenticated()?;
        link.take_output();
        link.send().await?;
        Ok(Self { link, _proof: proof })
    }

    /// True for TLS 1.3, false for TLS 1.2.
    #[must_use]
    pub fn is_tls13(&self) -> bool {
        self.link.tls.protocol_version() == Some(ProtocolVersion::TLSv1_3)
    }

    /// Sends what was written and the close notice, and gives back the stream below.
    ///
    /// # Errors
    /// Those of the stream below; the connection is gone all the same.
    pub async fn close(mut self) -> Result<S, Error> {
        self.link.tls.send_close_notify();
        self.link.take_output();
        self.link.send().await?;
        Ok(self.link.io)
    }
}

impl<S> ErrorType for Stream<S> {
    type Error = Error;
}

impl<S: Read + Write> Read for Stream<S> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            match self.link.tls.reader().read(buf) {
                Ok(count) => return Ok(count),
                Err(cause) if cause.kind() == StdKind::WouldBlock => {}
                Err(_) => return Err(self.link.fail(Error::Truncated)),
            }
            self.link.check()?;
            self.link.take_output();
            self.link.send().await?;
            self.link.receive().await?;
        }
    }
}

impl<S: Read + Write> Write for Stream<S> {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Error> {
        self.link.check()?;
        self.link.take_output();
        self.link.send().await?;
        // rustls has an empty queue now, so it takes at least one byte.
        let count = self.link.tls.writer().write(buf).map_err(|_| Error::Memory)?;
        self.link.take_output();
        Ok(count)
    }

    async fn flush(&mut self) -> Result<(), Error> {
        self.link.check()?;
        self.link.take_output();
        self.link.send().await
    }
}

/// rustls and the stream below it.
struct Link<S> {
    io: S,
    tls: Box<ClientConnection>,
    notes: Arc<Notes>,
    /// Buffer for what is read from below; never holds anything over an await.
    received: Vec<u8>,
    /// Records to be sent; the first `sent` bytes are.
    to_send: Vec<u8>,
    sent: usize,
    /// The error that ended the connection.
    failed: Option<Error>,
}

impl<S: Read + Write> Link<S> {
    fn check(&self) -> Result<(), Error> {
        self.failed.map_or(Ok(()), Err)
    }

    fn fail(&mut self, error: Error) -> Error {
        *self.failed.get_or_insert(error)
    }

    /// Moves what rustls wants to send to the queue.
    fn take_output(&mut self) {
        while self.tls.wants_write() {
            if self.tls.write_tls(&mut self.to_send).is_err() {
                return; // a vector takes everything
            }
        }
    }

    /// Sends the queue.
    async fn send(&mut self) -> Result<(), Error> {
        let had_some = !self.to_send.is_empty();
        while let Some(rest) = self.to_send.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match self.io.write(rest).await {
                Ok(0) => return Err(self.fail(Error::Truncated)),
                Ok(count) => self.sent += count,
                Err(cause) => {
                    let error = Error::Io(cause.kind());
                    return Err(self.fail(error));
                }
            }
        }
        self.to_send.clear();
        self.sent = 0;
        if had_some {
            self.io.flush().await.map_err(|cause| Error::Io(cause.kind()))?;
        }
        Ok(())
    }

    /// Reads from below once and lets rustls take it in.
    async fn receive(&mut self) -> Result<(), Error> {
        self.received.resize(CHUNK, 0);
        let count = match self.io.read(&mut self.received).await {
            Ok(count) => count,
            Err(cause) => {
                let error = Error::Io(cause.kind());
                return Err(self.fail(error));
            }
        };
        if count == 0 && self.tls.is_handshaking() {
            return Err(self.fail(Error::Truncated));
        }
        if let Err(error) = self.process(count) {
            let error = self.fail(error);
            self.take_output(); // the alert, as far as it goes
            let _ = self.send().await;
            return Err(error);
        }
        Ok(())
    }

    /// Gives the first `count` bytes received to rustls; none are the end of the stream.
    fn process(&mut self, count: usize) -> Result<(), Error> {
        let mut rest = self.received.get(..count).unwrap_or_default();
        loop {
            self.tls.read_tls(&mut rest).map_err(|_| Error::TooLong)?;
            if let Err(cause) = self.tls.process_new_packets() {
                return Err(match map(&cause, &self.notes) {
                    // The same to rustls; but Finished was before.
                    Error::BadFinished if !self.tls.is_handshaking() => Error::BadRecord,
                    error => error,
                });
            }
            if rest.is_empty() {
                return Ok(());
            }
        }
    }
}
