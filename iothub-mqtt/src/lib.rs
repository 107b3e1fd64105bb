//! Azure IoT Hub device client over any async byte stream, without an allocator.
//!
//! - [`Endpoint`]: who the device is at which hub; [`Announcement`]: what it tells about itself.
//! - [`session`]: an MQTT session over caller's buffers; it outlives connections and keeps what is not yet
//!   acknowledged.
//! - [`Client`]: the hub client of one connection: [`telemetry`], cloud-to-device messages ([`c2d`]), direct
//!   methods ([`method`]), the [`twin`], Plug and Play ([`pnp`]).
//! - `certificate` (feature `certificates`): the hub issues a new certificate to a connected device.
//! - [`translate`]: MQTT 3.1.1 on the wire under an MQTT 5 engine.
//! - `mqtt5` (feature `mqtt5-hub`): the hubs of the new generation, which speak MQTT 5, with the same client.
//! - `provision` (feature `dps`): registration at the Device Provisioning Service.
//! - `queue` (feature `queue`): telemetry that waits in flash, over resets, until the hub has it.
//! - `runner` (feature `dps`): the whole life of a device: registration, hub, reconnecting, registering again.
//!
//! Nothing here opens connections or knows TLS: bring an established stream that implements the traits of
//! `embedded-io-async`, whose reads, writes and flushes lose nothing when their futures are dropped.
//!
//! ```
//! use embedded_io_async::{Read, Write};
//! use iothub_mqtt::endpoint::{MAX_CLIENT_ID, MAX_USER_NAME};
//! use iothub_mqtt::session::{Options, Session};
//! use iothub_mqtt::translate::Connect;
//! use iothub_mqtt::{Announcement, Client, ClientOptions, Endpoint, Error, HubEvent, Telemetry};
//!
//! /// One connection, from CONNECT until it breaks.
//! async fn serve(session: &mut Session<'_>, tls: impl Read + Write, random: u32) -> Result<(), Error> {
//!     let endpoint = Endpoint::new("contoso.azure-devices.net", "my-device")?;
//!     let (mut id, mut name) = ([0; MAX_CLIENT_ID], [0; MAX_USER_NAME]);
//!     let connect = Connect {
//!         client_id: endpoint.client_id(&mut id)?,
//!         user_name: endpoint.user_name(&Announcement::default(), &mut name)?,
//!         password: None, // the TLS stream has the client certificate
//!         will: None,
//!     };
//!     let link = session.connect(tls, &connect).await?;
//!     let mut client: Client<'_, _> = Client::new(link, endpoint, ClientOptions::new(random));
//!     client.start().await?;
//!     loop {
//!         match client.poll().await? {
//!             Some(HubEvent::Connected) => {
//!                 client.send(&Telemetry::json(br#"{"hello":"world"}"#)).await?;
//!             }
//!             Some(HubEvent::Message(_message)) => { /* use it: it counts as taken when it goes out of scope */ }
//!             Some(_) | None => {}
//!         }
//!     }
//! }
//!
//! // The session and its buffers stay when a connection ends; `serve` can be called again.
//! let (mut rx, mut tx) = ([0; 4096], [0; 4096]);
//! let mut session: Session = Session::new(Options::default(), &mut rx, &mut tx);
//! # let _ = |stream: embedded_io_adapters::tokio_1::FromTokio<tokio::net::TcpStream>| {
//! #     let mut session: Session = Session::new(Options::default(), &mut [], &mut []);
//! #     drop(serve(&mut session, stream, 4));
//! # };
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing
    )
)]
// Futures of this crate are as `Send` as the streams and handlers they are made from.
#![allow(async_fn_in_trait)]

#[cfg(test)]
extern crate std;

pub mod c2d;
#[cfg(feature = "certificates")]
pub mod certificate;
pub mod client;
mod clock;
pub mod endpoint;
mod error;
pub mod json;
mod logging;
pub mod method;
#[cfg(feature = "mqtt5-hub")]
pub mod mqtt5;
pub mod pnp;
pub mod property;
#[cfg(feature = "dps")]
pub mod provision;
#[cfg(feature = "queue")]
pub mod queue;
#[cfg(feature = "dps")]
pub mod runner;
pub mod session;
pub mod telemetry;
mod text;
mod topic;
pub mod translate;
pub mod twin;

/// The ladder of waiting times, shared with other clients of Azure's services.
pub use azure_iot_common::Backoff;
pub use client::{Client, ClientOptions, HubEvent};
#[cfg(feature = "dps")]
pub use dps_client;
pub use endpoint::{Announcement, Endpoint, Generation};
pub use error::{DisconnectReason, Error, Refusal};
pub use property::Properties;
#[cfg(feature = "dps")]
pub use provision::register;
pub use telemetry::Telemetry;
