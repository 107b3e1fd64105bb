//! The application's life: identity first, then whatever the runner of `iothub-mqtt` keeps alive.

use core::fmt;

use dice_core::{MacAddress, RegistrationId, Uds};
use dps_client::{Backoff, Config, Timing};
use iothub_mqtt::provision::MIN_BODY;
use iothub_mqtt::runner::{self, Connector, Device, Memory, Policy, Service, Target};
use iothub_mqtt::{ClientOptions, Error};
use stsafe_a100::asynch::Stsafe;
use stsafe_a100::vault::{Setting, VaultError};

use crate::board::{Board, Network, Parts, System};
use crate::console::SettingStore;
use crate::event::Event;
use crate::identity::{Identity, IdentityError, Profile};
use crate::settings::Settings;
use crate::work::Work;

/// What the firmware fixes for all its devices; what differs from one to the next is in [`Settings`].
#[derive(Clone, Debug)]
pub struct Options {
    /// How the identity is derived.
    pub profile: Profile,
    /// Time between two telemetry messages, in milliseconds, until the twin says otherwise.
    pub telemetry_interval_ms: u32,
    /// The waits between attempts.
    pub backoff: Backoff,
}

impl Default for Options {
    /// The standard identity, and the tutorial's interval of two seconds.
    fn default() -> Self {
        Self { profile: Profile::default(), telemetry_interval_ms: 2000, backoff: Backoff::DEFAULT }
    }
}

/// Why the application stopped: something that trying again does not mend. The text names the step.
///
/// `I` is the error of the board's I2C bus, `N` that of its network.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure<I, N> {
    /// The secure element, or what is stored in it.
    Vault(VaultError<I>),
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

/// The [`Failure`] of a [`Board`].
pub type FailureOf<B> = Failure<
    <<B as Board>::I2c as embedded_hal_async::i2c::ErrorType>::Error,
    <<B as Board>::Network as Network>::Error,
>;

impl<I, N> From<VaultError<I>> for Failure<I, N> {
    fn from(error: VaultError<I>) -> Self {
        Self::Vault(error)
    }
}

impl<I: fmt::Debug, N: fmt::Display> fmt::Display for Failure<I, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vault(cause) => write!(f, "reading the settings: {cause}"),
            Self::Missing(setting) => write!(f, "no {setting} is stored"),
            Self::Identity(cause) => write!(f, "deriving the identity: {cause}"),
            Self::Settings(cause) => write!(f, "settings: {cause}"),
            Self::Network(cause) => write!(f, "joining the network: {cause}"),
            Self::Cloud(cause) => cause.fmt(f),
        }
    }
}

impl<I: fmt::Debug, N: fmt::Debug + fmt::Display> core::error::Error for Failure<I, N> {}

/// Longest message received from the hub, its topic included.
const RX: usize = 4096;
/// Messages on their way to the hub.
const TX: usize = 2048;
/// Longest answer of the provisioning service, and what is on its way there.
const REGISTRATION: usize = 2048;

/// Runs the device until something fails for good.
pub async fn run<B: Board>(board: &mut B, options: &Options) -> FailureOf<B> {
    match live(board.parts(), options).await {
        Err(failure) => failure,
        // The application never asks the runner to stop.
        Ok(()) => Failure::Cloud(runner::Failure::Settings(Error::Disconnected)),
    }
}

async fn live<B: Board>(parts: Parts<'_, B>, options: &Options) -> Result<(), FailureOf<B>> {
    let Parts { i2c, delay, network, system, .. } = parts;
    let mut store = SettingStore::open(Stsafe::new(&mut *i2c, &mut *delay), system.host_keys()).await?;
    let settings = Settings::read(&mut store).await?;
    let id_scope = settings.id_scope().ok_or(Failure::Missing(Setting::DpsIdScope))?;
    let mut id_text = [0; RegistrationId::DEFAULT_MAX_LEN];
    let id = match settings.registration_id() {
        Some(id) => RegistrationId::new(id),
        None => {
            RegistrationId::default_for(MacAddress(system.mac()), system.firmware_version(), &mut id_text)
        }
    }
    .map_err(|error| Failure::Identity(error.into()))?;
    let identity = boot::<B>(&mut store, system, &options.profile, id).await?;
    drop(store);

    network.join(settings.wifi()).await.map_err(Failure::Network)?;
    let config = Config::new(id_scope, id.as_str()).map_err(Failure::Settings)?;
    let config = config.with_timing(Timing { backoff: options.backoff, ..Timing::DEFAULT });
    // What is not subscribed to is not sent: the application has no twin.
    let client = ClientOptions { twin: false, ..ClientOptions::new(system.random()) };
    let policy = Policy { backoff: options.backoff, ..Policy::DEFAULT };
    let (host, port) = settings.endpoint();
    let mut device: Device<'_, _> = Device::new(
        runner::Settings { provisioning_host: host, client, policy, ..runner::Settings::new(config) },
        xorshift(system.random()),
    );
    let mut memory = Memory {
        rx: &mut [0; RX],
        tx: &mut [0; TX],
        registration_rx: &mut [0; REGISTRATION],
        registration_tx: &mut [0; REGISTRATION],
        body: &mut [0; MIN_BODY],
        token: &mut [],
    };
    let mut work = Work::new(system, options.telemetry_interval_ms);
    let mut connector = WithIdentity { network, identity: &identity, provisioning_port: port };
    device.run(&mut work, &mut connector, &mut memory, None).await.map_err(Failure::Cloud)
}

/// Derives the identity; the secret is wiped when this returns.
async fn boot<B: Board>(
    store: &mut SettingStore<&mut B::I2c, &mut B::Delay>,
    system: &mut B::System,
    profile: &Profile,
    id: RegistrationId<'_>,
) -> Result<Identity, FailureOf<B>> {
    let bytes = store.uds().await?.ok_or(Failure::Missing(Setting::Uds))?;
    let uds = Uds::from_bytes(*bytes).map_err(|error| Failure::Identity(error.into()))?;
    let identity = Identity::derive(profile, &uds, system.image(), system.firmware_version(), id);
    let identity = identity.map_err(Failure::Identity)?;
    system.observe(&Event::IdentityDerived {
        registration_id: id.as_str(),
        firmware: identity.firmware(),
        certificate: identity.certificate(),
    });
    Ok(identity)
}

/// Numbers that spread waiting times, from a seed of the board's (Marsaglia's xorshift).
fn xorshift(seed: u32) -> impl FnMut() -> u32 {
    let mut state = seed | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    }
}

/// The board's network with the device's identity.
struct WithIdentity<'a, N> {
    network: &'a mut N,
    identity: &'a Identity,
    provisioning_port: u16,
}

impl<N: Network> Connector for WithIdentity<'_, N> {
    type Stream<'s>
        = N::Stream<'s>
    where
        Self: 's;
    type Error = N::Error;

    async fn connect(&mut self, target: Target<'_>) -> Result<N::Stream<'_>, N::Error> {
        let port = match target.service {
            Service::Provisioning { .. } => self.provisioning_port,
            Service::Hub(_) => target.port,
        };
        self.network.connect(target.host, port, self.identity).await
    }

    fn is_retriable(error: &N::Error) -> bool {
        N::is_retriable(error)
    }
}
