//! The stream: what is written becomes binary frames, what is read are the data of those that come; control frames
//! are answered on the way.

use super::handshake::{Answer, Key, Upgrade};
use super::receive::{Control, Next, Receiver};
use super::send::{ControlKind, Sender};
use crate::http::HeadReader;
use crate::proxy::{read_head, send};
use crate::{Error, FrameFault};
use core::fmt;
use embedded_io_async::{ErrorType, Read, Write};

const NORMAL: u16 = 1000;
/// Stands for no code (RFC 6455, section 7.1.5).
const NO_CODE: u16 = 1005;
/// Bytes of a control frame that are read at once.
const PIECE: usize = 32;

/// How the connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Closed(u16),
    Fault(FrameFault),
    Truncated,
}

/// A stream of MQTT bytes over WebSocket frames.
///
/// `S` is the stream below, TLS as a rule; `R` gives random numbers that nobody can foresee, for the masks. `N` is
/// the room in which a frame is collected: at least 512 bytes, because the handshake takes place in it, at most
/// 65,543; eight of them are for the frame's header.
///
/// - What is written is sent by [`flush`](Write::flush), or when the room is full: one frame each. A larger MQTT
///   packet goes in several.
/// - Reads give the data of frames of any size and fragmentation, directly from the stream below. They answer pings,
///   which takes a write to the stream below.
/// - Reads give `Ok(0)` after a Close frame with code 1000 or none, [`Error::Closed`] after another one, and
///   [`Error::Truncated`] if the stream below ends without one.
/// - Futures of reads, writes and flushes may be dropped; nothing is lost by that if it is so for the stream below.
pub struct WebSocket<S, R, const N: usize = 1024> {
    stream: S,
    random: R,
    receiver: Receiver,
    sender: Sender<N>,
    /// Bytes went to the stream below since its last flush.
    unflushed: bool,
    end: Option<End>,
}

impl<S, R, const N: usize> fmt::Debug for WebSocket<S, R, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket").field("end", &self.end).finish_non_exhaustive()
    }
}

impl<S: Read + Write, R: FnMut() -> u32, const N: usize> WebSocket<S, R, N> {
    /// Does the opening handshake over `stream`. There is no time limit here.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::WriteZero`], [`Error::Truncated`]; [`Error::Request`] if the request is longer than `N`
    /// bytes; of the answer [`Error::NotHttp`], [`Error::HeadTooLong`] if a line is longer than `N` − 1 bytes,
    /// [`Error::UpgradeRefused`], [`Error::Handshake`].
    pub async fn open(mut stream: S, upgrade: &Upgrade<'_>, mut random: R) -> Result<Self, Error<S::Error>> {
        const { assert!(N >= 512, "the handshake needs 512 bytes") }
        let mut bytes = [0; 16];
        for four in bytes.chunks_exact_mut(4) {
            four.copy_from_slice(&random().to_be_bytes());
        }
        let key = Key::new(bytes);
        let mut sender = Sender::new();
        let room = sender.room();
        send(&mut stream, upgrade.write(&key, room)?).await?;
        let mut answer = Answer::to(&key);
        read_head(&mut stream, &mut HeadReader::new(room), |part| answer.judge(part)).await?;
        Ok(Self { stream, random, receiver: Receiver::new(), sender, unflushed: false, end: None })
    }

    /// Sends what was written, and a Close frame (1000); gives back the stream below. The server's Close frame is not
    /// waited for.
    ///
    /// # Errors
    /// Those of the stream below.
    pub async fn close(mut self) -> Result<S, Error<S::Error>> {
        if self.end.is_some() {
            // The answer to a Close frame, if that was not sent; the other side may listen no more.
            let _ = self.drain().await;
            return Ok(self.stream);
        }
        self.seal();
        self.drain().await?;
        self.queue_close(Some(NORMAL));
        self.drain().await?;
        Ok(self.stream)
    }

    fn mask(&mut self) -> [u8; 4] {
        (self.random)().to_be_bytes()
    }

    fn seal(&mut self) {
        if self.sender.has_data() {
            let mask = self.mask();
            self.sender.seal(mask);
        }
    }

    fn queue_close(&mut self, code: Option<u16>) {
        let mask = self.mask();
        // Data may not follow it.
        self.sender.discard();
        match code {
            Some(code) => self.sender.control(ControlKind::Close, &code.to_be_bytes(), mask),
            None => self.sender.control(ControlKind::Close, &[], mask),
        }
    }

    /// Writes the frames that are ready.
    async fn write_pending(&mut self) -> Result<(), Error<S::Error>> {
        while !self.sender.pending().is_empty() {
            let count = self.stream.write(self.sender.pending()).await.map_err(Error::Io)?;
            if count == 0 {
                return Err(Error::WriteZero);
            }
            self.sender.sent(count);
            self.unflushed = true;
        }
        Ok(())
    }

    /// Writes the frames that are ready, and flushes the stream below if anything was written.
    async fn drain(&mut self) -> Result<(), Error<S::Error>> {
        self.write_pending().await?;
        if self.unflushed {
            self.stream.flush().await.map_err(Error::Io)?;
            self.unflushed = false;
        }
        Ok(())
    }

    /// What a write is told after the end.
    fn check(&self) -> Result<(), Error<S::Error>> {
        Err(match self.end {
            None => return Ok(()),
            Some(End::Closed(code)) => Error::Closed { code },
            Some(End::Fault(fault)) => Error::Frame(fault),
            Some(End::Truncated) => Error::Truncated,
        })
    }

    /// Takes bytes of a header or a control frame.
    fn feed(&mut self, bytes: &[u8]) {
        let Self { receiver, sender, random, .. } = self;
        let end = match receiver.feed(bytes) {
            Ok(None | Some(Control::Pong(_))) => return,
            Ok(Some(Control::Ping(payload))) => {
                return sender.control(ControlKind::Pong, payload, random().to_be_bytes());
            }
            Ok(Some(Control::Close { code, reason })) => {
                #[cfg(feature = "log")]
                log::info!("the server closes the WebSocket, code {code:?} {reason}");
                #[cfg(feature = "defmt")]
                defmt::info!("the server closes the WebSocket, code {} {=str}", code, reason);
                let _ = reason;
                self.queue_close(code);
                End::Closed(code.unwrap_or(NO_CODE))
            }
            Err(fault) => {
                self.queue_close(Some(fault.close_code()));
                End::Fault(fault)
            }
        };
        self.end = Some(end);
    }
}

impl<S: ErrorType, R, const N: usize> ErrorType for WebSocket<S, R, N> {
    type Error = Error<S::Error>;
}

impl<S: Read + Write, R: FnMut() -> u32, const N: usize> Read for WebSocket<S, R, N> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Self::Error> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            // Before anything else comes in, so that one answer at a time is waiting.
            let drained = self.drain().await;
            if let Some(End::Closed(NORMAL | NO_CODE)) = self.end {
                return Ok(0);
            }
            // After the end the other side may listen no more.
            self.check()?;
            drained?;
            match self.receiver.next() {
                Next::Data(announced) => {
                    let room = announced.min(buf.len());
                    let room = buf.get_mut(..room).unwrap_or_default();
                    let count = self.stream.read(room).await.map_err(Error::Io)?;
                    if count > 0 {
                        self.receiver.took(count);
                        return Ok(count);
                    }
                    self.end = Some(End::Truncated);
                }
                Next::Frame(wanted) => {
                    let mut piece = [0; PIECE];
                    let room = piece.get_mut(..wanted.min(PIECE)).unwrap_or_default();
                    let count = self.stream.read(room).await.map_err(Error::Io)?;
                    if count > 0 {
                        self.feed(piece.get(..count).unwrap_or_default());
                    } else {
                        self.end = Some(End::Truncated);
                    }
                }
                Next::Nothing => self.end = Some(self.end.unwrap_or(End::Closed(NO_CODE))),
            }
        }
    }
}

impl<S: Read + Write, R: FnMut() -> u32, const N: usize> Write for WebSocket<S, R, N> {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
        loop {
            self.check()?;
            let count = self.sender.accept(buf);
            if count > 0 || buf.is_empty() {
                return Ok(count);
            }
            self.seal();
            self.write_pending().await?;
        }
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        self.check()?;
        self.seal();
        self.write_pending().await?;
        self.stream.flush().await.map_err(Error::Io)?;
        self.unflushed = false;
        Ok(())
    }
}
