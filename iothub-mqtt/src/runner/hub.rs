//! Serving one hub, over as many connections as it takes.

use super::device::{Device, NoStream, Sas, Served};
use super::{Application, Cause, Command, Connector, Event, Failure, Ladder, Next, Service, Target};
use crate::clock::{left, now_ms};
use crate::endpoint::{MAX_CLIENT_ID, MAX_USER_NAME, PORT};
use crate::session::{Mqtt, Session, Ticket};
use crate::translate::Connect;
use crate::{Client, ClientOptions, Endpoint, Error, client};
use core::pin::pin;
use embassy_futures::select::{Either, select};
use embassy_time::{Timer, with_timeout};

/// A token is not renewed more often, whatever its maker says.
const MIN_RENEW_MS: u32 = 10_000;

/// How a connection ended.
enum Ended<E> {
    /// The application wants no more.
    Stopped,
    /// The token is about to expire.
    Renew,
    /// There was none.
    NoStream(NoStream<E>),
    /// It broke, or the hub refused it.
    Broken(Error),
}

/// What a carried-out command left.
enum Done {
    Sent(Option<Ticket>),
    Reporting(client::RequestId),
    Nothing,
    Stop,
}

impl<R: FnMut() -> u32, const STAGE: usize, const TOPIC: usize> Device<'_, R, STAGE, TOPIC> {
    pub(super) async fn serve<A, C>(
        &mut self,
        application: &mut A,
        connector: &mut C,
        endpoint: Endpoint<'_>,
        session: &mut Session<'_, STAGE>,
        ladder: &mut Ladder,
        token: &mut [u8],
    ) -> Result<Served, Failure<C::Error>>
    where
        C: Connector,
        A: Application<C::Error>,
    {
        loop {
            let mut sas = Sas::new(token);
            let ended =
                pin!(self.connection(application, connector, endpoint, session, ladder, &mut sas)).await?;
            drop(sas);
            let random = (self.random)();
            let (next, in_ms) = match &ended {
                Ended::Stopped => return Ok(Served::Stopped),
                Ended::Renew => {
                    application.event(Event::Renewing).await;
                    continue;
                }
                Ended::NoStream(_) => ladder.ended(None, now_ms(), random),
                Ended::Broken(error) => ladder.ended(Some(error), now_ms(), random),
            };
            let cause = match &ended {
                Ended::NoStream(none) => none.cause(),
                Ended::Broken(error) => Cause::Service(error),
                Ended::Stopped | Ended::Renew => Cause::Connection(None),
            };
            application.event(Event::Retrying { cause, in_ms: Some(in_ms) }).await;
            Timer::after_millis(in_ms.into()).await;
            if next == Next::Register {
                return Ok(Served::Register);
            }
        }
    }

    /// One connection, from TCP until it ends.
    async fn connection<A, C>(
        &mut self,
        application: &mut A,
        connector: &mut C,
        endpoint: Endpoint<'_>,
        session: &mut Session<'_, STAGE>,
        ladder: &mut Ladder,
        sas: &mut Sas<'_>,
    ) -> Result<Ended<C::Error>, Failure<C::Error>>
    where
        C: Connector,
        A: Application<C::Error>,
    {
        let (mut client_id, mut user_name) = ([0; MAX_CLIENT_ID], [0; MAX_USER_NAME]);
        let client_id = endpoint.client_id(&mut client_id).map_err(Failure::Settings)?;
        let announcement = &self.settings.announcement;
        let user_name = endpoint.user_name(announcement, &mut user_name).map_err(Failure::Settings)?;
        let target = Target { service: Service::Hub(endpoint), host: endpoint.connect_host(), port: PORT };
        let connected = pin!(self.connect(application, connector, target, sas)).await?;
        let stream = match connected {
            Ok(stream) => stream,
            Err(none) => return Ok(Ended::NoStream(none)),
        };
        let connect = Connect { client_id, user_name, password: sas.password(), will: self.settings.will };
        let link = match session.connect(stream, &connect).await {
            Ok(link) => link,
            Err(error) => return broken(error),
        };
        let options = ClientOptions { seed: (self.random)(), ..self.settings.client };
        let mut client: Client<'_, _, TOPIC> = Client::new(link, endpoint, options);
        if let Err(error) = client.start().await {
            return broken(error);
        }
        let renew_at = sas.renew_ms().map(|ms| now_ms().saturating_add(ms.max(MIN_RENEW_MS).into()));
        pin!(work(application, &mut client, ladder, renew_at)).await
    }
}

/// The error of a connection: one that a new connection does not mend ends the run.
fn broken<E>(error: Error) -> Result<Ended<E>, Failure<E>> {
    if error.is_local() { Err(Failure::Settings(error)) } else { Ok(Ended::Broken(error)) }
}

/// Events to the application, its commands to the hub.
async fn work<A, L, E, const TOPIC: usize>(
    application: &mut A,
    client: &mut Client<'_, L, TOPIC>,
    ladder: &mut Ladder,
    renew_at_ms: Option<u64>,
) -> Result<Ended<E>, Failure<E>>
where
    L: Mqtt,
    A: Application<E>,
{
    let (mut connected, mut busy) = (false, false);
    loop {
        let take_commands = connected && !busy && client.can_send();
        let turn = async {
            if take_commands {
                select(client.poll(), application.command()).await
            } else {
                Either::First(client.poll().await)
            }
        };
        // Only waiting is cut short, never the application.
        let turn = match renew_at_ms {
            None => Some(turn.await),
            Some(at) => with_timeout(left(at), turn).await.ok(),
        };
        let Some(turn) = turn else {
            // The token is still good: whether the hub hears the goodbye does not matter.
            let _ = client.disconnect().await;
            return Ok(Ended::Renew);
        };
        match turn {
            Either::First(Ok(event)) => {
                busy = false;
                let Some(event) = event else { continue };
                if matches!(event, client::Event::Connected) {
                    connected = true;
                    ladder.connected(now_ms());
                }
                application.event(Event::Hub(event)).await;
            }
            Either::First(Err(error)) => return broken(error),
            Either::Second(command) => match carry_out(client, command).await {
                Ok(Done::Sent(ticket)) => application.event(Event::Sent(ticket)).await,
                Ok(Done::Reporting(request)) => application.event(Event::Reporting(request)).await,
                Ok(Done::Nothing) => {}
                Ok(Done::Stop) => return Ok(Ended::Stopped),
                Err(error) => {
                    // No more commands until something has moved.
                    busy = error == Error::Busy;
                    application.event(Event::NotSent(error.clone())).await;
                    if !error.is_local() {
                        return Ok(Ended::Broken(error));
                    }
                }
            },
        }
    }
}

async fn carry_out<L: Mqtt, const TOPIC: usize>(
    client: &mut Client<'_, L, TOPIC>,
    command: Command<'_>,
) -> Result<Done, Error> {
    match command {
        Command::Telemetry(message) => client.send(&message).await.map(Done::Sent),
        Command::Respond { to, status, payload } => {
            client.respond(&to, status, payload).await.map(|()| Done::Nothing)
        }
        Command::Report(properties) => client.report(properties).await.map(Done::Reporting),
        Command::RefreshTwin => {
            client.refresh_twin();
            Ok(Done::Nothing)
        }
        Command::Stop => {
            // Stopping anyway; whether the hub hears the goodbye does not matter.
            let _ = client.disconnect().await;
            Ok(Done::Stop)
        }
    }
}
