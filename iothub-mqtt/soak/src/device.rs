//! The device: the runner with an application that keeps account of everything it sends and gets.

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::rc::Rc;

use dps_client::{Assignment, Config, RegistrationState};
use iothub_mqtt::method::{ReplyTo, status};
use iothub_mqtt::runner::{
    Application, Buffers, Connector, Device, DeviceCommand, DeviceEvent, Policy, Settings, Target,
};
use iothub_mqtt::session::Ticket;
use iothub_mqtt::{Generation, HubEvent, Telemetry};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::hub::State;
use crate::wire::{End, Network};

impl Connector for Network {
    type Stream<'s> = End;
    type Error = Infallible;

    async fn connect(&mut self, _target: Target<'_>) -> Result<End, Infallible> {
        Ok(Network::connect(self))
    }

    fn is_retriable(error: &Infallible) -> bool {
        match *error {}
    }
}

/// Calls that may wait for their answer.
const REPLIES: usize = 4;

struct App {
    state: Rc<RefCell<State>>,
    /// The next new message, and those to be sent again.
    next: usize,
    again: Vec<usize>,
    /// The message of the command given last, and its text.
    given: Option<usize>,
    text: String,
    under_way: HashMap<Ticket, usize>,
    replies: Vec<ReplyTo>,
    report: bool,
}

impl App {
    fn hub(&mut self, event: &HubEvent<'_>) {
        let mut state = self.state.borrow_mut();
        match event {
            HubEvent::Delivered(ticket) => {
                // One of a connection that broke while it was given up is told without having been told of.
                if let Some(number) = self.under_way.remove(ticket) {
                    state.deliver(number);
                }
            }
            HubEvent::Lost(ticket) => self.again.extend(self.under_way.remove(ticket)),
            HubEvent::Message(message) => {
                let number: usize = std::str::from_utf8(message.payload)
                    .ok()
                    .and_then(|text| text.parse().ok())
                    .expect("a number");
                if !std::mem::replace(&mut state.taken[number], true) {
                    state.report.taken += 1;
                }
            }
            HubEvent::Method(request) => {
                assert_eq!((request.name, request.payload), ("blink", &b"{}"[..]));
                if self.replies.len() < REPLIES {
                    self.replies.push(request.reply_to());
                }
            }
            HubEvent::Twin(twin) => {
                assert!(twin.version() >= state.seen, "the twin goes back");
                state.seen = twin.version();
                self.report = true;
            }
            HubEvent::Desired(desired) => {
                assert_eq!(desired.version, state.seen + 1, "a change is missing or comes twice");
                state.seen = desired.version;
                self.report = true;
            }
            HubEvent::Connected | HubEvent::Reported { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

impl<E: std::fmt::Debug> Application<E> for App {
    async fn event(&mut self, event: DeviceEvent<'_, E>) {
        match event {
            DeviceEvent::Hub(event) => self.hub(&event),
            DeviceEvent::Sent(ticket) => {
                if let (Some(ticket), Some(number)) = (ticket, self.given.take()) {
                    self.under_way.insert(ticket, number);
                }
            }
            // It may have gone out all the same: then the hub gets it twice.
            DeviceEvent::NotSent(_) => self.again.extend(self.given.take()),
            _ => {}
        }
    }

    async fn command(&mut self) -> DeviceCommand<'_> {
        if self.state.borrow().is_finished() {
            return DeviceCommand::Stop;
        }
        if let Some(to) = self.replies.pop() {
            return DeviceCommand::Respond { to, status: status::OK, payload: b"{}" };
        }
        if std::mem::take(&mut self.report) {
            return DeviceCommand::Report(r#"{"seen":true}"#);
        }
        let number = match self.again.pop() {
            Some(number) => number,
            None if self.next < self.state.borrow().received.len() => {
                self.next += 1;
                self.next - 1
            }
            None => std::future::pending().await,
        };
        self.given = Some(number);
        self.text = number.to_string();
        DeviceCommand::Telemetry(Telemetry::new(self.text.as_bytes()))
    }
}

/// Runs the device until all is done.
pub(crate) async fn run(generation: Generation, state: Rc<RefCell<State>>, mut net: Network, seed: u64) {
    let mut app = App {
        state,
        next: 0,
        again: Vec::new(),
        given: None,
        text: String::new(),
        under_way: HashMap::new(),
        replies: Vec::new(),
        report: false,
    };
    let mut random = StdRng::seed_from_u64(seed ^ 0x00DE_71CE);
    let registration = Config::new("0ne00000001", "my-device").expect("valid ids");
    let mut settings = Settings::new(registration);
    // There is one hub; a fault on average every 200 messages must not send the device elsewhere.
    settings.policy = Policy { refusals: u32::MAX, failures: u32::MAX, ..Policy::DEFAULT };
    // A hub of the new generation has no cloud-to-device messages.
    settings.client.messages = generation == Generation::Classic;
    let mut device: Device<'_, _> = Device::new(settings, move || random.next_u32());
    let mut buffers = Buffers {
        rx: &mut [0; 1024],
        tx: &mut [0; 2048],
        registration_rx: &mut [0; 512],
        registration_tx: &mut [],
        body: &mut [],
        token: &mut [],
    };
    let profile = if generation == Generation::Classic { "classic" } else { "mqttV5" };
    let body = format!(
        r#"{{"assignedHub":"hub.azure-devices.net","deviceId":"my-device","status":"assigned","connectionProfile":"{profile}"}}"#
    );
    let assigned = RegistrationState::parse(body.as_bytes()).expect("JSON");
    let assignment = Assignment::from_state(&assigned).expect("an assignment");
    device
        .run(&mut app, &mut net, &mut buffers, Some(assignment))
        .await
        .expect("nothing here fails for good");
}
