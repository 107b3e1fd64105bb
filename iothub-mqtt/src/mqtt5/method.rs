//! Bodies of direct methods: the hub probes, the device says that it is ready, the hub lets it go, and the device
//! answers. A call is carried out once for each request id (correlation data) and ready id.

use super::protobuf::{Fields, Value, put_bytes, put_length, put_number};
use super::{ID_SIZE, Id};
use crate::Error;
use azure_iot_common::text::Writer;

/// Longest body [`ready`] and [`rejected`] write, in bytes.
pub const MAX_PROBE_ACK: usize = 2 + 2 + ID_SIZE;

/// Longest body [`abandon`] writes, in bytes.
pub const MAX_ABANDON: usize = 2 + ID_SIZE + 2;

/// Longest head [`result_head`] writes, in bytes.
pub const MAX_RESULT_HEAD: usize = 11 + 11;

/// May the method be called?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probe<'a> {
    /// Its name.
    pub name: &'a str,
    /// How long the caller waits once it runs, in seconds.
    pub response_timeout_s: u32,
}

impl<'a> Probe<'a> {
    /// Reads the body of [`Kind::Probe`](super::Kind::Probe).
    ///
    /// # Errors
    /// [`Error::BadMember`].
    pub fn parse(body: &'a [u8]) -> Result<Self, Error> {
        let mut probe = Self::default();
        for field in Fields(body) {
            match field? {
                (1, Value::Bytes(name)) => {
                    probe.name = core::str::from_utf8(name).map_err(|_| Error::BadMember("method_name"))?;
                }
                (2, Value::Number(seconds)) => {
                    probe.response_timeout_s = u32::try_from(seconds).unwrap_or(u32::MAX);
                }
                _ => {}
            }
        }
        Ok(probe)
    }
}

/// Why a method is not going to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Rejection {
    /// The device has no such method.
    NotFound = 1,
    /// The caller does not wait long enough.
    TooLittleTime = 2,
    /// Too many calls run already.
    Busy = 3,
}

/// The body of [`Kind::ProbeAck`](super::Kind::ProbeAck): the device waits for [`Exec`] with this ready id.
///
/// # Errors
/// [`Error::BufferTooSmall`].
pub fn ready<'b>(ready: &Id, out: &'b mut [u8]) -> Result<&'b [u8], Error> {
    let mut text = Writer::new(out);
    put_length(&mut text, 1, 2 + ID_SIZE);
    put_bytes(&mut text, 1, ready);
    Ok(text.finish()?)
}

/// The body of [`Kind::ProbeAck`](super::Kind::ProbeAck): the device does not take the call.
///
/// # Errors
/// [`Error::BufferTooSmall`].
pub fn rejected(reason: Rejection, out: &mut [u8]) -> Result<&[u8], Error> {
    let mut text = Writer::new(out);
    put_length(&mut text, 2, 2);
    put_number(&mut text, 1, reason as u64);
    Ok(text.finish()?)
}

/// Carry it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exec<'a> {
    /// The id the device gave when it was ready.
    pub ready: Id,
    /// The argument: JSON, or empty.
    pub payload: &'a [u8],
}

impl<'a> Exec<'a> {
    /// Reads the body of [`Kind::Exec`](super::Kind::Exec).
    ///
    /// # Errors
    /// [`Error::BadMember`], also without a ready id of 16 bytes.
    pub fn parse(body: &'a [u8]) -> Result<Self, Error> {
        let (mut ready, mut payload) = (None, &[][..]);
        for field in Fields(body) {
            match field? {
                (1, Value::Bytes(id)) => ready = Id::try_from(id).ok(),
                (2, Value::Bytes(bytes)) => payload = bytes,
                _ => {}
            }
        }
        Ok(Self { ready: ready.ok_or(Error::BadMember("ready_id"))?, payload })
    }
}

/// Why a call that was let go, or was waited for, is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Abandonment {
    /// [`Exec`] did not come in time.
    WaitedTooLong = 1,
    /// It came too late to be answered in time.
    TooLittleTime = 2,
}

/// The body of [`Kind::Abandon`](super::Kind::Abandon).
///
/// # Errors
/// [`Error::BufferTooSmall`].
pub fn abandon<'b>(ready: &Id, reason: Abandonment, out: &'b mut [u8]) -> Result<&'b [u8], Error> {
    let mut text = Writer::new(out);
    put_bytes(&mut text, 1, ready);
    put_number(&mut text, 2, reason as u64);
    Ok(text.finish()?)
}

/// What stands before the `length` bytes of an answer in the body of [`Kind::Result`](super::Kind::Result).
///
/// # Errors
/// [`Error::BufferTooSmall`].
pub fn result_head(status: i32, length: usize, out: &mut [u8]) -> Result<&[u8], Error> {
    let mut text = Writer::new(out);
    // Negative numbers are written with all their 64 bits.
    put_number(&mut text, 1, i64::from(status).cast_unsigned());
    put_length(&mut text, 2, length);
    Ok(text.finish()?)
}

/// What has to be left of the caller's patience, in seconds, for a call to be worth beginning: a tenth of it, at least
/// one second and at most ten, for what the way takes.
#[must_use]
pub fn margin_s(response_timeout_s: u32) -> u32 {
    (response_timeout_s / 10).clamp(1, 10)
}
