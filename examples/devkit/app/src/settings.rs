//! What the user has configured, as the device's secure element keeps it.

use core::fmt::{self, Formatter};
use core::pin::pin;

use devkit_console::KeySource;
use devkit_settings::{BY_SERVICE, Setting, VaultError};
use dice_core::RegistrationId;
use dice_core::riot::{DEFAULT_REGISTRATION_ID_MAX_LEN, MacAddress, default_registration_id};
use dps_client::GLOBAL_ENDPOINT;
use embedded_hal_async::delay::DelayNs;
use embedded_hal_async::i2c::I2c;
use heapless::{String, Vec};
use zeroize::{Zeroize, Zeroizing};

use crate::board::Wifi;
use crate::identity::SlotKey;
use crate::setting_store::SettingStore;

/// The settings that are read.
const SETTINGS: [Setting; 7] = [
    Setting::WifiSsid,
    Setting::WifiPassword,
    Setting::DpsEndpoint,
    Setting::DpsIdScope,
    Setting::RegistrationId,
    Setting::SlotKey,
    Setting::CertificateSource,
];
/// The longest of their values, in bytes.
const LONGEST: usize = Setting::DpsEndpoint.max_len();

/// The stored settings, without the secret. The Wi-Fi password is wiped on drop.
#[derive(Clone, Default)]
pub struct Settings {
    wifi_ssid: Vec<u8, { Setting::WifiSsid.max_len() }>,
    wifi_password: Vec<u8, { Setting::WifiPassword.max_len() }>,
    endpoint: String<{ Setting::DpsEndpoint.max_len() }>,
    id_scope: String<{ Setting::DpsIdScope.max_len() }>,
    registration_id: String<{ Setting::RegistrationId.max_len() }>,
    slot_key: Vec<u8, { Setting::SlotKey.max_len() }>,
    by_service: bool,
}

impl Settings {
    /// Reads them, in place of what they were.
    ///
    /// # Errors
    /// Those of the vault; a text that is no UTF-8 is a damaged one. What was read until then stays.
    pub async fn read<I2C: I2c, D: DelayNs>(
        &mut self,
        store: &mut SettingStore<I2C, D>,
    ) -> Result<(), VaultError<I2C::Error>> {
        let mut buffer = Zeroizing::new([0; LONGEST]);
        for setting in SETTINGS {
            let value = pin!(store.get(setting, &mut *buffer)).await?.unwrap_or_default();
            self.set(setting, value).ok_or(VaultError::Damaged(setting))?;
        }
        Ok(())
    }

    /// Takes a value; `None` if it is not valid for this setting.
    #[inline(never)]
    fn set(&mut self, setting: Setting, value: &[u8]) -> Option<()> {
        match setting {
            Setting::WifiSsid => copy(&mut self.wifi_ssid, value),
            Setting::WifiPassword => copy(&mut self.wifi_password, value),
            Setting::DpsEndpoint => copy_text(&mut self.endpoint, value),
            Setting::DpsIdScope => copy_text(&mut self.id_scope, value),
            Setting::RegistrationId => copy_text(&mut self.registration_id, value),
            // All of a point, or none.
            Setting::SlotKey if value.is_empty() || value.len() == setting.max_len() => {
                copy(&mut self.slot_key, value)
            }
            Setting::CertificateSource if value.is_empty() || value == BY_SERVICE => {
                self.by_service = !value.is_empty();
                Some(())
            }
            _ => None,
        }
    }

    /// The wireless network to join.
    #[must_use]
    pub fn wifi(&self) -> Option<Wifi<'_>> {
        (!self.wifi_ssid.is_empty()).then_some(Wifi { ssid: &self.wifi_ssid, password: &self.wifi_password })
    }

    /// Host name and port of the provisioning service: the stored ones, or the service's own.
    #[must_use]
    pub fn endpoint(&self) -> (&str, u16) {
        let port = dps_client::mqtt::PORT;
        match self.endpoint.split_once(':') {
            Some((host, digits)) => (host, digits.parse().unwrap_or(port)),
            None if self.endpoint.is_empty() => (GLOBAL_ENDPOINT, port),
            None => (&self.endpoint, port),
        }
    }

    /// The provisioning service's id scope.
    #[must_use]
    pub fn id_scope(&self) -> Option<&str> {
        (!self.id_scope.is_empty()).then_some(&*self.id_scope)
    }

    /// The public half of the key in the secure chip, if that is the device's key.
    #[must_use]
    pub fn slot_key(&self) -> Option<&SlotKey> {
        self.slot_key.first_chunk()
    }

    /// The device's key, and whose certificate for it the hub sees.
    #[must_use]
    pub fn key_source(&self) -> KeySource {
        KeySource::new(self.slot_key().is_some(), self.by_service)
    }

    /// The id to register with: the stored one, or one of MAC address and firmware version, in `buffer`.
    ///
    /// # Errors
    /// Those of [`RegistrationId`], for an id that cannot stand in a certificate.
    pub fn registration_id<'a>(
        &'a self,
        mac: MacAddress,
        version: &str,
        buffer: &'a mut [u8; DEFAULT_REGISTRATION_ID_MAX_LEN],
    ) -> Result<RegistrationId<'a>, dice_core::Error> {
        if self.registration_id.is_empty() {
            default_registration_id(mac, version, buffer)
        } else {
            RegistrationId::new(&self.registration_id)
        }
    }
}

fn copy<const N: usize>(to: &mut Vec<u8, N>, value: &[u8]) -> Option<()> {
    to.clear();
    to.extend_from_slice(value).ok()
}

fn copy_text<const N: usize>(to: &mut String<N>, value: &[u8]) -> Option<()> {
    to.clear();
    to.push_str(core::str::from_utf8(value).ok()?).ok()
}

impl Drop for Settings {
    fn drop(&mut self) {
        self.wifi_password.zeroize();
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("endpoint", &self.endpoint())
            .field("id_scope", &self.id_scope())
            .field("registration_id", &self.registration_id)
            .finish_non_exhaustive()
    }
}
