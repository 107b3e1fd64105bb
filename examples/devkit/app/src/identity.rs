//! The device's identity as its network needs it: certificates and a key, derived at every boot, kept nowhere.

use core::fmt;
use core::ops::Range;

use azure_iot_tls::{AsyncIdentity, ChainIdentity, SecretKey, Signature};
use devkit_console::KeySource;
use devkit_settings::Setting;
use dice_core::hash::Sha256;
use dice_core::key::PublicKey;
use dice_core::standard::{self, FirmwareInfo};
use dice_core::{Error, FirmwareDigest, RegistrationId, Secret, Uds, riot};
use heapless::Vec;

/// The maker of the board, as the certificate's TcbInfo names it.
pub const VENDOR: &str = "MXCHIP";
/// The board's model, as the certificate's TcbInfo names it.
pub const MODEL: &str = "AZ3166";
/// Security version number of this firmware, raised with each security fix.
pub const SECURITY_VERSION: u64 = 1;

/// What the certificate says about a firmware of this application with the given version.
#[must_use]
pub const fn firmware_info(version: &str) -> FirmwareInfo<'_> {
    FirmwareInfo::new(VENDOR, MODEL, version, SECURITY_VERSION)
}

/// Longest leaf of a chain, in bytes.
const LEAF_MAX_LEN: usize = max(standard::ALIAS_CERTIFICATE_MAX_LEN, riot::ALIAS_CERTIFICATE_MAX_LEN);

const fn max(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

/// How the identity is derived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// The whole image is measured; the device presents its alias certificate and the DeviceID certificate above it.
    #[default]
    Standard,
    /// As the original firmware of the DevKit: two ranges of the image are measured, the alias certificate is
    /// presented alone.
    Riot {
        /// The RIoT core within the image.
        core: Range<usize>,
        /// The firmware section within the image.
        firmware: Range<usize>,
    },
}

impl Profile {
    /// The longest registration id its certificates can name, in bytes.
    #[must_use]
    pub const fn registration_id_max_len(&self) -> usize {
        match self {
            Self::Standard => standard::REGISTRATION_ID_MAX_LEN,
            Self::Riot { .. } => riot::REGISTRATION_ID_MAX_LEN,
        }
    }
}

/// The public half of the key in the secure chip: X and Y.
pub type SlotKey = [u8; Setting::SlotKey.max_len()];

/// Why there is no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdentityError {
    /// The derivation refused its inputs.
    Dice(Error),
    /// A range to be measured lies outside the image.
    OutsideImage,
    /// TLS does not take the chain.
    Tls(azure_iot_tls::IdentityError),
    /// A key in the secure chip was chosen, and this profile has no certificate for one.
    NoSlotKey,
    /// There is no request for a certificate.
    #[cfg(feature = "issued-certificates")]
    Request(azure_iot_credentials::Error),
}

impl From<azure_iot_tls::IdentityError> for IdentityError {
    fn from(error: azure_iot_tls::IdentityError) -> Self {
        Self::Tls(error)
    }
}

impl From<Error> for IdentityError {
    fn from(error: Error) -> Self {
        Self::Dice(error)
    }
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dice(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
            Self::OutsideImage => f.write_str("a range to be measured lies outside the firmware image"),
            Self::NoSlotKey => f.write_str("this firmware has no certificate for a key in the secure chip"),
            #[cfg(feature = "issued-certificates")]
            Self::Request(error) => write!(f, "no request for a certificate: {error}"),
        }
    }
}

impl core::error::Error for IdentityError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Dice(error) => Some(error),
            Self::Tls(error) => Some(error),
            #[cfg(feature = "issued-certificates")]
            Self::Request(error) => Some(error),
            Self::OutsideImage | Self::NoSlotKey => None,
        }
    }
}

/// Longest chain, in bytes.
const CHAIN_MAX_LEN: usize = LEAF_MAX_LEN + standard::DEVICE_ID_CERTIFICATE_MAX_LEN;

/// The client certificate chain and its key, if that is not in the secure chip. The DeviceID key is gone, the alias key
/// is wiped on drop.
#[derive(Debug)]
pub struct Identity {
    chain: ChainIdentity<Option<SecretKey>, CHAIN_MAX_LEN>,
    firmware: Vec<u8, { FirmwareDigest::MAX_LEN }>,
}

impl Identity {
    /// Derives the identity of the device with this secret and firmware. With a `slot_key` its certificate is for that
    /// key, and says of the firmware what the other one says.
    ///
    /// # Errors
    /// [`IdentityError`] says which input is at fault.
    #[inline(never)] // or the stack it takes is the caller's for good
    pub fn derive(
        profile: &Profile,
        uds: &Uds,
        image: &[u8],
        version: &str,
        id: RegistrationId<'_>,
        slot_key: Option<&SlotKey>,
    ) -> Result<Self, IdentityError> {
        let mut leaf = [0; LEAF_MAX_LEN];
        match profile {
            Profile::Standard => {
                let identity =
                    standard::Identity::derive(uds, &FirmwareDigest::of(image)?, &firmware_info(version))?;
                let mut issuer = [0; standard::DEVICE_ID_CERTIFICATE_MAX_LEN];
                // One certificate, so that its code is in the image once.
                let key = match slot_key {
                    None => *identity.alias_key().public_key(),
                    Some(key) => public_key(key)?,
                };
                let leaf = identity.certificate_for(&key, id, &mut leaf)?;
                let chain = [leaf, identity.device_id_certificate(&mut issuer)?];
                let firmware = bytes(identity.firmware().as_bytes());
                Self::new(&chain, slot_key.is_none().then(|| identity.into_alias_key()), firmware)
            }
            Profile::Riot { .. } if slot_key.is_some() => Err(IdentityError::NoSlotKey),
            Profile::Riot { core, firmware } => {
                let [core, firmware] = [core, firmware].map(|range| image.get(range.clone()));
                let (Some(core), Some(firmware)) = (core, firmware) else {
                    return Err(IdentityError::OutsideImage);
                };
                let identity = riot::Identity::derive(uds, core, firmware)?;
                let chain = [identity.alias_certificate(id, &mut leaf)?];
                let firmware = bytes(&identity.fwid().0);
                Self::new(&chain, Some(identity.into_alias_key()), firmware)
            }
        }
    }

    fn new(
        chain: &[&[u8]],
        alias_key: Option<dice_core::key::SecretKey>,
        firmware: Vec<u8, { FirmwareDigest::MAX_LEN }>,
    ) -> Result<Self, IdentityError> {
        let key = alias_key.map(|key| SecretKey::from_bytes(*key.expose_scalar().expose()));
        Ok(Self { chain: ChainIdentity::new(chain, key)?, firmware })
    }

    /// The device's certificate (DER): the leaf.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        self.chain().next().unwrap_or_default()
    }

    /// The whole chain to present, leaf first (DER).
    pub fn chain(&self) -> impl Iterator<Item = &[u8]> {
        self.chain.certificates()
    }

    /// The key of the leaf; `None` if it is in the secure chip.
    #[must_use]
    pub fn secret_key(&self) -> Option<&SecretKey> {
        self.chain.key().as_ref()
    }

    /// Where the key of the leaf is.
    #[must_use]
    pub fn key_source(&self) -> KeySource {
        if self.secret_key().is_some() { KeySource::Derived } else { KeySource::Slot }
    }

    /// The measured digest of the firmware.
    #[must_use]
    pub fn firmware(&self) -> &[u8] {
        &self.firmware
    }
}

/// With the key that is in memory; for the one in the secure chip the application has the way to it.
impl AsyncIdentity for Identity {
    fn certificate(&self, index: usize) -> Option<&[u8]> {
        self.chain().nth(index)
    }

    async fn sign(&self, digest: &[u8; 32]) -> Result<Signature, azure_iot_tls::IdentityError> {
        let key = self.secret_key().ok_or(azure_iot_tls::IdentityError::KeyUnusable)?;
        let key = dice_core::key::SecretKey::from_scalar(Secret::new(*key.as_bytes()))
            .map_err(|_| azure_iot_tls::IdentityError::KeyUnusable)?;
        Ok(Signature::from_bytes(*key.sign_prehash::<Sha256>(digest).as_bytes()))
    }

    fn secret_key(&self) -> Option<SecretKey> {
        self.chain.key().clone()
    }
}

/// The key as `dice-core` has it, which checks that it is a point of the curve.
fn public_key(key: &SlotKey) -> Result<PublicKey, Error> {
    let mut sec1 = [4; 1 + Setting::SlotKey.max_len()];
    sec1.iter_mut().skip(1).zip(key).for_each(|(to, from)| *to = *from);
    PublicKey::from_sec1(&sec1)
}

/// The buffers are as long as the longest certificate or digest that goes into each.
fn bytes<const N: usize>(bytes: &[u8]) -> Vec<u8, N> {
    bytes.iter().copied().take(N).collect()
}
