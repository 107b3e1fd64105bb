//! Who may see and change what: address, cookie, origin, and the headers that keep a browser from doing more.

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, HOST, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::{App, Shown};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// A name that two clouds on one machine do not share: cookies know no ports.
pub(super) fn cookie_name(app: &App) -> String {
    format!("local-cloud-{}", app.address.port())
}

/// Compared in a time that does not tell where they differ.
pub(super) fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

pub(super) fn has_cookie(app: &App, headers: &HeaderMap) -> bool {
    let wanted = cookie_name(app);
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .any(|(name, value)| name == wanted && same(value, &app.token))
}

/// Answers whoever came without the link.
pub(super) fn stranger() -> Response {
    refused("Open the link that local-cloud has printed: it has the token that this page wants.\n")
}

fn refused(text: &'static str) -> Response {
    (StatusCode::FORBIDDEN, text).into_response()
}

/// A request that names another host was led here by somebody's name server: it is refused. Every answer gets the
/// headers.
pub(super) async fn at_this_address(State(app): State<Shown>, request: Request, next: Next) -> Response {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let mut response = if is_own_host(&app, host) {
        next.run(request).await
    } else {
        refused("This page has another address.\n")
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn is_own_host(app: &App, host: &str) -> bool {
    let (name, port) = host.rsplit_once(':').unwrap_or((host, "80"));
    let local = ["localhost", "127.0.0.1", "[::1]"].contains(&name);
    let bound = host == app.address.to_string();
    // Listening everywhere, it is reached by whatever address this machine has; a name could be anybody's.
    let numeric = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
    let everywhere = app.address.ip().is_unspecified() && numeric;
    port == app.address.port().to_string() && (local || bound || everywhere)
}

/// Lets in whoever has the cookie; what changes something has to come from this page.
pub(super) async fn signed_in(State(app): State<Shown>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if !has_cookie(&app, headers) {
        return stranger();
    }
    let changes = request.method() != Method::GET && request.method() != Method::HEAD;
    if changes && !is_own_origin(headers) {
        return refused("This request comes from another page.\n");
    }
    next.run(request).await
}

fn is_own_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(HOST).unwrap_or_default();
    text(ORIGIN).is_some_and(|origin| origin.strip_prefix("http://") == Some(host))
}
