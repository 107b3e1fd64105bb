//! Why the application ends.

use core::fmt;

use devkit_settings::{Setting, VaultError};
use embedded_hal_async::i2c::ErrorType;
use iothub_mqtt::runner;

use crate::board::{Board, Network};
use crate::device::End;
use crate::host_keys::HostKeyError;
use crate::identity::IdentityError;
use crate::setting_store::OpenError;

/// A failure that trying again does not cure. The text names the step.
///
/// `I` is the error of the board's I2C bus, `N` that of its network.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure<I, N> {
    /// The secure element, or what is stored in it.
    Vault(VaultError<I>),
    /// The keys of the secure channel cannot be read.
    HostKeys(HostKeyError),
    /// The device is paired, and the chip on the bus has no host keys.
    ChipWithoutKeys,
    /// A setting is missing.
    Missing(Setting),
    /// The registration id or the measurement is refused.
    Identity(IdentityError),
    /// The settings are refused.
    Settings(dps_client::Error),
    /// There is no network, and there will be none.
    Network(N),
    /// The cloud is out of reach for good: refused, or not who it should be.
    Cloud(runner::Failure<N>),
}

/// The error of a [`Board`]'s bus, which its drivers share.
pub type BusErrorOf<B> =
    embassy_embedded_hal::shared_bus::I2cDeviceError<<<B as Board>::I2c as ErrorType>::Error>;

/// The [`Failure`] of a [`Board`].
pub type FailureOf<B> = Failure<BusErrorOf<B>, <<B as Board>::Network as Network>::Error>;

/// The [`End`] of a [`Board`].
pub type EndOf<B> = End<BusErrorOf<B>, <<B as Board>::Network as Network>::Error>;

impl<I, N> Failure<I, N> {
    /// What rows 2 and 3 of the screen say.
    pub(crate) fn rows(&self) -> [&'static str; 2] {
        const FAILED: &str = "Failed!";
        match self {
            Self::Vault(VaultError::Chip(_)) | Self::ChipWithoutKeys => [FAILED, " > Secure chip"],
            Self::Vault(_) => [FAILED, " > Settings"],
            Self::HostKeys(_) => [FAILED, " > Host keys"],
            Self::Missing(Setting::Uds) => ["Not configured", " no UDS"],
            Self::Missing(_) => ["Not configured", " no ID scope"],
            Self::Identity(_) => [FAILED, " > Identity"],
            Self::Settings(_) => ["DPS Failed!", " > Settings"],
            Self::Network(_) => [FAILED, " > WiFi"],
            Self::Cloud(runner::Failure::Registration(_)) => ["DPS Failed!", " > DPS"],
            Self::Cloud(runner::Failure::Connection { .. }) => ["DPS Failed!", " > Connection"],
            Self::Cloud(_) => [FAILED, " > IoT Hub(DPS)"],
        }
    }
}

impl<I, N> From<VaultError<I>> for Failure<I, N> {
    fn from(error: VaultError<I>) -> Self {
        Self::Vault(error)
    }
}

impl<I, N> From<OpenError<I>> for Failure<I, N> {
    fn from(error: OpenError<I>) -> Self {
        match error {
            OpenError::Vault(error) => Self::Vault(error),
            OpenError::HostKeys(error) => Self::HostKeys(error),
            OpenError::ChipWithoutKeys => Self::ChipWithoutKeys,
        }
    }
}

impl<I: fmt::Debug, N: fmt::Display> fmt::Display for Failure<I, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vault(cause) => write!(f, "reading the settings: {cause}"),
            Self::HostKeys(cause) => write!(f, "reading the host keys: {cause}"),
            Self::ChipWithoutKeys => f.write_str(
                "the secure chip has no host keys, though this device was paired with one: the chip was replaced, or \
                 another device answers at its address",
            ),
            Self::Missing(setting) => write!(f, "no {setting} is stored"),
            Self::Identity(cause) => write!(f, "deriving the identity: {cause}"),
            Self::Settings(cause) => write!(f, "settings: {cause}"),
            Self::Network(cause) => write!(f, "joining the network: {cause}"),
            Self::Cloud(cause) => cause.fmt(f),
        }
    }
}

impl<I: fmt::Debug, N: fmt::Debug + fmt::Display> core::error::Error for Failure<I, N> {}
