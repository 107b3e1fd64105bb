//! The events that the radio's firmware sends of its own accord.

use crate::field::{be16_at, be32_at};
use crate::sdpcm::FrameError;

/// The Ethernet type of an event.
const ETHERTYPE: u16 = 0x886C;
/// Where the parts of an event are: Ethernet header, Broadcom's header, event header, data.
const OUI_AT: usize = 19;
const SUBTYPE_AT: usize = 22;
const HEADER_AT: usize = 24;
const DATA_AT: usize = 72;
const OUI: [u8; 3] = [0x00, 0x10, 0x18];

/// Kinds of events that mean something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// An attempt to join has ended.
    SetSsid,
    /// The authentication has ended.
    Auth,
    /// The access point, or the radio itself, has ended the association.
    Deauth,
    /// The association was ended, the authentication not.
    Disassoc,
    /// The link is up or down.
    Link,
    /// The supplicant's state has changed.
    PskSup,
    /// A network was found, or the scan is over.
    EscanResult,
    /// Another one.
    Other(u32),
}

/// Numbers of the events that are asked for.
pub(crate) const WANTED: [u8; 9] = [0, 3, 5, 6, 11, 12, 16, 46, 69];

impl From<u32> for Kind {
    fn from(number: u32) -> Self {
        match number {
            0 => Self::SetSsid,
            3 => Self::Auth,
            5 | 6 => Self::Deauth,
            11 | 12 => Self::Disassoc,
            16 => Self::Link,
            46 => Self::PskSup,
            69 => Self::EscanResult,
            other => Self::Other(other),
        }
    }
}

/// Values of [`Event::status`] that mean something here.
pub mod status {
    /// It succeeded.
    pub const SUCCESS: u32 = 0;
    /// No network of that name was found.
    pub const NO_NETWORKS: u32 = 3;
    /// It was given up for something else.
    pub const ABORT: u32 = 4;
    /// Nobody had asked; of the supplicant: the keys are in place.
    pub const UNSOLICITED: u32 = 6;
    /// There is more to come.
    pub const PARTIAL: u32 = 8;
}

/// An event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'f> {
    /// What kind it is.
    pub kind: Kind,
    /// Of [`Kind::Link`]: bit 0 says that it is up.
    pub flags: u16,
    /// How it went: see [`status`].
    pub status: u32,
    /// Why.
    pub reason: u32,
    /// What else there is.
    pub data: &'f [u8],
}

impl<'f> Event<'f> {
    /// Reads an event, which is an Ethernet frame.
    ///
    /// # Errors
    /// [`FrameError::NotAnEvent`], [`FrameError::Truncated`].
    pub fn parse(frame: &'f [u8]) -> Result<Self, FrameError> {
        let data = frame.get(DATA_AT..).ok_or(FrameError::Truncated)?;
        let is_event = be16_at(frame, 12) == ETHERTYPE
            && frame.get(OUI_AT..SUBTYPE_AT) == Some(&OUI)
            && be16_at(frame, SUBTYPE_AT) == 1;
        if !is_event {
            return Err(FrameError::NotAnEvent);
        }
        let field = |at: usize| be32_at(frame, HEADER_AT + at);
        let len = usize::try_from(field(20)).unwrap_or(usize::MAX);
        Ok(Self {
            flags: be16_at(frame, HEADER_AT + 2),
            kind: field(4).into(),
            status: field(8),
            reason: field(12),
            data: data.get(..len).ok_or(FrameError::Truncated)?,
        })
    }
}
