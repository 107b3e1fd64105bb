//! The runner's way to the world: the board's network with the device's identity, watched for progress.

use core::fmt;
use core::pin::pin;

use embassy_time::{Duration, with_timeout};
use embedded_io_async::{ErrorType, Read, Write};
use iothub_mqtt::runner::{Connector, Service, Target};

use crate::board::{Network, System};
use crate::event::Event;
use crate::identity::Identity;
use crate::shared::Shared;
use crate::vigil::Task;
use crate::work::SILENCE_MS;

/// How long the network may take to tell the time.
const TIME: Duration = Duration::from_secs(10);

/// Asks the network for the time; whether it is known now.
pub(crate) async fn learn_time<N: Network, S: System>(network: &mut N, shared: &Shared<'_, S>) -> bool {
    let told = with_timeout(TIME, pin!(network.unix_time())).await;
    match told {
        Ok(Ok(unix_s)) => {
            shared.tell(&Event::TimeKnown(unix_s));
            true
        }
        Ok(Err(error)) => {
            shared.tell(&Event::Retrying { cause: &NoTime(error), in_ms: None });
            false
        }
        Err(_) => {
            shared.tell(&Event::Retrying { cause: &NoTime("no answer"), in_ms: None });
            false
        }
    }
}

#[derive(Debug)]
struct NoTime<E>(E);

impl<E: fmt::Display> fmt::Display for NoTime<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the network does not tell the time: {}", self.0)
    }
}

/// The board's network with the device's identity.
pub(crate) struct WithIdentity<'a, 's, N, S> {
    network: &'a mut N,
    identity: &'a Identity,
    shared: &'a Shared<'s, S>,
    provisioning_port: u16,
    has_time: bool,
}

impl<'a, 's, N, S> WithIdentity<'a, 's, N, S> {
    pub(crate) fn new(
        network: &'a mut N,
        identity: &'a Identity,
        shared: &'a Shared<'s, S>,
        provisioning_port: u16,
        has_time: bool,
    ) -> Self {
        Self { network, identity, shared, provisioning_port, has_time }
    }
}

impl<'s, N: Network, S: System> Connector for WithIdentity<'_, 's, N, S> {
    type Stream<'c>
        = Watched<'c, 's, N::Stream<'c>, S>
    where
        Self: 'c;
    type Error = N::Error;

    async fn connect(&mut self, target: Target<'_>) -> Result<Self::Stream<'_>, N::Error> {
        if !self.has_time {
            // Without the time certificates cannot be checked; whether that ends the attempt the network says.
            self.has_time = pin!(learn_time(self.network, self.shared)).await;
        }
        let port = match target.service {
            Service::Provisioning { .. } => self.provisioning_port,
            Service::Hub(_) => target.port,
        };
        let stream = pin!(self.network.connect(target.host, port, self.identity)).await?;
        self.shared.promise(Task::Main, SILENCE_MS);
        Ok(Watched { stream, shared: self.shared })
    }

    fn is_retriable(error: &N::Error) -> bool {
        N::is_retriable(error)
    }
}

/// A stream whose bytes are progress.
pub(crate) struct Watched<'c, 's, T, S> {
    stream: T,
    shared: &'c Shared<'s, S>,
}

impl<T: ErrorType, S> ErrorType for Watched<'_, '_, T, S> {
    type Error = T::Error;
}

impl<T: Read, S: System> Read for Watched<'_, '_, T, S> {
    async fn read(&mut self, out: &mut [u8]) -> Result<usize, T::Error> {
        let read = self.stream.read(out).await?;
        self.shared.promise(Task::Main, SILENCE_MS);
        Ok(read)
    }
}

impl<T: Write, S: System> Write for Watched<'_, '_, T, S> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, T::Error> {
        let written = self.stream.write(bytes).await?;
        self.shared.promise(Task::Main, SILENCE_MS);
        Ok(written)
    }

    async fn flush(&mut self) -> Result<(), T::Error> {
        self.stream.flush().await
    }
}
