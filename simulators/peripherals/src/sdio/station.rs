//! The station in the radio's firmware: it scans, joins, and is thrown out. What it does takes time, and is told by
//! events.

use std::collections::VecDeque;

use super::air::{Air, AirNetwork, AirSecurity, Happening};
use super::frame::{Event, error};

const MS: u64 = 1_000_000;

mod kind {
    pub(super) const SET_SSID: u32 = 0;
    pub(super) const JOIN: u32 = 1;
    pub(super) const AUTH: u32 = 3;
    pub(super) const DEAUTH_IND: u32 = 6;
    pub(super) const ASSOC: u32 = 7;
    pub(super) const DISASSOC: u32 = 11;
    pub(super) const LINK: u32 = 16;
    pub(super) const PSK_SUP: u32 = 46;
    pub(super) const ESCAN_RESULT: u32 = 69;
}

const NO_NETWORKS: u32 = 3;
const UNSOLICITED: u32 = 6;
const PARTIAL: u32 = 8;
/// The supplicant waits for the third message.
const WAIT_M3: u32 = 8;
const WPA_PSK_TIMEOUT: u32 = 15;

/// What a network is joined with.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    pub(super) ciphers: u32,
    pub(super) wpa_auth: u32,
    pub(super) has_supplicant: bool,
    pub(super) patience_ms: u32,
    pub(super) key: Option<(Vec<u8>, bool)>,
    pub(super) is_infrastructure: bool,
}

impl Settings {
    /// Whether a network can be joined with this, the key aside.
    fn suits(&self, network: &AirNetwork) -> bool {
        match network.security {
            AirSecurity::Open => self.ciphers == 0 && self.wpa_auth == 0,
            AirSecurity::Wpa(_) => self.wpa_auth & 0x04 != 0 && self.ciphers & 6 != 0,
            AirSecurity::Wpa2(_) => self.wpa_auth & 0x80 != 0 && self.ciphers & 4 != 0,
            AirSecurity::Mixed(_) => {
                self.wpa_auth & 0x80 != 0 && self.ciphers & 6 == 6
                    || self.wpa_auth & 0x04 != 0 && self.ciphers & 2 != 0
            }
        }
    }
}

/// What becomes of the association.
#[derive(Debug)]
enum Change {
    Joined([u8; 6]),
    Left,
}

/// What comes at a moment: an event, and what is true from then on.
#[derive(Debug)]
struct Planned {
    at: u64,
    event: Event,
    change: Option<Change>,
}

#[derive(Debug, Default)]
pub(super) struct Station {
    pub(super) settings: Settings,
    air: Air,
    planned: VecDeque<Planned>,
    /// The access point it is associated with, keys or not.
    bssid: Option<[u8; 6]>,
}

impl Station {
    pub(super) fn new(air: Air) -> Self {
        air.set_joined(None);
        Self { air, ..Self::default() }
    }

    fn plan(&mut self, now: u64, after_ms: u64, event: Event) -> &mut Planned {
        let at = now + after_ms * MS;
        // In order of time, and of planning within it.
        let place = self.planned.iter().position(|other| other.at > at).unwrap_or(self.planned.len());
        self.planned.insert(place, Planned { at, event, change: None });
        &mut self.planned[place]
    }

    /// What happens until now.
    pub(super) fn step(&mut self, now: u64) -> Option<Event> {
        while let Some(happening) = self.air.happening() {
            let address = self.bssid.take().unwrap_or_default();
            let down = |reason| Event { kind: kind::LINK, reason, address, ..Event::default() };
            match happening {
                Happening::Deauthenticated(reason) => {
                    let kind = kind::DEAUTH_IND;
                    self.plan(now, 0, Event { kind, reason, address, ..Event::default() }).change =
                        Some(Change::Left);
                    self.plan(now, 0, down(2));
                }
                Happening::Gone => self.plan(now, 1500, down(1)).change = Some(Change::Left),
            }
        }
        let planned = self.planned.pop_front_if(|planned| planned.at <= now)?;
        match planned.change {
            Some(Change::Joined(bssid)) => self.air.set_joined(Some(bssid)),
            Some(Change::Left) => self.air.set_joined(None),
            None => {}
        }
        Some(planned.event)
    }

    /// Begins to join.
    pub(super) fn join(&mut self, now: u64, ssid: &[u8]) -> Result<(), i32> {
        if !self.settings.is_infrastructure {
            return Err(error::UNSUPPORTED);
        }
        self.planned.clear();
        self.bssid = None;
        self.air.set_joined(None);
        let networks = self.air.networks();
        let suitable = networks.into_iter().filter(|network| network.ssid.as_bytes() == ssid);
        let best = suitable.filter(|network| self.settings.suits(network)).max_by_key(|network| network.rssi);
        let Some(network) = best else {
            let event = Event { kind: kind::SET_SSID, status: NO_NETWORKS, ..Event::default() };
            self.plan(now, 400, event);
            return Ok(());
        };
        let address = network.bssid;
        let event = |kind, flags, status| Event { kind, flags, status, address, ..Event::default() };
        self.bssid = Some(address);
        self.plan(now, 30, event(kind::AUTH, 0, 0));
        self.plan(now, 35, event(kind::ASSOC, 0, 0));
        let is_open = network.security == AirSecurity::Open;
        let link = self.plan(now, 36, event(kind::LINK, 1, 0));
        if is_open {
            link.change = Some(Change::Joined(address));
        }
        self.plan(now, 36, event(kind::JOIN, 0, 0));
        self.plan(now, 37, event(kind::SET_SSID, 0, 0));
        if is_open || !self.settings.has_supplicant {
            return Ok(());
        }
        let opens = self.settings.key.as_ref().is_some_and(|(key, is_text)| network.opens(key, *is_text));
        if opens {
            self.plan(now, 90, event(kind::PSK_SUP, 0, UNSOLICITED)).change = Some(Change::Joined(address));
        } else {
            let patience = self.settings.patience_ms.into();
            let failed = Event { reason: WPA_PSK_TIMEOUT, ..event(kind::PSK_SUP, 0, WAIT_M3) };
            self.plan(now, patience, failed);
            self.plan(now, patience, Event { reason: 2, ..event(kind::LINK, 0, 0) });
            self.plan(now, patience + 5, Event { reason: 2, ..event(kind::DEAUTH_IND, 0, 0) });
        }
        Ok(())
    }

    /// Ends the association.
    pub(super) fn leave(&mut self, now: u64) {
        self.planned.clear();
        self.air.set_joined(None);
        if let Some(address) = self.bssid.take() {
            let event = |kind| Event { kind, address, ..Event::default() };
            self.plan(now, 5, event(kind::DISASSOC));
            self.plan(now, 5, Event { reason: 2, ..event(kind::LINK) });
        }
    }

    /// The signal of the network it is in.
    pub(super) fn rssi(&self) -> Result<i32, i32> {
        let bssid = self.bssid.ok_or(error::NOT_ASSOCIATED)?;
        let networks = self.air.networks();
        let network = networks.iter().find(|network| network.bssid == bssid);
        Ok(network.map_or(-92, |network| network.rssi).into())
    }

    /// Begins a scan with these parameters.
    pub(super) fn scan(&mut self, now: u64, parameters: &[u8]) -> Result<(), i32> {
        let field = |at: usize, len: usize| parameters.get(at..at + len).ok_or(error::BAD_ARGUMENT);
        if parameters.len() < 72 || field(0, 4)? != [1, 0, 0, 0] || field(4, 2)? != [1, 0] {
            return Err(error::BAD_ARGUMENT);
        }
        let sync = field(6, 2)?;
        let len = u32::from_le_bytes(field(8, 4)?.try_into().map_err(|_| error::BAD_ARGUMENT)?);
        let name = field(12, 32)?.get(..len as usize).ok_or(error::BAD_ARGUMENT)?;
        let mut after = 50;
        for network in self.air.networks() {
            // Asked for by name, a hidden network answers, too.
            let is_named = network.ssid.as_bytes() == name;
            if name.is_empty() || is_named {
                let data = result(&network, sync, network.is_hidden && !is_named);
                let address = network.bssid;
                let (kind, status) = (kind::ESCAN_RESULT, PARTIAL);
                self.plan(now, after, Event { kind, status, address, data, ..Event::default() });
                after += 40;
            }
        }
        let data = [&12_u32.to_le_bytes(), &109_u32.to_le_bytes(), sync, &[0, 0]].concat();
        self.plan(now, 1300, Event { kind: kind::ESCAN_RESULT, data, ..Event::default() });
        Ok(())
    }
}

/// A scan's result with one network.
fn result(network: &AirNetwork, sync: &[u8], is_hidden: bool) -> Vec<u8> {
    let name = if is_hidden { &[][..] } else { network.ssid.as_bytes() };
    let mut elements = vec![0, u8::try_from(name.len()).unwrap_or(32)];
    elements.extend_from_slice(name);
    elements.extend_from_slice(&[3, 1, network.channel]);
    let (has_wpa, has_wpa2) = match network.security {
        AirSecurity::Open => (false, false),
        AirSecurity::Wpa(_) => (true, false),
        AirSecurity::Wpa2(_) => (false, true),
        AirSecurity::Mixed(_) => (true, true),
    };
    // Of the group and of pairs: 2 is TKIP, 4 is AES.
    let suites = |oui: [u8; 3], group, pairwise| {
        let suite = |number| [oui[0], oui[1], oui[2], number];
        [&[1, 0][..], &suite(group), &[1, 0], &suite(pairwise), &[1, 0], &suite(2)].concat()
    };
    if has_wpa {
        elements.extend_from_slice(&[221, 22, 0x00, 0x50, 0xF2, 1]);
        elements.extend_from_slice(&suites([0x00, 0x50, 0xF2], 2, 2));
    }
    if has_wpa2 {
        elements.extend_from_slice(&[48, 20]);
        elements.extend_from_slice(&suites([0x00, 0x0F, 0xAC], if has_wpa { 2 } else { 4 }, 4));
        elements.extend_from_slice(&[0, 0]);
    }
    let is_private = has_wpa || has_wpa2;
    let mut info = vec![0; 128];
    let mut put = |at: usize, bytes: &[u8]| info[at..at + bytes.len()].copy_from_slice(bytes);
    let len = u32::try_from(128 + elements.len()).unwrap_or_default();
    put(0, &109_u32.to_le_bytes());
    put(4, &len.to_le_bytes());
    put(8, &network.bssid);
    put(14, &100_u16.to_le_bytes());
    put(16, &(1_u16 | if is_private { 0x10 } else { 0 }).to_le_bytes());
    put(18, &[elements[1]]);
    put(19, name);
    put(52, &[4, 0, 0, 0, 0x82, 0x84, 0x8B, 0x96]);
    put(72, &[network.channel, 0x2B]);
    put(76, &[1]);
    put(78, &network.rssi.to_le_bytes());
    put(80, &[0xA4]);
    put(81, &[1]);
    put(88, &[network.channel]);
    put(116, &128_u16.to_le_bytes());
    put(120, &u32::try_from(elements.len()).unwrap_or_default().to_le_bytes());
    let total = 12 + len;
    let header = [&total.to_le_bytes(), &109_u32.to_le_bytes(), sync, &[1, 0]].concat();
    [header, info, elements].concat()
}
