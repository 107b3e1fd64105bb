//! Bodies about the twin. What is in a section or a patch is JSON, as at a classic hub.

use super::protobuf::{Fields, Value, put_length, put_number};
use crate::Error;
use azure_iot_common::text::Writer;

/// Longest body [`get`] writes, in bytes.
pub const MAX_GET: usize = 2;

/// Longest head [`reported_patch_head`] writes, in bytes.
pub const MAX_PATCH_HEAD: usize = 11 + 11;

/// The body of [`Kind::Get`](super::Kind::Get): both sections, whatever their version.
///
/// # Errors
/// [`Error::BufferTooSmall`].
pub fn get(out: &mut [u8]) -> Result<&[u8], Error> {
    const BOTH: u64 = 3;
    let mut text = Writer::new(out);
    put_number(&mut text, 1, BOTH);
    Ok(text.finish()?)
}

/// What stands before the `length` bytes of a patch in the body of [`Kind::ReportedPatch`](super::Kind::ReportedPatch).
/// The hub takes the patch only if `version` is that of the reported properties now.
///
/// # Errors
/// [`Error::BufferTooSmall`].
pub fn reported_patch_head(version: u64, length: usize, out: &mut [u8]) -> Result<&[u8], Error> {
    let mut text = Writer::new(out);
    put_number(&mut text, 1, version);
    put_length(&mut text, 2, length);
    Ok(text.finish()?)
}

/// A section of the twin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Section<'a> {
    /// Its version.
    pub version: u64,
    /// Its properties, a JSON object.
    pub payload: Option<&'a [u8]>,
}

/// The twin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GetResponse<'a> {
    /// Desired properties.
    pub desired: Section<'a>,
    /// Reported properties.
    pub reported: Section<'a>,
}

impl<'a> GetResponse<'a> {
    /// Reads the body of [`Kind::GetResponse`](super::Kind::GetResponse).
    ///
    /// # Errors
    /// [`Error::BadMember`].
    pub fn parse(body: &'a [u8]) -> Result<Self, Error> {
        let mut twin = Self::default();
        for field in Fields(body) {
            match field? {
                (1, Value::Number(version)) => twin.desired.version = version,
                (2, Value::Number(version)) => twin.reported.version = version,
                (3, Value::Bytes(payload)) => twin.desired.payload = Some(payload),
                (4, Value::Bytes(payload)) => twin.reported.payload = Some(payload),
                _ => {}
            }
        }
        Ok(twin)
    }
}

fn versioned(body: &[u8]) -> Result<Section<'_>, Error> {
    let mut section = Section::default();
    for field in Fields(body) {
        match field? {
            (1, Value::Number(version)) => section.version = version,
            (2, Value::Bytes(payload)) => section.payload = Some(payload),
            _ => {}
        }
    }
    Ok(section)
}

/// Sections of the twin that the hub sends of its own accord.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Push<'a> {
    /// Desired properties.
    pub desired: Option<Section<'a>>,
    /// Reported properties.
    pub reported: Option<Section<'a>>,
}

impl<'a> Push<'a> {
    /// Reads the body of [`Kind::TwinPush`](super::Kind::TwinPush).
    ///
    /// # Errors
    /// [`Error::BadMember`].
    pub fn parse(body: &'a [u8]) -> Result<Self, Error> {
        let mut push = Self::default();
        for field in Fields(body) {
            match field? {
                (1, Value::Bytes(section)) => push.desired = Some(versioned(section)?),
                (2, Value::Bytes(section)) => push.reported = Some(versioned(section)?),
                _ => {}
            }
        }
        Ok(push)
    }
}

/// A change of desired properties. Without a payload it only tells the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DesiredPatch<'a>(pub Section<'a>);

impl<'a> DesiredPatch<'a> {
    /// Reads the body of [`Kind::DesiredPatch`](super::Kind::DesiredPatch).
    ///
    /// # Errors
    /// [`Error::BadMember`].
    pub fn parse(body: &'a [u8]) -> Result<Self, Error> {
        versioned(body).map(Self)
    }
}

/// What became of a patch of the reported properties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PatchResponse {
    result: u64,
    /// Version of the reported properties now, whether the patch was taken or not.
    pub version: u64,
}

impl PatchResponse {
    /// Reads the body of [`Kind::ReportedPatchResponse`](super::Kind::ReportedPatchResponse).
    ///
    /// # Errors
    /// [`Error::BadMember`].
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let mut response = Self::default();
        for field in Fields(body) {
            match field? {
                (1, Value::Number(result)) => response.result = result,
                (2, Value::Number(version)) => response.version = version,
                _ => {}
            }
        }
        Ok(response)
    }

    /// The result as a classic hub would put it: 204 taken, 412 another version, 400 not JSON or against the rules,
    /// 413 too large, 500 anything else.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self.result {
            1 => 204,
            2 => 412,
            3 => 400,
            4 => 413,
            _ => 500,
        }
    }
}
