//! The frames' headers, as the radio writes and reads them: SDPCM, CDC, BDC, and events.

/// What the host has sent.
#[derive(Debug)]
pub(super) struct FromHost {
    pub(super) sequence: u8,
    pub(super) channel: u8,
    pub(super) payload: Vec<u8>,
}

impl FromHost {
    /// Reads a frame; otherwise, why it is not a frame.
    pub(super) fn parse(frame: &[u8]) -> Result<Self, String> {
        let [a, b, c, d, sequence, channel, _, offset, ..] = *frame else {
            return Err(format!("a frame of {} bytes", frame.len()));
        };
        let len = u16::from_le_bytes([a, b]);
        if len != !u16::from_le_bytes([c, d]) || usize::from(len) != frame.len() {
            return Err(format!("a frame of {} bytes says {len}", frame.len()));
        }
        match frame.get(usize::from(offset)..) {
            Some(payload) if offset >= 12 => {
                Ok(Self { sequence, channel: channel & 0x0F, payload: payload.to_vec() })
            }
            _ => Err(format!("a frame of {len} bytes with its payload at {offset}")),
        }
    }
}

/// A frame to the host, but for its sequence number and credit.
pub(super) fn to_host(channel: u8, padding: usize, payload: &[u8]) -> Vec<u8> {
    let offset = if payload.is_empty() { 12 } else { 12 + padding };
    let len = u16::try_from(offset + payload.len()).expect("no longer than a frame");
    let mut frame = vec![0; offset];
    frame[..2].copy_from_slice(&len.to_le_bytes());
    frame[2..4].copy_from_slice(&(!len).to_le_bytes());
    frame[5] = channel;
    frame[7] = u8::try_from(offset).expect("a few bytes");
    frame.extend_from_slice(payload);
    frame
}

/// A command.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) number: u32,
    pub(super) is_set: bool,
    id: u16,
    /// Name and value of a variable, or the value; as long as the answer may be.
    pub(super) payload: Vec<u8>,
}

impl Command {
    pub(super) fn parse(packet: &[u8]) -> Option<Self> {
        let word = |at: usize| packet.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        let (number, len, flags) = (word(0)?, word(4)?, word(8)?);
        let payload = packet.get(16..)?.get(..usize::try_from(len).ok()?)?.to_vec();
        let id = u16::try_from(flags >> 16).ok()?;
        Some(Self { number, is_set: flags & 2 != 0, id, payload })
    }

    /// The variable's name and the value.
    pub(super) fn variable(&self) -> Option<(&str, &[u8])> {
        let end = self.payload.iter().position(|byte| *byte == 0)?;
        let name = std::str::from_utf8(self.payload.get(..end)?).ok()?;
        Some((name, self.payload.get(end + 1..)?))
    }

    /// The answer, in the place of what was asked: what was read, or the firmware's error.
    pub(super) fn answer(&self, result: Result<&[u8], i32>) -> Vec<u8> {
        let mut payload = self.payload.clone();
        let mut flags = if self.is_set { 2_u16 } else { 0 };
        let mut status = 0;
        match result {
            Ok(value) if value.len() <= payload.len() => payload[..value.len()].copy_from_slice(value),
            Ok(_) => (flags, status) = (flags | 1, error::BUFFER_TOO_SHORT),
            Err(error) => (flags, status) = (flags | 1, error),
        }
        let len = u32::try_from(payload.len()).expect("as long as a frame at most");
        let mut packet = Vec::with_capacity(16 + payload.len());
        packet.extend_from_slice(&self.number.to_le_bytes());
        packet.extend_from_slice(&len.to_le_bytes());
        packet.extend_from_slice(&flags.to_le_bytes());
        packet.extend_from_slice(&self.id.to_le_bytes());
        packet.extend_from_slice(&status.to_le_bytes());
        packet.append(&mut payload);
        to_host(0, 0, &packet)
    }
}

/// The firmware's error numbers.
pub(super) mod error {
    pub(crate) const BAD_ARGUMENT: i32 = -2;
    pub(crate) const NOT_UP: i32 = -4;
    pub(crate) const NOT_READY: i32 = -16;
    pub(crate) const BUFFER_TOO_SHORT: i32 = -14;
    pub(crate) const NOT_ASSOCIATED: i32 = -17;
    pub(crate) const UNSUPPORTED: i32 = -23;
}

/// An event.
#[derive(Clone, Debug, Default)]
pub(super) struct Event {
    pub(super) kind: u32,
    pub(super) flags: u16,
    pub(super) status: u32,
    pub(super) reason: u32,
    pub(super) address: [u8; 6],
    pub(super) data: Vec<u8>,
}

impl Event {
    /// The event as a frame to the host whose address this is.
    pub(super) fn frame(&self, host: [u8; 6]) -> Vec<u8> {
        let len = u32::try_from(self.data.len()).expect("as long as a frame at most");
        let mut bytes = vec![0x20, 0, 0, 0];
        bytes.extend_from_slice(&host);
        bytes.extend_from_slice(&[host[0] | 2, host[1], host[2], host[3], host[4], host[5]]);
        bytes.extend_from_slice(&[0x88, 0x6C, 0x80, 0x01]);
        bytes.extend_from_slice(&u16::try_from(len + 58).unwrap_or_default().to_be_bytes());
        bytes.extend_from_slice(&[0, 0x00, 0x10, 0x18, 0, 1]);
        bytes.extend_from_slice(&2_u16.to_be_bytes());
        bytes.extend_from_slice(&self.flags.to_be_bytes());
        for field in [self.kind, self.status, self.reason, 0, len] {
            bytes.extend_from_slice(&field.to_be_bytes());
        }
        bytes.extend_from_slice(&self.address);
        bytes.extend_from_slice(b"wl0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        bytes.extend_from_slice(&self.data);
        to_host(1, 2, &bytes)
    }
}
