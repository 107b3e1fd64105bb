//! What a virtual chip keeps when the power is off, and its file form.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::string::String;
use std::vec;
use std::vec::Vec;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::codec::Writer;
use crate::error::InputError;
use crate::frame::CrcMode;
use crate::response::{AuthorisationTable, Family};
use crate::rules::Rules;
use crate::zone::{Access, AccessCondition, Zone, ZoneKind};

/// Bytes, in the file as lower-case hex.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Bytes(#[serde(with = "hex::serde")] pub(super) Vec<u8>);

/// What a virtual chip is made as: identity, zones and their content. Serialises with serde; the format is that of
/// the `setup` objects of the transcript vectors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Mask identification; 00 40 00 is an A100, 00 46 01 an A110.
    #[serde(with = "hex::serde")]
    pub mask_id: [u8; 3],
    /// Serial number.
    #[serde(with = "hex::serde")]
    pub serial: [u8; 9],
    /// Whether frames carry a checksum.
    pub crc: bool,
    /// 7-bit I2C address.
    pub i2c_address: u8,
    /// The zones.
    pub zones: Vec<ZoneProfile>,
    /// The lines of an A110's command authorisation table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command_authorization: Vec<CommandLine>,
}

/// A line of the command authorisation table, as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandLine {
    /// The command's code.
    pub code: u8,
    /// Who may give it, 0 to 5.
    pub ac: u8,
    /// What is encrypted: bit 1 the command, bit 0 the response.
    pub host_enc: u8,
}

/// A zone and its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneProfile {
    /// The zone's number.
    pub index: u8,
    /// 0: data; 1: counter with data beside it.
    #[serde(rename = "type")]
    pub kind: u8,
    /// Read access condition, 0 to 7.
    pub read_ac: u8,
    /// Read change right, 0 or 1.
    pub read_cr: u8,
    /// Update access condition, 0 to 7.
    pub update_ac: u8,
    /// Update change right, 0 or 1.
    pub update_cr: u8,
    /// Bytes of data.
    pub size: u16,
    /// The counter's value; 0 in a data zone.
    pub counter: u32,
    /// The content, `size` bytes.
    #[serde(with = "hex::serde")]
    pub data: Vec<u8>,
}

impl ZoneProfile {
    /// A data zone of zeros that anybody may read and update.
    #[must_use]
    pub fn open(index: u8, size: u16) -> Self {
        Self {
            index,
            kind: 0,
            read_ac: 0,
            read_cr: 0,
            update_ac: 0,
            update_cr: 0,
            size,
            counter: 0,
            data: vec![0; usize::from(size)],
        }
    }

    /// The zone's line in the partition table.
    #[must_use]
    pub fn line(&self) -> Zone {
        let access = |ac, cr| Access { condition: AccessCondition::from_bits(ac), changeable: cr != 0 };
        Zone {
            index: self.index,
            kind: if self.kind == 0 { ZoneKind::Data } else { ZoneKind::Counter { value: self.counter } },
            read: access(self.read_ac, self.read_cr),
            update: access(self.update_ac, self.update_cr),
            size: self.size,
        }
    }
}

impl Profile {
    /// A chip as found on the AZ3166 board: zones 0, 2, 3, 5, 6, 7, 8 and 10, open to everybody and filled with
    /// zeros, in the sizes the original firmware's arithmetic implies.
    #[must_use]
    pub fn az3166() -> Self {
        let zones = [(0, 1000), (2, 200), (3, 128), (5, 600), (6, 700), (7, 800), (8, 900), (10, 100)];
        Self {
            mask_id: [0x00, 0x40, 0x00],
            serial: [0x02, 0x09, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01],
            crc: true,
            i2c_address: 0x20,
            zones: zones.into_iter().map(|(index, size)| ZoneProfile::open(index, size)).collect(),
            command_authorization: Vec::new(),
        }
    }

    /// An A110 with the zones of [`Self::az3166`], whose table wants signatures and key establishment in a host session
    /// as it does wrap and unwrap, their data encrypted.
    #[must_use]
    pub fn a110() -> Self {
        let line = |code, host_enc| CommandLine { code, ac: 3, host_enc };
        Self {
            mask_id: [0x00, 0x46, 0x01],
            command_authorization: vec![line(0x0E, 2), line(0x0F, 1), line(0x16, 2), line(0x18, 1)],
            ..Self::az3166()
        }
    }

    /// The family that the chip plays: the A110 if its mask says so, else the A100, whatever else it says of itself.
    pub(super) fn family(&self) -> Family {
        match Family::of_mask(self.mask_id) {
            Family::A110 => Family::A110,
            _ => Family::A100,
        }
    }

    /// Appends the command authorisation table.
    pub(super) fn emit_table(&self, w: &mut Writer<'_>) -> Result<(), InputError> {
        let lines = &self.command_authorization;
        w.bytes(&[0, u8::try_from(lines.len()).map_err(|_| InputError::Value)?])?;
        lines.iter().try_for_each(|line| w.bytes(&[line.code, line.ac, line.host_enc]))
    }

    /// The table as rules; `None` if it is none.
    pub(super) fn rules(&self) -> Option<Rules> {
        if self.family() == Family::A100 {
            return Some(Rules::A100);
        }
        let mut table = vec![0; 2 + 3 * self.command_authorization.len()];
        self.emit_table(&mut Writer::new(&mut table)).ok()?;
        Some(Rules::from_table(&AuthorisationTable::parse(&table).ok()?))
    }
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct HostState {
    pub(super) mac: Bytes,
    pub(super) cipher: Bytes,
    pub(super) counter: u32,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct PrivateKey {
    pub(super) curve: Bytes,
    pub(super) scalar: Bytes,
    pub(super) mode: u16,
    pub(super) uses: u16,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct PublicKeySlot {
    pub(super) curve: Bytes,
    pub(super) x: Bytes,
    pub(super) y: Bytes,
}

/// A reproducible source of random bytes: SHA-256 over seed and block number.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Random {
    seed: Bytes,
    block: u64,
}

impl Random {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self { seed: Bytes(seed.to_vec()), block: 0 }
    }

    pub(super) fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            let block =
                Sha256::new().chain_update(&self.seed.0).chain_update(self.block.to_be_bytes()).finalize();
            self.block += 1;
            for (to, from) in chunk.iter_mut().zip(block) {
                *to = from;
            }
        }
    }
}

/// Format name in the file; a file with another one is refused.
const FORMAT: &str = "virtual-stsafe-a100/1";
/// Attempts a password has.
pub(super) const PASSWORD_TRIES: u8 = 3;

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct State {
    format: String,
    #[serde(flatten)]
    pub(super) chip: Profile,
    pub(super) life_cycle: u8,
    pub(super) i2c_flags: u8,
    pub(super) host: Option<HostState>,
    pub(super) envelope_keys: [Option<Bytes>; 2],
    pub(super) private_keys: [Option<PrivateKey>; 2],
    pub(super) public_key: Option<PublicKeySlot>,
    pub(super) password: Option<Bytes>,
    pub(super) password_tries: u8,
    pub(super) random: Random,
}

impl State {
    pub(super) fn new(chip: Profile, seed: [u8; 32]) -> Self {
        Self {
            format: FORMAT.into(),
            chip,
            life_cycle: 3,
            i2c_flags: 0,
            host: None,
            envelope_keys: [None, None],
            private_keys: [None, None],
            public_key: None,
            password: None,
            password_tries: PASSWORD_TRIES,
            random: Random::new(seed),
        }
    }

    pub(super) fn crc(&self) -> CrcMode {
        if self.chip.crc { CrcMode::On } else { CrcMode::Off }
    }

    pub(super) fn zone(&self, index: u8) -> Option<&ZoneProfile> {
        self.chip.zones.iter().find(|zone| zone.index == index)
    }

    pub(super) fn zone_mut(&mut self, index: u8) -> Option<&mut ZoneProfile> {
        self.chip.zones.iter_mut().find(|zone| zone.index == index)
    }

    /// Whether the parts fit together, so that the model may rely on it.
    fn is_sound(&self) -> bool {
        let hosts = self.host.iter().all(|host| host.mac.0.len() == 16 && host.cipher.0.len() == 16);
        let envelopes = self.envelope_keys.iter().flatten().all(|key| matches!(key.0.len(), 16 | 32));
        let zones = self.chip.zones.iter().all(|zone| {
            zone.data.len() == usize::from(zone.size)
                && zone.kind <= 1
                && zone.read_ac <= 7
                && zone.update_ac <= 7
        });
        hosts && envelopes && zones && self.chip.rules().is_some() && self.format == FORMAT
    }

    pub(super) fn load(path: &Path) -> io::Result<Self> {
        let state: Self = serde_json::from_str(&fs::read_to_string(path)?)?;
        if state.is_sound() {
            Ok(state)
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidData, "not the state of a virtual STSAFE"))
        }
    }

    /// Replaces the file in one step: whoever reads it sees the old state or the new one.
    pub(super) fn save(&self, path: &Path) -> io::Result<()> {
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(".new");
        let temporary = path.with_file_name(name);
        let mut file = fs::File::create(&temporary)?;
        restrict(&file)?;
        file.write_all(serde_json::to_string_pretty(self)?.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    }
}

/// The file holds the chip's secrets in clear: only its owner may read it.
#[cfg(unix)]
fn restrict(file: &fs::File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
fn restrict(_: &fs::File) -> io::Result<()> {
    Ok(())
}
