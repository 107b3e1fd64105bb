//! A device under test: the state machine with its clock, driven step by step.
#![allow(dead_code, unreachable_pub, reason = "each test program uses its own part")]
use dps_client::{
    Action, Answer, Config, Error, Fault, Progress, Registration, RegistrationEvent, Transport, mqtt,
};

pub const OPERATION: &str = "5.316aac5bdc130deb.b1e02da8-c3a0-4ff2-a121-7ea7a6b7f550";
pub const ASSIGNING: &str =
    r#"{"operationId":"5.316aac5bdc130deb.b1e02da8-c3a0-4ff2-a121-7ea7a6b7f550","status":"assigning"}"#;
pub const ASSIGNED: &str = r#"{"operationId":"5.316aac5bdc130deb.b1e02da8-c3a0-4ff2-a121-7ea7a6b7f550",
    "status":"assigned","registrationState":{"x509":{},"registrationId":"device-1",
    "createdDateTimeUtc":"2026-04-10T03:11:13.2096201Z","assignedHub":"contoso.azure-devices.net",
    "deviceId":"Device-1","status":"assigned","substatus":"initialAssignment",
    "lastUpdatedDateTimeUtc":"2026-04-10T03:11:13.2096201Z","etag":"IjYx"}}"#;

/// What an action was, without its borrow of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Did {
    Connect(u8),
    Subscribe,
    Register { rid: u32, authorized: bool },
    Poll { rid: u32, operation_id: String },
    Disconnect(Fault),
    Wait(u64),
    Finished { hub: String, device_id: String },
    Failed(Error),
}

/// What an event meant, without its borrow of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meant {
    Ignored,
    Accepted,
    Assigning,
    Assigned,
    NotAssigned,
    Refused(u16),
    Challenge(String),
    Fault(Fault),
    Unusable,
}

pub struct Device<'a> {
    pub registration: Registration<'a>,
    pub now: u64,
}

pub fn config() -> Config<'static> {
    Config::new("0ne00000001", "device-1").unwrap()
}

pub fn device() -> Device<'static> {
    Device::new(config())
}

impl<'a> Device<'a> {
    pub fn new(config: Config<'a>) -> Self {
        Self { registration: Registration::new(config, 7), now: 1_000_000 }
    }

    pub fn next(&mut self) -> Did {
        match self.registration.next(self.now) {
            Action::Connect { credential } => Did::Connect(credential),
            Action::Subscribe => Did::Subscribe,
            Action::Send(request) => match request.operation() {
                dps_client::Operation::Register => {
                    Did::Register { rid: request.rid(), authorized: request.is_authorized() }
                }
                dps_client::Operation::Poll { operation_id } => {
                    Did::Poll { rid: request.rid(), operation_id: operation_id.to_owned() }
                }
            },
            Action::Disconnect { reason } => Did::Disconnect(reason),
            Action::Wait { until_ms } => Did::Wait(until_ms),
            Action::Finished(assignment) => Did::Finished {
                hub: assignment.hub().to_owned(),
                device_id: assignment.device_id().to_owned(),
            },
            Action::Failed(error) => Did::Failed(error.clone()),
        }
    }

    /// The next action that is not a wait; the clock goes to the end of each wait.
    pub fn act(&mut self) -> Did {
        loop {
            match self.next() {
                Did::Wait(until) => {
                    assert!(until > self.now, "a wait into the past");
                    self.now = until;
                }
                did => return did,
            }
        }
    }

    pub fn handle(&mut self, event: RegistrationEvent<'_>) -> Meant {
        match self.registration.handle(event, self.now) {
            Progress::Ignored => Meant::Ignored,
            Progress::Accepted => Meant::Accepted,
            Progress::Assigning => Meant::Assigning,
            Progress::Assigned(_) => Meant::Assigned,
            Progress::NotAssigned(_) => Meant::NotAssigned,
            Progress::Refused { status, .. } => Meant::Refused(status),
            Progress::Challenge(key) => Meant::Challenge(key.to_string()),
            Progress::Fault(fault) => Meant::Fault(fault),
            Progress::Unusable => Meant::Unusable,
        }
    }

    /// Reports an answer as it would come on the wire.
    pub fn answer(&mut self, rid: u32, status: u16, retry_after: Option<u32>, body: &str) -> Meant {
        let retry = retry_after.map_or(String::new(), |seconds| format!("&retry-after={seconds}"));
        let topic = format!("$dps/registrations/res/{status}/?$rid={rid}{retry}");
        if self.registration.config().transport() == Transport::Https {
            let answer = Answer { status, rid: None, retry_after_s: retry_after, body: body.as_bytes() };
            return self.handle(RegistrationEvent::Answer(answer));
        }
        self.handle(RegistrationEvent::Answer(mqtt::parse_answer(&topic, body.as_bytes()).unwrap()))
    }

    /// Goes up to the point where requests are sent.
    pub fn connect(&mut self) {
        assert!(matches!(self.act(), Did::Connect(_)));
        assert_eq!(self.handle(RegistrationEvent::Connected), Meant::Accepted);
        if self.registration.config().transport() == Transport::Mqtt {
            assert_eq!(self.act(), Did::Subscribe);
            assert_eq!(self.handle(RegistrationEvent::Subscribed), Meant::Accepted);
        }
    }

    /// The id of the next request, which must be one to register.
    pub fn register(&mut self) -> u32 {
        match self.act() {
            Did::Register { rid, .. } => rid,
            other => panic!("{other:?}"),
        }
    }

    /// The id of the next request, which must be a poll.
    pub fn poll(&mut self) -> u32 {
        match self.act() {
            Did::Poll { rid, operation_id } => {
                assert_eq!(operation_id, OPERATION);
                rid
            }
            other => panic!("{other:?}"),
        }
    }

    /// Up to a poll that is under way.
    pub fn polling(config: Config<'a>) -> (Self, u32) {
        let mut device = Self::new(config);
        device.connect();
        let rid = device.register();
        assert_eq!(device.answer(rid, 202, Some(3), ASSIGNING), Meant::Assigning);
        let rid = device.poll();
        (device, rid)
    }

    /// Expects the end of a registration that went well.
    pub fn assert_finished(&mut self) {
        let finished =
            Did::Finished { hub: "contoso.azure-devices.net".to_owned(), device_id: "Device-1".to_owned() };
        assert_eq!(self.act(), finished);
        assert_eq!(self.act(), finished, "it stays finished");
    }
}
