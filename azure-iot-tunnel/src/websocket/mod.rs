//! MQTT over WebSockets (RFC 6455), as the client: for networks that let nothing out but port 443.
//!
//! [`WebSocket::open`] makes a stream of MQTT bytes of a TLS stream to port [`PORT`]. It is built of pieces without
//! input and output, which can be used alone: [`Upgrade`] writes the request and [`Answer`] judges what comes back,
//! [`Sender`] makes frames, [`Receiver`] takes them apart.
//!
//! ```
//! use azure_iot_tunnel::websocket::{Upgrade, WebSocket};
//! use azure_iot_tunnel::Error;
//! use embedded_io_async::{Read, Write};
//!
//! /// `tls` is a TLS stream to port 443 of the hub; `random` the chip's generator.
//! async fn mqtt_stream<S: Read + Write, R: FnMut() -> u32>(
//!     tls: S,
//!     random: R,
//! ) -> Result<WebSocket<S, R>, Error<S::Error>> {
//!     WebSocket::open(tls, &Upgrade::new("my-hub.azure-devices.net")?, random).await
//! }
//! ```

mod handshake;
mod receive;
mod send;
mod stream;

pub use handshake::{Answer, Key, Upgrade};
pub use receive::{Control, Next, Receiver};
pub use send::Sender;
pub use stream::WebSocket;

/// The TCP port of WebSockets below TLS.
pub const PORT: u16 = 443;
/// Where Azure's device services take WebSockets.
pub const PATH: &str = "/$iothub/websocket";
/// The same for a device that has no certificate but a token: the service does not ask for one in TLS.
pub const PATH_WITHOUT_CERTIFICATE: &str = "/$iothub/websocket?iothub-no-client-cert=true";
