//! What the application tells its board, step by step: enough to narrate a whole start.

use core::fmt::Display;

use iothub_mqtt::property::Properties;

/// A step that was reached. Nothing in it is secret.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The secret was read and the identity derived from it.
    IdentityDerived {
        /// Who the device says it is.
        registration_id: &'a str,
        /// Digest of the firmware image (SHA-256).
        firmware: &'a [u8],
        /// The certificate that says so, DER.
        certificate: &'a [u8],
    },
    /// A connection is being made.
    Connecting {
        /// To which host.
        host: &'a str,
    },
    /// The provisioning service assigned the device to a hub.
    Assigned {
        /// The hub's host name.
        hub: &'a str,
        /// The device's name there.
        device_id: &'a str,
    },
    /// The hub took the connection and the subscriptions.
    HubConnected,
    /// The hub acknowledged a message.
    TelemetryDelivered,
    /// A message came from the cloud.
    Message {
        /// Its properties, percent-encoded.
        properties: Properties<'a>,
        /// Its body.
        payload: &'a [u8],
    },
    /// Something failed that may work later; the device tries again.
    Retrying {
        /// What failed.
        cause: &'a dyn DebugDisplay,
        /// When it tries again, in milliseconds from now; `None` when the registration's own ladder decides.
        in_ms: Option<u32>,
    },
    /// The cloud called a method.
    Method {
        /// Which.
        name: &'a str,
        /// What it is answered with.
        status: i32,
    },
    /// The provisioning service is asked: at first, or because the hub no longer takes the device.
    Registering,
}

/// A cause: something that prints itself.
pub trait DebugDisplay: core::fmt::Debug + Display {}

impl<T: core::fmt::Debug + Display> DebugDisplay for T {}
