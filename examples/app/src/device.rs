//! The application's life: identity first, then whatever the runner of `iothub-mqtt` keeps alive.

use core::fmt;

use dice_core::{MacAddress, RegistrationId};
use dps_client::{Backoff, Config, Timing};
use iothub_mqtt::provision::MIN_BODY;
use iothub_mqtt::runner::{self, Connector, Device, Memory, Policy, Target};
use iothub_mqtt::{ClientOptions, Error};

use crate::board::{Board, Network};
use crate::event::Event;
use crate::identity::{Identity, IdentityError, Profile};
use crate::work::Work;

/// What the user configures.
#[derive(Clone, Debug)]
pub struct Settings<'a> {
    /// Host name of the provisioning service.
    pub endpoint: &'a str,
    /// The provisioning service's id scope.
    pub id_scope: &'a str,
    /// The id to register with; `None` builds it from MAC address and firmware version.
    pub registration_id: Option<&'a str>,
    /// How the identity is derived.
    pub profile: Profile,
    /// Time between two telemetry messages, in milliseconds.
    pub telemetry_interval_ms: u32,
    /// The waits between attempts.
    pub backoff: Backoff,
}

impl<'a> Settings<'a> {
    /// The settings every device has, with the tutorial's interval of two seconds.
    #[must_use]
    pub fn new(id_scope: &'a str) -> Self {
        Self {
            endpoint: dps_client::GLOBAL_ENDPOINT,
            id_scope,
            registration_id: None,
            profile: Profile::default(),
            telemetry_interval_ms: 2000,
            backoff: Backoff::DEFAULT,
        }
    }
}

/// Why the application stopped: something that trying again does not mend. The text names the step.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure<B, N> {
    /// The secret could not be read.
    Secret(B),
    /// The registration id or the measurement is refused.
    Identity(IdentityError),
    /// The settings are refused.
    Settings(dps_client::Error),
    /// The cloud is out of reach for good: refused, or not who it should be.
    Cloud(runner::Failure<N>),
}

impl<B: fmt::Display, N: fmt::Display> fmt::Display for Failure<B, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(cause) => write!(f, "reading the device secret: {cause}"),
            Self::Identity(cause) => write!(f, "deriving the identity: {cause}"),
            Self::Settings(cause) => write!(f, "settings: {cause}"),
            Self::Cloud(cause) => cause.fmt(f),
        }
    }
}

impl<B: fmt::Debug + fmt::Display, N: fmt::Debug + fmt::Display> core::error::Error for Failure<B, N> {}

/// Longest message received from the hub, its topic included.
const RX: usize = 4096;
/// Messages on their way to the hub.
const TX: usize = 2048;
/// Longest answer of the provisioning service, and what is on its way there.
const REGISTRATION: usize = 2048;

/// Runs the device until something fails for good.
pub async fn run<B: Board, N: Network>(
    board: &mut B,
    network: &mut N,
    settings: &Settings<'_>,
) -> Failure<B::Error, N::Error> {
    match live(board, network, settings).await {
        Err(failure) => failure,
        // The application never asks the runner to stop.
        Ok(()) => Failure::Cloud(runner::Failure::Settings(Error::Disconnected)),
    }
}

async fn live<B: Board, N: Network>(
    board: &mut B,
    network: &mut N,
    settings: &Settings<'_>,
) -> Result<(), Failure<B::Error, N::Error>> {
    let mut id_text = [0; RegistrationId::DEFAULT_MAX_LEN];
    let id = match settings.registration_id {
        Some(id) => RegistrationId::new(id),
        None => RegistrationId::default_for(MacAddress(board.mac()), board.firmware_version(), &mut id_text),
    }
    .map_err(|error| Failure::Identity(error.into()))?;
    let identity = boot(board, &settings.profile, id).await?;

    let config = Config::new(settings.id_scope, id.as_str()).map_err(Failure::Settings)?;
    let config = config.with_timing(Timing { backoff: settings.backoff, ..Timing::DEFAULT });
    // What is not subscribed to is not sent: the application has no twin.
    let client = ClientOptions { twin: false, ..ClientOptions::new(board.random()) };
    let policy = Policy { backoff: settings.backoff, ..Policy::DEFAULT };
    let mut device: Device<'_, _> = Device::new(
        runner::Settings {
            provisioning_host: settings.endpoint,
            client,
            policy,
            ..runner::Settings::new(config)
        },
        xorshift(board.random()),
    );
    let mut memory = Memory {
        rx: &mut [0; RX],
        tx: &mut [0; TX],
        registration_rx: &mut [0; REGISTRATION],
        registration_tx: &mut [0; REGISTRATION],
        body: &mut [0; MIN_BODY],
        token: &mut [],
    };
    let mut work = Work::new(board, settings.telemetry_interval_ms);
    let mut connector = WithIdentity { network, identity: &identity };
    device.run(&mut work, &mut connector, &mut memory, None).await.map_err(Failure::Cloud)
}

/// Derives the identity; the secret is wiped when this returns.
async fn boot<B: Board, E>(
    board: &mut B,
    profile: &Profile,
    id: RegistrationId<'_>,
) -> Result<Identity, Failure<B::Error, E>> {
    let uds = board.uds().await.map_err(Failure::Secret)?;
    let identity = Identity::derive(profile, &uds, board.image(), board.firmware_version(), id);
    let identity = identity.map_err(Failure::Identity)?;
    board.report(&Event::IdentityDerived {
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
}

impl<N: Network> Connector for WithIdentity<'_, N> {
    type Stream<'s>
        = N::Stream<'s>
    where
        Self: 's;
    type Error = N::Error;

    async fn connect(&mut self, target: Target<'_>) -> Result<N::Stream<'_>, N::Error> {
        self.network.connect(target.host, target.port, self.identity).await
    }

    fn is_retriable(error: &N::Error) -> bool {
        N::is_retriable(error)
    }
}
