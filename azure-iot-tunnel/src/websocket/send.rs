//! Frames of the device: what is written is collected, masked and sent as one binary frame; control frames go between
//! them.

use super::receive::MAX_CONTROL;
use edge_ws::{FrameHeader, FrameType};

/// The longest header of a frame with less than 64 KiB: two bytes, two of the length, four of the mask.
const MAX_HEADER: usize = 8;
const CONTROL_HEADER: usize = 6;

/// A control frame of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ControlKind {
    Pong,
    Close,
}

/// Bytes that wait to be sent: `start..end` of a buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Pending {
    start: usize,
    end: usize,
    /// Some of them were sent.
    is_begun: bool,
}

impl Pending {
    fn is_empty(self) -> bool {
        self.start >= self.end
    }

    fn sent(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
        self.is_begun = !self.is_empty();
    }
}

/// Makes frames, of at most `N` − 8 bytes of data.
#[derive(Debug)]
pub struct Sender<const N: usize> {
    /// Room for a header, then data.
    stage: [u8; N],
    /// Data in the stage.
    data: usize,
    /// The stage as a frame, once it is one.
    frame: Pending,
    control: [u8; CONTROL_HEADER + MAX_CONTROL],
    control_frame: Pending,
}

impl<const N: usize> Default for Sender<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Sender<N> {
    /// Nothing to send.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(N > MAX_HEADER && N - MAX_HEADER <= 0xFFFF, "9 to 65,543 bytes") }
        let none = Pending { start: 0, end: 0, is_begun: false };
        Self {
            stage: [0; N],
            data: 0,
            frame: none,
            control: [0; CONTROL_HEADER + MAX_CONTROL],
            control_frame: none,
        }
    }

    /// The room of the frames, before there are any.
    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.stage
    }

    /// Takes data; gives how many bytes. None if the stage is full, or is a frame that was not sent.
    pub fn accept(&mut self, data: &[u8]) -> usize {
        if !self.frame.is_empty() {
            return 0;
        }
        let room = self.stage.get_mut(MAX_HEADER + self.data..).unwrap_or_default();
        let count = room.len().min(data.len());
        room.iter_mut().zip(data).for_each(|(to, from)| *to = *from);
        self.data += count;
        count
    }

    /// Whether [`seal`](Self::seal) would make a frame.
    #[must_use]
    pub fn has_data(&self) -> bool {
        self.data > 0
    }

    /// Makes a frame of what was taken, with a mask that nobody could foresee. Nothing if nothing was taken, or if
    /// there is a frame still.
    pub fn seal(&mut self, mask: [u8; 4]) {
        if self.data == 0 || !self.frame.is_empty() {
            return;
        }
        let header = FrameHeader {
            frame_type: FrameType::Binary(false),
            // A usize has at most 64 bits.
            payload_len: self.data as u64,
            mask_key: Some(u32::from_be_bytes(mask)),
        };
        let start = MAX_HEADER.saturating_sub(header.serialized_len());
        let end = MAX_HEADER + self.data;
        write_frame(&header, self.stage.get_mut(start..end).unwrap_or_default());
        self.frame = Pending { start, end, is_begun: false };
        self.data = 0;
    }

    /// A pong, or a Close frame; it takes the place of one that was not begun.
    pub(super) fn control(&mut self, kind: ControlKind, payload: &[u8], mask: [u8; 4]) {
        let count = payload.len().min(MAX_CONTROL);
        let room = self.control.get_mut(CONTROL_HEADER..).unwrap_or_default();
        room.iter_mut().zip(payload).for_each(|(to, from)| *to = *from);
        let header = FrameHeader {
            frame_type: match kind {
                ControlKind::Pong => FrameType::Pong,
                ControlKind::Close => FrameType::Close,
            },
            payload_len: count as u64,
            mask_key: Some(u32::from_be_bytes(mask)),
        };
        let end = CONTROL_HEADER + count;
        write_frame(&header, self.control.get_mut(..end).unwrap_or_default());
        self.control_frame = Pending { start: 0, end, is_begun: false };
    }

    /// Drops data that is no frame yet.
    pub(super) fn discard(&mut self) {
        self.data = 0;
    }

    /// The next bytes for the stream; empty if there are none.
    #[must_use]
    pub fn pending(&self) -> &[u8] {
        let (buffer, Pending { start, end, .. }) = if self.control_is_next() {
            (&self.control[..], self.control_frame)
        } else {
            (&self.stage[..], self.frame)
        };
        buffer.get(start..end).unwrap_or_default()
    }

    /// So many bytes of [`pending`](Self::pending) are on the way.
    pub fn sent(&mut self, count: usize) {
        if self.control_is_next() {
            self.control_frame.sent(count);
        } else {
            self.frame.sent(count);
        }
    }

    /// A frame of data that is ready goes first, unless the control frame was begun.
    fn control_is_next(&self) -> bool {
        !self.control_frame.is_empty() && (self.control_frame.is_begun || self.frame.is_empty())
    }
}

/// Writes the header to the front of `frame`, and masks the rest.
fn write_frame(header: &FrameHeader, frame: &mut [u8]) {
    // There is room for it.
    let length = header.serialize(frame).unwrap_or_default();
    header.mask(frame.get_mut(length..).unwrap_or_default(), 0);
}
