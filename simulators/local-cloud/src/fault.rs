//! Faults on request: refused connections, error answers, and a script that sees every packet and may delay, lose,
//! repeat, reorder or falsify it. For tests of devices; nothing here happens unless asked for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// One of the cloud's services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Endpoint {
    /// Device Provisioning Service over MQTT.
    Dps,
    /// Device Provisioning Service over HTTPS.
    DpsHttps,
    /// IoT Hub.
    Hub,
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Dps => "DPS",
            Self::DpsHttps => "DPS (HTTPS)",
            Self::Hub => "hub",
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
    connect_delay: Option<Duration>,
}

/// An answer that the provisioning service gives instead of the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DpsFault {
    /// The service's error code; its first three digits are the status.
    pub error_code: u32,
    /// Seconds in `retry-after`, if it is to be there.
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
        self.with(|s| (!s.dps_answers.is_empty()).then(|| s.dps_answers.remove(0)))
    }

    pub(super) fn take_twin_answer(&self) -> Option<u16> {
        self.with(|s| (!s.twin_answers.is_empty()).then(|| s.twin_answers.remove(0)))
    }

    pub(super) fn connect_delay(&self) -> Option<Duration> {
        self.with(|s| s.connect_delay)
    }

    pub(super) fn judge(&self, packet: &PacketInfo<'_>) -> FaultAction {
        self.with(|s| s.script.as_mut().map_or(FaultAction::Pass, |script| script(packet)))
    }
}
