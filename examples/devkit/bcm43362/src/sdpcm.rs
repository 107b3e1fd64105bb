//! SDPCM: the envelope of every frame between host and radio. It has a sequence number, a channel, and the credit: how
//! far the host may go with its own sequence numbers.

use crate::field::{byte_at, u16_at};

/// Bytes of the header.
pub const HEADER_LEN: usize = 12;
/// From the header to the BDC header of a frame that carries data: two bytes of padding follow it.
pub const DATA_HEADER_LEN: usize = 14;
/// A jump of the credit beyond this is no credit: the chip has fewer buffers.
const MAX_CREDIT: u8 = 7;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Commands and their answers.
    Control,
    /// Events.
    Event,
    /// Frames of the network.
    Data,
}

/// Why a frame is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// Length and its complement do not fit, or the length is less than a header.
    Length,
    /// It is shorter than its headers say.
    Truncated,
    /// Several frames in one. They are switched off, and not taken apart.
    Superframe,
    /// A channel that does not exist.
    Channel(u8),
    /// It is an event in name only.
    NotAnEvent,
    /// Another version of the BDC header, or another interface.
    Bdc,
}

impl core::fmt::Display for FrameError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Length => f.write_str("the frame's length is damaged"),
            Self::Truncated => f.write_str("the frame ends early"),
            Self::Superframe => f.write_str("the frame is a superframe"),
            Self::Channel(channel) => write!(f, "the frame is for channel {channel}, which does not exist"),
            Self::NotAnEvent => f.write_str("the frame is no event"),
            Self::Bdc => f.write_str("the frame's BDC header is of another version or interface"),
        }
    }
}

impl core::error::Error for FrameError {}

/// What the first four bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announced {
    /// There is no frame.
    Nothing,
    /// A frame of so many bytes, these four included.
    Frame(u16),
    /// Neither: something went wrong.
    Nonsense,
}

impl Announced {
    /// Reads a frame's first four bytes.
    #[must_use]
    pub fn parse(bytes: [u8; 4]) -> Self {
        let [a, b, c, d] = bytes;
        match (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])) {
            (0, 0) => Self::Nothing,
            (len, complement) if len == !complement && usize::from(len) >= HEADER_LEN => Self::Frame(len),
            _ => Self::Nonsense,
        }
    }
}

/// Both directions' state.
#[derive(Clone, Copy, Debug)]
pub struct Sdpcm {
    sequence: u8,
    limit: u8,
    stopped: bool,
}

impl Default for Sdpcm {
    fn default() -> Self {
        Self::new()
    }
}

impl Sdpcm {
    /// As after the start of the radio's firmware: one frame may be sent.
    #[must_use]
    pub const fn new() -> Self {
        Self { sequence: 0, limit: 1, stopped: false }
    }

    /// Whether a frame may be sent.
    #[must_use]
    pub const fn has_credit(&self) -> bool {
        let credit = self.limit.wrapping_sub(self.sequence);
        credit != 0 && credit & 0x80 == 0
    }

    /// Whether a frame of the network may be sent: the radio can stop those and go on with commands. Its last credit
    /// is left to commands.
    #[must_use]
    pub const fn may_send_data(&self) -> bool {
        self.has_credit() && !self.stopped
    }

    /// The header of the next frame of so many bytes, and that a credit is used up.
    #[must_use]
    pub fn header(&mut self, channel: Channel, len: u16) -> [u8; HEADER_LEN] {
        let [low, high] = len.to_le_bytes();
        let (number, offset) = match channel {
            Channel::Control => (0, HEADER_LEN),
            Channel::Event => (1, HEADER_LEN),
            Channel::Data => (2, DATA_HEADER_LEN),
        };
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        let offset = u8::try_from(offset).unwrap_or_default();
        [low, high, !low, !high, sequence, number, 0, offset, 0, 0, 0, 0]
    }

    /// Takes a received frame apart: its channel and what is in it; nothing for a frame that has a credit only. Bytes
    /// beyond the length in its header are padding.
    ///
    /// # Errors
    /// [`FrameError`]; the credit of a frame with a header that is not damaged counts nevertheless.
    pub fn receive<'f>(&mut self, frame: &'f [u8]) -> Result<Option<(Channel, &'f [u8])>, FrameError> {
        let first = frame.first_chunk().ok_or(FrameError::Truncated)?;
        let Announced::Frame(len) = Announced::parse(*first) else { return Err(FrameError::Length) };
        let frame = frame.get(..usize::from(len)).ok_or(FrameError::Truncated)?;
        let channel = byte_at(frame, 5) & 0x0F;
        let offset = usize::from(byte_at(frame, 7));
        // The first word is all that guards the header: one that is cut or points outside is damaged as a whole.
        let payload = frame.get(offset..).filter(|_| offset >= HEADER_LEN).ok_or(FrameError::Truncated)?;
        if channel < 3 {
            self.take_credit(byte_at(frame, 9));
            self.stopped = byte_at(frame, 8) & 1 != 0;
        }
        let channel = match channel {
            _ if usize::from(len) == HEADER_LEN => return Ok(None),
            0 => Channel::Control,
            1 => Channel::Event,
            2 => Channel::Data,
            3 => return Err(FrameError::Superframe),
            other => return Err(FrameError::Channel(other)),
        };
        Ok((!payload.is_empty()).then_some((channel, payload)))
    }

    fn take_credit(&mut self, limit: u8) {
        let credit = limit.wrapping_sub(self.sequence);
        self.limit = if credit > MAX_CREDIT { self.sequence.wrapping_add(2) } else { limit };
    }
}

/// Checks the BDC header (version 2, interface 0) of an event or of data, and gives what follows it.
///
/// # Errors
/// [`FrameError::Bdc`], [`FrameError::Truncated`].
pub fn bdc_payload(packet: &[u8]) -> Result<&[u8], FrameError> {
    let [flags, _, interface, offset, rest @ ..] = packet else { return Err(FrameError::Truncated) };
    if flags >> 4 != 2 || interface & 0x0F != 0 {
        return Err(FrameError::Bdc);
    }
    rest.get(4 * usize::from(*offset)..).ok_or(FrameError::Truncated)
}

/// The BDC header of data sent.
pub(crate) const BDC_HEADER: [u8; 4] = [0x20, 0, 0, 0];

/// The length that a frame's first word says, if that is not damaged.
pub(crate) fn len_of(frame: &[u8]) -> usize {
    usize::from(u16_at(frame, 0))
}
