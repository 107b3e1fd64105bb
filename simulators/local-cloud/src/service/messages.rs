//! Messages both ways: to a device, and the telemetry of all devices as a stream of server-sent events.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, Response, StatusCode};
use serde_json::json;

use super::problem::Problem;
use super::{Answer, Call, json_response, ok};
use crate::event::{Event, Events, Telemetry};
use crate::properties::Properties;

/// Throws away what waits for a device.
pub(super) fn purge(call: &Call<'_>, id: &str) -> Answer {
    call.shared.needs_cloud_to_device().map_err(|e| Problem::command(id, &e))?;
    let purged = call.shared.with_device(id, |device| {
        let waiting = device.c2d.len();
        device.c2d.clear();
        waiting
    });
    let purged = purged.map_err(|e| Problem::command(id, &e))?;
    ok(&json!({ "totalMessagesPurged": purged, "deviceId": id, "moduleId": null }))
}

/// Queues the body as a message to a device. Its properties are headers: `iothub-app-<name>`, `iothub-messageid`, ...
pub(super) fn send(call: &Call<'_>, id: &str) -> Answer {
    let mut properties = Properties::new();
    for (header, name) in [
        ("iothub-messageid", "$.mid"),
        ("iothub-correlationid", "$.cid"),
        ("iothub-userid", "$.uid"),
        ("iothub-contenttype", "$.ct"),
        ("iothub-contentencoding", "$.ce"),
        ("iothub-expiry", "$.exp"),
        ("iothub-ack", "iothub-ack"),
    ] {
        if let Some(value) = call.header(header) {
            properties = properties.with(name, value);
        }
    }
    for (name, value) in &call.headers {
        if let (Some(name), Ok(value)) = (name.as_str().strip_prefix("iothub-app-"), value.to_str()) {
            properties = properties.with(name, value);
        }
    }
    let queued = call.shared.send_c2d(id, call.body.clone(), &properties);
    let message_id = queued.map_err(|e| Problem::command(id, &e))?;
    Ok(json_response(StatusCode::CREATED, &json!({ "messageId": message_id })))
}

/// Telemetry from now on, of all devices or of the one that the parameter `device` names.
pub(super) fn events(call: &Call<'_>) -> Response<Body> {
    let device = call.parameter("device");
    let is_of = move |telemetry: &Telemetry| device.as_ref().is_none_or(|id| *id == telemetry.device);
    let wanted = move |event: &Event| matches!(event, Event::Telemetry(telemetry) if is_of(telemetry));
    let text = move |event: Event| wanted(&event).then(|| event.to_json().to_string());
    stream(call.shared.events.subscribe(), text)
}

/// An event stream (`text/event-stream`) of what `text` makes of the events, one line each.
pub(crate) fn stream(
    events: Events,
    text: impl FnMut(Event) -> Option<String> + Send + 'static,
) -> Response<Body> {
    let quiet = tokio::time::interval(Duration::from_secs(15));
    let mut response = Response::new(Body::new(Stream { events, text: Box::new(text), quiet }));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

struct Stream {
    events: Events,
    text: Box<dyn FnMut(Event) -> Option<String> + Send>,
    /// A comment now and then, so that whoever is gone is noticed. The first comes at once and opens the stream.
    quiet: tokio::time::Interval,
}

impl axum::body::HttpBody for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>> {
        let frame = |text: String| Poll::Ready(Some(Ok(hyper::body::Frame::data(Bytes::from(text)))));
        if self.quiet.poll_tick(context).is_ready() {
            return frame(":\n\n".to_owned());
        }
        loop {
            match self.events.poll_next(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(event)) => {
                    if let Some(text) = (self.text)(event) {
                        return frame(format!("data: {}\n\n", text.replace(['\n', '\r'], " ")));
                    }
                }
            }
        }
    }
}
