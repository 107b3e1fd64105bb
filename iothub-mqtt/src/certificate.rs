//! Certificates that the hub issues to a connected device, which renews its own in this way: topics, the request,
//! and its answers (feature `certificates`).
//!
//! The device publishes a certificate signing request; the hub says 202 when it has accepted it and 200 with the
//! certificates when they are issued, or an error at any time. The connection goes on as before; the new certificate
//! is what the device shows at its next connection.
//!
//! ```
//! use iothub_mqtt::certificate::{self, Progress, Replace};
//!
//! let mut body = [0; 64];
//! let body = certificate::request_body("my-device", &[0x30, 0x00], Replace::Nothing, &mut body)?;
//! assert_eq!(body, br#"{"id":"my-device","csr":"MAA="}"#);
//!
//! let answer = certificate::Answer::parse(
//!     "$iothub/credentials/res/200/?$rid=7",
//!     br#"{"correlationId":"8819e8d8","certificates":["MAA=","MAA="]}"#,
//! )?;
//! let Progress::Issued(chain) = answer.progress() else { panic!("no certificate") };
//! assert_eq!(chain.decode(&mut [0; 64])?, [0x30, 0, 0x30, 0]);
//! # Ok::<(), iothub_mqtt::Error>(())
//! ```
//!
//! What is public about the exchange differs in details. Azure's page on renewal, and the SDKs for C (1.0.0), .NET and
//! Java, read the issued certificates from the member `certificates` of an object; an earlier `azure-sdk-for-c` reads
//! a bare array. Both are taken here.

use crate::{Error, topic};
use azure_iot_common::json::{self, Array, JsonStr, Object, Value};
use azure_iot_common::query;
use azure_iot_common::text::{Writer, parse_u32};
use base64ct::{Base64, Encoding};

/// Filter of the answers.
pub const FILTER: &str = "$iothub/credentials/res/#";

/// API version to announce at the hub ([`Announcement::with_api_version`](crate::Announcement::with_api_version)):
/// older ones do not know of certificates.
pub const API_VERSION: &str = "2025-08-01-preview";

/// Longest request id taken, in bytes.
pub const MAX_REQUEST_ID: usize = topic::MAX_REQUEST_ID;

/// Longest topic [`request_topic`] writes, in bytes.
pub const MAX_TOPIC: usize = REQUEST.len() + MAX_REQUEST_ID;

/// Longest certificate signing request, in bytes of base64: what the service takes.
pub const MAX_REQUEST: usize = 8192;

const REQUEST: &str = "$iothub/credentials/POST/issueCertificate/?$rid=";
const ANSWER: &str = "$iothub/credentials/res/";

/// What to do about an earlier request of the device that the hub is still at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Replace<'a> {
    /// Leave it: this request is then refused with [`Reason::Active`].
    Nothing,
    /// Put this one in its place, whichever it is.
    Any,
    /// Put this one in the place of the request of this id, which [`Refusal::request_id`] has told.
    Request(&'a str),
}

/// The topic of a request.
///
/// # Errors
/// [`Error::BufferTooSmall`]; [`Error::Invalid`] for an empty id or one longer than [`MAX_REQUEST_ID`].
pub fn request_topic<'b>(request_id: &str, out: &'b mut [u8]) -> Result<&'b str, Error> {
    topic::request(REQUEST, request_id, out)
}

/// The body of a request, which [`Client::request_certificate`](crate::Client::request_certificate) sends: for the
/// device `device_id` and the certificate signing request `csr` (PKCS#10, DER).
///
/// The names in the request's subject and here are the device's. It takes 4 bytes for every 3 of `csr`, and up to 100
/// more with ids of usual length.
///
/// # Errors
/// [`Error::BufferTooSmall`]; [`Error::Invalid`] for an empty request, [`Error::TooLarge`] for one longer than
/// [`MAX_REQUEST`].
pub fn request_body<'b>(
    device_id: &str,
    csr: &[u8],
    replace: Replace<'_>,
    out: &'b mut [u8],
) -> Result<&'b [u8], Error> {
    if csr.is_empty() {
        return Err(Error::Invalid { what: "certificate signing request", at: 0 });
    }
    if csr.len() > MAX_REQUEST / 4 * 3 {
        return Err(Error::TooLarge);
    }
    let mut text = Writer::new(out);
    text.text("{\"id\":");
    crate::json::string(&mut text, device_id);
    text.text(",\"csr\":\"");
    for block in csr.chunks(3) {
        // Three bytes are four characters: they fit.
        text.text(Base64::encode(block, &mut [0; 4]).unwrap_or_default());
    }
    text.text("\"");
    match replace {
        Replace::Nothing => {}
        Replace::Any => _ = text.text(",\"replace\":\"*\""),
        Replace::Request(id) => {
            text.text(",\"replace\":");
            crate::json::string(&mut text, id);
        }
    }
    text.text("}");
    Ok(text.finish()?)
}

/// An answer to a request, by its topic; [`progress`](Self::progress) reads its body.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// HTTP-like status.
    pub status: u16,
    /// The request's id.
    pub request_id: &'a str,
    /// Seconds to wait before trying again, if the topic tells.
    retry_after_s: Option<u32>,
    payload: &'a [u8],
}

impl<'a> Answer<'a> {
    /// Takes apart `$iothub/credentials/res/<status>/?$rid=<id>`, the fields behind the question mark in any order and
    /// spelling.
    ///
    /// # Errors
    /// [`Error::BadTopic`] for any other topic.
    pub fn parse(topic: &'a str, payload: &'a [u8]) -> Result<Self, Error> {
        let rest = topic.strip_prefix(ANSWER).ok_or(Error::BadTopic("not about certificates"))?;
        let (status, query) = topic::last_element(rest).ok_or(Error::BadTopic("status"))?;
        let status = parse_u32(status)
            .and_then(|status| u16::try_from(status).ok())
            .filter(|status| (100..600).contains(status))
            .ok_or(Error::BadTopic("status"))?;
        let request_id = query::values(query, "$rid").next().ok_or(Error::BadTopic("$rid"))?;
        Ok(Self { status, request_id, retry_after_s: query::retry_after(query), payload })
    }

    /// Whether no other answer to this request follows.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.status != 202
    }

    /// What it says. What is optional and cannot be read counts as absent; only certificates must be there.
    #[must_use]
    pub fn progress(&self) -> Progress<'a> {
        match self.status {
            202 => Progress::Accepted(Accepted(self.object())),
            200..300 => Chain::issued(self.payload).map_or_else(Progress::Unusable, Progress::Issued),
            status => Progress::Refused(Refusal {
                status,
                retry_after_s: self.retry_after_s,
                document: self.object(),
            }),
        }
    }

    fn object(&self) -> Object<'a> {
        json::parse(self.payload).ok().and_then(|body| body.as_object()).unwrap_or(Object::EMPTY)
    }
}

/// How far a request is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// The hub has accepted the request; the certificate, or an error, is going to follow.
    Accepted(Accepted<'a>),
    /// Here are the certificates.
    Issued(Chain<'a>),
    /// The hub issues none.
    Refused(Refusal<'a>),
    /// The hub has issued certificates, but not in a form that can be read, or they are larger than the receive buffer
    /// ([`Error::Oversized`]).
    Unusable(Error),
    /// No answer came in time. The hub may be at it still: [`Replace::Any`].
    TimedOut,
}

/// What the hub says when it has accepted a request.
#[derive(Clone, Copy, Debug)]
pub struct Accepted<'a>(Object<'a>);

impl<'a> Accepted<'a> {
    /// The service's name for the request, for its logs.
    #[must_use]
    pub fn correlation_id(&self) -> Option<JsonStr<'a>> {
        member(&self.0, "correlationId")
    }

    /// When the hub gives up, as it writes times: `2026-11-30T12:00:00.000Z`.
    #[must_use]
    pub fn expires(&self) -> Option<JsonStr<'a>> {
        member(&self.0, "operationExpires")
    }
}

/// Why the hub issues no certificate, by its error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Reason {
    /// 400xxx: the request is malformed, or its key or name is not what the policy wants.
    Request,
    /// 403010: the hub's tier has no certificates.
    Tier,
    /// 404xxx: the device is unknown.
    UnknownDevice,
    /// 409xxx: the hub is at an earlier request of the device; [`Replace`].
    Active,
    /// 412001: there is no such request to replace.
    NothingToReplace,
    /// 412005: no certificates are issued for this device: its hub or its enrolment has no policy for them.
    NotManaged,
    /// 429xxx: too many requests.
    Throttled,
    /// 5xx: a fault of the service, or an issuer that cannot be reached.
    Unavailable,
    /// Something else.
    Other,
}

impl Reason {
    /// Whether the same request may succeed later.
    #[must_use]
    pub fn is_retriable(self) -> bool {
        matches!(self, Self::Active | Self::NothingToReplace | Self::Throttled | Self::Unavailable)
    }
}

/// A refusal.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    status: u16,
    retry_after_s: Option<u32>,
    document: Object<'a>,
}

impl<'a> Refusal<'a> {
    /// HTTP-like status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The service's six-digit error code, if it told one.
    #[must_use]
    pub fn code(&self) -> Option<u32> {
        self.document.get("errorCode").and_then(|code| code.as_u32())
    }

    /// The kind of it.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match (self.code(), self.status) {
            (Some(403_010), _) => Reason::Tier,
            (Some(412_001), _) => Reason::NothingToReplace,
            (Some(412_005), _) => Reason::NotManaged,
            (_, 400) => Reason::Request,
            (_, 404) => Reason::UnknownDevice,
            (_, 409) => Reason::Active,
            (_, 429) => Reason::Throttled,
            (_, 500..600) => Reason::Unavailable,
            _ => Reason::Other,
        }
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        self.reason().is_retriable()
    }

    /// Seconds to wait before trying again, if the hub told.
    #[must_use]
    pub fn retry_after_s(&self) -> Option<u32> {
        self.retry_after_s.or_else(|| self.document.get("retryAfter").and_then(|seconds| seconds.as_u32()))
    }

    /// What the hub says about it: the issuer's words if there are any.
    #[must_use]
    pub fn message(&self) -> Option<JsonStr<'a>> {
        let issuer = member(&self.info(), "credentialMessage");
        issuer.or_else(|| member(&self.document, "message"))
    }

    /// The issuer's word for the kind of fault, such as `FailedToDecodeCsr`.
    #[must_use]
    pub fn issuer_error(&self) -> Option<JsonStr<'a>> {
        member(&self.info(), "credentialError")
    }

    /// The request that the hub is at, with [`Reason::Active`].
    #[must_use]
    pub fn request_id(&self) -> Option<JsonStr<'a>> {
        member(&self.info(), "requestId")
    }

    /// The service's name for this refusal, for its logs.
    #[must_use]
    pub fn tracking_id(&self) -> Option<JsonStr<'a>> {
        member(&self.document, "trackingId")
    }

    fn info(&self) -> Object<'a> {
        self.document.get("info").and_then(|info| info.as_object()).unwrap_or(Object::EMPTY)
    }
}

fn member<'a>(object: &Object<'a>, name: &str) -> Option<JsonStr<'a>> {
    object.get(name).and_then(|value| value.as_str())
}

/// Issued certificates, as the services write them: base64 of DER each, the leaf first.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a>(Array<'a>);

impl<'a> Chain<'a> {
    /// The certificates in this array: what the hub has issued, or the provisioning service
    /// (`issued_certificate_chain` of its answer).
    #[must_use]
    pub const fn new(certificates: Array<'a>) -> Self {
        Self(certificates)
    }

    fn issued(payload: &'a [u8]) -> Result<Self, Error> {
        let certificates = match json::parse(payload)? {
            Value::Object(body) => body.get("certificates").and_then(|value| value.as_array()),
            bare => bare.as_array(),
        };
        let chain = Self(certificates.ok_or(Error::BadMember("certificates"))?);
        if chain.is_empty() { Err(Error::BadMember("certificates")) } else { Ok(chain) }
    }

    /// How many they are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.elements().count()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.elements().next().is_none()
    }

    /// The certificates in DER, one behind the other, in `out`. Each is as long as its header says, so that they can be
    /// told apart again.
    ///
    /// `out` also has to hold the base64 of each at its turn: a third more for the last one.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`]; [`Error::BadMember`] for what is no text, [`Error::Invalid`] for what is not base64
    /// of one DER value.
    pub fn decode<'b>(&self, out: &'b mut [u8]) -> Result<&'b [u8], Error> {
        let mut length = 0;
        for certificate in self.0.elements() {
            let text = certificate.as_str().ok_or(Error::BadMember("certificates"))?;
            let room = out.get_mut(length..).unwrap_or_default();
            let written = text.unescape(room).map_err(|error| behind(length, error))?.len();
            let der = Base64::decode_in_place(room.get_mut(..written).unwrap_or_default())
                .map_err(|_| Error::Invalid { what: "base64 of a certificate", at: length })?;
            if der_length(der) != Some(der.len()) {
                return Err(Error::Invalid { what: "issued certificate", at: length });
            }
            length += der.len();
        }
        Ok(out.get(..length).unwrap_or_default())
    }
}

/// The error of writing behind so many bytes.
fn behind(length: usize, error: azure_iot_common::Error) -> Error {
    match error {
        azure_iot_common::Error::BufferTooSmall { needed } => {
            Error::BufferTooSmall { needed: needed + length }
        }
        other @ azure_iot_common::Error::Invalid { .. } => other.into(),
    }
}

/// The length of a DER sequence with its header, by the header (X.690, section 8.1.3); at most 64 KiB.
fn der_length(der: &[u8]) -> Option<usize> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    match (*tag, *first) {
        (0x30, 0..=0x7f) => Some(2 + usize::from(*first)),
        (0x30, 0x81) => rest.first().filter(|length| **length >= 0x80).map(|length| 3 + usize::from(*length)),
        (0x30, 0x82) => {
            let length = u16::from_be_bytes(*rest.first_chunk()?);
            (length >= 0x100).then(|| 4 + usize::from(length))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{string::ToString, vec};

    fn refusal(topic: &'static str, body: &'static str) -> Refusal<'static> {
        let answer = Answer::parse(topic, body.as_bytes()).unwrap();
        assert!(answer.is_final());
        let Progress::Refused(refusal) = answer.progress() else { panic!("{body}") };
        refusal
    }

    #[test]
    fn certificates_in_either_form_with_any_escapes() {
        let topic = "$iothub/credentials/res/200/?$version=1&$rid=7";
        for body in [
            r#"{"correlationId":"x","certificates":["MAI\u002B/w==","MAA="]}"#,
            r#"["MAI+\/w==","MAA="]"#,
            r#"{"certificates":["MAI+/w==","MAA="]}"#,
        ] {
            let answer = Answer::parse(topic, body.as_bytes()).unwrap();
            assert!(answer.request_id == "7" && answer.is_final());
            let Progress::Issued(chain) = answer.progress() else { panic!("{body}") };
            assert_eq!(chain.len(), 2);
            assert_eq!(chain.decode(&mut [0; 16]).unwrap(), [0x30, 2, 0x3e, 0xff, 0x30, 0], "{body}");
            assert_eq!(chain.decode(&mut [0; 7]), Err(Error::BufferTooSmall { needed: 8 }));
        }
        for (body, error) in [
            ("{}", Error::BadMember("certificates")),
            ("[]", Error::BadMember("certificates")),
            (r#"{"certificates":"MAA="}"#, Error::BadMember("certificates")),
        ] {
            let Progress::Unusable(found) = Answer::parse(topic, body.as_bytes()).unwrap().progress() else {
                panic!("{body}");
            };
            assert_eq!(found, error);
        }
        for body in [r#"["MAA"]"#, r#"["MAA=",1]"#, r#"["MAAA"]"#, r#"["AAAA"]"#, r#"[""]"#, r#"["MIEA"]"#] {
            let Progress::Issued(chain) = Answer::parse(topic, body.as_bytes()).unwrap().progress() else {
                panic!("{body}");
            };
            assert!(chain.decode(&mut [0; 64]).is_err(), "{body}");
        }
    }

    #[test]
    fn refusals_are_told_apart() {
        let text = |text: Option<JsonStr<'_>>| text.map(|text| text.chars().collect::<std::string::String>());
        let bad = refusal(
            "$iothub/credentials/res/400/?$rid=req-001",
            r#"{"errorCode":400040,"message":"failed","trackingId":"t","timestampUtc":"2025-06-09T17:31:31.4Z",
                "info":{"correlationId":"c","credentialError":"FailedToDecodeCsr","credentialMessage":"bad base64"}}"#,
        );
        assert_eq!((bad.status(), bad.code(), bad.reason()), (400, Some(400_040), Reason::Request));
        assert_eq!(text(bad.message()).as_deref(), Some("bad base64"));
        assert_eq!(text(bad.issuer_error()).as_deref(), Some("FailedToDecodeCsr"));
        assert_eq!(text(bad.tracking_id()).as_deref(), Some("t"));
        assert!(!bad.is_retriable() && bad.retry_after_s().is_none());

        let active = refusal(
            "$iothub/credentials/res/409/?$rid=1",
            r#"{"errorCode":409005,"message":"m","info":{"requestId":"aabbcc"}}"#,
        );
        assert_eq!((active.reason(), text(active.request_id()).as_deref()), (Reason::Active, Some("aabbcc")));
        let throttled =
            refusal("$iothub/credentials/res/429/?$rid=1", r#"{"errorCode":429002,"retryAfter":5}"#);
        assert_eq!((throttled.reason(), throttled.retry_after_s()), (Reason::Throttled, Some(5)));
        for (topic, body, reason, retriable) in [
            (
                "$iothub/credentials/res/412/?$rid=1",
                r#"{"errorCode":412001}"#,
                Reason::NothingToReplace,
                true,
            ),
            ("$iothub/credentials/res/412/?$rid=1", r#"{"errorCode":412005}"#, Reason::NotManaged, false),
            ("$iothub/credentials/res/403/?$rid=1", r#"{"errorCode":403010}"#, Reason::Tier, false),
            ("$iothub/credentials/res/404/?$rid=1", r#"{"errorCode":404001}"#, Reason::UnknownDevice, false),
            ("$iothub/credentials/res/503/?$rid=1", "gone", Reason::Unavailable, true),
            ("$iothub/credentials/res/401/?$rid=1", "", Reason::Other, false),
        ] {
            let refusal = refusal(topic, body);
            assert_eq!((refusal.reason(), refusal.is_retriable()), (reason, retriable), "{topic} {body}");
        }
    }

    #[test]
    fn accepted_is_not_the_end() {
        let body =
            br#"{"correlationId":"8819","unknown":[{}],"operationExpires":"2025-06-09T17:31:31.426Z"}"#;
        let answer = Answer::parse("$iothub/credentials/res/202/?$rid=66641568", body).unwrap();
        assert!(!answer.is_final() && answer.status == 202);
        let Progress::Accepted(accepted) = answer.progress() else { panic!("not accepted") };
        assert!(accepted.correlation_id().unwrap() == "8819");
        assert!(accepted.expires().unwrap() == "2025-06-09T17:31:31.426Z");
        let bare = Answer::parse("$iothub/credentials/res/202/?$rid=1", b"").unwrap();
        assert!(matches!(bare.progress(), Progress::Accepted(accepted) if accepted.expires().is_none()));
    }

    #[test]
    fn other_topics_are_not_answers() {
        for topic in [
            "",
            "$iothub/twin/res/200/?$rid=1",
            "$iothub/credentials/res/",
            "$iothub/credentials/res/200",
            "$iothub/credentials/res/200/",
            "$iothub/credentials/res/200/?",
            "$iothub/credentials/res/2000/?$rid=1",
            "$iothub/credentials/res/-1/?$rid=1",
            "$iothub/credentials/POST/issueCertificate/?$rid=1",
        ] {
            assert!(Answer::parse(topic, b"{}").is_err(), "{topic}");
        }
    }

    #[test]
    fn requests_are_bounded() {
        let mut out = vec![0; 9000];
        let body = request_body("d\"", &[0x30; 4], Replace::Request("a1"), &mut out).unwrap();
        assert_eq!(std::str::from_utf8(body).unwrap(), r#"{"id":"d\"","csr":"MDAwMA==","replace":"a1"}"#);
        assert!(request_body("d", &[1; MAX_REQUEST / 4 * 3], Replace::Any, &mut out).is_ok());
        assert_eq!(
            request_body("d", &[1; MAX_REQUEST / 4 * 3 + 1], Replace::Any, &mut out),
            Err(Error::TooLarge)
        );
        assert!(request_body("d", &[], Replace::Any, &mut out).is_err());
        assert_eq!(
            request_body("d", &[1; 3], Replace::Nothing, &mut [0; 20]).unwrap_err(),
            Error::BufferTooSmall { needed: r#"{"id":"d","csr":"AQEB"}"#.len() }
        );
        let mut topic = [0; MAX_TOPIC];
        assert!(request_topic("", &mut topic).is_err());
        assert!(request_topic(&"1".repeat(65), &mut topic).is_err());
        assert_eq!(
            request_topic("12", &mut topic).unwrap().to_string(),
            "$iothub/credentials/POST/issueCertificate/?$rid=12"
        );
    }
}
