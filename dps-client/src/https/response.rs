//! The reader of answers.
use core::fmt;

use super::{Chunked, date};
use crate::Answer;
use azure_iot_common::query;
use azure_iot_common::text::parse_u32;

/// Why the bytes are not an acceptable HTTP answer. The connection is of no more use; report
/// [`RegistrationEvent::Disconnected`](crate::RegistrationEvent::Disconnected).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum HttpError {
    /// The status line is malformed.
    BadHead,
    /// The head is larger than the buffer.
    HeadTooLarge,
    /// The body is larger than the buffer.
    BodyTooLarge,
    /// The body's length is given twice, not at all readable, or in an unknown coding.
    BadLength,
    /// The chunked coding is broken.
    BadChunk,
    /// The connection ended inside the answer.
    Truncated,
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadHead => "malformed head of an HTTP answer",
            Self::HeadTooLarge => "the head of the HTTP answer does not fit the buffer",
            Self::BodyTooLarge => "the body of the HTTP answer does not fit the buffer",
            Self::BadLength => "the HTTP answer's length is contradictory or in an unknown coding",
            Self::BadChunk => "malformed chunk in the HTTP answer",
            Self::Truncated => "the connection ended inside the HTTP answer",
        })
    }
}

impl core::error::Error for HttpError {}

#[derive(Clone, Debug)]
enum State {
    Head,
    /// Bytes left of the body.
    Length(usize),
    Chunked(Chunked),
    UntilClose,
    Done,
}

/// What is kept of a head.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    status: u16,
    retry_after_s: Option<u32>,
    date: Option<u64>,
    keep_alive: bool,
}

/// Reads one answer from pieces of any size into a borrowed buffer, which has to hold the larger of head and body
/// (2 KiB each are common; with issued certificates up to 12 KiB of body).
///
/// ```
/// use dps_client::https::ResponseReader;
/// let mut buffer = [0; 256];
/// let mut reader = ResponseReader::new(&mut buffer);
/// reader.feed(b"HTTP/1.1 202 Accepted\r\nRetry-After: 3\r\nContent-Len")?;
/// reader.feed(b"gth: 2\r\n\r\n{}")?;
/// let answer = reader.answer().unwrap();
/// assert_eq!((answer.status, answer.retry_after_s, answer.body), (202, Some(3), &b"{}"[..]));
/// # Ok::<(), dps_client::https::HttpError>(())
/// ```
#[derive(Debug)]
pub struct ResponseReader<'b> {
    buffer: &'b mut [u8],
    filled: usize,
    state: State,
    head: Head,
}

impl<'b> ResponseReader<'b> {
    /// At the beginning of an answer.
    #[must_use]
    pub fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, filled: 0, state: State::Head, head: Head::default() }
    }

    /// Takes bytes of the connection and gives how many: all, unless the answer ended before.
    ///
    /// # Errors
    /// [`HttpError`]; the reader is of no more use then.
    pub fn feed(&mut self, input: &[u8]) -> Result<usize, HttpError> {
        let mut rest = input;
        while let (State::Head, Some((&byte, tail))) = (&self.state, rest.split_first()) {
            rest = tail;
            *self.buffer.get_mut(self.filled).ok_or(HttpError::HeadTooLarge)? = byte;
            self.filled += 1;
            let head = self.buffer.get(..self.filled).unwrap_or(&[]);
            if head.ends_with(b"\n\r\n") || head.ends_with(b"\n\n") {
                (self.head, self.state) = parse_head(head)?;
                self.filled = 0;
            }
        }
        let taken = match &mut self.state {
            State::Head | State::Done => 0,
            State::Length(left) => {
                let taken = rest.len().min(*left);
                *left -= taken;
                if *left == 0 {
                    self.state = State::Done;
                }
                self.append(rest.get(..taken).unwrap_or(&[]))?;
                taken
            }
            State::UntilClose => {
                self.append(rest)?;
                rest.len()
            }
            State::Chunked(decoder) => {
                let room = self.buffer.get_mut(self.filled..).unwrap_or(&mut []);
                let (taken, written) = decoder.decode(rest, room)?;
                self.filled += written;
                if decoder.is_done() {
                    self.state = State::Done;
                }
                taken
            }
        };
        Ok(input.len() - rest.len() + taken)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), HttpError> {
        let end = self.filled + bytes.len();
        self.buffer.get_mut(self.filled..end).ok_or(HttpError::BodyTooLarge)?.copy_from_slice(bytes);
        self.filled = end;
        Ok(())
    }

    /// The connection has ended; that ends an answer without a length too.
    ///
    /// # Errors
    /// [`HttpError::Truncated`] if the answer is not whole.
    pub fn finish(&mut self) -> Result<(), HttpError> {
        match self.state {
            State::UntilClose | State::Done => {
                self.state = State::Done;
                Ok(())
            }
            _ => Err(HttpError::Truncated),
        }
    }

    /// The answer, once it is whole.
    #[must_use]
    pub fn answer(&self) -> Option<Answer<'_>> {
        match self.state {
            State::Done => Some(Answer {
                status: self.head.status,
                rid: None,
                retry_after_s: self.head.retry_after_s,
                body: self.buffer.get(..self.filled)?,
            }),
            _ => None,
        }
    }

    /// Whether the connection can take another request.
    #[must_use]
    pub fn keep_alive(&self) -> bool {
        self.head.keep_alive
    }

    /// The service's clock in seconds since 1970 UTC, from the `Date` header: a start for a device without one.
    #[must_use]
    pub fn date(&self) -> Option<u64> {
        self.head.date
    }
}

/// Name and value of the lines of a head that are headers; other lines (folded ones, say) are passed over.
fn headers(head: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    head.split(|byte| *byte == b'\n').skip(1).filter_map(|line| {
        let (name, value) = core::str::from_utf8(line).ok()?.split_once(':')?;
        let is_token = !name.is_empty() && !name.starts_with([' ', '\t']);
        is_token.then_some((name.trim_ascii_end(), value.trim_ascii()))
    })
}

/// Version (1 for HTTP/1.1) and status of the first line.
fn status_line(head: &[u8]) -> Option<(u8, u16)> {
    let mut response = httparse::Response::new(&mut []);
    // The headers are read one by one, whatever they look like: here the line alone.
    response.parse(head.split_inclusive(|byte| *byte == b'\n').next()?).ok()?;
    Some((response.version?, response.code.filter(|code| (100..=599).contains(code))?))
}

/// The parts of a head that matter, and where it leads. Only what frames the body can make it unusable.
fn parse_head(bytes: &[u8]) -> Result<(Head, State), HttpError> {
    let (version, status) = status_line(bytes).ok_or(HttpError::BadHead)?;
    if status < 200 {
        // An interim answer; the real one follows.
        return Ok((Head::default(), State::Head));
    }
    let mut head = Head { status, keep_alive: version == 1, ..Head::default() };
    let (mut length, mut chunked, mut retry_date) = (None, false, None);
    for (name, value) in headers(bytes) {
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
        if is("Content-Length") {
            // The same length may be given more than once, also in one line (RFC 9110, section 8.6).
            for value in value.split(',') {
                let value = parse_u32(value.trim_ascii()).ok_or(HttpError::BadLength)?;
                if length.replace(value).is_some_and(|other| other != value) {
                    return Err(HttpError::BadLength);
                }
            }
        } else if is("Transfer-Encoding") {
            if chunked || !value.eq_ignore_ascii_case("chunked") {
                return Err(HttpError::BadLength);
            }
            chunked = true;
        } else if is("Connection") {
            let close = value.split(',').any(|word| word.trim_ascii().eq_ignore_ascii_case("close"));
            head.keep_alive &= !close;
        } else if is("Retry-After") {
            head.retry_after_s = head.retry_after_s.max(query::seconds(value));
            retry_date = retry_date.max(date::parse(value));
        } else if is("Date") {
            head.date = head.date.or(date::parse(value));
        }
    }
    if let (Some(until), Some(now)) = (retry_date, head.date) {
        head.retry_after_s = head.retry_after_s.max(u32::try_from(until.saturating_sub(now)).ok());
    }
    let state = match (chunked, length) {
        _ if matches!(status, 204 | 304) => State::Done,
        (true, length) => {
            // The coding counts (RFC 9112, section 6.3); but who sends both is not trusted with another request.
            head.keep_alive &= length.is_none();
            State::Chunked(Chunked::new())
        }
        (false, Some(0)) => State::Done,
        (false, Some(length)) => State::Length(usize::try_from(length).map_err(|_| HttpError::BodyTooLarge)?),
        (false, None) => {
            head.keep_alive = false;
            State::UntilClose
        }
    };
    Ok((head, state))
}
