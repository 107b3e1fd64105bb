//! Commands that need no key: echo, random numbers, power, and what the chip tells about itself.

use super::super::{DelayNs, I2c, front};
use super::Stsafe;
use crate::channel::Channel;
use crate::codec::len16;
use crate::command::{CHALLENGE_LEN, Command, I2cParameters, LifeCycle, PASSWORD_LEN, Query, WakeUp};
use crate::curve::PublicKey;
use crate::error::{Error, ProtocolError};
use crate::frame::CrcMode;
use crate::response::{
    EnvelopeKeyTable, HostKeySlot, PasswordVerdict, PrivateKeyTable, ProductData, parse_i2c_parameters,
    parse_life_cycle, parse_public_key_slot,
};
use crate::status::Status;
use crate::zone::Partition;

#[front]
impl<I2C: I2c, D: DelayNs, S: Channel> Stsafe<I2C, D, S> {
    /// Has the chip return `data`, at most 504 bytes (500 with a C-MAC), and compares.
    ///
    /// # Errors
    /// [`ProtocolError::EchoMismatch`] if something else comes back; every [`Error`] of an exchange.
    pub async fn echo(&mut self, data: &[u8]) -> Result<(), Error<I2C::Error>> {
        self.run(Command::Echo(data), |echo| {
            if echo.len() != data.len() {
                return Err(unexpected_length(data.len(), echo.len()));
            }
            if echo != data {
                return Err(ProtocolError::EchoMismatch.into());
            }
            Ok(())
        })
        .await
    }

    /// Restarts the chip. A session it had open ends; its C-MAC counter goes on.
    ///
    /// # Errors
    /// Every [`Error`] of an exchange.
    pub async fn reset(&mut self) -> Result<(), Error<I2C::Error>> {
        self.order(Command::Reset).await
    }

    /// Fills `out` with random bytes, 255 per exchange.
    ///
    /// # Errors
    /// Every [`Error`] of an exchange; `out` is then partly filled.
    pub async fn random(&mut self, out: &mut [u8]) -> Result<(), Error<I2C::Error>> {
        for chunk in out.chunks_mut(usize::from(u8::MAX)) {
            let len = u8::try_from(chunk.len()).unwrap_or(u8::MAX);
            self.run(Command::GenerateRandom { len }, |data| copy(data, chunk)).await?;
        }
        Ok(())
    }

    /// Has the chip make a challenge for another entity to sign, see [`Self::verify_entity`].
    ///
    /// # Errors
    /// Every [`Error`] of an exchange.
    pub async fn challenge(&mut self) -> Result<[u8; CHALLENGE_LEN], Error<I2C::Error>> {
        self.run(Command::GenerateChallenge, |data| {
            data.try_into().map_err(|_| unexpected_length(CHALLENGE_LEN, data.len()))
        })
        .await
    }

    /// Puts the chip to sleep.
    ///
    /// # Errors
    /// Every [`Error`] of an exchange.
    pub async fn hibernate(&mut self, wake_up: WakeUp) -> Result<(), Error<I2C::Error>> {
        self.order(Command::Hibernate(wake_up)).await
    }

    /// Wakes a chip that hibernates with [`WakeUp::I2cOrReset`], waits for it to boot and makes sure that it answers.
    ///
    /// # Errors
    /// Every [`Error`] of an echo.
    pub async fn wake(&mut self) -> Result<(), Error<I2C::Error>> {
        self.port.knock().await;
        self.echo(&[0x55]).await
    }

    /// Asks for the product data, and finds out on the way whether the chip uses checksums: if it does not answer as
    /// configured, it is asked once more the other way, and if that works, the configuration changes. Use it first.
    ///
    /// # Errors
    /// The error of the first attempt, if the second one fails too.
    pub async fn identify(&mut self) -> Result<ProductData, Error<I2C::Error>> {
        let first = match self.product_data().await {
            Err(error @ (Error::Protocol(_) | Error::Device(Status::CommunicationError))) => error,
            other => return other,
        };
        let configured = self.config().crc;
        self.config_mut().crc = match configured {
            CrcMode::On => CrcMode::Off,
            CrcMode::Off => CrcMode::On,
        };
        let second = self.product_data().await;
        if second.is_err() {
            self.config_mut().crc = configured;
        }
        second.map_err(|_| first)
    }

    /// Mask identification, serial number, sizes.
    ///
    /// # Errors
    /// Every [`Error`] of an exchange.
    pub async fn product_data(&mut self) -> Result<ProductData, Error<I2C::Error>> {
        self.run(Command::Query(Query::ProductData), |data| Ok(ProductData::parse(data)?)).await
    }

    /// The life-cycle state.
    ///
    /// # Errors
    /// Every [`Error`] of an exchange.
    pub async fn life_cycle(&mut self) -> Result<LifeCycle, Error<I2C::Error>> {
        self.run(Command::Query(Query::LifeCycle), |data| Ok(parse_life_cycle(data)?)).await
    }

    /// Address and low-power mode as the chip has them stored.
    ///
    /// # Errors
    /// Every [`Error`] of an exchange.
    pub async fn i2c_parameters(&mut self) -> Result<I2cParameters, Error<I2C::Error>> {
        self.run(Command::Query(Query::I2cParameters), |data| Ok(parse_i2c_parameters(data)?)).await
    }

    /// Whether host keys are present, and the C-MAC counter.
    ///
    /// # Errors
    /// Every [`Error`] of an exchange.
    pub async fn host_key_slot(&mut self) -> Result<HostKeySlot, Error<I2C::Error>> {
        self.run(Command::Query(Query::HostKeySlot), |data| Ok(HostKeySlot::parse(data)?)).await
    }

    /// The key in the public key slot.
    ///
    /// # Errors
    /// Every [`Error`] of an exchange.
    pub async fn public_key_slot(&mut self) -> Result<Option<PublicKey>, Error<I2C::Error>> {
        self.run(Command::Query(Query::PublicKeySlot), |data| {
            parse_public_key_slot(data)?
                .map(|(curve, point)| Ok(PublicKey::new(curve, point.x, point.y)?))
                .transpose()
        })
        .await
    }

    /// The partition table: every zone with its size and access conditions. A view of the frame buffer.
    ///
    /// # Errors
    /// Every [`Error`] of an exchange.
    pub async fn partition(&mut self) -> Result<Partition<'_>, Error<I2C::Error>> {
        let data = self.exchange(Command::Query(Query::DataPartition)).await?;
        Ok(Partition::parse(data)?)
    }

    /// Which local envelope key slots hold a key. A view of the frame buffer.
    ///
    /// # Errors
    /// Every [`Error`] of an exchange.
    pub async fn envelope_keys(&mut self) -> Result<EnvelopeKeyTable<'_>, Error<I2C::Error>> {
        let data = self.exchange(Command::Query(Query::EnvelopeKeyTable)).await?;
        Ok(EnvelopeKeyTable::parse(data)?)
    }

    /// Which private key slots hold a key, of which curve and for what. A view of the frame buffer.
    ///
    /// # Errors
    /// Every [`Error`] of an exchange.
    pub async fn private_keys(&mut self) -> Result<PrivateKeyTable<'_>, Error<I2C::Error>> {
        let data = self.exchange(Command::Query(Query::PrivateKeyTable)).await?;
        Ok(PrivateKeyTable::parse(data)?)
    }

    /// Checks the password. A wrong one costs an attempt; when none is left the password is blocked.
    ///
    /// # Errors
    /// Every [`Error`] of an exchange.
    pub async fn verify_password(
        &mut self,
        password: &[u8; PASSWORD_LEN],
    ) -> Result<PasswordVerdict, Error<I2C::Error>> {
        self.run(Command::VerifyPassword(password), |data| Ok(PasswordVerdict::parse(data)?)).await
    }
}

/// Copies a data field that must be exactly as long as `out`.
pub(super) fn copy<E>(data: &[u8], out: &mut [u8]) -> Result<(), Error<E>> {
    if data.len() != out.len() {
        return Err(unexpected_length(out.len(), data.len()));
    }
    out.copy_from_slice(data);
    Ok(())
}

pub(super) fn unexpected_length<E>(expected: usize, actual: usize) -> Error<E> {
    ProtocolError::DataLength { expected: len16(expected), actual: len16(actual) }.into()
}
