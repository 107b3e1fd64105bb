//! The bodies of messages at a hub that speaks MQTT 5 (Protocol Buffers, proto3), as Microsoft's SDKs declare them.

use prost::{Enumeration, Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Birth {
    #[prost(bool, tag = "1")]
    pub(crate) session_present: bool,
    #[prost(uint64, tag = "10")]
    pub(crate) reported_version: u64,
    #[prost(uint64, tag = "11")]
    pub(crate) desired_version: u64,
    #[prost(bool, tag = "12")]
    pub(crate) push_desired: bool,
    #[prost(bool, tag = "13")]
    pub(crate) push_reported: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct BirthAck {
    #[prost(uint64, tag = "10")]
    pub(crate) desired_version: u64,
    #[prost(uint64, tag = "11")]
    pub(crate) reported_version: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TwinGet {
    /// 1 desired, 2 reported, 3 both.
    #[prost(uint32, tag = "1")]
    pub(crate) sections: u32,
    #[prost(uint64, tag = "2")]
    pub(crate) if_not_match_desired: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) if_not_match_reported: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TwinGetResponse {
    #[prost(uint64, tag = "1")]
    pub(crate) desired_version: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) reported_version: u64,
    #[prost(string, optional, tag = "3")]
    pub(crate) desired_payload: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub(crate) reported_payload: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Section {
    #[prost(uint64, tag = "1")]
    pub(crate) version: u64,
    #[prost(string, tag = "2")]
    pub(crate) payload: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TwinPush {
    #[prost(message, optional, tag = "1")]
    pub(crate) desired: Option<Section>,
    #[prost(message, optional, tag = "2")]
    pub(crate) reported: Option<Section>,
}

/// The body of `desired-patch:1`.
pub(crate) type DesiredPatch = Section;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ReportedPatch {
    #[prost(uint64, tag = "1")]
    pub(crate) if_match: u64,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) payload: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
pub(crate) enum PatchResult {
    Unspecified = 0,
    Ok = 1,
    VersionMismatch = 2,
    PayloadInvalid = 3,
    PayloadTooLarge = 4,
    InternalError = 5,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ReportedPatchResponse {
    #[prost(enumeration = "PatchResult", tag = "1")]
    pub(crate) result: i32,
    #[prost(uint64, tag = "2")]
    pub(crate) version: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Probe {
    #[prost(string, tag = "1")]
    pub(crate) method_name: String,
    #[prost(uint32, tag = "2")]
    pub(crate) response_timeout_seconds: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ProbeAck {
    #[prost(oneof = "ProbeResult", tags = "1, 2")]
    pub(crate) result: Option<ProbeResult>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum ProbeResult {
    #[prost(message, tag = "1")]
    Ready(Ready),
    #[prost(message, tag = "2")]
    Rejected(Rejected),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Ready {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) ready_id: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Rejected {
    /// 1 not found, 2 too little time, 3 busy.
    #[prost(uint32, tag = "1")]
    pub(crate) reason: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Timestamp {
    #[prost(int64, tag = "1")]
    pub(crate) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(crate) nanos: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Exec {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) ready_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) params: Vec<u8>,
    #[prost(message, optional, tag = "3")]
    pub(crate) start: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Abandon {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) ready_id: Vec<u8>,
    /// 1 waited too long, 2 too little time.
    #[prost(uint32, tag = "2")]
    pub(crate) reason: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct MethodResult {
    #[prost(int32, tag = "1")]
    pub(crate) status: i32,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) body: Vec<u8>,
}
