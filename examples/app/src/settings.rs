//! What the user has configured, as the device's secure element keeps it.

use core::fmt::{self, Formatter};

use dice_core::{MacAddress, RegistrationId};
use dps_client::GLOBAL_ENDPOINT;
use embedded_hal_async::delay::DelayNs;
use embedded_hal_async::i2c::I2c;
use heapless::{String, Vec};
use stsafe_a100::vault::{Setting, VaultError};
use zeroize::Zeroize;

use crate::board::Wifi;
use crate::console::SettingStore;

/// The stored settings, without the secret. The Wi-Fi password is wiped on drop.
#[derive(Clone, Default)]
pub struct Settings {
    wifi_ssid: Vec<u8, { Setting::WifiSsid.max_len() }>,
    wifi_password: Vec<u8, { Setting::WifiPassword.max_len() }>,
    endpoint: String<{ Setting::DpsEndpoint.max_len() }>,
    id_scope: String<{ Setting::DpsIdScope.max_len() }>,
    registration_id: String<{ Setting::RegistrationId.max_len() }>,
}

impl Settings {
    /// Reads them.
    ///
    /// # Errors
    /// Those of the vault; a text that is no UTF-8 is a damaged one.
    pub async fn read<I2C: I2c, D: DelayNs>(
        store: &mut SettingStore<I2C, D>,
    ) -> Result<Self, VaultError<I2C::Error>> {
        let mut settings = Self::default();
        read(store, Setting::WifiSsid, &mut settings.wifi_ssid).await?;
        read(store, Setting::WifiPassword, &mut settings.wifi_password).await?;
        settings.endpoint = text(store, Setting::DpsEndpoint).await?;
        settings.id_scope = text(store, Setting::DpsIdScope).await?;
        settings.registration_id = text(store, Setting::RegistrationId).await?;
        Ok(settings)
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

    /// The id to register with: the stored one, or one of MAC address and firmware version, in `buffer`.
    ///
    /// # Errors
    /// Those of [`RegistrationId`], for an id that cannot stand in a certificate.
    pub fn registration_id<'a>(
        &'a self,
        mac: MacAddress,
        version: &str,
        buffer: &'a mut [u8; RegistrationId::DEFAULT_MAX_LEN],
    ) -> Result<RegistrationId<'a>, dice_core::Error> {
        if self.registration_id.is_empty() {
            RegistrationId::default_for(mac, version, buffer)
        } else {
            RegistrationId::new(&self.registration_id)
        }
    }
}

async fn read<I2C: I2c, D: DelayNs, const N: usize>(
    store: &mut SettingStore<I2C, D>,
    setting: Setting,
    out: &mut Vec<u8, N>,
) -> Result<(), VaultError<I2C::Error>> {
    let mut buffer = [0; N];
    let value = store.get(setting, &mut buffer).await?.unwrap_or_default();
    // As long as the buffer at most.
    let _ = out.extend_from_slice(value);
    buffer.zeroize();
    Ok(())
}

async fn text<I2C: I2c, D: DelayNs, const N: usize>(
    store: &mut SettingStore<I2C, D>,
    setting: Setting,
) -> Result<String<N>, VaultError<I2C::Error>> {
    let mut bytes = Vec::new();
    read(store, setting, &mut bytes).await?;
    String::from_utf8(bytes).map_err(|_| VaultError::Damaged(setting))
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
