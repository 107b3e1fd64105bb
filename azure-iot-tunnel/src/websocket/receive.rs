//! Frames of the server, taken apart without keeping more than a header and a control frame: the data of a message goes
//! straight to who reads it, however large the frame is.

use crate::FrameFault;
use edge_ws::{Error as HeaderError, FrameHeader, FrameType};

/// The longest payload of a control frame.
pub(super) const MAX_CONTROL: usize = 125;
/// The longest header without a mask.
const MAX_HEADER: usize = 10;
const MIN_HEADER: usize = 2;

/// What the next bytes of the stream are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// At least so many of a header or a control frame: give them to [`Receiver::feed`].
    Frame(usize),
    /// So many of the data: give them to whoever reads, and their count to [`Receiver::took`].
    Data(usize),
    /// None: the server has sent its Close frame.
    Nothing,
}

/// A control frame of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control<'a> {
    /// To be answered with a pong of the same payload.
    Ping(&'a [u8]),
    /// Not asked for: to be ignored.
    Pong(&'a [u8]),
    /// The server sends no more; to be answered with a Close frame.
    Close {
        /// Why, unless it does not say (RFC 6455, section 7.4).
        code: Option<u16>,
        /// The same for people; often empty.
        reason: &'a str,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Data { is_final: bool },
    Ping,
    Pong,
    Close,
}

/// Takes frames apart.
#[derive(Debug)]
pub struct Receiver {
    header: [u8; MAX_HEADER],
    header_len: usize,
    /// More bytes of the header.
    missing: usize,
    /// The frame whose payload comes, and how much of it.
    frame: Option<(Kind, u64)>,
    /// More fragments of the message follow.
    is_fragmented: bool,
    control: [u8; MAX_CONTROL],
    control_len: usize,
    is_closed: bool,
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new()
    }
}

impl Receiver {
    /// Before the first frame.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            header: [0; MAX_HEADER],
            header_len: 0,
            missing: MIN_HEADER,
            frame: None,
            is_fragmented: false,
            control: [0; MAX_CONTROL],
            control_len: 0,
            is_closed: false,
        }
    }

    /// What the next bytes of the stream are.
    #[must_use]
    pub fn next(&self) -> Next {
        match self.frame {
            _ if self.is_closed => Next::Nothing,
            None => Next::Frame(self.missing),
            Some((Kind::Data { .. }, left)) => Next::Data(usize::try_from(left).unwrap_or(usize::MAX)),
            Some((_, left)) => Next::Frame(usize::try_from(left).unwrap_or(usize::MAX)),
        }
    }

    /// So many bytes of the data were read; more than were announced count as those.
    pub fn took(&mut self, count: usize) {
        if let Some((kind @ Kind::Data { is_final }, left)) = self.frame {
            // A usize has at most 64 bits.
            let left = left.saturating_sub(count as u64);
            self.frame = Some((kind, left));
            if left == 0 {
                self.end_of_data(is_final);
            }
        }
    }

    /// Takes bytes of a header or control frame, no more than [`next`](Self::next) says; gives the control frame that
    /// is complete with them. Bytes beyond that are not looked at.
    ///
    /// # Errors
    /// A frame that is not allowed: the connection has to be closed, with the [code](FrameFault::close_code).
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<Control<'_>>, FrameFault> {
        match self.frame {
            _ if self.is_closed => return Ok(None),
            Some((Kind::Data { .. }, _)) => return Ok(None),
            None => {
                let room = self.header.get_mut(self.header_len..).unwrap_or_default();
                let count = bytes.len().min(self.missing);
                room.iter_mut().zip(bytes.iter().take(count)).for_each(|(to, from)| *to = *from);
                self.header_len += count;
                self.missing -= count;
                if self.missing > 0 {
                    return Ok(None);
                }
                self.parse_header()?;
            }
            Some((kind, left)) => {
                let room = self.control.get_mut(self.control_len..).unwrap_or_default();
                let count = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX)).min(room.len());
                room.iter_mut().zip(bytes.iter().take(count)).for_each(|(to, from)| *to = *from);
                self.control_len += count;
                self.frame = Some((kind, left.saturating_sub(count as u64)));
            }
        }
        match self.frame {
            Some((kind, 0)) => self.end_of_control(kind),
            _ => Ok(None),
        }
    }

    fn parse_header(&mut self) -> Result<(), FrameFault> {
        let [first, second, ..] = self.header;
        // What can be known from the first two bytes is judged before more are waited for.
        let is_control = first & 0x08 != 0;
        let short_len = second & 0x7F;
        if second & 0x80 != 0 {
            return Err(FrameFault::Masked);
        }
        let bytes = self.header.get(..self.header_len).unwrap_or_default();
        let header = match FrameHeader::deserialize(bytes) {
            Err(HeaderError::Incomplete(missing)) if !is_control && self.header_len < MAX_HEADER => {
                self.missing = missing;
                return Ok(());
            }
            Err(HeaderError::Incomplete(_)) => return Err(FrameFault::ControlTooLong),
            Err(_) => return Err(FrameFault::Reserved),
            Ok((header, _)) => header,
        };
        let length = header.payload_len;
        let kind = match header.frame_type {
            FrameType::Ping => Kind::Ping,
            FrameType::Pong => Kind::Pong,
            FrameType::Close => Kind::Close,
            FrameType::Text(_) => return Err(FrameFault::Text),
            FrameType::Binary(_) if self.is_fragmented => return Err(FrameFault::Interleaved),
            FrameType::Binary(more) => Kind::Data { is_final: !more },
            FrameType::Continue(_) if !self.is_fragmented => return Err(FrameFault::Continuation),
            FrameType::Continue(is_final) => Kind::Data { is_final },
        };
        // edge-ws tells neither of these.
        if is_control && first & 0x80 == 0 {
            return Err(FrameFault::ControlFragmented);
        }
        let is_minimal = match short_len {
            126 => length > 125,
            127 => (0x1_0000..1 << 63).contains(&length),
            _ => true,
        };
        if !is_minimal {
            return Err(FrameFault::Length);
        }
        (self.header_len, self.missing, self.control_len) = (0, MIN_HEADER, 0);
        self.frame = Some((kind, length));
        if let (Kind::Data { is_final }, 0) = (kind, length) {
            self.end_of_data(is_final);
        }
        Ok(())
    }

    fn end_of_data(&mut self, is_final: bool) {
        self.frame = None;
        self.is_fragmented = !is_final;
    }

    fn end_of_control(&mut self, kind: Kind) -> Result<Option<Control<'_>>, FrameFault> {
        self.frame = None;
        let payload = self.control.get(..self.control_len).unwrap_or_default();
        Ok(match kind {
            Kind::Data { .. } => None,
            Kind::Ping => Some(Control::Ping(payload)),
            Kind::Pong => Some(Control::Pong(payload)),
            Kind::Close => {
                self.is_closed = true;
                Some(close(payload)?)
            }
        })
    }
}

/// A Close frame's payload (RFC 6455, section 5.5.1).
fn close(payload: &[u8]) -> Result<Control<'_>, FrameFault> {
    match payload {
        [] => Ok(Control::Close { code: None, reason: "" }),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            let reason = core::str::from_utf8(reason).ok();
            // 1004 to 1006 and 1015 are not for the wire; below 3000 the others are for later versions.
            let sent = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
            let reason = reason.filter(|_| sent).ok_or(FrameFault::Close)?;
            Ok(Control::Close { code: Some(code), reason })
        }
        [_] => Err(FrameFault::Close),
    }
}
