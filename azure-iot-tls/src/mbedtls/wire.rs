//! What Mbed TLS sees as its stream: it reads what has come, and writes into a queue, so that nothing waits in the
//! middle of a record; the queue goes out before more is waited for.

use super::alloc::vec::Vec;
use super::watch::Watch;
use crate::Error;
use azure_iot_tls_mbedtls::Transport;
use embedded_io_async::{Error as _, Read, Write};

/// Bytes that are read at once.
const CHUNK: usize = 256;

pub(super) struct Wire<S> {
    io: S,
    /// What has come and was not taken yet: from `taken` to `have`.
    inbox: [u8; CHUNK],
    taken: usize,
    have: usize,
    /// Records to be sent; the first `sent` bytes are.
    queue: Vec<u8>,
    sent: usize,
    /// Something was sent and not flushed yet.
    unflushed: bool,
    /// The error that was met below.
    failed: Option<Error>,
    /// What went by in the clear.
    pub(super) watch: Watch,
}

impl<S> Wire<S> {
    pub(super) const fn new(io: S) -> Self {
        Self {
            io,
            inbox: [0; CHUNK],
            taken: 0,
            have: 0,
            queue: Vec::new(),
            sent: 0,
            unflushed: false,
            failed: None,
            watch: Watch::new(),
        }
    }

    pub(super) fn io(&mut self) -> &mut S {
        &mut self.io
    }

    /// The error of the stream below, if one ended the connection.
    pub(super) fn error(&self) -> Option<Error> {
        self.failed
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
        self.failed = Some(error);
        error
    }

    /// Sends the queue and waits for bytes from below. May be dropped and called again: what has come is kept.
    pub(super) async fn fill(&mut self) -> Result<(), Error> {
        self.send().await?;
        if self.taken < self.have {
            return Ok(());
        }
        match self.io.read(&mut self.inbox).await {
            Ok(0) => Err(self.end(Error::Truncated)),
            Ok(count) => {
                (self.taken, self.have) = (0, count.min(CHUNK));
                Ok(())
            }
            Err(cause) => Err(self.end(Error::Io(cause.kind()))),
        }
    }
}

impl<S> Transport for Wire<S> {
    fn receive(&mut self, out: &mut [u8]) -> usize {
        let rest = self.inbox.get(self.taken..self.have).unwrap_or_default();
        let count = rest.len().min(out.len());
        out.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        self.watch.see(rest.get(..count).unwrap_or_default());
        self.taken += count;
        count
    }

    fn send(&mut self, bytes: &[u8]) -> bool {
        // Mbed TLS has checked the length: a record, or a flight of the handshake.
        if self.queue.try_reserve(bytes.len()).is_err() {
            return false;
        }
        self.queue.extend_from_slice(bytes);
        true
    }
}
