//! Which fault comes when.

use embassy_time::Duration;
use rand::rngs::StdRng;
use rand::{Rng, RngExt};

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The connection is cut.
    Drop,
    /// The connection is dead, and nobody is told.
    HalfOpen,
    /// A packet, and all behind it, comes late.
    Delay,
    /// An acknowledgement comes after later ones.
    Reorder,
    /// A packet comes twice.
    Duplicate,
    /// Bytes that are no packet.
    Garbage,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::Drop, Self::HalfOpen, Self::Delay, Self::Reorder, Self::Duplicate, Self::Garbage];
}

/// Where a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// At a message of the device, before the hub has it.
    FromDevice,
    /// At the hub's next packet to the device; its work is done.
    ToDevice,
}

/// A fault to be played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    pub(crate) place: Place,
}

/// The source of faults.
pub(crate) struct Faults {
    random: StdRng,
    every: u32,
    /// How many of each kind there were.
    pub(crate) played: [u32; Kind::ALL.len()],
}

impl Faults {
    pub(crate) fn new(random: StdRng, every: u32) -> Self {
        Self { random, every, played: [0; Kind::ALL.len()] }
    }

    /// Rolls the dice for one message.
    pub(crate) fn next(&mut self) -> Option<Fault> {
        if self.random.random_range(0..self.every) != 0 {
            return None;
        }
        let index = self.random.random_range(0..Kind::ALL.len());
        self.played[index] += 1;
        let place = if self.random.random() { Place::FromDevice } else { Place::ToDevice };
        Some(Fault { kind: Kind::ALL[index], place })
    }

    /// How late a packet comes: mostly soon enough, now and then after everybody has given up.
    pub(crate) fn delay(&mut self) -> Duration {
        let seconds = if self.random.random_range(0..4) == 0 { 600 } else { 20 };
        Duration::from_millis(self.random.random_range(100..seconds * 1000))
    }

    pub(crate) fn garbage(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; self.random.random_range(1..40)];
        self.random.fill_bytes(&mut bytes);
        bytes
    }
}
