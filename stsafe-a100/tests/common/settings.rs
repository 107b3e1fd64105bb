//! A table as a firmware has it: a secret, short and long texts, former places with texts and with a secret in digits.
#![allow(dead_code, unreachable_pub)] // each test binary uses its own part

use stsafe_a100::vault::{self, Entry, Former, FormerValue, Place};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    Uds,
    WifiSsid,
    WifiPassword,
    Connection,
    DpsEndpoint,
    DpsIdScope,
    RegistrationId,
}

const fn text(zone: u8, usable: u16, max_len: u16) -> Former {
    Former { zone, usable, window: max_len + 1, decode: take_text }
}

fn take_text(buf: &mut [u8]) -> FormerValue {
    match buf.iter().position(|byte| *byte == 0) {
        Some(0) => FormerValue::Nothing,
        Some(len) if buf[..len].iter().all(|byte| *byte >= 0x20) => FormerValue::Value(len),
        _ if buf.iter().all(|byte| *byte == 0xFF) => FormerValue::Nothing,
        _ => FormerValue::Invalid,
    }
}

fn take_digits(buf: &mut [u8]) -> FormerValue {
    if buf[0] == 0 || buf.iter().all(|byte| *byte == 0xFF) {
        return FormerValue::Nothing;
    }
    let mut secret = [0; 32];
    if hex::decode_to_slice(&*buf, &mut secret).is_err() {
        return FormerValue::Invalid;
    }
    buf[..32].copy_from_slice(&secret);
    FormerValue::Value(32)
}

fn is_secret(value: &[u8]) -> bool {
    value.len() == 32 && value.iter().any(|byte| *byte != value[0])
}

const fn copies(a: (u8, u16), b: (u8, u16)) -> [Place; 2] {
    [Place::new(a.0, a.1), Place::new(b.0, b.1)]
}

impl vault::Setting for Setting {
    const TABLE: &'static [Entry<Self>] = &[
        Entry::new(Self::Uds, 1, "UDS", 32, copies((2, 0), (7, 96)))
            .secret()
            .checked(is_secret)
            .formerly(Former { zone: 6, usable: 680, window: 64, decode: take_digits }),
        Entry::new(Self::WifiSsid, 2, "SSID", 32, copies((2, 64), (7, 160))).formerly(text(3, 120, 32)),
        Entry::new(Self::WifiPassword, 3, "password", 64, copies((0, 872), (7, 0)))
            .formerly(text(10, 88, 64)),
        Entry::new(Self::Connection, 4, "connection string", 512, copies((0, 0), (8, 0)))
            .formerly(text(5, 584, 512)),
        Entry::new(Self::DpsEndpoint, 5, "endpoint", 128, copies((0, 552), (8, 552))),
        Entry::new(Self::DpsIdScope, 6, "ID scope", 32, copies((2, 128), (7, 224))),
        Entry::new(Self::RegistrationId, 7, "registration ID", 128, copies((0, 712), (8, 712))),
    ];
}

impl Setting {
    pub const ALL: [Self; 7] = [
        Self::Uds,
        Self::WifiSsid,
        Self::WifiPassword,
        Self::Connection,
        Self::DpsEndpoint,
        Self::DpsIdScope,
        Self::RegistrationId,
    ];

    pub fn max_len(self) -> usize {
        vault::Setting::entry(self).unwrap().max_len.into()
    }

    pub fn copies(self) -> [Place; 2] {
        vault::Setting::entry(self).unwrap().copies
    }

    pub fn slot_len(self) -> usize {
        vault::slot_len(vault::Setting::entry(self).unwrap().max_len)
    }
}
