//! A registration over MQTT driven by data the compiler cannot see through: all that a firmware links of `dps-client`
//! for it.
#![no_std]
use core::hint::black_box;

use dps_client::{Action, Config, Registration, RegistrationEvent, mqtt};

fn session(topic: &str, body: &[u8]) -> usize {
    let Ok(config) = Config::new(black_box("0ne00000001"), black_box("device-1")) else { return 1 };
    let mut registration = Registration::new(config, black_box(1));
    let mut out = [0; mqtt::MAX_USER_NAME];
    let mut written = 0;
    for now in 0..black_box(20) {
        match registration.next(now) {
            Action::Connect { .. } => {
                written += mqtt::user_name(registration.config(), &mut out).map_or(0, str::len);
                let _ = registration.handle(black_box(RegistrationEvent::Connected), now);
            }
            Action::Subscribe => {
                let _ = registration.handle(black_box(RegistrationEvent::Subscribed), now);
            }
            Action::Send(request) => {
                written += mqtt::topic(&request, &mut out).map_or(0, str::len);
                written += request.body(&mut out).map_or(0, <[u8]>::len);
                if let Ok(answer) = mqtt::parse_answer(topic, body) {
                    let _ = registration.handle(black_box(RegistrationEvent::Answer(answer)), now);
                }
            }
            Action::Finished(assignment) => return assignment.hub().len() + assignment.device_id().len(),
            Action::Failed(_) => return 2,
            Action::Wait { .. } | Action::Disconnect { .. } => {}
        }
    }
    written
}

/// Runs it; the result depends on every part, so that nothing is optimised away.
#[must_use]
pub fn run() -> usize {
    session(black_box("$dps/registrations/res/202/?$rid=1"), black_box(b"{}"))
}
