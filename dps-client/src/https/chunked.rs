//! The chunked transfer coding (RFC 9112, section 7.1), decoded as the bytes come.
use super::HttpError;

/// Bytes of chunk extensions and trailers that are skipped in one body before it counts as hostile.
const MAX_SKIPPED: u16 = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Digits of the size; how many so far, leading zeros counted once.
    Size(u8),
    /// From the end of the digits to the line feed.
    Extension,
    /// Bytes left of the chunk.
    Data,
    /// The line end after the data.
    DataEnd,
    /// A trailer line; whether it is empty so far.
    Trailer(bool),
    Done,
}

/// Decoder of a chunked body.
///
/// ```
/// use dps_client::https::Chunked;
/// let mut out = [0; 16];
/// let mut decoder = Chunked::new();
/// let (read, written) = decoder.decode(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\nHTTP/1.1", &mut out)?;
/// assert_eq!((read, &out[..written], decoder.is_done()), (24, &b"abcde"[..], true));
/// # Ok::<(), dps_client::https::HttpError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Chunked {
    state: State,
    left: u32,
    skipped: u16,
}

impl Default for Chunked {
    fn default() -> Self {
        Self::new()
    }
}

impl Chunked {
    /// At the beginning of a body.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: State::Size(0), left: 0, skipped: 0 }
    }

    /// Whether the last chunk and the trailers are through.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes input and appends data to `out`; gives the bytes taken and the bytes written. Input after the end of the
    /// body is not taken.
    ///
    /// # Errors
    /// [`HttpError::BadChunk`]; [`HttpError::BodyTooLarge`] when `out` is full.
    pub fn decode(&mut self, input: &[u8], out: &mut [u8]) -> Result<(usize, usize), HttpError> {
        let (mut read, mut written) = (0, 0);
        for &byte in input {
            if self.is_done() {
                break;
            }
            read += 1;
            if self.step(byte)? {
                *out.get_mut(written).ok_or(HttpError::BodyTooLarge)? = byte;
                written += 1;
            }
        }
        Ok((read, written))
    }

    /// Takes one byte; whether it is data.
    fn step(&mut self, byte: u8) -> Result<bool, HttpError> {
        self.state = match (self.state, byte) {
            // Seven digits are beyond any body and cannot overflow.
            (State::Size(digits @ 0..7), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16).ok_or(HttpError::BadChunk)?;
                let is_leading_zero = self.left == 0 && digits > 0;
                self.left = self.left << 4 | digit;
                if is_leading_zero { self.skip(State::Size(digits))? } else { State::Size(digits + 1) }
            }
            (State::Size(1..), b'\r' | b';' | b' ' | b'\t') => State::Extension,
            (State::Size(1..) | State::Extension, b'\n') if self.left == 0 => State::Trailer(true),
            (State::Size(1..) | State::Extension, b'\n') => State::Data,
            (State::Extension, _) => self.skip(State::Extension)?,
            (State::Data, _) => {
                self.left -= 1;
                if self.left == 0 {
                    self.state = State::DataEnd;
                }
                return Ok(true);
            }
            (State::DataEnd, b'\r') => self.skip(State::DataEnd)?,
            (State::DataEnd, b'\n') => State::Size(0),
            (State::Trailer(empty), b'\r') => self.skip(State::Trailer(empty))?,
            (State::Trailer(true), b'\n') => State::Done,
            (State::Trailer(false), b'\n') => State::Trailer(true),
            (State::Trailer(_), _) => self.skip(State::Trailer(false))?,
            (State::Done | State::Size(_) | State::DataEnd, _) => return Err(HttpError::BadChunk),
        };
        Ok(false)
    }

    fn skip(&mut self, state: State) -> Result<State, HttpError> {
        self.skipped += 1;
        if self.skipped > MAX_SKIPPED { Err(HttpError::BadChunk) } else { Ok(state) }
    }
}
