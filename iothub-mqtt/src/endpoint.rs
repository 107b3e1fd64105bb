//! Who the device is at which hub, and what CONNECT says about it.

use crate::Error;
use crate::text::check;
use azure_iot_common::text::Writer;
#[cfg(feature = "dps")]
use dps_client::Assignment;

/// Port of MQTT over TLS.
pub const PORT: u16 = 8883;

/// Longest host name, in bytes.
pub const MAX_HOST: usize = 128;

/// Longest device id or module id, in bytes.
pub const MAX_ID: usize = 128;

// What the provisioning service assigns fits.
#[cfg(feature = "dps")]
const _: () = assert!(dps_client::MAX_HUB <= MAX_HOST && dps_client::MAX_DEVICE_ID <= MAX_ID);

/// Longest client id: device id, slash, module id.
pub const MAX_CLIENT_ID: usize = MAX_ID + 1 + MAX_ID;

/// Longest product info, in bytes before percent-encoding.
pub const MAX_PRODUCT_INFO: usize = 128;

/// Longest model id (DTDL version 2), in bytes before percent-encoding.
pub const MAX_MODEL_ID: usize = 128;

/// Longest API version, in bytes.
pub const MAX_API_VERSION: usize = 32;

/// Longest user name: host, client id, API version, product info and model id with every byte encoded.
pub const MAX_USER_NAME: usize = MAX_HOST
    + 1
    + MAX_CLIENT_ID
    + "/?api-version=".len()
    + MAX_API_VERSION
    + "&DeviceClientType=".len()
    + 3 * MAX_PRODUCT_INFO
    + "&model-id=".len()
    + 3 * MAX_MODEL_ID;

/// The generation of a hub, which decides how it is spoken to. Each is a feature of this crate: what a firmware does
/// not know costs it nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Generation {
    /// MQTT 3.1.1, with properties in topics; feature `classic-hub`.
    Classic,
    /// MQTT 5, the connection profile `mqttV5`; feature `mqtt5-hub`.
    Mqtt5,
}

impl Generation {
    /// Whether this build can serve it.
    #[must_use]
    pub const fn is_supported(self) -> bool {
        match self {
            Self::Classic => cfg!(feature = "classic-hub"),
            Self::Mqtt5 => cfg!(feature = "mqtt5-hub"),
        }
    }

    /// Whether it is the new one; a constant in a build that serves only one.
    #[cfg(feature = "mqtt5-hub")]
    pub(crate) const fn is_mqtt5(self) -> bool {
        !cfg!(feature = "classic-hub") || matches!(self, Self::Mqtt5)
    }
}

impl Default for Generation {
    /// The classic one, unless this build serves only the new one.
    fn default() -> Self {
        if cfg!(feature = "classic-hub") || !cfg!(feature = "mqtt5-hub") {
            Self::Classic
        } else {
            Self::Mqtt5
        }
    }
}

#[cfg(feature = "dps")]
impl From<dps_client::ConnectionProfile> for Generation {
    fn from(profile: dps_client::ConnectionProfile) -> Self {
        match profile {
            dps_client::ConnectionProfile::Classic => Self::Classic,
            dps_client::ConnectionProfile::MqttV5 => Self::Mqtt5,
        }
    }
}

/// A device or module at its hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Endpoint<'a> {
    hub: &'a str,
    device_id: &'a str,
    module_id: Option<&'a str>,
    gateway: Option<&'a str>,
    generation: Generation,
}

fn host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')
}

fn id_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-:.+%_#*?!(),=@$'".contains(&byte)
}

impl<'a> Endpoint<'a> {
    /// The device `device_id` at the hub `hub` (host name).
    ///
    /// # Errors
    /// [`Error::Invalid`] for a host name or id that is empty, too long ([`MAX_HOST`], [`MAX_ID`]) or has
    /// characters the service does not take (letters, digits and `-:.+%_#*?!(),=@$'` in ids).
    pub fn new(hub: &'a str, device_id: &'a str) -> Result<Self, Error> {
        check("hub host name", hub, MAX_HOST, host_byte)?;
        check("device id", device_id, MAX_ID, id_byte)?;
        Ok(Self { hub, device_id, module_id: None, gateway: None, generation: Generation::default() })
    }

    /// The device and hub the provisioning service assigned, of the generation it said.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    #[cfg(feature = "dps")]
    pub fn assigned(assignment: &'a Assignment) -> Result<Self, Error> {
        let generation = Generation::from(assignment.profile());
        Ok(Self::new(assignment.hub(), assignment.device_id())?.with_generation(generation))
    }

    /// At a hub of this generation.
    #[must_use]
    pub fn with_generation(self, generation: Generation) -> Self {
        Self { generation, ..self }
    }

    /// The hub's generation.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// A module of the device.
    ///
    /// # Errors
    /// [`Error::Invalid`], see [`new`](Self::new).
    pub fn with_module(self, module_id: &'a str) -> Result<Self, Error> {
        check("module id", module_id, MAX_ID, id_byte)?;
        Ok(Self { module_id: Some(module_id), ..self })
    }

    /// Connects to an IoT Edge gateway instead of the hub; user name and topics stay those of the hub.
    ///
    /// # Errors
    /// [`Error::Invalid`], see [`new`](Self::new).
    pub fn with_gateway(self, host: &'a str) -> Result<Self, Error> {
        check("gateway host name", host, MAX_HOST, host_byte)?;
        Ok(Self { gateway: Some(host), ..self })
    }

    /// Host name of the hub.
    #[must_use]
    pub fn hub(&self) -> &'a str {
        self.hub
    }

    /// Host name to open the TLS connection to: the gateway if there is one, else the hub.
    #[must_use]
    pub fn connect_host(&self) -> &'a str {
        self.gateway.unwrap_or(self.hub)
    }

    /// The device id.
    #[must_use]
    pub fn device_id(&self) -> &'a str {
        self.device_id
    }

    /// The module id, for a module.
    #[must_use]
    pub fn module_id(&self) -> Option<&'a str> {
        self.module_id
    }

    /// The MQTT client id, at most [`MAX_CLIENT_ID`] bytes.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`].
    pub fn client_id<'b>(&self, out: &'b mut [u8]) -> Result<&'b str, Error> {
        let mut text = Writer::new(out);
        self.write_client_id(&mut text);
        Ok(text.finish_str()?)
    }

    fn write_client_id(&self, text: &mut Writer<'_>) {
        text.text(self.device_id);
        if let Some(module_id) = self.module_id {
            text.text("/").text(module_id);
        }
    }

    /// The MQTT user name, at most [`MAX_USER_NAME`] bytes.
    ///
    /// ```
    /// use iothub_mqtt::{Announcement, Endpoint, endpoint::MAX_USER_NAME};
    /// let endpoint = Endpoint::new("contoso.azure-devices.net", "my-device")?;
    /// let announcement = Announcement::default().with_model_id("dtmi:com:example:Thermostat;1")?;
    /// let mut buffer = [0; MAX_USER_NAME];
    /// assert_eq!(
    ///     endpoint.user_name(&announcement, &mut buffer)?,
    ///     "contoso.azure-devices.net/my-device/?api-version=2021-04-12\
    ///      &model-id=dtmi%3Acom%3Aexample%3AThermostat%3B1"
    /// );
    /// # Ok::<(), iothub_mqtt::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`].
    pub fn user_name<'b>(
        &self,
        announcement: &Announcement<'_>,
        out: &'b mut [u8],
    ) -> Result<&'b str, Error> {
        let mut text = Writer::new(out);
        #[cfg(feature = "mqtt5-hub")]
        if self.generation.is_mqtt5() {
            text.text("correlationId=");
            crate::mqtt5::write_hex(&mut text, &crate::mqtt5::nonce(announcement.seed));
            text.text("&clientVersion=").encoded(announcement.product_info.unwrap_or(CLIENT_VERSION));
            return Ok(text.finish_str()?);
        }
        text.text(self.hub).text("/");
        self.write_client_id(&mut text);
        text.text("/?api-version=").text(announcement.api_version);
        if let Some(product) = announcement.product_info {
            text.text("&DeviceClientType=").encoded(product);
        }
        if let Some(model) = announcement.model_id {
            text.text("&model-id=").encoded(model);
        }
        Ok(text.finish_str()?)
    }

    /// Writes `devices/<id>[/modules/<id>]`, where all topics of the device begin.
    pub(crate) fn write_topic_base(&self, text: &mut Writer<'_>) {
        text.text("devices/").text(self.device_id);
        if let Some(module_id) = self.module_id {
            text.text("/modules/").text(module_id);
        }
    }
}

/// What an MQTT 5 hub is told of a device without product info.
#[cfg(feature = "mqtt5-hub")]
const CLIENT_VERSION: &str = concat!("iothub-mqtt/", env!("CARGO_PKG_VERSION"));

/// API version sent unless another one is set: the newest of the classic hub.
pub const API_VERSION: &str = "2021-04-12";

/// What a device tells the hub about itself when it connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Announcement<'a> {
    product_info: Option<&'a str>,
    model_id: Option<&'a str>,
    api_version: &'a str,
    #[cfg(feature = "mqtt5-hub")]
    seed: u32,
}

impl Default for Announcement<'_> {
    /// Nothing but [`API_VERSION`].
    fn default() -> Self {
        Self {
            product_info: None,
            model_id: None,
            api_version: API_VERSION,
            #[cfg(feature = "mqtt5-hub")]
            seed: 0,
        }
    }
}

fn version_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

impl<'a> Announcement<'a> {
    /// Product info (`DeviceClientType`), for the service's logs. Plain text; it is percent-encoded here.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is empty or longer than [`MAX_PRODUCT_INFO`].
    pub fn with_product_info(self, product_info: &'a str) -> Result<Self, Error> {
        check("product info", product_info, MAX_PRODUCT_INFO, |_| true)?;
        Ok(Self { product_info: Some(product_info), ..self })
    }

    /// With the [seed](crate::ClientOptions::seed) of the connection, from which an MQTT 5 hub's nonce follows.
    #[cfg(feature = "mqtt5-hub")]
    #[must_use]
    pub fn with_seed(self, seed: u32) -> Self {
        Self { seed, ..self }
    }

    /// The Plug and Play model id (a DTMI). An MQTT 5 hub is not told: there it goes into the payload of the
    /// registration.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it does not begin with `dtmi:`, or is longer than [`MAX_MODEL_ID`].
    pub fn with_model_id(self, model_id: &'a str) -> Result<Self, Error> {
        if !model_id.starts_with("dtmi:") {
            return Err(Error::Invalid { what: "model id", at: 0 });
        }
        check("model id", model_id, MAX_MODEL_ID, |byte| byte.is_ascii_graphic())?;
        Ok(Self { model_id: Some(model_id), ..self })
    }

    /// Another API version.
    ///
    /// # Errors
    /// [`Error::Invalid`] unless it is letters, digits and hyphens, at most [`MAX_API_VERSION`].
    pub fn with_api_version(self, api_version: &'a str) -> Result<Self, Error> {
        check("API version", api_version, MAX_API_VERSION, version_byte)?;
        Ok(Self { api_version, ..self })
    }

    /// The model id.
    #[must_use]
    pub fn model_id(&self) -> Option<&'a str> {
        self.model_id
    }
}
