//! The radio's firmware once it runs: it takes commands and frames, answers, and keeps count of who may send how much.

use super::air::Air;
use super::fault::{Direction, Faults, FrameFate};
use super::fifo::{Fifo, Outgoing};
use super::frame::{Command, Event, FromHost, error, to_host};
use super::model::RadioModel;
use super::station::Station;

/// Frames that the radio has room for.
const WINDOW: u8 = 7;
/// Nanoseconds for which most commands are refused after the country was set.
const COUNTRY_NS: u64 = 30_000_000;
/// What it says it is.
const VERSION: &[u8] = b"wl0: Nov  1 2026 00:00:00 version 5.90.230.0 SIMULATED FWID 01-00000000\n\0";
const ADDRESS: [u8; 6] = [0x02, 0xA9, 0x62, 0x31, 0x66, 0x01];

/// Variables that are only kept.
const KEPT: [&str; 11] = [
    "ampdu_ba_wsize",
    "ampdu_mpdu",
    "assoc_listen",
    "bcn_li_bcn",
    "bcn_li_dtim",
    "mfp",
    "pm2_sleep_ret",
    "roam_off",
    "bsscfg:sup_wpa2_eapver",
    "mcast_list",
    "ampdu_rx_factor",
];

/// Makes a frame's length a multiple of four: in front of data, behind commands and events. The published driver for
/// the younger chip (`cyw43` 0.7.0) panics at frames whose last block lacks less than a word.
fn pad_to_words(frame: &mut Vec<u8>) {
    let missing = frame.len().next_multiple_of(4) - frame.len();
    if frame[5] == 2 {
        frame.splice(12..12, std::iter::repeat_n(0, missing));
        frame[7] += u8::try_from(missing).expect("less than a word");
    } else {
        frame.resize(frame.len() + missing, 0);
    }
    let len = u16::try_from(frame.len()).expect("no longer than a frame");
    frame[..2].copy_from_slice(&len.to_le_bytes());
    frame[2..4].copy_from_slice(&(!len).to_le_bytes());
}

#[derive(Debug)]
pub(super) struct Firmware {
    model: RadioModel,
    pub(super) fifo: Fifo,
    station: Station,
    air: Air,
    sequence: u8,
    /// How far the host may go, as it was told.
    limit: u8,
    /// The number after its last.
    host_next: u8,
    is_up: bool,
    has_superframes: bool,
    has_countries: bool,
    country_at: Option<u64>,
    events: [u8; 24],
    late: Vec<(u64, Outgoing)>,
}

impl Firmware {
    pub(super) fn new(model: RadioModel, air: &Air) -> Self {
        Self {
            model,
            fifo: Fifo::default(),
            station: Station::new(air.clone()),
            air: air.clone(),
            sequence: 0,
            limit: 1,
            host_next: 0,
            is_up: false,
            has_superframes: model == RadioModel::Bcm43362,
            has_countries: model == RadioModel::Bcm43362,
            country_at: None,
            events: [0; 24],
            late: Vec::new(),
        }
    }

    /// What happens until now. Gives whether there is a new frame.
    pub(super) fn step(&mut self, now: u64, faults: &mut Faults) -> bool {
        if faults.is_radio_silent(now) {
            return false;
        }
        let before = self.fifo.len();
        while let Some(at) = self.late.iter().position(|(due, _)| *due <= now) {
            let (_, frame) = self.late.remove(at);
            self.fifo.push(frame);
        }
        while let Some(event) = self.station.step(now) {
            self.send_event(now, &event, faults);
        }
        // No more than fit: the rest stays in the air.
        while self.fifo.len() < 16 {
            let Some(frame) = self.air.next_for_station() else { break };
            let is_known = frame.first_chunk::<6>().is_some_and(|to| *to == ADDRESS || to[0] & 1 != 0);
            if is_known {
                let channel = if self.has_superframes { 3 } else { 2 };
                // With an optional header, which has no meaning.
                let packet = [&[0x20, 0, 0, 1, 0, 0, 0, 0][..], &frame].concat();
                self.send(now, to_host(channel, 2, &packet), faults);
            }
        }
        // A credit that ran out while nothing was sent.
        if faults.ends_withholding(now) {
            self.send(now, to_host(0, 0, &[]), faults);
        }
        self.fifo.len() > before
    }

    fn send_event(&mut self, now: u64, event: &Event, faults: &mut Faults) {
        let is_wanted =
            self.events.get((event.kind / 8) as usize).is_some_and(|byte| byte >> (event.kind % 8) & 1 != 0);
        if is_wanted {
            self.send(now, event.frame(ADDRESS), faults);
        }
    }

    /// Sends a frame to the host, with whatever happens to it on the way.
    fn send(&mut self, now: u64, mut frame: Vec<u8>, faults: &mut Faults) {
        if self.model == RadioModel::Cyw43439 {
            pad_to_words(&mut frame);
        }
        let (fate, spoilt) = faults.fate(Direction::ToHost, frame.len());
        let frame = Outgoing { frame, spoilt, is_complete: false };
        match fate {
            FrameFate::Arrives => self.fifo.push(frame),
            FrameFate::IsLost => {}
            FrameFate::ComesTwice => {
                self.fifo.push(frame.clone());
                self.fifo.push(frame);
            }
            FrameFate::IsLate(ns) => self.late.push((now + ns, frame)),
        }
    }

    /// The host reads a piece of a frame. Its sequence number and credit are those of now.
    pub(super) fn read(&mut self, now: u64, len: usize, faults: &mut Faults) -> Vec<u8> {
        let (is_stopped, is_withheld) = (faults.stops_data(now), faults.withholds_credit(now));
        let Self { fifo, sequence, limit, host_next, .. } = self;
        fifo.read(len, |frame| {
            if !is_withheld {
                *limit = host_next.wrapping_add(WINDOW);
            }
            frame[4] = *sequence;
            *sequence = sequence.wrapping_add(1);
            (frame[8], frame[9]) = (u8::from(is_stopped), *limit);
        })
    }

    /// The host is in need of a credit.
    pub(super) fn poked(&mut self, now: u64, faults: &mut Faults) {
        if !faults.is_radio_silent(now) {
            self.send(now, to_host(0, 0, &[]), faults);
        }
    }

    /// A frame of the host's.
    pub(super) fn receive(
        &mut self,
        now: u64,
        mut frame: Vec<u8>,
        faults: &mut Faults,
        violations: &mut Vec<String>,
    ) {
        if let Some(sequence) = frame.get(4) {
            let credit = self.limit.wrapping_sub(*sequence);
            if credit == 0 || credit & 0x80 != 0 {
                violations.push(format!("frame {sequence} sent with a credit up to {}", self.limit));
            }
        }
        let (fate, spoilt) = faults.fate(Direction::FromHost, frame.len());
        if let Some((at, mask)) = spoilt
            && let Some(byte) = frame.get_mut(at)
        {
            *byte ^= mask;
        }
        if fate == FrameFate::IsLost || faults.is_radio_silent(now) {
            return;
        }
        for _ in 0..if fate == FrameFate::ComesTwice { 2 } else { 1 } {
            self.take(now, &frame, faults, violations);
        }
    }

    fn take(&mut self, now: u64, frame: &[u8], faults: &mut Faults, violations: &mut Vec<String>) {
        let frame = match FromHost::parse(frame) {
            Ok(frame) => frame,
            Err(why) if faults.has_damaged() => return drop(why),
            Err(why) => return violations.push(why),
        };
        self.host_next = frame.sequence.wrapping_add(1);
        match frame.channel {
            0 => {
                if let Some(command) = Command::parse(&frame.payload) {
                    let result = self.command(now, &command);
                    let answer = command.answer(result.as_deref().map_err(|error| *error));
                    self.send(now, answer, faults);
                } else if !faults.has_damaged() {
                    violations.push("a command that is cut".to_owned());
                }
            }
            2 => {
                let offset = frame.payload.get(3).map_or(usize::MAX, |words| 4 + 4 * usize::from(*words));
                match frame.payload.get(offset..) {
                    Some(ethernet) if (14..=1514).contains(&ethernet.len()) && frame.payload[0] == 0x20 => {
                        if self.air.joined().is_some() {
                            self.air.transmit(ethernet.to_vec());
                        }
                    }
                    _ if faults.has_damaged() => {}
                    _ => violations.push("data that are no Ethernet frame".to_owned()),
                }
                // Nothing else may tell the host that it can go on.
                if self.limit.wrapping_sub(self.host_next) < WINDOW / 2 && !self.fifo.has_frame() {
                    self.send(now, to_host(0, 0, &[]), faults);
                }
            }
            _ if faults.has_damaged() => {}
            channel => violations.push(format!("a frame for channel {channel}")),
        }
    }

    /// Carries a command out. Gives what is read, or the firmware's error.
    fn command(&mut self, now: u64, command: &Command) -> Result<Vec<u8>, i32> {
        let payload = &command.payload[..];
        let word =
            || payload.first_chunk().map(|word| u32::from_le_bytes(*word)).ok_or(error::BUFFER_TOO_SHORT);
        match (command.number, command.is_set) {
            // An empty one is acknowledged, and does nothing to the older chip.
            (2, true) => {
                self.is_up |=
                    self.has_countries && (payload.len() >= 4 || self.model == RadioModel::Cyw43439);
            }
            (3, true) => self.is_up = false,
            (162, false) => return Ok(u32::from(self.is_up).to_le_bytes().to_vec()),
            (20, true) => self.station.settings.is_infrastructure = word()? == 1,
            (22, true) if word()? != 0 => return Err(error::UNSUPPORTED),
            (22 | 64 | 86 | 110 | 142, true) => drop(word()?),
            (26, true) if !self.is_up => return Err(error::NOT_UP),
            (26, true) => {
                let name = payload.get(4..36).ok_or(error::BUFFER_TOO_SHORT)?;
                let name = name.get(..word()? as usize).ok_or(error::BAD_ARGUMENT)?;
                self.station.join(now, name)?;
            }
            (52, true) => self.station.leave(now),
            (127, false) => return self.station.rssi().map(|rssi| rssi.to_le_bytes().to_vec()),
            (134, true) => self.station.settings.ciphers = word()?,
            (165, true) => self.station.settings.wpa_auth = word()?,
            (268, true) => {
                let (len, flags) = (word()? & 0xFFFF, word()? >> 16);
                let (len, is_text) = (len as usize, flags == 1);
                let key = payload.get(4..).and_then(|key| key.get(..len)).filter(|_| payload.len() >= 68);
                let is_possible = if is_text { (8..=63).contains(&len) } else { len == 64 };
                let key = key.filter(|_| is_possible).ok_or(error::BAD_ARGUMENT)?;
                self.station.settings.key = Some((key.to_vec(), is_text));
            }
            (262, false) => return self.get_variable(command.variable().ok_or(error::BAD_ARGUMENT)?.0),
            (263, true) => {
                let (name, value) = command.variable().ok_or(error::BAD_ARGUMENT)?;
                self.set_variable(now, name, value)?;
            }
            _ => return Err(error::UNSUPPORTED),
        }
        Ok(Vec::new())
    }

    fn get_variable(&self, name: &str) -> Result<Vec<u8>, i32> {
        match name {
            "cur_etheraddr" => Ok(ADDRESS.to_vec()),
            "ver" => Ok(VERSION.to_vec()),
            "clmload_status" if self.model == RadioModel::Cyw43439 => {
                Ok(u32::from(!self.has_countries).to_le_bytes().to_vec())
            }
            "mcast_list" => Ok(vec![0; 4]),
            _ => Err(error::UNSUPPORTED),
        }
    }

    fn set_variable(&mut self, now: u64, name: &str, value: &[u8]) -> Result<(), i32> {
        let word = |at: usize| {
            let bytes = value.get(at..).and_then(|value| value.first_chunk());
            bytes.map(|word| u32::from_le_bytes(*word)).ok_or(error::BUFFER_TOO_SHORT)
        };
        let is_busy = self.country_at.is_some_and(|at| now < at + COUNTRY_NS);
        match name {
            "event_msgs" | "bsscfg:event_msgs" if is_busy => return Err(error::NOT_READY),
            "event_msgs" => {
                let mask = value.get(..16).ok_or(error::BUFFER_TOO_SHORT)?;
                self.events[..16].copy_from_slice(mask);
            }
            "bsscfg:event_msgs" => {
                let mask = value.get(4..28).ok_or(error::BUFFER_TOO_SHORT)?;
                self.events.copy_from_slice(mask);
            }
            "bus:txglom" => self.has_superframes = word(0)? != 0,
            "apsta" if self.is_up => return Err(error::NOT_UP - 1),
            "apsta" => drop(word(0)?),
            "country" if value.len() < 12 => return Err(error::BUFFER_TOO_SHORT),
            "country" => self.country_at = Some(now),
            // Flags, kind, length, checksum, and a piece; the last one ends it.
            "clmload" if self.model == RadioModel::Cyw43439 => self.has_countries |= word(0)? & 4 != 0,
            "bsscfg:sup_wpa" => self.station.settings.has_supplicant = word(4)? == 1,
            "bsscfg:sup_wpa_tmo" => self.station.settings.patience_ms = word(4)?,
            "escan" if !self.is_up => return Err(error::NOT_UP),
            "escan" => self.station.scan(now, value)?,
            name if KEPT.contains(&name) => {}
            _ => return Err(error::UNSUPPORTED),
        }
        Ok(())
    }
}
