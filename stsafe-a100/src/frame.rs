//! Frames on the wire, encoded and strictly parsed, for either end of the bus.
//!
//! ```text
//! command:  HDR(1)           ‖ DATA ‖ [C-MAC(4)] ‖ CRC(2)
//! response: RHDR(1) ‖ LEN(2) ‖ DATA ‖ [R-MAC(4)] ‖ CRC(2)
//! ```
//!
//! LEN counts everything after itself and is not covered by the checksum.

use subtle::{Choice, ConstantTimeEq};

use crate::codec::{Writer, len16};
use crate::crc::{Crc, crc16};
use crate::error::{InputError, ProtocolError};
use crate::status::Status;

/// Longest command frame in bytes, header to checksum: the chip's I/O buffer.
pub const MAX_COMMAND: usize = 507;
/// Most data bytes in a command without C-MAC.
pub const MAX_DATA: usize = MAX_COMMAND - 3;
/// Largest value of a response's length field: the longest echo, or the longest data with an R-MAC.
pub const MAX_RESPONSE_LEN: usize = 506;
/// Longest response frame in bytes.
pub const MAX_RESPONSE: usize = 3 + MAX_RESPONSE_LEN;
/// Bytes of a response that are enough to know its length: header, length field, and what may be the checksum.
pub const RESPONSE_PREFIX: usize = 5;

/// Whether frames carry a checksum. Some chips are personalised without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CrcMode {
    /// Two checksum bytes end every frame.
    #[default]
    On,
    /// No checksum.
    Off,
}

impl CrcMode {
    /// Bytes the checksum takes.
    #[must_use]
    pub const fn len(self) -> usize {
        match self {
            Self::On => 2,
            Self::Off => 0,
        }
    }

    /// Whether there is no checksum.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        matches!(self, Self::Off)
    }
}

/// A command header: five bits of command code and what protects the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Header {
    /// Command code, five bits.
    pub code: u8,
    /// Bit 7: the frame carries a C-MAC.
    pub c_mac: bool,
    /// Bit 6: the response must carry an R-MAC.
    pub r_mac: bool,
    /// Bit 5: the MACs are of the host channel, not of the admin session.
    pub host: bool,
}

impl Header {
    /// An unprotected command.
    #[must_use]
    pub const fn plain(code: u8) -> Self {
        Self { code, c_mac: false, r_mac: false, host: false }
    }

    /// A command with a host C-MAC, asking for an R-MAC or not.
    #[must_use]
    pub const fn host(code: u8, r_mac: bool) -> Self {
        Self { code, c_mac: true, r_mac, host: true }
    }

    /// The byte on the wire.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        (self.code & 0x1F) | (self.c_mac as u8) << 7 | (self.r_mac as u8) << 6 | (self.host as u8) << 5
    }

    /// Takes a byte from the wire apart; every byte is a header.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        Self { code: byte & 0x1F, c_mac: byte & 0x80 != 0, r_mac: byte & 0x40 != 0, host: byte & 0x20 != 0 }
    }
}

/// A truncated MAC as it stands in a frame. Comparison takes constant time.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Mac([u8; Self::LEN]);

impl Mac {
    /// Bytes of a MAC.
    pub const LEN: usize = 4;

    /// From the bytes in a frame.
    #[must_use]
    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes in a frame.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    pub(crate) fn truncate([a, b, c, d, ..]: [u8; 16]) -> Self {
        Self([a, b, c, d])
    }
}

impl ConstantTimeEq for Mac {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl PartialEq for Mac {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl Eq for Mac {}

/// A command frame taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandFrame<'a> {
    /// The header.
    pub header: Header,
    /// The data field as sent, that is encrypted if the command is.
    pub data: &'a [u8],
    /// The C-MAC; present exactly if the header says so.
    pub mac: Option<Mac>,
}

impl<'a> CommandFrame<'a> {
    /// Takes a received frame apart (the chip's side).
    ///
    /// # Errors
    /// [`ProtocolError::FrameLength`] if it is shorter than its flags demand or longer than [`MAX_COMMAND`],
    /// [`ProtocolError::Crc`] if the checksum is wrong.
    pub fn parse(frame: &'a [u8], crc: CrcMode) -> Result<Self, ProtocolError> {
        let length_error = |expected: usize| ProtocolError::FrameLength {
            expected: len16(expected),
            actual: len16(frame.len()),
        };
        if frame.len() > MAX_COMMAND {
            return Err(length_error(MAX_COMMAND));
        }
        let body = check_command_crc(frame, crc).ok_or(length_error(1 + crc.len()))??;
        let (&first, data) = body.split_first().ok_or(length_error(1 + crc.len()))?;
        let header = Header::from_byte(first);
        let (data, mac) = split_mac(data, header.c_mac).ok_or(length_error(1 + Mac::LEN + crc.len()))?;
        Ok(Self { header, data, mac })
    }

    /// Writes the frame to `out` and gives its length.
    ///
    /// # Errors
    /// [`InputError::TooLong`] if the frame exceeds [`MAX_COMMAND`] or `out`; [`InputError::Value`] if the header's
    /// C-MAC flag contradicts `mac`.
    pub fn emit(&self, crc: CrcMode, out: &mut [u8]) -> Result<usize, InputError> {
        let data = out.get_mut(1..).ok_or(InputError::TooLong { max: 0 })?;
        Writer::new(data).bytes(self.data)?;
        seal_command(out, self.header, self.data.len(), self.mac, crc)
    }
}

/// Finishes a command whose `data_len` data bytes already stand at `frame[1..]`: writes header, C-MAC and checksum
/// around them and gives the frame's length.
///
/// # Errors
/// [`InputError::TooLong`] if the frame exceeds [`MAX_COMMAND`] or the slice; [`InputError::Value`] if the header's
/// C-MAC flag contradicts `mac`.
pub fn seal_command(
    frame: &mut [u8],
    header: Header,
    data_len: usize,
    mac: Option<Mac>,
    crc: CrcMode,
) -> Result<usize, InputError> {
    if header.c_mac != mac.is_some() {
        return Err(InputError::Value);
    }
    let max = MAX_COMMAND.min(frame.len());
    let too_long = InputError::TooLong { max: len16(max) };
    *frame.first_mut().ok_or(too_long)? = header.to_byte();
    let mut end = 1 + data_len;
    let tail = frame.get_mut(end..max).ok_or(too_long)?;
    let mut w = Writer::new(tail);
    if let Some(mac) = mac {
        w.bytes(mac.as_bytes())?;
    }
    end += w.len();
    if crc == CrcMode::On {
        let sum = crc16(frame.get(..end).ok_or(too_long)?);
        let tail = frame.get_mut(end..max).ok_or(too_long)?;
        Writer::new(tail).u16(sum).map_err(|_| too_long)?;
    }
    Ok(end + crc.len())
}

/// A response frame taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseFrame<'a> {
    /// What the chip says.
    pub status: Status,
    /// The data field as received, that is encrypted if the response is.
    pub data: &'a [u8],
    /// The R-MAC; present exactly if header bit 6 is set.
    pub mac: Option<Mac>,
}

/// The header bit that announces an R-MAC.
const R_MAC_FLAG: u8 = 0x40;
/// Header bits without a meaning.
const RESERVED: u8 = 0xA0;

impl<'a> ResponseFrame<'a> {
    /// The frame's total length, from its first bytes (three suffice).
    ///
    /// # Errors
    /// [`ProtocolError::Header`] for reserved bits, [`ProtocolError::LengthField`] for an impossible length,
    /// [`ProtocolError::FrameLength`] if `prefix` is shorter than three bytes.
    pub fn total_len(prefix: &[u8], crc: CrcMode) -> Result<usize, ProtocolError> {
        let &[header, high, low] = prefix.first_chunk().ok_or(ProtocolError::FrameLength {
            expected: len16(RESPONSE_PREFIX),
            actual: len16(prefix.len()),
        })?;
        if header & RESERVED != 0 {
            return Err(ProtocolError::Header(header));
        }
        let len = u16::from_be_bytes([high, low]);
        let mac = if header & R_MAC_FLAG != 0 { Mac::LEN } else { 0 };
        if usize::from(len) < crc.len() + mac || usize::from(len) > MAX_RESPONSE_LEN {
            return Err(ProtocolError::LengthField(len));
        }
        Ok(3 + usize::from(len))
    }

    /// Takes a received frame apart (the host's side). `frame` must be the whole frame and nothing more.
    ///
    /// # Errors
    /// As [`Self::total_len`]; [`ProtocolError::FrameLength`] if `frame` is not as long as its length field says;
    /// [`ProtocolError::Crc`] if the checksum is wrong.
    pub fn parse(frame: &'a [u8], crc: CrcMode) -> Result<Self, ProtocolError> {
        let total = Self::total_len(frame, crc)?;
        let length_error = ProtocolError::FrameLength { expected: len16(total), actual: len16(frame.len()) };
        if frame.len() != total {
            return Err(length_error);
        }
        let (&[header, _, _], body) = frame.split_first_chunk().ok_or(length_error)?;
        let (body, sum) = body.split_at_checked(body.len() - crc.len()).ok_or(length_error)?;
        if let Some(sum) = sum.first_chunk() {
            let received = u16::from_be_bytes(*sum);
            let computed = Crc::new().update(&[header]).update(body).finish();
            if received != computed {
                return Err(ProtocolError::Crc { received, computed });
            }
        }
        let (data, mac) = split_mac(body, header & R_MAC_FLAG != 0).ok_or(length_error)?;
        Ok(Self { status: Status::from_header(header), data, mac })
    }

    /// The header byte: status and R-MAC flag.
    #[must_use]
    pub fn header_byte(&self) -> u8 {
        response_header(self.status, self.mac.is_some())
    }

    /// Writes the frame to `out` and gives its length (the chip's side).
    ///
    /// # Errors
    /// [`InputError::TooLong`] if the length field would exceed [`MAX_RESPONSE_LEN`], or the frame `out`.
    pub fn emit(&self, crc: CrcMode, out: &mut [u8]) -> Result<usize, InputError> {
        let mac = self.mac.as_ref().map_or(&[][..], |mac| mac.as_bytes());
        let len = self.data.len() + mac.len() + crc.len();
        if len > MAX_RESPONSE_LEN {
            return Err(InputError::TooLong { max: len16(MAX_RESPONSE_LEN) });
        }
        let mut w = Writer::new(out);
        w.u8(self.header_byte())?;
        w.u16(len16(len))?;
        w.bytes(self.data)?;
        w.bytes(mac)?;
        if crc == CrcMode::On {
            w.u16(Crc::new().update(&[self.header_byte()]).update(self.data).update(mac).finish())?;
        }
        Ok(w.len())
    }
}

/// The response header for a status, with or without the R-MAC flag.
#[must_use]
pub const fn response_header(status: Status, r_mac: bool) -> u8 {
    status.code() | if r_mac { R_MAC_FLAG } else { 0 }
}

/// `None` if the frame is too short for a checksum; otherwise the part before it, or the error.
fn check_command_crc(frame: &[u8], crc: CrcMode) -> Option<Result<&[u8], ProtocolError>> {
    if crc == CrcMode::Off {
        return Some(Ok(frame));
    }
    let (body, sum) = frame.split_last_chunk::<2>()?;
    let received = u16::from_be_bytes(*sum);
    let computed = crc16(body);
    Some(if received == computed { Ok(body) } else { Err(ProtocolError::Crc { received, computed }) })
}

/// Splits the MAC off the end, if there is to be one.
fn split_mac(body: &[u8], present: bool) -> Option<(&[u8], Option<Mac>)> {
    if !present {
        return Some((body, None));
    }
    let (data, mac) = body.split_last_chunk::<{ Mac::LEN }>()?;
    Some((data, Some(Mac::new(*mac))))
}
