//! The stored form of an assignment, so that a device goes to its hub after a reset without asking the service: a city
//! that comes back from a power cut must not register all at once.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `DPSA` |
//! | 1 | version of this form: 1 |
//! | 1 | connection profile: 0 classic, 1 MQTT 5 |
//! | 1 | substatus: 0 not told, 1-4 in the order of [`Substatus`], 255 other |
//! | 1, 1 | lengths of hub and device id |
//! | 4 | CRC-32 of `<id scope>/<registration id>`, little-endian |
//! | | hub, device id |
//! | 4 | CRC-32 of everything before, little-endian |
//!
//! The checksums find wear and mix-ups, not an attacker: whoever can write the storage can send the device to another
//! host, where TLS has to stop it.
use core::fmt;

use crc::{CRC_32_ISO_HDLC, Crc, Digest, NoTable};

use crate::assignment::{
    Assignment, ConnectionProfile, MAX_DEVICE_ID, MAX_HUB, Substatus, is_device_id, is_host,
};
use crate::{Config, Error};
use azure_iot_common::text::Writer;

const MAGIC: &[u8; 4] = b"DPSA";
const VERSION: u8 = 1;
const HEADER: usize = 13;
const OTHER: u8 = 255;
/// Bit by bit: slow enough not to matter for 300 bytes, and without a table of 1 KiB.
static CRC: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);

const SUBSTATUS: [Substatus; 4] = [
    Substatus::InitialAssignment,
    Substatus::DeviceDataMigrated,
    Substatus::DeviceDataReset,
    Substatus::ReprovisionedToInitialAssignment,
];

/// Why a stored assignment is not used. Register instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum CacheError {
    /// Nothing was ever stored here, or something else.
    NotAnAssignment,
    /// Stored by a version of this crate with another form.
    Version(u8),
    /// The end is missing.
    Truncated,
    /// The checksum does not fit.
    Checksum,
    /// It belongs to another id scope or registration id.
    OtherRegistration,
    /// The checksum fits, but the content makes no sense.
    Content,
}

impl fmt::Display for CacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnAssignment => f.write_str("no stored assignment"),
            Self::Version(version) => write!(f, "the stored assignment has the unknown version {version}"),
            Self::Truncated => f.write_str("the stored assignment is cut off"),
            Self::Checksum => f.write_str("the stored assignment is damaged"),
            Self::OtherRegistration => f.write_str("the stored assignment belongs to another registration"),
            Self::Content => f.write_str("the stored assignment makes no sense"),
        }
    }
}

impl core::error::Error for CacheError {}

/// Checksum of the registration that an assignment belongs to.
fn owner(config: &Config<'_>) -> [u8; 4] {
    let mut digest: Digest<'_, u32, NoTable> = CRC.digest();
    digest.update(config.id_scope().as_bytes());
    digest.update(b"/");
    digest.update(config.registration_id().as_bytes());
    digest.finalize().to_le_bytes()
}

impl Assignment {
    /// Most bytes that [`Assignment::encode`] writes.
    pub const MAX_ENCODED: usize = HEADER + MAX_HUB + MAX_DEVICE_ID + 4;

    /// Writes the stored form into `out`, at most [`Assignment::MAX_ENCODED`] bytes. `config` is the one it was
    /// registered with.
    ///
    /// ```
    /// # use dps_client::{Assignment, Config, RegistrationState};
    /// # let state = br#"{"assignedHub":"contoso.azure-devices.net","deviceId":"my-device"}"#;
    /// # let assignment = Assignment::from_state(&RegistrationState::parse(state)?)?;
    /// let config = Config::new("0ne00000001", "my-device")?;
    /// let mut page = [0xff; Assignment::MAX_ENCODED];
    /// assignment.encode(&config, &mut page)?;
    /// // after a reset
    /// assert_eq!(Assignment::decode(&page, &config)?, assignment);
    /// # Ok::<(), dps_client::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`] with the bytes needed.
    pub fn encode<'b>(&self, config: &Config<'_>, out: &'b mut [u8]) -> Result<&'b [u8], Error> {
        let substatus = match self.substatus() {
            None => 0,
            Some(substatus) => SUBSTATUS
                .iter()
                .zip(1..)
                .find(|(known, _)| **known == substatus)
                .map_or(OTHER, |(_, code)| code),
        };
        let profile = match self.profile() {
            ConnectionProfile::Classic => 0,
            ConnectionProfile::MqttV5 => 1,
        };
        #[allow(clippy::cast_possible_truncation, reason = "both texts have at most 128 bytes")]
        let lengths = [self.hub().len() as u8, self.device_id().len() as u8];
        let mut digest = CRC.digest();
        let mut form = Writer::new(out);
        for part in [
            MAGIC,
            &[VERSION, profile, substatus][..],
            &lengths,
            &owner(config),
            self.hub().as_bytes(),
            self.device_id().as_bytes(),
        ] {
            digest.update(part);
            form.bytes(part);
        }
        form.bytes(&digest.finalize().to_le_bytes());
        Ok(form.finish()?)
    }

    /// Reads the stored form at the beginning of `stored`; what follows it (the rest of a flash page) is not looked at.
    ///
    /// # Errors
    /// [`Error::Cache`].
    pub fn decode(stored: &[u8], config: &Config<'_>) -> Result<Self, Error> {
        decode(stored, config).map_err(Error::Cache)
    }
}

fn decode(stored: &[u8], config: &Config<'_>) -> Result<Assignment, CacheError> {
    let Some((magic, rest)) = stored.split_first_chunk() else { return Err(CacheError::Truncated) };
    if magic != MAGIC {
        return Err(CacheError::NotAnAssignment);
    }
    match rest.first() {
        Some(&VERSION) => {}
        Some(&version) => return Err(CacheError::Version(version)),
        None => return Err(CacheError::Truncated),
    }
    let (&[_, profile, substatus, hub_len, id_len], rest) =
        rest.split_first_chunk().ok_or(CacheError::Truncated)?;
    let (stored_owner, rest) = rest.split_first_chunk().ok_or(CacheError::Truncated)?;
    let (hub, rest) = rest.split_at_checked(hub_len.into()).ok_or(CacheError::Truncated)?;
    let (device_id, rest) = rest.split_at_checked(id_len.into()).ok_or(CacheError::Truncated)?;
    let checksum = rest.first_chunk().ok_or(CacheError::Truncated)?;
    let checked = stored.get(..stored.len() - rest.len()).ok_or(CacheError::Truncated)?;
    if CRC.checksum(checked) != u32::from_le_bytes(*checksum) {
        return Err(CacheError::Checksum);
    }
    if *stored_owner != owner(config) {
        return Err(CacheError::OtherRegistration);
    }
    let profile = match profile {
        0 => ConnectionProfile::Classic,
        1 => ConnectionProfile::MqttV5,
        _ => return Err(CacheError::Content),
    };
    let substatus = match substatus {
        0 => None,
        OTHER => Some(Substatus::Other),
        code => Some(*SUBSTATUS.get(usize::from(code) - 1).ok_or(CacheError::Content)?),
    };
    let text = |bytes| core::str::from_utf8(bytes).map_err(|_| CacheError::Content);
    let (hub, device_id) = (text(hub)?, text(device_id)?);
    if !is_host(hub) || !is_device_id(device_id) {
        return Err(CacheError::Content);
    }
    Assignment::from_parts(hub, device_id, profile, substatus).ok_or(CacheError::Content)
}
