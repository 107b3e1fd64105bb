//! [`V311`]: the translator over a byte stream.

use super::{Connect, Malformed, Translator};
use embassy_time::{Duration, with_timeout};
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};

/// Bytes read ahead from the stream. Payloads do not go through it.
const READ_AHEAD: usize = 128;

/// An MQTT 3.1.1 stream that looks like MQTT 5 to the engine on top of it.
///
/// `N` is the stage for outbound bytes, see [`Translator`]; writes are collected in it and reach the stream
/// when it is full or on flush, so that a packet becomes one TLS record.
///
/// Reads, writes and flushes are as cancel-safe as those of `S`: no byte is taken before the last `await`.
#[derive(Debug)]
pub struct V311<'c, S, const N: usize> {
    stream: S,
    translator: Translator<'c, N>,
    ahead: [u8; READ_AHEAD],
    start: usize,
    end: usize,
    write_limit: Option<Duration>,
}

impl<'c, S, const N: usize> V311<'c, S, N> {
    /// Puts `translator` (a fresh one) over `stream` (an established connection).
    pub fn new(stream: S, translator: Translator<'c, N>) -> Self {
        Self { stream, translator, ahead: [0; READ_AHEAD], start: 0, end: 0, write_limit: None }
    }

    /// Over `stream`, sending `connect` instead of the engine's own CONNECT and keeping unacknowledged
    /// messages across a lost server session (see [`Translator::keep_in_flight`]).
    pub fn with_connect(stream: S, connect: &'c Connect<'c>) -> Self {
        Self::new(stream, Translator::with_connect(connect).keep_in_flight())
    }

    /// Fails with [`StreamError::Stalled`] when the stream below takes no bytes for so many milliseconds.
    #[must_use]
    pub fn with_write_limit(self, ms: u32) -> Self {
        Self { write_limit: Some(Duration::from_millis(ms.into())), ..self }
    }

    /// Gives the stream back. Bytes read ahead or not yet written are lost.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

/// What can go wrong on a [`V311`] stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum StreamError<E> {
    /// The stream below failed.
    Transport(E),
    /// The stream below took no bytes.
    WriteZero,
    /// The stream below took no bytes in time.
    Stalled,
    /// A packet that cannot be translated.
    Malformed(Malformed),
    /// The server ended the connection and said why: the reason code of an MQTT 5 DISCONNECT.
    Disconnected(u8),
}

impl<E: core::fmt::Debug> core::fmt::Display for StreamError<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Transport(e) => write!(f, "transport: {e:?}"),
            Self::WriteZero => f.write_str("transport took no bytes"),
            Self::Stalled => f.write_str("transport took no bytes in time"),
            Self::Malformed(e) => e.fmt(f),
            Self::Disconnected(reason) => write!(f, "the server ended the connection, reason 0x{reason:02x}"),
        }
    }
}

impl<E: core::fmt::Debug> core::error::Error for StreamError<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Malformed(e) => Some(e),
            _ => None,
        }
    }
}

impl<E: embedded_io_async::Error> embedded_io_async::Error for StreamError<E> {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Transport(e) => e.kind(),
            Self::WriteZero => ErrorKind::WriteZero,
            Self::Stalled => ErrorKind::TimedOut,
            Self::Malformed(_) => ErrorKind::InvalidData,
            Self::Disconnected(_) => ErrorKind::ConnectionReset,
        }
    }
}

impl<E> From<Malformed> for StreamError<E> {
    fn from(e: Malformed) -> Self {
        Self::Malformed(e)
    }
}

impl<S: ErrorType, const N: usize> ErrorType for V311<'_, S, N> {
    type Error = StreamError<S::Error>;
}

impl<S: Read, const N: usize> Read for V311<'_, S, N> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Self::Error> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            let waiting = self.ahead.get(self.start..self.end).unwrap_or_default();
            let (taken, put) = self.translator.deliver(waiting, buf)?;
            self.start += taken;
            if put > 0 {
                return Ok(put);
            }
            // Nothing is read ahead any more: with room in `buf` all of it was taken.
            let verbatim = self.translator.verbatim();
            if verbatim > 0 {
                let room = verbatim.min(buf.len());
                let n = self
                    .stream
                    .read(buf.get_mut(..room).unwrap_or_default())
                    .await
                    .map_err(StreamError::Transport)?;
                self.translator.passed(n)?;
                return Ok(n);
            }
            let n = self.stream.read(&mut self.ahead).await.map_err(StreamError::Transport)?;
            (self.start, self.end) = (0, n);
            if n == 0 {
                return Ok(0);
            }
        }
    }
}

/// What `operation` gives, if that is soon enough.
pub(crate) async fn within<T, E>(
    limit: Option<Duration>,
    operation: impl Future<Output = Result<T, E>>,
) -> Result<T, StreamError<E>> {
    let result = match limit {
        None => operation.await,
        Some(limit) => with_timeout(limit, operation).await.map_err(|_| StreamError::Stalled)?,
    };
    result.map_err(StreamError::Transport)
}

/// Writes some of `bytes`, and gives how many, if that is soon enough.
pub(crate) async fn drain_within<S: Write>(
    limit: Option<Duration>,
    stream: &mut S,
    bytes: &[u8],
) -> Result<usize, StreamError<S::Error>> {
    match within(limit, stream.write(bytes)).await? {
        0 => Err(StreamError::WriteZero),
        n => Ok(n),
    }
}

impl<S: Write, const N: usize> V311<'_, S, N> {
    async fn drain(&mut self) -> Result<(), StreamError<S::Error>> {
        let n = drain_within(self.write_limit, &mut self.stream, self.translator.pending()).await?;
        self.translator.consume(n);
        Ok(())
    }
}

impl<S: Write, const N: usize> Write for V311<'_, S, N> {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
        loop {
            let n = self.translator.accept(buf)?;
            if n > 0 || buf.is_empty() {
                return Ok(n);
            }
            self.drain().await?;
        }
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        while !self.translator.pending().is_empty() {
            self.drain().await?;
        }
        within(self.write_limit, self.stream.flush()).await
    }
}
