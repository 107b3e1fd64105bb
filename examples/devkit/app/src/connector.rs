//! Connections for the runner: the board's network with the device's identity, supervised for progress.

use core::fmt;
use core::pin::pin;

use embassy_time::{Duration, with_timeout};
use embedded_io_async::{ErrorType, Read, Write};
use iothub_mqtt::runner::{Connector, Service, Target};

use crate::board::{Network, System};
use crate::cloud_application::MAX_CLOUD_SILENCE_MS;
use crate::device_identity::ServiceIdentity;
use crate::event::AppEvent;
use crate::shared::Shared;
use crate::watchdog::Task;

/// How long the network may take to answer a request for the time.
const TIME_TIMEOUT: Duration = Duration::from_secs(10);

/// Asks the network for the time; returns whether it is known now.
pub(crate) async fn sync_time<N: Network, S: System>(network: &mut N, shared: &Shared<'_, S>) -> bool {
    let answer = with_timeout(TIME_TIMEOUT, pin!(network.unix_time())).await;
    match answer {
        Ok(Ok(unix_s)) => {
            #[cfg(feature = "issued-certificates")]
            shared.set_time(unix_s);
            shared.notify(&AppEvent::TimeKnown(unix_s));
            true
        }
        Ok(Err(error)) => {
            shared.notify(&AppEvent::Retrying { cause: &TimeUnavailable(error), in_ms: None });
            false
        }
        Err(_) => {
            shared.notify(&AppEvent::Retrying { cause: &TimeUnavailable("no answer"), in_ms: None });
            false
        }
    }
}

#[derive(Debug)]
struct TimeUnavailable<E>(E);

impl<E: fmt::Display> fmt::Display for TimeUnavailable<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no time of day from the network: {}", self.0)
    }
}

/// The board's network with the device's identity.
pub(crate) struct IdentityConnector<'a, 's, N, I, S> {
    network: &'a mut N,
    identity: &'a mut I,
    shared: &'a Shared<'s, S>,
    provisioning_port: u16,
    has_time: bool,
}

impl<'a, 's, N, I, S> IdentityConnector<'a, 's, N, I, S> {
    pub(crate) fn new(
        network: &'a mut N,
        identity: &'a mut I,
        shared: &'a Shared<'s, S>,
        provisioning_port: u16,
        has_time: bool,
    ) -> Self {
        Self { network, identity, shared, provisioning_port, has_time }
    }
}

impl<'s, N: Network, I: ServiceIdentity, S: System> Connector for IdentityConnector<'_, 's, N, I, S> {
    type Stream<'c>
        = SupervisedStream<'c, 's, N::Stream<'c>, S>
    where
        Self: 'c;
    type Error = N::Error;

    async fn connect(&mut self, target: Target<'_>) -> Result<Self::Stream<'_>, N::Error> {
        if !self.has_time {
            // Without the time certificates cannot be checked; the network decides whether that ends the attempt.
            self.has_time = pin!(sync_time(self.network, self.shared)).await;
        }
        let port = match target.service {
            Service::Provisioning { .. } => self.provisioning_port,
            Service::Hub(_) => target.port,
        };
        self.identity.choose(target.service);
        let stream = pin!(self.network.connect(target.host, port, &*self.identity)).await?;
        self.shared.check_in(Task::Main, MAX_CLOUD_SILENCE_MS);
        Ok(SupervisedStream { stream, shared: self.shared })
    }

    fn is_retriable(error: &N::Error) -> bool {
        N::is_retriable(error)
    }
}

/// A stream that checks the main task in with every transfer.
pub(crate) struct SupervisedStream<'c, 's, T, S> {
    stream: T,
    shared: &'c Shared<'s, S>,
}

impl<T: ErrorType, S> ErrorType for SupervisedStream<'_, '_, T, S> {
    type Error = T::Error;
}

impl<T: Read, S: System> Read for SupervisedStream<'_, '_, T, S> {
    async fn read(&mut self, out: &mut [u8]) -> Result<usize, T::Error> {
        let read = self.stream.read(out).await?;
        self.shared.check_in(Task::Main, MAX_CLOUD_SILENCE_MS);
        Ok(read)
    }
}

impl<T: Write, S: System> Write for SupervisedStream<'_, '_, T, S> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, T::Error> {
        let written = self.stream.write(bytes).await?;
        self.shared.check_in(Task::Main, MAX_CLOUD_SILENCE_MS);
        Ok(written)
    }

    async fn flush(&mut self) -> Result<(), T::Error> {
        self.stream.flush().await
    }
}
