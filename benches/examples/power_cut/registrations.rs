//! No device has an assignment: all register, each with its own `Registration`.

use dps_client::{Action, Answer, Config, Operation, Registration, RegistrationEvent, Timing};

use crate::hub::generator;
use crate::{Agenda, Course, MINUTE_MS, POWER_MS, Quota, REGISTRATIONS_PER_MINUTE};

/// TCP, TLS and CONNACK; and there and back.
const CONNECTING_MS: u64 = 500;
const ANSWER_MS: u64 = 100;

const ASSIGNING: &[u8] = br#"{"operationId":"5.a1b2c3d4e5f60718.0f0e0d0c","status":"assigning"}"#;
const ASSIGNED: &[u8] =
    br#"{"operationId":"5.a1b2c3d4e5f60718.0f0e0d0c","status":"assigned","registrationState":
    {"assignedHub":"contoso.azure-devices.net","deviceId":"my-device","status":"assigned"}}"#;
const THROTTLED: &[u8] =
    br#"{"errorCode":429001,"trackingId":"","message":"Operations are being throttled for this tenant."}"#;

/// What a device waits for.
#[derive(Clone, Copy)]
enum Awaited {
    Time,
    Connection,
    Subscription,
    Answer { rid: u32, status: u16, body: &'static [u8] },
}

struct Device {
    registration: Registration<'static>,
    awaited: Awaited,
}

pub(crate) fn run(name: &'static str, devices: u32, timing: Timing, minutes: Option<u64>) -> Course {
    let mut course = Course { name, devices, quota: REGISTRATIONS_PER_MINUTE, ..Course::default() };
    let mut service = Quota::new(REGISTRATIONS_PER_MINUTE, MINUTE_MS);
    let mut random = generator(2);
    let mut agenda = Agenda::default();
    let config = Config::new("0ne00000001", "my-device").expect("valid").with_timing(timing);
    let mut fleet: Vec<Option<Box<Device>>> = (0..devices)
        .map(|device| {
            agenda.at((u64::from(random()) * u64::from(POWER_MS)) >> 32, device);
            let registration = Registration::new(config, random());
            Some(Box::new(Device { registration, awaited: Awaited::Time }))
        })
        .collect();
    while let Some((now, index)) = agenda.next() {
        if minutes.is_some_and(|minutes| now >= minutes * MINUTE_MS) {
            break;
        }
        let slot = &mut fleet[index as usize];
        let Some(device) = slot else { continue };
        device.happens(now);
        if let Some(next) = device.goes_on(now, &mut service, &mut course) {
            agenda.at(next, index);
        } else {
            course.done_ms.push(now);
            *slot = None;
        }
    }
    course
}

impl Device {
    /// What it waited for is there.
    fn happens(&mut self, now: u64) {
        let text;
        let event = match self.awaited {
            Awaited::Time => return,
            Awaited::Connection => RegistrationEvent::Connected,
            Awaited::Subscription => RegistrationEvent::Subscribed,
            Awaited::Answer { rid, status, body } => {
                text = rid.to_string();
                let retry_after_s = (status == 202).then_some(3);
                RegistrationEvent::Answer(Answer { status, rid: Some(&text), retry_after_s, body })
            }
        };
        self.registration.handle(event, now);
    }

    /// Does what the state machine says; gives when the next thing happens, nothing if it is assigned.
    fn goes_on(&mut self, now: u64, service: &mut Quota, course: &mut Course) -> Option<u64> {
        loop {
            let (awaited, next) = match self.registration.next(now) {
                Action::Connect { .. } => (Awaited::Connection, now + CONNECTING_MS),
                Action::Subscribe => (Awaited::Subscription, now + ANSWER_MS),
                Action::Send(request) => {
                    let (status, body) = match request.operation() {
                        Operation::Poll { .. } => (200, ASSIGNED),
                        Operation::Register => {
                            course.attempt(now);
                            if service.takes(now) { (202, ASSIGNING) } else { (429, THROTTLED) }
                        }
                    };
                    (Awaited::Answer { rid: request.rid(), status, body }, now + ANSWER_MS)
                }
                Action::Wait { until_ms } => (Awaited::Time, until_ms),
                Action::Disconnect { .. } => continue,
                Action::Finished(_) => return None,
                Action::Failed(error) => panic!("{error}"),
            };
            self.awaited = awaited;
            return Some(next.max(now + 1));
        }
    }
}
