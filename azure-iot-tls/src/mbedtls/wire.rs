//! What Mbed TLS sees as its stream: it writes into a queue, so that nothing waits in the middle of a record, and the queue goes
//! out before the next byte is waited for.

use super::alloc::vec::Vec;
use super::watch::Watch;
use crate::Error;
use embedded_io_async::{Error as _, ErrorType, Read, Write};

pub(super) struct Wire<S> {
    io: S,
    /// Records to be sent; the first `sent` bytes are.
    queue: Vec<u8>,
    sent: usize,
    /// Something was sent and not flushed yet.
    unflushed: bool,
    /// The error or end that was met below: Mbed TLS's Rust face asks again instead of passing it on.
    ended: Option<Result<(), Error>>,
    /// What went by in the clear.
    pub(super) watch: Watch,
}

impl<S> Wire<S> {
    pub(super) const fn new(io: S) -> Self {
        Self { io, queue: Vec::new(), sent: 0, unflushed: false, ended: None, watch: Watch::new() }
    }

    pub(super) fn io(&mut self) -> &mut S {
        &mut self.io
    }

    /// The error of the stream below, if one ended the connection.
    pub(super) fn error(&self) -> Option<Error> {
        match self.ended {
            Some(Err(error)) => Some(error),
            Some(Ok(())) | None => None,
        }
    }
}

impl<S: Read + Write> Wire<S> {
    /// Sends the queue. May be dropped and called again: what was sent is counted at once.
    pub(super) async fn send(&mut self) -> Result<(), Error> {
        if let Some(error) = self.error() {
            return Err(error);
        }
        while let Some(rest) = self.queue.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match self.io.write(rest).await {
                Ok(0) => return Err(self.end(Error::Truncated)),
                Ok(count) => {
                    self.sent += count;
                    self.unflushed = true;
                }
                Err(cause) => return Err(self.end(Error::Io(cause.kind()))),
            }
        }
        self.queue.clear();
        self.sent = 0;
        if self.unflushed {
            if let Err(cause) = self.io.flush().await {
                return Err(self.end(Error::Io(cause.kind())));
            }
            self.unflushed = false;
        }
        Ok(())
    }

    fn end(&mut self, error: Error) -> Error {
        self.ended = Some(Err(error));
        error
    }
}

impl<S> ErrorType for Wire<S> {
    type Error = Error;
}

impl<S: Read + Write> Read for Wire<S> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        if let Some(ended) = self.ended {
            return ended.map(|()| 0);
        }
        self.send().await?;
        match self.io.read(buf).await {
            Ok(0) => {
                self.ended = Some(Ok(()));
                Ok(0)
            }
            Ok(count) => {
                self.watch.see(buf.get(..count).unwrap_or_default());
                Ok(count)
            }
            Err(cause) => Err(self.end(Error::Io(cause.kind()))),
        }
    }
}

impl<S: Read + Write> Write for Wire<S> {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Error> {
        // Mbed TLS has checked the length: a record, or a flight of the handshake.
        if self.queue.try_reserve(buf.len()).is_err() {
            return Err(self.end(Error::Memory));
        }
        self.queue.extend_from_slice(buf);
        Ok(buf.len())
    }

    async fn flush(&mut self) -> Result<(), Error> {
        self.send().await
    }
}
