//! The back end's side of the hub: messages, method calls and twin changes, for [`Handle`](super::Handle), the
//! service's REST interface and the page alike.

use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::dps::tracking_id;
use super::hub::c2d::MAX_SIZE;
use super::hub::mqtt5::Call;
use super::hub::session::MAX_TELEMETRY;
use super::hub::topic::{Subscription, module_input};
use super::hub::{Device, MethodResponse, PendingMethod, ToSession};
use super::percent;
use super::properties::Properties;
use super::shared::Shared;
use super::{clock, rules};

/// Why a command to a device failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandError {
    /// The hub has no such device.
    UnknownDevice,
    /// The device is not connected or has not subscribed to this (the service's 404).
    NotListening,
    /// No answer in time (the service's 504).
    TimedOut,
    /// Fifty messages are waiting for this device already.
    QueueFull,
    /// Larger than the service takes: 64 KB for a message, 128 KB for a method's payload.
    TooLarge,
    /// The hub's tier does not have this (the service's 403010).
    NotInTier,
    /// The day's quota of messages is used up (the service's 403002).
    QuotaExceeded,
    /// The service would not take these properties; the text says why.
    Refused(&'static str),
}

impl std::fmt::Display for CommandError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::UnknownDevice => "the hub has no such device",
            Self::NotListening => "the device is not connected or has not subscribed",
            Self::TimedOut => "the device did not answer in time",
            Self::QueueFull => "fifty messages are waiting already",
            Self::TooLarge => "the payload is too large",
            Self::NotInTier => "the hub's tier does not have this operation",
            Self::QuotaExceeded => "the hub's quota of messages is used up until the next day (UTC)",
            Self::Refused(why) => why,
        })
    }
}

impl std::error::Error for CommandError {}

impl Shared {
    /// Does something with a device or module.
    pub(super) fn with_device<T>(
        &self,
        id: &str,
        f: impl FnOnce(&mut Device) -> T,
    ) -> Result<T, CommandError> {
        self.hub().device(id).map(f).ok_or(CommandError::UnknownDevice)
    }

    /// Whether the tier has messages to devices, twins and methods.
    pub(super) fn needs_cloud_to_device(&self) -> Result<(), CommandError> {
        if self.config.tier.has_cloud_to_device() { Ok(()) } else { Err(CommandError::NotInTier) }
    }

    /// Counts a message of this size.
    pub(super) fn count_message(&self, size: usize) -> Result<(), CommandError> {
        if self.quota.take(self.config.tier, size) { Ok(()) } else { Err(CommandError::QuotaExceeded) }
    }

    /// Queues a cloud-to-device message and returns its message id.
    pub(super) fn send_c2d(
        &self,
        device: &str,
        body: Vec<u8>,
        properties: &Properties,
    ) -> Result<String, CommandError> {
        if device.contains('/') {
            return Err(CommandError::UnknownDevice);
        }
        self.needs_cloud_to_device()?;
        if self.is_at_mqtt5_hub(device) {
            return Err(CommandError::Refused("a hub that speaks MQTT 5 has no cloud-to-device messages"));
        }
        if body.len() + properties.billed_size() > MAX_SIZE {
            return Err(CommandError::TooLarge);
        }
        rules::c2d_properties(properties).map_err(CommandError::Refused)?;
        let now = clock::unix_millis();
        let expires_at = match properties.get("$.exp") {
            // Checked above.
            Some(text) => clock::parse(text).unwrap_or(now),
            None => now.saturating_add(self.config.c2d_ttl.as_millis().try_into().unwrap_or(u64::MAX)),
        };
        if expires_at <= now {
            return Err(CommandError::Refused("the message has expired already ($.exp)"));
        }
        let id = properties.get("$.mid").map_or_else(tracking_id, str::to_owned);
        let mut stamped = Properties::new();
        if !properties.contains("$.mid") {
            stamped.push("$.mid", Some(id.clone()));
        }
        if !properties.contains("$.to") {
            stamped.push("$.to", Some(format!("/devices/{device}/messages/devicebound")));
        }
        for (name, value) in properties.iter() {
            stamped.push(name, value.map(str::to_owned));
        }
        let size = body.len() + properties.billed_size();
        self.with_device(device, |_| ())?;
        self.count_message(size)?;
        let queued = self.with_device(device, |device| {
            let queued = device.c2d.push(id.clone(), body, stamped, expires_at);
            device.send_to_session(ToSession::Wake);
            queued
        })?;
        if queued { Ok(id) } else { Err(CommandError::QueueFull) }
    }

    /// Sends a message to an input of a module, with QoS 0.
    pub(super) fn send_to_input(
        &self,
        module: &str,
        input: &str,
        body: Vec<u8>,
        properties: &Properties,
    ) -> Result<(), CommandError> {
        self.needs_cloud_to_device()?;
        if body.len() + properties.billed_size() > MAX_TELEMETRY {
            return Err(CommandError::TooLarge);
        }
        rules::properties(properties).map_err(CommandError::Refused)?;
        if input.is_empty() || input.chars().any(char::is_control) {
            return Err(CommandError::Refused("an input's name is empty or has a control character"));
        }
        let topic = module_input(module, &percent::encode(input), properties);
        let message = ToSession::Publish { topic, payload: body };
        self.send_if_listening(module, Subscription::ModuleInputs, message)
    }

    fn send_if_listening(
        &self,
        id: &str,
        subscription: Subscription,
        message: ToSession,
    ) -> Result<(), CommandError> {
        self.with_device(id, |device| {
            if device.listens(subscription) {
                device.send_to_session(message);
                Ok(())
            } else {
                Err(CommandError::NotListening)
            }
        })?
    }

    /// Calls a direct method and waits up to `response_timeout` for the answer.
    pub(super) async fn invoke_method(
        &self,
        id: &str,
        name: &str,
        payload: Vec<u8>,
        response_timeout: Duration,
    ) -> Result<MethodResponse, CommandError> {
        self.needs_cloud_to_device()?;
        if payload.len() > 131_072 {
            return Err(CommandError::TooLarge);
        }
        rules::method(name, &payload).map_err(CommandError::Refused)?;
        self.with_device(id, |_| ())?;
        self.count_message(payload.len())?;
        if self.is_at_mqtt5_hub(id) {
            let (answer, response) = oneshot::channel();
            let call = Call { name: name.to_owned(), payload, response_timeout, answer };
            self.send_if_listening(id, Subscription::DeviceBound, ToSession::Call(call))?;
            // The session counts the time; if it ends, the call ends with it.
            return response.await.unwrap_or(Err(CommandError::TimedOut));
        }
        let rid = hex::encode(rand::random::<[u8; 4]>());
        let (answer, response) = oneshot::channel();
        let pending = PendingMethod { name: name.to_owned(), answer };
        self.with_device(id, |device| device.methods.insert(rid.clone(), pending))?;
        let topic = format!("$iothub/methods/POST/{name}/?$rid={rid}");
        let message = ToSession::Publish { topic, payload };
        let result = match self.send_if_listening(id, Subscription::Methods, message) {
            Ok(()) => match timeout(response_timeout, response).await {
                Ok(Ok(response)) => Ok(response),
                Ok(Err(_)) => Err(CommandError::UnknownDevice),
                Err(_) => Err(CommandError::TimedOut),
            },
            Err(e) => Err(e),
        };
        // Deleted meanwhile: then there is nothing to forget.
        let _ = self.with_device(id, |device| device.methods.remove(&rid));
        result
    }

    /// Whether a device is at a hub that speaks MQTT 5.
    fn is_at_mqtt5_hub(&self, id: &str) -> bool {
        self.hub().hub_of(id).is_some_and(|hub| self.config.is_mqtt5_hub(hub))
    }

    /// Moves a device to another hub at its next registration.
    pub(super) fn move_device(&self, id: &str, hub: &str) -> Result<(), CommandError> {
        if self.hub_index(hub).is_none() {
            return Err(CommandError::Refused("there is no such hub"));
        }
        let of_device = |state: &Value| state.get("deviceId").and_then(Value::as_str) == Some(id);
        let registrations = self.all_registrations();
        let registration = registrations.iter().find(|state| of_device(state));
        let name = registration.and_then(|state| state.get("registrationId")?.as_str()).unwrap_or(id);
        self.with_device(id, |device| {
            self.faults.set_move(name, id, hub);
            device.send_to_session(ToSession::Close("assigned to another hub".to_owned()));
        })
    }

    /// Merges a patch into the desired properties, tells the device if it listens, and returns the new version.
    pub(super) fn patch_desired(&self, id: &str, patch: &Map<String, Value>) -> Result<u64, CommandError> {
        self.needs_cloud_to_device()?;
        self.with_device(id, |device| device.patch_desired(patch).map_err(CommandError::Refused))?
    }
}
