//! What the device does while it is connected: telemetry, answers to the cloud, its twin.

use core::fmt::{Debug, Display};

use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Instant, Timer};
use heapless::{Deque, String};
#[cfg(feature = "issued-certificates")]
use iothub_mqtt::certificate::Progress;
use iothub_mqtt::method::{ReplyTo, Request, status};
use iothub_mqtt::runner::{Application, DeviceCommand};
use iothub_mqtt::{Error, HubEvent, Telemetry, client, runner, twin};

use crate::board::{Crash, System};
use crate::event::AppEvent;
#[cfg(feature = "issued-certificates")]
use crate::issued::{IssuedCertificates, MAX_REQUEST};
use crate::shared::Shared;
use crate::telemetry::{self, ALERT_PROPERTY};
use crate::twin::{IntervalChange, MAX_REPORT, Twin};
use crate::watchdog::Task;

/// Longest device id (IoT Hub).
const MAX_DEVICE_ID: usize = 128;
/// Method calls that may wait for their answer at once; the callers of more see the service's time-out.
const MAX_WAITING_ANSWERS: usize = 4;
/// How long no byte and no event may come from the cloud, in milliseconds: longer than the answer to a ping, a new
/// connection and the assignment of a hub take.
pub(crate) const MAX_CLOUD_SILENCE_MS: u32 = 600_000;
/// How long to wait before a failed report is sent again.
const REPORT_RETRY_DELAY: Duration = Duration::from_secs(30);

/// The command that was last handed to the runner.
enum LastCommand {
    Other,
    Answer(ReplyTo, i32),
    Telemetry,
    Report,
    #[cfg(feature = "issued-certificates")]
    Certificate,
}

/// What is to be done about the certificate.
#[cfg(feature = "issued-certificates")]
enum CertificateCommand {
    Request,
    Reconnect,
}

/// The application as the runner sees it.
pub(crate) struct CloudApplication<'a, 's, S> {
    shared: &'a Shared<'s, S>,
    version: &'a str,
    crash: Option<Crash>,
    /// The longest wait of the runner that it does not announce, in milliseconds.
    longest_wait_ms: u32,
    /// The device's id at the hub.
    device_id: String<MAX_DEVICE_ID>,
    /// How many telemetry messages have been made.
    messages: u32,
    next_telemetry: Instant,
    /// Telemetry is switched on; the methods `start` and `stop` set it.
    running: bool,
    answers: Deque<(ReplyTo, i32), MAX_WAITING_ANSWERS>,
    last: LastCommand,
    twin: Twin<client::RequestId>,
    next_report: Instant,
    body: String<{ telemetry::MAX_BODY }>,
    properties: [(&'static str, &'static str); 1],
    report: [u8; MAX_REPORT],
    /// The certificates that others issue for the device.
    #[cfg(feature = "issued-certificates")]
    issued: Option<&'a IssuedCertificates<'a>>,
    #[cfg(feature = "issued-certificates")]
    request: heapless::Vec<u8, MAX_REQUEST>,
}

impl<'a, 's, S: System> CloudApplication<'a, 's, S> {
    pub(crate) fn new(
        shared: &'a Shared<'s, S>,
        version: &'a str,
        interval_ms: u32,
        longest_wait_ms: u32,
    ) -> Self {
        Self {
            shared,
            version,
            crash: shared.system.borrow().crash(),
            longest_wait_ms,
            device_id: String::new(),
            messages: 0,
            next_telemetry: Instant::MIN,
            running: true,
            answers: Deque::new(),
            last: LastCommand::Other,
            twin: Twin::new(interval_ms).with_channel_left(shared.channel_left.get()),
            next_report: Instant::MIN,
            body: String::new(),
            properties: [(ALERT_PROPERTY, "false")],
            report: [0; MAX_REPORT],
            #[cfg(feature = "issued-certificates")]
            issued: None,
            #[cfg(feature = "issued-certificates")]
            request: heapless::Vec::new(),
        }
    }

    /// The same for a device whose certificates others issue.
    #[cfg(feature = "issued-certificates")]
    pub(crate) fn with_issued(self, issued: Option<&'a IssuedCertificates<'a>>) -> Self {
        Self { issued, ..self }
    }

    /// How far a request for a certificate is.
    #[cfg(feature = "issued-certificates")]
    fn certificate_progress(&self, progress: &Progress<'_>) {
        let Some(issued) = self.issued else { return };
        let asked_s = match progress {
            Progress::Refused(refusal) => refusal.retry_after_s(),
            _ => None,
        };
        match issued.progress(progress) {
            Ok(true) => self.shared.log.info(format_args!("The hub has issued a certificate")),
            Ok(false) => {}
            Err(error) => self.no_certificate(&error, asked_s),
        }
    }

    /// A request for a certificate came to nothing.
    #[cfg(feature = "issued-certificates")]
    fn no_certificate(&self, why: &dyn Display, asked_s: Option<u32>) {
        let random = self.shared.system.borrow_mut().random();
        let now = self.shared.unix_s().unwrap_or_default();
        let wait = self.issued.and_then(|issued| issued.failed(now, asked_s, random));
        let wait = wait.unwrap_or_default();
        self.shared.log.warning(format_args!("The hub has issued no certificate: {why}; again in {wait} s"));
    }

    /// What is to be done about the certificate now: ask for another one, or show the one that has come.
    #[cfg(feature = "issued-certificates")]
    fn certificate_command(&mut self) -> Option<CertificateCommand> {
        let issued = self.issued?;
        if issued.take_reconnect() {
            return Some(CertificateCommand::Reconnect);
        }
        if issued.due_in_s(self.shared.unix_s())? > 0 {
            return None;
        }
        match issued.begin(&self.device_id) {
            Ok(body) => {
                self.request = body;
                Some(CertificateCommand::Request)
            }
            Err(error) => {
                self.no_certificate(&error, None);
                None
            }
        }
    }

    fn handle_hub_event(&mut self, event: &HubEvent<'_>) {
        match event {
            #[cfg(feature = "issued-certificates")]
            HubEvent::Certificate { progress, .. } => self.certificate_progress(progress),
            HubEvent::Connected => {
                #[cfg(feature = "issued-certificates")]
                if let Some(issued) = self.issued {
                    let random = self.shared.system.borrow_mut().random();
                    if issued.connected(random) {
                        self.shared.log.info(format_args!("The hub takes the certificate that was issued"));
                    }
                }
                self.twin.reconnected();
                self.next_telemetry = Instant::now();
                self.next_report = Instant::now();
                self.shared.notify(&AppEvent::HubConnected);
            }
            HubEvent::Delivered(_) => self.shared.notify(&AppEvent::TelemetryDelivered),
            HubEvent::Message(message) => {
                self.shared
                    .notify(&AppEvent::Message { properties: message.properties, payload: message.payload });
            }
            HubEvent::Method(request) => self.handle_method(request),
            HubEvent::Twin(document) => {
                let change = self.twin.replace(&document.desired(), document.version());
                self.interval_changed(change);
            }
            HubEvent::Desired(desired) => {
                // The client has read it before.
                if let Ok(object) = desired.object() {
                    let change = self.twin.change(&object, desired.version);
                    self.interval_changed(change);
                }
            }
            HubEvent::Reported { request, result } => {
                if self.twin.reported(*request, result.is_ok()) {
                    self.crash = None;
                    self.shared.system.borrow_mut().forget_crash();
                }
                match result {
                    Ok(_) => self.shared.notify(&AppEvent::Reported),
                    Err(_) => self.next_report = Instant::now() + REPORT_RETRY_DELAY,
                }
            }
            HubEvent::TwinUnusable(error) => self.shared.notify(&AppEvent::TwinUnusable { cause: error }),
            HubEvent::SubscriptionRefused(subscription) => {
                self.shared.notify(&AppEvent::SubscriptionRefused { subscription: *subscription });
            }
            HubEvent::Oversized { topic, size } => {
                if let Ok(request) = Request::parse(topic, &[]) {
                    self.queue_answer(&request, status::TOO_LARGE);
                } else if twin::Message::parse(topic, &[]).is_ok() {
                    self.shared.notify(&AppEvent::TwinUnusable { cause: &Error::Oversized { size: *size } });
                }
            }
            // Telemetry is worth nothing later: what was lost with a session is followed by the next reading.
            _ => {}
        }
    }

    fn interval_changed(&mut self, change: Option<IntervalChange>) {
        if let Some(IntervalChange { ms, accepted }) = change {
            // Counted from now, not from the last message: a short one holds at once.
            self.next_telemetry = self.next_telemetry.min(Instant::now() + self.interval_duration());
            self.shared.notify(&AppEvent::Interval { ms, accepted });
        }
    }

    fn interval_duration(&self) -> Duration {
        Duration::from_millis(self.twin.interval_ms().into())
    }

    /// `start` and `stop` switch telemetry, as in the tutorial's sketch.
    fn handle_method(&mut self, request: &Request<'_>) {
        let status = match request.name {
            "start" | "stop" => {
                self.running = request.name == "start";
                self.next_telemetry = Instant::now();
                status::OK
            }
            _ => status::NOT_FOUND,
        };
        self.queue_answer(request, status);
    }

    fn queue_answer(&mut self, request: &Request<'_>, status: i32) {
        // With too many at once the newest is not answered.
        let _ = self.answers.push_back((request.reply_to(), status));
        self.shared.notify(&AppEvent::Method { name: request.name, status, running: self.running });
    }

    /// The last command was not carried out, though the connection still stands.
    fn requeue_last(&mut self) {
        match core::mem::replace(&mut self.last, LastCommand::Other) {
            LastCommand::Answer(to, status) => {
                let _ = self.answers.push_front((to, status));
            }
            LastCommand::Telemetry => self.next_telemetry = Instant::now(),
            LastCommand::Report => self.twin.failed(),
            #[cfg(feature = "issued-certificates")]
            LastCommand::Certificate => self.no_certificate(&"it was not asked", None),
            LastCommand::Other => {}
        }
    }

    /// Whether a report is due, and which: it stands at the beginning of the buffer.
    fn make_report(&mut self) -> Option<usize> {
        if Instant::now() < self.next_report {
            return None;
        }
        let crash = self.crash.as_deref();
        match self.twin.report(self.version, crash, &mut self.report) {
            Ok(report) => report.map(str::len),
            // Cannot be: the buffer holds the longest report.
            Err(_) => None,
        }
    }
}

impl<S: System, E: Debug + Display> Application<E> for CloudApplication<'_, '_, S> {
    async fn event(&mut self, event: runner::DeviceEvent<'_, E>) {
        self.shared.check_in(Task::Main, MAX_CLOUD_SILENCE_MS);
        match event {
            runner::DeviceEvent::Connecting(target) => {
                self.shared.notify(&AppEvent::Connecting { host: target.host });
            }
            runner::DeviceEvent::Registering => self.shared.notify(&AppEvent::Registering),
            runner::DeviceEvent::Registered(assignment) => {
                self.device_id = assignment.device_id().chars().take(MAX_DEVICE_ID).collect();
                let (hub, device_id) = (assignment.hub(), assignment.device_id());
                self.shared.notify(&AppEvent::Assigned { hub, device_id });
            }
            runner::DeviceEvent::Hub(event) => self.handle_hub_event(&event),
            runner::DeviceEvent::Reporting(request) => self.twin.reporting(request),
            runner::DeviceEvent::NotSent(error) if error.is_local() => self.requeue_last(),
            runner::DeviceEvent::Retrying { cause, in_ms } => {
                #[cfg(feature = "issued-certificates")]
                if let (runner::Cause::Service(error), Some(issued)) = (&cause, self.issued)
                    && error.is_refusal()
                    && issued.refused()
                {
                    let log = &self.shared.log;
                    log.warning(format_args!(
                        "The hub refuses the new certificate, it is shown the one before"
                    ));
                }
                let wait = in_ms.unwrap_or(self.longest_wait_ms);
                self.shared.check_in(Task::Main, MAX_CLOUD_SILENCE_MS.saturating_add(wait));
                self.shared.notify(&AppEvent::Retrying { cause: &cause, in_ms });
            }
            _ => {}
        }
    }

    #[cfg(feature = "issued-certificates")]
    fn assigned(&mut self, state: &dps_client::RegistrationState<'_>) {
        let Some(issued) = self.issued else { return };
        let log = &self.shared.log;
        match issued.assigned(state) {
            Ok(true) => log.info(format_args!("The provisioning service has issued a certificate")),
            Ok(false) => log.warning(format_args!("The provisioning service has issued no certificate")),
            Err(error) => log.warning(format_args!("What the provisioning service has issued: {error}")),
        }
    }

    async fn command(&mut self) -> DeviceCommand<'_> {
        self.last = LastCommand::Other;
        // Nothing is removed before it is returned: dropping this future loses nothing.
        loop {
            if let Some((to, status)) = self.answers.pop_front() {
                self.last = LastCommand::Answer(to.clone(), status);
                return DeviceCommand::Respond { to, status, payload: b"" };
            }
            #[cfg(feature = "issued-certificates")]
            match self.certificate_command() {
                Some(CertificateCommand::Reconnect) => return DeviceCommand::Reconnect,
                Some(CertificateCommand::Request) => {
                    self.last = LastCommand::Certificate;
                    return DeviceCommand::RequestCertificate(&self.request);
                }
                None => {}
            }
            if let Some(len) = self.make_report() {
                self.last = LastCommand::Report;
                let report = self.report.get(..len).unwrap_or_default();
                return DeviceCommand::Report(core::str::from_utf8(report).unwrap_or_default());
            }
            let now = Instant::now();
            if self.shared.send_now.signaled() || (self.running && now >= self.next_telemetry) {
                break;
            }
            // Wakes up now and then for a report that is due.
            let wake = if self.running { self.next_telemetry } else { now + REPORT_RETRY_DELAY };
            let woken =
                select(Timer::at(wake.min(now + REPORT_RETRY_DELAY)), self.shared.send_now.wait()).await;
            if matches!(woken, Either::Second(())) {
                break;
            }
        }
        self.shared.send_now.reset();
        let reading = self.shared.reading.get();
        self.next_telemetry = Instant::now() + self.interval_duration();
        self.messages = self.messages.wrapping_add(1);
        self.last = LastCommand::Telemetry;
        self.body = reading.body(&self.device_id, self.messages);
        self.properties = [(ALERT_PROPERTY, reading.alert())];
        self.shared.notify(&AppEvent::TelemetrySent { reading });
        DeviceCommand::Telemetry(Telemetry::json(self.body.as_bytes()).with_properties(&self.properties))
    }
}
