//! The connection to the access point: made when the application asks for it, and kept by a task of its own from then
//! on.

use core::cell::{Cell, RefCell};

use az3166_radio::{FlashTimeout, SdioFault};
use bcm43362::{Control, ControlError, Key, NetworkSecurity, Security, Ssid};
use devkit_app::board::Networks;
use embassy_futures::select::{Either, select};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::signal::Signal;
use embassy_time::{Duration, Timer, with_timeout};

/// How long the radio may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(15);
/// The wait before a lost network is joined again, in milliseconds: doubled after each attempt, up to the maximum.
const MIN_RETRY_MS: u64 = 250;
const MAX_RETRY_MS: u64 = 60_000;

/// Why the radio does not run.
pub(crate) type RadioError = bcm43362::Error<SdioFault, FlashTimeout>;

/// What the application asks for.
enum Request {
    Join(Ssid, Option<Key>),
    Scan,
}

/// Why the application did not get it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionError {
    /// The radio does not start.
    Radio(RadioError),
    /// It does not join.
    Join(ControlError),
}

/// What application and task share.
pub(crate) struct Connection {
    request: Signal<NoopRawMutex, Request>,
    answer: Signal<NoopRawMutex, Result<(), ConnectionError>>,
    found: RefCell<Networks>,
    wanted: Signal<NoopRawMutex, ()>,
    has_settings: bool,
    radio_error: Cell<Option<RadioError>>,
    /// Why there is no network, for the screen.
    problem: Cell<Option<&'static str>>,
}

impl Connection {
    pub(crate) fn new(has_settings: bool) -> Self {
        Self {
            request: Signal::new(),
            answer: Signal::new(),
            found: RefCell::new(Networks::new()),
            wanted: Signal::new(),
            has_settings,
            radio_error: Cell::new(None),
            problem: Cell::new(if has_settings { None } else { Some("No radio NVRAM") }),
        }
    }

    /// Whether the radio's settings are there.
    pub(crate) fn has_settings(&self) -> bool {
        self.has_settings
    }

    /// Why there is no network.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        self.problem.get()
    }

    /// Waits until the radio is needed.
    pub(crate) async fn wanted(&self) {
        self.wanted.wait().await;
    }

    /// Takes note of a radio that has failed, or does not start.
    pub(crate) fn radio_failed(&self, error: RadioError) {
        self.radio_error.set(Some(error));
        self.problem.set(Some(match error {
            RadioError::NoFirmware => "No radio firmw.",
            _ => "Radio failed",
        }));
    }

    /// Joins a network, with a key or without one, and stays in it.
    pub(crate) async fn join(&self, ssid: Ssid, key: Option<Key>) -> Result<(), ConnectionError> {
        self.ask(Request::Join(ssid, key)).await
    }

    /// Looks for networks.
    pub(crate) async fn scan(&self) -> Result<Networks, ConnectionError> {
        self.ask(Request::Scan).await?;
        Ok(self.found.borrow().clone())
    }

    async fn ask(&self, request: Request) -> Result<(), ConnectionError> {
        self.wanted.signal(());
        self.answer.reset();
        self.request.signal(request);
        self.answer.wait().await
    }
}

/// A network that was asked for.
struct Wanted {
    ssid: Ssid,
    key: Option<Key>,
    /// How it was joined the last time, if it was.
    security: Option<Security>,
}

/// The task that keeps the connection.
pub(crate) struct ConnectionTask {
    control: Control<'static>,
    connection: &'static Connection,
    /// What is to be joined again whenever it is lost.
    credentials: Option<Wanted>,
    /// The wait before the next attempt.
    retry_ms: u64,
}

impl ConnectionTask {
    pub(crate) fn new(control: Control<'static>, connection: &'static Connection) -> Self {
        Self { control, connection, credentials: None, retry_ms: MIN_RETRY_MS }
    }

    /// Serves the application, and joins the network again whenever it is lost.
    pub(crate) async fn run(mut self) -> ! {
        loop {
            let Self { control, connection, credentials, retry_ms } = &mut self;
            let lost = async {
                if credentials.is_none() {
                    core::future::pending::<()>().await;
                }
                if control.lost().await.is_some() {
                    connection.problem.set(Some("Wi-Fi lost"));
                }
                Timer::after_millis(*retry_ms).await;
            };
            match select(connection.request.wait(), lost).await {
                Either::First(Request::Join(ssid, key)) => {
                    self.credentials = None;
                    let mut wanted = Wanted { ssid, key, security: None };
                    let joined = self.join(&mut wanted).await;
                    if joined.is_ok() {
                        self.credentials = Some(wanted);
                    }
                    self.connection.answer.signal(joined);
                }
                Either::First(Request::Scan) => {
                    let scanned = self.scan().await;
                    self.connection.answer.signal(scanned);
                }
                Either::Second(()) => {
                    self.retry_ms = (2 * self.retry_ms).min(MAX_RETRY_MS);
                    if let Some(mut wanted) = self.credentials.take() {
                        // The screen says why it failed, and it is tried again.
                        let _ = self.join(&mut wanted).await;
                        self.credentials = Some(wanted);
                    }
                }
            }
        }
    }

    async fn join(&mut self, wanted: &mut Wanted) -> Result<(), ConnectionError> {
        self.radio_runs().await?;
        let problem = match self.try_join(wanted).await {
            Ok(()) => {
                self.retry_ms = MIN_RETRY_MS;
                self.connection.problem.set(None);
                return Ok(());
            }
            Err(error) => error,
        };
        self.connection.problem.set(Some(match problem {
            ControlError::NotFound => "SSID not found",
            ControlError::WrongPassphrase => "Wrong password",
            ControlError::Unsuitable { offered: NetworkSecurity::Open } => "Network is open",
            ControlError::Unsuitable {
                offered: NetworkSecurity::Wpa | NetworkSecurity::Wpa2 | NetworkSecurity::Wpa2Mixed,
            } => "Needs a password",
            ControlError::Unsuitable { .. } => "Wi-Fi security",
            ControlError::JoinRefused { .. } | ControlError::Refused { .. } => "Wi-Fi refused",
            ControlError::TimedOut => "Wi-Fi timeout",
            _ => "Radio failed",
        }));
        Err(ConnectionError::Join(problem))
    }

    /// Joins as the last time, or as a scan says. What has not worked is not taken for granted the next time.
    async fn try_join(&mut self, wanted: &mut Wanted) -> Result<(), ControlError> {
        let security = match wanted.security.take() {
            Some(security) => security,
            None => self.control.choose(wanted.ssid, wanted.key.clone()).await?,
        };
        self.control.join(wanted.ssid, security.clone()).await?;
        wanted.security = Some(security);
        Ok(())
    }

    async fn scan(&mut self) -> Result<(), ConnectionError> {
        self.radio_runs().await?;
        let found = &self.connection.found;
        found.borrow_mut().clear();
        let scanned = self.control.scan(None, |network| {
            let name = network.ssid.as_bytes();
            let mut found = found.borrow_mut();
            if !name.is_empty() && !found.iter().any(|other| other == name) {
                // What does not fit is not shown.
                let _ = heapless::Vec::from_slice(name).map(|name| found.push(name));
            }
        });
        scanned.await.map_err(ConnectionError::Join)
    }

    /// Waits until the radio runs.
    async fn radio_runs(&mut self) -> Result<(), ConnectionError> {
        let started = with_timeout(START_TIMEOUT, self.control.running()).await;
        started.map_err(|_| match self.connection.radio_error.get() {
            Some(error) => ConnectionError::Radio(error),
            None => ConnectionError::Join(ControlError::RadioOff),
        })
    }
}
