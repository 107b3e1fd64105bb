//! Serving one hub, over as many connections as it takes.

use super::device::{Device, NoStream, Sas, Served, Way};
use super::{
    Application, Cause, Connector, DeviceCommand, DeviceEvent, Failure, Ladder, Next, Service, Target,
};
use crate::clock::{left, now_ms};
use crate::endpoint::PORT;
use crate::session::{Mqtt, Ticket};
use crate::translate::Connect;
use crate::{Client, ClientOptions, Endpoint, Error, HubEvent, client};
use core::pin::{Pin, pin};
use embassy_futures::select::{Either, select};
use embassy_time::{Timer, with_timeout};

/// A token is not renewed more often, whatever its maker says.
const MIN_RENEW_MS: u32 = 10_000;

/// How a connection ended.
enum Ended<E> {
    /// The application wants no more.
    Stopped,
    /// The token is about to expire, or the application wants a new connection.
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
    #[cfg(feature = "certificates")]
    Requesting(client::RequestId),
    #[cfg(feature = "certificates")]
    Reconnect,
    Nothing,
    Stop,
}

impl<R: FnMut() -> u32, const STAGE: usize, const TOPIC: usize> Device<'_, R, STAGE, TOPIC> {
    pub(super) async fn serve<A, C>(
        &mut self,
        application: &mut A,
        connector: &mut C,
        endpoint: Endpoint<'_>,
        way: &mut Way<'_, '_, STAGE>,
    ) -> Result<Served, Failure<C::Error>>
    where
        C: Connector,
        A: Application<C::Error>,
    {
        loop {
            let ended = pin!(self.connection(application, connector, endpoint, way)).await?;
            let random = (self.random)();
            let (next, in_ms) = match &ended {
                Ended::Stopped => return Ok(Served::Stopped),
                Ended::Renew => {
                    application.event(DeviceEvent::Renewing).await;
                    continue;
                }
                Ended::NoStream(_) => way.ladder.ended(None, now_ms(), random),
                Ended::Broken(error) => way.ladder.ended(Some(error), now_ms(), random),
            };
            let cause = match &ended {
                Ended::NoStream(none) => none.cause(),
                Ended::Broken(error) => Cause::Service(error),
                Ended::Stopped | Ended::Renew => Cause::Connection(None),
            };
            crate::logging::warning!("connection to the hub: again in {} ms", in_ms);
            application.event(DeviceEvent::Retrying { cause, in_ms: Some(in_ms) }).await;
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
        way: &mut Way<'_, '_, STAGE>,
    ) -> Result<Ended<C::Error>, Failure<C::Error>>
    where
        C: Connector,
        A: Application<C::Error>,
    {
        let Way { session, ladder, names, token } = way;
        let seed = (self.random)();
        let (client_id, user_name) = self.names(endpoint, seed, names).map_err(Failure::Settings)?;
        let target = Target { service: Service::Hub(endpoint), host: endpoint.connect_host(), port: PORT };
        let mut sas = Sas::new(token);
        let connected = pin!(self.connect(application, connector, target, &mut sas)).await?;
        let stream = match connected {
            Ok(stream) => stream,
            Err(none) => return Ok(Ended::NoStream(none)),
        };
        let connect = Connect { client_id, user_name, password: sas.password(), will: self.settings.will };
        let mut io = session.wire(stream, &connect);
        let linked = pin!(session.connect_over(&mut io)).await;
        let link = match linked {
            Ok(link) => link,
            Err(error) => return broken(error),
        };
        let options = ClientOptions { seed, ..self.settings.client };
        let renew_at = sas.renew_ms().map(|ms| now_ms().saturating_add(ms.max(MIN_RENEW_MS).into()));
        pin!(serve::<_, _, _, TOPIC>(application, link, endpoint, options, ladder, renew_at)).await
    }

    /// Client id and user name, written to `out`.
    fn names<'t>(
        &self,
        endpoint: Endpoint<'_>,
        seed: u32,
        out: &'t mut [u8],
    ) -> Result<(&'t str, &'t str), Error> {
        #[cfg(feature = "mqtt5-hub")]
        let announcement = self.settings.announcement.with_seed(seed);
        #[cfg(not(feature = "mqtt5-hub"))]
        let (announcement, _) = (self.settings.announcement, seed);
        let length = endpoint.client_id(out)?.len();
        let (client_id, rest) = out.split_at_mut(length);
        // It was text before it was split off.
        let client_id = core::str::from_utf8(client_id).unwrap_or_default();
        Ok((client_id, endpoint.user_name(&announcement, rest)?))
    }
}

/// The error of a connection: one that a new connection does not mend ends the run.
fn broken<E>(error: Error) -> Result<Ended<E>, Failure<E>> {
    if error.is_local() { Err(Failure::Settings(error)) } else { Ok(Ended::Broken(error)) }
}

/// Events to the application, its commands to the hub.
async fn serve<A, L, E, const TOPIC: usize>(
    application: &mut A,
    link: L,
    endpoint: Endpoint<'_>,
    options: ClientOptions,
    ladder: &mut Ladder,
    renew_at_ms: Option<u64>,
) -> Result<Ended<E>, Failure<E>>
where
    L: Mqtt,
    A: Application<E>,
{
    let mut client: Client<'_, L, TOPIC> = Client::new(link, endpoint, options);
    let started = pin!(client.start()).await;
    if let Err(error) = started {
        return broken(error);
    }
    let (mut connected, mut busy) = (false, false);
    loop {
        let take_commands = connected && !busy && client.can_send();
        // Only waiting is cut short, never the application.
        let turn = before(renew_at_ms, pin!(turn(application, &mut client, take_commands))).await;
        let Some(turn) = turn else {
            // The token is still good: whether the hub hears the goodbye does not matter.
            let _ = pin!(client.disconnect()).await;
            return Ok(Ended::Renew);
        };
        match turn {
            Either::First(Ok(event)) => {
                busy = false;
                let Some(event) = event else { continue };
                if matches!(event, HubEvent::Connected) {
                    connected = true;
                    ladder.connected(now_ms());
                }
                application.event(DeviceEvent::Hub(event)).await;
            }
            Either::First(Err(error)) => return broken(error),
            Either::Second(command) => {
                let done = pin!(carry_out(&mut client, command)).await;
                match done {
                    Ok(Done::Sent(ticket)) => application.event(DeviceEvent::Sent(ticket)).await,
                    Ok(Done::Reporting(request)) => application.event(DeviceEvent::Reporting(request)).await,
                    #[cfg(feature = "certificates")]
                    Ok(Done::Requesting(request)) => {
                        application.event(DeviceEvent::RequestingCertificate(request)).await;
                    }
                    #[cfg(feature = "certificates")]
                    Ok(Done::Reconnect) => return Ok(Ended::Renew),
                    Ok(Done::Nothing) => {}
                    Ok(Done::Stop) => return Ok(Ended::Stopped),
                    Err(error) => {
                        // No more commands until something has moved.
                        busy = error == Error::Busy;
                        application.event(DeviceEvent::NotSent(error.clone())).await;
                        if !error.is_local() {
                            return Ok(Ended::Broken(error));
                        }
                    }
                }
            }
        }
    }
}

/// What `future` gives, if that is in time.
async fn before<F: Future>(until_ms: Option<u64>, future: Pin<&mut F>) -> Option<F::Output> {
    match until_ms {
        None => Some(future.await),
        Some(until_ms) => with_timeout(left(until_ms), future).await.ok(),
    }
}

/// What comes first: an event of the hub, or, if any is wanted, a command.
async fn turn<'a, 'c, A, L, E, const TOPIC: usize>(
    application: &'a mut A,
    client: &'c mut Client<'_, L, TOPIC>,
    take_commands: bool,
) -> Either<Result<Option<HubEvent<'c>>, Error>, DeviceCommand<'a>>
where
    L: Mqtt,
    A: Application<E>,
{
    let polling = pin!(client.poll());
    if take_commands {
        select(polling, pin!(application.command())).await
    } else {
        Either::First(polling.await)
    }
}

async fn carry_out<L: Mqtt, const TOPIC: usize>(
    client: &mut Client<'_, L, TOPIC>,
    command: DeviceCommand<'_>,
) -> Result<Done, Error> {
    match command {
        DeviceCommand::Telemetry(message) => client.send(&message).await.map(Done::Sent),
        #[cfg(feature = "queue")]
        DeviceCommand::Stored(stored) => {
            let message = stored.message()?;
            client.send(&message.telemetry()).await.map(Done::Sent)
        }
        DeviceCommand::Respond { to, status, payload } => {
            client.respond(&to, status, payload).await.map(|()| Done::Nothing)
        }
        DeviceCommand::Report(properties) => client.report(properties).await.map(Done::Reporting),
        DeviceCommand::RefreshTwin => {
            client.refresh_twin();
            Ok(Done::Nothing)
        }
        #[cfg(feature = "certificates")]
        DeviceCommand::RequestCertificate(body) => {
            client.request_certificate(body).await.map(Done::Requesting)
        }
        #[cfg(feature = "certificates")]
        DeviceCommand::Reconnect => {
            // Whether the hub hears the goodbye does not matter.
            let _ = client.disconnect().await;
            Ok(Done::Reconnect)
        }
        DeviceCommand::Stop => {
            // Stopping anyway; whether the hub hears the goodbye does not matter.
            let _ = client.disconnect().await;
            Ok(Done::Stop)
        }
    }
}
