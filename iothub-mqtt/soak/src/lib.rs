//! A device under faults: the whole runner, from the wire to the ladder, sends numbered messages to a hub over
//! connections that break, stall and lie. Time is virtual, so that hours of waiting pass at once, and everything
//! follows from a seed.

mod clock;
mod device;
mod faults;
mod hub;
mod mqtt5;
mod wire;

pub use faults::Kind;

use std::cell::RefCell;
use std::rc::Rc;

use embassy_time::Instant;
use iothub_mqtt::Generation;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// How a run went.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    /// Faults played, by kind, in the order of [`Kind::ALL`].
    pub faults: [u32; Kind::ALL.len()],
    /// Connections made.
    pub connections: u32,
    /// Messages the hub got more than once.
    pub repeated: u32,
    /// Cloud-to-device messages the application took, each counted once.
    pub taken: u32,
    /// Methods answered.
    pub answered: u32,
    /// Version of the desired properties at the end, which hub and device agree on.
    pub twin_version: u64,
    /// Virtual time that passed, in seconds.
    pub seconds: u64,
}

/// Sends `messages` messages to a hub of this generation, a fault on average every `every`, and checks on the way and
/// at the end that
///
/// - no message that the device was told to be delivered is unknown to the hub,
/// - every message reached the hub at least once,
/// - every cloud-to-device message that was acknowledged had been given to the application, and all of them were
///   (classic hubs only: the others have none),
/// - the device knows the newest desired properties, and saw no version twice or out of order.
///
/// # Panics
/// If one of these does not hold, or nothing is left to wait for.
#[must_use]
pub fn run(generation: Generation, seed: u64, messages: u32, every: u32) -> Report {
    let start = Instant::now();
    let shared = Rc::new(RefCell::new(hub::State::new(messages)));
    let net = wire::Network::default();
    let faults = faults::Faults::new(StdRng::seed_from_u64(seed), every);
    let mut hub = hub::Hub::new(generation, shared.clone(), net.clone(), faults);
    let device = device::run(generation, shared.clone(), net, seed);
    clock::block_on(async {
        match embassy_futures::select::select(Box::pin(device), hub.run()).await {
            embassy_futures::select::Either::First(()) => {}
            embassy_futures::select::Either::Second(never) => match never {},
        }
    });
    let state = shared.borrow();
    state.check();
    let mut report = state.report.clone();
    report.faults = hub.played();
    report.seconds = start.elapsed().as_secs();
    report.twin_version = state.desired;
    report
}
