//! Vaults on virtual chips.
#![allow(dead_code, unreachable_pub)] // each test binary uses its own part

use stsafe_a100::Irreversible;
use stsafe_a100::blocking::{Stsafe, Vault};
use stsafe_a100::session::{Host, MaybeHost};
use stsafe_a100::sim::{BusError, Profile, VirtualBus, VirtualChip, VirtualDelay, ZoneProfile};
use stsafe_a100::vault;
use stsafe_a100::wire::HostKeys;

pub use super::settings::Setting;

pub type PlainVault = Vault<Setting, VirtualBus, VirtualDelay>;
pub type SealedVault = Vault<Setting, VirtualBus, VirtualDelay, Host>;
pub type Error = vault::VaultError<Setting, BusError>;
pub type Outcome<T> = Result<T, Error>;

pub const UDS: [u8; 32] = [
    0x19, 0xE2, 0x5A, 0x25, 0x9D, 0x0C, 0x2B, 0xE0, 0x3A, 0x02, 0xD4, 0x16, 0xC0, 0x5C, 0x48, 0xCC, 0xD0,
    0xCC, 0x7D, 0x17, 0x43, 0x45, 0x8A, 0xAE, 0x1C, 0xB4, 0x88, 0xB0, 0x74, 0x99, 0x3E, 0xAE,
];

pub fn keys() -> HostKeys {
    HostKeys::new([0xA1; 16], [0xB2; 16])
}

/// The AZ3166's chip with zones of the usable sizes: the smallest it can have.
pub fn smallest() -> VirtualChip {
    let sizes = [(0, 976), (2, 192), (3, 120), (5, 584), (6, 680), (7, 784), (8, 880), (10, 88)];
    let zones = sizes.map(|(index, size)| ZoneProfile::open(index, size)).to_vec();
    VirtualChip::new(Profile { zones, ..Profile::az3166() }, [7; 32])
}

/// The AZ3166's chip with zones of the sizes its envelopes need.
pub fn az3166() -> VirtualChip {
    VirtualChip::new(Profile::az3166(), [7; 32])
}

pub fn driver(chip: &VirtualChip) -> Stsafe<VirtualBus, VirtualDelay> {
    Stsafe::new(chip.bus(), chip.delay())
}

pub fn plain(chip: &VirtualChip) -> PlainVault {
    Vault::open(driver(chip)).unwrap()
}

pub fn sealed(chip: &VirtualChip) -> SealedVault {
    Vault::open(driver(chip).host_session(keys())).unwrap()
}

/// Pairs without a vault.
pub fn pair(chip: &VirtualChip) {
    chip.set_envelope_key(0, &[0xC3; 16]);
    driver(chip).put_host_keys(&keys(), Irreversible::i_know_this_cannot_be_undone()).unwrap();
}

/// A value of this setting, as long as it can be, made from `seed`.
pub fn value(setting: Setting, seed: u8) -> Vec<u8> {
    (0..setting.max_len())
        .map(|at| seed.wrapping_mul(31).wrapping_add(u8::try_from(at % 251).unwrap()))
        .collect()
}

/// What the original firmware would have stored.
pub const LEGACY: [(Setting, u8, &[u8]); 4] = [
    (Setting::Uds, 6, b"19e25a259d0c2be03a02d416c05c48ccd0cc7d1743458aae1cb488b074993eae\0"),
    (Setting::WifiSsid, 3, b"HomeAP\0"),
    (Setting::WifiPassword, 10, b"correct-horse-9\0"),
    (Setting::Connection, 5, b"HostName=example.azure-devices.net;DeviceId=dev-1;SharedAccessKey=MDEyMw==\0"),
];

/// The value of an entry of [`LEGACY`].
pub fn legacy_value(setting: Setting, text: &[u8]) -> Vec<u8> {
    if setting == Setting::Uds { UDS.to_vec() } else { text[..text.len() - 1].to_vec() }
}

/// As the original writes with its secure channel: whole zones as envelopes of 480 bytes of text in 488.
pub fn legacy_envelopes() -> VirtualChip {
    let chip = az3166();
    pair(&chip);
    let mut host = driver(&chip).host_session(keys());
    for (setting, zone, text) in LEGACY {
        let usable = match setting {
            Setting::Uds => 680,
            Setting::WifiSsid => 120,
            Setting::WifiPassword => 88,
            _ => 584,
        };
        let mut whole = vec![0; usable];
        whole[..text.len()].copy_from_slice(text);
        for (at, piece) in (0..).step_by(488).zip(whole.chunks(480)) {
            let mut envelope = [0; 488];
            let len = host.wrap(0, piece, &mut envelope).unwrap();
            host.update(zone, at, &envelope[..len]).unwrap();
        }
    }
    chip
}

/// Reads a setting with a buffer that is large enough.
pub trait Read {
    fn read(&mut self, setting: Setting) -> Outcome<Option<Vec<u8>>>;
}

impl Read for PlainVault {
    fn read(&mut self, setting: Setting) -> Outcome<Option<Vec<u8>>> {
        let mut out = vec![0; setting.max_len()];
        Ok(self.get(setting, &mut out)?.map(|len| out[..len].to_vec()))
    }
}

impl Read for SealedVault {
    fn read(&mut self, setting: Setting) -> Outcome<Option<Vec<u8>>> {
        let mut out = vec![0; setting.max_len()];
        Ok(self.get(setting, &mut out)?.map(|len| out[..len].to_vec()))
    }
}

/// A vault in either state.
pub struct AnyVault(Vault<Setting, VirtualBus, VirtualDelay, MaybeHost>);

impl AnyVault {
    pub fn open(chip: &VirtualChip, seal: bool) -> Outcome<Self> {
        let driver = driver(chip).host_session_if(seal.then(keys), None);
        Vault::open(driver).map(Self)
    }

    pub fn read(&mut self, setting: Setting) -> Outcome<Option<Vec<u8>>> {
        let mut out = vec![0; setting.max_len()];
        Ok(self.0.get(setting, &mut out)?.map(|len| out[..len].to_vec()))
    }

    pub fn set(&mut self, setting: Setting, value: &[u8]) -> Outcome<()> {
        self.0.set(setting, value).map(|_| ())
    }

    pub fn remove(&mut self, setting: Setting) -> Outcome<()> {
        self.0.remove(setting)
    }

    pub fn generate_uds(&mut self) -> Outcome<()> {
        self.0.generate(Setting::Uds, true).map(|_| ())
    }

    pub fn adopt(&mut self) -> Outcome<()> {
        self.0.adopt()
    }

    pub fn repair(&mut self) -> Outcome<()> {
        self.0.repair()
    }

    pub fn unseal(&mut self) -> Outcome<()> {
        self.0.unseal()
    }

    pub fn keep_in_clear(&mut self) {
        self.0.keep_in_clear();
    }

    pub fn pair(&mut self, keys: &HostKeys) -> Outcome<bool> {
        self.0.pair(keys, Irreversible::i_know_this_cannot_be_undone())
    }

    pub fn open_session(&mut self, keys: HostKeys) {
        assert!(!self.0.has_session());
        self.0.open_session(keys);
        assert!(self.0.has_session());
    }

    pub fn close(self) -> Stsafe<VirtualBus, VirtualDelay> {
        self.0.release().close()
    }
}
