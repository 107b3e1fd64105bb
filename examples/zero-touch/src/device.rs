//! The device before it is enrolled: a secret, an image, an address, kept in a folder.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use dice_core::Uds;
use zeroize::Zeroizing;

use dps_cert_gen::args::ProfileName;

/// The version the image carries.
pub const FIRMWARE_VERSION: &str = "2.0.0";
/// Length of the image that is made, in bytes.
const IMAGE_LEN: usize = 48 * 1024;
/// Text in the measured range of every image.
const BANNER: &[u8] = b"Microsoft Azure IoT Developer Kit";
/// Where the measured ranges of a `riot` image lie in it, and where its flash begins.
const RIOT_CORE: std::ops::Range<usize> = 0x400..0xa2c;
const RIOT_FIRMWARE: std::ops::Range<usize> = 0xa2c..0xc1c;
const FLASH: usize = 0x0800_c000;
/// The first words of the image: initial stack, reset, NMI and hard fault handler.
const VECTOR_TABLE: [u32; 4] = [0x2004_0000, 0x0800_d001, 0x0800_d101, 0x0800_d201];

/// What a device is made of at the factory.
#[derive(Debug)]
pub struct Device {
    /// The folder that holds it.
    pub folder: PathBuf,
    /// The secret.
    pub uds: Zeroizing<[u8; Uds::LEN]>,
    /// The firmware image.
    pub image: Vec<u8>,
    /// The MAC address.
    pub mac: [u8; 6],
    /// Whether it was there already.
    pub found: bool,
}

impl Device {
    /// Makes a device in `folder`, or takes the one that is there.
    ///
    /// # Errors
    /// The folder cannot be read or written, or does not hold a whole device.
    pub fn make_or_take(folder: &Path) -> Result<Self> {
        let found = folder.join("uds").is_file();
        if !found {
            make(folder).with_context(|| format!("making a device in {}", folder.display()))?;
        }
        let read = |name: &str| {
            fs::read(folder.join(name)).with_context(|| format!("reading {}", folder.join(name).display()))
        };
        let mut uds = Zeroizing::new([0; Uds::LEN]);
        let text = Zeroizing::new(read("uds")?);
        hex::decode_to_slice(text.trim_ascii(), uds.as_mut()).context("the device's UDS file")?;
        let mut mac = [0; 6];
        hex::decode_to_slice(read("mac")?.trim_ascii(), &mut mac).context("the device's MAC file")?;
        Ok(Self { folder: folder.to_owned(), uds, image: read("firmware.bin")?, mac, found })
    }

    /// The file of the firmware image.
    #[must_use]
    pub fn firmware(&self) -> PathBuf {
        self.folder.join("firmware.bin")
    }

    /// The application's name for the way its identity is derived.
    #[must_use]
    pub fn profile(name: ProfileName) -> devkit_app::Profile {
        match name {
            ProfileName::Standard => devkit_app::Profile::Standard,
            ProfileName::Riot => devkit_app::Profile::Riot { core: RIOT_CORE, firmware: RIOT_FIRMWARE },
        }
    }
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let uds = Zeroizing::new(rand::random::<[u8; Uds::LEN]>());
    let mut text = Zeroizing::new(String::with_capacity(2 * uds.len()));
    for byte in uds.iter() {
        write!(text, "{byte:02x}")?;
    }
    write_secret(&folder.join("uds"), &text)?;
    // Locally administered, unicast.
    let mut mac: [u8; 6] = rand::random();
    mac[0] = mac[0] & 0xfc | 0x02;
    fs::write(folder.join("mac"), hex::encode(mac))?;
    let mut image: Vec<u8> = (0..IMAGE_LEN).map(|_| rand::random()).collect();
    image[RIOT_FIRMWARE][..BANNER.len()].copy_from_slice(BANNER);
    // A vector table, as every image has: stack, reset, NMI, hard fault.
    for (place, word) in image.chunks_exact_mut(4).zip(VECTOR_TABLE) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    fs::write(folder.join("firmware.bin"), image)?;
    fs::write(folder.join("firmware.map"), map())?;
    Ok(())
}

/// The file is for its owner's eyes from the start.
fn write_secret(path: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    Ok(options.open(path)?.write_all(text.as_bytes())?)
}

/// The linker map a build of such an image would leave.
fn map() -> String {
    let symbol = |offset: usize, name: &str| format!("{:#018x}                {name} = .\n", FLASH + offset);
    [
        format!("Memory Configuration\n\nFLASH            {FLASH:#010x}         0x000f4000         xr\n\n"),
        symbol(RIOT_CORE.start, "__start_riot_core"),
        symbol(RIOT_CORE.end, "__stop_riot_core"),
        symbol(RIOT_FIRMWARE.start, "__start_riot_fw"),
        symbol(RIOT_FIRMWARE.end, "__stop_riot_fw"),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dps_cert_gen::map::MeasuredRanges;

    #[test]
    fn a_device_is_made_once_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let made = Device::make_or_take(folder.path()).unwrap();
        let taken = Device::make_or_take(folder.path()).unwrap();
        assert!(!made.found && taken.found);
        assert_eq!((made.uds, made.image, made.mac), (taken.uds, taken.image, taken.mac));
        fs::write(folder.path().join("uds"), "xyz").unwrap();
        assert!(Device::make_or_take(folder.path()).unwrap_err().to_string().contains("UDS"));
    }

    #[test]
    fn the_map_names_the_ranges_the_device_measures() {
        let ranges = MeasuredRanges::from_map(&map()).unwrap();
        assert_eq!((ranges.core, ranges.firmware), (RIOT_CORE, RIOT_FIRMWARE));
    }

    #[cfg(unix)]
    #[test]
    fn the_secret_is_readable_by_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        Device::make_or_take(folder.path()).unwrap();
        let mode = fs::metadata(folder.path().join("uds")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
