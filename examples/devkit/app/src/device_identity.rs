//! The device's identity as TLS asks for it: the chain, and a key in memory or one in the secure element.

use core::fmt::Debug;
use core::marker::PhantomData;

#[cfg(feature = "issued-certificates")]
use azure_iot_credentials::certificate;
use azure_iot_tls::{AsyncIdentity, IdentityError, SecretKey, Signature};
use devkit_console::KeySource;
use devkit_settings::KEY_SLOT;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use embassy_time::Instant;
use embedded_hal_async::delay::DelayNs;
use embedded_hal_async::i2c::I2c;
use iothub_mqtt::runner::Service;
use stsafe_a100::asynch::Stsafe;
use stsafe_a100::error::Error;

use crate::board::Network;
use crate::identity::Identity;
#[cfg(feature = "issued-certificates")]
use crate::issued::{IssuedCertificates, MAX_CHAIN};
use crate::log::Log;
use crate::shared::{I2cBus, I2cHandle};

/// An identity that may show one service another certificate than the other.
pub(crate) trait ServiceIdentity: AsyncIdentity {
    /// The next connection is one to this service.
    fn choose(&mut self, service: Service<'_>);
}

/// The identity with the way to its key; for a network, if it is shown to one.
pub(crate) struct DeviceIdentity<'a, 'b, I2C, D, N = ()> {
    identity: &'a Identity,
    /// What the hub is shown in its place.
    #[cfg(feature = "issued-certificates")]
    issued: Option<&'a IssuedCertificates<'a>>,
    /// The chain of this connection, if it is one of those.
    #[cfg(feature = "issued-certificates")]
    shown: heapless::Vec<u8, MAX_CHAIN>,
    bus: &'a I2cBus<'b, I2C>,
    delay: Mutex<NoopRawMutex, &'a mut D>,
    log: &'a Log,
    network: PhantomData<fn(N)>,
}

impl<'a, 'b, I2C, D, N> DeviceIdentity<'a, 'b, I2C, D, N> {
    pub(crate) fn new(
        identity: &'a Identity,
        bus: &'a I2cBus<'b, I2C>,
        delay: &'a mut D,
        log: &'a Log,
    ) -> Self {
        Self {
            identity,
            #[cfg(feature = "issued-certificates")]
            issued: None,
            #[cfg(feature = "issued-certificates")]
            shown: heapless::Vec::new(),
            bus,
            delay: Mutex::new(delay),
            log,
            network: PhantomData,
        }
    }

    /// The same; the hub is shown what was issued.
    #[cfg(feature = "issued-certificates")]
    pub(crate) fn with_issued(self, issued: Option<&'a IssuedCertificates<'a>>) -> Self {
        Self { issued, ..self }
    }
}

impl<I2C: I2c, D: DelayNs, N: Network> AsyncIdentity for DeviceIdentity<'_, '_, I2C, D, N> {
    fn certificate(&self, index: usize) -> Option<&[u8]> {
        #[cfg(feature = "issued-certificates")]
        if !self.shown.is_empty() {
            return certificate::split(&self.shown).ok()?.get(index).copied();
        }
        self.identity.chain().nth(index)
    }

    /// With the derived key; or by the chip.
    async fn sign(&self, digest: &[u8; 32]) -> Result<Signature, IdentityError> {
        if self.identity.key_source() == KeySource::Derived {
            return self.identity.sign(digest).await;
        }
        let began = Instant::now();
        let signature = self.sign_digest(digest).await?;
        let ms = began.elapsed().as_millis();
        self.log.info(format_args!("The secure chip has signed the handshake in {ms} ms"));
        Ok(signature)
    }

    fn secret_key(&self) -> Option<SecretKey> {
        if N::NEEDS_KEY { self.identity.secret_key().cloned() } else { None }
    }
}

impl<I2C: I2c, D: DelayNs, N: Network> ServiceIdentity for DeviceIdentity<'_, '_, I2C, D, N> {
    fn choose(&mut self, service: Service<'_>) {
        #[cfg(feature = "issued-certificates")]
        {
            self.shown = match (service, self.issued) {
                (Service::Hub(_), Some(issued)) => issued.chain(),
                _ => heapless::Vec::new(),
            };
        }
        #[cfg(not(feature = "issued-certificates"))]
        let _ = service;
    }
}

impl<I2C: I2c, D: DelayNs, N> DeviceIdentity<'_, '_, I2C, D, N> {
    /// Has the chip sign. Display and sensors use the bus between the frames of the exchange.
    pub(crate) async fn sign_digest(&self, digest: &[u8; 32]) -> Result<Signature, IdentityError> {
        let mut delay = self.delay.lock().await;
        // The types that the settings' chip has: the driver is in the image once.
        let mut i2c = I2cHandle::new(self.bus);
        let mut chip = Stsafe::new(&mut i2c, &mut **delay);
        let signature = chip.sign(KEY_SLOT, digest).await.map_err(|error| self.failed(&error))?;
        let bytes = signature.to_bytes().try_into().map_err(|_| IdentityError::KeyUnusable)?;
        Ok(Signature::from_bytes(bytes))
    }
}

impl<I2C, D, N> DeviceIdentity<'_, '_, I2C, D, N> {
    fn failed<E: Debug>(&self, error: &Error<E>) -> IdentityError {
        self.log.warning(format_args!("The secure chip does not sign: {error}"));
        match error {
            // It has no key there, or the key is not for this.
            Error::Device(_) => IdentityError::KeyUnusable,
            _ => IdentityError::Signer,
        }
    }
}
