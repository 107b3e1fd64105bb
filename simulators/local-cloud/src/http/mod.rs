//! Everything over HTTPS: DPS, the hub's device side and the service side, the blob container that files are uploaded
//! to, and the way to MQTT over WebSockets.

mod blob;
mod device;
mod websocket;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::dps;
use super::fault::Endpoint;
use super::percent;
use super::server::Caller;
use super::service;
use super::shared::Shared;

/// How long a connection is kept, whatever it is used for: a client that never ends one opens another.
const MAX_AGE: Duration = Duration::from_mins(30);

/// What is answered.
pub(super) type Reply = Response<Text>;

/// A request, its path and query taken apart.
pub(super) struct Call {
    pub(super) caller: Caller,
    pub(super) request: Request<Incoming>,
    /// Percent-decoded.
    pub(super) path: Vec<String>,
}

impl Call {
    /// A field of the query, percent-decoded.
    pub(super) fn query(&self, name: &str) -> Option<String> {
        let query = self.request.uri().query().unwrap_or_default();
        percent::pairs(query).find(|(n, _)| *n == name).and_then(|(_, value)| percent::decode(value?))
    }

    /// A header that is text.
    pub(super) fn header(&self, name: impl hyper::header::AsHeaderName) -> Option<&str> {
        self.request.headers().get(name)?.to_str().ok()
    }

    /// The host by which this machine was called: the header's, without a port.
    pub(super) fn host(&self) -> String {
        let host = self.header(hyper::header::HOST).unwrap_or_default();
        host.rsplit_once(':').map_or(host, |(name, _)| name).to_owned()
    }

    /// The body, if it arrives whole in time and is not larger than `max`; else the status to answer, and why.
    pub(super) async fn body(
        &mut self,
        shared: &Shared,
        max: usize,
    ) -> Result<Bytes, (StatusCode, &'static str)> {
        let body = Limited::new(self.request.body_mut(), max).collect();
        match timeout(shared.config.patience, body).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(e)) if e.is::<http_body_util::LengthLimitError>() => {
                Err((StatusCode::PAYLOAD_TOO_LARGE, "The body is too large."))
            }
            Ok(Err(_)) => Err((StatusCode::BAD_REQUEST, "The body did not arrive.")),
            Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "The body did not arrive in time.")),
        }
    }
}

pub(super) async fn serve(shared: &Arc<Shared>, stream: TlsStream<tokio::net::TcpStream>, caller: Caller) {
    let upgraded = Mutex::new(None);
    let service = service_fn(async |request: Request<Incoming>| {
        if service::is_for(request.method(), request.uri().path()) {
            return Ok(service::respond(shared, request).await);
        }
        if shared.faults.is_silent() && request.uri().path() != "/health" {
            return std::future::pending().await;
        }
        let (reply, session) = answer(shared, &caller, request).await;
        if session.is_some() {
            *upgraded.lock().unwrap_or_else(PoisonError::into_inner) = session;
        }
        Ok::<_, Infallible>(reply.map(axum::body::Body::new))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.config.patience)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    // A connection that breaks off is the client's affair.
    let _ = timeout(MAX_AGE, connection).await;
    let session = upgraded.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(session) = session {
        session.await;
    }
}

async fn answer(
    shared: &Arc<Shared>,
    caller: &Caller,
    request: Request<Incoming>,
) -> (Reply, Option<websocket::Session>) {
    let path: Option<Vec<String>> = request.uri().path().split('/').skip(1).map(percent::decode).collect();
    let Some(path) = path else {
        shared.refused(
            Endpoint::DpsHttps,
            &caller.address,
            "the path is not percent-encoded text".to_owned(),
        );
        let error = dps::Answer::error(400_004, "The path is not percent-encoded text.");
        let mut reply = reply(shared, StatusCode::BAD_REQUEST, &error.body);
        set(&mut reply, HeaderName::from_static("x-ms-error-code"), "400004");
        return (reply, None);
    };
    let mut caller = caller.clone();
    let name = caller.name.clone().unwrap_or_default();
    caller.by_own_name = shared.config.has_one_port()
        && (shared.config.is_own_name(&name) || shared.hub_index(&shared.config.dps_name).is_some());
    let call = Call { caller, request, path };
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    let reply = match path.as_slice() {
        ["$iothub", "websocket"] => return websocket::upgrade(shared, call),
        ["health"] => reply(shared, StatusCode::OK, &json!({ "status": "healthy" })),
        ["devices", _, "modules", _, rest @ ..] | ["devices", _, rest @ ..]
            if device::is_device_side(call.request.method(), rest) =>
        {
            device::answer(shared, call).await
        }
        [blob::CONTAINER, _, _, ..] => blob::answer(shared, call).await,
        _ => dps::https::answer(shared, call).await,
    };
    (reply, None)
}

/// An answer in JSON.
pub(super) fn reply(shared: &Shared, status: StatusCode, body: &Value) -> Reply {
    let mut response = Response::new(Text::new(body.to_string().into(), shared.config.https_chunked));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Reply {
    let mut response = Response::new(Text::new(Bytes::new(), false));
    *response.status_mut() = status;
    response
}

/// Sets a header, if the value is one.
pub(super) fn set(reply: &mut Reply, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        reply.headers_mut().insert(name, value);
    }
}

/// A body that is sent whole, or in pieces of uneven length so that a client has to put them together.
pub(super) struct Text {
    rest: Bytes,
    chunked: bool,
    next: usize,
}

impl Text {
    pub(super) fn new(rest: Bytes, chunked: bool) -> Self {
        Self { rest, chunked, next: 1 }
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
