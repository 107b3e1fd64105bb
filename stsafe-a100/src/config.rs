//! What the driver must know about a chip before it speaks to it.

pub use crate::frame::CrcMode;
pub use crate::rules::{CommandAccess, Encryption, Rule, Rules};
pub use crate::timing::{Timing, Wait};

/// The 7-bit address of a chip as delivered.
pub const DEFAULT_ADDRESS: u8 = 0x20;

/// Address, checksums, wait times, and what the chip demands of commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Config {
    /// The 7-bit I2C address.
    pub address: u8,
    /// Whether frames carry a checksum.
    pub crc: CrcMode,
    /// Wait times and polling.
    pub timing: Timing,
    /// How often a response is read again after a bus error, a wrong checksum or a malformed frame. Reading changes
    /// nothing in the chip; the command is never sent again.
    pub rereads: u8,
    /// The chip's family, and which commands want a host session or encryption.
    pub rules: Rules,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            address: DEFAULT_ADDRESS,
            crc: CrcMode::On,
            timing: Timing::A100,
            rereads: 2,
            rules: Rules::A100,
        }
    }
}
