//! The page: the portal's enrolments and the Device Explorer's devices, telemetry, twins, methods and messages, in a
//! browser.
//!
//! Plain HTTP, for this machine. The link that is printed carries a token, which becomes a cookie; without it nothing
//! is shown. A request has to name the address it is served at, and whatever changes something has to come from the
//! page itself and carry its form's token. Every text is escaped by the template engine or put in as text by the
//! script, and the content policy lets no other script run. On the same port the service side's REST interface
//! answers, with its own tokens.

mod actions;
mod enrollments;
mod guard;
mod history;
mod layout;
mod pages;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, LOCATION, SET_COOKIE};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::net::TcpListener;

use crate::service;
use crate::shared::Shared;
use history::History;

/// What the pages need.
pub(super) struct App {
    shared: Arc<Shared>,
    history: Arc<Mutex<History>>,
    /// In the link and the cookie.
    token: String,
    /// In every form.
    form_token: String,
    address: SocketAddr,
    https_port: u16,
    /// What became of the last form that was sent, to be shown once.
    said: Mutex<Option<Said>>,
}

/// The outcome of a form.
#[derive(Debug, Clone)]
struct Said {
    good: bool,
    text: String,
}

type Shown = Arc<App>;
type Parameters = Query<HashMap<String, String>>;

impl App {
    fn say(&self, outcome: Result<String, String>) {
        let said = match outcome {
            Ok(text) => Said { good: true, text },
            Err(text) => Said { good: false, text },
        };
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = Some(said);
    }

    fn take_said(&self) -> Option<Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A page that is being served.
pub(super) struct Page {
    /// What to open.
    pub(super) link: String,
    pub(super) address: SocketAddr,
    pub(super) tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// Serves the page until its tasks are aborted.
pub(super) async fn start(shared: &Arc<Shared>, wanted: SocketAddr, https_port: u16) -> io::Result<Page> {
    let listener = TcpListener::bind(wanted).await?;
    let address = listener.local_addr()?;
    let token = hex::encode(rand::random::<[u8; 16]>());
    let history = Arc::new(Mutex::new(History::default()));
    let app = Arc::new(App {
        shared: shared.clone(),
        history: history.clone(),
        token: token.clone(),
        form_token: hex::encode(rand::random::<[u8; 16]>()),
        address,
        https_port,
        said: Mutex::default(),
    });
    let mut events = shared.events.subscribe();
    let recorder = tokio::spawn(async move {
        while let Some(event) = events.next().await {
            history.lock().unwrap_or_else(PoisonError::into_inner).add(&event);
        }
    });
    let server = tokio::spawn(async move {
        // It ends by being aborted only.
        let _ = axum::serve(listener, router(app)).await;
    });
    let name = if address.ip().is_unspecified() {
        format!("localhost:{}", address.port())
    } else {
        address.to_string()
    };
    Ok(Page { link: format!("http://{name}/?token={token}"), address, tasks: vec![recorder, server] })
}

fn router(app: Shown) -> Router {
    let pages = Router::new()
        .route("/portal", get(pages::overview))
        .route("/portal/enrollments", get(enrollments::page))
        .route("/portal/enrollments/upload", post(enrollments::upload))
        .route("/portal/enrollments/key", post(enrollments::create_key))
        .route("/portal/enrollments/change", post(enrollments::change))
        .route("/portal/devices", get(pages::devices))
        .route("/portal/device", get(pages::device))
        .route("/portal/device/create", post(actions::create_device))
        .route("/portal/device/change", post(actions::change_device))
        .route("/portal/device/twin", post(actions::change_twin))
        .route("/portal/device/method", post(actions::invoke))
        .route("/portal/device/message", post(actions::send))
        .route("/portal/refused", get(pages::refused))
        .route("/portal/faults", get(pages::faults).post(actions::fault))
        .route("/portal/events", get(events))
        .route("/portal/history", get(past))
        .layer(from_fn_with_state(app.clone(), guard::signed_in));
    let style = || file("text/css; charset=utf-8", include_str!("style.css"));
    let script = || file("text/javascript; charset=utf-8", include_str!("script.js"));
    Router::new()
        .merge(pages)
        .route("/", get(enter))
        .route("/portal/style.css", get(style))
        .route("/portal/script.js", get(script))
        .fallback(rest)
        .layer(from_fn_with_state(app.clone(), guard::at_this_address))
        .with_state(app)
}

fn file(kind: &'static str, text: &'static str) -> impl Future<Output = Response> {
    std::future::ready(([(CONTENT_TYPE, kind)], text).into_response())
}

/// The link: its token becomes a cookie, and is not in the address any more.
async fn enter(State(app): State<Shown>, Query(query): Parameters, request: Request) -> Response {
    if guard::has_cookie(&app, request.headers()) {
        return see_other("/portal");
    }
    if !query.get("token").is_some_and(|token| guard::same(token, &app.token)) {
        return guard::stranger();
    }
    let cookie = format!("{}={}; Path=/; HttpOnly; SameSite=Strict", guard::cookie_name(&app), app.token);
    let mut response = see_other("/portal");
    if let Ok(cookie) = cookie.parse() {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

fn see_other(path: &str) -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, path.to_owned())]).into_response()
}

/// What happens from now on; with `device`, to one device.
async fn events(State(app): State<Shown>, Query(query): Parameters) -> Response {
    let device = query.get("device").cloned();
    service::stream(app.shared.events.subscribe(), move |event| {
        let wanted = device.is_none() || event.device() == device.as_deref();
        wanted.then(|| history::for_page(&event).to_string())
    })
}

/// What has happened so far, as [`events`] tells it.
async fn past(State(app): State<Shown>, Query(query): Parameters) -> Response {
    let past = app.history().of(query.get("device").map(String::as_str));
    ([(CONTENT_TYPE, "application/json")], serde_json::Value::Array(past).to_string()).into_response()
}

/// The service side's REST interface.
async fn rest(State(app): State<Shown>, request: Request) -> Response {
    if service::is_for(request.method(), request.uri().path()) {
        return service::respond(&app.shared, request).await;
    }
    (StatusCode::NOT_FOUND, "There is no such page.\n").into_response()
}
