//! Attributes: what is set once when a chip is put into service.

use super::super::{DelayNs, I2c, front};
use super::Stsafe;
use crate::channel::{Channel, Plain};
use crate::command::{Attribute, Command, I2cParameters, LifeCycle};
use crate::curve::PublicKey;
use crate::error::Error;
use crate::irreversible::Irreversible;
use crate::mac::HostKeys;

#[front]
impl<I2C: I2c, D: DelayNs> Stsafe<I2C, D, Plain> {
    /// Gives the chip its host keys, once for its life. They travel in the clear: do it where nobody listens.
    ///
    /// Only possible outside a host session: the answer's R-MAC would be made with the new keys.
    ///
    /// # Errors
    /// Every [`Error`] of an exchange.
    pub async fn put_host_keys(&mut self, keys: &HostKeys, _: Irreversible) -> Result<(), Error<I2C::Error>> {
        self.order_host_keys(keys).await
    }
}

#[front]
impl<I2C: I2c, D: DelayNs, S: Channel> Stsafe<I2C, D, S> {
    /// [`Stsafe::put_host_keys`], for those who know that there is no host session.
    pub(crate) async fn order_host_keys(&mut self, keys: &HostKeys) -> Result<(), Error<I2C::Error>> {
        self.order(Command::PutAttribute(Attribute::host_keys(keys))).await
    }

    /// Sets the life-cycle state, and locks it if so said.
    ///
    /// # Errors
    /// Every [`Error`] of an exchange.
    pub async fn put_life_cycle(
        &mut self,
        state: LifeCycle,
        _: Irreversible,
    ) -> Result<(), Error<I2C::Error>> {
        self.order(Command::PutAttribute(Attribute::LifeCycle(state))).await
    }

    /// Sets address and low-power mode, and locks them if so said. The driver goes on using the address in its
    /// [`config`](Self::config); change that when the chip has taken the new one.
    ///
    /// # Errors
    /// Every [`Error`] of an exchange.
    pub async fn put_i2c_parameters(
        &mut self,
        parameters: I2cParameters,
        _: Irreversible,
    ) -> Result<(), Error<I2C::Error>> {
        self.order(Command::PutAttribute(Attribute::I2cParameters(parameters))).await
    }

    /// Puts a key into the public key slot.
    ///
    /// # Errors
    /// Every [`Error`] of an exchange.
    pub async fn put_public_key(
        &mut self,
        key: &PublicKey,
        _: Irreversible,
    ) -> Result<(), Error<I2C::Error>> {
        let attribute = Attribute::PublicKey { curve: key.curve(), key: key.point() };
        self.order(Command::PutAttribute(attribute)).await
    }

    /// Sets an attribute this driver has no type for, such as the password (tag 0x09), whose layout is not public.
    ///
    /// # Errors
    /// [`InputError::Value`](crate::error::InputError::Value) for a tag that has a type; every [`Error`] of an
    /// exchange.
    pub async fn put_attribute(
        &mut self,
        tag: u8,
        value: &[u8],
        _: Irreversible,
    ) -> Result<(), Error<I2C::Error>> {
        self.order(Command::PutAttribute(Attribute::Other { tag, value })).await
    }

    /// Deletes the password.
    ///
    /// # Errors
    /// Every [`Error`] of an exchange.
    pub async fn delete_password(&mut self, _: Irreversible) -> Result<(), Error<I2C::Error>> {
        self.order(Command::DeletePassword).await
    }
}
