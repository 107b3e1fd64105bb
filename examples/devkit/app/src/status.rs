//! What the user sees of the application: four rows of text, three lamps and a colour. Pure: events and the time in,
//! pictures out.

use core::fmt::Write;
use core::net::Ipv4Addr;

use heapless::String;

use crate::board::Rgb;
use crate::event::{AppEvent, Hex};
use crate::telemetry::{Hundredths, Reading};

/// Rows of the screen.
pub(crate) const ROWS: usize = 4;
/// Characters in a row.
pub(crate) const COLUMNS: usize = 16;

/// A row; what is longer is cut.
pub(crate) type Row = String<COLUMNS>;

/// How long the colour of a message lasts, in milliseconds.
const FLASH_MS: u64 = 500;
/// How long the text of a message stands on the screen, in milliseconds.
const MESSAGE_MS: u64 = 5000;

const TITLE: &str = "IoT DevKit";
const NO_WIFI: &str = "No Wi-Fi";
const RUNNING: &str = "Running...";

/// How far the application is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Off,
    Configuring,
    AccessPointRefused,
    Starting,
    Joining,
    Joined,
    Registering,
    Assigned,
    Online,
    Failed([&'static str; 2]),
}

/// The state of everything the user sees.
#[derive(Debug)]
pub(crate) struct Status {
    phase: Phase,
    /// Something failed since the phase began.
    has_failed: bool,
    address: Option<Ipv4Addr>,
    /// Why there is no address.
    problem: Option<&'static str>,
    mac: [u8; 6],
    registration_id: String<{ 2 * COLUMNS }>,
    hub: Row,
    reading: Reading,
    /// Telemetry is switched on.
    sending: bool,
    message: Option<(String<{ 2 * COLUMNS }>, u64)>,
    flash: Option<(Rgb, u64)>,
    /// Button B is held: the screen shows registration id and hub.
    pub(crate) shows_identity: bool,
}

impl Status {
    /// Dark.
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Off,
            has_failed: false,
            address: None,
            problem: None,
            mac: [0; 6],
            registration_id: String::new(),
            hub: Row::new(),
            reading: Reading::default(),
            sending: true,
            message: None,
            flash: None,
            shows_identity: false,
        }
    }

    /// Takes note of an event.
    pub(crate) fn handle(&mut self, event: &AppEvent<'_>, now_ms: u64) {
        match event {
            AppEvent::Started { .. } => self.enter(Phase::Starting),
            AppEvent::Configuring { mac } => {
                self.mac = *mac;
                self.enter(Phase::Configuring);
            }
            AppEvent::AccessPointRefused => self.enter(Phase::AccessPointRefused),
            AppEvent::IdentityDerived { registration_id, .. } => self.registration_id = cut(registration_id),
            AppEvent::Joining => self.enter(Phase::Joining),
            AppEvent::Joined { .. } => self.enter(Phase::Joined),
            AppEvent::Registering => self.enter(Phase::Registering),
            AppEvent::Assigned { hub, .. } => {
                self.hub = cut(hub);
                self.enter(Phase::Assigned);
            }
            AppEvent::HubConnected => self.enter(Phase::Online),
            AppEvent::TelemetrySent { reading } => self.reading = *reading,
            AppEvent::TelemetryDelivered => self.flash = Some((Rgb::BLUE, now_ms.saturating_add(FLASH_MS))),
            AppEvent::Message { payload, .. } => {
                self.flash = Some((Rgb::RED, now_ms.saturating_add(FLASH_MS)));
                let text = core::str::from_utf8(payload).unwrap_or("(binary)");
                self.message = Some((cut(text), now_ms.saturating_add(MESSAGE_MS)));
            }
            AppEvent::Method { running, .. } => self.sending = *running,
            AppEvent::TwinUnusable { .. } => {
                self.message = Some((cut("Twin unusable,   see the log"), now_ms.saturating_add(MESSAGE_MS)));
            }
            AppEvent::Retrying { .. } => {
                if self.phase == Phase::Online {
                    self.enter(Phase::Assigned);
                }
                self.has_failed = true;
            }
            AppEvent::Failed { rows, .. } => self.enter(Phase::Failed(*rows)),
            AppEvent::TimeKnown(_)
            | AppEvent::Connecting { .. }
            | AppEvent::Interval { .. }
            | AppEvent::Reported
            | AppEvent::SubscriptionRefused { .. } => {}
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.has_failed = false;
    }

    /// Takes note of the network's state.
    pub(crate) fn set_network(&mut self, address: Option<Ipv4Addr>, problem: Option<&'static str>) {
        (self.address, self.problem) = (address, problem);
    }

    /// The screen.
    pub(crate) fn rows(&self, now_ms: u64) -> [Row; ROWS] {
        let network = match self.address {
            Some(address) => format(format_args!("{address}")),
            None => cut(self.problem.unwrap_or(NO_WIFI)),
        };
        let rows = |one: Row, two: &str, three: Row| [cut(TITLE), one, cut(two), three];
        if self.shows_identity && matches!(self.phase, Phase::Registering | Phase::Assigned | Phase::Online) {
            let [first, second] = halves(&self.registration_id);
            return [cut(TITLE), first, second, self.hub.clone()];
        }
        if let (Phase::Online, Some((text, until))) = (self.phase, &self.message)
            && now_ms < *until
        {
            let [first, second] = halves(text);
            return [cut(TITLE), network, first, second];
        }
        match self.phase {
            Phase::Off => [Row::new(), Row::new(), Row::new(), Row::new()],
            Phase::Configuring => {
                rows(format(format_args!("id:{}", Hex(&self.mac))), "Configuration", Row::new())
            }
            Phase::AccessPointRefused => rows(cut("No AP mode."), "Reset with A", cut("to configure.")),
            Phase::Starting => rows(Row::new(), "Initializing...", cut(" > WiFi")),
            Phase::Joining => {
                let network = if self.has_failed { network } else { Row::new() };
                rows(network, "Connecting...", cut(" > WiFi"))
            }
            Phase::Joined => rows(network, RUNNING, cut(" > Sensors")),
            Phase::Registering => {
                rows(network, if self.has_failed { "DPS Failed!" } else { RUNNING }, cut(" > DPS"))
            }
            Phase::Assigned => {
                let state = if self.has_failed { "Connecting..." } else { "DPS connected!" };
                rows(network, state, cut(" > IoT Hub(DPS)"))
            }
            Phase::Online => rows(network, RUNNING, climate(self.reading)),
            Phase::Failed([two, three]) => rows(network, two, cut(three)),
        }
    }

    /// The lamps: network, cloud, telemetry.
    pub(crate) fn lamps(&self) -> [bool; 3] {
        let online = self.phase == Phase::Online;
        [self.address.is_some() && !self.is_before_network(), online, online && self.sending]
    }

    fn is_before_network(&self) -> bool {
        matches!(
            self.phase,
            Phase::Off | Phase::Configuring | Phase::AccessPointRefused | Phase::Starting | Phase::Joining
        )
    }

    /// The colour of the RGB lamp.
    pub(crate) fn rgb(&self, now_ms: u64) -> Rgb {
        self.flash.filter(|(_, until)| now_ms < *until).map_or(Rgb::OFF, |(color, _)| color)
    }
}

/// The beginning of a text, without what the font lacks: printable ASCII is left.
pub(crate) fn cut<const N: usize>(text: &str) -> String<N> {
    text.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }).take(N).collect()
}

fn format(text: core::fmt::Arguments<'_>) -> Row {
    let mut row = String::<48>::new();
    // Longer than any address.
    let _ = row.write_fmt(text);
    cut(&row)
}

fn halves(text: &str) -> [Row; 2] {
    // ASCII after `cut`: a character is a byte.
    let (first, second) = text.split_at_checked(COLUMNS).unwrap_or((text, ""));
    [cut(first), cut(second)]
}

fn climate(reading: Reading) -> Row {
    match (reading.temperature, reading.humidity) {
        (Some(temperature), Some(humidity)) => {
            format(format_args!("{}C {}%", Hundredths(temperature), Hundredths(humidity)))
        }
        _ => Row::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    fn shown(status: &Status, now_ms: u64) -> [std::string::String; ROWS] {
        status.rows(now_ms).map(|row| row.as_str().to_owned())
    }

    fn after(events: &[AppEvent<'_>]) -> Status {
        let mut status = Status::new();
        status.set_network(Some(Ipv4Addr::new(192, 168, 100, 200)), None);
        for event in events {
            status.handle(event, 0);
        }
        status
    }

    const ASSIGNED: AppEvent<'_> = AppEvent::Assigned { hub: "hub-7.azure-devices.net", device_id: "d" };

    fn retrying() -> AppEvent<'static> {
        AppEvent::Retrying { cause: &"why", in_ms: None }
    }

    #[test]
    fn the_screens_of_the_tutorial() {
        let ip = "192.168.100.200";
        let screens: [(&[AppEvent<'_>], [&str; ROWS]); 12] = [
            (&[], ["", "", "", ""]),
            (
                &[AppEvent::Configuring { mac: [0xc8, 0x93, 0x46, 0xf8, 0xa1, 0xb2] }],
                ["IoT DevKit", "id:c89346f8a1b2", "Configuration", ""],
            ),
            (
                &[AppEvent::Started { version: "", crash: None }],
                ["IoT DevKit", "", "Initializing...", " > WiFi"],
            ),
            (&[AppEvent::Joining], ["IoT DevKit", "", "Connecting...", " > WiFi"]),
            (&[AppEvent::Joining, retrying()], ["IoT DevKit", ip, "Connecting...", " > WiFi"]),
            (&[AppEvent::Joined { address: None }], ["IoT DevKit", ip, "Running...", " > Sensors"]),
            (&[AppEvent::Registering], ["IoT DevKit", ip, "Running...", " > DPS"]),
            (&[AppEvent::Registering, retrying()], ["IoT DevKit", ip, "DPS Failed!", " > DPS"]),
            (&[ASSIGNED], ["IoT DevKit", ip, "DPS connected!", " > IoT Hub(DPS)"]),
            (&[ASSIGNED, AppEvent::HubConnected], ["IoT DevKit", ip, "Running...", ""]),
            (
                &[ASSIGNED, AppEvent::HubConnected, retrying()],
                ["IoT DevKit", ip, "Connecting...", " > IoT Hub(DPS)"],
            ),
            (
                &[AppEvent::Failed { cause: &"why", rows: ["DPS Failed!", " > DPS"] }],
                ["IoT DevKit", ip, "DPS Failed!", " > DPS"],
            ),
        ];
        for (events, rows) in screens {
            assert_eq!(shown(&after(events), 0), rows, "{events:?}");
        }
    }

    #[test]
    fn messages_are_shown_for_a_while_and_flash() {
        let mut status = after(&[ASSIGNED, AppEvent::HubConnected]);
        let reading = Reading { temperature: Some(24_31), humidity: Some(41_05), pressure: Some(101_325) };
        status.handle(&AppEvent::TelemetrySent { reading }, 0);
        assert_eq!(shown(&status, 0)[3], "24.31C 41.05%");
        status.handle(&AppEvent::TelemetryDelivered, 100);
        assert_eq!([status.rgb(599), status.rgb(600)], [Rgb::BLUE, Rgb::OFF]);
        let properties = iothub_mqtt::property::Properties::new("");
        let payload = "Hello from the \u{1b}clöud, and more than fits".as_bytes();
        status.handle(&AppEvent::Message { properties, payload }, 1000);
        assert_eq!(shown(&status, 5999)[2..], ["Hello from the ?", "cl?ud, and more "]);
        assert_eq!(shown(&status, 6000)[2..], ["Running...", "24.31C 41.05%"]);
        assert_eq!([status.rgb(1499), status.rgb(1500)], [Rgb::RED, Rgb::OFF]);
        status.handle(&AppEvent::Message { properties, payload: &[0xFF] }, 7000);
        assert_eq!(shown(&status, 7000)[2], "(binary)");
    }

    #[test]
    fn lamps() {
        let mut status = after(&[AppEvent::Joining]);
        assert_eq!(status.lamps(), [false; 3]);
        status.handle(&AppEvent::Joined { address: None }, 0);
        assert_eq!(status.lamps(), [true, false, false]);
        status.handle(&ASSIGNED, 0);
        status.handle(&AppEvent::HubConnected, 0);
        assert_eq!(status.lamps(), [true; 3]);
        status.handle(&AppEvent::Method { name: "stop", status: 200, running: false }, 0);
        assert_eq!(status.lamps(), [true, true, false]);
        status.handle(&retrying(), 0);
        assert_eq!(status.lamps(), [true, false, false]);
        status.set_network(None, Some("Wi-Fi lost"));
        assert_eq!(status.lamps(), [false; 3]);
        assert_eq!(shown(&status, 0)[1], "Wi-Fi lost");
    }

    #[test]
    fn why_there_is_no_network_is_shown_after_the_first_attempt() {
        let mut status = after(&[AppEvent::Joining]);
        status.set_network(None, Some("Wrong password"));
        assert_eq!(shown(&status, 0)[1], "");
        status.handle(&retrying(), 0);
        assert_eq!(shown(&status, 0)[1..], ["Wrong password", "Connecting...", " > WiFi"]);
        status.set_network(None, None);
        assert_eq!(shown(&status, 0)[1], "No Wi-Fi");
    }

    #[test]
    fn button_b_shows_the_registration_id_and_the_hub() {
        let derived = AppEvent::IdentityDerived {
            registration_id: "az-c89346f8a1b2v2v0v0",
            firmware: &[],
            certificate: &[],
        };
        let mut status = after(&[derived, ASSIGNED]);
        status.shows_identity = true;
        assert_eq!(shown(&status, 0), ["IoT DevKit", "az-c89346f8a1b2v", "2v0v0", "hub-7.azure-devi"]);
    }
}
