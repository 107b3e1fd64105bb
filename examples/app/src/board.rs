//! What the application needs of a board: a secret, a firmware image, a network, sensors, and somebody to tell.

use core::fmt::{Debug, Display};

use dice_core::Uds;
use embedded_io_async::{Read, Write};

use crate::event::Event;
use crate::identity::Identity;
use crate::telemetry::Reading;

/// A board the application runs on.
///
/// Futures run on one executor on one core, as firmware does, so none needs to be [`Send`].
#[allow(async_fn_in_trait, reason = "used on single-core executors only")]
pub trait Board {
    /// Why the secret cannot be read.
    type Error: Debug + Display;

    /// Reads the Unique Device Secret from where the board keeps it.
    ///
    /// # Errors
    /// The board's own.
    async fn uds(&mut self) -> Result<Uds, Self::Error>;

    /// The whole firmware image as it lies in flash: what is measured.
    fn image(&self) -> &[u8];

    /// The firmware's version, such as `2.0.0`.
    fn firmware_version(&self) -> &str;

    /// The board's MAC address.
    fn mac(&self) -> [u8; 6];

    /// A random number, to spread devices over time. Nothing secret comes of it.
    fn random(&mut self) -> u32;

    /// Reads the sensors.
    async fn read_sensors(&mut self) -> Reading;

    /// Tells the user, on whatever the board has: display, lamps, console.
    fn report(&mut self, event: &Event<'_>);
}

/// The board's way to the world.
#[allow(async_fn_in_trait, reason = "used on single-core executors only")]
pub trait Network {
    /// A TLS connection. Dropping the futures of its reads, writes and flushes must lose nothing.
    type Stream<'s>: Read + Write
    where
        Self: 's;
    /// Why there is no connection.
    type Error: Debug + Display;

    /// Connects to a host with TLS, checks that it is that host, and offers `identity` as client certificate.
    ///
    /// # Errors
    /// The network's own.
    async fn connect(
        &mut self,
        host: &str,
        port: u16,
        identity: &Identity,
    ) -> Result<Self::Stream<'_>, Self::Error>;

    /// Whether the same connection may succeed later without anybody changing something.
    fn is_retriable(error: &Self::Error) -> bool;
}
