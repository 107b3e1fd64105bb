//! The head of an HTTP/1 answer, line by line, and no byte beyond it: what follows belongs to the tunnel.
//!
//! A [`HeadReader`] is given pieces of any size. It keeps one line at a time, in a buffer of the caller's; the head may
//! have [`MAX_HEAD`] bytes. Interim answers (1xx, but for 101) are passed over.

/// The longest head, all interim answers before it included, in bytes.
pub const MAX_HEAD: u16 = 16 * 1024;

/// Where the status of a first line ends at the latest, in bytes.
const STATUS_END: usize = 16;

/// Why a head cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum HeadFault {
    /// It is not that of an HTTP/1.0 or 1.1 answer.
    NotHttp,
    /// It has more than [`MAX_HEAD`] bytes, or a line does not fit the buffer.
    TooLong,
}

impl<E> From<HeadFault> for crate::Error<E> {
    fn from(fault: HeadFault) -> Self {
        match fault {
            HeadFault::NotHttp => Self::NotHttp,
            HeadFault::TooLong => Self::HeadTooLong,
        }
    }
}

/// A part of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// The first line of the answer.
    Status {
        /// 101, or 200 to 999.
        status: u16,
        /// Whether the answer is of HTTP/1.1, not 1.0.
        is_http11: bool,
    },
    /// A header; its value has no blanks around it.
    Header {
        /// Its name, whose case means nothing.
        name: &'a str,
        /// Its value.
        value: &'a [u8],
    },
    /// The empty line: the head is over.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    FirstLine,
    Headers { interim: bool },
    Done,
}

/// What a line was.
enum Line {
    Passed,
    Status { status: u16, is_http11: bool },
    Header,
    End,
}

/// Reads a head.
///
/// ```
/// use azure_iot_tunnel::http::{HeadReader, Part};
/// let mut line = [0; 64];
/// let mut reader = HeadReader::new(&mut line);
/// let answer = b"HTTP/1.1 200 OK\r\nVia: proxy\r\n\r\n\x16\x03";
/// let mut taken = 0;
/// while !reader.is_done() {
///     let (count, part) = reader.feed(&answer[taken..])?;
///     taken += count;
///     if let Some(Part::Header { name, value }) = part {
///         assert_eq!((name, value), ("Via", &b"proxy"[..]));
///     }
/// }
/// assert_eq!(&answer[taken..], b"\x16\x03");
/// # Ok::<(), azure_iot_tunnel::http::HeadFault>(())
/// ```
#[derive(Debug)]
pub struct HeadReader<'b> {
    line: &'b mut [u8],
    len: usize,
    /// The line is over; it stays until the next byte, because a part borrows it.
    is_over: bool,
    total: u16,
    state: State,
    /// Headers are counted, not read.
    status_only: bool,
}

impl<'b> HeadReader<'b> {
    /// Before the first byte. `line` takes one line with its end, and one byte more.
    #[must_use]
    pub fn new(line: &'b mut [u8]) -> Self {
        Self { line, len: 0, is_over: false, total: 0, state: State::FirstLine, status_only: false }
    }

    /// As [`new`](Self::new), but gives no [`Part::Header`]: headers may look as they want, and be longer than `line`.
    #[must_use]
    pub fn status_only(line: &'b mut [u8]) -> Self {
        Self { status_only: true, ..Self::new(line) }
    }

    /// Whether the head is over.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// So many bytes that come next are certainly of the head: who reads no more from a stream takes nothing from what
    /// follows.
    #[must_use]
    pub fn wanted(&self) -> usize {
        match self.state {
            State::Done => 0,
            // A line that may be the empty one.
            State::Headers { .. } if self.is_over || matches!(self.current(), [] | [b'\r']) => 1,
            // The end of this line, and that of the empty one.
            State::FirstLine | State::Headers { .. } => 2,
        }
    }

    /// Takes bytes up to the end of a line; gives how many it took, and the part of the head that is complete with
    /// them.
    ///
    /// # Errors
    /// The answer is none, or too long; the reader is of no use afterwards.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(usize, Option<Part<'_>>), HeadFault> {
        let mut taken = 0;
        for &byte in bytes {
            if self.is_done() {
                break;
            }
            taken += 1;
            self.push(byte)?;
            if byte != b'\n' {
                continue;
            }
            self.is_over = true;
            let part = match self.end_of_line()? {
                Line::Passed => continue,
                Line::Status { status, is_http11 } => Part::Status { status, is_http11 },
                Line::Header => self.header()?,
                Line::End => Part::End,
            };
            return Ok((taken, Some(part)));
        }
        Ok((taken, None))
    }

    fn current(&self) -> &[u8] {
        self.line.get(..self.len).unwrap_or_default()
    }

    fn push(&mut self, byte: u8) -> Result<(), HeadFault> {
        if core::mem::take(&mut self.is_over) {
            self.len = 0;
        }
        self.total += 1;
        let unread = self.status_only && self.state != State::FirstLine;
        match self.line.get_mut(self.len) {
            _ if self.total > MAX_HEAD => return Err(HeadFault::TooLong),
            Some(place) => {
                *place = byte;
                self.len += 1;
            }
            None if unread => {}
            None => return Err(HeadFault::TooLong),
        }
        // Who does not speak HTTP may never end a line.
        if self.state == State::FirstLine && self.len <= STATUS_END {
            self.first_line()?;
        }
        Ok(())
    }

    /// Version (1 for HTTP/1.1) and status, as far as they are there.
    fn first_line(&self) -> Result<(Option<u8>, Option<u16>), HeadFault> {
        let mut response = httparse::Response::new(&mut []);
        // It would pass over empty lines before.
        let begins = self.current().first() == Some(&b'H');
        if !begins || response.parse(self.current()).is_err() {
            return Err(HeadFault::NotHttp);
        }
        Ok((response.version, response.code))
    }

    fn end_of_line(&mut self) -> Result<Line, HeadFault> {
        let State::Headers { interim } = self.state else {
            let (version, status) = self.first_line()?;
            let status = status.filter(|status| *status >= 100).ok_or(HeadFault::NotHttp)?;
            let interim = status < 200 && status != 101;
            self.state = State::Headers { interim };
            let is_http11 = version == Some(1);
            return Ok(if interim { Line::Passed } else { Line::Status { status, is_http11 } });
        };
        Ok(match (matches!(self.current(), b"\n" | b"\r\n"), interim) {
            (true, true) => {
                self.state = State::FirstLine;
                Line::Passed
            }
            (true, false) => {
                self.state = State::Done;
                Line::End
            }
            (false, interim) if interim || self.status_only => Line::Passed,
            (false, _) => Line::Header,
        })
    }

    /// The line as a header.
    fn header(&mut self) -> Result<Part<'_>, HeadFault> {
        // As if it were the last one.
        *self.line.get_mut(self.len).ok_or(HeadFault::TooLong)? = b'\n';
        let mut headers = [httparse::EMPTY_HEADER];
        let lines = self.line.get(..=self.len).unwrap_or_default();
        match httparse::parse_headers(lines, &mut headers) {
            Ok(httparse::Status::Complete(_)) => {
                let [httparse::Header { name, value }] = headers;
                Ok(Part::Header { name, value: value.trim_ascii() })
            }
            _ => Err(HeadFault::NotHttp),
        }
    }
}
