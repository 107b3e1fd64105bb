//! What a certificate says about the firmware, and the texts it may contain.

use crate::asn1::DerWriter;
use crate::measure::FirmwareDigest;
use crate::open_dice::{HASH_LEN, Mode};
use crate::tcg::{List, OperationalFlags, TcbInfo};
use crate::x509::write::COMMON_NAME_MAX_LEN;
use crate::{Error, RegistrationId, Result};

/// Tells components of one layer apart; there is one.
const INDEX: u64 = 0;

/// What is known of the firmware besides its digest. Everything here goes into the alias key and its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirmwareInfo<'a> {
    /// Maker of the device, 1 to 64 bytes.
    pub vendor: &'a str,
    /// Product name of the device, 1 to 64 bytes.
    pub model: &'a str,
    /// Version of the firmware, 1 to 64 bytes.
    pub version: &'a str,
    /// Security version number: raised when a flaw is repaired, so that a verifier can demand a minimum.
    pub svn: u64,
    /// The state the device runs in. Only a device whose debug port is locked and whose boot chain is protected should
    /// claim [`Mode::Normal`].
    pub mode: Mode,
    /// Digest of whoever vouches for the firmware, such as the key a boot loader checked its signature with; 64 zero
    /// bytes if nobody does.
    pub authority_hash: [u8; HASH_LEN],
}

impl<'a> FirmwareInfo<'a> {
    /// The most bytes a text may have.
    pub const TEXT_MAX_LEN: usize = 64;

    /// Firmware nobody vouches for, on a device that is [`NotConfigured`](Mode::NotConfigured).
    #[must_use]
    pub const fn new(vendor: &'a str, model: &'a str, version: &'a str, svn: u64) -> Self {
        Self { vendor, model, version, svn, mode: Mode::NotConfigured, authority_hash: [0; HASH_LEN] }
    }

    /// The same with another mode.
    #[must_use]
    pub const fn with_mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Checks the texts.
    pub(super) fn check(&self) -> Result<()> {
        for (name, text) in [("vendor", self.vendor), ("model", self.model), ("version", self.version)] {
            check_text(name, text, Self::TEXT_MAX_LEN, |character| !character.is_control())?;
        }
        Ok(())
    }

    /// Writes the content of the TcbInfo extension for the firmware of a layer.
    pub(crate) fn write_tcb_info(&self, layer: u64, firmware: &FirmwareDigest, writer: &mut DerWriter<'_>) {
        let fwids = [firmware.as_fwid()];
        TcbInfo {
            vendor: Some(self.vendor),
            model: Some(self.model),
            version: Some(self.version),
            svn: Some(self.svn),
            layer: Some(layer),
            index: Some(INDEX),
            fwids: Some(List::of(&fwids)),
            flags: Some(flags(self.mode)),
            ..TcbInfo::default()
        }
        .write_der(writer);
    }
}

/// The flags that say the same as a mode.
const fn flags(mode: Mode) -> OperationalFlags {
    match mode {
        Mode::Normal => OperationalFlags(0),
        Mode::NotConfigured => OperationalFlags::NOT_CONFIGURED,
        Mode::Debug => OperationalFlags::DEBUG,
        Mode::Recovery => OperationalFlags::RECOVERY,
    }
}

/// The code with which a service has the possession of a CA key proven: 1 to 64 printable ASCII characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerificationCode<'a>(&'a str);

impl<'a> VerificationCode<'a> {
    /// Checks a code.
    ///
    /// # Errors
    /// [`Error::TextLength`] or [`Error::TextCharacter`] for text `"verification code"`.
    pub fn new(code: &'a str) -> Result<Self> {
        let printable = |character: char| character.is_ascii_graphic();
        check_text("verification code", code, COMMON_NAME_MAX_LEN, printable)?;
        Ok(Self(code))
    }

    /// The code.
    #[must_use]
    pub const fn as_str(&self) -> &'a str {
        self.0
    }
}

/// The registration id as a common name.
pub(crate) fn common_name(id: RegistrationId<'_>) -> Result<&str> {
    id.checked_len(COMMON_NAME_MAX_LEN).map(|id| id.as_str())
}

fn check_text(name: &'static str, text: &str, limit: usize, allowed: impl Fn(char) -> bool) -> Result<()> {
    let found = text.len();
    if found == 0 || found > limit {
        return Err(Error::TextLength { text: name, found, limit });
    }
    match text.chars().enumerate().find(|(_, character)| !allowed(*character)) {
        Some((index, found)) => Err(Error::TextCharacter { text: name, index, found }),
        None => Ok(()),
    }
}
