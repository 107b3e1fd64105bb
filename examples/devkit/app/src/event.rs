//! The steps of the application: for its screen, its log and its observer. Nothing in them is secret.

use core::fmt::{Debug, Display, Formatter};
use core::net::Ipv4Addr;

use iothub_mqtt::client::Subscription;
use iothub_mqtt::property::Properties;

use crate::telemetry::Reading;

/// A step that was reached.
#[derive(Debug)]
#[non_exhaustive]
pub enum AppEvent<'a> {
    /// The application started.
    Started {
        /// The firmware's version.
        version: &'a str,
        /// What ended the last run, if that was a crash.
        crash: Option<&'a str>,
    },
    /// Button A was held: the configuration console runs on the terminal.
    Configuring {
        /// The board's MAC address.
        mac: [u8; 6],
    },
    /// Button B was held: the access point of the original firmware is asked for, which is not offered.
    AccessPointRefused,
    /// The secret was read and the identity derived from it.
    IdentityDerived {
        /// The id it registers with.
        registration_id: &'a str,
        /// Digest of the firmware image (SHA-256).
        firmware: &'a [u8],
        /// Its certificate, DER.
        certificate: &'a [u8],
    },
    /// The network is being joined.
    Joining,
    /// The network has been joined.
    Joined {
        /// The device's address, if the network says.
        address: Option<Ipv4Addr>,
    },
    /// The network gave the time of day, in seconds since 1970.
    TimeKnown(u64),
    /// The provisioning service is asked: at first, or because the hub no longer takes the device.
    Registering,
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
    /// A message is on its way to the hub.
    TelemetrySent {
        /// What it says.
        reading: Reading,
    },
    /// The hub acknowledged a message.
    TelemetryDelivered,
    /// A message came from the cloud.
    Message {
        /// Its properties, percent-encoded.
        properties: Properties<'a>,
        /// Its body.
        payload: &'a [u8],
    },
    /// The cloud called a method.
    Method {
        /// Which.
        name: &'a str,
        /// What it is answered with.
        status: i32,
        /// Whether telemetry is switched on now.
        running: bool,
    },
    /// The cloud set the time between two messages.
    Interval {
        /// The time that holds now, in milliseconds.
        ms: u32,
        /// Whether that is the one the cloud asked for.
        accepted: bool,
    },
    /// The hub knows the properties the device reports.
    Reported,
    /// The twin, or a change of it, could not be used. Later changes still can.
    TwinUnusable {
        /// Why: too large, or not what a twin should be.
        cause: &'a dyn Cause,
    },
    /// The hub refuses a subscription; the device works without it.
    SubscriptionRefused {
        /// To what.
        subscription: Subscription,
    },
    /// Something failed that may work later; the device tries again.
    Retrying {
        /// What failed.
        cause: &'a dyn Cause,
        /// When it tries again, in milliseconds from now; `None` when the registration's own back-off decides.
        in_ms: Option<u32>,
    },
    /// Something failed for good; the application ends.
    Failed {
        /// What failed.
        cause: &'a dyn Cause,
        /// The same for the screen: row 2 and row 3.
        rows: [&'static str; 2],
    },
}

/// A cause: something that says what it is. Its `Debug` is that too: the firmware has no room for both.
pub trait Cause: Display {}

impl<T: Display> Cause for T {}

impl Debug for dyn Cause + '_ {
    fn fmt(&self, f: &mut Formatter<'_>) -> core::fmt::Result {
        Display::fmt(self, f)
    }
}

/// Bytes as hexadecimal digits.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl Display for Hex<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
