//! Function 2: frames to the host and from it, a piece at a time.

use std::collections::VecDeque;

/// A frame for the host, and the byte and bits of it that are spoilt.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) frame: Vec<u8>,
    pub(super) spoilt: Option<(usize, u8)>,
    /// Whether its header is complete as it is.
    pub(super) is_complete: bool,
}

/// The frames on their way over the bus.
#[derive(Debug, Default)]
pub(super) struct Fifo {
    to_host: VecDeque<Outgoing>,
    /// The frame that is being read, and how far.
    reading: Option<(Vec<u8>, usize)>,
    /// The last one that was, for a host that wants it again.
    last: Option<Vec<u8>>,
    writing: Vec<u8>,
}

impl Fifo {
    pub(super) fn push(&mut self, frame: Outgoing) {
        self.to_host.push_back(frame);
    }

    pub(super) fn len(&self) -> usize {
        self.to_host.len()
    }

    pub(super) fn has_frame(&self) -> bool {
        self.reading.is_some() || !self.to_host.is_empty()
    }

    /// The next bytes of the frame that is being read, or of the next one, whose header is completed: beyond its end,
    /// and if there is none, zeros.
    pub(super) fn read(&mut self, len: usize, complete: impl FnOnce(&mut [u8])) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let next = || {
            let Outgoing { mut frame, spoilt, is_complete } = self.to_host.pop_front()?;
            if !is_complete {
                complete(&mut frame);
            }
            if let Some((at, mask)) = spoilt
                && let Some(byte) = frame.get_mut(at)
            {
                *byte ^= mask;
            }
            Some((frame, 0))
        };
        let Some((frame, at)) = self.reading.take().or_else(next) else {
            return bytes;
        };
        let piece = frame.get(at..).unwrap_or_default();
        bytes.iter_mut().zip(piece).for_each(|(to, from)| *to = *from);
        if at + len < frame.len() {
            self.reading = Some((frame, at + len));
        } else {
            self.last = Some(frame);
        }
        bytes
    }

    /// Takes bytes from the host. Gives the frame they complete.
    pub(super) fn write(&mut self, data: &[u8]) -> Option<Vec<u8>> {
        self.writing.extend_from_slice(data);
        let len = self.writing.first_chunk().map_or(usize::MAX, |len| u16::from_le_bytes(*len).into());
        if self.writing.len() < len {
            return None;
        }
        let mut frame = std::mem::take(&mut self.writing);
        // The rest is padding.
        frame.truncate(len);
        Some(frame)
    }

    /// The host gives the transfers up.
    pub(super) fn abort(&mut self) {
        self.writing.clear();
        if let Some((frame, _)) = self.reading.take() {
            self.last = Some(frame);
        }
    }

    /// The host wants the last frame again.
    pub(super) fn again(&mut self) {
        self.reading = None;
        if let Some(frame) = self.last.take() {
            // It is complete as it is.
            self.reading = Some((frame, 0));
        }
    }
}
