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
    /// What can go wrong on this board.
    type Error: BoardError;
    /// A TLS connection.
    type Stream: Read + Write;

    /// Reads the Unique Device Secret from where the board keeps it.
    async fn uds(&mut self) -> Result<Uds, Self::Error>;

    /// The whole firmware image as it lies in flash: what is measured.
    fn image(&self) -> &[u8];

    /// The firmware's version, such as `2.0.0`.
    fn firmware_version(&self) -> &str;

    /// The board's MAC address.
    fn mac(&self) -> [u8; 6];

    /// Connects to a host with TLS, checks that it is that host, and offers `identity` as client certificate.
    async fn connect(
        &mut self,
        host: &str,
        port: u16,
        identity: &Identity,
    ) -> Result<Self::Stream, Self::Error>;

    /// A random number, to spread devices over time. Nothing secret comes of it.
    fn random(&mut self) -> u32;

    /// Reads the sensors.
    async fn read_sensors(&mut self) -> Reading;

    /// Tells the user, on whatever the board has: display, lamps, console.
    fn report(&mut self, event: &Event<'_>);
}

/// Errors of a board.
pub trait BoardError: Debug + Display {
    /// Whether the same call may succeed later without anybody changing something.
    fn is_retriable(&self) -> bool;
}
