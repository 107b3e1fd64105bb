//! What the device does while it is connected: telemetry, and answers to the cloud.

use core::fmt::{Debug, Display};

use embassy_time::{Duration, Instant, Timer};
use heapless::String;
use iothub_mqtt::method::{ReplyTo, Request, status};
use iothub_mqtt::runner::{Application, Command};
use iothub_mqtt::{Telemetry, client, runner};

use crate::board::System;
use crate::event::Event;
use crate::telemetry::{self, ALERT_PROPERTY, Reading};

/// Longest device id (IoT Hub).
const MAX_DEVICE_ID: usize = 128;

/// The application as the runner sees it.
pub(crate) struct Work<'a, S> {
    system: &'a mut S,
    interval: Duration,
    /// Who the hub says we are.
    device_id: String<MAX_DEVICE_ID>,
    /// Telemetry messages made.
    messages: u32,
    next_telemetry: Instant,
    /// Telemetry is switched on; the methods `start` and `stop` say.
    running: bool,
    /// A method waits for this answer.
    answer: Option<(ReplyTo, i32)>,
    body: String<{ telemetry::MAX_BODY }>,
    properties: [(&'static str, &'static str); 1],
}

impl<'a, S: System> Work<'a, S> {
    pub(crate) fn new(system: &'a mut S, interval_ms: u32) -> Self {
        Self {
            system,
            interval: Duration::from_millis(interval_ms.into()),
            device_id: String::new(),
            messages: 0,
            next_telemetry: Instant::MIN,
            running: true,
            answer: None,
            body: String::new(),
            properties: [(ALERT_PROPERTY, "false")],
        }
    }

    fn hub(&mut self, event: &client::Event<'_>) {
        match event {
            client::Event::Connected => {
                self.next_telemetry = Instant::now();
                self.system.observe(&Event::HubConnected);
            }
            client::Event::Delivered(_) => self.system.observe(&Event::TelemetryDelivered),
            client::Event::Message(message) => {
                self.system
                    .observe(&Event::Message { properties: message.properties, payload: message.payload });
            }
            client::Event::Method(request) => self.method(request),
            // Telemetry is worth nothing later: what was lost with a session is followed by the next reading.
            _ => {}
        }
    }

    /// `start` and `stop` switch telemetry, as in the tutorial's sketch. One call is answered at a time; a caller whom
    /// another one overtook sees the service's time-out.
    fn method(&mut self, request: &Request<'_>) {
        let status = match request.name {
            "start" | "stop" => {
                self.running = request.name == "start";
                self.next_telemetry = Instant::now();
                status::OK
            }
            _ => status::NOT_FOUND,
        };
        self.answer = Some((request.reply_to(), status));
        self.system.observe(&Event::Method { name: request.name, status });
    }
}

impl<S: System, E: Debug + Display> Application<E> for Work<'_, S> {
    async fn event(&mut self, event: runner::Event<'_, E>) {
        match event {
            runner::Event::Connecting(target) => {
                self.system.observe(&Event::Connecting { host: target.host });
            }
            runner::Event::Registering => self.system.observe(&Event::Registering),
            runner::Event::Registered(assignment) => {
                self.device_id = assignment.device_id().chars().take(MAX_DEVICE_ID).collect();
                let (hub, device_id) = (assignment.hub(), assignment.device_id());
                self.system.observe(&Event::Assigned { hub, device_id });
            }
            runner::Event::Hub(event) => self.hub(&event),
            runner::Event::Retrying { cause, in_ms } => {
                self.system.observe(&Event::Retrying { cause: &cause, in_ms });
            }
            _ => {}
        }
    }

    async fn command(&mut self) -> Command<'_> {
        if let Some((to, status)) = self.answer.take() {
            return Command::Respond { to, status, payload: b"" };
        }
        if !self.running {
            core::future::pending::<()>().await;
        }
        Timer::at(self.next_telemetry).await;
        let reading = Reading::default();
        // Nothing waits from here on: a command that is made is given.
        self.next_telemetry = Instant::now() + self.interval;
        self.messages = self.messages.wrapping_add(1);
        self.body = reading.body(&self.device_id, self.messages);
        self.properties = [(ALERT_PROPERTY, reading.alert())];
        Command::Telemetry(Telemetry::json(self.body.as_bytes()).with_properties(&self.properties))
    }
}
