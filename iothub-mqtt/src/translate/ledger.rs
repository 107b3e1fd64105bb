//! What both directions have to know of each other: open requests, owed acknowledgements, limits.

use super::Fault;
use heapless::Vec;

/// Open (un)subscriptions, and acknowledgements owed, at once. The engine opens at most eight.
const OPEN: usize = 16;

/// A SUBSCRIBE or UNSUBSCRIBE on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) unsubscribe: bool,
    pub(super) packet_id: u16,
    pub(super) filters: u16,
}

/// How far the handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// CONNECT has to come.
    Start,
    /// CONNECT went out, CONNACK has to come.
    Connecting,
    /// CONNACK came in.
    Connected,
}

#[derive(Debug)]
pub(super) struct Ledger {
    requests: Vec<Request, OPEN>,
    /// Type of acknowledgement (PUBACK 4, PUBREC 5, PUBCOMP 7) and packet id the wire waits for.
    owed: Vec<(u8, u16), OPEN>,
    pub(super) phase: Phase,
    /// The engine asked for a session of its own past (clean start 0).
    pub(super) resuming: bool,
    pub(super) keep_in_flight: bool,
    /// Largest packet the engine takes.
    pub(super) max_packet: u32,
}

impl Ledger {
    pub(super) const fn new() -> Self {
        Self {
            requests: Vec::new(),
            owed: Vec::new(),
            phase: Phase::Start,
            resuming: false,
            keep_in_flight: false,
            max_packet: u32::MAX,
        }
    }

    pub(super) fn open(&mut self, request: Request) -> Result<(), Fault> {
        self.requests.push(request).map_err(|_| Fault::TooManyInFlight)
    }

    /// Closes the request that `packet_id` answers; gives its number of filters.
    pub(super) fn close(&mut self, unsubscribe: bool, packet_id: u16) -> Result<u16, Fault> {
        let at = self
            .requests
            .iter()
            .position(|r| r.unsubscribe == unsubscribe && r.packet_id == packet_id)
            .ok_or(Fault::UnexpectedAck)?;
        Ok(self.requests.swap_remove(at).filters)
    }

    pub(super) fn owe(&mut self, ack: u8, packet_id: u16) -> Result<(), Fault> {
        self.owed.push((ack, packet_id)).map_err(|_| Fault::TooManyInFlight)
    }

    /// Whether the wire waits for this acknowledgement; from now on it does not.
    pub(super) fn settle(&mut self, ack: u8, packet_id: u16) -> bool {
        match self.owed.iter().position(|o| *o == (ack, packet_id)) {
            Some(at) => {
                self.owed.remove(at);
                true
            }
            None => false,
        }
    }
}
