//! What is measured: the five inputs of a layer and the two digests made of them.

use super::{CONFIG_LEN, HASH_LEN, HIDDEN_LEN};
use crate::Secret;
use crate::hash::{Hash, Sha512};
use core::fmt;

/// The operating mode of the layer being measured (Open Profile for DICE, "Mode Value Details").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum Mode {
    /// A security mechanism is not configured, or the value is none of the others.
    #[default]
    NotConfigured = 0,
    /// Secure configuration, normal operation.
    Normal = 1,
    /// At least one criterion of [`Normal`](Self::Normal) is not met.
    Debug = 2,
    /// Recovery or maintenance: booted from another source than usual.
    Recovery = 3,
}

impl Mode {
    /// Reads a mode byte. Values the profile does not define count as [`NotConfigured`](Self::NotConfigured), as it
    /// says they should be treated.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Normal,
            2 => Self::Debug,
            3 => Self::Recovery,
            _ => Self::NotConfigured,
        }
    }
}

/// The configuration input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Config<'a> {
    /// 64 bytes whose meaning is the implementation's, used as they are.
    Inline(&'a [u8; CONFIG_LEN]),
    /// Configuration data of any length: its SHA-512 digest is the input, and both go into the certificate.
    Descriptor(&'a [u8]),
}

impl Config<'_> {
    /// The 64 bytes that enter the derivation.
    #[must_use]
    pub fn input(&self) -> [u8; CONFIG_LEN] {
        match self {
            Self::Inline(value) => **value,
            Self::Descriptor(descriptor) => Sha512::digest(descriptor),
        }
    }
}

/// The measured inputs of the next layer (Open Profile for DICE, "Input Values").
///
/// The two hashes are usually SHA-512; a shorter digest is padded with zero bytes by whoever measures. An empty
/// descriptor means that there is none. [`InputValues::new`] fills in what is not needed most of the time.
#[derive(Clone, Copy)]
pub struct InputValues<'a> {
    /// Measurement of the code.
    pub code_hash: &'a [u8; HASH_LEN],
    /// More about the code, for the certificate only.
    pub code_descriptor: &'a [u8],
    /// Configuration.
    pub config: Config<'a>,
    /// Measurement of the authority that vouches for the code, such as the hash of a verified-boot key.
    pub authority_hash: &'a [u8; HASH_LEN],
    /// More about the authority, for the certificate only.
    pub authority_descriptor: &'a [u8],
    /// Operating mode.
    pub mode: Mode,
    /// Secret or volatile input that never appears in a certificate.
    pub hidden: &'a [u8; HIDDEN_LEN],
}

impl<'a> InputValues<'a> {
    /// Inputs without descriptors and with 64 zero bytes as hidden value.
    #[must_use]
    pub const fn new(
        code_hash: &'a [u8; HASH_LEN],
        config: Config<'a>,
        authority_hash: &'a [u8; HASH_LEN],
        mode: Mode,
    ) -> Self {
        Self {
            code_hash,
            code_descriptor: &[],
            config,
            authority_hash,
            authority_descriptor: &[],
            mode,
            hidden: &[0; HIDDEN_LEN],
        }
    }

    /// What the attestation CDI binds: code, configuration, authority, mode and hidden value.
    pub(super) fn attest_digest(&self) -> Secret<HASH_LEN> {
        let config = self.config.input();
        let mode = [self.mode as u8];
        Secret::new(Sha512::digest_parts(&[self.code_hash, &config, self.authority_hash, &mode, self.hidden]))
    }

    /// What the sealing CDI binds: authority, mode and hidden value, so that it survives an update of the code.
    pub(super) fn seal_digest(&self) -> Secret<HASH_LEN> {
        Secret::new(Sha512::digest_parts(&[self.authority_hash, &[self.mode as u8], self.hidden]))
    }
}

impl fmt::Debug for InputValues<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InputValues")
            .field("code_hash", self.code_hash)
            .field("code_descriptor", &self.code_descriptor)
            .field("config", &self.config)
            .field("authority_hash", self.authority_hash)
            .field("authority_descriptor", &self.authority_descriptor)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}
