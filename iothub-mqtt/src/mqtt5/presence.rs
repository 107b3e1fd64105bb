//! Birth, which the device says after every connect, and its acknowledgement.

use super::protobuf::{Fields, Value, put_number};
use crate::Error;
use azure_iot_common::text::Writer;

/// Longest body [`birth`] writes, in bytes.
pub const MAX_BIRTH: usize = 2;

/// The body of [`Kind::Birth`](super::Kind::Birth), with QoS 0 and the connection's nonce as correlation data. Sections
/// of the twin are not asked for: the client fetches them.
///
/// # Errors
/// [`Error::BufferTooSmall`].
pub fn birth(session_present: bool, out: &mut [u8]) -> Result<&[u8], Error> {
    let mut text = Writer::new(out);
    put_number(&mut text, 1, session_present.into());
    Ok(text.finish()?)
}

/// The hub has seen the birth: from now on it sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BirthAck {
    /// Version of the desired properties.
    pub desired_version: u64,
    /// Version of the reported properties, which the next patch has to name.
    pub reported_version: u64,
}

impl BirthAck {
    /// Reads the body of [`Kind::BirthAck`](super::Kind::BirthAck).
    ///
    /// # Errors
    /// [`Error::BadMember`].
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let mut ack = Self::default();
        for field in Fields(body) {
            match field? {
                (10, Value::Number(version)) => ack.desired_version = version,
                (11, Value::Number(version)) => ack.reported_version = version,
                _ => {}
            }
        }
        Ok(ack)
    }
}
