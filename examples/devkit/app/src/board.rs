//! What the application needs of a board: a bus, a byte stream to the user, buttons and lamps, a network, flash for
//! keys, and the system itself. Everything else (secure element, display, sensors, console) the application does over
//! these.

use core::fmt::{Debug, Display, Formatter};
use core::net::Ipv4Addr;

use embedded_hal_async::delay::DelayNs;
use embedded_hal_async::i2c::I2c;
use embedded_io_async::{Read, Write};
use embedded_storage_async::nor_flash::NorFlash;
use heapless::{String, Vec};

pub use azure_iot_tls::AsyncIdentity;

use crate::event::AppEvent;

/// A board the application runs on: the types of its parts, and a way to lend them all at once.
///
/// Futures run on one executor on one core, as firmware does, so none needs to be [`Send`].
pub trait Board {
    /// The I2C bus with the secure element (0x20), the display (0x3C) and the sensors (0x5F, 0x5C). The application
    /// shares it among their drivers.
    type I2c: I2c;
    /// Waits on the bus's behalf, such as [`embassy_time::Delay`].
    type Delay: DelayNs;
    /// The terminal: a serial line at 115200 8N1. What is not read in time may be lost.
    type Console: Read + Write;
    /// Buttons and lamps.
    type Panel: Panel;
    /// The network.
    type Network: Network;
    /// The state of the network, readable while the network is busy.
    type Link: NetworkLink;
    /// The flash area that keeps the host keys of the secure element and nothing else, outside the image, with room for
    /// at least one record of [`RECORD_LEN`](crate::host_keys::RECORD_LEN) bytes. What writes a new image must leave it
    /// alone. [`NoFlash`](crate::host_keys::NoFlash) for a board without: it cannot be paired.
    type KeyFlash: NorFlash;
    /// Image, watchdog, reset.
    type System: System;

    /// Lends all parts.
    fn parts(&mut self) -> Parts<'_, Self>;
}

/// The parts of a [`Board`].
#[allow(missing_debug_implementations, reason = "hardware has nothing to print")]
pub struct Parts<'b, B: Board + ?Sized> {
    /// See [`Board::I2c`].
    pub i2c: &'b mut B::I2c,
    /// See [`Board::Delay`].
    pub delay: &'b mut B::Delay,
    /// See [`Board::Console`].
    pub console: &'b mut B::Console,
    /// See [`Board::Panel`].
    pub panel: &'b mut B::Panel,
    /// See [`Board::Network`].
    pub network: &'b mut B::Network,
    /// See [`Board::Link`].
    pub link: &'b B::Link,
    /// See [`Board::KeyFlash`].
    pub key_flash: &'b mut B::KeyFlash,
    /// See [`Board::System`].
    pub system: &'b mut B::System,
}

/// One of the two buttons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Button {
    /// Left: held at the start, it opens the configuration console.
    A,
    /// Right.
    B,
}

/// One of the three lamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lamp {
    /// Lit while the network is up.
    Wifi,
    /// Lit while the hub is connected.
    Azure,
    /// Lit while telemetry is switched on.
    User,
}

/// A colour of the RGB lamp, 0 is off and 255 full for each part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rgb {
    /// Red part.
    pub red: u8,
    /// Green part.
    pub green: u8,
    /// Blue part.
    pub blue: u8,
}

impl Rgb {
    /// Dark.
    pub const OFF: Self = Self { red: 0, green: 0, blue: 0 };
    /// Red, for a message from the cloud.
    pub const RED: Self = Self { red: 255, green: 0, blue: 0 };
    /// Blue, for a message the hub has acknowledged.
    pub const BLUE: Self = Self { red: 0, green: 0, blue: 255 };
}

/// Buttons and lamps. All dark at the start.
#[allow(async_fn_in_trait, reason = "used on single-core executors only")]
pub trait Panel {
    /// Whether the button is down now. Asked about twenty times a second; the application does the debouncing.
    async fn is_pressed(&mut self, button: Button) -> bool;

    /// Switches a lamp.
    async fn set_lamp(&mut self, lamp: Lamp, on: bool);

    /// Sets the colour of the RGB lamp.
    async fn set_rgb(&mut self, color: Rgb);
}

/// Image, identity of the hardware, watchdog and reset.
pub trait System {
    /// The whole firmware image as it lies in flash: what is measured. Nothing in it may change while it runs.
    fn image(&self) -> &[u8];

    /// The firmware's version, such as `2.0.0`.
    fn firmware_version(&self) -> &str;

    /// Further lines for the console's `version`, such as the board's name and the radio's firmware.
    fn versions(&self) -> &[&str] {
        &[]
    }

    /// The board's MAC address.
    fn mac(&self) -> [u8; 6];

    /// A random number, to spread devices over time. Nothing secret comes of it.
    fn random(&mut self) -> u32;

    /// What ended the last run, if it was not a power cut or a reset that was asked for: the text of a panic, a hard
    /// fault with its address, the watchdog. Kept in memory that a reset does not clear.
    fn crash(&self) -> Option<Crash> {
        None
    }

    /// Forgets the crash: it has been reported.
    fn forget_crash(&mut self) {}

    /// Feeds the watchdog, which should reset the device after 5 to 30 s without it. Called at least once a second
    /// while every task of the application makes progress.
    fn feed_watchdog(&mut self) {}

    /// Restarts the device. May return where there is nothing to restart; the application ends then.
    fn reset(&mut self);

    /// Receives every event of the application, for debugging and demonstrations.
    fn observe(&mut self, event: &AppEvent<'_>) {
        let _ = event;
    }
}

/// The text of a crash; a longer one is cut.
pub type Crash = String<192>;

/// Name and password of a wireless network.
#[derive(Clone, Copy)]
pub struct Wifi<'a> {
    /// Its name, 1 to 32 bytes.
    pub ssid: &'a [u8],
    /// Its password, up to 63 bytes, or its key as 64 hexadecimal digits; empty for an open network.
    pub password: &'a [u8],
}

impl Debug for Wifi<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> core::fmt::Result {
        write!(f, "Wifi {{ ssid: \"{}\", .. }}", self.ssid.escape_ascii())
    }
}

/// The most networks the console shows.
pub const NETWORKS: usize = 10;

/// Names of the wireless networks around.
pub type Networks = Vec<Vec<u8, 32>, NETWORKS>;

/// The board's network: joining it, the time of day, TLS connections.
#[allow(async_fn_in_trait, reason = "used on single-core executors only")]
pub trait Network {
    /// A TLS connection. Dropping the futures of its reads, writes and flushes must lose nothing.
    type Stream<'s>: Read + Write
    where
        Self: 's;
    /// Why there is no network, or no connection.
    type Error: Debug + Display;
    /// Whether its TLS implementation needs the device's key itself. With `false` a key that was derived signs by
    /// [`AsyncIdentity::sign`], like one in the secure element, and is shown to nobody.
    const NEEDS_KEY: bool = false;

    /// Joins the network and returns when the device has an address. A wired network takes no notice of `wifi`; a
    /// wireless one without it fails. Called again after a failure; may take as long as it needs, the future is dropped
    /// after a minute.
    ///
    /// # Errors
    /// The network's own.
    async fn join(&mut self, wifi: Option<Wifi<'_>>) -> Result<(), Self::Error>;

    /// Asks for the time of day (SNTP), in seconds since 1970, and remembers it for the check of certificates.
    ///
    /// # Errors
    /// The network's own.
    async fn unix_time(&mut self) -> Result<u64, Self::Error>;

    /// Looks for wireless networks; a wired network finds none.
    ///
    /// # Errors
    /// The network's own.
    async fn scan(&mut self) -> Result<Networks, Self::Error> {
        Ok(Networks::new())
    }

    /// Connects to a host with TLS, checks that it is that host, and offers `identity` as client certificate. Its key
    /// may be in the secure element: then the bus is used meanwhile.
    ///
    /// # Errors
    /// The network's own.
    async fn connect<'s, I: AsyncIdentity>(
        &'s mut self,
        host: &str,
        port: u16,
        identity: &'s I,
    ) -> Result<Self::Stream<'s>, Self::Error>;

    /// Whether the same call may succeed later without anybody changing something.
    fn is_retriable(error: &Self::Error) -> bool;

    /// What the user can do about an error that is not retriable, for the screen's last two rows of 16 characters each.
    fn advice(error: &Self::Error) -> Option<[&'static str; 2]> {
        let _ = error;
        None
    }
}

/// The state of the network, asked for while [`Network`] is lent to a connection.
pub trait NetworkLink {
    /// The device's address; `None` while the network is down.
    fn address(&self) -> Option<Ipv4Addr>;

    /// Why the network is down, for the screen: at most 16 characters, such as `Wrong password`.
    fn problem(&self) -> Option<&'static str> {
        None
    }
}
