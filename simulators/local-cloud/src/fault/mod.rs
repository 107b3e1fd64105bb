//! Faults on request: refused connections, error answers, and a script that sees every packet and may delay, lose,
//! repeat, reorder or falsify it. For tests of devices; nothing here happens unless asked for.

mod spec;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::clock;
pub use spec::Fault;

/// One of the cloud's services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Endpoint {
    /// Device Provisioning Service over MQTT.
    Dps,
    /// Device Provisioning Service over HTTPS.
    DpsHttps,
    /// IoT Hub.
    Hub,
    /// IoT Hub over HTTPS.
    HubHttps,
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Dps => "DPS",
            Self::DpsHttps => "DPS (HTTPS)",
            Self::Hub => "hub",
            Self::HubHttps => "hub (HTTPS)",
        })
    }
}

/// Which way a packet travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Sent by the device.
    FromDevice,
    /// Sent by the cloud.
    ToDevice,
}

/// The MQTT control packet types that occur here (MQTT 3.1.1, section 2.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names are the standard's
pub enum PacketKind {
    Connect,
    Connack,
    Publish,
    Puback,
    Subscribe,
    Suback,
    Unsubscribe,
    Unsuback,
    Pingreq,
    Pingresp,
    Disconnect,
}

/// What a fault script is told about a packet.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct PacketInfo<'a> {
    /// The service it belongs to.
    pub endpoint: Endpoint,
    /// Which way it travels.
    pub direction: Direction,
    /// Its type.
    pub kind: PacketKind,
    /// The topic of a PUBLISH.
    pub topic: Option<&'a str>,
    /// How many packets this connection has carried before it, both ways together.
    pub index: u64,
}

/// What a fault script wants done with a packet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum FaultAction {
    /// Nothing: deliver it.
    #[default]
    Pass,
    /// Lose it.
    Swallow,
    /// Deliver it this much later; packets behind it wait too.
    Delay(Duration),
    /// Deliver it twice.
    Duplicate,
    /// Keep it back and deliver it after the next packet of the same direction.
    Hold,
    /// Send these bytes to the device first, then deliver it.
    Inject(Vec<u8>),
    /// Close the TCP connection instead.
    Close,
    /// From here on neither read nor write, and keep the TCP connection open.
    Freeze,
}

type Script = Box<dyn FnMut(&PacketInfo<'_>) -> FaultAction + Send>;

#[derive(Default)]
struct State {
    script: Option<Script>,
    refusals: Vec<(Endpoint, u8)>,
    dps_answers: Vec<DpsFault>,
    twin_answers: Vec<u16>,
    hub_answers: Vec<HubFault>,
    connect_delay: Option<Duration>,
    packet_delay: Option<Duration>,
    silent: bool,
    dps_outage: bool,
    clock_skew: i64,
    /// Hubs that registrations go to, by registration id in lower case.
    moves: HashMap<String, String>,
    /// Devices that have not followed their move yet.
    away: HashSet<String>,
}

/// An answer that the provisioning service gives instead of the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DpsFault {
    /// The service's error code; its first three digits are the status.
    pub error_code: u32,
    /// Seconds in `retry-after`, if it is to be there.
    pub retry_after: Option<u32>,
}

/// An answer that the hub gives to a twin request or an HTTPS request instead of the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HubFault {
    /// As in HTTP.
    pub status: u16,
    /// Seconds in `Retry-After`, over HTTPS.
    pub retry_after: Option<u32>,
}

/// The switchboard of faults; cheap to clone, all clones are one.
#[derive(Clone, Default)]
pub struct Faults {
    state: Arc<Mutex<State>>,
}

impl std::fmt::Debug for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faults").finish_non_exhaustive()
    }
}

impl Faults {
    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The next `count` CONNECTs at `endpoint` get CONNACK with return code `code` (1-5), whatever they say.
    pub fn refuse_connects(&self, endpoint: Endpoint, code: u8, count: usize) {
        self.with(|s| s.refusals.extend(std::iter::repeat_n((endpoint, code), count)));
    }

    /// The next `count` requests to the provisioning service are answered with `fault`.
    pub fn fail_dps_requests(&self, fault: DpsFault, count: usize) {
        self.with(|s| s.dps_answers.extend(std::iter::repeat_n(fault, count)));
    }

    /// The next `count` twin requests are answered with `status`.
    pub fn fail_twin_requests(&self, status: u16, count: usize) {
        self.with(|s| s.twin_answers.extend(std::iter::repeat_n(status, count)));
    }

    /// The next `count` twin requests, or HTTPS requests to the hub, are answered with `fault`.
    pub fn fail_hub_requests(&self, fault: HubFault, count: usize) {
        self.with(|s| s.hub_answers.extend(std::iter::repeat_n(fault, count)));
    }

    /// From now on, or no longer: connections stay open or are taken, and nothing is read or written on them.
    pub fn set_silent(&self, silent: bool) {
        self.with(|s| s.silent = silent);
    }

    /// Every MQTT packet is delivered this much later, both ways.
    pub fn delay_packets(&self, delay: Option<Duration>) {
        self.with(|s| s.packet_delay = delay);
    }

    /// From now on, or no longer: DPS answers that it is not available (CONNACK 3; 503 over HTTPS). The hub works.
    pub fn set_dps_outage(&self, out: bool) {
        self.with(|s| s.dps_outage = out);
    }

    /// The cloud's clock is ahead by this many seconds (behind, if negative) when it judges tokens.
    pub fn set_clock_skew(&self, seconds: i64) {
        self.with(|s| s.clock_skew = seconds);
    }

    /// A registration of this id goes to this hub from now on, whatever its enrolment's policy is; until then the
    /// device's present hub does not let it in.
    pub(super) fn set_move(&self, registration_id: &str, device: &str, hub: &str) {
        self.with(|s| {
            s.moves.insert(registration_id.to_lowercase(), hub.to_owned());
            s.away.insert(device.to_owned());
        });
    }

    pub(super) fn is_away(&self, device: &str) -> bool {
        self.with(|s| s.away.contains(device))
    }

    pub(super) fn has_arrived(&self, device: &str) {
        self.with(|s| s.away.remove(device));
    }

    pub(super) fn move_of(&self, registration_id: &str) -> Option<String> {
        self.with(|s| s.moves.get(&registration_id.to_lowercase()).cloned())
    }

    /// Every connection waits this long before its TLS handshake begins.
    pub fn delay_connections(&self, delay: Option<Duration>) {
        self.with(|s| s.connect_delay = delay);
    }

    /// Shows every packet to `script` and does what it says. Replaces the script before.
    pub fn set_script(&self, script: impl FnMut(&PacketInfo<'_>) -> FaultAction + Send + 'static) {
        self.with(|s| s.script = Some(Box::new(script)));
    }

    /// Takes everything back: no faults any more.
    pub fn clear(&self) {
        self.with(|s| *s = State::default());
    }

    pub(super) fn take_refusal(&self, endpoint: Endpoint) -> Option<u8> {
        self.with(|s| {
            let index = s.refusals.iter().position(|(e, _)| *e == endpoint)?;
            Some(s.refusals.remove(index).1)
        })
    }

    pub(super) fn take_dps_answer(&self) -> Option<DpsFault> {
        if self.dps_is_out() {
            return Some(DpsFault { error_code: 503_001, retry_after: None });
        }
        self.with(|s| (!s.dps_answers.is_empty()).then(|| s.dps_answers.remove(0)))
    }

    pub(super) fn take_twin_answer(&self) -> Option<u16> {
        self.with(|s| (!s.twin_answers.is_empty()).then(|| s.twin_answers.remove(0)))
            .or_else(|| self.take_hub_answer().map(|fault| fault.status))
    }

    pub(super) fn take_hub_answer(&self) -> Option<HubFault> {
        self.with(|s| (!s.hub_answers.is_empty()).then(|| s.hub_answers.remove(0)))
    }

    pub(super) fn is_silent(&self) -> bool {
        self.with(|s| s.silent)
    }

    pub(super) fn dps_is_out(&self) -> bool {
        self.with(|s| s.dps_outage)
    }

    /// Seconds since 1970 UTC by the clock that judges tokens.
    pub(super) fn now(&self) -> u64 {
        clock::unix_time().as_secs().saturating_add_signed(self.with(|s| s.clock_skew))
    }

    pub(super) fn connect_delay(&self) -> Option<Duration> {
        self.with(|s| s.connect_delay)
    }

    pub(super) fn fault_for(&self, packet: &PacketInfo<'_>) -> FaultAction {
        self.with(|s| {
            if s.silent {
                return FaultAction::Freeze;
            }
            match (s.script.as_mut(), s.packet_delay) {
                (Some(script), _) => script(packet),
                (None, Some(delay)) => FaultAction::Delay(delay),
                (None, None) => FaultAction::Pass,
            }
        })
    }
}
