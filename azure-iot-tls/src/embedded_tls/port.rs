//! The records between `embedded-tls` and the stream below: whole records in, a queue out.
//!
//! `embedded-tls` 0.19 keeps half-read records and half-written ones in its futures, and loses them when those are
//! dropped. It gets only whole records from here, and its writes always succeed at once; so its futures never wait,
//! and there is nothing to lose. What can be seen of a record in the clear is checked here too.

use super::suite::AFTER_HANDSHAKE;
use crate::{Alert, Error};
use core::cell::RefCell;
use core::convert::Infallible;
use core::future::poll_fn;
use core::task::Poll;
use embedded_io_async::{Error as _, ErrorType, Read, Write};

const HEADER: usize = 5;
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;
/// A content type and a tag: there is nothing shorter that is authentic and not empty (RFC 8446 §5.2).
const MIN_ENCRYPTED: usize = 17;

/// Where the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Its `ServerHello` is the next.
    Hello,
    /// It has encrypted its part of the handshake.
    Handshake,
    /// The handshake is over.
    Data,
}

/// A record that comes and a queue of what goes.
#[derive(Debug)]
pub(super) struct Records<const RX: usize, const TX: usize> {
    record: [u8; RX],
    /// Bytes of the record that have come.
    have: usize,
    /// Bytes of it that were passed on. It is passed on when it is whole.
    given: usize,
    queue: [u8; TX],
    /// Bytes in the queue, and how many of them were sent.
    queued: usize,
    sent: usize,
    phase: Phase,
}

impl<const RX: usize, const TX: usize> Records<RX, TX> {
    pub(super) const fn new() -> Self {
        Self { record: [0; RX], have: 0, given: 0, queue: [0; TX], queued: 0, sent: 0, phase: Phase::Hello }
    }

    pub(super) fn reset(&mut self) {
        (self.have, self.given, self.queued, self.sent) = (0, 0, 0, 0);
        self.phase = Phase::Hello;
    }

    pub(super) fn handshake_is_over(&mut self) {
        self.phase = Phase::Data;
    }

    fn length(&self) -> Option<usize> {
        let [_, _, _, high, low, ..] = *self.record.first_chunk::<HEADER>()?;
        (self.have >= HEADER).then(|| HEADER + usize::from(u16::from_be_bytes([high, low])))
    }

    fn is_whole(&self) -> bool {
        self.length() == Some(self.have)
    }

    /// Where the next bytes go to, and no more than belong to this record.
    fn space(&mut self) -> Result<&mut [u8], Error> {
        let end = self.length().unwrap_or(HEADER);
        if end > HEADER && !matches!(self.record.first(), Some(CHANGE_CIPHER_SPEC..=DATA)) {
            return Err(Error::BadRecord);
        }
        self.record.get_mut(self.have..end).ok_or(Error::TooLong)
    }

    /// Checks a record that is whole; false if it is to be passed over.
    fn check(&mut self) -> Result<bool, Error> {
        let Some((&[kind, ..], content)) = self.record.split_first_chunk::<HEADER>() else {
            return Err(Error::BadRecord);
        };
        let content = content.get(..self.have - HEADER).unwrap_or_default();
        match (kind, self.phase) {
            (HANDSHAKE, Phase::Hello) => {
                check_server_hello(content)?;
                self.phase = Phase::Handshake;
                Ok(true)
            }
            (DATA, Phase::Handshake | Phase::Data) if content.len() >= MIN_ENCRYPTED => {
                if let Some(minor) = self.record.get_mut(2) {
                    *minor = if self.phase == Phase::Data { AFTER_HANDSHAKE } else { 3 };
                }
                Ok(true)
            }
            // For boxes in the middle of the way; means nothing (RFC 8446 §5).
            (CHANGE_CIPHER_SPEC, Phase::Handshake) if content == [1] => Ok(false),
            (ALERT, Phase::Hello) => match *content {
                [_, number] => Err(Error::from_alert(Alert(number))),
                _ => Err(Error::BadRecord),
            },
            (HANDSHAKE, Phase::Data) => Err(Error::UnexpectedMessage),
            _ => Err(Error::BadRecord),
        }
    }
}

/// What `embedded-tls` 0.19 does not check of a `ServerHello`: that it is one, alone and whole, for TLS 1.3 and the
/// suite that was offered.
fn check_server_hello(record: &[u8]) -> Result<(), Error> {
    /// The random that makes it a HelloRetryRequest (RFC 8446 §4.1.3).
    const RETRY: [u8; 8] = [0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11];
    let [2, high, middle, low, body @ ..] = record else { return Err(Error::UnexpectedMessage) };
    let length = usize::try_from(u32::from_be_bytes([0, *high, *middle, *low])).unwrap_or(usize::MAX);
    if body.len() != length {
        return Err(if length > 1 << 14 { Error::TooLong } else { Error::BadMessage });
    }
    let bad = Error::BadMessage;
    let (version, rest) = body.split_first_chunk::<2>().ok_or(bad)?;
    let (random, rest) = rest.split_first_chunk::<32>().ok_or(bad)?;
    let (id_length, rest) = rest.split_first().ok_or(bad)?;
    let rest = rest.get(usize::from(*id_length)..).ok_or(bad)?;
    let [suite_high, suite_low, compression, ext_high, ext_low, extensions @ ..] = rest else {
        // TLS 1.2 may leave out the extensions.
        return Err(if rest.len() == 3 { Error::Downgrade } else { bad });
    };
    if usize::from(u16::from_be_bytes([*ext_high, *ext_low])) != extensions.len() {
        return Err(bad);
    }
    if *version != [3, 3] || selected_version(extensions)? != Some([3, 4]) {
        return Err(Error::Downgrade);
    }
    if random.starts_with(&RETRY) {
        return Err(Error::Unsupported);
    }
    if [*suite_high, *suite_low] != [0x13, 0x01] || *compression != 0 {
        return Err(bad);
    }
    Ok(())
}

/// The content of the extension `supported_versions`.
fn selected_version(mut extensions: &[u8]) -> Result<Option<[u8; 2]>, Error> {
    let mut found = None;
    while let [kind_high, kind_low, high, low, rest @ ..] = extensions {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (content, rest) = rest.split_at_checked(length).ok_or(Error::BadMessage)?;
        if [*kind_high, *kind_low] == [0, 43] {
            found = Some(content.try_into().map_err(|_| Error::BadMessage)?);
        }
        extensions = rest;
    }
    if extensions.is_empty() { Ok(found) } else { Err(Error::BadMessage) }
}

/// The face of [`Records`] towards `embedded-tls`.
pub(super) struct Port<'a, const RX: usize, const TX: usize>(pub(super) &'a RefCell<Records<RX, TX>>);

impl<const RX: usize, const TX: usize> ErrorType for Port<'_, RX, TX> {
    type Error = Infallible;
}

impl<const RX: usize, const TX: usize> Read for Port<'_, RX, TX> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Infallible> {
        poll_fn(|_| {
            let records = &mut *self.0.borrow_mut();
            if !records.is_whole() {
                return Poll::Pending; // `fill` has to be called; who polls knows
            }
            let rest = records.record.get(records.given..records.have).unwrap_or_default();
            let count = rest.len().min(buf.len());
            buf.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            records.given += count;
            if records.given == records.have {
                (records.have, records.given) = (0, 0);
            }
            Poll::Ready(Ok(count))
        })
        .await
    }
}

impl<const RX: usize, const TX: usize> Write for Port<'_, RX, TX> {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Infallible> {
        poll_fn(|_| {
            let records = &mut *self.0.borrow_mut();
            let space = records.queue.get_mut(records.queued..).unwrap_or_default();
            let count = space.len().min(buf.len());
            if count == 0 && !buf.is_empty() {
                return Poll::Pending; // `send` has to be called
            }
            space.iter_mut().zip(buf).for_each(|(to, from)| *to = *from);
            records.queued += count;
            Poll::Ready(Ok(count))
        })
        .await
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// The face of [`Records`] towards the stream below. Nothing is borrowed while it is waited for.
pub(super) struct Link<'a, S, const RX: usize, const TX: usize> {
    pub(super) io: S,
    pub(super) records: &'a RefCell<Records<RX, TX>>,
    pub(super) unflushed: bool,
    /// A chunk on its way out.
    pub(super) chunk: Chunk,
}

/// Bytes are written from here, so that the queue is not borrowed meanwhile.
#[derive(Debug)]
pub(super) struct Chunk {
    bytes: [u8; 256],
}

impl Chunk {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; 256] }
    }
}

impl<S: Read + Write, const RX: usize, const TX: usize> Link<'_, S, RX, TX> {
    /// Whether there is anything to be sent.
    pub(super) fn has_queue(&self) -> bool {
        let records = self.records.borrow();
        records.sent < records.queued
    }

    /// Sends the queue. May be dropped and called again: what was sent is counted at once.
    pub(super) async fn send(&mut self) -> Result<(), Error> {
        loop {
            let count = {
                let records = &mut *self.records.borrow_mut();
                let rest = records.queue.get(records.sent..records.queued).unwrap_or_default();
                self.chunk.bytes.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                rest.len().min(self.chunk.bytes.len())
            };
            if count == 0 {
                let records = &mut *self.records.borrow_mut();
                (records.sent, records.queued) = (0, 0);
                break;
            }
            let chunk = self.chunk.bytes.get(..count).unwrap_or_default();
            match self.io.write(chunk).await.map_err(|cause| Error::Io(cause.kind()))? {
                0 => return Err(Error::Truncated),
                written => self.records.borrow_mut().sent += written,
            }
            self.unflushed = true;
        }
        if self.unflushed {
            self.io.flush().await.map_err(|cause| Error::Io(cause.kind()))?;
            self.unflushed = false;
        }
        Ok(())
    }

    /// Waits for a whole record. May be dropped and called again: what has come is kept.
    pub(super) async fn fill(&mut self) -> Result<(), Error> {
        loop {
            if self.records.borrow().is_whole() {
                if self.records.borrow_mut().check()? {
                    return Ok(());
                }
                self.records.borrow_mut().have = 0;
            }
            let wanted = self.records.borrow_mut().space()?.len().min(self.chunk.bytes.len());
            let chunk = self.chunk.bytes.get_mut(..wanted).unwrap_or_default();
            let count = self.io.read(chunk).await.map_err(|cause| Error::Io(cause.kind()))?;
            if count == 0 {
                return Err(Error::Truncated);
            }
            let records = &mut *self.records.borrow_mut();
            let space = records.space()?;
            space.iter_mut().zip(chunk.iter().take(count)).for_each(|(to, from)| *to = *from);
            records.have += count;
        }
    }
}
