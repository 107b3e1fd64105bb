//! Every device has its assignment stored and goes to the hub, with the waiting times of the runner.

use iothub_mqtt::runner::{Ladder, Policy};
use iothub_mqtt::{Backoff, Error, Refusal};

use crate::{Agenda, CONNECTIONS_PER_SECOND, Course, POWER_MS, Quota};

/// TCP, TLS and CONNACK.
const CONNECTING_MS: u64 = 500;

pub(crate) fn run(name: &'static str, devices: u32) -> Course {
    let mut course = Course { name, devices, quota: CONNECTIONS_PER_SECOND * 60, ..Course::default() };
    let mut hub = Quota::new(CONNECTIONS_PER_SECOND, 1000);
    let mut ladders = vec![Ladder::new(Policy::DEFAULT); usize::try_from(devices).expect("fits")];
    let mut random = generator(1);
    let mut agenda = Agenda::default();
    for device in 0..devices {
        agenda.at(
            u64::from(Backoff { min_ms: 0, max_ms: 0, jitter_ms: POWER_MS }.delay_ms(0, random())),
            device,
        );
    }
    while let Some((now, device)) = agenda.next() {
        course.attempt(now);
        let then = now + CONNECTING_MS;
        if hub.takes(now) {
            course.done_ms.push(then);
            continue;
        }
        // A hub that takes no more says that it is not available.
        let refused = Error::ConnectionRefused(Refusal::Unavailable);
        let (_, wait_ms) = ladders[device as usize].ended(Some(&refused), then, random());
        agenda.at(then + u64::from(wait_ms), device);
    }
    course
}

/// Numbers as a chip's generator gives them, the same in every run.
pub(crate) fn generator(seed: u64) -> impl FnMut() -> u32 {
    let mut state = seed;
    move || {
        // splitmix64 of Steele, Lea and Flood
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or_default()
    }
}
