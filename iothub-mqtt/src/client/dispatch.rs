//! Which of the client's rooms a message belongs to.

#[cfg(feature = "certificates")]
use crate::certificate;
use crate::{c2d, method, twin};

/// A message taken apart.
#[derive(Debug)]
pub(super) enum Topic<'a> {
    Twin(twin::Message<'a>),
    Message(c2d::Message<'a>),
    Method(method::Request<'a>),
    #[cfg(feature = "certificates")]
    Certificate(certificate::Answer<'a>),
    /// None of these, or malformed in a part that is needed.
    Other,
}

/// Takes a message apart by its topic.
pub(super) fn dispatch<'a>(topic: &'a str, payload: &'a [u8]) -> Topic<'a> {
    if let Ok(message) = twin::Message::parse(topic, payload) {
        return Topic::Twin(message);
    }
    if let Ok(request) = method::Request::parse(topic, payload) {
        return Topic::Method(request);
    }
    #[cfg(feature = "certificates")]
    if let Ok(answer) = certificate::Answer::parse(topic, payload) {
        return Topic::Certificate(answer);
    }
    c2d::Message::parse(topic, payload).map_or(Topic::Other, Topic::Message)
}
