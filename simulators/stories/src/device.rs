//! A device that can be switched on and off.

use std::ffi::OsString;
use std::path::Path;
use std::pin::Pin;
use std::sync::PoisonError;

use anyhow::Result;
use devkit_host::Terminal;
use peripherals::{Buttons, Hts221, Panel, Picture, Shared, Ssd1306, screen};
use stsafe_a100::sim::VirtualChip;

/// A device and everything in it that survives a power cut.
pub trait Device {
    /// The version that the firmware reports.
    fn firmware_version(&self) -> &str;

    /// Further arguments for `dps-cert-gen`, if the identity is not derived in the standard way.
    fn certificate_arguments(&self) -> Vec<OsString> {
        Vec::new()
    }

    /// Whether its TLS library tells a server why it was refused.
    fn explains_refusals(&self) -> bool {
        true
    }

    /// The secure element.
    fn secure_element(&self) -> &VirtualChip;

    /// The flash with the host keys of the secure element.
    fn host_keys(&self) -> &dyn HostKeys;

    /// Puts another firmware image into its flash; the power is off.
    ///
    /// # Errors
    /// The file cannot be read, or is no image for this device.
    fn flash(&mut self, image: &Path) -> Result<()>;

    /// Switches it on, with these buttons held.
    ///
    /// # Errors
    /// The device cannot be started.
    #[allow(async_fn_in_trait, reason = "stories run on one thread")]
    async fn switch_on(&self, buttons: Buttons) -> Result<Running>;
}

/// A flash sector that can be looked at and written from outside while the power is off.
pub trait HostKeys {
    /// What is in it.
    fn contents(&self) -> Vec<u8>;

    /// Erases it, then writes these bytes to its beginning.
    ///
    /// # Errors
    /// The file in which it is kept cannot be written.
    fn replace(&self, bytes: &[u8]) -> Result<()>;
}

impl HostKeys for peripherals::FlashSector {
    fn contents(&self) -> Vec<u8> {
        self.contents()
    }

    fn replace(&self, bytes: &[u8]) -> Result<()> {
        self.erase_all()?;
        Ok(self.load(bytes)?)
    }
}

/// The end of a device whose power was cut.
pub type Off = Pin<Box<dyn Future<Output = Result<()>>>>;

/// A device that is switched on. Dropping it cuts its power, too.
#[allow(missing_debug_implementations, reason = "parts have nothing to print")]
pub struct Running {
    /// Buttons and lamps.
    pub panel: Panel,
    /// Its console.
    pub terminal: Terminal,
    display: Shared<Ssd1306>,
    climate: Shared<Hts221>,
    power: Box<dyn FnOnce() -> Off>,
}

impl Running {
    /// The air around a device that was just switched on: hundredths of a degree Celsius and of a percent.
    pub const CLIMATE: (i16, u16) = (22_50, 45_00);

    /// A device with these parts; `power` cuts its power when it is called or dropped.
    pub fn new(
        panel: Panel,
        terminal: Terminal,
        display: Shared<Ssd1306>,
        climate: Shared<Hts221>,
        power: impl FnOnce() -> Off + 'static,
    ) -> Self {
        Self { panel, terminal, display, climate, power: Box::new(power) }
    }

    /// What the display shows.
    #[must_use]
    pub fn picture(&self) -> Picture {
        self.display.lock().unwrap_or_else(PoisonError::into_inner).picture()
    }

    /// The rows of text on the display at this moment.
    #[must_use]
    pub fn rows(&self) -> [String; screen::ROWS] {
        screen::read(&self.picture())
    }

    /// Changes temperature and humidity around the device.
    pub fn set_climate(&self, (temperature, humidity): (i16, u16)) {
        self.climate.lock().unwrap_or_else(PoisonError::into_inner).set(temperature, humidity);
    }

    /// Cuts the power: the device closes no connection.
    ///
    /// # Errors
    /// What the board's simulation ended with.
    pub async fn cut_power(self) -> Result<()> {
        (self.power)().await
    }
}
