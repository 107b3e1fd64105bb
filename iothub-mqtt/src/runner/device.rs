//! [`Device`]: registration and hub in turn, and the connections for both.

use super::{
    Application, Buffers, Cause, Connector, DeviceEvent, Failure, Ladder, Service, Settings, Target, Token,
};
use crate::clock::now_ms;
use crate::provision::{self, Wanted};
use crate::session::{self, Session};
use crate::{Endpoint, Error, Generation, endpoint};
use core::pin::pin;
use dps_client::{Assignment, Registration, RegistrationState};
use embassy_time::{Duration, with_timeout};
use zeroize::Zeroize;

/// A device: provisioning and hub tied together.
///
/// `random` gives random numbers; they spread waiting times and number requests, and guard no secret. `STAGE` and
/// `TOPIC` bound topics, see [`Session`] and [`Client`](crate::Client); `STAGE` serves registration too, which takes
/// [`provision::MIN_STAGE`] bytes.
#[derive(Debug)]
pub struct Device<'a, R, const STAGE: usize = 1024, const TOPIC: usize = 512> {
    pub(super) settings: Settings<'a>,
    pub(super) random: R,
}

/// What the connections to a hub have in common.
pub(super) struct Way<'w, 'buf, const STAGE: usize> {
    pub(super) session: &'w mut Session<'buf, STAGE>,
    pub(super) ladder: &'w mut Ladder,
    /// Where client id and user name are written.
    pub(super) names: &'w mut [u8],
    pub(super) token: &'w mut [u8],
}

/// How serving a hub ended.
pub(super) enum Served {
    /// The application wants no more.
    Stopped,
    /// The hub is not the right one any more.
    Register,
}

/// Why there is no connection now.
pub(super) enum NoStream<E> {
    /// Not in time.
    Late,
    /// For this reason.
    Error(E),
}

impl<E> NoStream<E> {
    pub(super) fn cause(&self) -> Cause<'_, E> {
        Cause::Connection(match self {
            Self::Late => None,
            Self::Error(error) => Some(error),
        })
    }
}

/// The token of one connection, wiped with it.
pub(super) struct Sas<'t> {
    buffer: &'t mut [u8],
    token: Option<Token>,
}

impl<'t> Sas<'t> {
    pub(super) fn new(buffer: &'t mut [u8]) -> Self {
        Self { buffer, token: None }
    }

    pub(super) fn password(&self) -> Option<&[u8]> {
        self.token.and_then(|token| self.buffer.get(..token.length))
    }

    /// After how long to connect anew.
    pub(super) fn renew_ms(&self) -> Option<u32> {
        self.token.map(|token| token.renew_ms)
    }
}

impl Drop for Sas<'_> {
    fn drop(&mut self) {
        self.buffer.zeroize();
    }
}

impl<'a, R: FnMut() -> u32, const STAGE: usize, const TOPIC: usize> Device<'a, R, STAGE, TOPIC> {
    /// A device with these settings.
    pub fn new(settings: Settings<'a>, random: R) -> Self {
        Self { settings, random }
    }

    /// Runs the device until the application says [`DeviceCommand::Stop`](super::DeviceCommand::Stop), or something
    /// fails for good. Dropping the future stops it too, without a goodbye.
    ///
    /// `assignment` is one that was kept; without it the device registers first.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn run<A, C>(
        &mut self,
        application: &mut A,
        connector: &mut C,
        buffers: &mut Buffers<'_>,
        assignment: Option<Assignment>,
    ) -> Result<(), Failure<C::Error>>
    where
        C: Connector,
        A: Application<C::Error>,
    {
        const {
            assert!(STAGE >= provision::MIN_STAGE, "room for the topics of the provisioning service");
        }
        let Buffers { rx, tx, registration_rx, registration_tx, body, token } = buffers;
        let mut buffers = provision::Buffers { rx: registration_rx, tx: registration_tx, body };
        let mut assignment = match assignment {
            Some(assignment) => assignment,
            None => pin!(self.register(application, connector, &mut buffers, token)).await?,
        };
        let mut ladder = Ladder::new(self.settings.policy);
        loop {
            // Messages on their way go to the device's next hub too, but not to another device's name, nor to a hub of
            // another generation, which would not understand them.
            let device_id: heapless::String<{ endpoint::MAX_ID }> =
                assignment.device_id().chars().take(endpoint::MAX_ID).collect();
            let profile = assignment.profile();
            let generation = Generation::from(profile);
            if !generation.is_supported() {
                return Err(Failure::UnsupportedProfile(profile));
            }
            let options = session::Options { protocol: generation.into(), ..self.settings.session };
            let mut session: Session<'_, STAGE> = Session::new(options, rx, tx);
            while assignment.device_id() == device_id && assignment.profile() == profile {
                let endpoint = self.endpoint(&assignment).map_err(Failure::Settings)?;
                let mut way = Way { session: &mut session, ladder: &mut ladder, names: buffers.rx, token };
                let served = pin!(self.serve(application, connector, endpoint, &mut way)).await?;
                match served {
                    Served::Stopped => return Ok(()),
                    Served::Register => {
                        assignment = pin!(self.register(application, connector, &mut buffers, token)).await?;
                    }
                }
            }
        }
    }

    fn endpoint<'t>(&self, assignment: &'t Assignment) -> Result<Endpoint<'t>, Error>
    where
        'a: 't,
    {
        let endpoint = Endpoint::assigned(assignment)?;
        match self.settings.gateway {
            Some(gateway) => endpoint.with_gateway(gateway),
            None => Ok(endpoint),
        }
    }

    async fn register<A, C>(
        &mut self,
        application: &mut A,
        connector: &mut C,
        buffers: &mut provision::Buffers<'_>,
        token: &mut [u8],
    ) -> Result<Assignment, Failure<C::Error>>
    where
        C: Connector,
        A: Application<C::Error>,
    {
        application.event(DeviceEvent::Registering).await;
        let mut registration = Registration::new(self.settings.registration, (self.random)());
        loop {
            let wanted = provision::wanted(&mut registration).await.map_err(Failure::Registration)?;
            if let Some(assignment) = registration.assignment() {
                application.event(DeviceEvent::Registered(assignment)).await;
                return Ok(assignment.clone());
            }
            let credential = match wanted {
                Wanted::Connection { credential } => credential,
                Wanted::Nothing => 0,
            };
            let service = Service::Provisioning { credential };
            pin!(self.ask(application, connector, service, &mut registration, buffers, token)).await?;
        }
    }

    /// One connection to the provisioning service. Whether the registration is decided then, it tells.
    async fn ask<A, C>(
        &self,
        application: &mut A,
        connector: &mut C,
        service: Service<'_>,
        registration: &mut Registration<'_>,
        buffers: &mut provision::Buffers<'_>,
        token: &mut [u8],
    ) -> Result<(), Failure<C::Error>>
    where
        C: Connector,
        A: Application<C::Error>,
    {
        let host = self.settings.provisioning_host;
        let target = Target { service, host, port: dps_client::mqtt::PORT };
        let mut sas = Sas::new(token);
        let connected = pin!(self.connect(application, connector, target, &mut sas)).await?;
        let error = match connected {
            Ok(stream) => {
                let password = sas.password();
                let assigned = |state: &RegistrationState<'_>| application.assigned(state);
                pin!(provision::decide::<_, _, STAGE>(registration, stream, password, buffers, assigned))
                    .await
                    .err()
            }
            Err(none) => {
                registration.handle(dps_client::RegistrationEvent::Disconnected, now_ms());
                application.event(DeviceEvent::Retrying { cause: none.cause(), in_ms: None }).await;
                None
            }
        };
        match error {
            None => Ok(()),
            Some(error) if error.is_local() => Err(Failure::Settings(error)),
            Some(error) if !error.is_retriable() => Err(Failure::Registration(error)),
            Some(error) => {
                application.event(DeviceEvent::Retrying { cause: Cause::Service(&error), in_ms: None }).await;
                Ok(())
            }
        }
    }

    /// Makes a connection. The outer error ends the run, the inner one is to be retried.
    #[allow(clippy::type_complexity)] // two kinds of error, each with its own way out
    pub(super) async fn connect<'c, A, C>(
        &self,
        application: &mut A,
        connector: &'c mut C,
        target: Target<'_>,
        sas: &mut Sas<'_>,
    ) -> Result<Result<C::Stream<'c>, NoStream<C::Error>>, Failure<C::Error>>
    where
        C: Connector,
        A: Application<C::Error>,
    {
        crate::logging::debug!("connecting to {}", target.host);
        application.event(DeviceEvent::Connecting(target)).await;
        let error = match connector.token(target, sas.buffer) {
            Ok(token) => {
                sas.token = token;
                let limit = Duration::from_millis(self.settings.connect_ms.into());
                let connecting = pin!(connector.connect(target));
                match with_timeout(limit, connecting).await {
                    Ok(Ok(stream)) => return Ok(Ok(stream)),
                    Ok(Err(error)) => error,
                    Err(_) => return Ok(Err(NoStream::Late)),
                }
            }
            Err(error) => error,
        };
        if C::is_retriable(&error) {
            return Ok(Err(NoStream::Error(error)));
        }
        let service = match target.service {
            Service::Provisioning { .. } => "provisioning service",
            Service::Hub(_) => "hub",
        };
        Err(Failure::Connection { service, error })
    }
}
