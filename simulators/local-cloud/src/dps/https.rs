//! The provisioning service over HTTPS (HTTP/1.1).

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;

use super::{Answer, Peer, tracking_id, valid_api_version};
use crate::fault::Endpoint;
use crate::percent;
use crate::sas::Token;
use crate::server::{Caller, Stream};
use crate::shared::Shared;

/// The largest request body taken.
const MAX_BODY: usize = 64 * 1024;

pub(crate) async fn serve(shared: &Arc<Shared>, stream: Stream, caller: Caller) {
    let service = service_fn(async |request| Ok::<_, Infallible>(answer(shared, &caller, request).await));
    // A connection that breaks off is the client's affair.
    let _ =
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(shared: &Shared, caller: &Caller, request: Request<Incoming>) -> Response<Text> {
    let (answer, location) = match handle(shared, caller, request).await {
        Ok(done) => done,
        Err(refused) => (refused, None),
    };
    let mut response = Response::new(Text::new(&answer.body, shared.config.https_chunked));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    let mut set = |name: hyper::header::HeaderName, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    };
    set(hyper::header::HeaderName::from_static("x-ms-request-id"), tracking_id());
    if let Some(code) = answer.body.get("errorCode").and_then(Value::as_u64) {
        set(hyper::header::HeaderName::from_static("x-ms-error-code"), code.to_string());
    }
    if let Some(seconds) = answer.retry_after {
        set(RETRY_AFTER, seconds.to_string());
    }
    if let Some(location) = location {
        set(LOCATION, location);
    }
    response
}

/// The answer, and where an operation is to be asked after.
async fn handle(
    shared: &Shared,
    caller: &Caller,
    request: Request<Incoming>,
) -> Result<(Answer, Option<String>), Answer> {
    let (head, body) = request.into_parts();
    let segments: Option<Vec<String>> = head.uri.path().split('/').skip(1).map(percent::decode).collect();
    let segments = segments.ok_or_else(|| Answer::error(400_004, "The path is not percent-encoded text."))?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let api_version = percent::pairs(head.uri.query().unwrap_or_default())
        .find(|(name, _)| *name == "api-version")
        .and_then(|(_, value)| value)
        .filter(|version| valid_api_version(version))
        .ok_or_else(|| Answer::error(400_004, "There is no api-version that is a date."))?;
    let &[scope, "registrations", registration_id, ref operation @ ..] = segments.as_slice() else {
        return Err(Answer::error(404_000, "No such resource."));
    };
    if scope != shared.config.id_scope {
        return Err(Answer::error(404_201, "No such provisioning service."));
    }
    let token = match head.headers.get(AUTHORIZATION) {
        None => None,
        Some(value) => {
            let text = value.to_str().map_err(|_| Answer::error(401_000, "Unauthorized"))?;
            Some(Token::parse(text).map_err(|reason| Answer::error(401_000, reason))?)
        }
    };
    let peer = Peer {
        endpoint: Endpoint::DpsHttps,
        registration_id: registration_id.to_owned(),
        api_version: api_version.to_owned(),
        chain: caller.chain.clone(),
        tls: caller.tls,
        token,
    };
    let body = Limited::new(body, MAX_BODY)
        .collect()
        .await
        .map_err(|_| Answer::error(413_000, "The body did not arrive or is too large."))?
        .to_bytes();
    let is_json = head
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.to_ascii_lowercase().starts_with("application/json"));
    if head.method != Method::GET && !is_json {
        return Err(Answer::error(415_000, "The body is not application/json."));
    }
    match (&head.method, operation) {
        (&Method::PUT, ["register"]) => {
            let answer = shared.register(&peer, &body);
            let location = answer.body.get("operationId").and_then(Value::as_str).map(|id| {
                format!("/{scope}/registrations/{registration_id}/operations/{id}?api-version={api_version}")
            });
            Ok((answer, location))
        }
        (&Method::GET, ["operations", id]) => Ok((shared.operation_status(&peer, id), None)),
        (&Method::POST, []) => Ok((shared.lookup(&peer, &body), None)),
        (_, ["register"] | ["operations", _] | []) => Err(Answer::error(405_000, "Method not allowed.")),
        _ => Err(Answer::error(404_000, "No such resource.")),
    }
}

/// A body that is sent whole, or in pieces of uneven length so that a client has to put them together.
struct Text {
    rest: Bytes,
    chunked: bool,
    next: usize,
}

impl Text {
    fn new(body: &Value, chunked: bool) -> Self {
        Self { rest: body.to_string().into(), chunked, next: 1 }
    }
}

impl Body for Text {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = if self.chunked { self.next.min(self.rest.len()) } else { self.rest.len() };
        self.next = self.next * 3 + 1;
        let piece = self.rest.split_to(length);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn size_hint(&self) -> SizeHint {
        if self.chunked {
            SizeHint::default()
        } else {
            SizeHint::with_exact(u64::try_from(self.rest.len()).unwrap_or(u64::MAX))
        }
    }
}
