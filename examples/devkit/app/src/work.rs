//! What the device does while it is connected: telemetry, answers to the cloud, its twin.

use core::fmt::{Debug, Display};

use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Instant, Timer};
use heapless::{Deque, String};
use iothub_mqtt::method::{ReplyTo, Request, status};
use iothub_mqtt::runner::{Application, DeviceCommand};
use iothub_mqtt::{Error, HubEvent, Telemetry, client, runner, twin};

use crate::board::{Crash, System};
use crate::event::Event;
use crate::shared::Shared;
use crate::telemetry::{self, ALERT_PROPERTY};
use crate::twin::{IntervalSet, MAX_REPORT, Twin};
use crate::vigil::Task;

/// Longest device id (IoT Hub).
const MAX_DEVICE_ID: usize = 128;
/// Method calls that may wait for their answer at once; the callers of more see the service's time-out.
const ANSWERS: usize = 4;
/// How long the cloud side may be silent: longer than a ping takes to come round, a connection to be made, and the
/// provisioning service to assign a hub. In milliseconds.
pub(crate) const SILENCE_MS: u32 = 600_000;
/// After a report that failed, in milliseconds.
const REPORT_AGAIN: Duration = Duration::from_secs(30);

/// The command given last.
enum Last {
    Other,
    Answer(ReplyTo, i32),
    Telemetry,
    Report,
}

/// The application as the runner sees it.
pub(crate) struct Work<'a, 's, S> {
    shared: &'a Shared<'s, S>,
    version: &'a str,
    crash: Option<Crash>,
    /// The longest wait of the runner that it does not announce, in milliseconds.
    longest_wait_ms: u32,
    /// Who the hub says we are.
    device_id: String<MAX_DEVICE_ID>,
    /// Telemetry messages made.
    messages: u32,
    next_telemetry: Instant,
    /// Telemetry is switched on; the methods `start` and `stop` say.
    running: bool,
    answers: Deque<(ReplyTo, i32), ANSWERS>,
    last: Last,
    twin: Twin<client::RequestId>,
    next_report: Instant,
    body: String<{ telemetry::MAX_BODY }>,
    properties: [(&'static str, &'static str); 1],
    report: [u8; MAX_REPORT],
}

impl<'a, 's, S: System> Work<'a, 's, S> {
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
            last: Last::Other,
            twin: Twin::new(interval_ms).with_channel_left(shared.channel_left.get()),
            next_report: Instant::MIN,
            body: String::new(),
            properties: [(ALERT_PROPERTY, "false")],
            report: [0; MAX_REPORT],
        }
    }

    fn hub(&mut self, event: &HubEvent<'_>) {
        match event {
            HubEvent::Connected => {
                self.twin.reconnected();
                self.next_telemetry = Instant::now();
                self.next_report = Instant::now();
                self.shared.tell(&Event::HubConnected);
            }
            HubEvent::Delivered(_) => self.shared.tell(&Event::TelemetryDelivered),
            HubEvent::Message(message) => {
                self.shared
                    .tell(&Event::Message { properties: message.properties, payload: message.payload });
            }
            HubEvent::Method(request) => self.method(request),
            HubEvent::Twin(document) => {
                let set = self.twin.replace(&document.desired(), document.version());
                self.interval(set);
            }
            HubEvent::Desired(desired) => {
                // The client has read it before.
                if let Ok(object) = desired.object() {
                    let set = self.twin.change(&object, desired.version);
                    self.interval(set);
                }
            }
            HubEvent::Reported { request, result } => {
                if self.twin.reported(*request, result.is_ok()) {
                    self.crash = None;
                    self.shared.system.borrow_mut().forget_crash();
                }
                match result {
                    Ok(_) => self.shared.tell(&Event::Reported),
                    Err(_) => self.next_report = Instant::now() + REPORT_AGAIN,
                }
            }
            HubEvent::TwinUnusable(error) => self.shared.tell(&Event::TwinUnusable { cause: error }),
            HubEvent::SubscriptionRefused(subscription) => {
                self.shared.tell(&Event::SubscriptionRefused { subscription: *subscription });
            }
            HubEvent::Oversized { topic, size } => {
                if let Ok(request) = Request::parse(topic, &[]) {
                    self.answer(&request, status::TOO_LARGE);
                } else if twin::Message::parse(topic, &[]).is_ok() {
                    self.shared.tell(&Event::TwinUnusable { cause: &Error::Oversized { size: *size } });
                }
            }
            // Telemetry is worth nothing later: what was lost with a session is followed by the next reading.
            _ => {}
        }
    }

    fn interval(&mut self, set: Option<IntervalSet>) {
        if let Some(IntervalSet { ms, accepted }) = set {
            // Counted from now, not from the last message: a short one holds at once.
            self.next_telemetry = self.next_telemetry.min(Instant::now() + self.interval_duration());
            self.shared.tell(&Event::Interval { ms, accepted });
        }
    }

    fn interval_duration(&self) -> Duration {
        Duration::from_millis(self.twin.interval_ms().into())
    }

    /// `start` and `stop` switch telemetry, as in the tutorial's sketch.
    fn method(&mut self, request: &Request<'_>) {
        let status = match request.name {
            "start" | "stop" => {
                self.running = request.name == "start";
                self.next_telemetry = Instant::now();
                status::OK
            }
            _ => status::NOT_FOUND,
        };
        self.answer(request, status);
    }

    fn answer(&mut self, request: &Request<'_>, status: i32) {
        // With too many at once the newest is not answered.
        let _ = self.answers.push_back((request.reply_to(), status));
        self.shared.tell(&Event::Method { name: request.name, status, running: self.running });
    }

    /// The last command was not carried out, though the connection still stands.
    fn again(&mut self) {
        match core::mem::replace(&mut self.last, Last::Other) {
            Last::Answer(to, status) => {
                let _ = self.answers.push_front((to, status));
            }
            Last::Telemetry => self.next_telemetry = Instant::now(),
            Last::Report => self.twin.failed(),
            Last::Other => {}
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

impl<S: System, E: Debug + Display> Application<E> for Work<'_, '_, S> {
    async fn event(&mut self, event: runner::DeviceEvent<'_, E>) {
        self.shared.promise(Task::Main, SILENCE_MS);
        match event {
            runner::DeviceEvent::Connecting(target) => {
                self.shared.tell(&Event::Connecting { host: target.host });
            }
            runner::DeviceEvent::Registering => self.shared.tell(&Event::Registering),
            runner::DeviceEvent::Registered(assignment) => {
                self.device_id = assignment.device_id().chars().take(MAX_DEVICE_ID).collect();
                let (hub, device_id) = (assignment.hub(), assignment.device_id());
                self.shared.tell(&Event::Assigned { hub, device_id });
            }
            runner::DeviceEvent::Hub(event) => self.hub(&event),
            runner::DeviceEvent::Reporting(request) => self.twin.reporting(request),
            runner::DeviceEvent::NotSent(error) if error.is_local() => self.again(),
            runner::DeviceEvent::Retrying { cause, in_ms } => {
                let wait = in_ms.unwrap_or(self.longest_wait_ms);
                self.shared.promise(Task::Main, SILENCE_MS.saturating_add(wait));
                self.shared.tell(&Event::Retrying { cause: &cause, in_ms });
            }
            _ => {}
        }
    }

    async fn command(&mut self) -> DeviceCommand<'_> {
        self.last = Last::Other;
        // Nothing is taken off before it is given: whoever drops this future loses nothing.
        loop {
            if let Some((to, status)) = self.answers.pop_front() {
                self.last = Last::Answer(to.clone(), status);
                return DeviceCommand::Respond { to, status, payload: b"" };
            }
            if let Some(len) = self.make_report() {
                self.last = Last::Report;
                let report = self.report.get(..len).unwrap_or_default();
                return DeviceCommand::Report(core::str::from_utf8(report).unwrap_or_default());
            }
            let now = Instant::now();
            if self.shared.nudge.signaled() || (self.running && now >= self.next_telemetry) {
                break;
            }
            // Comes again every now and then for the report that waits.
            let wake = if self.running { self.next_telemetry } else { now + REPORT_AGAIN };
            let nudge = select(Timer::at(wake.min(now + REPORT_AGAIN)), self.shared.nudge.wait()).await;
            if matches!(nudge, Either::Second(())) {
                break;
            }
        }
        self.shared.nudge.reset();
        let reading = self.shared.reading.get();
        self.next_telemetry = Instant::now() + self.interval_duration();
        self.messages = self.messages.wrapping_add(1);
        self.last = Last::Telemetry;
        self.body = reading.body(&self.device_id, self.messages);
        self.properties = [(ALERT_PROPERTY, reading.alert())];
        self.shared.tell(&Event::TelemetrySent { reading });
        DeviceCommand::Telemetry(Telemetry::json(self.body.as_bytes()).with_properties(&self.properties))
    }
}
