//! [`V5`]: the stream between the engine and an MQTT 5 hub. Nothing is translated: packets go through as they are.

use crate::translate::{Connect, Direction, Fault, Malformed, StreamError, drain_within, within};
use azure_iot_common::text::Writer;
use embassy_time::Duration;
use embedded_io_async::{ErrorType, Read, Write};

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const PUBACK: u8 = 0x40;
const DISCONNECT: u8 = 0xE0;

const FLAG_CLEAN: u8 = 0x02;
const FLAG_WILL: u8 = 0x04;
const FLAG_PASSWORD: u8 = 0x40;
const FLAG_USER_NAME: u8 = 0x80;

/// Protocol name, level, flags, keep-alive: what CONNECT begins with.
const HEAD: usize = 10;

/// How far the packets from the hub are.
#[derive(Clone, Copy, Debug)]
enum Scan {
    Header,
    Length { header: u8, length: u32, shift: u32 },
    Body { header: u8, left: u32, first: bool },
}

/// An MQTT 5 stream under the engine.
///
/// It says CONNECT with the device's own names, of any length and new for each connection; collects outbound bytes in a
/// stage of `N`, so that a packet becomes one TLS record and no packet smaller than that is ever torn by a dropped
/// future; has the engine send again what a forgotten session has not acknowledged; leaves out its acknowledgements
/// of what an earlier connection brought; and tells why the hub ended the connection
/// ([`StreamError::Disconnected`]), which the engine keeps to itself.
///
/// Reads, writes and flushes are as cancel-safe as those of `S`.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own about the connection")]
pub struct V5<'c, S, const N: usize> {
    stream: S,
    /// Until it was sent.
    connect: Option<&'c Connect<'c>>,
    clean: bool,
    resuming: bool,
    /// A message has come over this connection.
    received: bool,
    /// The engine is in the middle of a packet.
    midway: bool,
    stage: [u8; N],
    start: usize,
    end: usize,
    scan: Scan,
    ended: Option<u8>,
    write_limit: Option<Duration>,
}

impl<'c, S, const N: usize> V5<'c, S, N> {
    /// Over `stream`, an established connection. With `clean` the hub forgets an earlier session.
    pub fn new(stream: S, connect: &'c Connect<'c>, clean: bool) -> Self {
        Self {
            stream,
            connect: Some(connect),
            clean,
            resuming: false,
            received: false,
            midway: false,
            stage: [0; N],
            start: 0,
            end: 0,
            scan: Scan::Header,
            ended: None,
            write_limit: None,
        }
    }

    /// Fails with [`StreamError::Stalled`] when the stream below takes no bytes for so many milliseconds.
    #[must_use]
    pub fn with_write_limit(self, ms: u32) -> Self {
        Self { write_limit: Some(Duration::from_millis(ms.into())), ..self }
    }

    fn pending(&self) -> &[u8] {
        self.stage.get(self.start..self.end).unwrap_or_default()
    }

    /// Stages as much as there is room for; gives how much that was.
    fn put(&mut self, bytes: &[u8]) -> usize {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        let free = self.stage.get_mut(self.end..).unwrap_or_default();
        let n = bytes.len().min(free.len());
        for (to, from) in free.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.end += n;
        n
    }

    /// Looks at bytes from the hub. Gives how many the engine may have: those before DISCONNECT.
    fn inspect(&mut self, bytes: &mut [u8]) -> Result<usize, Malformed> {
        for (index, byte) in bytes.iter_mut().enumerate() {
            self.scan = match self.scan {
                Scan::Header => {
                    self.received |= *byte & 0xF0 == PUBLISH;
                    Scan::Length { header: *byte, length: 0, shift: 0 }
                }
                Scan::Length { header, length, shift } => {
                    let length = length | u32::from(*byte & 0x7F) << shift;
                    if *byte & 0x80 != 0 {
                        if shift >= 21 {
                            return Err(malformed(Direction::Inbound, header, Fault::LengthEncoding));
                        }
                        Scan::Length { header, length, shift: shift + 7 }
                    } else if length > 0 {
                        Scan::Body { header, left: length, first: true }
                    } else {
                        if header == DISCONNECT {
                            self.ended = Some(0);
                            return Ok(index);
                        }
                        Scan::Header
                    }
                }
                Scan::Body { header, left, first } => {
                    if first && header == DISCONNECT {
                        self.ended = Some(*byte);
                        return Ok(index);
                    }
                    if first && header == CONNACK && self.resuming {
                        // The engine is to send again what is not acknowledged, also if the hub has forgotten.
                        *byte |= 1;
                    }
                    if left > 1 { Scan::Body { header, left: left - 1, first: false } } else { Scan::Header }
                }
            };
        }
        Ok(bytes.len())
    }
}

fn malformed(direction: Direction, header: u8, fault: Fault) -> Malformed {
    Malformed { direction, header, offset: 0, fault }
}

/// A number as MQTT writes lengths.
fn length(text: &mut Writer<'_>, mut value: usize) {
    loop {
        let low = u8::try_from(value & 0x7F).unwrap_or_default();
        value >>= 7;
        text.byte(if value > 0 { low | 0x80 } else { low });
        if value == 0 {
            return;
        }
    }
}

/// The engine's CONNECT: what it begins with, and its properties with their length.
fn parse_connect(packet: &[u8]) -> Option<([u8; HEAD], &[u8])> {
    let mut rest = packet;
    let number = |rest: &mut &[u8]| {
        let mut value = 0usize;
        for shift in [0, 7, 14, 21] {
            let byte = *rest.split_off_first()?;
            value |= usize::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    };
    (*rest.split_off_first()? == CONNECT).then_some(())?;
    (number(&mut rest)? == rest.len()).then_some(())?;
    let head = rest.split_off(..HEAD)?.try_into().ok()?;
    let properties = rest;
    let size = number(&mut rest)?;
    let before = properties.len() - rest.len();
    Some((head, properties.get(..before.checked_add(size)?)?))
}

impl<S: Write, const N: usize> V5<'_, S, N> {
    async fn drain(&mut self) -> Result<(), StreamError<S::Error>> {
        let bytes = self.stage.get(self.start..self.end).unwrap_or_default();
        self.start += drain_within(self.write_limit, &mut self.stream, bytes).await?;
        Ok(())
    }

    async fn put_all(&mut self, mut bytes: &[u8]) -> Result<(), StreamError<S::Error>> {
        loop {
            let n = self.put(bytes);
            bytes = bytes.get(n..).unwrap_or_default();
            if bytes.is_empty() {
                return Ok(());
            }
            self.drain().await?;
        }
    }

    /// CONNECT in the place of the engine's: its keep-alive and properties, the device's names.
    async fn write_connect(
        &mut self,
        engine: &[u8],
        connect: &Connect<'_>,
    ) -> Result<(), StreamError<S::Error>> {
        let fault = |fault| malformed(Direction::Outbound, CONNECT, fault);
        let (mut head, properties) = parse_connect(engine).ok_or(fault(Fault::Length))?;
        let mut flags = FLAG_USER_NAME;
        if let Some(will) = connect.will {
            if will.qos > 2 {
                return Err(fault(Fault::QoS).into());
            }
            flags |= FLAG_WILL | will.qos << 3 | u8::from(will.retain) << 5;
        }
        if connect.password.is_some() {
            flags |= FLAG_PASSWORD;
        }
        if let Some(own) = head.get_mut(7) {
            self.resuming = *own & FLAG_CLEAN == 0;
            *own = if self.clean { flags | FLAG_CLEAN } else { flags };
        }
        let will = connect.will.map(|will| [will.topic.as_bytes(), will.payload]);
        let fields = [
            Some(connect.client_id.as_bytes()),
            will.map(|[topic, _]| topic),
            will.map(|[_, payload]| payload),
            Some(connect.user_name.as_bytes()),
            connect.password,
        ];
        let mut size = HEAD + properties.len() + usize::from(will.is_some());
        for field in fields.into_iter().flatten() {
            u16::try_from(field.len()).map_err(|_| fault(Fault::FieldTooLong))?;
            size += 2 + field.len();
        }
        let mut begin = [0; 5];
        let mut text = Writer::new(&mut begin);
        text.byte(CONNECT);
        length(&mut text, size);
        self.put_all(text.finish().unwrap_or_default()).await?;
        self.put_all(&head).await?;
        self.put_all(properties).await?;
        for (index, field) in fields.into_iter().enumerate() {
            let Some(field) = field else { continue };
            if index == 1 {
                // The will has no properties.
                self.put_all(&[0]).await?;
            }
            // Checked above.
            let bytes = u16::try_from(field.len()).unwrap_or_default();
            self.put_all(&bytes.to_be_bytes()).await?;
            self.put_all(field).await?;
        }
        Ok(())
    }
}

impl<S: ErrorType, const N: usize> ErrorType for V5<'_, S, N> {
    type Error = StreamError<S::Error>;
}

impl<S: Read + Write, const N: usize> Read for V5<'_, S, N> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Self::Error> {
        // What a dropped flush has left.
        if !self.pending().is_empty() {
            self.flush().await?;
        }
        loop {
            if let Some(reason) = self.ended {
                return Err(StreamError::Disconnected(reason));
            }
            if buf.is_empty() {
                return Ok(0);
            }
            let n = self.stream.read(buf).await.map_err(StreamError::Transport)?;
            if n == 0 {
                return Ok(0);
            }
            let n = self.inspect(buf.get_mut(..n).unwrap_or_default())?;
            if n > 0 {
                return Ok(n);
            }
        }
    }
}

impl<S: Write, const N: usize> Write for V5<'_, S, N> {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
        if let Some(connect) = self.connect.take() {
            self.write_connect(buf, connect).await?;
            return Ok(buf.len());
        }
        if !self.received && !self.midway && buf.first() == Some(&PUBACK) {
            // Nothing to acknowledge has come yet: it is for a message of an earlier connection, which the hub sends
            // again unless it has forgotten the session; then the packet id may be another message's by now.
            return Ok(buf.len());
        }
        loop {
            let n = self.put(buf);
            if n > 0 || buf.is_empty() {
                // The engine writes one packet at a time, and what is left of it next.
                self.midway = n < buf.len();
                return Ok(n);
            }
            self.drain().await?;
        }
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        while !self.pending().is_empty() {
            self.drain().await?;
        }
        within(self.write_limit, self.stream.flush()).await
    }
}
