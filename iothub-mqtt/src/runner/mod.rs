//! The runner: registration, hub, and again whatever of it broke.
//!
//! [`Device::run`] registers the device, connects to the assigned hub, serves it, reconnects with growing waits,
//! and registers again when the hub does not want the device any more. The application has two sides: it is told
//! [`DeviceEvent`]s, and it gives [`DeviceCommand`]s; the connections it gets from a [`Connector`], which knows sockets
//! and TLS.
//!
//! ```
//! use iothub_mqtt::runner::{Application, DeviceCommand, Connector, Device, DeviceEvent, Memory, Settings, Target};
//! use iothub_mqtt::{HubEvent, Telemetry};
//! # use embedded_io_adapters::tokio_1::FromTokio;
//! # use tokio::net::TcpStream;
//!
//! /// A device that says hello once a connection.
//! struct Hello {
//!     due: bool,
//! }
//!
//! impl<E> Application<E> for Hello {
//!     async fn event(&mut self, event: DeviceEvent<'_, E>) {
//!         match event {
//!             DeviceEvent::Hub(HubEvent::Connected) => self.due = true,
//!             DeviceEvent::Hub(HubEvent::Message(_message)) => { /* taken when this returns */ }
//!             _ => {}
//!         }
//!     }
//!
//!     async fn command(&mut self) -> DeviceCommand<'_> {
//!         if !core::mem::take(&mut self.due) {
//!             core::future::pending::<()>().await; // nothing to send: wait for ever
//!         }
//!         DeviceCommand::Telemetry(Telemetry::json(br#"{"hello":"world"}"#))
//!     }
//! }
//!
//! /// TCP without TLS, for a test bench.
//! struct Plain;
//!
//! impl Connector for Plain {
//!     type Stream<'s> = FromTokio<TcpStream>;
//!     type Error = std::io::Error;
//!
//!     async fn connect(&mut self, target: Target<'_>) -> Result<FromTokio<TcpStream>, std::io::Error> {
//!         Ok(FromTokio::new(TcpStream::connect((target.host, target.port)).await?))
//!     }
//!
//!     fn is_retriable(_error: &std::io::Error) -> bool {
//!         true // with TLS: not if the server is not who it should be
//!     }
//! }
//!
//! # async fn main_(random: impl FnMut() -> u32) -> Result<(), Box<dyn std::error::Error>> {
//! let registration = dps_client::Config::new("0ne00000001", "my-device")?;
//! let mut device: Device<'_, _> = Device::new(Settings::new(registration), random);
//! let mut memory: Memory = Memory::new();
//! device.run(&mut Hello { due: false }, &mut Plain, &mut memory.buffers(), None).await?;
//! # Ok(())
//! # }
//! ```

mod device;
mod hub;
mod ladder;
mod memory;
#[cfg(feature = "queue")]
mod queued;

pub use device::Device;
pub use ladder::{Ladder, Next, Policy};
pub use memory::{Buffers, MAX_TOKEN, Memory};
#[cfg(feature = "queue")]
pub use queued::{Queued, SharedQueue};

use crate::session::{self, Ticket};
use crate::translate::Will;
use crate::{Announcement, ClientOptions, Endpoint, Error, HubEvent, Telemetry, client, method};
use dps_client::{Assignment, Config, ConnectionProfile, RegistrationState};
use embedded_io_async::{Read, Write};

/// Everything a device wants to be different from the next one.
#[derive(Clone, Debug)]
pub struct Settings<'a> {
    /// Host name of the provisioning service; [`dps_client::GLOBAL_ENDPOINT`] unless set otherwise.
    pub provisioning_host: &'a str,
    /// What to register as; also the waits of registration.
    pub registration: Config<'a>,
    /// What to tell the hub about the device.
    pub announcement: Announcement<'a>,
    /// An IoT Edge gateway to connect to instead of the hub.
    pub gateway: Option<&'a str>,
    /// The message the hub is to have when the device vanishes.
    pub will: Option<Will<'a>>,
    /// The MQTT session at the hub.
    pub session: session::Options,
    /// What to take from the hub. The seed is replaced for every connection.
    pub client: ClientOptions,
    /// How long to wait for a connection with TLS, in milliseconds.
    pub connect_ms: u32,
    /// When to connect again, and when to register again.
    pub policy: Policy,
}

impl<'a> Settings<'a> {
    /// The defaults of all parts, 60 s to connect.
    #[must_use]
    pub fn new(registration: Config<'a>) -> Self {
        Self {
            provisioning_host: dps_client::GLOBAL_ENDPOINT,
            registration,
            announcement: Announcement::default(),
            gateway: None,
            will: None,
            session: session::Options::default(),
            client: ClientOptions::new(0),
            connect_ms: 60_000,
            policy: Policy::DEFAULT,
        }
    }
}

/// Which of the two services a connection goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Service<'a> {
    /// The provisioning service, with this one of the device's credentials (0 unless it has several).
    Provisioning {
        /// Which credential.
        credential: u8,
    },
    /// The hub, as this device.
    Hub(Endpoint<'a>),
}

/// A connection to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Target<'a> {
    /// To whom.
    pub service: Service<'a>,
    /// Host name, for DNS, SNI and the check of the certificate.
    pub host: &'a str,
    /// TCP port.
    pub port: u16,
}

/// A SAS token for one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// Length of the token in the buffer.
    pub length: usize,
    /// Milliseconds after which to connect with a new one: some time before it expires.
    pub renew_ms: u32,
}

/// Makes connections.
pub trait Connector {
    /// An established TLS stream. Dropping the futures of its reads, writes and flushes must lose nothing.
    type Stream<'s>: Read + Write
    where
        Self: 's;
    /// Why there is no stream.
    type Error;

    /// Connects and authenticates, both sides with X.509, or the server only with SAS tokens. May take as long as
    /// it needs: the future is dropped after [`Settings::connect_ms`].
    ///
    /// # Errors
    /// Its own.
    async fn connect(&mut self, target: Target<'_>) -> Result<Self::Stream<'_>, Self::Error>;

    /// Whether the same connection may succeed later. If not (the server is not who it should be, a root certificate is
    /// the wrong one), the runner stops and says why. The errors of TLS adapters have a method of this name.
    fn is_retriable(error: &Self::Error) -> bool;

    /// Writes a fresh SAS token for a connection into `out`; `None`, as by default, with a certificate.
    ///
    /// # Errors
    /// Its own, treated as a failed connection.
    fn token(&mut self, target: Target<'_>, out: &mut [u8]) -> Result<Option<Token>, Self::Error> {
        let _ = (target, out);
        Ok(None)
    }
}

/// What the application is told. `E` is the connector's error.
#[derive(Debug)]
#[non_exhaustive]
pub enum DeviceEvent<'a, E> {
    /// A connection is being made.
    Connecting(Target<'a>),
    /// The device is registered. Worth keeping: with it the device finds its hub after a restart without the
    /// provisioning service ([`Assignment::encode`]).
    Registered(&'a Assignment),
    /// The hub says something.
    Hub(HubEvent<'a>),
    /// A [`DeviceCommand::Telemetry`] (or `Stored`) was sent; with QoS 1 its ticket comes back in
    /// [`HubEvent::Delivered`].
    Sent(Option<Ticket>),
    /// A [`DeviceCommand::Report`] was sent; the outcome comes in [`HubEvent::Reported`].
    Reporting(client::RequestId),
    /// A command was not carried out. With an error that is [local](Error::is_local) nothing was sent;
    /// otherwise the connection broke over it, and it may have been.
    NotSent(Error),
    /// Something failed; the device tries again.
    Retrying {
        /// What failed.
        cause: Cause<'a, E>,
        /// After how many milliseconds it tries again; `None` if the registration decides that.
        in_ms: Option<u32>,
    },
    /// The device asks the provisioning service for its hub, at first or because the hub does not want it.
    Registering,
    /// The connection is given up because its token is about to expire, or because the application wanted that; the
    /// next one follows.
    Renewing,
    /// A [`DeviceCommand::RequestCertificate`] was sent; how it goes on comes in
    /// [`HubEvent::Certificate`].
    #[cfg(feature = "certificates")]
    RequestingCertificate(client::RequestId),
}

/// What failed.
#[derive(Debug)]
pub enum Cause<'a, E> {
    /// The connection was not made; no error: not in time.
    Connection(Option<&'a E>),
    /// The service refused, or the connection broke.
    Service(&'a Error),
}

impl<E: core::fmt::Display> core::fmt::Display for Cause<'_, E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Connection(Some(error)) => write!(f, "cannot connect: {error}"),
            Self::Connection(None) => f.write_str("cannot connect in time"),
            Self::Service(error) => write!(f, "{error}"),
        }
    }
}

/// What the application wants done.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum DeviceCommand<'a> {
    /// Send a message.
    Telemetry(Telemetry<'a>),
    /// Send a message out of a queue.
    #[cfg(feature = "queue")]
    Stored(crate::queue::Stored<'a>),
    /// Answer a method call.
    Respond {
        /// Which call.
        to: method::ReplyTo,
        /// See [`method::status`].
        status: i32,
        /// JSON, or empty.
        payload: &'a [u8],
    },
    /// Report properties: a JSON object.
    Report(&'a str),
    /// Fetch the whole twin again.
    RefreshTwin,
    /// Ask the hub for a certificate, see [`Client::request_certificate`](crate::Client::request_certificate).
    #[cfg(feature = "certificates")]
    RequestCertificate(&'a [u8]),
    /// Connect anew at once, with whatever certificate or token the connector has now.
    #[cfg(feature = "certificates")]
    Reconnect,
    /// Say goodbye and stop.
    Stop,
}

/// The application on top of the runner.
pub trait Application<E> {
    /// Something happened. A message from the cloud counts as taken, and is acknowledged, when this returns;
    /// the connection is not served meanwhile, so do not wait long here.
    async fn event(&mut self, event: DeviceEvent<'_, E>);

    /// The provisioning service has assigned the device, and says this with it: a payload, or the certificates that it
    /// issued for a request ([`RegistrationState::issued_certificate_chain`]), which the next connection to the hub
    /// has to show. [`DeviceEvent::Registered`] follows. The default takes no notice.
    fn assigned(&mut self, state: &RegistrationState<'_>) {
        let _ = state;
    }

    /// The next command; waits until there is one. Asked for only while the hub is connected and can take
    /// messages. The future is dropped whenever something else happens first, and asked for again: nothing may
    /// be lost by that, so take a command off a queue only when it is returned.
    async fn command(&mut self) -> DeviceCommand<'_>;
}

/// Why the runner stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure<E> {
    /// The settings are refused, or a buffer is too small.
    Settings(Error),
    /// The device cannot be registered: somebody has to act.
    Registration(Error),
    /// The hub speaks a protocol this version of the crate does not: update the firmware.
    UnsupportedProfile(ConnectionProfile),
    /// A connection failed in a way that trying again does not mend.
    Connection {
        /// To which service.
        service: &'static str,
        /// Why.
        error: E,
    },
}

impl<E: core::fmt::Display> core::fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Settings(error) => write!(f, "settings: {error}"),
            Self::Registration(error) => write!(f, "registration: {error}"),
            Self::UnsupportedProfile(profile) => {
                write!(
                    f,
                    "the hub has the connection profile {profile:?}, which this firmware does not speak"
                )
            }
            Self::Connection { service, error } => write!(f, "connection to the {service}: {error}"),
        }
    }
}

impl<E> From<dps_client::Error> for Failure<E> {
    /// A setting that is refused.
    fn from(error: dps_client::Error) -> Self {
        Self::Settings(error.into())
    }
}

impl<E> From<Error> for Failure<E> {
    /// A setting that is refused.
    fn from(error: Error) -> Self {
        Self::Settings(error)
    }
}

impl<E: core::error::Error + 'static> core::error::Error for Failure<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Settings(error) | Self::Registration(error) => Some(error),
            Self::UnsupportedProfile(_) => None,
            Self::Connection { error, .. } => Some(error),
        }
    }
}
